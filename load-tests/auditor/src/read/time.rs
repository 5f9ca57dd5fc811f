//! Times as back ends write them.

/// Nanoseconds since 1970 of `2026-11-21T09:30:00.123456789Z`, with up to nine digits behind the second; `None` for other
/// text, and for times before 1970.
pub(crate) fn rfc3339(text: &str) -> Option<u64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = digits(&format!("{fraction:0<9}"))?;
    let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The date in UTC: year, month and day with `between` between them.
pub(crate) fn date(nanos: u64, between: char) -> String {
    let mut left = nanos / 86_400_000_000_000;
    let mut year = 1970;
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while left >= length(year, month) {
        left -= length(year, month);
        month += 1;
    }
    format!("{year:04}{between}{month:02}{between}{:02}", left + 1)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut next = |length| parts.next().filter(|part| part.len() == length).and_then(digits);
    let found = [next(lengths[0])?, next(lengths[1])?, next(lengths[2])?];
    parts.next().is_none().then_some(found)
}

/// Days since 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=length(year, month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    let months: u64 = (1..month).map(|month| length(year, month)).sum();
    Some(years + months + day - 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn length(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T09:30:00.123456789Z", 1_795_253_400_123_456_789),
            ("2026-11-21T09:30:00.1Z", 1_795_253_400_100_000_000),
            ("2000-02-29T23:59:59.000Z", 951_868_799_000_000_000),
            ("2554-07-21T23:34:33.709551615Z", u64::MAX),
        ] {
            assert_eq!(rfc3339(text), Some(nanos), "{text}");
        }
        for text in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T09:30:00",
            "2026-11-21T09:30:00.1234567890Z",
            "2026-11-31T09:30:00Z",
            "2026-13-01T09:30:00Z",
            "2026-11-21T24:30:00Z",
            "2026-11-21T09:30:00+01:00Z",
            "+026-11-21T09:30:00Z",
            "2026-11-21T09:30:00.-1Z",
            "1969-11-21T09:30:00Z",
            "9999-11-21T09:30:00Z",
            "2100-02-29T00:00:00Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_is_that_of_the_time() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", "1970.01.01"),
            ("2026-11-21T23:59:59.999999999Z", "2026.11.21"),
            ("2000-02-29T00:00:00Z", "2000.02.29"),
            ("2024-12-31T12:00:00Z", "2024.12.31"),
        ] {
            assert_eq!(date(rfc3339(text).unwrap(), '.'), expected);
        }
    }
}
