//! What the operator writes, and its check.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderValue;
use model::Problem;
use pipeline::settings::{self, Period, Secret, Size};
use pipeline::{CheckedSink, Cut};
use schemars::JsonSchema;
use serde::Deserialize;

use super::layout::Rows;
use super::{Checked, Schema, Tables};
use crate::client::{self, Compression, Plan, Tls, Written};
use crate::signals;

/// Stores telemetry in one ClickHouse.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Where ClickHouse's HTTP interface listens, for example `http://HOST:8123`. Settings of ClickHouse's own may stand in its query.
    url: String,
    /// The database. Default: `default`.
    #[serde(default = "database")]
    database: String,
    /// The user. Left out: ClickHouse's `default`.
    #[serde(default)]
    user: Option<String>,
    /// The user's password.
    #[serde(default)]
    password: Option<Secret>,
    /// Which signals it takes. Default: all.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// The table for logs. Default: `otel_logs`.
    #[serde(default = "logs_table")]
    logs_table: String,
    /// The table for traces. Default: `otel_traces`.
    #[serde(default = "traces_table")]
    traces_table: String,
    /// The beginning of the names of the tables for metrics, which end in `_gauge`, `_sum`, `_histogram`, `_exponential_histogram` and `_summary`. Default:
    /// `otel_metrics`.
    #[serde(default = "metrics_tables")]
    metrics_tables: String,
    /// How rows are sent. Default: `row_binary`, which costs least on both sides; `json_each_row` for servers before 21.
    #[serde(default)]
    format: Format,
    /// How bodies are compressed. Default: `gzip`; `none` within a data centre; `zstd` for servers from 22 on.
    #[serde(default)]
    compression: Compression,
    /// Whether inserts carry a token, by which the server drops what it has already. Default: true; false for servers before 22.3, which do not
    /// know it: a resend is then stored twice.
    #[serde(default = "deduplicate")]
    deduplicate: bool,
    /// Whether the server gathers small inserts of several clients before it writes them. The gateway still waits until they are written. Default: false.
    #[serde(default)]
    async_insert: bool,
    /// Whether database, tables and view are created before the first delivery, if they are not there. Default: false.
    #[serde(default)]
    create_schema: bool,
    /// The engine of created tables. Default: `MergeTree()`; on a cluster for example
    /// `ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')`.
    #[serde(default)]
    engine: Option<String>,
    /// After how long created tables forget a row, from `1m` to `3650d`. Default: never.
    #[serde(default)]
    ttl: Option<Period>,
    /// The cluster on which tables are created (`ON CLUSTER`). Default: none.
    #[serde(default)]
    cluster: Option<String>,
    /// Headers sent with every request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// How TLS is spoken to an `https` URL. Left out: the machine's certificate authorities are trusted.
    #[serde(default)]
    tls: Option<Tls>,
    /// The HTTP proxy through which ClickHouse is reached, `http://USER:PASSWORD@HOST:PORT`; `environment` takes those of HTTPS_PROXY, HTTP_PROXY and
    /// NO_PROXY. Default: none, whatever the environment says.
    #[serde(default)]
    proxy: Option<Secret>,
    /// Hosts, domains (with all below) and address ranges that are reached without the proxy, for example `intern.example` or `10.0.0.0/8`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// The most items of one insert. Default: 50000; from 1 to 1000000, which is where ClickHouse itself cuts an insert.
    #[serde(default = "max_rows")]
    #[schemars(range(min = 1, max = 1_000_000))]
    max_rows: u32,
    /// The most bytes, as they were received, of one insert. Default: `16MiB`; from `1KiB` to `64MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// How long an insert that is not full waits for more. Default: `1s`, since ClickHouse likes few large inserts; at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
}

const SHORTEST: Duration = Duration::from_secs(60);
/// ClickHouse counts the end in 32 bits: what ended after 2106 would end at once.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// `RowBinaryWithNamesAndTypes`; `JSONEachRow` for a table that has columns of other types than the exporter's.
    #[default]
    RowBinary,
    /// `JSONEachRow`.
    JsonEachRow,
}

fn database() -> String {
    "default".into()
}

fn logs_table() -> String {
    "otel_logs".into()
}

fn traces_table() -> String {
    "otel_traces".into()
}

fn metrics_tables() -> String {
    "otel_metrics".into()
}

fn deduplicate() -> bool {
    true
}

fn max_rows() -> u32 {
    50_000
}

fn max_bytes() -> Size {
    Size(16 << 20)
}

fn max_wait() -> Period {
    Period(Duration::from_secs(1))
}

pub(super) fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = pipeline::settings::read(value)?;
    let mut problems = Vec::new();
    let plan = plan(&settings, &mut problems);
    let url = client::settings::url("url", &settings.url, &mut problems);
    let signals = signals::checked(&settings.signals, &mut problems);
    for (path, name) in [
        ("database", &settings.database),
        ("logs_table", &settings.logs_table),
        ("traces_table", &settings.traces_table),
        ("metrics_tables", &settings.metrics_tables),
    ] {
        named(path, name, &mut problems);
    }
    let schema = schema(&settings, &mut problems);
    let (Size(max_bytes), Period(max_wait)) = (settings.max_bytes, settings.max_wait);
    settings::within("max_rows", settings.max_rows, 1..=1_000_000, "50000", &mut problems);
    settings::within("max_bytes", settings.max_bytes, Size(1 << 10)..=Size(64 << 20), "16MiB", &mut problems);
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(60)), "1s", &mut problems);
    let (Some(url), true) = (url, problems.is_empty()) else { return Err(problems) };
    Ok(Box::new(Checked {
        url,
        database: settings.database,
        tables: Tables {
            logs: settings.logs_table,
            traces: settings.traces_table,
            metrics: settings.metrics_tables,
        },
        signals,
        rows: match settings.format {
            Format::RowBinary => Rows::Binary,
            Format::JsonEachRow => Rows::Json,
        },
        coding: settings.compression.into(),
        deduplicate: settings.deduplicate,
        async_insert: settings.async_insert,
        schema,
        plan,
        cut: Cut { max_items: settings.max_rows, max_bytes, max_stored_bytes: max_bytes, max_wait },
    }))
}

/// ClickHouse's own headers for user and password, beside the operator's.
fn plan(settings: &Settings, problems: &mut Vec<Problem>) -> Plan {
    let written = Written {
        headers: &settings.headers,
        tenant_header: None,
        auth: None,
        tls: settings.tls.as_ref(),
        proxy: settings.proxy.as_ref(),
        no_proxy: &settings.no_proxy,
    };
    let mut plan = Plan::check(&written, problems);
    if settings.password.is_some() && settings.user.is_none() {
        problems.push(Problem::new("password", "has no user", "set user as well"));
    }
    let user = settings.user.as_deref().map(|user| ("user", "x-clickhouse-user", user));
    let password = settings.password.as_ref().map(|secret| ("password", "x-clickhouse-key", secret.expose()));
    for (path, name, text) in user.into_iter().chain(password) {
        if plan.headers.contains_key(name) {
            problems.push(Problem::new(
                "headers",
                format!("{name} is set by {path} as well"),
                "remove one of the two",
            ));
        }
        let Ok(mut value) = HeaderValue::from_str(text) else {
            problems.push(Problem::new(
                path,
                "is no text for a header",
                "remove line breaks and control characters",
            ));
            continue;
        };
        value.set_sensitive(true);
        plan.headers.insert(name, value);
    }
    plan
}

fn named(path: &str, name: &str, problems: &mut Vec<Problem>) {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > 150 || !name.bytes().all(good) {
        let message = format!("{name:?} is not 1 to 150 letters, digits, _, - and .");
        problems.push(Problem::new(path, message, "choose another name"));
    }
}

/// How the schema is put; settings that would have no effect are problems.
fn schema(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Schema> {
    if !settings.create_schema {
        for (path, set) in [
            ("engine", settings.engine.is_some()),
            ("ttl", settings.ttl.is_some()),
            ("cluster", settings.cluster.is_some()),
        ] {
            if set {
                problems.push(Problem::new(
                    path,
                    "is of use with create_schema only",
                    "set create_schema: true, or remove it",
                ));
            }
        }
        return None;
    }
    let engine = settings.engine.clone().unwrap_or_else(|| "MergeTree()".to_owned());
    let family = engine.split('(').next().unwrap_or_default().trim();
    if !family.ends_with("MergeTree")
        || !family.bytes().all(|byte| byte.is_ascii_alphanumeric())
        || engine.contains(';')
    {
        let message = format!("{engine:?} is no engine of the MergeTree family");
        problems.push(Problem::new("engine", message, "write for example MergeTree()"));
    }
    if settings.ttl.is_some_and(|Period(ttl)| !(SHORTEST..=LONGEST).contains(&ttl)) {
        problems.push(Problem::new("ttl", "is not from 1m to 3650d", "write for example 30d"));
    }
    if let Some(cluster) = &settings.cluster {
        named("cluster", cluster, problems);
    }
    Some(Schema { engine, ttl: settings.ttl.map(|Period(ttl)| ttl), cluster: settings.cluster.clone() })
}
