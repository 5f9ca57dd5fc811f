//! What clients sent → batches fit for the journal: ids canonical, shapes ours.
//!
//! | file | what |
//! |---|---|
//! | `otlp/` | OTLP requests: looked through once, kept as received unless an id must be mended or a span refused |
//! | `remote_write.rs` | remote-write 1.0 and 2.0, through `wire::translate` |
//! | `raw.rs` | JSON sources: records → OTLP log records of one batch |
//! | `records.rs` | finding records in NDJSON, arrays, envelopes and what surrounds them |
//! | `json/` | reading JSON where it lies, under limits |
//! | `cloudflare/`, `kong.rs` | which attributes each product's fields become |
//! | `trace.rs`, `time.rs` | the trace context in a record's headers; times in every form |
//! | `log.rs` | writing OTLP log records |
//!
//! Invariants: no async, no I/O, no clock, no state between requests; the same bytes make the same batch. A record's
//! body is its own text, verbatim. No record takes its neighbours with it: what cannot be taken is named and counted,
//! and only bytes that are no request at all are refused. No bytes from outside panic, recurse without limit, or make
//! it allocate more than a small multiple of their length.
//!
//! Attributes that later stitching stands on, besides the usual ones: `tidegate.key` (the record's natural key, equal on
//! every copy of it), `tidegate.parent_span_id` (the span id in the headers), `tidegate.trace_alias` (other trace ids in
//! them), `tidegate.sampled` = false (somebody decided so), `tidegate.time_inferred`, `kong.context_rewritten`.

mod cloudflare;
mod json;
pub mod kong;
mod log;
mod otlp;
mod raw;
mod records;
mod remote_write;
mod time;
mod trace;

use bytes::Bytes;
use model::{Batch, Counts, Origin, Refusal, Signal, UnixNanos};
use wire::Coding;

/// Whether log records of this event are of Cloudflare or Kong: what stitching joins.
pub fn is_edge_log(event_name: &str) -> bool {
    matches!(
        event_name,
        "cloudflare.http_requests"
            | "cloudflare.edge_request"
            | "cloudflare.worker"
            | "cloudflare.worker.console"
            | "cloudflare.worker.exception"
            | "cloudflare.event"
            | "kong.http_log"
    )
}

/// What a receiver hands in.
#[derive(Debug, Clone)]
pub enum Input {
    /// A protobuf body of a known signal, inflated already.
    Wire(WireInput),
    /// Bytes whose records become OTLP log records: Logpush lines, Kong objects.
    Raw(RawInput),
}

/// Which protobuf message a `WireInput` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// OTLP `Export…ServiceRequest` of this signal.
    Otlp(Signal),
    /// Remote-write 1.0 `prometheus.WriteRequest`.
    RemoteWrite1,
    /// Remote-write 2.0 `io.prometheus.write.v2.Request`.
    RemoteWrite2,
}

/// A protobuf body, both as received and inflated.
#[derive(Debug, Clone)]
pub struct WireInput {
    /// Who sent it.
    pub origin: Origin,
    /// Which message it is.
    pub message: Message,
    /// How `body` is compressed.
    pub coding: Coding,
    /// The body as received; kept verbatim when nothing had to change.
    pub body: Bytes,
    /// The body inflated (a clone of `body` when `coding` is plain).
    pub plain: Bytes,
}

/// Bytes of a JSON source, inflated already, cut at record borders.
#[derive(Debug, Clone)]
pub struct RawInput {
    /// Who sent it.
    pub origin: Origin,
    /// What the receiver knows about the bytes.
    pub hint: Hint,
    /// The plain bytes.
    pub bytes: Bytes,
}

/// What the receiver knows about raw bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hint {
    /// Which product sent it.
    pub shape: Shape,
    /// Dataset named by path or query, when it was.
    pub dataset: Option<String>,
    /// `tags=k:v,…` of a Logpush URL: `cloudflare.tag.<k>` on each record.
    pub tags: Vec<(String, String)>,
    /// `sample_rate=` of a Logpush URL, verbatim.
    pub sample_rate: Option<String>,
    /// Index of the first record in the client's request, when a request is handed in piece by piece.
    pub first_index: u32,
}

/// The products whose JSON is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// Cloudflare Logpush: NDJSON, an array, or an envelope.
    #[default]
    Logpush,
    /// Kong http-log: one object or an array.
    Kong,
}

/// One record or point that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Index of the record in the client's request.
    pub index: u32,
    /// How many consecutive records this stands for: 1, or more where a request has very many bad ones of one kind.
    pub records: u32,
    /// Why, from a closed set: the label it is counted under.
    pub reason: &'static str,
    /// Thing, value and limit.
    pub message: String,
    /// The record's bytes where they must be quarantined (JSON sources), at most 64 KiB of them.
    pub bytes: Bytes,
}

/// What a request became.
#[derive(Debug, Clone, Default)]
pub struct Normalized {
    /// What goes into the journal; `None` when nothing was taken (an empty request, or all rejected).
    pub batch: Option<Batch>,
    /// What was taken, by kind; its total equals `batch.items`.
    pub accepted: Counts,
    /// What was not.
    pub rejected: Vec<Rejected>,
    /// JSON sources: records met in the bytes, taken or not; the next piece's `Hint::first_index` is this one's plus `seen`.
    pub seen: u32,
}

/// From so many rejections on, neighbours of one reason are reported as one, so that a request made of nothing but
/// tiny bad records costs no more memory than its bytes.
const SINGLE: usize = 256;

impl Rejected {
    /// Adds a rejection behind those there are.
    fn push(rejected: &mut Vec<Self>, next: Self) {
        if rejected.len() >= SINGLE
            && let Some(last) = rejected.last_mut()
            && last.reason == next.reason
            && last.index.saturating_add(last.records) == next.index
        {
            last.records = last.records.saturating_add(next.records);
        } else {
            rejected.push(next);
        }
    }
}

/// Normalizes one request. A `Refusal` means that nothing of it is kept.
pub fn normalize(input: Input, received: UnixNanos) -> Result<Normalized, Refusal> {
    match input {
        Input::Raw(raw) => raw::normalize(&raw, received),
        Input::Wire(wire) => match wire.message {
            Message::Otlp(signal) => otlp::normalize(wire, signal, received),
            Message::RemoteWrite1 | Message::RemoteWrite2 => remote_write::normalize(wire, received),
        },
    }
}
