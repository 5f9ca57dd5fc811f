//! What holds for every row.

use super::*;
use serde_json::Value;

#[test]
fn rows_are_sorted_and_named_once() {
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
}

/// The settings of a row's example: the content of its only entry, without `type`.
fn example(row: &SinkRow) -> Value {
    let mut document: Value = serde_saphyr::from_str(row.example).unwrap();
    let entries = document.as_object_mut().unwrap();
    assert_eq!(entries.len(), 1, "{}", row.name);
    let mut settings = entries.values_mut().next().unwrap().take();
    let kind = settings.as_object_mut().unwrap().remove("type");
    assert_eq!(kind, Some(Value::from(row.name)));
    settings
}

#[test]
fn every_example_passes_and_an_unknown_setting_does_not() {
    for row in ROWS {
        let mut settings = example(row);
        assert!((row.check)(settings.clone()).is_ok(), "{}", row.name);
        settings.as_object_mut().unwrap().insert("no_such_setting".into(), Value::from(1));
        let problems = (row.check)(settings).err().unwrap();
        assert_eq!(problems.len(), 1, "{}", row.name);
        assert!(problems[0].message.contains("no_such_setting"), "{}", row.name);
    }
}

#[test]
fn every_setting_has_a_line_for_the_operator() {
    fn walk(row: &str, path: &str, schema: &Value) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(
                schema.get("additionalProperties"),
                Some(&Value::Bool(false)),
                "{row}{path} takes anything"
            );
            for (name, property) in properties {
                // A choice with one key is explained as a whole.
                let explained = property.get("description").or(schema.get("description"));
                let text = explained.and_then(Value::as_str).unwrap_or_default();
                assert!(text.ends_with('.') && text.len() > 10, "{row}{path}.{name} is not explained");
            }
        }
        match schema {
            Value::Object(map) => {
                for (key, value) in map {
                    walk(row, &format!("{path}.{key}"), value);
                }
            }
            Value::Array(list) => {
                for value in list {
                    walk(row, path, value);
                }
            }
            _ => {}
        }
    }
    for row in ROWS {
        walk(row.name, "", (row.schema)().as_value());
        assert!(row.summary.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn a_secret_of_the_wrong_kind_is_not_repeated() {
    for row in ROWS {
        let mut settings = example(row);
        settings
            .as_object_mut()
            .unwrap()
            .insert("auth".into(), serde_json::json!({"bearer": 4_815_162_342_u64}));
        let problems = (row.check)(settings).err().unwrap();
        assert!(!format!("{problems:?}").contains("4815162342"), "{}: {problems:?}", row.name);
    }
}
