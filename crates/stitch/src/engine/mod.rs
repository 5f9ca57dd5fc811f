//! The engine: takes in what the journal holds, and tells what it comes to. Without threads and without a clock of its own.
//!
//! Between two turns everything is in memory. A turn looks again at every cluster that something came to, or whose time has come,
//! and makes what it found true in one transaction: facts, places in the logs, what was told, and what the journal still has to be
//! given. A process that ends in between has changed nothing; the journal gives the same again.

mod habits;
mod hops;
mod joined;
mod look;
mod outbox;
mod tally;
mod tell;
mod work;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use model::{Signal, Tenant, UnixNanos};
use normalize::is_edge_log;
use pipeline::with_causes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::WireError;

use crate::attribute::{self, Pair};
pub use crate::book::BookError;
use crate::book::{Book, Reach};
use crate::cluster::Row;
use crate::correlation;
use crate::fact::Fact;
use crate::series;
use habits::Habits;
pub use habits::KongSpans;
use joined::{Joined, Wait, Walk};
pub use look::{Found, Sought};
use outbox::Outbox;
pub use outbox::Outgoing;
use tally::Tally;
use work::{Absorbed, Taken, Work};

/// What becomes of a span that is made of a log and whose clock differs from that of its parent's: it begins before that, or ends after it, by
/// more than 5 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClockSkew {
    /// It keeps its times, and says by how much they differ in `tidegate.clock_skew_ns`.
    #[default]
    Mark,
    /// It says so too, and is moved into the middle of its parent, and with it what hangs below it and has its clock.
    Shift,
}

/// How stitching is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How long records of a request may be apart and still join, at least.
    pub window: Duration,
    /// How long a request can be looked up by all its ids, at least.
    pub remember: Duration,
    /// How long a request through Kong waits for Kong's own span and for what the edge tells, before its spans are told.
    pub hold: Duration,
    /// Whether Kong sends spans of its own, which are worth waiting for.
    pub kong_spans: KongSpans,
    /// Whether answers from the cache have a span even where no trace context came with the request.
    pub every_edge: bool,
    /// Whether a request that shares no context with the service behind Kong is its parent all the same, where an id proves it.
    pub fills_roots: bool,
    /// What becomes of spans whose clock differs from that of their parents.
    pub clock_skew: ClockSkew,
    /// Metrics made of logs and spans.
    pub metrics: series::Options,
    /// What tells this gateway's metrics from those of others: their `instance`.
    pub instance: String,
    /// Bytes of derived batches that may wait for the journal. Beyond, nothing is told until it takes them.
    pub waiting: u64,
    /// The frame of the logs from which on log records of Cloudflare and Kong are told again, once, under the trace and the span that they
    /// belong to; `None` where nobody asks for that.
    pub joined: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            window: hour,
            remember: 48 * hour,
            hold: Duration::from_secs(5),
            kong_spans: KongSpans::Auto,
            every_edge: false,
            fills_roots: false,
            clock_skew: ClockSkew::Mark,
            metrics: series::Options::default(),
            instance: String::new(),
            waiting: 64 << 20,
            joined: None,
        }
    }
}

/// Items of one frame of the journal.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Which log: logs or traces. Others are passed over.
    pub signal: Signal,
    /// Whose.
    pub tenant: &'a Tenant,
    /// The frame's place.
    pub offset: u64,
    /// Which of the frame's items.
    pub items: Range<u32>,
    /// Whether the frame has no more.
    pub is_whole: bool,
    /// Whether stitching itself made the frame.
    pub is_derived: bool,
    /// The whole frame's plain bytes.
    pub plain: &'a [u8],
}

/// How far a log was read: everything before this item of this frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Reached {
    /// The frame.
    pub offset: u64,
    /// The item in it.
    pub item: u32,
}

/// What the engine counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records of Cloudflare and Kong, and received spans that name a request of theirs, that were taken in.
    pub facts: u64,
    /// Copies of records that were there already.
    pub copies: u64,
    /// Records for which a request had no room: a key that somebody forges.
    pub crowded: u64,
    /// Spans told.
    pub told: u64,
    /// Spans told again because more is known.
    pub revised: u64,
    /// Spans taken back.
    pub withdrawn: u64,
    /// Frames that could not be read to their end.
    pub unreadable: u64,
}

/// Bytes of log records that count as an entry in memory.
const ENTRY: usize = 256;

/// The engine.
#[derive(Debug)]
pub struct Engine {
    book: Book,
    options: Options,
    work: Work,
    outbox: Outbox,
    joined: Joined,
    tally: Tally,
    hops: correlation::Counts,
    habits: Habits,
    counts: Counts,
    /// When the last turn was.
    turned: UnixNanos,
}

impl Engine {
    /// Opens or creates the join store in `folder`.
    ///
    /// # Errors
    /// The folder cannot be used, or was written by another version.
    pub fn open(folder: &Path, options: Options) -> Result<Self, BookError> {
        let reach = Reach { hot: options.window, cold: options.remember };
        let book = Book::open(folder, reach)?;
        let (work, outbox, joined) = (Work::load(&book)?, Outbox::load(&book)?, Joined::load(&book)?);
        let tally = Tally::load(&book, options.metrics.clone(), &options.instance)?;
        let hops = hops::load(&book)?;
        let (habits, counts, turned) = (Habits::default(), Counts::default(), UnixNanos(0));
        Ok(Self { book, options, work, outbox, joined, tally, hops, habits, counts, turned })
    }

    /// As `open`; a store that is damaged or of another version is set aside, beside its folder, and a new one is begun. Answers what was
    /// wrong with the old one. What the journal still holds and was not read yet is stitched all the same.
    ///
    /// # Errors
    /// The folder cannot be used at all.
    pub fn open_or_begin(
        folder: &Path,
        options: Options,
        now: UnixNanos,
    ) -> Result<(Self, Option<String>), BookError> {
        // The store's library is not proof against every damage.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open(folder, options.clone())));
        let wrong = match opened {
            Ok(Ok(engine)) => return Ok((engine, None)),
            Ok(Err(error)) if !error.is_of_content() => return Err(error),
            Ok(Err(error)) => with_causes(&error),
            Err(_) => "the join store's files cannot be decoded".to_owned(),
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = folder.with_file_name(format!("{name}-aside-{}", now.millis()));
        std::fs::rename(folder, &aside).map_err(BookError::from)?;
        let wrong = format!("{wrong}; it was set aside as {}", aside.display());
        Ok((Self::open(folder, options)?, Some(wrong)))
    }

    /// How far a log was read, what is not in a transaction yet included.
    pub fn reached(&self, signal: Signal) -> Reached {
        self.work.reached(signal)
    }

    /// How far nothing of a log is needed any more: as `reached`, but for log records that are to be told joined.
    pub fn settled(&self, signal: Signal) -> Reached {
        let reached = self.reached(signal);
        match self.joined.first().filter(|_| signal == Signal::Logs) {
            Some(first) => reached.min(Reached { offset: first, item: 0 }),
            None => reached,
        }
    }

    /// A log that begins anew at `offset`: where it was read to before means nothing any more.
    pub fn restart(&mut self, signal: Signal, offset: u64) {
        self.work.reach(signal, Reached { offset, item: 0 });
    }

    /// What was counted since it was opened.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What metrics hold and have done: series, observations that went to the series of all others, records too old or too far ahead.
    pub fn metrics(&self) -> (u64, u64, u64) {
        self.tally.counts()
    }

    /// How much is waiting for the next turn: clusters, keys and traces in memory, and of log records so many as take the same room, about.
    pub fn pending(&self) -> usize {
        self.work.len() + self.joined.bytes() / ENTRY
    }

    /// Bytes that the join store takes on disk and, about, in memory.
    ///
    /// # Errors
    /// The disk cannot be asked.
    pub fn size(&self) -> Result<(u64, u64), BookError> {
        Ok((self.book.disk()?, self.book.memory()))
    }

    /// Takes in items of a frame; those that were taken in before are passed over.
    ///
    /// # Errors
    /// The join store cannot be read.
    pub fn feed(&mut self, piece: &Piece<'_>, now: UnixNanos) -> Result<(), BookError> {
        let reached = self.work.reached(piece.signal);
        let end = Reached { offset: piece.offset, item: piece.items.end };
        if end <= reached {
            return Ok(());
        }
        let first = if reached.offset == piece.offset {
            reached.item.max(piece.items.start)
        } else {
            piece.items.start
        };
        if !piece.is_derived {
            let tenant = self.work.tenant(piece.tenant);
            let mut trouble = None;
            let read = match piece.signal {
                Signal::Logs => self.logs(tenant, piece, first, now, &mut trouble),
                Signal::Traces => self.spans(tenant, piece, first, now, &mut trouble),
                Signal::Metrics => Ok(()),
            };
            if let Some(error) = trouble {
                return Err(error);
            }
            // What intake let through is read here; what is not was counted there.
            self.counts.unreadable += u64::from(read.is_err());
        }
        let end = if piece.is_whole { Reached { offset: piece.offset + 1, item: 0 } } else { end };
        self.work.reach(piece.signal, end);
        Ok(())
    }

    fn logs(
        &mut self,
        tenant: u32,
        piece: &Piece<'_>,
        first: u32,
        now: UnixNanos,
        trouble: &mut Option<BookError>,
    ) -> Result<(), WireError> {
        let joins = self.options.joined.is_some_and(|since| piece.offset >= since);
        let (mut reader, mut attributes) = (attribute::Reader::default(), Vec::new());
        let (mut index, mut walk, mut unread) = (0, Walk::default(), None);
        let walked = wire::otlp::logs::each_record(piece.plain, |resource, scope, record| {
            let at = index;
            index += 1;
            if at < first || at >= piece.items.end || trouble.is_some() {
                return Ok(());
            }
            let is_counted = self.tally.of(tenant).counts_event(record.event_name);
            let is_edge_log = is_edge_log(record.event_name);
            if !is_counted && !is_edge_log {
                return Ok(());
            }
            // A record that cannot be read to its end takes no others with it.
            if let Err(error) = reader.read(record.raw, &mut attributes) {
                unread = Some(error);
                attributes.clear();
            }
            let mut fact = crate::read::fact(&record, &attributes);
            if let Some(Fact::Kong(kong)) = &mut fact {
                let Options { kong_spans, hold, .. } = self.options;
                let hold = self.habits.hold(kong_spans, hold, tenant, &kong.service, now);
                // Who sends records of his own may say that they were observed in a hundred years.
                kong.due = UnixNanos(kong.due).min(now).plus(hold).0;
            }
            let wait = fact.as_ref().map(Wait::of).unwrap_or_default();
            let time = if record.time == 0 { record.observed } else { record.time };
            let row = Row { offset: piece.offset, index: at, time };
            let is_first = match self.is_first(tenant, fact, row, is_counted, &attributes, now) {
                Ok(is_first) => is_first,
                Err(error) => {
                    *trouble = Some(error);
                    return Ok(());
                }
            };
            if is_first && is_counted {
                let counted = self.tally.of(tenant).record_of(&resource.resource, &record, &attributes, now);
                unread = unread.or(counted.err());
            }
            if is_first && is_edge_log && joins {
                self.joined.take(&mut walk, tenant, (resource, scope), &record, (row.offset, at), wait)?;
            }
            Ok(())
        });
        walked.and(unread.map_or(Ok(()), Err))
    }

    /// Takes a log record's fact in, and says whether the record is no copy of another: that has to be known of those that are counted.
    fn is_first(
        &mut self,
        tenant: u32,
        fact: Option<Fact>,
        row: Row,
        is_counted: bool,
        attributes: &[Pair<'_>],
        now: UnixNanos,
    ) -> Result<bool, BookError> {
        if let Some(fact) = fact {
            if let Some(hop) = hops::hop(&fact) {
                self.hops.came(hop, now);
            }
            match self.absorb(tenant, fact, Some(row))? {
                Taken::New => return Ok(true),
                Taken::Copy => return Ok(false),
                Taken::NoRoom => {}
            }
        }
        match tally::identity(attributes).filter(|_| is_counted) {
            Some(identity) => self.work.counts(&self.book, tenant, identity),
            None => Ok(true),
        }
    }

    fn spans(
        &mut self,
        tenant: u32,
        piece: &Piece<'_>,
        first: u32,
        now: UnixNanos,
        trouble: &mut Option<BookError>,
    ) -> Result<(), WireError> {
        let mut index = 0;
        wire::otlp::traces::each_span(piece.plain, |resource, scope, span| {
            let at = index;
            index += 1;
            if at < first || at >= piece.items.end || trouble.is_some() {
                return Ok(());
            }
            self.tally.of(tenant).span(resource, scope, &span, now)?;
            if let Some(native) = crate::read::span(resource, scope, &span)? {
                *trouble = self.absorb(tenant, Fact::Native(native), None).err();
            }
            if let Some((trace, seen)) = crate::read::seen(resource, scope, &span)? {
                self.hops.came(hops::of(seen.maker), now);
                let remembered = self.work.see(&self.book, tenant, trace, seen);
                *trouble = trouble.take().or(remembered.err());
            }
            Ok(())
        })
    }

    fn absorb(&mut self, tenant: u32, fact: Fact, row: Option<Row>) -> Result<Taken, BookError> {
        let Absorbed { taken, left_out } = self.work.absorb(&self.book, tenant, fact, row)?;
        match taken {
            _ if left_out > 0 => self.counts.crowded += left_out,
            Taken::New => self.counts.facts += 1,
            Taken::Copy | Taken::NoRoom => self.counts.copies += 1,
        }
        Ok(taken)
    }

    /// Tells what has become of everything that came since the last turn, and of what its time has come for. Everything is on disk when
    /// this returns. What it answers has to be given to the journal, in order; see [`Self::given`].
    ///
    /// # Errors
    /// The join store cannot be read or written. Nothing is lost: the next turn tries again.
    pub fn turn(&mut self, now: UnixNanos) -> Result<(), BookError> {
        if self.book.turn(now)? {
            self.work.age();
        }
        if self.outbox.bytes() < self.options.waiting {
            self.work.call(now);
            self.joined.open(&self.book, now.0)?;
            while let Some((tenant, index)) = self.joined.lead() {
                self.work.call_for(&self.book, tenant, index)?;
                self.joined.led();
            }
            while let Some(id) = self.work.next_due() {
                if let Err(error) = self.tell(id, now) {
                    self.work.put_off(id);
                    return Err(error);
                }
            }
            let work = &self.work;
            self.outbox.number(|tenant| work.name(tenant));
            self.joined.tell(&mut self.outbox, |tenant| work.name(tenant));
            for (tenant, body) in self.tally.tell(now) {
                self.outbox.push(Signal::Metrics, work.name(tenant), false, body.points, &body.bytes);
            }
        }
        self.hops.forget(now);
        self.habits.forget(now);
        self.turned = now;
        self.commit(now)
    }

    /// Makes everything true. On an error everything is still here.
    fn commit(&mut self, now: UnixNanos) -> Result<(), BookError> {
        let mut changes = self.book.changes();
        self.work.write(&self.book, &mut changes, now)?;
        self.outbox.write(&self.book, &mut changes);
        self.joined.write(&self.book, &mut changes)?;
        self.tally.write(&self.book, &mut changes);
        hops::write(&self.hops, &self.book, &mut changes);
        if !changes.is_empty() {
            changes.commit()?;
        }
        self.work.written(now);
        self.outbox.written();
        self.joined.written();
        self.tally.written();
        self.hops.kept();
        Ok(())
    }

    /// The derived batches that the journal may not have yet, in order. The first turn after a restart may answer some that it has:
    /// their numbers tell.
    ///
    /// # Errors
    /// The join store cannot be read.
    pub fn outgoing(&self, signal: Signal, limit: usize) -> Result<Vec<Outgoing>, BookError> {
        self.outbox.outgoing(&self.book, signal, limit)
    }

    /// The journal has everything of a log up to this number: the next turn forgets it.
    pub fn given(&mut self, signal: Signal, number: u64) {
        self.outbox.given(signal, number);
    }
}
