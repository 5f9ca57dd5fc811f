//! Finds the items of a remote-write `WriteRequest`: samples, exemplars and histograms of each series, and the
//! metadata entries beside them.

use wire::WireError;
use wire::rw::private::CUSTOM_HISTOGRAM;
use wire::walk::{self, Value};

use crate::chunk::{Collector, Found, Piece};
use crate::items::messages;
use crate::row::Kind;

const NANOS_PER_MILLI: i64 = 1_000_000;

pub(crate) fn collect(plain: &[u8], to: &mut Collector) -> Result<(), WireError> {
    for field in walk::fields(plain) {
        let field = field?;
        match field.number {
            1 => collect_series(field.bytes()?, to)?,
            3 => {
                let raw = field.bytes()?;
                if !to.passes_over() {
                    let service = to.service("");
                    to.group(Piece::default(), Piece::default(), Piece::default(), service);
                    to.item(&Found { kind: Kind::Metadata, time: None, trace: [0; 16], raw });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn collect_series(series: &[u8], to: &mut Collector) -> Result<(), WireError> {
    let envelope = to.envelope(series, |number| part(number).is_some())?;
    let service = to.service(job(series).unwrap_or_default());
    to.group(Piece::default(), Piece::default(), envelope, service);
    for field in walk::fields(series) {
        let field = field?;
        if let Some((kind, time_field)) = part(field.number) {
            let raw = field.bytes()?;
            if !to.passes_over() {
                to.item(&Found { kind, time: time(raw, time_field), trace: [0; 16], raw });
            }
        }
    }
    Ok(())
}

/// What a field of a series holds, and where that has its time.
const fn part(number: u32) -> Option<(Kind, u32)> {
    match number {
        2 => Some((Kind::Sample, 2)),
        3 => Some((Kind::Exemplar, 3)),
        4 => Some((Kind::NativeHistogram, 15)),
        CUSTOM_HISTOGRAM => Some((Kind::CustomHistogram, 15)),
        _ => None,
    }
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

/// The `job` label, which Prometheus has for what OpenTelemetry calls a service.
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
