//! What a file is called. The key alone tells partition, times and journal range, so that listing a folder is enough to
//! know what is in it and which files another one replaces:
//!
//! `signal=traces/tenant=default/date=2026-11-21/hour=09/{first time}-{last time}-{generation}.{first}-{last}.parquet`
//!
//! Times are nanoseconds since 1970 of the earliest and the latest row; `first` and `last` are the journal offsets of the
//! range that was written together. The generation tells journals apart that were begun anew beside the same files.

use model::{Signal, Tenant};
use object_store::path::Path;
use rows::Hour;

/// A folder of files: one signal of one tenant in one hour of event time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Partition {
    pub(crate) signal: Signal,
    pub(crate) tenant: Tenant,
    pub(crate) hour: Hour,
}

/// Journal offsets that were written together, of one generation of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) generation: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// A file's key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) partition: Partition,
    /// The times of the earliest and the latest row.
    pub(crate) times: (i64, i64),
    pub(crate) span: Span,
}

impl Span {
    /// Whether every offset of it is in `other`, and `other` has more.
    pub(crate) fn is_inside(self, other: Self) -> bool {
        self != other
            && self.generation == other.generation
            && other.first <= self.first
            && self.last <= other.last
    }

    /// The smallest span with both in it; they must be of one generation.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            generation: self.generation,
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl Partition {
    /// Its folder.
    pub(crate) fn folder(&self) -> String {
        rows::folder(self.signal, &self.tenant, self.hour)
    }
}

impl Key {
    /// The path of the object.
    pub(crate) fn path(&self) -> Path {
        let Span { generation, first, last } = self.span;
        let (earliest, latest) = self.times;
        Path::from(format!(
            "{}/{earliest}-{latest}-{generation}.{first}-{last}.parquet",
            self.partition.folder()
        ))
    }

    /// The key of an object's path; `None` for whatever was not named here.
    pub(crate) fn parse(path: &Path) -> Option<Self> {
        let mut parts = path.as_ref().split('/');
        let signal = parts.next()?.strip_prefix("signal=")?;
        let signal = Signal::ALL.into_iter().find(|known| known.as_str() == signal)?;
        let tenant = Tenant::new(parts.next()?.strip_prefix("tenant=")?)?;
        let hour = Hour::parse(parts.next()?, parts.next()?)?;
        let name = parts.next()?.strip_suffix(".parquet")?;
        if parts.next().is_some() {
            return None;
        }
        let (times, span) = name.rsplit_once('.').and_then(|(left, offsets)| {
            let (times, generation) = left.rsplit_once('-')?;
            // Times before 1970 have a sign of their own.
            let cut = times.get(1..)?.find('-')? + 1;
            let (first, last) = offsets.split_once('-')?;
            let span = Span {
                generation: generation.parse().ok()?,
                first: first.parse().ok()?,
                last: last.parse().ok()?,
            };
            Some(((times[..cut].parse().ok()?, times[cut + 1..].parse().ok()?), span))
        })?;
        let key = Self { partition: Partition { signal, tenant, hour }, times, span };
        // Only one spelling names a file, so that two paths never mean the same.
        (span.first <= span.last && key.path() == *path).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::UnixNanos;
    use proptest::prelude::*;

    fn nanos(seconds: i64) -> i64 {
        seconds * 1_000_000_000
    }

    #[test]
    fn a_key_reads_like_a_hive_partition() {
        let time = nanos(1_795_252_500);
        let key = Key {
            partition: Partition {
                signal: Signal::Traces,
                tenant: Tenant::default(),
                hour: Hour::of(time, UnixNanos(time as u64)),
            },
            times: (time, time + 5),
            span: Span { generation: 1, first: 12, last: 90 },
        };
        assert_eq!(
            key.path().as_ref(),
            "signal=traces/tenant=default/date=2026-11-21/hour=09/\
             1795252500000000000-1795252500000000005-1.12-90.parquet"
        );
        assert_eq!(Key::parse(&key.path()), Some(key));
    }

    #[test]
    fn what_was_not_named_here_is_no_key() {
        for path in [
            "signal=traces/tenant=default/date=2026-11-21/hour=09/notes.txt",
            "signal=traces/tenant=default/date=2026-11-21/hour=24/1-2-1.12-90.parquet",
            "signal=traces/tenant=default/date=2026-02-30/hour=09/1-2-1.12-90.parquet",
            "signal=traces/tenant=default/date=2026-11-21/hour=9/1-2-1.12-90.parquet",
            "signal=traces/tenant=default/date=2026-11-21/hour=09/1-2-1.90-12.parquet",
            "signal=traces/tenant=default/date=2026-11-21/hour=09/1-2-1.+12-90.parquet",
            "signal=traces/tenant=default/date=2026-11-21/hour=09/-1.1-2.parquet",
            "signal=events/tenant=default/date=2026-11-21/hour=09/1-2-1.12-90.parquet",
            "signal=traces/tenant=default/date=2026-11-21/hour=09/x/1-2-1.12-90.parquet",
        ] {
            assert_eq!(Key::parse(&Path::from(path)), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_key_is_read_back(hour in 0i64..2_500_000, first in any::<i64>(), last in any::<i64>(),
                                  generation in any::<u32>(), a in any::<u64>(), b in any::<u64>()) {
            let key = Key {
                partition: Partition { signal: Signal::Logs, tenant: Tenant::new("a.b-c_9").unwrap(), hour: Hour::of(hour * nanos(3600), UnixNanos((hour * nanos(3600)) as u64)) },
                times: (first, last),
                span: Span { generation, first: a.min(b), last: a.max(b) },
            };
            prop_assert_eq!(Key::parse(&key.path()), Some(key));
        }
    }
}
