//! What a real Prometheus makes of it: as our remote-write sink sends it, and as any OTLP sender would.

use testkit::process::http;
use testkit::server::Prometheus;
use tidegate_stitch::series::Body;
use tidegate_stitch::series::metric::{Kind, ROWS};
use tidegate_stitch::series::options::{Histograms, KongNames};
use wire::Coding;
use wire::coding::compress;
use wire::translate::{Options as Translation, otlp_to_rw};

use super::feed::{all, logs};
use super::points::Points;
use super::{options, series};
use crate::NOW;

fn bodies() -> Vec<Body> {
    let mut options = options();
    options.kong.names = KongNames::Both;
    options.histograms = Histograms::Both;
    let mut series = series(&options, &all());
    // A while later, so that there is a zero before it.
    series.encode(model::UnixNanos(NOW.0 + 30_000_123_456))
}

/// At a time that sees all of it.
fn at(expression: &str) -> String {
    let seconds = NOW.0 / 1_000_000_000 + 60;
    expression.replace('$', &format!(" @ {seconds}"))
}

fn value(prometheus: &Prometheus, expression: &str) -> f64 {
    let result = prometheus.query(&at(expression));
    let [only] = result.as_array().unwrap().as_slice() else { panic!("{expression}: {result}") };
    only["value"][1].as_str().unwrap().parse().unwrap()
}

/// As our remote-write sink sends them.
fn send(prometheus: &Prometheus, bodies: &[Body]) {
    for body in bodies {
        let (plain, losses) = otlp_to_rw(&body.bytes, &Translation::default()).unwrap();
        assert!(losses.is_empty(), "{losses:?}");
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        let sent = compress(Coding::Snappy, 0, &plain);
        let answer = http(prometheus.port, "POST", "/api/v1/write", &headers, &sent).unwrap();
        assert_eq!(answer.status / 100, 2, "{}", answer.text());
    }
}

#[test]
fn prometheus_has_every_name_value_bucket_and_increase_by_remote_write() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), "global: {}\n");
    let bodies = bodies();
    send(&prometheus, &bodies);
    let points = Points::of(&bodies);
    for row in ROWS.iter().filter(|row| points.names().contains(&row.name)) {
        let total: u64 = points.counts(row.name, &[]).values().sum();
        let name = match row.kind {
            Kind::Counter => row.name.to_owned(),
            Kind::Histogram { .. } => format!("{}_count", row.name),
        };
        assert_eq!(value(&prometheus, &format!("sum({name}$)")), total as f64, "{name}");
        let instance = prometheus.query(&at(&format!("count by (instance, job) ({name}$)")));
        assert_eq!(instance[0]["metric"]["instance"], "gateway-1", "{instance}");
        if let Kind::Histogram { .. } = row.kind {
            let whole = format!("sum({}_bucket{{le=\"+Inf\"}}$)", row.name);
            assert_eq!(value(&prometheus, &whole), total as f64, "{whole}");
            let native = format!("sum(histogram_count({}$))", row.name);
            assert_eq!(value(&prometheus, &native), total as f64, "{native}");
        }
    }
    // What was counted before anybody was told of it is an increase all the same.
    let raised = value(
        &prometheus,
        "sum(last_over_time(kong_http_requests_total[5m]$)) - sum(min_over_time(kong_http_requests_total[5m]$))",
    );
    assert_eq!(raised, logs_with_route() as f64);
    assert!(value(&prometheus, "sum(increase(kong_http_requests_total[5m]$))") >= raised);
    // The question that users ask.
    let quantile =
        "histogram_quantile(0.95, sum by (le) (rate(cloudflare_worker_duration_seconds_bucket[5m]$)))";
    assert!((0.1..=2.5).contains(&value(&prometheus, quantile)));
}

#[test]
fn exemplars_lead_from_a_bucket_to_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), "global: {}\n");
    send(&prometheus, &bodies());
    let (start, end) = (NOW.0 / 1_000_000_000 - 7_200, NOW.0 / 1_000_000_000);
    for name in ["kong_request_latency_ms", "cloudflare_edge_duration_seconds", "traces_spanmetrics_latency"]
    {
        let path = format!("/api/v1/query_exemplars?query={name}_bucket&start={start}&end={end}");
        let answer = http(prometheus.port, "GET", &path, &[], &[]).unwrap().json();
        let series = answer["data"].as_array().unwrap();
        assert!(!series.is_empty(), "{name}: {answer}");
        for exemplar in series.iter().flat_map(|series| series["exemplars"].as_array().unwrap()) {
            assert_eq!(exemplar["labels"]["trace_id"].as_str().unwrap().len(), 32, "{exemplar}");
        }
    }
}

#[test]
fn a_rate_over_one_minute_never_has_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), "global: {}\n");
    let items = logs(&super::feed::KONG[..1], normalize::Shape::Kong);
    let mut series = series(&options(), &items);
    let second = 1_000_000_000;
    for at in (10..=300).step_by(10) {
        send(&prometheus, &series.encode(model::UnixNanos(NOW.0 + at * second)));
    }
    let now = NOW.0 / second;
    for at in (60..=300).step_by(7) {
        let rate = format!("count(rate(kong_http_requests_total{{instance=~\".+\"}}[1m] @ {}))", now + at);
        let result = prometheus.query(&rate);
        assert_eq!(result[0]["value"][1], "1", "{at} s later");
    }
}

fn logs_with_route() -> u64 {
    let kong = logs(&super::feed::KONG, normalize::Shape::Kong);
    super::told(&options(), &kong).counts("kong_http_requests_total", &[]).values().sum()
}

#[test]
fn prometheus_takes_them_as_otlp_and_changes_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), "global: {}\n");
    let bodies = bodies();
    for body in &bodies {
        let headers = [("content-type", "application/x-protobuf")];
        let answer = http(prometheus.port, "POST", "/api/v1/otlp/v1/metrics", &headers, &body.bytes).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let points = Points::of(&bodies);
    let mut changed = Vec::new();
    for row in ROWS.iter().filter(|row| points.names().contains(&row.name)) {
        let name = match row.kind {
            Kind::Counter => row.name.to_owned(),
            Kind::Histogram { .. } => format!("{}_count", row.name),
        };
        let result = prometheus.query(&at(&format!("sum({name}$)")));
        let total: u64 = points.counts(row.name, &[]).values().sum();
        match result[0]["value"][1].as_str() {
            Some(value) => assert_eq!(value.parse::<f64>().unwrap(), total as f64, "{name}"),
            None => changed.push(row.name),
        }
    }
    // Prometheus ends every counter in `_total`, whatever Kong's plugin called it.
    assert_eq!(
        changed,
        [
            "kong_bandwidth_bytes",
            "kong_http_status",
            "kong_http_consumer_status",
            "kong_stream_status",
            "kong_bandwidth"
        ]
    );
}
