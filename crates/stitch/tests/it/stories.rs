use std::collections::BTreeMap;

use normalize::Shape;
use serde_json::Value;
use testkit::sample::sample;
use tidegate_stitch::derive::{Kind, Made, Ways, derive};
use tidegate_stitch::request::{requests, settle};

use crate::{Fed, NOW, records, spans};

const LOGPUSH: [&str; 4] = [
    "cloudflare/http_requests.ndjson",
    "cloudflare/http_requests.resent.ndjson",
    "cloudflare/workers_trace_events.ndjson",
    "cloudflare/edge_request_legacy.ndjson",
];
const KONG: [&str; 8] = [
    "kong/http-log-3x-single.json",
    "kong/http-log-3x-batch-1.json",
    "kong/http-log-3x-batch-2.json",
    "kong/http-log-3x-batch-2.resent.json",
    "kong/http-log-3x-batch-3.json",
    "kong/http-log-3x-background.json",
    "kong/http-log-2x-single.json",
    "kong/http-log-2x-batch.json",
];

fn all() -> Vec<Fed> {
    let logpush = LOGPUSH.iter().map(|name| records(name, Shape::Logpush));
    let kong = KONG.iter().map(|name| records(name, Shape::Kong));
    logpush.chain(kong).chain([spans("otlp/traces.json")]).collect()
}

/// What all inputs in this order come to, request by request.
fn stitched(inputs: &[Fed], ways: Ways) -> Vec<Made> {
    let mut facts: Vec<_> = inputs.iter().flat_map(|input| input.facts.clone()).collect();
    let mut traces = tidegate_stitch::request::Traces::default();
    for (trace, seen) in inputs.iter().flat_map(|input| &input.traces) {
        traces.entry(*trace).or_default().extend(seen.iter().cloned());
    }
    settle(&mut facts);
    requests(&facts).iter().filter_map(|request| derive(request, &traces, ways)).collect()
}

const WAYS: Ways = Ways { now: NOW.0, every_edge: false, fills_roots: false };

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn expected() -> Value {
    serde_json::from_slice(&sample("expected/traces.json")).unwrap()
}

/// Spans of a request by id, in the words of the expectations.
fn told(made: &Made) -> BTreeMap<String, Value> {
    let kind = |kind| match kind {
        Kind::Internal => "INTERNAL",
        Kind::Server => "SERVER",
        Kind::Client => "CLIENT",
        Kind::Consumer => "CONSUMER",
    };
    let row = |span: &tidegate_stitch::derive::Derived| {
        let links: Vec<Value> = span
            .links
            .iter()
            .map(|(trace, id)| serde_json::json!({ "trace_id": hex(trace), "span_id": hex(id) }))
            .collect();
        let row = serde_json::json!({
            "parent_span_id": span.parent.span.map_or(String::new(), |id| hex(&id)),
            "service": span.service.as_str(),
            "name": span.name,
            "kind": kind(span.kind),
            "start_unix_nano": span.start.to_string(),
            "end_unix_nano": span.end.to_string(),
            "status": if span.is_error { "error" } else { "unset" },
            "source": span.source,
            "links": links,
        });
        (hex(&span.span), row)
    };
    made.spans.iter().map(row).collect()
}

fn check(made: &[Made], story: &Value) {
    let id = story["trace_id"].as_str().unwrap();
    let found: Vec<&Made> = made.iter().filter(|made| hex(&made.identity.canonical) == id).collect();
    let [made] = found.as_slice() else { panic!("{id}: {} requests", found.len()) };
    let aliases: Vec<String> = made.identity.aliases.iter().map(|id| hex(id)).collect();
    let expected_aliases: Vec<&str> =
        story["aliases"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(aliases, expected_aliases, "{id}");
    let told = told(made);
    let mut left = told.clone();
    for span in story["spans"].as_array().unwrap().iter().filter(|span| span["source"] != "otlp") {
        let row = left
            .remove(span["span_id"].as_str().unwrap())
            .unwrap_or_else(|| panic!("{id}: {span} is not among {told:#?}"));
        for (key, value) in row.as_object().unwrap() {
            let expected =
                if key == "links" && span["links"].is_null() { &serde_json::json!([]) } else { &span[key] };
            assert_eq!(value, expected, "{id} {}: {key}", span["key"]);
        }
    }
    assert!(left.is_empty(), "{id}: not expected: {left:#?}");
}

fn stories() -> Vec<Value> {
    let expected = expected();
    let both = [&expected["traces"], &expected["extra"]];
    both.iter().flat_map(|stories| stories.as_object().unwrap().values().cloned()).collect()
}

#[test]
fn every_story_is_told_as_expected() {
    let made = stitched(&all(), WAYS);
    for story in stories() {
        check(&made, &story);
    }
}

#[test]
fn no_order_of_the_inputs_changes_anything() {
    let mut inputs = all();
    let first = stitched(&inputs, WAYS);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        random.shuffle(&mut inputs);
        for input in &mut inputs {
            random.shuffle(&mut input.facts);
        }
        assert_eq!(stitched(&inputs, WAYS), first);
    }
}
