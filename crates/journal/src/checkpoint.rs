//! What a log must remember about itself: the floor of its numbers, what it accepted, and what its sealed segments hold,
//! so that a start reads only the newest segment.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use model::UnixNanos;

use crate::books::{self, Census};
use crate::fields::{Put, Take};
use crate::log::{Shared, lock};
use crate::options::Durability;
use crate::segment::{Identity, Segment, Table};
use crate::slots::Slots;
use crate::vfs::Vfs;

/// In the modes that show frames before they are durable, numbers are reserved in blocks of so many.
const BLOCK: u64 = 1 << 20;
const NAME: &str = "checkpoint";

#[derive(Debug)]
pub(crate) struct Checkpoints(Slots);

/// The content of a checkpoint.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The next number is at least this.
    pub(crate) floor: u64,
    /// The last number that `accepted` covers.
    pub(crate) covered: u64,
    /// Items of all frames up to `covered`.
    pub(crate) items: u64,
    pub(crate) derived: u64,
    pub(crate) next_ordinal: u64,
    /// Segments below this ordinal were released.
    pub(crate) first_ordinal: u64,
    pub(crate) accepted: Census,
    pub(crate) sealed: Vec<Sealed>,
}

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) identity: Identity,
    pub(crate) last: u64,
    pub(crate) end: u64,
    pub(crate) newest: UnixNanos,
    pub(crate) census: Census,
}

impl Sealed {
    fn of(segment: &Segment) -> Self {
        Self {
            identity: segment.identity,
            last: segment.last,
            end: segment.end,
            newest: segment.newest,
            census: segment.census.clone(),
        }
    }
}

impl Checkpoint {
    /// What the table says now, with the numbers below `floor` given away.
    fn of(table: &Table, next: u64, floor: u64) -> Self {
        let mut accepted = table.accepted.clone();
        let mut items = table.items;
        let mut covered = table.segments.back().map_or(next - 1, |segment| segment.last);
        for open in table.segments.iter().rev().take_while(|segment| !segment.sealed) {
            accepted = books::less(&accepted, &open.census);
            covered = open.identity.first - 1;
            items = open.identity.items_before;
        }
        let sealed: Vec<_> = table.segments.iter().filter(|segment| segment.sealed).map(Sealed::of).collect();
        Self {
            floor,
            covered,
            items,
            derived: table.derived,
            next_ordinal: table.next_ordinal,
            first_ordinal: table.segments.front().map_or(table.next_ordinal, |first| first.identity.ordinal),
            accepted,
            sealed,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut put = Put::default();
        let numbers =
            [self.floor, self.covered, self.items, self.derived, self.next_ordinal, self.first_ordinal];
        for number in numbers {
            put.u64(number);
        }
        books::encode_census(&self.accepted, &mut put);
        put.u32(self.sealed.len() as u32);
        for sealed in &self.sealed {
            let Identity { first, ordinal, epoch, items_before } = sealed.identity;
            for number in [first, ordinal, epoch, items_before, sealed.last, sealed.end, sealed.newest.0] {
                put.u64(number);
            }
            books::encode_census(&sealed.census, &mut put);
        }
        put.0
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut take = Take(bytes);
        let mut checkpoint = Self {
            floor: take.u64()?,
            covered: take.u64()?,
            items: take.u64()?,
            derived: take.u64()?,
            next_ordinal: take.u64()?,
            first_ordinal: take.u64()?,
            accepted: books::decode_census(&mut take)?,
            sealed: Vec::new(),
        };
        for _ in 0..take.u32()? {
            let (first, ordinal, epoch, items_before) = (take.u64()?, take.u64()?, take.u64()?, take.u64()?);
            checkpoint.sealed.push(Sealed {
                identity: Identity { first, ordinal, epoch, items_before },
                last: take.u64()?,
                end: take.u64()?,
                newest: UnixNanos(take.u64()?),
                census: books::decode_census(&mut take)?,
            });
        }
        Some(checkpoint)
    }
}

impl Checkpoints {
    /// The last durable checkpoint, when there is a valid one.
    pub(crate) fn open(vfs: &dyn Vfs, folder: &Path) -> (Self, Option<Checkpoint>) {
        let found = Slots::open(vfs, folder, NAME);
        let checkpoint = found.payload.as_deref().and_then(Checkpoint::decode);
        if checkpoint.is_none() && (found.damaged || found.payload.is_some()) {
            tracing::warn!(folder = %folder.display(), "checkpoint is damaged, reading every segment instead");
        }
        (Self(found.slots), checkpoint)
    }
}

impl Shared {
    /// Writes a checkpoint; on return it is durable. Numbers below `next` count as given away.
    pub(crate) fn write_checkpoint(&self, next: u64) -> io::Result<()> {
        self.write_checkpoint_of(next, |_| {})
    }

    /// The same, after `change` was made to the table. The change stays even when the write fails.
    pub(crate) fn write_checkpoint_of(&self, next: u64, change: impl FnOnce(&mut Table)) -> io::Result<()> {
        let mut checkpoints = lock(&self.checkpoints);
        let next = next.max(self.begun_at);
        let closed = lock(&self.stage).closing && self.visible().closed;
        let reserved = self.reserved.load(Ordering::Relaxed);
        let floor = match self.options.durability {
            _ if closed => next,
            Durability::Sync => next,
            Durability::Flush | Durability::Memory if next + BLOCK / 2 < reserved => reserved,
            Durability::Flush | Durability::Memory => next + BLOCK,
        };
        let checkpoint = {
            let mut table = lock(&self.table);
            change(&mut table);
            Checkpoint::of(&table, next, floor)
        };
        checkpoints.0.write(&*self.vfs, &checkpoint.encode()).or_else(|error| {
            if crate::vfs::is_full(&error) && self.give_up_spare() {
                return checkpoints.0.write(&*self.vfs, &checkpoint.encode());
            }
            Err(error)
        })?;
        self.reserved.store(floor, Ordering::Relaxed);
        Ok(())
    }

    /// Removes a reserve segment to make room for what must be written; says whether there was one.
    pub(crate) fn give_up_spare(&self) -> bool {
        let spare = lock(&self.table).spares.pop();
        spare.is_some_and(|path| self.vfs.remove(&path).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let census = Census::from([(books::unknown_origin(), 5)]);
        let identity = Identity { first: 1, ordinal: 2, epoch: 3, items_before: 4 };
        let sealed = Sealed { identity, last: 9, end: 5000, newest: UnixNanos(6), census: census.clone() };
        let checkpoint = Checkpoint {
            floor: 10,
            covered: 9,
            items: 9,
            derived: 1,
            next_ordinal: 3,
            first_ordinal: 2,
            accepted: census,
            sealed: vec![sealed],
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        for n in 0..bytes.len() {
            assert_eq!(Checkpoint::decode(&bytes[..n]), None, "{n} bytes");
        }
    }
}
