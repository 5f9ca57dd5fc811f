//! Upkeep: spares ahead of need, checkpoints of sealed segments, orphans, retention, skipping and recycling.
//!
//! The order is always: cursors durable, then the checkpoint that leaves the segment out durable, then its file's new life.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use model::UnixNanos;

use crate::budget::RESERVE;
use crate::cursor::Cell;
use crate::log::{Shared, lock};
use crate::options::OnFull;
use crate::segment::Segment;
use crate::vfs::write_zeros;

/// The keeper looks at clock and disk at least so often.
const ROUND: Duration = Duration::from_secs(1);

/// Wakes the keeper.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<(bool, bool)>,
    rung: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        lock(&self.state).0 = true;
        self.rung.notify_one();
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).1 = true;
        self.rung.notify_one();
    }

    /// Waits for the bell or the next round; says whether to go on.
    fn wait(&self) -> bool {
        let state = lock(&self.state);
        let waiting = self.rung.wait_timeout_while(state, ROUND, |state| !state.0 && !state.1);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        state.0 = false;
        !state.1
    }
}

/// The keeper's thread.
pub(crate) fn run(logs: &[Arc<Shared>], bell: &Bell) {
    while bell.wait() {
        for shared in logs {
            tend(shared);
        }
    }
}

/// One round for one log.
pub(crate) fn tend(shared: &Shared) {
    watch_space(shared);
    let now = shared.clock.now();
    // Before the cursors are looked at: who has let go of a claim is among them.
    lock(&shared.table).claims.retain(|(claim, _)| claim.strong_count() > 0);
    let cells: Vec<Arc<Cell>> = lock(&shared.cursors).values().cloned().collect();
    note_orphans(shared, &cells, now);
    save_sealed(shared);
    while release(shared, &cells, now) {}
    if shared.budget.is_full(shared.signal) || shared.is_short_of_space() {
        skip_oldest(shared, &cells);
        while release(shared, &cells, now) {}
    }
    make_spares(shared);
    let mut stage = lock(&shared.stage);
    if stage.broken.is_some() {
        stage.probe = true;
        shared.work.notify_one();
    }
}

fn watch_space(shared: &Shared) {
    let short = match shared.vfs.available_space(&shared.folder) {
        Ok(available) => available < shared.options.low_space,
        Err(_) => false,
    };
    if shared.low_space.swap(short, Ordering::Relaxed) != short {
        let signal = shared.signal;
        if short {
            tracing::warn!(%signal, low_space = shared.options.low_space, "file system is short of space, new data is refused");
        } else {
            tracing::info!(%signal, "file system has space again");
        }
    }
}

/// Stores since when a cursor has had no sink.
fn note_orphans(shared: &Shared, cells: &[Arc<Cell>], now: UnixNanos) {
    for cell in cells.iter().filter(|cell| !cell.registered.load(Ordering::Relaxed)) {
        let mut kept = lock(&cell.kept);
        if kept.orphaned == UnixNanos(0) {
            kept.orphaned = now;
            let state = kept.state.clone();
            if let Err(error) = cell.store(shared, &mut kept, state) {
                tracing::warn!(sink = %cell.sink, %error, "orphaned cursor not marked");
            }
        }
    }
}

/// Whether a cursor still pins what it has not passed.
fn pins(shared: &Shared, cell: &Cell, now: UnixNanos) -> bool {
    cell.registered.load(Ordering::Relaxed) || {
        let orphaned = lock(&cell.kept).orphaned;
        orphaned == UnixNanos(0) || now.since(orphaned) < shared.options.keep_orphans
    }
}

/// Checkpoints segments sealed since the last time.
fn save_sealed(shared: &Shared) {
    let fresh = {
        let mut table = lock(&shared.table);
        std::mem::take(&mut table.fresh)
    };
    if fresh && let Err(error) = shared.write_checkpoint(shared.visible().last + 1) {
        lock(&shared.table).fresh = true;
        tracing::warn!(signal = %shared.signal, %error, "checkpoint not written");
    }
}

/// Releases the oldest segment, when nobody needs it; says whether it did.
fn release(shared: &Shared, cells: &[Arc<Cell>], now: UnixNanos) -> bool {
    let (last, newest, ordinal) = {
        let table = lock(&shared.table);
        let Some(oldest) = table.segments.front().filter(|segment| segment.sealed) else { return false };
        (oldest.last, oldest.newest, oldest.identity.ordinal)
    };
    let pressed = shared.budget.is_pressed(shared.signal) || shared.is_short_of_space();
    if !pressed && now.since(newest) < shared.options.keep {
        return false;
    }
    for cell in cells.iter().filter(|cell| cell.durable_low.load(Ordering::Acquire) <= last) {
        if pins(shared, cell, now) {
            return false;
        }
        tracing::error!(sink = %cell.sink, signal = %shared.signal, last, "orphaned cursor expired, its data goes");
        if cell.give_up(shared, last, "expired").is_err() {
            return false;
        }
    }
    let mut released: Option<Segment> = None;
    let stored = shared.write_checkpoint_of(shared.visible().last + 1, |table| {
        let oldest = table.segments.front().is_some_and(|segment| segment.identity.ordinal == ordinal);
        if oldest && table.claims.iter().all(|(_, low)| *low > last) {
            released = table.segments.pop_front();
        }
    });
    let Some(segment) = released else { return false };
    if let Err(error) = stored {
        tracing::warn!(signal = %shared.signal, %error, "segment not released");
        lock(&shared.table).segments.push_front(segment);
        return false;
    }
    segment.released.store(true, Ordering::Release);
    recycle(shared, &segment.path);
    shared.budget.give_back(shared.signal, segment.bytes);
    true
}

/// Makes a released file a spare, or removes it. One that stays by mistake is found by the next start.
pub(crate) fn recycle(shared: &Shared, path: &std::path::Path) {
    let vfs = &*shared.vfs;
    let fits = vfs.open(path).and_then(|file| file.length()).is_ok_and(|n| n == shared.options.segment_bytes);
    let spare = {
        let mut table = lock(&shared.table);
        (fits && table.spares.len() < RESERVE).then(|| table.spare_path(&shared.folder))
    };
    match spare {
        Some(spare) => {
            let renamed = vfs.rename(path, &spare).and_then(|()| vfs.sync_folder(&shared.folder));
            if renamed.is_ok() {
                lock(&shared.table).spares.push(spare);
            }
        }
        None => {
            let _ = vfs.remove(path).and_then(|()| vfs.sync_folder(&shared.folder));
        }
    }
}

/// At the budget: asks the sinks that may skip to give up the oldest segment, when only they need it.
fn skip_oldest(shared: &Shared, cells: &[Arc<Cell>]) {
    let last = {
        let table = lock(&shared.table);
        let Some(oldest) = table.segments.front().filter(|segment| segment.sealed) else { return };
        oldest.last
    };
    let needing: Vec<_> =
        cells.iter().filter(|cell| cell.durable_low.load(Ordering::Acquire) <= last).collect();
    if needing.iter().any(|cell| lock(&cell.kept).on_full == OnFull::Hold) {
        return;
    }
    for cell in needing {
        if cell.registered.load(Ordering::Relaxed) {
            cell.skip.send_if_modified(|to| {
                let higher = last + 1 > *to;
                *to = (last + 1).max(*to);
                higher
            });
        } else if let Err(error) = cell.give_up(shared, last, "skipped") {
            tracing::warn!(sink = %cell.sink, %error, "cursor not moved");
        }
    }
}

/// Keeps the reserve: zeroed files of full length, so that writing to them allocates nothing.
fn make_spares(shared: &Shared) {
    let bytes = shared.options.segment_bytes;
    loop {
        let path = {
            let mut table = lock(&shared.table);
            if table.spares.len() >= RESERVE {
                return;
            }
            table.spare_path(&shared.folder)
        };
        let vfs = &*shared.vfs;
        let room = vfs.available_space(&shared.folder).unwrap_or(0);
        if room < shared.options.low_space.saturating_add(2 * bytes) {
            return;
        }
        let made = (|| {
            let file = vfs.create(&path)?;
            write_zeros(&*file, 0, bytes)?;
            file.sync()?;
            vfs.sync_folder(&shared.folder)
        })();
        if let Err(error) = made {
            tracing::debug!(signal = %shared.signal, %error, "no spare segment made");
            let _ = vfs.remove(&path);
            return;
        }
        lock(&shared.table).spares.push(path);
    }
}
