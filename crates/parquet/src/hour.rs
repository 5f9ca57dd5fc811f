//! Hours of event time: what files are partitioned by.

use std::time::Duration;

use model::UnixNanos;

const NANOS_PER_HOUR: i64 = 3_600_000_000_000;
const HOURS_PER_DAY: i64 = 24;

/// Hours since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

/// How far an item's own time may lie from the time of receiving it and still decide its hour. Beyond, the hour of receiving
/// does: a sender with a broken clock must not make a folder for every hour since 1970, nor data that retention takes away
/// before anyone saw it.
const BEFORE: Duration = Duration::from_hours(7 * 24);
const AFTER: Duration = Duration::from_hours(24);

impl Hour {
    /// The hour of an item that happened at `time` (nanoseconds since 1970) and was received at `received`.
    pub fn of(time: i64, received: UnixNanos) -> Self {
        let received = i64::try_from(received.0).unwrap_or(i64::MAX);
        let earliest = received.saturating_sub(BEFORE.as_nanos() as i64);
        let latest = received.saturating_add(AFTER.as_nanos() as i64);
        let deciding = if (earliest..=latest).contains(&time) { time } else { received };
        Self(deciding.div_euclid(NANOS_PER_HOUR))
    }

    /// When it is over.
    pub fn end(self) -> UnixNanos {
        UnixNanos(u64::try_from((self.0 + 1).saturating_mul(NANOS_PER_HOUR)).unwrap_or(0))
    }

    /// Its two levels of folders, `date=2026-11-21/hour=09`.
    pub fn folders(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(HOURS_PER_DAY));
        let hour = self.0.rem_euclid(HOURS_PER_DAY);
        format!("date={year:04}-{month:02}-{day:02}/hour={hour:02}")
    }

    /// Reads `folders` back, level by level; `None` for what is none of them.
    pub fn parse(date: &str, hour: &str) -> Option<Self> {
        let hour: i64 = hour.strip_prefix("hour=")?.parse().ok()?;
        let mut date = date.strip_prefix("date=")?.splitn(3, '-');
        let (year, month, day) =
            (date.next()?.parse().ok()?, date.next()?.parse().ok()?, date.next()?.parse().ok()?);
        let in_day = (0..HOURS_PER_DAY).contains(&hour);
        in_day.then_some(Self(days(year, month, day)? * HOURS_PER_DAY + hour))
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
        assert_eq!(Hour::of(border, received).folders(), "date=2026-11-21/hour=09");
    }

    #[test]
    fn what_is_no_hour_is_not_read() {
        for (date, hour) in [
            ("date=2026-02-30", "hour=09"),
            ("date=2026-11-21", "hour=24"),
            ("date=2026-11-21", "hour=-1"),
            ("date=2026-11", "hour=09"),
            ("2026-11-21", "hour=09"),
        ] {
            assert_eq!(Hour::parse(date, hour), None, "{date}/{hour}");
        }
    }

    proptest! {
        #[test]
        fn every_hour_is_read_back(hour in -800_000i64..2_500_000) {
            let folders = Hour(hour).folders();
            let (date, rest) = folders.split_once('/').unwrap();
            prop_assert_eq!(Hour::parse(date, rest), Some(Hour(hour)));
        }
    }
}
