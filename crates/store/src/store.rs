//! The store as a sink: takes parcels in, writes ranges, settles them; one background task looks after both and after the
//! files.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use model::{Failure, Signal, UnixNanos};
use object_store::path::Path;
use pipeline::{BoxFuture, Cut, Edges, Offset, Parcel, Receipt, Resume, Settler, Sink, SinkContext, Workers};
use tokio::sync::Notify;

use crate::files::Files;
use crate::index::{Index, Stored};
use crate::key::Key;
use crate::measures::Measures;
use crate::pending::Pending;
use crate::reader::Reader;
use crate::{Settings, StoreError, flush, gather, keep, merge, resume};

/// How often the background task looks whether a range has waited long enough.
const TICK: Duration = Duration::from_secs(1);
/// How often it looks after the files: merging, retention, files that were replaced.
const UPKEEP: Duration = Duration::from_secs(60);

/// The embedded store.
#[derive(Debug)]
pub struct Store {
    pub(crate) settings: Settings,
    context: SinkContext,
    pub(crate) files: Files,
    state: Mutex<State>,
    /// One range of a signal is written at a time.
    flushing: [tokio::sync::Mutex<()>; Signal::ALL.len()],
    writers: OnceLock<Result<Workers, String>>,
    upkeepers: OnceLock<Result<Workers, String>>,
    /// Wakes the background task: there is enough to write, or no memory for more.
    wake: Arc<Notify>,
    pressed: AtomicBool,
    closed: AtomicBool,
    watched: AtomicBool,
    pub(crate) measures: Measures,
    itself: Weak<Store>,
}

/// What readers see: rows in memory and files, always together.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) pending: [Pending; Signal::ALL.len()],
    pub(crate) index: Index,
    /// Files of a range that is being gathered again; not shown.
    open: [Vec<Stored>; Signal::ALL.len()],
    /// Files that merging could not read.
    unmergeable: HashSet<Path>,
    /// Files to delete before anything is written.
    stray: [Vec<Path>; Signal::ALL.len()],
}

impl Store {
    /// Opens the folder and lists what is in it. Starts nothing.
    ///
    /// # Errors
    /// The folder cannot be made or listed.
    pub async fn open(settings: Settings, context: SinkContext) -> Result<Arc<Self>, String> {
        let folder = settings.folder.clone().unwrap_or_else(|| context.folder.clone());
        let now = context.clock.now();
        let opened = context.workers.run(move || -> Result<_, String> {
            let shown = folder.display().to_string();
            let files =
                Files::open(&folder).map_err(|error| format!("folder {shown} cannot be opened: {error}"))?;
            let swept = files.sweep().map_err(|error| format!("folder {shown} cannot be listed: {error}"))?;
            let listed = files.list().map_err(|error| format!("folder {shown} cannot be listed: {error}"))?;
            let known = listed
                .into_iter()
                .filter_map(|object| Some(Stored { key: Key::parse(&object.location)?, size: object.size }));
            Ok((files, Index::load(known, now), swept))
        });
        let (files, index, swept) = opened.await.map_err(|gone| gone.to_string())??;
        if swept > 0 {
            tracing::debug!(sink = %context.name, files = swept, "unfinished files removed");
        }
        Ok(Arc::new_cyclic(|itself: &Weak<Self>| Self {
            measures: Measures::register(&context, itself.clone()),
            settings,
            context,
            files,
            state: Mutex::new(State { index, ..State::default() }),
            flushing: Default::default(),
            writers: OnceLock::new(),
            upkeepers: OnceLock::new(),
            wake: Arc::default(),
            pressed: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            watched: AtomicBool::new(true),
            itself: itself.clone(),
        }))
    }

    /// A handle for searching.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader::new(Arc::clone(self))
    }

    /// Leaves flushing and upkeep to whoever calls `flush` and `upkeep`.
    #[cfg(test)]
    pub(crate) fn unwatched(self: Arc<Self>) -> Arc<Self> {
        self.watched.store(false, Ordering::Relaxed);
        self
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half changed: each change is one push, swap or removal.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and settles what is gathered of `signal`, up to the last whole frame. Says whether there was anything.
    ///
    /// # Errors
    /// A file cannot be written, or the courier cannot record. Nothing is lost; the next call goes on where this one ended.
    pub(crate) async fn flush(&self, signal: Signal) -> Result<bool, StoreError> {
        let number = number(signal);
        let _turn = self.flushing[number].lock().await;
        let Some(settler) = self.state().pending[number].settler.clone() else { return Ok(false) };
        let written = self.state().pending[number].written();
        if let Some(last) = written {
            self.settle(signal, &settler, last).await?;
        }
        let Some(range) = self.state().pending[number].range() else { return Ok(written.is_some()) };
        let last = range.span.last;
        self.remove_stray(signal).await?;
        if !range.begun {
            settler.0.begin(Offset(last)).await.map_err(StoreError::new)?;
            self.state().pending[number].begin(last);
        }
        let files = self.files.clone();
        let new = self.writers()?.run(move || flush::write(&files, signal, &range)).await??;
        self.measures.wrote(&new);
        let left = self.publish(signal, last, new);
        self.delete(left).await?;
        self.settle(signal, &settler, last).await?;
        Ok(true)
    }

    /// Shows the new files in the place of the rows they hold. Answers what is left over of an earlier attempt.
    fn publish(&self, signal: Signal, last: u64, new: Vec<Stored>) -> Vec<Path> {
        let number = number(signal);
        let mut state = self.state();
        let earlier = std::mem::take(&mut state.open[number]);
        let mut left = Vec::new();
        for old in earlier {
            // The same range makes the same files, unless the journal lost part of it meanwhile; then what an earlier attempt
            // has of other hours is all there is of it.
            match new.iter().find(|file| file.key.partition == old.key.partition) {
                Some(file) if file.key != old.key => left.push(old.key.path()),
                Some(_) => {}
                None => state.index.add(old),
            }
        }
        for file in new {
            state.index.add(file);
        }
        state.pending[number].publish(last);
        left
    }

    async fn settle(&self, signal: Signal, settler: &Settler, last: u64) -> Result<(), StoreError> {
        settler.0.settle(Offset(last)).await.map_err(StoreError::new)?;
        self.state().pending[number(signal)].settle(last);
        Ok(())
    }

    async fn remove_stray(&self, signal: Signal) -> Result<(), StoreError> {
        let stray = self.state().stray[number(signal)].clone();
        self.delete(stray).await?;
        self.state().stray[number(signal)].clear();
        Ok(())
    }

    async fn delete(&self, paths: Vec<Path>) -> Result<(), StoreError> {
        if paths.is_empty() {
            return Ok(());
        }
        let files = self.files.clone();
        let delete = move || paths.iter().try_for_each(|path| files.delete(path));
        Ok(self.writers()?.run(delete).await??)
    }

    /// Whether a range of `signal` should be written now.
    fn is_due(&self, signal: Signal, now: UnixNanos) -> bool {
        let state = self.state();
        let pending = &state.pending[number(signal)];
        let is_old = pending.since().is_none_or(|since| since.plus(self.settings.flush_age.0) <= now);
        pending.written().is_some()
            || pending.is_ready()
                && (is_old
                    || pending.is_open()
                    || self.pressed.load(Ordering::Relaxed)
                    || pending.bytes() >= self.settings.flush_size.0
                    || pending.rows() >= self.settings.flush_rows)
    }

    /// Deletes what is too old or too much, then merges what is worth it, one run of files at a time.
    ///
    /// # Errors
    /// A file cannot be read, written or deleted; what was done stays done.
    pub(crate) async fn upkeep(&self) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        self.retain(now).await?;
        let closed = UnixNanos(now.0.saturating_sub(nanos(self.settings.merge_after.0)));
        while !self.closed.load(Ordering::Relaxed) {
            let next = {
                let state = self.state();
                merge::next(&state.index, &state.unmergeable, closed, self.settings.merge_size.0)
            };
            let Some(inputs) = next else { break };
            let sizes: u64 = inputs.iter().map(|input| input.size).sum();
            let memory = sizes + merge::DECODED * inputs.len() as u64;
            let Ok(_lease) = self.context.memory.lease(memory) else { break };
            let (files, mut left) = (self.files.clone(), inputs.clone());
            let merged = self.upkeepers()?.run(move || merge::merge(&files, &inputs)).await;
            let merged = match merged {
                Ok(Ok(merged)) => merged,
                Ok(Err(merge::MergeError::Output(error))) => return Err(error),
                Ok(Err(merge::MergeError::Input(number, error))) => {
                    self.set_aside(&left.split_off(number)[..1], &error);
                    continue;
                }
                // The Parquet library is not proof against every damaged file, and does not say which it was.
                Err(gone) => {
                    self.set_aside(&left, &gone.into());
                    continue;
                }
            };
            self.measures.merged(left.len());
            let path = merged.key.path();
            if !self.state().index.replace(&left, merged, now) {
                // Retention took an input meanwhile; its rows must not come back.
                self.delete(vec![path]).await?;
            }
        }
        Ok(())
    }

    /// Leaves files out of merging until the next start.
    fn set_aside(&self, inputs: &[Stored], error: &StoreError) {
        let files = inputs.len();
        tracing::warn!(sink = %self.context.name, files, %error, "files are left out of merging");
        self.state().unmergeable.extend(inputs.iter().map(|input| input.key.path()));
    }

    async fn retain(&self, now: UnixNanos) -> Result<(), StoreError> {
        let grace = UnixNanos(now.0.saturating_sub(nanos(self.settings.merge_grace.0)));
        let replaced = self.state().index.expired(grace);
        for retired in replaced {
            self.delete(vec![retired.path.clone()]).await?;
            self.state().index.forget(&retired.path);
        }
        let due = keep::due(&self.state().index, now, self.settings.keep.0, self.settings.max_size.0);
        let (mut files, mut bytes) = (0u64, 0u64);
        for stored in due {
            self.delete(vec![stored.key.path()]).await?;
            self.state().index.remove(&stored.key);
            files += 1;
            bytes += stored.size;
        }
        if files > 0 {
            self.measures.expired(files, bytes);
            tracing::info!(sink = %self.context.name, files, bytes, "files deleted by retention");
        }
        Ok(())
    }

    async fn watch(store: Weak<Self>, wake: Arc<Notify>) {
        let mut failures = [0u32; Signal::ALL.len()];
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = wake.notified() => {}
            }
            let Some(store) = store.upgrade() else { return };
            if store.closed.load(Ordering::Relaxed) {
                return;
            }
            let now = store.context.clock.now();
            for signal in Signal::ALL {
                if !store.is_due(signal, now) {
                    continue;
                }
                let failures = &mut failures[signal as usize - 1];
                match store.flush(signal).await {
                    Ok(_) => *failures = 0,
                    Err(error) => {
                        *failures += 1;
                        // Once may be the courier, which has not noted the last receipt yet.
                        if *failures > 1 {
                            tracing::warn!(sink = %store.context.name, %signal, %error, "rows stay in memory and in the journal");
                        }
                        // Not at once again: whatever is in the way seldom goes within a moment.
                        tick.reset();
                    }
                }
            }
            store.pressed.store(false, Ordering::Relaxed);
        }
    }

    async fn tend(store: Weak<Self>) {
        let mut tick = tokio::time::interval(UPKEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(store) = store.upgrade() else { return };
            if store.closed.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = store.upkeep().await {
                tracing::warn!(sink = %store.context.name, %error, "upkeep of the files is put off");
            }
        }
    }

    async fn take(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let number = number(parcel.signal);
        // What came before has its receipt by now, so that the courier lets it be begun.
        if self.is_due(parcel.signal, self.context.clock.now()) {
            self.wake.notify_one();
        }
        let wanted = {
            let state = self.state();
            let pending = &state.pending[number];
            if pending.settler.is_none() {
                return Err(gather::busy("the store is not attached yet".to_owned()));
            }
            let most = self.settings.flush_size.0.saturating_mul(2);
            if pending.bytes() >= most && pending.is_ready() {
                self.wake.notify_one();
                return Err(gather::busy(format!(
                    "unsettled rows of {} bytes reach the limit of {most}",
                    pending.bytes()
                )));
            }
            gather::wanted(parcel, pending)
        };
        let (owned, memory) = (parcel.clone(), self.context.memory.clone());
        let read = self.context.workers.run(move || gather::read(&owned, &memory, &wanted));
        let arrivals = match read.await {
            Ok(Ok(arrivals)) => arrivals,
            Ok(Err(failure)) => {
                if matches!(failure, Failure::Retry { .. }) {
                    self.pressed.store(true, Ordering::Relaxed);
                    self.wake.notify_one();
                }
                return Err(failure);
            }
            Err(gone) => return Err(gather::busy(gone.to_string())),
        };
        let now = self.context.clock.now();
        let mut state = self.state();
        for arrival in arrivals {
            state.pending[number].gather(arrival, now);
        }
        Ok(Receipt::Pending)
    }

    /// The thread that writes files.
    fn writers(&self) -> Result<Workers, StoreError> {
        workers(&self.writers, "store-files")
    }

    /// The thread that merges files.
    fn upkeepers(&self) -> Result<Workers, StoreError> {
        workers(&self.upkeepers, "store-merge")
    }

    /// What the store was opened with.
    pub(crate) fn context(&self) -> &SinkContext {
        &self.context
    }
}

impl Sink for Store {
    fn signals(&self) -> &[Signal] {
        &Signal::ALL
    }

    fn cut(&self) -> Cut {
        Cut { max_items: 50_000, max_bytes: 4 << 20, max_stored_bytes: 4 << 20, max_wait: Duration::ZERO }
    }

    fn edges(&self) -> Edges {
        Edges::Settled
    }

    fn shows_revisions(&self) -> bool {
        true
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.take(parcel))
    }

    fn attach(&self, signal: Signal, resume: Resume, settler: Settler) {
        let number = number(signal);
        let mut state = self.state();
        let plan = resume::plan(&state.index, signal, resume);
        for file in plan.open.iter().chain(&plan.stray) {
            state.index.remove(&file.key);
        }
        if !plan.stray.is_empty() {
            let files = plan.stray.len();
            tracing::warn!(sink = %self.context.name, %signal, files, "files that the journal does not know of are deleted");
        }
        state.stray[number] = plan.stray.iter().map(|file| file.key.path()).collect();
        state.open[number] = plan.open;
        state.pending[number].attach(resume, settler, plan.generation, plan.stored_through);
        drop(state);
        if self.watched.swap(false, Ordering::Relaxed) {
            tokio::spawn(Self::watch(self.itself.clone(), Arc::clone(&self.wake)));
            tokio::spawn(Self::tend(self.itself.clone()));
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closed.store(true, Ordering::Relaxed);
            self.wake.notify_one();
            for signal in Signal::ALL {
                loop {
                    match self.flush(signal).await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => {
                            tracing::warn!(sink = %self.context.name, %signal, %error, "rows stay in the journal");
                            break;
                        }
                    }
                }
            }
        })
    }
}

/// The place of a signal in an array of all of them.
pub(crate) const fn number(signal: Signal) -> usize {
    signal as usize - 1
}

pub(crate) fn workers(cell: &OnceLock<Result<Workers, String>>, name: &str) -> Result<Workers, StoreError> {
    let started = cell.get_or_init(|| Workers::start(name, 1, 4).map_err(|error| error.to_string()));
    started.clone().map_err(StoreError::new)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
