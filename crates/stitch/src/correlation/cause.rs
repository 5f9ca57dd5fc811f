//! Causes in words: what the records show, and what to do about it.

use serde::{Deserialize, Serialize};

/// Why a hop is not joined, or not as well as it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Cloudflare's records lack headers that were sent.
    CustomFieldsNotLogged,
    /// A Worker did not pass the context on.
    WorkerDropsTraceparent,
    /// Kong injects another notation, or another trace, than came in.
    KongHeaderTypeMixed,
    /// Somebody cut a trace id to 64 bits.
    ShortIds,
    /// The caller decided against it.
    SamplingOff,
    /// Clocks differ.
    ClockOff,
    /// A service got no context that it reads, and names neither ray nor request.
    HeadersNotCaptured,
    /// Nobody began a trace.
    NoContext,
    /// What was sent did not arrive.
    ContextLost,
    /// A Worker asked for the same several times.
    SeveralRequests,
    /// Records of Cloudflare's are missing.
    EdgeSilent,
    /// Kong's record is missing.
    KongSilent,
    /// Nothing came of what the edge asked.
    NothingBehind,
    /// A request to Kong that names neither ray nor trace.
    Unnamed,
    /// A service began a trace of its own though it was given one.
    ServiceIgnoresContext,
    /// A service was given a context and told nothing.
    ServiceSilent,
    /// A span between Kong and the service did not come.
    SpanMissing,
}

impl Cause {
    /// What the records show, in a sentence.
    pub const fn evidence(self) -> &'static str {
        match self {
            Self::CustomFieldsNotLogged => {
                "Kong received a trace header that Cloudflare's record of the same request does not have: Logpush does not log it."
            }
            Self::WorkerDropsTraceparent => {
                "The visitor's request had a trace context, what the Worker sent has none or another."
            }
            Self::KongHeaderTypeMixed => {
                "Kong put another trace id beside or in place of the one that came in: it injects another header type."
            }
            Self::ShortIds => {
                "Two hops share the lower 64 bits of a trace id only: one of them cuts ids to 64 bits."
            }
            Self::SamplingOff => "The trace context says not sampled, so no spans are made nor sent.",
            Self::ClockOff => {
                "The hop's times lie outside those of the request that it answers: clocks differ."
            }
            Self::HeadersNotCaptured => {
                "The service got no trace context that tracing libraries read, and no span of it names Kong's request id or the ray."
            }
            Self::NoContext => {
                "No record of the request has a trace context that tracing libraries read (x-trace-id alone is none): nobody began a trace before this hop."
            }
            Self::ContextLost => "A trace context was sent to Kong, and Kong's record has none or another.",
            Self::SeveralRequests => {
                "The Worker made several requests, and Kong's record names the visitor's ray, which they share."
            }
            Self::EdgeSilent => "It names a ray of which Cloudflare's own records have not come.",
            Self::KongSilent => "A span names a request id of Kong's, whose own record has not come.",
            Self::NothingBehind => {
                "The edge asked an origin or a Worker, and nothing that came names the request's ray."
            }
            Self::Unnamed => {
                "Kong's record has no cf-ray, and no trace context of a caller: nothing says where the request came from."
            }
            Self::ServiceIgnoresContext => {
                "The service was sent a trace context and began a trace of its own."
            }
            Self::ServiceSilent => {
                "Kong sent a trace context on, and no span of a service came with that trace id."
            }
            Self::SpanMissing => {
                "The service's spans have Kong's trace id, but a parent that nobody sent: something between Kong and the service exports nothing."
            }
        }
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::CustomFieldsNotLogged => {
                "Cloudflare: add traceparent (and b3, x-trace-id, … as you use them) to the zone's custom log fields for request headers, and RequestHeaders to the fields of its http_requests job; a Worker may ask in another zone, which needs them too."
            }
            Self::WorkerDropsTraceparent => {
                "Worker: build the outgoing request with `new Headers(request.headers)`, since spreading a Headers object copies nothing, and set traceparent with the trace id that came in."
            }
            Self::KongHeaderTypeMixed => {
                "Kong: let the tracing plugin inject what it extracts; zipkin: `header_type: preserve` (or w3c), opentelemetry: `propagation: {default_format: w3c, extract: [w3c], inject: [w3c]}`. One tracing plugin on a route, not two."
            }
            Self::ShortIds => {
                "Set 128-bit trace ids on the hop that cuts them: Kong's zipkin `traceid_byte_count: 16`; Datadog `DD_TRACE_128_BIT_TRACEID_GENERATION_ENABLED=true`; Zipkin or Brave `traceId128Bit`."
            }
            Self::SamplingOff => {
                "Set the sampled flag where the trace begins (traceparent ends in -01), or raise that sampler's rate. Failed requests are told all the same."
            }
            Self::ClockOff => {
                "Synchronise the clocks of the Kong nodes, or of the service's hosts (chrony, NTP). Beyond 300 s an id is not believed: a constant difference is the clock, changing ones are copied cf-ray or x-kong-request-id headers."
            }
            Self::HeadersNotCaptured => {
                "Let the service's first span capture cf-ray and x-kong-request-id (Java: OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS=cf-ray,x-kong-request-id; other SDKs alike), or better: send traceparent from the Worker or from Kong."
            }
            Self::NoContext => {
                "Begin the trace early: set traceparent in the Worker, or switch on Kong's opentelemetry plugin. If visitors do send one, log it: custom log field traceparent and RequestHeaders in the http_requests job."
            }
            Self::ContextLost => {
                "Look for what removes or replaces headers before Kong: request-transformer and similar plugins, Transform Rules, a proxy between Cloudflare and Kong."
            }
            Self::SeveralRequests => {
                "Worker: give each request a span id of its own in traceparent, and let Kong see the cf-ray that Cloudflare sets, not a copy of the visitor's."
            }
            Self::EdgeSilent => {
                "Logpush comes minutes late; if this stays, check the http_requests and workers_trace_events jobs: are they enabled for this zone, without filter or sampling, with RayID and ParentRayID? Rays that nobody confirms may also be forged by requests around Cloudflare."
            }
            Self::KongSilent => {
                "Kong: add the http-log plugin globally, with this gateway's /ingest/kong/http-log as its http_endpoint."
            }
            Self::NothingBehind => {
                "If this host is behind Kong: is http-log on for its routes, and does cf-ray reach Kong? Its record comes within seconds. If it is not: let the service capture cf-ray, or ignore this route."
            }
            Self::Unnamed => {
                "Calls from inside need a traceparent from their callers. Calls through Cloudflare have cf-ray: see that no proxy in between removes it."
            }
            Self::ServiceIgnoresContext => {
                "Service: set its propagators to what it is sent (OTEL_PROPAGATORS=tracecontext,baggage,b3multi), and see that the HTTP server instrumentation is active."
            }
            Self::ServiceSilent => {
                "Service: is it instrumented, does it export to this gateway, does it read the notation that Kong sends (OTEL_PROPAGATORS)? If it begins traces of its own, let it capture x-kong-request-id."
            }
            Self::SpanMissing => {
                "Export spans of the proxy or mesh between Kong and the service to this gateway, or take its tracing out."
            }
        }
    }
}
