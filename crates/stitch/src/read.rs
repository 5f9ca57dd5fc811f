//! From what is in the journal to facts: log records that `normalize` made of Cloudflare's and Kong's here, received spans in `span.rs`.

mod span;

use model::id::{Notation, Ray, derived};
use model::{SpanId, TraceId};
use normalize::kong::reread;
use wire::WireError;
use wire::otlp::AnyValue;
use wire::otlp::logs::LogRecord;

pub use span::{maker, seen, span};

use crate::attribute::{self, Attribute, Pair};
use crate::fact::{Context, Edge, Fact, Fetch, Kong, Line, Look, Of, Origin, Rank, Span, Trace, Try, Worker};

/// A second in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// A millisecond in nanoseconds.
const MILLI: u64 = 1_000_000;

/// The key of a request id of Kong's.
pub fn kong_key(text: &str) -> Option<u128> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    // Whoever can choose an id must not be able to choose one that is mistaken for another.
    let hashed = || u128::from_be_bytes(*derived::id16("key", &[text]).bytes());
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(if is_hex { u128::from_str_radix(text, 16).unwrap_or_else(|_| hashed()) } else { hashed() })
}

/// The key of a ray.
pub fn ray_key(text: &str) -> Option<u64> {
    u64::from_str_radix(Ray::parse(text)?.as_str(), 16).ok()
}

/// A ray as people write it.
pub fn ray_text(ray: u64) -> String {
    format!("{ray:016x}")
}

/// The attributes of a log record that facts are made of.
#[derive(Debug, Default)]
struct Marks<'a> {
    ray: Option<u64>,
    parent_ray: Option<u64>,
    kong_id: Option<&'a str>,
    request_source: Option<&'a str>,
    is_subrequest: bool,
    format: Option<&'a str>,
    parent_span: Option<Span>,
    beside: Vec<Trace>,
    unsampled: bool,
    rewritten: bool,
    is_arrival: bool,
    edge_start: u64,
    edge_end: u64,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u64,
    script: &'a str,
    worker_subrequests: u64,
    worker_wall_us: u64,
    worker_status: &'a str,
    first_byte_ms: u64,
    origin_ms: u64,
    origin_status: u64,
    has_origin: bool,
    cache: &'a str,
    entrypoint: &'a str,
    trigger: &'a str,
    outcome: &'a str,
    wall_ms: u64,
    key: &'a str,
    duration_ms: f64,
    started: u64,
    latency: [Option<i64>; 4],
    upstream_status: &'a str,
    route: [&'a str; 2],
    service: [&'a str; 2],
    attributes: Vec<u8>,
}

impl<'a> Marks<'a> {
    fn of(attributes: &[Pair<'a>]) -> Self {
        let mut seen = Self { attributes: Vec::with_capacity(512), ..Self::default() };
        for pair in attributes {
            seen.note(pair);
            pair.keep(&mut seen.attributes);
        }
        seen
    }

    fn note(&mut self, pair: &Pair<'a>) {
        let text = match pair.value {
            AnyValue::Str(text) => text,
            _ => "",
        };
        let number = || match &pair.value {
            AnyValue::Int(number) => u64::try_from(*number).unwrap_or(0),
            AnyValue::Str(text) => text.parse().unwrap_or(0),
            _ => 0,
        };
        let signed = || match &pair.value {
            AnyValue::Int(number) => Some(*number),
            AnyValue::Double(number) => Some(*number as i64),
            _ => None,
        };
        let truth = matches!(pair.value, AnyValue::Bool(true));
        match pair.name {
            Attribute::CloudflareRayId => self.ray = ray_key(text),
            Attribute::CloudflareParentRayId => self.parent_ray = ray_key(text),
            Attribute::KongRequestId => self.kong_id = Some(text),
            Attribute::CloudflareRequestSource => self.request_source = Some(text),
            Attribute::CloudflareWorkerSubrequest => self.is_subrequest = truth,
            Attribute::TidegateTraceIdFormat => self.format = Some(text),
            Attribute::TidegateParentSpanId => {
                self.parent_span = SpanId::parse(Notation::Hex, text).ok().map(|id| *id.bytes());
            }
            Attribute::TidegateTraceAlias => {
                if let AnyValue::Array(values) = &pair.value {
                    let ids = values.clone().filter_map(|value| match value {
                        Ok(AnyValue::Str(text)) => TraceId::parse(Notation::Hex, text).ok(),
                        _ => None,
                    });
                    self.beside = ids.map(|id| *id.bytes()).collect();
                }
            }
            Attribute::TidegateSampled => self.unsampled = !truth,
            Attribute::TidegateTimeInferred => self.is_arrival = truth,
            Attribute::KongContextRewritten => self.rewritten = truth,
            Attribute::CloudflareEdgeStartNs => self.edge_start = number(),
            Attribute::CloudflareEdgeEndNs => self.edge_end = number(),
            Attribute::HttpRequestMethod => self.method = text,
            Attribute::ServerAddress => self.host = text,
            Attribute::UrlPath => self.path = text,
            Attribute::HttpResponseStatusCode => self.status = number(),
            Attribute::CloudflareWorkerScriptName | Attribute::FaasName => self.script = text,
            Attribute::CloudflareWorkerSubrequestCount => self.worker_subrequests = number(),
            Attribute::CloudflareWorkerWallTimeUs => self.worker_wall_us = number(),
            Attribute::CloudflareWorkerStatus => self.worker_status = text,
            Attribute::CloudflareEdgeTtfbMs => self.first_byte_ms = number(),
            Attribute::CloudflareOriginDurationMs => (self.origin_ms, self.has_origin) = (number(), true),
            Attribute::CloudflareOriginStatus => (self.origin_status, self.has_origin) = (number(), true),
            Attribute::CloudflareOriginAddress => self.has_origin = true,
            Attribute::CloudflareCacheStatus => self.cache = text,
            Attribute::CloudflareEntrypoint => self.entrypoint = text,
            Attribute::FaasTrigger => self.trigger = text,
            Attribute::CloudflareOutcome => self.outcome = text,
            Attribute::CloudflareWallTimeMs => self.wall_ms = number(),
            Attribute::TidegateKey => self.key = text,
            Attribute::CloudflareEdgeRequestDurationMs => {
                self.duration_ms = match pair.value {
                    AnyValue::Double(number) => number,
                    _ => number() as f64,
                };
            }
            Attribute::KongStartedNs => self.started = number(),
            Attribute::KongLatencyRequest => self.latency[0] = signed(),
            Attribute::KongLatencyKong => self.latency[1] = signed(),
            Attribute::KongLatencyProxy => self.latency[2] = signed(),
            Attribute::KongLatencyReceive => self.latency[3] = signed(),
            Attribute::KongUpstreamStatus => self.upstream_status = text,
            Attribute::KongRouteName => self.route[0] = text,
            Attribute::KongRouteId => self.route[1] = text,
            Attribute::KongServiceName => self.service[0] = text,
            Attribute::KongServiceHost => self.service[1] = text,
            _ => {}
        }
    }

    /// The context that the record carries; `is_kong` tells ids that only Kong's own list names from those of headers.
    fn context(&mut self, record: &LogRecord<'_>, is_kong: bool) -> Option<Context> {
        let trace = *TraceId::from_otlp(record.trace_id)?.bytes();
        let rank = match self.format.unwrap_or_default() {
            "custom" => Rank::Custom,
            _ if is_kong && self.parent_span.is_none() => Rank::Injected,
            "w3c" => Rank::W3c,
            "b3" => Rank::B3,
            _ => Rank::Vendor,
        };
        let sampled = if self.unsampled { Some(false) } else { (record.flags & 1 == 1).then_some(true) };
        let beside = std::mem::take(&mut self.beside);
        Some(Context { trace, rank, parent: self.parent_span, sampled, beside })
    }

    fn look(&mut self, start: u64, end: u64) -> Look {
        Look {
            start,
            end,
            method: self.method.to_owned(),
            host: self.host.to_owned(),
            path: self.path.to_owned(),
            status: u16::try_from(self.status).unwrap_or(0),
            attributes: self.attributes.as_slice().to_vec(),
        }
    }
}

/// The fact in a log record that `normalize` made; `None` for all others.
///
/// # Errors
/// The record is not OTLP.
pub fn record(record: &LogRecord<'_>) -> Result<Option<Fact>, WireError> {
    let mut attributes = Vec::new();
    attribute::Reader::default().read(record.raw, &mut attributes)?;
    Ok(fact(record, &attributes))
}

/// As `record`, of a record whose attributes were read.
pub(crate) fn fact(record: &LogRecord<'_>, attributes: &[Pair<'_>]) -> Option<Fact> {
    match record.event_name {
        "cloudflare.http_requests" => http(record, Marks::of(attributes)),
        "cloudflare.edge_request" => legacy(record, Marks::of(attributes)),
        "cloudflare.worker" => worker(record, Marks::of(attributes)),
        "cloudflare.worker.console" | "cloudflare.worker.exception" => line(record, attributes),
        "cloudflare.event" => decision(record, attributes),
        "kong.http_log" => kong(record, Marks::of(attributes)),
        _ => None,
    }
}

fn http(record: &LogRecord<'_>, mut seen: Marks<'_>) -> Option<Fact> {
    let ray = seen.ray?;
    let source = seen.request_source;
    let (start, end) = (seen.edge_start, seen.edge_end);
    let (start, end) = match (start, end) {
        (0, 0) => (record.time, record.time),
        (0, end) => (end, end),
        (start, 0) => (start, start),
        both => both,
    };
    let context = seen.context(record, false);
    if seen.is_subrequest || source == Some("edgeWorkerFetch") {
        // What Workers ask of caches and key-value stores is no request to an origin.
        let is_fetch = source.is_none_or(|source| source == "edgeWorkerFetch");
        let fetch = || Fetch { ray, parent: seen.parent_ray, look: seen.look(start, end), context };
        return is_fetch.then(fetch).map(Fact::Fetch);
    }
    if !matches!(source, None | Some("eyeball" | "unknown" | "orangeToOrange")) {
        return None;
    }
    let has_worker = !seen.script.is_empty()
        || seen.worker_subrequests > 0
        || seen.worker_wall_us > 0
        || !seen.worker_status.is_empty();
    let origin = Origin {
        status: u16::try_from(seen.origin_status).unwrap_or(0),
        took: seen.origin_ms.saturating_mul(MILLI),
    };
    let took = (seen.first_byte_ms.max(seen.origin_ms) * MILLI).max(seen.worker_wall_us.saturating_mul(1000));
    Some(Fact::Edge(Edge {
        ray,
        has_worker,
        from_cache: matches!(seen.cache, "hit" | "stale" | "updating" | "stream_hit"),
        took,
        first_byte: seen.first_byte_ms * MILLI,
        origin: seen.has_origin.then_some(origin),
        is_legacy: false,
        look: seen.look(start, end),
        context,
    }))
}

fn legacy(record: &LogRecord<'_>, mut seen: Marks<'_>) -> Option<Fact> {
    let took = (seen.duration_ms.clamp(0.0, 1e9) * MILLI as f64) as u64;
    let context = seen.context(record, false);
    Some(Fact::Edge(Edge {
        ray: seen.ray?,
        has_worker: false,
        from_cache: false,
        took,
        first_byte: 0,
        origin: None,
        is_legacy: true,
        look: seen.look(record.observed.saturating_sub(took), record.observed),
        context,
    }))
}

fn worker(record: &LogRecord<'_>, mut seen: Marks<'_>) -> Option<Fact> {
    let ray = seen.ray;
    let (ray_part, [script, stamp, kind, entrypoint]) = run(seen.key)?;
    let span = span_of_run(ray, ray_part, [script, stamp, kind, entrypoint]);
    let trace = derived::id16("trace", &[ray_part, script, stamp, kind, entrypoint]);
    let start = if seen.is_arrival { record.observed } else { record.time };
    let context = seen.context(record, false);
    let failed = !matches!(seen.outcome, "" | "ok" | "canceled") || seen.status >= 500;
    Some(Fact::Worker(Worker {
        ray,
        span,
        trace: *trace.bytes(),
        script: seen.script.to_owned(),
        is_queue: seen.trigger == "queue",
        failed,
        look: seen.look(start, start.saturating_add(seen.wall_ms.saturating_mul(MILLI))),
        context,
    }))
}

/// What names a Worker's run in its records' keys, `workers_trace_events|ray|script|time|type|entrypoint` and what follows: the ray, the others.
/// A script's name has no bar in it.
fn run(key: &str) -> Option<(&str, [&str; 4])> {
    let mut parts = key.split('|').skip(1);
    let mut next = || parts.next();
    Some((next()?, [next()?, next()?, next()?, next()?]))
}

/// The span of a Worker's run.
fn span_of_run(ray: Option<u64>, ray_part: &str, [script, stamp, kind, entrypoint]: [&str; 4]) -> Span {
    let id = match ray {
        Some(_) => derived::id8("cf.worker", &[ray_part, script, entrypoint]),
        None => derived::id8("cf.worker", &[script, stamp, kind, entrypoint]),
    };
    *id.bytes()
}

/// The text under a name.
fn text_of<'a>(attributes: &[Pair<'a>], name: Attribute) -> Option<&'a str> {
    attributes.iter().find_map(|pair| match pair.value {
        AnyValue::Str(text) if pair.name == name => Some(text),
        _ => None,
    })
}

/// The number of a record's key.
fn number_of(key: &str) -> u128 {
    u128::from_be_bytes(*derived::id16("line", &[key]).bytes())
}

/// A line that a Worker wrote, or an exception that it did not catch.
fn line(record: &LogRecord<'_>, attributes: &[Pair<'_>]) -> Option<Fact> {
    let key = text_of(attributes, Attribute::TidegateKey)?;
    let ray = text_of(attributes, Attribute::CloudflareRayId).and_then(ray_key);
    let (ray_part, parts) = run(key)?;
    let of = Of::Worker(ray, span_of_run(ray, ray_part, parts));
    let time = if record.time == 0 { record.observed } else { record.time };
    Some(Fact::Line(Line { key: number_of(key), time, of, event: Vec::new() }))
}

/// A decision of the firewall.
fn decision(record: &LogRecord<'_>, attributes: &[Pair<'_>]) -> Option<Fact> {
    if text_of(attributes, Attribute::CloudflareDataset)? != "firewall_events" {
        return None;
    }
    let key = text_of(attributes, Attribute::TidegateKey)?;
    let ray = text_of(attributes, Attribute::CloudflareRayId).and_then(ray_key)?;
    let mut event = Vec::new();
    for pair in attributes {
        match pair.name {
            Attribute::CloudflareFieldAction => pair.keep_as(Attribute::CloudflareSecurityAction, &mut event),
            Attribute::CloudflareFieldSource => pair.keep_as(Attribute::CloudflareSecuritySource, &mut event),
            Attribute::CloudflareFieldRuleID => pair.keep_as(Attribute::CloudflareSecurityRuleId, &mut event),
            _ => {}
        }
    }
    Some(Fact::Line(Line { key: number_of(key), time: record.time, of: Of::Edge(ray), event }))
}

fn kong(record: &LogRecord<'_>, mut seen: Marks<'_>) -> Option<Fact> {
    let body = match &record.body {
        AnyValue::Str(text) => text.as_bytes(),
        AnyValue::Bytes(bytes) => bytes,
        _ => return None,
    };
    // A record of a stream has no request, and is none.
    if seen.method.is_empty() || seen.started == 0 {
        return None;
    }
    let again = reread(body)?;
    let parts: Vec<&str> = again.key.iter().map(String::as_str).collect();
    let key = u128::from_be_bytes(*derived::id16("kong.key", &parts).bytes());
    let millis =
        |at: usize| seen.latency[at].and_then(|ms| u64::try_from(ms).ok()).map(|ms| ms.saturating_mul(MILLI));
    let end = seen.started.saturating_add(millis(0).unwrap_or(0));
    let answered = match (millis(1), millis(2), millis(3)) {
        (Some(kong), Some(proxy), Some(receive)) => {
            seen.started.saturating_add(kong + proxy + receive).min(end)
        }
        _ => end,
    };
    let statuses: Vec<u16> = seen.upstream_status.split(',').map(|s| s.trim().parse().unwrap_or(0)).collect();
    let tries = again.tries.iter().enumerate().map(|(at, one)| {
        let number = (at + 1).to_string();
        let parts: Vec<&str> = parts.iter().copied().chain([number.as_str()]).collect();
        Try {
            span: *derived::id8("kong.client", &parts).bytes(),
            start: one.start.unwrap_or(seen.started),
            ip: one.ip.clone(),
            port: one.port,
            status: statuses.get(at).copied().unwrap_or(0),
            failed: one.failed,
        }
    });
    let tries: Vec<Try> = tries.collect();
    let first =
        |names: [&str; 2]| names.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_owned();
    let context = seen.context(record, true);
    Some(Fact::Kong(Kong {
        key,
        id: seen.kong_id.and_then(kong_key),
        ray: seen.ray,
        span: *derived::id8("kong.server", &parts).bytes(),
        trace: *derived::id16("trace", &parts).bytes(),
        route: first(seen.route),
        service: first(seen.service),
        answered,
        tries,
        rewritten: seen.rewritten,
        grand_parent: again.grand_parent.map(|id| *id.bytes()),
        due: record.observed,
        look: seen.look(seen.started, end),
        context,
    }))
}

/// Whether both times are whole seconds, so that they tell little.
pub(crate) fn is_coarse(look: &Look) -> bool {
    look.start.is_multiple_of(SECOND) && look.end.is_multiple_of(SECOND)
}
