//! Where telemetry goes: one file a destination, one row in the table.
//!
//! | file | what |
//! |---|---|
//! | `table.rs` | the rows: everything that the rest of the gateway knows of a sink |
//! | `otlp/` | OTLP over gRPC and HTTP |
//! | `prometheus/` | Prometheus remote-write 1.0 and 2.0 |
//! | `clickhouse/` | ClickHouse over HTTP, in the tables of the OpenTelemetry exporter |
//! | `loki/` | Grafana Loki by its push API |
//! | `http/` | JSON to any URL: lines, an array, OTLP/JSON |
//! | `file/` | OTLP-JSON lines in rotated files, each item once |
//! | `objects/` | Parquet files in an object store |
//! | `kafka/` | Kafka topics, by librdkafka; only with the feature `kafka` |
//! | `elasticsearch/` | Elasticsearch and OpenSearch, by `_bulk` |
//! | `blackhole.rs` | takes everything and keeps nothing, for measuring |
//! | `client/` | the HTTP client below every sink that speaks HTTP: connections, proxies, TLS, credentials, lists of peers, answers |
//! | `identity.rs` | what an item is called at a peer that keeps one of each name |
//! | `losses.rs` | counts what a translation for a peer could not carry |
//! | `document/` | one JSON document for each item, for peers that store documents |
//! | `calendar.rs` | times as peers read them |
//! | `signals.rs` | the setting that names which signals a sink takes |
//!
//! Invariants: a sink knows parcels and its peer, nothing else: no journal, no cursor, no other sink. It retries nothing, keeps
//! no queue, has no deadline: its courier does and has. Checking settings is pure; opening spawns nothing. No answer of a peer is read beyond
//! a ceiling, no redirect is followed, no credential is ever shown.

mod blackhole;
mod calendar;
mod clickhouse;
mod client;
mod document;
mod elasticsearch;
mod file;
#[cfg(test)]
mod fixture;
mod http;
mod identity;
#[cfg(feature = "kafka")]
mod kafka;
mod loki;
mod losses;
mod objects;
mod otlp;
mod prometheus;
mod signals;
mod table;

pub use table::{ABSENT, ROWS};
