use model::{Origin, Source, Tenant};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{Input, Message};

const NOW: UnixNanos = UnixNanos(1_772_438_400_000_000_000);

fn submit(signal: Signal, plain: Vec<u8>) -> Result<Normalized, Refusal> {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("otlp").unwrap() };
    // As if the body had come compressed: what is untouched keeps this coding and these bytes.
    let input = WireInput {
        origin,
        message: Message::Otlp(signal),
        coding: Coding::Gzip,
        body: Bytes::from_static(b"as received"),
        plain: plain.into(),
    };
    crate::normalize(Input::Wire(input), NOW)
}

fn spans(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }
        .encode_to_vec()
}

fn records(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }
        .encode_to_vec()
}

fn good() -> Span {
    Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: "GET /".into(), ..Default::default() }
}

fn sent_spans(normalized: &Normalized) -> Vec<Span> {
    let batch = normalized.batch.as_ref().unwrap();
    assert_eq!(batch.coding, Coding::Plain);
    assert_eq!(batch.plain_len as usize, batch.body.len());
    let request = ExportTraceServiceRequest::decode(batch.body.clone()).unwrap();
    request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}

#[test]
fn a_request_in_order_keeps_its_bytes_and_coding() {
    let plain = spans(vec![good(), Span { parent_span_id: vec![3; 8], ..good() }]);
    let done = submit(Signal::Traces, plain.clone()).unwrap();
    let batch = done.batch.unwrap();
    assert_eq!((batch.coding, &batch.body[..]), (Coding::Gzip, &b"as received"[..]));
    assert_eq!((batch.items, done.accepted.spans, batch.plain_len as usize), (2, 2, plain.len()));
    assert_eq!(batch.content_hash, ContentHash::of(&batch.origin, &plain));
    assert_eq!(done.rejected, []);
}

#[test]
fn spans_without_valid_ids_are_rejected_and_their_neighbours_kept() {
    let bad = [
        (Span { trace_id: vec![], ..good() }, "invalid_trace_id", "trace id of 0 bytes, expected 16"),
        (Span { trace_id: vec![1; 8], ..good() }, "invalid_trace_id", "trace id of 8 bytes, expected 16"),
        (
            Span { trace_id: vec![0; 16], ..good() },
            "invalid_trace_id",
            "trace id 00000000000000000000000000000000 is all zero",
        ),
        (Span { span_id: vec![2; 9], ..good() }, "invalid_span_id", "span id of 9 bytes, expected 8"),
        (Span { span_id: vec![0; 8], ..good() }, "invalid_span_id", "span id 0000000000000000 is all zero"),
    ];
    for (span, reason, message) in bad {
        let done = submit(Signal::Traces, spans(vec![good(), span, good()])).unwrap();
        assert_eq!(sent_spans(&done), [good(), good()]);
        assert_eq!(done.accepted.spans, 2);
        let [rejected] = done.rejected.as_slice() else { panic!("{:?}", done.rejected) };
        assert_eq!((rejected.index, rejected.reason, rejected.message.as_str()), (1, reason, message));
    }
}

#[test]
fn an_invalid_parent_is_cleared() {
    for parent in [vec![0; 8], vec![7; 4], good().span_id] {
        let done = submit(Signal::Traces, spans(vec![Span { parent_span_id: parent, ..good() }])).unwrap();
        assert_eq!(sent_spans(&done), [good()]);
        assert_eq!(done.rejected, []);
    }
}

#[test]
fn an_invalid_link_goes_and_is_counted_as_dropped() {
    let link = Link { trace_id: vec![5; 16], span_id: vec![6; 8], ..Default::default() };
    let zero = Link { trace_id: vec![0; 16], ..link.clone() };
    let sent = Span { links: vec![zero, link.clone()], dropped_links_count: 2, ..good() };
    let done = submit(Signal::Traces, spans(vec![sent])).unwrap();
    assert_eq!(sent_spans(&done), [Span { links: vec![link], dropped_links_count: 3, ..good() }]);
}

#[test]
fn invalid_ids_of_a_log_record_are_cleared() {
    let record = |trace: &[u8], span: &[u8]| LogRecord {
        trace_id: trace.into(),
        span_id: span.into(),
        severity_number: 9,
        ..Default::default()
    };
    let cases = [
        (&[0; 16][..], &[0; 8][..], &b""[..], &b""[..]),
        (&[1; 16], &[2; 5], &[1; 16], b""),
        (&[1; 9], &[2; 8], b"", b""),
        (b"", &[2; 8], b"", b""),
    ];
    for (trace, span, kept_trace, kept_span) in cases {
        let done = submit(Signal::Logs, records(vec![record(trace, span)])).unwrap();
        let batch = done.batch.unwrap();
        assert_eq!(batch.body, records(vec![record(kept_trace, kept_span)]), "{trace:?} {span:?}");
        assert_eq!(batch.items, 1);
    }
    let plain = records(vec![record(&[1; 16], &[2; 8]), record(&[1; 16], b""), record(b"", b"")]);
    let batch = submit(Signal::Logs, plain).unwrap().batch.unwrap();
    assert_eq!((batch.items, &batch.body[..]), (3, &b"as received"[..]));
}

#[test]
fn an_empty_request_makes_no_batch_and_no_refusal() {
    for signal in Signal::ALL {
        for plain in [vec![], vec![0x0a, 0]] {
            let done = submit(signal, plain).unwrap();
            assert!(done.batch.is_none() && done.rejected.is_empty() && done.accepted == Counts::default());
        }
    }
}

#[test]
fn what_is_no_request_is_malformed() {
    let mut broken = spans(vec![good()]);
    broken.pop();
    for plain in [broken, vec![0x0a, 200], vec![0x0b], vec![0; 3], vec![0x0d, 1, 2, 3, 4]] {
        let refusal = submit(Signal::Traces, plain).unwrap_err();
        assert_eq!(refusal.kind, model::RefusalKind::Malformed, "{refusal}");
        assert!(refusal.message.starts_with("traces request: protobuf "), "{refusal}");
    }
}

#[test]
fn attributes_beyond_the_limits_reject_their_span_only() {
    let mut value = AnyValue { value: Some(Any::IntValue(1)) };
    for _ in 0..32 {
        value = AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let attribute = |value| KeyValue { key: "k".into(), value: Some(value), ..Default::default() };
    let deep = Span { attributes: vec![attribute(value)], ..good() };
    let crowded = Span { attributes: vec![attribute(AnyValue::default()); 1_025], ..good() };
    let full = Span { attributes: vec![attribute(AnyValue::default()); 1_024], ..good() };
    let done = submit(Signal::Traces, spans(vec![deep, crowded, full.clone()])).unwrap();
    assert_eq!(sent_spans(&done), [full]);
    let reasons: Vec<_> = done.rejected.iter().map(|r| r.reason).collect();
    assert_eq!(reasons, ["too_deep", "attributes_limit"]);
}

#[test]
fn bad_spans_without_number_cost_little() {
    let scope = [[0x12u8, 0]; 150_000].concat();
    let mut resource = Vec::new();
    wire::put::bytes(&mut resource, 2, &scope);
    let mut plain = Vec::new();
    wire::put::bytes(&mut plain, 1, &resource);
    let done = submit(Signal::Traces, plain).unwrap();
    assert!(done.batch.is_none());
    assert!(done.rejected.len() < 300);
    assert_eq!(done.rejected.iter().map(|r| r.records).sum::<u32>(), 150_000);
}

#[test]
fn the_sample_spans_pass_untouched() {
    for (name, expected) in [("otlp/traces.json", 33), ("otlp/workers_native_t01.json", 2)] {
        let plain = wire::json::to_proto(Signal::Traces, &testkit::sample(name)).unwrap();
        let done = submit(Signal::Traces, plain).unwrap();
        assert_eq!(done.accepted.spans, expected, "{name}");
        assert_eq!(done.batch.unwrap().coding, Coding::Gzip);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_taken_decodes_and_the_counts_add_up(
        ids in prop::collection::vec((prop_oneof![Just(0), Just(8), Just(15), Just(16)], prop_oneof![Just(0), Just(8)], 0u8..2, 0u8..3), 0..12),
    ) {
        let sent: Vec<Span> = ids
            .iter()
            .map(|&(trace, span, fill, parent)| Span {
                trace_id: vec![fill; trace],
                span_id: vec![fill; span],
                parent_span_id: vec![parent; 8],
                ..good()
            })
            .collect();
        let done = submit(Signal::Traces, spans(sent.clone())).unwrap();
        prop_assert_eq!(done.accepted.spans as usize + done.rejected.len(), sent.len());
        let valid = sent.iter().filter(|s| s.trace_id == [1; 16] && s.span_id == [1; 8]).count();
        prop_assert_eq!(done.accepted.spans as usize, valid);
        if done.batch.as_ref().is_some_and(|batch| batch.coding == Coding::Plain) {
            let out = sent_spans(&done);
            prop_assert_eq!(out.len(), valid);
            prop_assert!(out.iter().all(|span| span.parent_span_id.is_empty() || span.parent_span_id == [2; 8]));
        }
    }

    #[test]
    fn mutated_requests_never_panic_and_what_passes_decodes(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let json = testkit::sample("otlp/traces.json");
        let mut plain = wire::json::to_proto(Signal::Traces, &json).unwrap();
        let at = at.index(plain.len());
        plain[at] = byte;
        plain.truncate(cut.index(plain.len()).max(plain.len() / 2));
        for signal in [Signal::Traces, Signal::Logs] {
            let Ok(done) = submit(signal, plain.clone()) else { continue };
            let Some(batch) = done.batch else { continue };
            let body = if batch.coding == Coding::Plain { &batch.body[..] } else { &plain[..] };
            let decodes = match signal {
                Signal::Traces => ExportTraceServiceRequest::decode(body).is_ok(),
                _ => ExportLogsServiceRequest::decode(body).is_ok(),
            };
            prop_assert!(decodes, "{} at {at}", signal);
        }
    }
}
