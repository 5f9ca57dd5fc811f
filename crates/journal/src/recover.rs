//! Opening a log: which segments there are, where it ends, what was lost. Damaged data never keeps it from opening.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Signal;

use crate::books;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::cursor::{self, Cell};
use crate::quarantine::put_aside;
use crate::segment::{FRAMES_AT, Identity, Segment, Table};
use crate::survey::{Known, Survey, Window, survey};
use crate::vfs::{Vfs, VfsFile, read_full, write_all};
use crate::{Offset, OpenError};

/// Bytes written at once while settling.
const PIECE: usize = 256 * 1024;

/// What opening one log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Which log.
    pub signal: Signal,
    /// Segments found.
    pub segments: usize,
    /// Segments that had to be read from end to end.
    pub surveyed: usize,
    /// Whether a torn tail was cut: frames that were never acknowledged.
    pub torn: bool,
    /// Frames lost to damage, as far as surveyed.
    pub damaged_frames: u64,
    /// Items in them.
    pub damaged_items: u64,
    /// The offset that the next batch gets.
    pub next: Offset,
}

/// A log's state as recovered.
pub(crate) struct Log {
    pub(crate) table: Table,
    pub(crate) next: u64,
    /// The last number that readers may see. Numbers between it and `next` are shown as a gap once a segment begins behind
    /// them; a cursor that passed them earlier would make a torn tail look durable to the next start.
    pub(crate) visible: u64,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) cursors: BTreeMap<Arc<str>, Arc<Cell>>,
    /// Files to recycle: released before, or empty.
    pub(crate) stale: Vec<PathBuf>,
    pub(crate) report: Recovered,
}

/// A segment file before it is read.
struct Candidate {
    identity: Identity,
    path: PathBuf,
}

pub(crate) fn recover(
    vfs: &dyn Vfs,
    folder: &Path,
    signal: Signal,
    segment_bytes: u64,
) -> Result<Log, OpenError> {
    let io = |source| OpenError::Io { path: folder.to_path_buf(), source };
    vfs.create_folder(folder).map_err(io)?;
    let (checkpoints, checkpoint) = Checkpoints::open(vfs, folder);
    let checkpoint = checkpoint.unwrap_or_default();
    let cursors = cursor::load_all(folder, vfs);
    let seen = cursors.values().map(|cell| cell.highest()).max().unwrap_or(0);

    let mut table = Table {
        accepted: checkpoint.accepted.clone(),
        items: checkpoint.items,
        derived: checkpoint.derived,
        next_ordinal: checkpoint.next_ordinal,
        ..Table::default()
    };
    let mut candidates = list(vfs, folder, signal, segment_bytes, &mut table).map_err(io)?;
    let mut stale = Vec::new();
    candidates.retain(|candidate| {
        let live = candidate.identity.ordinal >= checkpoint.first_ordinal;
        if !live {
            stale.push(candidate.path.clone());
        }
        live
    });
    candidates.sort_by_key(|candidate| candidate.identity.ordinal);
    let known_durable = checkpoint.covered.max(seen);
    let mut report = Recovered {
        signal,
        segments: 0,
        surveyed: 0,
        torn: false,
        damaged_frames: 0,
        damaged_items: 0,
        next: Offset(1),
    };
    add_missing(&mut candidates, &checkpoint, folder);
    for index in 0..candidates.len() {
        let candidate = &candidates[index];
        let following = candidates[index + 1..].iter().map(|later| later.identity.first).min();
        let upper = following.map(|first| first - 1);
        table.next_ordinal = table.next_ordinal.max(candidate.identity.ordinal + 1);
        if let Some(sealed) =
            checkpoint.sealed.iter().find(|s| s.identity.ordinal == candidate.identity.ordinal)
        {
            let mut segment = Segment::begin(sealed.identity, folder, sealed.end.max(segment_bytes));
            segment.path.clone_from(&candidate.path);
            segment.last = sealed.last;
            segment.end = sealed.end;
            segment.newest = sealed.newest;
            segment.census = sealed.census.clone();
            segment.map = None;
            segment.sealed = true;
            table.segments.push_back(segment);
            continue;
        }
        let items_end = candidates.get(index + 1).map(|later| later.identity.items_before).filter(|n| *n > 0);
        let found = read(vfs, folder, signal, candidate, upper, items_end, known_durable, table.items);
        let Some((identity, found)) = found else {
            stale.push(candidate.path.clone());
            continue;
        };
        report.surveyed += 1;
        report.torn |= found.torn && upper.is_none();
        if found.last < identity.first {
            stale.push(candidate.path.clone());
            continue;
        }
        for hole in &found.map.holes {
            report.damaged_frames += hole.last - hole.first + 1;
            report.damaged_items += books::total(&hole.census);
        }
        adopt(&mut table, identity, candidate, found, segment_bytes);
    }
    let last = table.segments.back().map_or(0, |segment| segment.last);
    let next = (last + 1).max(known_durable + 1).max(checkpoint.floor);
    let visible = if table.segments.is_empty() { next - 1 } else { last.max(known_durable) };
    report.segments = table.segments.len();
    report.next = Offset(next);
    Ok(Log { table, next, visible, checkpoints, cursors, stale, report })
}

/// Finds segment files and spares.
fn list(
    vfs: &dyn Vfs,
    folder: &Path,
    signal: Signal,
    segment_bytes: u64,
    table: &mut Table,
) -> std::io::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for name in vfs.list(folder)? {
        let path = folder.join(&name);
        if let Some(number) = name.strip_suffix(".spare").and_then(|stem| stem.parse::<u64>().ok()) {
            table.next_spare = table.next_spare.max(number);
            let length = vfs.open(&path).and_then(|file| file.length());
            if length.is_ok_and(|length| length == segment_bytes) {
                table.spares.push(path);
            } else {
                let _ = vfs.remove(&path);
            }
            continue;
        }
        let Some(named) = Identity::from_file_name(&name) else { continue };
        let mut page = vec![0; FRAMES_AT as usize];
        let read = vfs.open(&path).and_then(|file| read_full(&*file, &mut page, 0));
        let identity = read.ok().and_then(|n| Identity::from_header(&page[..n], signal)).unwrap_or(named);
        candidates.push(Candidate { identity, path });
    }
    Ok(candidates)
}

/// Segments that the checkpoint knows and the folder has lost: their frames are losses, not gaps.
fn add_missing(candidates: &mut Vec<Candidate>, checkpoint: &Checkpoint, folder: &Path) {
    for sealed in &checkpoint.sealed {
        let is_there = candidates.iter().any(|there| there.identity.ordinal == sealed.identity.ordinal);
        if !is_there && sealed.identity.ordinal >= checkpoint.first_ordinal {
            let path = folder.join(sealed.identity.file_name());
            candidates.push(Candidate { identity: sealed.identity, path });
        }
    }
    candidates.sort_by_key(|candidate| candidate.identity.ordinal);
}

/// Surveys a segment that no checkpoint describes, and makes what it holds durable: it is about to be shown.
#[allow(clippy::too_many_arguments, reason = "all that is known of a segment, gathered in one place only")]
fn read(
    vfs: &dyn Vfs,
    folder: &Path,
    signal: Signal,
    candidate: &Candidate,
    upper: Option<u64>,
    items_end: Option<u64>,
    durable: u64,
    items_before: u64,
) -> Option<(Identity, Survey)> {
    let mut identity = candidate.identity;
    if identity.items_before == 0 {
        identity.items_before = items_before;
    }
    if upper.is_some_and(|upper| upper < identity.first) {
        return None;
    }
    let file = vfs.open(&candidate.path).ok()?;
    let mut window = Window::new(&*file).ok()?;
    let known = Known {
        identity,
        signal,
        last: upper,
        items_end,
        durable: upper.unwrap_or(0).max(durable),
        census: None,
    };
    let found = survey(&mut window, known);
    for hole in &found.map.holes {
        put_aside(vfs, folder, &mut window, hole);
    }
    if let Err(error) = settle(&*file, &mut window, &found) {
        tracing::warn!(path = %candidate.path.display(), %error, "segment not synced on opening");
    }
    Some((identity, found))
}

/// Writes again what no frame says to be durable, and syncs. A sync alone would not do: where one has failed for the former
/// process, the system may hold bytes as clean that never reached the disk.
fn settle(file: &dyn VfsFile, window: &mut Window<'_>, found: &Survey) -> std::io::Result<()> {
    let from = found.map.before(found.durable + 1).map_or(FRAMES_AT, |mark| mark.at);
    let mut at = from;
    while at < found.end && found.last > found.durable {
        let piece = window.slice(at, PIECE.min((found.end - at) as usize));
        if piece.is_empty() {
            break;
        }
        write_all(file, piece, at)?;
        at += piece.len() as u64;
    }
    file.sync()
}

fn adopt(table: &mut Table, identity: Identity, candidate: &Candidate, found: Survey, segment_bytes: u64) {
    let Survey { map, last, end, census, derived, newest, .. } = found;
    books::add_all(&mut table.accepted, &census);
    table.items = identity.items_before + books::total(&census);
    table.derived = table.derived.max(derived);
    let mut segment = Segment::begin(identity, Path::new(""), end.max(segment_bytes));
    segment.path.clone_from(&candidate.path);
    segment.last = last;
    segment.end = end;
    segment.newest = newest;
    segment.census = census;
    segment.map = Some(map);
    segment.sealed = true;
    table.fresh = true;
    table.segments.push_back(segment);
}
