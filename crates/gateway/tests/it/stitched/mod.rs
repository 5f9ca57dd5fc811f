//! One trace from edge to function: the sample stories as the query API answers them, field by field, whatever the order in which
//! their parts come and wherever the gateway is killed in between.
//!
//! | file | what |
//! |---|---|
//! | `joined.rs` | a sink that is given log records joined |
//! | `pieces.rs` | the samples record by record, in batches of other sizes and in another order |
//! | `variants.rs` | the same stories with other inputs or settings |

mod joined;
mod pieces;
mod variants;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::process::eventually;

use crate::crash::settled;
use crate::gateway::Gateway;

const LOGPUSH: [&str; 5] = [
    "http_requests.ndjson",
    "http_requests.resent.ndjson",
    "firewall_events.ndjson",
    "workers_trace_events.ndjson",
    "edge_request_legacy.ndjson",
];
const KONG: [&str; 8] = [
    "http-log-3x-single.json",
    "http-log-3x-batch-1.json",
    "http-log-3x-batch-2.json",
    "http-log-3x-batch-2.resent.json",
    "http-log-3x-batch-3.json",
    "http-log-3x-background.json",
    "http-log-2x-single.json",
    "http-log-2x-batch.json",
];

/// Path and body of everything that is sent.
pub(crate) fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let logpush =
        LOGPUSH.map(|name| ("/ingest/cloudflare/logpush", testkit::sample(&format!("cloudflare/{name}"))));
    let kong = KONG.map(|name| ("/ingest/kong/http-log", testkit::sample(&format!("kong/{name}"))));
    let traces = ("/v1/traces", testkit::sample("otlp/traces.json"));
    logpush.into_iter().chain(kong).chain([traces]).collect()
}

pub(crate) fn post(gateway: &Gateway, (path, body): &(&'static str, Vec<u8>)) {
    let answer = gateway.post(path, &[("content-type", "application/json")], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

fn expected() -> Value {
    serde_json::from_slice(&testkit::sample("expected/traces.json")).unwrap()
}

fn stories() -> Vec<Value> {
    let expected = expected();
    let both = ["traces", "extra"].map(|part| expected[part].as_object().unwrap().clone());
    both.into_iter().flat_map(|stories| stories.into_iter().map(|(_, story)| story)).collect()
}

/// What an answer says of a trace, in the words of the expectations; `None` where it has no such trace.
fn told(answer: &Value, id: &str) -> Option<Value> {
    let trace = answer["traces"].as_array()?.iter().find(|trace| trace["trace_id"] == id)?;
    let mut spans: BTreeMap<&str, Value> = BTreeMap::new();
    for span in trace["spans"].as_array()? {
        let links = span["links"].as_array().cloned().unwrap_or_default();
        let links: Vec<Value> = links
            .iter()
            .map(|link| json!({ "trace_id": link["trace_id"], "span_id": link["span_id"] }))
            .collect();
        let own = span["attributes"]["tidegate.source"].as_str().unwrap_or("otlp");
        let row = json!({
            "parent_span_id": span["parent_span_id"],
            "service": span["service"],
            "name": span["name"],
            "kind": span["kind"].as_str()?.to_uppercase(),
            "start_unix_nano": span["start_unix_nano"],
            "end_unix_nano": span["end_unix_nano"],
            "status": span["status"],
            "source": own,
            "links": links,
        });
        assert!(spans.insert(span["span_id"].as_str()?, row).is_none(), "{id} has a span twice: {span}");
    }
    let mut aliases = trace["aliases"].as_array()?.clone();
    aliases.sort_by_key(ToString::to_string);
    // Roots: what has no parent within the trace.
    let roots = trace["spans"].as_array()?.iter();
    let roots = roots.filter(|span| !spans.contains_key(span["parent_span_id"].as_str().unwrap_or_default()));
    let mut roots: Vec<&Value> = roots.map(|span| &span["span_id"]).collect();
    roots.sort_by_key(ToString::to_string);
    Some(json!({ "aliases": aliases, "roots": roots, "spans": spans }))
}

/// The same of a story.
fn wanted(story: &Value) -> Value {
    let mut spans = BTreeMap::new();
    for span in story["spans"].as_array().unwrap() {
        let links = if span["links"].is_null() { json!([]) } else { span["links"].clone() };
        let mut row = json!({ "links": links });
        for key in [
            "parent_span_id",
            "service",
            "name",
            "kind",
            "start_unix_nano",
            "end_unix_nano",
            "status",
            "source",
        ] {
            row[key] = span[key].clone();
        }
        spans.insert(span["span_id"].as_str().unwrap(), row);
    }
    let of = |key: &Value| {
        let span = story["spans"].as_array().unwrap().iter().find(|span| span["key"] == *key).unwrap();
        span["span_id"].clone()
    };
    let mut roots: Vec<Value> = story["roots"].as_array().unwrap().iter().map(of).collect();
    roots.sort_by_key(ToString::to_string);
    json!({ "aliases": story["aliases"], "roots": roots, "spans": spans })
}

fn ask(gateway: &Gateway, id: &str) -> Option<Value> {
    let answer = gateway.get(&format!("/api/v1/traces/{}", testkit::server::encode(id)));
    (answer.status == 200).then(|| answer.json())
}

/// Waits until every story is told; what differs then is shown.
fn check(gateway: &Gateway, stories: &[Value]) {
    for story in stories {
        let (id, wanted) = (story["trace_id"].as_str().unwrap(), wanted(story));
        let mut last = Value::Null;
        let is_told = testkit::process::happens(|| {
            last = ask(gateway, id).and_then(|answer| told(&answer, id)).unwrap_or_default();
            last == wanted
        });
        assert!(is_told, "{id}: {last:#}\n--- but expected ---\n{wanted:#}\n{}", gateway.process.log());
    }
}

/// Every log record of a story is shown, below the span that it tells of.
fn check_logs(gateway: &Gateway, stories: &[Value]) {
    for story in stories {
        let id = story["trace_id"].as_str().unwrap();
        let answer = ask(gateway, id).unwrap();
        let trace =
            answer["traces"].as_array().unwrap().iter().find(|trace| trace["trace_id"] == id).unwrap();
        let mut below: BTreeMap<String, u64> = BTreeMap::new();
        for log in trace["logs"].as_array().unwrap() {
            *below.entry(log["span_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        for span in story["spans"].as_array().unwrap() {
            let records = below.remove(span["span_id"].as_str().unwrap()).unwrap_or(0);
            // A copy of a record is not shown.
            let wanted = u64::from(has_record(span)) + beside(story, span["key"].as_str().unwrap());
            assert_eq!(records, wanted, "{id} {}\n{trace:#}", span["key"]);
        }
        assert!(
            below.is_empty(),
            "{id} has log records below {below:?}, which are no spans of it\n{trace:#}"
        );
    }
}

/// How many records there are beside the one that a span is told by: a Worker's lines and exceptions, decisions of the firewall.
fn beside(story: &Value, key: &str) -> u64 {
    let (file, is_worker) = match key {
        "worker" | "native.handler" => ("cloudflare/workers_trace_events.ndjson", true),
        "edge" => ("cloudflare/firewall_events.ndjson", false),
        _ => return 0,
    };
    let lines = |record: &Value| {
        let of = |part: &str| record[part].as_array().map_or(0, |lines| lines.len() as u64);
        if is_worker { of("Logs") + of("Exceptions") } else { 1 }
    };
    let text = String::from_utf8(testkit::sample(file)).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ray =
        |record: &Value| if is_worker { record["Event"]["RayID"].clone() } else { record["RayID"].clone() };
    records.filter(|record| ray(record) == story["rays"][0]).map(|record| lines(&record)).sum()
}

/// Whether a log record tells of a span: by `has_record` where a variant says so.
fn has_record(span: &Value) -> bool {
    span["has_record"].as_bool().unwrap_or_else(|| match span["source"].as_str().unwrap() {
        // Kong's own span stands where one would be made.
        "otlp" => span["key"] == "kong.root",
        // One record tells of the request and of its tries.
        "kong.http_log" => span["key"] == "kong.server",
        _ => span["key"] != "origin",
    })
}

pub(crate) const SECTIONS: &str =
    "stitch: { hold: 100ms }\nsinks: { store: { type: store, flush_age: 1s } }\n";

fn in_memory_and_in_files_and_after_a_restart(gateway: &mut Gateway, stories: &[Value]) {
    check(gateway, stories);
    check_logs(gateway, stories);
    settled(gateway);
    check(gateway, stories);
    check_logs(gateway, stories);
    assert!(gateway.process.terminate().success(), "{}", gateway.process.log());
    gateway.restart();
    check(gateway, stories);
    check_logs(gateway, stories);
}

/// Waits until something of what was sent has been stitched.
fn begun(gateway: &Gateway) {
    eventually("stitching has begun", || {
        let page = gateway.get("/metrics").text();
        page.contains("tidegate_stitch_facts_total{state=\"new\"}").then_some(())
    });
}

#[test]
fn every_story_is_one_trace_in_memory_and_in_files_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), SECTIONS);
    inputs().iter().for_each(|input| post(&gateway, input));
    in_memory_and_in_files_and_after_a_restart(&mut gateway, &stories());
}

#[test]
fn every_story_is_one_trace_though_the_gateway_is_killed_between_any_two_of_its_parts() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Gateway::start(folder.path(), SECTIONS);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut inputs = inputs();
        random.shuffle(&mut inputs);
        for (number, input) in inputs.iter().enumerate() {
            post(&gateway, input);
            // At once, or when something of it was made: both have to do.
            if random.bool() {
                begun(&gateway);
            }
            if number % 2 == seed as usize % 2 {
                gateway.process.kill();
                gateway.restart();
            }
        }
        check(&gateway, &stories());
        check_logs(&gateway, &stories());
    }
}

#[test]
fn a_request_is_found_by_any_of_its_ids_in_any_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), SECTIONS);
    inputs().iter().for_each(|input| post(&gateway, input));
    check(&gateway, &stories());
    for story in stories() {
        let id = story["trace_id"].as_str().unwrap();
        let low = u64::from_str_radix(&id[16..], 16).unwrap();
        let mut spellings = vec![
            id.to_uppercase(),
            format!("00-{id}-0102030405060708-01"),
            format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]),
            format!("1-{}-{}", &id[..8], &id[8..]),
            id[16..].to_owned(),
            low.to_string(),
        ];
        let lists = ["aliases", "rays"].map(|key| story[key].as_array().unwrap().clone()).concat();
        spellings.extend(lists.iter().map(|name| name.as_str().unwrap().to_owned()));
        spellings.extend(
            story["rays"].as_array().unwrap().iter().map(|ray| format!("{}-HAN", ray.as_str().unwrap())),
        );
        spellings.extend(story["kong_request_id"].as_str().map(str::to_owned));
        for spelling in spellings {
            let answer =
                ask(&gateway, &spelling).unwrap_or_else(|| panic!("{id} is not found by {spelling}"));
            assert_eq!(told(&answer, id), Some(wanted(&story)), "{id} by {spelling}");
        }
        let drawn = gateway.command(&["trace", id]);
        assert!(drawn.starts_with(&format!("trace {id}:")), "{drawn}");
    }
}
