//! Finds the items of a remote-write `WriteRequest` (PMT 1.4): samples, exemplars and histograms of each series, and the
//! metadata entries beside them.

use wire::WireError;
use wire::walk::{self, Value};

use crate::chunk::{Collector, Found, Piece};
use crate::items::messages;
use crate::row::Kind;

const NANOS_PER_MILLI: i64 = 1_000_000;

pub(crate) fn collect(plain: &[u8], to: &mut Collector) -> Result<(), WireError> {
    for series in messages(plain, 1) {
        let series = series?;
        let envelope = to.envelope(series, |number| matches!(number, 2..=4))?;
        let service = to.service(job(series).unwrap_or_default());
        to.group(Piece::default(), Piece::default(), envelope, service);
        for (number, kind, time_field) in
            [(2, Kind::Sample, 2), (4, Kind::NativeHistogram, 15), (3, Kind::Exemplar, 3)]
        {
            for raw in messages(series, number) {
                let raw = raw?;
                if !to.passes_over() {
                    to.item(&Found { kind, time: time(raw, time_field), trace: [0; 16], raw });
                }
            }
        }
    }
    let service = to.service("");
    to.group(Piece::default(), Piece::default(), Piece::default(), service);
    for raw in messages(plain, 3) {
        let raw = raw?;
        if !to.passes_over() {
            to.item(&Found { kind: Kind::Metadata, time: None, trace: [0; 16], raw });
        }
    }
    Ok(())
}

/// Milliseconds at `field` as nanoseconds; proto3 leaves out a zero, which is 1970 here, not "unknown".
fn time(raw: &[u8], field: u32) -> Option<i64> {
    let mut millis = 0;
    for found in walk::fields(raw).map_while(Result::ok) {
        if let Value::Varint(value) = found.value
            && found.number == field
        {
            millis = value as i64;
        }
    }
    Some(millis.saturating_mul(NANOS_PER_MILLI))
}

/// The `job` label, which Prometheus has for what OpenTelemetry calls a service (PMT 11.4).
fn job(series: &[u8]) -> Option<&str> {
    for label in messages(series, 1).map_while(Result::ok) {
        let (mut name, mut value) = ("", "");
        for field in walk::fields(label).map_while(Result::ok) {
            match field.number {
                1 => name = field.text().unwrap_or_default(),
                2 => value = field.text().unwrap_or_default(),
                _ => {}
            }
        }
        if name == "job" {
            return Some(value);
        }
    }
    None
}
