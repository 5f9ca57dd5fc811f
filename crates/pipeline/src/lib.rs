//! From intake to delivery.

pub mod body;
pub mod intake;
pub mod memory;
pub mod metrics;
pub mod options;
pub mod parcel;
pub mod settings;
pub mod sink;
pub mod workers;

pub use body::{Body, BodyError};
pub use intake::{Intake, Submit};
pub use memory::{Lease, Memory};
pub use metrics::Metrics;
pub use options::{OnFull, SinkOptions, StartAt};
pub use parcel::{ItemId, ItemPlace, Parcel, Part};
pub use sink::{CheckedSink, Cut, Edges, PeerRefused, Receipt, Resume, Settler, Sink, SinkContext, SinkRow};
pub use workers::Workers;

/// A boxed future, for object-safe async traits.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
