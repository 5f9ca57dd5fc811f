//! Trace and span ids: one canonical form, and one door, `TraceId::parse`, for every notation in which they are written.
//!
//! The field in which a text stands decides its notation; the look of the text never does: a Kong request id looks
//! exactly like a trace id, sixteen digits may be hexadecimal or decimal. Only `candidates`, which serves a person who
//! looks something up, guesses, and answers everything that it may be.
//!
//! | file | what |
//! |---|---|
//! | `text.rs` | one id in one field: hex, decimal, base64, UUID, hashed |
//! | `context.rs` | headers that carry trace id, span id and the sampling decision together |
//! | `skywalking.rs` | dotted ids, segment and span, `sw8` |
//! | `kong.rs` | the `trace_id` object of a Kong log record |
//! | `candidates.rs` | what a person typed |
//! | `derived.rs` | ids made from what a record holds, the same on every gateway |
//! | `ray.rs` | Cloudflare ray ids, which are not trace ids |

mod candidates;
mod context;
pub mod derived;
mod kong;
mod ray;
mod skywalking;
mod text;

use std::fmt;

pub use candidates::candidates;
pub use context::Context;
pub use kong::kong_trace_ids;
pub use ray::Ray;

/// A trace id: 16 bytes, never all zero; shown as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The id of these bytes; `None` when all are zero.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The id of 16 bytes as OTLP carries them; `None` for any other length and for zeros.
    pub fn from_otlp(bytes: &[u8]) -> Option<Self> {
        Self::from_bytes(bytes.try_into().ok()?)
    }

    /// The id of 16 or 8 bytes, as Jaeger and Zipkin carry them; 8 bytes are the low half.
    pub fn from_padded(bytes: &[u8]) -> Option<Self> {
        let mut padded = [0; 16];
        match bytes.len() {
            16 => padded.copy_from_slice(bytes),
            8 => padded[8..].copy_from_slice(bytes),
            _ => return None,
        }
        Self::from_bytes(padded)
    }

    /// The id of two signed halves, as Thrift carries them.
    pub fn from_halves(high: i64, low: i64) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Self::from_bytes(bytes)
    }

    /// Reads the trace id that `text` holds in `notation`; a header's other parts are checked and dropped.
    pub fn parse(notation: Notation, text: &str) -> Result<Self, IdError> {
        Self::read(notation, text).map(|reading| reading.id)
    }

    /// Reads like `parse`, and says how wide the id was.
    pub fn read(notation: Notation, text: &str) -> Result<Reading, IdError> {
        text::read(notation, text)
    }

    /// The id of a Datadog span: its decimal low half, and the high half in hex from `_dd.p.tid`, ignored when it is
    /// not 16 hex digits.
    pub fn datadog(low: &str, tid: Option<&str>) -> Result<Self, IdError> {
        text::datadog(low, tid)
    }

    /// The bytes, big-endian.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The right-most 64 bits: what remains of the id at a hop that knows only short ids.
    pub fn low(&self) -> u64 {
        u128::from_be_bytes(self.0) as u64
    }

    /// The left-most 64 bits; zero when a 64-bit id was padded.
    pub fn high(&self) -> u64 {
        (u128::from_be_bytes(self.0) >> 64) as u64
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span id: 8 bytes, never all zero; shown as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The id of these bytes; `None` when all are zero.
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// The id of 8 bytes as OTLP carries them; `None` for any other length and for zeros.
    pub fn from_otlp(bytes: &[u8]) -> Option<Self> {
        Self::from_bytes(bytes.try_into().ok()?)
    }

    /// Reads the span id that `text` holds in `notation`; of a header, its span part.
    pub fn parse(notation: Notation, text: &str) -> Result<Self, IdError> {
        text::read_span(notation, text)
    }

    /// The id of a SkyWalking span: its segment's id and its number in it.
    pub fn skywalking(segment: &str, span: i32) -> Result<Self, IdError> {
        skywalking::span(segment, span)
    }

    /// The bytes, big-endian.
    pub const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How an id, or a header with ids in it, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notation {
    /// W3C `traceparent` as found in logs: hex digits of any case.
    W3c,
    /// W3C `traceparent` as the standard has it on the wire: lower case only.
    W3cStrict,
    /// Elastic's older name of the same header, `elastic-apm-traceparent`.
    ElasticApm,
    /// The one-line `b3` header.
    B3Single,
    /// An id of the `X-B3-…` headers: 16 or 32 hex digits.
    B3Multi,
    /// Jaeger's `uber-trace-id`, with its leading zeros stripped or not.
    Jaeger,
    /// Google's `X-Cloud-Trace-Context`: the span id is decimal.
    Gcp,
    /// Amazon's `X-Amzn-Trace-Id`.
    Aws,
    /// Datadog's decimal ids, signed or not; 32 hex digits in newer logs.
    Datadog,
    /// OpenTracing's `ot-tracer-…` headers: 16 or 32 hex digits.
    Ot,
    /// `X-INSTANA-T` and `-S`: 16 or 32 hex digits.
    Instana,
    /// Zipkin JSON: 1 to 32 hex digits.
    Zipkin,
    /// OTLP JSON: exactly 32 or 16 hex digits, never base64.
    OtlpJson,
    /// Base64 of the bytes, standard or URL-safe, padded or not, as protobuf's own JSON has it.
    Base64,
    /// A SkyWalking trace id: a UUID, or the dotted form.
    SkyWalking,
    /// SkyWalking's `sw8` header.
    Sw8,
    /// A UUID, with dashes and braces or without.
    Uuid,
    /// 1 to 32 hex digits, with `0x` or without.
    Hex,
    /// `X-Trace-Id` and its like: 32 hex digits, 16 hex digits, or a UUID.
    Custom,
    /// Any text, hashed: for fields that the operator declared to be trace ids.
    Hashed,
}

impl Notation {
    /// The word kept as `tidegate.trace_id.format`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::W3c | Self::W3cStrict => "w3c",
            Self::ElasticApm => "elastic",
            Self::B3Single | Self::B3Multi => "b3",
            Self::Jaeger => "jaeger",
            Self::Gcp => "gcp",
            Self::Aws => "aws",
            Self::Datadog => "datadog",
            Self::Ot => "ot",
            Self::Instana => "instana",
            Self::Zipkin => "zipkin",
            Self::OtlpJson => "otlp",
            Self::Base64 => "base64",
            Self::SkyWalking | Self::Sw8 => "skywalking",
            Self::Uuid => "uuid",
            Self::Hex => "hex",
            Self::Custom => "custom",
            Self::Hashed => "hashed",
        }
    }
}

/// A trace id and how much of it the source knew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The id in canonical form.
    pub id: TraceId,
    /// 128; 64 when the high half is zero, as it is after padding; 0 when the id is a hash of the text.
    pub bits: u8,
}

impl Reading {
    /// A reading of an id that was not hashed.
    pub fn of(id: TraceId) -> Self {
        Self { id, bits: if id.high() == 0 { 64 } else { 128 } }
    }
}

/// Why a text is not an id of its notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdError {
    /// Nothing there, or a word that senders print when there is no trace (`N/A`, `Ignored_Trace`, `-` …).
    Absent,
    /// All digits are zero.
    Zero,
    /// The text has not the form of its notation.
    Form,
    /// The text is longer than any id: more than 512 bytes.
    TooLong,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "no id is there",
            Self::Zero => "the id is all zero",
            Self::Form => "the text has not the form of this notation",
            Self::TooLong => "the text is longer than 512 bytes",
        })
    }
}

impl std::error::Error for IdError {}
