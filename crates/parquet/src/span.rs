//! A span read back from a row.

use serde::Serialize;
use wire::WireError;
use wire::otlp::{View, traces};

use crate::row::Row;
use crate::scope::{Below, Scope};
use crate::value::{Attributes, hex};

/// A span, decoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// 32 lower-case hex digits; empty for none.
    pub trace_id: String,
    /// 16 lower-case hex digits; empty for none.
    pub span_id: String,
    /// 16 lower-case hex digits; empty for a root.
    pub parent_span_id: String,
    /// `service.name` of its resource.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer`; `unspecified` for anything else.
    pub kind: &'static str,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// `unset`, `ok` or `error`.
    pub status: &'static str,
    /// What the status says.
    pub status_message: String,
    /// W3C trace state as received.
    pub trace_state: String,
    /// W3C flags and OTLP's own bits.
    pub flags: u32,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its resource's attributes.
    pub resource: Attributes,
    /// The instrumentation scope.
    pub scope: Scope,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// Other spans that it names.
    pub links: Vec<Link>,
    /// Attributes, events and links that its sender left out.
    pub dropped: [u32; 3],
    /// On whose behalf it was sent.
    pub tenant: String,
    /// Which receiver took it.
    pub source: String,
    /// Journal offset of its frame.
    pub offset: u64,
    /// Its number in the frame.
    pub index: u32,
    /// What it was decoded from.
    #[serde(skip)]
    pub bytes: Encoded,
}

/// A span as it was received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// Its `ResourceSpans` message without the scopes.
    pub resource: Vec<u8>,
    /// Its `ScopeSpans` message without the spans.
    pub scope: Vec<u8>,
    /// Its own message.
    pub span: Vec<u8>,
}

/// An event of a span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
}

/// A link of a span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    /// 32 lower-case hex digits.
    pub trace_id: String,
    /// 16 lower-case hex digits.
    pub span_id: String,
    /// W3C trace state.
    pub trace_state: String,
    /// Its attributes.
    pub attributes: Attributes,
}

impl Span {
    /// Decodes a row of traces.
    ///
    /// # Errors
    /// The item's bytes are not a span.
    pub fn read(row: &Row<'_>) -> Result<Self, WireError> {
        let span = traces::Span::read(row.raw)?;
        let below = Below::read(row)?;
        Ok(Self {
            trace_id: hex::<16>(span.trace_id),
            span_id: hex::<8>(span.span_id),
            parent_span_id: hex::<8>(span.parent_span_id),
            service: row.service.to_owned(),
            name: span.name.to_owned(),
            kind: kind(span.kind),
            start: span.start,
            end: span.end,
            status: status(span.status_code),
            status_message: span.status_message.to_owned(),
            trace_state: span.trace_state.to_owned(),
            flags: span.flags,
            attributes: Attributes::read(span.attributes()),
            resource: below.resource,
            scope: below.scope,
            events: events(&span).collect(),
            links: links(&span).collect(),
            dropped: [span.dropped_attributes, span.dropped_events, span.dropped_links],
            tenant: row.tenant.to_owned(),
            source: row.source.to_owned(),
            offset: row.offset,
            index: row.index,
            bytes: Encoded {
                resource: row.resource.to_vec(),
                scope: row.scope.to_vec(),
                span: row.raw.to_vec(),
            },
        })
    }

    /// What makes two spans the same, however often they were sent: tenant, service, trace, span, kind, start.
    pub fn identity(&self) -> (&str, &str, &str, &str, &str, u64) {
        (&self.tenant, &self.service, &self.trace_id, &self.span_id, self.kind, self.start)
    }
}

pub(crate) fn events<'a>(span: &traces::Span<'a>) -> impl Iterator<Item = Event> + use<'a> {
    span.events().map_while(Result::ok).map(|event| Event {
        time: event.time,
        name: event.name.to_owned(),
        attributes: Attributes::read(event.attributes()),
    })
}

pub(crate) fn links<'a>(span: &traces::Span<'a>) -> impl Iterator<Item = Link> + use<'a> {
    span.links().map_while(Result::ok).map(|link| Link {
        trace_id: hex::<16>(link.trace_id),
        span_id: hex::<8>(link.span_id),
        trace_state: link.trace_state.to_owned(),
        attributes: Attributes::read(link.attributes()),
    })
}

pub(crate) const fn kind(number: i32) -> &'static str {
    match number {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "unspecified",
    }
}

pub(crate) const fn status(code: i32) -> &'static str {
    match code {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}
