use model::{Layout, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};
use wire::{Coding, put};

use super::{Lists, Mode, Shape, each};
use crate::fixture::{START, parcel, part, samples, traces};

fn any(value: Kind) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text(text: &str) -> AnyValue {
    any(Kind::StringValue(text.into()))
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
}

fn map(pairs: Vec<KeyValue>) -> AnyValue {
    any(Kind::KvlistValue(KeyValueList { values: pairs }))
}

fn list(values: Vec<AnyValue>) -> AnyValue {
    any(Kind::ArrayValue(ArrayValue { values }))
}

/// The document of one record.
fn document(shape: impl Into<Shape>, record: LogRecord) -> Value {
    let resource = Resource { attributes: vec![pair("service.name", text("shop"))], ..Resource::default() };
    let scope = InstrumentationScope { name: "lib".into(), ..InstrumentationScope::default() };
    let logs = ScopeLogs { scope: Some(scope), log_records: vec![record], ..ScopeLogs::default() };
    let logs = ResourceLogs { resource: Some(resource), scope_logs: vec![logs], ..ResourceLogs::default() };
    let request = ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec();
    documents(Signal::Logs, Layout::Otlp, shape.into(), &request, 1).remove(0)
}

/// The documents of a request, each checked to be one line of JSON without equal keys.
fn documents(
    signal: Signal,
    layout: Layout,
    shape: impl Into<Shape>,
    plain: &[u8],
    items: u32,
) -> Vec<Value> {
    let parcel = parcel(signal, layout, vec![part(7, Coding::Plain, plain, items)]);
    let mut found = Vec::new();
    each(&parcel, shape, |item, document| {
        assert_eq!(item.index as usize, found.len());
        assert_eq!((item.place.offset.0, item.place.index), (7, item.index));
        assert!(!document.contains(&b'\n'));
        let value: Value = serde_json::from_slice(document).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(document));
        });
        // A second reading that refuses equal keys: the compact text must be as long as the document.
        let len = serde_json::to_string(&value).unwrap().replace("e+", "e").len();
        assert_eq!(len, document.len(), "{}", String::from_utf8_lossy(document));
        found.push(value);
    })
    .unwrap();
    found
}

fn record(attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord { time_unix_nano: START.0 + 1, attributes, ..LogRecord::default() }
}

#[test]
fn a_log_record_has_opentelemetrys_names() {
    let record = LogRecord {
        time_unix_nano: START.0 + 1,
        observed_time_unix_nano: START.0 + 2,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: Some(text("größer \u{1f600} \"x\"\n")),
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        flags: 1,
        event_name: "failed".into(),
        attributes: vec![
            pair("http.request.method", text("GET")),
            pair("big", any(Kind::IntValue(i64::MIN))),
            pair("one", any(Kind::DoubleValue(1.0))),
            pair("bytes", any(Kind::BytesValue(vec![0, 255, 1, 2]))),
            pair("none", AnyValue { value: None }),
            pair(
                "list",
                any(Kind::ArrayValue(ArrayValue { values: vec![text("a"), any(Kind::BoolValue(true))] })),
            ),
            pair("map", map(vec![pair("a", any(Kind::IntValue(1))), pair("a", any(Kind::IntValue(2)))])),
        ],
        dropped_attributes_count: 3,
    };
    let expected = json!({
        "@timestamp": "2026-11-21T09:30:00.000000001Z",
        "observed_timestamp": "2026-11-21T09:30:00.000000002Z",
        "severity_number": 17, "severity_text": "ERROR", "event_name": "failed",
        "trace_id": "ab".repeat(16), "span_id": "cd".repeat(8), "trace_flags": 1, "dropped_attributes_count": 3,
        "body": {"text": "größer \u{1f600} \"x\"\n"},
        "attributes": {
            "http.request.method": "GET", "big": i64::MIN, "one": 1.0, "bytes": "AP8BAg==", "none": null,
            "list": ["a", true], "map": {"a": 2},
        },
        "resource": {"attributes": {"service.name": "shop"}}, "scope": {"name": "lib"},
        "tenant": "default", "source": "test",
    });
    assert_eq!(document(Mode::Otel, record), expected);
}

#[test]
fn numbers_that_json_lacks_are_named() {
    let attributes = vec![
        pair("nan", any(Kind::DoubleValue(f64::NAN))),
        pair("inf", any(Kind::DoubleValue(f64::INFINITY))),
        pair("neg", any(Kind::DoubleValue(f64::NEG_INFINITY))),
        pair("tiny", any(Kind::DoubleValue(5e-324))),
        pair("huge", any(Kind::DoubleValue(1e300))),
    ];
    let expected =
        json!({"nan": "NaN", "inf": "Infinity", "neg": "-Infinity", "tiny": 5e-324, "huge": 1e300});
    assert_eq!(document(Mode::Otel, record(attributes))["attributes"], expected);
}

#[test]
fn keys_cannot_clash() {
    let number = |number| any(Kind::IntValue(number));
    let cases = [
        (vec![pair("a", number(1)), pair("a", number(2))], json!({"a": 2})),
        (vec![pair("a", number(1)), pair("a.b", number(2))], json!({"a.value": 1, "a.b": 2})),
        (
            vec![
                pair("a.b", number(2)),
                pair("a-b", number(0)),
                pair("a.value", number(3)),
                pair("a", number(1)),
            ],
            json!({"a-b": 0, "a.b": 2, "a.value": 3, "a.value_": 1}),
        ),
        (
            vec![pair("a", map(vec![pair("c", number(1))])), pair("a.b", number(2))],
            json!({"a": {"c": 1}, "a.b": 2}),
        ),
        (vec![pair("a", number(1)), pair("ab", number(2))], json!({"a": 1, "ab": 2})),
        (
            vec![pair("", number(1)), pair(".", number(2)), pair("x..y", number(3)), pair("z. ", number(4))],
            json!({"_.value": 1, "_._": 2, "x._.y": 3, "z._": 4}),
        ),
    ];
    for (attributes, expected) in cases {
        assert_eq!(document(Mode::Otel, record(attributes))["attributes"], expected);
    }
}

#[test]
fn a_body_of_any_kind_stays_of_its_kind() {
    let cases = [
        (text("x"), json!({"text": "x"})),
        (any(Kind::IntValue(7)), json!({"text": "7"})),
        (any(Kind::DoubleValue(f64::NAN)), json!({"text": "NaN"})),
        (map(vec![pair("k", map(vec![pair("l", text("v"))]))]), json!({"structured": {"k": {"l": "v"}}})),
        (
            any(Kind::ArrayValue(ArrayValue { values: vec![text("v")] })),
            json!({"structured": {"values": ["v"]}}),
        ),
        (any(Kind::BytesValue(vec![1])), json!({"bytes": "AQ=="})),
    ];
    for (body, expected) in cases {
        let record = LogRecord { body: Some(body), ..record(Vec::new()) };
        assert_eq!(document(Mode::Otel, record)["body"], expected);
    }
}

#[test]
fn lists_are_of_one_kind_where_that_is_asked_for() {
    let number = |number| any(Kind::IntValue(number));
    let mixed = || list(vec![number(1), text("a"), any(Kind::BytesValue(vec![1])), AnyValue { value: None }]);
    let record = || LogRecord {
        body: Some(map(vec![pair("deep", map(vec![pair("l", list(vec![mixed(), number(2)]))]))])),
        attributes: vec![
            pair("mixed", mixed()),
            pair("numbers", list(vec![number(1), any(Kind::DoubleValue(2.5))])),
            pair("nan", list(vec![any(Kind::DoubleValue(1.0)), any(Kind::DoubleValue(f64::NAN))])),
            pair("same", list(vec![number(1), number(2)])),
            pair("maps", list(vec![map(vec![pair("k", number(1))]), map(vec![pair("k", text("x"))])])),
            pair("inside", map(vec![pair("l", mixed())])),
        ],
        ..record(Vec::new())
    };
    let kept = json!({
        "mixed": [1, "a", "AQ==", null], "numbers": [1, 2.5], "nan": [1.0, "NaN"], "same": [1, 2],
        "maps": [{"k": 1}, {"k": "x"}], "inside": {"l": [1, "a", "AQ==", null]},
    });
    let texts = json!({
        "mixed": ["1", "\"a\"", "\"AQ==\"", null], "numbers": [1.0, 2.5], "nan": ["1.0", "\"NaN\""], "same": [1, 2],
        "maps": ["{\"k\":1}", "{\"k\":\"x\"}"], "inside": {"l": ["1", "\"a\"", "\"AQ==\"", null]},
    });
    let body = json!({"deep": {"l": [[1, "a", "AQ==", null], 2]}});
    let body_of_texts = json!({"deep": {"l": ["[1,\"a\",\"AQ==\",null]", "2"]}});
    let (keep, even) = (Lists::AsTheyAre, Lists::OfOneKind);
    for (attributes, others, in_attributes, in_body) in [
        (keep, keep, &kept, &body),
        (even, even, &texts, &body_of_texts),
        (keep, even, &kept, &body_of_texts),
    ] {
        let document = document(Shape { mode: Mode::Otel, attributes, others }, record());
        assert_eq!(&document["attributes"], in_attributes);
        assert_eq!(&document["body"]["structured"], in_body);
    }
    let ecs = document(Shape { mode: Mode::Ecs, attributes: even, others: even }, record());
    assert_eq!(ecs["labels"]["mixed"], texts["mixed"]);
    assert_eq!(ecs["labels"]["inside_l"], texts["inside"]["l"]);
    let line = LogRecord { body: Some(text(r#"{"l":[1,"a"],"s":["a"]}"#)), ..record() };
    let raw = document(Shape { mode: Mode::Raw, attributes: keep, others: even }, line);
    assert_eq!((&raw["l"], &raw["s"]), (&json!(["1", "\"a\""]), &json!(["a"])));
}

#[test]
fn a_record_without_time_has_the_time_of_its_arrival() {
    let document = document(Mode::Otel, LogRecord::default());
    assert_eq!(document["@timestamp"], "2026-11-21T09:30:07.000000000Z");
}

#[test]
fn ecs_has_its_own_names_and_nests() {
    let record = LogRecord {
        severity_number: 13,
        body: Some(text("slow")),
        trace_id: vec![0xab; 16],
        attributes: vec![
            pair("http.request.method", text("GET")),
            pair("http.response.size", any(Kind::IntValue(5))),
            pair("exception.type", text("Timeout")),
            pair("cloudflare.ray_id", text("7c")),
            pair("message", text("mine")),
            pair("trace.id", text("mine")),
            pair("tidegate.tenant", text("mine")),
            pair("my.flag", any(Kind::BoolValue(true))),
            pair("my.count", any(Kind::IntValue(3))),
            pair("my.map", map(vec![pair("k", text("v")), pair("n", any(Kind::DoubleValue(f64::NAN)))])),
        ],
        ..record(Vec::new())
    };
    let expected = json!({
        "@timestamp": "2026-11-21T09:30:00.000000001Z",
        "cloudflare": {"ray_id": "7c"},
        "ecs": {"version": "8.11.0"},
        "error": {"type": "Timeout"},
        "event": {"severity": 13},
        "http": {"request": {"method": "GET"}, "response": {"bytes": 5}},
        "labels": {"message": "mine", "my_flag": "true", "my_map_k": "v", "my_map_n": "NaN", "trace_id": "mine"},
        "log": {"level": "WARN", "logger": "lib"},
        "message": "slow",
        "numeric_labels": {"my_count": 3},
        "service": {"name": "shop"},
        "tidegate": {"source": "test", "tenant": "default"},
        "trace": {"id": "ab".repeat(16)},
    });
    assert_eq!(document(Mode::Ecs, record), expected);
}

#[test]
fn raw_is_the_record_as_it_was_received() {
    let raw = |body: &str| {
        let record = LogRecord { body: Some(text(body)), ..record(Vec::new()) };
        document(Mode::Raw, record)
    };
    let at = "2026-11-21T09:30:00.000000001Z";
    assert_eq!(
        raw("{\n \"RayID\": \"7c\", \"n\": 1.50, \"@timestamp\": 5, \"n\": 2}"),
        json!({"@timestamp": at, "RayID": "7c", "n": 2, "source": "test"})
    );
    assert_eq!(
        raw(r#"{"source":"cloudflare-worker"}"#),
        json!({"@timestamp": at, "source": "cloudflare-worker"})
    );
    assert_eq!(raw("{}"), json!({"@timestamp": at, "source": "test"}));
    assert_eq!(raw("{\"a\":1"), json!({"@timestamp": at, "message": "{\"a\":1", "source": "test"}));
    assert_eq!(raw("plain"), json!({"@timestamp": at, "message": "plain", "source": "test"}));
}

#[test]
fn spans_are_written_in_every_mode() {
    let (otel, ecs) = (json!({"name": "a", "duration": 1}), json!({"span": {"name": "a"}}));
    for (mode, expected) in [(Mode::Otel, &otel), (Mode::Raw, &otel), (Mode::Ecs, &ecs)] {
        let parcel = traces(3, Coding::Gzip, &["a", "b"]);
        let mut found = Vec::new();
        each(&parcel, mode, |_, document| found.push(serde_json::from_slice::<Value>(document).unwrap()))
            .unwrap();
        assert_eq!(found.len(), 2);
        let holds = |expected: &Value, found: &Value| {
            expected.as_object().unwrap().iter().all(|(key, value)| match value {
                Value::Object(_) => value.as_object().unwrap().iter().all(|(k, v)| found[key][k] == *v),
                _ => found[key] == *value,
            })
        };
        assert!(holds(expected, &found[0]), "{}", found[0]);
    }
}

#[test]
fn every_item_of_a_remote_write_request_has_a_document() {
    let mut plain = samples("up", &[1.5, f64::from_bits(wire::rw::STALE), f64::NAN]);
    put::message(&mut plain, 1, |series| {
        for (label, text) in [("__name__", "t"), ("le", "1")] {
            put::message(series, 1, |pair| {
                put::bytes(pair, 1, label.as_bytes());
                put::bytes(pair, 2, text.as_bytes());
            });
        }
        put::message(series, 3, |exemplar| {
            put::message(exemplar, 1, |pair| {
                put::bytes(pair, 1, b"trace_id");
                put::bytes(pair, 2, b"abc");
            });
            put::fixed64(exemplar, 2, 2.0f64.to_bits());
            put::uint(exemplar, 3, START.millis() as u64);
        });
        put::message(series, 4, |histogram| {
            put::uint(histogram, 1, 3);
            put::fixed64(histogram, 3, 4.5f64.to_bits());
            put::sint(histogram, 4, 2);
            put::message(histogram, 11, |span| put::uint(span, 2, 1));
            put::sint(histogram, 12, 3);
            put::uint(histogram, 15, START.millis() as u64);
        });
        put::message(series, wire::rw::private::SERIES_METADATA, |metadata| {
            put::uint(metadata, 1, 1);
            put::bytes(metadata, 4, b"helps");
        });
    });
    put::message(&mut plain, 3, |metadata| {
        put::uint(metadata, 1, 2);
        put::bytes(metadata, 2, b"up");
    });
    for mode in [Mode::Otel, Mode::Ecs] {
        let found = documents(Signal::Metrics, Layout::RemoteWrite, mode, &plain, 6);
        assert_eq!(found[0]["value"], json!(1.5));
        assert_eq!((&found[1]["stale"], found[1].get("value")), (&json!(true), None));
        assert_eq!((&found[2]["value_text"], found[2].get("value")), (&json!("NaN"), None));
        assert_eq!(found[0]["@timestamp"], "2026-11-21T09:30:00.000000000Z");
        let labels = if mode == Mode::Otel { "attributes" } else { "labels" };
        assert_eq!(found[1][labels], json!({"n": "1"}));
        assert_eq!(
            found[3]["metric"],
            json!({"name": "t", "point": "exemplar", "type": "counter", "description": "helps"})
        );
        assert_eq!((&found[3]["value"], &found[3]["exemplar"]), (&json!(2.0), &json!({"trace_id": "abc"})));
        let native = json!({"count": 3, "sum": 4.5, "schema": 2, "zero_threshold": 0.0,
            "positive_spans": [{"offset": 0, "length": 1}], "positive_deltas": [3]});
        assert_eq!(found[4]["native_histogram"], native);
        assert_eq!(found[5]["metric"], json!({"name": "up", "point": "metadata", "type": "gauge"}));
    }
}

#[test]
fn a_frame_that_does_not_hold_what_it_counts_is_told() {
    for items in [1, 3] {
        let parcel = parcel(
            Signal::Traces,
            Layout::Otlp,
            vec![part(7, Coding::Plain, &crate::fixture::spans(&["a", "b"]), items)],
        );
        let error = each(&parcel, Mode::Otel, |_, _| {}).unwrap_err();
        assert_eq!(error.offset.0, 7);
    }
}
