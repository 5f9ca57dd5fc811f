//! The durable log: the only queue of the gateway. What it has acknowledged is on disk; every sink reads it there.
//!
//! There is one log per signal. A batch becomes a frame with a number of its own (its [`Offset`]), is written once, and is
//! read by any number of readers. A sink's [`Cursor`] says how far it has come and what became of every item below.
//!
//! # Map
//!
//! | file | what |
//! |---|---|
//! | `log.rs` | one signal's log: what is shared, the handle |
//! | `append.rs` | admission, staging, the future that is the acknowledgement |
//! | `commit.rs` | group commit, failure of a file, probing |
//! | `frame.rs` | a batch as it lies on disk |
//! | `segment.rs` | a file of frames; the table of them |
//! | `read.rs`, `cold.rs` | readers, the hot tail, the reader thread |
//! | `cursor.rs`, `state.rs`, `books.rs`, `count.rs` | how far sinks are, what that is on disk, what became of items, counting from frames |
//! | `fork.rs`, `seek.rs` | a part of the log read once more, cursors forgotten; from a time to a place |
//! | `checkpoint.rs`, `slots.rs`, `fields.rs` | what a log remembers of itself; two slots in turn; little-endian fields |
//! | `recover.rs`, `survey.rs`, `quarantine.rs` | opening after anything; damage found, counted, put aside |
//! | `keeper.rs`, `budget.rs` | spares, retention, skipping, recycling; bytes on disk |
//! | `options.rs`, `error.rs` | what the operator may choose; why something is refused |
//! | `vfs/` | the file system, real and simulated |
//!
//! # Design
//!
//! **Writing.** An append encodes its frame into the stage under a short lock: number, place, sums, one copy of the body.
//! One committer thread a log takes all that is staged, writes it, syncs once, makes it visible, and releases every waiter it
//! covers; meanwhile the next group gathers. There is no timer. Files are zeroed ahead and given new lives by rename, since
//! syncing bytes inside a file that has its length and blocks is what disks do fastest.
//!
//! **A new life** is an epoch of 64 random bits that salts both sums of every frame, so that what a file held before never
//! counts. Header and folder are synced before the first frame is.
//!
//! **Failure.** A write or sync that fails ends the file. Whoever waits is refused; the next segment begins at the number
//! after the last success; a segment's frames end where the next one begins, which voids what the failed file may hold.
//!
//! **Recovery.** Frames carry the highest number known durable when they were staged. Damage above everything known durable is a
//! torn tail and is cut; at or below it is loss: bytes go to quarantine, items are counted from the neighbours, reading goes on
//! at the next valid frame. Appending always goes on in a new segment. The next number exceeds every frame, every cursor
//! and the stored floor. Only segments that no checkpoint describes are read on opening.
//!
//! **Recycling.** Cursors durable, then the checkpoint without the segment, then the file's new life. At the budget the oldest
//! segment goes only if every cursor has passed it; a sink that may skip is asked to pass it (see [`Cursor::skip_to`]).
//!
//! # Invariants
//!
//! - In `sync` nothing is acknowledged or shown before a sync that covers it has returned; a failed sync is not repeated.
//! - Offsets are contiguous for readers and never mean two frames.
//! - Cursors may lag, never lead. `accepted = before + held + booked` for every sink and origin, whenever it is asked; what
//!   forks bring stands beside it.
//! - Nothing here knows HTTP, sinks, or what a body means. Nothing reads the machine's clock: time comes from
//!   `model::Clock`; only waiting for the disk is measured on the runtime's clock.
//! - No `mmap`, no serializer's layout; format version 1 is held by `golden/v1`.

mod append;
mod books;
mod budget;
mod checkpoint;
mod cold;
mod commit;
mod count;
mod cursor;
mod error;
mod fields;
mod fork;
mod frame;
#[cfg(test)]
mod golden;
mod journal;
mod keeper;
mod log;
mod options;
mod quarantine;
mod read;
mod recover;
mod seek;
mod segment;
mod slots;
mod state;
mod survey;
pub mod vfs;

use std::fmt;

pub use append::Appending;
pub use books::{Books, Census, Fate, Ledger, SinkLedger};
pub use budget::Usage;
pub use cursor::{Cursor, MAX_FINISHED, Start};
pub use error::{AppendError, CursorError, OpenError, ReadError};
pub use fork::{Fork, Reading};
pub use journal::{Journal, Orphan, Recovery};
pub use log::Log;
pub use options::{Durability, OnFull, Options, Upkeep};
pub use read::{Frame, Read, Reader};
pub use recover::Recovered;
pub use state::{Finished, Replays, State};
pub use vfs::{RealFs, SimFs, Vfs};

/// The position of a frame in one signal's log: contiguous, never reused. Positions start at 1; 0 means "before everything".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The next position.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
