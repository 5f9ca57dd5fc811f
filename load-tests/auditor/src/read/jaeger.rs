//! Jaeger, trace by trace by its query API, which answers OTLP/JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use testkit::process::{http, pause};

use super::{Found, otlp_json};
use crate::content::{Run, otlp};
use crate::item::Id;
use crate::json;
use crate::value::{Fields, Value, hex};

/// Jaeger answers a request before it has stored what was in it: what is not there yet is waited for so long in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every span of the traces of these items.
pub(crate) fn read(run: &Run, port: u16, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
    let mut spans: BTreeMap<String, usize> = BTreeMap::new();
    for id in ids {
        *spans.entry(hex(&otlp::span(run, *id).trace_id)).or_default() += 1;
    }
    let begun = Instant::now();
    for (trace, expected) in spans {
        let mut found = trace_of(port, &trace)?;
        while found.len() < expected && begun.elapsed() < PATIENCE {
            pause();
            found = trace_of(port, &trace)?;
        }
        found.into_iter().for_each(|fields| each(Found::item(run, without_its_own(fields))));
    }
    Ok(())
}

fn trace_of(port: u16, id: &str) -> Result<Vec<Fields>, String> {
    let path = format!("/api/v3/traces/{id}");
    let answer = http(port, "GET", &path, &[], &[]).map_err(|error| format!("{path}: {error}"))?;
    match answer.status {
        404 => Ok(Vec::new()),
        200 => otlp_json::items(&json::read_bytes(&answer.body)?["result"]),
        status => Err(format!("{path} answered {status} {}", answer.text())),
    }
}

/// Jaeger notes of a span in which format it came, and of a link what it is to OpenTracing.
fn without_its_own(fields: Fields) -> Fields {
    let is_its_own = |name: &str, value: &Value| {
        name == "attr.internal.span.format" && *value == Value::text("otlp")
            || name.starts_with("link.")
                && name.ends_with(".attr.opentracing.ref_type")
                && *value == Value::text("follows_from")
    };
    fields.into_iter().filter(|(name, value)| !is_its_own(name, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jaeger_adds_is_left_out_and_nothing_else() {
        let fields: Fields = [
            ("attr.internal.span.format", "otlp"),
            ("attr.item", "spans-http.0"),
            ("link.0.attr.opentracing.ref_type", "follows_from"),
            ("link.0.attr.why", "retry"),
        ]
        .map(|(name, value)| (name.to_owned(), Value::text(value)))
        .into();
        let left: Vec<String> = without_its_own(fields).into_keys().collect();
        assert_eq!(left, ["attr.item", "link.0.attr.why"]);
        let other: Fields = [("attr.internal.span.format".to_owned(), Value::text("zipkin"))].into();
        assert_eq!(without_its_own(other.clone()), other);
    }
}
