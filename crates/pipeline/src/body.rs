//! A parcel's wire body: what can go out as it came in does, the rest is made from the plain bytes.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use journal::Offset;
use model::Failure;
use wire::coding::{Ceiling, compress, inflate, join_snappy};
use wire::{Coding, batch};

use crate::{Cut, Parcel, Part};

/// How hard gzip and zstd try: peers pay for every byte, we for every try; 1 is where both are content.
const LEVEL: i32 = 1;

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
        if let Some(plain) = self.inflated.get() {
            return Ok(plain.clone());
        }
        let plain = inflate(self.coding, &self.body, Ceiling::bytes(self.plain_len as usize));
        let plain = plain.map_err(|error| self.unreadable(error.to_string()))?;
        if plain.len() != self.plain_len as usize {
            return Err(self.unreadable(format!(
                "{} plain bytes instead of {}",
                plain.len(),
                self.plain_len
            )));
        }
        Ok(self.inflated.get_or_init(|| plain.into()).clone())
    }

    fn unreadable(&self, reason: String) -> BodyError {
        BodyError { offset: self.offset, reason }
    }
}

impl Parcel {
    /// All items' plain bytes: one message of the parcel's layout.
    pub fn plain(&self) -> Result<Bytes, BodyError> {
        if let [part] = &self.parts[..] {
            return self.part_plain(part);
        }
        let plains = self.parts.iter().map(|part| self.part_plain(part)).collect::<Result<Vec<_>, _>>()?;
        let mut joined = BytesMut::with_capacity(plains.iter().map(Bytes::len).sum());
        plains.iter().for_each(|plain| joined.extend_from_slice(plain));
        Ok(joined.freeze())
    }

    /// The plain bytes of one part's items.
    pub fn part_plain(&self, part: &Part) -> Result<Bytes, BodyError> {
        let plain = part.frame_plain()?;
        if part.is_whole() {
            return Ok(plain);
        }
        slice(self, &plain, part.items.clone()).map_err(|reason| part.unreadable(reason))
    }

    /// The body for a peer that reads the codings `accepted`, the best liked first. A single untouched frame in one of them
    /// goes out verbatim, and so do untouched snappy frames laid end to end; everything else is made from the plain bytes
    /// and compressed by the first of `accepted` (plain when that is empty).
    ///
    /// May take milliseconds for a large parcel: run it on `SinkContext::workers`.
    pub fn join(&self, accepted: &[Coding]) -> Result<Body, BodyError> {
        if let [part] = &self.parts[..]
            && part.is_whole()
            && accepted.contains(&part.coding)
        {
            return Ok(Body { coding: part.coding, bytes: part.body.clone() });
        }
        let snappy = |part: &Part| part.is_whole() && part.coding == Coding::Snappy;
        if accepted.contains(&Coding::Snappy) && self.parts.iter().all(snappy) {
            let blocks: Vec<&[u8]> = self.parts.iter().map(|part| &*part.body).collect();
            // A block that cannot be joined is found and named below.
            if let Ok(joined) = join_snappy(&blocks) {
                return Ok(Body { coding: Coding::Snappy, bytes: joined.into() });
            }
        }
        let plain = self.plain()?;
        let coding = accepted.first().copied().unwrap_or(Coding::Plain);
        let bytes = if coding == Coding::Plain { plain } else { compress(coding, LEVEL, &plain).into() };
        Ok(Body { coding, bytes })
    }

    /// Cuts a parcel of one frame into pieces within `cut`, in order; a single item larger than a limit stays one piece, and so
    /// does a frame that cannot be read.
    pub(crate) fn split(&self, cut: Cut) -> Vec<Self> {
        let [part] = &self.parts[..] else { return vec![self.clone()] };
        let Ok(plain) = self.part_plain(part) else { return vec![self.clone()] };
        // What a limit on stored bytes means in plain bytes, by how well this frame is compressed.
        let (plain_share, stored_share) = (part.plain_share().max(1), part.stored_share().max(1));
        let as_plain = u128::from(cut.max_stored_bytes) * u128::from(plain_share) / u128::from(stored_share);
        let max_bytes = u64::try_from(as_plain).unwrap_or(u64::MAX).min(cut.max_bytes).max(1);
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        match batch::split(self.signal, self.layout, &plain, cut.max_items.max(1), max_bytes) {
            Ok(ranges) if !ranges.is_empty() => ranges.into_iter().map(|range| self.cut(range)).collect(),
            _ => vec![self.clone()],
        }
    }
}

/// The items `range` of a message of the parcel's layout.
pub(crate) fn slice(parcel: &Parcel, plain: &[u8], range: Range<u32>) -> Result<Bytes, String> {
    let cut = batch::slice(parcel.signal, parcel.layout, plain, range);
    cut.map(Bytes::from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
