//! Spans, received and made here: requests, errors and durations; which service asks which; functions and their cold starts.

use model::{SpanId, TraceId};
use wire::WireError;
use wire::otlp::traces::{ResourceSpans, ScopeSpans, Span};
use wire::otlp::{AnyValue, Attributes, KeyValue};

use super::graph::{Callee, Caller, DATABASE, DIRECT, Graph, MESSAGING, Pair};
use super::metric::Metric;
use super::value::{Exemplar, ONE, Sample};
use super::{Series, whole};
use crate::derive::{Derived, Kind, Place};
use crate::fact::{Maker, Trace};
use crate::read;

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;
const ERROR: i32 = 2;

/// Whether a span that was made is told of for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// No span of this id was told of before: it counts.
    First,
    /// One was, perhaps in another trace, below another parent or with other times: it does not count again. If it still waits for its
    /// other half, it waits where it belongs now.
    Later,
}

/// A span of either kind.
struct Hop<'a> {
    trace: Trace,
    span: crate::fact::Span,
    parent: Option<crate::fact::Span>,
    service: &'a str,
    name: &'a str,
    kind: i32,
    status: i32,
    start: u64,
    end: u64,
    peer: &'a str,
    is_database: bool,
    /// What it was made of, if it was made here.
    place: Option<Place>,
}

/// What attributes tell of a span.
#[derive(Debug, Default)]
struct Seen<'a> {
    peer: &'a str,
    kong_service: &'a str,
    database: &'a str,
    address: &'a str,
    method: &'a str,
    status: Option<u64>,
    path: &'a str,
    invoked: &'a str,
    function: &'a str,
    trigger: &'a str,
    is_cold: bool,
}

impl<'a> Seen<'a> {
    fn of(attributes: Attributes<'a>) -> Result<Self, WireError> {
        let mut seen = Self::default();
        for pair in attributes {
            seen.note(&pair?);
        }
        Ok(seen)
    }

    fn note(&mut self, pair: &KeyValue<'a>) {
        let text = match pair.value {
            AnyValue::Str(text) => text,
            _ => "",
        };
        match pair.key {
            "peer.service" => self.peer = text,
            "kong.service.name" => self.kong_service = text,
            "server.address" => self.address = text,
            "db.namespace" | "db.name" => self.database = text,
            "db.system.name" | "db.system" if self.database.is_empty() => self.database = text,
            "http.request.method" | "http.method" => self.method = text,
            "http.response.status_code" | "http.status_code" => self.status = whole(&pair.value),
            "url.path" | "http.target" => self.path = text,
            "http.url" | "url.full" if self.path.is_empty() => self.path = path(text),
            "faas.invoked_name" => self.invoked = text,
            "faas.name" => self.function = text,
            "faas.trigger" => self.trigger = text,
            "faas.coldstart" => self.is_cold = matches!(pair.value, AnyValue::Bool(true)),
            _ => {}
        }
    }

    fn peer(&self) -> &'a str {
        [self.peer, self.database, self.kong_service].into_iter().find(|name| !name.is_empty()).unwrap_or("")
    }

    /// The function that OpenFaaS' gateway was asked for.
    fn asked_for(&self) -> Option<&'a str> {
        if !self.invoked.is_empty() {
            return Some(self.invoked);
        }
        let rest =
            ["/function/", "/async-function/"].iter().find_map(|start| self.path.strip_prefix(start))?;
        let name = rest.split(['/', '?', '#']).next()?;
        let is_name = (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte));
        is_name.then_some(name)
    }
}

/// The path of a URL.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        INTERNAL => "SPAN_KIND_INTERNAL",
        SERVER => "SPAN_KIND_SERVER",
        CLIENT => "SPAN_KIND_CLIENT",
        PRODUCER => "SPAN_KIND_PRODUCER",
        CONSUMER => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    }
}

fn status_name(status: i32) -> &'static str {
    match status {
        1 => "STATUS_CODE_OK",
        ERROR => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    }
}

impl Series {
    /// Counts a received span.
    ///
    /// # Errors
    /// The span is not OTLP; nothing of it was counted.
    pub fn span(
        &mut self,
        resource: &ResourceSpans<'_>,
        scope: &ScopeSpans<'_>,
        span: &Span<'_>,
        now: model::UnixNanos,
    ) -> Result<(), WireError> {
        if !self.options.spans.enabled || !self.is_timely(span.end, now.0) {
            return Ok(());
        }
        let (Some(trace), Some(id)) = (TraceId::from_otlp(span.trace_id), SpanId::from_otlp(span.span_id))
        else {
            return Ok(());
        };
        let seen = Seen::of(span.attributes())?;
        let service = match resource.resource.attributes().get("service.name")? {
            Some(AnyValue::Str(name)) if !name.is_empty() => name,
            _ => "unknown_service",
        };
        // Kong leaves the status unset whatever the upstream answered.
        let is_failed = seen.status.is_some_and(|status| status >= 500)
            && span.kind == SERVER
            && read::maker(resource, scope, span)? == Maker::Kong;
        let hop = Hop {
            trace: *trace.bytes(),
            span: *id.bytes(),
            parent: SpanId::from_otlp(span.parent_span_id).map(|id| *id.bytes()),
            service,
            name: span.name,
            kind: span.kind,
            status: if is_failed { ERROR } else { span.status_code },
            start: span.start,
            end: span.end,
            peer: seen.peer(),
            is_database: !seen.database.is_empty(),
            place: None,
        };
        self.red(&hop, now.0);
        self.hop(&hop, now.0);
        self.function(&hop, &seen, now.0);
        Ok(())
    }

    /// Counts a span that was made here: of the edge, of Workers, of Kong. The caller says whether it told of this place before.
    pub fn derived(&mut self, span: &Derived, revision: Revision, now: model::UnixNanos) {
        if !self.options.spans.enabled || !self.is_timely(span.end, now.0) {
            return;
        }
        // Only clients miss a peer. What a Worker or the edge asked is known by its address, where nothing there tells of itself.
        let seen = match span.kind {
            Kind::Client => Seen::of(Attributes::new(&span.attributes, 9)).unwrap_or_default(),
            _ => Seen::default(),
        };
        let peer = if seen.peer().is_empty() { seen.address } else { seen.peer() };
        let hop = Hop {
            trace: span.trace,
            span: span.span,
            parent: span.parent.span,
            service: span.service.as_str(),
            name: &span.name,
            kind: span.kind as i32,
            status: if span.is_error { ERROR } else { 0 },
            start: span.start,
            end: span.end,
            peer,
            is_database: false,
            place: Some(span.place),
        };
        match revision {
            Revision::First => {
                self.red(&hop, now.0);
                self.hop(&hop, now.0);
            }
            Revision::Later => self.hop_again(&hop, now.0),
        }
    }

    /// Takes back a span that was told of and is not so, when no span of its id is left: what Kong sends itself stands in for what was
    /// made. It waits for nobody any more. What was counted stays counted; no counter goes back.
    pub fn withdraw(&mut self, span: &crate::fact::Span) {
        self.graph.withdraw(*span);
    }

    /// Requests, errors and durations.
    fn red(&mut self, hop: &Hop<'_>, now: u64) {
        if hop.kind <= INTERNAL && !self.options.spans.internal {
            return;
        }
        let labels = [hop.service, hop.name, kind_name(hop.kind), status_name(hop.status)];
        self.table.add(Metric::SpanCalls, &labels, ONE, now);
        self.table.observe(Metric::SpanLatency, &labels, hop.sample(), now);
    }

    fn hop(&mut self, hop: &Hop<'_>, now: u64) {
        if !self.options.spans.graph {
            return;
        }
        if hop.calls() {
            self.graph.caller(&mut self.table, hop.pair(hop.span), hop.caller(), now);
        }
        if hop.answers() {
            match hop.above() {
                Some(parent) => self.graph.callee(&mut self.table, hop.pair(parent), hop.callee(), now),
                None => Graph::root(&mut self.table, &hop.trace, &hop.callee(), now),
            }
        }
    }

    fn hop_again(&mut self, hop: &Hop<'_>, now: u64) {
        if hop.calls() && self.graph.knows(true, hop.span) {
            self.graph.caller(&mut self.table, hop.pair(hop.span), hop.caller(), now);
        }
        if let Some(parent) = hop.above().filter(|_| hop.answers() && self.graph.knows(false, hop.span)) {
            self.graph.callee(&mut self.table, hop.pair(parent), hop.callee(), now);
        }
    }

    /// What functions tell of themselves, and what is in front of them.
    fn function(&mut self, hop: &Hop<'_>, seen: &Seen<'_>, now: u64) {
        let gateways = &self.options.spans.openfaas_gateways;
        if hop.kind == SERVER
            && gateways.iter().any(|name| name == hop.service)
            && let Some(function) = seen.asked_for()
        {
            let status = seen.status.map_or(String::new(), |status| status.to_string());
            self.table.observe(Metric::OpenFaas, &[function, seen.method, &status], hop.sample(), now);
        }
        if seen.is_cold {
            let name = if seen.function.is_empty() { hop.service } else { seen.function };
            self.table.add(Metric::ColdStarts, &[hop.service, name, seen.trigger], ONE, now);
        }
        // The activator stands in the way of a revision that has no instance, or too few; this is its span for the time that it waits.
        if hop.name == "throttler_try" {
            self.table.observe(Metric::ActivatorWait, &[hop.service], hop.sample(), now);
        }
    }
}

impl Hop<'_> {
    fn nanos(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn sample(&self) -> Sample {
        let nanos = self.nanos();
        let exemplar = Exemplar { time: self.end, trace: self.trace, span: self.span, nanos };
        Sample { nanos, weight: ONE, exemplar: Some(exemplar) }
    }

    fn pair(&self, client: crate::fact::Span) -> Pair {
        Pair { trace: self.trace, client }
    }

    /// Whether others may hang below it: a client's span, and the edge's, which asks Workers without one.
    fn calls(&self) -> bool {
        matches!(self.kind, CLIENT | PRODUCER) || matches!(self.place, Some(Place::Edge(_)))
    }

    fn answers(&self) -> bool {
        matches!(self.kind, SERVER | CONSUMER)
    }

    /// The span that it answers; `None` if nothing asked for it. What is made here of Workers and Kong may have a parent once the edge's
    /// records are there, so it waits for one.
    fn above(&self) -> Option<crate::fact::Span> {
        const NOBODY: crate::fact::Span = [0; 8];
        let may_come = self.place.is_some_and(|place| !matches!(place, Place::Edge(_)));
        self.parent.or(may_come.then_some(NOBODY))
    }

    fn caller(&self) -> Caller {
        let connection = match self.kind {
            PRODUCER => MESSAGING,
            _ if self.is_database => DATABASE,
            _ => DIRECT,
        };
        Caller {
            service: self.service.to_owned(),
            peer: self.peer.to_owned(),
            end: self.end,
            nanos: self.nanos(),
            failed: self.status == ERROR,
            connection,
            is_silent: self.kind == SERVER,
            is_paired: false,
            is_derived: self.place.is_some(),
        }
    }

    fn callee(&self) -> Callee {
        Callee {
            span: self.span,
            service: self.service.to_owned(),
            end: self.end,
            nanos: self.nanos(),
            failed: self.status == ERROR,
            connection: if self.kind == CONSUMER { MESSAGING } else { DIRECT },
            is_entry: matches!(self.place, Some(Place::Edge(_))) || self.parent.is_none(),
            is_derived: self.place.is_some(),
            is_paired: false,
        }
    }
}
