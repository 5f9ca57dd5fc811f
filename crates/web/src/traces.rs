//! Traces from the embedded store: the one place that asks it for them, so that every API shows the same traces.

use std::collections::BTreeMap;

use axum::response::Response;
use http::{HeaderValue, StatusCode};
use model::id::candidates;
use model::{TraceId, UnixNanos};
use rows::{LogRow, Span, Subject};
use stitch::Sought;
use store::{AttributeKeys, Calls, Extent, Operations, Reader, Search, StoreError, Texts, Trace};

use crate::Sources;
use crate::stitched::stitched;

/// Spans that the traces of one answer have together, and their bytes: no further trace is looked up beyond.
const MOST_SPANS: usize = 100_000;
const MOST_BYTES: usize = 64 << 20;

/// A trace, whole as far as the store has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Whole {
    /// 32 hex digits.
    pub(crate) id: String,
    /// Other ids under which parts of it were received.
    pub(crate) aliases: Vec<String>,
    /// By start time; at least one, or a log record. All have this id, whatever id they were received with.
    pub(crate) spans: Vec<Span>,
    /// By time; none in what a search found.
    pub(crate) logs: Vec<LogRow>,
    /// Whether there is more than an answer can hold.
    pub(crate) truncated: bool,
    /// Files that could not be read, so that something may be missing.
    pub(crate) unreadable: u64,
}

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The one with the newest matching span first.
    pub(crate) traces: Vec<Whole>,
    /// Rows that were looked at.
    pub(crate) rows: u64,
    /// What the answer lacks, in words; empty when nothing.
    pub(crate) lacks: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No store is configured.
    NoStore,
    /// The text is no trace id.
    NoId(String),
    /// Nothing is known of the trace.
    Unknown(String),
    /// The store cannot be searched.
    Broken(StoreError),
    /// What requests are called cannot be looked up.
    Nameless(String),
}

impl Trouble {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoStore => StatusCode::NOT_IMPLEMENTED,
            Self::NoId(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Broken(_) | Self::Nameless(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Self::NoStore => "no sink of type store is configured, so there is nothing to look in".to_owned(),
            Self::NoId(message) | Self::Unknown(message) => message.clone(),
            Self::Broken(error) => format!("the store cannot be searched: {error}"),
            Self::Nameless(error) => format!("the join store cannot be searched: {error}"),
        }
    }
}

/// The traces that a text in any notation may mean, the likeliest first; at least one.
pub(crate) async fn find(sources: &Sources, text: &str) -> Result<Vec<Whole>, Trouble> {
    let store = reader(sources)?;
    let ids = candidates(text);
    let mut traces = stitched(sources, store, Sought::read(text), What::Everything).await?;
    if ids.is_empty() && traces.is_empty() {
        let text = shortened(text);
        return Err(Trouble::NoId(format!(
            "{text:?} is not a trace id in any notation, nor the ray or the request id of a request of the last days"
        )));
    }
    let mut unreadable = 0;
    for id in unknown(store, ids, &traces).await? {
        let (wholes, missing) = look_up(store, id, What::Everything).await?;
        unreadable += missing;
        let is_new = |whole: &Whole| traces.iter().all(|known| !known.has(&whole.id));
        let new: Vec<Whole> = wholes.into_iter().filter(is_new).collect();
        traces.extend(new);
    }
    if traces.is_empty() {
        let missing =
            if unreadable > 0 { format!("; {unreadable} files could not be read") } else { String::new() };
        return Err(Trouble::Unknown(format!("no trace {:?} in the store{missing}", shortened(text))));
    }
    Ok(traces)
}

/// The ids under which something may be that is not in `traces`. A trace that is there is there whole; but an id of 64 bits may be short
/// for others, of which the ids alone are read first.
async fn unknown(store: &Reader, ids: Vec<TraceId>, traces: &[Whole]) -> Result<Vec<TraceId>, Trouble> {
    let is_known = |id: &TraceId| traces.iter().any(|known| known.has(&id.to_string()));
    let mut unknown = Vec::new();
    for id in ids {
        let is_wide = id.bytes()[..8] != [0; 8];
        if traces.is_empty() || is_wide {
            unknown.extend(Some(id).filter(|id| !is_known(id)));
            continue;
        }
        let (others, unreadable) = store.ids(id).await.map_err(Trouble::Broken)?;
        let has_others = unreadable > 0 || !others.iter().all(is_known);
        unknown.extend(Some(id).filter(|_| has_others));
    }
    Ok(unknown)
}

/// The traces with the newest spans that pass a filter.
pub(crate) async fn search(sources: &Sources, search: Search) -> Result<Found, Trouble> {
    let store = reader(sources)?;
    let hits = store.search(search.clone()).await.map_err(Trouble::Broken)?;
    let mut extent = hits.extent;
    let mut traces: Vec<Whole> = Vec::new();
    let (mut spans, mut bytes, mut cut) = (0, 0, false);
    for id in hits.traces {
        if spans > MOST_SPANS || bytes > MOST_BYTES {
            cut = true;
            break;
        }
        if traces.iter().any(|known| known.has(&id.to_string())) {
            continue;
        }
        let mut wholes = stitched(sources, store, Sought::trace(id), What::Spans).await?;
        if wholes.is_empty() {
            let (received, unreadable) = look_up(store, id, What::Spans).await?;
            extent.unreadable = extent.unreadable.max(unreadable);
            wholes = received;
        }
        for whole in wholes {
            // The 64-bit form of an id finds the longer ones too, which may have been found already.
            let is_new = traces.iter().all(|known| known.id != whole.id);
            // What is shown must pass: of a span that was sent again only the last one is.
            if is_new && (whole.truncated || whole.spans.iter().any(|span| passes(&search, span))) {
                spans += whole.spans.len();
                bytes += whole.bytes();
                traces.push(whole);
            }
        }
    }
    // That there are more traces than were asked for is no lack.
    let mut lacks = lacks(&Extent { truncated: false, ..extent });
    if cut {
        lacks.push(format!("older traces were left out behind {spans} spans of {bytes} bytes"));
    }
    Ok(Found { traces, rows: extent.rows, lacks })
}

/// Whether a span is one that a search looks for.
pub(crate) fn passes(search: &Search, span: &Span) -> bool {
    // Of a span without a time only the store knows when it was received.
    let within = span.start == 0 || (search.from.0..=search.to.0).contains(&span.start);
    within && search.filter.matches(span)
}

/// The services and the names of their spans.
pub(crate) async fn operations(
    sources: &Sources,
    from: UnixNanos,
    to: UnixNanos,
) -> Result<Operations, Trouble> {
    reader(sources)?.operations(from, to).await.map_err(Trouble::Broken)
}

/// The keys of attributes.
pub(crate) async fn attribute_keys(
    sources: &Sources,
    from: UnixNanos,
    to: UnixNanos,
) -> Result<AttributeKeys, Trouble> {
    reader(sources)?.attribute_keys(from, to).await.map_err(Trouble::Broken)
}

/// The different texts of something in the spans that pass.
pub(crate) async fn texts(sources: &Sources, subject: Subject, search: Search) -> Result<Texts, Trouble> {
    reader(sources)?.texts(subject, search).await.map_err(Trouble::Broken)
}

/// How often services called each other.
pub(crate) async fn calls(sources: &Sources, from: UnixNanos, to: UnixNanos) -> Result<Calls, Trouble> {
    reader(sources)?.calls(from, to).await.map_err(Trouble::Broken)
}

/// What an answer lacks, in words; empty when nothing.
pub(crate) fn lacks(extent: &Extent) -> Vec<String> {
    let mut lacks = Vec::new();
    if extent.partial {
        lacks.push(format!(
            "the search ended after {} rows, older data was not looked at; narrow the time range",
            extent.rows
        ));
    }
    if extent.truncated {
        lacks.push("there is more than an answer can hold".to_owned());
    }
    if extent.unreadable > 0 {
        lacks.push(format!("{} files could not be read", extent.unreadable));
    }
    lacks
}

/// An answer with what it lacks in a header, for forms that have no place for it.
pub(crate) fn noted(mut response: Response, lacks: &[String]) -> Response {
    if !lacks.is_empty()
        && let Ok(lacks) = HeaderValue::from_str(&lacks.join("; "))
    {
        response.headers_mut().insert("x-tidegate-partial", lacks);
    }
    response
}

fn reader(sources: &Sources) -> Result<&Reader, Trouble> {
    sources.store.as_ref().ok_or(Trouble::NoStore)
}

/// What of a trace is needed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Spans,
    /// Log records too.
    Everything,
}

/// The traces that an id belongs to, the one of just this id first, and the files that could not be read: a 64-bit id finds
/// every trace that ends in it.
async fn look_up(store: &Reader, id: TraceId, what: What) -> Result<(Vec<Whole>, u64), Trouble> {
    let found = match what {
        What::Spans => store.spans(id).await,
        What::Everything => store.trace(id).await,
    };
    let Trace { spans, logs, truncated, unreadable, .. } = found.map_err(Trouble::Broken)?;
    let mut received: BTreeMap<String, (Vec<Span>, Vec<LogRow>)> = BTreeMap::new();
    for span in spans {
        received.entry(span.trace_id.clone()).or_default().0.push(span);
    }
    for log in logs {
        received.entry(log.trace_id.clone()).or_default().1.push(log);
    }
    let whole = |(id, (spans, logs))| Whole { truncated, unreadable, ..Whole::new(id, spans, logs) };
    let mut wholes: Vec<Whole> = received.into_iter().map(whole).collect();
    let asked = id.to_string();
    wholes.sort_by_key(|whole| whole.id != asked);
    Ok((wholes, unreadable))
}

impl Whole {
    /// Whether a trace id is one of its own.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.id == id || self.aliases.iter().any(|alias| alias == id)
    }

    /// Everything of a trace, under one id.
    pub(crate) fn new(id: String, mut spans: Vec<Span>, logs: Vec<LogRow>) -> Self {
        for span in &mut spans {
            span.trace_id.clone_from(&id);
        }
        Self { id, aliases: Vec::new(), spans, logs, truncated: false, unreadable: 0 }
    }

    /// About the bytes that its spans take in an answer.
    fn bytes(&self) -> usize {
        let one = |span: &Span| span.bytes.span.len() + span.bytes.resource.len() + span.bytes.scope.len();
        self.spans.iter().map(one).sum()
    }
}

pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
