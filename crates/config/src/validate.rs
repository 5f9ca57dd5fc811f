//! A value against a JSON schema, as far as `schemars` writes it for our settings: objects, maps, arrays, scalars, `enum`,
//! `const`, `anyOf`/`oneOf`, `$ref`, `pattern`, bounds. It exists because a derived reader stops at its first error, and an
//! operator wants all of them.

use model::Problem;
use serde_json::{Map, Value};

/// Every problem of `value` under `schema`; `path` is where the value stands. `root` holds the `$defs`.
pub fn validate(value: &Value, schema: &Value, root: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Value::Object(schema) = schema else { return };
    if let Some(Value::String(reference)) = schema.get("$ref")
        && let Some(target) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
    {
        return validate(value, target, root, path, problems);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(choices)) = schema.get(key) {
            return any_of(value, choices, root, path, problems);
        }
    }
    if let Some(Value::Array(all)) = schema.get("allOf") {
        for part in all {
            validate(value, part, root, path, problems);
        }
    }
    if !type_fits(value, schema) {
        let expected = expected(schema);
        let remedy = schema
            .get("description")
            .and_then(Value::as_str)
            .map_or(String::new(), |d| first_sentence(d).to_owned());
        let shown = if is_secret(schema) { "the value".into() } else { short(value) };
        return problems.push(Problem::new(path, format!("{shown} is not {expected}"), remedy));
    }
    if let Some(Value::Array(values)) = schema.get("enum")
        && !values.contains(value)
    {
        return problems.push(Problem::new(path, format!("{} is not known", short(value)), one_of(values)));
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return problems.push(Problem::new(
            path,
            format!("{} is not known", short(value)),
            format!("write {}", short(only)),
        ));
    }
    match value {
        Value::Object(map) => object(map, schema, root, path, problems),
        Value::Array(items) => {
            if let Some(item_schema) = schema.get("items") {
                for (i, item) in items.iter().enumerate() {
                    validate(item, item_schema, root, &format!("{path}[{i}]"), problems);
                }
            }
        }
        Value::Number(number) => bounds(number, schema, path, problems),
        _ => {}
    }
}

fn object(
    map: &Map<String, Value>,
    schema: &Map<String, Value>,
    root: &Value,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let rest = schema.get("additionalProperties");
    for (key, value) in map {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (properties.get(key), rest) {
            (Some(property), _) => validate(value, property, root, &at, problems),
            (None, Some(Value::Bool(false))) => {
                problems.push(Problem::new(at, "no such setting", suggestion(key, properties.keys())));
            }
            (None, Some(schema)) => validate(value, schema, root, &at, problems),
            (None, None) => {}
        }
    }
    for key in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if !map.contains_key(key) {
            let about =
                properties.get(key).and_then(|p| p.get("description")).and_then(Value::as_str).unwrap_or("");
            problems.push(Problem::new(path, format!("{key} is missing"), first_sentence(about)));
        }
    }
}

/// Reports the problems of the choice that fits best: one whose type (and `type:` tag) fits; else names the choices.
fn any_of(value: &Value, choices: &[Value], root: &Value, path: &str, problems: &mut Vec<Problem>) {
    // A setting that may be left out: what it is when it is there says more than that it is one of two.
    let is_null = |choice: &&Value| choice.get("type").and_then(Value::as_str) == Some("null");
    if let [only] = choices.iter().filter(|choice| !is_null(choice)).collect::<Vec<_>>()[..]
        && !(value.is_null() && choices.len() > 1)
    {
        return validate(value, only, root, path, problems);
    }
    let mut best: Option<Vec<Problem>> = None;
    let mut scalars = Vec::new();
    for choice in choices {
        let resolved = resolve(choice, root);
        let mut found = Vec::new();
        validate(value, resolved, root, path, &mut found);
        if found.is_empty() {
            return;
        }
        if let Some(schema) = resolved.as_object() {
            match (schema.get("const"), schema.get("enum")) {
                (Some(only), _) => scalars.push(only.clone()),
                (_, Some(Value::Array(values))) => scalars.extend(values.iter().cloned()),
                _ => {}
            }
            let fits = value.is_object() && type_fits(value, schema) && schema.contains_key("type");
            if fits && best.as_ref().is_none_or(|b| found.len() < b.len()) {
                best = Some(found);
            }
        }
    }
    if let Some(found) = best {
        return problems.extend(found);
    }
    let remedy = if scalars.is_empty() {
        choices
            .iter()
            .filter_map(|c| resolve(c, root).as_object().map(expected))
            .collect::<Vec<_>>()
            .join(" or ")
    } else {
        one_of(&scalars)
    };
    let secret = choices.iter().any(|choice| resolve(choice, root).as_object().is_some_and(is_secret));
    let shown = if secret { "the value".into() } else { short(value) };
    problems.push(Problem::new(path, format!("{shown} is not known"), remedy));
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

fn types(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn type_fits(value: &Value, schema: &Map<String, Value>) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|t| match *t {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string() || (schema.contains_key("pattern") && value.as_u64() == Some(0)),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            _ => true,
        })
}

fn expected(schema: &Map<String, Value>) -> String {
    let names = types(schema).into_iter().filter(|t| *t != "null").map(|t| match t {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        other => other,
    });
    names.collect::<Vec<_>>().join(" or ")
}

fn bounds(number: &serde_json::Number, schema: &Map<String, Value>, path: &str, problems: &mut Vec<Problem>) {
    let Some(value) = number.as_f64() else { return };
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(min) = bound("minimum").filter(|min| value < *min) {
        problems.push(Problem::new(path, format!("{number} is below the minimum of {min}"), ""));
    }
    if let Some(max) = bound("maximum").filter(|max| value > *max) {
        problems.push(Problem::new(path, format!("{number} is above the maximum of {max}"), ""));
    }
}

/// A setting whose value is never shown, not even when it is of the wrong type.
fn is_secret(schema: &Map<String, Value>) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn one_of(values: &[Value]) -> String {
    format!(
        "write one of {}",
        values
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into))
            .collect::<Vec<_>>()
            .join(", ")
    )
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// The known name nearest to a mistyped one, or all of them when none is near.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let mut known: Vec<&String> = known.collect();
    known.sort_by_key(|k| distance(name, k));
    match known.first() {
        Some(near) if distance(name, near) <= 2.max(name.len() / 3) => format!("did you mean {near}?"),
        Some(_) => {
            known.sort();
            format!("known are {}", known.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", "))
        }
        None => "remove it".into(),
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: &Value, expected: &[&str]) {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["url"],
            "properties": {
                "url": {"type": "string", "description": "Where to send. Verbatim."},
                "retries": {"type": "integer", "minimum": 1, "maximum": 9},
                "mode": {"$ref": "#/$defs/Mode"},
                "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                "wait": {"type": ["string", "null"], "pattern": "s$"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "token": {"type": "string", "writeOnly": true},
                "key": {"anyOf": [{"$ref": "#/$defs/Secret"}, {"type": "null"}]},
            },
            "$defs": {"Secret": {"type": "string", "writeOnly": true}, "Mode": {"oneOf": [{"const": "sync", "type": "string"}, {"const": "flush", "type": "string"}]}},
        });
        let mut problems = Vec::new();
        validate(value, &schema, &schema, "", &mut problems);
        let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_good_value_has_no_problems() {
        check(
            &json!({"url": "x", "retries": 3, "mode": "sync", "headers": {"a": "b"}, "wait": null, "tags": ["t"]}),
            &[],
        );
        check(&json!({"url": "x", "wait": 0}), &[]);
    }

    #[test]
    fn all_problems_come_at_once_with_paths_and_remedies() {
        check(
            &json!({"ulr": 1, "retries": 10, "mode": "fast", "headers": {"a": 1}, "tags": ["t", 2]}),
            &[
                "headers.a: 1 is not a text",
                "mode: \"fast\" is not known; write one of sync, flush",
                "retries: 10 is above the maximum of 9",
                "tags[1]: 2 is not a text",
                "ulr: no such setting; did you mean url?",
                ": url is missing; Where to send",
            ],
        );
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_shown() {
        check(&json!({"url": "x", "token": 123_456}), &["token: the value is not a text"]);
        check(&json!({"url": "x", "key": 123_456}), &["key: the value is not a text"]);
        check(&json!({"url": "x", "key": null}), &[]);
    }

    #[test]
    fn a_name_with_no_near_relative_lists_the_known_ones() {
        check(
            &json!({"url": "x", "zzzzzzzz": 1}),
            &["zzzzzzzz: no such setting; known are headers, key, mode, retries, tags, token, url, wait"],
        );
    }
}
