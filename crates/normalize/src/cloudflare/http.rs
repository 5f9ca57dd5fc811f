//! `http_requests`: one record for the visitor's request, one for each request that a Worker made on its behalf.

use std::borrow::Cow;

use model::SpanId;
use model::id::{Ray, derived};

use super::fields::{Field, Row};
use super::{Mapper, Service, Source};
use crate::json::{self, Kind, Value};
use crate::log::{ERROR, INFO, INFO2, Record, Severity, UNKNOWN, WARN};
use crate::time;
use crate::trace::{Header, Headers, Trace};

/// How a field becomes an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text, unless empty.
    Text,
    /// A number, unless zero, which stands for "not measured" or "did not happen".
    Number,
    /// A number, zero included.
    Count,
    /// A truth value.
    Flag,
    /// Text in lower case.
    Lower,
}

/// The fields of a request as attributes; other datasets that have such fields share the names.
pub(super) const ATTRIBUTES: &[(Field, &str, Form)] = &[
    (Field::ClientRequestMethod, "http.request.method", Form::Text),
    (Field::ClientRequestHost, "server.address", Form::Text),
    (Field::ClientRequestScheme, "url.scheme", Form::Text),
    (Field::ClientRequestUserAgent, "user_agent.original", Form::Text),
    (Field::ClientRequestBytes, "http.request.size", Form::Count),
    (Field::EdgeResponseStatus, "http.response.status_code", Form::Number),
    (Field::EdgeResponseBytes, "http.response.size", Form::Count),
    (Field::EdgeResponseBodyBytes, "http.response.body.size", Form::Count),
    (Field::ClientIP, "client.address", Form::Text),
    (Field::ClientSrcPort, "client.port", Form::Number),
    (Field::ClientCountry, "cloudflare.client.country", Form::Lower),
    (Field::ClientASN, "cloudflare.client.asn", Form::Number),
    (Field::EdgeColoCode, "cloudflare.colo", Form::Text),
    (Field::ZoneName, "cloudflare.zone", Form::Text),
    (Field::CacheCacheStatus, "cloudflare.cache_status", Form::Text),
    (Field::BotScore, "cloudflare.bot_score", Form::Number),
    (Field::SecurityAction, "cloudflare.security.action", Form::Text),
    (Field::SecurityRuleID, "cloudflare.security.rule_id", Form::Text),
    (Field::EdgeTimeToFirstByteMs, "cloudflare.edge.ttfb_ms", Form::Number),
    (Field::OriginIP, "cloudflare.origin.address", Form::Text),
    (Field::OriginResponseStatus, "cloudflare.origin.status", Form::Number),
    (Field::OriginResponseDurationMs, "cloudflare.origin.duration_ms", Form::Number),
    (Field::OriginResponseTime, "cloudflare.origin.duration_ns", Form::Number),
    (Field::OriginDNSResponseTimeMs, "cloudflare.origin.dns_ms", Form::Number),
    (Field::OriginTCPHandshakeDurationMs, "cloudflare.origin.tcp_ms", Form::Number),
    (Field::OriginTLSHandshakeDurationMs, "cloudflare.origin.tls_ms", Form::Number),
    (Field::OriginRequestHeaderSendDurationMs, "cloudflare.origin.send_ms", Form::Number),
    (Field::OriginResponseHeaderReceiveDurationMs, "cloudflare.origin.response_header_ms", Form::Number),
    (Field::WorkerSubrequest, "cloudflare.worker.subrequest", Form::Flag),
    (Field::WorkerSubrequestCount, "cloudflare.worker.subrequest_count", Form::Number),
    (Field::WorkerCPUTime, "cloudflare.worker.cpu_time_us", Form::Number),
    (Field::WorkerWallTimeUs, "cloudflare.worker.wall_time_us", Form::Number),
    (Field::WorkerScriptName, "cloudflare.worker.script_name", Form::Text),
];

/// Older jobs send the number; the names are the order of the numbers.
const REQUEST_SOURCES: [&str; 13] = [
    "unknown",
    "eyeball",
    "purge",
    "alwaysOnline",
    "healthcheck",
    "edgeWorkerFetch",
    "edgeWorkerCacheAPI",
    "edgeWorkerKV",
    "imageResizing",
    "orangeToOrange",
    "sslDetector",
    "earlyHintsCache",
    "inBrowserChallenge",
];

impl<'a> Mapper<'a> {
    /// Maps the request in the row.
    pub(super) fn http(&mut self, source: Source<'a>) {
        let row = &self.row;
        let record = &mut self.record;
        let start = row.get(Field::EdgeStartTimestamp).and_then(time::stamp);
        let end = row.get(Field::EdgeEndTimestamp).and_then(time::stamp);
        let status = row.get(Field::EdgeResponseStatus).and_then(whole);
        record.start(start.or(end), self.received, severity(status), "cloudflare.http_requests");
        record.body(source.text);

        let mut headers = Headers::default();
        if let Some(found) = row.get(Field::RequestHeaders) {
            headers.add(found, &mut record.replaced);
        }
        let mut answered = Headers::default();
        if let Some(found) = row.get(Field::ResponseHeaders) {
            answered.add(found, &mut record.replaced);
        }
        let trace = Trace::of(&headers, None);
        let ray = row.plain(Field::RayID).and_then(Ray::parse);
        let request_source = request_source(row);
        let is_subrequest = row.get(Field::WorkerSubrequest).is_some_and(|value| truth(value) == Some(true))
            || request_source.as_deref() == Some("edgeWorkerFetch");
        record.trace(&trace, own_span(is_subrequest, request_source.as_deref(), ray, &trace));

        attributes(record, row);
        rays(record, row, ray);
        if let Some(path) = path(row) {
            record.text("url.path", path);
        }
        protocol(record, row);
        if let Some(source) = &request_source {
            record.str("cloudflare.request_source", source);
        }
        if let Some(status) = row.plain(Field::WorkerStatus).filter(|status| *status != "unknown") {
            record.str("cloudflare.worker.status", status);
        }
        for (key, stamp) in [("cloudflare.edge.start_ns", start), ("cloudflare.edge.end_ns", end)] {
            if let Some(stamp) = stamp {
                record.int(key, stamp.0 as i64);
            }
        }
        linked(record, &headers, &answered);
        key(record, row, ray);
        self.finish(source, if is_subrequest { Service::Worker } else { Service::Edge });
    }
}

/// Writes the attributes of the table.
pub(super) fn attributes(record: &mut Record, row: &Row<'_>) {
    for (field, key, form) in ATTRIBUTES {
        if let Some(value) = row.get(*field) {
            attribute(record, key, value, *form);
        }
    }
}

/// Writes one field in its form; a number given as a string is a number all the same.
pub(super) fn attribute(record: &mut Record, key: &str, value: Value<'_>, form: Form) {
    match form {
        Form::Text => record.text(key, value),
        Form::Lower => {
            let text = json::text(value, &mut record.replaced).to_ascii_lowercase();
            if value.is_string() && !text.is_empty() {
                record.str(key, &text);
            }
        }
        Form::Flag => {
            if let Some(truth) = truth(value) {
                record.bool(key, truth);
            }
        }
        Form::Number | Form::Count => match whole(value) {
            Some(0) if form == Form::Number => {}
            Some(number) => record.int(key, number),
            None if value.is_string() => record.text(key, value),
            None => record.value(key, value),
        },
    }
}

/// The ray of the request and of the one that caused it.
pub(super) fn rays(record: &mut Record, row: &Row<'_>, ray: Option<Ray>) {
    match ray {
        Some(ray) => record.str("cloudflare.ray_id", ray.as_str()),
        None => {
            if let Some(raw) = row.get(Field::RayID).filter(|value| !is_no_ray(*value)) {
                record.text("cloudflare.ray_id", raw);
            }
        }
    }
    let parent = row.plain(Field::ParentRayID).or_else(|| row.plain(Field::OriginatorRayID));
    if let Some(parent) = parent.and_then(Ray::parse) {
        record.str("cloudflare.parent_ray_id", parent.as_str());
    }
}

fn is_no_ray(value: Value<'_>) -> bool {
    value.raw.iter().all(|b| *b == b'0')
}

/// Identifiers of the systems behind, by which later records join.
fn linked(record: &mut Record, asked: &Headers<'_>, answered: &Headers<'_>) {
    for (header, key) in [
        (Header::KongRequestId, "kong.request.id"),
        (Header::CallId, "openfaas.call_id"),
        (Header::RequestId, "http.request.id"),
    ] {
        if let Some(text) = answered.get(header).or_else(|| asked.get(header)) {
            record.str(key, text);
        }
    }
}

/// The natural key of the record: the same for every copy of it.
fn key(record: &mut Record, row: &Row<'_>, ray: Option<Ray>) {
    let Some(ray) = ray else { return };
    let raw = |field| row.get(field).map_or(Cow::Borrowed(""), |value| json::text(value, &mut false));
    let (start, host) = (raw(Field::EdgeStartTimestamp), raw(Field::ClientRequestHost));
    record.str("tidegate.key", &["http_requests", ray.as_str(), &start, &host].join("|"));
}

/// The span that this record tells of: the visitor's request at the edge, or the Worker's own request. The latter's
/// id is the one that the Worker's code put into its headers, when it did; nobody else may export a span of that id.
fn own_span(is_subrequest: bool, source: Option<&str>, ray: Option<Ray>, trace: &Trace) -> Option<SpanId> {
    let ray = ray?;
    trace.id?;
    if is_subrequest && source.is_none_or(|source| source == "edgeWorkerFetch") {
        return Some(trace.span.unwrap_or_else(|| derived::id8("cf.sub", &[ray.as_str()])));
    }
    let is_visitor =
        !is_subrequest && matches!(source, None | Some("eyeball" | "unknown" | "orangeToOrange"));
    is_visitor.then(|| derived::id8("cf.edge", &[ray.as_str()]))
}

fn request_source<'a>(row: &Row<'a>) -> Option<Cow<'a, str>> {
    let value = row.get(Field::ClientRequestSource)?;
    if let Some(name) = whole(value).and_then(|n| REQUEST_SOURCES.get(usize::try_from(n).ok()?)) {
        return Some(Cow::Borrowed(name));
    }
    let text = json::text(value, &mut false);
    (value.kind != Kind::Null && !text.is_empty()).then_some(text)
}

/// The path alone; of the URI what stands before its query.
pub(super) fn path<'a>(row: &Row<'a>) -> Option<Value<'a>> {
    if let Some(path) =
        row.get(Field::ClientRequestPath).filter(|path| path.is_string() && !path.raw.is_empty())
    {
        return Some(path);
    }
    let uri = row.get(Field::ClientRequestURI).filter(Value::is_string)?;
    let end = memchr::memchr(b'?', uri.raw).unwrap_or(uri.raw.len());
    Some(Value { raw: &uri.raw[..end], kind: uri.kind })
}

fn protocol(record: &mut Record, row: &Row<'_>) {
    let Some(protocol) = row.plain(Field::ClientRequestProtocol) else { return };
    match protocol.split_once('/') {
        Some((name, version)) => {
            record.str("network.protocol.name", &name.to_ascii_lowercase());
            record.str("network.protocol.version", version);
        }
        None => record.str("network.protocol.name", &protocol.to_ascii_lowercase()),
    }
}

/// A whole number, also when written as a string or with an exponent.
pub(super) fn whole(value: Value<'_>) -> Option<i64> {
    match value.kind {
        Kind::Number | Kind::Plain => json::decimal(value.raw)?.whole(),
        _ => None,
    }
}

fn truth(value: Value<'_>) -> Option<bool> {
    match (value.kind, value.raw) {
        (Kind::True, _) | (Kind::Plain, b"true" | b"1") | (Kind::Number, b"1") => Some(true),
        (Kind::False, _) | (Kind::Plain, b"false" | b"0") | (Kind::Number, b"0") => Some(false),
        _ => None,
    }
}

/// Severity by the status that the client saw.
pub(super) fn severity(status: Option<i64>) -> Severity {
    match status {
        Some(100..300) => INFO,
        Some(300..400) => INFO2,
        Some(400..500) => WARN,
        Some(500..1000) => ERROR,
        _ => UNKNOWN,
    }
}
