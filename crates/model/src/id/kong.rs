//! The `trace_id` object of a Kong log record: one member for each format that Kong injected upstream
//! (Kong, `kong/observability/tracing`). `datadog` is the decimal low half of what others show whole.

use super::{Notation, Reading, TraceId};

/// Every id in the object, best first: w3c, gcp and aws, then other full ids, then short ones, then Datadog's.
/// Members that hold no id are left out.
pub fn kong_trace_ids<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(Notation, Reading)> {
    let mut found: Vec<(u8, Notation, Reading)> = Vec::new();
    for (format, text) in members {
        let (rank, notation, as_written) = match format {
            "w3c" => (0, Notation::W3c, Notation::B3Multi),
            "gcp" => (1, Notation::Gcp, Notation::B3Multi),
            "aws" => (2, Notation::Aws, Notation::B3Multi),
            "b3" => (3, Notation::B3Multi, Notation::B3Multi),
            "jaeger" => (4, Notation::Jaeger, Notation::B3Multi),
            "instana" => (5, Notation::Instana, Notation::B3Multi),
            "ot" => (6, Notation::Ot, Notation::B3Multi),
            "datadog" => (40, Notation::Datadog, Notation::Datadog),
            _ => continue,
        };
        let Ok(reading) = TraceId::read(as_written, text) else { continue };
        let short = if text.trim().len() == 32 { 0 } else { 20 };
        found.push((rank.min(40 - short) + short, notation, reading));
    }
    found.sort_by_key(|&(rank, ..)| rank);
    found.into_iter().map(|(_, notation, reading)| (notation, reading)).collect()
}
