use std::collections::BTreeMap;

use normalize::Shape;
use serde_json::Value;
use testkit::sample::sample;
use tidegate_stitch::derive::{Kind, Made, Place, Ways, derive};
use tidegate_stitch::fact::{Fact, Key};
use tidegate_stitch::request::{requests, settle};

use crate::{Fed, NOW, records, spans};

pub(crate) const LOGPUSH: [&str; 4] = [
    "cloudflare/http_requests.ndjson",
    "cloudflare/http_requests.resent.ndjson",
    "cloudflare/workers_trace_events.ndjson",
    "cloudflare/edge_request_legacy.ndjson",
];
pub(crate) const KONG: [&str; 8] = [
    "kong/http-log-3x-single.json",
    "kong/http-log-3x-batch-1.json",
    "kong/http-log-3x-batch-2.json",
    "kong/http-log-3x-batch-2.resent.json",
    "kong/http-log-3x-batch-3.json",
    "kong/http-log-3x-background.json",
    "kong/http-log-2x-single.json",
    "kong/http-log-2x-batch.json",
];

pub(crate) fn all() -> Vec<Fed> {
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

const WAYS: Ways = Ways { now: NOW.0, every_edge: false, fills_roots: false, shifts: false };

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn expected() -> Value {
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
    check_told(story, &aliases, &told(made));
}

/// Whether a request is told as a story expects it, with these aliases and these spans.
pub(crate) fn check_told(story: &Value, aliases: &[String], told: &BTreeMap<String, Value>) {
    let id = story["trace_id"].as_str().unwrap();
    let expected_aliases: Vec<&str> =
        story["aliases"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(aliases, expected_aliases, "{id}");
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

pub(crate) fn stories() -> Vec<Value> {
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

fn story<'a>(expected: &'a Value, name: &str) -> &'a Value {
    &expected["traces"][name]
}

fn of<'a>(made: &'a [Made], id: &str) -> &'a Made {
    let mut found = made.iter().filter(|made| hex(&made.identity.canonical) == id);
    let only = found.next().unwrap_or_else(|| panic!("nothing is made of {id}"));
    assert!(found.next().is_none(), "{id} is made of twice");
    only
}

#[test]
fn what_workers_export_themselves_stands_in_for_what_their_events_tell() {
    let mut inputs = all();
    inputs.push(spans("otlp/workers_native_t01.json"));
    let made = stitched(&inputs, WAYS);
    let expected = expected();
    let variant = &expected["variants"][0];
    let request = of(&made, variant["canonical_trace_id"].as_str().unwrap());
    let native = variant["native_trace_id"].as_str().unwrap();
    assert_eq!(request.identity.aliases.iter().map(|id| hex(id)).collect::<Vec<_>>(), [native]);

    let mut changed = story(&expected, "t01").clone();
    changed["aliases"] = serde_json::json!([native]);
    let spans = changed["spans"].as_array_mut().unwrap();
    spans.retain(|span| span["key"] != "worker");
    let fetch = spans.iter_mut().find(|span| span["key"] == "sub").unwrap();
    fetch["parent_span_id"] = variant["changes"][3]["parent_span_id"].clone();
    check(&made, &changed);

    let handler = &variant["changes"][1]["add_span"];
    let shown: Vec<_> =
        request.parents.iter().map(|((trace, span), parent)| [hex(trace), hex(span), hex(parent)]).collect();
    let text = |key: &str| handler[key].as_str().unwrap().to_owned();
    assert_eq!(shown, [[native.to_owned(), text("span_id"), text("parent_span_id")]]);
}

#[test]
fn records_in_whole_seconds_give_the_same_tree_around_what_they_led_to() {
    let mut inputs = all();
    inputs[0] = records("cloudflare/http_requests.rfc3339.ndjson", Shape::Logpush);
    inputs.remove(1);
    let made = stitched(&inputs, WAYS);
    let expected = expected();
    for name in ["t02", "t07"] {
        let story = story(&expected, name);
        let request = of(&made, story["trace_id"].as_str().unwrap());
        let told = told(request);
        for span in story["spans"].as_array().unwrap().iter().filter(|span| span["source"] != "otlp") {
            let row = &told[span["span_id"].as_str().unwrap()];
            for key in ["parent_span_id", "service", "name", "kind", "status", "source"] {
                assert_eq!(row[key], span[key], "{name} {}: {key}", span["key"]);
            }
        }
        let edge = request.spans.iter().find(|span| matches!(span.place, Place::Edge(_))).unwrap();
        assert!(text(&edge.attributes).contains("tidegate.time_inferred"));
        let kong = request.spans.iter().find(|span| matches!(span.place, Place::Kong(_)));
        if let Some(kong) = kong {
            assert!(edge.start <= kong.start && kong.end <= edge.end, "{edge:#?} {kong:#?}");
        }
    }
}

#[test]
fn requests_of_a_worker_told_within_its_visitors_record_are_requests_all_the_same() {
    let mut inputs = all();
    let is_first = |fact: &Fact| fact.keys().contains(&Key::Ray(0x6a63_ddb6_1ec2_4c64));
    for input in &mut inputs[..2] {
        input.facts.retain(|fact| !is_first(fact));
    }
    inputs.push(records("cloudflare/http_requests.merged_subrequests.ndjson", Shape::Logpush));
    check(&stitched(&inputs, WAYS), story(&expected(), "t01"));
}

#[test]
fn roots_are_filled_where_that_is_asked_for_and_an_id_proves_it() {
    let made = stitched(&all(), Ways { fills_roots: true, ..WAYS });
    let expected = expected();
    for name in ["t03", "t10"] {
        let story = story(&expected, name);
        let request = of(&made, story["trace_id"].as_str().unwrap());
        let spans = story["spans"].as_array().unwrap();
        let filled = &story["fill_root_parent"];
        let root = spans.iter().find(|span| span["key"] == filled["span"]).unwrap();
        let shown: Vec<_> =
            request.parents.iter().map(|((_, span), parent)| (hex(span), hex(parent))).collect();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(shown, [(text(&root["span_id"]), text(&filled["parent_span_id"]))], "{name}");
    }
}

#[test]
fn a_clock_that_is_ahead_is_told_and_left_alone() {
    let made = stitched(&all(), WAYS);
    for request in &made {
        let is_skewed = hex(&request.identity.canonical) == "7f91b388b574cb9735b1c85101ea7449";
        for span in &request.spans {
            let is_marked = text(&span.attributes).contains("tidegate.clock_skew_ns");
            assert_eq!(is_marked, is_skewed && matches!(span.place, Place::Kong(_)), "{span:#?}");
        }
    }
}

#[test]
fn a_clock_that_is_ahead_is_put_right_where_that_is_asked_for() {
    let (before, after) = (stitched(&all(), WAYS), stitched(&all(), Ways { shifts: true, ..WAYS }));
    for (before, after) in before.iter().zip(&after) {
        let is_skewed = hex(&before.identity.canonical) == "7f91b388b574cb9735b1c85101ea7449";
        for (old, new) in before.spans.iter().zip(&after.spans) {
            if !is_skewed || !matches!(new.place, Place::Kong(_) | Place::Try(_)) {
                assert_eq!(old, new);
                continue;
            }
            // It lasts as long as before, and lies within its parent, whose clock is Cloudflare's.
            assert_eq!(new.end - new.start, old.end - old.start);
            assert_ne!(new.start, old.start);
            let parent = after.spans.iter().find(|span| Some(span.span) == new.parent.span).unwrap();
            assert!(parent.start <= new.start && new.end <= parent.end, "{parent:#?}\n{new:#?}");
            assert_eq!(old.attributes, new.attributes);
        }
    }
}

#[test]
fn without_services_the_trees_hang_together_down_to_kong() {
    let mut inputs = all();
    inputs.pop();
    let made = stitched(&inputs, WAYS);
    for (name, story) in expected()["traces"].as_object().unwrap() {
        let ray = story["rays"][0].as_str().unwrap();
        let ray = u64::from_str_radix(ray, 16).unwrap();
        let request =
            made.iter().find(|made| made.spans.iter().any(|span| span.place == Place::Edge(ray))).unwrap();
        let ids: Vec<_> = request.spans.iter().map(|span| span.span).collect();
        let roots = request.spans.iter().filter(|span| span.parent.span.is_none_or(|id| !ids.contains(&id)));
        assert_eq!(roots.count(), 1, "{name}: {:#?}", told(request));
    }
}

#[test]
fn without_the_edge_kong_and_services_share_the_trace() {
    let made = stitched(&all()[LOGPUSH.len()..], WAYS);
    for (name, story) in expected()["traces"].as_object().unwrap() {
        // Kong's own spans of t07 are all that there is to tell.
        if name != "t07" {
            let request = of(&made, story["trace_id"].as_str().unwrap());
            assert!(request.spans.iter().any(|span| matches!(span.place, Place::Kong(_))), "{name}");
        }
    }
}

fn text(attributes: &[u8]) -> String {
    String::from_utf8_lossy(attributes).into_owned()
}
