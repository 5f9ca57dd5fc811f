//! A JSON schema → a Markdown table for operators: setting, type, default, meaning.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// One table with a row for each setting of `schema`, nested settings with dotted names.
pub fn page(schema: &Value) -> String {
    let mut out = String::from("| setting | type | default | meaning |\n|---|---|---|---|\n");
    rows(schema, schema, "", &mut out);
    out
}

fn rows(schema: &Value, root: &Value, prefix: &str, out: &mut String) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for (key, property) in properties {
        let (target, nullable) = settle(property, root);
        let name = format!("{prefix}{key}");
        let about = description(property).or_else(|| description(target)).unwrap_or_default();
        if target.get("properties").is_some() {
            let _ = writeln!(out, "| `{name}` | mapping | | {about} |");
            rows(target, root, &format!("{name}."), out);
            continue;
        }
        let default = match property.get("default") {
            Some(Value::Null) | None if required.contains(&key.as_str()) => "required".to_owned(),
            Some(Value::Null) | None if nullable => "unset".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(value) => format!("`{}`", value.as_str().map_or_else(|| value.to_string(), Into::into)),
        };
        let _ = writeln!(out, "| `{name}` | {} | {default} | {about} |", kind(target, root));
    }
}

/// Follows `$ref` and drops the `null` choice of an optional setting.
fn settle<'a>(schema: &'a Value, root: &'a Value) -> (&'a Value, bool) {
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) {
        return settle(root.pointer(pointer).unwrap_or(schema), root);
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let rest: Vec<&Value> =
            choices.iter().filter(|c| c.get("type").and_then(Value::as_str) != Some("null")).collect();
        if let [only] = rest[..] {
            return (settle(only, root).0, true);
        }
    }
    let nullable =
        schema.get("type").and_then(Value::as_array).is_some_and(|types| types.iter().any(|t| t == "null"));
    (schema, nullable)
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|"))
}

fn kind(schema: &Value, root: &Value) -> String {
    let choices = |values: &[Value]| {
        values.iter().map(|v| format!("`{}`", v.as_str().unwrap_or("?"))).collect::<Vec<_>>().join(", ")
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return choices(values);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(parts) = schema.get(key).and_then(Value::as_array) {
            let named: Vec<String> = parts
                .iter()
                .map(|part| match (part.get("const"), part.get("enum").and_then(Value::as_array)) {
                    (Some(Value::String(only)), _) => format!("`{only}`"),
                    (_, Some(values)) => choices(values),
                    _ => kind(settle(part, root).0, root),
                })
                .collect();
            return named.join(", ");
        }
    }
    let object = |map: &Map<String, Value>| match map.get("additionalProperties") {
        Some(values @ Value::Object(_)) => format!("mapping of {}", kind(settle(values, root).0, root)),
        _ => "mapping".to_owned(),
    };
    let first = match schema.get("type") {
        Some(Value::String(one)) => Some(one.as_str()),
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).find(|t| *t != "null"),
        _ => None,
    };
    match (first, schema.as_object()) {
        (Some("array"), _) => {
            let item =
                schema.get("items").map_or(String::from("values"), |items| kind(settle(items, root).0, root));
            format!("list of {item}")
        }
        (Some("object"), Some(map)) => object(map),
        (Some("string"), _) => "text".into(),
        (Some("integer"), _) => "whole number".into(),
        (Some("number"), _) => "number".into(),
        (Some("boolean"), _) => "`true`, `false`".into(),
        (Some(other), _) => other.into(),
        (None, _) => "any".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_type_default_and_meaning() {
        let schema = serde_json::json!({
            "required": ["url"],
            "properties": {
                "url": {"type": "string", "description": "Where\nto send."},
                "mode": {"$ref": "#/$defs/Mode", "default": "sync"},
                "wait": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "tls": {"properties": {"ca": {"type": ["string", "null"], "description": "A file."}}},
            },
            "$defs": {"Mode": {"oneOf": [{"const": "sync"}, {"const": "flush"}]}},
        });
        let page = page(&schema);
        for row in [
            "| `url` | text | required | Where to send. |",
            "| `mode` | `sync`, `flush` | `sync` |  |",
            "| `wait` | text | unset |  |",
            "| `tls.ca` | text | unset | A file. |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
    }
}
