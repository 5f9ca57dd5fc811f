//! The settings that belong to no component: where data is kept, how much memory and disk may be used, how couriers try.

use std::borrow::Cow;
use std::time::Duration;

use journal::OnFull;
use model::Problem;
use pipeline::rules::settings::RuleSettings;
use pipeline::settings::{Period, Size};
use pipeline::{Moment, SinkOptions};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Everything outside `front_door`, `receivers` and `sinks`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The folder that holds the journal, the store, dead letters and the quarantine. Left out: `$TIDEGATE_DATA`, else `./tidegate-data`.
    pub(crate) data: Option<String>,
    /// Memory.
    pub(crate) memory: MemorySettings,
    /// The durable log that every accepted request is written to before it is acknowledged.
    pub(crate) journal: JournalSettings,
    /// What peers refuse for good, kept for the operator.
    pub(crate) dead_letters: DeadLetterSettings,
    /// One trace out of what Cloudflare, Kong and services send.
    pub(crate) stitch: StitchSettings,
    /// Stopping.
    pub(crate) shutdown: ShutdownSettings,
}

/// How the spans of edge, Workers and Kong are made from their logs and joined with those of services.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StitchSettings {
    /// Whether it is done at all.
    pub(crate) enabled: bool,
    /// How long the records of one request may come after each other and still join, at least. What comes later is kept and delivered all the
    /// same, as a request of its own.
    pub(crate) window: Period,
    /// How long a request can be looked up by every id that it had, at least.
    pub(crate) remember: Period,
    /// How long a request through Kong waits for Kong's own span and for what the edge tells, before its spans are made. A sink that only
    /// appends is given the first version of a span alone: with a period longer than Logpush takes (some minutes), that version knows the edge.
    pub(crate) hold: Period,
    /// Whether Kong sends spans of its own for the requests that it logs. What is learned takes 100 requests of one of its services in ten minutes:
    /// where at least 99 of 100 have a span of Kong's own it is waited for, 30 s at least; where none has, nothing is waited for, unless `hold`
    /// is longer than 5 s.
    pub(crate) kong_spans: stitch::engine::KongSpans,
    /// Whether answers from Cloudflare's cache have a span even where the visitor sent no trace context.
    pub(crate) every_edge: bool,
    /// Whether Kong's span becomes the parent of a service's root span that names Kong's request but shares no trace context with it. The
    /// service's span stays as it was sent; look-ups show it there.
    pub(crate) fill_root_parent: bool,
    /// What becomes of a span that is made of Kong's log, or of a Worker's, and whose clock differs from that of its parent's.
    pub(crate) clock_skew: stitch::engine::ClockSkew,
    /// Metrics made of Cloudflare's and Kong's logs and of spans: see the reference of derived metrics.
    pub(crate) metrics: stitch::series::Options,
    /// What tells this gateway's derived metrics from those of others: their label `instance`. Left out: the machine's name.
    pub(crate) instance: Option<String>,
}

impl Default for StitchSettings {
    fn default() -> Self {
        let options = stitch::engine::Options::default();
        Self {
            enabled: true,
            window: Period(options.window),
            remember: Period(options.remember),
            hold: Period(options.hold),
            kong_spans: options.kong_spans,
            every_edge: options.every_edge,
            fill_root_parent: options.fills_roots,
            clock_skew: options.clock_skew,
            metrics: options.metrics,
            instance: None,
        }
    }
}

/// The machine's name.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "tidegate".to_owned() } else { name.to_owned() }
}

impl StitchSettings {
    /// The options, or what is wrong.
    pub(crate) fn check(&self) -> Result<Option<stitch::engine::Options>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut within = |name: &str, value: Duration, least: Duration, most: Duration| {
            if value < least || value > most {
                problems.push(Problem::new(
                    name,
                    format!("{value:?} is not between {least:?} and {most:?}"),
                    "choose a period in between",
                ));
            }
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        within("window", self.window.0, 60 * second, 48 * hour);
        within("remember", self.remember.0, 60 * second, 90 * 24 * hour);
        within("hold", self.hold.0, Duration::ZERO, hour);
        problems.extend(self.metrics.problems().into_iter().map(|mut problem| {
            problem.path = format!("metrics.{}", problem.path);
            problem
        }));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(self.enabled.then(|| stitch::engine::Options {
            window: self.window.0,
            remember: self.remember.0,
            hold: self.hold.0,
            kong_spans: self.kong_spans,
            every_edge: self.every_edge,
            fills_roots: self.fill_root_parent,
            clock_skew: self.clock_skew,
            metrics: self.metrics.clone(),
            instance: self.instance.clone().unwrap_or_else(machine),
            ..stitch::engine::Options::default()
        }))
    }
}

/// How much memory may be used for data on its way.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MemorySettings {
    /// Bytes that request bodies, the journal's hot tail, parcels and the store's builders may take together. When they are used up, new
    /// requests are refused with the code that their senders retry.
    pub(crate) limit: Size,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { limit: Size(512 << 20) }
    }
}

/// The journal's settings.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JournalSettings {
    /// When a request counts as kept.
    pub(crate) durability: Durability,
    /// Bytes on disk for all signals together. Left out: the smaller of 10 GiB and a fifth of the free space. When they are used up, new
    /// requests are refused until the slowest sink has caught up, unless that sink's `on_full` is `skip`.
    pub(crate) max_bytes: Option<Size>,
    /// How long data stays for replay after every sink has it.
    pub(crate) keep: Period,
    /// How long a sink that is no longer configured still holds its data.
    pub(crate) keep_orphans: Period,
}

impl Default for JournalSettings {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            durability: Durability::Sync,
            max_bytes: None,
            keep: Period(hour),
            keep_orphans: Period(24 * hour),
        }
    }
}

/// How long what a sink's peer refuses for good is kept: see `tidegate dead-letters`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeadLetterSettings {
    /// Bytes on disk for each sink. When they are used up the oldest go, which is counted.
    pub(crate) max_bytes: Size,
    /// How long a dead letter is kept.
    pub(crate) keep: Period,
}

impl Default for DeadLetterSettings {
    fn default() -> Self {
        Self { max_bytes: Size(256 << 20), keep: Period(Duration::from_secs(30 * 86_400)) }
    }
}

/// When a request counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// After `fdatasync`: it survives power loss.
    Sync,
    /// After it was handed to the system: it survives a crash of the process.
    Flush,
    /// At once: it is lost with the process.
    Memory,
}

/// How the gateway stops.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShutdownSettings {
    /// How long requests and deliveries in flight may take to finish after SIGTERM. What is not delivered by then stays in the journal.
    pub(crate) deadline: Period,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { deadline: Period(Duration::from_secs(25)) }
    }
}

/// What may be set for any sink beside its `type` and its own settings.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CourierSettings {
    /// Where a sink that is new begins.
    pub(crate) start: Start,
    /// What happens when the journal is full and this sink is what holds it.
    pub(crate) on_full: Full,
    /// How long one attempt may take before it is cancelled and tried again. A peer that answers no signal of the sink for so long, five times
    /// in a row, is away for all of them.
    pub(crate) deadline: Period,
    /// Items that were received longer ago than this are given up, booked `expired`. Left out: never.
    pub(crate) max_age: Option<Period>,
    /// The longest wait between two attempts; the first is 100 ms and each further one up to twice the last.
    pub(crate) backoff: Period,
    /// How log records of Cloudflare and Kong are given. See the guide on stitching.
    pub(crate) edge_logs: EdgeLogs,
    /// What it is given of what the journal holds: filters, sampling, redaction.
    pub(crate) rules: RuleSettings,
}

impl Default for CourierSettings {
    fn default() -> Self {
        let options = SinkOptions::default();
        Self {
            start: Start(Moment::Earliest),
            on_full: Full::Hold,
            deadline: Period(options.deadline),
            max_age: None,
            backoff: Period(options.backoff_most),
            edge_logs: EdgeLogs::Received,
            rules: RuleSettings::default(),
        }
    }
}

/// Where a new sink begins: `earliest` (the oldest data that the journal still has), `now` (what arrives from now on), or a period
/// back like `-1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Moment", into = "Moment")]
pub(crate) struct Start(Moment);

impl TryFrom<Moment> for Start {
    type Error = String;

    fn try_from(moment: Moment) -> Result<Self, String> {
        match moment {
            // A time would mean another thing each time that the sink's cursor has to be made.
            Moment::At(_) => {
                Err(format!("{moment} is a time; write earliest, now, or a period back like -1h"))
            }
            _ => Ok(Self(moment)),
        }
    }
}

impl From<Start> for Moment {
    fn from(start: Start) -> Self {
        start.0
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(earliest|now|-[0-9]+(ms|s|m|h|d))$",
            "description": "Where a new sink begins: earliest (the oldest data that the journal still has), now (what arrives from now on), or a period back like -1h."
        })
    }
}

/// What happens when the journal is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Full {
    /// New data is refused, retryably, until the sink has caught up.
    Hold,
    /// The sink forgets its oldest data, booked `skipped`.
    Skip,
}

/// How log records of Cloudflare and Kong are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EdgeLogs {
    /// At once, under the ids that they came with.
    Received,
    /// Once, under the trace and the span that they belong to, when that is decided: those of Kong after stitching's `hold`.
    Joined,
}

impl CourierSettings {
    /// What the courier is to do, or every problem.
    pub(crate) fn check(&self) -> Result<SinkOptions, Vec<Problem>> {
        let under_rules = |mut problem: Problem| {
            problem.path = format!("rules.{}", problem.path);
            problem
        };
        let rules =
            self.rules.check().map_err(|found| found.into_iter().map(under_rules).collect::<Vec<_>>())?;
        Ok(SinkOptions {
            start: self.start.0,
            on_full: match self.on_full {
                Full::Hold => OnFull::Hold,
                Full::Skip => OnFull::Skip,
            },
            deadline: self.deadline.0,
            max_age: self.max_age.map(|period| period.0),
            backoff_most: self.backoff.0,
            rules,
            ..SinkOptions::default()
        })
    }
}
