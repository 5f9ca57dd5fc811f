//! Bytes and what they mean. No async, no I/O, no clock.

pub mod coding;
pub mod json;
pub mod otlp;
pub mod put;
pub mod signal;
pub mod translate;
pub mod walk;

pub use coding::Coding;
pub use signal::{Layout, Signal};
pub use walk::WireError;
