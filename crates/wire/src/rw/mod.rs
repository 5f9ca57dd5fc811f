//! Views over Prometheus remote-write messages: 1.0 with our private fields, which is the layout of batches, and 2.0.
//!
//! Values are the 64 bits as they came: a stale marker is a NaN of particular bits and must stay one.

pub mod histogram;
pub mod private;
pub mod v1;
pub mod v2;

pub use histogram::{Count, Histogram, Span};
pub use private::strip_private;

/// The bits of a value that says the series has ended.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

use crate::WireError;
use crate::otlp::View;
use crate::walk::fields;

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// The value's bits.
    pub value_bits: u64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Start, milliseconds since 1970; 0 is unknown.
    pub start: i64,
}

/// `start` is field 3 in 2.0 and private in 1.0.
fn sample(raw: &[u8], start: u32) -> Result<Sample, WireError> {
    let mut sample = Sample::default();
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 => sample.value_bits = field.fixed64()?,
            2 => sample.timestamp = field.varint()? as i64,
            number if number == start => sample.start = field.varint()? as i64,
            _ => {}
        }
    }
    Ok(sample)
}

impl<'a> View<'a> for Span {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut span = Self::default();
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => span.offset = crate::walk::zigzag(field.varint()?) as i32,
                2 => span.length = field.varint()? as u32,
                _ => {}
            }
        }
        Ok(span)
    }
}
