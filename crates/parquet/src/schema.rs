//! The columns, version 1. A column is never renamed or retyped: what changes makes a new version, and readers here need
//! only the columns of `base`, from which all others can be made again.
//!
//! | columns | signals | what |
//! |---|---|---|
//! | `timestamp` | all | when it happened, else when observed, else when received |
//! | `trace_id`, `trace_id_low`, `span_id` | traces, logs | 16 bytes, its low 64 bits as a number, 8 bytes; null for none |
//! | `service_name` | all | `service.name`; `job` of a remote-write series |
//! | `http_method` … `k8s_namespace` | traces, logs | attributes that people search by, under one name for every source |
//! | `resource_attributes`, `attributes` | all | maps of text: a string as it is, everything else as JSON |
//! | `events`, `links` | traces | JSON arrays, null for none |
//! | `metric_name` … `bucket_counts` | metrics | one row a point or sample |
//! | `tenant`, `source`, `received`, `journal_offset`, `item_index` | all | where it came from |
//! | `resource`, `scope`, `metric`, `raw` | all | the protobuf of the item and of what encloses it (see `Row`) |
//!
//! A string attribute `5` and a number 5 look alike in the maps; `raw` tells them apart.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use model::Signal;

/// The version of the columns, in the file's metadata under `VERSION_KEY`.
pub const VERSION: &str = "1";

/// The metadata key of `VERSION`.
pub const VERSION_KEY: &str = "tidegate.schema_version";

/// The metadata key of the signal's name.
pub const SIGNAL_KEY: &str = "tidegate.signal";

/// The columns of a signal's files.
pub fn of(signal: Signal) -> SchemaRef {
    static SCHEMAS: LazyLock<[SchemaRef; 3]> = LazyLock::new(|| {
        [traces(), logs(), metrics()].map(|columns| {
            let fields: Vec<Field> = columns.into_iter().chain(base()).collect();
            Arc::new(Schema::new(fields))
        })
    });
    let [traces, logs, metrics] = &*SCHEMAS;
    Arc::clone(match signal {
        Signal::Traces => traces,
        Signal::Logs => logs,
        Signal::Metrics => metrics,
    })
}

/// The attributes that have a column of their own, and the keys they are taken from, the first found first.
pub(crate) const PROMOTED: [(&str, &[&str]); 6] = [
    ("http_method", &["http.request.method", "http.method"]),
    ("http_route", &["http.route"]),
    ("http_status", &["http.response.status_code", "http.status_code"]),
    ("cf_ray", &["cloudflare.ray_id", "cf.ray_id", "cf_ray", "http.request.header.cf-ray"]),
    ("kong_request_id", &["kong.request.id", "http.request.header.x-kong-request-id"]),
    ("k8s_namespace", &["k8s.namespace.name"]),
];

pub(crate) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The names that arrow's map builder gives its parts, as the Parquet specification has them.
pub(crate) fn map() -> DataType {
    let entry = Fields::from(vec![text_required("key"), text("value")]);
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
}

pub(crate) fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", of, false)))
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn text_required(name: &str) -> Field {
    Field::new(name, DataType::Utf8, false)
}

fn required(name: &str, of: DataType) -> Field {
    Field::new(name, of, false)
}

fn optional(name: &str, of: DataType) -> Field {
    Field::new(name, of, true)
}

fn ids() -> [Field; 3] {
    [
        optional("trace_id", DataType::FixedSizeBinary(16)),
        optional("trace_id_low", DataType::UInt64),
        optional("span_id", DataType::FixedSizeBinary(8)),
    ]
}

fn attributes() -> [Field; 4] {
    [
        required("attributes", map()),
        required("resource_attributes", map()),
        text("scope_name"),
        text("scope_version"),
    ]
}

fn traces() -> Vec<Field> {
    let mut fields = vec![required("timestamp", time())];
    fields.extend(ids());
    fields.extend([
        optional("parent_span_id", DataType::FixedSizeBinary(8)),
        text_required("service_name"),
        text_required("name"),
        text_required("kind"),
        text_required("status"),
        text("status_message"),
        required("end_time", time()),
        required("duration_ns", DataType::Int64),
    ]);
    fields.extend(PROMOTED.map(|(name, _)| text(name)));
    fields.extend(attributes());
    fields.extend([text("trace_state"), required("flags", DataType::UInt32), text("events"), text("links")]);
    fields
}

fn logs() -> Vec<Field> {
    let mut fields = vec![required("timestamp", time())];
    fields.extend(ids());
    fields.extend([
        text_required("service_name"),
        required("severity_number", DataType::Int32),
        text("severity_text"),
        text("body"),
        text("event_name"),
        optional("observed_time", time()),
    ]);
    fields.extend(PROMOTED.map(|(name, _)| text(name)));
    fields.extend(attributes());
    fields.push(required("flags", DataType::UInt32));
    fields
}

fn metrics() -> Vec<Field> {
    let mut fields = vec![
        required("timestamp", time()),
        text_required("service_name"),
        text_required("metric_name"),
        text_required("type"),
        text("unit"),
        text("description"),
        text("temporality"),
        optional("monotonic", DataType::Boolean),
        optional("start_time", time()),
        optional("value", DataType::Float64),
        optional("value_int", DataType::Int64),
        optional("count", DataType::Float64),
        optional("sum", DataType::Float64),
        optional("min", DataType::Float64),
        optional("max", DataType::Float64),
        optional("bucket_bounds", list(DataType::Float64)),
        optional("bucket_counts", list(DataType::UInt64)),
        optional("scale", DataType::Int32),
    ];
    fields.extend(attributes());
    fields.push(required("flags", DataType::UInt32));
    fields
}

/// What a row is read back from, at the end of every schema.
fn base() -> Vec<Field> {
    vec![
        text_required("tenant"),
        text_required("source"),
        required("received", time()),
        required("journal_offset", DataType::UInt64),
        required("item_index", DataType::UInt32),
        required("resource", DataType::Binary),
        required("scope", DataType::Binary),
        required("metric", DataType::Binary),
        required("raw", DataType::Binary),
    ]
}
