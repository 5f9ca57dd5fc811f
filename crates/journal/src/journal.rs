//! The journal: three logs, their threads, one budget.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;

use model::{Clock, Signal, UnixNanos};
use tokio::sync::{oneshot, watch};

use crate::append::Stage;
use crate::budget::{Budget, Usage};
use crate::cold::{Cold, Request};
use crate::commit::Committer;
use crate::cursor::{self, Cursor, Errand, Start};
use crate::fork;
use crate::keeper::{self, Bell};
use crate::log::{Log, Shared, Visible, lock};
use crate::options::{OnFull, Options, Upkeep};
use crate::read::Hot;
use crate::recover::{self, Recovered, recover};
use crate::vfs::Vfs;
use crate::{CursorError, Ledger, Offset, OpenError};

/// What opening found, log by log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Traces, logs, metrics.
    pub logs: Vec<Recovered>,
}

/// A cursor whose sink is not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The sink's name.
    pub sink: Arc<str>,
    /// The log.
    pub signal: Signal,
    /// Its low-water mark.
    pub low: Offset,
    /// Since when it has been missed; zero while that is not noted yet.
    pub since: UnixNanos,
}

/// The durable log of all three signals. Clones share it; the last one that goes without [`Journal::close`] stops its threads
/// after what is staged is written.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    logs: [Log; 3],
    budget: Arc<Budget>,
    bell: Arc<Bell>,
    scribe: Mutex<Option<mpsc::Sender<Errand>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

type Guard = Arc<Box<dyn Send + Sync>>;

impl Journal {
    /// Opens the journal in `folder`, making it where it is missing. Damaged data never keeps it from opening; what was found is
    /// in the answer. Blocks while it reads what no checkpoint describes.
    #[allow(clippy::needless_pass_by_value, reason = "callers give their handles away")]
    pub fn open(
        vfs: Arc<dyn Vfs>,
        folder: PathBuf,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovery), OpenError> {
        let options = options.settled();
        let io = |source| OpenError::Io { path: folder.clone(), source };
        vfs.create_folder(&folder).map_err(io)?;
        let guard: Guard = Arc::new(take_lock(&*vfs, &folder)?);
        let budget = Arc::new(Budget::new(options.max_bytes, options.segment_bytes));
        let bell = Arc::new(Bell::default());
        let mut shared = Vec::new();
        let mut reports = Vec::new();
        let mut asked = Vec::new();
        for signal in Signal::ALL {
            let recovered = recover(&*vfs, &folder.join(signal.as_str()), signal, options.segment_bytes)?;
            reports.push(recovered.report.clone());
            let (log, requests) = build(&vfs, &folder, &options, &clock, &budget, &bell, recovered);
            shared.push(log);
            asked.push(requests);
        }
        let mut threads = Vec::new();
        for (log, requests) in shared.iter().zip(asked) {
            let signal = log.signal;
            let committer = Committer::new(Arc::clone(log));
            threads.push(spawn(format!("commit-{signal}"), &guard, move || committer.run()).map_err(io)?);
            let cold = Cold::new(Arc::clone(log));
            // The reader's thread writes nothing that another process could mind: it holds no lock and is not waited for.
            let builder = std::thread::Builder::new().name(format!("read-{signal}"));
            drop(builder.spawn(move || cold.run(&requests)).map_err(io)?);
        }
        let (scribe, errands) = mpsc::channel();
        threads.push(spawn("cursors".to_owned(), &guard, move || cursor::run(&errands)).map_err(io)?);
        if options.upkeep == Upkeep::Thread {
            let (logs, rung) = (shared.clone(), Arc::clone(&bell));
            threads.push(spawn("keeper".to_owned(), &guard, move || keeper::run(&logs, &rung)).map_err(io)?);
            bell.ring();
        }
        let logs = [0, 1, 2].map(|index: usize| Log { shared: Arc::clone(&shared[index]) });
        let inner =
            Inner { logs, budget, bell, scribe: Mutex::new(Some(scribe)), threads: Mutex::new(threads) };
        Ok((Self(Arc::new(inner)), Recovery { logs: reports }))
    }

    /// The log of one signal.
    pub fn log(&self, signal: Signal) -> &Log {
        &self.0.logs[signal as usize - 1]
    }

    /// Finds the cursor of a sink, or makes it at `start`; durable on return (blocks for two syncs when it is made). The sink
    /// counts as running from now on.
    pub fn cursor(&self, sink: &str, signal: Signal, start: Start) -> Result<Cursor, CursorError> {
        self.register(sink, signal, start, 0)
    }

    pub(crate) fn register(
        &self,
        name: &str,
        signal: Signal,
        start: Start,
        until: u64,
    ) -> Result<Cursor, CursorError> {
        let scribe = lock(&self.0.scribe).clone().ok_or(CursorError::Closed)?;
        Cursor::register(&self.log(signal).shared, name, start, until, scribe)
    }

    /// Says what happens to a sink's cursors when the budget is reached. Applies to cursors that exist.
    pub fn set_on_full(&self, sink: &str, on_full: OnFull) {
        for log in &self.0.logs {
            let cell = lock(&log.shared.cursors).get(sink).cloned();
            if let Some(cell) = cell {
                lock(&cell.kept).on_full = on_full;
            }
        }
    }

    /// Every book of every sink, and what was accepted. Reads a few frame headers where a cursor has moved.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        for log in &self.0.logs {
            let shared = &log.shared;
            let cells: Vec<_> = lock(&shared.cursors).values().cloned().collect();
            for cell in cells.iter().filter(|cell| cell.until == 0) {
                let last = lock(&cell.kept).state.replays.last;
                let mut sink = cell.ledger(shared);
                fork::add_running(&mut sink.replays, last, &cell.sink, &cells);
                ledger.sinks.push(sink);
            }
            for (origin, items) in &lock(&shared.table).accepted {
                ledger.accepted.insert((shared.signal, origin.clone()), *items);
            }
        }
        ledger
    }

    /// Cursors without a sink.
    pub fn orphans(&self) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for log in &self.0.logs {
            for cell in lock(&log.shared.cursors).values() {
                if !cell.registered.load(Ordering::Relaxed) {
                    let kept = lock(&cell.kept);
                    let (sink, signal) = (Arc::clone(&cell.sink), log.shared.signal);
                    orphans.push(Orphan { sink, signal, low: kept.state.low, since: kept.orphaned });
                }
            }
        }
        orphans
    }

    /// What it takes on disk.
    pub fn usage(&self) -> Usage {
        let spares =
            |log: &Log| lock(&log.shared.table).spares.len() as u64 * log.shared.options.segment_bytes;
        self.0.budget.usage(self.0.logs.iter().map(spares).sum())
    }

    /// One round of upkeep. With `Upkeep::Thread` it happens by itself.
    pub fn tend(&self) {
        for log in &self.0.logs {
            keeper::tend(&log.shared);
        }
    }

    /// Ends admission, writes what is staged, checkpoints, and stops the threads that write. What is visible can still be read.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.0);
        let (done, closed) = oneshot::channel();
        let closing = std::thread::Builder::new().name("journal-close".to_owned()).spawn(move || {
            inner.stop(true);
            let _ = done.send(());
        });
        if closing.is_ok() {
            let _ = closed.await;
        }
    }
}

impl Inner {
    fn stop(&self, checkpoint: bool) {
        for log in &self.logs {
            log.shared.stop();
        }
        self.bell.stop();
        if let Some(scribe) = lock(&self.scribe).take() {
            let _ = scribe.send(Errand::Stop);
        }
        let threads = std::mem::take(&mut *lock(&self.threads));
        if !checkpoint || threads.is_empty() {
            return;
        }
        for thread in threads {
            let _ = thread.join();
        }
        for log in &self.logs {
            let shared = &log.shared;
            let next = lock(&shared.stage).next;
            if let Err(error) = shared.write_checkpoint(next) {
                tracing::warn!(signal = %shared.signal, %error, "last checkpoint not written");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop(false);
        for log in &self.logs {
            let (answer, _) = oneshot::channel();
            let end = Request { from: 0, until: 0, skip_to: 0, hint: None, items_end: None, answer };
            let _ = log.shared.cold.send(end);
        }
    }
}

fn take_lock(vfs: &dyn Vfs, folder: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    let path = folder.join("lock");
    vfs.lock(&path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::WouldBlock {
            OpenError::Locked { path: path.clone() }
        } else {
            OpenError::Io { path: path.clone(), source }
        }
    })
}

/// Starts a thread that keeps the folder's lock until it ends.
fn spawn(
    name: String,
    guard: &Guard,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let guard = Arc::clone(guard);
    std::thread::Builder::new().name(name).spawn(move || {
        run();
        drop(guard);
    })
}

fn build(
    vfs: &Arc<dyn Vfs>,
    folder: &Path,
    options: &Options,
    clock: &Arc<dyn Clock>,
    budget: &Arc<Budget>,
    bell: &Arc<Bell>,
    recovered: recover::Log,
) -> (Arc<Shared>, mpsc::Receiver<Request>) {
    let recover::Log { table, next, visible, checkpoints, cursors, stale, report } = recovered;
    for segment in &table.segments {
        budget.count(report.signal, segment.bytes);
    }
    let items = table.items;
    let (cold, requests) = mpsc::channel();
    let shared = Arc::new(Shared {
        signal: report.signal,
        folder: folder.join(report.signal.as_str()),
        vfs: Arc::clone(vfs),
        clock: Arc::clone(clock),
        options: options.clone(),
        budget: Arc::clone(budget),
        bell: Arc::clone(bell),
        low_space: AtomicBool::new(false),
        reserved: AtomicU64::new(0),
        begun_at: next,
        checkpoints: Mutex::new(checkpoints),
        cursors: Mutex::new(cursors),
        stage: Mutex::new(Stage::new(next, items, visible)),
        work: Condvar::new(),
        table: Mutex::new(table),
        unsynced: Mutex::new(None),
        poisoned: AtomicBool::new(false),
        hot: Mutex::new(Hot::new(options.hot_bytes / 3)),
        visible: watch::Sender::new(Visible { last: visible, closed: false }),
        cold,
    });
    renew(&shared, &stale, next);
    (shared, requests)
}

/// Writes again what was read of cursors and checkpoint: it may have come from memory that the disk never got, and
/// from here on it decides what is recycled.
fn renew(shared: &Shared, stale: &[PathBuf], next: u64) {
    for cell in lock(&shared.cursors).values() {
        cell.renew(shared);
    }
    match shared.write_checkpoint(next) {
        Ok(()) => stale.iter().for_each(|path| keeper::recycle(shared, path)),
        Err(error) => tracing::warn!(signal = %shared.signal, %error, "checkpoint not renewed"),
    }
}
