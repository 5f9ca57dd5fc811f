//! The trace context that a record carries in its headers, in whichever notation, and the choice between several.
//!
//! Order: traceparent, b3, x-b3-…, uber-trace-id, x-datadog-…, X-Cloud-Trace-Context, X-Amzn-Trace-Id, sw8, ot-tracer,
//! Instana, vendors', x-trace-id, and last what Kong says it injected. Every other id found is an alias.

use std::borrow::Cow;

use model::id::{Context, Notation, Reading, kong_trace_ids};
use model::{SpanId, TraceId};

use crate::json::{self, Kind, Value};

/// What a record says about its trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trace {
    pub(crate) id: Option<TraceId>,
    pub(crate) notation: Option<Notation>,
    pub(crate) bits: u8,
    /// The id's own text, where it differs from the canonical one.
    pub(crate) original: Option<String>,
    /// The span id in the chosen header: the parent of what comes after it.
    pub(crate) span: Option<SpanId>,
    pub(crate) sampled: Option<bool>,
    pub(crate) random: bool,
    pub(crate) aliases: Vec<TraceId>,
}

impl Trace {
    /// Chooses among the headers, and Kong's `trace_id` object when there is one.
    pub(crate) fn of(headers: &Headers<'_>, kong: Option<Value<'_>>) -> Self {
        let mut trace = Self::default();
        for (slot, notation) in [
            (Header::Traceparent, Notation::W3c),
            (Header::B3, Notation::B3Single),
            (Header::B3TraceId, Notation::B3Multi),
            (Header::Uber, Notation::Jaeger),
            (Header::DatadogTraceId, Notation::Datadog),
            (Header::Gcp, Notation::Gcp),
            (Header::Aws, Notation::Aws),
            (Header::Sw8, Notation::Sw8),
            (Header::OtTraceId, Notation::Ot),
            (Header::InstanaT, Notation::Instana),
            (Header::Elastic, Notation::ElasticApm),
            (Header::TraceId, Notation::Custom),
        ] {
            let Some(text) = headers.get(slot) else { continue };
            let Ok(mut context) = Context::parse(notation, text) else { continue };
            headers.complete(notation, &mut context);
            match context.trace_id {
                Some(id) => trace.take(id, notation, &context),
                // A bare b3 decision belongs to no id of its own, but it is a decision.
                None => trace.sampled = trace.sampled.or(context.sampled),
            }
        }
        if let Some(kong) = kong {
            trace.add_kong(kong);
        }
        trace
    }

    fn take(&mut self, id: TraceId, notation: Notation, context: &Context<'_>) {
        if self.id.is_some() {
            self.alias(id);
            return;
        }
        self.id = Some(id);
        self.notation = Some(notation);
        self.bits = context.bits;
        self.span = context.span_id;
        self.sampled = context.sampled.or(self.sampled);
        self.random = context.random;
        let text = context.original.as_bytes();
        let canonical = text.len() == 32 && !text.iter().any(u8::is_ascii_uppercase);
        self.original = (!canonical).then(|| context.original.clone().into_owned());
    }

    /// Whether Kong's `trace_id` object says that Kong wrote this context: its trace, in its notation.
    pub(crate) fn is_injected(&self, object: Value<'_>) -> bool {
        let (Some(id), Some(notation)) = (self.id, self.notation) else { return false };
        let notation = if notation == Notation::B3Single { Notation::B3Multi } else { notation };
        let texts = members(object);
        let mut ids = kong_trace_ids(texts.iter().map(|(k, v)| (k.as_ref(), v.as_ref()))).into_iter();
        ids.any(|(of, reading)| of == notation && is_same(id, reading.id))
    }

    fn add_kong(&mut self, object: Value<'_>) {
        let texts = members(object);
        for (notation, reading) in kong_trace_ids(texts.iter().map(|(k, v)| (k.as_ref(), v.as_ref()))) {
            let Reading { id, bits } = reading;
            if self.id.is_some() {
                self.alias(id);
            } else {
                self.id = Some(id);
                self.notation = Some(notation);
                self.bits = bits;
                self.original = texts
                    .iter()
                    .map(|(_, text)| text)
                    .find(|text| {
                        text.len() != 32 && TraceId::parse(notation_of_member(notation), text) == Ok(id)
                    })
                    .map(|text| text.clone().into_owned());
            }
        }
    }

    /// Notes another id, unless it is the chosen one or a short form of it.
    fn alias(&mut self, other: TraceId) {
        let same = |id: TraceId| is_same(id, other);
        if !self.id.is_some_and(same) && !self.aliases.iter().copied().any(same) {
            self.aliases.push(other);
        }
    }
}

/// Whether two ids are one: equal, or one the short form of the other.
fn is_same(a: TraceId, b: TraceId) -> bool {
    a == b || (a.low() == b.low() && (a.high() == 0 || b.high() == 0))
}

/// The members of Kong's object that are text.
fn members<'a>(object: Value<'a>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let texts = object.members().filter(|member| member.value.is_string());
    texts
        .map(|member| {
            let key = Value { raw: member.key, kind: member.key_kind };
            (json::text(key, &mut false), json::text(member.value, &mut false))
        })
        .collect()
}

/// In Kong's object every member but Datadog's is written as hex digits.
fn notation_of_member(notation: Notation) -> Notation {
    if notation == Notation::Datadog { Notation::Datadog } else { Notation::B3Multi }
}

/// The headers that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Traceparent,
    B3,
    B3TraceId,
    B3SpanId,
    B3ParentSpanId,
    B3Sampled,
    B3Flags,
    Uber,
    DatadogTraceId,
    DatadogParentId,
    DatadogSampling,
    DatadogTags,
    Gcp,
    Aws,
    Sw8,
    OtTraceId,
    OtSpanId,
    OtSampled,
    InstanaT,
    InstanaS,
    InstanaL,
    Elastic,
    TraceId,
    CfRay,
    KongRequestId,
    RequestId,
    CallId,
    Host,
    UserAgent,
    ConnectingIp,
    ForwardedProto,
}

const HEADERS: usize = Header::ForwardedProto as usize + 1;

impl Header {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"traceparent" => Self::Traceparent,
            b"b3" => Self::B3,
            b"x-b3-traceid" => Self::B3TraceId,
            b"x-b3-spanid" => Self::B3SpanId,
            b"x-b3-parentspanid" => Self::B3ParentSpanId,
            b"x-b3-sampled" => Self::B3Sampled,
            b"x-b3-flags" => Self::B3Flags,
            b"uber-trace-id" => Self::Uber,
            b"x-datadog-trace-id" => Self::DatadogTraceId,
            b"x-datadog-parent-id" => Self::DatadogParentId,
            b"x-datadog-sampling-priority" => Self::DatadogSampling,
            b"x-datadog-tags" => Self::DatadogTags,
            b"x-cloud-trace-context" => Self::Gcp,
            b"x-amzn-trace-id" => Self::Aws,
            b"sw8" => Self::Sw8,
            b"ot-tracer-traceid" => Self::OtTraceId,
            b"ot-tracer-spanid" => Self::OtSpanId,
            b"ot-tracer-sampled" => Self::OtSampled,
            b"x-instana-t" => Self::InstanaT,
            b"x-instana-s" => Self::InstanaS,
            b"x-instana-l" => Self::InstanaL,
            b"elastic-apm-traceparent" => Self::Elastic,
            b"x-trace-id" => Self::TraceId,
            b"cf-ray" => Self::CfRay,
            b"x-kong-request-id" => Self::KongRequestId,
            b"x-request-id" => Self::RequestId,
            b"x-call-id" => Self::CallId,
            b"host" => Self::Host,
            b"user-agent" => Self::UserAgent,
            b"cf-connecting-ip" => Self::ConnectingIp,
            b"x-forwarded-proto" => Self::ForwardedProto,
            _ => return None,
        })
    }
}

/// The values of the headers that matter, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers<'a> {
    values: [Option<Cow<'a, str>>; HEADERS],
}

impl<'a> Headers<'a> {
    /// Adds the headers of an object `{name: value}`, or of a list `[{name, value}]`; letter case does not matter.
    pub(crate) fn add(&mut self, headers: Value<'a>, replaced: &mut bool) {
        if headers.kind == Kind::Object {
            for member in headers.members() {
                self.put(member.key, member.value, replaced);
            }
        }
        for element in headers.elements() {
            if let (Some(name), Some(value)) = (element.get("name"), element.get("value")) {
                self.put(name.raw, value, replaced);
            }
        }
    }

    fn put(&mut self, name: &[u8], value: Value<'a>, replaced: &mut bool) {
        let mut lower = [0; 32];
        let Some(lower) = lower.get_mut(..name.len()) else { return };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let Some(header) = Header::named(lower) else { return };
        let text = match value.kind {
            Kind::Plain | Kind::Escaped => json::text(value, replaced),
            Kind::Array => {
                let mut values = value.elements().filter(Value::is_string);
                let Some(first) = values.next() else { return };
                // Several traceparents are none; of any other header the first is as good as what a proxy would take.
                if header == Header::Traceparent && values.next().is_some() {
                    return;
                }
                json::text(first, replaced)
            }
            Kind::Number | Kind::True | Kind::False => json::text(value, replaced),
            Kind::Null | Kind::Object => return,
        };
        self.values[header as usize] = (!text.is_empty()).then_some(text);
    }

    /// The value of a header, when it is there and not empty.
    pub(crate) fn get(&self, header: Header) -> Option<&str> {
        self.values[header as usize].as_deref()
    }

    /// The parent of the span that sent the headers, which B3 and Jaeger tell.
    pub(crate) fn grand_parent(&self) -> Option<SpanId> {
        let told = [(Header::B3, Notation::B3Single), (Header::Uber, Notation::Jaeger)];
        let in_one = told.into_iter().find_map(|(slot, notation)| {
            Context::parse(notation, self.get(slot)?).ok().and_then(|context| context.parent)
        });
        let of_b3 = || SpanId::parse(Notation::B3Multi, self.get(Header::B3ParentSpanId)?).ok();
        in_one.or_else(of_b3)
    }

    /// Adds what a notation spreads over several headers.
    fn complete(&self, notation: Notation, context: &mut Context<'_>) {
        let span = |header| self.get(header).and_then(|text| SpanId::parse(notation, text).ok());
        match notation {
            Notation::B3Multi => {
                context.span_id = span(Header::B3SpanId);
                context.parent = span(Header::B3ParentSpanId);
                context.debug = self.get(Header::B3Flags) == Some("1");
                context.sampled =
                    if context.debug { Some(true) } else { yes_or_no(self.get(Header::B3Sampled)) };
            }
            Notation::Datadog => {
                context.span_id = span(Header::DatadogParentId);
                let priority = self.get(Header::DatadogSampling).and_then(|text| text.parse::<i32>().ok());
                context.sampled = priority.map(|priority| priority > 0);
                let tid = self
                    .get(Header::DatadogTags)
                    .and_then(|tags| tags.split(',').find_map(|tag| tag.trim().strip_prefix("_dd.p.tid=")));
                if let Ok(id) = TraceId::datadog(&context.original, tid) {
                    context.trace_id = Some(id);
                    context.bits = Reading::of(id).bits;
                }
            }
            Notation::Ot => {
                context.span_id = span(Header::OtSpanId);
                context.sampled = yes_or_no(self.get(Header::OtSampled));
            }
            Notation::Instana => {
                context.span_id = span(Header::InstanaS);
                let level = self.get(Header::InstanaL).and_then(|text| text.split(',').next());
                context.sampled = yes_or_no(level.map(str::trim));
            }
            _ => {}
        }
    }
}

fn yes_or_no(text: Option<&str>) -> Option<bool> {
    match text? {
        "1" | "true" | "d" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}
