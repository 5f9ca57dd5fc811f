//! The words everyone shares: what a batch is, who sent it, how an id is spelled, what can go wrong and who must act.
//!
//! | file | what |
//! |---|---|
//! | `batch.rs` | `Batch`, `Signal`, `Layout`, `Origin`, `Tenant`, `Source`, `ContentHash` |
//! | `id/` | `TraceId`, `SpanId`, every notation |
//! | `refusal.rs` | why a client is refused, named so that each protocol can map it to a code |
//! | `failure.rs` | what a sink says to its courier |
//! | `problem.rs` | what the operator must mend in the configuration |
//! | `time.rs` | `UnixNanos`, `Clock` |
//!
//! Invariants: no async, no I/O; the only clock is the one behind the `Clock` trait.

pub mod batch;
pub mod failure;
pub mod id;
pub mod problem;
pub mod refusal;
pub mod time;

pub use batch::{Batch, ContentHash, Layout, Origin, Signal, Source, Tenant};
pub use failure::{Failure, RefusedItem};
pub use id::{SpanId, TraceId};
pub use problem::Problem;
pub use refusal::{Refusal, RefusalKind};
pub use time::{Clock, SystemClock, UnixNanos};
pub use wire::Counts;
