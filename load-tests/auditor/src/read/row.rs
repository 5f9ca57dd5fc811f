//! A row of the OpenTelemetry exporter's tables in ClickHouse as fields. Where a server has no maps, they are JSON text.

use serde_json::{Map, Value as Json};

use super::clickhouse::Table;
use crate::item::Signal;
use crate::json;
use crate::value::{Fields, Value, contradict};

type Read<T> = Result<T, String>;

/// The row's fields; its columns are called `= NAME`.
pub(super) fn fields(table: Table, row: &Map<String, Json>) -> Read<Fields> {
    let mut reader = Reader { fields: Fields::new() };
    if table.signal == Signal::Metrics {
        reader.fields.insert("type".into(), Value::text(table.kind));
    }
    for (name, value) in row {
        let name = name.strip_prefix("= ").unwrap_or(name);
        let read = match table.signal {
            Signal::Logs => reader.log(name, value),
            Signal::Traces => reader.span(name, value),
            Signal::Metrics => reader.point(name, value),
        };
        read.map_err(|error| format!("{name}: {error}"))?;
    }
    reader.check(table, row)?;
    Ok(reader.fields)
}

struct Reader {
    fields: Fields,
}

impl Reader {
    fn log(&mut self, name: &str, value: &Json) -> Read<()> {
        match name {
            "Timestamp" => self.time("time", value),
            // Checked at the end.
            "TimestampTime" => Ok(()),
            "TraceFlags" => self.int("flags", value),
            "SeverityText" => self.text("severity_text", value),
            "SeverityNumber" => self.int("severity", value),
            "Body" => self.text("body", value),
            "LogAttributes" => self.map("attr", value),
            "EventName" => self.text("event_name", value),
            _ => self.any(name, value),
        }
    }

    fn span(&mut self, name: &str, value: &Json) -> Read<()> {
        match name {
            "Timestamp" => self.time("start", value),
            "Duration" => Ok(()),
            "ParentSpanId" => self.text("parent_span_id", value),
            "TraceState" => self.text("trace_state", value),
            "SpanName" => self.text("name", value),
            "SpanKind" => self.number_of(
                "kind",
                &["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"],
                value,
            ),
            "StatusCode" => self.number_of("status", &["Unset", "Ok", "Error"], value),
            "StatusMessage" => self.text("status.message", value),
            "SpanAttributes" => self.map("attr", value),
            _ => match name.split_once('.') {
                Some(("Events", part)) => self.nested("event", part, value),
                Some(("Links", part)) => self.nested("link", part, value),
                _ => self.any(name, value),
            },
        }
    }

    /// One column of a span's events or links.
    fn nested(&mut self, prefix: &str, part: &str, value: &Json) -> Read<()> {
        for (at, value) in list(value)?.iter().enumerate() {
            let field = |name: &str| format!("{prefix}.{at}.{name}");
            match part {
                "Timestamp" => self.time(&field("time"), value)?,
                "Name" => self.text(&field("name"), value)?,
                "TraceId" => self.text(&field("trace_id"), value)?,
                "SpanId" => self.text(&field("span_id"), value)?,
                "TraceState" => self.text(&field("trace_state"), value)?,
                "Attributes" => self.map(&field("attr"), value)?,
                _ => self.any(&field(part), value)?,
            }
        }
        Ok(())
    }

    fn point(&mut self, name: &str, value: &Json) -> Read<()> {
        match name {
            "MetricName" => self.text("metric", value),
            "MetricDescription" => self.text("description", value),
            "MetricUnit" => self.text("unit", value),
            "Attributes" => self.map("attr", value),
            "StartTimeUnix" => self.time("start", value),
            "TimeUnix" => self.time("time", value),
            "Flags" => self.int("flags", value),
            "AggregationTemporality" => self.int("temporality", value),
            "IsMonotonic" => {
                let truth = match value.as_bool().map(i64::from).map_or_else(|| integer(value), Ok)? {
                    0 => false,
                    1 => true,
                    _ => return Err(wrong(value)),
                };
                self.put("monotonic", Ok(Value::Bool(truth)))
            }
            "Value" | "Sum" | "Min" | "Max" => self.put(&name.to_lowercase(), bits(value)),
            "Count" | "Scale" => self.put(&name.to_lowercase(), integer(value).map(Value::Int)),
            "ZeroCount" => self.put("zero_count", integer(value).map(Value::Int)),
            "PositiveOffset" => self.put("positive.offset", integer(value).map(Value::Int)),
            "NegativeOffset" => self.put("negative.offset", integer(value).map(Value::Int)),
            "BucketCounts" => self.put("counts", all(value, |count| integer(count).map(Value::Int))),
            "PositiveBucketCounts" => {
                self.put("positive.counts", all(value, |count| integer(count).map(Value::Int)))
            }
            "NegativeBucketCounts" => {
                self.put("negative.counts", all(value, |count| integer(count).map(Value::Int)))
            }
            "ExplicitBounds" => self.put("bounds", all(value, bits)),
            // Put together at the end.
            "ValueAtQuantiles.Quantile" | "ValueAtQuantiles.Value" => Ok(()),
            _ => self.any(name, value),
        }
    }

    /// Columns that several tables have, and those that must be empty since nothing is sent that belongs there.
    fn any(&mut self, name: &str, value: &Json) -> Read<()> {
        match name {
            "TraceId" => self.text("trace_id", value),
            "SpanId" => self.text("span_id", value),
            "ResourceAttributes" => self.map("resource", value),
            "ScopeName" => self.text("scope.name", value),
            "ScopeVersion" => self.text("scope.version", value),
            "ScopeAttributes" => self.map("scope.attr", value),
            // Checked at the end.
            "ServiceName" => Ok(()),
            _ => {
                let is_empty = match value {
                    Json::String(text) => text.is_empty() || text == "0",
                    Json::Array(all) => all.is_empty(),
                    Json::Object(all) => all.is_empty(),
                    Json::Number(number) => number.as_f64() == Some(0.0),
                    Json::Null | Json::Bool(_) => false,
                };
                if !is_empty {
                    contradict(&mut self.fields, name, Some(Value::text(value.to_string())));
                }
                Ok(())
            }
        }
    }

    /// What is said in two columns is the same in both, and a span's end comes of start and duration.
    fn check(&mut self, table: Table, row: &Map<String, Json>) -> Read<()> {
        let column = |name: &str| row.get(&format!("= {name}"));
        let service = self.fields.get("resource.service.name").cloned();
        let said =
            column("ServiceName").and_then(Json::as_str).filter(|name| !name.is_empty()).map(Value::text);
        if said != service {
            contradict(&mut self.fields, "ServiceName", said);
        }
        self.check_lengths(row)?;
        match table.signal {
            Signal::Traces => {
                let duration = integer(column("Duration").unwrap_or(&Json::Null))?;
                let (start, duration) = (self.nanos("start"), u64::try_from(duration).ok());
                let end = start.zip(duration).and_then(|(start, duration)| start.checked_add(duration));
                let end = end.ok_or_else(|| format!("a duration of {duration:?} from {start:?}"))?;
                self.fields.insert("end".into(), Value::Time(end));
            }
            Signal::Logs => {
                let said = u64::try_from(integer(column("TimestampTime").unwrap_or(&Json::Null))?).ok();
                if said != self.nanos("time").map(|nanos| nanos / 1_000_000_000) {
                    contradict(&mut self.fields, "TimestampTime", said.map(Value::Time));
                }
            }
            Signal::Metrics => self.check_point(table, row)?,
        }
        Ok(())
    }

    /// What is told of a point by more than one column.
    fn check_point(&mut self, table: Table, row: &Map<String, Json>) -> Read<()> {
        // One that says that it has no value has 0 there.
        if self.fields.get("flags") == Some(&Value::Int(1))
            && self.fields.get("value") == Some(&Value::double(0.0))
        {
            self.fields.remove("value");
        }
        for side in ["positive", "negative"] {
            let counts = format!("{side}.counts");
            let offset = format!("{side}.offset");
            // A side without buckets says nothing.
            if self.fields.get(&counts) == Some(&Value::List(Vec::new()))
                && self.fields.get(&offset) == Some(&Value::Int(0))
            {
                self.fields.remove(&counts);
                self.fields.remove(&offset);
            }
        }
        if table.kind == "summary" {
            let column = |name: &str| row.get(&format!("= ValueAtQuantiles.{name}")).unwrap_or(&Json::Null);
            let (quantiles, values) = (list(column("Quantile"))?, list(column("Value"))?);
            if quantiles.len() != values.len() {
                return Err(format!("{} quantiles and {} values", quantiles.len(), values.len()));
            }
            let pairs = quantiles
                .iter()
                .zip(values)
                .map(|(at, value)| Ok(Value::List(vec![bits(at)?, bits(value)?])));
            self.fields.insert("quantiles".into(), Value::List(pairs.collect::<Read<_>>()?));
        }
        Ok(())
    }

    /// Columns of one nested structure are equally long.
    fn check_lengths(&mut self, row: &Map<String, Json>) -> Read<()> {
        for structure in ["Events.", "Links."] {
            let is_part =
                |name: &str| name.strip_prefix("= ").is_some_and(|name| name.starts_with(structure));
            let parts = row.iter().filter(|(name, _)| is_part(name));
            let lengths = parts.map(|(_, value)| list(value).map(Vec::len)).collect::<Read<Vec<_>>>()?;
            if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
                return Err(format!("columns of {structure} are {lengths:?} long"));
            }
        }
        Ok(())
    }

    fn nanos(&self, name: &str) -> Option<u64> {
        match self.fields.get(name) {
            Some(Value::Time(nanos)) => Some(*nanos),
            _ => None,
        }
    }

    fn put(&mut self, name: &str, value: Read<Value>) -> Read<()> {
        self.fields.insert(name.to_owned(), value?);
        Ok(())
    }

    fn text(&mut self, name: &str, value: &Json) -> Read<()> {
        let text = value.as_str().ok_or_else(|| wrong(value))?;
        if !text.is_empty() {
            self.fields.insert(name.to_owned(), Value::text(text));
        }
        Ok(())
    }

    fn int(&mut self, name: &str, value: &Json) -> Read<()> {
        let number = integer(value)?;
        if number != 0 {
            self.fields.insert(name.to_owned(), Value::Int(number));
        }
        Ok(())
    }

    /// Nanoseconds; 0 is none.
    fn time(&mut self, name: &str, value: &Json) -> Read<()> {
        let nanos = u64::try_from(integer(value)?).map_err(|_| wrong(value))?;
        if nanos != 0 {
            self.fields.insert(name.to_owned(), Value::Time(nanos));
        }
        Ok(())
    }

    fn number_of(&mut self, name: &str, names: &[&str], value: &Json) -> Read<()> {
        let number = names.iter().position(|known| value == known).ok_or_else(|| wrong(value))?;
        if number != 0 {
            self.fields.insert(name.to_owned(), Value::Int(number as i64));
        }
        Ok(())
    }

    fn map(&mut self, prefix: &str, value: &Json) -> Read<()> {
        let parsed;
        let map = match value {
            Json::String(text) => {
                parsed = json::read(text)?;
                &parsed
            }
            other => other,
        };
        for (key, value) in map.as_object().ok_or_else(|| wrong(value))? {
            let text = value.as_str().ok_or_else(|| wrong(value))?;
            self.fields.insert(format!("{prefix}.{key}"), Value::text(text));
        }
        Ok(())
    }
}

fn wrong(value: &Json) -> String {
    format!("{value} is not what it should be")
}

fn list(value: &Json) -> Read<&Vec<Json>> {
    value.as_array().ok_or_else(|| wrong(value))
}

fn all(value: &Json, each: fn(&Json) -> Read<Value>) -> Read<Value> {
    Ok(Value::List(list(value)?.iter().map(each).collect::<Read<_>>()?))
}

/// A whole number, which some versions put in quotes.
fn integer(value: &Json) -> Read<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).ok_or_else(|| wrong(value))
}

/// A double by its bits.
fn bits(value: &Json) -> Read<Value> {
    let bits = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    bits.map(Value::Double).ok_or_else(|| wrong(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Run;
    use crate::read::{Found, clickhouse::TABLES, variants};

    const RUN: Run = Run { seed: 1, epoch: 1_795_276_534_000_000_000, is_poisoned: false };

    /// Rows that ClickHouse has answered, of the tables named.
    fn rows() -> Vec<(Table, Json)> {
        let recorded = include_str!("../../tests/recorded/clickhouse.ndjson").lines();
        let tables = [
            "otel_traces",
            "otel_logs",
            "otel_metrics_gauge",
            "otel_metrics_sum",
            "otel_metrics_histogram",
            "otel_metrics_exponential_histogram",
            "otel_metrics_summary",
        ];
        let table = |name| TABLES.into_iter().find(|table| table.name == name).unwrap();
        assert_eq!(recorded.clone().count(), tables.len());
        recorded.zip(tables).map(|(line, name)| (table(name), json::read(line).unwrap())).collect()
    }

    fn read(table: Table, row: &Json) -> Read<Found> {
        Ok(Found::item(&RUN, fields(table, row.as_object().ok_or("no row")?)?))
    }

    #[test]
    fn what_the_server_has_answered_is_read_to_the_bit() {
        let found: Vec<Found> = rows().iter().map(|(table, row)| read(*table, row).unwrap()).collect();
        let field = |at: usize, name: &str| found[at].fields.get(name).unwrap_or(&Value::Nothing);
        let nothing_at = |at| Value::List(vec![Value::double(at), Value::Double(0x7ff8_0000_0000_0001)]);
        for (at, name, value) in [
            (0, "start", Value::Time(1_795_276_535_829_477_305)),
            (0, "end", Value::Time(1_795_276_535_829_477_305 + 155_324_237)),
            (0, "kind", Value::Int(2)),
            (0, "status.message", Value::text("00012345678901234567890")),
            (0, "event.0.name", Value::text("event 0 e\u{301} is not é")),
            (0, "link.0.attr.why", Value::text("retry")),
            (0, "attr.bytes", Value::text("wfXdnEs=")),
            (1, "time", Value::Time(1_795_276_536_258_485_978)),
            (1, "body", Value::text("tab\tline\nreturn\r\nend #320")),
            (1, "severity", Value::Int(13)),
            (1, "attr.ключ", Value::text("значение")),
            (2, "value", Value::Double(crate::content::sample::STALE)),
            (2, "attr.instance", Value::text("10.0.0.4:9100")),
            (3, "value", Value::Double(14_113_464_935_775_704_644)),
            (3, "monotonic", Value::Bool(true)),
            (4, "sum", Value::Double(4_658_625_155_127_577_619)),
            (4, "counts", Value::List([36, 680, 973, 240].map(Value::Int).into())),
            (4, "bounds", Value::List([0.1, 1.0, 2.5].map(Value::double).into())),
            (5, "negative.counts", Value::List([0, 1686].map(Value::Int).into())),
            (5, "positive.offset", Value::Int(6)),
            (5, "min", Value::double(-9.5)),
            (6, "quantiles", Value::List([0.5, 0.9, 0.99].map(nothing_at).into())),
        ] {
            assert_eq!(field(at, name), &value, "{name}");
        }
        assert!(
            found.iter().all(|one| one.fields.keys().all(|name| !name.starts_with("wrong."))),
            "{found:?}"
        );
    }

    #[test]
    fn maps_may_be_text_and_whole_numbers_too() {
        let (table, row) = rows().remove(1);
        let mut old = row.clone();
        for name in ["= ResourceAttributes", "= ScopeAttributes", "= LogAttributes", "= Timestamp"] {
            old[name] = row[name].to_string().into();
        }
        assert_eq!(read(table, &old).unwrap(), read(table, &row).unwrap());
    }

    #[test]
    fn nothing_that_is_missing_or_changed_in_an_answer_goes_unseen() {
        for (table, row) in rows() {
            let whole = read(table, &row).unwrap();
            for variant in variants::of(&row) {
                assert_ne!(read(table, &variant).ok().as_ref(), Some(&whole), "{variant}");
            }
        }
    }
}
