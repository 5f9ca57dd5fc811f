//! Bytes and what they mean: how a body is compressed, how its plain bytes are laid out, what lies in them.
//!
//! | file | what |
//! |---|---|
//! | `signal.rs` | which signal, in which layout |
//! | `coding/` | compressing, and inflating under a ceiling |
//! | `walk.rs`, `put.rs` | reading and writing protobuf fields |
//! | `otlp/`, `rw/` | views over OTLP and remote-write messages |
//! | `counts.rs`, `batch.rs`, `batch/` | what an item is; counting, slicing and splitting batches |
//! | `edit/` | leaving items out and changing texts without decoding |
//! | `translate/` | between remote-write 1.0, 2.0 and OTLP metrics |
//! | `json/` | OTLP JSON and the answers of OTLP servers |
//!
//! Invariants: no async, no I/O, no clock. Nothing here panics on outside bytes, recurses deeper than a constant, or
//! allocates by a length that the bytes merely claim. In both layouts two messages laid end to end are their union,
//! so joining batches of one signal and layout is concatenation.

pub mod batch;
pub mod coding;
pub mod counts;
pub mod edit;
pub mod json;
pub mod otlp;
pub mod put;
pub mod rw;
pub mod signal;
pub mod translate;
pub mod walk;

pub use coding::Coding;
pub use counts::Counts;
pub use signal::{Layout, Signal};
pub use walk::WireError;
