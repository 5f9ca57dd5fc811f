//! Metrics made of logs and spans: exact counters and histograms, cumulative, that go on after a restart where they were.
//!
//! A `Series` counts for one tenant. It reads no clock and stores nothing itself. Whoever owns the store does, in one transaction of his:
//!
//! 1. `record`, `span`, `derived` and `withdraw` for what is in the frames that the transaction covers and what it comes to. Copies of
//!    resent rows he has left out before: of every record that has a `tidegate.key`, also of those that are no part of a request.
//! 2. `encode` when it is time to tell (every ten seconds, say): the bodies go to the outbox of the metrics log.
//! 3. `take`: what changed goes to the store.
//!
//! If the transaction fails, what `encode` and `take` gave goes into the next one, before what they give then; or a new `Series` is made and
//! loaded, and the same frames are read again. `now` is the time that the caller goes by: any clock that does not run backwards for long.
//!
//! | file | what |
//! |---|---|
//! | `metric.rs` | every metric: name, labels, unit, bounds |
//! | `options.rs` | what is counted, and how much room it may take |
//! | `table.rs`, `value.rs` | series by metric and labels, bounded; what they hold |
//! | `cloudflare.rs`, `kong.rs`, `spans.rs` | from records and spans to observations |
//! | `graph.rs` | which service asks which: halves of requests that wait for each other |
//! | `state.rs` | series and waiting halves as the store keeps them |
//! | `encode.rs` | series as OTLP |
//!
//! Nothing depends on the order of what is counted, as long as no bound is reached: sums are whole numbers, and of exemplars the latest is kept.

mod cloudflare;
mod encode;
mod graph;
mod kong;
pub mod metric;
pub mod options;
mod spans;
mod state;
mod table;
mod value;

use model::{SpanId, TraceId, UnixNanos};
use wire::WireError;
use wire::otlp::logs::LogRecord;
use wire::otlp::{AnyValue, Resource};

pub use encode::Body;
pub use options::Options;
pub use spans::Revision;
pub use state::StateError;

use crate::attribute::{self, Pair};
use graph::Graph;
use metric::ROWS;
use state::Kept;
use table::Table;
use value::Exemplar;

/// The series of one tenant.
#[derive(Debug)]
pub struct Series {
    options: Options,
    instance: String,
    table: Table,
    graph: Graph,
    /// The time of the last points, which later ones come after.
    last: u64,
    is_last_touched: bool,
    untimely: u64,
}

/// What the store has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it lies, below whatever names the tenant.
    pub key: Vec<u8>,
    /// What is there from now on; `None` for nothing.
    pub value: Option<Vec<u8>>,
}

/// What became of something that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// It counts on.
    Kept,
    /// There is no such metric any more, or it has other buckets. The caller removes it from the store.
    Retired,
}

/// What this `Series` has done and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Series held.
    pub series: usize,
    /// Spans that wait for their other half, or met it not long ago.
    pub waiting: usize,
    /// Records and spans that were not counted since their time is too far from the present.
    pub untimely: u64,
    /// Observations that went to the series of all others, by metric.
    pub overflowed: Vec<(&'static str, u64)>,
}

impl Series {
    /// Nothing counted yet. `instance` tells this gateway's series from those of others: `service.instance.id`, which is the label `instance`.
    pub fn new(options: Options, instance: &str) -> Self {
        Self {
            table: Table::new(&options),
            graph: Graph::new(&options.spans, options.label_bytes),
            instance: instance.to_owned(),
            options,
            last: 0,
            is_last_touched: false,
            untimely: 0,
        }
    }

    /// Counts a log record that `normalize` made of Cloudflare's or Kong's; others are passed over.
    ///
    /// # Errors
    /// The record is not OTLP; nothing of it was counted.
    pub fn record(
        &mut self,
        resource: &Resource<'_>,
        record: &LogRecord<'_>,
        now: UnixNanos,
    ) -> Result<(), WireError> {
        let mut attributes = Vec::new();
        attribute::Reader::default().read(record.raw, &mut attributes)?;
        self.record_of(resource, record, &attributes, now)
    }

    /// As `record`, of a record whose attributes were read.
    pub(crate) fn record_of(
        &mut self,
        resource: &Resource<'_>,
        record: &LogRecord<'_>,
        attributes: &[Pair<'_>],
        now: UnixNanos,
    ) -> Result<(), WireError> {
        if !self.counts_event(record.event_name) || !self.is_timely(record.time, now.0) {
            return Ok(());
        }
        match record.event_name {
            "cloudflare.http_requests" => self.http(record, attributes, now.0),
            "cloudflare.worker" => self.worker(record, attributes, now.0),
            "cloudflare.worker.exception" => self.exception(attributes, now.0),
            "cloudflare.event" => self.event(attributes, now.0),
            "kong.http_log" => self.kong(resource, record, attributes, now.0)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether records of this event are counted.
    pub(crate) fn counts_event(&self, event: &str) -> bool {
        match event {
            "cloudflare.http_requests"
            | "cloudflare.worker"
            | "cloudflare.worker.exception"
            | "cloudflare.event" => self.options.cloudflare.enabled,
            "kong.http_log" => self.options.kong.enabled,
            _ => false,
        }
    }

    /// Whether something of this time counts: what is years old tells nothing of the present, and what is yet to come has a wrong clock.
    fn is_timely(&mut self, time: u64, now: u64) -> bool {
        let oldest = now.saturating_sub(options::nanos(self.options.oldest));
        let latest = now.saturating_add(options::nanos(self.options.ahead));
        let is_timely = (oldest..=latest).contains(&time);
        self.untimely += u64::from(!is_timely);
        is_timely
    }

    /// Tells of every series that changed, and of the others so often that nobody forgets them; ends those that have been idle for long, and
    /// gives up halves of requests that have waited long. The bodies are for the metrics log, in this order.
    pub fn encode(&mut self, now: UnixNanos) -> Vec<Body> {
        self.graph.give_up(&mut self.table, now.0);
        // Two points of a series at one time, or one before the other, would be refused. But a clock that once was far ahead is no reason to
        // stay there with it: nobody took what it said.
        let ahead = now.0.saturating_add(options::nanos(self.options.ahead));
        let last = if self.last > ahead { 0 } else { self.last };
        let time = table::whole_millis(now.0).max(last.saturating_add(1_000_000));
        let bodies = encode::bodies(&mut self.table, &self.options, &self.instance, time);
        if !bodies.is_empty() {
            (self.last, self.is_last_touched) = (time, true);
        }
        bodies
    }

    /// What changed since this was called last: all of it belongs into the transaction that covers what was counted.
    pub fn take(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.table.take(|metric, line, entry| {
            changes.push(Change { key: state::series_key(metric, line), value: entry.map(state::series) });
        });
        self.graph.take(|number, meetings| {
            changes.push(Change { key: state::meetings_key(number), value: meetings });
        });
        if std::mem::take(&mut self.is_last_touched) {
            let (key, value) = state::clock(self.last);
            changes.push(Change { key, value: Some(value) });
        }
        changes
    }

    /// Takes in again what `take` once gave.
    ///
    /// # Errors
    /// Nobody gave this, or a later version did.
    pub fn load(&mut self, key: &[u8], value: &[u8]) -> Result<Loaded, StateError> {
        match state::read(key, value)? {
            Kept::Series(metric, line, entry) => self.table.restore(metric, line, entry),
            Kept::Meetings(number, meetings) => self.graph.restore(number, meetings),
            Kept::Clock(time) => self.last = time,
            Kept::Retired => return Ok(Loaded::Retired),
        }
        Ok(Loaded::Kept)
    }

    /// What it has done and holds. Not kept over a restart: a counter of the process.
    pub fn counts(&self) -> Counts {
        let overflowed = ROWS.iter().map(|row| (row.name, self.table.overflowed(row.metric)));
        Counts {
            series: self.table.len(),
            waiting: self.graph.halves(),
            untimely: self.untimely,
            overflowed: overflowed.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// A number that is none below zero, also where it was written as text.
fn whole(value: &AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(number) => u64::try_from(*number).ok(),
        AnyValue::Double(number) => (*number >= 0.0).then_some(*number as u64),
        AnyValue::Str(text) => text.parse().ok(),
        _ => None,
    }
}

/// The class of a status, as in `5xx`; nothing where there was no answer.
fn status_class(status: u64) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        0 => "",
        _ => "other",
    }
}

/// Where what a record tells of can be looked at.
fn exemplar(record: &LogRecord<'_>, nanos: u64) -> Option<Exemplar> {
    let trace = *TraceId::from_otlp(record.trace_id)?.bytes();
    let span = SpanId::from_otlp(record.span_id).map_or([0; 8], |id| *id.bytes());
    Some(Exemplar { time: record.time, trace, span, nanos })
}
