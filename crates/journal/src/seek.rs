//! From a time to a place: the first frame that was received at or after it, in the order of the log.
//!
//! Requests that come at the same moment are written in the order in which they are ready, so that around any time a few frames
//! stand on the other side of it; what is asked for by time is right to about a request's duration.

use model::UnixNanos;

use crate::cold::map_segment;
use crate::log::{Shared, lock};
use crate::segment::{FRAMES_AT, Hole, Identity};
use crate::survey::Window;

/// What is read of a segment.
struct Span {
    identity: Identity,
    path: std::path::PathBuf,
    last: u64,
    holes: Vec<Hole>,
}

/// The number of the first frame that was received at or after `time`; the next one to come when there is none. Blocks: reads the
/// headers of a segment.
pub(crate) fn seek(shared: &Shared, time: UnixNanos) -> u64 {
    let (ordinals, next) = {
        let table = lock(&shared.table);
        let next = table.segments.back().map_or(0, |segment| segment.last).max(shared.visible().last) + 1;
        let recent = table.segments.iter().filter(|segment| segment.newest >= time);
        (recent.map(|segment| segment.identity.ordinal).collect::<Vec<_>>(), next)
    };
    // A segment may have lost the frame that made it recent: then the next one has the answer.
    ordinals.into_iter().find_map(|ordinal| in_segment(shared, ordinal, time)).unwrap_or(next)
}

/// When the oldest frame that is kept was received; `None` when none is.
pub(crate) fn oldest(shared: &Shared) -> Option<UnixNanos> {
    let ordinals: Vec<u64> =
        lock(&shared.table).segments.iter().map(|segment| segment.identity.ordinal).collect();
    ordinals.into_iter().find_map(|ordinal| {
        let mut found = None;
        walk(shared, ordinal, |_, received| {
            found = Some(received);
            true
        });
        found
    })
}

fn in_segment(shared: &Shared, ordinal: u64, time: UnixNanos) -> Option<u64> {
    let mut found = None;
    walk(shared, ordinal, |seq, received| {
        if received >= time {
            found = Some(seq);
        }
        found.is_some()
    });
    found
}

/// Shows every frame of a segment that can be read, until `enough` says so.
fn walk(shared: &Shared, ordinal: u64, mut enough: impl FnMut(u64, UnixNanos) -> bool) {
    map_segment(shared, ordinal);
    let span = {
        let mut table = lock(&shared.table);
        let Some(segment) = table.by_ordinal(ordinal) else { return };
        let holes = segment.map.as_ref().map(|map| map.holes.clone()).unwrap_or_default();
        Span { identity: segment.identity, path: segment.path.clone(), last: segment.last, holes }
    };
    let Ok(file) = shared.vfs.open(&span.path) else { return };
    let Ok(mut window) = Window::new(&*file) else { return };
    let (mut seq, mut at) = (span.identity.first, FRAMES_AT);
    while seq <= span.last {
        if let Some(hole) = span.holes.iter().find(|hole| (hole.first..=hole.last).contains(&seq)) {
            (seq, at) = (hole.last + 1, hole.end);
            continue;
        }
        // A file that was given a new life meanwhile has no frame of this one.
        let head = window.head(at, span.identity.epoch, shared.signal).filter(|head| head.seq == seq);
        let Some(head) = head else { return };
        if enough(seq, head.received) {
            return;
        }
        at += head.length();
        seq += 1;
    }
}
