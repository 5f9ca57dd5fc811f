//! The schema of a whole configuration, put together from the settings here and the rows of receivers and sinks.

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

/// The schema of the whole document, for editors and for checking everything but the sinks, which are checked by type.
pub(crate) fn document() -> Value {
    let mut root = Value::from(schema_for!(Settings));
    let mut defs = Map::new();
    let front_door = embed(Value::from(schema_for!(receivers::Settings)), "front_door", &mut defs);
    let by_name: Map<String, Value> = receiver_rows()
        .map(|row| (row.name.to_owned(), embed(Value::from((row.schema)()), row.name, &mut defs)))
        .collect();
    let by_type: Vec<Value> = sink_rows()
        .map(|row| {
            let mut schema = embed(sink(row), row.name, &mut defs);
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
    root["properties"]["front_door"] = front_door;
    root["properties"]["receivers"] = json!({
        "type": "object", "additionalProperties": false, "properties": by_name,
        "description": "The receivers; all are on unless switched off.",
    });
    root["properties"]["sinks"] = json!({
        "type": "object", "additionalProperties": { "oneOf": by_type },
        "description": "Where data goes, by a name of yours. Left out: the embedded store alone.",
    });
    merge(&mut root, &json!({ "$defs": defs }), "$defs");
    root["title"] = json!("Tidegate configuration");
    root
}

/// Moves a schema's definitions into `defs` under `prefix`, and rewrites its references.
fn embed(mut schema: Value, prefix: &str, defs: &mut Map<String, Value>) -> Value {
    let own = schema.as_object_mut().and_then(|map| {
        map.remove("$schema");
        map.remove("title");
        map.remove("$defs")
    });
    rename(&mut schema, prefix);
    if let Some(Value::Object(own)) = own {
        for (name, mut definition) in own {
            rename(&mut definition, prefix);
            defs.insert(format!("{prefix}.{name}"), definition);
        }
    }
    schema
}

fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if key == "$ref" => {
                        if let Some(name) = text.strip_prefix("#/$defs/") {
                            *text = format!("#/$defs/{prefix}.{name}");
                        }
                    }
                    other => rename(other, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, prefix)),
        _ => {}
    }
}
