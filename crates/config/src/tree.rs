//! YAML text → a JSON value beside the lines its parts came from.
//!
//! Components check plain JSON values and know nothing of YAML; their problems carry paths, and the document gives
//! those paths their lines back.

use std::collections::BTreeMap;
use std::fmt;

use model::Problem;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use crate::interpolate::{Lookup, interpolate};

/// A parsed configuration.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// The whole as JSON.
    pub value: Value,
    lines: BTreeMap<String, u64>,
}

/// Every problem of a configuration, in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<(Option<u64>, Problem)>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (line, problem)) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let path = if problem.path.is_empty() { "configuration" } else { &problem.path };
            match line {
                Some(line) => write!(f, "{path} (line {line}): {}", problem.message)?,
                None => write!(f, "{path}: {}", problem.message)?,
            }
            if !problem.remedy.is_empty() {
                write!(f, "; {}", problem.remedy)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Document {
    /// The line of `path`, or of its nearest parent that the text holds.
    pub fn line(&self, path: &str) -> Option<u64> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Gives problems their lines and sorts them.
    pub fn locate(&self, problems: Vec<Problem>) -> Problems {
        let mut located: Vec<_> = problems.into_iter().map(|p| (self.line(&p.path), p)).collect();
        located.sort_by_key(|(line, _)| *line);
        located.dedup();
        Problems(located)
    }
}

/// Parses YAML and fills in `${…}`. An empty text is an empty mapping. Syntax errors and duplicate keys end the parse
/// with one problem; missing variables and files are reported all at once.
pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Document, Problems> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let root: Option<Spanned<Node>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map(|at| at.line());
            Problems(vec![(line, Problem::new("", error.to_string(), ""))])
        })?;
    let mut document = Document { value: Value::Object(Map::new()), ..Document::default() };
    let mut problems = Vec::new();
    if let Some(root) = root
        && !matches!(root.value, Node::Null)
    {
        document.value = plain(root, String::new(), &mut document.lines, lookup, &mut problems);
    }
    if problems.is_empty() { Ok(document) } else { Err(document.locate(problems)) }
}

fn plain(
    node: Spanned<Node>,
    path: String,
    lines: &mut BTreeMap<String, u64>,
    lookup: &dyn Lookup,
    problems: &mut Vec<Problem>,
) -> Value {
    lines.insert(path.clone(), node.referenced.line());
    match node.value {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(value),
        Node::Number(value) => Value::Number(value),
        Node::Text(text) => match interpolate(&text, lookup) {
            Ok(text) => Value::String(text),
            Err((message, remedy)) => {
                problems.push(Problem::new(path, message, remedy));
                Value::String(text)
            }
        },
        Node::List(items) => {
            let at = |i| format!("{path}[{i}]");
            items
                .into_iter()
                .enumerate()
                .map(|(i, item)| plain(item, at(i), lines, lookup, problems))
                .collect()
        }
        Node::Mapping(entries) => {
            let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let mut map = Map::new();
            for (key, item) in entries {
                let value = plain(item, at(&key), lines, lookup, problems);
                map.insert(key, value);
            }
            Value::Object(map)
        }
    }
}

/// A YAML node whose children know their places.
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Node>>),
    Mapping(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
                Node::deserialize(deserializer)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Number::from_f64(value).map_or(Node::Null, Node::Number))
            }

            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Mapping(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpolate::tests::Fixed;

    #[test]
    fn a_document_knows_the_line_of_every_path_and_of_missing_children() {
        let text = "sinks:\n  archive:\n    type: kafka\n    brokers:\n      - a:1\n      - b\n";
        let document = parse(text, &Fixed).unwrap();
        for (path, line) in [
            ("sinks.archive.type", 3),
            ("sinks.archive.brokers[1]", 6),
            ("sinks.archive.missing", 3),
            ("sinks.archive.brokers[7]", 5),
        ] {
            assert_eq!(document.line(path), Some(line), "{path}");
        }
        assert_eq!(document.value["sinks"]["archive"]["brokers"][1], "b");
    }

    #[test]
    fn an_empty_text_is_an_empty_mapping() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(parse(text, &Fixed).unwrap().value, serde_json::json!({}), "{text:?}");
        }
    }

    #[test]
    fn syntax_errors_and_duplicate_keys_name_their_line() {
        for text in ["a: [1,\nb: 2\n", "a: 1\na: 2\n"] {
            let problems = parse(text, &Fixed).unwrap_err();
            assert!(problems.0[0].0.is_some(), "{problems}");
        }
    }

    #[test]
    fn every_missing_variable_is_reported_at_once() {
        let problems = parse("a: ${NOPE}\nb:\n  c: x${ALSO_NOPE}y\n", &Fixed).unwrap_err();
        let shown = problems.to_string();
        assert!(shown.contains("a (line 1)") && shown.contains("b.c (line 3)"), "{shown}");
    }

    #[test]
    fn numbers_stay_numbers_and_quoted_digits_stay_text() {
        let document = parse("a: 1\nb: \"1\"\nc: 1.5\nd: true\ne: null\n", &Fixed).unwrap();
        assert_eq!(document.value, serde_json::json!({"a":1,"b":"1","c":1.5,"d":true,"e":null}));
    }
}
