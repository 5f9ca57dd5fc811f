//! Reading a segment from end to end: which frames are whole, where damage lies and what it cost, where the log was torn.
//!
//! Damage at or below the highest number known durable is loss: it is counted from the neighbours and reading goes on at
//! the next valid frame. Damage above is a torn tail: nothing there was ever acknowledged, all of it is cut.

use std::io;

use bytes::Bytes;
use model::{Signal, UnixNanos};

use crate::books::{self, Census};
use crate::frame::{self, HEADER_MAX, Head};
use crate::segment::{FRAMES_AT, FrameNote, Hole, Identity, Map, Mark};
use crate::vfs::{VfsFile, read_full};

/// Bytes read ahead.
const AHEAD: usize = 256 * 1024;
const PAGE: usize = 4096;

/// A moving view of a file. Pages that the device cannot read are seen as zeros: they are damage like any other.
pub(crate) struct Window<'a> {
    file: &'a dyn VfsFile,
    start: u64,
    buffer: Vec<u8>,
    length: u64,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn VfsFile) -> io::Result<Self> {
        Ok(Self { file, start: 0, buffer: Vec::new(), length: file.length()? })
    }

    /// The file's length.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// At most `n` bytes from `at` on, fewer only at the end of the file.
    pub(crate) fn slice(&mut self, at: u64, n: usize) -> &[u8] {
        let n = usize::try_from(self.length.saturating_sub(at)).map_or(n, |left| left.min(n));
        let inside = at >= self.start && at + n as u64 <= self.start + self.buffer.len() as u64;
        if !inside {
            self.fill(at, n.max(AHEAD));
        }
        let from = (at - self.start) as usize;
        let to = (from + n).min(self.buffer.len());
        &self.buffer[from.min(to)..to]
    }

    fn fill(&mut self, at: u64, n: usize) {
        let n = usize::try_from(self.length.saturating_sub(at)).map_or(n, |left| left.min(n));
        self.start = at;
        self.buffer.clear();
        self.buffer.resize(n, 0);
        match read_full(self.file, &mut self.buffer, at) {
            Ok(read) => self.buffer.truncate(read),
            Err(_) => {
                for (index, page) in self.buffer.chunks_mut(PAGE).enumerate() {
                    if read_full(self.file, page, at + (index * PAGE) as u64).is_err() {
                        page.fill(0);
                    }
                }
            }
        }
    }

    /// A frame header at `at`.
    pub(crate) fn head(&mut self, at: u64, epoch: u64, signal: Signal) -> Option<Head> {
        frame::head(self.slice(at, HEADER_MAX), epoch, signal)
    }

    /// The body of a frame, when it is whole.
    pub(crate) fn body(&mut self, at: u64, head: &Head, epoch: u64) -> Option<&[u8]> {
        let body = self.slice(at + u64::from(head.header_len), head.body_len as usize);
        head.matches(body, epoch).then_some(body)
    }

    /// A whole frame's body, copied out.
    pub(crate) fn copy_body(&mut self, at: u64, head: &Head, epoch: u64) -> Option<Bytes> {
        self.body(at, head, epoch).map(Bytes::copy_from_slice)
    }

    /// The next valid header at or after `at` with a number in `wanted`.
    fn next_head(
        &mut self,
        mut at: u64,
        epoch: u64,
        signal: Signal,
        wanted: std::ops::RangeInclusive<u64>,
    ) -> Option<(u64, Head)> {
        while at < self.length {
            let step = self.slice(at, AHEAD);
            let usable = if step.len() < AHEAD { step.len() } else { AHEAD - HEADER_MAX };
            let found = (0..usable).step_by(8).find_map(|offset| {
                let head =
                    frame::plausible(&step[offset..]).then(|| frame::head(&step[offset..], epoch, signal));
                head.flatten().filter(|head| wanted.contains(&head.seq)).map(|head| (offset, head))
            });
            if let Some((offset, head)) = found {
                return Some((at + offset as u64, head));
            }
            at += (usable as u64).next_multiple_of(8).max(8);
        }
        None
    }
}

/// What is known of a segment before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) identity: Identity,
    pub(crate) signal: Signal,
    /// The last number that belongs to it, where a later segment or the checkpoint tells.
    pub(crate) last: Option<u64>,
    /// Items of all frames up to its end, where a later segment or the checkpoint tells.
    pub(crate) items_end: Option<u64>,
    /// The highest number known durable from elsewhere.
    pub(crate) durable: u64,
    /// Items by origin, where the checkpoint tells.
    pub(crate) census: Option<&'a Census>,
}

/// What reading found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) map: Map,
    pub(crate) last: u64,
    pub(crate) end: u64,
    /// Items of all frames, lost ones included.
    pub(crate) census: Census,
    pub(crate) derived: u64,
    pub(crate) newest: UnixNanos,
    /// The highest number that any frame here says to be durable.
    pub(crate) durable: u64,
    /// Whether anything that looked like a frame was cut behind the end.
    pub(crate) torn: bool,
}

/// Reads a whole segment.
pub(crate) fn survey(window: &mut Window<'_>, known: Known<'_>) -> Survey {
    let Identity { first, epoch, items_before, .. } = known.identity;
    let last = known.last.unwrap_or(u64::MAX);
    let mut found = Survey { last: first - 1, end: FRAMES_AT, durable: known.durable, ..Survey::default() };
    let mut items = items_before;
    let mut at = FRAMES_AT;
    let mut losses = Vec::new();
    while found.last < last {
        let expected = found.last + 1;
        let head = window.head(at, epoch, known.signal).filter(|head| (expected..=last).contains(&head.seq));
        let next = match head {
            Some(head) => Some((at, head)),
            None => window.next_head(at + 8, epoch, known.signal, expected..=last),
        };
        let whole = next.as_ref().is_some_and(|(at, head)| window.body(*at, head, epoch).is_some());
        let gap = !whole || next.as_ref().is_some_and(|(_, head)| head.seq != expected);
        if gap && expected > found.durable {
            found.durable = durable_behind(window, at, known, expected..=last, found.durable);
            if expected > found.durable {
                found.torn = next.is_some();
                break;
            }
        }
        let Some((start, head)) = next else { break };
        if head.seq > expected {
            let index = hole(&mut found, at, start, head.seq - 1, Census::new());
            losses.push((index, head.items_before.saturating_sub(items)));
        }
        items = head.items_before + u64::from(head.items);
        found.durable = found.durable.max(head.durable);
        let end = start + head.length();
        if whole {
            let note = FrameNote::of(&head, start);
            found.map.note(note.seq, note.at, note.origin, note.items);
            books::add(&mut found.census, note.origin, note.items);
            found.last = head.seq;
        } else {
            let own = Census::from([(head.origin.clone(), u64::from(head.items))]);
            books::add_all(&mut found.census, &own);
            hole(&mut found, start, end, head.seq, own);
        }
        found.end = end;
        found.derived = found.derived.max(head.derived);
        found.newest = found.newest.max(head.received);
        at = end;
    }
    // Frames known to have been here, with nothing behind them.
    let expected_last = known.last.unwrap_or(0).max(found.durable.min(last));
    if found.last < expected_last {
        let end = window.length().max(at);
        let index = hole(&mut found, at, end, expected_last, Census::new());
        losses.push((index, known.items_end.map_or(0, |end| end.saturating_sub(items))));
        found.end = end;
    }
    attribute(&mut found, known.census, &losses);
    found
}

/// The highest number known durable, of all frames from `at` on.
fn durable_behind(
    window: &mut Window<'_>,
    at: u64,
    known: Known<'_>,
    wanted: std::ops::RangeInclusive<u64>,
    so_far: u64,
) -> u64 {
    let (epoch, signal) = (known.identity.epoch, known.signal);
    let mut durable = so_far;
    let mut from = at;
    while let Some((start, head)) = window.next_head(from, epoch, signal, wanted.clone()) {
        durable = durable.max(head.durable);
        from = start + 8;
    }
    durable
}

/// Notes numbers up to `last` as lost; neighbouring holes become one. Returns the hole's index.
fn hole(found: &mut Survey, at: u64, end: u64, last: u64, census: Census) -> usize {
    let first = found.last + 1;
    found.last = last;
    match found.map.holes.last_mut() {
        Some(hole) if hole.last + 1 == first => {
            hole.last = last;
            hole.end = end;
            books::add_all(&mut hole.census, &census);
        }
        _ => found.map.holes.push(Hole { first, last, at, end, census }),
    }
    found.map.holes.len() - 1
}

/// Gives lost items whose frames do not tell their origin to the origins that the checkpoint misses, else to nobody known.
/// With several holes the totals by origin are exact, their spread over the holes is by order.
fn attribute(found: &mut Survey, known: Option<&Census>, losses: &[(usize, u64)]) {
    let mut pool = known.map(|known| books::less(known, &found.census)).unwrap_or_default();
    for (index, items) in losses {
        let mut left = *items;
        let mut share = Census::new();
        for (origin, there) in &mut pool {
            let taken = left.min(*there);
            *there -= taken;
            left -= taken;
            if taken > 0 {
                books::add(&mut share, origin, taken);
            }
        }
        if left > 0 {
            books::add(&mut share, &books::unknown_origin(), left);
        }
        books::add_all(&mut found.map.holes[*index].census, &share);
        books::add_all(&mut found.census, &share);
    }
    // A mark never stands inside a hole: marks come from whole frames, and a hole counts for the mark before it.
    for hole in &found.map.holes {
        let n = found.map.marks.partition_point(|mark| mark.seq <= hole.first);
        if n == 0 {
            let census = hole.census.clone();
            found.map.marks.insert(0, Mark { seq: hole.first, at: hole.at, census });
        } else {
            books::add_all(&mut found.map.marks[n - 1].census, &hole.census);
        }
    }
}
