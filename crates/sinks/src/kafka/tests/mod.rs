//! The sink against librdkafka's own mock cluster, and against a real Kafka.

mod broker;
mod mock;
mod read;

use std::sync::Arc;

use model::Failure;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::{Parcel, Part, Receipt, Sink};
use prost::Message as _;
use wire::{Coding, Layout, Signal};

use super::ROW;
use crate::fixture::{open_plain, parcel, part};

/// An OTLP request of spans of these traces, with these names.
pub(super) fn spans(pairs: &[(u128, &str)]) -> Vec<u8> {
    let span = |(id, name): &(u128, &str)| Span {
        trace_id: id.to_be_bytes().to_vec(),
        span_id: vec![2; 8],
        name: (*name).to_owned(),
        start_time_unix_nano: 1,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: pairs.iter().map(span).collect(), ..ScopeSpans::default() };
    let service = KeyValue {
        key: "service.name".into(),
        value: Some(AnyValue { value: Some(Value::StringValue("shop".into())) }),
        ..KeyValue::default()
    };
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    let resource =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

/// The traces and names of a request's spans, by the protobuf library; each must have kept its resource.
pub(super) fn named(plain: &[u8]) -> Vec<(u128, String)> {
    let request = ExportTraceServiceRequest::decode(plain).unwrap();
    let mut found = Vec::new();
    for resource in request.resource_spans {
        assert_eq!(resource.resource.unwrap().attributes[0].key, "service.name");
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            found.push((u128::from_be_bytes(span.trace_id.try_into().unwrap()), span.name));
        }
    }
    found
}

fn frame(offset: u64, pairs: &[(u128, &str)]) -> Part {
    part(offset, Coding::Plain, &spans(pairs), pairs.len() as u32)
}

fn traces(parts: Vec<Part>) -> Parcel {
    parcel(Signal::Traces, Layout::Otlp, parts)
}

/// A sink of these brokers.
async fn sink(brokers: &str, mut settings: serde_json::Value) -> Arc<dyn Sink> {
    settings["brokers"] = brokers.split(',').collect();
    open_plain(&ROW, settings).await
}

/// Tries until the brokers have it: the producer finds those that are back, and new leaders, at its own pace.
async fn deliver_in_the_end(sink: &dyn Sink, parcel: &Parcel) {
    for _ in 0..20 {
        match sink.deliver(parcel).await {
            Ok(receipt) => return assert_eq!(receipt, Receipt::Delivered),
            Err(failure) => assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}"),
        }
    }
    panic!("not delivered by 20 attempts");
}

/// The partition that Java's default partitioner chooses for a key.
fn partition(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// Kafka's murmur2.
fn murmur2(key: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (place, byte) in words.remainder().iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * place);
    }
    if !words.remainder().is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

#[test]
fn our_murmur2_is_javas() {
    // Known values of Kafka's own producer.
    for (key, hash) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
    }
}
