//! Forks and ends of cursors: a cursor beside a sink's own that reads a part of the log once more (a replay), and cursors that
//! are forgotten.
//!
//! A fork is a cursor like any other, named `SINK~NUMBER`, with a last number that it reads; `~` is in no sink's name. While its
//! sink runs it pins what it has still to read, but never holds back the intake: at the budget it skips. What it brought is added
//! to its sink's own cursor when it is over (see [`crate::Replays`]), in one write with its number, so that nothing is counted
//! twice when the machine stops before the fork is forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Signal, UnixNanos};

use crate::books::{self, Census};
use crate::cursor::{Cell, Cursor, count_all};
use crate::journal::Journal;
use crate::log::{Log, Shared, lock};
use crate::options::OnFull;
use crate::{Books, CursorError, Offset, Start, seek};

/// A cursor, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The sink's name; of a fork, `SINK~NUMBER`.
    pub name: Arc<str>,
    /// The log.
    pub signal: Signal,
    /// Whether a sink of this name runs.
    pub registered: bool,
    /// Since when it has had no sink; zero while it has one, or while that is not noted yet.
    pub orphaned: UnixNanos,
    /// The first offset that is not wholly done.
    pub low: Offset,
    /// The last offset that it reads; `None` for a cursor that reads on for ever.
    pub until: Option<Offset>,
    /// Items that it has not done, by origin.
    pub held: Census,
    /// Frames that it has not done.
    pub frames: u64,
    /// Bytes on disk of the segments that it has not passed.
    pub bytes: u64,
    /// What became of the items below `low`.
    pub books: Books,
}

/// A fork that was found or made.
#[derive(Debug, Clone)]
pub struct Fork {
    /// Its number.
    pub number: u64,
    /// The last offset that it reads.
    pub until: Offset,
    /// Its cursor.
    pub cursor: Cursor,
}

/// The name of a sink's fork.
pub(crate) fn name_of(sink: &str, number: u64) -> String {
    format!("{sink}~{number}")
}

/// The sink and the number in a fork's name.
pub(crate) fn parse(name: &str) -> Option<(&str, u64)> {
    let (sink, number) = name.rsplit_once('~')?;
    Some((sink, number.parse().ok()?))
}

impl Log {
    /// The first frame that was received at or after `time`, in the order of the log; the next one to come where there is none.
    /// Blocks: reads the headers of a segment.
    pub fn seek(&self, time: UnixNanos) -> Offset {
        Offset(seek::seek(&self.shared, time))
    }

    /// When the oldest frame that is kept was received; `None` when none is kept. Blocks like `seek`.
    pub fn oldest(&self) -> Option<UnixNanos> {
        seek::oldest(&self.shared)
    }
}

impl Journal {
    /// Makes a fork of a sink's cursor that reads from `from` to `until`; durable on return (blocks for two syncs). Begins at
    /// the oldest frame that is kept where `from` is not kept any more.
    pub fn fork(
        &self,
        sink: &str,
        signal: Signal,
        number: u64,
        from: Offset,
        until: Offset,
    ) -> Result<Fork, CursorError> {
        let name = name_of(sink, number);
        let cursor = self.register(&name, signal, Start::At(from), until.0)?;
        lock(&cursor.cell.kept).on_full = OnFull::Skip;
        Ok(Fork { number, until, cursor })
    }

    /// The forks of a sink that were not over when the process ended, by number. They run from now on.
    pub fn forks(&self, sink: &str, signal: Signal) -> Result<Vec<Fork>, CursorError> {
        let mut forks = Vec::new();
        let cells: Vec<Arc<Cell>> = lock(&self.log(signal).shared.cursors).values().cloned().collect();
        for cell in cells.iter().filter(|cell| cell.until > 0) {
            let Some((_, number)) = parse(&cell.sink).filter(|(of, _)| *of == sink) else { continue };
            forks.push(self.fork(sink, signal, number, Offset(0), Offset(cell.until))?);
        }
        forks.sort_by_key(|fork| fork.number);
        Ok(forks)
    }

    /// Every cursor of every log, forks among them. Reads a few frame headers where a cursor has moved.
    pub fn readings(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for signal in Signal::ALL {
            let shared = &self.log(signal).shared;
            let cells: Vec<Arc<Cell>> = lock(&shared.cursors).values().cloned().collect();
            readings.extend(cells.iter().map(|cell| reading(shared, cell)));
        }
        readings
    }

    /// Forgets a cursor: what it had not done is booked as dropped for `reason` first, then its files go. Answers the books as
    /// they were then, with what was dropped among them. What pins nothing any more is recycled by the next upkeep.
    pub fn forget(&self, name: &str, signal: Signal, reason: &'static str) -> Result<Books, CursorError> {
        let shared = &self.log(signal).shared;
        let cell = lock(&shared.cursors).get(name).cloned().ok_or(CursorError::Unknown)?;
        let last = if cell.until > 0 { cell.until } else { shared.visible().last };
        if lock(&cell.kept).state.low.0 <= last {
            cell.give_up(shared, last, reason)?;
        }
        let mut kept = lock(&cell.kept);
        kept.forgotten = true;
        let books = kept.state.books.clone();
        // The older slot first: what a stop in between leaves is the newer one, which says the same as now.
        kept.slots.remove(&*shared.vfs).map_err(CursorError::Io)?;
        drop(kept);
        lock(&shared.cursors).remove(name);
        shared.bell.ring();
        Ok(books)
    }
}

fn reading(shared: &Shared, cell: &Cell) -> Reading {
    let ledger = cell.ledger(shared);
    let (low, until) = (ledger.low.0, cell.until);
    let last = if until > 0 { until } else { shared.visible().last };
    let held = if until > 0 { count_all(shared, low, until) } else { ledger.held };
    let bytes = {
        let table = lock(&shared.table);
        let ahead = table.segments.iter().filter(|segment| low <= last && segment.last >= low);
        ahead.map(|segment| segment.bytes).sum()
    };
    let orphaned = lock(&cell.kept).orphaned;
    Reading {
        name: Arc::clone(&cell.sink),
        signal: shared.signal,
        registered: cell.registered.load(Ordering::Relaxed),
        orphaned,
        low: ledger.low,
        until: (until > 0).then_some(Offset(until)),
        held,
        frames: (last + 1).saturating_sub(low),
        bytes,
        books: ledger.books,
    }
}

/// Adds to a sink's replays what its forks have brought so far, unless their books are in already.
pub(crate) fn add_running(replays: &mut Books, last: u64, sink: &str, cells: &[Arc<Cell>]) {
    for cell in cells.iter().filter(|cell| cell.until > 0) {
        if parse(&cell.sink).is_some_and(|(of, number)| of == sink && number > last) {
            replays.add(&lock(&cell.kept).state.books);
        }
    }
}

/// Items of a log that a cursor which begins at `low` was never meant to have.
pub(crate) fn before(shared: &Shared, low: u64) -> Census {
    let ordinal = lock(&shared.table).at_or_after(low).map(|segment| segment.identity.ordinal);
    let below = ordinal.and_then(|ordinal| crate::count::count_below(shared, ordinal, low));
    let table = lock(&shared.table);
    let mut from_there = Census::new();
    let there = table.segments.iter().filter(|segment| Some(segment.identity.ordinal) >= ordinal);
    if ordinal.is_some() {
        there.for_each(|segment| books::add_all(&mut from_there, &segment.census));
    }
    books::less(&table.accepted, &books::less(&from_there, &below.unwrap_or_default()))
}
