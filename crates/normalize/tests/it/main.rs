//! JSON sources and remote-write, by the sample payloads; prost reads what was written.

#![allow(clippy::unwrap_used, reason = "a test may fail at any step")]

mod cloudflare;
mod hostile;
mod kong;
mod laws;
mod remote_write;
mod trace;

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{Origin, Source, Tenant, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tidegate_normalize::{Hint, Input, Normalized, RawInput, Shape, normalize};
use wire::Coding;
use wire::coding::{Ceiling, inflate};

/// 2026-03-02T09:00:00Z, an hour after the samples' story.
const NOW: UnixNanos = UnixNanos(1_772_442_000_000_000_000);

/// A log record as prost reads it.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    service: String,
    source: String,
    workspace: Option<String>,
    time: u64,
    observed: u64,
    severity: i32,
    event: String,
    body: Option<Value>,
    trace: String,
    span: String,
    flags: u32,
    attributes: BTreeMap<String, Value>,
}

impl Row {
    fn str(&self, key: &str) -> &str {
        match self.attributes.get(key) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{key} is {other:?} in {:#?}", self.attributes),
        }
    }

    fn int(&self, key: &str) -> i64 {
        match self.attributes.get(key) {
            Some(Value::IntValue(number)) => *number,
            other => panic!("{key} is {other:?} in {:#?}", self.attributes),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.attributes.contains_key(key)
    }

    fn is(&self, key: &str) -> bool {
        self.attributes.get(key) == Some(&Value::BoolValue(true))
    }

    fn list(&self, key: &str) -> Vec<&str> {
        let Some(Value::ArrayValue(array)) = self.attributes.get(key) else { panic!("{key} is no list") };
        let text = |value: &'_ AnyValue| match &value.value {
            Some(Value::StringValue(_)) => (),
            other => panic!("{key} holds {other:?}"),
        };
        array.values.iter().for_each(text);
        array
            .values
            .iter()
            .map(|value| match &value.value {
                Some(Value::StringValue(text)) => text.as_str(),
                _ => "",
            })
            .collect()
    }

    fn text(&self) -> &str {
        match &self.body {
            Some(Value::StringValue(text)) => text,
            other => panic!("body is {other:?}"),
        }
    }
}

fn submit(hint: Hint, bytes: impl Into<Bytes>) -> Normalized {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("test").unwrap() };
    normalize(Input::Raw(RawInput { origin, hint, bytes: bytes.into() }), NOW).unwrap()
}

fn logpush(bytes: impl Into<Bytes>) -> Normalized {
    submit(Hint::default(), bytes)
}

fn kong_log(bytes: impl Into<Bytes>) -> Normalized {
    submit(Hint { shape: Shape::Kong, ..Hint::default() }, bytes)
}

/// What became of the records; checks on the way what holds for every batch.
fn rows(normalized: &Normalized) -> Vec<Row> {
    let Some(batch) = &normalized.batch else {
        assert_eq!(normalized.accepted.total(), 0);
        return Vec::new();
    };
    assert_eq!(batch.coding, Coding::Zstd);
    let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(64 << 20)).unwrap();
    assert_eq!(plain.len(), batch.plain_len as usize);
    let request = ExportLogsServiceRequest::decode(&plain[..]).unwrap();
    assert_eq!(request.encode_to_vec().len(), plain.len(), "nothing was written that prost does not know");
    let mut rows = Vec::new();
    for resource in request.resource_logs {
        let about = attributes(resource.resource.unwrap().attributes);
        let about_text = |key: &str| match about.get(key) {
            Some(Value::StringValue(text)) => Some(text.clone()),
            _ => None,
        };
        for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            rows.push(Row {
                service: about_text("service.name").unwrap(),
                source: about_text("telemetry.source").unwrap(),
                workspace: about_text("kong.workspace.name"),
                time: record.time_unix_nano,
                observed: record.observed_time_unix_nano,
                severity: record.severity_number,
                event: record.event_name,
                body: record.body.and_then(|body| body.value),
                trace: hex(&record.trace_id),
                span: hex(&record.span_id),
                flags: record.flags,
                attributes: attributes(record.attributes),
            });
        }
    }
    assert_eq!(rows.len(), batch.items as usize);
    assert_eq!(rows.len(), normalized.accepted.logs as usize);
    assert!(rows.iter().all(|row| row.observed == NOW.0));
    rows
}

fn attributes(list: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> BTreeMap<String, Value> {
    let mut map = BTreeMap::new();
    for pair in list {
        let before = map.insert(pair.key.clone(), pair.value.and_then(|v| v.value).expect("a value"));
        assert_eq!(before, None, "attribute {} twice", pair.key);
    }
    map
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reasons(normalized: &Normalized) -> Vec<(u32, &'static str)> {
    normalized.rejected.iter().map(|bad| (bad.index, bad.reason)).collect()
}
