//! Against a real Prometheus.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use testkit::server::Prometheus as Server;
use wire::put;

use super::*;
use crate::fixture::text;

/// Prometheus looks at the machine's clock, so these samples are of the last minutes.
fn begin() -> u64 {
    model::SystemClock.now().0 / 1_000_000 - 600_000
}

/// One that reads 1.0 and 2.0, and one that reads 1.0 only.
fn servers(folder: &std::path::Path) -> [Server; 2] {
    let (both, one) = (folder.join("both"), folder.join("one"));
    for folder in [&both, &one] {
        std::fs::create_dir(folder).unwrap();
    }
    [Server::start(&both, "global: {}\n"), Server::start_reading_1_0(&one)]
}

async fn to(server: &Server) -> Arc<dyn Sink> {
    open_plain(&ROW, json!({"url": url(server)})).await
}

fn url(server: &Server) -> String {
    format!("http://127.0.0.1:{}/api/v1/write", server.port)
}

/// A part with one series, with a sample at each of these seconds.
fn series(offset: u64, name: &str, seconds: &[u64], begin: u64) -> pipeline::Part {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |series| {
        put::message(series, 1, |pair| {
            put::bytes(pair, 1, b"__name__");
            put::bytes(pair, 2, name.as_bytes());
        });
        for second in seconds {
            put::message(series, 2, |sample| {
                put::fixed64(sample, 1, (*second as f64).to_bits());
                put::uint(sample, 2, begin + second * 1000);
            });
        }
    });
    part(offset, Coding::Snappy, &plain, seconds.len() as u32)
}

fn of(parts: Vec<pipeline::Part>) -> Parcel {
    parcel(Signal::Metrics, Layout::RemoteWrite, parts)
}

/// How many samples there are of each metric.
fn stored(server: &Server) -> BTreeMap<String, usize> {
    let found = server.query("{__name__=~\".+\"}[30m]");
    let count = |series: &serde_json::Value| {
        let name = series["metric"]["__name__"].as_str().unwrap().to_owned();
        (name, series["values"].as_array().unwrap().len())
    };
    found.as_array().unwrap().iter().map(count).collect()
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test]
async fn one_sample_that_comes_too_late_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    for server in servers(folder.path()) {
        let (sink, begin) = (to(&server).await, begin());
        assert_eq!(sink.deliver(&of(vec![series(1, "a", &[10], begin)])).await, Ok(Receipt::Delivered));
        let parts = vec![
            series(2, "b", &[1], begin),
            series(3, "a", &[5, 12], begin),
            series(4, "c", &[1, 2, 3], begin),
        ];
        assert_eq!(outcome(sink.deliver(&of(parts)).await), Outcome::Partly(1, false));
        assert_eq!(stored(&server), counts(&[("a", 2), ("b", 1), ("c", 3)]));
    }
}

#[tokio::test]
async fn what_was_begun_before_a_restart_is_completed_and_nothing_that_is_there_is_called_refused() {
    let folder = tempfile::tempdir().unwrap();
    for server in servers(folder.path()) {
        let (sink, begin) = (to(&server).await, begin());
        let parts = || {
            vec![
                series(1, "c", &[1, 2, 3], begin),
                series(2, "d", &[1, 2], begin),
                series(3, "e", &[7], begin),
            ]
        };
        let first = of(parts().drain(..1).collect());
        assert_eq!(sink.deliver(&first).await, Ok(Receipt::Delivered));
        for (attempt, begun) in [(0, true), (0, true), (1, false)] {
            let again = Parcel { attempt, begun, ..of(parts()) };
            assert_eq!(sink.deliver(&again).await, Ok(Receipt::Delivered));
            assert_eq!(stored(&server), counts(&[("c", 3), ("d", 2), ("e", 1)]));
        }
        // What it never was sent it does not have.
        assert_eq!(outcome(sink.deliver(&of(parts())).await), Outcome::Partly(3, false));
    }
}

#[tokio::test]
async fn of_samples_in_the_wrong_order_within_one_request_prometheus_keeps_the_newest_and_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "global: {}\n");
    let sink = to(&server).await;
    assert_eq!(sink.deliver(&of(vec![series(1, "a", &[10, 5], begin())])).await, Ok(Receipt::Delivered));
    assert_eq!(stored(&server), counts(&[("a", 1)]));
}

/// A gauge of a resource that is described by `target_info`.
fn gauge(offset: u64, name: &str, time: u64) -> pipeline::Part {
    let point = NumberDataPoint {
        time_unix_nano: time * 1_000_000,
        value: Some(number_data_point::Value::AsDouble(1.0)),
        ..NumberDataPoint::default()
    };
    let gauge = metric::Data::Gauge(Gauge { data_points: vec![point] });
    let metric = Metric { name: name.into(), data: Some(gauge), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let attributes = vec![text("service.name", "shop"), text("region", "eu")];
    let resource = Resource { attributes, ..Resource::default() };
    let resource = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    part(offset, Coding::Gzip, &request, 1)
}

#[tokio::test]
async fn points_of_an_older_time_are_not_refused_with_what_describes_their_resource() {
    let folder = tempfile::tempdir().unwrap();
    for server in servers(folder.path()) {
        let (sink, begin) = (to(&server).await, begin());
        let deliver = |parts| {
            let (sink, parcel) = (Arc::clone(&sink), parcel(Signal::Metrics, Layout::Otlp, parts));
            async move { outcome(sink.deliver(&parcel).await) }
        };
        assert_eq!(deliver(vec![gauge(1, "newer", begin + 9000)]).await, Outcome::Delivered);
        assert_eq!(deliver(vec![gauge(2, "older", begin + 5000)]).await, Outcome::Delivered);
        let parts = vec![gauge(3, "newer", begin + 1000), gauge(4, "oldest", begin + 1000)];
        // In 2.0 it counts samples, of which a point may be several.
        let got = deliver(parts).await;
        assert!([Outcome::Partly(1, true), Outcome::Partly(1, false)].contains(&got), "{got:?}");
        let expected = [("newer", 1), ("older", 1), ("oldest", 1), ("target_info", 1)];
        assert_eq!(stored(&server), counts(&expected));
    }
}

#[tokio::test]
async fn shards_store_all_and_what_comes_too_late_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeMap::new();
    let servers = servers(folder.path());
    for message in ["1.0", "2.0"] {
        let name = |series: usize| format!("of_{}_{series}", &message[..1]);
        expected.extend((0..16).map(|series| (name(series), if series == 3 { 2 } else { 3 })));
        expected.insert(name(99), 1);
        for server in &servers {
            let settings = json!({"url": url(server), "message": message, "shards": 4});
            let (sink, begin) = (open_plain(&ROW, settings).await, begin());
            let first = (0..16).map(|number| series(number as u64 + 1, &name(number), &[10], begin));
            assert_eq!(sink.deliver(&of(first.collect())).await, Ok(Receipt::Delivered));
            let second = || {
                let seconds = |number| if number == 3 { [5, 12] } else { [11, 12] };
                let part = |number| series(number as u64 + 17, &name(number), &seconds(number), begin);
                of((0..16).map(part).collect())
            };
            assert_eq!(outcome(sink.deliver(&second()).await), Outcome::Partly(1, false));
            let again = Parcel { begun: true, ..second() };
            assert_eq!(sink.deliver(&again).await, Ok(Receipt::Delivered));
            let points = vec![gauge(40, &name(99), begin + 9000)];
            let points = parcel(Signal::Metrics, Layout::Otlp, points);
            assert_eq!(sink.deliver(&points).await, Ok(Receipt::Delivered));
        }
    }
    for server in &servers {
        let mut stored = stored(server);
        // One sample of either message, unless both came within the same millisecond.
        assert!(stored.remove("target_info").is_some_and(|samples| samples <= 2));
        assert_eq!(stored, expected);
    }
}
