//! Telemetry to Parquet rows and back, exactly.
//!
//! A row is an item's own protobuf bytes and those of what encloses it (`Row`); all columns that people and tools search by
//! are made from them, and reading back decodes them. So nothing that was received is lost, whatever the columns show.
//!
//! | file | what |
//! |---|---|
//! | `schema.rs` | the columns, version 1 |
//! | `chunk.rs`, `items.rs`, `remote_write.rs` | finding the items in a frame's plain bytes |
//! | `row.rs` | one item, and back to a request |
//! | `columns/`, `body.rs`, `value.rs`, `point.rs`, `scope.rs` | rows to columns |
//! | `write.rs`, `read.rs` | columns to files and back |
//! | `traces.rs` | which rows of a file are of which trace |
//! | `partition.rs`, `hour.rs` | which file an item belongs to |
//! | `filter.rs`, `walk.rs` | searching spans by what they are, by the columns alone |
//! | `span.rs`, `log.rs`, `metric.rs` | rows decoded for people |
//! | `request.rs` | decoded spans as an OTLP request again |
//!
//! Invariants: pure functions, no I/O but through the reader handed in, no clock; bytes from outside never panic and never
//! lose a row; equal rows in equal order make equal files.

mod body;
mod chunk;
mod columns;
mod error;
mod filter;
mod hour;
mod items;
mod log;
mod metric;
mod partition;
mod point;
mod read;
mod remote_write;
mod request;
mod row;
pub mod schema;
mod scope;
mod span;
#[cfg(test)]
mod tests;
mod traces;
mod value;
mod walk;
mod write;

pub use chunk::{Chunk, Entry, Frame};
pub use error::FileError;
pub use filter::{Filter, Keys, Order, Seen, Subject, Test};
pub use hour::Hour;
pub use log::LogRow;
pub use metric::MetricRow;
pub use partition::{encode, folder, partitions};
pub use read::{Batch, Batches, File, Footer};
pub use request::{request, request_json};
pub use row::{Kind, Row};
pub use scope::Scope;
pub use span::{Encoded, Event, Link, Span};
pub use traces::Traces;
pub use value::Attributes;
pub use walk::{Look, PARENT, Plan, SPAN, TRACE, look};
pub use write::{Pick, Writer, at, sort};

/// The low 64 bits of a trace id: what 64-bit notations keep of it.
pub fn low_half(id: &[u8; 16]) -> u64 {
    u128::from_be_bytes(*id) as u64
}
