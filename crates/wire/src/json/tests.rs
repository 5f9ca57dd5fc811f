use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use proptest::prelude::*;
use prost::Message;

use super::shape::{Kind, MOST_FIELDS, Shape};
use super::*;

fn traces(json: &str) -> ExportTraceServiceRequest {
    let bytes = to_proto(Signal::Traces, json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
    ExportTraceServiceRequest::decode(&bytes[..]).expect("what we write is protobuf")
}

fn metrics(json: &str) -> ExportMetricsServiceRequest {
    let bytes = to_proto(Signal::Metrics, json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
    ExportMetricsServiceRequest::decode(&bytes[..]).expect("what we write is protobuf")
}

fn logs(json: &str) -> ExportLogsServiceRequest {
    let bytes = to_proto(Signal::Logs, json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
    ExportLogsServiceRequest::decode(&bytes[..]).expect("what we write is protobuf")
}

fn span(fields: &str) -> opentelemetry_proto::tonic::trace::v1::Span {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    traces(&json).resource_spans.remove(0).scope_spans.remove(0).spans.remove(0)
}

fn span_error(fields: &str) -> JsonError {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    to_proto(Signal::Traces, json.as_bytes()).expect_err(&json)
}

fn point(fields: &str) -> opentelemetry_proto::tonic::metrics::v1::NumberDataPoint {
    let json = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{{{fields}}}]}}}}]}}]}}]}}"#
    );
    let Some(metric::Data::Gauge(mut gauge)) =
        metrics(&json).resource_metrics.remove(0).scope_metrics.remove(0).metrics.remove(0).data
    else {
        panic!("not a gauge")
    };
    gauge.data_points.remove(0)
}

fn attribute(value: &str) -> Option<Value> {
    let mut span = span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#));
    span.attributes.remove(0).value.and_then(|value| value.value)
}

#[test]
fn keys_are_read_in_camel_case_and_in_snake_case() {
    let camel =
        span(r#""traceId":"0af7651916cd43dd8448eb211c80319c","startTimeUnixNano":"5","droppedLinksCount":7"#);
    let snake = span(
        r#""trace_id":"0af7651916cd43dd8448eb211c80319c","start_time_unix_nano":"5","dropped_links_count":7"#,
    );
    assert_eq!(camel, snake);
    assert_eq!((camel.trace_id.len(), camel.start_time_unix_nano, camel.dropped_links_count), (16, 5, 7));
    assert_eq!(span(r#""TraceId":"0a","trace__id":"0a","traceid":"0a","trace_Id":"0a""#).trace_id, b"");
}

#[test]
fn ids_are_hex_of_any_case_and_empty_means_unset() {
    let check = |text: &str, expected: &[u8]| {
        let span = span(&format!(r#""spanId":"{text}""#));
        assert_eq!(span.span_id, expected, "{text}");
    };
    check("00f067aa0ba902b7", &[0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    check("00F067AA0BA902B7", &[0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    check("", &[]);
    check("abcd", &[0xab, 0xcd]);
}

#[test]
fn an_id_that_is_not_hex_gets_a_length_that_no_id_has() {
    for text in ["zzzzzzzz", "zzzzzzzzzzzzzzzz", "S/kvNXezTaajzpKdDg5HNg==", "00f067aa0ba902b", "0x", "é"] {
        let parsed = span(&format!(r#""parentSpanId":"{text}","name":"kept""#));
        assert!(!matches!(parsed.parent_span_id.len(), 0 | 8 | 16), "{text}");
        assert_eq!(parsed.name, "kept");
    }
}

#[test]
fn sixty_four_bits_are_exact_as_text_and_as_numbers() {
    for form in ["\"1732181462123456789\"", "1732181462123456789", "1.732181462123456789e18"] {
        assert_eq!(
            span(&format!(r#""endTimeUnixNano":{form}"#)).end_time_unix_nano,
            1_732_181_462_123_456_789
        );
    }
    assert_eq!(span(r#""endTimeUnixNano":"18446744073709551615""#).end_time_unix_nano, u64::MAX);
    assert_eq!(attribute(r#"{"intValue":"-9223372036854775808"}"#), Some(Value::IntValue(i64::MIN)));
    assert_eq!(attribute(r#"{"intValue":9007199254740993}"#), Some(Value::IntValue(9_007_199_254_740_993)));
    assert_eq!(point(r#""asInt":"-5""#).value, Some(number_data_point::Value::AsInt(-5)));
}

#[test]
fn numbers_out_of_range_name_the_field() {
    let check = |fields: &str, name: &str| {
        assert!(matches!(span_error(fields), JsonError::Range(_, field) if field == name), "{fields}");
    };
    check(r#""endTimeUnixNano":"18446744073709551616""#, "endTimeUnixNano");
    check(r#""endTimeUnixNano":-1"#, "endTimeUnixNano");
    check(r#""endTimeUnixNano":1.5"#, "endTimeUnixNano");
    check(r#""endTimeUnixNano":" 1""#, "endTimeUnixNano");
    check(r#""endTimeUnixNano":"""#, "endTimeUnixNano");
    check(r#""droppedLinksCount":4294967296"#, "droppedLinksCount");
    check(r#""attributes":[{"value":{"doubleValue":1e999999}}]"#, "doubleValue");
    check(r#""attributes":[{"value":{"doubleValue":"inf"}}]"#, "doubleValue");
}

#[test]
fn doubles_are_numbers_or_the_three_words() {
    let check = |form: &str, bits: u64| {
        let Some(Value::DoubleValue(value)) = attribute(&format!(r#"{{"doubleValue":{form}}}"#)) else {
            panic!()
        };
        assert_eq!(value.to_bits(), bits, "{form}");
    };
    check("1.5", 1.5f64.to_bits());
    check("-0.0", (-0.0f64).to_bits());
    check("5e-324", 1);
    check("3", 3f64.to_bits());
    check(r#""1.5""#, 1.5f64.to_bits());
    check(r#""Infinity""#, f64::INFINITY.to_bits());
    check(r#""-Infinity""#, f64::NEG_INFINITY.to_bits());
    check(r#""NaN""#, f64::NAN.to_bits());
}

#[test]
fn enums_are_numbers_or_names() {
    assert_eq!(span(r#""kind":2"#).kind, 2);
    assert_eq!(span(r#""kind":"SPAN_KIND_CONSUMER""#).kind, 5);
    assert_eq!(span(r#""kind":"3""#).kind, 3);
    assert_eq!(span(r#""kind":99"#).kind, 99);
    assert_eq!(span(r#""status":{"code":"STATUS_CODE_ERROR","message":"m"}"#).status.expect("set").code, 2);
    assert!(matches!(span_error(r#""kind":"SERVER""#), JsonError::Enum(_, "kind")));
}

#[test]
fn every_kind_of_attribute_value_is_read() {
    let text = |text: &str| AnyValue { value: Some(Value::StringValue(text.into())) };
    let check = |form: &str, expected: Value| assert_eq!(attribute(form), Some(expected), "{form}");
    check(r#"{"stringValue":""}"#, Value::StringValue(String::new()));
    check(r#"{"boolValue":false}"#, Value::BoolValue(false));
    check(r#"{"bytesValue":"AP8="}"#, Value::BytesValue(vec![0, 255]));
    check(r#"{"bytesValue":"AP8"}"#, Value::BytesValue(vec![0, 255]));
    check(r#"{"bytesValue":"-_-_"}"#, Value::BytesValue(vec![0xfb, 0xff, 0xbf]));
    check(r#"{"bytesValue":"+/+/"}"#, Value::BytesValue(vec![0xfb, 0xff, 0xbf]));
    let values = vec![text("a"), AnyValue { value: None }];
    check(r#"{"arrayValue":{"values":[{"stringValue":"a"},{}]}}"#, Value::ArrayValue(ArrayValue { values }));
    let values = vec![KeyValue { key: "k".into(), value: Some(text("v")), ..Default::default() }];
    check(
        r#"{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}"#,
        Value::KvlistValue(KeyValueList { values }),
    );
    assert_eq!(attribute("{}"), None);
    assert_eq!(attribute("null"), None);
    assert!(matches!(span_error(r#""attributes":[{"value":{"bytesValue":"A"}}]"#), JsonError::Base64(..)));
}

#[test]
fn null_is_absent_and_unknown_keys_are_passed_over() {
    let json = r#"{"resourceSpans":[{"resource":null,"deeper":{"a":[1,-2.5e3,"x\u0000",true,null,{}]},
        "scopeSpans":[{"scope":null,"spans":[{"name":null,"kind":null,"links":null,"name":"n"}]}]}],"x":null}"#;
    let mut request = traces(json);
    let mut resource = request.resource_spans.remove(0);
    assert_eq!(resource.resource, None);
    let span = resource.scope_spans.remove(0).spans.remove(0);
    assert_eq!((span.name.as_str(), span.kind, span.links.len()), ("n", 0, 0));
    assert!(metrics("{}").resource_metrics.is_empty());
    assert!(logs(r#"{"resourceLogs":[]}"#).resource_logs.is_empty());
}

#[test]
fn the_last_of_duplicate_keys_wins_for_lists_messages_and_choices_too() {
    let span = span(
        r#""events":[{"name":"a"},{"name":"b"}],"status":{"message":"old"},"name":"old","links":[{}],
           "status":{"code":1},"events":[{"name":"c"}],"name":"new""#,
    );
    let status = span.status.expect("set");
    assert_eq!((status.code, status.message.as_str()), (1, ""));
    assert_eq!(span.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!((span.name.as_str(), span.links.len()), ("new", 1));
    let choice =
        attribute(r#"{"arrayValue":{"values":[{},{}]},"stringValue":"s","arrayValue":{"values":[{}]}}"#);
    assert_eq!(choice, Some(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: None }] })));
    let bytes = to_proto(Signal::Metrics, br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{}]},"gauge":{"dataPoints":[{}]}}]}]}]}"#);
    assert_eq!(bytes.expect("valid"), [10, 8, 18, 6, 18, 4, 42, 2, 10, 0]);
}

#[test]
fn a_key_repeated_many_times_costs_no_more_than_its_length() {
    let mut json = String::from(r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"#);
    json.push_str(&format!("\"{}\"", "n".repeat(100_000)));
    for i in 0..50_000 {
        json.push_str(if i % 2 == 0 { r#","kind":1"# } else { r#","traceState":"s""# });
    }
    json.push_str("}]}]}]}");
    assert_eq!(traces(&json).resource_spans[0].scope_spans[0].spans[0].name.len(), 100_000);
}

#[test]
fn strings_are_unescaped_and_broken_ones_refused() {
    assert_eq!(
        span(r#""name":"a\"\\\/\b\f\n\r\t\u0041\u00e9\uD83D\uDE00é""#).name,
        "a\"\\/\u{8}\u{c}\n\r\tAé😀é"
    );
    assert_eq!(span(r#""name":"\u0000""#).name, "\0");
    for half in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800A", r"\ud800\ud800"] {
        assert!(matches!(span_error(&format!(r#""name":"{half}""#)), JsonError::Surrogate(_)), "{half}");
        assert!(matches!(span_error(&format!(r#""skipped":"{half}""#)), JsonError::Surrogate(_)), "{half}");
    }
    assert!(matches!(span_error("\"name\":\"a\nb\""), JsonError::Control(_)));
    assert!(matches!(span_error(r#""name":"\x""#), JsonError::Escape(_)));
    assert!(matches!(span_error(r#""name":"\u00g0""#), JsonError::Escape(_)));
    assert!(matches!(to_proto(Signal::Traces, b"{\"a\":\"\xff\"}"), Err(JsonError::Utf8(6))));
}

#[test]
fn a_byte_order_mark_is_dropped_and_bytes_behind_the_request_refused() {
    assert_eq!(to_proto(Signal::Logs, b"\xef\xbb\xbf {} \r\n"), Ok(Vec::new()));
    assert_eq!(to_proto(Signal::Logs, b"{}{}"), Err(JsonError::Trailing(2)));
    assert_eq!(to_proto(Signal::Logs, b"{}\0"), Err(JsonError::Trailing(2)));
    assert_eq!(to_proto(Signal::Logs, b"[]"), Err(JsonError::Expected(0, "an object")));
    assert_eq!(to_proto(Signal::Logs, b""), Err(JsonError::Unfinished(0)));
    assert_eq!(to_proto(Signal::Logs, b"null"), Err(JsonError::Expected(0, "an object")));
}

#[test]
fn nesting_ends_at_128_levels() {
    let nest = |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(to_proto(Signal::Traces, nest(128).as_bytes()), Ok(Vec::new()));
    assert!(matches!(to_proto(Signal::Traces, nest(129).as_bytes()), Err(JsonError::TooDeep(_))));
    let open = format!(r#"{{"x":{}"#, "[".repeat(1_000_000));
    assert!(matches!(to_proto(Signal::Traces, open.as_bytes()), Err(JsonError::TooDeep(_))));
    let values = r#"{"arrayValue":{"values":["#.repeat(100_000);
    assert!(matches!(span_error(&format!(r#""attributes":[{{"value":{values}"#)), JsonError::TooDeep(_)));
}

#[test]
fn malformed_json_is_refused() {
    for json in [
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":NaN}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":\"\\u12",
        "{\"resourceSpans\":{}}",
        "{\"resourceSpans\":[1]}",
        "{\"resourceSpans\":[{\"schemaUrl\":5}]}",
        "{\"a\":1}}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
    ] {
        assert!(to_proto(Signal::Traces, json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn a_number_literal_has_a_longest_length() {
    let long = |digits: usize| format!(r#""doubleValue":1{}"#, "0".repeat(digits - 1));
    let json = format!(r#""attributes":[{{"value":{{{}}}}}]"#, long(10 << 20));
    assert!(matches!(span_error(&json), JsonError::LongNumber(_)));
    assert!(matches!(span_error(&format!(r#""x":{}"#, "9".repeat(1101))), JsonError::LongNumber(_)));
    assert_eq!(span(&format!(r#""x":{},"kind":1"#, "9".repeat(1100))).kind, 1);
}

#[test]
fn one_line_shows_ids_in_hex_and_long_integers_as_text() {
    let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a\"b\u0001"}}]},"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","flags":257,"kind":2,"startTimeUnixNano":"1732181462123456789","attributes":[{"key":"d","value":{"doubleValue":1.0}},{"key":"z","value":{"intValue":"0"}},{"key":"n","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"AP8="}}],"status":{}}]}]}]}"#;
    let plain = to_proto(Signal::Traces, json.as_bytes()).expect("valid");
    assert_eq!(String::from_utf8(to_json(Signal::Traces, &plain).expect("valid")).expect("text"), json);
}

#[test]
fn packed_and_loose_lists_show_alike() {
    let mut loose = Vec::new();
    let mut packed = Vec::new();
    for (out, is_packed) in [(&mut loose, false), (&mut packed, true)] {
        let point = |out: &mut Vec<u8>| {
            if is_packed {
                crate::put::bytes(out, 6, &[[1u8, 0, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0]].concat());
            } else {
                crate::put::fixed64(out, 6, 1);
                crate::put::fixed64(out, 6, 2);
            }
        };
        crate::put::message(out, 1, |o| {
            crate::put::message(o, 2, |o| {
                crate::put::message(o, 2, |o| {
                    crate::put::message(o, 9, |o| crate::put::message(o, 1, point));
                });
            });
        });
    }
    let shown = to_json(Signal::Metrics, &packed).expect("valid");
    assert_eq!(to_json(Signal::Metrics, &loose).expect("valid"), shown);
    assert!(String::from_utf8(shown).expect("text").contains(r#""bucketCounts":["1","2"]"#));
}

#[test]
fn a_message_in_pieces_shows_merged() {
    let mut plain = Vec::new();
    crate::put::message(&mut plain, 1, |o| {
        crate::put::message(o, 1, |o| crate::put::uint(o, 2, 1));
        crate::put::message(o, 1, |o| crate::put::message(o, 1, |o| crate::put::bytes(o, 1, b"k")));
    });
    let shown = to_json(Signal::Logs, &plain).expect("valid");
    let expected =
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"k"}],"droppedAttributesCount":1}}]}"#;
    assert_eq!(String::from_utf8(shown).expect("text"), expected);
}

#[test]
fn lines_hold_one_resource_each() {
    let json = br#"{"resourceLogs":[{"schemaUrl":"a"},{"schemaUrl":"b"}]}"#;
    let plain = to_proto(Signal::Logs, json).expect("valid");
    let lines = String::from_utf8(to_json_lines(Signal::Logs, &plain).expect("valid")).expect("text");
    assert_eq!(
        lines,
        "{\"resourceLogs\":[{\"schemaUrl\":\"a\"}]}\n{\"resourceLogs\":[{\"schemaUrl\":\"b\"}]}\n"
    );
}

#[test]
fn protobuf_nested_too_deep_is_refused_without_recursing_on() {
    // An AnyValue in an ArrayValue in an AnyValue …, built inside out, each level prefixed by its length.
    let mut value = Vec::new();
    for _ in 0..5_000 {
        let mut outer = Vec::new();
        crate::put::message(&mut outer, 5, |o| crate::put::bytes(o, 1, &value));
        value = outer;
    }
    let mut plain = Vec::new();
    crate::put::message(&mut plain, 1, |o| {
        crate::put::message(o, 2, |o| crate::put::message(o, 2, |o| crate::put::bytes(o, 5, &value)));
    });
    assert!(matches!(to_json(Signal::Logs, &plain), Err(WireError::TooDeep(_))));
}

#[test]
fn every_shape_fits_the_readers_arrays() {
    fn check(shape: &'static Shape, seen: &mut Vec<*const Shape>) {
        if seen.contains(&std::ptr::from_ref(shape)) {
            return;
        }
        seen.push(shape);
        assert!(shape.fields.len() <= MOST_FIELDS);
        for slot in shape.fields {
            if let Kind::Message(inner) = slot.kind {
                check(inner, seen);
            }
        }
    }
    let mut seen = Vec::new();
    for signal in Signal::ALL {
        check(tables::request(signal), &mut seen);
    }
    assert!(seen.len() > 25);
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,8}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        prop::num::f64::ANY
            .prop_filter("NaN compares unequal", |value| !value.is_nan())
            .prop_map(|value| Some(Value::DoubleValue(value))),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            prop::collection::vec(("[a-z.]{0,4}", inner), 0..3).prop_map(|pairs| AnyValue {
                value: Some(Value::KvlistValue(KeyValueList {
                    values: pairs.into_iter().map(pair).collect()
                })),
            }),
        ]
    })
}

fn pair((key, value): (String, AnyValue)) -> KeyValue {
    KeyValue { key, value: Some(value), ..Default::default() }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec(("[a-z.]{0,6}", any_value()).prop_map(pair), 0..4)
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), len)]
}

fn finite() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE
}

mod generated {
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::*;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};

    use super::*;

    fn resource() -> impl Strategy<Value = Option<Resource>> {
        prop::option::of((attributes(), any::<u32>()).prop_map(|(attributes, dropped_attributes_count)| {
            Resource { attributes, dropped_attributes_count, ..Default::default() }
        }))
    }

    fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
        prop::option::of((".{0,4}", ".{0,4}", attributes()).prop_map(|(name, version, attributes)| {
            InstrumentationScope { name, version, attributes, dropped_attributes_count: 0 }
        }))
    }

    fn link() -> impl Strategy<Value = span::Link> {
        (id(16), id(8), any::<u32>(), attributes()).prop_map(|(trace_id, span_id, flags, attributes)| {
            span::Link {
                trace_id,
                span_id,
                trace_state: "a=b".into(),
                attributes,
                dropped_attributes_count: 1,
                flags,
            }
        })
    }

    pub(super) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
        let event = (any::<u64>(), ".{0,4}", attributes()).prop_map(|(time_unix_nano, name, attributes)| {
            span::Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 }
        });
        let status = (".{0,3}", any::<i32>()).prop_map(|(message, code)| Status { message, code });
        let span = (
            (id(16), id(8), id(8), ".{0,6}", any::<i32>(), any::<u64>(), any::<u64>(), any::<u32>()),
            attributes(),
            prop::collection::vec(event, 0..3),
            prop::collection::vec(link(), 0..2),
            prop::option::of(status),
        )
            .prop_map(
                |(
                    (trace_id, span_id, parent_span_id, name, kind, start, end, flags),
                    attributes,
                    events,
                    links,
                    status,
                )| Span {
                    trace_id,
                    span_id,
                    trace_state: String::new(),
                    parent_span_id,
                    flags,
                    name,
                    kind,
                    start_time_unix_nano: start,
                    end_time_unix_nano: end,
                    attributes,
                    dropped_attributes_count: 3,
                    events,
                    dropped_events_count: 0,
                    links,
                    dropped_links_count: u32::MAX,
                    status,
                },
            );
        (resource(), scope(), prop::collection::vec(span, 0..3)).prop_map(|(resource, scope, spans)| {
            ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans {
                    resource,
                    scope_spans: vec![ScopeSpans { scope, spans, schema_url: "s".into() }],
                    schema_url: String::new(),
                }],
            }
        })
    }

    pub(super) fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
        let record = (
            any::<u64>(),
            any::<i32>(),
            prop::option::of(any_value()),
            attributes(),
            id(16),
            id(8),
            any::<u32>(),
        )
            .prop_map(|(time, severity_number, body, attributes, trace_id, span_id, flags)| LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: time / 2,
                severity_number,
                severity_text: "INFO".into(),
                body,
                attributes,
                dropped_attributes_count: 0,
                flags,
                trace_id,
                span_id,
                event_name: "e".into(),
            });
        (resource(), scope(), prop::collection::vec(record, 0..3)).prop_map(
            |(resource, scope, log_records)| ExportLogsServiceRequest {
                resource_logs: vec![ResourceLogs {
                    resource,
                    scope_logs: vec![ScopeLogs { scope, log_records, schema_url: String::new() }],
                    schema_url: "u".into(),
                }],
            },
        )
    }

    fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
        let value = prop_oneof![
            finite().prop_map(exemplar::Value::AsDouble),
            any::<i64>().prop_map(exemplar::Value::AsInt)
        ];
        let one = (attributes(), any::<u64>(), id(8), id(16), prop::option::of(value)).prop_map(
            |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
                filtered_attributes,
                time_unix_nano,
                span_id,
                trace_id,
                value,
            },
        );
        prop::collection::vec(one, 0..2)
    }

    pub(super) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
        let value = prop_oneof![
            finite().prop_map(number_data_point::Value::AsDouble),
            any::<i64>().prop_map(number_data_point::Value::AsInt)
        ];
        let number = (attributes(), any::<u64>(), prop::option::of(value), exemplars(), any::<u32>())
            .prop_map(|(attributes, time, value, exemplars, flags)| NumberDataPoint {
                attributes,
                start_time_unix_nano: time / 3,
                time_unix_nano: time,
                exemplars,
                flags,
                value,
            });
        let numbers = prop::collection::vec(number, 0..3).boxed();
        let counts = || prop::collection::vec(any::<u64>(), 0..4);
        let histogram = (attributes(), any::<u64>(), prop::option::of(finite()), counts(), exemplars())
            .prop_map(|(attributes, count, sum, bucket_counts, exemplars)| HistogramDataPoint {
                attributes,
                start_time_unix_nano: 0,
                time_unix_nano: 1,
                count,
                sum,
                explicit_bounds: bucket_counts.iter().map(|&count| count as f64).collect(),
                bucket_counts,
                exemplars,
                flags: 1,
                min: sum,
                max: None,
            });
        let buckets = || {
            prop::option::of((any::<i32>(), counts()).prop_map(|(offset, bucket_counts)| {
                exponential_histogram_data_point::Buckets { offset, bucket_counts }
            }))
        };
        let exponential = (any::<u64>(), any::<i32>(), buckets(), buckets(), finite()).prop_map(
            |(count, scale, positive, negative, zero_threshold)| ExponentialHistogramDataPoint {
                count,
                scale,
                positive,
                negative,
                zero_threshold,
                zero_count: count,
                sum: Some(0.0),
                ..Default::default()
            },
        );
        let summary = (any::<u64>(), finite(), finite()).prop_map(|(count, sum, value)| SummaryDataPoint {
            count,
            sum,
            quantile_values: vec![summary_data_point::ValueAtQuantile { quantile: 0.0, value }],
            ..Default::default()
        });
        let temporality = 0..4i32;
        let data = prop_oneof![
            numbers.clone().prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
            (numbers, temporality, any::<bool>()).prop_map(
                |(data_points, aggregation_temporality, is_monotonic)| {
                    metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
                }
            ),
            prop::collection::vec(histogram, 0..3).prop_map(|data_points| {
                metric::Data::Histogram(Histogram { data_points, aggregation_temporality: 2 })
            }),
            prop::collection::vec(exponential, 0..3).prop_map(|data_points| {
                metric::Data::ExponentialHistogram(ExponentialHistogram {
                    data_points,
                    aggregation_temporality: 1,
                })
            }),
            prop::collection::vec(summary, 0..3)
                .prop_map(|data_points| metric::Data::Summary(Summary { data_points })),
        ];
        let metric = (".{0,6}", attributes(), prop::option::of(data)).prop_map(|(name, metadata, data)| {
            Metric { description: name.clone(), name, unit: "By".into(), metadata, data }
        });
        (resource(), scope(), prop::collection::vec(metric, 0..3)).prop_map(|(resource, scope, metrics)| {
            ExportMetricsServiceRequest {
                resource_metrics: vec![ResourceMetrics {
                    resource,
                    scope_metrics: vec![ScopeMetrics { scope, metrics, schema_url: String::new() }],
                    schema_url: String::new(),
                }],
            }
        })
    }
}

fn there_and_back<M: Message + Default + PartialEq + std::fmt::Debug>(signal: Signal, message: &M) {
    let plain = message.encode_to_vec();
    let json = to_json(signal, &plain).expect("prost writes protobuf");
    let oracle: Result<serde_json::Value, _> = serde_json::from_slice(&json);
    assert!(oracle.is_ok(), "{oracle:?}");
    let back = to_proto(signal, &json).expect("our own JSON is read");
    assert_eq!(&M::decode(&back[..]).expect("what we write is protobuf"), message);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn traces_survive_json(message in generated::traces()) {
        there_and_back(Signal::Traces, &message);
    }

    #[test]
    fn logs_survive_json(message in generated::logs()) {
        there_and_back(Signal::Logs, &message);
    }

    #[test]
    fn metrics_survive_json(message in generated::metrics()) {
        there_and_back(Signal::Metrics, &message);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for signal in Signal::ALL {
            let _ = to_proto(signal, &bytes);
            let _ = to_json(signal, &bytes);
            let _ = to_json_lines(signal, &bytes);
            for encoding in [response::Encoding::Protobuf, response::Encoding::Json] {
                let _ = response::read_export(signal, encoding, &bytes);
                let _ = response::read_status(encoding, &bytes);
            }
        }
    }

    #[test]
    fn damaged_requests_never_panic(message in generated::metrics(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut plain = message.encode_to_vec();
        if plain.is_empty() {
            return Ok(());
        }
        let mut json = to_json(Signal::Metrics, &plain).expect("valid");
        let at = cut.index(plain.len());
        plain[at] = byte;
        let _ = to_json(Signal::Metrics, &plain);
        let at = cut.index(json.len());
        json[at] = byte;
        let _ = to_proto(Signal::Metrics, &json);
        json.truncate(at);
        prop_assert!(to_proto(Signal::Metrics, &json).is_err());
    }

    #[test]
    fn what_we_accept_is_json(text in r#"[\[\]{}:,"\\a0-9.eE+ -]{0,24}"#) {
        let json = format!("{{\"k\":{text}}}");
        let ours = to_proto(Signal::Traces, json.as_bytes()).is_ok();
        // A literal such as 1e999 is JSON, though no double; the oracle refuses it.
        let oracle = match serde_json::from_str::<serde_json::Value>(&json) {
            Ok(_) => true,
            Err(error) => error.to_string().starts_with("number out of range"),
        };
        prop_assert_eq!(ours, oracle, "{}", json);
    }
}
