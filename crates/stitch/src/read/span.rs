//! Received spans: what joins them to records, and what their traces remember of them.

use model::{SpanId, TraceId};
use wire::WireError;
use wire::otlp::AnyValue;
use wire::otlp::traces::{ResourceSpans, ScopeSpans, Span};

use super::{kong_key, ray_key};
use crate::fact::{Maker, Native, Seen, Trace};

/// What a received span names; `None` when it names neither a ray nor a request of Kong's.
///
/// # Errors
/// The span is not OTLP.
pub fn span(
    resource: &ResourceSpans<'_>,
    scope: &ScopeSpans<'_>,
    span: &Span<'_>,
) -> Result<Option<Native>, WireError> {
    let (mut ray, mut kong) = (None, None);
    for pair in span.attributes() {
        let pair = pair?;
        let Some(text) = first_text(&pair.value) else { continue };
        match pair.key {
            "cloudflare.ray_id" | "http.request.header.cf-ray" | "http.request.header.cf_ray" => {
                ray = ray.or_else(|| ray_key(text));
            }
            "kong.request.id"
            | "http.request.header.x-kong-request-id"
            | "http.request.header.x_kong_request_id" => kong = kong.or_else(|| kong_key(text)),
            _ => {}
        }
    }
    let (Some(trace), Some(id)) = (TraceId::from_otlp(span.trace_id), SpanId::from_otlp(span.span_id)) else {
        return Ok(None);
    };
    if ray.is_none() && kong.is_none() {
        return Ok(None);
    }
    let maker = maker(resource, scope, span)?;
    let script = if maker == Maker::Worker { script(resource)? } else { String::new() };
    Ok(Some(Native {
        trace: *trace.bytes(),
        span: *id.bytes(),
        parent: SpanId::from_otlp(span.parent_span_id).map_or([0; 8], |id| *id.bytes()),
        start: span.start,
        end: span.end,
        ray,
        kong,
        maker,
        script,
        is_server: span.kind == 2,
    }))
}

/// What a trace remembers of a received span, and the trace; `None` for spans within a process, which nothing joins on.
///
/// # Errors
/// The span is not OTLP.
pub fn seen(
    resource: &ResourceSpans<'_>,
    scope: &ScopeSpans<'_>,
    span: &Span<'_>,
) -> Result<Option<(Trace, Seen)>, WireError> {
    let is_between = matches!(span.kind, 2..=5);
    let (Some(trace), Some(id)) = (TraceId::from_otlp(span.trace_id), SpanId::from_otlp(span.span_id)) else {
        return Ok(None);
    };
    let maker = maker(resource, scope, span)?;
    if !is_between && maker == Maker::Service {
        return Ok(None);
    }
    let is_client = span.kind == 3;
    let mut host = String::new();
    if is_client && maker == Maker::Worker {
        for pair in span.attributes() {
            let pair = pair?;
            if let (
                "server.address" | "url.full" | "http.url" | "http.host" | "net.peer.name",
                AnyValue::Str(text),
            ) = (pair.key, pair.value)
            {
                host = host_of(text).to_owned();
            }
        }
    }
    Ok(Some((
        *trace.bytes(),
        Seen {
            span: *id.bytes(),
            parent: SpanId::from_otlp(span.parent_span_id).map_or([0; 8], |id| *id.bytes()),
            start: span.start,
            end: span.end,
            maker,
            is_client,
            host,
        },
    )))
}

/// The script of a Worker's spans, which is their service.
fn script(resource: &ResourceSpans<'_>) -> Result<String, WireError> {
    for pair in resource.resource.attributes() {
        let pair = pair?;
        if let ("service.name", AnyValue::Str(name)) = (pair.key, pair.value) {
            return Ok(name.to_owned());
        }
    }
    Ok(String::new())
}

/// The host of a URL, or of a host with a port.
fn host_of(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    text.rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(text, |(host, _)| host)
}

/// Who made a span, by what its resource and scope say.
///
/// # Errors
/// The span is not OTLP.
pub fn maker(
    resource: &ResourceSpans<'_>,
    scope: &ScopeSpans<'_>,
    span: &Span<'_>,
) -> Result<Maker, WireError> {
    if scope.scope.name == "kong-internal" {
        return Ok(Maker::Kong);
    }
    let mut is_cloudflare = false;
    for pair in resource.resource.attributes() {
        let pair = pair?;
        if let AnyValue::Str(text) = pair.value {
            match pair.key {
                "service.name" if text == "kong" => return Ok(Maker::Kong),
                "telemetry.sdk.name" | "cloud.provider" => is_cloudflare |= text == "cloudflare",
                "cloud.platform" => is_cloudflare |= text.starts_with("cloudflare"),
                _ => {}
            }
        }
    }
    for pair in span.attributes() {
        let pair = pair?;
        is_cloudflare |=
            matches!((pair.key, pair.value), ("telemetry.sdk.name", AnyValue::Str("cloudflare")));
    }
    if !is_cloudflare {
        return Ok(Maker::Service);
    }
    Ok(if span.name == "cloudflare_request" { Maker::Edge } else { Maker::Worker })
}

/// Captured headers are lists.
fn first_text<'a>(value: &AnyValue<'a>) -> Option<&'a str> {
    match value {
        AnyValue::Str(text) => Some(text),
        AnyValue::Array(values) => match values.clone().next() {
            Some(Ok(AnyValue::Str(text))) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
