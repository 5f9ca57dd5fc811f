//! One trace from edge to function, made from what Cloudflare, Kong and services already send.
//!
//! # Map
//!
//! | file | what |
//! |---|---|
//! | `fact.rs` | what is kept of a record |
//! | `read.rs` | from log records and received spans to facts |
//! | `request.rs` | which facts are of one request; its trace id and aliases |
//! | `attribute.rs` | writing a span's attributes |
//! | `derive.rs`, `derive/` | the spans that nobody sent, and their parents |
//! | `series.rs`, `series/` | metrics made of logs and spans |
//!
//! # Invariants
//!
//! - What a request comes to is a function of the set of its records. Neither their order nor copies of them enter, nor clock or host.
//! - Received spans keep their ids, and their trace: nothing here renames them.
//! - A ray or a request id joins only when its own system vouches for it; headers can be forged.
//! - No async, no I/O.

mod attribute;
pub mod derive;
pub mod fact;
pub mod read;
pub mod request;
pub mod series;
