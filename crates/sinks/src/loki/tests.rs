mod real;

use super::*;
use crate::fixture::{START, SetClock, any, context, line, logs_of, open, open_plain, parcel, part, text};
use model::{Layout, Tenant};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use pipeline::PeerRefused;
use serde_json::json;
use testkit::peer::{Peer, Reply, Seen};
use wire::Coding;
use wire::walk::fields;

fn logs(records: Vec<LogRecord>) -> Parcel {
    let items = records.len() as u32;
    let plain = logs_of(vec![text("service.name", "shop")], records);
    parcel(Signal::Logs, Layout::Otlp, vec![part(1, Coding::Plain, &plain, items)])
}

/// Three lines of one stream.
fn three() -> Parcel {
    logs(["a", "b", "c"].iter().zip(1..).map(|(body, at)| line(START.0 + at, body)).collect())
}

type Pairs = Vec<(String, String)>;

/// A stream as Loki reads it.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Stream {
    labels: String,
    /// Time, line, structured metadata.
    entries: Vec<(u64, String, Pairs)>,
}

fn owned(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn read(seen: &Seen) -> Vec<Stream> {
    assert_eq!(
        (seen.header("content-type"), seen.header("content-encoding")),
        ("application/x-protobuf", "snappy")
    );
    let plain =
        wire::coding::inflate(Coding::Snappy, &seen.body, wire::coding::Ceiling::bytes(1 << 24)).unwrap();
    let mut streams = Vec::new();
    for stream in fields(&plain) {
        let (mut labels, mut entries) = (String::new(), Vec::new());
        for field in fields(stream.unwrap().bytes().unwrap()) {
            let field = field.unwrap();
            match field.number {
                1 => labels = field.text().unwrap().to_owned(),
                2 => entries.push(entry(field.bytes().unwrap())),
                other => panic!("field {other}"),
            }
        }
        streams.push(Stream { labels, entries });
    }
    streams
}

fn entry(message: &[u8]) -> (u64, String, Pairs) {
    let (mut at, mut line, mut pairs) = (0, String::new(), Vec::new());
    for field in fields(message).map(Result::unwrap) {
        let inner = || fields(field.bytes().unwrap()).map(Result::unwrap);
        match field.number {
            1 => {
                let number = |wanted| inner().find(|f| f.number == wanted).map_or(0, |f| f.varint().unwrap());
                at = number(1) * 1_000_000_000 + number(2);
            }
            2 => line = field.text().unwrap().to_owned(),
            3 => {
                let texts: Vec<_> = inner().map(|f| owned(f.bytes().unwrap())).collect();
                pairs.push((texts[0].clone(), texts[1].clone()));
            }
            other => panic!("field {other}"),
        }
    }
    (at, line, pairs)
}

async fn sink(peer: &Peer, more: serde_json::Value) -> Arc<dyn Sink> {
    let mut settings = json!({"url": peer.url("")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

/// What Loki is sent for `parcel`.
async fn sent(parcel: &Parcel, settings: serde_json::Value) -> Vec<Stream> {
    let peer = Peer::start(Reply::status(204)).await;
    assert_eq!(sink(&peer, settings).await.deliver(parcel).await, Ok(Receipt::Delivered));
    let [seen] = &peer.seen()[..] else { panic!() };
    assert_eq!(seen.path, "/loki/api/v1/push");
    read(seen)
}

async fn answered(reply: Reply, parcel: &Parcel) -> Result<Receipt, Failure> {
    let peer = Peer::start(reply).await;
    sink(&peer, json!({})).await.deliver(parcel).await
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn every_status_has_its_class() {
    for (status, expected) in [
        (200, "delivered"),
        (204, "delivered"),
        (260, "retry"),
        (302, "retry"),
        (400, "partly"),
        (401, "retry"),
        (403, "retry"),
        (404, "retry"),
        (405, "retry"),
        (408, "retry"),
        (409, "whole"),
        (413, "large"),
        (415, "whole"),
        (422, "whole"),
        (429, "retry"),
        (500, "retry"),
        (501, "retry"),
        (502, "retry"),
        (503, "retry"),
        (504, "retry"),
        (777, "retry"),
    ] {
        let got = match answered(Reply::status(status).header("retry-after", "7"), &three()).await {
            Ok(Receipt::Delivered) => "delivered",
            Ok(Receipt::Partly(PeerRefused { items: 3, upper_bound: true, .. })) => "partly",
            Err(Failure::Retry { after: Some(after), .. }) if after.as_secs() == 7 => "retry",
            Err(Failure::TooLarge { .. }) => "large",
            Err(Failure::RefusedWhole { .. }) => "whole",
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(got, expected, "{status}");
    }
    assert!(matches!(answered(Reply::Hangup, &three()).await, Err(Failure::Retry { after: None, .. })));
}

#[tokio::test]
async fn what_loki_left_out_is_counted_where_it_tells() {
    let old = "entry for stream '{service_name=\"shop; 9 errors like: \\\"x\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-14T09:30:00Z";
    let far = "entry with timestamp 2026-11-21 07:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-11-21T07:00:00Z, oldest acceptable timestamp is: 2026-11-21T08:30:00Z',\n";
    let total =
        |of| format!("{far}user 'fake', total ignored: 2 out of {of} for stream: {{service_name=\"shop\"}}");
    for (text, items, upper_bound, reasons) in [
        (old.to_owned(), 1, false, "too_old"),
        (format!("2 errors like: {old}"), 2, false, "too_old"),
        (
            format!(
                "1 errors like: {old}; 1 errors like: max entry size '262144' bytes exceeded for stream '{{}}' while adding an entry with length '262150' bytes"
            ),
            2,
            false,
            "line_too_long, too_old",
        ),
        (format!("99 errors like: {old}"), 3, false, "too_old"),
        (total(3), 2, false, "out_of_order"),
        // Another line was left out before it came so far.
        (total(2), 3, true, "out_of_order"),
        ("stream '{}' has label value too long: 'x'".to_owned(), 3, true, "labels"),
        ("rpc error: something new".to_owned(), 3, true, "other"),
        (String::new(), 3, true, "other"),
    ] {
        let Ok(Receipt::Partly(refused)) = answered(Reply::body(400, text.clone()), &three()).await else {
            panic!()
        };
        assert_eq!((refused.items, refused.upper_bound), (items, upper_bound), "{text}");
        assert!(refused.reason.starts_with(&format!("{reasons}: 400 Bad Request")), "{}", refused.reason);
    }
    // A stream's own count tells nothing about the others.
    let mut two = three();
    let other = logs_of(vec![text("service.name", "till")], vec![line(START.0, "d")]);
    two.parts.push(part(2, Coding::Plain, &other, 1));
    let Ok(Receipt::Partly(refused)) = answered(Reply::body(400, total(3)), &two).await else { panic!() };
    assert_eq!((refused.items, refused.upper_bound), (4, true));
}

#[tokio::test]
async fn reasons_are_counted_by_name() {
    let peer =
        Peer::start(Reply::body(400, "2 errors like: entry for stream '{}' has timestamp too old: x")).await;
    let context = context(std::path::Path::new("/nowhere"), &SetClock::new());
    let metrics = context.metrics.clone();
    let sink = open(&ROW, json!({"url": peer.url("/")}), context).await;
    sink.deliver(&three()).await.unwrap();
    let page = metrics.render();
    assert!(
        page.contains("tidegate_sink_loki_lines_refused_total{sink=\"test\",reason=\"too_old\"} 2"),
        "{page}"
    );
}

#[tokio::test]
async fn a_record_becomes_a_line_with_labels_and_metadata() {
    let record = LogRecord {
        time_unix_nano: START.0 + 123_456_789,
        observed_time_unix_nano: START.0 + 5,
        severity_number: 17,
        severity_text: "ERR".into(),
        body: any(Value::StringValue("größe \"1\"\n{}".into())),
        attributes: vec![
            text("http.route", "/a/{id}"),
            text("http_route", "twice"),
            text("empty", ""),
            KeyValue { key: "n".into(), value: any(Value::IntValue(i64::MIN)), ..Default::default() },
            text("service.name", "of the record"),
        ],
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        flags: 1,
        ..Default::default()
    };
    let resource = vec![text("service.name", "sh\"op"), text("host.name", "h1")];
    let frame = part(1, Coding::Gzip, &logs_of(resource, vec![record]), 1);
    let streams =
        sent(&parcel(Signal::Logs, Layout::Otlp, vec![frame]), json!({"labels": {"cluster": "eu"}})).await;
    let metadata = pairs(&[
        ("trace_id", "0102030405060708090a0b0c0d0e0f10"),
        ("span_id", "0102030405060708"),
        ("severity_text", "ERR"),
        ("severity_number", "17"),
        ("flags", "1"),
        ("observed_timestamp", "1795253400000000005"),
        ("http_route", "/a/{id}"),
        ("http_route_2", "twice"),
        ("n", "-9223372036854775808"),
        ("service_name", "of the record"),
        ("scope_name", "lib"),
        ("scope_version", "1.2"),
        ("host_name", "h1"),
    ]);
    let labels =
        "{cluster=\"eu\", service_name=\"sh\\\"op\", severity=\"error\", source=\"test\"}".to_owned();
    let entries = vec![(START.0 + 123_456_789, "größe \"1\"\n{}".to_owned(), metadata)];
    assert_eq!(streams, [Stream { labels, entries }]);
}

#[tokio::test]
async fn a_body_that_is_no_text_is_json() {
    let list =
        Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Value::DoubleValue(1.5)) }] });
    let map = Value::KvlistValue(KeyValueList {
        values: vec![KeyValue { key: "k".into(), value: any(list), ..Default::default() }],
    });
    let bodies = [Some(map), Some(Value::IntValue(7)), Some(Value::BytesValue(vec![1, 2, 3])), None];
    let records = bodies.into_iter().zip(1..).map(|(value, at)| LogRecord {
        time_unix_nano: START.0 + at,
        body: Some(AnyValue { value }),
        ..Default::default()
    });
    let streams = sent(&logs(records.collect()), json!({})).await;
    let lines: Vec<_> = streams[0].entries.iter().map(|(_, line, _)| line.as_str()).collect();
    assert_eq!(lines, ["{\"k\":[1.5]}", "7", "AQID", ""]);
}

#[tokio::test]
async fn lines_are_sorted_by_time_and_those_without_one_have_the_received_time() {
    let observed = LogRecord { observed_time_unix_nano: START.0 + 3, ..line(0, "observed") };
    let records =
        vec![line(START.0 + 9, "late"), line(0, "none"), line(0, "none"), observed, line(u64::MAX, "2554")];
    let streams = sent(&logs(records), json!({})).await;
    let received = START.0 + 1_000_000_000;
    let got: Vec<_> = streams[0].entries.iter().map(|(at, line, _)| (*at, line.as_str())).collect();
    let expected = [
        (START.0 + 3, "observed"),
        (START.0 + 9, "late"),
        (received + 1, "none"),
        (received + 2, "none"),
        (received + 4, "2554"),
    ];
    assert_eq!(got, expected);
}

#[tokio::test]
async fn the_same_records_make_the_same_request_wherever_parcels_are_cut() {
    let whole = logs((0..4).map(|n| line(0, &format!("{n}"))).collect());
    let all = sent(&whole, json!({})).await.remove(0).entries;
    let mut cut = sent(&whole.cut(0..1), json!({})).await.remove(0).entries;
    cut.extend(sent(&whole.cut(1..4), json!({})).await.remove(0).entries);
    assert_eq!(all, cut);
}

#[tokio::test]
async fn above_the_guard_attributes_become_one_overflow_stream_and_nothing_is_lost() {
    let of = |pod: &str, at| LogRecord { attributes: vec![text("pod", pod)], ..line(START.0 + at, pod) };
    let records = vec![of("a", 1), of("b", 2), of("c", 3), of("a", 4), of("d", 5)];
    let settings = json!({"attribute_labels": ["pod"], "gateway_labels": ["severity"], "max_streams": 2});
    let streams = sent(&logs(records), settings).await;
    let got: Vec<_> = streams
        .iter()
        .map(|s| (s.labels.as_str(), s.entries.iter().map(|(_, line, _)| line.as_str()).collect::<Vec<_>>()))
        .collect();
    let expected = [
        ("{pod=\"a\", severity=\"unknown\"}", vec!["a", "a"]),
        ("{pod=\"b\", severity=\"unknown\"}", vec!["b"]),
        ("{pod=\"__overflow__\", severity=\"unknown\"}", vec!["c", "d"]),
    ];
    assert_eq!(got, expected);
    assert!(streams[2].entries[0].2.contains(&("pod_original".into(), "c".into())));
    assert!(!streams[0].entries[0].2.iter().any(|(name, _)| name.starts_with("pod")));
}

#[tokio::test]
async fn structured_metadata_stays_within_lokis_limits() {
    let many = (0..300).map(|n| text(&format!("k{n}"), "v")).collect();
    let wide =
        vec![text("big", &"x".repeat(60 << 10)), text("bigger", &"y".repeat(60 << 10)), text("small", "z")];
    let long = vec![text("service.name", &"ü".repeat(2000))];
    let records = [many, wide].map(|attributes| LogRecord { attributes, ..line(START.0, "x") });
    let frame = part(1, Coding::Plain, &logs_of(long, records.to_vec()), 2);
    let peer = Peer::start(Reply::status(204)).await;
    let context = context(std::path::Path::new("/nowhere"), &SetClock::new());
    let metrics = context.metrics.clone();
    let sink = open(&ROW, json!({"url": peer.url("/")}), context).await;
    sink.deliver(&parcel(Signal::Logs, Layout::Otlp, vec![frame])).await.unwrap();
    let streams = read(&peer.seen()[0]);
    assert!(
        streams[0].labels.contains(&format!("service_name=\"{}\"", "ü".repeat(1024))),
        "{}",
        streams[0].labels
    );
    let [first, second] = &streams[0].entries[..] else { panic!() };
    assert_eq!(first.2.len(), 128);
    let names: Vec<_> = second.2.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["service_name_original", "big", "small", "scope_name", "scope_version"]);
    assert!(
        metrics.render().contains("losses_total{sink=\"test\",reason=\"metadata\"} 176"),
        "{}",
        metrics.render()
    );
}

#[tokio::test]
async fn a_line_that_is_too_long_or_a_request_that_grows_too_large_is_halved_and_not_sent() {
    let peer = Peer::start(Reply::status(204)).await;
    let sink = sink(&peer, json!({"max_line": "1KiB"})).await;
    let parcel = logs(vec![line(START.0, "a"), line(START.0, &"x".repeat(1025))]);
    let Err(Failure::RefusedWhole { reason }) = sink.deliver(&parcel).await else { panic!() };
    assert_eq!(reason, "line of 1025 bytes exceeds the limit of 1024");
    // Small lines, but each carries its resource.
    let wide =
        logs_of(vec![text("w", &"x".repeat(60 << 10))], (0..100).map(|n| line(START.0 + n, "x")).collect());
    let frame = part(1, Coding::Plain, &wide, 100);
    let grown = crate::fixture::parcel(Signal::Logs, Layout::Otlp, vec![frame]);
    assert!(matches!(sink.deliver(&grown).await, Err(Failure::TooLarge { .. })));
    assert!(peer.seen().is_empty());
    assert_eq!(sink.deliver(&grown.cut(0..50)).await, Ok(Receipt::Delivered));
}

#[tokio::test]
async fn the_tenant_is_fixed_or_the_items_own() {
    let peer = Peer::start(Reply::status(204)).await;
    sink(&peer, json!({"tenant": "team-a"})).await.deliver(&three()).await.unwrap();
    let own = Parcel { tenant: Tenant::new("team-b").unwrap(), ..three() };
    sink(&peer, json!({"tenant_of_item": true})).await.deliver(&own).await.unwrap();
    sink(&peer, json!({})).await.deliver(&own).await.unwrap();
    let tenants: Vec<_> = peer.seen().iter().map(|seen| seen.header("x-scope-orgid").to_owned()).collect();
    assert_eq!(tenants, ["team-a", "team-b", ""]);
}

#[tokio::test]
async fn bytes_that_are_no_logs_are_refused_and_nothing_is_sent() {
    let peer = Peer::start(Reply::status(204)).await;
    let sink = sink(&peer, json!({})).await;
    let broken = parcel(Signal::Logs, Layout::Otlp, vec![part(1, Coding::Plain, b"\x0a\xff", 1)]);
    assert!(matches!(sink.deliver(&broken).await, Err(Failure::RefusedWhole { .. })));
    let spans = crate::fixture::traces(1, Coding::Plain, &["a"]);
    assert!(matches!(sink.deliver(&spans).await, Err(Failure::RefusedWhole { .. })));
    assert!(peer.seen().is_empty());
}

#[test]
fn all_problems_come_at_once() {
    let problems = |settings| {
        (ROW.check)(settings).err().unwrap_or_default().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let bad = json!({
        "url": "loki:3100", "tenant": "", "tenant_of_item": true, "labels": {"a.b": "x", "source": "y", "c": ""},
        "max_line": "1B", "max_bytes": "1GiB", "max_wait": "1h", "max_streams": 0, "in_flight": 65,
    });
    assert_eq!(
        problems(bad),
        [
            "url",
            "tenant",
            "tenant",
            "labels.a.b",
            "labels.c",
            "attribute_labels",
            "max_line",
            "max_bytes",
            "max_wait",
            "max_streams",
            "in_flight"
        ]
    );
    let url = "http://loki:3100";
    assert_eq!(problems(json!({"url": url, "gateway_labels": []})), ["labels"]);
    assert_eq!(problems(json!({"url": url, "tenant": "a", "headers": {"X-Scope-OrgID": "b"}})), ["headers"]);
    let many: Vec<_> = (0..14).map(|n| format!("k{n}")).collect();
    assert_eq!(problems(json!({"url": url, "attribute_labels": many})), ["attribute_labels"]);
    assert_eq!(problems(json!({"url": url})), [""; 0]);
}
