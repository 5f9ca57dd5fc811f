//! Dead letters: the items that a peer refuses for good, with what it said. One shelf of files per sink; an item counts as
//! done only when its letter is synced. A crash in between writes the letter again: the books count items, not letters.
//!
//! A file is the magic, then letters: `u32 length, u32 crc32c of the rest, u32 length of the head, head as JSON, plain bytes`,
//! little-endian. The plain bytes are one message of the letter's layout that holds exactly its items.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use journal::Offset;
use model::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::shelf::{Bounds, Shelf, paths};

const MAGIC: &[u8] = b"TGDL\x01\0\0\0";
const SUFFIX: &str = "letters";
/// A longer letter is damage, not a letter.
const LONGEST: u32 = 512 << 20;

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
    /// Whether the bytes are the frame's as the journal had them, since they could not be read.
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
}

impl DeadLetters {
    pub(crate) fn open(folder: PathBuf, bounds: Bounds) -> io::Result<Self> {
        let count =
            |path: &Path| std::fs::read(path).map_or(0, |bytes| Letters::new(&bytes.into()).count() as u64);
        Ok(Self { shelf: Shelf::open(folder, SUFFIX, MAGIC, bounds, count)? })
    }

    /// Writes letters and makes them durable.
    pub(crate) fn bury(&mut self, letters: &[Letter], now: UnixNanos) -> io::Result<()> {
        for letter in letters {
            self.shelf.append(&letter.encode(), now)?;
        }
        self.shelf.sync()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shelf.bytes()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.shelf.dropped()
    }
}

impl Letter {
    fn encode(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).expect("strings and numbers are always JSON");
        let mut rest = Vec::with_capacity(4 + head.len() + self.plain.len());
        rest.extend_from_slice(&(head.len() as u32).to_le_bytes());
        rest.extend_from_slice(&head);
        rest.extend_from_slice(&self.plain);
        let mut bytes = Vec::with_capacity(8 + rest.len());
        bytes.extend_from_slice(&(rest.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&rest).to_le_bytes());
        bytes.extend_from_slice(&rest);
        bytes
    }
}

/// Every letter of one sink that can be read, oldest first, one file in memory at a time. `folder` is the sink's own folder
/// below `dead-letters`. Reading stops within a file at its first damaged letter (a torn tail) and goes on with the next.
pub fn read(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<Letter>>> {
    let files = match paths(folder, SUFFIX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    Ok(files.into_iter().flat_map(|path| {
        let (letters, error) = match read_file(&path) {
            Ok(bytes) => (Letters::new(&bytes), None),
            Err(error) => (Letters { rest: Bytes::new() }, Some(Err(error))),
        };
        letters.map(Ok).chain(error)
    }))
}

fn read_file(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

struct Letters {
    rest: Bytes,
}

impl Letters {
    fn new(file: &Bytes) -> Self {
        let rest = if file.starts_with(MAGIC) { file.slice(MAGIC.len()..) } else { Bytes::new() };
        Self { rest }
    }
}

impl Iterator for Letters {
    type Item = Letter;

    fn next(&mut self) -> Option<Letter> {
        let number = |at: usize| {
            let bytes = self.rest.get(at..at + 4)?;
            Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let (length, sum, head_len) = (number(0)?, number(4)?, number(8)?);
        let end = (length <= LONGEST).then_some(8 + length as usize)?;
        let rest = self.rest.get(8..end)?;
        let head_end = 12usize.checked_add(head_len as usize).filter(|head_end| *head_end <= end)?;
        if crc32c::crc32c(rest) != sum {
            return None;
        }
        let head = serde_json::from_slice(&self.rest[12..head_end]).ok()?;
        let letter = Letter { head, plain: self.rest.slice(head_end..end) };
        self.rest = self.rest.slice(end..);
        Some(letter)
    }
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
            let cut: Vec<_> = Letters::new(&file[..at].to_vec().into()).collect();
            assert_eq!(cut, whole[..before], "cut at {at}");
            let mut changed = file.clone();
            changed[at] ^= 0x41;
            let kept: Vec<_> = Letters::new(&changed.into()).collect();
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
