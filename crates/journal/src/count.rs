//! Counting items from frames: how many of a segment's lie below an offset. Whole stretches are counted from marks; the one
//! that the offset lies in is walked, header by header.

use crate::books::{self, Census};
use crate::cold::map_segment;
use crate::log::{Shared, lock};
use crate::segment::{FRAMES_AT, Hole, Identity};
use crate::survey::Window;

/// Items of a segment's frames from `from` to `last`, both inside it; `None` when the segment is gone.
pub(crate) fn count_range(shared: &Shared, ordinal: u64, from: u64, last: u64) -> Option<Census> {
    let below = count_below(shared, ordinal, from)?;
    let through = count_below(shared, ordinal, last + 1)?;
    Some(books::less(&through, &below))
}

/// Items of a segment's frames below `seq`; `None` when the segment is gone.
pub(crate) fn count_below(shared: &Shared, ordinal: u64, seq: u64) -> Option<Census> {
    map_segment(shared, ordinal);
    let mut counted = Census::new();
    let (identity, path, holes, start) = {
        let mut table = lock(&shared.table);
        let segment = table.by_ordinal(ordinal)?;
        if seq > segment.last {
            return Some(segment.census.clone());
        }
        let map = segment.map.as_ref()?;
        let n = map.marks.partition_point(|mark| mark.seq <= seq);
        for mark in map.marks.iter().take(n.saturating_sub(1)) {
            books::add_all(&mut counted, &mark.census);
        }
        let start = n
            .checked_sub(1)
            .map_or((segment.identity.first, FRAMES_AT), |index| (map.marks[index].seq, map.marks[index].at));
        (segment.identity, segment.path.clone(), map.holes.clone(), start)
    };
    if start.0 < seq {
        let file = shared.vfs.open(&path);
        let mut window = file.as_ref().ok().and_then(|file| Window::new(&**file).ok());
        walk(shared, identity, window.as_mut(), &holes, start, seq, &mut counted);
    }
    Some(counted)
}

fn walk(
    shared: &Shared,
    identity: Identity,
    mut window: Option<&mut Window<'_>>,
    holes: &[Hole],
    (mut at_seq, mut at): (u64, u64),
    seq: u64,
    counted: &mut Census,
) {
    while at_seq < seq {
        if let Some(hole) = holes.iter().find(|hole| (hole.first..=hole.last).contains(&at_seq)) {
            books::add_all(counted, &hole.census);
            (at_seq, at) = (hole.last + 1, hole.end);
            continue;
        }
        let head = window.as_mut().and_then(|window| window.head(at, identity.epoch, shared.signal));
        let Some(head) = head.filter(|head| head.seq == at_seq) else { return };
        books::add(counted, &head.origin, u64::from(head.items));
        at += head.length();
        at_seq += 1;
    }
}
