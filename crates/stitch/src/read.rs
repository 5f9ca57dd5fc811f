//! From what is in the journal to facts: log records that `normalize` made of Cloudflare's and Kong's here, received spans in `span.rs`.

mod span;

use model::id::{Notation, Ray, derived};
use model::{SpanId, TraceId};
use normalize::kong::reread;
use wire::WireError;
use wire::otlp::logs::LogRecord;
use wire::otlp::{AnyValue, Attributes, KeyValue};
use wire::put;

pub use span::{maker, seen, span};

use crate::attribute;
use crate::fact::{Context, Edge, Fact, Fetch, Kong, Look, Origin, Rank, Span, Trace, Try, Worker};

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

/// Attributes that tell the gateway's own story or repeat the ids, and have no place in a span.
const LEFT_OUT: &[&str] =
    &["tidegate.", "kong.started_ns", "cloudflare.edge.start_ns", "cloudflare.edge.end_ns", "source"];

impl<'a> Marks<'a> {
    fn of(attributes: Attributes<'a>) -> Result<Self, WireError> {
        let mut seen = Self::default();
        for pair in attributes {
            let pair = pair?;
            seen.note(&pair);
            if !LEFT_OUT.iter().any(|prefix| pair.key.starts_with(prefix)) {
                copy(&mut seen.attributes, &pair);
            }
        }
        Ok(seen)
    }

    fn note(&mut self, pair: &KeyValue<'a>) {
        let text = match &pair.value {
            AnyValue::Str(text) => *text,
            _ => "",
        };
        let number = match &pair.value {
            AnyValue::Int(number) => u64::try_from(*number).unwrap_or(0),
            AnyValue::Str(text) => text.parse().unwrap_or(0),
            _ => 0,
        };
        let signed = match &pair.value {
            AnyValue::Int(number) => Some(*number),
            AnyValue::Double(number) => Some(*number as i64),
            _ => None,
        };
        let truth = matches!(pair.value, AnyValue::Bool(true));
        match pair.key {
            "cloudflare.ray_id" => self.ray = ray_key(text),
            "cloudflare.parent_ray_id" => self.parent_ray = ray_key(text),
            "kong.request.id" => self.kong_id = Some(text),
            "cloudflare.request_source" => self.request_source = Some(text),
            "cloudflare.worker.subrequest" => self.is_subrequest = truth,
            "tidegate.trace_id.format" => self.format = Some(text),
            "tidegate.parent_span_id" => {
                self.parent_span = SpanId::parse(Notation::Hex, text).ok().map(|id| *id.bytes());
            }
            "tidegate.trace_alias" => {
                if let AnyValue::Array(values) = &pair.value {
                    let ids = values.clone().filter_map(|value| match value {
                        Ok(AnyValue::Str(text)) => TraceId::parse(Notation::Hex, text).ok(),
                        _ => None,
                    });
                    self.beside = ids.map(|id| *id.bytes()).collect();
                }
            }
            "tidegate.sampled" => self.unsampled = !truth,
            "tidegate.time_inferred" => self.is_arrival = truth,
            "kong.context_rewritten" => self.rewritten = truth,
            "cloudflare.edge.start_ns" => self.edge_start = number,
            "cloudflare.edge.end_ns" => self.edge_end = number,
            "http.request.method" => self.method = text,
            "server.address" => self.host = text,
            "url.path" => self.path = text,
            "http.response.status_code" => self.status = number,
            "cloudflare.worker.script_name" | "faas.name" => self.script = text,
            "cloudflare.worker.subrequest_count" => self.worker_subrequests = number,
            "cloudflare.worker.wall_time_us" => self.worker_wall_us = number,
            "cloudflare.worker.status" => self.worker_status = text,
            "cloudflare.edge.ttfb_ms" => self.first_byte_ms = number,
            "cloudflare.origin.duration_ms" => (self.origin_ms, self.has_origin) = (number, true),
            "cloudflare.origin.status" => (self.origin_status, self.has_origin) = (number, true),
            "cloudflare.origin.address" => self.has_origin = true,
            "cloudflare.cache_status" => self.cache = text,
            "cloudflare.entrypoint" => self.entrypoint = text,
            "faas.trigger" => self.trigger = text,
            "cloudflare.outcome" => self.outcome = text,
            "cloudflare.wall_time_ms" => self.wall_ms = number,
            "tidegate.key" => self.key = text,
            "cloudflare.edge_request.duration_ms" => {
                self.duration_ms = match pair.value {
                    AnyValue::Double(number) => number,
                    _ => number as f64,
                };
            }
            "kong.started_ns" => self.started = number,
            "kong.latency.request" => self.latency[0] = signed,
            "kong.latency.kong" => self.latency[1] = signed,
            "kong.latency.proxy" => self.latency[2] = signed,
            "kong.latency.receive" => self.latency[3] = signed,
            "kong.upstream.status" => self.upstream_status = text,
            "kong.route.name" => self.route[0] = text,
            "kong.route.id" => self.route[1] = text,
            "kong.service.name" => self.service[0] = text,
            "kong.service.host" => self.service[1] = text,
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
            attributes: std::mem::take(&mut self.attributes),
        }
    }
}

/// Copies an attribute, if it is text, a number or a truth value.
fn copy(out: &mut Vec<u8>, pair: &KeyValue<'_>) {
    match pair.value {
        AnyValue::Str(value) => attribute::text(out, pair.key, value),
        AnyValue::Bool(value) => attribute::any(out, pair.key, |out| put::uint(out, 2, u64::from(value))),
        AnyValue::Int(value) => attribute::int(out, pair.key, value),
        AnyValue::Double(value) => attribute::any(out, pair.key, |out| put::fixed64(out, 4, value.to_bits())),
        _ => {}
    }
}

/// The fact in a log record that `normalize` made; `None` for all others. `hold` is how long a request through Kong waits for what may
/// still come, in nanoseconds.
///
/// # Errors
/// The record is not OTLP.
pub fn record(record: &LogRecord<'_>, hold: u64) -> Result<Option<Fact>, WireError> {
    Ok(match record.event_name {
        "cloudflare.http_requests" => http(record, Marks::of(record.attributes())?),
        "cloudflare.edge_request" => legacy(record, Marks::of(record.attributes())?),
        "cloudflare.worker" => worker(record, Marks::of(record.attributes())?),
        "kong.http_log" => kong(record, Marks::of(record.attributes())?, hold),
        _ => None,
    })
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
    // `workers_trace_events|ray|script|time|type|entrypoint`; a script's name has no bar in it.
    let parts: Vec<&str> = seen.key.split('|').collect();
    let &[_, ray_part, script, stamp, kind, entrypoint] = parts.as_slice() else { return None };
    let span = match ray {
        Some(_) => derived::id8("cf.worker", &[ray_part, script, entrypoint]),
        None => derived::id8("cf.worker", &[script, stamp, kind, entrypoint]),
    };
    let trace = derived::id16("trace", &[ray_part, script, stamp, kind, entrypoint]);
    let start = if seen.is_arrival { record.observed } else { record.time };
    let context = seen.context(record, false);
    let failed = !matches!(seen.outcome, "" | "ok" | "canceled") || seen.status >= 500;
    Some(Fact::Worker(Worker {
        ray,
        span: *span.bytes(),
        trace: *trace.bytes(),
        script: seen.script.to_owned(),
        is_queue: seen.trigger == "queue",
        failed,
        look: seen.look(start, start.saturating_add(seen.wall_ms.saturating_mul(MILLI))),
        context,
    }))
}

fn kong(record: &LogRecord<'_>, mut seen: Marks<'_>, hold: u64) -> Option<Fact> {
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
        due: record.observed.saturating_add(hold),
        look: seen.look(seen.started, end),
        context,
    }))
}

/// Whether both times are whole seconds, so that they tell little.
pub(crate) fn is_coarse(look: &Look) -> bool {
    look.start.is_multiple_of(SECOND) && look.end.is_multiple_of(SECOND)
}
