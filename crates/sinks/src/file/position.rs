//! The position: which file is written, how much of it counts, and up to which offset it covers the journal.
//!
//! Two slots are written in turn, so that a torn write leaves the other. The slot that is known good is never overwritten:
//! after a failed write nobody knows what the disk holds, and the next write goes to the same slot again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::{Layout, Signal, UnixNanos};
use pipeline::{Parcel, Part};
use serde::{Deserialize, Serialize};

/// What is known durable of one signal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Position {
    /// The file that is being written; `None` before the first.
    pub(super) active: Option<Active>,
    /// The number of the next file.
    pub(super) next_number: u64,
    /// Finished files that are not compressed yet.
    pub(super) finished: Vec<String>,
    /// How far each tenant's stream is in the files. A courier hands over each of these streams in journal order.
    pub(super) covered: Vec<Covered>,
}

/// The file that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Active {
    /// Its name in the folder.
    pub(super) name: String,
    /// How many of its bytes count.
    pub(super) length: u64,
    /// When it was begun, Unix nanoseconds.
    pub(super) begun: u64,
}

/// How far one stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Covered {
    tenant: String,
    layout: u8,
    /// The last frame of which something is in the files.
    offset: u64,
    /// How many of that frame's items are, counted as they were received.
    items: u32,
    /// The latest receipt time of a frame that is in the files, Unix nanoseconds.
    received: u64,
}

impl Position {
    /// The part of `parcel` that is not in the files yet; `None` when all of it is.
    ///
    /// A frame at a covered offset that was received after everything in the files cannot be one of them: the journal was begun
    /// anew, and what is covered says nothing about it.
    pub(super) fn fresh(&self, parcel: &Parcel) -> Option<Parcel> {
        let Some(covered) = self.covered.iter().find(|covered| covered.is_of(parcel)) else {
            return Some(parcel.clone());
        };
        let begun_anew = |part: &Part| part.offset.0 <= covered.offset && part.received.0 > covered.received;
        if parcel.parts.iter().any(begun_anew) {
            let (sink, signal) = (&*parcel.sink, parcel.signal.as_str());
            tracing::warn!(
                sink,
                signal,
                "the journal was begun anew; its offsets say nothing about older files"
            );
            return Some(parcel.clone());
        }
        let mut fresh = parcel.clone();
        fresh.parts.retain_mut(|part| {
            if part.offset.0 == covered.offset {
                part.skip_below(covered.items);
            }
            part.offset.0 >= covered.offset && !part.is_empty()
        });
        (!fresh.parts.is_empty()).then_some(fresh)
    }

    /// The position after `parcel` was written behind the active file's `length`.
    pub(super) fn after(&self, parcel: &Parcel, length: u64) -> Self {
        let mut next = self.clone();
        if let Some(active) = &mut next.active {
            active.length = length;
        }
        let before = next.covered.iter().position(|covered| covered.is_of(parcel));
        let received = parcel.parts.iter().map(|part| part.received).max().unwrap_or(UnixNanos(0)).0;
        if let Some(last) = parcel.parts.last() {
            let covered = Covered {
                tenant: parcel.tenant.as_str().to_owned(),
                layout: parcel.layout as u8,
                offset: last.offset.0,
                items: last.end(),
                received: before.map_or(0, |at| next.covered[at].received).max(received),
            };
            match before {
                Some(at) => next.covered[at] = covered,
                None => next.covered.push(covered),
            }
        }
        next
    }
}

impl Covered {
    fn is_of(&self, parcel: &Parcel) -> bool {
        self.tenant == parcel.tenant.as_str() && Layout::from_u8(self.layout) == Some(parcel.layout)
    }
}

/// The two slots of one signal.
#[derive(Debug)]
pub(super) struct Slots {
    paths: [PathBuf; 2],
    /// Which slot holds the newest position that is known durable.
    good: usize,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
struct Slot {
    sequence: u64,
    position: Position,
}

impl Slots {
    /// Reads the newest readable position; `None` when there is none.
    pub(super) fn open(folder: &Path, signal: Signal) -> io::Result<(Self, Option<Position>)> {
        fs::create_dir_all(folder)?;
        let paths = [0, 1].map(|slot| folder.join(format!("{signal}.position.{slot}")));
        let mut slots = Self { paths, good: 1, sequence: 0 };
        let mut newest = None;
        for (number, path) in slots.paths.iter().enumerate() {
            let text = match fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match decode(&text) {
                Some(slot) if slot.sequence > slots.sequence => {
                    (slots.good, slots.sequence) = (number, slot.sequence);
                    newest = Some(slot.position);
                }
                Some(_) => {}
                None => tracing::warn!(path = %path.display(), "the slot is damaged; the other one counts"),
            }
        }
        Ok((slots, newest))
    }

    /// Makes `position` durable. After an error either it or the one before may be what the disk holds.
    pub(super) fn write(&mut self, position: &Position) -> io::Result<()> {
        let slot = 1 - self.good;
        // A sequence is used up even by a write that fails, since it may be on disk.
        self.sequence += 1;
        let text = encode(&Slot { sequence: self.sequence, position: position.clone() });
        let path = &self.paths[slot];
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(path)?;
        file.write_all(&text)?;
        file.sync_all()?;
        if is_new {
            sync_folder_of(path)?;
        }
        self.good = slot;
        Ok(())
    }
}

/// Makes the names in a file's folder durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// A line of checksum, a line of JSON.
fn encode(slot: &Slot) -> Vec<u8> {
    let json = serde_json::to_string(slot).expect("numbers, strings and lists are JSON");
    format!("{:08x}\n{json}\n", crc32c::crc32c(json.as_bytes())).into_bytes()
}

fn decode(text: &[u8]) -> Option<Slot> {
    let (sum, json) = text.split_at_checked(9)?;
    let json = json.strip_suffix(b"\n")?;
    let expected = u32::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix('\n')?, 16).ok()?;
    if crc32c::crc32c(json) != expected {
        return None;
    }
    serde_json::from_slice(json).ok()
}
