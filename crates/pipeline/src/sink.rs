//! What a sink is. A sink is one async function over parcels; its courier owns reading, cutting, retry, order,
//! dead letters, checkpoints and bookings.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use journal::Offset;
use model::{Clock, Failure, Problem, Signal};

use crate::{BoxFuture, Memory, Metrics, Parcel, Workers};

/// Carries parcels to one destination.
///
/// `deliver` is called again with the same parcel after `Failure::Retry`, and after a restart with the same items
/// (same edges only when `edges` says so). It must not keep the parcel beyond its own future unless it answers `Pending`.
/// Dropping the future cancels the attempt; the items are then delivered again.
pub trait Sink: Send + Sync {
    /// The signals it takes: one cursor each.
    fn signals(&self) -> &[Signal];

    /// Where the courier cuts parcels.
    fn cut(&self) -> Cut;

    /// What the courier must remember about parcel edges.
    fn edges(&self) -> Edges {
        Edges::Free
    }

    /// How many parcels of `signal` may be in flight at once. 1 keeps order.
    fn in_flight(&self, signal: Signal) -> usize {
        let _ = signal;
        1
    }

    /// Whether the courier may choose how many are in flight, from 1 to `in_flight`, by how the peer answers. Only where order
    /// does not matter.
    fn adaptive(&self) -> bool {
        false
    }

    /// Whether all signals go to the same place, so that when no connection comes up for one of them (`Failure::Unreachable`) none
    /// will for the others, and when nobody is answered before the courier's deadline nobody is likely to be.
    fn is_one_peer(&self) -> bool {
        true
    }

    /// Delivers one parcel.
    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>>;

    /// Whether it takes items again that it was given before: a replay, a dead letter. One that keeps every item exactly once by
    /// counting how far it has come does not; it would write them twice, or leave them out.
    fn takes_again(&self) -> bool {
        self.edges() != Edges::Settled
    }

    /// For `Edges::Settled`: called once per signal before the first parcel, with where reading resumes.
    fn attach(&self, signal: Signal, resume: Resume, settler: Settler) {
        let _ = (signal, resume, settler);
    }

    /// Whether it shows the highest of several revisions of a span. Others are given the first alone, and the rest is booked as dropped,
    /// `revised`.
    fn shows_revisions(&self) -> bool {
        false
    }

    /// What translation for this peer could not carry since start, by reason; the items themselves are delivered.
    fn losses(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Finishes what is pending, within the drain's deadline. Called after the last `deliver`.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Where the courier cuts parcels. A single frame larger than a limit is cut at item borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// At most so many items.
    pub max_items: u32,
    /// At most so many plain bytes.
    pub max_bytes: u64,
    /// At most so many bytes as the journal keeps them (compressed).
    pub max_stored_bytes: u64,
    /// How long a parcel that is not full may wait for more; zero sends what is there.
    pub max_wait: Duration,
}

/// What must stay the same when items are delivered again after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// Only item identities.
    Free,
    /// The parcel's range: the courier records it durably before the first attempt and resends exactly it.
    Recorded,
    /// The sink answers `Pending`, gathers parcels and settles ranges later through its `Settler`. Parcels of a signal then
    /// come one at a time in journal order, whatever their tenants: everything at or below the last whole part handed over
    /// has been handed over too, or never will be (filtered, skipped, lost).
    Settled,
}

/// A delivery that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// The peer has it.
    Delivered,
    /// The peer has it, except what it refused and will not say again; booked `peer_refused`, never resent.
    Partly(PeerRefused),
    /// As `Delivered` or `Partly`, but for items that never left, since the peer's format has no place for them; booked as
    /// dropped, `untranslatable`.
    LeftOut {
        /// How many, at most the parcel's.
        items: u32,
        /// What there is no place for.
        reason: String,
        /// What the peer refused of the rest.
        refused: Option<PeerRefused>,
    },
    /// The sink has it in memory only and settles later (`Edges::Settled`).
    Pending,
}

/// How much a peer refused of what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRefused {
    /// Items, by the peer's own count, at most the parcel's.
    pub items: u32,
    /// Whether `items` is an upper bound because the peer gave no number.
    pub upper_bound: bool,
    /// What the peer said, cut to 1 KiB.
    pub reason: String,
}

/// Where a settling sink resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// The next offset it will be given.
    pub next: Offset,
    /// A range that was begun and not settled: gather exactly this range again before settling anything else.
    pub open: Option<(Offset, Offset)>,
}

/// How a settling sink tells its courier. Cloneable, usable from any task.
#[derive(Clone)]
pub struct Settler(pub Arc<dyn Settle>);

/// What stands behind a `Settler`.
pub trait Settle: Send + Sync {
    /// Records durably that the range from the cursor to `last` is about to be written. Resolves when it is durable;
    /// an error means that nothing may be written now.
    fn begin(&self, last: Offset) -> BoxFuture<'_, Result<(), String>>;

    /// Everything up to and including `last` is durable at the destination: books it delivered and moves the cursor.
    fn settle(&self, last: Offset) -> BoxFuture<'_, Result<(), String>>;
}

impl fmt::Debug for Settler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settler")
    }
}

/// What a sink may use when it opens.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The sink's configured name.
    pub name: Arc<str>,
    /// A folder of its own below the data folder; not created yet.
    pub folder: PathBuf,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The memory pool.
    pub memory: Memory,
    /// Threads for work that takes longer than half a millisecond, such as `Parcel::join` of a large parcel.
    pub workers: Workers,
    /// Where the sink's own metrics are registered.
    pub metrics: Metrics,
}

/// A sink's settings, checked; opening may dial or create files, and spawns nothing.
pub trait CheckedSink: Send + Sync {
    /// Opens the sink.
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>>;
}

/// What checking a sink's settings comes to.
pub type Checked = Result<Box<dyn CheckedSink>, Vec<Problem>>;

/// A sink's row in the table: everything that is known about it outside its file.
pub struct SinkRow {
    /// The `type` in the configuration: the product's own name, lower case.
    pub name: &'static str,
    /// One sentence for the reference page.
    pub summary: &'static str,
    /// The JSON schema of its settings.
    pub schema: fn() -> schemars::Schema,
    /// Checks its settings; pure.
    pub check: fn(serde_json::Value) -> Checked,
    /// A working YAML example of one sink of this type, loaded by tests and shown on its page.
    pub example: &'static str,
    /// Markdown for its page: what it stores where, what the peer cannot hold, what a resend does there, which answers are retried
    /// and which are final, and against which real servers it is proven.
    pub page: &'static str,
}

impl fmt::Debug for SinkRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkRow").field("name", &self.name).finish_non_exhaustive()
    }
}
