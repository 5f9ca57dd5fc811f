//! The query APIs of Jaeger and Tempo over the embedded store, by value against the spans that were sent: while these are in
//! memory, and when they are in files. With `--all` a real Jaeger is sent the same and has to answer the same.
//!
//! | file | what |
//! |---|---|
//! | `jaeger.rs` | Jaeger's API, also beside a real one |
//! | `tempo.rs` | Tempo's API and TraceQL |

mod jaeger;
mod tempo;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::process::{Answer, eventually, http};
use testkit::server::{Jaeger, all, encode};

use crate::crash::settled;
use crate::gateway::Gateway;

/// The ids and the times of the spans below.
const RICH: &str = "000000000000000011112222333344f5";
const T01: &str = "d256002ba4ab731c6203a1b59639b7ea";

/// A trace with all that a span can have, and spans that lack nearly all of it.
fn rich() -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let span = |id: &str, parent: &str, name: &str, kind: u8, end: &str| {
        json!({ "traceId": RICH, "spanId": id, "parentSpanId": parent, "name": name, "kind": kind,
                "startTimeUnixNano": "1772438400157204999", "endTimeUnixNano": end })
    };
    let mut root = span("00f067aa0ba902b7", "", "root op", 2, "1772438400283515000");
    root["startTimeUnixNano"] = "1772438400147204999".into();
    root["traceState"] = "a=b".into();
    root["flags"] = 257.into();
    root["attributes"] = json!([
        text("s", "t"),
        { "key": "big", "value": { "intValue": "9007199254740993" } },
        { "key": "d", "value": { "doubleValue": 1.5 } },
        { "key": "big double", "value": { "doubleValue": 1e300 } },
        { "key": "b", "value": { "boolValue": true } },
        { "key": "map", "value": { "kvlistValue": { "values": [
            { "key": "a", "value": { "stringValue": "x" } }, { "key": "k", "value": { "intValue": "1" } } ] } } },
    ]);
    root["status"] = json!({ "code": 2, "message": "bad thing" });
    root["events"] = json!([
        { "timeUnixNano": "1772438400150000999", "name": "exception", "attributes": [text("exception.type", "E")] },
        { "timeUnixNano": "1772438400150001999" },
    ]);
    root["links"] = json!([
        { "traceId": T01, "spanId": "20d8bf0dc0383bb5", "attributes": [text("la", "v")] },
    ]);
    let mut child = span("00f067aa0ba902b8", "00f067aa0ba902b7", "", 0, "1772438400200000000");
    child["status"] = json!({ "code": 1 });
    let nameless = span("00f067aa0ba902b9", "00f067aa0ba902b8", "no service", 3, "1772438400200000000");
    let resource = json!({ "attributes": [
        text("service.name", "rich"),
        { "key": "n", "value": { "intValue": "5" } },
        { "key": "arr", "value": { "arrayValue": { "values": [{ "stringValue": "a" }, { "intValue": "1" }] } } },
    ] });
    json!({ "resourceSpans": [
        { "resource": resource,
          "scopeSpans": [{ "scope": { "name": "lib", "version": "2" }, "spans": [root, child] }] },
        { "resource": {}, "scopeSpans": [{ "scope": {}, "spans": [nameless] }] },
    ] })
}

/// What is sent: the sample story's spans, and the trace above.
fn requests() -> Vec<Value> {
    vec![serde_json::from_slice(&testkit::sample("otlp/traces.json")).unwrap(), rich()]
}

/// Every span that was sent, with its service and its scope's name.
fn sent() -> Vec<(String, String, Value)> {
    let mut spans = Vec::new();
    for request in requests() {
        for resource in request["resourceSpans"].as_array().unwrap() {
            let named = |a: &&Value| a["key"] == "service.name";
            let service = resource["resource"]["attributes"].as_array().into_iter().flatten().find(named);
            let service = service.map_or("", |a| a["value"]["stringValue"].as_str().unwrap());
            for scope in resource["scopeSpans"].as_array().unwrap() {
                let name = scope["scope"]["name"].as_str().unwrap_or_default();
                for span in scope["spans"].as_array().unwrap() {
                    spans.push((service.to_owned(), name.to_owned(), span.clone()));
                }
            }
        }
    }
    spans
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The ids of the traces in an answer, padded.
fn ids(traces: &Value, key: &str) -> BTreeSet<String> {
    let padded = |trace: &Value| format!("{:0>32}", trace[key].as_str().unwrap());
    traces.as_array().unwrap_or_else(|| panic!("{traces}")).iter().map(padded).collect()
}

/// The ids of the traces with a span that passes.
fn of(passes: impl Fn(&str, &Value) -> bool) -> BTreeSet<String> {
    let spans = sent();
    let passing = spans.iter().filter(|(service, _, span)| passes(service, span));
    passing.map(|(_, _, span)| span["traceId"].as_str().unwrap().to_owned()).collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let found = span["attributes"].as_array().into_iter().flatten().find(|a| a["key"] == key);
    found.map_or(&Value::Null, |a| &a["value"])
}

fn ok(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("x-tidegate-partial"), None, "{path}");
    answer.json()
}

/// Runs `check` while the spans are in memory, and again when they are in files.
fn in_memory_and_in_files(check: impl Fn(&Gateway, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), "sinks: { store: { type: store, flush_age: 1h } }\n");
    for request in requests() {
        let headers = [("content-type", "application/json")];
        let answer = gateway.post("/v1/traces", &headers, request.to_string().as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    }
    let many = sent().len();
    eventually("the spans in the store", || {
        let page = gateway.get("/metrics").text();
        let rows = page.lines().find(|line| {
            line.starts_with("tidegate_store_unsettled_rows") && line.contains("signal=\"traces\"")
        });
        rows.filter(|line| line.ends_with(&format!(" {many}"))).map(|_| ())
    });
    check(&gateway, "in memory");
    assert!(gateway.process.terminate().success());
    gateway.restart();
    settled(&gateway);
    assert!(
        gateway
            .get("/metrics")
            .text()
            .contains("tidegate_store_unsettled_rows{sink=\"store\",signal=\"traces\"} 0")
    );
    check(&gateway, "in files");
}

/// Spans in OTLP/JSON by id.
fn by_id(resources: &Value) -> BTreeMap<String, Value> {
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let scopes = resources.as_array().unwrap().iter().flat_map(|resource| each(resource, "scopeSpans"));
    let spans = scopes.flat_map(|scope| each(&scope, "spans"));
    spans.map(|span| (span["spanId"].as_str().unwrap().to_owned(), span)).collect()
}

/// The spans of a trace as the gateway writes OTLP/JSON: what was sent, read and written once.
fn expected(id: &str) -> BTreeMap<String, Value> {
    let mut spans = BTreeMap::new();
    for request in requests() {
        let plain = wire::json::to_proto(wire::Signal::Traces, request.to_string().as_bytes()).unwrap();
        let again: Value =
            serde_json::from_slice(&wire::json::to_json(wire::Signal::Traces, &plain).unwrap()).unwrap();
        spans.extend(by_id(&again["resourceSpans"]).into_iter().filter(|(_, span)| span["traceId"] == id));
    }
    spans
}

#[test]
fn a_gateway_without_a_store_says_so_in_each_apis_words() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(
        folder.path(),
        &format!(
            "sinks: {{ archive: {{ type: file, folder: {} }} }}\n",
            folder.path().join("archive").display()
        ),
    );
    let told = "no sink of type store is configured";
    let jaeger = gateway.get("/jaeger/api/services");
    assert_eq!((jaeger.status, jaeger.json()["errors"][0]["code"].as_u64()), (501, Some(501)));
    assert!(jaeger.text().contains(told));
    let v3 = gateway.get("/jaeger/api/v3/services");
    assert_eq!((v3.status, v3.json()["error"]["httpCode"].as_u64()), (501, Some(501)));
    let tempo = gateway.get("/tempo/api/search");
    assert_eq!((tempo.status, tempo.text().contains(told)), (501, true));
}
