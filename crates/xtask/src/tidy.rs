//! House rules as tests: dependency arrows, file size, the top level, words that say nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// What each crate may depend on, of ours. A new arrow needs a decision record.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("model", &["wire"]),
    ("config", &["model"]),
    ("normalize", &["wire", "model"]),
    ("journal", &["wire", "model"]),
    ("pipeline", &["wire", "model", "normalize", "journal"]),
    ("parquet", &["wire", "model"]),
    ("receivers", &["wire", "model", "normalize", "pipeline"]),
    ("sinks", &["wire", "model", "pipeline", "rows"]),
    ("store", &["wire", "model", "pipeline", "rows"]),
    ("stitch", &["wire", "model", "normalize", "journal", "pipeline"]),
    ("web", &["model", "pipeline", "rows", "store", "stitch"]),
    (
        "gateway",
        &[
            "wire",
            "model",
            "normalize",
            "journal",
            "pipeline",
            "stitch",
            "receivers",
            "sinks",
            "store",
            "web",
            "config",
        ],
    ),
    ("testkit", &[]),
    ("xtask", &[]),
    ("generator", &["testkit", "wire"]),
    // What judges the gateway shares no code with it: one misunderstanding must not hide in both.
    ("auditor", &["testkit"]),
    // It writes everything by itself, and has it read by what is judged.
    ("truth", &["wire", "model", "normalize", "stitch"]),
];

const OURS: &[&str] = &[
    "wire",
    "model",
    "config",
    "normalize",
    "journal",
    "pipeline",
    "rows",
    "receivers",
    "sinks",
    "store",
    "stitch",
    "web",
    "testkit",
    "tidegate",
];

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    "proto",
    "config",
    "deploy",
    "load-tests",
    "docs",
    "README.md",
    "LICENSE",
    "target",
    "tidegate-data",
];

/// Lines of code a file may have, its tests apart.
const MAX_CODE_LINES: usize = 500;

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("load-tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() && entry.file_name().is_some_and(|n| n != "target") {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                found.push(entry);
            }
        }
    }
    found
}

/// Tests may be as long as their cases, and their names say what they are for.
fn is_test(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests") || path.ends_with("tests.rs")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    let below = |parent: &str| fs::read_dir(root().join(parent)).unwrap().map(|e| e.unwrap().path());
    for folder in below("crates").chain(below("load-tests")) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let Some(allowed) = allowed.get(name.as_str()) else {
            wrong.push(format!("{name} has no row in ARROWS"));
            continue;
        };
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            } else if section == "[dependencies]" {
                let dependency = line.split(['=', '.']).next().unwrap().trim();
                if OURS.contains(&dependency) && !allowed.contains(&dependency) {
                    wrong.push(format!("{name} -> {dependency}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that ARROWS does not allow: {wrong:#?}");
}

#[test]
fn no_file_has_more_than_500_lines_of_code() {
    let mut long = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//")).count();
        if lines > MAX_CODE_LINES {
            long.push(format!("{}: {lines}", shown(&path)));
        }
    }
    assert!(long.is_empty(), "split these by idea: {long:#?}");
}

#[test]
fn every_file_opens_with_why_it_exists() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|path| !is_test(path) && !fs::read_to_string(path).unwrap().starts_with("//!"))
        .map(|path| shown(&path))
        .collect();
    assert!(silent.is_empty(), "these open without a //! line: {silent:#?}");
}

#[test]
fn no_file_or_folder_has_a_name_that_says_nothing() {
    const EMPTY: &[&str] = &["util", "utils", "common", "shared", "misc", "manager", "helpers", "types"];
    let empty: Vec<_> = sources()
        .into_iter()
        .filter(|path| {
            path.components().any(|c| {
                let name = c.as_os_str().to_str().unwrap_or("");
                EMPTY.contains(&name.trim_end_matches(".rs"))
            }) && path.starts_with(root())
        })
        .map(|path| shown(&path))
        .filter(|path| EMPTY.iter().any(|e| path.split(['/', '.']).any(|part| part == *e)))
        .collect();
    assert!(empty.is_empty(), "name these by what they hold: {empty:#?}");
}

#[test]
fn the_top_level_is_fixed() {
    let extra: Vec<_> = fs::read_dir(root())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(extra.is_empty(), "not part of the top level: {extra:?}");
}

#[test]
fn nothing_sleeps_and_nothing_is_left_to_do() {
    // Split, so that this file does not find itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
        concat!("thread::", "sleep("),
        concat!("time::", "sleep("),
    ];
    let mut found = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let waits_for_time = line.contains("// waits for time:");
            if words.iter().any(|w| line.contains(w)) && !waits_for_time {
                found.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "finish these, or wait for a condition; a wait that is about time itself says `// waits for time: why`: {found:#?}"
    );
}
