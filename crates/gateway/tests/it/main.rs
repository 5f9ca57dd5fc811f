//! The binary as its users run it: real processes, real senders, real back ends, compared by value.
//!
//! One integration binary, so that no file is forgotten and everything links once.

#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "a test that cannot go on fails")]

mod bad_input;
mod correlated;
mod crash;
mod dead_sink;
mod fanout;
mod first_minute;
mod gateway;
mod numbered;
mod operators;
mod otel;
mod prometheus;
mod reference;
mod rules;
mod samples;
mod stitched;
mod stored;
mod viewers;
