//! The schema of a whole configuration, put together from the settings here and the rows of receivers and sinks.

use std::collections::{BTreeMap, BTreeSet};

use pipeline::SinkRow;
use receivers::ReceiverRow;
use schemars::schema_for;
use serde_json::{Map, Value, json};

use crate::settings::{CourierSettings, Settings};

/// Every sink that there is.
pub(crate) fn sink_rows() -> impl Iterator<Item = &'static SinkRow> {
    std::iter::once(&store::ROW).chain(sinks::ROWS)
}

/// Every receiver that there is.
pub(crate) fn receiver_rows() -> impl Iterator<Item = &'static ReceiverRow> {
    receivers::ROWS.iter()
}

/// The schema of one sink's settings, those of its courier included, `type` and name apart.
pub(crate) fn sink(row: &SinkRow) -> Value {
    let mut schema = Value::from((row.schema)());
    let courier = Value::from(schema_for!(CourierSettings));
    merge(&mut schema, &courier, "properties");
    merge(&mut schema, &courier, "$defs");
    schema
}

fn merge(into: &mut Value, from: &Value, key: &str) {
    let Some(entries) = from.get(key).and_then(Value::as_object) else { return };
    if let Some(target) = into.as_object_mut() {
        let target = target.entry(key).or_insert_with(|| Value::Object(Map::new()));
        for (name, schema) in entries {
            if let Some(target) = target.as_object_mut() {
                target.entry(name.clone()).or_insert_with(|| schema.clone());
            }
        }
    }
}

/// The schema of the whole document, for editors and for checking everything but the sinks, which are checked by type. What
/// stands at several places is written once, as a definition.
pub(crate) fn document() -> Value {
    let root = Value::from(schema_for!(Settings));
    let front_door = Value::from(schema_for!(receivers::Settings));
    let courier = Value::from(schema_for!(CourierSettings));
    let receivers: Vec<_> = receiver_rows().map(|row| (row.name, Value::from((row.schema)()))).collect();
    let sinks: Vec<_> = sink_rows().map(|row| (row, Value::from((row.schema)()))).collect();
    let parts = [&root, &front_door, &courier].into_iter().chain(receivers.iter().map(|(_, schema)| schema));
    let all: Vec<&Value> = parts.chain(sinks.iter().map(|(_, schema)| schema)).collect();
    let mut defs = Defs { common: common(&all), found: Map::new() };

    let dialect = root["$schema"].clone();
    let mut root = defs.take(root, "settings");
    root["properties"]["front_door"] = defs.take(front_door, "front_door");
    let by_name: Map<String, Value> = receivers
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), defs.take(schema, &format!("receiver.{name}"))))
        .collect();
    root["properties"]["receivers"] = json!({
        "type": "object", "additionalProperties": false, "properties": by_name,
        "description": "The receivers; all are on unless switched off.",
    });
    let every_sink = defs.properties(courier, "courier");
    let by_type: Vec<Value> = sinks
        .into_iter()
        .map(|(row, schema)| {
            let mut schema = defs.take(schema, &format!("sink.{}", row.name));
            merge(&mut schema, &json!({ "properties": every_sink }), "properties");
            schema["description"] = json!(row.summary);
            schema["properties"]["type"] = json!({ "const": row.name });
            if let Some(map) = schema.as_object_mut() {
                let required = map.entry("required").or_insert_with(|| json!([]));
                if let Some(list) = required.as_array_mut() {
                    list.push(json!("type"));
                }
            }
            schema
        })
        .collect();
    root["properties"]["sinks"] = json!({
        "type": "object", "additionalProperties": { "oneOf": by_type },
        "description": "Where data goes, by a name of yours. Left out: the embedded store alone.",
    });
    root["$defs"] = Value::Object(defs.found);
    root["$schema"] = dialect;
    root["title"] = json!("Tidegate configuration");
    root
}

/// The definitions of a document that is put together from several.
struct Defs {
    /// What a name means in most of them: that is written once, under the name itself.
    common: BTreeMap<String, Value>,
    found: Map<String, Value>,
}

impl Defs {
    /// Takes a schema's definitions out of it, under their own names where these mean what they mean elsewhere, else below `prefix`.
    fn take(&mut self, mut schema: Value, prefix: &str) -> Value {
        let own = schema.as_object_mut().and_then(|map| {
            map.remove("$schema");
            map.remove("title");
            map.remove("$defs")
        });
        let Some(Value::Object(own)) = own else { return schema };
        let names = self.names(&own, prefix);
        rename(&mut schema, &names);
        for (name, mut definition) in own {
            rename(&mut definition, &names);
            self.found.insert(names[&name].clone(), definition);
        }
        schema
    }

    /// What a schema's definitions are to be called.
    fn names(&self, own: &Map<String, Value>, prefix: &str) -> BTreeMap<String, String> {
        let mut common: BTreeSet<&str> = own
            .iter()
            .filter(|(name, definition)| self.common.get(*name) == Some(definition))
            .map(|(name, _)| name.as_str())
            .collect();
        // What refers to one with a meaning of its own has a meaning of its own.
        loop {
            let apart = |name: &&&str| references(&own[**name]).iter().any(|other| !common.contains(other));
            let Some(name) = common.iter().find(apart).copied() else { break };
            common.remove(name);
        }
        let called = |name: &String| match common.contains(name.as_str()) {
            true => name.clone(),
            false => format!("{prefix}.{name}"),
        };
        own.keys().map(|name| (name.clone(), called(name))).collect()
    }

    /// Makes a definition of each property of a schema; answers properties that refer to them.
    fn properties(&mut self, schema: Value, prefix: &str) -> Map<String, Value> {
        let mut schema = self.take(schema, prefix);
        let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else {
            return Map::new();
        };
        let mut referring = Map::new();
        for (name, property) in properties {
            let definition = format!("{prefix}.{name}");
            referring.insert(name, json!({ "$ref": format!("{DEFS}{definition}") }));
            self.found.insert(definition, property);
        }
        referring
    }
}

fn rename(schema: &mut Value, names: &BTreeMap<String, String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if key == "$ref" => {
                        if let Some(name) = text.strip_prefix(DEFS).and_then(|name| names.get(name)) {
                            *text = format!("{DEFS}{name}");
                        }
                    }
                    other => rename(other, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        _ => {}
    }
}

/// Where definitions stand.
const DEFS: &str = "#/$defs/";

/// What each name of a definition means in most of `schemas`; of two that are as frequent, the first.
fn common(schemas: &[&Value]) -> BTreeMap<String, Value> {
    let mut meanings: BTreeMap<&str, Vec<(&Value, usize)>> = BTreeMap::new();
    let definitions = schemas.iter().filter_map(|schema| schema.get("$defs")?.as_object()).flatten();
    for (name, definition) in definitions {
        let meanings = meanings.entry(name).or_default();
        match meanings.iter_mut().find(|(other, _)| *other == definition) {
            Some((_, times)) => *times += 1,
            None => meanings.push((definition, 1)),
        }
    }
    let mut common = BTreeMap::new();
    for (name, meanings) in meanings {
        if let Some((most, _)) = meanings.into_iter().rev().max_by_key(|(_, times)| *times) {
            common.insert(name.to_owned(), most.clone());
        }
    }
    common
}

/// The names of the definitions that a schema refers to.
fn references(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix(DEFS));
            own.into_iter().chain(map.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_no_definition_stands_twice() {
        let document = document();
        let defs = document["$defs"].as_object().unwrap();
        let names = references(&document);
        assert!(names.contains(&"ConditionSettings"), "{names:?}");
        for name in &names {
            assert!(defs.contains_key(*name), "{name}");
        }
        for (name, definition) in defs {
            assert!(names.contains(&name.as_str()), "{name} is used by nobody");
            let twins = defs.iter().filter(|(other, twin)| *other != name && *twin == definition);
            let big = |definition: &Value| definition.to_string().len() > 400;
            let twins: Vec<&String> = twins.filter(|(_, twin)| big(twin)).map(|(other, _)| other).collect();
            assert!(twins.is_empty(), "{name} is also {twins:?}");
        }
    }

    #[test]
    fn names_that_mean_several_things_are_kept_apart_with_what_refers_to_them() {
        let schema = |kind: &str| {
            json!({ "$defs": {
                "Kind": { "type": kind },
                "Outer": { "items": { "$ref": "#/$defs/Kind" } },
                "Size": { "type": "string" },
            }})
        };
        let (most, other) = (schema("string"), schema("integer"));
        let all = [&other, &most, &most];
        let mut defs = Defs { common: common(&all), found: Map::new() };
        for (schema, prefix) in all.into_iter().zip(["a", "b", "c"]) {
            defs.take(schema.clone(), prefix);
        }
        let names: Vec<&String> = defs.found.keys().collect();
        assert_eq!(names, ["Kind", "Outer", "Size", "a.Kind", "a.Outer"]);
        assert_eq!(defs.found["Outer"]["items"]["$ref"], "#/$defs/Kind");
        assert_eq!(defs.found["a.Outer"]["items"]["$ref"], "#/$defs/a.Kind");
    }

    /// Every variable and file is there.
    struct Anything;

    impl config::Lookup for Anything {
        fn variable(&self, _: &str) -> Option<String> {
            Some("text".to_owned())
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Ok("text".to_owned())
        }
    }

    /// The YAML in a page.
    fn blocks(page: &str) -> Vec<String> {
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.map(str::to_owned).collect()
    }

    #[test]
    fn every_example_is_right_under_the_schema_for_editors() {
        let repository = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let mut texts = Vec::new();
        for folder in
            ["config", "docs/guides", "docs/reference", "docs/reference/sinks", "docs/reference/receivers"]
        {
            for entry in std::fs::read_dir(repository.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.display().to_string();
                let text = || std::fs::read_to_string(&path).unwrap();
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("yaml") => texts.push((name, text())),
                    Some("md") => {
                        texts.extend(blocks(&text()).into_iter().map(|block| (name.clone(), block)));
                    }
                    _ => {}
                }
            }
        }
        let document = document();
        let ours = document["properties"].as_object().unwrap();
        let mut checked = 0;
        for (name, text) in texts {
            let value = config::parse(&text, &Anything).unwrap().value;
            // Some YAML in the guides configures other programs.
            if !value.as_object().is_some_and(|map| map.keys().all(|key| ours.contains_key(key))) {
                continue;
            }
            let mut problems = Vec::new();
            config::validate(&value, &document, &document, "", &mut problems);
            assert!(problems.is_empty(), "{name}: {problems:?}");
            checked += 1;
        }
        assert!(checked > sink_rows().count(), "{checked}");
    }
}
