//! OTLP/JSON as fields: 64-bit integers are strings, ids hexadecimal, bytes base64, and three doubles have names.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value as Json;

use crate::value::{Fields, Value};

type Read<T> = Result<T, String>;

/// Every item of a request of whichever signal.
pub fn items(request: &Json) -> Read<Vec<Fields>> {
    let mut all = Vec::new();
    for (groups, scopes, items) in [
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
        ("resourceMetrics", "scopeMetrics", "metrics"),
    ] {
        for group in list(request, groups) {
            for scope in list(group, scopes) {
                let mut around = Fields::new();
                attributes(&mut around, "resource", &group["resource"])?;
                text(&mut around, "scope.name", &scope["scope"]["name"])?;
                text(&mut around, "scope.version", &scope["scope"]["version"])?;
                attributes(&mut around, "scope.attr", &scope["scope"])?;
                for item in list(scope, items) {
                    match items {
                        "spans" => all.push(span(around.clone(), item)?),
                        "logRecords" => all.push(log(around.clone(), item)?),
                        _ => metric(&around, item, &mut all)?,
                    }
                }
            }
        }
    }
    if all.is_empty() {
        return Err(format!("a request without items: {request}"));
    }
    Ok(all)
}

fn list<'a>(of: &'a Json, name: &str) -> &'a [Json] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

fn span(mut fields: Fields, item: &Json) -> Read<Fields> {
    for (name, key) in [
        ("trace_id", "traceId"),
        ("span_id", "spanId"),
        ("parent_span_id", "parentSpanId"),
        ("trace_state", "traceState"),
        ("name", "name"),
        ("status.message", "message"),
    ] {
        let of = if key == "message" { &item["status"] } else { item };
        text(&mut fields, name, &of[key])?;
    }
    for (name, value) in
        [("flags", &item["flags"]), ("kind", &item["kind"]), ("status", &item["status"]["code"])]
    {
        int(&mut fields, name, value)?;
    }
    time(&mut fields, "start", &item["startTimeUnixNano"])?;
    time(&mut fields, "end", &item["endTimeUnixNano"])?;
    attributes(&mut fields, "attr", item)?;
    for (at, event) in list(item, "events").iter().enumerate() {
        text(&mut fields, &format!("event.{at}.name"), &event["name"])?;
        time(&mut fields, &format!("event.{at}.time"), &event["timeUnixNano"])?;
        attributes(&mut fields, &format!("event.{at}.attr"), event)?;
    }
    for (at, link) in list(item, "links").iter().enumerate() {
        text(&mut fields, &format!("link.{at}.trace_id"), &link["traceId"])?;
        text(&mut fields, &format!("link.{at}.span_id"), &link["spanId"])?;
        text(&mut fields, &format!("link.{at}.trace_state"), &link["traceState"])?;
        int(&mut fields, &format!("link.{at}.flags"), &link["flags"])?;
        attributes(&mut fields, &format!("link.{at}.attr"), link)?;
    }
    Ok(fields)
}

fn log(mut fields: Fields, item: &Json) -> Read<Fields> {
    time(&mut fields, "time", &item["timeUnixNano"])?;
    time(&mut fields, "observed", &item["observedTimeUnixNano"])?;
    int(&mut fields, "severity", &item["severityNumber"])?;
    text(&mut fields, "severity_text", &item["severityText"])?;
    if item["body"].is_object() {
        fields.insert("body".into(), any(&item["body"])?);
    }
    attributes(&mut fields, "attr", item)?;
    int(&mut fields, "flags", &item["flags"])?;
    text(&mut fields, "trace_id", &item["traceId"])?;
    text(&mut fields, "span_id", &item["spanId"])?;
    text(&mut fields, "event_name", &item["eventName"])?;
    Ok(fields)
}

fn metric(around: &Fields, item: &Json, all: &mut Vec<Fields>) -> Read<()> {
    let mut around = around.clone();
    text(&mut around, "metric", &item["name"])?;
    text(&mut around, "unit", &item["unit"])?;
    text(&mut around, "description", &item["description"])?;
    let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
    let Some((kind, data)) = kinds.iter().find_map(|kind| Some((*kind, item.get(*kind)?))) else {
        return Err(format!("a metric without data: {item}"));
    };
    let name = if kind == "exponentialHistogram" { "exponential_histogram" } else { kind };
    around.insert("type".into(), Value::text(name));
    int(&mut around, "temporality", &data["aggregationTemporality"])?;
    if kind == "sum" {
        around.insert("monotonic".into(), Value::Bool(data["isMonotonic"].as_bool().unwrap_or(false)));
    }
    for point in list(data, "dataPoints") {
        let mut fields = around.clone();
        attributes(&mut fields, "attr", point)?;
        time(&mut fields, "start", &point["startTimeUnixNano"])?;
        time(&mut fields, "time", &point["timeUnixNano"])?;
        int(&mut fields, "flags", &point["flags"])?;
        if let Some(value) = point.get("asInt") {
            fields.insert("value".into(), Value::Int(integer(value)?));
        } else if let Some(value) = point.get("asDouble") {
            fields.insert("value".into(), double(value)?);
        }
        match kind {
            "histogram" => explicit(&mut fields, point)?,
            "exponentialHistogram" => exponential(&mut fields, point)?,
            "summary" => quantiles(&mut fields, point)?,
            _ => {}
        }
        all.push(fields);
    }
    Ok(())
}

fn explicit(fields: &mut Fields, point: &Json) -> Read<()> {
    fields.insert("count".into(), Value::Int(number(&point["count"])?));
    doubles(fields, point, &["sum", "min", "max"])?;
    let bounds: Read<Vec<Value>> = list(point, "explicitBounds").iter().map(double).collect();
    fields.insert("bounds".into(), Value::List(bounds?));
    fields.insert("counts".into(), counts(point)?);
    Ok(())
}

fn exponential(fields: &mut Fields, point: &Json) -> Read<()> {
    for (name, key) in [("count", "count"), ("scale", "scale"), ("zero_count", "zeroCount")] {
        fields.insert(name.into(), Value::Int(number(&point[key])?));
    }
    doubles(fields, point, &["sum", "min", "max"])?;
    let threshold = &point["zeroThreshold"];
    let threshold = if threshold.is_null() { Value::double(0.0) } else { double(threshold)? };
    fields.insert("zero_threshold".into(), threshold);
    for side in ["positive", "negative"] {
        if !list(&point[side], "bucketCounts").is_empty() {
            fields.insert(format!("{side}.offset"), Value::Int(number(&point[side]["offset"])?));
            fields.insert(format!("{side}.counts"), counts(&point[side])?);
        }
    }
    Ok(())
}

fn quantiles(fields: &mut Fields, point: &Json) -> Read<()> {
    fields.insert("count".into(), Value::Int(number(&point["count"])?));
    doubles(fields, point, &["sum"])?;
    let pairs: Read<Vec<Value>> = list(point, "quantileValues")
        .iter()
        .map(|at| Ok(Value::List(vec![double(&at["quantile"])?, double(&at["value"])?])))
        .collect();
    fields.insert("quantiles".into(), Value::List(pairs?));
    Ok(())
}

fn counts(of: &Json) -> Read<Value> {
    let counts: Read<Vec<Value>> =
        list(of, "bucketCounts").iter().map(|count| integer(count).map(Value::Int)).collect();
    counts.map(Value::List)
}

fn doubles(fields: &mut Fields, of: &Json, names: &[&str]) -> Read<()> {
    for name in names {
        if let Some(value) = of.get(name) {
            fields.insert((*name).to_owned(), double(value)?);
        }
    }
    Ok(())
}

/// A whole number that is 0 when it is not there.
fn number(value: &Json) -> Read<i64> {
    if value.is_null() { Ok(0) } else { integer(value) }
}

fn text(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    match value {
        Json::Null => {}
        Json::String(text) if text.is_empty() => {}
        Json::String(text) => drop(fields.insert(name.to_owned(), Value::text(text.as_str()))),
        other => return Err(format!("{name} is {other}, which is no text")),
    }
    Ok(())
}

fn int(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    if !value.is_null() {
        let number = integer(value)?;
        if number != 0 {
            fields.insert(name.to_owned(), Value::Int(number));
        }
    }
    Ok(())
}

fn time(fields: &mut Fields, name: &str, value: &Json) -> Read<()> {
    match value {
        Json::Null => {}
        Json::String(text) => {
            let nanos = text.parse().map_err(|_| format!("{name} is {text:?}, which is no time"))?;
            fields.insert(name.to_owned(), Value::Time(nanos));
        }
        other => return Err(format!("{name} is {other}, not a string of nanoseconds")),
    }
    Ok(())
}

fn integer(value: &Json) -> Read<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .ok_or_else(|| format!("{value} is no whole number of 64 bits"))
}

fn double(value: &Json) -> Read<Value> {
    let number = match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    };
    number.map(Value::double).ok_or_else(|| format!("{value} is no double"))
}

/// The attributes of `of` under `prefix`.
fn attributes(fields: &mut Fields, prefix: &str, of: &Json) -> Read<()> {
    for attribute in list(of, "attributes") {
        let key = attribute["key"].as_str().ok_or_else(|| format!("an attribute without a key: {of}"))?;
        fields.insert(format!("{prefix}.{key}"), any(&attribute["value"])?);
    }
    Ok(())
}

fn any(value: &Json) -> Read<Value> {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Ok(Value::Nothing);
    };
    let wrong = || format!("{value} is no value of an attribute");
    Ok(match kind.as_str() {
        "stringValue" => Value::text(inner.as_str().ok_or_else(wrong)?),
        "boolValue" => Value::Bool(inner.as_bool().ok_or_else(wrong)?),
        "intValue" => Value::Int(integer(inner)?),
        "doubleValue" => double(inner)?,
        "bytesValue" => Value::Bytes(
            BASE64_STANDARD.decode(inner.as_str().ok_or_else(wrong)?).map_err(|error| error.to_string())?,
        ),
        "arrayValue" => Value::List(list(inner, "values").iter().map(any).collect::<Read<_>>()?),
        "kvlistValue" => {
            let pairs = list(inner, "values").iter().map(|pair| {
                let key = pair["key"].as_str().ok_or_else(wrong)?.to_owned();
                Ok((key, any(&pair["value"])?))
            });
            Value::Map(pairs.collect::<Read<_>>()?)
        }
        _ => return Err(wrong()),
    })
}
