//! The correlation report: of each hop of a request, how it is joined to what is before it, and where that is not as it should be, the
//! likeliest cause with its remedy.
//!
//! | file | what |
//! |---|---|
//! | `judge.rs`, `service.rs` | the hops of one request, judged by its records |
//! | `cause.rs` | causes in words, and what to do |
//! | `count.rs` | verdicts counted over the last hour |
//! | `report.rs` | the counts as people read them |
//!
//! A function of records alone: no clock, no disk.

mod cause;
mod count;
mod judge;
mod report;
mod service;

use serde::{Deserialize, Serialize};

use crate::fact::Trace;

pub use cause::Cause;
pub(crate) use count::Counts;
pub use judge::judge;
pub use report::{CauseReport, HopReport, Report, RouteReport};

/// A system that a request passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// Cloudflare's edge. It is the first: it is judged by what came after it.
    Edge,
    /// A Worker, and what it asked for.
    Worker,
    /// Kong.
    Kong,
    /// The service behind.
    Service,
}

impl Hop {
    /// All of them, from the visitor inwards.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Worker, Self::Kong, Self::Service];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Worker => "worker",
            Self::Kong => "kong",
            Self::Service => "service",
        }
    }
}

/// How a hop is joined, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    /// The trace context went from one to the other in the headers.
    Exact,
    /// A ray or a request id says so.
    ById,
    /// It is the likeliest of several.
    Guessed,
    /// It is not.
    Alone,
}

/// What is said of one hop of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// Which hop.
    pub hop: Hop,
    /// How it is joined.
    pub joined: Joined,
    /// Why not better, where something can be done. With an exact join: what is wrong all the same.
    pub cause: Option<Cause>,
    /// What the cause measures: of a clock, milliseconds that it is ahead.
    pub number: i64,
}

/// What is said of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The id under which it is found.
    pub trace: Trace,
    /// Kong's route, else host and the path's first segment.
    pub route: String,
    /// One for each hop that there is anything to say of, from the visitor inwards.
    pub verdicts: Vec<Verdict>,
}

/// A judgement as it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// The minute since 1970 that it counts in.
    pub(crate) minute: u32,
    pub(crate) judgement: Judgement,
}
