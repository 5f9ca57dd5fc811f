//! A shelf: numbered append-only files in one folder, bounded in bytes and age; the oldest file goes first. What stands in
//! the files is the caller's matter. All calls wait for the disk: make them on the disk's worker thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::UnixNanos;

/// What bounds a shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// All files together. The newest file is never removed, so one file more may stand there for a moment.
    pub bytes: u64,
    /// How long an entry is kept at least; a file goes when its newest entry is older.
    pub keep: Duration,
}

/// How many files the bytes are spread over: that share is lost at once when the bound is reached.
const FILES: u64 = 8;
/// No file is larger than this, however large the bound.
const LARGEST_FILE: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shelved {
    path: PathBuf,
    number: u64,
    created: UnixNanos,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    suffix: &'static str,
    magic: &'static [u8],
    bounds: Bounds,
    count: fn(&Path) -> u64,
    files: Vec<Shelved>,
    current: Option<File>,
    dropped: u64,
}

impl Shelf {
    /// Opens the shelf, creating its folder. Files get `suffix` and begin with `magic`; `count` says how many entries a
    /// file holds, for counting what is dropped with it.
    pub(crate) fn open(
        folder: PathBuf,
        suffix: &'static str,
        magic: &'static [u8],
        bounds: Bounds,
        count: fn(&Path) -> u64,
    ) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let dropped =
            fs::read_to_string(folder.join("dropped")).ok().and_then(|text| text.trim().parse().ok());
        let files = list(&folder, suffix)?;
        Ok(Self { folder, suffix, magic, bounds, count, files, current: None, dropped: dropped.unwrap_or(0) })
    }

    /// Appends one entry or several laid end to end, and says in which file. After an error the entries may or may not be
    /// read back.
    pub(crate) fn append(&mut self, entries: &[u8], now: UnixNanos) -> io::Result<u64> {
        self.make_room(entries.len() as u64, now)?;
        let result = self.write(entries, now);
        if result.is_err() {
            // A torn entry may stand at the file's end: nothing may follow it there.
            self.current = None;
        }
        result
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let Some(file) = &self.current else { return Ok(()) };
        let result = file.sync_data();
        if result.is_err() {
            // What a failed sync left behind is unknown, and a second one would claim success.
            self.current = None;
        }
        result
    }

    /// Bytes in all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The numbers and paths of all files, oldest first.
    pub(crate) fn files(&self) -> impl Iterator<Item = (u64, &Path)> {
        self.files.iter().map(|file| (file.number, &*file.path))
    }

    /// Removes a file whose entries nobody needs any more. Numbers are not given twice: where it is the newest, an empty one
    /// is begun first.
    pub(crate) fn remove(&mut self, number: u64, now: UnixNanos) -> io::Result<()> {
        if self.files.last().is_some_and(|newest| newest.number == number) {
            self.current = None;
            self.begin(now)?;
        }
        let Some(at) = self.files.iter().position(|file| file.number == number) else { return Ok(()) };
        fs::remove_file(&self.files[at].path)?;
        self.files.remove(at);
        Ok(())
    }

    /// Removes the files that are past their time. The newest stays, but is closed for an empty one when it is old enough: the next
    /// one's beginning tells how old its last entry is.
    pub(crate) fn expire(&mut self, now: UnixNanos) -> io::Result<()> {
        let holds_any = |file: &Shelved| file.bytes > self.magic.len() as u64;
        if self.files.last().is_some_and(|newest| self.is_old(newest, now) && holds_any(newest)) {
            if let Some(file) = self.current.take() {
                file.sync_data()?;
            }
            self.begin(now)?;
        }
        while self.files.len() > 1 && now.since(self.files[1].created) > self.bounds.keep {
            self.drop_oldest()?;
        }
        Ok(())
    }

    /// Entries dropped by the bounds since the folder was made.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn file_bytes(&self) -> u64 {
        (self.bounds.bytes / FILES).clamp(1, LARGEST_FILE)
    }

    /// Whether nothing more is put into a file: its entries would be of very different age.
    fn is_old(&self, file: &Shelved, now: UnixNanos) -> bool {
        now.since(file.created) > self.bounds.keep / FILES as u32
    }

    fn make_room(&mut self, more: u64, now: UnixNanos) -> io::Result<()> {
        let takes = |file: &Shelved| file.bytes + more <= self.file_bytes() && !self.is_old(file, now);
        let full = !self.files.last().is_some_and(takes);
        if full && let Some(file) = self.current.take() {
            file.sync_data()?;
        }
        while self.files.len() > 1 {
            let past_keep = now.since(self.files[1].created) > self.bounds.keep;
            if !past_keep && self.bytes() + more <= self.bounds.bytes {
                break;
            }
            self.drop_oldest()?;
        }
        Ok(())
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        let entries = (self.count)(&self.files[0].path);
        fs::remove_file(&self.files[0].path)?;
        self.files.remove(0);
        self.dropped += entries;
        let draft = self.folder.join("dropped.draft");
        fs::write(&draft, self.dropped.to_string())?;
        fs::rename(&draft, self.folder.join("dropped"))
    }

    fn write(&mut self, entries: &[u8], now: UnixNanos) -> io::Result<u64> {
        if self.current.is_none() {
            self.begin(now)?;
        }
        let (Some(file), Some(shelved)) = (&mut self.current, self.files.last_mut()) else {
            return Err(io::Error::other("the file that was just begun is not open"));
        };
        file.write_all(entries)?;
        shelved.bytes += entries.len() as u64;
        Ok(shelved.number)
    }

    fn begin(&mut self, now: UnixNanos) -> io::Result<()> {
        let mut number = self.files.last().map_or(1, |file| file.number + 1);
        let (path, mut file) = loop {
            let path = self.folder.join(format!("{number:010}-{:013}.{}", now.millis(), self.suffix));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                // Somebody put a file there since the folder was read: never written into, and no reason to stop.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        self.files.push(Shelved { path, number, created: now, bytes: self.magic.len() as u64 });
        file.write_all(self.magic)?;
        File::open(&self.folder)?.sync_all()?;
        self.current = Some(file);
        Ok(())
    }
}

/// The files of a shelf, oldest first.
pub(crate) fn paths(folder: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    Ok(list(folder, suffix)?.into_iter().map(|file| file.path).collect())
}

fn list(folder: &Path, suffix: &str) -> io::Result<Vec<Shelved>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, created)) = name.to_str().and_then(|name| parse(name, suffix)) else { continue };
        files.push(Shelved { path: entry.path(), number, created, bytes: entry.metadata()?.len() });
    }
    files.sort_by_key(|file| file.number);
    Ok(files)
}

fn parse(name: &str, suffix: &str) -> Option<(u64, UnixNanos)> {
    let (number, millis) = name.strip_suffix(suffix)?.strip_suffix('.')?.split_once('-')?;
    let millis: u64 = millis.parse().ok()?;
    Some((number.parse().ok()?, UnixNanos(millis.saturating_mul(1_000_000))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> u64 {
        fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
    }

    fn open(folder: &Path, bytes: u64, keep: u64) -> Shelf {
        let bounds = Bounds { bytes, keep: Duration::from_secs(keep) };
        Shelf::open(folder.to_owned(), "lines", b"", bounds, lines).unwrap()
    }

    fn kept(folder: &Path) -> String {
        paths(folder, "lines").unwrap().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_oldest_go_when_the_bytes_are_used_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = open(folder.path(), 80, 1_000_000);
        for number in 0..100 {
            shelf.append(format!("{number:04}\n").as_bytes(), UnixNanos(SECOND)).unwrap();
            assert!(shelf.bytes() <= 80);
        }
        assert!(kept(folder.path()).ends_with("0098\n0099\n"));
        assert_eq!(shelf.dropped() + kept(folder.path()).lines().count() as u64, 100);
        let again = open(folder.path(), 80, 1_000_000);
        assert_eq!((again.dropped(), again.bytes()), (shelf.dropped(), shelf.bytes()));
    }

    #[test]
    fn a_file_goes_when_its_newest_entry_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = open(folder.path(), 1 << 20, 80);
        for second in 0..200u64 {
            shelf.append(format!("{second}\n").as_bytes(), UnixNanos(second * SECOND)).unwrap();
        }
        let oldest: u64 = kept(folder.path()).lines().next().unwrap().parse().unwrap();
        assert!((119 - 22..=119).contains(&oldest), "{oldest}");
    }

    #[test]
    fn the_last_entries_go_too_when_nothing_follows_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = open(folder.path(), 1 << 20, 80);
        shelf.append(b"last\n", UnixNanos(SECOND)).unwrap();
        let mut gone = 0;
        for second in 2..200 {
            shelf.expire(UnixNanos(second * SECOND)).unwrap();
            match kept(folder.path()).is_empty() {
                false => assert_eq!(shelf.dropped(), 0),
                true if gone == 0 => gone = second,
                true => {}
            }
        }
        assert!((82..=93).contains(&gone), "{gone}");
        assert_eq!(shelf.dropped(), 1);
        assert_eq!(paths(folder.path(), "lines").unwrap().len(), 1, "no empty files pile up");
        shelf.append(b"next\n", UnixNanos(200 * SECOND)).unwrap();
        assert_eq!(kept(folder.path()), "next\n");
    }

    #[test]
    fn a_file_that_is_there_already_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = open(folder.path(), 1 << 20, 80);
        let name = folder.path().join("0000000001-0000000001000.lines");
        fs::write(&name, "theirs\n").unwrap();
        shelf.append(b"ours\n", UnixNanos(SECOND)).unwrap();
        assert_eq!(kept(folder.path()), "theirs\nours\n");
    }

    #[test]
    fn a_new_run_begins_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), 1 << 20, 80).append(b"torn", UnixNanos(SECOND)).unwrap();
        open(folder.path(), 1 << 20, 80).append(b"whole\n", UnixNanos(SECOND)).unwrap();
        assert_eq!(paths(folder.path(), "lines").unwrap().len(), 2);
    }
}
