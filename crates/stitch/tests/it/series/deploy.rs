//! Dashboards and alert rules: Prometheus can read every question in them, every metric and label that they ask for is one that is made
//! here, and the rules pass their own tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::process::http;
use testkit::server::{Prometheus, binary, encode};
use tidegate_stitch::series::metric::{Kind, ROWS};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(deploy().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every name that a query may ask for, each with its labels.
fn made() -> Vec<(String, BTreeSet<&'static str>)> {
    let mut made = Vec::new();
    for row in ROWS {
        let labels: BTreeSet<&str> = row.labels.iter().copied().chain(["instance", "job"]).collect();
        match row.kind {
            Kind::Counter => made.push((row.name.to_owned(), labels)),
            Kind::Histogram { .. } => {
                for end in ["_count", "_sum"] {
                    made.push((format!("{}{end}", row.name), labels.clone()));
                }
                made.push((format!("{}_bucket", row.name), labels.into_iter().chain(["le"]).collect()));
            }
        }
    }
    made
}

/// The questions of a dashboard, those of its variables included.
fn questions(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![dashboard];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                found.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
                if let Some(query) = members.get("query").and_then(Value::as_str)
                    && let Some(inner) = query.strip_prefix("label_values(")
                {
                    let (metric, label) = inner.trim_end_matches(')').rsplit_once(", ").unwrap();
                    found.push(format!("count by ({label}) ({metric})"));
                }
                left.extend(members.values());
            }
            Value::Array(values) => left.extend(values),
            _ => {}
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found.into_iter().map(|question| question.replace("$__rate_interval", "5m")).collect()
}

/// The questions of a file of rules: what stands behind `expr:`, on its line or below it.
fn rules(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut inside = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(rest) = line.trim_start().strip_prefix("expr:") {
            found.push(rest.trim().trim_start_matches('|').to_owned());
            inside = Some(indent);
        } else if inside.is_some_and(|outer| indent > outer) {
            found.last_mut().unwrap().push_str(line);
        } else {
            inside = None;
        }
    }
    found
}

/// What a question asks for: the metrics, and the labels besides those.
#[derive(Default)]
struct Asked {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
}

/// Follows Prometheus' own reading of a question.
fn follow(node: &Value, asked: &mut Asked) {
    match node {
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            if matches!(kind, Some("vectorSelector" | "matrixSelector")) {
                asked.metrics.extend(members["name"].as_str().map(str::to_owned));
                for matcher in members["matchers"].as_array().unwrap() {
                    asked.labels.extend(
                        matcher["name"].as_str().filter(|name| *name != "__name__").map(str::to_owned),
                    );
                }
            }
            let matching = members.get("matching").and_then(|matching| matching.get("labels"));
            for labels in
                [members.get("grouping"), matching].into_iter().flatten().filter_map(Value::as_array)
            {
                asked.labels.extend(labels.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            members.values().for_each(|value| follow(value, asked));
        }
        Value::Array(values) => values.iter().for_each(|value| follow(value, asked)),
        _ => {}
    }
}

#[test]
fn dashboards_and_rules_ask_for_nothing_that_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), "global: {}\n");
    let made = made();
    let mut wrong = Vec::new();
    let mut all = Vec::new();
    for name in ["hybrid-system-overview.json", "kong.json"] {
        let dashboard: Value = serde_json::from_str(&read(&format!("grafana/{name}"))).unwrap();
        all.extend(questions(&dashboard).into_iter().map(|question| (name, question)));
    }
    let name = "tidegate-alerts.yaml";
    let alerts = rules(&read(&format!("prometheus/{name}")));
    assert_eq!(alerts.len(), read(&format!("prometheus/{name}")).matches("alert:").count());
    all.extend(alerts.into_iter().map(|question| (name, question)));
    for (file, question) in &all {
        let path = format!("/api/v1/parse_query?query={}", encode(question));
        let answer = http(prometheus.port, "GET", &path, &[], &[]).unwrap();
        if answer.status != 200 {
            wrong.push(format!("{file}: {question}: {}", answer.text()));
            continue;
        }
        let mut asked = Asked::default();
        follow(&answer.json()["data"], &mut asked);
        if asked.metrics.is_empty() {
            wrong.push(format!("{file}: {question} asks for no metric"));
        }
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for metric in &asked.metrics {
            match made.iter().find(|(name, _)| name == metric) {
                Some((_, labels)) => known.extend(labels),
                None => wrong.push(format!("{file}: {metric} is not made, in {question}")),
            }
        }
        let strange = asked.labels.iter().filter(|label| !known.contains(label.as_str()));
        wrong.extend(strange.map(|label| format!("{file}: no label {label} in {question}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_metric_that_is_not_made_would_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(folder.path(), "global: {}\n");
    let path =
        format!("/api/v1/parse_query?query={}", encode("sum by (a) (rate(x{b=\"c\"}[5m])) / on (d) y"));
    let mut asked = Asked::default();
    follow(&http(prometheus.port, "GET", &path, &[], &[]).unwrap().json()["data"], &mut asked);
    assert_eq!(asked.metrics, ["x", "y"].map(str::to_owned).into());
    assert_eq!(asked.labels, ["a", "b", "d"].map(str::to_owned).into());
}

#[test]
fn alert_rules_pass_their_tests_and_each_is_shown_to_fire_and_not_to() {
    let folder = deploy().join("prometheus");
    for arguments in
        [["check", "rules", "tidegate-alerts.yaml"], ["test", "rules", "tidegate-alerts.test.yaml"]]
    {
        let output = Command::new(binary("promtool")).args(arguments).current_dir(&folder).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
    }
    let tests = read("prometheus/tidegate-alerts.test.yaml");
    let cases: Vec<&str> = tests.split("alertname: ").skip(1).collect();
    for line in read("prometheus/tidegate-alerts.yaml").lines() {
        let Some(alert) = line.trim().strip_prefix("- alert: ") else { continue };
        let of = |ends: &str| {
            cases
                .iter()
                .any(|case| case.lines().next() == Some(alert) && case.lines().nth(1).unwrap().trim() == ends)
        };
        assert!(of("exp_alerts:"), "{alert} is never shown to fire");
        assert!(of("exp_alerts: []"), "{alert} is never shown not to fire");
    }
}
