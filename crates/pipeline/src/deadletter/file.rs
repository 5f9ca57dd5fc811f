//! A file of dead letters, read one letter at a time: a page of letters never holds a whole file in memory.
//!
//! A file is the magic, then letters: `u32 length, u32 crc32c of the rest, u32 length of the head, head as JSON, plain bytes`,
//! little-endian. The plain bytes are one message of the letter's layout that holds exactly its items.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;

use super::Letter;

pub(super) const MAGIC: &[u8] = b"TGDL\x01\0\0\0";
/// A longer letter is damage, not a letter.
const LONGEST: u32 = 512 << 20;

/// The letters of one file, each with the position that it begins at, up to the first that is damaged: a torn tail.
pub(super) struct Letters<R> {
    from: R,
    at: u64,
    whole: bool,
}

impl Letters<BufReader<File>> {
    /// All letters of a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::with_capacity(64 << 10, File::open(path)?)))
    }
}

impl<R: Read> Letters<R> {
    pub(super) fn new(mut from: R) -> Self {
        let mut magic = [0; MAGIC.len()];
        let whole = from.read_exact(&mut magic).is_ok() && magic == MAGIC;
        Self { from, at: MAGIC.len() as u64, whole }
    }

    /// The next letter, and how many bytes it takes.
    fn read(&mut self) -> Option<(Letter, u64)> {
        let (length, sum) = (self.number()?, self.number()?);
        let length = Some(length).filter(|length| (4..=LONGEST).contains(length))?;
        let mut rest = Vec::new();
        // Grows with what is there, whatever length a damaged file claims.
        (&mut self.from).take(u64::from(length)).read_to_end(&mut rest).ok()?;
        if rest.len() != length as usize || crc32c::crc32c(&rest) != sum {
            return None;
        }
        let head_len = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        let head_end = head_len.checked_add(4).filter(|end| *end <= rest.len())?;
        let head = serde_json::from_slice(&rest[4..head_end]).ok()?;
        let letter = Letter { head, plain: Bytes::from(rest).slice(head_end..) };
        Some((letter, 8 + u64::from(length)))
    }

    fn number(&mut self) -> Option<u32> {
        let mut bytes = [0; 4];
        self.from.read_exact(&mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }
}

impl<R: Read> Iterator for Letters<R> {
    type Item = (u64, Letter);

    fn next(&mut self) -> Option<(u64, Letter)> {
        if !self.whole {
            return None;
        }
        let Some((letter, length)) = self.read() else {
            self.whole = false;
            return None;
        };
        let at = self.at;
        self.at += length;
        Some((at, letter))
    }
}

/// The letter that begins at `at`; `None` where none does.
pub(super) fn one(path: &Path, at: u64) -> io::Result<Option<Letter>> {
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(at))?;
    Ok(Letters { from: file, at, whole: true }.read().map(|(letter, _)| letter))
}

impl Letter {
    pub(super) fn encode(&self) -> Vec<u8> {
        let head = self.head_text();
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

    fn head_text(&self) -> Vec<u8> {
        serde_json::to_vec(&self.head).expect("strings and numbers are always JSON")
    }
}
