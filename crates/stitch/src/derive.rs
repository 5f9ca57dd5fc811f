//! The spans of a request that nobody sent: of the edge, of Workers and what they asked for, of Kong. A pure function of what is known,
//! so that doing it again changes nothing, and doing it with more gives the better tree.

mod edge;
mod kong;
mod time;

use crate::attribute::{int, text, truth, unfold};
use crate::fact::{Look, Maker, Native, Seen, Span, Trace};
use crate::request::{Identity, Request, Traces};

/// How sure a span's place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Join {
    /// The parent's id stood in the headers.
    Exact,
    /// An id of the request, not of a span, says so: a ray, a request id.
    ById,
    /// It is the likeliest of several.
    Guessed,
    /// It has no parent here.
    Root,
}

impl Join {
    /// The word kept as `tidegate.join`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::ById => "by_id",
            Self::Guessed => "guessed",
            Self::Root => "root",
        }
    }
}

/// A parent, and why it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The parent; `None` for a root.
    pub span: Option<Span>,
    /// How sure.
    pub join: Join,
    /// By what, as kept in `tidegate.join_by`.
    pub by: &'static str,
    /// Whether nobody has sent the parent, nor is it made here.
    pub is_external: bool,
}

impl Parent {
    const ROOT: Self = Self { span: None, join: Join::Root, by: "", is_external: false };

    fn of(span: Span, join: Join, by: &'static str) -> Self {
        Self { span: Some(span), join, by, is_external: false }
    }

    fn external(span: Span) -> Self {
        Self { span: Some(span), join: Join::Exact, by: "trace_context", is_external: true }
    }
}

/// Whose a span is: `service.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Service {
    /// The edge.
    Edge,
    /// A Worker.
    Worker,
    /// Kong.
    Kong,
}

impl Service {
    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "cloudflare-edge",
            Self::Worker => "cloudflare-worker",
            Self::Kong => "kong",
        }
    }
}

/// The kinds of spans that are made, as in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Within a process.
    Internal = 1,
    /// Of a request that was answered.
    Server = 2,
    /// Of a request that was made.
    Client = 3,
    /// Of a message that was taken.
    Consumer = 5,
}

/// A span that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// What it is the span of, the same whatever its ids become.
    pub place: Place,
    /// Its trace.
    pub trace: Trace,
    /// Its id.
    pub span: Span,
    /// Its parent.
    pub parent: Parent,
    /// Whose it is.
    pub service: Service,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// When it began, nanoseconds since 1970.
    pub start: u64,
    /// When it ended, never before it began.
    pub end: u64,
    /// Whether it failed.
    pub is_error: bool,
    /// Attributes as they lie in a span.
    pub attributes: Vec<u8>,
    /// Other spans that it belongs with.
    pub links: Vec<(Trace, Span)>,
    /// What happened in it: when, its name, and its attributes, kept briefly.
    pub events: Vec<(u64, &'static str, Vec<u8>)>,
    /// The kind of record that it was made from.
    pub source: &'static str,
}

/// What a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Place {
    /// The visitor's request of this ray.
    Edge(u64),
    /// The edge's own request to the origin, of this ray.
    Origin(u64),
    /// A Worker's run, by its derived id.
    Worker(Span),
    /// A Worker's request of this ray.
    Fetch(u64),
    /// A request through Kong, by its derived id.
    Kong(Span),
    /// A try of it, by its derived id.
    Try(Span),
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its ids.
    pub identity: Identity,
    /// Its spans, parents before children.
    pub spans: Vec<Derived>,
    /// Parents of received roots, as look-up shows them.
    pub parents: Vec<((Trace, Span), Span)>,
    /// The spans to which records belong that have none of their own: a received span in the place of a made one.
    pub stand_ins: Vec<(Place, (Trace, Span))>,
}

/// What spans are made with, besides the records.
#[derive(Debug, Clone, Copy)]
pub struct Ways {
    /// The time, nanoseconds since 1970: requests through Kong that are not due yet wait.
    pub now: u64,
    /// Whether answers from the cache have a span even where no trace context came with the request.
    pub every_edge: bool,
    /// Whether a request that shares no context with the service behind Kong is its parent all the same, where an id proves it.
    pub fills_roots: bool,
    /// Whether spans whose clock differs from that of their parents are moved into these.
    pub shifts: bool,
}

/// Makes the spans of `request`; `None` when there is nothing to tell of it.
pub fn derive(request: &Request<'_>, traces: &Traces, ways: Ways) -> Option<Made> {
    let identity = request.identity(traces)?;
    let mut making = Making {
        request,
        traces,
        ways,
        identity,
        spans: Vec::new(),
        parents: Vec::new(),
        stand_ins: Vec::new(),
    };
    if request.is_sampled() {
        making.edge();
        making.workers();
        making.fetches();
        making.kongs();
        making.skew();
    }
    let Making { identity, spans, parents, stand_ins, .. } = making;
    Some(Made { identity, spans, parents, stand_ins })
}

struct Making<'a> {
    request: &'a Request<'a>,
    traces: &'a Traces,
    ways: Ways,
    identity: Identity,
    spans: Vec<Derived>,
    parents: Vec<((Trace, Span), Span)>,
    stand_ins: Vec<(Place, (Trace, Span))>,
}

impl<'a> Making<'a> {
    /// A span that was made already.
    fn made(&self, place: Place) -> Option<Span> {
        self.spans.iter().find(|span| span.place == place).map(|span| span.span)
    }

    /// A received span of this maker that names this ray and is a root of its own trace, or at least the first.
    fn native(&self, maker: Maker, ray: u64) -> Option<&'a Native> {
        let fits = |native: &&&Native| native.maker == maker && native.ray == Some(ray);
        let natives = self.request.natives.iter().filter(fits);
        natives.min_by_key(|native| (native.parent != [0; 8], native.start, native.span)).copied()
    }

    fn seen(&self, trace: &Trace) -> &'a [Seen] {
        self.traces.get(trace).map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, place: Place, span: Span, parent: Parent, from: From<'_>) {
        let (start, end) = (from.start, from.end.max(from.start));
        let mut attributes = Vec::new();
        unfold(&from.look.attributes, &mut attributes);
        if from.end < from.start {
            int(&mut attributes, "tidegate.negative_duration_ns", from.end.abs_diff(from.start) as i64);
        }
        if from.is_inferred {
            truth(&mut attributes, "tidegate.time_inferred");
        }
        text(&mut attributes, "tidegate.source", from.source);
        self.spans.push(Derived {
            place,
            trace: self.identity.canonical,
            span,
            parent,
            service: from.service,
            name: from.name,
            kind: from.kind,
            start,
            end,
            is_error: from.is_error,
            attributes,
            links: Vec::new(),
            events: Vec::new(),
            source: from.source,
        });
    }
}

/// What a span is written from.
struct From<'a> {
    service: Service,
    kind: Kind,
    name: String,
    start: u64,
    end: u64,
    is_inferred: bool,
    is_error: bool,
    look: &'a Look,
    source: &'static str,
}

/// `{method} {what}`, as far as either is known.
fn named(method: &str, what: &str) -> String {
    [method, what].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
