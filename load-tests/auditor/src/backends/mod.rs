//! The back ends: a file each, with its row and how it is started, delivered to and read. `table.rs` lists them.

pub(crate) mod clickhouse;
pub(crate) mod elasticsearch;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod jaeger;
pub(crate) mod kafka;
pub(crate) mod loki;
pub(crate) mod object_store;
pub(crate) mod otlp;
pub(crate) mod prometheus;
pub(crate) mod store;
pub(crate) mod victoriametrics;
