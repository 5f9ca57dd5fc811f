//! Elasticsearch and OpenSearch: every document of every index, by a scroll after a refresh.

use serde_json::{Map, Value as Json, json};
use testkit::process::http;

use super::{Found, time};
use crate::content::Run;
use crate::item::Signal;
use crate::json;
use crate::value::{Fields, Value, contradict};

type Read<T> = Result<T, String>;
type Object = Map<String, Json>;

/// Documents of one answer.
const PAGE: usize = 2000;
/// What the names of data streams end with; those of other indices end with the day of their documents.
pub(crate) const DATA_STREAM: &str = "audit";
/// Times of the index to the nanosecond.
const NANOS: &str = "strict_date_optional_time_nanos";

/// Every document that the server has.
pub(crate) fn read(run: &Run, port: u16, each: &mut dyn FnMut(Found)) -> Read<()> {
    ask(port, "/_refresh", &Json::Null)?;
    let search = json!({
        "size": PAGE,
        "sort": ["_doc"],
        "track_total_hits": true,
        "docvalue_fields": [{ "field": "@timestamp", "format": NANOS }],
    });
    let mut page = ask(port, "/*/_search?scroll=2m&expand_wildcards=open", &search)?;
    let total = page["hits"]["total"]["value"].as_u64().ok_or("a search without a total")?;
    let mut count = 0;
    loop {
        let hits = hits(&page)?;
        if hits.is_empty() {
            break;
        }
        count += hits.len() as u64;
        for hit in hits {
            each(found(run, hit)?);
        }
        let next = json!({ "scroll": "2m", "scroll_id": page["_scroll_id"] });
        page = ask(port, "/_search/scroll", &next)?;
    }
    if count == total { Ok(()) } else { Err(format!("{count} of {total} documents were shown")) }
}

fn ask(port: u16, path: &str, body: &Json) -> Read<Json> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json")];
    let answer = http(port, "POST", path, &headers, body.as_bytes()).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("{path} answered {} {}", answer.status, answer.text()));
    }
    json::read_bytes(&answer.body)
}

/// The hits of an answer that is whole.
fn hits(page: &Json) -> Read<&[Json]> {
    let failed = page["_shards"]["failed"].as_u64();
    if failed != Some(0) || page["timed_out"] != false {
        return Err(format!("an answer of {failed:?} failed shards, timed out: {}", page["timed_out"]));
    }
    page["hits"]["hits"].as_array().map(Vec::as_slice).ok_or_else(|| "an answer without hits".to_owned())
}

/// The item behind a hit. What the gateway adds is compared here and leaves no field when it is right.
fn found(run: &Run, hit: &Json) -> Read<Found> {
    let mut found = Found::item(run, fields(hit)?);
    let source = found.id.map(|id| id.stream.source());
    for (name, right) in [("source", source), ("tenant", Some("default"))] {
        let said = found.fields.remove(name);
        if said != right.map(Value::text) {
            contradict(&mut found.fields, name, said);
        }
    }
    Ok(found)
}

fn fields(hit: &Json) -> Read<Fields> {
    let wrong = |what: &str| format!("{what}: {hit}");
    let index = hit["_index"].as_str().ok_or_else(|| wrong("a document without an index"))?;
    let source = hit["_source"].as_object().ok_or_else(|| wrong("a document without a source"))?;
    let signal = Signal::ALL.into_iter().find(|signal| name_of(index).starts_with(&name(*signal, "")));
    let signal = signal.ok_or_else(|| wrong("a document in an index of another name"))?;
    let mut fields = Fields::new();
    let at = if signal == Signal::Traces { "start" } else { "time" };
    put_time(&mut fields, at, &source.get("@timestamp").cloned().unwrap_or_default())?;
    for (name, value) in source {
        match (name.as_str(), signal) {
            ("@timestamp", _) => {}
            ("attributes", _) => put_all(&mut fields, "attr", value)?,
            ("resource", _) => around(&mut fields, "resource", "resource", value)?,
            ("scope", _) => around(&mut fields, "scope", "scope.attr", value)?,
            ("trace_flags", _) => put(&mut fields, "flags", value)?,
            (_, Signal::Traces) => span(&mut fields, name, value)?,
            (_, Signal::Logs) => log(&mut fields, name, value)?,
            (_, Signal::Metrics) => point(&mut fields, name, value)?,
        }
    }
    match signal {
        Signal::Traces => check_duration(&mut fields),
        Signal::Metrics => check_type(&mut fields),
        Signal::Logs => {}
    }
    check_index(&mut fields, signal, at, index, hit)?;
    Ok(fields)
}

/// The name of an index, or of the data stream that it belongs to: `.ds-NAME-000001`.
fn name_of(index: &str) -> &str {
    let stream = index.strip_prefix(".ds-").and_then(|rest| rest.rsplit_once('-'));
    stream.map_or(index, |(stream, _)| stream)
}

fn name(signal: Signal, end: &str) -> String {
    format!("tidegate-{}-{end}", signal.name())
}

/// Where the document lies and the time by which the server searches are those of the item.
fn check_index(fields: &mut Fields, signal: Signal, at: &str, index: &str, hit: &Json) -> Read<()> {
    let Some(Value::Time(nanos)) = fields.get(at).cloned() else { return Ok(()) };
    let mut searched = Fields::new();
    put_time(&mut searched, at, &hit["fields"]["@timestamp"][0])?;
    if searched.get(at) != Some(&Value::Time(nanos)) {
        contradict(fields, "index time", searched.remove(at));
    }
    let ends = [DATA_STREAM.to_owned(), time::date(nanos, '.')];
    if ends.iter().all(|end| name_of(index) != name(signal, end)) {
        contradict(fields, "index", Some(Value::text(index)));
    }
    Ok(())
}

/// The duration is that from start to end.
fn check_duration(fields: &mut Fields) {
    let right = match (fields.get("start"), fields.get("end")) {
        (Some(Value::Time(start)), Some(Value::Time(end))) => end.checked_sub(*start),
        _ => None,
    };
    let said = fields.remove("duration");
    if said.is_none() || said != right.and_then(|nanos| i64::try_from(nanos).ok()).map(Value::Int) {
        contradict(fields, "duration", said);
    }
}

/// A point of OTLP has a type, a sample says that it is one.
fn check_type(fields: &mut Fields) {
    let point = fields.remove("point");
    let is_sample = point == Some(Value::text("sample"));
    if is_sample == fields.contains_key("type") || (point.is_some() && !is_sample) {
        contradict(fields, "point", point);
    }
}

fn around(fields: &mut Fields, prefix: &str, attributes: &str, value: &Json) -> Read<()> {
    for (name, value) in object(prefix, value)? {
        match name.as_str() {
            "attributes" => put_all(fields, attributes, value)?,
            _ => put(fields, &format!("{prefix}.{name}"), value)?,
        }
    }
    Ok(())
}

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const CODES: [&str; 3] = ["unset", "ok", "error"];

fn span(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    match name {
        "end_timestamp" => put_time(fields, "end", value),
        "kind" => put_number_of(fields, "kind", &KINDS, value),
        "status" => {
            for (name, value) in object(name, value)? {
                match name.as_str() {
                    "code" => put_number_of(fields, "status", &CODES, value)?,
                    _ => put(fields, &format!("status.{name}"), value)?,
                }
            }
            Ok(())
        }
        "events" | "links" => {
            let prefix = if name == "events" { "event" } else { "link" };
            let all = value.as_array().ok_or_else(|| format!("{name} are no list: {value}"))?;
            for (at, one) in all.iter().enumerate() {
                let prefix = format!("{prefix}.{at}");
                for (name, value) in object(&prefix, one)? {
                    match name.as_str() {
                        "timestamp" => put_time(fields, &format!("{prefix}.time"), value)?,
                        "trace_flags" => put(fields, &format!("{prefix}.flags"), value)?,
                        "attributes" => put_all(fields, &format!("{prefix}.attr"), value)?,
                        _ => put(fields, &format!("{prefix}.{name}"), value)?,
                    }
                }
            }
            Ok(())
        }
        _ => put(fields, name, value),
    }
}

fn log(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    match name {
        "observed_timestamp" => put_time(fields, "observed", value),
        "severity_number" => put(fields, "severity", value),
        "body" => {
            let body = object(name, value)?;
            match (body.len(), body.get("text"), body.get("structured")) {
                (1, Some(said), None) | (1, None, Some(said)) => put(fields, "body", said),
                _ => put(fields, "body", value),
            }
        }
        _ => put(fields, name, value),
    }
}

fn point(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    match name {
        "start_timestamp" => put_time(fields, "start", value),
        "metric" => metric(fields, object(name, value)?),
        "histogram" => {
            for (name, value) in object(name, value)? {
                number(fields, name, value)?;
            }
            Ok(())
        }
        "exponential_histogram" => exponential(fields, object(name, value)?),
        "summary" => summary(fields, object(name, value)?),
        "no_recorded_value" if value == &Json::Bool(true) => {
            fields.insert("flags".into(), Value::Int(1));
            Ok(())
        }
        "stale" if value == &Json::Bool(true) => {
            fields.insert("value".into(), Value::Double(crate::content::sample::STALE));
            Ok(())
        }
        _ => number(fields, name, value),
    }
}

fn exponential(fields: &mut Fields, histogram: &Object) -> Read<()> {
    for (name, value) in histogram {
        match name.as_str() {
            // A side without buckets says nothing.
            "positive" | "negative" if value["counts"].as_array().is_none_or(Vec::is_empty) => {}
            "positive" | "negative" => put_all(fields, name, value)?,
            _ => number(fields, name, value)?,
        }
    }
    Ok(())
}

fn summary(fields: &mut Fields, summary: &Object) -> Read<()> {
    for (name, value) in summary {
        if name != "quantiles" {
            number(fields, name, value)?;
            continue;
        }
        let pairs = value.as_array().into_iter().flatten().map(|pair| {
            let mut numbers = Fields::new();
            for (name, value) in object("a quantile", pair)? {
                number(&mut numbers, name, value)?;
            }
            let of = |name: &str| numbers.get(name).cloned().unwrap_or(Value::Nothing);
            Ok(Value::List(vec![of("quantile"), of("value")]))
        });
        let pairs = Value::List(pairs.collect::<Read<_>>()?);
        fields.insert(name.clone(), pairs);
    }
    Ok(())
}

fn metric(fields: &mut Fields, metric: &Object) -> Read<()> {
    if metric.get("type").is_some_and(|kind| kind == "sum") {
        fields.insert("monotonic".into(), Value::Bool(false));
    }
    for (name, value) in metric {
        match name.as_str() {
            "name" => put(fields, "metric", value)?,
            "temporality" => put_number_of(fields, name, &["", "delta", "cumulative"], value)?,
            _ => put(fields, name, value)?,
        }
    }
    Ok(())
}

/// A number of a point: what is not finite stands as text under a name of its own.
fn number(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    let Some(name) = name.strip_suffix("_text") else { return put(fields, name, value) };
    let number = match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => return Err(format!("{name}_text is {value}")),
    };
    match fields.insert(name.to_owned(), Value::double(number)) {
        None => Ok(()),
        Some(other) => Err(format!("{name} is both {other} and {value}")),
    }
}

fn object<'a>(name: &str, value: &'a Json) -> Read<&'a Object> {
    value.as_object().ok_or_else(|| format!("{name} is no object: {value}"))
}

fn put(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    fields.insert(name.to_owned(), any(value)?);
    Ok(())
}

fn put_all(fields: &mut Fields, prefix: &str, value: &Json) -> Read<()> {
    for (name, value) in object(prefix, value)? {
        put(fields, &format!("{prefix}.{name}"), value)?;
    }
    Ok(())
}

fn put_time(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    let nanos = value.as_str().and_then(time::rfc3339);
    let nanos = nanos.ok_or_else(|| format!("{name} is {value}, which is no time"))?;
    fields.insert(name.to_owned(), Value::Time(nanos));
    Ok(())
}

/// A name that stands for a number; 0 is no field.
fn put_number_of(fields: &mut Fields, name: &str, names: &[&str], value: &Json) -> Read<()> {
    let number = names.iter().position(|known| value == known);
    match number.ok_or_else(|| format!("{name} is {value}"))? {
        0 => {}
        number => drop(fields.insert(name.to_owned(), Value::Int(number as i64))),
    }
    Ok(())
}

/// A value as the server keeps it in a document: digit by digit.
fn any(value: &Json) -> Read<Value> {
    Ok(match value {
        Json::Null => Value::Nothing,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::text(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(double)) if number.is_f64() => Value::double(double),
            _ => return Err(format!("{number} is no number of 64 bits with a sign")),
        },
        Json::Array(values) => Value::List(values.iter().map(any).collect::<Read<_>>()?),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| Ok((name.clone(), any(value)?)));
            Value::Map(members.collect::<Read<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Id, Stream};
    use crate::read::variants;

    const RUN: Run = Run { seed: 1, epoch: 1_795_276_534_000_000_000, is_poisoned: false };

    /// Hits that OpenSearch has answered.
    fn hits() -> Vec<Json> {
        let recorded = include_str!("../../tests/recorded/opensearch.ndjson");
        recorded.lines().map(|line| json::read(line).unwrap()).collect()
    }

    #[test]
    fn what_the_server_has_answered_is_read_to_the_bit() {
        let found: Vec<Found> = hits().iter().map(|hit| found(&RUN, hit).unwrap()).collect();
        let field = |at: usize, name: &str| found[at].fields.get(name).unwrap_or(&Value::Nothing);
        let nothing_at = |at| Value::List(vec![Value::double(at), Value::double(f64::NAN)]);
        for (at, name, value) in [
            (0, "start", Value::Time(1_795_276_534_695_294_606)),
            (0, "end", Value::Time(1_795_276_535_147_563_812)),
            (0, "kind", Value::Int(2)),
            (0, "status", Value::Int(2)),
            (0, "event.0.attr.at", Value::Int(0)),
            (0, "link.0.span_id", Value::text("e7dfa62e075add60")),
            (0, "attr.double", Value::double(1.0 / 3.0)),
            (
                1,
                "body",
                Value::Map(
                    [
                        ("count".to_owned(), Value::Int(-4_346_935_664_655_048_079)),
                        (
                            "message".to_owned(),
                            Value::text("👩\u{200d}👩\u{200d}👧\u{200d}👦 family, 🏳️\u{200d}🌈 flag"),
                        ),
                    ]
                    .into(),
                ),
            ),
            (1, "attr.bytes", Value::text("9YNHFVA=")),
            (1, "resource.region", Value::text("\u{1}\u{7f}\u{fffd}<&>")),
            (2, "value", Value::double(f64::INFINITY)),
            (3, "value", Value::Double(crate::content::sample::STALE)),
            (4, "bounds", Value::List([0.1, 1.0, 2.5].map(Value::double).into())),
            (4, "count", Value::Int(2209)),
            (5, "value", Value::Int(-2_554_339_616_794_318_012)),
            (5, "monotonic", Value::Bool(true)),
            (6, "negative.counts", Value::List([0, 0, 404].map(Value::Int).into())),
            (6, "positive.offset", Value::Int(-5)),
            (6, "zero_threshold", Value::double(1e-6)),
            (7, "quantiles", Value::List([0.5, 0.9, 0.99].map(nothing_at).into())),
            (8, "flags", Value::Int(1)),
            (8, "value", Value::Nothing),
        ] {
            assert_eq!(field(at, name), &value, "{name}");
        }
        let sample = Id { stream: Stream::Samples1, number: 17 };
        assert_eq!(found[3].id, Some(sample), "named by its series and its time");
        assert!(
            found.iter().all(|one| one.fields.keys().all(|name| !name.starts_with("wrong."))),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_that_is_missing_or_changed_in_an_answer_goes_unseen() {
        for hit in hits() {
            let whole = found(&RUN, &hit).unwrap();
            for part in ["_index", "_source", "fields"] {
                for variant in variants::of(&hit[part]) {
                    let mut hit = hit.clone();
                    hit[part] = variant;
                    assert_ne!(found(&RUN, &hit).ok().as_ref(), Some(&whole), "{hit}");
                }
            }
        }
    }

    #[test]
    fn a_document_lies_in_the_index_of_its_day_or_in_the_data_stream() {
        let span = hits().remove(0);
        let whole = found(&RUN, &span).unwrap();
        let of = |index: &str| {
            let mut hit = span.clone();
            hit["_index"] = index.into();
            found(&RUN, &hit).is_ok_and(|found| found == whole)
        };
        assert!(of("tidegate-traces-2026.11.21") && of(".ds-tidegate-traces-audit-000002"));
        for index in [
            "tidegate-traces-2026.11.20",
            "tidegate-logs-2026.11.21",
            ".ds-tidegate-logs-audit-000001",
            ".ds-",
            "tidegate-fallback",
        ] {
            assert!(!of(index), "{index}");
        }
    }

    #[test]
    fn an_answer_that_is_not_whole_is_none() {
        let page = |shards: &str, timed_out: &str, hits: &str| {
            let text = format!(r#"{{"_shards":{shards},"timed_out":{timed_out},"hits":{hits}}}"#);
            super::hits(&json::read(&text).unwrap()).map(<[Json]>::len)
        };
        assert_eq!(page(r#"{"failed":0}"#, "false", r#"{"hits":[{}]}"#), Ok(1));
        assert!(page(r#"{"failed":1}"#, "false", r#"{"hits":[{}]}"#).is_err());
        assert!(page("{}", "false", r#"{"hits":[]}"#).is_err());
        assert!(page(r#"{"failed":0}"#, "true", r#"{"hits":[]}"#).is_err());
        assert!(page(r#"{"failed":0}"#, "false", "{}").is_err());
    }
}
