//! What the files say about a journal that goes on: which of them a crash left half done, and whether the journal is the
//! same as the one that they were written from.

use model::Signal;
use pipeline::Resume;

use crate::index::{Index, Stored};

/// What to do with a signal's files before its first parcel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The generation of the ranges to come.
    pub(crate) generation: u32,
    /// Files of the range that will be written again: not to be shown until then.
    pub(crate) open: Vec<Stored>,
    /// Files of ranges that were never recorded as begun, so that other files will hold their rows.
    pub(crate) stray: Vec<Stored>,
    /// Rows up to this offset are in files that stay.
    pub(crate) stored_through: u64,
}

/// Judges the files of `signal` by where its courier resumes.
pub(crate) fn plan(index: &Index, signal: Signal, resume: Resume) -> Plan {
    let newest = index.files(signal).map(|file| file.key.span.generation).max();
    let of_newest = || index.files(signal).filter(|file| Some(file.key.span.generation) == newest);
    let next = resume.next.0;
    // Its end names a range: the cursor may stand higher than when the range was begun, where the courier was told to skip.
    let open = resume.open.map(|(_, last)| last.0);
    let is_open = |file: &&Stored| Some(file.key.span.last) == open;
    let before = of_newest().any(|file| file.key.span.first < next && !is_open(&file));
    let beyond = of_newest().any(|file| file.key.span.first >= next && !is_open(&file));
    let mut plan =
        Plan { generation: newest.unwrap_or(1), open: Vec::new(), stray: Vec::new(), stored_through: 0 };
    if beyond && !before {
        // Every file is ahead of the journal: it is another journal, begun at offset 1 beside older files. They are whole
        // and stay, and their offsets mean nothing any more.
        plan.generation = plan.generation.saturating_add(1);
        return plan;
    }
    plan.open = of_newest().filter(is_open).cloned().collect();
    plan.stray = of_newest().filter(|file| file.key.span.first >= next && !is_open(file)).cloned().collect();
    // A cursor that fell back (only possible without `durability: sync`) may stand inside a range that was settled.
    let straddling =
        of_newest().filter(|file| file.key.span.first < next && file.key.span.last >= next && !is_open(file));
    plan.stored_through = straddling.map(|file| file.key.span.last).max().unwrap_or(0);
    plan
}
