//! Loki: every line of every stream, by `query_range` from the oldest on.

use serde_json::{Map, Value as Json};
use testkit::process::http;
use testkit::server::encode;

use super::Found;
use crate::content::Run;
use crate::json;
use crate::value::{Fields, Value, contradict};

type Read<T> = Result<T, String>;
type Object = Map<String, Json>;

/// Lines of one answer: few, so that small runs have several pages too.
const PAGE: usize = 500;
const HOUR: u64 = 3_600_000_000_000;

/// Every line that the server has.
pub(crate) fn read(run: &Run, port: u16, each: &mut dyn FnMut(Found)) -> Read<()> {
    let (begin, end) = (run.epoch - HOUR, run.epoch + 24 * HOUR);
    let path = format!("/loki/api/v1/series?match[]={}&start={begin}&end={end}", encode("{source=~\".+\"}"));
    let series = ask(port, &path)?;
    let series = series["data"].as_array().ok_or_else(|| format!("no list of streams: {series}"))?;
    for labels in series {
        let labels = object(labels)?;
        let selector = encode(&selector(labels)?);
        let mut next = Some(begin);
        while let Some(from) = next {
            let path = format!(
                "/loki/api/v1/query_range?query={selector}&start={from}&end={end}&limit={PAGE}&direction=forward"
            );
            let lines = lines(&ask(port, &path)?)?;
            let (taken, rest) = page(lines, PAGE)?;
            next = rest;
            for (time, line, metadata) in &taken {
                each(found(run, labels, *time, line, metadata)?);
            }
        }
    }
    Ok(())
}

fn ask(port: u16, path: &str) -> Read<Json> {
    // Without this the metadata of a line are told among the labels of its stream.
    let headers = [("x-loki-response-encoding-flags", "categorize-labels")];
    let answer = http(port, "GET", path, &headers, &[]).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("{path} answered {} {}", answer.status, answer.text()));
    }
    let answer = json::read_bytes(&answer.body)?;
    if answer["status"] == "success" { Ok(answer) } else { Err(format!("{path} answered {answer}")) }
}

/// The selector that fits this stream alone.
fn selector(labels: &Object) -> Read<String> {
    let mut all = Vec::new();
    for (name, value) in labels {
        // Quoted as Go quotes, which as far as JSON goes is the same.
        all.push(format!("{name}={}", Json::from(text(name, value)?)));
    }
    Ok(format!("{{{}}}", all.join(",")))
}

/// A line with its time and its metadata.
type Line = (u64, String, Object);

fn lines(answer: &Json) -> Read<Vec<Line>> {
    let streams =
        answer["data"]["result"].as_array().ok_or_else(|| format!("an answer without lines: {answer}"))?;
    let mut all = Vec::new();
    for entry in streams.iter().map(|stream| stream["values"].as_array()) {
        for entry in entry.ok_or_else(|| format!("a stream without lines: {answer}"))? {
            let time = entry[0].as_str().and_then(|time| time.parse().ok());
            let line = entry[1].as_str();
            let (Some(time), Some(line)) = (time, line) else { return Err(format!("no line: {entry}")) };
            let metadata = match &entry[2]["structuredMetadata"] {
                Json::Null => Object::new(),
                some => object(some)?.clone(),
            };
            all.push((time, line.to_owned(), metadata));
        }
    }
    all.sort_by_key(|(time, _, _)| *time);
    Ok(all)
}

/// The lines of a page, and where the next begins. Those of a full page's last nanosecond may not be all: they are asked
/// for again.
fn page(mut lines: Vec<Line>, limit: usize) -> Read<(Vec<Line>, Option<u64>)> {
    let Some(last) = lines.last().map(|(time, _, _)| *time).filter(|_| lines.len() >= limit) else {
        return Ok((lines, None));
    };
    lines.retain(|(time, _, _)| *time < last);
    if lines.is_empty() {
        return Err(format!("{limit} lines or more of the nanosecond {last} cannot be told apart"));
    }
    Ok((lines, Some(last)))
}

/// The item behind a line. What the gateway adds is compared here and leaves no field when it is right.
fn found(run: &Run, labels: &Object, time: u64, line: &str, metadata: &Object) -> Read<Found> {
    let mut fields = Fields::new();
    fields.insert("time".into(), Value::Time(time));
    fields.insert("body".into(), Value::text(line));
    // Left out when it is the line's own.
    fields.insert("observed".into(), Value::Time(time));
    let (mut source, mut severity) = (None, None);
    for (name, value) in labels {
        let value = text(name, value)?;
        match name.as_str() {
            "source" => source = Some(value),
            "severity" => severity = Some(value),
            _ => drop(fields.insert(format!("attr.{name}"), Value::text(value))),
        }
    }
    for (name, value) in metadata {
        let value = text(name, value)?;
        let number =
            || value.parse().map(Value::Int).map_err(|_| format!("{name} is {value:?}, which is no number"));
        let (name, value) = match name.as_str() {
            // Loki's own guess.
            "detected_level" => continue,
            "trace_id" | "span_id" | "severity_text" | "event_name" => (name.clone(), Value::text(value)),
            "scope_name" | "scope_version" => (name.replace('_', "."), Value::text(value)),
            "severity_number" => ("severity".to_owned(), number()?),
            "flags" => (name.clone(), number()?),
            "observed_timestamp" => {
                let time = value.parse().map_err(|_| format!("{name} is {value:?}, which is no time"))?;
                ("observed".to_owned(), Value::Time(time))
            }
            _ => (format!("attr.{name}"), Value::text(value)),
        };
        if let Some(before) = fields.insert(name.clone(), value)
            && name != "observed"
        {
            contradict(&mut fields, &name, Some(before));
        }
    }
    if severity != Some(range(&fields)) {
        contradict(&mut fields, "severity", severity.map(Value::text));
    }
    let mut found = Found::item(run, fields);
    if found.id.map(|id| id.stream.source()) != source {
        contradict(&mut found.fields, "source", source.map(Value::text));
    }
    Ok(found)
}

/// The name of the range that the severity lies in (OpenTelemetry's log data model).
fn range(fields: &Fields) -> &'static str {
    const NAMES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
    match fields.get("severity") {
        Some(Value::Int(number @ 1..=24)) => NAMES[(*number as usize - 1) / 4],
        _ => "unknown",
    }
}

fn object(value: &Json) -> Read<&Object> {
    value.as_object().ok_or_else(|| format!("no names and values: {value}"))
}

fn text<'a>(name: &str, value: &'a Json) -> Read<&'a str> {
    value.as_str().ok_or_else(|| format!("{name} is {value}, which is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::variants;

    const RUN: Run = Run { seed: 1, epoch: 1_795_276_534_000_000_000, is_poisoned: false };

    /// Streams of one line that Loki has answered.
    fn streams() -> Vec<Json> {
        let recorded = include_str!("../../tests/recorded/loki.ndjson");
        recorded.lines().map(|line| json::read(line).unwrap()).collect()
    }

    fn only(stream: &Json) -> Read<Found> {
        let lines = lines(&serde_json::json!({ "data": { "result": [stream] } }))?;
        let [(time, line, metadata)] = &lines[..] else { return Err("not one line".to_owned()) };
        found(&RUN, object(&stream["stream"])?, *time, line, metadata)
    }

    #[test]
    fn what_the_server_has_answered_is_read_to_the_bit() {
        let found: Vec<Found> = streams().iter().map(|stream| only(stream).unwrap()).collect();
        let field = |at: usize, name: &str| found[at].fields.get(name).unwrap_or(&Value::Nothing);
        for (at, name, value) in [
            (0, "time", Value::Time(1_795_276_534_008_994_017)),
            (0, "observed", Value::Time(1_795_276_534_699_957_082)),
            (0, "severity", Value::Int(21)),
            (0, "attr.service_name", Value::text("shop-0")),
            (0, "scope.version", Value::text("1.0")),
            (1, "body", Value::text("{\"count\":-818396306916257047,\"message\":\"Ünïcödé €uro\"}")),
            (1, "flags", Value::Int(1)),
            (1, "trace_id", Value::text("6b5d8d66ec2dc14259ca694a792bc953")),
            (2, "body", Value::text("tab\tline\nreturn\r\nend #297")),
            (2, "attr.int", Value::text("9223372036854775807")),
        ] {
            assert_eq!(field(at, name), &value, "{name}");
        }
        assert!(
            found.iter().all(|one| one.fields.keys().all(|name| !name.starts_with("wrong."))),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_that_is_missing_or_changed_in_an_answer_goes_unseen() {
        for mut stream in streams() {
            stream["values"][0][2]["structuredMetadata"].as_object_mut().unwrap().remove("detected_level");
            let whole = only(&stream).unwrap();
            for variant in variants::of(&stream) {
                assert_ne!(only(&variant).ok().as_ref(), Some(&whole), "{variant}");
            }
        }
    }

    #[test]
    fn a_page_ends_before_a_nanosecond_that_may_have_more_lines() {
        let lines = |times: &[u64]| times.iter().map(|time| (*time, String::new(), Object::new())).collect();
        let paged = |times: &[u64]| page(lines(times), 3).map(|(taken, next)| (taken.len(), next));
        assert_eq!(paged(&[]), Ok((0, None)));
        assert_eq!(paged(&[5, 5]), Ok((2, None)));
        assert_eq!(paged(&[5, 6, 7]), Ok((2, Some(7))));
        assert_eq!(paged(&[5, 7, 7]), Ok((1, Some(7))));
        assert!(paged(&[7, 7, 7]).is_err());
    }

    #[test]
    fn a_selector_names_every_label_in_quotes() {
        let labels = json::read(r#"{"a":"x\"y","b":"ü"}"#).unwrap();
        assert_eq!(selector(object(&labels).unwrap()).unwrap(), r#"{a="x\"y",b="ü"}"#);
        assert!(selector(object(&json::read(r#"{"a":1}"#).unwrap()).unwrap()).is_err());
    }
}
