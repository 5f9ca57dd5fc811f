//! What a file is called. The key alone tells partition, times and journal range, so that listing a folder is enough to
//! know what is in it and which files another one replaces:
//!
//! `signal=traces/tenant=default/date=2026-11-21/hour=09/{first time}-{last time}-{generation}.{first}-{last}.parquet`
//!
//! Times are nanoseconds since 1970 of the earliest and the latest row; `first` and `last` are the journal offsets of the
//! range that was written together. The generation tells journals apart that were begun anew beside the same files.

use std::time::Duration;

use model::{Signal, Tenant, UnixNanos};
use object_store::path::Path;

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;
const HOURS_PER_DAY: i64 = 24;

/// A folder of files: one signal of one tenant in one hour of event time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Partition {
    pub(crate) signal: Signal,
    pub(crate) tenant: Tenant,
    pub(crate) hour: Hour,
}

/// Hours since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(i64);

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

/// How far an item's own time may lie from the time of receiving it and still decide its hour. Beyond, the hour of receiving
/// does: a sender with a broken clock must not make a folder for every hour since 1970, nor data that retention takes away
/// before anyone saw it.
const BEFORE: Duration = Duration::from_hours(7 * 24);
const AFTER: Duration = Duration::from_hours(24);

impl Hour {
    /// The hour of an item that happened at `time` and was received at `received`.
    pub(crate) fn of(time: i64, received: UnixNanos) -> Self {
        let received = i64::try_from(received.0).unwrap_or(i64::MAX);
        let earliest = received.saturating_sub(BEFORE.as_nanos() as i64);
        let latest = received.saturating_add(AFTER.as_nanos() as i64);
        let deciding = if (earliest..=latest).contains(&time) { time } else { received };
        Self(deciding.div_euclid(NANOS_PER_HOUR))
    }

    /// When it is over.
    pub(crate) fn end(self) -> UnixNanos {
        UnixNanos(u64::try_from((self.0 + 1).saturating_mul(NANOS_PER_HOUR)).unwrap_or(0))
    }

    fn date(self) -> (i64, u32, u32) {
        civil(self.0.div_euclid(HOURS_PER_DAY))
    }
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
        let (year, month, day) = self.hour.date();
        let hour = self.hour.0.rem_euclid(HOURS_PER_DAY);
        format!(
            "signal={}/tenant={}/date={year:04}-{month:02}-{day:02}/hour={hour:02}",
            self.signal, self.tenant
        )
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
        let date = parts.next()?.strip_prefix("date=")?;
        let hour: i64 = parts.next()?.strip_prefix("hour=")?.parse().ok()?;
        let name = parts.next()?.strip_suffix(".parquet")?;
        if parts.next().is_some() || !(0..HOURS_PER_DAY).contains(&hour) {
            return None;
        }
        let mut date = date.splitn(3, '-');
        let (year, month, day) =
            (date.next()?.parse().ok()?, date.next()?.parse().ok()?, date.next()?.parse().ok()?);
        let hour = Hour(days(year, month, day)? * HOURS_PER_DAY + hour);
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

/// Year, month and day of a day since 1970 (proleptic Gregorian calendar, counted in eras of 400 years from 1 March).
fn civil(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Undoes `civil`; `None` for a date that is none.
fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(-9999..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    #[test]
    fn a_broken_clock_does_not_choose_the_hour() {
        let received = UnixNanos(1_795_252_500_000_000_000);
        let now = Hour::of(received.0 as i64, received);
        for time in [0, -5, i64::MAX, i64::MIN, received.0 as i64 - nanos(8 * 86_400)] {
            assert_eq!(Hour::of(time, received), now, "{time}");
        }
        assert_eq!(Hour::of(received.0 as i64 - nanos(3_600), received), Hour(now.0 - 1));
    }

    #[test]
    fn an_hour_begins_at_its_first_nanosecond() {
        let border = nanos(1_795_251_600);
        let received = UnixNanos(border as u64);
        assert_eq!(Hour::of(border - 1, received).0 + 1, Hour::of(border, received).0);
        assert_eq!(Hour::of(border - 1, received).end(), received);
    }

    proptest! {
        #[test]
        fn every_key_is_read_back(hour in -800_000i64..2_500_000, first in any::<i64>(), last in any::<i64>(),
                                  generation in any::<u32>(), a in any::<u64>(), b in any::<u64>()) {
            let key = Key {
                partition: Partition { signal: Signal::Logs, tenant: Tenant::new("a.b-c_9").unwrap(), hour: Hour(hour) },
                times: (first, last),
                span: Span { generation, first: a.min(b), last: a.max(b) },
            };
            prop_assert_eq!(Key::parse(&key.path()), Some(key));
        }
    }
}
