//! Admission and staging: a frame gets its number, its place in a segment and its bytes under one short lock.
//!
//! The stage holds chunks, each a run of whole frames for one segment. Where the next frame does not fit, a new segment
//! is planned here (its epoch salts the frames) and begun later, by the committer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use model::Batch;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::frame::{self, Place};
use crate::log::{Shared, lock};
use crate::options::Durability;
use crate::read::Frame;
use crate::segment::FRAMES_AT;
use crate::{AppendError, Offset};

/// Nothing is admitted while something has waited longer for the disk.
const ADMIT_WITHIN: Duration = Duration::from_secs(3);
/// Who has waited longer is refused.
const WAIT_WITHIN: Duration = Duration::from_secs(4);
/// Buffers up to this size are used again.
const BUFFER_KEPT: usize = 4 << 20;

/// A segment as planned: the committer adds an ordinal when it begins it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) items_before: u64,
    /// What was taken from the budget for it.
    pub(crate) bytes: u64,
}

impl Target {
    pub(crate) fn new(first: u64, items_before: u64, bytes: u64) -> Self {
        Self { epoch: fastrand::u64(..), first, items_before, bytes }
    }
}

/// A frame that waits for the disk.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) frame: Frame,
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// A run of frames for one segment.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) target: Target,
    /// The segment is yet to be begun.
    pub(crate) begins: bool,
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<Staged>,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) seq: u64,
    pub(crate) answer: oneshot::Sender<Result<Offset, AppendError>>,
}

/// What waits for the committer.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) next: u64,
    /// Items of all frames before `next`.
    pub(crate) items: u64,
    /// The last number known durable (or visible, in the weaker modes).
    pub(crate) durable: u64,
    pub(crate) target: Option<Target>,
    /// Where the next frame goes in `target`.
    pub(crate) at: u64,
    pub(crate) chunks: VecDeque<Chunk>,
    pub(crate) waiters: VecDeque<Waiter>,
    /// Bytes in `chunks` and with the committer.
    pub(crate) bytes: u64,
    pub(crate) staged_since: Option<Instant>,
    pub(crate) in_flight_since: Option<Instant>,
    /// Why there is no segment to write to; the next append asks the committer to try again.
    pub(crate) broken: Option<AppendError>,
    pub(crate) probe: bool,
    pub(crate) closing: bool,
    pub(crate) buffers: Vec<Vec<u8>>,
}

impl Stage {
    pub(crate) fn new(next: u64, items: u64, durable: u64) -> Self {
        Self {
            next,
            items,
            durable,
            target: None,
            at: FRAMES_AT,
            chunks: VecDeque::new(),
            waiters: VecDeque::new(),
            bytes: 0,
            staged_since: None,
            in_flight_since: None,
            broken: None,
            probe: false,
            closing: false,
            buffers: Vec::new(),
        }
    }

    /// Takes a buffer back.
    pub(crate) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_KEPT && self.buffers.len() < 2 {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    fn has_stalled(&self) -> bool {
        let oldest = self.in_flight_since.or(self.staged_since);
        oldest.is_some_and(|since| since.elapsed() > ADMIT_WITHIN)
    }
}

impl Shared {
    pub(crate) fn append(&self, batch: &Batch, derived: u64) -> Appending {
        match self.stage(batch, derived) {
            Ok(state) => Appending(state),
            Err(error) => Appending(State::Ready(Some(Err(error)))),
        }
    }

    fn stage(&self, batch: &Batch, derived: u64) -> Result<State, AppendError> {
        if batch.signal != self.signal {
            return Err(AppendError::WrongSignal { log: self.signal, batch: batch.signal });
        }
        let length = frame::length_of(batch) as u64;
        let limit = self.budget.largest_frame();
        if length + FRAMES_AT > limit {
            return Err(AppendError::TooLarge { bytes: length, limit });
        }
        let plain_sum = crc32c::crc32c(&batch.body);
        let mut stage = lock(&self.stage);
        self.admit(&mut stage, length)?;
        let segment_bytes = self.options.segment_bytes;
        let fits = stage.at + length <= segment_bytes || stage.at == FRAMES_AT;
        let target = match stage.target {
            Some(target) if fits => target,
            _ => self.plan(&mut stage, length)?,
        };
        if stage.chunks.is_empty() {
            let bytes = stage.buffers.pop().unwrap_or_default();
            let at = stage.at;
            stage.chunks.push_back(Chunk { target, begins: false, at, bytes, frames: Vec::new() });
        }
        let (seq, at, place) = (stage.next, stage.at, place(&stage, target, derived));
        let chunk = stage.chunks.back_mut().expect("pushed when there was none");
        frame::encode(&mut chunk.bytes, batch, plain_sum, place);
        chunk.frames.push(Staged { frame: Frame::of(batch, Offset(seq), derived), at, length });
        stage.next += 1;
        stage.items += u64::from(batch.items);
        stage.at += length;
        stage.bytes += length;
        if stage.staged_since.is_none() {
            stage.staged_since = Some(Instant::now());
        }
        let state = if self.options.durability == Durability::Memory {
            State::Ready(Some(Ok(Offset(seq))))
        } else {
            let (answer, waiting) = oneshot::channel();
            stage.waiters.push_back(Waiter { seq, answer });
            State::Waiting { waiting, deadline: None }
        };
        drop(stage);
        self.work.notify_one();
        Ok(state)
    }

    fn admit(&self, stage: &mut Stage, length: u64) -> Result<(), AppendError> {
        if stage.closing {
            return Err(AppendError::Closed);
        }
        if let Some(error) = &stage.broken {
            let error = error.clone();
            stage.probe = true;
            self.work.notify_one();
            return Err(error);
        }
        if self.is_short_of_space() {
            self.bell.ring();
            return Err(self.no_space());
        }
        let crowded = stage.bytes > 0 && stage.bytes + length > self.options.staging_bytes;
        if crowded || stage.has_stalled() {
            return Err(AppendError::Stalled);
        }
        Ok(())
    }

    pub(crate) fn no_space(&self) -> AppendError {
        let what = format!("less than {} bytes available on the file system", self.options.low_space);
        AppendError::Full { what }
    }

    /// Whether an append would be refused now, without asking for anything.
    pub(crate) fn refuses(&self) -> Option<AppendError> {
        let stage = lock(&self.stage);
        if stage.closing {
            return Some(AppendError::Closed);
        }
        if let Some(error) = &stage.broken {
            return Some(error.clone());
        }
        if self.is_short_of_space() {
            return Some(self.no_space());
        }
        stage.has_stalled().then_some(AppendError::Stalled)
    }

    /// Plans a segment for the next frame.
    fn plan(&self, stage: &mut Stage, length: u64) -> Result<Target, AppendError> {
        let bytes = self.options.segment_bytes.max(FRAMES_AT + length);
        if let Err(what) = self.budget.take(self.signal, bytes) {
            self.bell.ring();
            return Err(AppendError::Full { what });
        }
        let target = Target::new(stage.next, stage.items, bytes);
        stage.target = Some(target);
        stage.at = FRAMES_AT;
        let buffer = stage.buffers.pop().unwrap_or_default();
        let chunk = Chunk { target, begins: true, at: FRAMES_AT, bytes: buffer, frames: Vec::new() };
        stage.chunks.push_back(chunk);
        Ok(target)
    }
}

fn place(stage: &Stage, target: Target, derived: u64) -> Place {
    Place { epoch: target.epoch, seq: stage.next, durable: stage.durable, items_before: stage.items, derived }
}

impl Frame {
    fn of(batch: &Batch, offset: Offset, derived: u64) -> Self {
        Self {
            offset,
            origin: batch.origin.clone(),
            signal: batch.signal,
            layout: batch.layout,
            coding: batch.coding,
            plain_len: batch.plain_len,
            items: batch.items,
            content_hash: batch.content_hash,
            received: batch.received,
            derived,
            body: batch.body.clone(),
            inflated: Arc::new(OnceLock::new()),
        }
    }
}

/// An append on its way. Resolves to the frame's offset once it is acknowledged.
#[derive(Debug)]
#[must_use = "an append is acknowledged only when its future says so"]
pub struct Appending(State);

#[derive(Debug)]
enum State {
    Ready(Option<Result<Offset, AppendError>>),
    Waiting {
        waiting: oneshot::Receiver<Result<Offset, AppendError>>,
        /// Set at the first poll that has to wait.
        deadline: Option<Pin<Box<Sleep>>>,
    },
}

impl Future for Appending {
    type Output = Result<Offset, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().unwrap_or(Err(AppendError::Closed))),
            State::Waiting { waiting, deadline } => {
                if let Poll::Ready(answer) = Pin::new(waiting).poll(cx) {
                    return Poll::Ready(answer.unwrap_or(Err(AppendError::Closed)));
                }
                let deadline = deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(WAIT_WITHIN))); // waits for time: the promise to answer in 4 s
                deadline.as_mut().poll(cx).map(|()| Err(AppendError::Stalled))
            }
        }
    }
}
