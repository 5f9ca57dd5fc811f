//! What the operator may choose.

use std::time::Duration;

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After the frame is on disk: survives power loss.
    #[default]
    Sync,
    /// After the frame was handed to the operating system: survives a crash of the process.
    Flush,
    /// At once: survives nothing.
    Memory,
}

/// What happens to a sink whose cursor still needs the oldest data when the budget is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// New data is refused with a retryable refusal.
    #[default]
    Hold,
    /// This sink forgets the oldest data; it is booked as dropped, `skipped`.
    Skip,
}

/// Who does the journal's upkeep: spares, retention, checkpoints, recycling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upkeep {
    /// A thread of the journal's own, woken by work and about once a second.
    #[default]
    Thread,
    /// Whoever calls `Journal::tend`: simulations, where every step has its place.
    Caller,
}

/// The journal's settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// When an append is acknowledged.
    pub durability: Durability,
    /// Bytes on disk for the three logs together; each is sure of an eighth of what is not reserve.
    pub max_bytes: u64,
    /// Bytes of one segment, rounded to pages; held between 16 KiB and 1/32 of `max_bytes`.
    pub segment_bytes: u64,
    /// How long a segment stays after every cursor has passed it.
    pub keep: Duration,
    /// How long the cursor of a sink that is gone from the configuration pins segments.
    pub keep_orphans: Duration,
    /// Bytes of memory for recent batches of all logs together, a third for each.
    pub hot_bytes: u64,
    /// Bytes of memory for batches that wait for the disk, in each log.
    pub staging_bytes: u64,
    /// New data is refused while the file system has less than this available.
    pub low_space: u64,
    /// Who does the upkeep.
    pub upkeep: Upkeep,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            max_bytes: 10 << 30,
            segment_bytes: 32 << 20,
            keep: Duration::from_secs(3600),
            keep_orphans: Duration::from_secs(24 * 3600),
            hot_bytes: 128 << 20,
            staging_bytes: 64 << 20,
            low_space: 256 << 20,
            upkeep: Upkeep::Thread,
        }
    }
}

impl Options {
    /// The same with the segment size inside its bounds.
    #[must_use]
    pub(crate) fn settled(mut self) -> Self {
        const SMALLEST: u64 = 16 * 1024;
        let largest = (self.max_bytes / 32).clamp(SMALLEST, 1 << 30);
        self.segment_bytes = self.segment_bytes.clamp(SMALLEST, largest) / 4096 * 4096;
        self
    }
}
