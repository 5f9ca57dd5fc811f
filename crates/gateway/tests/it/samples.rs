//! The sample story: every Cloudflare, Kong and OTLP file is posted the way its sender would, lands in the store, in an
//! archive and in a second gateway with equal values, and what carries a trace id is found by it.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::Value;
use testkit::process::free_port;

use crate::crash::{archive_lines, settled};
use crate::gateway::Gateway;
use crate::stored;

const LOGPUSH: &[&str] = &[
    "http_requests.ndjson",
    "workers_trace_events.ndjson",
    "firewall_events.ndjson",
    "dns_logs.ndjson",
    "audit_logs.ndjson",
    "edge_request_legacy.ndjson",
];
const KONG: &[&str] = &[
    "http-log-3x-single.json",
    "http-log-3x-batch-1.json",
    "http-log-3x-batch-2.json",
    "http-log-3x-batch-3.json",
    "http-log-3x-background.json",
    "http-log-2x-single.json",
    "http-log-2x-batch.json",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Posts every file the way its sender would; gives the lines of Logpush and the number of Kong's records.
pub(crate) fn post_story(gateway: &Gateway) -> (Vec<String>, usize) {
    let mut lines = Vec::new();
    for name in LOGPUSH {
        let body = testkit::sample(&format!("cloudflare/{name}"));
        // The dataset is named for none of them: each is recognised by its fields.
        let answer =
            gateway.post("/ingest/cloudflare/logpush", &[("content-encoding", "gzip")], &gzip(&body));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        lines.extend(String::from_utf8(body).unwrap().lines().map(str::to_owned));
    }
    let mut kong_records = 0;
    for name in KONG {
        let body = testkit::sample(&format!("kong/{name}"));
        let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
        let answer = gateway.post("/ingest/kong/http-log", &headers, &gzip(&body));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        kong_records += match serde_json::from_slice(&body).unwrap() {
            Value::Array(records) => records.len(),
            _ => 1,
        };
    }
    let traces = testkit::sample("otlp/traces.json");
    let answer = gateway.post(
        "/v1/traces",
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &gzip(&traces),
    );
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    (lines, kong_records)
}

#[test]
fn the_story_is_kept_line_by_line_everywhere_and_found_by_its_trace_ids() {
    let folder = tempfile::tempdir().unwrap();
    let second_folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let mut second = Gateway::start_at(
        second_folder.path(),
        free_port(),
        "sinks: { store: { type: store, flush_age: 1s } }\n",
    );
    let mut gateway = Gateway::start(
        folder.path(),
        &format!(
            "sinks:\n  store: {{ type: store, flush_age: 1s }}\n  archive: {{ type: file, folder: {} }}\n  second: {{ type: otlp, protocol: grpc, endpoint: 'http://127.0.0.1:{}' }}\n",
            archive.display(),
            second.port
        ),
    );
    let validation = testkit::sample("cloudflare/validation_test.txt.gz");
    assert_eq!(
        gateway
            .post("/ingest/cloudflare/logpush/http_requests", &[("content-encoding", "gzip")], &validation)
            .status,
        200
    );
    let (lines, kong_records) = post_story(&gateway);
    let traces = testkit::sample("otlp/traces.json");

    // What is acknowledged is in the journal; the couriers bring it to the store a moment later.
    settled(&gateway);
    let expected: Value = serde_json::from_slice(&testkit::sample("expected/traces.json")).unwrap();
    let sent: Value = serde_json::from_slice(&traces).unwrap();
    let mut checked = 0;
    for (id, spans) in spans_by_trace(&sent) {
        let found = gateway.trace(&id);
        let trace = &found["traces"][0];
        assert_eq!(trace["trace_id"], id.as_str());
        for span in &spans {
            let shown = trace["spans"].as_array().unwrap().iter().find(|s| s["span_id"] == span["spanId"]);
            let shown = shown.unwrap_or_else(|| panic!("{id} lacks span {}", span["spanId"]));
            for (theirs, ours) in [
                ("name", "name"),
                ("startTimeUnixNano", "start_unix_nano"),
                ("endTimeUnixNano", "end_unix_nano"),
            ] {
                assert_eq!(shown[ours], span[theirs], "{id} {span}");
            }
        }
        checked += spans.len();
        assert!(gateway.command(&["trace", &id.to_uppercase()]).contains(&id));
    }
    assert!(checked >= 30, "{checked} spans");
    assert!(expected.to_string().contains("d256002ba4ab731c6203a1b59639b7ea"));
    let first = gateway.trace("d256002ba4ab731c6203a1b59639b7ea");
    let sources: Vec<_> =
        first["traces"][0]["logs"].as_array().unwrap().iter().map(|log| log["service"].clone()).collect();
    assert!(sources.iter().any(|s| s == "kong"), "the Kong record of t01 is in its trace: {sources:?}");
    assert!(sources.len() >= 3, "visitor and subrequest rows of t01 are in its trace: {sources:?}");

    settled(&gateway);
    settled(&second);
    assert!(gateway.process.terminate().success());
    assert!(second.process.terminate().success());
    let columns =
        ["timestamp", "trace_id", "span_id", "service_name", "severity_number", "body", "attributes"];
    let mut here = stored::rows(&folder.path().join("data/sinks/store"), "logs", &columns);
    let mut there = stored::rows(&second_folder.path().join("data/sinks/store"), "logs", &columns);
    here.sort();
    there.sort();
    assert!(here == there, "the second gateway has other log rows: {} and {}", here.len(), there.len());
    for (sink, bodies) in [
        ("store", here.iter().filter_map(|row| row.get("body").cloned()).collect::<Vec<_>>()),
        ("archive", archive_lines(&archive).iter().flat_map(|(_, line)| bodies(line)).collect()),
    ] {
        let counts = |all: &[String]| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for one in all {
                *counts.entry(one.clone()).or_default() += 1;
            }
            counts
        };
        let kept = counts(&bodies);
        for (line, times) in counts(&lines) {
            assert_eq!(kept.get(&line), Some(&times), "{sink} keeps this line {times} times: {line}");
        }
        let kong = bodies
            .iter()
            .filter(|body| {
                body.starts_with("{\"request\":")
                    || body.contains("\"balancer_start\"")
                    || body.contains("\"session\"")
            })
            .count();
        assert!(kong >= kong_records - 1, "{sink}: {kong} Kong bodies of {kong_records}");
    }
}

fn spans_by_trace(request: &Value) -> BTreeMap<String, Vec<Value>> {
    let mut traces: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for resource in request["resourceSpans"].as_array().unwrap() {
        for scope in resource["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                traces.entry(span["traceId"].as_str().unwrap().to_owned()).or_default().push(span.clone());
            }
        }
    }
    traces
}

fn bodies(line: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for resource in line["resourceLogs"].as_array().into_iter().flatten() {
        for scope in resource["scopeLogs"].as_array().into_iter().flatten() {
            for record in scope["logRecords"].as_array().into_iter().flatten() {
                found.extend(record["body"]["stringValue"].as_str().map(str::to_owned));
            }
        }
    }
    found
}
