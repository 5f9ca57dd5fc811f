//! Rows that are in memory only: gathered from parcels, searchable at once, written to files range by range. What is here is
//! still held by the journal and is rebuilt from it after a restart.
//!
//! A range always begins where the one before it ended, and ends with a whole frame. Once its end is recorded with the
//! courier (`open`), exactly this range is written next, also after a restart.

use std::sync::Arc;

use model::UnixNanos;
use pipeline::{Lease, Resume, Settler};
use rows::Chunk;

use crate::key::Span;

/// The unsettled rows of one signal.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) settler: Option<Settler>,
    chunks: Vec<Held>,
    bytes: u64,
    rows: u64,
    generation: u32,
    /// The first offset that is not settled.
    next: u64,
    /// Everything below this place has been gathered: an offset and an item number in it.
    seen: (u64, u32),
    /// The last offset up to which all frames were gathered whole.
    whole: u64,
    /// The end of a range that is recorded as begun.
    open: Option<u64>,
    /// The end of a range whose files are written and which is not settled yet.
    written: Option<u64>,
    /// Rows up to this offset are in files already, though the journal gives them again.
    stored_through: u64,
}

#[derive(Debug)]
struct Held {
    chunk: Arc<Chunk>,
    /// When it came.
    since: UnixNanos,
    _lease: Lease,
}

/// A range to be written.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) span: Span,
    pub(crate) chunks: Vec<Arc<Chunk>>,
    /// Whether its end is recorded with the courier already.
    pub(crate) begun: bool,
}

/// One frame's items on their way in.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) lease: Lease,
    /// The item number behind the last one in it.
    pub(crate) end: u32,
    /// Whether the frame has no more.
    pub(crate) whole: bool,
}

impl Pending {
    /// Starts at what the courier says, for a journal of `generation`, when rows up to `stored_through` are in files.
    pub(crate) fn attach(&mut self, resume: Resume, settler: Settler, generation: u32, stored_through: u64) {
        *self = Self {
            settler: Some(settler),
            generation,
            next: resume.next.0,
            seen: (resume.next.0, 0),
            whole: resume.next.0.saturating_sub(1),
            open: resume.open.map(|(_, last)| last.0),
            stored_through,
            ..Self::default()
        };
    }

    /// The number of the first item of frame `offset` that is still to be gathered; `None` when all below `end` came before,
    /// in an attempt that was cancelled or went wrong after it.
    pub(crate) fn wants(&self, offset: u64, end: u32) -> Option<u32> {
        let (seen, items) = self.seen;
        match offset.cmp(&seen) {
            std::cmp::Ordering::Greater => Some(0),
            std::cmp::Ordering::Equal if end > items => Some(items),
            _ => None,
        }
    }

    /// Takes one frame's items in. They must be wanted.
    pub(crate) fn gather(&mut self, arrival: Arrival, now: UnixNanos) {
        let offset = arrival.chunk.frame().offset;
        // The courier has passed what lies between: it was filtered, skipped or lost, and is nobody's any more.
        self.whole = self.whole.max(if arrival.whole { offset } else { offset.saturating_sub(1) });
        self.seen = (offset, arrival.end);
        if offset > self.stored_through && !arrival.chunk.entries().is_empty() {
            self.bytes += arrival.chunk.bytes() as u64;
            self.rows += arrival.chunk.entries().len() as u64;
            self.chunks.push(Held { chunk: arrival.chunk, since: now, _lease: arrival.lease });
        }
    }

    /// Where a range that can be written now ends.
    fn end(&self) -> Option<u64> {
        let last = match self.open {
            // Frames beyond its end can only come after all of it.
            Some(open) => (self.whole >= open || self.seen.0 > open).then_some(open)?,
            None => self.whole,
        };
        (last >= self.next && self.written.is_none()).then_some(last)
    }

    /// Whether there is a range that can be written now.
    pub(crate) fn is_ready(&self) -> bool {
        self.end().is_some()
    }

    /// Whether the next range is recorded as begun.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The range that can be written now.
    pub(crate) fn range(&self) -> Option<Range> {
        let last = self.end()?;
        let chunks = self.chunks.iter().map(|held| &held.chunk);
        Some(Range {
            span: Span { generation: self.generation, first: self.next, last },
            chunks: chunks.filter(|chunk| chunk.frame().offset <= last).cloned().collect(),
            begun: self.open.is_some(),
        })
    }

    /// The end of the range is recorded with the courier.
    pub(crate) fn begin(&mut self, last: u64) {
        self.open = Some(last);
    }

    /// The range up to `last` is in files: its rows leave memory.
    pub(crate) fn publish(&mut self, last: u64) {
        self.chunks.retain(|held| held.chunk.frame().offset > last);
        self.bytes = self.chunks.iter().map(|held| held.chunk.bytes() as u64).sum();
        self.rows = self.chunks.iter().map(|held| held.chunk.entries().len() as u64).sum();
        self.written = Some(last);
    }

    /// The end of a range that is in files and has yet to be settled.
    pub(crate) fn written(&self) -> Option<u64> {
        self.written
    }

    /// The range up to `last` is settled.
    pub(crate) fn settle(&mut self, last: u64) {
        self.next = last + 1;
        self.open = None;
        self.written = None;
    }

    /// The unsettled rows, for reading.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().map(|held| &held.chunk)
    }

    /// Bytes that the rows take in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows in memory.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// When the oldest row came.
    pub(crate) fn since(&self) -> Option<UnixNanos> {
        self.chunks.first().map(|held| held.since)
    }
}
