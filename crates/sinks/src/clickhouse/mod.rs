//! ClickHouse over HTTP, in the OpenTelemetry exporter's tables, which today's user interfaces read. A resend of the same range carries the
//! same deduplication tokens, so it stores nothing twice.

mod answer;
mod cell;
mod insert;
mod kind;
mod layout;
mod schema;
mod settings;
mod sheet;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use model::{Failure, Signal};
use pipeline::{
    BoxFuture, CheckedSink, Cut, Edges, Parcel, PeerRefused, Receipt, Sink, SinkContext, SinkRow, Workers,
};
use wire::Coding;

use crate::client::{Client, Plan, Speak};
use crate::losses::{Losses, left_out};
use answer::{Trouble, verdict};
use insert::{Progress, Refusal};
use layout::{Layout, Rows};
use sheet::{Layouts, Made};
use tables::Table;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "clickhouse",
    summary: "Stores traces, logs and metrics in ClickHouse, in the tables of the OpenTelemetry exporter.",
    schema: || schemars::schema_for!(settings::Settings),
    check: settings::check,
    example: "clickhouse:\n  type: clickhouse\n  url: http://127.0.0.1:8123\n  database: otel\n  create_schema: true\n  ttl: 30d\n",
    page: include_str!("page.md"),
};

/// The version of tables and rows: part of every token, so that what another version wrote is never taken for this.
const FORM: u32 = 1;

/// Checked settings.
struct Checked {
    url: Uri,
    database: String,
    tables: Tables,
    signals: Vec<Signal>,
    rows: Rows,
    coding: Coding,
    deduplicate: bool,
    async_insert: bool,
    schema: Option<Schema>,
    plan: Plan,
    cut: Cut,
}

/// The tables' names.
#[derive(Debug)]
struct Tables {
    logs: String,
    traces: String,
    /// In front of each kind's suffix.
    metrics: String,
}

/// How the schema is put.
#[derive(Debug)]
struct Schema {
    engine: String,
    ttl: Option<Duration>,
    cluster: Option<String>,
}

impl Tables {
    fn name(&self, table: Table) -> String {
        match table {
            Table::Logs => self.logs.clone(),
            Table::Traces => self.traces.clone(),
            metrics => format!("{}{}", self.metrics, metrics.suffix()),
        }
    }
}

impl Schema {
    fn on_cluster(&self) -> String {
        self.cluster.as_deref().map_or_else(String::new, |cluster| format!(" ON CLUSTER {}", quoted(cluster)))
    }
}

/// A name in backticks; names that hold one are refused by `check`.
fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn tables(signal: Signal) -> &'static [Table] {
    match signal {
        Signal::Logs => &[Table::Logs],
        Signal::Traces => &[Table::Traces],
        Signal::Metrics => &Table::METRICS,
    }
}

impl CheckedSink for Checked {
    fn open(mut self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let plan = std::mem::take(&mut self.plan);
            let client = Client::of(Speak::Http, plan, Arc::clone(&context.clock))?;
            let losses = Losses::new(Arc::clone(&context.name), context.metrics);
            let sink = ClickHouse {
                checked: *self,
                name: context.name,
                client,
                workers: context.workers,
                losses,
                layouts: Mutex::default(),
                put: Mutex::default(),
                told: Mutex::default(),
                progress: Mutex::default(),
            };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

struct ClickHouse {
    checked: Checked,
    name: Arc<str>,
    client: Client,
    workers: Workers,
    losses: Losses,
    /// The tables as they were when they were described last.
    layouts: Mutex<Layouts>,
    /// The signals whose schema was put.
    put: Mutex<BTreeSet<Signal>>,
    /// The tables whose missing columns were told of.
    told: Mutex<BTreeSet<Table>>,
    /// How far the parcel in hand is, by signal: one is in flight each.
    progress: Mutex<BTreeMap<Signal, Progress>>,
}

impl Sink for ClickHouse {
    fn signals(&self) -> &[Signal] {
        &self.checked.signals
    }

    fn cut(&self) -> Cut {
        self.checked.cut
    }

    fn edges(&self) -> Edges {
        Edges::Recorded
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.send(parcel))
    }
}

impl ClickHouse {
    async fn send(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        if !self.checked.signals.contains(&parcel.signal) {
            return Err(Failure::RefusedWhole { reason: format!("this sink takes no {}", parcel.signal) });
        }
        self.put_schema(parcel.signal).await?;
        let layouts = self.layouts(parcel.signal).await?;
        let made = {
            let (parcel, layouts) = (parcel.clone(), layouts.clone());
            let made = self.workers.run(move || sheet::make(&parcel, &layouts)).await;
            Arc::new(made.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })??)
        };
        let range = parcel.range_id(FORM);
        let mut refusals = Vec::new();
        for (&table, layout) in layouts.iter().filter(|(table, _)| made.sheets.contains_key(table)) {
            refusals.extend(self.insert(parcel.signal, &range, &made, table, layout).await?);
        }
        lock(&self.progress).remove(&parcel.signal);
        self.losses.book(&made.losses);
        self.losses.note("integer", made.integers);
        self.losses.note("time", made.times);
        outcome(&made, refusals, parcel.items())
    }

    /// Puts the schema once, and again when a table is gone.
    async fn put_schema(&self, signal: Signal) -> Result<(), Failure> {
        let Some(schema) = &self.checked.schema else { return Ok(()) };
        if lock(&self.put).contains(&signal) {
            return Ok(());
        }
        let database = &self.checked.database;
        if let Some(statement) = schema::database(schema, database) {
            // The database that a statement runs in must be there already.
            self.state(statement, None).await?;
        }
        for table in tables(signal) {
            for statement in schema::table(schema, database, &self.checked.tables, *table) {
                self.state(statement, Some(database)).await?;
            }
        }
        lock(&self.put).insert(signal);
        Ok(())
    }

    /// The signal's tables, as far as they are there.
    async fn layouts(&self, signal: Signal) -> Result<Layouts, Failure> {
        let mut found = Layouts::new();
        for &table in tables(signal) {
            let known = lock(&self.layouts).get(&table).cloned();
            let layout = match known {
                Some(known) => known,
                None => match self.describe(table).await? {
                    Some(layout) => layout,
                    None => continue,
                },
            };
            found.insert(table, layout);
        }
        Ok(found)
    }

    async fn describe(&self, table: Table) -> Result<Option<Arc<Layout>>, Failure> {
        let name = self.checked.tables.name(table);
        let statement = format!("DESCRIBE TABLE {} FORMAT JSONEachRow", quoted(&name));
        let answer =
            self.post(&[("database", &self.checked.database)], statement.into(), Coding::Plain).await?;
        match verdict(&answer) {
            Ok(()) => {}
            Err(Trouble::NoTable(_)) => {
                lock(&self.put).retain(|signal| !tables(*signal).contains(&table));
                return Ok(None);
            }
            Err(trouble) => return Err(trouble.into()),
        }
        let layout = Layout::read(table, &answer.body, self.checked.rows)
            .map_err(|reason| Failure::Retry { after: None, reason: format!("table {name}: {reason}") })?;
        if lock(&self.told).insert(table) {
            self.tell(&name, &layout);
        }
        let layout = Arc::new(layout);
        lock(&self.layouts).insert(table, Arc::clone(&layout));
        Ok(Some(layout))
    }

    /// Says what the table makes different from the usual.
    fn tell(&self, table: &str, layout: &Layout) {
        let sink = &*self.name;
        if !layout.missing.is_empty() {
            let columns = layout.missing.join(", ");
            tracing::info!(sink, table, columns, "the table lacks columns; what belongs there is not stored");
        }
        if self.checked.rows == Rows::Binary && layout.rows == Rows::Json {
            tracing::info!(
                sink,
                table,
                "the table has columns of types that are not written in binary; rows are sent as JSON"
            );
        }
    }

    /// Runs one statement of the schema.
    async fn state(&self, statement: String, database: Option<&str>) -> Result<(), Failure> {
        let database = database.map(|name| ("database", name));
        let answer = self.post(database.as_slice(), statement.into(), Coding::Plain).await?;
        verdict(&answer).map_err(|trouble| match Failure::from(trouble) {
            Failure::Retry { after, reason } => {
                Failure::Retry { after, reason: format!("the schema cannot be put: {reason}") }
            }
            other => other,
        })
    }

    async fn post(
        &self,
        parameters: &[(&str, &str)],
        body: Bytes,
        coding: Coding,
    ) -> Result<crate::client::Answer, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if coding != Coding::Plain {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
        }
        self.client.post(&with_query(&self.checked.url, parameters), headers, body.into()).await
    }
}

/// What became of the parcel once every row is stored or refused.
fn outcome(made: &Made, refusals: Vec<Refusal>, sent: u32) -> Result<Receipt, Failure> {
    if refusals.is_empty() || made.items_known {
        let items: Vec<_> = refusals.into_iter().map(|refusal| refusal.item).collect();
        return if items.is_empty() {
            Ok(left_out(Receipt::Delivered, &made.losses, sent))
        } else {
            Err(Failure::Refused { items })
        };
    }
    // A point made of remote-write samples is none of the parcel's items, so no item can be named.
    let reason = refusals.first().map_or_else(String::new, |refusal| refusal.item.reason.clone());
    let items = u32::try_from(refusals.len()).unwrap_or(u32::MAX).min(sent);
    let refused = PeerRefused { items, upper_bound: false, reason };
    Ok(left_out(Receipt::Partly(refused), &made.losses, sent))
}

/// The URL with more parameters.
fn with_query(url: &Uri, parameters: &[(&str, &str)]) -> Uri {
    let mut text = url.path().to_owned();
    let mut sign = '?';
    if let Some(query) = url.query() {
        text.push(sign);
        text.push_str(query);
        sign = '&';
    }
    for (name, value) in parameters {
        text.push(sign);
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        sign = '&';
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(
        PathAndQuery::try_from(text).expect("a URL's path with encoded parameters is a path with a query"),
    );
    Uri::from_parts(parts).expect("the URL has scheme and authority")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
