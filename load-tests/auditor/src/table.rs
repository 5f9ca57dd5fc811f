//! The back ends, sorted by name.

use std::path::{Path, PathBuf};

use crate::backend::Row;
use crate::backends::{
    clickhouse, elasticsearch, file, http, jaeger, kafka, loki, object_store, otlp, prometheus, store,
    victoriametrics,
};

/// Every back end that the auditor can read.
pub const BACKENDS: &[Row] = &[
    clickhouse::TODAY,
    clickhouse::OLD,
    elasticsearch::ELASTICSEARCH,
    file::ROW,
    http::ROW,
    jaeger::ROW,
    kafka::ROW,
    loki::ROW,
    object_store::ROW,
    elasticsearch::OPENSEARCH,
    otlp::ROW,
    prometheus::ROW,
    store::ROW,
    victoriametrics::ROW,
];

/// The rows of these names; all quick ones when none is named, all of them when `all`.
pub fn chosen(names: &[String], all: bool) -> Result<Vec<Row>, String> {
    for name in names {
        if !BACKENDS.iter().any(|row| row.name == name) {
            let known: Vec<&str> = BACKENDS.iter().map(|row| row.name).collect();
            return Err(format!("{name} is no back end; there are: {}", known.join(", ")));
        }
    }
    let is_chosen = |row: &&Row| {
        if names.is_empty() { all || !row.is_slow } else { names.iter().any(|name| name == row.name) }
    };
    Ok(BACKENDS.iter().filter(is_chosen).copied().collect())
}

/// A folder of a back end's own.
pub(crate) fn folder(below: &Path, row: &Row) -> Result<PathBuf, String> {
    let folder = below.join(row.name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}
