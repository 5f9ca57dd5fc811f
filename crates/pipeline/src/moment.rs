//! A moment as a person writes it: `earliest`, `now`, a time back like `-1h`, or a time like `2026-03-02T08:00:00Z`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::UnixNanos;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use crate::settings::Period;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before everything that is kept.
    Earliest,
    /// When it is read.
    Now,
    /// So long before it is read.
    Ago(Duration),
    /// A time.
    At(UnixNanos),
}

impl Moment {
    /// The time that it means at `now`.
    pub fn at(self, now: UnixNanos) -> UnixNanos {
        match self {
            Self::Earliest => UnixNanos(0),
            Self::Now => now,
            Self::Ago(back) => {
                UnixNanos(now.0.saturating_sub(u64::try_from(back.as_nanos()).unwrap_or(u64::MAX)))
            }
            Self::At(time) => time,
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let told = || {
            format!(
                "{text:?} is not a time; write earliest, now, a time back like -1h, or 2026-03-02T08:00:00Z"
            )
        };
        match text {
            "earliest" => return Ok(Self::Earliest),
            "now" => return Ok(Self::Now),
            _ => {}
        }
        if let Some(back) = text.strip_prefix('-') {
            return back.parse().map(|Period(back)| Self::Ago(back)).map_err(|_| told());
        }
        UnixNanos::rfc3339(text.as_bytes()).map(Self::At).ok_or_else(told)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Now => f.write_str("now"),
            Self::Ago(back) => write!(f, "-{}", Period(*back)),
            Self::At(time) => time.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, at: u64) {
        let moment: Moment = text.parse().unwrap();
        assert_eq!(moment.at(UnixNanos(7_200_000_000_000)), UnixNanos(at), "{text}");
        assert_eq!(moment.to_string().parse(), Ok(moment));
    }

    #[test]
    fn every_form_of_a_moment_means_a_time() {
        check("earliest", 0);
        check("now", 7_200_000_000_000);
        check("-1h", 3_600_000_000_000);
        check("-90m", 1_800_000_000_000);
        check("-9d", 0);
        check("1970-01-01T00:00:05.25Z", 5_250_000_000);
        for text in ["", "yesterday", "1h", "-", "-1", "-1w", "2026-03-02", "-9999999999999999999d"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
