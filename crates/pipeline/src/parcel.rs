//! A parcel: what a courier hands to a sink. Ordered parts of one tenant, signal and layout, cut from the journal.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use journal::{Frame, Offset};
use model::{ContentHash, Layout, Origin, Signal, Tenant, UnixNanos};
use sha2::{Digest, Sha256};
use wire::Coding;

/// One frame of the journal, or a range of its items.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where the frame stands in its log.
    pub offset: Offset,
    /// Which of the body's items belong to the parcel. All of them: `0..frame_items`.
    pub items: Range<u32>,
    /// How many items the body has.
    pub frame_items: u32,
    /// Where the sink's rules left items of the frame out: the number that each item of the body has in the frame, rising.
    /// `None` where the body has them all.
    pub kept: Option<Arc<[u32]>>,
    /// Whether the sink's rules made the body another one than the frame's.
    pub changed: bool,
    /// Who sent it.
    pub origin: Origin,
    /// Hash of the plain body as received.
    pub content_hash: ContentHash,
    /// When the gateway had read it.
    pub received: UnixNanos,
    /// The number of a derived batch; 0 for what clients sent.
    pub derived: u64,
    /// How `body` is compressed.
    pub coding: Coding,
    /// The frame's body as the journal keeps it, or what the sink's rules made of it (always the whole frame's).
    pub body: Bytes,
    /// Length of the whole body's plain bytes.
    pub plain_len: u32,
    /// The whole body's plain bytes, once somebody needed them; shared by every sink that reads the same.
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
    /// The version of the sink's rules that the parts went through; 0 where it has none.
    pub rules: u64,
    /// The number of the replay that carries it; 0 on its first way. A replay is wanted there again: its ranges have names of
    /// their own.
    pub replay: u64,
    /// How often this parcel was tried before: 0 at the first attempt.
    pub attempt: u32,
    /// Whether it was begun before a restart (`Edges::Recorded`, `Edges::Settled`) or is a piece of what was tried: some of it
    /// may have arrived.
    pub begun: bool,
}

/// What an item is called wherever it goes: the same for a sender's resend of the same body and for our own replay. For
/// items without a natural key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// Hash of the plain body that the item came in.
    pub content: ContentHash,
    /// The item's index in its frame.
    pub index: u32,
}

impl fmt::Display for ItemId {
    /// 40 hex digits: the hash, then the index.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}{:08x}", self.content.0, self.index)
    }
}

/// Where an item of a parcel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemPlace {
    /// Which part of the parcel holds it.
    pub part: usize,
    /// The frame's position in its log.
    pub offset: Offset,
    /// The item's index in the frame.
    pub index: u32,
    /// Its identity.
    pub id: ItemId,
}

impl Part {
    /// A whole frame.
    pub(crate) fn of(frame: Frame) -> Self {
        Self {
            offset: frame.offset,
            items: 0..frame.items,
            frame_items: frame.items,
            kept: None,
            changed: false,
            origin: frame.origin,
            content_hash: frame.content_hash,
            received: frame.received,
            derived: frame.derived,
            coding: frame.coding,
            body: frame.body,
            plain_len: frame.plain_len,
            inflated: frame.inflated,
        }
    }

    /// How many items of it belong to the parcel.
    pub fn len(&self) -> u32 {
        self.items.end - self.items.start
    }

    /// Whether it holds no item at all; no part of a parcel does.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether every item of the body belongs to the parcel.
    pub fn is_whole(&self) -> bool {
        self.items == (0..self.frame_items)
    }

    /// About how many plain bytes its items take: the frame's share by items.
    pub fn plain_share(&self) -> u64 {
        share(u64::from(self.plain_len), self.len(), self.frame_items)
    }

    /// About how many stored bytes its items take: the frame's share by items.
    pub fn stored_share(&self) -> u64 {
        share(self.body.len() as u64, self.len(), self.frame_items)
    }

    /// The number in the frame, as it was received, of an item of the body.
    pub fn number(&self, item: u32) -> u32 {
        match &self.kept {
            None => item,
            Some(kept) => kept.get(item as usize).copied().unwrap_or(u32::MAX),
        }
    }

    /// The number in the frame behind the last item that belongs to the parcel: what a sink that counts how far it is writes
    /// down, since it means the same under other rules.
    pub fn end(&self) -> u32 {
        self.items.end.checked_sub(1).map_or(0, |last| self.number(last).saturating_add(1))
    }

    /// Leaves out the items whose number in the frame is below `number`.
    pub fn skip_below(&mut self, number: u32) {
        let first = match &self.kept {
            None => number,
            Some(kept) => kept.partition_point(|kept| *kept < number) as u32,
        };
        self.items.start = self.items.start.max(first).min(self.items.end);
    }

    fn place(&self, part: usize, item: u32) -> ItemPlace {
        let index = self.number(item);
        ItemPlace { part, offset: self.offset, index, id: ItemId { content: self.content_hash, index } }
    }
}

fn share(bytes: u64, items: u32, of: u32) -> u64 {
    bytes * u64::from(items) / u64::from(of.max(1))
}

impl Parcel {
    /// Whether some of it may have arrived by an attempt whose end nobody saw.
    pub fn may_have_arrived(&self) -> bool {
        self.begun || self.attempt > 0
    }

    /// Items in all parts.
    pub fn items(&self) -> u32 {
        self.parts.iter().map(Part::len).sum()
    }

    /// First and last offset.
    pub fn range(&self) -> (Offset, Offset) {
        let first = self.parts.first().map_or(Offset(0), |part| part.offset);
        let last = self.parts.last().map_or(Offset(0), |part| part.offset);
        (first, last)
    }

    /// The name of exactly these items for a peer that drops what it has seen (`Edges::Recorded`): 16 hex digits over the
    /// sink, the signal, the tenant, `form` (the version of whatever turns items into the peer's form), and of each part its offset,
    /// item range, content hash and receive time. Offsets alone would not do: another gateway, or this one after its data folder was
    /// lost, counts from the beginning too, and the peer would drop data that it has never seen.
    ///
    /// Where rules have changed a part their version is in it too: under others the peer is given something else, and must not drop
    /// that for what it has. What they leave as it came keeps its name under any rules.
    pub fn range_id(&self, form: u32) -> String {
        let mut hash = Sha256::new();
        for word in [&*self.sink, self.signal.as_str(), self.tenant.as_str()] {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word.as_bytes());
        }
        hash.update([self.layout as u8]);
        hash.update(form.to_le_bytes());
        let rules = if self.parts.iter().any(|part| part.changed) { self.rules } else { 0 };
        hash.update(rules.to_le_bytes());
        for part in &self.parts {
            hash.update(part.offset.0.to_le_bytes());
            hash.update(part.items.start.to_le_bytes());
            hash.update(part.items.end.to_le_bytes());
            for number in part.kept.iter().flat_map(|kept| kept.iter()) {
                hash.update(number.to_le_bytes());
            }
            hash.update(part.content_hash.0.to_le_bytes());
            hash.update(part.received.0.to_le_bytes());
        }
        if self.replay > 0 {
            hash.update(self.replay.to_le_bytes());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Every item's place, in the order in which `plain` and `join` lay them.
    pub fn places(&self) -> impl Iterator<Item = ItemPlace> + '_ {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(|(number, part)| part.items.clone().map(move |index| part.place(number, index)))
    }

    /// The place of the item with this index in the parcel; `None` beyond its end.
    pub fn place(&self, mut index: u32) -> Option<ItemPlace> {
        for (number, part) in self.parts.iter().enumerate() {
            if index < part.len() {
                return Some(part.place(number, part.items.start + index));
            }
            index -= part.len();
        }
        None
    }

    /// The items `range` of this parcel as a parcel of its own, as such not tried yet. Indexes beyond the end are left out.
    #[must_use]
    pub fn cut(&self, range: Range<u32>) -> Self {
        let mut parts = Vec::new();
        let mut before = 0;
        for part in &self.parts {
            let from = range.start.max(before) - before;
            let to = range.end.min(before + part.len()).saturating_sub(before);
            before += part.len();
            if from < to {
                let items = part.items.start + from..part.items.start + to;
                parts.push(Part { items, ..part.clone() });
            }
        }
        let begun = self.may_have_arrived();
        Self { parts, attempt: 0, begun, sink: Arc::clone(&self.sink), tenant: self.tenant.clone(), ..*self }
    }
}

#[cfg(test)]
pub(crate) mod tests;
