//! The value types that settings are written in: durations and sizes with units, secrets that print as dots.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use model::Problem;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A duration with its unit: `250ms`, `30s`, `5m`, `1h`, `7d`; a bare `0` is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes with its unit: `64KiB`, `4MiB`, `10GiB`, `500B`; powers of ten as `kB`, `MB`, `GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A problem at `path` unless `value` is in `range`; both ends are named as the operator would write them.
pub fn within<T: PartialOrd + fmt::Display + Copy>(
    path: &str,
    value: T,
    range: RangeInclusive<T>,
    example: &str,
    problems: &mut Vec<Problem>,
) {
    if !range.contains(&value) {
        let message = format!("{value} is not from {} to {}", range.start(), range.end());
        problems.push(Problem::new(path, message, format!("write for example {example}")));
    }
}

/// A problem at `path` if `value` is longer than `most`.
pub fn at_most(path: &str, value: Period, most: Period, example: &str, problems: &mut Vec<Problem>) {
    if value > most {
        let message = format!("{value} is longer than {most}");
        problems.push(Problem::new(path, message, format!("write for example {example}")));
    }
}

/// A secret; shown as dots everywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..at], text[at..].trim())
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = split_unit(text.trim());
        let number: u64 =
            digits.parse().map_err(|_| format!("{text:?} is not a duration; write for example 30s"))?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            "" if number == 0 => Some(0),
            _ => return Err(format!("{text:?} has no unit; write ms, s, m, h or d, for example 30s")),
        };
        millis
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| format!("{text:?} is too long a duration"))
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = split_unit(text.trim());
        let number: u64 =
            digits.parse().map_err(|_| format!("{text:?} is not a size; write for example 64MiB"))?;
        let factor: u64 = match unit {
            "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "" if number == 0 => 1,
            _ => return Err(format!("{text:?} has no unit; write B, KiB, MiB or GiB, for example 64MiB")),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("{text:?} is too large a size"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0 => f.write_str("0s"),
            _ if ms.is_multiple_of(86_400_000) => write!(f, "{}d", ms / 86_400_000),
            _ if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => write!(f, "{}s", ms / 1_000),
            _ => write!(f, "{ms}ms"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if n > 0 && n.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", n >> shift);
            }
        }
        write!(f, "{n}B")
    }
}

macro_rules! as_text {
    ($type:ident, $pattern:literal, $what:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                let text = match &value {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                text.parse().map_err(de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $what })
            }
        }
    };
}

as_text!(Period, "^(0|[0-9]+(ms|s|m|h|d))$", "A duration with its unit: ms, s, m, h or d.");
as_text!(
    Size,
    "^(0|[0-9]+ ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB))$",
    "A number of bytes with its unit, for example 64MiB."
);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own message would repeat a value of the wrong type, and the value is the secret.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(text)),
            _ => Err(de::Error::custom("a secret is text; put it in quotes")),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, "description": "A secret; best written as ${VAR} or ${file:PATH}." })
    }
}

/// Reads a component's settings from its checked value; the first type error becomes a problem.
pub fn read<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Vec<Problem>> {
    serde_json::from_value(value).map_err(|error| vec![Problem::new("", error.to_string(), "")])
}
