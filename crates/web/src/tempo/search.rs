//! `/api/search`: traces with a span that passes, the newest first, each with a few of these spans.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use regex::RegexBuilder;
use rows::{Filter, Order, Span, Subject, Test};
use serde_json::{Value, json};
use store::Search;

use super::traceql::{Field, Query};
use super::{Refused, answer, range};
use crate::Sources;
use crate::params::{Asked, MOST_TRACES, Params};
use crate::traces::{self, Whole};

/// Traces in an answer unless told.
const USUAL: usize = 20;
/// Spans of a trace in an answer unless told, and at most.
const USUAL_SPANS: usize = 3;
const MOST_SPANS: usize = 100;
/// Tags in one question.
const MOST_TAGS: usize = 32;

pub(super) async fn search(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let query = query(&params)?;
    let (from, to) = range(&params)?;
    let limit = params.count("limit", USUAL, MOST_TRACES)?;
    let spans = params.count("spss", USUAL_SPANS, MOST_SPANS)?;
    let search = Search { filter: query.filter, from, to, limit };
    let found = traces::search(&sources, search.clone()).await?;
    let traces: Vec<Value> = found
        .traces
        .iter()
        .map(|trace| {
            let passing = trace.spans.iter().filter(|span| traces::passes(&search, span));
            summary(trace, &passing.collect::<Vec<_>>(), spans, &query.fields)
        })
        .collect();
    let metrics = json!({ "inspectedTraces": traces.len(), "inspectedSpans": found.rows.to_string() });
    Ok(answer(&json!({ "traces": traces, "metrics": metrics }), &found.lacks))
}

/// A query in TraceQL, or the tags that older viewers send.
fn query(params: &Params) -> Result<Query, String> {
    for name in ["minDuration", "maxDuration"] {
        if params.get(name).is_some() {
            return Err(format!("parameter '{name}' is not supported; write q={{ duration > 10ms }}"));
        }
    }
    match (params.get("q"), params.get("tags")) {
        (Some(_), Some(_)) => Err("q and tags are two ways to ask; send one of them".to_owned()),
        (Some(text), None) => Query::parse(text),
        (None, Some(tags)) => tagged(tags),
        (None, None) => Query::parse("{}"),
    }
}

/// Tags as logfmt: `service.name=checkout http.route="/a b"`. A value is any part of what is there, in any case.
fn tagged(text: &str) -> Result<Query, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if all.len() == MOST_TAGS {
            return Err(format!("invalid tags: more than {MOST_TAGS}"));
        }
        let told = || format!("invalid tags: expected key=value at {:?}", traces::shortened(rest));
        let (key, after) = rest.split_once('=').ok_or_else(told)?;
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(told());
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(told)?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        let part = RegexBuilder::new(&regex::escape(value)).case_insensitive(true).build();
        let part = Test::Matches(part.map_err(|error| error.to_string())?);
        all.push(match (key, value) {
            ("name", _) => Filter::Is(Subject::Name, part),
            ("error", "true") => Filter::Is(Subject::Status, Test::Text(Order::Equal, "error".to_owned())),
            ("status.code" | "status", _) => Filter::Is(Subject::Status, part),
            _ => Field::Either(key.to_owned()).is(&part),
        });
        rest = after.trim_start();
    }
    Ok(Query { filter: Filter::All(all), fields: Vec::new() })
}

fn summary(trace: &Whole, passing: &[&Span], most: usize, fields: &[Field]) -> Value {
    let start = trace.spans.iter().map(|span| span.start).filter(|start| *start > 0).min().unwrap_or(0);
    let end = trace.spans.iter().map(|span| span.end).max().unwrap_or(0);
    let root = trace.spans.iter().find(|span| span.parent_span_id.is_empty());
    let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for span in &trace.spans {
        let (spans, errors) = services.entry(&span.service).or_default();
        *spans += 1;
        *errors += u64::from(span.status == "error");
    }
    let stats: serde_json::Map<String, Value> = services
        .into_iter()
        .map(|(service, (spans, errors))| {
            let mut counts = json!({ "spanCount": spans });
            if errors > 0 {
                counts["errorCount"] = errors.into();
            }
            (service.to_owned(), counts)
        })
        .collect();
    let spans: Vec<Value> = passing.iter().take(most).map(|span| passed(span, fields)).collect();
    let set = json!({ "spans": spans, "matched": passing.len() });
    json!({
        "traceID": trace.id.trim_start_matches('0'),
        "rootServiceName": root.map_or("<root span not yet received>", |root| &root.service),
        "rootTraceName": root.map_or("", |root| &root.name),
        "startTimeUnixNano": start.to_string(),
        // Readers have 32 bits for it, and one that does not fit would cost them the whole answer.
        "durationMs": (end.saturating_sub(start) / 1_000_000).min(u32::MAX.into()),
        "spanSet": set,
        "spanSets": [set],
        "serviceStats": stats,
    })
}

/// A span, with what the query names of it.
fn passed(span: &Span, fields: &[Field]) -> Value {
    let attributes: Vec<Value> = fields
        .iter()
        .filter_map(|field| Some(json!({ "key": field.name(), "value": any(&field.value(span)?) })))
        .collect();
    json!({
        "spanID": span.span_id,
        "name": span.name,
        "startTimeUnixNano": span.start.to_string(),
        "durationNanos": span.end.saturating_sub(span.start).to_string(),
        "attributes": attributes,
    })
}

/// A value as OTLP/JSON writes one.
fn any(value: &Value) -> Value {
    match value {
        Value::Bool(_) => json!({ "boolValue": value }),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => json!({ "intValue": whole.to_string() }),
            None => json!({ "doubleValue": value }),
        },
        Value::String(_) => json!({ "stringValue": value }),
        other => json!({ "stringValue": other.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{checkout, rich};

    fn trace(spans: Vec<Span>) -> Whole {
        Whole { id: rich().trace_id, spans, ..Whole::default() }
    }

    #[test]
    fn a_summary_names_the_root_and_counts_by_service() {
        let root = Span { parent_span_id: String::new(), status: "unset", ..rich() };
        let other = Span { service: "other".to_owned(), start: 0, end: 0, ..rich() };
        let all = trace(vec![other, rich(), root]);
        let fields =
            [Field::Of(Subject::Status), Field::Either("n".to_owned()), Field::Either("none".to_owned())];
        let passing: Vec<&Span> = all.spans.iter().skip(1).collect();
        let shown = summary(&all, &passing, 1, &fields);
        assert_eq!(shown["rootServiceName"], "rich");
        assert_eq!(
            (&shown["startTimeUnixNano"], &shown["durationMs"]),
            (&json!("1772438400147204999"), &json!(136))
        );
        assert_eq!(
            shown["serviceStats"],
            json!({ "other": { "spanCount": 1, "errorCount": 1 }, "rich": { "spanCount": 2, "errorCount": 1 } })
        );
        let set = &shown["spanSet"];
        assert_eq!((set["matched"].as_u64(), set["spans"].as_array().map(Vec::len)), (Some(2), Some(1)));
        assert_eq!(
            set["spans"][0]["attributes"],
            json!([
                { "key": "status", "value": { "stringValue": "error" } }, { "key": "n", "value": { "intValue": "5" } },
            ])
        );
    }

    #[test]
    fn a_trace_without_a_root_or_with_a_broken_clock_is_shown_too() {
        let shown = summary(&trace(vec![Span { end: u64::MAX, ..rich() }]), &[], 3, &[]);
        assert_eq!(shown["rootServiceName"], "<root span not yet received>");
        assert_eq!(shown["durationMs"], u32::MAX);
    }

    #[test]
    fn tags_are_read_as_logfmt() {
        for (text, expected) in [
            ("service.name=check", true),
            ("service.name=CHECKOUT name=\"post /P\" error=true", true),
            ("  k8s.namespace.name=shop  ", true),
            ("service.name=cart", false),
            ("flag=true both=own", true),
            ("both=above", false),
            ("none=x", false),
            ("name=(", false),
        ] {
            assert_eq!(tagged(text).unwrap().filter.passes(&checkout()), expected, "{text}");
        }
        let many = "a=b ".repeat(33);
        for text in ["x", "=x", "a b=c", "a=\"b", "a=b c", &many] {
            assert!(tagged(text).unwrap_err().contains("invalid tags"), "{text}");
        }
    }
}
