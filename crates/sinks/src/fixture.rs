//! What the tests of sinks share: a clock that is set, a context, parcels of known content.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use journal::Offset;
use model::{Clock, ContentHash, Failure, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::{Memory, Metrics, Parcel, Part, Receipt, Sink, SinkContext, SinkRow, Workers};
use prost::Message;
use wire::{Coding, put};

/// 2026-11-21T09:30:00Z.
pub(crate) const START: UnixNanos = UnixNanos(1_795_253_400_000_000_000);

/// A clock that stands until it is moved.
#[derive(Debug, Clone)]
pub(crate) struct SetClock(Arc<AtomicU64>);

impl SetClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START.0)))
    }

    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

/// A context whose sink is called `test` and keeps its state in `folder`.
pub(crate) fn context(folder: &Path, clock: &SetClock) -> SinkContext {
    SinkContext {
        name: "test".into(),
        folder: folder.to_owned(),
        clock: Arc::new(clock.clone()),
        memory: Memory::new(64 << 20),
        workers: Workers::start("test-worker", 1, 4).unwrap(),
        metrics: Metrics::default(),
    }
}

/// Checks and opens a sink.
pub(crate) async fn open(row: &SinkRow, settings: serde_json::Value, context: SinkContext) -> Arc<dyn Sink> {
    let checked = (row.check)(settings).unwrap_or_else(|problems| panic!("{problems:?}"));
    checked.open(context).await.unwrap()
}

/// A sink without state on a clock that stands.
pub(crate) async fn open_plain(row: &SinkRow, settings: serde_json::Value) -> Arc<dyn Sink> {
    open(row, settings, context(Path::new("/nowhere"), &SetClock::new())).await
}

/// A whole frame of `items` items at `offset`, received `offset` seconds after the start.
pub(crate) fn part(offset: u64, coding: Coding, plain: &[u8], items: u32) -> Part {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("test").unwrap() };
    let body = match coding {
        Coding::Plain => Bytes::copy_from_slice(plain),
        _ => wire::coding::compress(coding, 3, plain).into(),
    };
    Part {
        offset: Offset(offset),
        items: 0..items,
        frame_items: items,
        kept: None,
        changed: false,
        content_hash: ContentHash::of(&origin, plain),
        origin,
        received: START.plus(Duration::from_secs(offset)),
        derived: 0,
        coding,
        body,
        plain_len: plain.len() as u32,
        inflated: Arc::new(OnceLock::new()),
    }
}

pub(crate) fn parcel(signal: Signal, layout: Layout, parts: Vec<Part>) -> Parcel {
    Parcel {
        sink: "test".into(),
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

/// A parcel of one frame of spans.
pub(crate) fn traces(offset: u64, coding: Coding, names: &[&str]) -> Parcel {
    let frame = part(offset, coding, &spans(names), names.len() as u32);
    parcel(Signal::Traces, Layout::Otlp, vec![frame])
}

/// An OTLP request of spans with these names.
pub(crate) fn spans(names: &[&str]) -> Vec<u8> {
    let span = |name: &&str| Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: (*name).to_owned(),
        start_time_unix_nano: START.0,
        end_time_unix_nano: START.0 + 1,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: names.iter().map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

/// A remote-write 1.0 request: one sample each of the series `name{n="…"}`.
pub(crate) fn samples(name: &str, values: &[f64]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in values.iter().enumerate() {
        put::message(&mut out, 1, |series| {
            for (label, text) in [("__name__", name), ("n", &number.to_string())] {
                put::message(series, 1, |pair| {
                    put::bytes(pair, 1, label.as_bytes());
                    put::bytes(pair, 2, text.as_bytes());
                });
            }
            put::message(series, 2, |sample| {
                put::fixed64(sample, 1, value.to_bits());
                put::uint(sample, 2, START.millis() as u64);
            });
        });
    }
    out
}

/// A parcel of one snappy frame of samples.
pub(crate) fn metrics(offset: u64, values: &[f64]) -> Parcel {
    let frame = part(offset, Coding::Snappy, &samples("up", values), values.len() as u32);
    parcel(Signal::Metrics, Layout::RemoteWrite, vec![frame])
}

/// A value of any kind.
pub(crate) fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

/// An attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: any(Value::StringValue(value.into())), ..KeyValue::default() }
}

/// A request of these records, all of one resource.
pub(crate) fn logs_of(resource: Vec<KeyValue>, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope = InstrumentationScope { name: "lib".into(), version: "1.2".into(), ..Default::default() };
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..Default::default() }];
    let resource = Resource { attributes: resource, ..Default::default() };
    let logs = ResourceLogs { resource: Some(resource), scope_logs, ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec()
}

/// A record of one line.
pub(crate) fn line(at: u64, body: &str) -> LogRecord {
    LogRecord { time_unix_nano: at, body: any(Value::StringValue(body.into())), ..Default::default() }
}

/// Whether a parcel is held for a peer that is gone: no connection came up, or one of the pool's ended without an answer.
pub(crate) fn is_held(answer: &Result<Receipt, Failure>) -> bool {
    matches!(answer, Err(Failure::Retry { .. } | Failure::Unreachable { .. }))
}
