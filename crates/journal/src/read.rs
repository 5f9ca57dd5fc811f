//! Reading: a frame comes from the hot tail when it is recent, else from the log's reader thread.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use model::{ContentHash, Layout, Origin, Signal, UnixNanos};
use tokio::sync::{oneshot, watch};
use wire::Coding;

use crate::books::{self, Census};
use crate::cold::{Batch, Hint, Request};
use crate::cursor::Cell;
use crate::log::{Shared, Visible, lock};
use crate::{Offset, ReadError};

/// One batch as read from the journal.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Where it stands.
    pub offset: Offset,
    /// Who sent it.
    pub origin: Origin,
    /// Which log it is of.
    pub signal: Signal,
    /// How the plain bytes are laid out.
    pub layout: Layout,
    /// How `body` is compressed.
    pub coding: Coding,
    /// Length of the plain bytes.
    pub plain_len: u32,
    /// What the ledger counts for it.
    pub items: u32,
    /// Hash of the plain body as received.
    pub content_hash: ContentHash,
    /// When the gateway had read it.
    pub received: UnixNanos,
    /// The producer's number of a derived batch; 0 for what clients sent.
    pub derived: u64,
    /// The bytes, compressed by `coding`.
    pub body: Bytes,
    /// The plain bytes once somebody needed them; all readers of the hot tail share it.
    pub inflated: Arc<OnceLock<Bytes>>,
}

/// What a reader meets.
#[derive(Debug, Clone)]
pub enum Read {
    /// A frame.
    Frame(Frame),
    /// Frames that nobody can read any more: whoever reads for a sink books them as dropped.
    Lost {
        /// First offset of the range.
        first: Offset,
        /// Last offset of the range.
        last: Offset,
        /// Items lost; 0 for numbers that never held anything acknowledged.
        items: u64,
        /// The same by origin.
        origins: Census,
        /// Why, as it is booked: `damaged`, `skipped` or `expired`.
        reason: &'static str,
    },
}

impl Read {
    pub(crate) fn lost(first: u64, last: u64, origins: Census, reason: &'static str) -> Self {
        Self::Lost {
            first: Offset(first),
            last: Offset(last),
            items: books::total(&origins),
            origins,
            reason,
        }
    }

    /// The last offset that it covers.
    pub fn last(&self) -> Offset {
        match self {
            Self::Frame(frame) => frame.offset,
            Self::Lost { last, .. } => *last,
        }
    }
}

/// Recent frames in memory, within a budget; contiguous.
#[derive(Debug)]
pub(crate) struct Hot {
    frames: VecDeque<Frame>,
    bytes: u64,
    limit: u64,
}

impl Hot {
    pub(crate) fn new(limit: u64) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, limit }
    }

    /// A frame's weight counts its inflated copy from the beginning, since any reader may make one.
    fn weight(frame: &Frame) -> u64 {
        let inflated = if frame.coding == Coding::Plain { 0 } else { u64::from(frame.plain_len) };
        frame.body.len() as u64 + inflated + size_of::<Frame>() as u64
    }

    pub(crate) fn push(&mut self, frame: Frame) {
        self.bytes += Self::weight(&frame);
        self.frames.push_back(frame);
        while self.bytes > self.limit
            && let Some(oldest) = self.frames.pop_front()
        {
            self.bytes -= Self::weight(&oldest);
        }
    }

    fn get(&self, seq: u64) -> Option<&Frame> {
        let first = self.frames.front()?.offset.0;
        self.frames.get(usize::try_from(seq.checked_sub(first)?).ok()?)
    }
}

/// Reads one log in order. Each offset is met once, as a frame or within a lost range.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    visible: watch::Receiver<Visible>,
    next: u64,
    /// The last number that it reads.
    until: u64,
    /// Ranges to pass over, ascending: a cursor's finished ones.
    finished: VecDeque<(u64, u64)>,
    /// The cursor whose skips it follows.
    cell: Option<Arc<Cell>>,
    fetched: VecDeque<Read>,
    pending: Option<oneshot::Receiver<Batch>>,
    hint: Option<Hint>,
    /// Items of all frames before `next`, when a frame told.
    items_end: Option<u64>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, from: Offset, finished: Vec<(u64, u64)>) -> Self {
        let visible = shared.visible.subscribe();
        let mut reader = Self {
            shared,
            visible,
            next: from.0.max(1),
            until: u64::MAX,
            finished: finished.into(),
            cell: None,
            fetched: VecDeque::new(),
            pending: None,
            hint: None,
            items_end: None,
        };
        reader.pass_finished();
        reader
    }

    pub(crate) fn following(mut self, cell: Arc<Cell>) -> Self {
        self.cell = Some(cell);
        self
    }

    pub(crate) fn until(mut self, last: u64) -> Self {
        self.until = last;
        self
    }

    /// The next offset that it will meet.
    pub fn position(&self) -> Offset {
        Offset(self.next)
    }

    /// The next frame or loss, once there is one. Cancelling loses nothing. After the journal was closed what is visible
    /// can still be read.
    pub async fn next(&mut self) -> Result<Read, ReadError> {
        loop {
            if let Some(read) = self.try_next()? {
                return Ok(read);
            }
            if let Some(pending) = &mut self.pending {
                let batch = pending.await;
                self.pending = None;
                self.take(batch.map_err(|_| ReadError::Closed)?);
                continue;
            }
            let next = self.next;
            let seen = self.visible.wait_for(|now| now.last >= next || now.closed).await;
            match seen.map(|now| *now) {
                Ok(now) if now.last >= next => {}
                _ => return Err(ReadError::Closed),
            }
        }
    }

    /// The next frame or loss, when it is at hand: visible and in memory. `None` may also mean that the disk was asked;
    /// a later call has the answer.
    pub fn try_next(&mut self) -> Result<Option<Read>, ReadError> {
        loop {
            let skip_to = self.cell.as_ref().map_or(0, |cell| cell.skip_to());
            if skip_to > self.next && self.fetched.iter().any(|read| matches!(read, Read::Frame(_))) {
                // Fetched before the skip was asked for: counted anew, not delivered.
                self.fetched.clear();
                self.items_end = None;
            }
            if let Some(read) = self.pop_fetched() {
                return Ok(Some(read));
            }
            if let Some(pending) = &mut self.pending {
                match pending.try_recv() {
                    Ok(batch) => {
                        self.pending = None;
                        self.take(batch);
                        continue;
                    }
                    Err(oneshot::error::TryRecvError::Empty) => return Ok(None),
                    Err(oneshot::error::TryRecvError::Closed) => return Err(ReadError::Closed),
                }
            }
            if self.next > self.until {
                return Err(ReadError::Ended);
            }
            let visible = *self.visible.borrow_and_update();
            if self.next > visible.last {
                return if visible.closed { Err(ReadError::Closed) } else { Ok(None) };
            }
            let hot =
                if skip_to <= self.next { lock(&self.shared.hot).get(self.next).cloned() } else { None };
            if let Some(frame) = hot {
                self.next += 1;
                self.items_end = self.items_end.map(|items| items + u64::from(frame.items));
                self.pass_finished();
                return Ok(Some(Read::Frame(frame)));
            }
            let last = visible.last.min(self.until);
            let until = self.finished.front().map_or(last, |(first, _)| first - 1).min(last);
            let (answer, pending) = oneshot::channel();
            let request = Request {
                from: self.next,
                until,
                skip_to,
                hint: self.hint,
                items_end: self.items_end,
                answer,
            };
            self.shared.cold.send(request).map_err(|_| ReadError::Closed)?;
            self.pending = Some(pending);
        }
    }

    fn pass_finished(&mut self) {
        while let Some((first, last)) = self.finished.front().copied()
            && self.next >= first
        {
            self.next = self.next.max(last + 1);
            self.items_end = None;
            self.finished.pop_front();
        }
    }

    fn pop_fetched(&mut self) -> Option<Read> {
        let read = self.fetched.pop_front()?;
        self.next = read.last().0 + 1;
        self.pass_finished();
        Some(read)
    }

    fn take(&mut self, batch: Batch) {
        self.fetched = batch.reads.into();
        self.hint = batch.hint;
        self.items_end = batch.items_end;
    }
}
