//! What an operator decided about letters, beside each file of letters: `NAME.marks`, the magic, then one record of 16 bytes
//! for each mark, `u64 position, u8 mark, three zeros, u32 crc32c of the twelve`. The last mark of a letter counts. Letters
//! themselves are never rewritten.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"TGDM\x01\0\0\0";
const RECORD: usize = 16;

/// What was decided about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is to be delivered again.
    Again = 1,
    /// It went the way of a replay: delivered, or refused again and then a new letter.
    Replayed = 2,
    /// It is not wanted any more.
    Dropped = 3,
    /// It waits after all.
    Waiting = 4,
}

impl Mark {
    /// Whether the letter counts as gone.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Replayed | Self::Dropped)
    }

    const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Again),
            2 => Some(Self::Replayed),
            3 => Some(Self::Dropped),
            4 => Some(Self::Waiting),
            _ => None,
        }
    }
}

/// The marks of one file of letters.
#[derive(Debug)]
pub(super) struct Marks {
    path: PathBuf,
    /// By the position of the letter.
    marks: BTreeMap<u64, Mark>,
    /// Open once this process has written the file anew: what another left may end in half a record.
    file: Option<File>,
}

impl Marks {
    /// The marks beside `letters`; none where the file is missing. A damaged record ends the file.
    pub(super) fn open(letters: &Path) -> Self {
        let path = path_of(letters);
        let marks = fs::read(&path).map(|bytes| decode(&bytes)).unwrap_or_default();
        Self { path, marks, file: None }
    }

    pub(super) fn get(&self, position: u64) -> Option<Mark> {
        self.marks.get(&position).copied()
    }

    pub(super) fn all(&self) -> &BTreeMap<u64, Mark> {
        &self.marks
    }

    /// Letters that are gone.
    pub(super) fn gone(&self) -> u64 {
        self.marks.values().filter(|mark| mark.is_final()).count() as u64
    }

    /// Makes marks, durable on return. After an error none of them counts until a later call.
    pub(super) fn put(&mut self, positions: &[u64], mark: Mark) -> io::Result<()> {
        let fresh = positions.iter().map(|position| (*position, mark));
        // After a failed sync the file is not trusted: the next call writes it anew.
        self.file = Some(match self.file.take() {
            Some(file) => append(file, positions, mark)?,
            None => {
                let mut marks = self.marks.clone();
                marks.extend(fresh.clone());
                rewrite(&self.path, &marks)?
            }
        });
        self.marks.extend(fresh);
        Ok(())
    }
}

/// Removes the marks beside a file of letters that is gone.
pub(super) fn remove(letters: &Path) {
    // What stays by mistake is found by the next start and means nothing without its letters.
    let _ = fs::remove_file(path_of(letters));
}

/// How many of a file's letters are gone.
pub(super) fn gone(letters: &Path) -> u64 {
    Marks::open(letters).gone()
}

fn path_of(letters: &Path) -> PathBuf {
    letters.with_extension("marks")
}

fn record(position: u64, mark: Mark) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&position.to_le_bytes());
    record[8] = mark as u8;
    let sum = crc32c::crc32c(&record[..12]);
    record[12..].copy_from_slice(&sum.to_le_bytes());
    record
}

fn decode(bytes: &[u8]) -> BTreeMap<u64, Mark> {
    let mut marks = BTreeMap::new();
    let records = bytes.strip_prefix(MAGIC).unwrap_or_default();
    for found in records.chunks_exact(RECORD) {
        let position = u64::from_le_bytes(std::array::from_fn(|at| found[at]));
        match Mark::of(found[8]) {
            Some(mark) if record(position, mark) == *found => marks.insert(position, mark),
            _ => break,
        };
    }
    marks
}

fn append(mut file: File, positions: &[u64], mark: Mark) -> io::Result<File> {
    let records: Vec<u8> = positions.iter().flat_map(|position| record(*position, mark)).collect();
    file.write_all(&records)?;
    file.sync_data()?;
    Ok(file)
}

fn rewrite(path: &Path, marks: &BTreeMap<u64, Mark>) -> io::Result<File> {
    let draft = path.with_extension("marks-draft");
    let mut bytes = MAGIC.to_vec();
    marks.iter().for_each(|(position, mark)| bytes.extend_from_slice(&record(*position, *mark)));
    let mut file = File::create(&draft)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&draft, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_outlive_the_process_and_the_last_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let letters = folder.path().join("0000000001-0000000000001.letters");
        let mut marks = Marks::open(&letters);
        marks.put(&[8, 100, 300], Mark::Again).unwrap();
        marks.put(&[100], Mark::Replayed).unwrap();
        let mut again = Marks::open(&letters);
        assert_eq!(
            (again.get(8), again.get(100), again.get(200)),
            (Some(Mark::Again), Some(Mark::Replayed), None)
        );
        again.put(&[8], Mark::Dropped).unwrap();
        assert_eq!(Marks::open(&letters).gone(), 2);
        remove(&letters);
        assert!(Marks::open(&letters).all().is_empty());
    }

    #[test]
    fn a_torn_record_ends_the_file_and_the_next_mark_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let letters = folder.path().join("0000000001-0000000000001.letters");
        Marks::open(&letters).put(&[8, 100], Mark::Again).unwrap();
        let whole = fs::read(path_of(&letters)).unwrap();
        for cut in 0..whole.len() {
            fs::write(path_of(&letters), &whole[..cut]).unwrap();
            let kept = cut.saturating_sub(MAGIC.len()) / RECORD;
            let mut torn = Marks::open(&letters);
            assert_eq!(torn.all().len(), kept, "cut at {cut}");
            torn.put(&[300], Mark::Dropped).unwrap();
            let mended = Marks::open(&letters);
            assert_eq!((mended.all().len(), mended.get(300)), (kept + 1, Some(Mark::Dropped)));
        }
    }
}
