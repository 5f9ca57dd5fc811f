//! Times as edge logs write them: whole numbers of some unit told by their size, digits in a string, or RFC 3339.
//! Never through a float: 2^53 nanoseconds are a hundred and four days.

use model::UnixNanos;

use crate::json::{self, Decimal, Kind, Value};

/// A time of unknown unit. `None` when absent, zero, no time at all, or outside 1970 to 2262.
pub(crate) fn stamp(value: Value<'_>) -> Option<UnixNanos> {
    let text = value.raw;
    match value.kind {
        Kind::Number => by_size(json::decimal(text)?),
        Kind::Plain if text.get(4) == Some(&b'-') => UnixNanos::rfc3339(text),
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
