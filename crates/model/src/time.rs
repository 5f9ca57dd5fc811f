//! Time as the gateway sees it. Nothing else reads the system's clock, so that everything can be tested on a clock of its own.

use std::fmt;
use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00Z; 0 is "unknown", as in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// Adds a duration, saturating at the year 2554.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since 1970.
    pub fn millis(self) -> i64 {
        (self.0 / 1_000_000) as i64
    }

    /// Reads `2026-03-02T08:00:00.123Z`, or with an offset; `t`, `z` and a blank for `T` are taken too. `None` outside 1970 to 2262.
    pub fn rfc3339(text: &[u8]) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits.iter().try_fold(0i64, |sum, &b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
        };
        let is = |at: usize, any: &[u8]| text.get(at).is_some_and(|b| any.contains(b));
        if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut at = 19;
        let mut fraction = 0;
        if is(at, b".") {
            at += 1;
            let mut unit = 100_000_000;
            while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
                fraction += i64::from(digit - b'0') * unit;
                unit /= 10;
                at += 1;
            }
        }
        let offset = match text.get(at..)? {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let minutes = number(at + 1, at + 3)? * 60 + number(at + 4, at + 6)?;
                if *sign == b'+' { minutes } else { -minutes }
            }
            _ => return None,
        };
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
        let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?;
        u64::try_from(nanos).ok().filter(|nanos| *nanos != 0).map(Self)
    }
}

impl fmt::Display for UnixNanos {
    /// As RFC 3339 in UTC, to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000_000;
        let (day, in_day) = ((millis / 86_400_000) as i64, millis % 86_400_000);
        let (year, month, day) = date(day);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1_000 % 60, in_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Days since 1970-01-01 of a Gregorian date, counted from March so that the leap day ends a year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The Gregorian date so many days after 1970-01-01: `days` the other way round.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock's time now.
    fn now(&self) -> UnixNanos;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> UnixNanos {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixNanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) {
        let time = UnixNanos::rfc3339(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(time.to_string(), text);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for text in [
            "1970-01-01T00:00:00.001Z",
            "1999-12-31T23:59:59.999Z",
            "2000-02-29T12:00:00.000Z",
            "2024-02-29T23:59:59.000Z",
            "2024-03-01T00:00:00.000Z",
            "2100-02-28T06:07:08.090Z",
            "2262-04-11T23:47:16.854Z",
        ] {
            check(text);
        }
    }

    #[test]
    fn every_day_has_the_date_that_leads_back_to_it() {
        for day in (0..106_751).step_by(13).chain(0..1500) {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day);
        }
    }
}
