//! Against real servers: ClickHouse's engine of today (chDB, `--all`), and an old ClickHouse for how HTTP is really spoken.

use super::*;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tempfile::TempDir;
use testkit::server::{Chdb, ClickHouse as Old};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn to(port: u16, more: serde_json::Value) -> Arc<dyn Sink> {
    let mut settings = json!({"url": format!("http://127.0.0.1:{port}")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A log record with something in every column.
fn full() -> LogRecord {
    LogRecord {
        observed_time_unix_nano: START.0,
        severity_number: 17,
        severity_text: "ERR".into(),
        attributes: vec![text("größe", "\"ü\"\n"), text("n", "")],
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        flags: 0x101,
        event_name: "boom".into(),
        ..line(START.0 + 123_456_789, "zeile \\ \u{1f980}\t\u{0}")
    }
}

fn records(records: Vec<LogRecord>) -> Parcel {
    let items = records.len() as u32;
    let plain = logs_of(vec![text("service.name", "sh'op"), text("host", "h")], records);
    parcel(Signal::Logs, Laid::Otlp, vec![part(1, Coding::Gzip, &plain, items)])
}

/// What a table holds of `full` and of a record without any time.
fn expected_logs() -> Vec<serde_json::Value> {
    let received = "2026-11-21 09:30:01.000000000";
    let row = |extra: serde_json::Value| {
        let mut row = json!({
            "ResourceAttributes": {"service.name": "sh'op", "host": "h"}, "ServiceName": "sh'op", "ScopeName": "lib",
            "ScopeVersion": "1.2", "ScopeAttributes": {}, "ResourceSchemaUrl": "", "ScopeSchemaUrl": "",
        });
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        row
    };
    vec![
        row(json!({
            "Timestamp": "2026-11-21 09:30:00.123456789", "TimestampTime": "2026-11-21 09:30:00", "TraceId": "0102030405060708090a0b0c0d0e0f10",
            "SpanId": "0102030405060708", "TraceFlags": 1, "SeverityText": "ERR", "SeverityNumber": 17, "Body": "zeile \\ \u{1f980}\t\u{0}",
            "LogAttributes": {"größe": "\"ü\"\n", "n": ""}, "EventName": "boom",
        })),
        row(json!({
            "Timestamp": received, "TimestampTime": "2026-11-21 09:30:01", "TraceId": "", "SpanId": "", "TraceFlags": 0, "SeverityText": "",
            "SeverityNumber": 0, "Body": "without", "LogAttributes": {}, "EventName": "",
        })),
    ]
}

#[tokio::test]
async fn the_engine_of_today_holds_every_value_in_both_formats_and_a_resend_stores_nothing_twice() {
    if !testkit::server::all() {
        return;
    }
    let folder = folder();
    let server = Chdb::start(folder.path());
    for (format, database) in [("row_binary", "a"), ("json_each_row", "b")] {
        let settings = json!({"format": format, "database": database, "create_schema": true, "ttl": "3650d"});
        // Twice from the beginning, as after a restart: only the tokens tell that it was stored.
        for _ in 0..2 {
            let sink = to(server.port, settings.clone()).await;
            for parcel in
                [records(vec![full(), line(0, "without")]), spans(), all_kinds(), metrics(9, &[1.5])]
            {
                assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered), "{format}");
                assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered), "{format}");
            }
        }
        let logs = server.rows(&format!("SELECT * FROM {database}.otel_logs ORDER BY Timestamp"));
        assert_eq!(logs, expected_logs(), "{format}");
        check_spans(&server, database);
        check_metrics(&server, database, format == "row_binary");
    }
}

fn spans() -> Parcel {
    let event = Event {
        time_unix_nano: START.0 + 5,
        name: "e\"1".into(),
        attributes: vec![text("k", "v")],
        ..Default::default()
    };
    let link =
        Link { trace_id: vec![3; 16], span_id: vec![4; 8], trace_state: "a=b".into(), ..Default::default() };
    let span = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        parent_span_id: vec![9; 8],
        trace_state: "c=d".into(),
        name: "GET /ü".into(),
        kind: 2,
        start_time_unix_nano: START.0 + 1,
        end_time_unix_nano: START.0 + 1_000_000_002,
        attributes: vec![text("http.route", "/")],
        events: vec![event, Event { time_unix_nano: u64::MAX, ..Default::default() }],
        links: vec![link],
        status: Some(Status { code: 2, message: "no".into() }),
        ..Default::default()
    };
    let root = Span {
        trace_id: (1..=16).collect(),
        span_id: vec![9; 8],
        start_time_unix_nano: START.0,
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span, root], ..Default::default() }];
    let plain = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }],
    };
    parcel(Signal::Traces, Laid::Otlp, vec![part(1, Coding::Plain, &plain.encode_to_vec(), 2)])
}

fn check_spans(server: &Chdb, database: &str) {
    let rows = server.rows(&format!("SELECT * FROM {database}.otel_traces ORDER BY Timestamp"));
    let trace = hex(&(1..=16).collect::<Vec<_>>());
    let root = json!({
        "Timestamp": "2026-11-21 09:30:00.000000000", "TraceId": trace, "SpanId": "0909090909090909", "ParentSpanId": "", "TraceState": "",
        "SpanName": "", "SpanKind": "Unspecified", "ServiceName": "", "ResourceAttributes": {}, "ScopeName": "", "ScopeVersion": "",
        "SpanAttributes": {}, "Duration": 0, "StatusCode": "Unset", "StatusMessage": "", "Events.Timestamp": [], "Events.Name": [],
        "Events.Attributes": [], "Links.TraceId": [], "Links.SpanId": [], "Links.TraceState": [], "Links.Attributes": [],
    });
    let span = json!({
        "Timestamp": "2026-11-21 09:30:00.000000001", "TraceId": trace, "SpanId": "0102030405060708", "ParentSpanId": "0909090909090909",
        "TraceState": "c=d", "SpanName": "GET /ü", "SpanKind": "Server", "ServiceName": "", "ResourceAttributes": {}, "ScopeName": "",
        "ScopeVersion": "", "SpanAttributes": {"http.route": "/"}, "Duration": 1_000_000_001, "StatusCode": "Error", "StatusMessage": "no",
        // The second event's time is one that nanoseconds in 64 bits cannot reach.
        "Events.Timestamp": ["2026-11-21 09:30:00.000000005", "2262-04-11 23:47:16.854775807"], "Events.Name": ["e\"1", ""],
        "Events.Attributes": [{"k": "v"}, {}], "Links.TraceId": [hex(&[3; 16])], "Links.SpanId": [hex(&[4; 8])], "Links.TraceState": ["a=b"],
        "Links.Attributes": [{}],
    });
    assert_eq!(rows, [root, span]);
    let times = server.rows(&format!("SELECT * FROM {database}.otel_traces_trace_id_ts"));
    assert_eq!(
        times,
        [json!({"TraceId": trace, "Start": "2026-11-21 09:30:00", "End": "2026-11-21 09:30:00"})]
    );
}

fn check_metrics(server: &Chdb, database: &str, bits: bool) {
    let rows = |suffix: &str, columns: &str| {
        server.rows(&format!(
            "SELECT {columns} FROM {database}.otel_metrics_{suffix} WHERE ServiceName = 'shop'"
        ))
    };
    let common = "ResourceAttributes, ResourceSchemaUrl, ScopeName, ScopeVersion, ScopeDroppedAttrCount, ScopeSchemaUrl, MetricName, MetricDescription, \
                  MetricUnit, Attributes, StartTimeUnix, TimeUnix";
    let gauge = rows(
        "gauge",
        &format!(
            "{common}, hex(reinterpretAsUInt64(Value)) AS bits, isNaN(Value) AS nan, Exemplars.FilteredAttributes, Exemplars.TimeUnix, Exemplars.Value, Exemplars.SpanId, Exemplars.TraceId"
        ),
    );
    let [gauge] = &gauge[..] else { panic!("{gauge:?}") };
    let mut gauge = gauge.clone();
    let value = gauge.as_object_mut().unwrap().remove("bits").unwrap();
    assert!(!bits || value == "7FF8000000000ABC", "the bits of NaN survive in binary: {value}");
    let expected = json!({
        "ResourceAttributes": {"service.name": "shop"}, "ResourceSchemaUrl": "r", "ScopeName": "lib", "ScopeVersion": "1", "ScopeDroppedAttrCount": 3,
        "ScopeSchemaUrl": "s", "MetricName": "g", "MetricDescription": "d", "MetricUnit": "s", "Attributes": {"größe": "ü\u{0}"},
        "StartTimeUnix": "2026-11-21 09:29:59.999999999", "TimeUnix": "2026-11-21 09:30:00.000000000", "nan": 1,
        "Exemplars.FilteredAttributes": [{"k": "v"}], "Exemplars.TimeUnix": ["2026-11-21 09:30:00.000000007"], "Exemplars.Value": [0.5],
        "Exemplars.SpanId": [hex(&[2; 8])], "Exemplars.TraceId": [hex(&[1; 16])],
    });
    assert_eq!(gauge, expected);
    let time = "toUnixTimestamp64Nano(TimeUnix) - toUnixTimestamp64Nano(toDateTime64('2026-11-21 09:30:00', 9, 'UTC')) AS at";
    assert_eq!(
        rows("sum", &format!("Value, AggregationTemporality, IsMonotonic, {time}")),
        [json!({"Value": -3, "AggregationTemporality": 2, "IsMonotonic": true, "at": 1})]
    );
    assert_eq!(
        rows(
            "histogram",
            &format!(
                "Count, Sum, Min, Max, BucketCounts, ExplicitBounds, AggregationTemporality, Attributes, {time}"
            )
        ),
        [
            json!({"Count": 6, "Sum": 12.5, "Min": 0.25, "Max": 0, "BucketCounts": [1, 2, 3], "ExplicitBounds": [0.5, 5], "AggregationTemporality": 1, "Attributes": {"a": "b"}, "at": 2})
        ]
    );
    assert_eq!(
        rows(
            "exponential_histogram",
            &format!(
                "Count, Sum, Scale, ZeroCount, PositiveOffset, PositiveBucketCounts, NegativeOffset, NegativeBucketCounts, {time}"
            )
        ),
        [
            json!({"Count": 4, "Sum": -1, "Scale": -2, "ZeroCount": 1, "PositiveOffset": -3, "PositiveBucketCounts": [1, 300], "NegativeOffset": 2, "NegativeBucketCounts": [2], "at": 3})
        ]
    );
    assert_eq!(
        rows(
            "summary",
            &format!(
                "Count, Sum = 1e300 AS sum, ValueAtQuantiles.Quantile AS q, ValueAtQuantiles.Value[1] AS v, isInfinite(ValueAtQuantiles.Value[2]) AS inf, {time}"
            )
        ),
        [json!({"Count": 9, "sum": 1, "q": [0.5, 0.99], "v": 1.5, "inf": 1, "at": 4})]
    );
    let written = server.rows(&format!(
        "SELECT MetricName, Value, Attributes FROM {database}.otel_metrics_gauge WHERE ServiceName = ''"
    ));
    assert_eq!(written, [json!({"MetricName": "up", "Value": 1.5, "Attributes": {"n": "0"}})]);
}

#[tokio::test]
async fn a_row_that_the_table_refuses_is_named_with_the_servers_reason_and_the_rest_is_stored() {
    if !testkit::server::all() {
        return;
    }
    let folder = folder();
    let mut server = Chdb::start(folder.path());
    let settings = json!({"create_schema": true});
    let sink = to(server.port, settings.clone()).await;
    assert_eq!(sink.deliver(&logs(&["0"])).await, Ok(Receipt::Delivered));
    server.query("ALTER TABLE otel_logs ADD COLUMN Number UInt32 MATERIALIZED toUInt32(Body)");
    server.query("ALTER TABLE otel_logs ADD CONSTRAINT small CHECK Number < 100");
    let mixed = logs(&["1", "2", "x", "4", "500", "6", "7"]);
    for _ in 0..2 {
        let Err(Failure::Refused { items }) = sink.deliver(&mixed).await else { panic!() };
        let [text, constraint] = &items[..] else { panic!("{items:?}") };
        assert_eq!((text.index, constraint.index), (2, 4));
        assert!(text.reason.contains("Cannot parse") && constraint.reason.contains("small"), "{items:?}");
    }
    // A column that is gone, or has become another type, since the table was described.
    server.query("ALTER TABLE otel_logs DROP CONSTRAINT small");
    server.query("ALTER TABLE otel_logs DROP COLUMN Number");
    server.query("ALTER TABLE otel_logs DROP COLUMN EventName");
    server.query("ALTER TABLE otel_logs MODIFY COLUMN TraceFlags UInt32");
    let more = logs(&["8", "9"]);
    assert!(matches!(sink.deliver(&more).await, Err(Failure::Retry { after: Some(Duration::ZERO), .. })));
    assert_eq!(sink.deliver(&more).await, Ok(Receipt::Delivered));
    // Killed and started again.
    server.process.kill();
    let last = logs(&["10"]);
    assert!(crate::fixture::is_held(&sink.deliver(&last).await));
    server.restart();
    assert_eq!(sink.deliver(&last).await, Ok(Receipt::Delivered));
    assert_eq!(to(server.port, settings).await.deliver(&last).await, Ok(Receipt::Delivered));
    let bodies = server.rows("SELECT Body FROM otel_logs ORDER BY toUInt32(Body)");
    let bodies: Vec<_> = bodies.iter().map(|row| row["Body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bodies, ["0", "1", "2", "4", "6", "7", "8", "9", "10"]);
}

#[tokio::test]
async fn a_table_of_the_operators_own_types_is_read_by_the_server_from_json() {
    if !testkit::server::all() {
        return;
    }
    let folder = folder();
    let server = Chdb::start(folder.path());
    server.query(
        "CREATE TABLE otel_logs (Timestamp DateTime64(3, 'Asia/Tokyo'), TraceId Nullable(String), SeverityNumber UInt32, SeverityText Enum8('' = 0, 'ERR' = 1), \
         Body UInt32, LogAttributes JSON, Other String) ENGINE = MergeTree ORDER BY Timestamp",
    );
    let sink = to(server.port, json!({})).await;
    let number = LogRecord { event_name: String::new(), ..full() };
    let good = LogRecord { body: line(0, "42").body, ..number.clone() };
    let Err(Failure::Refused { items }) = sink.deliver(&records(vec![number, good])).await else { panic!() };
    assert_eq!((items.len(), items[0].index), (1, 0));
    assert!(items[0].reason.contains("Body"), "{items:?}");
    let rows = server.rows("SELECT toUnixTimestamp64Milli(Timestamp) AS at, TraceId, SeverityNumber, SeverityText, Body, LogAttributes.`größe` AS a, Other FROM otel_logs");
    let at = START.0 / 1_000_000 + 123;
    assert_eq!(
        rows,
        [
            json!({"at": at, "TraceId": "0102030405060708090a0b0c0d0e0f10", "SeverityNumber": 17, "SeverityText": "ERR", "Body": 42, "a": "\"ü\"\n", "Other": ""})
        ]
    );
}

#[tokio::test]
async fn more_days_than_one_insert_may_touch_are_stored_in_several() {
    if !testkit::server::all() {
        return;
    }
    let folder = folder();
    let server = Chdb::start(folder.path());
    let sink = to(server.port, json!({"create_schema": true})).await;
    let day = 86_400_000_000_000;
    let days = records((0..150).map(|n| line(START.0 - n * day, "x")).collect());
    assert_eq!(sink.deliver(&days).await, Ok(Receipt::Delivered));
    assert_eq!(server.rows("SELECT count() AS n FROM otel_logs"), [json!({"n": 150})]);
}

#[tokio::test]
async fn an_old_server_is_spoken_to_as_it_answers() {
    let folder = folder();
    let mut server = Old::start(folder.path());
    let settings = json!({"format": "json_each_row", "deduplicate": false, "signals": ["logs"]});
    let sink = to(server.port, settings.clone()).await;
    let failure = sink.deliver(&logs(&["1"])).await.unwrap_err();
    assert!(matches!(&failure, Failure::Retry { reason, .. } if reason.contains("no table")), "{failure}");
    server.query(
        "CREATE TABLE otel_logs (Timestamp DateTime, ServiceName String, SeverityNumber Int32, Body UInt32, LogAttributes String) \
         ENGINE = MergeTree ORDER BY Timestamp",
    );
    // It is gzip that the server reads, and its own error of one row that names the item.
    let Err(Failure::Refused { items }) = sink
        .deliver(&records(vec![line(START.0, "x"), LogRecord { body: line(0, "7").body, ..full() }]))
        .await
    else {
        panic!()
    };
    assert_eq!((items.len(), items[0].index), (1, 0));
    assert!(items[0].reason.contains("Code: 27"), "{items:?}");
    let rows = server.rows("SELECT toUnixTimestamp(Timestamp) AS at, ServiceName, SeverityNumber, Body, LogAttributes FROM otel_logs");
    let expected = json!({
        "at": START.0 / 1_000_000_000, "ServiceName": "sh'op", "SeverityNumber": 17, "Body": 7, "LogAttributes": "{\"größe\":\"\\\"ü\\\"\\n\",\"n\":\"\"}",
    });
    assert_eq!(rows, [expected]);
    let with = |more: serde_json::Value| {
        let mut all = settings.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        to(server.port, all)
    };
    assert_eq!(
        with(json!({"user": Old::USER, "password": Old::PASSWORD})).await.deliver(&logs(&["8"])).await,
        Ok(Receipt::Delivered)
    );
    for (more, hint) in [
        (json!({"user": Old::USER, "password": "wrong"}), "credentials"),
        (json!({"deduplicate": true}), "deduplicate"),
        (json!({"database": "nowhere"}), "no table"),
    ] {
        let failure = with(more).await.deliver(&logs(&["9"])).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Retry { reason, .. } if reason.contains(hint)),
            "{hint}: {failure}"
        );
    }
    server.process.kill();
    assert!(crate::fixture::is_held(&sink.deliver(&logs(&["10"])).await));
    server.restart();
    assert_eq!(sink.deliver(&logs(&["10"])).await, Ok(Receipt::Delivered));
    // The table is gone, and comes back.
    server.query("DROP TABLE otel_logs");
    let failure = sink.deliver(&logs(&["11"])).await.unwrap_err();
    assert!(failure.to_string().contains("does not exist"), "{failure}");
}
