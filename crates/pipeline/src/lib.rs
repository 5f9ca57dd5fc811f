//! From intake to delivery: what receivers submit becomes durable in the journal, and one courier per sink and signal carries
//! it from there. The only crate besides `journal` and `stitch` that spawns, waits or retries.
//!
//! # Map
//!
//! | file | what |
//! |---|---|
//! | `intake.rs`, `door.rs` | what receivers see; how a request is normalized, written and answered |
//! | `quarantine.rs` | what could not be taken, kept for the operator |
//! | `sink.rs`, `options.rs` | what a sink is; how its courier treats it |
//! | `parcel.rs`, `body.rs` | what a sink is handed; its wire body |
//! | `courier/` | reading and cutting (`mod.rs`, `cut.rs`), attempts and backoff, dead letters (`bury.rs`, `again.rs`), settling, progress and checkpoints |
//! | `deadletter/`, `shelf.rs` | what peers refuse for good; files bounded in bytes and age |
//! | `rules/` | what a sink is given: filters, sampling, redaction |
//! | `ledger.rs`, `status.rs`, `metrics.rs` | the books, how sinks are doing, `/metrics` |
//! | `operate/` | what an operator may ask while it runs |
//! | `pipeline.rs`, `upkeep.rs`, `drain.rs` | everything put together, what happens by the clock, the end |
//! | `memory.rs`, `workers.rs`, `settings.rs`, `moment.rs` | the memory pool, threads for long work, value types of settings |
//!
//! # Invariants
//!
//! - `submit` answers OK only after the journal has. A refusal means that nothing was kept.
//! - Couriers share nothing that one could hold against another: no lock, queue or permit is kept across an await that waits
//!   for a peer, but for what belongs to that one sink. A dead sink delays no other and no acknowledgement.
//! - An item counts as done only when its outcome is known, and a dead letter only when it is synced. Low-water mark and books
//!   are checkpointed together; a crash leaves more to do, never less.
//! - Nothing here knows a protocol. Time comes from `model::Clock`, waiting from the runtime's clock.

pub mod body;
mod courier;
pub mod deadletter;
mod door;
pub mod drain;
pub mod intake;
pub mod ledger;
pub mod memory;
pub mod metrics;
pub mod moment;
pub mod operate;
pub mod options;
pub mod parcel;
pub mod pipeline;
mod quarantine;
pub mod rules;
pub mod settings;
pub mod shelf;
pub mod sink;
pub mod status;
mod upkeep;
pub mod workers;

pub use body::{Body, BodyError};
pub use courier::with_causes;
pub use deadletter::Letter;
pub use drain::Drained;
pub use intake::{Intake, Submit};
pub use journal::Offset;
pub use ledger::Ledger;
pub use memory::{Lease, Memory};
pub use metrics::Metrics;
pub use moment::Moment;
pub use operate::Denied;
pub use options::SinkOptions;
pub use parcel::{ItemId, ItemPlace, Parcel, Part};
pub use pipeline::{Carried, Pipeline, Setup, StartError};
pub use rules::Rules;
pub use shelf::Bounds;
pub use sink::{
    Checked, CheckedSink, Cut, Edges, PeerRefused, Receipt, Resume, Settler, Sink, SinkContext, SinkRow,
};
pub use status::SinkStatus;
pub use workers::Workers;

/// A boxed future, for object-safe async traits.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
