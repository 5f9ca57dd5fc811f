//! Dead letters: the items that a peer refuses for good, with what it said. One shelf of files per sink; an item counts as
//! done only when its letter is synced. A crash in between writes the letter again: the books count items, not letters.
//!
//! | file | what |
//! |---|---|
//! | `file.rs` | how letters lie in a file |
//! | `marks.rs` | what was decided about them: to be delivered again, gone |
//! | `find.rs`, `show.rs` | their names, filters, pages; one of them for a person |
//!
//! A letter's name is its file's number and its position there: files are only appended to, and numbers are not given twice. A
//! file goes when all its letters are gone, or when the bounds say so.
//!
//! A letter holds its items as the sink was given them: what its rules redacted is redacted here too.

mod file;
mod find;
mod marks;
mod show;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use journal::Offset;
use model::UnixNanos;
use serde::{Deserialize, Serialize};

use self::file::{Letters, MAGIC, one};
use self::marks::Marks;
use crate::shelf::{Bounds, Shelf, paths};

pub use self::find::{Filter, Id, Listed, Page, State};
pub(crate) use self::find::{View, Which};
pub(crate) use self::marks::Mark;
pub use self::show::Shown;

const SUFFIX: &str = "letters";

/// What is known about a letter besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// When it was given up, Unix nanoseconds.
    pub buried: u64,
    /// `traces`, `logs` or `metrics`.
    pub signal: String,
    /// `otlp` or `remote_write`: the layout of the bytes.
    pub layout: String,
    /// On whose behalf it came.
    pub tenant: String,
    /// Through which receiver it came.
    pub source: String,
    /// When it came, Unix nanoseconds.
    pub received: u64,
    /// The frame in the signal's log.
    pub offset: u64,
    /// The first of its items in the frame.
    pub first: u32,
    /// How many items it holds: one, unless the frame could not be read.
    pub items: u32,
    /// Identity of the first item.
    pub id: String,
    /// What the peer said.
    pub reason: String,
    /// Whether the bytes are the frame's as the journal had them, since they could not be read. There are none where the sink
    /// has rules that would have had to be applied first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What is known about it.
    pub head: Head,
    /// Its bytes.
    pub plain: Bytes,
}

/// The dead letters of one sink.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    shelf: Shelf,
    /// By the number of the file; none for a file without marks.
    marks: BTreeMap<u64, Marks>,
    /// How many letters a file holds, where somebody had to know.
    counts: BTreeMap<u64, u64>,
}

impl DeadLetters {
    pub(crate) fn open(folder: PathBuf, bounds: Bounds) -> io::Result<Self> {
        let waiting = |path: &Path| count(path).saturating_sub(marks::gone(path));
        let shelf = Shelf::open(folder, SUFFIX, MAGIC, bounds, waiting)?;
        let marked = shelf.files().map(|(number, path)| (number, Marks::open(path)));
        let marks = marked.filter(|(_, marks)| !marks.all().is_empty()).collect();
        Ok(Self { shelf, marks, counts: BTreeMap::new() })
    }

    /// Writes letters and makes them durable.
    pub(crate) fn bury(&mut self, letters: &[Letter], now: UnixNanos) -> io::Result<()> {
        let before: Vec<PathBuf> = self.shelf.files().map(|(_, path)| path.to_owned()).collect();
        let written: io::Result<()> = letters.iter().try_for_each(|letter| {
            let number = self.shelf.append(&letter.encode(), now)?;
            if let Some(count) = self.counts.get_mut(&number) {
                *count += 1;
            }
            Ok(())
        });
        self.forget_gone(&before);
        written?;
        self.shelf.sync()
    }

    /// Lets go of what is older than its bound.
    pub(crate) fn expire(&mut self, now: UnixNanos) -> io::Result<()> {
        let before: Vec<PathBuf> = self.shelf.files().map(|(_, path)| path.to_owned()).collect();
        let done = self.shelf.expire(now);
        self.forget_gone(&before);
        done
    }

    /// Marks letters, durable on return; files of which no letter is left are removed.
    pub(crate) fn mark(&mut self, letters: &[Which], mark: Mark, now: UnixNanos) -> io::Result<()> {
        let mut by_file: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        letters.iter().for_each(|which| by_file.entry(which.file).or_default().push(which.at));
        for (number, positions) in by_file {
            let found = self.shelf.files().find(|(file, _)| *file == number);
            // A file that the bounds have taken meanwhile needs no marks.
            let Some(path) = found.map(|(_, path)| path.to_owned()) else { continue };
            let marks = self.marks.entry(number).or_insert_with(|| Marks::open(&path));
            marks.put(&positions, mark)?;
            let gone = marks.gone();
            let all = *self.counts.entry(number).or_insert_with(|| count(&path));
            if gone >= all {
                self.shelf.remove(number, now)?;
                self.marks.remove(&number);
                self.counts.remove(&number);
                marks::remove(&path);
            }
        }
        Ok(())
    }

    /// What stands on the shelf now, to be read without holding it.
    pub(crate) fn view(&self) -> View {
        let files = self.shelf.files().map(|(number, path)| {
            let marks = self.marks.get(&number).map(|marks| marks.all().clone()).unwrap_or_default();
            (number, path.to_owned(), marks)
        });
        View { files: files.collect() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shelf.bytes()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shelf.dropped()
    }

    fn forget_gone(&mut self, before: &[PathBuf]) {
        let kept: BTreeMap<u64, PathBuf> =
            self.shelf.files().map(|(number, path)| (number, path.to_owned())).collect();
        before
            .iter()
            .filter(|path| !kept.values().any(|kept| kept == *path))
            .for_each(|path| marks::remove(path));
        self.marks.retain(|number, _| kept.contains_key(number));
        self.counts.retain(|number, _| kept.contains_key(number));
    }
}

fn count(path: &Path) -> u64 {
    Letters::open(path).map_or(0, |letters| letters.count() as u64)
}

/// Every letter of one sink that can be read and is not gone, oldest first. `folder` is the sink's own folder below
/// `dead-letters`. Reading stops within a file at its first damaged letter (a torn tail) and goes on with the next.
pub fn read(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<Letter>>> {
    let files = match paths(folder, SUFFIX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    Ok(files.into_iter().flat_map(|path| {
        let marks = Marks::open(&path);
        let (letters, error) = match Letters::open(&path) {
            Ok(letters) => (Some(letters), None),
            Err(error) => (None, Some(Err(error))),
        };
        let waiting = move |at: u64| !marks.get(at).is_some_and(Mark::is_final);
        let letters = letters.into_iter().flatten();
        letters.filter_map(move |(at, letter)| waiting(at).then_some(Ok(letter))).chain(error)
    }))
}

/// The first item's place in words, for logs.
impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} item {}: {}", self.signal, Offset(self.offset), self.first, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1 << 20, keep: Duration::from_secs(3600) };

    fn letter(number: u32) -> Letter {
        let head = Head {
            buried: 9,
            signal: "logs".into(),
            layout: "otlp".into(),
            tenant: "default".into(),
            source: "kong".into(),
            received: 8,
            offset: 77,
            first: number,
            items: 1,
            id: "00".into(),
            reason: "no such \"field\"\n".into(),
            unreadable: false,
        };
        Letter { head, plain: vec![number as u8; number as usize].into() }
    }

    fn read_all(folder: &Path) -> Vec<Letter> {
        read(folder).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn letters_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_all(&folder.path().join("none")).is_empty());
        let written: Vec<_> = (0..20).map(letter).collect();
        for run in written.chunks(7) {
            DeadLetters::open(folder.path().to_owned(), BOUNDS).unwrap().bury(run, UnixNanos(1)).unwrap();
        }
        assert_eq!(read_all(folder.path()), written);
    }

    #[test]
    fn a_file_cut_or_changed_at_any_byte_keeps_the_letters_before() {
        let whole: Vec<_> = (1..4).map(letter).collect();
        let mut file = MAGIC.to_vec();
        let ends: Vec<usize> = whole
            .iter()
            .map(|letter| {
                file.extend(letter.encode());
                file.len()
            })
            .collect();
        for at in 0..file.len() {
            let before = ends.iter().filter(|end| **end <= at).count();
            let cut: Vec<_> = Letters::new(&file[..at]).map(|(_, letter)| letter).collect();
            assert_eq!(cut, whole[..before], "cut at {at}");
            let mut changed = file.clone();
            changed[at] ^= 0x41;
            let kept: Vec<_> = Letters::new(&changed[..]).map(|(_, letter)| letter).collect();
            let expected = if at < MAGIC.len() { 0 } else { before };
            assert_eq!(kept, whole[..expected], "changed at {at}");
        }
    }

    #[test]
    fn the_format_does_not_move() {
        let head = br#"{"buried":9,"signal":"logs","layout":"otlp","tenant":"default","source":"kong","received":8,"offset":77,"first":1,"items":1,"id":"00","reason":"no such \"field\"\n"}"#;
        let mut expected = vec![0; 12];
        expected.extend_from_slice(head);
        expected.push(1);
        expected[..4].copy_from_slice(&(head.len() as u32 + 5).to_le_bytes());
        expected[8..12].copy_from_slice(&(head.len() as u32).to_le_bytes());
        let sum = crc32c::crc32c(&expected[8..]);
        expected[4..8].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(letter(1).encode(), expected);
    }
}
