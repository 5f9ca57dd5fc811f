//! Pipelines on a simulated file system, with sinks that misbehave in every way there is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

// The workspace calls the crate by its short name; its own tests do too.
extern crate tidegate_pipeline as pipeline;

mod crash;
mod delivery;
mod edges;
mod ends;
mod letters;
mod refusals;
mod replays;
mod rules;
mod world;
