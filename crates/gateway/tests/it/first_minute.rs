//! The first minute of a new user: no configuration, no other server.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::process::{Process, answers, eventually, http, write};

use crate::crash::settled;
use crate::gateway::{Gateway, binary};

#[test]
fn without_a_config_it_listens_on_the_usual_ports_and_says_where_everything_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder.path()).env_remove("TIDEGATE_DATA");
    let mut process = Process::start("tidegate", &mut command, folder.path().join("log"));
    process.wait_until("ready", || answers(4318, "/readyz"));
    let log =
        eventually("the last line of the banner", || Some(process.log()).filter(|log| log.contains("try: ")));
    for part in [
        "http://127.0.0.1:4318/v1/traces",
        "http://127.0.0.1:4318/api/v1/write",
        "http://127.0.0.1:4318/ingest/cloudflare/logpush",
        "http://127.0.0.1:4318/ingest/kong/http-log",
        "http://127.0.0.1:4317",
        "tidegate-data",
    ] {
        assert!(log.contains(part), "{part} is not in:\n{log}");
    }
    let unknown = http(4318, "GET", "/no/such/path", &[], &[]).unwrap();
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("/api/v1/write"), "{}", unknown.text());
    let home = http(4318, "GET", "/", &[], &[]).unwrap();
    assert!(home.status == 200 && home.text().contains("/api/v1/ledger"), "{} {}", home.status, home.text());
    assert!(process.terminate().success());
    assert!(folder.path().join("tidegate-data").is_dir());
}

#[test]
fn the_demo_is_found_again_by_trace_and_in_the_books() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), "");
    let printed = gateway.command(&["demo", "--requests", "7", "--seed", "5"]);
    let id = printed.split("tidegate trace ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    // What is acknowledged is in the journal; the couriers bring it to the store a moment later.
    // Two spans were sent; five more are made of two edge rows, a Worker's event and a Kong record. With the Worker's line and the function's
    // own that is six records.
    eventually("the whole trace from edge to function", || {
        let found = gateway.trace(id);
        let trace = &found["traces"][0];
        let is_whole = trace["spans"].as_array()?.len() == 7 && trace["logs"].as_array()?.len() == 6;
        (is_whole && spans(&found) == 2).then_some(())
    });
    for spelling in [id.to_owned(), id.to_uppercase(), format!("00-{id}-00000000000000a1-01"), uuid(id)] {
        let tree = gateway.command(&["trace", &spelling]);
        assert!(tree.contains(&format!("trace {id}: 7 spans")), "{spelling}: {tree}");
        assert!(tree.contains("openfaas-gateway  POST /function/"), "{tree}");
        assert!(tree.contains("kong"), "the Kong record is missing: {tree}");
        assert!(tree.contains("cloudflare"), "the edge rows are missing: {tree}");
    }
    let ledger = gateway.ledger();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let table = gateway.command(&["ledger"]);
    for source in ["otlp", "prometheus", "logpush", "kong"] {
        assert!(table.contains(source), "{source} is not in:\n{table}");
    }
    // 7 requests: 14 spans and 7 function logs; 12 samples; 14 edge rows, 7 Worker events and their 7 console lines; 7 Kong records.
    for (source, items) in [("otlp", 21), ("prometheus", 12), ("logpush", 28), ("kong", 7)] {
        let accepted: u64 = ledger["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["sink"] == "store" && row["source"] == source)
            .filter_map(|row| row["accepted"].as_u64())
            .sum();
        assert_eq!(accepted, items, "{source}: {ledger:#}");
    }
    let metrics = gateway.get("/metrics").text();
    assert!(metrics.contains("tidegate_ledger_items_total{"), "{metrics}");
    let missing = gateway.get("/api/v1/traces/ffffffffffffffffffffffffffffffff");
    assert_eq!(missing.status, 404, "{}", missing.text());
}

fn uuid(id: &str) -> String {
    format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
}

#[test]
fn check_names_every_problem_with_its_line_and_ends_with_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        write(folder.path(), "bad.yaml", "jornal: {}\nsinks:\n  a:\n    type: kavka\n  b:\n    type: otlp\n");
    let output = Command::new(binary()).arg("check").arg(&file).output().unwrap();
    assert!(!output.status.success());
    let shown =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    for part in [
        "jornal (line 1)",
        "did you mean journal?",
        "sinks.a.type (line 4)",
        "sinks.b.endpoint (line 6): there is no endpoint for traces",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let good = write(folder.path(), "good.yaml", "sinks: { s: { type: store } }\n");
    assert!(Command::new(binary()).arg("check").arg(&good).output().unwrap().status.success());
}

#[test]
fn it_refuses_to_listen_beyond_loopback_without_authentication() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "open.yaml", "front_door: { addresses: ['0.0.0.0:0'] }\n");
    let output =
        Command::new(binary()).arg("--config").arg(&file).current_dir(folder.path()).output().unwrap();
    assert!(!output.status.success());
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains("front_door.addresses[0] (line 1)") && shown.contains("auth"), "{shown}");
}

#[test]
fn data_survives_a_polite_stop_and_a_damaged_folder_never_stops_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), "");
    let printed = gateway.command(&["demo", "--requests", "3", "--seed", "9"]);
    let id = printed
        .split("tidegate trace ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap()
        .to_owned();
    settled_or_held(&gateway);
    assert!(gateway.process.terminate().success(), "{}", gateway.process.log());
    gateway.restart();
    eventually("both spans", || (spans(&gateway.trace(&id)) == 2).then_some(()));
    gateway.process.kill();
    // Every file of the journal is hit in the middle; the store has everything, so nothing may be missing afterwards.
    let mut hit = 0;
    for file in journal_files(&folder.path().join("data/journal")) {
        let mut bytes = std::fs::read(&file).unwrap();
        if bytes.len() > 64 {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 8].fill(0xa5);
            std::fs::write(&file, bytes).unwrap();
            hit += 1;
        }
    }
    assert!(hit > 0);
    gateway.restart();
    eventually("both spans", || (spans(&gateway.trace(&id)) == 2).then_some(()));
    let answer = gateway.post("/v1/traces", &[("content-type", "application/json")], b"{}");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn settled_or_held(gateway: &Gateway) {
    let ledger = gateway.ledger();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
}

/// The spans that were sent.
fn spans(found: &Value) -> usize {
    let all = found["traces"][0]["spans"].as_array();
    all.map_or(0, |spans| spans.iter().filter(|span| span["source"] == "otlp").count())
}

fn journal_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn a_second_gateway_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), "");
    let text = std::fs::read_to_string(folder.path().join("tidegate.yaml"))
        .unwrap()
        .replace(&gateway.port.to_string(), "0");
    let other = write(folder.path(), "other.yaml", &text);
    let output =
        Command::new(binary()).arg("--config").arg(&other).current_dir(folder.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("in use"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    drop(gateway);
    eventually("the folder is free again", || {
        let gateway = Gateway::start(folder.path(), "");
        settled(&gateway);
        Some(())
    });
}
