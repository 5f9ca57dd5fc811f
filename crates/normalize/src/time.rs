//! Times as edge logs write them: whole numbers of some unit told by their size, digits in a string, or RFC 3339.
//! Never through a float: 2^53 nanoseconds are a hundred and four days.

use model::UnixNanos;

use crate::json::{self, Decimal, Kind, Value};

/// A time of unknown unit. `None` when absent, zero, no time at all, or outside 1970 to 2262.
pub(crate) fn stamp(value: Value<'_>) -> Option<UnixNanos> {
    let text = value.raw;
    match value.kind {
        Kind::Number => by_size(json::decimal(text)?),
        Kind::Plain if text.get(4) == Some(&b'-') => rfc3339(text),
        Kind::Plain => by_size(json::decimal(text)?),
        _ => None,
    }
}

/// A time in milliseconds, whatever its size.
pub(crate) fn millis(value: Value<'_>) -> Option<UnixNanos> {
    match value.kind {
        Kind::Number | Kind::Plain => nanos(json::decimal(value.raw)?.scaled(6)?),
        _ => None,
    }
}

/// Ten digits are seconds, thirteen milliseconds, sixteen microseconds, nineteen nanoseconds.
fn by_size(number: Decimal) -> Option<UnixNanos> {
    let digits = number.scaled(0)?;
    let shift = match digits {
        ..=99_999_999_999 => 9,
        100_000_000_000..=99_999_999_999_999 => 6,
        100_000_000_000_000..=99_999_999_999_999_999 => 3,
        _ => 0,
    };
    nanos(number.scaled(shift)?)
}

fn nanos(value: i64) -> Option<UnixNanos> {
    u64::try_from(value).ok().filter(|&nanos| nanos != 0).map(UnixNanos)
}

/// `2026-03-02T08:00:00.123Z`, or with an offset; `t`, `z` and a blank for `T` are taken too.
fn rfc3339(text: &[u8]) -> Option<UnixNanos> {
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
    nanos(seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?)
}

/// Days since 1970-01-01 of a Gregorian date, counted from March so that the leap day ends a year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Option<u64>) {
        let (value, _) = json::value(json.as_bytes(), 0, 0).unwrap();
        assert_eq!(stamp(value).map(|nanos| nanos.0), expected, "{json}");
    }

    #[test]
    fn every_form_of_a_time_is_read_to_the_nanosecond() {
        check("1772438400123000200", Some(1_772_438_400_123_000_200));
        check("\"1772438400123000200\"", Some(1_772_438_400_123_000_200));
        check("1772438400", Some(1_772_438_400_000_000_000));
        check("1772438400123", Some(1_772_438_400_123_000_000));
        check("1772438400123456", Some(1_772_438_400_123_456_000));
        check("1.7724384001451e+18", Some(1_772_438_400_145_100_000));
        check("1772438400.25", Some(1_772_438_400_250_000_000));
        check("\"2026-03-02T08:00:00Z\"", Some(1_772_438_400_000_000_000));
        check("\"2026-03-02T08:00:00.1230002Z\"", Some(1_772_438_400_123_000_200));
        check("\"2026-03-02T15:00:00.5+07:00\"", Some(1_772_438_400_500_000_000));
        check("\"2024-02-29T23:59:60Z\"", Some(1_709_251_200_000_000_000));
        check("\"1970-01-01T00:00:00.000000001Z\"", Some(1));
        check("\"2262-04-11T23:47:16.854775807Z\"", Some(i64::MAX as u64));
    }

    #[test]
    fn what_is_no_time_between_1970_and_2262_is_none() {
        for json in [
            "0",
            "-1",
            "null",
            "\"\"",
            "\"yesterday\"",
            "99999999999999999999999999",
            "-62135596800000000000",
            "\"0001-01-01T00:00:00Z\"",
            "\"2262-04-11T23:47:16.854775808Z\"",
            "\"9999-12-31T23:59:59Z\"",
            "\"2026-13-02T08:00:00Z\"",
            "\"2026-03-02T08:00:00\"",
            "\"2026-03-02T08:00:00+0700\"",
            "true",
            "{}",
            "1e400",
        ] {
            check(json, None);
        }
    }
}
