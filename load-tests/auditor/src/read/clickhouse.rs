//! ClickHouse: every row of the tables of the OpenTelemetry exporter, by SELECT over HTTP. Times are asked for as nanoseconds
//! and doubles as their bits, so that nothing is rounded on the way.

use serde_json::{Map, Value as Json};
use testkit::process::http;

use super::Found;
use super::row::fields;
use crate::content::Run;
use crate::item::Signal;
use crate::json;

type Read<T> = Result<T, String>;

/// A table, and what its rows are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Their signal.
    pub(crate) signal: Signal,
    /// Their metric's type.
    pub(crate) kind: &'static str,
}

const fn table(name: &'static str, signal: Signal, kind: &'static str) -> Table {
    Table { name, signal, kind }
}

/// The tables that hold what the auditor sends; rows of the others are spurious.
pub(super) const TABLES: [Table; 7] = [
    table("otel_logs", Signal::Logs, ""),
    table("otel_traces", Signal::Traces, ""),
    table("otel_metrics_gauge", Signal::Metrics, "gauge"),
    table("otel_metrics_sum", Signal::Metrics, "sum"),
    table("otel_metrics_histogram", Signal::Metrics, "histogram"),
    table("otel_metrics_exponential_histogram", Signal::Metrics, "exponential_histogram"),
    table("otel_metrics_summary", Signal::Metrics, "summary"),
];

/// Every row of those of the tables that are there for `signals`.
pub(crate) fn read(run: &Run, port: u16, signals: &[Signal], each: &mut dyn FnMut(Found)) -> Read<()> {
    for table in TABLES.into_iter().filter(|table| signals.contains(&table.signal)) {
        let columns = rows(&ask(port, &format!("DESCRIBE TABLE {} FORMAT JSONEachRow", table.name))?)?;
        let columns = columns.iter().map(column).collect::<Read<Vec<_>>>()?;
        let found =
            ask(port, &format!("SELECT {} FROM {} FORMAT JSONEachRow", columns.join(", "), table.name))?;
        let found = rows(&found)?;
        let count = ask(port, &format!("SELECT count() FROM {} FORMAT TabSeparated", table.name))?;
        if count.trim().parse() != Ok(found.len()) {
            return Err(format!("{}: {} rows were shown of {}", table.name, found.len(), count.trim()));
        }
        for row in &found {
            let fields = fields(table, row).map_err(|error| format!("{}: {error}: {row:?}", table.name))?;
            each(Found::item(run, fields));
        }
    }
    Ok(())
}

fn ask(port: u16, sql: &str) -> Read<String> {
    let answer = http(port, "POST", "/", &[], sql.as_bytes()).map_err(|error| error.to_string())?;
    let text = answer.text();
    if answer.status == 200 { Ok(text) } else { Err(format!("{sql} answered {} {text}", answer.status)) }
}

/// The rows of an answer in JSONEachRow. An error behind some of them is no row.
fn rows(answer: &str) -> Read<Vec<Map<String, Json>>> {
    let lines = answer.lines().filter(|line| !line.is_empty());
    let row = |line| match json::read(line) {
        Ok(Json::Object(row)) => Ok(row),
        other => Err(format!("{line} is no row: {other:?}")),
    };
    lines.map(row).collect()
}

/// What is selected of a column of this name and type.
fn column(described: &Map<String, Json>) -> Read<String> {
    let text = |name: &str| described.get(name).and_then(Json::as_str);
    let (Some(name), Some(kind)) = (text("name"), text("type")) else {
        return Err(format!("a column without name and type: {described:?}"));
    };
    let exact = |kind: &str, of: &str| match kind {
        _ if kind.starts_with("DateTime64") => Some(format!("toUnixTimestamp64Nano({of})")),
        _ if kind.starts_with("DateTime") => Some(format!("toUnixTimestamp({of})")),
        "Float64" => Some(format!("reinterpretAsUInt64({of})")),
        _ => None,
    };
    let of = format!("`{name}`");
    let inner = kind.strip_prefix("Array(").and_then(|inner| inner.strip_suffix(')'));
    let expression = match inner {
        Some(inner) => exact(inner, "x").map(|each| format!("arrayMap(x -> {each}, {of})")),
        None => exact(kind, &of),
    };
    // A name of its own, so that it is not taken for the column in other expressions.
    Ok(format!("{} AS `= {name}`", expression.unwrap_or(of)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_rounded_is_asked_for_as_whole_numbers() {
        for (kind, expected) in [
            ("String", "`c` AS `= c`"),
            ("DateTime64(9)", "toUnixTimestamp64Nano(`c`) AS `= c`"),
            ("DateTime", "toUnixTimestamp(`c`) AS `= c`"),
            ("Float64", "reinterpretAsUInt64(`c`) AS `= c`"),
            ("Array(Float64)", "arrayMap(x -> reinterpretAsUInt64(x), `c`) AS `= c`"),
            ("Array(DateTime64(9))", "arrayMap(x -> toUnixTimestamp64Nano(x), `c`) AS `= c`"),
            ("Array(Map(LowCardinality(String), String))", "`c` AS `= c`"),
        ] {
            let described = rows(&format!(r#"{{"name":"c","type":"{kind}","default_type":""}}"#)).unwrap();
            assert_eq!(column(&described[0]).unwrap(), expected);
        }
        assert!(column(&rows(r#"{"name":"c"}"#).unwrap()[0]).is_err());
    }

    #[test]
    fn an_error_in_the_middle_of_an_answer_is_no_row() {
        assert_eq!(rows("{\"a\":1}\n{\"a\":2}\n").unwrap().len(), 2);
        assert!(rows("{\"a\":1}\nCode: 241, e.displayText() = DB::Exception: Memory limit\n").is_err());
        assert!(rows("{\"a\":1}\n{\"a\":").is_err());
        assert!(rows("[1]").is_err());
    }
}
