//! A native histogram, the same in 1.0 and 2.0 but for where its start time stands.

use crate::WireError;
use crate::otlp::{Repeated, Scalars, repeated};
use crate::walk::{fields, zigzag};

/// A count, of one of the two flavours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Of a histogram of integers.
    Int(u64),
    /// The bits of a count of a histogram of floats.
    Float(u64),
}

/// A run of buckets that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The gap to the run before, or the index of the first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// A native histogram as sent: nothing about it is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Histogram<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Observations; `None` when the sender set none.
    pub count: Option<Count>,
    /// Bits of their sum; the stale marker's bits make the whole histogram one.
    pub sum_bits: u64,
    /// −4 to 8 for exponential buckets, −53 for custom ones.
    pub schema: i32,
    /// Bits of the width of the zero bucket.
    pub zero_threshold: u64,
    /// Observations in the zero bucket; `None` when the sender set none.
    pub zero_count: Option<Count>,
    /// 0 unknown, 1 yes, 2 no, 3 gauge.
    pub reset_hint: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Start, milliseconds since 1970; 0 is unknown.
    pub start: i64,
}

impl<'a> Histogram<'a> {
    /// Reads a histogram whose start time is in field `start`: 17 in 2.0, private in 1.0.
    pub(super) fn read(raw: &'a [u8], start: u32) -> Result<Self, WireError> {
        let mut histogram = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => histogram.count = Some(Count::Int(field.varint()?)),
                2 => histogram.count = Some(Count::Float(field.fixed64()?)),
                3 => histogram.sum_bits = field.fixed64()?,
                4 => histogram.schema = zigzag(field.varint()?) as i32,
                5 => histogram.zero_threshold = field.fixed64()?,
                6 => histogram.zero_count = Some(Count::Int(field.varint()?)),
                7 => histogram.zero_count = Some(Count::Float(field.fixed64()?)),
                14 => histogram.reset_hint = field.varint()? as i32,
                15 => histogram.timestamp = field.varint()? as i64,
                number if number == start => histogram.start = field.varint()? as i64,
                _ => {}
            }
        }
        Ok(histogram)
    }

    /// Whether the sum says that the series has ended.
    pub fn is_stale(&self) -> bool {
        self.sum_bits == super::STALE
    }

    /// Runs of buckets below zero.
    pub fn negative_spans(&self) -> Repeated<'a, Span> {
        repeated(self.raw, 8)
    }

    /// Counts of integer buckets below zero, each as the difference to the one before.
    pub fn negative_deltas(&self) -> impl Iterator<Item = Result<i64, WireError>> + use<'a> {
        Scalars::varints(self.raw, 9).map(|delta| delta.map(zigzag))
    }

    /// Bits of the counts of float buckets below zero.
    pub fn negative_counts(&self) -> Scalars<'a> {
        Scalars::words(self.raw, 10)
    }

    /// Runs of buckets above zero.
    pub fn positive_spans(&self) -> Repeated<'a, Span> {
        repeated(self.raw, 11)
    }

    /// Counts of integer buckets above zero, each as the difference to the one before.
    pub fn positive_deltas(&self) -> impl Iterator<Item = Result<i64, WireError>> + use<'a> {
        Scalars::varints(self.raw, 12).map(|delta| delta.map(zigzag))
    }

    /// Bits of the counts of float buckets above zero.
    pub fn positive_counts(&self) -> Scalars<'a> {
        Scalars::words(self.raw, 13)
    }

    /// Bits of the upper bounds of custom buckets.
    pub fn custom_values(&self) -> Scalars<'a> {
        Scalars::words(self.raw, 16)
    }
}
