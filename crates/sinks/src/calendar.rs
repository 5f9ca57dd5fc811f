//! Times as people and peers read them, in UTC.

use model::UnixNanos;

/// The Gregorian date so many days after 1970-01-01. Years are counted from March, which puts the leap day last.
pub(crate) fn date(days: u64) -> (u64, u64, u64) {
    const FROM_YEAR_0_TO_1970: u64 = 719_468;
    const FOUR_CENTURIES: u64 = 146_097;
    let days = days + FROM_YEAR_0_TO_1970;
    let (era, day) = (days / FOUR_CENTURIES, days % FOUR_CENTURIES);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

/// Year, month, day, hour, minute and second.
pub(crate) fn parts(time: UnixNanos) -> [u64; 6] {
    let seconds = time.0 / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    [year, month, day, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60]
}

/// Appends the time as RFC 3339 has it, with nanoseconds: `2026-11-21T09:30:00.000000001Z`.
pub(crate) fn rfc3339(time: UnixNanos, out: &mut Vec<u8>) {
    let [year, month, day, hour, minute, second] = parts(time);
    for (value, digits, end) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (time.0 % 1_000_000_000, 9, b'Z'),
    ] {
        for place in (0..digits).rev() {
            out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
        out.push(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_nanoseconds() {
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_795_253_400_123_456_789, "2026-11-21T09:30:00.123456789Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            let mut out = Vec::new();
            rfc3339(UnixNanos(nanos), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
