//! A parcel: what a courier hands to a sink. Ordered parts of one tenant, signal and layout, cut from the journal.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use journal::Offset;
use model::{ContentHash, Layout, Origin, Signal, Tenant, UnixNanos};
use wire::Coding;

/// One frame of the journal, or a range of its items.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where the frame stands in its log.
    pub offset: Offset,
    /// Which of the frame's items belong to the parcel. The whole frame: `0..items`.
    pub items: Range<u32>,
    /// How many items the whole frame has.
    pub frame_items: u32,
    /// Who sent it.
    pub origin: Origin,
    /// Hash of the plain body as received.
    pub content_hash: ContentHash,
    /// When the gateway had read it.
    pub received: UnixNanos,
    /// How `body` is compressed.
    pub coding: Coding,
    /// The frame's body as the journal keeps it (always the whole frame's).
    pub body: Bytes,
    /// Length of the whole frame's plain bytes.
    pub plain_len: u32,
    /// The whole frame's plain bytes, once somebody needed them; shared by every sink that reads this frame.
    pub inflated: Arc<OnceLock<Bytes>>,
}

/// Ordered parts of one tenant, signal and layout.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The configured name of the sink that it is for.
    pub sink: Arc<str>,
    /// On whose behalf.
    pub tenant: Tenant,
    /// Which log it was read from.
    pub signal: Signal,
    /// How the plain bytes of every part are laid out.
    pub layout: Layout,
    /// The parts, in journal order, none empty.
    pub parts: Vec<Part>,
    /// How often this parcel was tried before: 0 at the first attempt.
    pub attempt: u32,
}

/// A wire body made from a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// How `bytes` is compressed.
    pub coding: Coding,
    /// The bytes.
    pub bytes: Bytes,
}

impl Parcel {
    /// Items in all parts.
    pub fn items(&self) -> u32 {
        self.parts.iter().map(|part| part.items.end - part.items.start).sum()
    }

    /// First and last offset.
    pub fn range(&self) -> (Offset, Offset) {
        let first = self.parts.first().map_or(Offset(0), |part| part.offset);
        let last = self.parts.last().map_or(Offset(0), |part| part.offset);
        (first, last)
    }
}
