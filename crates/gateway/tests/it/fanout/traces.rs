//! Jaeger behind the `otlp` sink.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testkit::server::Jaeger;

use super::back_end::{BackEnd, Fact};
use super::story;
use crate::numbered::Input;
use crate::stored::rows;

/// Jaeger in memory, which is why it is not killed.
pub(crate) struct InJaeger {
    jaeger: Jaeger,
    store: std::path::PathBuf,
    spans: RefCell<Vec<Value>>,
}

const MICRO: i64 = 1000;

impl InJaeger {
    /// `store` has the ids of all traces: Jaeger answers one by one.
    pub(crate) fn start(folder: &Path, store: &Path) -> Self {
        Self { jaeger: Jaeger::start(folder), store: store.to_owned(), spans: RefCell::default() }
    }

    fn read(&self) {
        let ids: BTreeSet<String> = rows(&self.store, "traces", &["trace_id"])
            .into_iter()
            .filter_map(|mut row| row.remove("trace_id"))
            .collect();
        let mut all = Vec::new();
        for id in ids {
            let mut trace = self.jaeger.trace(&id).unwrap_or_else(|| panic!("Jaeger lacks trace {id}"));
            all.append(trace["spans"].as_array_mut().unwrap());
        }
        *self.spans.borrow_mut() = all;
    }
}

fn text<'a>(span: &'a Value, name: &str) -> &'a str {
    span[name].as_str().unwrap_or_else(|| panic!("{name} is no text: {span}"))
}

fn start(span: &Value) -> i64 {
    span["startTime"].as_i64().unwrap() * MICRO
}

impl BackEnd for InJaeger {
    fn name(&self) -> &'static str {
        "jaeger"
    }

    fn sink(&self) -> String {
        let endpoint = format!("http://127.0.0.1:{}", self.jaeger.otlp_grpc);
        format!("{{ type: otlp, protocol: grpc, endpoint: '{endpoint}', signals: [traces], backoff: 200ms }}")
    }

    fn inputs(&self) -> &'static [Input] {
        &[Input::Otlp]
    }

    fn nanos(&self) -> i64 {
        MICRO
    }

    fn facts(&self) -> Vec<Fact> {
        self.read();
        let fact = |span: &Value| {
            // Numbered spans begin with a microsecond and last a nanosecond.
            let end = start(span) + span["duration"].as_i64().unwrap() * MICRO + 1;
            Fact::new(Input::Otlp, text(span, "operationName"), &start(span).to_string(), end.to_string())
        };
        self.spans.borrow().iter().filter_map(fact).collect()
    }

    fn kill(&mut self) {}

    fn restart(&mut self) {}

    fn check_story(&self, store: &Path) {
        let spans = self.spans.borrow();
        let found = spans
            .iter()
            .map(|span| (start(span), story::span(text(span, "spanID"), text(span, "operationName"))));
        story::compare(self.name(), &story::of_store(store, &["traces"], MICRO), found);
    }
}
