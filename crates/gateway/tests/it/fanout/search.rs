//! OpenSearch behind the `elasticsearch` sink.

use std::path::Path;

use serde_json::Value;
use testkit::server::OpenSearch;

use super::back_end::{BackEnd, Fact};
use super::story;
use crate::numbered::Input;

/// OpenSearch 2, a document an item.
pub(crate) struct InOpenSearch(OpenSearch);

impl InOpenSearch {
    pub(crate) fn start(folder: &Path) -> Self {
        Self(OpenSearch::start(folder))
    }
}

impl BackEnd for InOpenSearch {
    fn name(&self) -> &'static str {
        "search"
    }

    fn sink(&self) -> String {
        let node = format!("http://127.0.0.1:{}", self.0.port);
        format!("{{ type: elasticsearch, nodes: ['{node}'], index: 'it-{{signal}}', backoff: 200ms }}")
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for source in self.sources("it-traces") {
            let end = nanos(&source["end_timestamp"]).to_string();
            facts.extend(Fact::new(Input::Otlp, text(&source["name"]), &at(&source), end));
        }
        for source in self.sources("it-metrics") {
            let Some(value) = source["value"].as_f64() else { continue };
            let name = text(&source["attributes"]["number"]);
            facts.extend(Fact::new(Input::RemoteWrite, name, &at(&source), value.to_string()));
        }
        for source in self.sources("it-logs") {
            facts.extend(Fact::of_body(&at(&source), text(&source["body"]["text"])));
        }
        facts
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn check_story(&self, store: &Path) {
        let logs = self.sources("it-logs");
        let logs = logs
            .iter()
            .map(|source| (nanos(&source["@timestamp"]), text(&source["body"]["text"]).to_owned()));
        let spans = self.sources("it-traces");
        let spans = spans.iter().map(|source| {
            let span = story::span(text(&source["span_id"]), text(&source["name"]));
            (nanos(&source["@timestamp"]), span)
        });
        story::compare(self.name(), &story::of_store(store, &["logs", "traces"], 1), logs.chain(spans));
    }
}

impl InOpenSearch {
    fn sources(&self, index: &str) -> Vec<Value> {
        self.0.documents(index).into_iter().map(|mut hit| hit["_source"].take()).collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn at(source: &Value) -> String {
    nanos(&source["@timestamp"]).to_string()
}

/// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ` in nanoseconds since 1970.
fn nanos(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    let parts: Vec<i64> = text
        .trim_end_matches('Z')
        .split(['-', 'T', ':', '.'])
        .map(|part| part.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
        .collect();
    let [year, month, day, hour, minute, second, nanos] = parts[..] else { panic!("{text}") };
    // Days by the civil calendar, whose year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000_000 + nanos
}
