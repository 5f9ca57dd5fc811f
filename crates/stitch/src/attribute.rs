//! Attributes: those of a log record read once for everybody, kept in few bytes, and written as a span has them.

use std::sync::LazyLock;

use ahash::HashMap;
use wire::WireError;
use wire::otlp::{AnyValue, View};
use wire::put;
use wire::walk::fields;

/// The field of a log record's message in which its attributes lie.
const OF_RECORD: u32 = 6;
/// The field of a span's message in which its attributes lie.
const OF_SPAN: u32 = 9;

macro_rules! names {
    ($($id:ident = $name:literal,)*) => {
        /// The names that are known here. In the join store an attribute is written by its number: a name that is new comes last.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Attribute {
            /// All others.
            Other,
            $($id),*
        }

        /// By number.
        const NAMES: &[(Attribute, &str)] = &[(Attribute::Other, ""), $((Attribute::$id, $name)),*];
    };
}

names! {
    CloudflareRayId = "cloudflare.ray_id",
    CloudflareParentRayId = "cloudflare.parent_ray_id",
    CloudflareRequestSource = "cloudflare.request_source",
    CloudflareZone = "cloudflare.zone",
    CloudflareColo = "cloudflare.colo",
    CloudflareCacheStatus = "cloudflare.cache_status",
    CloudflareBotScore = "cloudflare.bot_score",
    CloudflareSampleRate = "cloudflare.sample_rate",
    CloudflareClientCountry = "cloudflare.client.country",
    CloudflareClientAsn = "cloudflare.client.asn",
    CloudflareSecurityAction = "cloudflare.security.action",
    CloudflareSecurityRuleId = "cloudflare.security.rule_id",
    CloudflareEdgeStartNs = "cloudflare.edge.start_ns",
    CloudflareEdgeEndNs = "cloudflare.edge.end_ns",
    CloudflareEdgeTtfbMs = "cloudflare.edge.ttfb_ms",
    CloudflareOriginAddress = "cloudflare.origin.address",
    CloudflareOriginStatus = "cloudflare.origin.status",
    CloudflareOriginDurationMs = "cloudflare.origin.duration_ms",
    CloudflareOriginDurationNs = "cloudflare.origin.duration_ns",
    CloudflareOriginDnsMs = "cloudflare.origin.dns_ms",
    CloudflareOriginTcpMs = "cloudflare.origin.tcp_ms",
    CloudflareOriginTlsMs = "cloudflare.origin.tls_ms",
    CloudflareOriginSendMs = "cloudflare.origin.send_ms",
    CloudflareOriginResponseHeaderMs = "cloudflare.origin.response_header_ms",
    CloudflareWorkerScriptName = "cloudflare.worker.script_name",
    CloudflareWorkerSubrequest = "cloudflare.worker.subrequest",
    CloudflareWorkerSubrequestCount = "cloudflare.worker.subrequest_count",
    CloudflareWorkerStatus = "cloudflare.worker.status",
    CloudflareWorkerWallTimeUs = "cloudflare.worker.wall_time_us",
    CloudflareWorkerCpuTimeUs = "cloudflare.worker.cpu_time_us",
    CloudflareWallTimeMs = "cloudflare.wall_time_ms",
    CloudflareCpuTimeMs = "cloudflare.cpu_time_ms",
    CloudflareOutcome = "cloudflare.outcome",
    CloudflareEntrypoint = "cloudflare.entrypoint",
    CloudflareDispatchNamespace = "cloudflare.dispatch_namespace",
    CloudflareEdgeRequestId = "cloudflare.edge_request.id",
    CloudflareEdgeRequestDurationMs = "cloudflare.edge_request.duration_ms",
    CloudflareDataset = "cloudflare.dataset",
    CloudflareFieldAction = "cloudflare.field.Action",
    CloudflareFieldSource = "cloudflare.field.Source",
    CloudflareFieldMatchIndex = "cloudflare.field.MatchIndex",
    KongRequestId = "kong.request.id",
    KongCorrelationId = "kong.correlation_id",
    KongContextRewritten = "kong.context_rewritten",
    KongStartedNs = "kong.started_ns",
    KongSource = "kong.source",
    KongUpstreamUri = "kong.upstream.uri",
    KongUpstreamStatus = "kong.upstream.status",
    KongTriesCount = "kong.tries.count",
    KongLatencyRequest = "kong.latency.request",
    KongLatencyKong = "kong.latency.kong",
    KongLatencyProxy = "kong.latency.proxy",
    KongLatencyReceive = "kong.latency.receive",
    KongLatencySession = "kong.latency.session",
    KongServiceName = "kong.service.name",
    KongServiceId = "kong.service.id",
    KongServiceHost = "kong.service.host",
    KongRouteName = "kong.route.name",
    KongRouteId = "kong.route.id",
    KongConsumerUsername = "kong.consumer.username",
    KongConsumerId = "kong.consumer.id",
    KongSessionReceived = "kong.session.received",
    KongSessionSent = "kong.session.sent",
    KongResponseStatus = "kong.response.status",
    HttpRequestMethod = "http.request.method",
    HttpRequestSize = "http.request.size",
    HttpRequestId = "http.request.id",
    HttpResponseStatusCode = "http.response.status_code",
    HttpResponseSize = "http.response.size",
    HttpResponseBodySize = "http.response.body.size",
    HttpRoute = "http.route",
    UrlFull = "url.full",
    UrlPath = "url.path",
    UrlScheme = "url.scheme",
    ServerAddress = "server.address",
    ClientAddress = "client.address",
    ClientPort = "client.port",
    UserAgentOriginal = "user_agent.original",
    NetworkProtocolName = "network.protocol.name",
    NetworkProtocolVersion = "network.protocol.version",
    NetworkTransport = "network.transport",
    FaasName = "faas.name",
    FaasTrigger = "faas.trigger",
    FaasVersion = "faas.version",
    ExceptionType = "exception.type",
    TidegateKey = "tidegate.key",
    TidegateTraceIdFormat = "tidegate.trace_id.format",
    TidegateTraceIdOriginal = "tidegate.trace_id.original",
    TidegateTraceIdBits = "tidegate.trace_id.bits",
    TidegateParentSpanId = "tidegate.parent_span_id",
    TidegateTraceAlias = "tidegate.trace_alias",
    TidegateSampled = "tidegate.sampled",
    TidegateTimeInferred = "tidegate.time_inferred",
    Source = "source",
    CloudflareFieldRuleID = "cloudflare.field.RuleID",
    CloudflareSecuritySource = "cloudflare.security.source",
}

/// Attributes that tell the gateway's own story or repeat the ids, and have no place in a span.
const LEFT_OUT: &[&str] =
    &["tidegate.", "kong.started_ns", "cloudflare.edge.start_ns", "cloudflare.edge.end_ns", "source"];

fn is_left_out(key: &str) -> bool {
    LEFT_OUT.iter().any(|prefix| key.starts_with(prefix))
}

static BY_NAME: LazyLock<HashMap<&str, Attribute>> =
    LazyLock::new(|| NAMES.iter().skip(1).map(|(name, key)| (*key, *name)).collect());

/// By number: whether it has no place in a span.
static LEFT_OUT_NAMES: LazyLock<Vec<bool>> =
    LazyLock::new(|| NAMES.iter().map(|(_, key)| is_left_out(key)).collect());

/// One attribute of a log record.
#[derive(Debug, Clone)]
pub(crate) struct Pair<'a> {
    pub(crate) name: Attribute,
    pub(crate) value: AnyValue<'a>,
    key: &'a str,
    /// The value's message.
    raw: &'a [u8],
}

/// Reads attributes of one log record after the other.
#[derive(Debug)]
pub(crate) struct Reader {
    /// By name: which came behind it last. Records of one kind have theirs in one order.
    behind: [Attribute; NAMES.len()],
}

impl Default for Reader {
    fn default() -> Self {
        Self { behind: [Attribute::Other; NAMES.len()] }
    }
}

impl Reader {
    /// Reads the attributes of a log record, in their order, into `pairs` in place of what is there.
    ///
    /// # Errors
    /// The record is not OTLP.
    pub(crate) fn read<'a>(&mut self, record: &'a [u8], pairs: &mut Vec<Pair<'a>>) -> Result<(), WireError> {
        pairs.clear();
        let mut before = Attribute::Other;
        for field in fields(record) {
            let field = field?;
            if field.number != OF_RECORD {
                continue;
            }
            let (mut key, mut raw) = ("", &[][..]);
            for field in fields(field.bytes()?) {
                let field = field?;
                match field.number {
                    1 => key = field.text()?,
                    2 => raw = field.bytes()?,
                    _ => {}
                }
            }
            let name = self.name(before, key);
            before = name;
            pairs.push(Pair { name, value: AnyValue::read(raw)?, key, raw });
        }
        Ok(())
    }

    fn name(&mut self, before: Attribute, key: &str) -> Attribute {
        let likely = self.behind[before as usize];
        if NAMES[likely as usize].1 == key {
            return likely;
        }
        let name = BY_NAME.get(key).copied().unwrap_or(Attribute::Other);
        self.behind[before as usize] = name;
        name
    }
}

impl Pair<'_> {
    /// Puts it behind others that are kept, if it is text, a number or a truth value and has a place in a span: the number of its name, and its
    /// value behind its length; a name that has no number stands before the value in the same way.
    pub(crate) fn keep(&self, kept: &mut Vec<u8>) {
        self.keep_as(self.name, kept);
    }

    /// As `keep`, under another name.
    pub(crate) fn keep_as(&self, name: Attribute, kept: &mut Vec<u8>) {
        let is_plain = matches!(
            self.value,
            AnyValue::Str(_) | AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_)
        );
        let is_left_out = match name {
            Attribute::Other => is_left_out(self.key),
            name => LEFT_OUT_NAMES[name as usize],
        };
        if !is_plain || is_left_out {
            return;
        }
        kept.push(name as u8);
        if name == Attribute::Other {
            behind_length(kept, self.key.as_bytes());
        }
        behind_length(kept, self.raw);
    }
}

fn behind_length(out: &mut Vec<u8>, bytes: &[u8]) {
    put::varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes attributes that were kept, as a span has them. Of what is no kept attribute nothing is written.
pub(crate) fn unfold(kept: &[u8], out: &mut Vec<u8>) {
    unfold_in(OF_SPAN, kept, out);
}

/// Writes attributes that were kept, in this field of a message.
pub(crate) fn unfold_in(field: u32, mut kept: &[u8], out: &mut Vec<u8>) {
    // What stands for a name is at least one byte; a third more than was kept suffices for most.
    out.reserve(kept.len() * 3);
    while let Some((number, rest)) = kept.split_first() {
        kept = rest;
        let Some((name, key)) = NAMES.get(usize::from(*number)) else { return };
        let mut key = key.as_bytes();
        if *name == Attribute::Other {
            let Some(own) = from_length(&mut kept) else { return };
            key = own;
        }
        let Some(value) = from_length(&mut kept) else { return };
        let len = 2
            + put::varint_len(key.len() as u64)
            + key.len()
            + put::varint_len(value.len() as u64)
            + value.len();
        put::varint(out, u64::from(field) << 3 | 2);
        put::varint(out, len as u64);
        put::bytes(out, 1, key);
        put::bytes(out, 2, value);
    }
}

fn from_length<'a>(kept: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, end) = wire::walk::varint(kept, 0).ok()?;
    let (bytes, rest) = kept.get(end..)?.split_at_checked(usize::try_from(len).ok()?)?;
    *kept = rest;
    Some(bytes)
}

/// Text.
pub(crate) fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    any(out, key, |out| put::bytes(out, 1, value.as_bytes()));
}

/// A whole number.
pub(crate) fn int(out: &mut Vec<u8>, key: &str, value: i64) {
    any(out, key, |out| put::uint(out, 3, value as u64));
}

/// That something is so.
pub(crate) fn truth(out: &mut Vec<u8>, key: &str) {
    any(out, key, |out| put::uint(out, 2, 1));
}

/// A value of any kind.
pub(crate) fn any(out: &mut Vec<u8>, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    put::message(out, OF_SPAN, |out| {
        put::bytes(out, 1, key.as_bytes());
        put::message(out, 2, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_their_numbers_fit_in_a_byte() {
        assert_eq!(BY_NAME.len() + 1, NAMES.len());
        assert!(NAMES.len() < 256);
        for (at, (name, _)) in NAMES.iter().enumerate() {
            assert_eq!(*name as usize, at);
        }
    }

    #[test]
    fn what_was_kept_comes_out_as_a_span_has_it() {
        let mut record = Vec::new();
        let mut add = |key: &str, write: &dyn Fn(&mut Vec<u8>)| {
            put::message(&mut record, OF_RECORD, |out| {
                put::bytes(out, 1, key.as_bytes());
                put::message(out, 2, write);
            });
        };
        let long = "x".repeat(300);
        add("url.path", &|out| put::bytes(out, 1, b"/a"));
        add("somebody.else", &|out| put::bytes(out, 1, long.as_bytes()));
        add("tidegate.key", &|out| put::bytes(out, 1, b"left out"));
        add("kong.tries.count", &|out| put::uint(out, 3, 7));
        add("list", &|out| put::bytes(out, 5, b""));
        add("", &|out| put::uint(out, 2, 1));
        let (mut pairs, mut kept, mut out) = (Vec::new(), Vec::new(), Vec::new());
        Reader::default().read(&record, &mut pairs).expect("it was just written");
        pairs.iter().for_each(|pair| pair.keep(&mut kept));
        unfold(&kept, &mut out);
        let mut expected = Vec::new();
        text(&mut expected, "url.path", "/a");
        text(&mut expected, "somebody.else", &long);
        int(&mut expected, "kong.tries.count", 7);
        truth(&mut expected, "");
        assert_eq!(out, expected);
        // Whatever was damaged, nothing panics.
        for end in 0..kept.len() {
            unfold(&kept[..end], &mut Vec::new());
        }
    }
}
