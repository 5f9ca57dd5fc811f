//! Cloudflare's records: visitors' requests, what Workers asked for, Workers' runs and exceptions, what the firewall decided.

use wire::otlp::AnyValue;
use wire::otlp::logs::LogRecord;

use super::metric::Metric;
use super::options::WorkerDurations;
use super::value::{ONE, Sample};
use super::{Series, exemplar, status_class, whole};
use crate::attribute::{Attribute, Pair};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// What a record tells; of the numbers 0 is "not told", as in Cloudflare's own records.
#[derive(Debug, Default)]
struct Seen<'a> {
    request_source: Option<&'a str>,
    is_subrequest: bool,
    zone: &'a str,
    colo: &'a str,
    method: &'a str,
    status: u64,
    cache: &'a str,
    start: u64,
    end: u64,
    first_byte_ms: u64,
    origin_ms: u64,
    origin_ns: u64,
    origin_status: u64,
    size: u64,
    script: &'a str,
    worker_status: &'a str,
    wall_us: u64,
    cpu_us: u64,
    trigger: &'a str,
    outcome: &'a str,
    wall_ms: Option<u64>,
    cpu_ms: Option<u64>,
    exception: &'a str,
    dataset: &'a str,
    action: &'a str,
    rule_source: &'a str,
    match_index: Option<u64>,
    weight: Option<u64>,
}

impl<'a> Seen<'a> {
    fn of(attributes: &[Pair<'a>]) -> Self {
        let mut seen = Self::default();
        attributes.iter().for_each(|pair| seen.note(pair));
        seen
    }

    fn note(&mut self, pair: &Pair<'a>) {
        let text = match pair.value {
            AnyValue::Str(text) => text,
            _ => "",
        };
        let number = || whole(&pair.value);
        let or_none = || number().unwrap_or(0);
        match pair.name {
            Attribute::CloudflareRequestSource => self.request_source = Some(text),
            Attribute::CloudflareWorkerSubrequest => {
                self.is_subrequest = matches!(pair.value, AnyValue::Bool(true));
            }
            Attribute::CloudflareZone => self.zone = text,
            Attribute::CloudflareColo => self.colo = text,
            Attribute::HttpRequestMethod => self.method = text,
            Attribute::HttpResponseStatusCode => self.status = or_none(),
            Attribute::CloudflareCacheStatus => self.cache = text,
            Attribute::CloudflareEdgeStartNs => self.start = or_none(),
            Attribute::CloudflareEdgeEndNs => self.end = or_none(),
            Attribute::CloudflareEdgeTtfbMs => self.first_byte_ms = or_none(),
            Attribute::CloudflareOriginDurationMs => self.origin_ms = or_none(),
            Attribute::CloudflareOriginDurationNs => self.origin_ns = or_none(),
            Attribute::CloudflareOriginStatus => self.origin_status = or_none(),
            Attribute::HttpResponseSize => self.size = or_none(),
            Attribute::CloudflareWorkerScriptName | Attribute::FaasName => self.script = text,
            Attribute::CloudflareWorkerStatus => self.worker_status = text,
            Attribute::CloudflareWorkerWallTimeUs => self.wall_us = or_none(),
            Attribute::CloudflareWorkerCpuTimeUs => self.cpu_us = or_none(),
            Attribute::FaasTrigger => self.trigger = text,
            Attribute::CloudflareOutcome => self.outcome = text,
            Attribute::CloudflareWallTimeMs => self.wall_ms = number(),
            Attribute::CloudflareCpuTimeMs => self.cpu_ms = number(),
            Attribute::ExceptionType => self.exception = text,
            Attribute::CloudflareDataset => self.dataset = text,
            Attribute::CloudflareFieldAction => self.action = text,
            Attribute::CloudflareFieldSource => self.rule_source = text,
            Attribute::CloudflareFieldMatchIndex => self.match_index = number(),
            Attribute::CloudflareSampleRate => self.weight = weight(text),
            _ => {}
        }
    }

    fn weight(&self) -> u64 {
        self.weight.unwrap_or(ONE)
    }

    /// How long the edge was at it. Where both times are whole seconds they tell less than the longest thing that is known.
    fn took(&self) -> Option<u64> {
        if self.start == 0 || self.end == 0 {
            return None;
        }
        if self.start.is_multiple_of(SECOND) && self.end.is_multiple_of(SECOND) {
            let millis = self.first_byte_ms.max(self.origin_ms).saturating_mul(MILLI);
            return Some(millis.max(self.wall_us.saturating_mul(1_000)));
        }
        Some(self.end.saturating_sub(self.start))
    }

    fn origin(&self) -> u64 {
        if self.origin_ms > 0 { self.origin_ms.saturating_mul(MILLI) } else { self.origin_ns }
    }
}

/// How many records one of a sampled feed stands for, in thousandths; `None` for what is no rate.
fn weight(rate: &str) -> Option<u64> {
    let rate: f64 = rate.parse().ok()?;
    (rate > 0.0 && rate <= 1.0).then(|| (ONE as f64 / rate.max(1e-6)).round() as u64)
}

/// Methods that are told apart; visitors may send any word.
fn method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" | "PURGE"
        | "" => method,
        _ => "_OTHER",
    }
}

impl Series {
    pub(super) fn http(&mut self, record: &LogRecord<'_>, attributes: &[Pair<'_>], now: u64) {
        let seen = Seen::of(attributes);
        let status = if seen.status == 0 { String::new() } else { seen.status.to_string() };
        let source = seen.request_source.unwrap_or_default();
        if seen.is_subrequest || source == "edgeWorkerFetch" {
            self.table.add(Metric::Subrequests, &[seen.zone, &status, source], seen.weight(), now);
            // What Workers ask of caches and key-value stores reaches no origin.
            if matches!(source, "" | "edgeWorkerFetch") {
                self.origin(record, &seen, now);
            }
            return;
        }
        let labels = [seen.zone, method(seen.method), &status, seen.cache, source];
        self.table.add(Metric::Requests, &labels, seen.weight(), now);
        // Purges and health checks are requests of Cloudflare's own, and wait for nobody.
        if matches!(source, "" | "eyeball" | "unknown" | "orangeToOrange") {
            self.visitor(record, &seen, now);
        }
    }

    fn visitor(&mut self, record: &LogRecord<'_>, seen: &Seen<'_>, now: u64) {
        let (weight, class) = (seen.weight(), status_class(seen.status));
        self.table.add(Metric::ColoRequests, &[seen.zone, seen.colo, class], weight, now);
        self.table.add(Metric::ResponseBytes, &[seen.zone], seen.size.saturating_mul(weight), now);
        let first_byte = seen.first_byte_ms.saturating_mul(MILLI);
        let durations = [
            (Metric::EdgeDuration, seen.took()),
            (Metric::EdgeFirstByte, Some(first_byte).filter(|nanos| *nanos > 0)),
        ];
        for (metric, nanos) in durations {
            if let Some(nanos) = nanos {
                let sample = Sample { nanos, weight, exemplar: exemplar(record, nanos) };
                self.table.observe(metric, &[seen.zone, class], sample, now);
            }
        }
        self.origin(record, seen, now);
        if self.options.cloudflare.worker_durations == WorkerDurations::HttpRequests
            && !seen.script.is_empty()
        {
            let micros = |micros: u64| micros.saturating_mul(1_000);
            let times = [Some(micros(seen.wall_us)), Some(micros(seen.cpu_us))];
            self.run(record, [seen.script, "fetch", seen.worker_status], times, weight, now);
        }
    }

    fn origin(&mut self, record: &LogRecord<'_>, seen: &Seen<'_>, now: u64) {
        let nanos = seen.origin();
        if nanos > 0 {
            let sample = Sample { nanos, weight: seen.weight(), exemplar: exemplar(record, nanos) };
            let labels = [seen.zone, status_class(seen.origin_status)];
            self.table.observe(Metric::OriginDuration, &labels, sample, now);
        }
    }

    pub(super) fn worker(&mut self, record: &LogRecord<'_>, attributes: &[Pair<'_>], now: u64) {
        let seen = Seen::of(attributes);
        if self.options.cloudflare.worker_durations == WorkerDurations::WorkersTraceEvents {
            let times = [seen.wall_ms, seen.cpu_ms].map(|millis| Some(millis?.saturating_mul(MILLI)));
            self.run(record, [seen.script, seen.trigger, seen.outcome], times, seen.weight(), now);
        }
    }

    /// A Worker's run: script, event and outcome; wall and CPU time.
    fn run(
        &mut self,
        record: &LogRecord<'_>,
        labels: [&str; 3],
        [wall, cpu]: [Option<u64>; 2],
        weight: u64,
        now: u64,
    ) {
        let sample = |nanos| Sample { nanos, weight, exemplar: exemplar(record, nanos) };
        if let Some(nanos) = wall {
            self.table.observe(Metric::WorkerDuration, &labels, sample(nanos), now);
        }
        if let Some(nanos) = cpu {
            self.table.observe(Metric::WorkerCpu, &labels[..1], sample(nanos), now);
        }
    }

    pub(super) fn exception(&mut self, attributes: &[Pair<'_>], now: u64) {
        let seen = Seen::of(attributes);
        self.table.add(Metric::WorkerExceptions, &[seen.script, seen.exception], seen.weight(), now);
    }

    /// Events of the firewall: of the rules that matched a request the one that decided.
    pub(super) fn event(&mut self, attributes: &[Pair<'_>], now: u64) {
        let seen = Seen::of(attributes);
        if seen.dataset == "firewall_events" && seen.match_index.unwrap_or(0) == 0 {
            let labels = [seen.zone, seen.action, seen.rule_source];
            self.table.add(Metric::FirewallEvents, &labels, seen.weight(), now);
        }
    }
}
