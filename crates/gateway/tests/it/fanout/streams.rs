//! Loki behind the `loki` sink.

use std::collections::BTreeSet;
use std::path::Path;

use testkit::server::Loki;

use super::back_end::{BackEnd, Fact};
use crate::numbered::{Input, now_ms};
use crate::stored::rows;

/// Loki.
pub(crate) struct InLoki(Loki);

impl InLoki {
    pub(crate) fn start(folder: &Path) -> Self {
        Self(Loki::start(folder))
    }

    /// Every line since the beginning of the story, with its time.
    fn lines(&self, from: u64) -> Vec<(String, String)> {
        let until = (now_ms() + 60_000) * 1_000_000;
        let streams = self.0.query_range("{source=~\".+\"}", from, until, 1_000_000);
        let values = streams.as_array().unwrap().iter().flat_map(|s| s["values"].as_array().unwrap());
        values.map(|v| (v[0].as_str().unwrap().to_owned(), v[1].as_str().unwrap().to_owned())).collect()
    }
}

impl BackEnd for InLoki {
    fn name(&self) -> &'static str {
        "loki"
    }

    fn sink(&self) -> String {
        format!("{{ type: loki, url: 'http://127.0.0.1:{}/loki/api/v1/push', backoff: 200ms }}", self.0.port)
    }

    fn inputs(&self) -> &'static [Input] {
        &[Input::Logpush, Input::Kong]
    }

    fn facts(&self) -> Vec<Fact> {
        let hour = 3_600_000;
        let lines = self.lines((now_ms() - hour) * 1_000_000);
        lines.iter().filter_map(|(nanos, line)| Fact::of_body(nanos, line)).collect()
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    /// Loki keeps one of equal lines, so as a set.
    fn check_story(&self, store: &Path) {
        let rows = rows(store, "logs", &["timestamp", "body"]);
        let story: BTreeSet<(String, String)> = rows
            .into_iter()
            .filter_map(|mut row| Some((row.remove("timestamp")?, row.remove("body")?)))
            .collect();
        let first = story.iter().filter_map(|(nanos, _)| nanos.parse::<u64>().ok()).min().unwrap();
        let lines: BTreeSet<(String, String)> = self.lines(first).into_iter().collect();
        let lost: Vec<_> = story.difference(&lines).take(3).collect();
        assert!(lost.is_empty(), "Loki lacks {lost:#?}");
    }
}
