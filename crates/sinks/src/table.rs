//! The table of sinks. A new sink is one file and one line here.

use pipeline::SinkRow;

use crate::{blackhole, file, http, loki, objects, otlp, prometheus};

/// Every sink of this crate, by name.
pub const ROWS: &[SinkRow] =
    &[blackhole::ROW, file::ROW, http::ROW, loki::ROW, objects::ROW, otlp::ROW, prometheus::ROW];

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
