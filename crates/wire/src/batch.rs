//! Counting, slicing and splitting the plain bytes of a batch, by items, without decoding any.
//!
//! An item is what the ledger books: a span, a log record, a metric point, or a remote-write sample, histogram,
//! exemplar or metadata entry. Items are numbered in wire order. Below a request lie wrappers (resource, scope, metric,
//! series); everything in a wrapper that is no item and no wrapper belongs to the wrapper, unknown fields among it.
//!
//! Batching needs no function: in both layouts, requests laid end to end are one request with all their items, in order.

mod pieces;
mod slice;
mod split;

pub use pieces::Pieces;
pub use slice::slice;
pub use split::split;

use crate::rw::private;
use crate::walk::{Field, fields};
use crate::{Counts, Layout, Signal, WireError};

/// The most spans of one request.
pub const MAX_SPANS: u32 = 100_000;

/// The most items of one request of any other kind: far above what real senders batch, and small enough that a walk
/// over items of no content stays short.
pub const MAX_ITEMS: u32 = 2_000_000;

/// Counts the items of a request.
///
/// # Errors
/// The bytes are no request of this layout as far down as the items; what is in the items is not looked at.
pub fn count(signal: Signal, layout: Layout, plain: &[u8]) -> Result<Counts, WireError> {
    count_within(signal, layout, plain, u32::MAX)
}

/// Counts the items of a request, up to `limit`.
///
/// # Errors
/// As `count`; `TooMany` as soon as there are more items.
pub fn count_within(signal: Signal, layout: Layout, plain: &[u8], limit: u32) -> Result<Counts, WireError> {
    let mut counter = Counter::new(limit);
    counter.message(Level::request(signal, layout), plain)?;
    Ok(counter.counts)
}

struct Counter {
    counts: Counts,
    left: u32,
    limit: u32,
}

impl Counter {
    fn new(limit: u32) -> Self {
        Self { counts: Counts::default(), left: limit, limit }
    }

    fn message(&mut self, level: Level, message: &[u8]) -> Result<(), WireError> {
        let level = level.settle(message)?;
        for field in fields(message) {
            let field = field?;
            match level.part(&field) {
                Part::Item(kind) => {
                    field.bytes()?;
                    self.left = self.left.checked_sub(1).ok_or(WireError::TooMany(self.limit as usize))?;
                    *kind.of(&mut self.counts) += 1;
                }
                Part::Below(level) => self.message(level, field.bytes()?)?,
                Part::Own | Part::Overridden => {}
            }
        }
        Ok(())
    }
}

/// A kind of message above the items.
#[derive(Debug, Clone, Copy)]
enum Level {
    Request(Signal),
    Resource(Signal),
    Scope(Signal),
    /// With the field that holds the metric's data; 0 until `settle` has looked.
    Metric(u32),
    Data,
    WriteRequest,
    Series,
}

/// What a field is to its message.
#[derive(Debug, Clone, Copy)]
enum Part {
    Item(Kind),
    Below(Level),
    /// Belongs to the message itself.
    Own,
    /// Data of a metric that later data of another type overrides.
    Overridden,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Span,
    Log,
    Point,
    Sample,
    Histogram,
    Exemplar,
    Metadata,
}

impl Kind {
    fn of(self, counts: &mut Counts) -> &mut u32 {
        match self {
            Self::Span => &mut counts.spans,
            Self::Log => &mut counts.logs,
            Self::Point => &mut counts.points,
            Self::Sample => &mut counts.samples,
            Self::Histogram => &mut counts.histograms,
            Self::Exemplar => &mut counts.exemplars,
            Self::Metadata => &mut counts.metadata,
        }
    }
}

impl Level {
    const fn request(signal: Signal, layout: Layout) -> Self {
        match layout {
            Layout::Otlp => Self::Request(signal),
            Layout::RemoteWrite => Self::WriteRequest,
        }
    }

    /// Of a metric's data fields the last one counts (protobuf encoding spec, "Oneofs").
    fn settle(self, message: &[u8]) -> Result<Self, WireError> {
        let Self::Metric(_) = self else { return Ok(self) };
        let mut data = 0;
        for field in fields(message) {
            let number = field?.number;
            if matches!(number, 5 | 7 | 9 | 10 | 11) {
                data = number;
            }
        }
        Ok(Self::Metric(data))
    }

    /// What `field` is to a message of this level.
    #[inline]
    fn part(self, field: &Field<'_>) -> Part {
        match (self, field.number) {
            (Self::Request(signal), 1) => Part::Below(Self::Resource(signal)),
            (Self::Resource(signal), 2) => Part::Below(Self::Scope(signal)),
            (Self::Scope(Signal::Traces), 2) => Part::Item(Kind::Span),
            (Self::Scope(Signal::Logs), 2) => Part::Item(Kind::Log),
            (Self::Scope(Signal::Metrics), 2) => Part::Below(Self::Metric(0)),
            (Self::Metric(data), number) if number == data => Part::Below(Self::Data),
            (Self::Metric(_), 5 | 7 | 9 | 10 | 11) => Part::Overridden,
            (Self::Data, 1) => Part::Item(Kind::Point),
            (Self::WriteRequest, 1) => Part::Below(Self::Series),
            (Self::WriteRequest, 3) => Part::Item(Kind::Metadata),
            (Self::Series, 2) => Part::Item(Kind::Sample),
            (Self::Series, 3) => Part::Item(Kind::Exemplar),
            (Self::Series, 4 | private::CUSTOM_HISTOGRAM) => Part::Item(Kind::Histogram),
            _ => Part::Own,
        }
    }
}

#[cfg(test)]
mod tests;
