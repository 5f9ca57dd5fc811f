//! The private fields of the remote-write layout: what 2.0 can say and 1.0 has no place for. Peers of 1.0 skip them.
//!
//! | in | number | what |
//! |---|---|---|
//! | `TimeSeries` | 1001 | metadata of this series: a `MetricMetadata` without family name |
//! | `TimeSeries` | 1002 | a native histogram with custom buckets (schema −53), a `Histogram` |
//! | `Sample`, `Histogram` | 1003 | start time, int64 milliseconds; 0 and absent mean unknown |
//!
//! Nobody outside may set them: `strip_private` removes every field of a private number from a request as it comes in.

use std::borrow::Cow;

use crate::WireError;
use crate::put;
use crate::walk::fields;

/// The metadata of a series, in `TimeSeries`.
pub const SERIES_METADATA: u32 = 1001;
/// A histogram with custom buckets, in `TimeSeries`.
pub const CUSTOM_HISTOGRAM: u32 = 1002;
/// The start time, in `Sample` and `Histogram`.
pub const START: u32 = 1003;
/// The first private number: none below is, all from here on are.
pub const FIRST: u32 = 1001;

/// Removes the fields of private numbers from a 1.0 request: from the request, its series, their samples, histograms,
/// exemplars and labels, and its metadata entries. Borrowed when there is none.
///
/// # Errors
/// The bytes are no request.
pub fn strip_private(plain: &[u8]) -> Result<Cow<'_, [u8]>, WireError> {
    if !has_private(plain, Below::Request)? {
        return Ok(Cow::Borrowed(plain));
    }
    let mut out = Vec::with_capacity(plain.len());
    strip(plain, Below::Request, &mut out)?;
    Ok(Cow::Owned(out))
}

/// Which message is looked at, as far as others lie in it.
#[derive(Clone, Copy)]
enum Below {
    Request,
    Series,
    Exemplar,
    Nothing,
    /// Not a message at all.
    Text,
}

impl Below {
    fn field(self, number: u32) -> Self {
        match (self, number) {
            (Self::Request, 1) => Self::Series,
            (Self::Request, 3) => Self::Nothing,
            (Self::Series, 1 | 2 | 4) => Self::Nothing,
            (Self::Series, 3) => Self::Exemplar,
            (Self::Exemplar, 1) => Self::Nothing,
            _ => Self::Text,
        }
    }
}

fn has_private(message: &[u8], level: Below) -> Result<bool, WireError> {
    for field in fields(message) {
        let field = field?;
        if field.number >= FIRST {
            return Ok(true);
        }
        let below = level.field(field.number);
        if !matches!(below, Below::Text) && has_private(field.bytes()?, below)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn strip(message: &[u8], level: Below, out: &mut Vec<u8>) -> Result<(), WireError> {
    for field in fields(message) {
        let field = field?;
        if field.number >= FIRST {
            continue;
        }
        match level.field(field.number) {
            Below::Text => out.extend_from_slice(&message[field.start..field.end]),
            below => {
                let content = field.bytes()?;
                put::message(out, field.number, |out| strip(content, below, out))?;
            }
        }
    }
    Ok(())
}
