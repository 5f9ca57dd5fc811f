//! Readers: what each back end has, by its own query interface or its own files, as fields.
//!
//! | file | what it reads |
//! |---|---|
//! | `store.rs` | Parquet files: the embedded store's and the object store sink's |
//! | `lines.rs` | files of OTLP/JSON lines |
//! | `otlp_json.rs` | OTLP/JSON |
//! | `kafka.rs` | Kafka topics |
//! | `clickhouse.rs`, `row.rs` | ClickHouse, by SELECT |
//! | `elasticsearch.rs` | Elasticsearch and OpenSearch, by scrolls |
//! | `jaeger.rs` | Jaeger, trace by trace |
//! | `loki.rs` | Loki, by range queries |
//! | `prometheus.rs` | Prometheus, by remote-read |
//! | `victoriametrics.rs` | VictoriaMetrics, by its export |
//! | `time.rs` | times as text |

pub(crate) mod clickhouse;
pub(crate) mod elasticsearch;
pub(crate) mod jaeger;
pub(crate) mod kafka;
pub mod lines;
pub(crate) mod loki;
pub mod otlp_json;
pub mod prometheus;
mod row;
pub mod store;
mod time;
#[cfg(test)]
mod variants;
pub(crate) mod victoriametrics;

use crate::content::{Run, sample};
use crate::item::Id;
use crate::value::{Fields, Value};

/// The attributes that name an item, also as back ends write them that know no dots.
const NAMES: [&str; 5] = [
    "attr.item",
    "attr.kong.request.id",
    "attr.cloudflare.ray_id",
    "attr.kong_request_id",
    "attr.cloudflare_ray_id",
];

/// One item as a back end has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Which item it says it is; `None` when it names none.
    pub id: Option<Id>,
    /// What it says.
    pub fields: Fields,
}

impl Found {
    /// An item in the form of items, named by what it carries.
    pub fn item(run: &Run, mut fields: Fields) -> Self {
        let id = NAMES.iter().find_map(|name| match fields.get(*name) {
            Some(Value::Text(text)) => Id::named(text),
            _ => None,
        });
        let Some(id) = id else { return Self { id: None, fields } };
        if !id.stream.is_remote_write() {
            return Self { id: Some(id), fields };
        }
        let time = match fields.get("time") {
            Some(Value::Time(nanos)) if nanos % 1_000_000 == 0 => Some((nanos / 1_000_000) as i64),
            _ => None,
        };
        let id = time.and_then(|time| sample::at(run, id, time));
        // As OTLP a sample without metadata is a gauge, a stale marker is a flag, and two labels are those of the resource.
        if fields.get("flags") == Some(&Value::Int(1)) && !fields.contains_key("value") {
            fields.remove("flags");
            fields.insert("value".into(), Value::Double(sample::STALE));
        }
        if fields.get("type") == Some(&Value::text("gauge")) {
            fields.remove("type");
        }
        for (attribute, label) in [("service.name", "job"), ("service.instance.id", "instance")] {
            if let Some(value) = fields.remove(&format!("resource.{attribute}")) {
                fields.insert(format!("attr.{label}"), value);
            }
        }
        Self { id, fields }
    }
}
