//! Rules against what they would make of decoded structs.

use model::{ContentHash, Layout, Origin, Source, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use wire::put;

use super::settings::RuleSettings;
use super::*;

fn rules(value: Value) -> Arc<Rules> {
    let settings: RuleSettings = serde_json::from_value(value).unwrap();
    settings.check().unwrap_or_else(|problems| panic!("{problems:?}")).unwrap()
}

fn parcel(signal: Signal, layout: Layout, frames: &[Vec<u8>]) -> Parcel {
    let part = |(plain, offset): (&Vec<u8>, u64)| {
        let items = wire::batch::count(signal, layout, plain).unwrap().total();
        Part {
            offset: Offset(offset),
            items: 0..items,
            frame_items: items,
            kept: None,
            changed: false,
            origin: Origin { tenant: Tenant::default(), source: Source::new("otlp").unwrap() },
            content_hash: ContentHash(u128::from(offset)),
            received: UnixNanos(0),
            derived: 0,
            coding: Coding::Plain,
            body: Bytes::copy_from_slice(plain),
            plain_len: plain.len() as u32,
            inflated: Arc::default(),
        }
    };
    let parts = frames.iter().zip(1..).map(part).collect();
    Parcel {
        sink: "s".into(),
        tenant: Tenant::default(),
        signal,
        layout,
        parts,
        rules: 0,
        replay: 0,
        attempt: 0,
        begun: false,
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn int(key: &str, value: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::IntValue(value)) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn get<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

fn is(attributes: &[KeyValue], key: &str, value: &str) -> bool {
    get(attributes, key) == Some(&Any::StringValue(value.into()))
}

fn arbitrary_span() -> impl Strategy<Value = Span> {
    let route = prop::sample::select(vec!["/healthz", "/pay", "/pay/bob@example.com", ""]);
    (proptest::arbitrary::any::<u128>(), route, 0i32..3, 0u64..3, prop::option::of(100i64..600)).prop_map(
        |(trace, route, status, seconds, code)| {
            let mut attributes = vec![text("http.route", route), text("http.request.header.cookie", "a=b")];
            attributes.extend(code.map(|code| int("http.status", code)));
            Span {
                trace_id: trace.to_be_bytes().to_vec(),
                span_id: vec![1; 8],
                name: format!("GET {route}"),
                kind: 2,
                start_time_unix_nano: 5_000_000_000,
                end_time_unix_nano: 5_000_000_000 + seconds * 1_000_000_000,
                attributes,
                status: Some(Status { code: status, message: String::new() }),
                ..Span::default()
            }
        },
    )
}

fn arbitrary_frame() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = prop::collection::vec(arbitrary_span(), 0..5)
        .prop_map(|spans| ScopeSpans { spans, ..ScopeSpans::default() });
    let service = prop::sample::select(vec!["cart", "checkout"]);
    let resource = (service, prop::collection::vec(scope, 0..3)).prop_map(|(service, scope_spans)| {
        let resource = Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
        ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }
    });
    prop::collection::vec(resource, 1..4)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// What becomes of a span of a service.
type Naive = fn(&[KeyValue], &Span) -> Fate;

fn stays(yes: bool) -> Fate {
    if yes { Fate::Keep } else { Fate::Filter }
}

/// Rules, and the same said with structs.
fn cases() -> Vec<(Value, Naive)> {
    fn code_of(span: &Span) -> Option<i64> {
        match get(&span.attributes, "http.status") {
            Some(Any::IntValue(code)) => Some(*code),
            _ => None,
        }
    }
    vec![
        (json!({ "drop": [{ "attribute": "http.route", "equals": "/healthz" }] }), |_, span| {
            stays(!is(&span.attributes, "http.route", "/healthz"))
        }),
        (json!({ "keep": [{ "resource": "service.name", "one_of": ["cart", "other"] }] }), |resource, _| {
            stays(is(resource, "service.name", "cart"))
        }),
        (
            json!({ "keep": [{ "attribute": "http.status", "at_least": 500 }, { "field": "duration", "above": 1000 }, { "field": "severity", "at_least": "warn" }] }),
            |_, span| {
                stays(
                    code_of(span).is_some_and(|code| code >= 500) || span.end_time_unix_nano == 7_000_000_000,
                )
            },
        ),
        (
            json!({ "drop": [{ "all": [{ "field": "status", "equals": "ok" }, { "none": [{ "field": "name", "prefix": "GET /pay" }, { "attribute": "http.status", "exists": false }] }] }] }),
            |_, span| {
                let ok = span.status.as_ref().is_some_and(|status| status.code == 1);
                stays(!(ok && !span.name.starts_with("GET /pay") && code_of(span).is_some()))
            },
        ),
        (json!({ "sample": { "ratio": 0.3, "keep_errors": true } }), |_, span| {
            let low = u64::from_be_bytes(span.trace_id[8..].try_into().unwrap()) % (1 << 56);
            let error = span.status.as_ref().is_some_and(|status| status.code == 2);
            if error || low as f64 >= 0.7 * (1u64 << 56) as f64 { Fate::Keep } else { Fate::Sample }
        }),
        (
            json!({ "keep": [{ "field": "kind", "equals": "server" }, { "field": "metric", "equals": "x" }], "drop": [{ "field": "signal", "equals": "logs" }] }),
            |_, _| Fate::Keep,
        ),
        (json!({ "signals": ["logs"] }), |_, _| Fate::Filter),
    ]
}

fn spans(plain: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(plain).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_arrives_is_what_structs_would_give(frames in prop::collection::vec(arbitrary_frame(), 1..4), case in 0usize..7) {
        let (settings, naive) = cases().swap_remove(case);
        let bodies: Vec<_> = frames.iter().map(Message::encode_to_vec).collect();
        let parcel = parcel(Signal::Traces, Layout::Otlp, &bodies);
        let mut expected = Vec::new();
        for (frame, offset) in frames.iter().zip(1..) {
            let mut index = 0;
            for resource in &frame.resource_spans {
                let attributes = &resource.resource.as_ref().unwrap().attributes;
                for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                    expected.push((offset, index, naive(attributes, span), span.clone()));
                    index += 1;
                }
            }
        }
        let rules = rules(settings);
        let ruled = rules.apply(&parcel);
        prop_assert!(ruled.unreadable.is_empty());
        prop_assert_eq!(ruled.parcel.rules, rules.version());
        prop_assert!(ruled.parcel.parts.iter().all(|part| !part.is_empty() || bodies[part.offset.0 as usize - 1].len() < 200));
        let kept: Vec<_> = expected.iter().filter(|(_, _, fate, _)| *fate == Fate::Keep).collect();
        let places: Vec<_> = ruled.parcel.places().map(|place| (place.offset.0, place.index)).collect();
        prop_assert_eq!(places, kept.iter().map(|(offset, index, _, _)| (*offset, *index)).collect::<Vec<_>>());
        prop_assert_eq!(spans(&ruled.parcel.plain().unwrap()), kept.iter().map(|(_, _, _, span)| span.clone()).collect::<Vec<_>>());
        for offset in 1..=frames.len() as u64 {
            let of = |wanted| expected.iter().filter(|(o, _, fate, _)| *o == offset && *fate == wanted).count() as u32;
            let gone = ruled.gone.iter().find(|gone| gone.offset.0 == offset);
            prop_assert_eq!(gone.map_or(0, |gone| gone.filtered), of(Fate::Filter));
            prop_assert_eq!(gone.map_or(0, |gone| gone.sampled), of(Fate::Sample));
        }
        // Half of it, cut out by item, is still the same items.
        let half = ruled.parcel.items() / 2;
        let (first, second) = (ruled.parcel.cut(0..half), ruled.parcel.cut(half..u32::MAX));
        let both: Vec<_> = spans(&first.plain().unwrap()).into_iter().chain(spans(&second.plain().unwrap())).collect();
        prop_assert_eq!(both, kept.iter().map(|(_, _, _, span)| span.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn a_frame_that_nothing_is_changed_in_is_the_same_frame() {
    let span = Span { name: "a".into(), attributes: vec![text("k", "v")], ..Span::default() };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    let plain = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();
    let mut parcel = parcel(Signal::Traces, Layout::Otlp, std::slice::from_ref(&plain));
    let part = &mut parcel.parts[0];
    (part.coding, part.body) = (Coding::Gzip, wire::coding::compress(Coding::Gzip, 1, &plain).into());
    let rules = rules(json!({
        "drop": [{ "field": "name", "equals": "b" }], "sample": { "ratio": 0.1 }, "attributes": { "remove": ["x*"] },
        "redact": [{ "preset": "emails" }, { "preset": "cookies" }],
    }));
    let ruled = rules.apply(&parcel);
    let body = ruled.parcel.join(&[Coding::Gzip]).unwrap();
    assert_eq!(body.bytes.as_ptr(), parcel.parts[0].body.as_ptr(), "not even copied");
    assert!(ruled.gone.is_empty());
}

#[test]
fn a_part_of_a_frame_is_ruled_by_itself() {
    let record = |number: i32| LogRecord { severity_number: number, ..LogRecord::default() };
    let scope = ScopeLogs { log_records: (1..=8).map(record).collect(), ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    let plain = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
    let parcel = parcel(Signal::Logs, Layout::Otlp, &[plain]).cut(2..7);
    let left = |rules: &Rules, parcel: &Parcel| {
        let ruled = rules.apply(parcel).parcel;
        ruled.places().map(|place| place.index).collect::<Vec<_>>()
    };
    let debug = rules(json!({ "keep": [{ "field": "severity", "one_of": ["debug", 3] }] }));
    assert_eq!(left(&debug, &parcel), [2, 4, 5, 6]);
    let twice = rules(json!({ "drop": [{ "field": "severity", "equals": 6 }] }));
    assert_eq!(left(&twice, &debug.apply(&parcel).parcel), [2, 4, 6]);
    assert_eq!(debug.apply(&parcel).gone, [Gone { offset: Offset(1), filtered: 1, sampled: 0, joined: 0 }]);
}

#[test]
fn what_comes_again_joined_is_left_out_where_it_was_received() {
    let record = |number, event_name: &str| LogRecord {
        severity_number: number,
        event_name: event_name.to_owned(),
        ..LogRecord::default()
    };
    let events = ["kong.http_log", "", "cloudflare.http_requests", "app.started", "cloudflare.worker"];
    let log_records = events.iter().zip(1..).map(|(event, number)| record(number, event)).collect();
    let scope = ScopeLogs { log_records, ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    let plain = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
    let mut parcel = parcel(Signal::Logs, Layout::Otlp, &[plain.clone(), plain]);
    parcel.parts.truncate(2);
    let second = parcel.parts[1].offset;
    let left = |rules: &Rules, parcel: &Parcel| {
        let ruled = rules.apply(parcel);
        let joined: Vec<u32> = ruled.gone.iter().map(|gone| gone.joined).collect();
        let places = ruled.parcel.places().map(|place| (place.offset, place.index)).collect::<Vec<_>>();
        (joined, places)
    };
    let since = Rules::joined(None, second);
    assert!(since.are_joined());
    let first = parcel.parts[0].offset;
    let received: Vec<_> = (0..5).map(|index| (first, index)).collect();
    let kept = [received.clone(), vec![(second, 1), (second, 3)]].concat();
    assert_eq!(left(&since, &parcel), (vec![3], kept));

    // What stitching gives in their place stays.
    parcel.parts[1].derived = 7;
    let all = [received, (0..5).map(|index| (second, index)).collect()].concat();
    assert_eq!(left(&since, &parcel), (vec![], all));
    parcel.parts[1].derived = 0;

    // Other rules go on.
    let severe = rules(json!({ "drop": [{ "field": "severity", "below": 4 }] }));
    let both = Rules::joined(Some(&severe), first);
    assert_eq!(left(&both, &parcel), (vec![3, 3], vec![(first, 3), (second, 3)]));
    let versions = [since.version(), both.version(), severe.version(), Rules::joined(None, first).version()];
    let different: std::collections::BTreeSet<_> = versions.into_iter().collect();
    assert_eq!(different.len(), 4);
}

#[test]
fn logs_are_judged_by_severity_and_body_and_redacted_through_and_through() {
    let record = |number, word: &str, body: &str| LogRecord {
        severity_number: number,
        severity_text: word.into(),
        body: Some(AnyValue { value: Some(Any::StringValue(body.into())) }),
        attributes: vec![text("user.email", "bob@example.com"), text("note", "tell eve@example.com")],
        ..LogRecord::default()
    };
    let kong = r#"{"request":{"headers":{"authorization":"Bearer abc","host":"h"}},"latencies":{"proxy":7}}"#;
    let records = vec![
        record(9, "", kong),
        record(0, "Warning", "Cookie: a=b"),
        record(5, "", "noise"),
        record(0, "", "silence"),
    ];
    let scope = ScopeLogs { log_records: records, ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    let plain = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
    let rules = rules(json!({
        "keep": [{ "field": "severity", "at_least": "info" }],
        "attributes": { "remove": ["user.*"] },
        "redact": [{ "preset": "authorization" }, { "preset": "cookies" }, { "preset": "emails" }],
    }));
    let ruled = rules.apply(&parcel(Signal::Logs, Layout::Otlp, &[plain])).parcel;
    let request = ExportLogsServiceRequest::decode(ruled.plain().unwrap()).unwrap();
    let records = &request.resource_logs[0].scope_logs[0].log_records;
    let body = |record: &LogRecord| record.body.clone().unwrap().value.unwrap();
    assert_eq!(
        records.iter().map(body).collect::<Vec<_>>(),
        [
            Any::StringValue(kong.replace("Bearer abc", "[redacted]")),
            Any::StringValue("Cookie: [redacted]".into())
        ]
    );
    assert!(records.iter().all(|record| record.attributes == [text("note", "tell [redacted]")]));
}

/// A remote-write request of series with one sample each, and a metadata entry for `a`.
fn samples(series: &[&[(&str, &str)]]) -> Vec<u8> {
    let mut out = Vec::new();
    for labels in series {
        put::message(&mut out, 1, |out| {
            for (name, value) in *labels {
                put::message(out, 1, |out| {
                    put::bytes(out, 1, name.as_bytes());
                    put::bytes(out, 2, value.as_bytes());
                });
            }
            put::message(out, 2, |out| put::fixed64(out, 1, 1));
        });
    }
    put::message(&mut out, 3, |out| put::bytes(out, 2, b"a"));
    out
}

#[test]
fn series_are_judged_by_name_and_labels_and_keep_both() {
    let plain = samples(&[
        &[("__name__", "a"), ("job", "api"), ("user", "bob@example.com")],
        &[("__name__", "b"), ("job", "api")],
        &[("__name__", "a"), ("job", "db")],
    ]);
    let check = |settings: Value, expected: &[u32]| {
        let ruled = rules(settings)
            .apply(&parcel(Signal::Metrics, Layout::RemoteWrite, std::slice::from_ref(&plain)))
            .parcel;
        assert_eq!(ruled.places().map(|place| place.index).collect::<Vec<_>>(), expected);
        ruled
    };
    check(json!({ "keep": [{ "field": "metric", "equals": "a" }] }), &[0, 2, 3]);
    // What a metadata entry cannot have says nothing about it, and a trace id is what no series has.
    check(json!({ "keep": [{ "attribute": "job", "equals": "api" }], "sample": { "ratio": 0 } }), &[0, 1, 3]);
    check(
        json!({ "drop": [{ "attribute": "user", "exists": true }, { "resource": "x", "exists": false }] }),
        &[1, 2, 3],
    );
    let ruled = check(
        json!({ "attributes": { "remove": ["*"] }, "redact": [{ "preset": "emails" }] }),
        &[0, 1, 2, 3],
    );
    let plain = ruled.plain().unwrap();
    let first = wire::rw::v1::series(&plain).next().unwrap().unwrap();
    let labels: Vec<_> = first.labels().map(Result::unwrap).collect();
    assert_eq!(labels, [("__name__", "a"), ("job", "api"), ("user", "[redacted]")]);
}
