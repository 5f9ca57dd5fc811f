//! ClickHouse behind the `clickhouse` sink.

use std::path::Path;

use serde_json::Value;
use testkit::server::Chdb;

use super::back_end::{BackEnd, Fact};
use super::story;
use crate::numbered::Input;

/// The engine of a present ClickHouse, with the exporter's tables as the sink makes them.
pub(crate) struct InClickHouse(Chdb);

impl InClickHouse {
    pub(crate) fn start(folder: &Path) -> Self {
        Self(Chdb::start(folder))
    }

    /// The rows of a table with these columns and the time in nanoseconds, as text, under `at`.
    fn rows(&self, table: &str, time: &str, columns: &str) -> Vec<Value> {
        let at = format!("toString(toUnixTimestamp64Nano({time})) AS at");
        self.0.rows(&format!("SELECT {at}, {columns} FROM {table}"))
    }

    fn logs(&self) -> Vec<Value> {
        self.rows("otel_logs", "Timestamp", "Body")
    }

    fn spans(&self) -> Vec<Value> {
        self.rows("otel_traces", "Timestamp", "SpanId, SpanName, toString(Duration) AS Duration")
    }
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {row}"))
}

fn number(row: &Value, name: &str) -> i64 {
    text(row, name).parse().unwrap()
}

impl BackEnd for InClickHouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }

    fn sink(&self) -> String {
        let url = format!("http://127.0.0.1:{}", self.0.port);
        format!("{{ type: clickhouse, url: '{url}', create_schema: true, backoff: 200ms }}")
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for row in self.spans() {
            let end = number(&row, "at") + number(&row, "Duration");
            facts.extend(Fact::new(Input::Otlp, text(&row, "SpanName"), text(&row, "at"), end.to_string()));
        }
        let points = self.rows("otel_metrics_gauge", "TimeUnix", "Attributes['number'] AS number, Value");
        for row in points {
            let value = row["Value"].as_f64().unwrap().to_string();
            facts.extend(Fact::new(Input::RemoteWrite, text(&row, "number"), text(&row, "at"), value));
        }
        facts.extend(self.logs().iter().filter_map(|row| Fact::of_body(text(row, "at"), text(row, "Body"))));
        facts
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn check_story(&self, store: &Path) {
        let logs = self.logs().into_iter().map(|row| (number(&row, "at"), text(&row, "Body").to_owned()));
        let spans = self
            .spans()
            .into_iter()
            .map(|row| (number(&row, "at"), story::span(text(&row, "SpanId"), text(&row, "SpanName"))));
        let want = story::of_store(store, &["logs", "traces"], 1);
        story::compare(self.name(), &want, logs.chain(spans));
    }
}
