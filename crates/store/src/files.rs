//! The files themselves, through `object_store`. Everything here blocks and runs on the store's own threads, where no async
//! runtime is entered: there the local file system's futures do their work at once instead of on a pool of their own.

use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_executor::block_on;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Where files are kept. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    store: Arc<dyn ObjectStore>,
    root: PathBuf,
    /// Folders whose chain of ancestors is known to be durable.
    synced: Arc<Mutex<std::collections::HashSet<String>>>,
    #[cfg(test)]
    pub(crate) fuse: crate::tests::Fuse,
}

impl Files {
    /// Opens the folder `root`, which is made when missing.
    pub(crate) fn open(root: &std::path::Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let store = LocalFileSystem::new_with_prefix(&root).map_err(io::Error::other)?;
        // A file is synced before it gets its name, its folder afterwards; see `put` for the folders above.
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self {
            store: Arc::new(store),
            root,
            synced: Arc::default(),
            #[cfg(test)]
            fuse: crate::tests::Fuse::default(),
        })
    }

    /// Every object, in no order.
    pub(crate) fn list(&self) -> object_store::Result<Vec<ObjectMeta>> {
        block_on(self.store.list(None).try_collect())
    }

    /// Writes an object, all or nothing, over one of the same name. When it returns, the object survives power loss.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) -> object_store::Result<()> {
        self.step()?;
        block_on(self.store.put(path, bytes.into()))?;
        self.step()?;
        // A folder that an earlier run made and did not live to sync looks like one that is durable: sync each chain once.
        let folder = path.as_ref().rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        if self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(&folder) {
            return Ok(());
        }
        let lowest = self.root.join(&folder);
        let above = self.root.parent().map(std::path::Path::to_path_buf);
        for dir in lowest.ancestors().take_while(|dir| dir.starts_with(&self.root)).chain(above.as_deref()) {
            sync_folder(dir)
                .map_err(|error| object_store::Error::Generic { store: "local", source: error.into() })?;
        }
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.len() >= MOST_SYNCED {
            synced.clear();
        }
        synced.insert(folder);
        Ok(())
    }

    /// Removes an object; one that is not there is no error. Folders that become empty go with it.
    pub(crate) fn delete(&self, path: &Path) -> object_store::Result<()> {
        if let Some((folder, _)) = path.as_ref().rsplit_once('/') {
            self.synced.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
        }
        self.step()?;
        match block_on(self.store.delete(path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => self.step(),
            Err(error) => Err(error),
        }
    }

    /// Where a test may let the machine stop.
    fn step(&self) -> object_store::Result<()> {
        #[cfg(test)]
        if self.fuse.is_blown() {
            return Err(object_store::Error::Generic { store: "test", source: "the machine stopped".into() });
        }
        Ok(())
    }

    /// An object of `size` bytes for the Parquet reader.
    pub(crate) fn object(&self, path: &Path, size: u64) -> Object {
        let file = self.root.join(path.as_ref());
        Object { store: Arc::clone(&self.store), path: path.clone(), size, file, open: Arc::default() }
    }

    /// Whether an object is there; yes when that cannot be told.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        !matches!(block_on(self.store.head(path)), Err(object_store::Error::NotFound { .. }))
    }

    /// Removes what a crash in the middle of writing left: files with the staging suffix of `object_store`, `#1`.
    pub(crate) fn sweep(&self) -> io::Result<usize> {
        let mut removed = 0;
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let staging = name.to_string_lossy().rsplit_once('#').is_some_and(|(whole, number)| {
                    whole.ends_with(".parquet") && number.bytes().all(|byte| byte.is_ascii_digit())
                });
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if staging {
                    std::fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

/// The set of synced folders is only a shortcut; beyond this size it starts anew.
const MOST_SYNCED: usize = 4096;

#[cfg(unix)]
fn sync_folder(folder: &std::path::Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &std::path::Path) -> io::Result<()> {
    Ok(())
}

/// One object, read in ranges.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// The same on disk: reading a trace takes dozens of ranges, for each of which the object store would open it.
    file: PathBuf,
    open: Arc<OnceLock<Option<std::fs::File>>>,
}

impl Object {
    fn range(&self, range: Range<u64>) -> object_store::Result<Bytes> {
        let open = self.open.get_or_init(|| std::fs::File::open(&self.file).ok());
        match open.as_ref().and_then(|file| read_at(file, range.clone())) {
            Some(bytes) => Ok(bytes),
            // It says what is wrong.
            None => block_on(self.store.get_range(&self.path, range)),
        }
    }
}

/// A range of an open file; `None` where that cannot be had.
#[cfg(unix)]
fn read_at(file: &std::fs::File, range: Range<u64>) -> Option<Bytes> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(range.end.checked_sub(range.start)?).ok()?];
    file.read_exact_at(&mut bytes, range.start).ok()?;
    Some(bytes.into())
}

#[cfg(not(unix))]
fn read_at(_: &std::fs::File, _: Range<u64>) -> Option<Bytes> {
    None
}

impl Length for Object {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Object {
    type T = Ahead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Ahead> {
        Ok(Ahead { object: self.clone(), next: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let end = start.saturating_add(length as u64);
        if end > self.size {
            return Err(ParquetError::EOF(format!(
                "range {start}..{end} is beyond the file of {} bytes",
                self.size
            )));
        }
        self.range(start..end).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// Reads an object from a position on, a piece at a time.
#[derive(Debug)]
pub(crate) struct Ahead {
    object: Object,
    next: u64,
    buffer: Bytes,
}

const PIECE: u64 = 32 << 10;

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            let end = self.next.saturating_add(PIECE).min(self.object.size);
            if end <= self.next {
                return Ok(0);
            }
            self.buffer = self.object.range(self.next..end).map_err(io::Error::other)?;
            self.next = end;
        }
        let len = into.len().min(self.buffer.len());
        into[..len].copy_from_slice(&self.buffer.split_to(len));
        Ok(len)
    }
}
