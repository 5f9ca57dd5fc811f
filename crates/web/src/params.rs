//! What the viewers' APIs have in their queries: pairs that may come more than once, times in several units, Go's durations.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use model::UnixNanos;

/// The most traces that one answer may be asked for.
pub(crate) const MOST_TRACES: usize = 1500;
/// The longest value of a parameter, in bytes.
const LONGEST: usize = 16 << 10;

/// The pairs of a query, as they were sent.
pub(crate) struct Params(Vec<(String, String)>);

/// The query of a request, before it is known to be one.
pub(crate) type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// A part of the path, before it is known to be text.
pub(crate) type Part = Result<Path<String>, PathRejection>;

/// A part of the path.
pub(crate) fn part(part: Part) -> Result<String, String> {
    part.map(|Path(text)| text).map_err(|rejection| rejection.body_text())
}

impl Params {
    pub(crate) fn read(asked: Asked) -> Result<Self, String> {
        let Query(pairs) = asked.map_err(|rejection| rejection.body_text())?;
        match pairs.iter().find(|(key, value)| key.len() > LONGEST || value.len() > LONGEST) {
            Some((key, value)) => Err(format!(
                "parameter {:?} has {} bytes, more than {LONGEST}",
                crate::traces::shortened(key),
                value.len()
            )),
            None => Ok(Self(pairs)),
        }
    }

    /// The first value of `name` that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Every value of `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// How many of something; 1 to `most`.
    pub(crate) fn count(&self, name: &str, usual: usize, most: usize) -> Result<usize, String> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let count = text.parse::<usize>().ok().filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| format!("parameter '{name}': {text:?} is not a number from 1 to {most}"))
    }

    /// A time in units of so many nanoseconds since 1970.
    pub(crate) fn time(&self, name: &str, unit: u64) -> Result<Option<UnixNanos>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number: u64 = text
            .parse()
            .map_err(|_| format!("parameter '{name}': {text:?} is not a whole number since 1970"))?;
        Ok(Some(UnixNanos(number.saturating_mul(unit))))
    }

    /// A duration as Go writes them, in nanoseconds.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<f64>, String> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match duration(text) {
            Some(nanos) => Ok(Some(nanos)),
            None => Err(format!("parameter '{name}': {text:?} is not a duration like 1.5s or 300ms")),
        }
    }

    /// Refuses a range whose end comes before its start.
    pub(crate) fn range(from: UnixNanos, to: UnixNanos) -> Result<(), String> {
        if to < from { Err(format!("the range ends at {to}, before it begins at {from}")) } else { Ok(()) }
    }
}

/// Nanoseconds of a duration as Go writes them: `1h15m`, `1.5s`, `300ms`, `-2us`, `0`.
pub(crate) fn duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut nanos = 0.0;
    while !rest.is_empty() || nanos == 0.0 {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let factor = match &unit[..letters] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number * factor;
        rest = &unit[letters..];
        if rest.is_empty() {
            break;
        }
    }
    Some(sign * nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanos) in [
            ("0", Some(0.0)),
            ("0s", Some(0.0)),
            ("300ms", Some(300e6)),
            ("1.5s", Some(1.5e9)),
            ("1h15m", Some(4500e9)),
            ("2µs", Some(2000.0)),
            ("-1ns", Some(-1.0)),
            ("5", None),
            ("", None),
            ("s", None),
            ("1..5s", None),
            ("1s ", None),
            ("1d", None),
            ("1sm", None),
            ("-", None),
        ] {
            assert_eq!(duration(text), nanos, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_of_the_range_is_named() {
        let params = |pairs: &[(&str, &str)]| {
            Params(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(params(&[]).count("limit", 20, 100), Ok(20));
        assert_eq!(params(&[("limit", ""), ("limit", "7")]).count("limit", 20, 100), Ok(7));
        for text in ["0", "101", "-1", "1e3", "99999999999999999999"] {
            let error = params(&[("limit", text)]).count("limit", 20, 100).unwrap_err();
            assert!(error.contains("limit") && error.contains("1 to 100"), "{error}");
        }
        assert_eq!(params(&[("start", "2")]).time("start", 1000), Ok(Some(UnixNanos(2000))));
        assert_eq!(
            params(&[("start", "99999999999999999")]).time("start", 1_000_000),
            Ok(Some(UnixNanos(u64::MAX)))
        );
        assert!(params(&[("start", "-2")]).time("start", 1000).unwrap_err().contains("start"));
    }
}
