//! A trace by any spelling of its id. 64-bit numbers are text, because most JSON readers keep 53 bits.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use rows::{LogRow, Span};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Sources;
use crate::answer::refuse;
use crate::traces::{Whole, find};

/// What was found under an id.
#[derive(Debug, Serialize)]
struct Found {
    /// The id as asked for.
    id: String,
    /// The traces that it may mean, the likeliest first; each with at least one item.
    traces: Vec<Answer>,
}

#[derive(Debug, Serialize)]
struct Answer {
    trace_id: String,
    /// Other ids under which parts of it were received.
    aliases: Vec<String>,
    spans: Vec<Value>,
    logs: Vec<Value>,
    /// Whether there is more than an answer can hold.
    truncated: bool,
    /// Files that could not be read, so that something may be missing.
    unreadable_files: u64,
}

pub(crate) async fn by_id(State(sources): State<Sources>, Path(id): Path<String>) -> Response {
    match find(&sources, &id).await {
        Ok(traces) => Json(Found { id, traces: traces.iter().map(answer).collect() }).into_response(),
        Err(trouble) => refuse(trouble.status(), &trouble.message()),
    }
}

fn answer(trace: &Whole) -> Answer {
    Answer {
        trace_id: trace.id.clone(),
        aliases: trace.aliases.clone(),
        spans: trace.spans.iter().map(span).collect(),
        logs: trace.logs.iter().map(log).collect(),
        truncated: trace.truncated,
        unreadable_files: trace.unreadable,
    }
}

fn span(span: &Span) -> Value {
    let events: Vec<Value> = span
        .events
        .iter()
        .map(|e| json!({ "time_unix_nano": e.time.to_string(), "name": e.name, "attributes": e.attributes }))
        .collect();
    json!({
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "service": span.service,
        "name": span.name,
        "kind": span.kind,
        "start_unix_nano": span.start.to_string(),
        "end_unix_nano": span.end.to_string(),
        "status": span.status,
        "status_message": span.status_message,
        "trace_state": span.trace_state,
        "flags": span.flags,
        "attributes": span.attributes,
        "resource": span.resource,
        "scope": span.scope,
        "events": events,
        "links": span.links,
        "tenant": span.tenant,
        "source": span.source,
    })
}

fn log(log: &LogRow) -> Value {
    let body = log.body.as_str().map_or_else(|| log.body.to_string(), Into::into);
    let severity = if log.severity_text.is_empty() { severity(log.severity) } else { &log.severity_text };
    json!({
        "trace_id": log.trace_id,
        "span_id": log.span_id,
        "service": log.service,
        "time_unix_nano": log.time.to_string(),
        "severity": severity,
        "severity_number": log.severity,
        "event_name": log.event_name,
        "body": body,
        "attributes": log.attributes,
        "resource": log.resource,
        "scope": log.scope,
        "flags": log.flags,
        "tenant": log.tenant,
        "source": log.source,
    })
}

/// The name of an OTLP severity number (logs data model, "Displaying Severity").
fn severity(number: i32) -> &'static str {
    const NAMES: [&str; 24] = [
        "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2",
        "INFO3", "INFO4", "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL",
        "FATAL2", "FATAL3", "FATAL4",
    ];
    usize::try_from(number).ok().and_then(|n| NAMES.get(n.wrapping_sub(1))).unwrap_or(&"UNSPECIFIED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_the_names_of_the_data_model() {
        for (number, name) in [
            (0, "UNSPECIFIED"),
            (1, "TRACE"),
            (9, "INFO"),
            (10, "INFO2"),
            (17, "ERROR"),
            (24, "FATAL4"),
            (25, "UNSPECIFIED"),
            (-3, "UNSPECIFIED"),
        ] {
            assert_eq!(severity(number), name);
        }
    }
}
