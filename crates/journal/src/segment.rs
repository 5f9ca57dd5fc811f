//! A segment: one preallocated file of frames, and the table of a log's segments.
//!
//! The file's name says which one it is: `first.ordinal.epoch.seg`. A first page repeats that under a checksum; either
//! survives damage to the other. A segment's frames end where the segment with the next ordinal begins: what stands behind
//! is void (a refused remainder of a file whose sync failed).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use model::{Origin, Signal, UnixNanos};

use crate::books::{self, Census};
use crate::fields::{Put, Take};
use crate::frame::Head;

/// Where frames begin: a page of its own for the header, so that no write of frames can tear it.
pub(crate) const FRAMES_AT: u64 = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"TGsegmen");
const VERSION: u16 = 1;
const HEADER: usize = 52;
/// A mark is kept about every so many bytes.
const MARK_EVERY: u64 = 256 * 1024;

/// What names a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Sequence number of its first frame.
    pub(crate) first: u64,
    /// Its place in the order in which segments of this log were begun.
    pub(crate) ordinal: u64,
    /// 64 random bits that salt its sums.
    pub(crate) epoch: u64,
    /// Items of all frames before its first.
    pub(crate) items_before: u64,
}

impl Identity {
    pub(crate) fn file_name(&self) -> String {
        format!("{:020}.{:010}.{:016x}.seg", self.first, self.ordinal, self.epoch)
    }

    /// Reads a file name; `items_before` is not in it.
    pub(crate) fn from_file_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".seg")?.split('.');
        let (first, ordinal, epoch) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            first: first.parse().ok().filter(|first| *first > 0)?,
            ordinal: ordinal.parse().ok()?,
            epoch: u64::from_str_radix(epoch, 16).ok()?,
            items_before: 0,
        })
    }

    pub(crate) fn header(&self, signal: Signal, created: UnixNanos) -> Vec<u8> {
        let mut put = Put::default();
        put.u64(MAGIC);
        put.u16(VERSION);
        put.u16(u16::from(signal as u8));
        for number in [self.first, self.ordinal, self.epoch, self.items_before, created.0] {
            put.u64(number);
        }
        let sum = crc32c::crc32c(&put.0);
        put.u32(sum);
        put.0.resize(FRAMES_AT as usize, 0);
        put.0
    }

    pub(crate) fn from_header(page: &[u8], signal: Signal) -> Option<Self> {
        let sum = crc32c::crc32c(page.get(..HEADER)?);
        let mut take = Take(page);
        if take.u64()? != MAGIC || take.u16()? != VERSION || take.u16()? != u16::from(signal as u8) {
            return None;
        }
        let (first, ordinal, epoch, items_before) = (take.u64()?, take.u64()?, take.u64()?, take.u64()?);
        take.u64()?;
        (take.u32()? == sum).then_some(Self { first, ordinal, epoch, items_before })
    }
}

/// A place in a segment that reading and counting can begin at.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) seq: u64,
    pub(crate) at: u64,
    /// Items of the frames from here to the next mark, lost ones included.
    pub(crate) census: Census,
}

/// Frames that cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) at: u64,
    pub(crate) end: u64,
    pub(crate) census: Census,
}

/// What was found out by reading a segment from end to end, or kept while writing it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    pub(crate) marks: Vec<Mark>,
    pub(crate) holes: Vec<Hole>,
}

impl Map {
    pub(crate) fn note(&mut self, seq: u64, at: u64, origin: &Origin, items: u64) {
        if self.marks.last().is_none_or(|mark| at >= mark.at + MARK_EVERY) {
            self.marks.push(Mark { seq, at, census: Census::new() });
        }
        let mark = self.marks.last_mut().expect("pushed when there was none");
        books::add(&mut mark.census, origin, items);
    }

    /// The last mark at or before `seq`.
    pub(crate) fn before(&self, seq: u64) -> Option<&Mark> {
        let n = self.marks.partition_point(|mark| mark.seq <= seq);
        n.checked_sub(1).map(|index| &self.marks[index])
    }
}

/// One segment in memory.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) identity: Identity,
    pub(crate) path: PathBuf,
    /// The last frame's number; `first - 1` while there is none.
    pub(crate) last: u64,
    /// Where the last frame ends.
    pub(crate) end: u64,
    /// What the budget counts for it.
    pub(crate) bytes: u64,
    /// When the newest frame was received.
    pub(crate) newest: UnixNanos,
    /// Items of all its frames, lost ones included.
    pub(crate) census: Census,
    /// `None` until somebody reads a segment that a former process had sealed.
    pub(crate) map: Option<Map>,
    /// No frame will be added.
    pub(crate) sealed: bool,
    /// Set before the file is given a new life; readers look at it after they have read.
    pub(crate) released: Arc<AtomicBool>,
}

impl Segment {
    pub(crate) fn begin(identity: Identity, folder: &Path, bytes: u64) -> Self {
        Self {
            identity,
            path: folder.join(identity.file_name()),
            last: identity.first - 1,
            end: FRAMES_AT,
            bytes,
            newest: UnixNanos(0),
            census: Census::new(),
            map: Some(Map::default()),
            sealed: false,
            released: Arc::default(),
        }
    }

    pub(crate) fn items_end(&self) -> u64 {
        self.identity.items_before + books::total(&self.census)
    }

    pub(crate) fn add(&mut self, head: &FrameNote<'_>) {
        self.last = head.seq;
        self.end = head.at + head.length;
        self.bytes = self.bytes.max(self.end);
        self.newest = self.newest.max(head.received);
        books::add(&mut self.census, head.origin, head.items);
        if let Some(map) = &mut self.map {
            map.note(head.seq, head.at, head.origin, head.items);
        }
    }
}

/// What the table keeps of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameNote<'a> {
    pub(crate) seq: u64,
    pub(crate) at: u64,
    pub(crate) length: u64,
    pub(crate) received: UnixNanos,
    pub(crate) origin: &'a Origin,
    pub(crate) items: u64,
    pub(crate) derived: u64,
}

impl<'a> FrameNote<'a> {
    pub(crate) fn of(head: &'a Head, at: u64) -> Self {
        Self {
            seq: head.seq,
            at,
            length: head.length(),
            received: head.received,
            origin: &head.origin,
            items: u64::from(head.items),
            derived: head.derived,
        }
    }
}

/// A log's segments in order, and what was counted from them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) segments: VecDeque<Segment>,
    /// Items of all frames ever accepted.
    pub(crate) accepted: Census,
    /// Items of all frames ever accepted, as the frames themselves count them.
    pub(crate) items: u64,
    /// The highest derived number seen.
    pub(crate) derived: u64,
    /// Files ready for a new life, each `segment_bytes` long.
    pub(crate) spares: Vec<PathBuf>,
    /// Segments were sealed that no checkpoint knows.
    pub(crate) fresh: bool,
    pub(crate) next_ordinal: u64,
    pub(crate) next_spare: u64,
    /// Numbers that cursors in the making begin at, as long as somebody holds the other end.
    pub(crate) claims: Vec<(Weak<()>, u64)>,
}

impl Table {
    /// The segment that holds `seq`, or the first one after it.
    pub(crate) fn at_or_after(&self, seq: u64) -> Option<&Segment> {
        let n = self.segments.partition_point(|segment| segment.last < seq);
        self.segments.get(n)
    }

    pub(crate) fn by_ordinal(&mut self, ordinal: u64) -> Option<&mut Segment> {
        let n = self.segments.partition_point(|segment| segment.identity.ordinal < ordinal);
        self.segments.get_mut(n).filter(|segment| segment.identity.ordinal == ordinal)
    }

    /// Adds frames that became visible, all of the newest segment.
    pub(crate) fn publish<'a>(&mut self, notes: impl Iterator<Item = FrameNote<'a>>) {
        let Some(segment) = self.segments.back_mut() else { return };
        for note in notes {
            segment.add(&note);
            books::add(&mut self.accepted, note.origin, note.items);
            self.items += note.items;
            self.derived = self.derived.max(note.derived);
        }
    }

    pub(crate) fn spare_path(&mut self, folder: &Path) -> PathBuf {
        self.next_spare += 1;
        folder.join(format!("{:010}.spare", self.next_spare))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_header_tell_the_same() {
        let identity = Identity { first: 77, ordinal: 3, epoch: 0xfeed_0000_0000_0001, items_before: 12 };
        let named = Identity::from_file_name(&identity.file_name()).unwrap();
        assert_eq!(named, Identity { items_before: 0, ..identity });
        let page = identity.header(Signal::Logs, UnixNanos(5));
        assert_eq!(Identity::from_header(&page, Signal::Logs), Some(identity));
        assert_eq!(Identity::from_header(&page, Signal::Traces), None);
        for at in 0..HEADER {
            let mut damaged = page.clone();
            damaged[at] ^= 1;
            assert_eq!(Identity::from_header(&damaged, Signal::Logs), None, "byte {at}");
        }
    }

    #[test]
    fn foreign_file_names_are_not_segments() {
        for name in ["1.seg", "x.0.0.seg", "1.2.3.4.seg", "0.1.2.seg", "1.2.zz.seg", "1.2.3.spare"] {
            assert_eq!(Identity::from_file_name(name), None, "{name}");
        }
    }
}
