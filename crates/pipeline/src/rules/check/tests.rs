use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn settings(value: &Value) -> RuleSettings {
    RuleSettings::deserialize(value).unwrap()
}

fn check(value: &Value, expected: &[&str]) {
    let found = settings(value).check().map(|_| ()).err().unwrap_or_default();
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), expected.len(), "{value}: {shown:#?}");
    for (shown, expected) in shown.iter().zip(expected) {
        assert!(shown.starts_with(expected), "{shown}\n{expected}");
        assert!(shown.contains("; "), "{shown}: there is a remedy");
    }
}

#[test]
fn good_rules_have_no_problems() {
    check(&json!({}), &[]);
    check(
        &json!({
            "signals": ["traces"], "tenants": { "allow": ["a"], "deny": ["b"] },
            "keep": [{ "field": "severity", "at_least": "warn" }, { "attribute": "n", "above": 3, "at_most": 9.5 }],
            "drop": [{ "all": [{ "resource": "service.name", "one_of": ["a", 7] }, { "none": [{ "field": "status", "equals": "error" }] }] }],
            "sample": { "ratio": 0.25 }, "attributes": { "keep": ["a.*"], "remove": ["a.b"] },
            "redact": [{ "preset": "emails" }, { "attribute": "*.password", "with": "hash", "key": "0123456789abcdef" }, { "pattern": "x+" }],
        }),
        &[],
    );
}

#[test]
fn every_problem_comes_at_once() {
    check(
        &json!({
            "signals": [], "tenants": { "allow": [], "deny": ["a b"] },
            "keep": [{}, { "attribute": "a" }, { "attribute": "a", "field": "name", "exists": true }],
            "drop": [
                { "any": [] }, { "any": [{ "field": "name", "above": 3 }], "equals": 1 },
                { "field": "severity", "prefix": "w" }, { "field": "severity", "equals": "loud" },
                { "field": "kind", "one_of": ["server", "servant"] }, { "attribute": "a", "one_of": [] },
                { "attribute": "a", "matches": "(" }, { "attribute": "a", "above": "b" }, { "attribute": "a", "equals": 1e300 },
            ],
            "sample": { "ratio": 1.5 }, "attributes": { "remove": [""] },
            "redact": [
                {}, { "preset": "emails", "pattern": "x" }, { "pattern": "x*" }, { "attribute": "" },
                { "preset": "emails", "with": "hash", "key": "short" }, { "preset": "emails", "key": "0123456789abcdef" },
                { "preset": "emails", "with": "hash" }, { "pattern": "(a{1000}){1000}" },
            ],
        }),
        &[
            "signals: names no signal",
            "tenants.allow: names no tenant",
            "tenants.deny[0]: \"a b\" is no tenant's name",
            "keep[0]: the condition has no subject",
            "keep[1]: nothing is said of attribute",
            "keep[2]: attribute and field are one too many",
            "drop[0].any: there is no condition in it",
            "drop[1]: any holds conditions and has no test of its own",
            "drop[1].any[0].above: the field is a text",
            "drop[2].prefix: the field is a number",
            "drop[3].equals: \"loud\" is no number",
            "drop[4].one_of: \"servant\" is not known",
            "drop[5].one_of: names no value",
            "drop[6].matches: error: unclosed group",
            "drop[7].above: \"b\" is no number",
            "drop[8].equals: 1",
            "sample.ratio: 1.5 is not from 0 to 1",
            "attributes.remove[0]: the name is empty",
            "redact[0]: nothing says what is redacted",
            "redact[1]: an entry redacts one thing",
            "redact[2].pattern: the pattern matches the empty text",
            "redact[3].attribute: the name is empty",
            "redact[4].key: the key is shorter than 16 bytes",
            "redact[5].key: a mask needs no key",
            "redact[6]: a hash without a key",
            "redact[7].pattern: the pattern takes more than",
        ],
    );
}

#[test]
fn conditions_cannot_nest_without_end() {
    let mut deep = json!({ "attribute": "a", "exists": true });
    for _ in 0..40 {
        deep = json!({ "any": [deep] });
    }
    let found = settings(&json!({ "keep": [deep] })).check().unwrap_err();
    assert!(found[0].to_string().contains("nest deeper than 16"));
}

#[test]
fn the_version_is_that_of_the_rules_and_shows_no_key() {
    let version = |value: Value| settings(&value).check().unwrap().map_or(0, |rules| rules.version());
    let hash = |key: &str| json!({ "redact": [{ "preset": "emails", "with": "hash", "key": key }] });
    assert_eq!(version(json!({})), 0);
    assert_eq!(version(hash("0123456789abcdef")), version(hash("0123456789abcdef")));
    assert_ne!(version(hash("0123456789abcdef")), version(hash("0123456789abcdeg")));
    assert_ne!(
        version(json!({ "drop": [{ "attribute": "a", "exists": true }] })),
        version(hash("0123456789abcdef"))
    );
    let rules = settings(&hash("0123456789abcdef")).check().unwrap();
    assert!(!format!("{rules:?}").contains("0123456789"), "{rules:?}");
    assert!(!serde_json::to_string(&settings(&hash("0123456789abcdef"))).unwrap().contains("0123456789"));
}
