//! The join store: what stitching remembers, on disk, changed in one transaction a turn.
//!
//! Two kinds of memory, each in generations that are dropped whole, so that nothing has to be searched for what is old:
//!
//! | memory | trees of a generation | asked for |
//! |---|---|---|
//! | hot, an hour or two | keys → cluster, cluster → facts and what was told, trace → received spans | on every record |
//! | cold, two days or three | names → trace id, trace id → what belongs to it | by people |
//!
//! and beside them one tree of its own: cursors, numbers, timers, what waits for the journal, counters. An entry that is changed
//! moves to the newest generation. A tree's entry is never read back from an older generation than its newest copy.

mod generation;
mod layout;

use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use fjall::{CompressionType, Database, OwnedWriteBatch, PersistMode};
use model::{Signal, UnixNanos};

pub(crate) use generation::{Cold, Hot};
use generation::{Generations, packed_options};
pub(crate) use layout::{Index, Name, tree};

use crate::cluster::Cluster;
use crate::fact::{Seen, Trace};

/// The version of everything that lies in the store. What another version left is not read.
const FORMAT: u8 = 5;

/// Why the join store cannot go on.
#[derive(Debug)]
pub enum BookError {
    /// The disk, or the store's library.
    Store(fjall::Error),
    /// An entry is not what this version writes.
    Damaged(&'static str),
    /// It was written by another version.
    Version(u8),
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(_) => f.write_str("the join store cannot be read or written"),
            Self::Damaged(what) => write!(f, "the join store's entry for {what} is damaged"),
            Self::Version(found) => {
                write!(f, "the join store has format {found}, this version reads {FORMAT}")
            }
        }
    }
}

impl std::error::Error for BookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(source) => Some(source),
            Self::Damaged(_) | Self::Version(_) => None,
        }
    }
}

impl BookError {
    /// Whether it is what lies in the store, and not the disk or who may use it: a new store would do.
    pub(crate) fn is_of_content(&self) -> bool {
        let is_of_content = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::AlreadyExists
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
            )
        };
        match self {
            Self::Damaged(_) | Self::Version(_) => true,
            Self::Store(fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error))) => {
                is_of_content(error)
            }
            Self::Store(fjall::Error::Locked | fjall::Error::Poisoned) => false,
            Self::Store(_) => true,
        }
    }
}

impl From<io::Error> for BookError {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<fjall::Error> for BookError {
    fn from(error: fjall::Error) -> Self {
        Self::Store(error)
    }
}

/// What a trace remembers of the spans that were received, and who asks for them.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spans {
    pub(crate) seen: Vec<Seen>,
    pub(crate) asked_by: Vec<u64>,
}

/// How long the two kinds of memory reach, at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) hot: Duration,
    pub(crate) cold: Duration,
}

/// The join store, open.
pub(crate) struct Book {
    db: Database,
    /// Cursors, numbers, timers, the outbox, counters.
    pub(crate) state: fjall::Keyspace,
    generations: Generations,
}

/// Changes that become true together.
pub(crate) struct Changes {
    batch: OwnedWriteBatch,
    /// Room to write an entry in.
    room: Vec<u8>,
}

impl Book {
    /// Opens or creates the store in `folder`.
    pub(crate) fn open(folder: &Path, reach: Reach) -> Result<Self, BookError> {
        let db = Database::builder(folder)
            .cache_size(32 << 20)
            .max_journaling_size(64 << 20)
            // What is large was compressed before.
            .journal_compression(CompressionType::None)
            .worker_threads(1)
            .manual_journal_persist(true)
            .open()?;
        let state = db.keyspace("state", packed_options)?;
        match state.get(tree::FORMAT)?.as_deref() {
            None => state.insert(tree::FORMAT, [FORMAT])?,
            Some([FORMAT]) => {}
            Some(other) => return Err(BookError::Version(other.first().copied().unwrap_or(0))),
        }
        let generations = Generations::open(&db, reach)?;
        Ok(Self { db, state, generations })
    }

    /// Begins the generations that are due and drops those that are past. Says whether there is a new hot one.
    pub(crate) fn turn(&mut self, now: UnixNanos) -> Result<bool, BookError> {
        self.generations.turn(&self.db, now)
    }

    /// The hot generations, the newest first.
    pub(crate) fn hot(&self) -> &[Hot] {
        &self.generations.hot
    }

    /// The cold generations, the newest first.
    pub(crate) fn cold(&self) -> &[Cold] {
        &self.generations.cold
    }

    /// The number of the newest cold generation.
    pub(crate) fn newest_cold(&self) -> u64 {
        self.generations.cold.first().map_or(0, Cold::number)
    }

    /// The cluster that a key leads to.
    pub(crate) fn home(&self, tenant: u32, index: Index) -> Result<Option<u64>, BookError> {
        let key = layout::index(tenant, index);
        for generation in self.hot() {
            if let Some(value) = generation.keys.get(&key)? {
                let id = value.as_ref().try_into().map_err(|_| BookError::Damaged("a key"))?;
                return Ok(Some(u64::from_be_bytes(id)));
            }
        }
        Ok(None)
    }

    /// A cluster, and whether it lies in the newest generation.
    pub(crate) fn cluster(&self, id: u64) -> Result<Option<(Cluster, bool)>, BookError> {
        for (age, generation) in self.hot().iter().enumerate() {
            if let Some(value) = generation.clusters.get(id.to_be_bytes())? {
                // One that went into another leaves nothing behind.
                if value.is_empty() {
                    return Ok(None);
                }
                let cluster = postcard::from_bytes(&value).map_err(|_| BookError::Damaged("a cluster"))?;
                return Ok(Some((cluster, age == 0)));
            }
        }
        Ok(None)
    }

    /// What is remembered of a trace.
    pub(crate) fn spans(&self, tenant: u32, trace: &Trace) -> Result<Spans, BookError> {
        let key = layout::trace(tenant, trace);
        for generation in self.hot() {
            if let Some(value) = generation.traces.get(key)? {
                return postcard::from_bytes(&value).map_err(|_| BookError::Damaged("a trace"));
            }
        }
        Ok(Spans::default())
    }

    /// Begins a transaction.
    pub(crate) fn changes(&self) -> Changes {
        Changes { batch: self.db.batch().durability(Some(PersistMode::SyncData)), room: vec![0; 64 << 10] }
    }

    /// Bytes on disk.
    pub(crate) fn disk(&self) -> Result<u64, BookError> {
        Ok(self.db.disk_space()?)
    }

    /// Bytes of what is in memory and not in a tree's file yet.
    pub(crate) fn memory(&self) -> u64 {
        self.db.write_buffer_size() + self.db.cache_size()
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

/// A value as it lies in the store, in room that grows with it.
fn written<'a>(value: &impl serde::Serialize, room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let len = loop {
        match postcard::to_slice(value, room) {
            Ok(written) => break written.len(),
            Err(postcard::Error::SerializeBufferFull) => room.resize(room.len() * 2, 0),
            Err(_) => return None,
        }
    };
    room.get(..len)
}

impl Changes {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Sets an entry of a tree.
    pub(crate) fn put(
        &mut self,
        tree: &fjall::Keyspace,
        key: impl Into<fjall::UserKey>,
        value: impl Into<fjall::UserValue>,
    ) {
        self.batch.insert(tree, key, value);
    }

    /// Takes an entry out of a tree.
    pub(crate) fn remove(&mut self, tree: &fjall::Keyspace, key: impl Into<fjall::UserKey>) {
        self.batch.remove(tree, key);
    }

    /// A key leads to a cluster.
    pub(crate) fn home(&mut self, hot: &Hot, tenant: u32, index: Index, id: u64) {
        self.batch.insert(&hot.keys, layout::index(tenant, index), id.to_be_bytes());
    }

    /// A cluster as it is now; `None` when it went into another.
    pub(crate) fn cluster(&mut self, hot: &Hot, id: u64, cluster: Option<&Cluster>) -> Result<(), BookError> {
        let value = match cluster {
            Some(cluster) => written(cluster, &mut self.room).ok_or(BookError::Damaged("a cluster"))?,
            None => &[],
        };
        self.batch.insert(&hot.clusters, id.to_be_bytes(), value);
        Ok(())
    }

    /// What is remembered of a trace.
    pub(crate) fn spans(
        &mut self,
        hot: &Hot,
        tenant: u32,
        trace: &Trace,
        spans: &Spans,
    ) -> Result<(), BookError> {
        let value = postcard::to_allocvec(spans).map_err(|_| BookError::Damaged("a trace"))?;
        self.batch.insert(&hot.traces, layout::trace(tenant, trace), value);
        Ok(())
    }

    /// Makes all of it true and durable.
    pub(crate) fn commit(self) -> Result<(), BookError> {
        Ok(self.batch.commit()?)
    }
}

/// The name of a log in keys.
pub(crate) const fn log(signal: Signal) -> u8 {
    signal as u8
}
