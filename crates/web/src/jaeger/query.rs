//! What may be asked of a search, in both versions of Jaeger's API.

use model::UnixNanos;
use rows::{Filter, Order, Subject, Test};
use serde_json::Value;
use store::Search;

use super::stored;
use crate::params::{MOST_TRACES, Params};

/// Traces in an answer unless told.
const USUAL: usize = 100;
/// How far back a search looks unless told: two days.
const BACK: u64 = 2 * 24 * 3_600_000_000_000;
/// Times in questions are microseconds.
const MICROS: u64 = 1000;
/// Tags in one question.
const MOST_TAGS: usize = 32;
/// Ids in one question.
pub(super) const MOST_IDS: usize = 100;

pub(super) const NEEDS_SERVICE: &str = "parameter 'service' is required";

/// `/api/traces`.
pub(super) fn search(params: &Params, now: UnixNanos) -> Result<Search, String> {
    let service = params.get("service").ok_or_else(|| NEEDS_SERVICE.to_owned())?;
    let from = params.time("start", MICROS)?.unwrap_or(UnixNanos(now.0.saturating_sub(BACK)));
    // The last microsecond counts to its end.
    let to = params.time("end", MICROS)?.map_or(now, |to| UnixNanos(to.0.saturating_add(MICROS - 1)));
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in params.all("tag").filter(|tag| !tag.is_empty()) {
        let (key, value) = tag
            .split_once(':')
            .ok_or_else(|| format!("malformed 'tag' parameter, expecting key:value, received: {tag}"))?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    for json in params.all("tags").filter(|json| !json.is_empty()) {
        tags.extend(attributes("tags", json)?);
    }
    let durations = (params.duration("minDuration")?, params.duration("maxDuration")?);
    let mut filter = vec![equal(Subject::Service, stored(service))];
    filter.extend(params.get("operation").map(|name| equal(Subject::Name, name)));
    filter.extend(lengths(durations, ("minDuration", "maxDuration"))?);
    filter.extend(all(&tags)?);
    Params::range(from, to)?;
    Ok(Search { filter: Filter::All(filter), from, to, limit: params.count("limit", USUAL, MOST_TRACES)? })
}

/// `/api/v3/traces`.
pub(super) fn search_v3(params: &Params) -> Result<Search, String> {
    let (Some(from), Some(to)) = (params.get("query.start_time_min"), params.get("query.start_time_max"))
    else {
        return Err("query.start_time_min and query.start_time_max are required".to_owned());
    };
    let time = |name: &str, text: &str| {
        // A sender that does not encode the plus sign of an offset sends a space, as Grafana does.
        let parsed = UnixNanos::rfc3339(text.as_bytes())
            .or_else(|| UnixNanos::rfc3339(text.replace(' ', "+").as_bytes()));
        parsed.ok_or_else(|| {
            format!("malformed parameter {name}: {text:?} is not a time like 2026-03-02T08:00:00Z")
        })
    };
    let (from, to) = (time("query.start_time_min", from)?, time("query.start_time_max", to)?);
    Params::range(from, to)?;
    let names = ("query.duration_min", "query.duration_max");
    let mut filter = Vec::new();
    filter.extend(params.get("query.service_name").map(|name| equal(Subject::Service, stored(name))));
    filter.extend(params.get("query.operation_name").map(|name| equal(Subject::Name, name)));
    filter.extend(lengths((params.duration(names.0)?, params.duration(names.1)?), names)?);
    for json in params.all("query.attributes").filter(|json| !json.is_empty()) {
        filter.extend(all(&attributes("query.attributes", json)?)?);
    }
    let depth =
        if params.get("query.search_depth").is_some() { "query.search_depth" } else { "query.num_traces" };
    Ok(Search { filter: Filter::All(filter), from, to, limit: params.count(depth, USUAL, MOST_TRACES)? })
}

/// A JSON object of tags.
fn attributes(name: &str, json: &str) -> Result<Vec<(String, String)>, String> {
    let malformed = |what: String| format!("malformed '{name}' parameter, cannot unmarshal JSON: {what}");
    let Value::Object(map) = serde_json::from_str(json).map_err(|error| malformed(error.to_string()))? else {
        return Err(malformed("it is not an object".to_owned()));
    };
    map.into_iter()
        .map(|(key, value)| match value {
            Value::String(text) => Ok((key, text)),
            Value::Bool(_) | Value::Number(_) => Ok((key, value.to_string())),
            _ => Err(malformed(format!("the value of {key:?} is no text"))),
        })
        .collect()
}

fn all(tags: &[(String, String)]) -> Result<Vec<Filter>, String> {
    if tags.len() > MOST_TAGS {
        return Err(format!("{} tags are more than {MOST_TAGS}", tags.len()));
    }
    Ok(tags.iter().map(|(key, value)| tag(key, value)).collect())
}

/// A tag is an attribute of the span or of its resource, or what Jaeger makes a tag of.
fn tag(key: &str, value: &str) -> Filter {
    let mut any = vec![
        equal(Subject::Attribute(key.to_owned()), value),
        equal(Subject::Resource(key.to_owned()), value),
    ];
    match (key, value) {
        ("error", "true") => any.push(equal(Subject::Status, "error")),
        ("span.kind", kind) => any.push(equal(Subject::Kind, kind)),
        ("otel.status_code", "ERROR") => any.push(equal(Subject::Status, "error")),
        ("otel.status_code", "OK") => any.push(equal(Subject::Status, "ok")),
        ("otel.status_description", text) => any.push(equal(Subject::StatusMessage, text)),
        ("otel.scope.name" | "otel.library.name", name) => any.push(equal(Subject::ScopeName, name)),
        ("otel.scope.version" | "otel.library.version", version) => {
            any.push(equal(Subject::ScopeVersion, version));
        }
        _ => {}
    }
    Filter::Any(any)
}

fn lengths(
    (min, max): (Option<f64>, Option<f64>),
    (min_name, max_name): (&str, &str),
) -> Result<Vec<Filter>, String> {
    if let (Some(min), Some(max)) = (min, max)
        && max < min
    {
        return Err(format!("'{max_name}' should be greater than '{min_name}'"));
    }
    let is = |order, nanos| Filter::Is(Subject::Duration, Test::Number(order, nanos));
    let least = min.map(|nanos| is(Order::GreaterOrEqual, nanos));
    Ok(least.into_iter().chain(max.map(|nanos| is(Order::LessOrEqual, nanos))).collect())
}

fn equal(subject: Subject, text: &str) -> Filter {
    Filter::Is(subject, Test::Text(Order::Equal, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::checkout;

    const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

    fn params(pairs: &[(&str, &str)]) -> Params {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Params::read(Ok(axum::extract::Query(pairs))).unwrap()
    }

    #[test]
    fn a_search_passes_the_spans_that_it_describes() {
        for (pairs, expected) in [
            (&[][..], true),
            (&[("operation", "POST /pay")], true),
            (&[("operation", "POST")], false),
            (&[("minDuration", "15ms"), ("maxDuration", "15ms")], true),
            (&[("minDuration", "15.1ms")], false),
            (&[("maxDuration", "1us")], false),
            (&[("tags", r#"{"error":"true","span.kind":"server"}"#)], true),
            (&[("tags", r#"{"error":true,"http.response.status_code":502}"#)], true),
            (&[("tags", r#"{"error":"false"}"#)], false),
            (&[("tag", "k8s.namespace.name:shop"), ("tag", "otel.status_description:card declined")], true),
            (&[("tag", "k8s.namespace.name:shop"), ("tag", "both:none")], false),
            (&[("tag", "both:own"), ("tag", "both:above")], true),
            (&[("tag", "otel.status_code:OK")], false),
            (&[("tag", "otel.status_code:ERROR")], true),
        ] {
            let all = [&[("service", "checkout")][..], pairs].concat();
            let search = search(&params(&all), NOW).unwrap();
            assert_eq!(search.filter.passes(&checkout()), expected, "{pairs:?}");
        }
        let other = search(&params(&[("service", "cart")]), NOW).unwrap();
        assert!(!other.filter.passes(&checkout()));
    }

    #[test]
    fn what_is_not_said_is_jaegers_default() {
        let usual = search(&params(&[("service", "a"), ("limit", ""), ("lookback", "1h")]), NOW).unwrap();
        assert_eq!((usual.from, usual.to, usual.limit), (UnixNanos(NOW.0 - BACK), NOW, USUAL));
        let told =
            search(&params(&[("service", "a"), ("start", "5"), ("end", "7"), ("limit", "9")]), NOW).unwrap();
        assert_eq!((told.from, told.to, told.limit), (UnixNanos(5000), UnixNanos(7999), 9));
    }

    #[test]
    fn version_3_takes_times_with_an_offset_whose_plus_was_not_encoded() {
        let ask = |to: &str| {
            let times = [("query.start_time_min", "2026-03-02T08:00:00Z"), ("query.start_time_max", to)];
            search_v3(&params(&times))
        };
        let end = UnixNanos::rfc3339(b"2026-03-02T09:30:00.5Z").unwrap();
        for to in ["2026-03-02T09:30:00.5Z", "2026-03-02T10:30:00.5+01:00", "2026-03-02T10:30:00.5 01:00"] {
            assert_eq!(ask(to).unwrap().to, end, "{to}");
        }
        assert!(ask("2026-03-02T07:00:00Z").unwrap_err().contains("before"));
        assert!(ask("now").unwrap_err().contains("query.start_time_max"));
    }

    #[test]
    fn more_tags_than_a_search_should_have_are_refused() {
        let tags = vec![("tag", "a:b"); MOST_TAGS + 1];
        let error = search(&params(&[&[("service", "a")], &tags[..]].concat()), NOW).unwrap_err();
        assert!(error.contains("33 tags"), "{error}");
        let long = "x".repeat(20_000);
        let pairs = vec![("tags".to_owned(), long)];
        assert!(
            Params::read(Ok(axum::extract::Query(pairs))).is_err_and(|error| error.contains("20000 bytes"))
        );
    }
}
