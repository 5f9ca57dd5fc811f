//! An independent count: straight from the JSON of the samples, by the rules of Kong's plugin and of Cloudflare's fields.

use std::collections::{BTreeMap, BTreeSet};

use normalize::Shape;
use serde_json::Value;
use testkit::sample::sample;
use tidegate_stitch::series::options::KongNames;

use super::feed::{HTTP, KONG, logs};
use super::{options, told};

type Counts = BTreeMap<Vec<String>, u64>;

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// Kong's distinct records.
fn kong() -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut records = Vec::new();
    for name in KONG {
        let parsed: Value = serde_json::from_slice(&sample(name)).unwrap();
        let batch = if parsed.is_array() { parsed.as_array().unwrap().clone() } else { vec![parsed] };
        records.extend(batch.into_iter().filter(|record| seen.insert(record.to_string())));
    }
    records
}

fn named(entity: &Value, other: &str) -> String {
    let name = text(&entity["name"]);
    if name.is_empty() { text(&entity[other]) } else { name }
}

fn add(counts: &mut Counts, labels: &[&str], by: u64) {
    *counts.entry(labels.iter().map(|label| (*label).to_owned()).collect()).or_default() += by;
}

#[test]
fn kong_3_agrees_with_a_count_by_the_plugins_rules() {
    let (mut requests, mut bytes) = (Counts::new(), Counts::new());
    let mut latencies: BTreeMap<(&str, Vec<String>), Vec<f64>> = BTreeMap::new();
    for record in kong().iter().filter(|record| !record["route"].is_null() && record["session"].is_null()) {
        let (service, route) = (named(&record["service"], "host"), named(&record["route"], "id"));
        let workspace = text(&record["workspace_name"]);
        let consumer = text(&record["consumer"]["username"]);
        let proxied = number(&record["latencies"]["proxy"]).is_some_and(|millis| millis >= 0.0);
        let source = match record["source"].as_str() {
            Some("upstream") => "service",
            None if proxied => "service",
            _ => "kong",
        };
        let code = text(&record["response"]["status"]);
        add(&mut requests, &[&service, &route, &code, source, &workspace, &consumer], 1);
        for (direction, side) in [("ingress", "request"), ("egress", "response")] {
            if let Some(size) = number(&record[side]["size"]).filter(|size| *size > 0.0) {
                add(&mut bytes, &[&service, &route, direction, &workspace, &consumer], size as u64);
            }
        }
        for (metric, part) in [
            ("kong_request_latency_ms", "request"),
            ("kong_kong_latency_ms", "kong"),
            ("kong_upstream_latency_ms", "proxy"),
        ] {
            if let Some(millis) = number(&record["latencies"][part]).filter(|millis| *millis >= 0.0) {
                let labels = vec![service.clone(), route.clone(), workspace.clone()];
                latencies.entry((metric, labels)).or_default().push(millis);
            }
        }
    }
    assert!(requests.len() > 10 && latencies.len() > 10);

    let told = told(&options(), &logs(&KONG, Shape::Kong));
    let labels = ["service", "route", "code", "source", "workspace", "consumer"];
    assert_eq!(told.counts("kong_http_requests_total", &labels), requests);
    let labels = ["service", "route", "direction", "workspace", "consumer"];
    let mut stream = told.counts("kong_bandwidth_bytes", &labels);
    stream.retain(|labels, _| labels[1] != "tcp-redis");
    assert_eq!(stream, bytes);
    check(&told, latencies, &["service", "route", "workspace"], |labels| labels[1] != "tcp-redis");
}

/// Histograms against the single latencies.
fn check(
    told: &super::points::Points,
    latencies: BTreeMap<(&str, Vec<String>), Vec<f64>>,
    labels: &[&str],
    of: fn(&[String]) -> bool,
) {
    let metrics: BTreeSet<&str> = latencies.keys().map(|(metric, _)| *metric).collect();
    for metric in metrics {
        let made = told.by(metric, labels);
        let wanted = latencies.iter().filter(|((name, _), _)| *name == metric).map(|((_, labels), _)| labels);
        assert_eq!(made.keys().filter(|labels| of(labels)).collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }
    for ((metric, values), millis) in latencies {
        let last = &told.by(metric, labels)[&values];
        assert_eq!(last.value, millis.len() as u64, "{metric} {values:?}");
        assert_eq!(last.sum, millis.iter().sum::<f64>(), "{metric} {values:?}");
        let mut below = 0;
        for (bound, count) in last.bounds.iter().zip(&last.buckets) {
            below += count;
            assert_eq!(
                below,
                millis.iter().filter(|millis| *millis <= bound).count() as u64,
                "{metric} {bound}"
            );
        }
    }
}

#[test]
fn kong_2_agrees_with_a_count_by_the_plugins_rules() {
    let (mut status, mut stream, mut by_consumer, mut bytes) =
        (Counts::new(), Counts::new(), Counts::new(), Counts::new());
    let mut latencies: BTreeMap<(&str, Vec<String>), Vec<f64>> = BTreeMap::new();
    for record in kong().iter().filter(|record| !record["service"].is_null()) {
        let (service, route) = (named(&record["service"], "host"), named(&record["route"], "id"));
        let is_stream = !record["session"].is_null();
        let code = text(&record[if is_stream { "session" } else { "response" }]["status"]);
        let consumer = text(&record["consumer"]["username"]);
        add(if is_stream { &mut stream } else { &mut status }, &[&service, &route, &code], 1);
        if !consumer.is_empty() {
            add(&mut by_consumer, &[&service, &route, &code, &consumer], 1);
        }
        let sizes = if is_stream {
            [("ingress", &record["session"]["received"]), ("egress", &record["session"]["sent"])]
        } else {
            [("ingress", &record["request"]["size"]), ("egress", &record["response"]["size"])]
        };
        for (kind, size) in sizes {
            if let Some(size) = number(size).filter(|size| *size > 0.0) {
                add(&mut bytes, &[&service, &route, kind], size as u64);
            }
        }
        for (kind, part) in [
            ("request", if is_stream { "session" } else { "request" }),
            ("kong", "kong"),
            ("upstream", if is_stream { "none" } else { "proxy" }),
        ] {
            if let Some(millis) = number(&record["latencies"][part]).filter(|millis| *millis >= 0.0) {
                let labels = vec![service.clone(), route.clone(), kind.to_owned()];
                latencies.entry(("kong_latency", labels)).or_default().push(millis);
            }
        }
    }
    let mut options = options();
    options.kong.names = KongNames::Two;
    let told = told(&options, &logs(&KONG, Shape::Kong));
    assert!(told.names().iter().all(|name| !name.ends_with("_total")), "{:?}", told.names());
    assert_eq!(told.counts("kong_http_status", &["service", "route", "code"]), status);
    assert_eq!(told.counts("kong_stream_status", &["service", "route", "code"]), stream);
    assert_eq!(
        told.counts("kong_http_consumer_status", &["service", "route", "code", "consumer"]),
        by_consumer
    );
    assert_eq!(told.counts("kong_bandwidth", &["service", "route", "type"]), bytes);
    check(&told, latencies, &["service", "route", "type"], |_| true);
}

#[test]
fn switches_leave_out_what_they_say() {
    let items = logs(&KONG, Shape::Kong);
    let names = |change: fn(&mut super::Options)| {
        let mut options = options();
        change(&mut options);
        told(&options, &items).names().iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    let has = |names: &[String], part: &str| names.iter().any(|name| name.contains(part));
    let without = names(|options| options.kong.status_code_metrics = false);
    assert!(!has(&without, "_total") && has(&without, "latency") && has(&without, "bandwidth"));
    let without = names(|options| options.kong.latency_metrics = false);
    assert!(has(&without, "_total") && !has(&without, "_ms") && has(&without, "bandwidth"));
    let without = names(|options| options.kong.bandwidth_metrics = false);
    assert!(has(&without, "_total") && has(&without, "_ms") && !has(&without, "bandwidth"));
    assert_eq!(names(|options| options.kong.enabled = false), Vec::<String>::new());
    let mut options = options();
    options.kong.per_consumer = false;
    let told = told(&options, &items);
    assert_eq!(
        told.counts("kong_http_requests_total", &["consumer"]).into_keys().collect::<Vec<_>>(),
        [[""]]
    );
}

/// A time in nanoseconds: a number, digits in a string, or a date.
fn nanos(time: &Value) -> u64 {
    let read = |text: &str| {
        text.parse().ok().or_else(|| model::UnixNanos::rfc3339(text.as_bytes()).map(|time| time.0))
    };
    let number = time.as_u64().or_else(|| read(time.as_str()?)).unwrap();
    number * 10_u64.pow(19 - number.to_string().len() as u32)
}

#[test]
fn the_edge_agrees_with_a_count_of_its_records() {
    let (mut requests, mut colos, mut subrequests) = (Counts::new(), Counts::new(), Counts::new());
    let (mut bytes, mut edge, mut first_byte, mut origin) = (0, Vec::new(), Vec::new(), Vec::new());
    for line in String::from_utf8(sample(HTTP)).unwrap().lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let source = text(&row["ClientRequestSource"]);
        let is_visitor = source == "eyeball" && row["WorkerSubrequest"] != true;
        let is_fetch = matches!(source.as_str(), "edgeWorkerFetch" | "5");
        let status = row["EdgeResponseStatus"].as_u64().unwrap();
        let zone = text(&row["ZoneName"]);
        let shown = if source == "7" { "edgeWorkerKV" } else { source.as_str() };
        if row["WorkerSubrequest"] == true {
            add(&mut subrequests, &[&zone, &status.to_string(), shown], 1);
        } else {
            let (method, cache) = (text(&row["ClientRequestMethod"]), text(&row["CacheCacheStatus"]));
            add(&mut requests, &[&zone, &method, &status.to_string(), &cache, shown], 1);
        }
        if is_visitor {
            add(&mut colos, &[&zone, &text(&row["EdgeColoCode"]), &format!("{}xx", status / 100)], 1);
            bytes += row["EdgeResponseBytes"].as_u64().unwrap();
            edge.push(nanos(&row["EdgeEndTimestamp"]) - nanos(&row["EdgeStartTimestamp"]));
            first_byte.extend(row["EdgeTimeToFirstByteMs"].as_u64().filter(|millis| *millis > 0));
        }
        if is_visitor || is_fetch {
            origin.extend(row["OriginResponseDurationMs"].as_u64().filter(|millis| *millis > 0));
        }
    }
    let told = told(&options(), &logs(&[HTTP], Shape::Logpush));
    let labels = ["zone", "method", "status", "cache_status", "source"];
    assert_eq!(told.counts("cloudflare_http_requests_total", &labels), requests);
    assert_eq!(told.counts("cloudflare_colo_requests_total", &["zone", "colo", "status_class"]), colos);
    assert_eq!(
        told.counts("cloudflare_worker_subrequests_total", &["zone", "status", "source"]),
        subrequests
    );
    assert_eq!(told.counts("cloudflare_edge_response_bytes_total", &[]).values().sum::<u64>(), bytes);
    let total = |name: &str| {
        let all = told.by(name, &["zone", "status_class"]);
        (all.values().map(|last| last.value).sum::<u64>(), all.values().map(|last| last.sum).sum::<f64>())
    };
    for (name, nanos) in [
        ("cloudflare_edge_duration_seconds", edge),
        (
            "cloudflare_edge_ttfb_seconds",
            first_byte.iter().map(|millis| millis * 1_000_000).collect::<Vec<_>>(),
        ),
        ("cloudflare_origin_duration_seconds", origin.iter().map(|millis| millis * 1_000_000).collect()),
    ] {
        let (count, sum) = total(name);
        assert_eq!(count, nanos.len() as u64, "{name}");
        assert!((sum - nanos.iter().sum::<u64>() as f64 / 1e9).abs() < 1e-9, "{name}");
    }
}
