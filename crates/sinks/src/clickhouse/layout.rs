//! A table as the server has it: which of our columns, of which types, and hence how its rows are written.

use serde::Deserialize;
use wire::put;

use super::kind::Kind;
use super::tables::{Column, Table};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// `RowBinaryWithNamesAndTypes`: the server checks that the types are still those that we know.
    Binary,
    /// `JSONEachRow`: the server reads each value by the type of its column.
    Json,
}

/// The columns that rows have.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) columns: Vec<(&'static Column, Kind)>,
    pub(super) rows: Rows,
    /// What stands in front of the rows.
    pub(super) head: Vec<u8>,
    /// Our columns that the table does not have.
    pub(super) missing: Vec<&'static str>,
}

/// One line of `DESCRIBE TABLE … FORMAT JSONEachRow`.
#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    r#type: String,
    #[serde(default)]
    default_type: String,
}

impl Layout {
    /// What of ours `described` has. Rows are binary if `rows` says so and every type is one that we write.
    pub(super) fn read(table: Table, described: &[u8], rows: Rows) -> Result<Self, String> {
        let mut there = Vec::new();
        for line in described.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line)
                .map_err(|error| format!("the description of the table cannot be read: {error}"))?;
            // Nothing can be inserted into columns that the server computes.
            if line.default_type.is_empty() || line.default_type == "DEFAULT" {
                there.push(line);
            }
        }
        let (mut columns, mut missing, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for column in table.columns() {
            match there.iter().find(|line| line.name == column.name) {
                Some(line) => {
                    columns.push((column, Kind::parse(&line.r#type)));
                    types.push(line.r#type.as_str());
                }
                None => missing.push(column.name),
            }
        }
        if columns.is_empty() {
            return Err("the table has none of the columns of OpenTelemetry's layout".to_owned());
        }
        let binary = rows == Rows::Binary && columns.iter().all(|(column, kind)| kind.takes(column.class));
        let mut head = Vec::new();
        if binary {
            put::varint(&mut head, columns.len() as u64);
            for text in columns.iter().map(|(column, _)| column.name).chain(types) {
                put::varint(&mut head, text.len() as u64);
                head.extend_from_slice(text.as_bytes());
            }
        }
        let rows = if binary { Rows::Binary } else { Rows::Json };
        Ok(Self { columns, rows, head, missing })
    }

    /// The columns' names for an INSERT.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(column, _)| format!("`{}`", column.name)).collect();
        names.join(", ")
    }

    /// The format's name for an INSERT.
    pub(super) fn format(&self) -> &'static str {
        match self.rows {
            Rows::Binary => "RowBinaryWithNamesAndTypes",
            Rows::Json => "JSONEachRow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, r#type: &str, default: &str) -> String {
        format!(
            "{{\"name\":\"{name}\",\"type\":\"{type}\",\"default_type\":\"{default}\",\"comment\":\"\"}}\n"
        )
    }

    #[test]
    fn only_columns_that_both_know_and_that_can_be_written_are_listed() {
        let described = [
            line("Body", "String", ""),
            line("__hdx_materialized_x", "String", "MATERIALIZED"),
            line("Timestamp", "DateTime64(9)", ""),
            line("TimestampTime", "DateTime", "DEFAULT"),
            line("TraceId", "String", "ALIAS"),
            line("Region", "String", ""),
        ]
        .concat();
        let layout = Layout::read(Table::Logs, described.as_bytes(), Rows::Binary).unwrap();
        assert_eq!(layout.names(), "`Timestamp`, `TimestampTime`, `Body`");
        assert_eq!(layout.format(), "RowBinaryWithNamesAndTypes");
        assert_eq!(
            layout.head,
            b"\x03\x09Timestamp\x0dTimestampTime\x04Body\x0dDateTime64(9)\x08DateTime\x06String"
        );
        assert!(layout.missing.contains(&"TraceId") && layout.missing.contains(&"EventName"));
    }

    #[test]
    fn one_type_that_we_do_not_write_makes_the_table_one_of_json() {
        let described = line("Body", "String", "") + &line("LogAttributes", "JSON", "");
        let layout = Layout::read(Table::Logs, described.as_bytes(), Rows::Binary).unwrap();
        assert_eq!((layout.format(), &layout.head[..]), ("JSONEachRow", &b""[..]));
        let layout = Layout::read(Table::Logs, line("Body", "String", "").as_bytes(), Rows::Json).unwrap();
        assert_eq!(layout.format(), "JSONEachRow");
    }

    #[test]
    fn a_table_of_another_kind_is_not_written_to() {
        assert!(Layout::read(Table::Logs, line("x", "String", "").as_bytes(), Rows::Binary).is_err());
        assert!(Layout::read(Table::Logs, b"", Rows::Binary).is_err());
        assert!(Layout::read(Table::Logs, b"<html>", Rows::Binary).is_err());
    }
}
