//! Which files there are and which of them count. Kept in memory from keys alone, about 200 bytes a file; bounded by what
//! retention keeps and merging leaves.

use std::collections::{BTreeMap, HashMap};

use model::{Signal, UnixNanos};
use object_store::path::Path;

use rows::Hour;

use crate::key::{Key, Partition, Span};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    /// Bytes on disk.
    pub(crate) size: u64,
}

/// A file that another one has replaced; it stays a while for readers that still have it in their list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) path: Path,
    pub(crate) size: u64,
    pub(crate) since: UnixNanos,
}

/// All files.
#[derive(Debug, Default)]
pub(crate) struct Index {
    partitions: HashMap<Partition, Vec<Stored>>,
    retired: Vec<Retired>,
    bytes: u64,
}

impl Index {
    /// The index of what a listing found. A file whose span lies inside another's of its partition is retired as of `now`.
    pub(crate) fn load(found: impl IntoIterator<Item = Stored>, now: UnixNanos) -> Self {
        let mut index = Self::default();
        for stored in found {
            index.bytes += stored.size;
            index.partitions.entry(stored.key.partition.clone()).or_default().push(stored);
        }
        for files in index.partitions.values_mut() {
            // Wider spans first among those that begin together: a file is inside another only if one before it reaches
            // beyond its end.
            files.sort_by_key(|file| {
                (file.key.span.generation, file.key.span.first, u64::MAX - file.key.span.last)
            });
            let mut widest: Option<Span> = None;
            files.retain(|file| {
                let span = file.key.span;
                if widest.is_some_and(|wide| span.is_inside(wide)) {
                    index.retired.push(Retired { path: file.key.path(), size: file.size, since: now });
                    return false;
                }
                if widest.is_none_or(|wide| wide.generation != span.generation || wide.last < span.last) {
                    widest = Some(span);
                }
                true
            });
        }
        index
    }

    /// Adds a file; one of the same key is replaced.
    pub(crate) fn add(&mut self, stored: Stored) {
        let files = self.partitions.entry(stored.key.partition.clone()).or_default();
        self.bytes += stored.size;
        match files.iter_mut().find(|known| known.key == stored.key) {
            Some(known) => {
                self.bytes -= known.size;
                *known = stored;
            }
            None => {
                let at = files.partition_point(|known| known.key.span <= stored.key.span);
                files.insert(at, stored);
            }
        }
    }

    /// Takes a file out; `None` when it is not there.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Stored> {
        let files = self.partitions.get_mut(&key.partition)?;
        let at = files.iter().position(|known| known.key == *key)?;
        let removed = files.remove(at);
        if files.is_empty() {
            self.partitions.remove(&key.partition);
        }
        self.bytes -= removed.size;
        Some(removed)
    }

    /// Puts `output` in the place of `inputs`, which are retired. Says no, and changes nothing, when one of them is gone.
    pub(crate) fn replace(&mut self, inputs: &[Stored], output: Stored, now: UnixNanos) -> bool {
        let there = |input: &Stored| {
            self.partitions.get(&input.key.partition).is_some_and(|files| files.contains(input))
        };
        if !inputs.iter().all(there) {
            return false;
        }
        for input in inputs {
            if let Some(removed) = self.remove(&input.key) {
                self.bytes += removed.size;
                self.retired.push(Retired { path: removed.key.path(), size: removed.size, since: now });
            }
        }
        self.add(output);
        true
    }

    /// The replaced files that nobody needs after `before`.
    pub(crate) fn expired(&self, before: UnixNanos) -> Vec<Retired> {
        self.retired.iter().filter(|retired| retired.since <= before).cloned().collect()
    }

    /// Forgets a replaced file, once it is deleted.
    pub(crate) fn forget(&mut self, path: &Path) {
        if let Some(at) = self.retired.iter().position(|retired| retired.path == *path) {
            self.bytes -= self.retired.remove(at).size;
        }
    }

    /// Bytes on disk, replaced files included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The files of `signal`, in no order.
    pub(crate) fn files(&self, signal: Signal) -> impl Iterator<Item = &Stored> {
        self.partitions
            .iter()
            .filter(move |(partition, _)| partition.signal == signal)
            .flat_map(|(_, files)| files)
    }

    /// Files by hour, the oldest first.
    pub(crate) fn by_hour(&self) -> BTreeMap<Hour, Vec<&Stored>> {
        let mut hours: BTreeMap<Hour, Vec<&Stored>> = BTreeMap::new();
        for (partition, files) in &self.partitions {
            hours.entry(partition.hour).or_default().extend(files);
        }
        for files in hours.values_mut() {
            files.sort_by_key(|file| {
                (file.key.span, file.key.partition.signal, file.key.partition.tenant.clone())
            });
        }
        hours
    }

    /// Partitions and their files in span order.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&Partition, &[Stored])> {
        self.partitions.iter().map(|(partition, files)| (partition, &files[..]))
    }
}
