//! Group commit. One thread a log, without a timer: a commit begins when the one before has ended, writes everything that
//! was staged meanwhile, syncs once, and releases every waiter it covers.
//!
//! A write or sync that fails ends the file: nothing is written to it or asked of it again, what it holds beyond the last
//! success was never acknowledged, and whoever waits is refused. A new segment is tried at once and then whenever
//! somebody wants to append. It begins at the number after the last success, which makes void what the old file may
//! still hold.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::append::{Chunk, Stage, Target, Waiter};
use crate::frame;
use crate::log::{Shared, Visible, lock};
use crate::options::Durability;
use crate::segment::{FRAMES_AT, FrameNote, Identity, Segment};
use crate::vfs::{VfsFile, is_full, write_all};
use crate::{AppendError, Offset};

pub(crate) struct Committer {
    shared: Arc<Shared>,
    active: Option<Active>,
    /// A sync of the active file has failed: it is not asked again.
    unsyncable: bool,
}

struct Active {
    file: Arc<dyn VfsFile>,
    ordinal: u64,
}

enum Work {
    Commit(VecDeque<Chunk>),
    Probe,
    Stop,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, active: None, unsyncable: false }
    }

    /// Runs until the log is stopped and everything staged is written.
    pub(crate) fn run(mut self) {
        loop {
            match self.wait() {
                Work::Commit(mut chunks) => {
                    if let Err(error) = self.commit(&mut chunks) {
                        let (refused, why) = self.fail(chunks, &error);
                        // Tried before anybody is told, so that a quick retry finds the log open again.
                        self.probe();
                        for waiter in refused {
                            let _ = waiter.answer.send(Err(why.clone()));
                        }
                    }
                }
                Work::Probe => self.probe(),
                Work::Stop => break,
            }
        }
        if self.shared.options.durability != Durability::Sync
            && let Some(active) = &self.active
            && let Err(error) = active.file.sync()
        {
            tracing::warn!(signal = %self.shared.signal, %error, "last segment not synced");
        }
        self.seal();
        let last = self.shared.visible().last;
        self.shared.visible.send_replace(Visible { last, closed: true });
    }

    fn wait(&self) -> Work {
        let mut stage = lock(&self.shared.stage);
        loop {
            if !stage.chunks.is_empty() && stage.broken.is_none() {
                stage.in_flight_since = stage.staged_since.take();
                return Work::Commit(std::mem::take(&mut stage.chunks));
            }
            if stage.closing {
                return Work::Stop;
            }
            if std::mem::take(&mut stage.probe) {
                return Work::Probe;
            }
            stage = self.shared.work.wait(stage).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Writes, syncs and publishes; chunks that were published are gone from `chunks` even when a later one fails.
    fn commit(&mut self, chunks: &mut VecDeque<Chunk>) -> io::Result<()> {
        if self.shared.poisoned.swap(false, Ordering::Relaxed) {
            self.unsyncable = true;
            return Err(io::Error::other("sync before a checkpoint did not succeed"));
        }
        let mut written = 0;
        while written < chunks.len() {
            if chunks[written].begins {
                self.settle(chunks, written, true)?;
                written = 0;
                self.seal();
                self.active = Some(self.begin(chunks[0].target)?);
                chunks[0].begins = false;
            }
            let chunk = &chunks[written];
            let active = self.active.as_ref().ok_or_else(|| io::Error::other("no segment is open"))?;
            write_all(&*active.file, &chunk.bytes, chunk.at)?;
            written += 1;
        }
        self.settle(chunks, written, false)
    }

    /// Makes the first `n` chunks durable, all of the active segment, and publishes them.
    fn settle(&mut self, chunks: &mut VecDeque<Chunk>, n: usize, ends: bool) -> io::Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let syncs = match self.shared.options.durability {
            Durability::Sync => n > 0,
            Durability::Flush | Durability::Memory => ends,
        };
        if syncs {
            active.file.sync().inspect_err(|_| self.unsyncable = true)?;
        }
        if n > 0 {
            self.publish(chunks, n)?;
        }
        Ok(())
    }

    fn publish(&self, chunks: &mut VecDeque<Chunk>, n: usize) -> io::Result<()> {
        let shared = &*self.shared;
        let Some(last) =
            chunks.get(n - 1).and_then(|chunk| chunk.frames.last()).map(|staged| staged.frame.offset)
        else {
            return Ok(());
        };
        if shared.options.durability != Durability::Sync && last.0 >= shared.reserved.load(Ordering::Relaxed)
        {
            shared.write_checkpoint(last.0 + 1)?;
        }
        let done: Vec<Chunk> = chunks.drain(..n).collect();
        let staged = || done.iter().flat_map(|chunk| &chunk.frames);
        lock(&shared.table).publish(staged().map(|staged| FrameNote {
            seq: staged.frame.offset.0,
            at: staged.at,
            length: staged.length,
            received: staged.frame.received,
            origin: &staged.frame.origin,
            items: u64::from(staged.frame.items),
            derived: staged.frame.derived,
        }));
        let bytes: u64 = staged().map(|staged| staged.length).sum();
        let mut hot = lock(&shared.hot);
        let mut buffers = Vec::new();
        for chunk in done {
            for staged in chunk.frames {
                hot.push(staged.frame);
            }
            buffers.push(chunk.bytes);
        }
        drop(hot);
        let mut stage = lock(&shared.stage);
        stage.durable = last.0;
        stage.bytes -= bytes;
        stage.in_flight_since = None;
        for buffer in buffers {
            stage.keep_buffer(buffer);
        }
        let covered = stage.waiters.partition_point(|waiter| waiter.seq <= last.0);
        let released: Vec<_> = stage.waiters.drain(..covered).collect();
        drop(stage);
        shared.visible.send_replace(Visible { last: last.0, closed: false });
        for waiter in released {
            let _ = waiter.answer.send(Ok(Offset(waiter.seq)));
        }
        Ok(())
    }

    fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        let shared = &*self.shared;
        *lock(&shared.unsynced) = None;
        let mut table = lock(&shared.table);
        let Some(segment) = table.by_ordinal(active.ordinal) else { return };
        if segment.last >= segment.identity.first {
            segment.sealed = true;
            table.fresh = true;
        } else {
            // Begun, and never written with success.
            let (path, bytes) = (segment.path.clone(), segment.bytes);
            table.segments.pop_back();
            drop(table);
            shared.budget.give_back(shared.signal, bytes);
            let _ = shared.vfs.remove(&path);
        }
        shared.bell.ring();
    }

    /// Gives a spare, or else a new file, its new life. Durable under its name on return.
    fn begin(&self, target: Target) -> io::Result<Active> {
        let shared = &*self.shared;
        let mut table = lock(&shared.table);
        let ordinal = table.next_ordinal;
        table.next_ordinal += 1;
        // The last one stays: it is what makes room for cursors on a full disk.
        let spare = (table.spares.len() > 1).then(|| table.spares.remove(0));
        let from = spare.clone().unwrap_or_else(|| table.spare_path(&shared.folder));
        drop(table);
        let Target { epoch, first, items_before, bytes } = target;
        let identity = Identity { first, ordinal, epoch, items_before };
        let segment = Segment::begin(identity, &shared.folder, bytes);
        let file = (|| {
            let file = if spare.is_some() { shared.vfs.open(&from)? } else { shared.vfs.create(&from)? };
            write_all(&*file, &identity.header(shared.signal, shared.clock.now()), 0)?;
            file.sync()?;
            shared.vfs.rename(&from, &segment.path)?;
            shared.vfs.sync_folder(&shared.folder)?;
            Ok(file)
        })();
        match file {
            Ok(file) => {
                if shared.options.durability != Durability::Sync {
                    *lock(&shared.unsynced) = Some(Arc::clone(&file));
                }
                lock(&shared.table).segments.push_back(segment);
                shared.bell.ring();
                Ok(Active { file, ordinal })
            }
            Err(error) => {
                // What failed once is not asked again.
                let _ = shared.vfs.remove(&from);
                let _ = shared.vfs.remove(&segment.path);
                Err(error)
            }
        }
    }

    /// Leaves the file that failed; returns who is to be refused, and why.
    fn fail(&mut self, mut chunks: VecDeque<Chunk>, cause: &io::Error) -> (Vec<Waiter>, AppendError) {
        let shared = Arc::clone(&self.shared);
        let why = why(cause);
        tracing::warn!(signal = %shared.signal, error = %why, "segment given up");
        if shared.options.durability != Durability::Sync
            && !std::mem::take(&mut self.unsyncable)
            && let Some(active) = &self.active
            && let Err(error) = active.file.sync()
        {
            // It was shown, and only a power cut could take it now.
            tracing::warn!(signal = %shared.signal, %error, "given-up segment not synced");
        }
        self.unsyncable = false;
        self.seal();
        let items_end = lock(&shared.table).segments.back().map(Segment::items_end);
        let mut stage = lock(&shared.stage);
        chunks.append(&mut stage.chunks);
        for chunk in &mut chunks {
            if std::mem::take(&mut chunk.begins) {
                shared.budget.give_back(shared.signal, chunk.target.bytes);
            }
        }
        stage.target = None;
        stage.at = FRAMES_AT;
        stage.in_flight_since = None;
        stage.broken = Some(why.clone());
        if shared.options.durability == Durability::Memory {
            // Acknowledged already: it moves to the next segment as it is.
            stage.chunks = chunks;
            return (Vec::new(), why);
        }
        if let Some(first) = chunks.front().and_then(|chunk| chunk.frames.first()) {
            let lost: u64 =
                chunks.iter().flat_map(|chunk| &chunk.frames).map(|s| u64::from(s.frame.items)).sum();
            stage.next = first.frame.offset.0;
            stage.items -= lost;
            debug_assert!(items_end.is_none_or(|end| end <= stage.items));
        }
        stage.bytes = 0;
        stage.staged_since = None;
        (stage.waiters.drain(..).collect(), why)
    }

    /// Tries to begin a new segment after a failure.
    fn probe(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut stage = lock(&shared.stage);
        if stage.broken.is_none() {
            return;
        }
        let waiting: u64 = stage.chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        let bytes = shared.options.segment_bytes.max(FRAMES_AT + waiting);
        let first = stage.chunks.front().and_then(|chunk| chunk.frames.first());
        let first = first.map_or(stage.next, |staged| staged.frame.offset.0);
        let items: u64 = stage
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.frames)
            .map(|staged| u64::from(staged.frame.items))
            .sum();
        let target = match shared.budget.take(shared.signal, bytes) {
            Ok(()) => Target::new(first, stage.items - items, bytes),
            Err(what) => {
                stage.broken = Some(AppendError::Full { what });
                shared.bell.ring();
                return;
            }
        };
        drop(stage);
        match self.begin(target) {
            Ok(active) => {
                self.active = Some(active);
                let mut stage = lock(&shared.stage);
                stage.broken = None;
                stage.target = Some(target);
                move_to(&mut stage, target, &shared);
            }
            Err(error) => {
                shared.budget.give_back(shared.signal, bytes);
                lock(&shared.stage).broken = Some(why(&error));
            }
        }
    }
}

fn why(error: &io::Error) -> AppendError {
    if is_full(error) {
        AppendError::Full { what: error.to_string() }
    } else {
        AppendError::Failed { cause: error.to_string() }
    }
}

/// Gives frames that wait without a segment their place in `target`.
fn move_to(stage: &mut Stage, target: Target, shared: &Shared) {
    stage.at = FRAMES_AT;
    for chunk in &mut stage.chunks {
        frame::resalt(&mut chunk.bytes, chunk.target.epoch, target.epoch, shared.signal);
        chunk.target = target;
        chunk.at = stage.at;
        for staged in &mut chunk.frames {
            staged.at = stage.at;
            stage.at += staged.length;
        }
    }
}
