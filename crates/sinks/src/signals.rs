//! Which signals a sink takes, as the operator writes it.

use model::{Problem, Signal};
use schemars::JsonSchema;
use serde::Deserialize;

/// A signal's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Name {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

impl Name {
    /// All of them: the default of every sink that can take all.
    pub(crate) fn all() -> Vec<Self> {
        vec![Self::Traces, Self::Logs, Self::Metrics]
    }
}

/// Each named signal once, in their own order; an empty list is a problem.
pub(crate) fn checked(names: &[Name], problems: &mut Vec<Problem>) -> Vec<Signal> {
    if names.is_empty() {
        problems.push(Problem::new(
            "signals",
            "names no signal",
            "write traces, logs or metrics, or leave it out",
        ));
    }
    let wanted = |signal: &Signal| {
        names.contains(match signal {
            Signal::Traces => &Name::Traces,
            Signal::Logs => &Name::Logs,
            Signal::Metrics => &Name::Metrics,
        })
    };
    Signal::ALL.into_iter().filter(wanted).collect()
}
