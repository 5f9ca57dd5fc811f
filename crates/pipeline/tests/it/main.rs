//! Pipelines on a simulated file system, with sinks that misbehave in every way there is.

// The workspace calls the crate by its short name; its own tests do too.
extern crate tidegate_pipeline as pipeline;

mod crash;
mod delivery;
mod edges;
mod ends;
mod refusals;
mod world;
