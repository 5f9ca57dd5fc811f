//! Kong's records, by the rules of Kong's own Prometheus plugin (Kong, `kong/plugins/prometheus/exporter.lua`): 3.x counts what has a
//! route, 2.x what has a service.

use wire::WireError;
use wire::otlp::logs::LogRecord;
use wire::otlp::{AnyValue, Resource};

use super::metric::Metric;
use super::options::KongNames;
use super::value::{ONE, Sample};
use super::{Series, exemplar, whole};
use crate::attribute::{Attribute, Pair};

/// What a record tells.
#[derive(Debug, Default)]
struct Seen<'a> {
    service: [&'a str; 2],
    route: [&'a str; 2],
    consumer: &'a str,
    workspace: &'a str,
    code: Option<u64>,
    source: &'a str,
    request: Option<u64>,
    kong: Option<u64>,
    upstream: Option<u64>,
    session: Option<u64>,
    ingress: u64,
    egress: u64,
    is_stream: bool,
}

impl<'a> Seen<'a> {
    fn of(resource: &Resource<'a>, attributes: &[Pair<'a>]) -> Result<Self, WireError> {
        let mut seen = Self::default();
        if let Some(AnyValue::Str(workspace)) = resource.attributes().get("kong.workspace.name")? {
            seen.workspace = workspace;
        }
        attributes.iter().for_each(|pair| seen.note(pair));
        Ok(seen)
    }

    fn note(&mut self, pair: &Pair<'a>) {
        let text = match pair.value {
            AnyValue::Str(text) => text,
            _ => "",
        };
        let number = || whole(&pair.value).unwrap_or(0);
        match pair.name {
            Attribute::KongServiceName => self.service[0] = text,
            Attribute::KongServiceHost => self.service[1] = text,
            Attribute::KongRouteName => self.route[0] = text,
            Attribute::KongRouteId => self.route[1] = text,
            Attribute::KongConsumerUsername => self.consumer = text,
            Attribute::HttpResponseStatusCode => self.code = whole(&pair.value),
            Attribute::KongSource => self.source = text,
            Attribute::KongLatencyRequest => self.request = nanos(&pair.value),
            Attribute::KongLatencyKong => self.kong = nanos(&pair.value),
            Attribute::KongLatencyProxy => self.upstream = nanos(&pair.value),
            Attribute::KongLatencySession => self.session = nanos(&pair.value),
            Attribute::HttpRequestSize => self.ingress = number(),
            Attribute::HttpResponseSize => self.egress = number(),
            Attribute::NetworkTransport => self.is_stream = true,
            Attribute::KongSessionReceived => self.ingress = number(),
            Attribute::KongSessionSent => self.egress = number(),
            _ => {}
        }
    }

    /// Who made the answer. Records before Kong 3.6 do not tell; then it was the upstream if one was waited for.
    fn source(&self) -> &'static str {
        match self.source {
            "upstream" | "service" => "service",
            "" if self.upstream.is_some() => "service",
            _ => "kong",
        }
    }

    fn service(&self) -> &'a str {
        first(self.service)
    }

    fn route(&self) -> &'a str {
        first(self.route)
    }
}

/// A latency in milliseconds; `None` for −1, with which Kong says that there was none.
fn nanos(value: &AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Double(millis) => (*millis >= 0.0).then_some((millis * 1e6).round() as u64),
        other => whole(other)?.checked_mul(1_000_000),
    }
}

fn first(names: [&str; 2]) -> &str {
    if names[0].is_empty() { names[1] } else { names[0] }
}

impl Series {
    pub(super) fn kong(
        &mut self,
        resource: &Resource<'_>,
        record: &LogRecord<'_>,
        attributes: &[Pair<'_>],
        now: u64,
    ) -> Result<(), WireError> {
        let seen = Seen::of(resource, attributes)?;
        let names = self.options.kong.names;
        if names != KongNames::Two && !seen.route().is_empty() {
            self.kong_3(record, &seen, now);
        }
        if names != KongNames::Three && !seen.service().is_empty() {
            self.kong_2(record, &seen, now);
        }
        Ok(())
    }

    fn kong_3(&mut self, record: &LogRecord<'_>, seen: &Seen<'_>, now: u64) {
        let (service, route, workspace) = (seen.service(), seen.route(), seen.workspace);
        let of = self.options.kong.clone();
        let consumer = if of.per_consumer && !seen.is_stream { seen.consumer } else { "" };
        if let Some(code) = seen.code.filter(|_| of.status_code_metrics) {
            let labels = [service, route, &code.to_string(), seen.source(), workspace, consumer];
            if seen.is_stream {
                self.table.add(Metric::KongSessions, &labels[..5], ONE, now);
            } else {
                self.table.add(Metric::KongRequests, &labels, ONE, now);
            }
        }
        if of.bandwidth_metrics {
            for (direction, bytes) in [("ingress", seen.ingress), ("egress", seen.egress)] {
                if bytes > 0 {
                    let labels = [service, route, direction, workspace, consumer];
                    self.table.add(Metric::KongBandwidth, &labels, bytes.saturating_mul(ONE), now);
                }
            }
        }
        if of.latency_metrics {
            let [whole, upstream] = if seen.is_stream {
                [(Metric::KongSessionDuration, seen.session), (Metric::KongUpstreamLatency, None)]
            } else {
                [(Metric::KongRequestLatency, seen.request), (Metric::KongUpstreamLatency, seen.upstream)]
            };
            for (metric, nanos) in [whole, upstream, (Metric::KongLatency, seen.kong)] {
                self.latency(metric, &[service, route, workspace], record, nanos, now);
            }
        }
    }

    fn kong_2(&mut self, record: &LogRecord<'_>, seen: &Seen<'_>, now: u64) {
        let (service, route) = (seen.service(), seen.route());
        let of = self.options.kong.clone();
        if let Some(code) = seen.code.filter(|_| of.status_code_metrics) {
            let labels = [service, route, &code.to_string(), seen.consumer];
            let metric = if seen.is_stream { Metric::Kong2StreamStatus } else { Metric::Kong2Status };
            self.table.add(metric, &labels[..3], ONE, now);
            if of.per_consumer && !seen.is_stream && !seen.consumer.is_empty() {
                self.table.add(Metric::Kong2ConsumerStatus, &labels, ONE, now);
            }
        }
        if of.bandwidth_metrics {
            for (kind, bytes) in [("ingress", seen.ingress), ("egress", seen.egress)] {
                if bytes > 0 {
                    let labels = [service, route, kind];
                    self.table.add(Metric::Kong2Bandwidth, &labels, bytes.saturating_mul(ONE), now);
                }
            }
        }
        if of.latency_metrics {
            let (whole, upstream) =
                if seen.is_stream { (seen.session, None) } else { (seen.request, seen.upstream) };
            for (kind, nanos) in [("request", whole), ("upstream", upstream), ("kong", seen.kong)] {
                self.latency(Metric::Kong2Latency, &[service, route, kind], record, nanos, now);
            }
        }
    }

    fn latency(
        &mut self,
        metric: Metric,
        labels: &[&str],
        record: &LogRecord<'_>,
        nanos: Option<u64>,
        now: u64,
    ) {
        if let Some(nanos) = nanos {
            let sample = Sample { nanos, weight: ONE, exemplar: exemplar(record, nanos) };
            self.table.observe(metric, labels, sample, now);
        }
    }
}
