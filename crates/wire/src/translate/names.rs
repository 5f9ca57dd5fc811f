//! Names as Prometheus makes them of OTLP's (specification "Prometheus and OpenMetrics compatibility"; behaviour of
//! `prometheus/otlptranslator` 1.0 with Prometheus' defaults, so that our series are Prometheus' own).

use std::borrow::Cow;

/// How names are made. The words are those of Prometheus' `otlp.translation_strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// Characters outside the classic set become `_`; units and `total` are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters outside the classic set become `_`; nothing is appended.
    UnderscoreEscapingWithoutSuffixes,
    /// Characters are kept; units and `total` are appended.
    NoUtf8EscapingWithSuffixes,
    /// Names are kept as they are.
    NoTranslation,
}

/// What a metric's name depends on besides its name and unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Counter,
    Gauge,
    Other,
}

impl Naming {
    fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    fn appends(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// The metric's name; `None` when nothing usable is left of it.
pub(super) fn metric(naming: Naming, name: &str, unit: &str, family: Family) -> Option<String> {
    let made = match (naming.escapes(), naming.appends()) {
        (true, true) => full(name, unit, family),
        (true, false) => {
            let pieces: Vec<&str> =
                name.split(|c| !is_metric_char(c) && c != '_').filter(|piece| !piece.is_empty()).collect();
            no_leading_digit(pieces.join("_"))
        }
        (false, true) => suffixed(name, unit, family),
        (false, false) => name.to_owned(),
    };
    let only_underscores = made.bytes().all(|byte| byte == b'_');
    let usable = !only_underscores || (made == name && !made.is_empty()) || !naming.escapes();
    (usable && !made.is_empty()).then_some(made)
}

/// The label's name; `None` when nothing usable is left of it.
pub(super) fn label(naming: Naming, key: &str) -> Option<Cow<'_, str>> {
    if !naming.escapes() {
        return key.bytes().any(|byte| byte != b'_').then_some(Cow::Borrowed(key));
    }
    let first = key.bytes().next()?;
    let classic = key.bytes().any(|byte| byte != b'_')
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if classic && !first.is_ascii_digit() && (first != b'_' || key.starts_with("__")) {
        return Some(Cow::Borrowed(key));
    }
    let mut made = String::with_capacity(key.len() + 4);
    made.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    if first.is_ascii_digit() {
        made.insert_str(0, "key_");
    } else if made.starts_with('_') && !made.starts_with("__") {
        made.insert_str(0, "key");
    }
    (!made.bytes().all(|byte| byte == b'_')).then_some(Cow::Owned(made))
}

/// The unit in Prometheus' words, for metadata.
pub(super) fn unit(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) = (clean(&main), clean(&per));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        (true, _) => per,
    };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

/// The UCUM unit of Prometheus' word; other words are kept.
pub(super) fn ucum(word: &str) -> Cow<'_, str> {
    let main = |word: &str| {
        UNITS.iter().find(|(_, known)| *known == word && !word.is_empty()).map(|&(unit, _)| unit)
    };
    if let Some(unit) = main(word) {
        return Cow::Borrowed(unit);
    }
    if let Some((left, right)) = word.split_once("_per_")
        && let Some(per) = PER_UNITS.iter().find(|(_, known)| *known == right)
    {
        return Cow::Owned(format!("{}/{}", main(left).unwrap_or(left), per.0));
    }
    if word == "ratio" { Cow::Borrowed("1") } else { Cow::Borrowed(word) }
}

fn full(name: &str, unit: &str, family: Family) -> String {
    let mut tokens: Vec<&str> =
        name.split(|c| !is_metric_char(c)).filter(|token| !token.is_empty()).collect();
    let (main, per) = unit_words(unit);
    let (main, per) = (clean(&main), clean(&per));
    let mut main = if tokens.contains(&main.as_str()) { "" } else { &main };
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    if tokens.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].into_iter().filter(|token| !token.is_empty()));
    let last = match family {
        Family::Counter => Some("total"),
        Family::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        tokens.retain(|token| *token != last);
        tokens.push(last);
    }
    no_leading_digit(tokens.join("_"))
}

/// With characters kept, suffixes are moved to the end one after the other: unit, per-unit, `total` or `ratio`.
fn suffixed(name: &str, unit: &str, family: Family) -> String {
    let (main, per) = unit_words(unit);
    let last = match family {
        Family::Counter => "total",
        Family::Gauge if unit == "1" => "ratio",
        _ => "",
    };
    let mut stem = name;
    for suffix in [last, per.as_str()] {
        if !suffix.is_empty() {
            stem = without_suffix(stem, suffix);
        }
    }
    let mut made = stem.to_owned();
    if !main.is_empty() && !made.ends_with(main.as_str()) {
        made = format!("{made}_{main}");
    }
    for suffix in [per.as_str(), last] {
        if !suffix.is_empty() {
            made = format!("{made}_{suffix}");
        }
    }
    made
}

/// Cuts a suffix and the character before it.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(stem) = name.strip_suffix(suffix) else { return name };
    let mut characters = stem.chars();
    match characters.next_back() {
        Some(_) if !characters.as_str().is_empty() => characters.as_str(),
        _ => name,
    }
}

/// The unit's word and the `per_…` word; empty where there is none.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |part: &str, words: &[(&str, &str)]| {
        let part = part.trim();
        if part.contains(['{', '}']) {
            return String::new();
        }
        words.iter().find(|(known, _)| *known == part).map_or(part, |&(_, word)| word).to_owned()
    };
    let per = word(per, &PER_UNITS);
    (word(main, &UNITS), if per.is_empty() { per } else { format!("per_{per}") })
}

/// Escapes a unit's word: invalid characters to `_`, runs collapsed, no leading one.
fn clean(word: &str) -> String {
    let mut made = String::with_capacity(word.len());
    for c in word.chars() {
        if is_metric_char(c) {
            made.push(c);
        } else if !made.ends_with('_') && !made.is_empty() {
            made.push('_');
        }
    }
    made
}

fn no_leading_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Naming = Naming::UnderscoreEscapingWithSuffixes;
    const BARE: Naming = Naming::UnderscoreEscapingWithoutSuffixes;
    const UTF8: Naming = Naming::NoUtf8EscapingWithSuffixes;
    const RAW: Naming = Naming::NoTranslation;

    #[test]
    fn metric_names_are_those_that_prometheus_makes() {
        use Family::{Counter, Gauge, Other};
        let check = |naming, name: &str, unit: &str, family, expected: &str| {
            let made = metric(naming, name, unit, family);
            assert_eq!(made.as_deref().unwrap_or(""), expected, "{naming:?} {name:?} {unit:?} {family:?}");
        };
        check(FULL, "requests", "", Counter, "requests_total");
        check(FULL, "requests_total", "", Counter, "requests_total");
        check(FULL, "total_requests", "", Counter, "requests_total");
        check(FULL, "total.cpu.time", "s", Counter, "cpu_time_seconds_total");
        check(FULL, "cpu_usage", "1", Gauge, "cpu_usage_ratio");
        check(FULL, "ratio_of_x", "1", Gauge, "of_x_ratio");
        check(FULL, "items", "1", Counter, "items_total");
        check(FULL, "http.server.request.duration", "s", Other, "http_server_request_duration_seconds");
        check(FULL, "response_time_seconds", "s", Gauge, "response_time_seconds");
        check(FULL, "memory_usage", "By", Gauge, "memory_usage_bytes");
        check(FULL, "memory", "kBy", Gauge, "memory_kBy");
        check(FULL, "memory", "KBy", Gauge, "memory_kilobytes");
        check(FULL, "requests", "1/s", Gauge, "requests_per_second");
        check(FULL, "throughput", "By/s", Gauge, "throughput_bytes_per_second");
        check(FULL, "speed", "m/m", Gauge, "speed_meters_per_minute");
        check(FULL, "custom", "{packets}", Other, "custom");
        check(FULL, "custom", "By/{packet}", Gauge, "custom_bytes");
        check(FULL, "custom", "{a}/s", Gauge, "custom_per_second");
        check(FULL, "custom", "custom_unit", Gauge, "custom_custom_unit");
        check(FULL, "x", " ms ", Gauge, "x_milliseconds");
        check(FULL, "a__b..c", "", Other, "a_b_c");
        check(FULL, "_private_", "", Other, "private");
        check(FULL, "job:up:rate", "", Other, "job:up:rate");
        check(FULL, "2xx", "", Gauge, "_2xx");
        check(FULL, "größe", "", Gauge, "gr_e");
        check(FULL, "x", "°", Gauge, "x");
        check(FULL, "@#$", "", Gauge, "");
        check(FULL, "", "s", Gauge, "seconds");
        check(FULL, "", "", Gauge, "");
        check(BARE, "metric@with#special$chars", "s", Counter, "metric_with_special_chars");
        check(BARE, "a__b..c", "", Other, "a__b_c");
        check(BARE, "123metric", "", Gauge, "_123metric");
        check(BARE, "@_#_$", "", Gauge, "");
        check(BARE, "___", "", Gauge, "___");
        check(UTF8, "http.server.duration", "s", Other, "http.server.duration_seconds");
        check(UTF8, "requests.total", "", Counter, "requests_total");
        check(UTF8, "cpu_seconds_total", "s", Counter, "cpu_seconds_total");
        check(UTF8, "cpu_usage_ratio", "1", Gauge, "cpu_usage_ratio");
        check(UTF8, "bytes.read", "By/s", Counter, "bytes.read_bytes_per_second_total");
        check(UTF8, "total", "", Counter, "total_total");
        check(RAW, "http.server.duration", "s", Counter, "http.server.duration");
        check(RAW, "", "", Counter, "");
    }

    #[test]
    fn label_names_are_those_that_prometheus_makes_by_default() {
        let check = |naming, key: &str, expected: Option<&str>| {
            assert_eq!(label(naming, key).as_deref(), expected, "{naming:?} {key:?}");
        };
        check(FULL, "http.method", Some("http_method"));
        check(FULL, "a..b", Some("a__b"));
        check(FULL, "1st", Some("key_1st"));
        check(FULL, "_x", Some("key_x"));
        check(FULL, ".x", Some("key_x"));
        check(FULL, "__reserved__", Some("__reserved__"));
        check(FULL, "ключ", None);
        check(FULL, "é", Some("key_"));
        check(FULL, "_", Some("key_"));
        check(FULL, "a:b", Some("a_b"));
        check(FULL, "", None);
        check(FULL, "___", None);
        check(BARE, "http.method", Some("http_method"));
        check(UTF8, "http.method", Some("http.method"));
        check(UTF8, "1st", Some("1st"));
        check(RAW, "__", None);
    }

    #[test]
    fn units_are_words_in_metadata() {
        for (ucum, word) in [
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("1", ""),
            ("1/s", "per_second"),
            ("{request}", ""),
            ("%", "percent"),
            ("requests/s", "requests_per_second"),
            ("a b", "a_b"),
        ] {
            assert_eq!(unit(ucum), word, "{ucum}");
        }
    }

    #[test]
    fn words_turn_back_into_units() {
        for (word, expected) in [
            ("seconds", "s"),
            ("bytes", "By"),
            ("bytes_per_second", "By/s"),
            ("ratio", "1"),
            ("", ""),
            ("widgets", "widgets"),
        ] {
            assert_eq!(ucum(word), expected, "{word}");
        }
    }

    /// What the library itself answered; columns: of what, strategy, name, unit, family, result (empty: an error).
    #[test]
    fn names_are_those_of_the_library_itself() {
        let mut cases = 0;
        for line in include_str!("names.tsv").lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [what, naming, name, of_unit, family, expected] = columns[..] else { panic!("{line:?}") };
            let naming = match naming {
                "UnderscoreEscapingWithSuffixes" | "" => FULL,
                "UnderscoreEscapingWithoutSuffixes" => BARE,
                "NoUTF8EscapingWithSuffixes" => UTF8,
                _ => RAW,
            };
            let family = match family {
                "counter" => Family::Counter,
                "gauge" => Family::Gauge,
                _ => Family::Other,
            };
            let made = match what {
                "metric" => metric(naming, name, of_unit, family).unwrap_or_default(),
                "label" => label(naming, name).unwrap_or_default().into_owned(),
                _ => unit(of_unit),
            };
            assert_eq!(made, expected, "{line:?}");
            cases += 1;
        }
        assert_eq!(cases, 772);
    }
}
