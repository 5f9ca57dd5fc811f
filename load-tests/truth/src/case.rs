//! A request as it truly was: every hop, what each asked and was asked with, and which of them left a record.

use crate::context::Context;

/// A hop of a request, by its place in the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hop {
    /// The visitor's request at the edge.
    Edge,
    /// The edge's own request to the origin.
    Origin,
    /// A Worker's run.
    Run(u8),
    /// What a Worker asked for.
    Fetch(u8),
    /// A request through Kong.
    Kong(u8),
    /// A try of an upstream, from 1 on.
    Try(u8, u8),
}

/// A request as it was.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Its number, which no record shows to stitching.
    pub serial: u32,
    /// Whose.
    pub tenant: u8,
    /// The path asked for.
    pub path: String,
    /// The method.
    pub method: &'static str,
    /// What the visitor sent.
    pub sent: Vec<Context>,
    /// An `x-kong-request-id` that the visitor made up.
    pub made_up: Option<u128>,
    /// The request of which it has a ray or request id that was copied less than five minutes before: nothing tells that it is not of that.
    pub copied: Option<u32>,
    /// How Cloudflare's records write times.
    pub stamps: Stamps,
    /// Whether a second job sends the same requests of Cloudflare's, with times in whole seconds and without headers.
    pub is_sent_twice: bool,
    /// At the edge; `None` for what went around Cloudflare.
    pub edge: Option<Edge>,
    /// Workers that ran.
    pub runs: Vec<Run>,
    /// What they asked for.
    pub fetches: Vec<Fetch>,
    /// Requests through Kong.
    pub kongs: Vec<Kong>,
    /// Requests to services.
    pub calls: Vec<Call>,
}

/// When something began and how long it took, nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Since 1970.
    pub start: u64,
    /// Nanoseconds.
    pub took: u64,
}

/// How Cloudflare's records write times: `timestamp_format` of the job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stamps {
    /// Nanoseconds since 1970.
    #[default]
    Nanos,
    /// Whole seconds since 1970.
    Seconds,
    /// RFC 3339 without a fraction.
    Text,
}

/// What tells of the visitor's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A row of `http_requests`.
    Row,
    /// A row of `http_requests` that has those of the Worker's requests in it.
    Merged,
    /// The legacy record, which has no time.
    Legacy,
    /// A row and the legacy record.
    Both,
}

/// The visitor's request at the edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// What tells of it.
    pub form: Form,
    /// Its ray.
    pub ray: u64,
    /// When.
    pub times: Times,
    /// Answered from the cache.
    pub is_cached: bool,
    /// Whether the edge itself asked the origin.
    pub has_origin: bool,
    /// The status answered.
    pub status: u16,
    /// Whether the record shows the headers.
    pub shows_headers: bool,
    /// Whether there is a record.
    pub is_recorded: bool,
}

/// A Worker's run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The ray that it served.
    pub ray: u64,
    /// The script.
    pub script: &'static str,
    /// When.
    pub times: Times,
    /// Whether it failed.
    pub has_failed: bool,
    /// Whether there is an event.
    pub is_recorded: bool,
    /// Spans that Cloudflare sent of it.
    pub native: Option<Native>,
}

/// What Cloudflare itself exports of a Worker's run.
#[derive(Debug, Clone)]
pub struct Native {
    /// Their trace.
    pub trace: u128,
    /// The run.
    pub root: u64,
    /// What it asked for: the fetch, and its span.
    pub clients: Vec<(u8, u64)>,
    /// Whether the spans' ids are what the Worker sends on.
    pub is_forwarded: bool,
}

impl Native {
    /// Their ids.
    pub fn spans(&self) -> impl Iterator<Item = u64> {
        self.clients.iter().map(|(_, span)| *span).chain([self.root])
    }

    /// Whether a span is of these.
    pub fn has(&self, span: u64) -> bool {
        self.spans().any(|own| own == span)
    }
}

/// What a Worker asked for.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Its own ray.
    pub ray: u64,
    /// The ray that the Worker served.
    pub parent: u64,
    /// When.
    pub times: Times,
    /// The host asked.
    pub host: &'static str,
    /// What it sent.
    pub sent: Vec<Context>,
    /// The status answered.
    pub status: u16,
    /// Whether the record shows the headers.
    pub shows_headers: bool,
    /// Whether there is a record.
    pub is_recorded: bool,
}

/// Who asked Kong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The edge.
    Edge,
    /// A Worker.
    Fetch(u8),
    /// Somebody around Cloudflare.
    Outside,
}

/// A request through Kong.
#[derive(Debug, Clone)]
pub struct Kong {
    /// Its request id; `None` before 3.5.
    pub id: Option<u128>,
    /// Who asked.
    pub asker: Asker,
    /// The ray in its header.
    pub ray: Option<u64>,
    /// Whether somebody made that ray up.
    pub is_forged: bool,
    /// When, by Kong's own clock.
    pub times: Times,
    /// The contexts that went upstream.
    pub sent: Vec<Context>,
    /// Kong's `trace_id` object.
    pub trace_id: Vec<(&'static str, String)>,
    /// Whether the best of `sent` names a span of Kong's, and the record says so.
    pub is_rewritten: bool,
    /// The span that asked, where the headers still tell; 0 where not.
    pub link: u64,
    /// Whether `link` is a span of Kong's own, which the record does not tell from the caller's.
    pub is_link_own: bool,
    /// How many upstreams were tried.
    pub tries: u8,
    /// The status answered.
    pub status: u16,
    /// Kong's own root span with its trace and parent, when Kong exports its spans.
    pub exported: Option<Exported>,
    /// Whether there is a log record.
    pub is_recorded: bool,
}

/// Kong's own spans.
#[derive(Debug, Clone, Copy)]
pub struct Exported {
    /// Their trace.
    pub trace: u128,
    /// The root.
    pub root: u64,
    /// The root's parent; 0 for none.
    pub parent: u64,
    /// The span that services were given.
    pub balancer: u64,
    /// Whether they are the Zipkin plugin's, which name no request.
    pub is_zipkin: bool,
}

impl Kong {
    /// Whether a record or a span of Kong's names its request.
    pub fn is_named(&self) -> bool {
        self.is_recorded || self.exported.is_some_and(|own| !own.is_zipkin)
    }

    /// Whether spans of Kong's own are known to be of this request: by its id, or since the context that counts names one of them.
    pub fn is_told_by_itself(&self) -> Option<bool> {
        let Some(own) = self.exported else { return Some(false) };
        let is_shown = crate::context::read(&self.sent).is_some_and(|read| read.best.span == own.balancer);
        // A request that Kong answered itself has no span of the upstream's.
        if !own.is_zipkin || (is_shown && self.tries > 0) { Some(true) } else { None }
    }
}

/// A request to services.
#[derive(Debug, Clone)]
pub struct Call {
    /// The trace of its spans.
    pub trace: u128,
    /// The parent of the first; 0 for a root.
    pub parent: u64,
    /// When.
    pub times: Times,
    /// The spans: of the gateway as server and as client, of the function. 0 where nobody exports it.
    pub spans: [u64; 3],
    /// The request of Kong's that the first span names.
    pub kong: Option<u128>,
    /// The ray that the first span names.
    pub ray: Option<u64>,
    /// Whether it was asked around Kong, so that what it names may be made up.
    pub is_direct: bool,
}

impl Case {
    /// What the record of the edge shows of the visitor's context.
    pub fn at_edge(&self) -> &[Context] {
        match &self.edge {
            Some(edge) if edge.is_recorded && edge.shows_headers => &self.sent,
            _ => &[],
        }
    }

    /// Whether a row of `http_requests` tells of the visitor's request.
    pub fn has_row(&self) -> bool {
        self.is_sent_twice || self.edge.as_ref().is_some_and(|edge| edge.form != Form::Legacy)
    }

    /// Spans of Cloudflare's own.
    pub fn natives(&self) -> impl Iterator<Item = &Native> {
        self.runs.iter().filter_map(|run| run.native.as_ref())
    }

    /// Every trace id that anything of it carries.
    pub fn traces(&self) -> Vec<u128> {
        let sent = self.sent.iter().chain(self.fetches.iter().flat_map(|fetch| &fetch.sent));
        let sent = sent.chain(self.kongs.iter().flat_map(|kong| &kong.sent));
        let mut traces: Vec<u128> =
            sent.filter(|context| context.is_readable()).map(|context| context.trace).collect();
        traces.extend(self.kongs.iter().filter_map(|kong| kong.exported).map(|exported| exported.trace));
        traces.extend(self.calls.iter().map(|call| call.trace));
        traces.extend(self.natives().map(|native| native.trace));
        traces.sort_unstable();
        traces.dedup();
        traces
    }

    /// Every span id that anything of it carries.
    pub fn carries(&self, span: u64) -> bool {
        let sent = self.sent.iter().chain(self.fetches.iter().flat_map(|fetch| &fetch.sent));
        let mut sent = sent.chain(self.kongs.iter().flat_map(|kong| &kong.sent));
        sent.any(|context| context.span == span || context.grand == span)
            || self.natives().any(|native| native.has(span))
            || self.calls.iter().any(|call| call.parent == span || call.spans.contains(&span))
    }
}
