//! The generated pages: settings, receivers, sinks, the schema. A stale page is written anew, and the test fails once.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::gateway::binary;

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_reference_pages_and_the_schema_are_those_of_the_types() {
    let output = Command::new(binary()).arg("reference").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pages: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut stale = Vec::new();
    let pages = pages.as_object().unwrap();
    assert!(
        pages.contains_key("config/schema.json") && pages.contains_key("docs/reference/sinks/store.md"),
        "{:?}",
        pages.keys()
    );
    for (name, text) in pages {
        let (path, text) = (repository().join(name), text.as_str().unwrap());
        if std::fs::read_to_string(&path).is_ok_and(|held| held == text) {
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        stale.push(name);
    }
    assert!(
        stale.is_empty(),
        "these were stale and are now written anew; look at them and commit: {stale:?}"
    );
}

#[test]
fn every_example_configuration_is_right() {
    let mut checked = 0;
    for entry in std::fs::read_dir(repository().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let output =
                Command::new(binary()).arg("check").arg(&path).env("TIDEGATE_TOKEN", "t").output().unwrap();
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            checked += 1;
        }
    }
    assert!(checked >= 2, "minimal.yaml and full.yaml are there");
}
