mod divide;
mod real;
mod shards;

use super::*;
use crate::fixture::{SetClock, context, metrics, open, open_plain, parcel, part, samples};
use model::Layout;
use pipeline::PeerRefused;
use serde_json::json;
use testkit::peer::{Peer, Reply, Seen};
use wire::Coding;
use wire::coding::{Ceiling, inflate};

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    Partly(u32, bool),
    Retry(Option<u64>),
    TooLarge,
}

fn outcome(result: Result<Receipt, Failure>) -> Outcome {
    match result {
        Ok(Receipt::Delivered) => Outcome::Delivered,
        Ok(Receipt::Partly(PeerRefused { items, upper_bound, .. })) => Outcome::Partly(items, upper_bound),
        Err(Failure::Retry { after, .. }) => Outcome::Retry(after.map(|after| after.as_secs())),
        Err(Failure::TooLarge { .. }) => Outcome::TooLarge,
        other => panic!("{other:?}"),
    }
}

async fn sink(peer: &Peer, more: serde_json::Value) -> Arc<dyn Sink> {
    let mut settings = json!({"url": peer.url("/push?db=1")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

/// Delivers three samples to a peer that answers `reply`.
async fn three_samples(reply: Reply, settings: serde_json::Value) -> Result<Receipt, Failure> {
    let peer = Peer::start(reply).await;
    sink(&peer, settings).await.deliver(&metrics(1, &[1.0, 2.0, 3.0])).await
}

fn two(values: [&[f64]; 2], coding: Coding) -> Parcel {
    let frame = |offset, values: &[f64]| part(offset, coding, &samples("up", values), values.len() as u32);
    parcel(Signal::Metrics, Layout::RemoteWrite, vec![frame(1, values[0]), frame(2, values[1])])
}

fn plain(seen: &Seen) -> Vec<u8> {
    assert_eq!(seen.header("content-encoding"), "snappy");
    inflate(Coding::Snappy, &seen.body, Ceiling::bytes(1 << 24)).unwrap()
}

/// A request of 1.0 with one sample that has a start time in a private field.
fn with_start() -> Parcel {
    use wire::put;
    let mut v2 = Vec::new();
    for symbol in ["", "__name__", "up"] {
        put::bytes(&mut v2, 4, symbol.as_bytes());
    }
    put::message(&mut v2, 5, |series| {
        put::bytes(series, 1, &[1, 2]);
        put::message(series, 2, |sample| {
            put::fixed64(sample, 1, 1f64.to_bits());
            put::uint(sample, 2, 2_000);
            put::uint(sample, 3, 1_000);
        });
    });
    let frame = part(1, Coding::Snappy, &wire::translate::v2_to_v1(&v2).unwrap().bytes, 1);
    parcel(Signal::Metrics, Layout::RemoteWrite, vec![frame])
}

#[tokio::test]
async fn every_status_has_its_class() {
    use Outcome::{Delivered, Partly, Retry};
    let whole = || Partly(3, true);
    let cases = [
        (200, Delivered),
        (202, Delivered),
        (204, Delivered),
        (302, Retry(Some(7))),
        (308, Retry(Some(7))),
        (400, whole()),
        (401, Retry(Some(7))),
        (403, Retry(Some(7))),
        (404, whole()),
        (405, whole()),
        (408, whole()),
        (409, whole()),
        (413, whole()),
        (415, whole()),
        (422, whole()),
        (429, Retry(Some(7))),
        (500, Retry(Some(7))),
        (501, Retry(Some(7))),
        (502, Retry(Some(7))),
        (503, Retry(Some(7))),
        (504, Retry(Some(7))),
        (599, Retry(Some(7))),
        (777, Retry(Some(7))),
    ];
    for (status, expected) in cases {
        for message in ["1.0", "2.0"] {
            // 415 makes 2.0 fall back to 1.0, which is refused as well here.
            let reply = Reply::status(status).header("retry-after", "7");
            let got = outcome(three_samples(reply, json!({"message": message})).await);
            assert_eq!(got, expected, "{message} {status}");
        }
    }
    for status in [401, 403] {
        let drop = json!({"on_unauthorized": "drop"});
        assert_eq!(outcome(three_samples(Reply::status(status), drop).await), whole());
    }
    assert_eq!(outcome(three_samples(Reply::Hangup, json!({})).await), Retry(None));
}

#[tokio::test]
async fn a_refusal_says_what_the_peer_said() {
    let reply = Reply::body(400, "out of order sample\nfor up{n=\"1\"}");
    let Ok(Receipt::Partly(refused)) = three_samples(reply, json!({})).await else { panic!() };
    assert_eq!(refused.reason, "400 Bad Request: out of order sample for up{n=\"1\"}");
    let failure = three_samples(Reply::status(401), json!({})).await.unwrap_err();
    assert!(failure.to_string().contains("refuses our credentials"), "{failure}");
}

#[tokio::test]
async fn too_large_is_halved_only_if_we_joined_it() {
    let peer = Peer::start(Reply::status(413)).await;
    let sink = sink(&peer, json!({})).await;
    assert_eq!(outcome(sink.deliver(&two([&[1.0], &[2.0]], Coding::Snappy)).await), Outcome::TooLarge);
    assert_eq!(outcome(sink.deliver(&metrics(1, &[1.0, 2.0])).await), Outcome::Partly(2, true));
}

#[tokio::test]
async fn the_written_headers_of_2_0_are_compared() {
    use Outcome::{Delivered, Partly};
    let cases = [
        (204, Some("3"), Delivered),
        (200, Some("1"), Partly(2, false)),
        (200, Some("0"), Partly(3, false)),
        (200, Some("99999999999"), Delivered),
        (200, Some("many"), Delivered),
        (200, None, Delivered),
        (400, Some("2"), Partly(1, false)),
        (400, Some("0"), Partly(3, false)),
        (400, Some("3"), Delivered),
        (400, None, Partly(3, true)),
    ];
    for (status, written, expected) in cases {
        let reply = Reply::status(status);
        let reply = match written {
            Some(written) => reply.header("x-prometheus-remote-write-samples-written", written),
            None => reply,
        };
        assert_eq!(
            outcome(three_samples(reply.clone(), json!({"message": "2.0"})).await),
            expected,
            "{status} {written:?}"
        );
        let in_1_0 = if status == 400 { Partly(3, true) } else { Delivered };
        assert_eq!(outcome(three_samples(reply, json!({})).await), in_1_0, "{status} {written:?} in 1.0");
    }
    let only_exemplars = Reply::status(200).header("x-prometheus-remote-write-exemplars-written", "0");
    assert_eq!(outcome(three_samples(only_exemplars, json!({"message": "2.0"})).await), Partly(3, false));
}

#[tokio::test]
async fn a_received_body_goes_out_byte_for_byte() {
    for private_fields in ["strip", "keep"] {
        let peer = Peer::start(Reply::status(204)).await;
        let parcel = metrics(1, &[1.0, f64::NAN]);
        sink(&peer, json!({"private_fields": private_fields})).await.deliver(&parcel).await.unwrap();
        let seen = &peer.seen()[0];
        assert_eq!(seen.body, parcel.parts[0].body);
        assert_eq!(seen.path, "/push?db=1");
        assert_eq!(seen.header("content-type"), "application/x-protobuf");
        assert_eq!(seen.header("x-prometheus-remote-write-version"), "0.1.0");
        assert_eq!(seen.header("retry-attempt"), "");
    }
}

#[tokio::test]
async fn three_received_bodies_are_joined_without_being_compressed_anew() {
    let frames: Vec<_> = [1.0, 2.0, 3.0]
        .iter()
        .enumerate()
        .map(|(number, value)| part(number as u64 + 1, Coding::Snappy, &samples("up", &[*value]), 1))
        .collect();
    let blocks: Vec<_> = frames.iter().map(|frame| &frame.body[..]).collect();
    let expected = wire::coding::join_snappy(&blocks).unwrap();
    let union = [1.0, 2.0, 3.0].map(|value| samples("up", &[value])).concat();
    let peer = Peer::start(Reply::status(204)).await;
    let joined = parcel(Signal::Metrics, Layout::RemoteWrite, frames);
    sink(&peer, json!({})).await.deliver(&joined).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.body, expected);
    assert_eq!(plain(seen), union);
}

#[tokio::test]
async fn a_retry_says_which_one_it_is() {
    let peer = Peer::start(Reply::status(204)).await;
    let parcel = Parcel { attempt: 4, ..metrics(1, &[1.0]) };
    sink(&peer, json!({})).await.deliver(&parcel).await.unwrap();
    assert_eq!(peer.seen()[0].header("retry-attempt"), "4");
}

#[tokio::test]
async fn private_fields_are_stripped_and_counted_or_kept() {
    for (setting, kept, lost) in [("strip", false, true), ("keep", true, false)] {
        let peer = Peer::start(Reply::status(204)).await;
        let context = context(std::path::Path::new("/nowhere"), &SetClock::new());
        let metrics = context.metrics.clone();
        let settings = json!({"url": peer.url("/"), "private_fields": setting});
        open(&ROW, settings, context).await.deliver(&with_start()).await.unwrap();
        let body = plain(&peer.seen()[0]);
        assert_eq!(wire::translate::has_private(&body), Ok(kept));
        let counted = metrics.render().contains("losses_total{sink=\"test\",reason=\"start\"} 1");
        assert_eq!(counted, lost, "{}", metrics.render());
    }
}

#[tokio::test]
async fn a_request_of_2_0_carries_what_1_0_cannot() {
    let written = Reply::status(204).header("x-prometheus-remote-write-samples-written", "1");
    let peer = Peer::start(written).await;
    let receipt = sink(&peer, json!({"message": "2.0"})).await.deliver(&with_start()).await;
    assert_eq!(outcome(receipt), Outcome::Delivered);
    let seen = &peer.seen()[0];
    assert_eq!(seen.header("content-type"), "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    assert_eq!(seen.header("x-prometheus-remote-write-version"), "2.0.0");
    let back = wire::translate::v2_to_v1(&plain(seen)).unwrap();
    assert_eq!(back.rejected, vec![]);
    assert_eq!(&back.bytes[..], &with_start().plain().unwrap()[..]);
}

#[tokio::test]
async fn a_peer_that_refuses_2_0_is_sent_1_0_for_an_hour() {
    let clock = SetClock::new();
    let peer = Peer::start(Reply::status(204)).await;
    let context = context(std::path::Path::new("/nowhere"), &clock);
    let metrics = context.metrics.clone();
    // What 1.0 cannot carry is stripped and counted even where private fields are kept otherwise.
    let settings = json!({"url": peer.url("/"), "message": "2.0", "private_fields": "keep"});
    let sink = open(&ROW, settings, context).await;
    let deliver = || async { outcome(sink.deliver(&with_start()).await) };
    peer.then(Reply::status(415));
    assert_eq!(deliver().await, Outcome::Delivered);
    clock.forward(Duration::from_secs(3599));
    assert_eq!(deliver().await, Outcome::Delivered);
    clock.forward(Duration::from_secs(1));
    assert_eq!(deliver().await, Outcome::Delivered);
    let seen = peer.seen();
    let versions: Vec<_> = seen.iter().map(|seen| seen.header("x-prometheus-remote-write-version")).collect();
    assert_eq!(versions, ["2.0.0", "0.1.0", "0.1.0", "2.0.0"]);
    assert_eq!(wire::translate::has_private(&plain(&seen[1])), Ok(false));
    assert!(metrics.render().contains("reason=\"start\"} 2"), "{}", metrics.render());
}

#[tokio::test]
async fn no_other_answer_makes_2_0_fall_back() {
    for reply in [Reply::status(400), Reply::status(204), Reply::status(406), Reply::status(503)] {
        let peer = Peer::start(reply).await;
        let sink = sink(&peer, json!({"message": "2.0"})).await;
        for _ in 0..2 {
            let _ = sink.deliver(&metrics(1, &[1.0])).await;
        }
        assert!(peer.seen().iter().all(|seen| seen.header("x-prometheus-remote-write-version") == "2.0.0"));
        assert_eq!(peer.seen().len(), 2);
    }
}

#[tokio::test]
async fn otlp_metrics_arrive_as_remote_write() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
    };
    use prost::Message;
    let point = NumberDataPoint {
        time_unix_nano: crate::fixture::START.0,
        value: Some(number_data_point::Value::AsDouble(2.5)),
        ..NumberDataPoint::default()
    };
    let gauge = metric::Data::Gauge(Gauge { data_points: vec![point.clone()] });
    // Delta temporality, which has no place in remote-write.
    let delta =
        metric::Data::Sum(Sum { data_points: vec![point], aggregation_temporality: 1, is_monotonic: true });
    let metric = |name: &str, data| Metric { name: name.into(), data: Some(data), ..Metric::default() };
    let scope = ScopeMetrics {
        metrics: vec![metric("room.heat", gauge), metric("hits", delta)],
        ..ScopeMetrics::default()
    };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    let otlp = parcel(Signal::Metrics, Layout::Otlp, vec![part(1, Coding::Gzip, &request, 2)]);
    let cases = [("underscores_with_suffixes", "room_heat", 1), ("untranslated", "room.heat", 4)];
    for (names, expected, shards) in cases {
        let peer = Peer::start(Reply::status(204)).await;
        let receipt = sink(&peer, json!({"otlp_names": names, "shards": shards})).await.deliver(&otlp).await;
        // The point without a place is not called delivered.
        assert!(matches!(receipt, Ok(Receipt::LeftOut { items: 1, refused: None, .. })), "{receipt:?}");
        let body = plain(&peer.seen()[0]);
        let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has(expected) && !has("hits"), "{names}");
        assert_eq!(wire::translate::has_private(&body), Ok(false));
    }
}

/// A request of one gauge at each of these times, of a resource with an attribute of its own.
fn of_a_resource(seconds: &[u64]) -> Parcel {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use prost::Message;
    let attribute = |key: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue("x".into())) }),
        ..KeyValue::default()
    };
    let point = |seconds: &u64| NumberDataPoint {
        time_unix_nano: crate::fixture::START.0 + seconds * 1_000_000_000,
        value: Some(number_data_point::Value::AsDouble(2.5)),
        ..NumberDataPoint::default()
    };
    let data = metric::Data::Gauge(Gauge { data_points: seconds.iter().map(point).collect() });
    let metric = Metric { name: "heat".into(), data: Some(data), ..Metric::default() };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource =
        Resource { attributes: ["service.name", "region"].map(attribute).into(), ..Resource::default() };
    let resource = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    let items = u32::try_from(seconds.len()).unwrap();
    parcel(Signal::Metrics, Layout::Otlp, vec![part(1, Coding::Gzip, &request, items)])
}

#[tokio::test]
async fn a_target_info_that_is_refused_costs_no_points() {
    fn has_target_info(seen: &Seen) -> bool {
        plain(seen).windows(11).any(|window| window == b"target_info")
    }
    let peer =
        Peer::answering(
            |seen| if has_target_info(seen) { Reply::body(400, LATE) } else { Reply::status(204) },
        )
        .await;
    assert_eq!(
        outcome(sink(&peer, json!({})).await.deliver(&of_a_resource(&[1, 2])).await),
        Outcome::Delivered
    );
    // Whole, in 2.0 (of which this peer says nothing), without what describes the resource, that alone.
    assert_eq!(peer.seen().iter().map(has_target_info).collect::<Vec<_>>(), [true, false, false, true]);
}

#[test]
fn all_problems_come_at_once() {
    let problems = |settings| {
        (ROW.check)(settings).err().unwrap_or_default().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let bad = json!({
        "url": "peer:9090", "max_bytes": "1GiB", "max_wait": "2m",
        "headers": {"Content-Type": "x", "X-Prometheus-Remote-Write-Version": "3", "X-Amz-Date": "x", "ok": "x"},
    });
    let expected = [
        "headers.Content-Type",
        "headers.X-Amz-Date",
        "headers.X-Prometheus-Remote-Write-Version",
        "url",
        "max_bytes",
        "max_wait",
    ];
    assert_eq!(problems(bad), expected);
    assert_eq!(problems(json!({"url": "http://peer", "message": "3.0"})).len(), 1);
    assert_eq!(problems(json!({})).len(), 1);
}

#[tokio::test]
async fn the_next_url_gets_everything_when_one_cannot_serve() {
    let (away, good) = (Peer::start(Reply::status(500)).await, Peer::start(Reply::status(204)).await);
    let sink = open_plain(&ROW, json!({"urls": [away.url("/"), good.url("/")]})).await;
    for _ in 0..3 {
        assert_eq!(outcome(sink.deliver(&metrics(1, &[1.0])).await), Outcome::Delivered);
    }
    assert_eq!((away.seen().len(), good.seen().len()), (1, 3));
    let problems =
        |settings| (ROW.check)(settings).err().unwrap().into_iter().map(|p| p.path).collect::<Vec<_>>();
    assert_eq!(problems(json!({})), ["url"]);
    assert_eq!(problems(json!({"url": "http://a", "urls": ["http://b"]})), ["urls"]);
}

#[tokio::test]
async fn a_peer_that_reads_zstd_is_sent_it_whole() {
    for message in ["1.0", "2.0"] {
        let peer = Peer::start(Reply::status(204)).await;
        let sink =
            sink(&peer, json!({"compression": "zstd", "message": message, "tenant_header": "x-org"})).await;
        sink.deliver(&two([&[1.0], &[2.0]], Coding::Snappy)).await.unwrap();
        let seen = &peer.seen()[0];
        assert_eq!((seen.header("content-encoding"), seen.header("x-org")), ("zstd", "default"));
        let plain = inflate(Coding::Zstd, &seen.body, Ceiling::bytes(1 << 20)).unwrap();
        let union = [samples("up", &[1.0]), samples("up", &[2.0])].concat();
        assert_eq!(plain == union, message == "1.0");
        assert!(!plain.is_empty());
    }
}

/// What Prometheus answers when one sample of a request in 1.0 comes too late.
const LATE: &str = "out of order sample\n";

#[tokio::test]
async fn a_peer_that_stored_nothing_and_does_not_read_2_0_is_sent_halves_and_no_more_than_so_many() {
    let peer = Peer::start(Reply::body(400, LATE)).await;
    let sink = sink(&peer, json!({})).await;
    assert_eq!(outcome(sink.deliver(&metrics(1, &[1.0, 2.0, 3.0, 4.0])).await), Outcome::Partly(4, false));
    // Whole in 1.0, whole in 2.0, then in 1.0 two halves and four quarters.
    let items = |seen: &Seen| (seen.header("x-prometheus-remote-write-version").to_owned(), seen.body.len());
    let seen: Vec<_> = peer.seen().iter().map(items).collect();
    let versions: Vec<_> = seen.iter().map(|(version, _)| version.as_str()).collect();
    assert_eq!(versions, ["0.1.0", "2.0.0", "0.1.0", "0.1.0", "0.1.0", "0.1.0", "0.1.0", "0.1.0"]);
    let before = peer.seen().len();
    let many: Vec<f64> = (0..600).map(f64::from).collect();
    assert_eq!(outcome(sink.deliver(&metrics(2, &many)).await), Outcome::Partly(600, true));
    let requests = peer.seen().len() - before;
    assert!((65..150).contains(&requests), "{requests}");
}

#[tokio::test]
async fn a_peer_that_may_have_stored_the_rest_is_sent_nothing_again() {
    for said in ["failed pushing to ingester: out of order sample (err-mimir-sample-out-of-order)", "", "no"]
    {
        let peer = Peer::start(Reply::body(400, said)).await;
        let sink = sink(&peer, json!({})).await;
        assert_eq!(outcome(sink.deliver(&metrics(1, &[1.0, 2.0])).await), Outcome::Partly(2, true));
        assert_eq!(peer.seen().len(), 1, "{said}");
    }
}

#[tokio::test]
async fn of_what_was_begun_before_the_peer_has_what_it_has_newer_samples_of() {
    let lines = "out of order sample for series {a=\"1\"}\nout of order sample for series {a=\"2\"}\n\
                 duplicate sample for timestamp for series {a=\"3\"}\n\
                 out of bounds for series {a=\"4\"}\n";
    for (attempt, begun, refused) in [(0, false, 4), (1, false, 2), (0, true, 2)] {
        let reply = Reply::body(400, lines).header("x-prometheus-remote-write-samples-written", "1");
        let peer = Peer::start(reply).await;
        let sink = sink(&peer, json!({"message": "2.0"})).await;
        let parcel = Parcel { attempt, begun, ..metrics(1, &[1.0, 2.0, 3.0, 4.0, 5.0]) };
        assert_eq!(
            outcome(sink.deliver(&parcel).await),
            Outcome::Partly(refused, false),
            "{attempt} {begun}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_takes_2_0_for_an_empty_request_is_not_believed() {
    let peer = Peer::start(Reply::status(204)).await;
    let sink = sink(&peer, json!({})).await;
    peer.then(Reply::body(400, LATE));
    assert_eq!(outcome(sink.deliver(&metrics(1, &[1.0, 2.0])).await), Outcome::Delivered);
    let versions: Vec<_> =
        peer.seen().iter().map(|seen| seen.header("x-prometheus-remote-write-version").to_owned()).collect();
    assert_eq!(versions, ["0.1.0", "2.0.0", "0.1.0", "0.1.0"]);
    let halves: Vec<_> = peer.seen()[2..].iter().map(plain).collect();
    assert_eq!(halves.concat(), samples("up", &[1.0, 2.0]));
}

#[tokio::test]
async fn what_is_narrowed_when_the_peer_goes_away_is_tried_again_whole() {
    for reply in [Reply::status(503), Reply::Hangup] {
        let peer = Peer::start(reply).await;
        let sink = sink(&peer, json!({})).await;
        peer.then(Reply::body(400, LATE));
        let answer = outcome(sink.deliver(&metrics(1, &[1.0, 2.0])).await);
        assert_eq!(answer, Outcome::Retry(None));
    }
}
