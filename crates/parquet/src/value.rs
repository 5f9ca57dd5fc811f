//! Attribute values as JSON and as text.
//!
//! As JSON: bytes are base64, a number that JSON does not have is its name as OTLP/JSON writes it (`"NaN"`, `"Infinity"`),
//! of equal keys the first counts. As text, for the map columns: a string as it is, everything else as JSON.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Number, Value};
use wire::WireError;
use wire::otlp::{AnyValue, Attributes as View, KeyValue};

/// How deep values nest before the rest is left out; `raw` has it.
const DEEPEST: usize = 32;

/// Attributes in their order, without repeated keys; in JSON an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes(pub Vec<(String, Value)>);

impl Attributes {
    /// What can be read of `view`.
    pub(crate) fn read(view: View<'_>) -> Self {
        let mut attributes = Self::default();
        each(view, |key, value| attributes.0.push((key.to_owned(), json(value, 0))));
        attributes
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Calls `each` with every attribute whose key did not come before. What cannot be read ends it.
pub(crate) fn each<'a>(
    view: impl Iterator<Item = Result<KeyValue<'a>, WireError>>,
    mut each: impl FnMut(&'a str, &AnyValue<'a>),
) {
    let mut few: [&str; 24] = [""; 24];
    let mut many: Option<std::collections::HashSet<&str>> = None;
    let mut count = 0;
    for attribute in view.map_while(Result::ok) {
        let key = attribute.key;
        let known = match &mut many {
            Some(keys) => !keys.insert(key),
            None if few[..count].contains(&key) => true,
            None if count < few.len() => {
                few[count] = key;
                count += 1;
                false
            }
            None => {
                let mut keys: std::collections::HashSet<&str> = few.into_iter().collect();
                keys.insert(key);
                many = Some(keys);
                false
            }
        };
        if !known {
            each(key, &attribute.value);
        }
    }
}

/// A value as the map columns have it.
pub(crate) fn text<'a>(value: &AnyValue<'a>, scratch: &'a mut String) -> &'a str {
    match value {
        AnyValue::Str(text) => text,
        AnyValue::Bool(true) => "true",
        AnyValue::Bool(false) => "false",
        AnyValue::Empty => "null",
        other => {
            scratch.clear();
            // Writing to a String cannot fail.
            let _ = match other {
                AnyValue::Int(number) => write!(scratch, "{number}"),
                other => write!(scratch, "{}", json(other, 0)),
            };
            scratch
        }
    }
}

/// A value as JSON.
pub(crate) fn json(value: &AnyValue<'_>, depth: usize) -> Value {
    match value {
        AnyValue::Empty => Value::Null,
        AnyValue::Str(text) => Value::String((*text).to_owned()),
        AnyValue::Bool(truth) => Value::Bool(*truth),
        AnyValue::Int(number) => Value::Number((*number).into()),
        AnyValue::Double(number) => double(*number),
        AnyValue::Bytes(bytes) => Value::String(BASE64_STANDARD.encode(bytes)),
        AnyValue::Array(_) | AnyValue::Map(_) if depth >= DEEPEST => Value::Null,
        AnyValue::Array(values) => {
            Value::Array(values.clone().map_while(Result::ok).map(|value| json(&value, depth + 1)).collect())
        }
        AnyValue::Map(entries) => {
            let mut map = Map::new();
            each(entries.clone(), |key, value| {
                map.insert(key.to_owned(), json(value, depth + 1));
            });
            Value::Object(map)
        }
    }
}

/// A number as JSON.
pub(crate) fn double(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::String("NaN".to_owned()),
        None if number > 0.0 => Value::String("Infinity".to_owned()),
        None => Value::String("-Infinity".to_owned()),
    }
}

/// Lower-case hex digits of an id; empty for one that is missing, all zero or of another length than `N`.
pub(crate) fn hex<const N: usize>(id: &[u8]) -> String {
    match <[u8; N]>::try_from(id) {
        Ok(id) if id != [0; N] => id.iter().fold(String::with_capacity(2 * N), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        _ => String::new(),
    }
}

/// `text` unless it is empty.
pub(crate) fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A string value as it is, everything else as JSON; `None` for an empty value.
pub(crate) fn body<'a>(value: &AnyValue<'a>) -> Option<Cow<'a, str>> {
    match value {
        AnyValue::Empty => None,
        AnyValue::Str(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(json(other, 0).to_string())),
    }
}
