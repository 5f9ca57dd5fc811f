//! Cursors: how far each sink has read each log, with its books, durable before anything it has passed is recycled.
//!
//! A cursor may lag behind what its sink did; it never leads. It is keyed by the sink's configured name. Everything that it
//! stores is written at once, in two alternating slots, by one thread for all cursors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use model::{Signal, UnixNanos};
use tokio::sync::{oneshot, watch};

use crate::books::{self, Census};
use crate::count::{count_below, count_range};
use crate::fields::{Put, Take};
use crate::fork;
use crate::log::{Shared, lock};
use crate::options::OnFull;
use crate::read::Reader;
use crate::seek::seek;
use crate::slots::Slots;
use crate::state::{self, State, Stored};
use crate::vfs::is_full;
use crate::{CursorError, Offset, SinkLedger};

/// Finished ranges above the low-water mark that a cursor can hold; at the limit a courier waits for the gap.
pub const MAX_FINISHED: usize = 1024;

/// Where a new cursor begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest frame that is kept.
    Earliest,
    /// At the next frame to come.
    Now,
    /// At the first frame that was received at or after a time.
    Since(UnixNanos),
    /// At this offset, or the oldest frame that is kept.
    At(Offset),
}

/// A cursor as the log keeps it.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) sink: Arc<str>,
    /// For a replay: the last number that it reads. 0: it reads on for ever.
    pub(crate) until: u64,
    pub(crate) registered: AtomicBool,
    /// The low-water mark as it is on disk.
    pub(crate) durable_low: AtomicU64,
    pub(crate) skip: watch::Sender<u64>,
    pub(crate) kept: Mutex<Kept>,
}

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) state: State,
    /// Items accepted before this cursor began.
    pub(crate) before: Census,
    /// When its sink was first missed; 0 while there is one.
    pub(crate) orphaned: UnixNanos,
    pub(crate) on_full: OnFull,
    /// Its files are gone: nothing may be written any more.
    pub(crate) forgotten: bool,
    pub(crate) slots: Slots,
    /// Items of the low-water mark's segment below it: (ordinal, low, census).
    passed: Option<(u64, u64, Census)>,
}

impl Cell {
    pub(crate) fn skip_to(&self) -> u64 {
        *self.skip.borrow()
    }

    /// Reads a cursor's files; `None` when neither slot is valid.
    pub(crate) fn load(shared_folder: &std::path::Path, vfs: &dyn crate::Vfs, name: &str) -> Option<Self> {
        let found = Slots::open(vfs, &shared_folder.join("cursors"), name);
        let payload = found.payload?;
        let mut take = Take(&payload);
        let sink: Arc<str> = take.text()?.into();
        let Stored { state, before, orphaned, until } = Stored::decode(&mut take)?;
        let kept = Kept::new(state, before, orphaned, found.slots);
        Some(Self { until, ..Self::new(sink, kept) })
    }

    fn new(sink: Arc<str>, kept: Kept) -> Self {
        Self {
            sink,
            until: 0,
            registered: AtomicBool::new(false),
            durable_low: AtomicU64::new(kept.state.low.0),
            skip: watch::Sender::new(0),
            kept: Mutex::new(kept),
        }
    }

    /// The highest number that this cursor has seen durable.
    pub(crate) fn highest(&self) -> u64 {
        let kept = lock(&self.kept);
        let finished = kept.state.finished.last().map_or(0, |range| range.last.0);
        let open = kept.state.open.map_or(0, |(_, last)| last.0);
        (kept.state.low.0 - 1).max(finished).max(open)
    }

    /// Writes `state`; what was durable before still is when this fails.
    pub(crate) fn store(&self, shared: &Shared, kept: &mut Kept, state: State) -> Result<(), CursorError> {
        if kept.forgotten {
            return Err(CursorError::Unknown);
        }
        let mut put = Put::default();
        put.text(&self.sink);
        state::encode(&state, &kept.before, kept.orphaned, self.until, &mut put);
        let vfs = &*shared.vfs;
        shared.sync_visible().map_err(CursorError::Io)?;
        kept.slots
            .write(vfs, &put.0)
            .or_else(|error| {
                if is_full(&error) && shared.give_up_spare() {
                    return kept.slots.write(vfs, &put.0);
                }
                Err(error)
            })
            .map_err(CursorError::Io)?;
        self.durable_low.store(state.low.0, Ordering::Release);
        kept.state = state;
        Ok(())
    }

    /// Writes again what was read on opening. While that fails the cursor pins everything.
    pub(crate) fn renew(&self, shared: &Shared) {
        let mut kept = lock(&self.kept);
        let state = kept.state.clone();
        if let Err(error) = self.store(shared, &mut kept, state) {
            self.durable_low.store(0, Ordering::Release);
            tracing::warn!(sink = %self.sink, signal = %shared.signal, %error, "cursor not renewed");
        }
    }

    /// Moves an unattended cursor past `last`, booking what it had not done under `reason`.
    pub(crate) fn give_up(
        &self,
        shared: &Shared,
        last: u64,
        reason: &'static str,
    ) -> Result<(), CursorError> {
        let mut kept = lock(&self.kept);
        let mut state = kept.state.clone();
        let mut from = state.low.0;
        let mut lost = Census::new();
        let mut rest = Vec::new();
        for range in std::mem::take(&mut state.finished) {
            if range.first.0 > last {
                rest.push(range);
                continue;
            }
            books::add_all(&mut lost, &count_all(shared, from, range.first.0 - 1));
            from = range.last.0 + 1;
            state.books.add(&range.books);
        }
        books::add_all(&mut lost, &count_all(shared, from, last));
        for (origin, items) in &lost {
            state.books.drop_items(origin, reason, *items);
        }
        state.finished = rest;
        state.low = Offset(from.max(last + 1));
        (state.open, state.open_rules) = (None, None);
        self.store(shared, &mut kept, state)
    }

    /// This sink's part of the ledger.
    pub(crate) fn ledger(&self, shared: &Shared) -> SinkLedger {
        let mut kept = lock(&self.kept);
        let low = kept.state.low.0;
        let ordinal = lock(&shared.table).at_or_after(low).map(|segment| segment.identity.ordinal);
        if let Some(ordinal) = ordinal
            && kept.passed.as_ref().is_none_or(|passed| (passed.0, passed.1) != (ordinal, low))
        {
            kept.passed = count_below(shared, ordinal, low).map(|census| (ordinal, low, census));
        }
        let mut held = Census::new();
        for segment in lock(&shared.table).segments.iter().filter(|segment| segment.last >= low) {
            match &kept.passed {
                Some((ordinal, _, passed)) if *ordinal == segment.identity.ordinal => {
                    books::add_all(&mut held, &books::less(&segment.census, passed));
                }
                _ => books::add_all(&mut held, &segment.census),
            }
        }
        SinkLedger {
            sink: Arc::clone(&self.sink),
            signal: shared.signal,
            registered: self.registered.load(Ordering::Relaxed),
            low: Offset(low),
            before: kept.before.clone(),
            held,
            books: kept.state.books.clone(),
            replays: kept.state.replays.books.clone(),
        }
    }
}

impl Kept {
    fn new(state: State, before: Census, orphaned: UnixNanos, slots: Slots) -> Self {
        Self { state, before, orphaned, on_full: OnFull::Hold, forgotten: false, slots, passed: None }
    }
}

/// Items of frames from `from` to `last`, over segments.
pub(crate) fn count_all(shared: &Shared, from: u64, last: u64) -> Census {
    let mut census = Census::new();
    let ordinals: Vec<(u64, u64, u64)> = lock(&shared.table)
        .segments
        .iter()
        .filter(|segment| segment.last >= from && segment.identity.first <= last)
        .map(|segment| (segment.identity.ordinal, segment.identity.first, segment.last))
        .collect();
    for (ordinal, first, end) in ordinals {
        let part = count_range(shared, ordinal, from.max(first), last.min(end));
        books::add_all(&mut census, &part.unwrap_or_default());
    }
    census
}

/// A file name for a sink's name: letters, digits, `_` and `-` as they are, the rest as `%` and two digits.
pub(crate) fn file_name(sink: &str) -> String {
    let mut name = String::from("c-");
    for byte in sink.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

/// One sink's cursor in one log.
#[derive(Debug, Clone)]
pub struct Cursor {
    shared: Arc<Shared>,
    pub(crate) cell: Arc<Cell>,
    scribe: mpsc::Sender<Errand>,
}

/// What the cursors' thread is asked.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Write this.
    Checkpoint(Job),
    /// End.
    Stop,
}

/// The cursors' thread: one write at a time, in the order in which they were asked for.
pub(crate) fn run(errands: &mpsc::Receiver<Errand>) {
    while let Ok(Errand::Checkpoint(job)) = errands.recv() {
        job.run();
    }
}

/// A checkpoint for the cursors' thread.
#[derive(Debug)]
pub(crate) struct Job {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    pub(crate) state: State,
    answer: oneshot::Sender<Result<(), CursorError>>,
}

impl Job {
    fn run(self) {
        let result = self.cell.store(&self.shared, &mut lock(&self.cell.kept), self.state);
        self.shared.bell.ring();
        let _ = self.answer.send(result);
    }
}

impl Cursor {
    /// Finds or makes the cursor of `sink`, durably.
    pub(crate) fn register(
        shared: &Arc<Shared>,
        sink: &str,
        start: Start,
        until: u64,
        scribe: mpsc::Sender<Errand>,
    ) -> Result<Self, CursorError> {
        let mut cursors = lock(&shared.cursors);
        let cell = match cursors.get(sink) {
            Some(cell) => Arc::clone(cell),
            None => {
                // Kept until the keeper can see the cursor itself.
                let claim = Arc::new(());
                let cell = Arc::new(make(shared, sink, start, until, &claim)?);
                cursors.insert(Arc::clone(&cell.sink), Arc::clone(&cell));
                cell
            }
        };
        drop(cursors);
        cell.registered.store(true, Ordering::Relaxed);
        lock(&cell.kept).orphaned = UnixNanos(0);
        Ok(Self { shared: Arc::clone(shared), cell, scribe })
    }

    /// The sink's name.
    pub fn sink(&self) -> &Arc<str> {
        &self.cell.sink
    }

    /// Which log it is in.
    pub fn signal(&self) -> Signal {
        self.shared.signal
    }

    /// What is stored now.
    pub fn state(&self) -> State {
        lock(&self.cell.kept).state.clone()
    }

    /// Reads from the low-water mark on, finished ranges left out, skips as losses.
    pub fn reader(&self) -> Reader {
        let state = self.state();
        let finished = state.finished.iter().map(|range| (range.first.0, range.last.0)).collect();
        let reader =
            Reader::new(Arc::clone(&self.shared), state.low, finished).following(Arc::clone(&self.cell));
        if self.cell.until > 0 { reader.until(self.cell.until) } else { reader }
    }

    /// Stores `state`; it is durable when this resolves. On an error what was stored before still is, and the caller
    /// tries again later with what is true then. Dropping the future does not take the write back.
    pub async fn checkpoint(&self, state: State) -> Result<(), CursorError> {
        self.check(&state)?;
        let (answer, done) = oneshot::channel();
        let (shared, cell) = (Arc::clone(&self.shared), Arc::clone(&self.cell));
        let job = Job { shared, cell, state, answer };
        self.scribe.send(Errand::Checkpoint(job)).map_err(|_| CursorError::Closed)?;
        done.await.unwrap_or(Err(CursorError::Closed))
    }

    /// The offset up to which (exclusively) this sink must give up, 0 when there is none: the budget is used up and the sink is
    /// set to skip. Its reader reports what was not read yet as lost, `skipped`; the courier drops what it holds below, books
    /// it `skipped`, and checkpoints; only then is the space free.
    pub fn skip_to(&self) -> Offset {
        Offset(self.cell.skip_to())
    }

    /// Waits until `skip_to` is above `offset`.
    pub async fn skip_past(&self, offset: Offset) -> Offset {
        let mut skip = self.cell.skip.subscribe();
        // Copied out at once: the borrow of a watched value must not live across an await.
        let seen = skip.wait_for(|to| *to > offset.0).await.map(|to| Offset(*to));
        match seen {
            Ok(to) => to,
            Err(_) => std::future::pending().await,
        }
    }

    fn check(&self, state: &State) -> Result<(), CursorError> {
        let ranges = state.finished.len();
        if ranges > MAX_FINISHED {
            return Err(CursorError::TooManyRanges { ranges, limit: MAX_FINISHED });
        }
        let visible = self.shared.visible().last;
        let stored = lock(&self.cell.kept).state.low.0;
        if state.low.0 < stored {
            return Err(CursorError::Inconsistent(format!("low {} is below the stored {stored}", state.low)));
        }
        let mut above = state.low.0;
        for range in &state.finished {
            if range.first.0 < above || range.last < range.first {
                return Err(CursorError::Inconsistent(format!(
                    "range {}–{} is out of order",
                    range.first, range.last
                )));
            }
            above = range.last.0 + 1;
        }
        if above > visible.max(stored.saturating_sub(1)) + 1 {
            return Err(CursorError::Inconsistent(format!(
                "{} is beyond the last offset {visible}",
                above - 1
            )));
        }
        Ok(())
    }
}

/// Makes a cursor; its first segment stays as long as `claim` lives.
fn make(shared: &Shared, sink: &str, start: Start, until: u64, claim: &Arc<()>) -> Result<Cell, CursorError> {
    let folder = shared.folder.join("cursors");
    shared.vfs.create_folder(&folder).map_err(CursorError::Io)?;
    let wanted = match start {
        Start::Earliest => 0,
        Start::Now => u64::MAX,
        Start::Since(time) => seek(shared, time),
        Start::At(offset) => offset.0,
    };
    let visible = shared.visible().last;
    let low = {
        let mut table = lock(&shared.table);
        let next = table.segments.back().map_or(visible, |segment| segment.last.max(visible)) + 1;
        let first = table.segments.front().map_or(next, |segment| segment.identity.first);
        let low = wanted.max(first).min(next);
        table.claims.push((Arc::downgrade(claim), low));
        low
    };
    let state = State { low: Offset(low), ..State::default() };
    let slots = Slots::open(&*shared.vfs, &folder, &file_name(sink)).slots;
    let kept = Kept::new(state.clone(), fork::before(shared, low), UnixNanos(0), slots);
    let cell = Cell { until, ..Cell::new(sink.into(), kept) };
    cell.store(shared, &mut lock(&cell.kept), state)?;
    Ok(cell)
}

/// All cursors that a log's folder holds.
pub(crate) fn load_all(folder: &std::path::Path, vfs: &dyn crate::Vfs) -> BTreeMap<Arc<str>, Arc<Cell>> {
    let names = vfs.list(&folder.join("cursors")).unwrap_or_default();
    let mut cursors = BTreeMap::new();
    for name in names.iter().filter_map(|name| name.strip_suffix(".0").or_else(|| name.strip_suffix(".1"))) {
        if cursors.values().any(|cell: &Arc<Cell>| file_name(&cell.sink) == name) {
            continue;
        }
        match Cell::load(folder, vfs, name) {
            Some(cell) => {
                cursors.insert(Arc::clone(&cell.sink), Arc::new(cell));
            }
            None => tracing::error!(folder = %folder.display(), name, "cursor is damaged and was not used"),
        }
    }
    cursors
}
