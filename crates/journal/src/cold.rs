//! Cold reads: one thread a log reads frames that left memory, finds damage, and puts damaged bytes aside.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, mpsc};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::Offset;
use crate::books::{self, Census};
use crate::count::count_range;
use crate::frame::Head;
use crate::log::{Shared, lock};
use crate::read::{Frame, Read};
use crate::segment::{FRAMES_AT, Hole, Identity, Map, Mark, Segment};
use crate::survey::{Known, Survey, Window, survey};
use crate::vfs::VfsFile;

/// Bytes of bodies in one answer, unless a single frame is larger.
const BATCH_BYTES: u64 = 1 << 20;
/// How often a read is tried that does not fit what a survey has just said.
const TRIES: usize = 4;

/// Where a read ended: the frame `seq` begins at `at`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint {
    ordinal: u64,
    seq: u64,
    at: u64,
}

/// What a reader asks.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) from: u64,
    /// Nothing above this is wanted; visible.
    pub(crate) until: u64,
    /// Frames below this are counted, not read: their sink skips them.
    pub(crate) skip_to: u64,
    pub(crate) hint: Option<Hint>,
    pub(crate) items_end: Option<u64>,
    pub(crate) answer: oneshot::Sender<Batch>,
}

/// What it gets: contiguous from `Request::from` on, never empty.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) reads: Vec<Read>,
    pub(crate) hint: Option<Hint>,
    pub(crate) items_end: Option<u64>,
}

/// What is known of a segment at the time of reading.
struct Target {
    identity: Identity,
    path: std::path::PathBuf,
    last: u64,
    end: u64,
    items_end: u64,
    census: Census,
    map: Option<Map>,
    start: (u64, u64),
    holes: Vec<Hole>,
    released: Arc<std::sync::atomic::AtomicBool>,
}

impl Target {
    fn of(segment: &Segment, from: u64, hint: Option<Hint>) -> Self {
        let mark = segment.map.as_ref().and_then(|map| map.before(from)).map(|mark| (mark.seq, mark.at));
        let hint = hint.filter(|hint| hint.ordinal == segment.identity.ordinal && hint.seq <= from);
        let hint =
            hint.map(|hint| (hint.seq, hint.at)).filter(|hint| mark.is_none_or(|mark| hint.0 >= mark.0));
        let holes = segment.map.as_ref().map(|map| map.holes.clone()).unwrap_or_default();
        Self {
            identity: segment.identity,
            path: segment.path.clone(),
            last: segment.last,
            end: segment.end,
            items_end: segment.items_end(),
            census: segment.census.clone(),
            map: segment.map.as_ref().map(|_| Map::default()),
            start: hint.or(mark).unwrap_or((segment.identity.first, FRAMES_AT)),
            holes,
            released: Arc::clone(&segment.released),
        }
    }
}

pub(crate) struct Cold {
    shared: Arc<Shared>,
    open: Option<(u64, Arc<dyn VfsFile>)>,
}

impl Cold {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: None }
    }

    /// Answers until nobody can ask any more, or the log says that it is over.
    pub(crate) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            if request.from == 0 {
                break;
            }
            if request.answer.is_closed() {
                continue;
            }
            let batch = self.read(&request);
            let _ = request.answer.send(batch);
        }
    }

    fn read(&mut self, request: &Request) -> Batch {
        let from = request.from;
        for _ in 0..TRIES {
            let found = {
                let table = lock(&self.shared.table);
                let before =
                    table.segments.iter().rev().find(|segment| segment.last < from).map(Segment::items_end);
                (
                    table.at_or_after(from).map(|segment| Target::of(segment, from, request.hint)),
                    before,
                    table.items,
                )
            };
            let (target, before) = match found {
                (Some(target), before, _) => (target, before),
                (None, before, items) => {
                    let census = gap(before.or(request.items_end), items);
                    return single(Read::lost(from, request.until, census, "damaged"), Some(items));
                }
            };
            if target.identity.first > from {
                let items = target.identity.items_before;
                let reason = if before.is_some() { "damaged" } else { "expired" };
                let last = request.until.min(target.identity.first - 1);
                return single(
                    Read::lost(from, last, gap(before.or(request.items_end), items), reason),
                    Some(items),
                );
            }
            if request.skip_to > from {
                let last = (request.skip_to - 1).min(target.last).min(request.until);
                if let Some(census) = count_range(&self.shared, target.identity.ordinal, from, last) {
                    return single(Read::lost(from, last, census, "skipped"), None);
                }
                continue;
            }
            if let Some(batch) = self.read_segment(request, &target)
                && !target.released.load(Ordering::Acquire)
            {
                return batch;
            }
        }
        // The device says one thing and then another; what cannot be read twice is lost.
        let last = lock(&self.shared.table)
            .at_or_after(from)
            .map_or(from, |segment| segment.last)
            .min(request.until);
        single(Read::lost(from, last.max(from), Census::new(), "damaged"), None)
    }

    /// `None`: the segment has been surveyed anew, look again.
    fn read_segment(&mut self, request: &Request, target: &Target) -> Option<Batch> {
        let shared = Arc::clone(&self.shared);
        if target.map.is_none() {
            map_segment(&shared, target.identity.ordinal);
            return None;
        }
        let Identity { ordinal, epoch, .. } = target.identity;
        let Some(file) = self.file(target) else {
            lose_segment(&shared, ordinal);
            return self.holes_only(request, target);
        };
        let Ok(mut window) = Window::new(&*file) else {
            lose_segment(&shared, ordinal);
            return self.holes_only(request, target);
        };
        let until = request.until.min(target.last);
        let (mut seq, mut at) = target.start;
        let mut reads = Vec::new();
        let mut bytes = 0;
        let mut items_end = None;
        while seq <= until && bytes < BATCH_BYTES {
            if let Some(hole) = target.holes.iter().find(|hole| (hole.first..=hole.last).contains(&seq)) {
                if hole.last >= request.from {
                    let whole = hole.first >= request.from;
                    let census = if whole { hole.census.clone() } else { Census::new() };
                    let last = if hole.last > request.until { request.until } else { hole.last };
                    reads.push(Read::lost(hole.first.max(request.from), last, census, "damaged"));
                }
                (seq, at, items_end) = (hole.last + 1, hole.end, None);
                continue;
            }
            let head = window.head(at, epoch, shared.signal).filter(|head| head.seq == seq);
            let body = match &head {
                Some(head) if seq >= request.from => window.copy_body(at, head, epoch),
                Some(_) => Some(Bytes::new()),
                None => None,
            };
            let (Some(head), Some(body)) = (head, body) else {
                self.open = None;
                remap_segment(&shared, target);
                return None;
            };
            at += head.length();
            items_end = Some(head.items_before + u64::from(head.items));
            if seq >= request.from {
                bytes += head.length();
                reads.push(Read::Frame(frame_of(head, body)));
            }
            seq += 1;
        }
        (!reads.is_empty()).then_some(Batch { reads, hint: Some(Hint { ordinal, seq, at }), items_end })
    }

    fn holes_only(&self, request: &Request, target: &Target) -> Option<Batch> {
        let whole = request.from == target.identity.first;
        let census = if whole { target.census.clone() } else { gap(request.items_end, target.items_end) };
        let last = target.last.min(request.until);
        Some(single(Read::lost(request.from, last, census, "damaged"), None))
    }

    fn file(&mut self, target: &Target) -> Option<Arc<dyn VfsFile>> {
        let ordinal = target.identity.ordinal;
        if let Some((open, file)) = &self.open
            && *open == ordinal
        {
            return Some(Arc::clone(file));
        }
        let file = self.shared.vfs.open(&target.path).ok()?;
        self.open = Some((ordinal, Arc::clone(&file)));
        Some(file)
    }
}

fn single(read: Read, items_end: Option<u64>) -> Batch {
    Batch { reads: vec![read], hint: None, items_end }
}

/// Items between two counts, of nobody known.
fn gap(from: Option<u64>, to: u64) -> Census {
    let items = to.saturating_sub(from.unwrap_or(to));
    if items == 0 { Census::new() } else { Census::from([(books::unknown_origin(), items)]) }
}

fn frame_of(head: Head, body: Bytes) -> Frame {
    Frame {
        offset: Offset(head.seq),
        origin: head.origin,
        signal: head.signal,
        layout: head.layout,
        coding: head.coding,
        plain_len: head.plain_len,
        items: head.items,
        content_hash: head.content_hash,
        received: head.received,
        derived: head.derived,
        body,
        inflated: Arc::new(OnceLock::new()),
    }
}

/// Surveys a segment that a former process had sealed, unless that was done already.
pub(crate) fn map_segment(shared: &Shared, ordinal: u64) {
    let target = {
        let mut table = lock(&shared.table);
        let Some(segment) = table.by_ordinal(ordinal) else { return };
        if segment.map.is_some() {
            return;
        }
        Target::of(segment, segment.identity.first, None)
    };
    let map = match look(shared, &target) {
        Some(found) => found.map,
        None => return lose_segment(shared, ordinal),
    };
    if let Some(segment) = lock(&shared.table).by_ordinal(ordinal)
        && segment.map.is_none()
    {
        segment.map = Some(map);
    }
}

/// Surveys a segment again in which something could not be read that was there before.
fn remap_segment(shared: &Shared, target: &Target) {
    let Some(found) = look(shared, target) else { return lose_segment(shared, target.identity.ordinal) };
    let mut table = lock(&shared.table);
    let Some(segment) = table.by_ordinal(target.identity.ordinal) else { return };
    let mut map = found.map;
    if segment.last > target.last {
        // Frames came meanwhile: they are one more stretch.
        let census = books::less(&segment.census, &target.census);
        map.marks.push(Mark { seq: target.last + 1, at: target.end, census });
    }
    segment.map = Some(map);
}

/// A file that is gone or does not open is one hole.
fn lose_segment(shared: &Shared, ordinal: u64) {
    let mut table = lock(&shared.table);
    let Some(segment) = table.by_ordinal(ordinal) else { return };
    let (first, last) = (segment.identity.first, segment.last);
    let hole = Hole { first, last, at: FRAMES_AT, end: segment.end, census: segment.census.clone() };
    let mut map = segment.map.take().unwrap_or_default();
    if map.marks.is_empty() {
        let census = segment.census.clone();
        map.marks.push(Mark { seq: first, at: FRAMES_AT, census });
    }
    map.holes = vec![hole];
    segment.map = Some(map);
    tracing::error!(signal = %shared.signal, first, last, "segment is gone");
}

fn look(shared: &Shared, target: &Target) -> Option<Survey> {
    let file = shared.vfs.open(&target.path).ok()?;
    let mut window = Window::new(&*file).ok()?;
    let found = survey(
        &mut window,
        Known {
            identity: target.identity,
            signal: shared.signal,
            last: Some(target.last),
            items_end: Some(target.items_end),
            durable: target.last,
            census: Some(&target.census),
        },
    );
    for hole in &found.map.holes {
        crate::quarantine::put_aside(shared.vfs.as_ref(), &shared.folder, &mut window, hole);
    }
    Some(found)
}
