//! The labels of a stream: fixed ones, what the gateway knows, and attributes from an allow-list.

use std::collections::BTreeMap;

use wire::WireError;
use wire::otlp::logs::{LogRecord, ResourceLogs};
use wire::translate::append_text;

use super::name::{quote, sanitized};

/// What stands for the values of attributes once there are too many streams.
pub(super) const OVERFLOW: &str = "__overflow__";
/// The most bytes of a label's value (Loki's default).
const VALUE: usize = 2048;

/// Which labels streams get, checked.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Labels that are the same everywhere.
    pub(super) fixed: BTreeMap<String, String>,
    /// The label that names the receiver.
    pub(super) source: bool,
    /// The label that names the severity.
    pub(super) severity: bool,
    /// Attributes that become labels.
    pub(super) attributes: Vec<String>,
    /// The most bytes of a line.
    pub(super) max_line: usize,
}

impl Recipe {
    /// The labels of records that came through `source`.
    pub(super) fn of_source<'a>(&'a self, source: &'a str) -> Labels<'a> {
        let values =
            self.attributes.iter().map(|key| Value { name: sanitized(key), ..Value::default() }).collect();
        Labels { recipe: self, source, severity: "", values, resource: None }
    }
}

/// The labels of the record read last.
pub(super) struct Labels<'a> {
    recipe: &'a Recipe,
    source: &'a str,
    severity: &'static str,
    /// In the order of the recipe's attributes.
    values: Vec<Value>,
    /// Where the resource lies that the values were read from last: records of one resource come together.
    resource: Option<(usize, usize)>,
}

#[derive(Default)]
struct Value {
    name: String,
    /// As the attribute has it; empty when there is none.
    text: String,
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum From {
    #[default]
    Nowhere,
    Resource,
    Record,
}

impl Labels<'_> {
    /// Reads the labels of `record`. An attribute of the resource comes before one of the record.
    pub(super) fn read(
        &mut self,
        resource: &ResourceLogs<'_>,
        record: &LogRecord<'_>,
    ) -> Result<(), WireError> {
        self.severity = severity(record.severity);
        let keys = &self.recipe.attributes;
        let place = Some((resource.raw.as_ptr() as usize, resource.raw.len()));
        if self.resource != place {
            self.resource = place;
            for (value, key) in self.values.iter_mut().zip(keys) {
                value.take(From::Resource, resource.resource.attributes().get(key)?)?;
            }
        }
        for value in self.values.iter_mut().filter(|value| value.from == From::Record) {
            (value.from, value.text) = (From::Nowhere, String::new());
        }
        if self.values.iter().all(|value| value.from == From::Resource) {
            return Ok(());
        }
        for pair in record.attributes() {
            let pair = pair?;
            let wanted = keys.iter().position(|key| key == pair.key).map(|place| &mut self.values[place]);
            if let Some(value) = wanted.filter(|value| value.from == From::Nowhere) {
                value.take(From::Record, Some(pair.value))?;
            }
        }
        Ok(())
    }

    /// The stream's name; with `instead` for every value that comes from an attribute.
    pub(super) fn text(&self, instead: Option<&str>) -> String {
        let mut all: BTreeMap<&str, &str> = BTreeMap::new();
        all.extend(self.recipe.fixed.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if self.recipe.source {
            all.insert("source", self.source);
        }
        if self.recipe.severity {
            all.insert("severity", self.severity);
        }
        for value in self.values.iter().filter(|value| value.from != From::Nowhere) {
            all.insert(&value.name, instead.unwrap_or(cut(&value.text)));
        }
        let mut out = String::from("{");
        for (name, value) in all {
            if out.len() > 1 {
                out.push_str(", ");
            }
            out.push_str(name);
            out.push('=');
            quote(&mut out, value);
        }
        out.push('}');
        out
    }

    /// Whether any label comes from an attribute.
    pub(super) fn can_overflow(&self) -> bool {
        self.values.iter().any(|value| value.from != From::Nowhere)
    }

    /// The labels that do not show their attribute's whole value: all of them in the stream that takes the overflow, else those too long.
    pub(super) fn changed(&self, overflowed: bool) -> impl Iterator<Item = (&str, &str)> {
        let shown = self.values.iter().filter(|value| value.from != From::Nowhere);
        shown
            .filter(move |value| overflowed || value.text.len() > VALUE)
            .map(|value| (value.name.as_str(), value.text.as_str()))
    }

    /// Whether the record's attribute `key` is a label of its stream.
    pub(super) fn is_of_record(&self, key: &str) -> bool {
        self.is(From::Record, key)
    }

    /// Whether the resource's attribute `key` is a label of the stream.
    pub(super) fn is_of_resource(&self, key: &str) -> bool {
        self.is(From::Resource, key)
    }

    fn is(&self, from: From, key: &str) -> bool {
        let place = self.recipe.attributes.iter().position(|known| known == key);
        place.is_some_and(|place| self.values[place].from == from)
    }
}

impl Value {
    fn take(&mut self, from: From, value: Option<wire::otlp::AnyValue<'_>>) -> Result<(), WireError> {
        let mut text = Vec::new();
        if let Some(value) = value {
            append_text(&value, &mut text)?;
        }
        self.text = String::from_utf8(text).unwrap_or_default();
        self.from = if self.text.is_empty() { From::Nowhere } else { from };
        Ok(())
    }
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE)]
}

/// The severity's range by its number (OpenTelemetry log data model, "SeverityNumber").
fn severity(number: i32) -> &'static str {
    match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "unknown",
    }
}
