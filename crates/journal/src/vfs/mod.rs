//! What the journal needs of a file system, and nothing more, so that a simulated one can stand in for it.
//!
//! Nothing is durable until the matching sync has returned: file bytes by [`VfsFile::sync`], names by
//! [`Vfs::sync_folder`]. A failed sync says nothing about what is on disk, then or later; the journal never asks
//! the same file again.

mod real;
mod sim;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealFs;
pub use sim::{Fault, Op, SimFs};

/// A file system.
pub trait Vfs: Send + Sync + Debug {
    /// Creates a folder and its ancestors where they are missing, durably.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// The names of the files (not folders) in a folder, in no particular order; empty when it is missing.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;

    /// Creates an empty file, or empties an existing one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>>;

    /// Renames a file within one folder, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Bytes that may still be written to the file system that holds `folder`.
    fn available_space(&self, folder: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock `path`, until the guard is dropped or the process ends.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file. Positions are in bytes from its beginning.
pub trait VfsFile: Send + Sync + Debug {
    /// Reads at most `into.len()` bytes; 0 means the end of the file.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes at least one and at most `bytes.len()` bytes.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Makes the file's bytes and its length durable.
    fn sync(&self) -> io::Result<()>;

    /// The file's length.
    fn length(&self) -> io::Result<u64>;
}

/// Writes all of `bytes`, over short writes and interruptions.
pub(crate) fn write_all(file: &dyn VfsFile, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `into` is full or the file ends; returns how much was read.
pub(crate) fn read_full(file: &dyn VfsFile, into: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match file.read_at(&mut into[read..], at + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Writes zeros from `from` to `to`, in pieces that keep memory small.
pub(crate) fn write_zeros(file: &dyn VfsFile, from: u64, to: u64) -> io::Result<()> {
    const PIECE: usize = 256 * 1024;
    let zeros = vec![0; PIECE];
    let mut at = from;
    while at < to {
        let n = usize::try_from(to - at).map_or(PIECE, |left| left.min(PIECE));
        write_all(file, &zeros[..n], at)?;
        at += n as u64;
    }
    Ok(())
}

/// Whether an error says that there is no room: disk, quota or file size limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
