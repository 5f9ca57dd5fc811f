//! The samples against what is expected of them.

use std::collections::{BTreeMap, BTreeSet};

use normalize::Shape;
use serde_json::Value;
use testkit::sample::sample;
use tidegate_stitch::series::metric::ROWS;
use tidegate_stitch::series::options::{Histograms, KongNames};

use super::feed::{HTTP, KONG, LOGPUSH, WORKERS, all, logs, spans};
use super::{options, series, told};
use crate::NOW;

fn expected() -> Value {
    serde_json::from_slice(&sample("expected/metrics.json")).unwrap()
}

/// A metric's rows in the expectations: labels, and the number under `key`.
fn rows(metric: &Value, key: &str) -> BTreeMap<BTreeMap<String, String>, f64> {
    let row = |row: &Value| {
        let labels = row["labels"].as_object().unwrap();
        let labels = labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
        (labels.collect(), row[key].as_f64().unwrap())
    };
    metric.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn every_metric_of_the_expectations_is_made_as_expected() {
    let expected = expected();
    let mut items = logs(&LOGPUSH, Shape::Logpush);
    items.extend(logs(&KONG, Shape::Kong));
    items.extend(spans("otlp/traces.json"));
    let told = told(&options(), &items);
    let made =
        |name: &str, value: fn(&super::points::Last) -> f64| -> BTreeMap<BTreeMap<String, String>, f64> {
            let of = told.0.iter().filter(|((of, _), _)| of == name);
            of.map(|((_, labels), last)| (labels.clone(), value(last))).collect()
        };
    let mut compared = BTreeSet::new();
    for (name, metric) in expected.as_object().unwrap() {
        match name.as_str() {
            "inputs" => {}
            "kong_http_requests_total" => {
                assert_eq!(made(name, |last| last.value as f64), rows(metric, "value"));
            }
            "cloudflare_worker_duration_seconds" => {
                assert_eq!(made(name, |last| last.value as f64), rows(metric, "count"));
                assert_eq!(made(name, |last| last.sum), rows(metric, "sum"));
            }
            "openfaas_request_duration_seconds_count" => {
                let made = made("openfaas_request_duration_seconds", |last| last.value as f64);
                assert_eq!(made, rows(metric, "value"));
            }
            "cloudflare_http_requests_total_by_status(visitor records only)" => {
                let made: BTreeMap<String, u64> = told
                    .counts("cloudflare_http_requests_total", &["status"])
                    .into_iter()
                    .map(|(mut labels, count)| (labels.remove(0), count))
                    .collect();
                let by_status: BTreeMap<String, u64> = serde_json::from_value(metric.clone()).unwrap();
                assert_eq!(made, by_status);
            }
            "distinct_http_requests_records" => assert_eq!(logs(&[HTTP], Shape::Logpush).len(), 50),
            "distinct_worker_events" => {
                let runs: u64 = told.counts("cloudflare_worker_duration_seconds", &[]).values().sum();
                assert_eq!(metric, &Value::from(runs));
            }
            "distinct_kong_records" => {
                assert_eq!(logs(&KONG, Shape::Kong).len() as u64, metric.as_u64().unwrap());
            }
            other => panic!("{other} is expected and not compared"),
        }
        compared.insert(name.clone());
    }
    assert_eq!(compared.len(), 8);
}

#[test]
fn every_metric_that_samples_can_show_is_made() {
    let mut options = options();
    options.kong.names = KongNames::Both;
    options.histograms = Histograms::Both;
    let told = told(&options, &all());
    let missing: Vec<&str> =
        ROWS.iter().map(|row| row.name).filter(|name| !told.names().contains(name)).collect();
    // No sample has a cold start, and nothing waited in vain yet.
    let none = [
        "traces_service_graph_unpaired_spans_total",
        "traces_service_graph_dropped_spans_total",
        "faas_coldstarts_total",
        "knative_activator_wait_seconds",
    ];
    assert_eq!(missing, none);
    for ((name, labels), last) in &told.0 {
        if let Some(classic) = name.strip_suffix("{native}") {
            let classic = &told.0[&(classic.to_owned(), labels.clone())];
            assert_eq!((last.value, last.sum), (classic.value, classic.sum), "{name}");
        }
        let row = ROWS.iter().find(|row| row.name == name.trim_end_matches("{native}")).unwrap();
        assert_eq!(
            labels.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            row.labels.iter().copied().collect()
        );
    }
}

#[test]
fn exemplars_name_traces_of_the_story() {
    let told = told(&options(), &all());
    let stories: Value = serde_json::from_slice(&sample("expected/traces.json")).unwrap();
    let traces: BTreeSet<&str> = stories["traces"]
        .as_object()
        .unwrap()
        .values()
        .map(|story| story["trace_id"].as_str().unwrap())
        .collect();
    let mut seen = BTreeSet::new();
    for name in [
        "traces_spanmetrics_latency",
        "kong_request_latency_ms",
        "traces_service_graph_request_server_seconds",
    ] {
        for last in told.by(name, &[]).values() {
            assert!(!last.exemplars.is_empty(), "{name}");
        }
    }
    for ((_, _), last) in &told.0 {
        for (trace, span) in &last.exemplars {
            assert_eq!((trace.len(), span.len() % 8), (16, 0));
            seen.insert(trace.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
    }
    assert!(traces.iter().all(|trace| seen.contains(*trace)), "{traces:?} {seen:?}");
    let mut without = options();
    without.exemplars = false;
    let told = super::told(&without, &all());
    assert!(told.0.values().all(|last| last.exemplars.is_empty()));
}

#[test]
fn no_order_of_the_samples_changes_anything() {
    let mut options = options();
    options.kong.names = KongNames::Both;
    options.histograms = Histograms::Both;
    let mut items = all();
    let first = series(&options, &items).encode(NOW);
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..200 {
        random.shuffle(&mut items);
        assert_eq!(series(&options, &items).encode(NOW), first);
    }
}

#[test]
fn runs_of_workers_come_from_one_dataset_and_never_from_both() {
    let mut options = options();
    let items = logs(&[HTTP, WORKERS], Shape::Logpush);
    let runs = |options: &_| -> u64 {
        told(options, &items).counts("cloudflare_worker_duration_seconds", &[]).values().sum()
    };
    assert_eq!(runs(&options), 20);
    options.cloudflare.worker_durations = serde_json::from_str("\"http_requests\"").unwrap();
    let raw = String::from_utf8(sample(HTTP)).unwrap();
    let records = raw.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let visitors = records
        .filter(|row| row["WorkerScriptName"] != "" && row["ClientRequestSource"] == "eyeball")
        .count();
    assert_eq!(runs(&options), visitors as u64);
}
