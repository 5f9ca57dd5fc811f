//! What a back end of the fan-out is asked.

use std::path::Path;

use serde_json::Value;

use crate::numbered::{INPUTS, Input};

/// A numbered item as a back end has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    pub(crate) input: Input,
    name: String,
    nanos: i64,
    /// A span's end, a sample's value, a record's body.
    value: String,
}

impl Fact {
    /// `None` when the name is none of a numbered item's.
    pub(crate) fn new(input: Input, name: &str, nanos: &str, value: String) -> Option<Self> {
        let nanos = nanos.parse().unwrap_or_else(|error| panic!("{nanos}: {error}"));
        input.is_numbered(name).then(|| Self { input, name: name.to_owned(), nanos, value })
    }

    /// A log record's, by the body that its sender wrote.
    pub(crate) fn of_body(nanos: &str, body: &str) -> Option<Self> {
        let record: Value = serde_json::from_str(body).ok()?;
        let logpush = record["RayID"].as_str().map(|name| (Input::Logpush, name));
        let (input, name) = logpush.or(record["request"]["id"].as_str().map(|name| (Input::Kong, name)))?;
        Self::new(input, name, nanos, body.to_owned())
    }

    /// The same as a back end would have it whose times are whole units of so many nanoseconds.
    pub(crate) fn at_resolution(&self, unit: i64) -> Self {
        Self { nanos: self.nanos - self.nanos.rem_euclid(unit), ..self.clone() }
    }
}

/// One sink with its real server.
pub(crate) trait BackEnd {
    /// The sink's name.
    fn name(&self) -> &'static str;
    /// The sink's settings, as one line of YAML.
    fn sink(&self) -> String;
    /// Whose items it takes.
    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }
    /// The nanoseconds of its unit of time.
    fn nanos(&self) -> i64 {
        1
    }
    /// Every numbered item that it has, by its own query interface, each as often as it has it.
    fn facts(&self) -> Vec<Fact>;
    /// Ends it, as hard as what it acknowledged survives by its own word.
    fn kill(&mut self);
    /// Starts it again where it was.
    fn restart(&mut self);
    /// Compares what it has of the sample story with the store's files.
    fn check_story(&self, store: &Path);
}
