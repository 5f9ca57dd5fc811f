//! Two files written in turn, so that the newest whole one survives whatever happens to the other.
//!
//! Each file is `magic, version, generation, length, crc32c, payload`, preallocated in steps of 4 KiB; the reader takes
//! the valid one of the higher generation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fields::{Put, Take};
use crate::vfs::{Vfs, VfsFile, read_full, write_all, write_zeros};

const MAGIC: u32 = u32::from_le_bytes(*b"TGsl");
const VERSION: u16 = 1;
const HEADER: usize = 24;
const STEP: u64 = 4096;
/// What a slot may hold; a longer one is damage.
const PAYLOAD_MAX: u32 = 256 << 20;

/// One pair of files, `PATH.0` and `PATH.1`.
#[derive(Debug)]
pub(crate) struct Slots {
    folder: PathBuf,
    name: String,
    generation: u64,
    /// Index of the file that holds the newest durable payload.
    newest: usize,
    open: [Option<Arc<dyn VfsFile>>; 2],
}

/// What was found on opening.
pub(crate) struct Found {
    pub(crate) slots: Slots,
    pub(crate) payload: Option<Vec<u8>>,
    /// A file was there but none was valid.
    pub(crate) damaged: bool,
}

impl Slots {
    /// Reads the newest payload; damage and absence are told apart, neither is an error.
    pub(crate) fn open(vfs: &dyn Vfs, folder: &Path, name: &str) -> Found {
        let mut slots = Self {
            folder: folder.to_path_buf(),
            name: name.to_owned(),
            generation: 0,
            newest: 1,
            open: [None, None],
        };
        let mut best = None;
        let mut present = false;
        for index in 0..2 {
            let Ok(file) = vfs.open(&slots.path(index)) else { continue };
            present = true;
            if let Some((generation, payload)) = load(&*file)
                && generation > slots.generation
            {
                slots.generation = generation;
                slots.newest = index;
                best = Some(payload);
            }
            slots.open[index] = Some(file);
        }
        Found { slots, damaged: present && best.is_none(), payload: best }
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(format!("{}.{index}", self.name))
    }

    /// Writes the older file; on return the payload is durable. After an error the newer file still holds what it held,
    /// and the file that failed is replaced by a new one, never synced again.
    pub(crate) fn write(&mut self, vfs: &dyn Vfs, payload: &[u8]) -> io::Result<()> {
        let index = 1 - self.newest;
        let result = self.try_write(vfs, index, payload);
        match &result {
            Ok(()) => {
                self.newest = index;
                self.generation += 1;
            }
            Err(_) => {
                self.open[index] = None;
                let _ = vfs.remove(&self.path(index));
            }
        }
        result
    }

    /// Removes both files, the older one first.
    pub(crate) fn remove(&mut self, vfs: &dyn Vfs) -> io::Result<()> {
        for index in [1 - self.newest, self.newest] {
            if self.open[index].take().is_some() {
                vfs.remove(&self.path(index))?;
                vfs.sync_folder(&self.folder)?;
            }
        }
        Ok(())
    }

    fn try_write(&mut self, vfs: &dyn Vfs, index: usize, payload: &[u8]) -> io::Result<()> {
        let mut put = Put::default();
        put.u32(MAGIC);
        put.u16(VERSION);
        put.u16(0);
        put.u64(self.generation + 1);
        put.u32(payload.len() as u32);
        let sum = crc32c::crc32c_append(crc32c::crc32c(&put.0), payload);
        put.u32(sum);
        put.0.extend_from_slice(payload);
        let is_new = self.open[index].is_none();
        let file = match &self.open[index] {
            Some(file) => Arc::clone(file),
            None => vfs.create(&self.path(index))?,
        };
        let length = file.length()?;
        let end = put.0.len() as u64;
        if end > length {
            write_zeros(&*file, length.max(end), end.next_multiple_of(STEP))?;
        }
        write_all(&*file, &put.0, 0)?;
        file.sync()?;
        if is_new {
            vfs.sync_folder(&self.folder)?;
            self.open[index] = Some(file);
        }
        Ok(())
    }
}

fn load(file: &dyn VfsFile) -> Option<(u64, Vec<u8>)> {
    let mut header = [0; HEADER];
    if read_full(file, &mut header, 0).ok()? < HEADER {
        return None;
    }
    let mut take = Take(&header);
    let (magic, version, _) = (take.u32()?, take.u16()?, take.u16()?);
    let (generation, length, sum) = (take.u64()?, take.u32()?, take.u32()?);
    if magic != MAGIC || version != VERSION || length > PAYLOAD_MAX {
        return None;
    }
    if u64::from(length) + HEADER as u64 > file.length().ok()? {
        return None;
    }
    let mut payload = vec![0; length as usize];
    if read_full(file, &mut payload, HEADER as u64).ok()? < payload.len() {
        return None;
    }
    let expected = crc32c::crc32c_append(crc32c::crc32c(&header[..HEADER - 4]), &payload);
    (sum == expected).then_some((generation, payload))
}
