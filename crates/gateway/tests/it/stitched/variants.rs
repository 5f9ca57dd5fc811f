//! The stories told in other ways: by Workers that export spans themselves, in whole seconds, with a Worker's requests within the visitor's
//! record, and with roots filled. The rest of the samples comes along, and what it comes to stays as it was.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pieces::{Piece, pieces, send};
use super::{SECTIONS, ask, expected, in_memory_and_in_files_and_after_a_restart, inputs, stories};
use crate::gateway::Gateway;

const FILLING: &str =
    "stitch: { hold: 100ms, fill_root_parent: true }\nsinks: { store: { type: store, flush_age: 1s } }\n";
const SEEDS: std::ops::Range<u64> = 0..3;
const SECOND: u64 = 1_000_000_000;

/// Sends the pieces in some orders, and checks the stories, and `more`, of each.
fn told_in_any_order(sections: &str, pieces: &[Piece], stories: &[Value], more: impl Fn(&Gateway)) {
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = Gateway::start(folder.path(), sections);
        send(&mut gateway, pieces.to_vec(), seed);
        in_memory_and_in_files_and_after_a_restart(&mut gateway, stories);
        more(&gateway);
    }
}

/// A story of all, to be changed.
fn story<'a>(stories: &'a mut [Value], name: &str) -> &'a mut Value {
    let id = expected()["traces"][name]["trace_id"].clone();
    stories.iter_mut().find(|story| story["trace_id"] == id).unwrap()
}

fn span<'a>(story: &'a mut Value, key: &Value) -> &'a mut Value {
    story["spans"].as_array_mut().unwrap().iter_mut().find(|span| span["key"] == *key).unwrap()
}

/// The samples, with the records of these rays told by another file.
fn with(name: &str) -> Vec<Piece> {
    let other = pieces(&[("/ingest/cloudflare/logpush", testkit::sample(name))]);
    let records = other.iter().map(Piece::record);
    let told = |record: Value| {
        let within = record["Subrequests"].as_array().cloned().unwrap_or_default();
        within.into_iter().chain([record]).map(|record| record["RayID"].clone())
    };
    let rays: Vec<Value> = records.flat_map(told).collect();
    let is_other = |piece: &Piece| {
        let record = piece.record();
        // A Worker's event names its ray elsewhere.
        !record["RayID"].is_null() && rays.contains(&record["RayID"])
    };
    let rest = pieces(&inputs()).into_iter().filter(|piece| !is_other(piece));
    rest.chain(other).collect()
}

#[test]
fn every_story_is_one_trace_whatever_batches_its_records_come_in() {
    told_in_any_order(SECTIONS, &pieces(&inputs()), &stories(), |_| {});
}

#[test]
fn what_workers_export_themselves_is_shown_in_the_trace_of_its_request() {
    let exported = testkit::sample("otlp/workers_native_t01.json");
    let request: Value = serde_json::from_slice(&exported).unwrap();
    let variant = &expected()["variants"][0];
    let native = &variant["native_trace_id"];
    let mut stories = stories();
    let t01 = story(&mut stories, "t01");
    t01["aliases"] = json!([native]);
    for change in variant["changes"].as_array().unwrap() {
        if let Some(key) = change.get("drop_span") {
            t01["spans"].as_array_mut().unwrap().retain(|span| span["key"] != *key);
        } else if let Some(key) = change.get("reparent") {
            span(t01, key)["parent_span_id"] = change["parent_span_id"].clone();
        } else {
            let added = received(&request, &change["add_span"]);
            t01["spans"].as_array_mut().unwrap().push(added);
        }
    }
    let canonical = t01["trace_id"].as_str().unwrap().to_owned();
    let pieces = [pieces(&inputs()), pieces(&[("/v1/traces", exported)])].concat();
    told_in_any_order(SECTIONS, &pieces, &stories, |gateway| {
        let by_native = ask(gateway, native.as_str().unwrap()).unwrap();
        assert_eq!(by_native["traces"], ask(gateway, &canonical).unwrap()["traces"]);
    });
}

/// A received span, with the parent that look-up gives it.
fn received(request: &Value, added: &Value) -> Value {
    let resource = &request["resourceSpans"][0];
    let attributes = resource["resource"]["attributes"].as_array().unwrap();
    let service = attributes.iter().find(|a| a["key"] == "service.name").unwrap();
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    let sent = spans.iter().find(|span| span["spanId"] == added["span_id"]).unwrap();
    let kind = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT"][sent["kind"].as_u64().unwrap() as usize];
    json!({
        "key": added["key"],
        "span_id": added["span_id"],
        "parent_span_id": added["parent_span_id"],
        "service": service["value"]["stringValue"],
        "name": sent["name"],
        "kind": kind,
        "start_unix_nano": sent["startTimeUnixNano"],
        "end_unix_nano": sent["endTimeUnixNano"],
        "status": "unset",
        "source": "otlp",
        // The Worker's event tells of the handler's run.
        "has_record": added["key"] == "native.handler",
    })
}

#[test]
fn a_workers_requests_within_the_visitors_record_are_told_as_those_with_records_of_their_own() {
    let pieces = with("cloudflare/http_requests.merged_subrequests.ndjson");
    told_in_any_order(SECTIONS, &pieces, &stories(), |_| {});
}

#[test]
fn records_in_whole_seconds_lie_around_what_they_led_to() {
    const FILE: &str = "cloudflare/http_requests.rfc3339.ndjson";
    let records = pieces(&[("/ingest/cloudflare/logpush", testkit::sample(FILE))]);
    let records: Vec<Value> = records.iter().map(Piece::record).collect();
    let kong = pieces(&inputs()).iter().map(Piece::record).collect::<Vec<_>>();
    let mut stories = stories();
    for name in ["t02", "t07"] {
        let story = story(&mut stories, name);
        let visitor = records.iter().find(|record| record["RayID"] == story["rays"][0]).unwrap();
        let fetch = records.iter().find(|record| record["RayID"] == story["rays"][1]).unwrap();
        let inner = kong.iter().find(|record| record["request"]["id"] == story["kong_request_id"]).unwrap();
        let (start, end) = around(visitor, inner);
        let mut put = |key: &str, start: u64, end: u64| {
            let span = span(story, &json!(key));
            span["start_unix_nano"] = start.to_string().into();
            span["end_unix_nano"] = end.to_string().into();
        };
        put("edge", start, end);
        put("sub", second(&fetch["EdgeStartTimestamp"]), second(&fetch["EdgeEndTimestamp"]));
    }
    let inferred = stories.iter().filter(|story| ["t02", "t07"].iter().any(|name| is(story, name)));
    let inferred: Vec<String> =
        inferred.map(|story| story["trace_id"].as_str().unwrap().to_owned()).collect();
    told_in_any_order(SECTIONS, &with(FILE), &stories, |gateway| {
        for id in &inferred {
            let answer = ask(gateway, id).unwrap();
            let spans = answer["traces"][0]["spans"].as_array().unwrap();
            let edge = spans.iter().find(|span| span["service"] == "cloudflare-edge").unwrap();
            assert_eq!(edge["attributes"]["tidegate.time_inferred"], true, "{edge:#}");
        }
    });
}

fn is(story: &Value, name: &str) -> bool {
    story["trace_id"] == expected()["traces"][name]["trace_id"]
}

/// When a visitor's request began and ended whose record has whole seconds: in their middle lies what Kong says of its part.
fn around(visitor: &Value, kong: &Value) -> (u64, u64) {
    let millis = |key: &str| visitor[key].as_u64().unwrap() * 1_000_000;
    let took = millis("EdgeTimeToFirstByteMs").max(millis("OriginResponseDurationMs"));
    let took = took.max(visitor["WorkerWallTimeUs"].as_u64().unwrap() * 1000);
    let kong_start =
        kong["request"]["started_at"].as_u64().or(kong["started_at"].as_u64()).unwrap() * 1_000_000;
    let kong_took = kong["latencies"]["request"].as_u64().unwrap() * 1_000_000;
    let start = kong_start - (took - kong_took) / 2;
    let given = second(&visitor["EdgeStartTimestamp"]);
    assert!((given..given + SECOND).contains(&start), "the second that is given holds the inferred start");
    (start, start + took)
}

/// A whole second of the day of the samples.
fn second(text: &Value) -> u64 {
    let time = text.as_str().unwrap().strip_prefix("2026-03-02T").unwrap().strip_suffix('Z').unwrap();
    let parts: Vec<u64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts[..] else { panic!("{time}") };
    (1_772_409_600 + hours * 3600 + minutes * 60 + seconds) * SECOND
}

#[test]
fn roots_are_filled_where_that_is_asked_for_and_viewers_show_it() {
    let mut stories = stories();
    for story in &mut stories {
        let filled = story["fill_root_parent"].clone();
        if !filled.is_null() {
            span(story, &filled["span"])["parent_span_id"] = filled["parent_span_id"].clone();
            story["roots"] = filled["roots"].clone();
        }
    }
    let changed = stories.iter().filter(|story| !story["fill_root_parent"].is_null());
    assert_eq!(changed.count(), 2, "t03 and t10");
    told_in_any_order(FILLING, &pieces(&inputs()), &stories, |gateway| {
        for story in &stories {
            viewers_agree(gateway, story);
        }
    });
}

/// Jaeger's and Tempo's APIs show the spans of a story below the same parents.
fn viewers_agree(gateway: &Gateway, story: &Value) {
    let id = story["trace_id"].as_str().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let spans = story["spans"].as_array().unwrap().iter();
    let wanted: BTreeMap<String, String> =
        spans.map(|span| (text(&span["span_id"]), text(&span["parent_span_id"]))).collect();

    let jaeger = gateway.get(&format!("/jaeger/api/traces/{id}")).json();
    let parent = |span: &Value| {
        let mut references = span["references"].as_array().unwrap().iter();
        references.find(|one| one["refType"] == "CHILD_OF").map_or(String::new(), |one| text(&one["spanID"]))
    };
    let spans = jaeger["data"][0]["spans"].as_array().unwrap().iter();
    let shown: BTreeMap<String, String> = spans.map(|span| (text(&span["spanID"]), parent(span))).collect();
    assert_eq!(shown, wanted, "{id} as Jaeger's API shows it");

    let found = gateway.get(&format!("/jaeger/api/v3/traces/{id}")).json();
    assert_eq!(parents(&found["result"], &text), wanted, "{id} as version 3 of it does");
    for (path, list) in [("traces", "batches"), ("v2/traces", "resourceSpans")] {
        let found = gateway.get(&format!("/tempo/api/{path}/{id}")).json();
        let trace =
            if list == "batches" { json!({ "resourceSpans": found[list] }) } else { found["trace"].clone() };
        assert_eq!(parents(&trace, &in_hex), wanted, "{id} as Tempo's API shows it at {path}");
        let accept = [("accept", "application/protobuf")];
        let found =
            testkit::process::http(gateway.port, "GET", &format!("/tempo/api/{path}/{id}"), &accept, &[])
                .unwrap();
        let body = match list {
            "batches" => found.body,
            _ => wire::walk::fields(&found.body).next().unwrap().unwrap().bytes().unwrap().to_vec(),
        };
        let trace = wire::json::to_json(wire::Signal::Traces, &body).unwrap();
        let trace: Value = serde_json::from_slice(&trace).unwrap();
        assert_eq!(parents(&trace, &text), wanted, "{id} as Tempo's API shows it at {path} in protobuf");
    }
}

/// The parents of all spans, by span.
fn parents(trace: &Value, text: &dyn Fn(&Value) -> String) -> BTreeMap<String, String> {
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let scopes = each(trace, "resourceSpans").into_iter().flat_map(|resource| each(&resource, "scopeSpans"));
    let spans = scopes.flat_map(|scope| each(&scope, "spans"));
    spans.map(|span| (text(&span["spanId"]), text(&span["parentSpanId"]))).collect()
}

/// An id that is written in base64.
fn in_hex(value: &Value) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = value.as_str().unwrap_or_default().trim_end_matches('=');
    let bits: String = text.chars().map(|digit| format!("{:06b}", DIGITS.find(digit).unwrap())).collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    bytes
        .map(|byte| format!("{:02x}", u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()))
        .collect()
}
