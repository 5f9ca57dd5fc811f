//! What stitching keeps of a record: enough to make its spans again when more is known, and nothing else.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// A trace id's bytes.
pub type Trace = [u8; 16];
/// A span id's bytes.
pub type Span = [u8; 8];

/// What several records of one request have in common, and nothing else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// A ray: Cloudflare's name of one request at one data centre.
    Ray(u64),
    /// A request id of Kong's: its 32 hex digits, or a hash of whatever else it is.
    Kong(u128),
    /// The span of a Worker's run that no request caused.
    Run(u64),
}

/// How far a notation is trusted to name the trace, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rank {
    /// `traceparent`.
    W3c,
    /// `b3` or `x-b3-…`.
    B3,
    /// The headers of one vendor.
    Vendor,
    /// `x-trace-id` and its like.
    Custom,
    /// What Kong says that it injected.
    Injected,
    /// An id beside another one in the same record.
    Beside,
}

/// The trace context that a record carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The trace.
    pub trace: Trace,
    /// How it was written.
    pub rank: Rank,
    /// The span that sent it.
    pub parent: Option<Span>,
    /// The sampling decision, when one was made.
    pub sampled: Option<bool>,
    /// Further ids in the same record.
    pub beside: Vec<Trace>,
}

/// What a span of a record's own is written from, besides what the kinds of facts have in fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Look {
    /// When it began, nanoseconds since 1970; 0 when the record does not tell.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// The request's method.
    pub method: String,
    /// The host that was asked.
    pub host: String,
    /// The path, without its query.
    pub path: String,
    /// The status answered; 0 when none was.
    pub status: u16,
    /// Attributes for the span, kept briefly.
    #[serde(with = "crate::plain")]
    pub attributes: Vec<u8>,
}

/// A visitor's request at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Its ray.
    pub ray: u64,
    /// What its span is written from.
    pub look: Look,
    /// The context that the visitor sent.
    pub context: Option<Context>,
    /// Whether a Worker ran, by the record's own account.
    pub has_worker: bool,
    /// Whether the cache answered, so that nobody was asked.
    pub from_cache: bool,
    /// How long the longest thing that is known took, in nanoseconds, for records whose times are whole seconds.
    pub took: u64,
    /// Time to the first byte, in nanoseconds.
    pub first_byte: u64,
    /// The request to the origin, when the edge made one itself.
    pub origin: Option<Origin>,
    /// The shape without times of its own: `look.end` is when it arrived, `look.start` that minus its duration.
    pub is_legacy: bool,
}

/// What the edge tells of its request to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// What the origin answered; 0 when it did not.
    pub status: u16,
    /// How long it took, in nanoseconds.
    pub took: u64,
}

/// A request that a Worker made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Its own ray.
    pub ray: u64,
    /// The ray of the request that caused it.
    pub parent: Option<u64>,
    /// What its span is written from.
    pub look: Look,
    /// The context that the Worker sent.
    pub context: Option<Context>,
}

/// A Worker's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The visitor's ray; `None` for what no request caused.
    pub ray: Option<u64>,
    /// Its span.
    pub span: Span,
    /// Its trace, when nothing else names one and no request caused it.
    pub trace: Trace,
    /// The script.
    pub script: String,
    /// Whether a message of a queue caused it.
    pub is_queue: bool,
    /// Whether it failed.
    pub failed: bool,
    /// What its span is written from.
    pub look: Look,
    /// The context of a Tail Worker's event.
    pub context: Option<Context>,
}

/// A request through Kong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kong {
    /// What tells copies apart from other requests.
    pub key: u128,
    /// Its request id.
    pub id: Option<u128>,
    /// The ray that it was sent.
    pub ray: Option<u64>,
    /// The span of the request.
    pub span: Span,
    /// Its trace, when nothing else names one.
    pub trace: Trace,
    /// The name of the span's second word: route or its id.
    pub route: String,
    /// The same of the tries: service or its host.
    pub service: String,
    /// What its span is written from; `look.end` is start plus the whole latency.
    pub look: Look,
    /// The context that went upstream.
    pub context: Option<Context>,
    /// Whether that context names a span of Kong's own.
    pub rewritten: bool,
    /// The parent of the context's span, where its notation tells.
    pub grand_parent: Option<Span>,
    /// When the upstream had answered in full, nanoseconds since 1970; 0 when it never did.
    pub answered: u64,
    /// Upstreams that were tried.
    pub tries: Vec<Try>,
    /// When it may be told without waiting for more, nanoseconds since 1970; as it is read, when it was observed.
    pub due: u64,
}

/// A try of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Its derived span.
    pub span: Span,
    /// When it began.
    pub start: u64,
    /// The upstream's address.
    pub ip: String,
    /// The upstream's port.
    pub port: u16,
    /// What it answered; 0 when nothing.
    pub status: u16,
    /// Whether Kong says that it failed.
    pub failed: bool,
}

/// A received span that names a ray or a request of Kong's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Native {
    /// Its trace.
    pub trace: Trace,
    /// Its id.
    pub span: Span,
    /// Its parent; all zero for a root.
    pub parent: Span,
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// The ray that it names.
    pub ray: Option<u64>,
    /// The request of Kong's that it names.
    pub kong: Option<u128>,
    /// Whose it is.
    pub maker: Maker,
    /// Whether it is a server's.
    pub is_server: bool,
    /// The script, where it is a Worker's.
    pub script: String,
}

/// A record about a request that makes no span: a Worker's console line or exception, a decision of the firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What tells copies apart from others.
    pub key: u128,
    /// When it was.
    pub time: u64,
    /// Whose it is.
    pub of: Of,
    /// Attributes of an event that the span has of it, kept briefly; empty for none.
    #[serde(with = "crate::plain")]
    pub event: Vec<u8>,
}

/// What a line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// The request of this ray.
    Edge(u64),
    /// A Worker's run, by its span; the ray is the visitor's.
    Worker(Option<u64>, Span),
}

/// Who made a received span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Maker {
    /// Cloudflare, of the whole request.
    Edge,
    /// Cloudflare, of a Worker.
    Worker,
    /// Kong.
    Kong,
    /// Anything else.
    Service,
}

/// What a record comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A visitor's request.
    Edge(Edge),
    /// A Worker's request.
    Fetch(Fetch),
    /// A Worker's run.
    Worker(Worker),
    /// A request through Kong.
    Kong(Kong),
    /// A received span.
    Native(Native),
    /// What makes no span.
    Line(Line),
}

impl Fact {
    /// Every key that it names.
    pub fn keys(&self) -> Vec<Key> {
        match self {
            Self::Edge(edge) => vec![Key::Ray(edge.ray)],
            Self::Fetch(fetch) => {
                [Some(fetch.ray), fetch.parent].into_iter().flatten().map(Key::Ray).collect()
            }
            Self::Worker(Worker { ray, span, .. }) | Self::Line(Line { of: Of::Worker(ray, span), .. }) => {
                vec![ray.map_or(Key::Run(u64::from_be_bytes(*span)), Key::Ray)]
            }
            Self::Line(Line { of: Of::Edge(ray), .. }) => vec![Key::Ray(*ray)],
            Self::Kong(kong) => linked(kong.ray, kong.id),
            Self::Native(native) => linked(native.ray, native.kong),
        }
    }

    /// The keys that it vouches for: what others say of them can be believed. Headers can be forged, so a request to a service or to
    /// Kong does not make a ray real, and a service does not make a request id of Kong's real.
    pub fn vouches(&self) -> Vec<Key> {
        match self {
            Self::Kong(kong) => linked(None, kong.id),
            Self::Native(native) => match native.maker {
                Maker::Edge | Maker::Worker => linked(native.ray, None),
                Maker::Kong => linked(None, native.kong),
                Maker::Service => Vec::new(),
            },
            Self::Edge(_) | Self::Fetch(_) | Self::Worker(_) | Self::Line(_) => self.keys(),
        }
    }

    /// The natural key, by which copies are known; facts of one request are put in its order. What another job sends without the headers is
    /// no copy of what has them.
    pub fn order(&self) -> (u8, u64, u128, u64) {
        let id = |bytes: &Span| u128::from(u64::from_be_bytes(*bytes));
        match self {
            Self::Edge(edge) => {
                let start = edge.look.start * u64::from(!edge.is_legacy);
                (0, start, edge.ray.into(), edge.context.is_none().into())
            }
            Self::Fetch(fetch) => (1, fetch.look.start, fetch.ray.into(), fetch.context.is_none().into()),
            Self::Worker(worker) => (2, worker.look.start, id(&worker.span), 0),
            Self::Kong(kong) => (3, kong.look.start, kong.key, 0),
            Self::Native(native) => {
                (4, native.start, u128::from_be_bytes(native.trace), u64::from_be_bytes(native.span))
            }
            Self::Line(line) => (5, line.time, line.key, 0),
        }
    }

    /// When it began, where it tells.
    pub fn began(&self) -> Option<u64> {
        match self {
            Self::Edge(edge) => (!edge.is_legacy).then_some(edge.look.start),
            Self::Fetch(fetch) => Some(fetch.look.start),
            Self::Worker(worker) => Some(worker.look.start),
            Self::Kong(kong) => Some(kong.look.start),
            Self::Native(native) => Some(native.start),
            Self::Line(line) => Some(line.time),
        }
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        let look = match self {
            Self::Edge(edge) => &edge.look,
            Self::Fetch(fetch) => &fetch.look,
            Self::Worker(worker) => &worker.look,
            Self::Kong(kong) => &kong.look,
            Self::Native(native) => return size_of::<Self>() + native.script.len(),
            Self::Line(line) => return size_of::<Self>() + line.event.len(),
        };
        size_of::<Self>() + look.attributes.capacity() + look.host.len() + look.path.len() + 128
    }

    /// When it was told of; only a record without a time of its own tells this.
    pub fn came(&self) -> u64 {
        match self {
            Self::Edge(edge) if edge.is_legacy => edge.look.end,
            _ => u64::MAX,
        }
    }

    /// Whether it is another copy of the same record.
    pub fn is_copy(&self, other: &Self) -> bool {
        self.order().cmp(&other.order()) == Ordering::Equal
    }
}

fn linked(ray: Option<u64>, kong: Option<u128>) -> Vec<Key> {
    ray.map(Key::Ray).into_iter().chain(kong.map(Key::Kong)).collect()
}

/// A received span as its trace remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its id.
    pub span: Span,
    /// Its parent; all zero for a root.
    pub parent: Span,
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Whose it is.
    pub maker: Maker,
    /// Whether it is a client's.
    pub is_client: bool,
    /// The host that a client asked, where it is of a Worker.
    pub host: String,
}
