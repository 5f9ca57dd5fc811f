//! The columns as another reader sees them: through the Parquet library's own row reader, which knows nothing of ours.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Proto, Status};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::*;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn service(name: &str) -> Option<Resource> {
    let attributes = vec![pair("service.name", text(name)), pair("k8s.namespace.name", text("shop"))];
    Some(Resource { attributes, ..Resource::default() })
}

fn spans(service_name: &str, spans: Vec<Proto>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: service(service_name), scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }
}

fn span(trace: u8, start: u64) -> Proto {
    Proto {
        trace_id: (1..=16).map(|byte: u8| byte.wrapping_mul(trace)).collect(),
        span_id: vec![trace; 8],
        name: format!("span {trace}"),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 70,
        ..Proto::default()
    }
}

/// Rows as other readers see them, by column name.
fn rows(bytes: &Bytes) -> Vec<HashMap<String, Field>> {
    let reader = SerializedFileReader::new(bytes.clone()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().into_columns().into_iter().collect()).collect()
}

fn string(field: &Field) -> Option<&str> {
    match field {
        Field::Str(text) => Some(text),
        Field::Null => None,
        other => panic!("{other:?} is no text"),
    }
}

fn map(field: &Field) -> Vec<(String, String)> {
    let Field::MapInternal(map) = field else { panic!("{field:?} is no map") };
    let text = |field: &Field| string(field).unwrap_or("NULL").to_owned();
    map.entries().iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn traces_file(spans: &ExportTraceServiceRequest) -> Bytes {
    file(Signal::Traces, &[chunk(Signal::Traces, Layout::Otlp, 3, spans.encode_to_vec())])
}

#[test]
fn another_reader_finds_the_columns_of_spans() {
    let mut first = span(1, NOW);
    first.attributes = vec![
        pair("http.method", text("GET")),
        pair("http.request.method", text("POST")),
        pair("http.response.status_code", Value::IntValue(503)),
        pair("http.response.status_code", Value::IntValue(200)),
        pair("ratio", Value::DoubleValue(f64::NAN)),
        pair("flag", Value::BoolValue(true)),
    ];
    first.status = Some(Status { code: 2, message: "boom".to_owned() });
    let rows = rows(&traces_file(&spans("cart", vec![first, span(0, NOW - 1)])));
    assert_eq!(rows.len(), 2);
    let (without, row) = (&rows[0], &rows[1]);
    assert_eq!(string(&row["service_name"]), Some("cart"));
    assert_eq!(string(&row["name"]), Some("span 1"));
    assert_eq!(string(&row["kind"]), Some("server"));
    assert_eq!(string(&row["status"]), Some("error"));
    assert_eq!(string(&row["status_message"]), Some("boom"));
    assert_eq!(string(&row["http_method"]), Some("POST"));
    assert_eq!(string(&row["http_status"]), Some("503"));
    assert_eq!(string(&row["k8s_namespace"]), Some("shop"));
    assert_eq!(string(&row["http_route"]), None);
    assert_eq!(row["duration_ns"], Field::Long(70));
    assert_eq!(row["trace_id"], Field::Bytes((1..=16u8).collect::<Vec<_>>().into()));
    assert_eq!(row["trace_id_low"], Field::ULong(0x090a_0b0c_0d0e_0f10));
    let attributes = pairs(&[
        ("http.method", "GET"),
        ("http.request.method", "POST"),
        ("http.response.status_code", "503"),
        ("ratio", "\"NaN\""),
        ("flag", "true"),
    ]);
    assert_eq!(map(&row["attributes"]), attributes);
    assert_eq!(
        map(&row["resource_attributes"]),
        pairs(&[("service.name", "cart"), ("k8s.namespace.name", "shop")])
    );
    assert_eq!(without["trace_id"], Field::Null);
    assert_eq!(without["trace_id_low"], Field::Null);
}

#[test]
fn a_body_of_plain_text_is_kept_once() {
    let body = "the one and only line of this record, long enough to be seen".to_owned();
    let record =
        |value| LogRecord { time_unix_nano: NOW, body: Some(AnyValue { value }), ..LogRecord::default() };
    let log_records =
        vec![record(Some(Value::StringValue(body.clone()))), record(Some(Value::IntValue(5))), record(None)];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    let request = ExportLogsServiceRequest { resource_logs };
    let bytes = file(Signal::Logs, &[chunk(Signal::Logs, Layout::Otlp, 1, request.encode_to_vec())]);
    let rows = rows(&bytes);
    assert_eq!(string(&rows[0]["body"]), Some(&*body));
    assert_eq!(string(&rows[1]["body"]), Some("5"));
    assert_eq!(string(&rows[2]["body"]), None);
    let Field::Bytes(raw) = &rows[0]["raw"] else { panic!("raw is not bytes") };
    assert!(raw.data().len() < body.len(), "the body stands in raw as well");
}

#[test]
fn stale_markers_and_other_nans_keep_their_bits() {
    for bits in [0x7ff0_0000_0000_0002, 0x7ff8_0000_0000_0001, 0xfff8_dead_beef_0001] {
        let sample = write_request::Sample { value: f64::from_bits(bits), timestamp: 1, start: None };
        let label = write_request::Label { name: "__name__".to_owned(), value: "up".to_owned() };
        let series =
            write_request::TimeSeries { labels: vec![label], samples: vec![sample], ..Default::default() };
        let request = write_request::WriteRequest { timeseries: vec![series], metadata: Vec::new() };
        let frame = chunk(Signal::Metrics, Layout::RemoteWrite, 1, request.encode_to_vec());
        let rows = rows(&file(Signal::Metrics, &[frame]));
        let Field::Double(value) = rows[0]["value"] else { panic!("value is no double") };
        assert_eq!(value.to_bits(), bits);
        assert_eq!(string(&rows[0]["metric_name"]), Some("up"));
    }
}

#[test]
fn trace_ids_have_bloom_filters_and_times_have_a_page_index() {
    let reader = SerializedFileReader::new(traces_file(&spans("cart", vec![span(1, NOW)]))).unwrap();
    let group = reader.metadata().row_group(0);
    let column =
        |name: &str| group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
    assert!(column("trace_id").bloom_filter_offset().is_some());
    assert!(column("trace_id_low").bloom_filter_offset().is_some());
    assert!(column("name").bloom_filter_offset().is_none());
    assert!(column("timestamp").column_index_offset().is_some());
    assert!(column("timestamp").offset_index_offset().is_some());
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(
        pairs.iter().any(|pair| pair.key == "tidegate.schema_version" && pair.value.as_deref() == Some("1"))
    );
}

#[test]
fn a_trace_is_found_among_many_and_rows_come_sorted() {
    let frames = (0..4u64).map(|number| {
        let service = if number % 2 == 0 { "cart" } else { "api" };
        let all = (1..200u8).map(|trace| span(trace, NOW + u64::from(trace) * 10 - number)).collect();
        chunk(Signal::Traces, Layout::Otlp, number + 1, spans(service, all).encode_to_vec())
    });
    let chunks: Vec<_> = frames.collect();
    let bytes = file(Signal::Traces, &chunks);
    let file = open(&bytes);
    let wanted: [u8; 16] = std::array::from_fn(|at| (at as u8 + 1).wrapping_mul(7));
    let mut found = Vec::new();
    file.trace(low_half(&wanted), &mut |row| {
        assert_eq!(row.trace(), Some(wanted));
        found.push(row.offset);
        ControlFlow::Continue(())
    })
    .unwrap();
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4]);
    file.trace(12_345, &mut |_| panic!("there is no such trace")).unwrap();

    let mut last = (String::new(), 0);
    let mut rows = 0;
    file.between(i64::MIN..=i64::MAX, &mut |row| {
        let place = (row.service.to_owned(), row.time);
        assert!(last <= place, "{last:?} {place:?}");
        last = place;
        rows += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(rows, 4 * 199);
    let mut within = 0;
    let hundred = NOW as i64 + 1_000;
    file.between(hundred - 3..=hundred, &mut |_| {
        within += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(within, 4);
}
