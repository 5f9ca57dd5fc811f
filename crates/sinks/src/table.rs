//! The table of sinks. A new sink is one file and one line here.

use pipeline::SinkRow;

#[cfg(feature = "kafka")]
use crate::kafka;
use crate::{blackhole, clickhouse, elasticsearch, file, http, loki, objects, otlp, prometheus};

/// Every sink of this crate, by name.
pub const ROWS: &[SinkRow] = &[
    blackhole::ROW,
    clickhouse::ROW,
    elasticsearch::ROW,
    file::ROW,
    http::ROW,
    #[cfg(feature = "kafka")]
    kafka::ROW,
    loki::ROW,
    objects::ROW,
    otlp::ROW,
    prometheus::ROW,
];

/// The sinks that this build was made without, each with the feature that has it.
pub const ABSENT: &[(&str, &str)] = if cfg!(feature = "kafka") { &[] } else { &[("kafka", "kafka")] };

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
