//! A trace by its id. In protobuf it is OTLP; in JSON it is what Tempo makes of that: ids in base64, enums by name.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::Refused;
use crate::Sources;
use crate::params::{Part, part};
use crate::traces::{self, Whole};

const PROTOBUF: &str = "application/protobuf";

/// `/api/traces/{id}`: the trace itself.
pub(super) async fn first(
    State(sources): State<Sources>,
    id: Part,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let trace = likeliest(&sources, &part(id)?).await?;
    if wants_protobuf(&headers) {
        return Ok(protobuf(rows::request(&trace.spans)));
    }
    Ok(Json(json!({ "batches": resource_spans(&trace)? })).into_response())
}

/// `/api/v2/traces/{id}`: the trace, and whether it is whole.
pub(super) async fn second(
    State(sources): State<Sources>,
    id: Part,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let trace = likeliest(&sources, &part(id)?).await?;
    let lack = lack(&trace);
    if wants_protobuf(&headers) {
        // `TraceByIDResponse`: the trace is field 1, the status field 3 (1 is partial), the message field 4.
        let mut out = Vec::new();
        put(&mut out, 1, &rows::request(&trace.spans));
        if let Some(lack) = lack {
            out.extend([3 << 3, 1]);
            put(&mut out, 4, lack.as_bytes());
        }
        return Ok(protobuf(out));
    }
    let mut body = json!({ "trace": { "resourceSpans": resource_spans(&trace)? } });
    if let Some(lack) = lack {
        body["status"] = "PARTIAL".into();
        body["message"] = lack.into();
    }
    Ok(Json(body).into_response())
}

/// Of the traces that the text may mean the likeliest that has spans.
async fn likeliest(sources: &Sources, id: &str) -> Result<Whole, Refused> {
    let traces = traces::find(sources, id).await?;
    let missing = || {
        Refused(
            StatusCode::NOT_FOUND,
            "trace not found: the store has log records of it, no spans".to_owned(),
        )
    };
    traces.into_iter().find(|trace| !trace.spans.is_empty()).ok_or_else(missing)
}

fn lack(trace: &Whole) -> Option<String> {
    if trace.truncated {
        return Some("the trace has more spans than an answer can hold".to_owned());
    }
    (trace.unreadable > 0)
        .then(|| format!("{} files could not be read, so that spans may be missing", trace.unreadable))
}

fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or(kind).trim() == PROTOBUF)
}

fn protobuf(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
}

/// Appends a field of bytes.
fn put(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

fn resource_spans(trace: &Whole) -> Result<Value, Refused> {
    let broken =
        |error: String| Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("a span is no JSON: {error}"));
    let json = rows::request_json(&trace.spans).map_err(|error| broken(error.to_string()))?;
    let mut request: Value = serde_json::from_slice(&json).map_err(|error| broken(error.to_string()))?;
    let mut resources = request["resourceSpans"].take();
    for span in
        each(&mut resources).flat_map(|r| each(&mut r["scopeSpans"])).flat_map(|s| each(&mut s["spans"]))
    {
        rewrite(span);
    }
    Ok(resources)
}

/// The members of an array; none of anything else.
fn each(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

fn rewrite(span: &mut Value) {
    const KINDS: [&str; 6] = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
    const CODES: [&str; 3] = ["UNSET", "OK", "ERROR"];
    for id in ["traceId", "spanId", "parentSpanId"] {
        base64(span, id);
    }
    if let Some(links) = span.get_mut("links") {
        for link in each(links) {
            base64(link, "traceId");
            base64(link, "spanId");
        }
    }
    name(span, "kind", "SPAN_KIND_", &KINDS);
    if let Some(status) = span.get_mut("status") {
        name(status, "code", "STATUS_CODE_", &CODES);
    }
}

fn name(object: &mut Value, key: &str, prefix: &str, names: &[&str]) {
    let number = object.get(key).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    if let Some(name) = number.and_then(|number| names.get(number)) {
        object[key] = format!("{prefix}{name}").into();
    }
}

/// Turns hex digits into base64.
fn base64(object: &mut Value, key: &str) {
    let Some(hex) = object.get(key).and_then(Value::as_str) else { return };
    let bytes: Option<Vec<u8>> = (0..hex.len() / 2)
        .map(|at| hex.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    if let Some(bytes) = bytes {
        object[key] = BASE64_STANDARD.encode(bytes).into();
    }
}
