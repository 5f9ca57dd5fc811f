use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as Record, ResourceLogs, ScopeLogs};
use prost::Message as _;
use serde_json::json;
use wire::otlp::traces;
use wire::{Coding, batch};

use super::*;
use crate::fixture::{metrics, parcel, part};
use crate::kafka::settings::check;
use crate::kafka::tests::{named, spans};

fn form(signal: Signal, mut settings: serde_json::Value) -> Arc<Form> {
    settings["brokers"] = json!(["127.0.0.1:9092"]);
    let forms = check(settings).unwrap().forms;
    Arc::clone(forms.iter().find(|form| form.signal == signal).unwrap())
}

fn packer(parcel: &Parcel, settings: serde_json::Value) -> Packer {
    Packer::new(parcel.clone(), form(parcel.signal, settings))
}

fn all(packer: &mut Packer) -> Vec<Message> {
    std::iter::from_fn(|| packer.next().unwrap()).collect()
}

fn frame(offset: u64, pairs: &[(u128, &str)]) -> Part {
    part(offset, Coding::Plain, &spans(pairs), pairs.len() as u32)
}

fn traces_of(parts: Vec<Part>) -> Parcel {
    parcel(Signal::Traces, Layout::Otlp, parts)
}

#[test]
fn a_request_is_split_by_trace_and_nothing_else_is_lost() {
    let parcel = traces_of(vec![frame(3, &[(1, "a"), (2, "b"), (1, "c")]), frame(4, &[(2, "d")])]);
    let messages = all(&mut packer(&parcel, json!({})));
    let seen: Vec<_> = messages
        .iter()
        .map(|message| {
            let key = String::from_utf8(message.key.clone().unwrap().to_vec()).unwrap();
            let Head { offset, item, .. } = message.head;
            (key, named(&message.payload), offset, item, message.items.clone())
        })
        .collect();
    let trace = |id: u128| format!("{id:032x}");
    let names = |pairs: &[(u128, &str)]| -> Vec<(u128, String)> {
        pairs.iter().map(|(id, name)| (*id, (*name).to_owned())).collect()
    };
    assert_eq!(
        seen,
        [
            (trace(1), names(&[(1, "a"), (1, "c")]), 3, 0, vec![0, 2]),
            (trace(2), names(&[(2, "b")]), 3, 1, vec![1]),
            (trace(2), names(&[(2, "d")]), 4, 0, vec![3]),
        ]
    );
    assert!(messages.iter().all(|message| message.content_type == PROTO));
}

#[test]
fn without_keys_a_request_goes_out_as_it_came() {
    let parcel = traces_of(vec![frame(3, &[(1, "a"), (2, "b")])]);
    let messages = all(&mut packer(&parcel, json!({"traces": {"key": "none"}})));
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((message.key.as_ref(), &message.payload), (None, &parcel.parts[0].body));
    assert_eq!(message.items, [0, 1]);
}

#[test]
fn a_part_that_rules_thinned_out_keeps_the_numbers_of_its_items() {
    let mut part = frame(3, &[(1, "a"), (1, "b"), (2, "c")]);
    (part.kept, part.items) = (Some([4, 7, 9].into()), 1..3);
    let messages = all(&mut packer(&traces_of(vec![part]), json!({})));
    let numbers: Vec<_> = messages.iter().map(|message| (message.head.item, message.items.clone())).collect();
    assert_eq!(numbers, [(7, vec![0]), (9, vec![1])]);
}

#[test]
fn messages_are_as_large_as_they_may_be_and_no_larger() {
    let long = "x".repeat(400);
    let pairs: Vec<(u128, &str)> = (0..100).map(|_| (1, long.as_str())).collect();
    let parcel = traces_of(vec![frame(3, &pairs)]);
    for (encoding, key) in
        [("otlp_proto", "none"), ("otlp_proto", "trace_id"), ("otlp_json", "none"), ("otlp_json", "trace_id")]
    {
        let settings = json!({"max_message_bytes": "4KiB", "traces": {"encoding": encoding, "key": key}});
        let mut packer = packer(&parcel, settings);
        let messages = all(&mut packer);
        let largest = 4096 - BESIDE;
        assert!(messages.iter().all(|message| message.payload.len() <= largest));
        assert!(messages.len() <= 100 / 2, "{encoding}: {}", messages.len());
        let items: Vec<u32> = messages.iter().flat_map(|message| message.items.clone()).collect();
        assert_eq!(items, (0..100).collect::<Vec<_>>(), "{encoding}");
        assert!(packer.refused.is_empty());
    }
}

#[test]
fn an_item_too_large_alone_is_refused_by_name_and_the_others_go_out() {
    let long = "x".repeat(9000);
    let parcel =
        traces_of(vec![frame(3, &[(1, "a"), (1, "b")]), frame(4, &[(1, "c"), (1, &long), (2, "d")])]);
    for encoding in ["otlp_proto", "otlp_json"] {
        for key in ["none", "trace_id"] {
            let settings = json!({"max_message_bytes": "4KiB", "traces": {"encoding": encoding, "key": key}});
            let mut packer = packer(&parcel, settings);
            let sent: Vec<u32> = all(&mut packer).iter().flat_map(|message| message.items.clone()).collect();
            assert_eq!(sent, [0, 1, 2, 4], "{encoding} {key}");
            let [refused] = &packer.refused[..] else { panic!("{:?}", packer.refused) };
            assert_eq!(refused.index, 3);
            assert!(refused.reason.ends_with("exceeds the limit of 4096"), "{}", refused.reason);
        }
    }
}

#[test]
fn json_is_the_same_request() {
    let parcel = traces_of(vec![frame(3, &[(1, "grüße 🌍"), (2, "b")])]);
    let messages = all(&mut packer(&parcel, json!({"traces": {"encoding": "otlp_json"}})));
    assert_eq!(messages.len(), 2);
    let proto = wire::json::to_proto(Signal::Traces, &messages[0].payload).unwrap();
    assert_eq!(named(&proto), [(1, "grüße 🌍".to_owned())]);
    assert!(messages.iter().all(|message| message.content_type == JSON));
}

#[test]
fn a_request_that_would_grow_without_bound_is_not_split() {
    let mut plain = Vec::new();
    wire::put::message(&mut plain, 1, |resource| {
        wire::put::bytes(resource, 3, "s".repeat(20_000).as_bytes());
        wire::put::message(resource, 2, |scope| {
            for id in 1..=1000u128 {
                wire::put::message(scope, 2, |span| wire::put::bytes(span, 1, &id.to_be_bytes()));
            }
        });
    });
    let parcel = traces_of(vec![part(3, Coding::Plain, &plain, 1000)]);
    let mut packer = packer(&parcel, json!({}));
    let messages = all(&mut packer);
    assert_eq!((messages.len(), packer.unsplit), (1, 1));
    assert_eq!((messages[0].key.as_ref(), messages[0].items.len()), (None, 1000));
}

#[test]
fn a_raw_message_is_the_body_of_one_record() {
    let string = |text: &str| Value::StringValue(text.into());
    let any = |value| opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) };
    let bodies = [
        Some(string("{\"RayID\":\"grüße\"}")),
        Some(Value::BytesValue(vec![0, 255])),
        Some(Value::IntValue(-7)),
        Some(Value::ArrayValue(ArrayValue { values: vec![any(string("a"))] })),
        Some(Value::KvlistValue(KeyValueList::default())),
        None,
    ];
    let record = |(at, body): (usize, Option<Value>)| Record {
        trace_id: if at == 0 { vec![7; 16] } else { Vec::new() },
        body: body.map(any),
        ..Record::default()
    };
    let scope = ScopeLogs {
        log_records: bodies.into_iter().enumerate().map(record).collect(),
        ..ScopeLogs::default()
    };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    let plain = ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec();
    let parcel = parcel(Signal::Logs, Layout::Otlp, vec![part(3, Coding::Plain, &plain, 6)]);
    let messages = all(&mut packer(&parcel, json!({"logs": {"encoding": "raw", "key": "trace_id_binary"}})));
    let seen: Vec<_> = messages
        .iter()
        .map(|message| (message.content_type, &message.payload[..], message.head.item))
        .collect();
    let text = "text/plain; charset=utf-8";
    assert_eq!(
        seen,
        [
            (text, "{\"RayID\":\"grüße\"}".as_bytes(), 0),
            ("application/octet-stream", &[0, 255][..], 1),
            (JSON, b"-7", 2),
            (JSON, b"[\"a\"]", 3),
            (JSON, b"{}", 4),
            (text, b"", 5),
        ]
    );
    let keys: Vec<_> = messages.iter().map(|message| message.key.clone()).collect();
    assert_eq!(keys[0].as_deref(), Some(&[7u8; 16][..]));
    assert!(keys[1..].iter().all(Option::is_none));
}

#[test]
fn remote_write_is_translated_and_split_by_series() {
    let settings = json!({});
    let (first, second) = (metrics(3, &[1.0, 2.0]), metrics(9, &[3.0, 4.0, 5.0]));
    let both = Parcel { parts: [first.parts, second.parts].concat(), ..first };
    let messages = all(&mut packer(&both, settings));
    assert_eq!(messages.len(), 3, "series n=0, n=1, n=2");
    let mut points = BTreeMap::new();
    for message in &messages {
        let key = String::from_utf8(message.key.clone().unwrap().to_vec()).unwrap();
        let count = batch::count(Signal::Metrics, Layout::Otlp, &message.payload).unwrap();
        points.insert(key, count.points);
        assert_eq!((message.head.offset, message.items.len()), (3, 0));
    }
    assert_eq!(points.values().copied().collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
    assert_eq!(points.len(), 3);
}

#[test]
fn a_translated_point_too_large_is_found_before_anything_is_sent() {
    let mut plain = Vec::new();
    for label in ["short".to_owned(), "x".repeat(9000)] {
        wire::put::message(&mut plain, 1, |series| {
            for (name, text) in [("__name__", "up"), ("label", &label)] {
                wire::put::message(series, 1, |pair| {
                    wire::put::bytes(pair, 1, name.as_bytes());
                    wire::put::bytes(pair, 2, text.as_bytes());
                });
            }
            wire::put::message(series, 2, |sample| wire::put::uint(sample, 2, 1));
        });
    }
    let parcel = parcel(Signal::Metrics, Layout::RemoteWrite, vec![part(3, Coding::Snappy, &plain, 2)]);
    let first = packer(&parcel, json!({"max_message_bytes": "4KiB"})).next();
    assert!(matches!(first, Err(Failure::TooLarge { .. })), "{first:?}");
}

#[test]
fn bytes_that_are_no_request_are_refused_and_not_lost() {
    let parcel = traces_of(vec![part(3, Coding::Plain, &[0x0a, 0x05, 1], 1)]);
    let first = packer(&parcel, json!({})).next();
    assert!(matches!(first, Err(Failure::RefusedWhole { .. })), "{first:?}");
}

#[test]
fn what_a_message_has_beside_its_payload_fits() {
    // Framing of the record (36) and of its batch (61), a key of 32, six headers with the longest names and values.
    let names = [
        "content-type",
        "tidegate-tenant",
        "tidegate-signal",
        "tidegate-origin",
        "tidegate-offset",
        "tidegate-item",
    ];
    let values = [JSON.len().max(25), 64, 7, 64, 20, 10];
    let headers: usize = names.iter().zip(values).map(|(name, value)| name.len() + value + 10).sum();
    assert!(36 + 61 + 32 + headers <= BESIDE);
}

#[test]
fn many_traces_in_one_request_are_one_pass() {
    let pairs: Vec<(u128, String)> =
        (0..50_000u32).map(|id| (u128::from(id % 20_000) + 1, id.to_string())).collect();
    let pairs: Vec<(u128, &str)> = pairs.iter().map(|(id, name)| (*id, name.as_str())).collect();
    let parcel = traces_of(vec![frame(3, &pairs)]);
    let begun = std::time::Instant::now();
    let messages = all(&mut packer(&parcel, json!({})));
    assert_eq!(messages.len(), 20_000);
    let mut spans = 0;
    for message in &messages {
        traces::each_span(&message.payload, |_, _, _| {
            spans += 1;
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(spans, 50_000);
    // A pass over the whole request for each trace would take a minute and more.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}
