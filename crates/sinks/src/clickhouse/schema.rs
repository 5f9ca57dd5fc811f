//! The statements that put the schema, for an operator who asks for it.

use super::tables::Table;
use super::{Schema, Tables, quoted};

/// `CREATE DATABASE`, unless it is the one that every server has.
pub(super) fn database(schema: &Schema, database: &str) -> Option<String> {
    (database != "default")
        .then(|| format!("CREATE DATABASE IF NOT EXISTS {}{}", quoted(database), schema.on_cluster()))
}

/// Everything for one table, in order.
pub(super) fn table(schema: &Schema, database: &str, tables: &Tables, table: Table) -> Vec<String> {
    let name = tables.name(table);
    let columns: Vec<_> = table.columns().map(|column| format!("`{}` {}", column.name, column.ddl)).collect();
    let (time, order) = match table {
        Table::Logs => ("Timestamp", "(ServiceName, toDateTime(Timestamp), Timestamp)"),
        Table::Traces => ("Timestamp", "(ServiceName, SpanName, toDateTime(Timestamp))"),
        _ => ("TimeUnix", "(ServiceName, MetricName, Attributes, TimeUnix)"),
    };
    let index = match table {
        Table::Logs | Table::Traces => ", INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1",
        _ => "",
    };
    let mut statements = vec![create(
        schema,
        &format!("{}.{}", quoted(database), quoted(&name)),
        &format!("{}{index}", columns.join(", ")),
        time,
        order,
    )];
    if table == Table::Traces {
        let spans = format!("{}.{}", quoted(database), quoted(&name));
        let times = format!("{}.{}", quoted(database), quoted(&format!("{name}_trace_id_ts")));
        let view = format!("{}.{}", quoted(database), quoted(&format!("{name}_trace_id_ts_mv")));
        statements.push(create(
            schema,
            &times,
            "`TraceId` String, `Start` DateTime, `End` DateTime, INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1",
            "Start",
            "(TraceId, Start)",
        ));
        statements.push(format!(
            "CREATE MATERIALIZED VIEW IF NOT EXISTS {view}{} TO {times} AS SELECT TraceId, min(Timestamp) AS Start, \
             max(Timestamp) AS End FROM {spans} WHERE TraceId != '' GROUP BY TraceId",
            schema.on_cluster()
        ));
    }
    statements
}

fn create(schema: &Schema, name: &str, columns: &str, time: &str, order: &str) -> String {
    let ttl = schema.ttl.map_or_else(String::new, |ttl| {
        format!(" TTL toDateTime({time}) + toIntervalSecond({})", ttl.as_secs())
    });
    // Replicated tables remember blocks by themselves; others only when asked. Without it a resend would be stored twice.
    let remember = if schema.engine.starts_with("Replicated") || schema.engine.starts_with("Shared") {
        ""
    } else {
        ", non_replicated_deduplication_window = 1000"
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {name}{} ({columns}) ENGINE = {} PARTITION BY toDate({time}) ORDER BY {order}{ttl} \
         SETTINGS index_granularity = 8192{remember}",
        schema.on_cluster(),
        schema.engine
    )
}
