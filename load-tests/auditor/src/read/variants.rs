//! For the tests of readers: an answer of a real server, and everything that differs from it in one place.

use serde_json::{Map, Value as Json};

/// The answer with one thing changed: a member or an element gone, or a value replaced by another. What is empty may as well
/// be gone, so it is neither removed nor replaced by something empty.
pub(crate) fn of(answer: &Json) -> Vec<Json> {
    let mut all = Vec::new();
    match answer {
        Json::Object(members) => {
            for (name, value) in members {
                let with = |value: Option<Json>| {
                    let mut members: Map<String, Json> = members.clone();
                    match value {
                        Some(value) => drop(members.insert(name.clone(), value)),
                        None => drop(members.remove(name)),
                    }
                    Json::Object(members)
                };
                all.extend((!is_empty(value)).then(|| with(None)));
                all.extend(of(value).into_iter().map(|value| with(Some(value))));
            }
        }
        Json::Array(elements) => {
            for (at, value) in elements.iter().enumerate() {
                let mut fewer = elements.clone();
                fewer.remove(at);
                all.push(fewer.into());
                all.extend(of(value).into_iter().map(|value| {
                    let mut changed = elements.clone();
                    changed[at] = value;
                    Json::Array(changed)
                }));
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
    let others = [
        Json::Null,
        true.into(),
        7.into(),
        "x".into(),
        "7".into(),
        Json::Array(Vec::new()),
        Map::new().into(),
    ];
    let differs = |other: &Json| other != answer && !(is_empty(answer) && is_empty(other));
    all.extend(others.into_iter().filter(differs));
    all
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(truth) => !truth,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(all) => all.iter().all(is_empty),
        Json::Object(all) => all.is_empty(),
    }
}

#[test]
fn each_place_of_an_answer_is_changed() {
    let all = of(&serde_json::json!({ "a": [1], "b": "" }));
    assert!(all.contains(&serde_json::json!({ "a": [], "b": "" })));
    assert!(all.contains(&serde_json::json!({ "b": "" })) && !all.contains(&serde_json::json!({ "a": [1] })));
    assert!(all.contains(&serde_json::json!({ "a": ["x"], "b": "" })));
    assert!(all.contains(&serde_json::json!({ "a": [1], "b": 7 })));
}
