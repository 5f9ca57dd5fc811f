//! How files are called: `traces-20261121T093000Z-000012.ndjson`, by signal, time of opening and number.

use model::{Signal, UnixNanos};

use crate::calendar::date;

/// The name of the file that is opened `now` as the `number`th.
pub(super) fn name(signal: Signal, now: UnixNanos, number: u64) -> String {
    let seconds = now.0 / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{signal}-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{number:06}.ndjson")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_signal_time_and_number() {
        let at = |seconds: u64| name(Signal::Logs, UnixNanos(seconds * 1_000_000_000), 7);
        let cases = [
            (0, "logs-19700101T000000Z-000007.ndjson"),
            (951_782_399, "logs-20000228T235959Z-000007.ndjson"),
            (951_782_400, "logs-20000229T000000Z-000007.ndjson"),
            (1_709_164_800, "logs-20240229T000000Z-000007.ndjson"),
            (1_795_253_400, "logs-20261121T093000Z-000007.ndjson"),
            (4_107_542_399, "logs-21000228T235959Z-000007.ndjson"),
            (4_107_542_400, "logs-21000301T000000Z-000007.ndjson"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(at(seconds), expected);
        }
    }
}
