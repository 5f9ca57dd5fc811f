//! From intake to delivery.

pub mod body;
mod courier;
pub mod deadletter;
mod door;
pub mod drain;
pub mod intake;
pub mod ledger;
pub mod memory;
pub mod metrics;
pub mod options;
pub mod parcel;
pub mod pipeline;
mod quarantine;
pub mod settings;
pub mod shelf;
pub mod sink;
pub mod status;
pub mod workers;

pub use body::{Body, BodyError};
pub use deadletter::Letter;
pub use drain::Drained;
pub use intake::{Intake, Submit};
pub use ledger::Ledger;
pub use memory::{Lease, Memory};
pub use metrics::Metrics;
pub use options::SinkOptions;
pub use parcel::{ItemId, ItemPlace, Parcel, Part};
pub use pipeline::{Carried, Pipeline, Setup, StartError};
pub use shelf::Bounds;
pub use sink::{CheckedSink, Cut, Edges, PeerRefused, Receipt, Resume, Settler, Sink, SinkContext, SinkRow};
pub use status::SinkStatus;
pub use workers::Workers;

/// A boxed future, for object-safe async traits.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
