//! Generations: everything that was written in a stretch of time, in trees of its own, so that it can be dropped at once.

use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};
use model::UnixNanos;

use super::{BookError, Reach};

/// How many hot generations there are: the newest and the one before it.
const HOT: u64 = 2;
/// How many cold ones.
const COLD: u64 = 3;

/// A hot generation's trees.
pub(crate) struct Hot {
    number: u64,
    pub(crate) keys: Keyspace,
    pub(crate) clusters: Keyspace,
    pub(crate) traces: Keyspace,
}

/// A cold generation's trees.
pub(crate) struct Cold {
    number: u64,
    pub(crate) names: Keyspace,
    pub(crate) requests: Keyspace,
}

/// All of them, the newest first.
pub(super) struct Generations {
    pub(super) hot: Vec<Hot>,
    pub(super) cold: Vec<Cold>,
    /// Nanoseconds that a hot one lasts.
    hot_lasts: u64,
    cold_lasts: u64,
}

/// Files of a tree that lie side by side before they are merged. Merging is most of what a tree costs, a filter in each file makes looking
/// into many of them cheap, and nothing is kept for long.
const SIDE_BY_SIDE: u8 = 12;

fn hot_options(memtable: u64) -> KeyspaceCreateOptions {
    let merging = Leveled::default().with_l0_threshold(SIDE_BY_SIDE);
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable)
        .manual_journal_persist(true)
        .compaction_strategy(Arc::new(merging))
}

/// For a tree of large entries that are much alike.
pub(super) fn packed_options() -> KeyspaceCreateOptions {
    hot_options(8 << 20)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .data_block_size_policy(BlockSizePolicy::all(16 << 10))
}

impl Hot {
    fn open(db: &Database, number: u64) -> Result<Self, BookError> {
        let open = |what: &str| db.keyspace(&format!("hot-{number}-{what}"), || hot_options(8 << 20));
        let clusters = db.keyspace(&format!("hot-{number}-clusters"), packed_options)?;
        Ok(Self { number, keys: open("keys")?, clusters, traces: open("traces")? })
    }
}

impl Cold {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn open(db: &Database, number: u64) -> Result<Self, BookError> {
        let open = |what: &str| db.keyspace(&format!("cold-{number}-{what}"), || hot_options(8 << 20));
        Ok(Self { number, names: open("names")?, requests: open("requests")? })
    }
}

impl Generations {
    pub(super) fn open(db: &Database, reach: Reach) -> Result<Self, BookError> {
        let names: Vec<String> = db.list_keyspace_names().iter().map(ToString::to_string).collect();
        let numbers = |kind: &str| {
            let number = |name: &String| name.strip_prefix(kind)?.split('-').next()?.parse().ok();
            let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
            numbers.sort_unstable_by(|a, b| b.cmp(a));
            numbers.dedup();
            numbers
        };
        let nanos = |time: std::time::Duration, parts: u64| {
            (u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / parts).max(1)
        };
        Ok(Self {
            hot: numbers("hot-").into_iter().map(|number| Hot::open(db, number)).collect::<Result<_, _>>()?,
            cold: numbers("cold-")
                .into_iter()
                .map(|number| Cold::open(db, number))
                .collect::<Result<_, _>>()?,
            // What was written last stays for one whole generation more.
            hot_lasts: nanos(reach.hot, HOT - 1),
            cold_lasts: nanos(reach.cold, COLD - 1),
        })
    }

    /// Begins what is due at `now` and drops what is past. A clock that goes back begins nothing. Says whether there is a new hot one.
    pub(super) fn turn(&mut self, db: &Database, now: UnixNanos) -> Result<bool, BookError> {
        let (hot, cold) = (now.0 / self.hot_lasts, now.0 / self.cold_lasts);
        let is_new = self.hot.first().is_none_or(|newest| newest.number < hot);
        if is_new {
            self.hot.insert(0, Hot::open(db, hot)?);
        }
        if self.cold.first().is_none_or(|newest| newest.number < cold) {
            self.cold.insert(0, Cold::open(db, cold)?);
        }
        while let Some(Hot { keys, clusters, traces, .. }) = self.hot.pop_if(|old| old.number + HOT <= hot) {
            [keys, clusters, traces].into_iter().try_for_each(|tree| db.delete_keyspace(tree))?;
        }
        while let Some(Cold { names, requests, .. }) = self.cold.pop_if(|old| old.number + COLD <= cold) {
            [names, requests].into_iter().try_for_each(|tree| db.delete_keyspace(tree))?;
        }
        Ok(is_new)
    }
}
