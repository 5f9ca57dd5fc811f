//! `kill -9` under load from all four senders, again and again: what was acknowledged is in the store and in a second sink,
//! and the ledger balances to the item.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testkit::process::eventually;

use crate::gateway::Gateway;
use crate::numbered::{INPUTS, Input, Sender};
use crate::stored;

const ROUNDS: usize = 10;

#[test]
fn what_was_acknowledged_survives_ten_kills_under_load_in_both_sinks() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let sections = format!(
        "stitch: {{ enabled: false }}\nsinks:\n  store: {{ type: store, flush_age: 1s }}\n  archive: {{ type: file, folder: {} }}\n",
        archive.display()
    );
    let mut gateway = Gateway::start(folder.path(), &sections);
    let senders: Vec<Sender> = INPUTS.iter().map(|input| Sender::start(*input, gateway.port)).collect();
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..ROUNDS {
        // Killed at some moment of real load: when each sender got a random number of further items through.
        let goals: Vec<usize> = senders.iter().map(|s| s.acknowledged() + random.usize(20..400)).collect();
        eventually(&format!("acknowledgements in round {round}"), || {
            senders.iter().zip(&goals).all(|(s, goal)| s.acknowledged() >= *goal).then_some(())
        });
        gateway.process.kill();
        gateway.restart();
    }
    let results: Vec<(Input, BTreeSet<u64>, u64)> = senders
        .into_iter()
        .map(|sender| {
            let input = sender.input();
            let (acknowledged, sent) = sender.finish();
            (input, acknowledged, sent)
        })
        .collect();
    let ledger = settled(&gateway);
    for (input, acknowledged, _) in &results {
        for row in rows_of(&ledger, input.source()) {
            assert_eq!(row["difference"], 0, "{row}");
            let accepted = row["accepted"].as_u64().unwrap();
            assert!(
                accepted >= acknowledged.len() as u64,
                "{row} has fewer than the {} acknowledged",
                acknowledged.len()
            );
            assert_eq!(row["delivered"], row["accepted"], "{row}");
        }
    }
    assert!(gateway.process.terminate().success(), "{}", gateway.process.log());
    let in_store = names_in_store(&folder.path().join("data/sinks/store"));
    let in_archive = names_in_archive(&archive);
    for (input, acknowledged, sent) in results {
        assert!(acknowledged.len() >= ROUNDS * 20, "{input:?} sent next to nothing: {}", acknowledged.len());
        for (sink, names) in [("store", &in_store), ("archive", &in_archive)] {
            let lost: Vec<_> = acknowledged.iter().filter(|n| !names.contains(&input.name(**n))).collect();
            assert!(
                lost.is_empty(),
                "{input:?} lost {} of {} in {sink}: {:?}",
                lost.len(),
                acknowledged.len(),
                &lost[..lost.len().min(5)]
            );
            let claimed: BTreeSet<String> = (0..sent).map(|n| input.name(n)).collect();
            let mine = names.iter().filter(|name| kind(name) == Some(input));
            let spurious: Vec<_> = mine.filter(|name| !claimed.contains(*name)).collect();
            assert!(spurious.is_empty(), "{sink} has what {input:?} never sent: {spurious:?}");
        }
    }
}

/// The ledger, once nothing is held any more; it must balance on the way.
pub(crate) fn settled(gateway: &Gateway) -> Value {
    eventually("everything delivered", || {
        let ledger = gateway.ledger();
        assert_eq!(ledger["balanced"], true, "{ledger:#}");
        let held: u64 = ledger["rows"].as_array()?.iter().filter_map(|row| row["held"].as_u64()).sum();
        (held == 0).then_some(ledger)
    })
}

/// The ledger's rows of one source.
pub(crate) fn rows_of<'a>(ledger: &'a Value, source: &str) -> Vec<&'a Value> {
    let rows: Vec<_> =
        ledger["rows"].as_array().into_iter().flatten().filter(|row| row["source"] == source).collect();
    assert!(!rows.is_empty(), "no row of {source}: {ledger:#}");
    rows
}

fn kind(name: &str) -> Option<Input> {
    match name.as_bytes() {
        [b's', b'p', ..] => Some(Input::Otlp),
        [b's', b'a', ..] => Some(Input::RemoteWrite),
        [b'a', ..] if name.len() == 16 => Some(Input::Logpush),
        [b'b', ..] if name.len() == 32 => Some(Input::Kong),
        _ => None,
    }
}

fn names_in_store(store: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    names.extend(
        stored::rows(store, "traces", &["name"]).into_iter().filter_map(|mut row| row.remove("name")),
    );
    for mut row in stored::rows(store, "logs", &["cf_ray", "kong_request_id"]) {
        names.extend(row.remove("cf_ray"));
        names.extend(row.remove("kong_request_id"));
    }
    for mut row in stored::rows(store, "metrics", &["attributes"]) {
        let labels = row.remove("attributes").unwrap_or_default();
        if let Some(at) = labels.find("sample-") {
            names.insert(
                labels[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect(),
            );
        }
    }
    names
}

/// The names in the archive: string values anywhere in its OTLP JSON lines.
pub(crate) fn names_in_archive(archive: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, line) in archive_lines(archive) {
        collect(&line, &mut names);
    }
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if kind(text).is_some() => {
            names.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(map) => map.values().for_each(|item| collect(item, names)),
        _ => {}
    }
}

/// Every line of a file sink's folder, with the path of its file, gzip'd rotations included.
pub(crate) fn archive_lines(archive: &Path) -> Vec<(String, Value)> {
    use std::io::Read as _;
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display())) {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let mut text = String::new();
        if name.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(std::fs::File::open(&path).unwrap())
                .read_to_string(&mut text)
                .unwrap();
        } else if name.ends_with(".ndjson") {
            text = std::fs::read_to_string(&path).unwrap();
        }
        lines.extend(text.lines().map(|line| {
            let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            (name.clone(), value)
        }));
    }
    lines
}
