//! Spans and log records, and what encloses every OTLP item.

use fastrand::Rng;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value as Any,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    Span, Status,
    span::{Event, Link},
};

use super::{DOUBLES, INTS, Run, bytes, poison, text};
use crate::item::Id;

/// The attribute and label that names an item.
pub const NAME: &str = "item";

/// Spans of one trace.
const SPANS_PER_TRACE: u64 = 4;
/// Items of one resource.
const ITEMS_PER_RESOURCE: u64 = 7;

pub(super) const SECOND: u64 = 1_000_000_000;

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

pub(super) fn words(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.to_owned()))
}

/// The resource that an item belongs to; neighbours share it.
pub fn resource(run: &Run, id: Id) -> Resource {
    let group = id.number / ITEMS_PER_RESOURCE;
    let mut random = run.random(Id { number: group, ..id }, 1);
    let mut attributes = vec![
        words("service.name", &format!("shop-{}", group % 5)),
        words("service.instance.id", &format!("instance-{}", random.u8(..4))),
        words("region", text(&mut random)),
    ];
    if random.bool() {
        attributes.push(pair("process.pid", Any::IntValue(random.i64(1..100_000))));
    }
    Resource { attributes, dropped_attributes_count: 0, entity_refs: Vec::new() }
}

/// The scope of every item.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "auditor".to_owned(),
        version: "1.0".to_owned(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
    }
}

/// Attributes of every type, nested ones too.
fn attributes(run: &Run, random: &mut Rng, id: Id) -> Vec<KeyValue> {
    let mut all = vec![words(NAME, &id.name()), words("text", text(random))];
    let string = |text: &str| AnyValue { value: Some(Any::StringValue(text.to_owned())) };
    for _ in 0..random.usize(1..5) {
        let next = match random.u8(..8) {
            0 => pair("int", Any::IntValue(INTS[random.usize(..INTS.len())])),
            1 => pair("double", Any::DoubleValue(DOUBLES[random.usize(..DOUBLES.len())])),
            2 => pair("bool", Any::BoolValue(random.bool())),
            3 => pair("bytes", Any::BytesValue(bytes::<5>(random))),
            4 => pair(
                "list",
                Any::ArrayValue(ArrayValue {
                    values: vec![
                        string(text(random)),
                        AnyValue { value: Some(Any::IntValue(random.i64(..))) },
                        AnyValue { value: Some(Any::BoolValue(random.bool())) },
                    ],
                }),
            ),
            5 => pair(
                "nested",
                Any::KvlistValue(KeyValueList {
                    values: vec![
                        words("inner", text(random)),
                        pair(
                            "deeper",
                            Any::KvlistValue(KeyValueList {
                                values: vec![pair("number", Any::IntValue(random.i64(..)))],
                            }),
                        ),
                    ],
                }),
            ),
            6 => words("ключ", "значение"),
            _ => words("empty", ""),
        };
        if all.iter().all(|known| known.key != next.key) {
            all.push(next);
        }
    }
    all.extend(poison::attribute(run, id));
    all
}

fn trace_of(run: &Run, id: Id) -> Vec<u8> {
    let first = id.number - id.number % SPANS_PER_TRACE;
    bytes::<16>(&mut run.random(Id { number: first, ..id }, 2))
}

fn span_id(run: &Run, id: Id) -> Vec<u8> {
    bytes::<8>(&mut run.random(id, 3))
}

/// A span; `SPANS_PER_TRACE` of them make a trace, each the parent of the next.
pub fn span(run: &Run, id: Id) -> Span {
    let mut random = run.random(id, 4);
    let place = id.number % SPANS_PER_TRACE;
    let start = run.epoch + random.u64(..20 * SECOND);
    let end = start + random.u64(1..SECOND);
    let events = (0..random.usize(..3))
        .map(|at| Event {
            time_unix_nano: start + at as u64,
            name: format!("event {at} {}", text(&mut random)),
            attributes: vec![words("text", text(&mut random)), pair("at", Any::IntValue(at as i64))],
            dropped_attributes_count: 0,
        })
        .collect();
    let links = (0..random.usize(..2))
        .map(|_| Link {
            trace_id: bytes::<16>(&mut random),
            span_id: bytes::<8>(&mut random),
            trace_state: String::new(),
            attributes: vec![words("why", "retry")],
            dropped_attributes_count: 0,
            flags: 0,
        })
        .collect();
    let status = match random.u8(..3) {
        0 => None,
        1 => Some(Status { message: String::new(), code: 1 }),
        _ => Some(Status { message: text(&mut random).to_owned(), code: 2 }),
    };
    Span {
        trace_id: trace_of(run, id),
        span_id: span_id(run, id),
        trace_state: if random.bool() { "vendor=value,other=1".to_owned() } else { String::new() },
        parent_span_id: if place == 0 {
            Vec::new()
        } else {
            span_id(run, Id { number: id.number - 1, ..id })
        },
        flags: 0x101,
        name: format!("GET /{}", text(&mut random)),
        kind: random.i32(1..=5),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes(run, &mut random, id),
        dropped_attributes_count: 0,
        events,
        dropped_events_count: 0,
        links,
        dropped_links_count: 0,
        status,
    }
}

/// A log record, two of three with a place in a trace.
pub fn log(run: &Run, id: Id) -> LogRecord {
    let mut random = run.random(id, 5);
    let time = run.epoch + random.u64(..20 * SECOND);
    let traced = !id.number.is_multiple_of(3);
    let body = match random.u8(..4) {
        0 => Any::KvlistValue(KeyValueList {
            values: vec![
                words("message", text(&mut random)),
                pair("count", Any::IntValue(random.i64(..1000))),
            ],
        }),
        _ => Any::StringValue(format!("{} #{}", text(&mut random), id.number)),
    };
    let body = poison::body(run, id).map_or(body, Any::StringValue);
    let severity = [1, 5, 9, 13, 17, 21][random.usize(..6)];
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time + random.u64(..SECOND),
        severity_number: severity,
        severity_text: ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"][severity as usize / 4].to_owned(),
        body: Some(AnyValue { value: Some(body) }),
        attributes: attributes(run, &mut random, id),
        dropped_attributes_count: 0,
        flags: u32::from(traced),
        trace_id: if traced { trace_of(run, id) } else { Vec::new() },
        span_id: if traced { span_id(run, id) } else { Vec::new() },
        event_name: if random.bool() { "audit.event".to_owned() } else { String::new() },
    }
}
