//! Real OpenTelemetry senders and back ends: telemetrygen over gRPC and HTTP; a second gateway, a real Prometheus by OTLP
//! and, with `--all`, a real Jaeger; all compared by value.

use std::collections::BTreeSet;

use testkit::process::free_port;
use testkit::server::{Jaeger, Prometheus, all, telemetrygen};

use crate::crash::settled;
use crate::gateway::Gateway;
use crate::stored::{self, Row};

fn generate(signal: &str, port: u16, http: bool, service: &str, count: &str) {
    let endpoint = format!("127.0.0.1:{port}");
    let many = match signal {
        "traces" => "--traces",
        "logs" => "--logs",
        _ => "--metrics",
    };
    let mut args = vec![
        signal,
        "--otlp-insecure",
        "--otlp-endpoint",
        &endpoint,
        many,
        count,
        "--rate",
        "0",
        "--service",
        service,
    ];
    args.extend(["--telemetry-attributes", "unicode=\"Ünïcödé €\"", "--telemetry-attributes", "number=42"]);
    if http {
        args.push("--otlp-http");
    }
    let output = telemetrygen(&args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

/// The id of some trace that the gateway has, read from the store's files.
fn stored_trace(gateway: &Gateway) -> String {
    testkit::process::eventually("a trace in the store's files", || {
        let rows = stored::rows(&gateway.folder.join("data/sinks/store"), "traces", &["trace_id"]);
        rows.into_iter().next().map(|mut row| row.remove("trace_id").unwrap())
    })
}

/// Every point of the store is a sample of the real Prometheus, by time and value.
fn compare(prometheus: &Prometheus, rows: &[Row]) {
    let (mut samples, mut points) = (BTreeSet::new(), BTreeSet::new());
    for series in prometheus.query("{__name__=~\"gen.*\"}[10m]").as_array().unwrap() {
        assert_eq!(series["metric"]["number"], "42", "{series}");
        assert_eq!(series["metric"]["unicode"], "Ünïcödé €", "{series}");
        for sample in series["values"].as_array().unwrap() {
            let millis = (sample[0].as_f64().unwrap() * 1000.0).round() as i64;
            let value: f64 = sample[1].as_str().unwrap().parse().unwrap();
            samples.insert((series["metric"]["job"].as_str().unwrap().to_owned(), millis, value.to_bits()));
        }
    }
    for row in rows.iter().filter(|row| row["metric_name"].starts_with("gen")) {
        let (nanos, value): (i64, f64) = (row["timestamp"].parse().unwrap(), row["value"].parse().unwrap());
        points.insert((row["service_name"].clone(), nanos / 1_000_000, value.to_bits()));
    }
    // One series keeps one sample a millisecond, so points closer together leave only one of them.
    let times = |all: &BTreeSet<(String, i64, u64)>| {
        all.iter().map(|(job, at, _)| (job.clone(), *at)).collect::<BTreeSet<_>>()
    };
    assert!(!points.is_empty() && times(&points) == times(&samples), "{points:?}\n{samples:?}");
    assert!(samples.is_subset(&points), "{points:?}\n{samples:?}");
}

#[test]
fn telemetrygen_reaches_the_store_and_every_back_end_with_equal_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (here, there, there_http) = (path("here"), path("grpc"), path("http"));
    let mut over_grpc =
        Gateway::start_at(&there, free_port(), "sinks: { store: { type: store, flush_age: 1s } }\n");
    let mut over_http =
        Gateway::start_at(&there_http, free_port(), "sinks: { store: { type: store, flush_age: 1s } }\n");
    let prometheus = Prometheus::start(
        &path("prometheus"),
        "global: {}\notlp: {promote_resource_attributes: [service.name]}\n",
    );
    let jaeger = all().then(|| Jaeger::start(&path("jaeger")));
    let mut sections = format!(
        "sinks:
  store: {{ type: store, flush_age: 1s }}
  grpc: {{ type: otlp, protocol: grpc, endpoint: 'http://127.0.0.1:{}', compression: none }}
  http: {{ type: otlp, protocol: http, endpoint: 'http://127.0.0.1:{}', compression: gzip }}
  metrics: {{ type: otlp, protocol: http, endpoint: 'http://127.0.0.1:{}/api/v1/otlp', signals: [metrics] }}
",
        over_grpc.port, over_http.port, prometheus.port
    );
    if let Some(jaeger) = &jaeger {
        sections += &format!(
            "  jaeger: {{ type: otlp, protocol: grpc, endpoint: 'http://127.0.0.1:{}', signals: [traces] }}\n",
            jaeger.otlp_grpc
        );
    }
    let mut gateway = Gateway::start(&here, &sections);
    for signal in ["traces", "logs", "metrics"] {
        generate(signal, gateway.port, false, "by-grpc", "100");
        generate(signal, gateway.port, true, "by-http", "50");
    }
    let ledger = settled(&gateway);
    for row in ledger["rows"].as_array().unwrap() {
        assert_eq!(row["delivered"], row["accepted"], "{row}");
    }
    for other in [&over_grpc, &over_http] {
        settled(other);
    }
    let found = stored_trace(&gateway);
    assert!(gateway.command(&["trace", &found]).contains("lets-go"), "{found}");

    let spans = {
        for process in [&mut gateway.process, &mut over_grpc.process, &mut over_http.process] {
            assert!(process.terminate().success());
        }
        let mut kept = Vec::new();
        for (signal, columns, least) in [
            (
                "traces",
                &[
                    "timestamp",
                    "end_time",
                    "trace_id",
                    "span_id",
                    "parent_span_id",
                    "service_name",
                    "name",
                    "kind",
                    "status",
                    "attributes",
                    "resource_attributes",
                    "raw",
                ][..],
                300,
            ),
            (
                "logs",
                &[
                    "timestamp",
                    "service_name",
                    "severity_number",
                    "body",
                    "attributes",
                    "resource_attributes",
                    "raw",
                ][..],
                150,
            ),
            ("metrics", &["timestamp", "service_name", "metric_name", "value", "attributes", "raw"][..], 2),
        ] {
            let mine = sorted(stored::rows(&here.join("data/sinks/store"), signal, columns));
            assert!(mine.len() >= least, "{signal}: {} rows", mine.len());
            assert!(
                mine.iter().all(|row| row["attributes"].contains("Ünïcödé €")),
                "{signal}: {:?}",
                mine[0]
            );
            for other in [&there, &there_http] {
                let theirs = sorted(stored::rows(&other.join("data/sinks/store"), signal, columns));
                assert_eq!(mine.len(), theirs.len(), "{signal} in {}", other.display());
                assert!(mine == theirs, "{signal} differ in {}", other.display());
            }
            match signal {
                "traces" => kept = mine,
                "metrics" => compare(&prometheus, &mine),
                _ => {}
            }
        }
        kept
    };
    if let Some(jaeger) = jaeger {
        for row in spans.iter().filter(|row| row["name"] == "lets-go").take(20) {
            let trace = jaeger
                .trace(&row["trace_id"])
                .unwrap_or_else(|| panic!("jaeger lacks trace {}", row["trace_id"]));
            let span = trace["spans"]
                .as_array()
                .unwrap()
                .iter()
                .find(|s| s["spanID"] == row["span_id"].as_str())
                .unwrap()
                .clone();
            assert_eq!(span["operationName"], row["name"].as_str());
            let process = &trace["processes"][span["processID"].as_str().unwrap()];
            assert_eq!(process["serviceName"], row["service_name"].as_str());
            let tags = span["tags"].to_string();
            assert!(tags.contains("Ünïcödé €") && tags.contains("42"), "{tags}");
            let start: i64 = row["timestamp"].parse().unwrap();
            assert_eq!(span["startTime"], start / 1000);
        }
    }
}
