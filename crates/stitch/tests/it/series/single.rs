//! Single records and spans, put together for one rule each.

use std::collections::BTreeMap;

use normalize::{Hint, Shape};
use serde_json::{Value, json};
use testkit::sample::sample;

use super::feed::{Item, hinted, logs};
use super::graph::{CLIENT, SERVER, span};
use super::points::Points;
use super::{options, told};
use crate::NOW;

fn logpush(rows: &[Value]) -> Points {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    told(&options(), &hinted(text.into_bytes(), Hint::default()))
}

/// A visitor's request that took from `start` to `end`, milliseconds before now.
fn visitor(ray: u64, start: u64, end: u64, more: &Value) -> Value {
    let mut row = json!({
        "RayID": format!("{ray:016x}"),
        "EdgeStartTimestamp": NOW.0 - start * 1_000_000,
        "EdgeEndTimestamp": NOW.0 - end * 1_000_000,
        "EdgeResponseStatus": 200,
        "ClientRequestMethod": "GET",
        "ClientRequestSource": "eyeball",
        "ZoneName": "z",
    });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn sum(points: &Points, name: &str) -> f64 {
    points.by(name, &["zone", "status_class"]).values().map(|last| last.sum).sum()
}

#[test]
fn a_request_in_whole_seconds_took_as_long_as_the_longest_thing_in_it() {
    let name = "cloudflare_edge_duration_seconds";
    let parts = [
        (json!({ "EdgeTimeToFirstByteMs": 120, "OriginResponseDurationMs": 80 }), 0.12),
        (json!({ "EdgeTimeToFirstByteMs": 20, "OriginResponseDurationMs": 80 }), 0.08),
        (json!({ "EdgeTimeToFirstByteMs": 20, "WorkerWallTimeUs": 250_000 }), 0.25),
        (json!({}), 0.0),
    ];
    for (more, seconds) in parts {
        assert_eq!(sum(&logpush(&[visitor(1, 2_000, 1_000, &more)]), name), seconds, "{more}");
    }
    let exact = visitor(1, 2_001, 1_000, &json!({ "EdgeTimeToFirstByteMs": 20 }));
    assert_eq!(sum(&logpush(&[exact]), name), 1.001);
}

#[test]
fn the_origin_took_what_the_newer_field_says_else_the_older() {
    let name = "cloudflare_origin_duration_seconds";
    let older = json!({ "OriginResponseTime": 70_000_000, "OriginResponseStatus": 503 });
    let both = json!({ "OriginResponseTime": 70_000_000, "OriginResponseDurationMs": 90, "OriginResponseStatus": 200 });
    let points = logpush(&[visitor(1, 9, 1, &older), visitor(2, 9, 1, &both), visitor(3, 9, 1, &json!({}))]);
    let by_class: BTreeMap<_, _> = points
        .by(name, &["status_class"])
        .into_iter()
        .map(|(class, last)| (class[0].clone(), last.sum))
        .collect();
    assert_eq!(by_class, [("2xx".to_owned(), 0.09), ("5xx".to_owned(), 0.07)].into());
}

#[test]
fn of_the_rules_that_matched_a_request_the_one_that_decided_counts() {
    let event = |index: u32, action: &str| {
        json!({
            "RayID": "0f3a5b7c9d1e2f40", "RuleID": "r", "MatchIndex": index, "Action": action, "Source": "firewallCustom",
            "Kind": "firewall", "Datetime": (NOW.0 - 1_000_000) / 1_000_000_000, "ClientRequestHost": "h", "EdgeResponseStatus": 403,
        })
    };
    let points = logpush(&[event(0, "block"), event(1, "log"), event(2, "skip")]);
    let counts = points.counts("cloudflare_firewall_events_total", &["action", "source"]);
    assert_eq!(counts, [(vec!["block".to_owned(), "firewallCustom".into()], 1)].into());
}

#[test]
fn a_stream_has_no_consumer() {
    let text = sample("kong/http-log-3x-background.json");
    let records: Value = serde_json::from_slice(&text).unwrap();
    let mut stream = records.as_array().unwrap().last().unwrap().clone();
    assert!(!stream["session"].is_null());
    stream["consumer"] = json!({ "id": "1", "username": "somebody" });
    let hint = Hint { shape: Shape::Kong, ..Hint::default() };
    let points = told(&options(), &hinted(stream.to_string().into_bytes(), hint));
    let bytes = points.counts("kong_bandwidth_bytes", &["direction", "consumer"]);
    assert_eq!(
        bytes,
        [(vec!["egress".to_owned(), String::new()], 1893), (vec!["ingress".to_owned(), String::new()], 517)]
            .into()
    );
    let sessions = points.counts("kong_stream_sessions_total", &["service", "route", "code"]);
    assert_eq!(sessions.into_values().collect::<Vec<_>>(), [1]);
    assert!(!points.names().contains(&"kong_http_requests_total"));
    assert_eq!(points.by("kong_session_duration_ms", &[]).into_values().next().unwrap().sum, 38.0);
}

#[test]
fn kongs_own_spans_fail_by_what_was_answered_and_others_by_what_they_say() {
    let failed = |service: &str, kind: u64, status: &str| {
        let points = told(&options(), &[span(service, kind, 1, 0, &[("http.status_code", status)])]);
        let status =
            points.counts("traces_spanmetrics_calls_total", &["status_code"]).into_keys().next().unwrap();
        status[0] == "STATUS_CODE_ERROR"
    };
    assert!(failed("kong", SERVER, "500"));
    assert!(!failed("kong", SERVER, "499"));
    assert!(!failed("kong", CLIENT, "500"));
    assert!(!failed("shop", SERVER, "500"));
}

#[test]
fn functions_are_named_by_themselves_else_by_the_path_that_was_asked() {
    let named = |attributes: &[(&str, &str)]| {
        let points = told(&options(), &[span("openfaas-gateway", SERVER, 1, 0, attributes)]);
        points
            .counts("openfaas_request_duration_seconds", &["function_name"])
            .into_keys()
            .next()
            .map(|mut name| name.remove(0))
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(named(&[("faas.invoked_name", "resize"), ("url.path", "/function/other")]), some("resize"));
    assert_eq!(named(&[("url.path", "/function/echo/deep?x=1")]), some("echo"));
    assert_eq!(named(&[("http.target", "/async-function/mail?x=1")]), some("mail"));
    assert_eq!(named(&[("http.url", "http://gateway:8080/function/cows#x")]), some("cows"));
    for path in ["/system/functions", "/function/", "/function/Not%20a%20name", "/function/<script>"] {
        assert_eq!(named(&[("url.path", path)]), None, "{path}");
    }
    let other = [span("shop", SERVER, 1, 0, &[("url.path", "/function/echo")])];
    assert_eq!(told(&options(), &other).counts("openfaas_request_duration_seconds", &[]), BTreeMap::new());
}

#[test]
fn spans_within_a_process_count_where_that_is_asked_for() {
    let inner = [span("shop", 1, 1, 0, &[]), span("shop", 0, 2, 0, &[])];
    let mut options = options();
    let calls = |options: &_, items: &[Item]| {
        told(options, items).counts("traces_spanmetrics_calls_total", &["span_kind"])
    };
    assert_eq!(calls(&options, &inner), BTreeMap::new());
    options.spans.internal = true;
    let kinds: Vec<String> = calls(&options, &inner).into_keys().map(|mut kind| kind.remove(0)).collect();
    assert_eq!(kinds, ["SPAN_KIND_INTERNAL", "SPAN_KIND_UNSPECIFIED"]);
    options.spans.enabled = false;
    assert_eq!(told(&options, &inner).0, BTreeMap::new());
}

#[test]
fn what_is_switched_off_is_not_made() {
    let items = super::feed::all();
    let mut options = options();
    options.cloudflare.enabled = false;
    assert!(told(&options, &items).names().iter().all(|name| !name.starts_with("cloudflare_")));
    options.spans.graph = false;
    let told = told(&options, &items);
    assert!(told.names().iter().all(|name| !name.starts_with("traces_service_graph")));
    assert!(told.names().contains(&"traces_spanmetrics_calls_total"));
    assert!(!logs(&super::feed::KONG, Shape::Kong).is_empty());
}

#[test]
fn options_are_read_strictly() {
    let read = |text: &str| serde_json::from_str::<super::Options>(text);
    assert_eq!(read("{}").unwrap(), super::Options::default());
    let set = read(r#"{"kong":{"names":"both","per_consumer":true},"histograms":"native","most_series":5}"#)
        .unwrap();
    assert!(set.kong.per_consumer && set.kong.latency_metrics && set.most_series == 5);
    assert_eq!(read(r#"{"repeat":"1m","body":"256KiB"}"#).unwrap().problems(), []);
    assert_eq!(super::Options::default().problems(), []);
    let wrong =
        read(r#"{"repeat":"1h","most_series":0,"body":"1B","spans":{"wait":"0s"}}"#).unwrap().problems();
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    assert!(read(r#"{"kong":{"name":"both"}}"#).is_err());
    assert!(read(r#"{"histogram":"native"}"#).is_err());
    assert!(read(r#"{"kong":{"names":"4.x"}}"#).is_err());
}
