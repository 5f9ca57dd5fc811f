//! A trace as Jaeger's JSON has it. Attributes become tags as Jaeger's own OTLP receiver makes them, so that a trace looks the
//! same whether it is asked here or of a Jaeger that was sent the same spans; `internal.span.format` alone is not made up.

use rows::{Attributes, Span};
use serde_json::{Map, Value, json};

use super::shown;
use crate::traces::Whole;

/// Whole numbers beyond it are text, since JavaScript cannot hold them.
const SAFE: u64 = (1 << 53) - 1;
/// The attribute of a link that says what it was in OpenTracing.
const REF_TYPE: &str = "opentracing.ref_type";

/// One trace.
pub(super) fn json(trace: &Whole) -> Value {
    let mut processes: Vec<Value> = Vec::new();
    let spans: Vec<Value> = trace
        .spans
        .iter()
        .map(|one| {
            let process = process(one);
            let number = processes.iter().position(|known| *known == process).unwrap_or_else(|| {
                processes.push(process);
                processes.len() - 1
            });
            span(one, number + 1)
        })
        .collect();
    let processes: Map<String, Value> =
        processes.into_iter().zip(1..).map(|(process, number)| (format!("p{number}"), process)).collect();
    let mut warnings: Vec<String> = Vec::new();
    if trace.truncated {
        warnings.push("the trace has more spans than an answer can hold".to_owned());
    }
    if trace.unreadable > 0 {
        warnings.push(format!("{} files could not be read, so that spans may be missing", trace.unreadable));
    }
    let warnings = if warnings.is_empty() { Value::Null } else { json!(warnings) };
    json!({ "traceID": trace_id(&trace.id), "spans": spans, "processes": processes, "warnings": warnings })
}

fn process(span: &Span) -> Value {
    let mut tags = tags(&span.resource);
    tags.retain(|tag| tag["key"] != "service.name");
    json!({ "serviceName": shown(&span.service), "tags": sorted(tags) })
}

fn span(span: &Span, process: usize) -> Value {
    let logs: Vec<Value> = span
        .events
        .iter()
        .map(|event| {
            let mut fields = Vec::new();
            if !event.name.is_empty() {
                fields.push(tag("event", "string", event.name.as_str()));
            }
            fields.extend(tags(&event.attributes));
            json!({ "timestamp": event.time / 1000, "fields": fields })
        })
        .collect();
    json!({
        "traceID": trace_id(&span.trace_id),
        "spanID": span.span_id,
        "operationName": span.name,
        "references": references(span),
        "startTime": span.start / 1000,
        "duration": span.end.saturating_sub(span.start) / 1000,
        "tags": span_tags(span),
        "logs": logs,
        "processID": format!("p{process}"),
        "warnings": null,
    })
}

fn span_tags(span: &Span) -> Vec<Value> {
    let mut all = tags(&span.attributes);
    let mut text = |key: &str, value: &str| {
        if !value.is_empty() {
            all.push(tag(key, "string", value));
        }
    };
    text("otel.scope.name", &span.scope.name);
    text("otel.scope.version", &span.scope.version);
    if span.kind != "unspecified" {
        text("span.kind", span.kind);
    }
    match span.status {
        "error" => text("otel.status_code", "ERROR"),
        "ok" => text("otel.status_code", "OK"),
        _ => {}
    }
    text("otel.status_description", &span.status_message);
    text("w3c.tracestate", &span.trace_state);
    if span.status == "error" {
        all.push(tag("error", "bool", true));
    }
    sorted(all)
}

/// The parent first, since pages take the first that has its trace for the parent.
fn references(span: &Span) -> Vec<Value> {
    let reference = |kind: &str, trace: &str, id: &str| json!({ "refType": kind, "traceID": trace_id(trace), "spanID": id });
    let mut references = Vec::new();
    if !span.parent_span_id.is_empty() {
        references.push(reference("CHILD_OF", &span.trace_id, &span.parent_span_id));
    }
    let is_child =
        |link: &&rows::Link| link.attributes.get(REF_TYPE).and_then(Value::as_str) == Some("child_of");
    let (children, others): (Vec<_>, Vec<_>) = span.links.iter().partition(|link| is_child(link));
    references.extend(children.iter().map(|link| reference("CHILD_OF", &link.trace_id, &link.span_id)));
    references.extend(others.iter().map(|link| reference("FOLLOWS_FROM", &link.trace_id, &link.span_id)));
    references
}

fn tags(attributes: &Attributes) -> Vec<Value> {
    attributes
        .0
        .iter()
        .map(|(key, value)| match value {
            Value::Null => tag(key, "string", ""),
            Value::String(_) => tag(key, "string", value.clone()),
            Value::Bool(_) => tag(key, "bool", value.clone()),
            Value::Number(number) => match number.as_i64() {
                Some(whole) if whole.unsigned_abs() > SAFE => tag(key, "int64", whole.to_string()),
                Some(_) => tag(key, "int64", value.clone()),
                None => tag(key, "float64", shortest(value)),
            },
            Value::Array(_) | Value::Object(_) => tag(key, "string", value.to_string()),
        })
        .collect()
}

/// Jaeger writes a number without a fraction as a whole one: 8080, not 8080.0.
fn shortest(number: &Value) -> Value {
    match number.as_f64() {
        Some(whole) if whole.fract() == 0.0 && whole.abs() <= SAFE as f64 => json!(whole as i64),
        _ => number.clone(),
    }
}

fn tag(key: &str, kind: &str, value: impl Into<Value>) -> Value {
    json!({ "key": key, "type": kind, "value": value.into() })
}

fn sorted(mut tags: Vec<Value>) -> Vec<Value> {
    tags.sort_by(|a, b| a["key"].as_str().cmp(&b["key"].as_str()));
    tags
}

/// Jaeger writes an id of 64 bits as 16 digits.
fn trace_id(id: &str) -> &str {
    id.strip_prefix("0000000000000000").unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::rich;

    #[test]
    fn a_span_looks_as_a_jaeger_shows_it_that_was_sent_it() {
        let trace = Whole { id: rich().trace_id, spans: vec![rich()], ..Whole::default() };
        let tag = |key: &str, kind: &str, value: Value| json!({ "key": key, "type": kind, "value": value });
        let expected = json!({
            "traceID": "11112222333344f5",
            "spans": [{
                "traceID": "11112222333344f5",
                "spanID": "00f067aa0ba902b7",
                "operationName": "root op",
                "references": [
                    { "refType": "CHILD_OF", "traceID": "11112222333344f5", "spanID": "00f067aa0ba902b6" },
                    { "refType": "CHILD_OF", "traceID": "d256002ba4ab731c6203a1b59639b7eb", "spanID": "20d8bf0dc0383bb5" },
                    { "refType": "FOLLOWS_FROM", "traceID": "d256002ba4ab731c6203a1b59639b7ea", "spanID": "20d8bf0dc0383bb5" },
                ],
                "startTime": 1_772_438_400_147_204_u64,
                "duration": 136_310,
                "tags": [
                    tag("b", "bool", json!(true)),
                    tag("big", "int64", json!("9007199254740993")),
                    tag("d", "float64", json!(1.5)),
                    tag("empty", "string", json!("")),
                    tag("error", "bool", json!(true)),
                    tag("low", "int64", json!("-9223372036854775808")),
                    tag("map", "string", json!("{\"k\":1}")),
                    tag("otel.scope.name", "string", json!("lib")),
                    tag("otel.scope.version", "string", json!("2")),
                    tag("otel.status_code", "string", json!("ERROR")),
                    tag("otel.status_description", "string", json!("bad thing")),
                    tag("s", "string", json!("t")),
                    tag("span.kind", "string", json!("server")),
                    tag("w3c.tracestate", "string", json!("a=b")),
                    tag("whole", "float64", json!(8080)),
                ],
                "logs": [
                    { "timestamp": 1_772_438_400_150_000_u64, "fields": [
                        tag("event", "string", json!("exception")), tag("exception.type", "string", json!("E")) ] },
                    { "timestamp": 1_772_438_400_150_001_u64, "fields": [] },
                ],
                "processID": "p1",
                "warnings": null,
            }],
            "processes": { "p1": { "serviceName": "rich", "tags": [
                tag("arr", "string", json!("[\"a\",1,true]")), tag("n", "int64", json!(5)) ] } },
            "warnings": null,
        });
        assert_eq!(json(&trace), expected);
    }

    #[test]
    fn spans_of_one_process_share_it_and_a_cut_trace_says_so() {
        let mut other = rich();
        other.service = String::new();
        let trace = Whole {
            id: rich().trace_id,
            spans: vec![rich(), other, rich()],
            truncated: true,
            unreadable: 2,
            ..Whole::default()
        };
        let shown = json(&trace);
        let processes: Vec<_> = (0..3).map(|at| &shown["spans"][at]["processID"]).collect();
        assert_eq!(processes, ["p1", "p2", "p1"]);
        assert_eq!(shown["processes"]["p2"]["serviceName"], "OTLPResourceNoServiceName");
        assert_eq!(shown["warnings"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_span_that_ends_before_it_begins_has_no_duration() {
        let backwards = Span { end: 5, ..rich() };
        assert_eq!(span(&backwards, 1)["duration"], 0);
    }
}
