//! What is counted, and how much room it may take.

use std::time::Duration;

use model::Problem;
use pipeline::settings::{Period, Size, at_most, within};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3_600);

/// Metrics made of logs and spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Of Cloudflare's logs.
    pub cloudflare: Cloudflare,
    /// Of Kong's logs.
    pub kong: Kong,
    /// Of spans.
    pub spans: Spans,
    /// Which form histograms have.
    pub histograms: Histograms,
    /// Whether histograms carry the trace and span of a recent observation for each bucket.
    pub exemplars: bool,
    /// Most series of one metric and tenant. What comes beyond is counted in the series whose labels all say `__other__`.
    pub most_series: usize,
    /// Most bytes of a label's value; longer ones are cut.
    pub label_bytes: usize,
    /// How often a series that did not change is told again. Prometheus forgets what it has not heard of for five minutes, and a
    /// rate over one minute, as Kong's dashboard asks for, takes two points.
    pub repeat: Period,
    /// How long a series that did not change is kept; then it ends, and if it comes back it starts at zero.
    pub idle: Period,
    /// What lies further back than this when it arrives is not counted.
    pub oldest: Period,
    /// What lies further ahead than this when it arrives is not counted.
    pub ahead: Period,
    /// Most bytes of one batch of metrics.
    pub body: Size,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cloudflare: Cloudflare::default(),
            kong: Kong::default(),
            spans: Spans::default(),
            histograms: Histograms::default(),
            exemplars: true,
            most_series: 2_000,
            label_bytes: 200,
            repeat: Period(Duration::from_secs(20)),
            idle: Period(24 * HOUR),
            oldest: Period(7 * 24 * HOUR),
            ahead: Period(HOUR / 6),
            body: Size(1 << 20),
        }
    }
}

/// The forms of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Histograms {
    /// Buckets with the bounds that dashboards know.
    #[default]
    Classic,
    /// Exponential buckets: Prometheus' native histograms.
    Native,
    /// Both, under one name.
    Both,
}

/// Metrics of Cloudflare's logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cloudflare {
    /// Whether they are made.
    pub enabled: bool,
    /// Which dataset tells how long Workers ran. Both tell of the same runs, so only one is counted.
    pub worker_durations: WorkerDurations,
}

impl Default for Cloudflare {
    fn default() -> Self {
        Self { enabled: true, worker_durations: WorkerDurations::default() }
    }
}

/// The datasets that tell how long Workers ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerDurations {
    /// `workers_trace_events`: every run, of whatever kind.
    #[default]
    WorkersTraceEvents,
    /// `http_requests`: runs that visitors' requests caused. For accounts that push no Worker events.
    HttpRequests,
}

/// Metrics of Kong's logs, by the names and rules of Kong's own Prometheus plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kong {
    /// Whether they are made. Switch them off where Kong's own plugin is scraped, or every request counts twice.
    pub enabled: bool,
    /// Whose names they have.
    pub names: KongNames,
    /// Whether requests are counted by status code.
    pub status_code_metrics: bool,
    /// Whether latencies are.
    pub latency_metrics: bool,
    /// Whether bytes are.
    pub bandwidth_metrics: bool,
    /// Whether the consumer is told. Each one is a series for every route and code.
    pub per_consumer: bool,
}

impl Default for Kong {
    fn default() -> Self {
        Self {
            enabled: true,
            names: KongNames::default(),
            status_code_metrics: true,
            latency_metrics: true,
            bandwidth_metrics: true,
            per_consumer: false,
        }
    }
}

/// The versions of Kong's plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum KongNames {
    /// Of Kong 3.
    #[default]
    #[serde(rename = "3.x")]
    Three,
    /// Of Kong 2.
    #[serde(rename = "2.x")]
    Two,
    /// Of both: for the time in which dashboards move.
    #[serde(rename = "both")]
    Both,
}

/// Metrics of spans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spans {
    /// Whether they are made.
    pub enabled: bool,
    /// Whether spans within a process count too. They have many names.
    pub internal: bool,
    /// Whether requests between services are counted.
    pub graph: bool,
    /// How long a span waits for its other half. Logpush tells of the edge minutes later than services of themselves.
    pub wait: Period,
    /// Most spans that wait or were paired not long ago. Where there are more, those that were paired go first, then the oldest.
    pub most_waiting: usize,
    /// The services that are gateways of OpenFaaS, by `service.name`.
    pub openfaas_gateways: Vec<String>,
}

impl Default for Spans {
    fn default() -> Self {
        Self {
            enabled: true,
            internal: false,
            graph: true,
            wait: Period(HOUR / 6),
            most_waiting: 100_000,
            openfaas_gateways: vec!["openfaas-gateway".into()],
        }
    }
}

impl Options {
    /// What is wrong with them.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        within("most_series", self.most_series, 1..=100_000, "2000", &mut problems);
        within("label_bytes", self.label_bytes, 16..=4_096, "200", &mut problems);
        within("body", self.body, Size(64 << 10)..=Size(4 << 20), "1MiB", &mut problems);
        within("spans.most_waiting", self.spans.most_waiting, 1_000..=10_000_000, "100000", &mut problems);
        let second = Period(Duration::from_secs(1));
        within("repeat", self.repeat, second..=Period(HOUR / 12), "20s", &mut problems);
        within("idle", self.idle, Period(HOUR / 6)..=Period(90 * 24 * HOUR), "1d", &mut problems);
        within("spans.wait", self.spans.wait, second..=Period(24 * HOUR), "10m", &mut problems);
        at_most("ahead", self.ahead, Period(24 * HOUR), "10m", &mut problems);
        problems
    }
}

/// A period in nanoseconds.
pub(super) fn nanos(period: Period) -> u64 {
    u64::try_from(period.0.as_nanos()).unwrap_or(u64::MAX)
}
