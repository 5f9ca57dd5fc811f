//! One trace from edge to function, made from what Cloudflare, Kong and services already send.
//!
//! # Map
//!
//! | file | what |
//! |---|---|
//! | `fact.rs` | what is kept of a record |
//! | `read.rs` | from log records and received spans to facts |
//! | `request.rs` | which facts are of one request; its trace id and aliases |
//! | `attribute.rs` | attributes: read once, kept in few bytes, written as a span has them |
//! | `derive.rs`, `derive/` | the spans that nobody sent, and their parents |
//! | `series.rs`, `series/` | metrics made of logs and spans |
//! | `emit.rs` | them as OTLP |
//! | `correlation.rs`, `correlation/` | how well requests are joined, hop by hop, and what would make it better |
//! | `plain.rs` | bytes as they are kept |
//! | `cluster.rs` | facts that share keys, kept together |
//! | `book/` | the join store on disk |
//! | `engine/` | what the journal holds in, what it comes to out, in transactions; looking up |
//! | `sink.rs`, `measures.rs` | all of it attached to a journal, on a thread of its own; its metrics |
//!
//! # Invariants
//!
//! - What a request comes to is a function of the set of its records. Neither their order nor copies of them enter, nor clock or host.
//! - Received spans keep their ids, and their trace: nothing here renames them.
//! - A ray or a request id joins only when its own system vouches for it; headers can be forged.
//! - What is told is in the same transaction as what it was made of and how far the journal was read.
//! - No clock but what is given. Only `book/` touches the disk.

mod attribute;
mod book;
mod cluster;
pub mod correlation;
pub mod derive;
mod emit;
pub mod engine;
pub mod fact;
mod measures;
mod plain;
pub mod read;
pub mod request;
pub mod series;
mod sink;

pub use cluster::Row;
pub use emit::{REVISION, WITHDRAWN};
pub use engine::{Found, Sought};
pub use sink::{Names, Stitch};
