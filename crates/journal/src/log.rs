//! One signal's log: what its threads and handles share, and the handle itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use model::{Batch, Clock, Signal};
use tokio::sync::watch;

use crate::append::{Appending, Stage};
use crate::budget::Budget;
use crate::checkpoint::Checkpoints;
use crate::cold::Request;
use crate::cursor::Cell;
use crate::keeper::Bell;
use crate::options::Options;
use crate::read::{Hot, Reader};
use crate::segment::Table;
use crate::vfs::{Vfs, VfsFile};
use crate::{AppendError, Offset};

/// What readers may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visible {
    /// The last number; 0 when there is none.
    pub(crate) last: u64,
    pub(crate) closed: bool,
}

/// Everything of one log. Locks are taken in the order of the fields, never the other way round, and never held
/// across a sync, except `checkpoints`, whose purpose it is.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) signal: Signal,
    pub(crate) folder: PathBuf,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) budget: Arc<Budget>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) low_space: AtomicBool,
    /// Numbers below this are covered by the stored floor.
    pub(crate) reserved: AtomicU64,
    /// The first number that this process may give.
    pub(crate) begun_at: u64,
    pub(crate) checkpoints: Mutex<Checkpoints>,
    pub(crate) cursors: Mutex<BTreeMap<Arc<str>, Arc<Cell>>>,
    pub(crate) stage: Mutex<Stage>,
    pub(crate) work: Condvar,
    pub(crate) table: Mutex<Table>,
    /// The file being written to, in the modes that show frames before they are durable.
    pub(crate) unsynced: Mutex<Option<Arc<dyn VfsFile>>>,
    /// A sync of that file failed outside the committer, which has yet to leave it.
    pub(crate) poisoned: AtomicBool,
    pub(crate) hot: Mutex<Hot>,
    pub(crate) visible: watch::Sender<Visible>,
    pub(crate) cold: mpsc::Sender<Request>,
}

/// Locks whatever a panicking thread may have left: every structure here is whole between two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn visible(&self) -> Visible {
        *self.visible.borrow()
    }

    /// Stops admission; the committer finishes what is staged and ends.
    pub(crate) fn stop(&self) {
        lock(&self.stage).closing = true;
        self.work.notify_all();
    }

    /// Makes everything visible durable, before a cursor says that it was read: a cursor never leads what is on disk. In
    /// `sync` there is nothing to do.
    pub(crate) fn sync_visible(&self) -> std::io::Result<()> {
        let file = lock(&self.unsynced).clone();
        let result = file.map_or(Ok(()), |file| file.sync());
        if result.is_err() {
            *lock(&self.unsynced) = None;
            self.poisoned.store(true, Ordering::Relaxed);
        }
        result
    }

    pub(crate) fn is_short_of_space(&self) -> bool {
        self.low_space.load(Ordering::Relaxed)
    }
}

/// A handle on one signal's log; clones share it.
#[derive(Debug, Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

impl Log {
    /// Which signal it holds.
    pub fn signal(&self) -> Signal {
        self.shared.signal
    }

    /// Appends a batch. The frame has its place when this returns; the future resolves when the frame is as durable as the
    /// settings say, or after 4 s with `Stalled`. Dropping the future takes nothing back.
    pub fn append(&self, batch: &Batch) -> Appending {
        self.append_derived(batch, 0)
    }

    /// Appends a batch that was derived from others, under its producer's own number (from 1 on, rising).
    pub fn append_derived(&self, batch: &Batch, number: u64) -> Appending {
        self.shared.append(batch, number)
    }

    /// The highest number of a derived batch in this log, 0 when there was none.
    pub fn last_derived(&self) -> u64 {
        lock(&self.shared.table).derived
    }

    /// Reads on from `from`, every frame once, in order. Sinks read through [`crate::Cursor::reader`].
    pub fn reader(&self, from: Offset) -> Reader {
        Reader::new(Arc::clone(&self.shared), from, Vec::new())
    }

    /// The oldest offset that is still kept; the next one to be written when nothing is.
    pub fn first(&self) -> Offset {
        let last = self.shared.visible().last;
        let table = lock(&self.shared.table);
        Offset(table.segments.front().map_or(last + 1, |segment| segment.identity.first.min(last + 1)))
    }

    /// The last offset that readers may see; 0 when there is none.
    pub fn durable(&self) -> Offset {
        Offset(self.shared.visible().last)
    }

    /// Waits until an offset above `offset` is visible; the journal's end is an error.
    pub async fn wait_past(&self, offset: Offset) -> Result<Offset, crate::ReadError> {
        let mut visible = self.shared.visible.subscribe();
        let seen = visible.wait_for(|now| now.last > offset.0 || now.closed).await;
        match seen.map(|now| *now) {
            Ok(now) if now.last > offset.0 => Ok(Offset(now.last)),
            _ => Err(crate::ReadError::Closed),
        }
    }

    /// Whether appends are refused now, and why. Costs no I/O.
    pub fn refuses(&self) -> Option<AppendError> {
        self.shared.refuses()
    }
}
