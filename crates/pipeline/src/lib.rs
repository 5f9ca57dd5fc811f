//! From intake to delivery.

pub mod intake;
pub mod memory;
pub mod parcel;
pub mod settings;
pub mod sink;

pub use intake::{Intake, Submit};
pub use memory::{Lease, Memory};
pub use parcel::{Body, Parcel, Part};
pub use sink::{CheckedSink, Cut, Edges, PeerRefused, Receipt, Resume, Settler, Sink, SinkContext, SinkRow};

/// A boxed future, for object-safe async traits.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
