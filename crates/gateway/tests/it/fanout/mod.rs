//! The fan-out: the sample story and thousands of numbered items from all four senders go to every sink that has a real
//! server, at once. Each server is killed in the middle and comes back. At the end each one's own query interface says the same
//! as the embedded store, by value and count, and the ledger balances.

mod back_end;
mod metrics;
mod objects;
mod search;
mod story;
mod streams;
mod tables;
mod topics;
mod traces;

use std::collections::BTreeMap;
use std::path::Path;

use testkit::process::eventually;

use crate::crash::settled;
use crate::gateway::Gateway;
use crate::numbered::{INPUTS, Input, Sender};
use crate::samples;
use crate::stored;
use back_end::{BackEnd, Fact};

/// Items that each sender gets through in each step.
const STEP: usize = 150;

#[test]
fn every_back_end_has_every_item_once_although_each_was_killed_mid_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut back_ends = start(folder.path());
    let mut sections =
        "stitch: { enabled: false }\nsinks:\n  store: { type: store, flush_age: 1s }\n".to_owned();
    for back_end in &back_ends {
        sections += &format!("  {}: {}\n", back_end.name(), back_end.sink());
    }
    let mut gateway = Gateway::start(folder.path(), &sections);

    samples::post_story(&gateway);
    let mut firsts = BTreeMap::new();
    let mut acknowledged: BTreeMap<Input, usize> = BTreeMap::new();
    // Each back end in turn is killed while items come, more come while it is away, and it comes back.
    for (round, back_end) in back_ends.iter_mut().enumerate() {
        let senders: Vec<Sender> = INPUTS
            .iter()
            .map(|input| Sender::start_from(*input, gateway.port, firsts.get(input).copied().unwrap_or(0)))
            .collect();
        reach(&senders, STEP, round);
        back_end.kill();
        reach(&senders, 2 * STEP, round);
        for sender in senders {
            let input = sender.input();
            let (numbers, sent) = sender.finish();
            firsts.insert(input, sent);
            *acknowledged.entry(input).or_default() += numbers.len();
        }
        back_end.restart();
    }

    let ledger = settled(&gateway);
    for row in ledger["rows"].as_array().unwrap() {
        assert_eq!(row["delivered"], row["accepted"], "{row}");
    }
    assert!(gateway.process.terminate().success(), "{}", gateway.process.log());
    let store = folder.path().join("data/sinks/store");
    let expected = facts_of_store(&store);
    for (input, count) in &acknowledged {
        let found = expected.iter().filter(|fact| fact.input == *input).count();
        assert_eq!(found, *count, "{input:?}: the store has other than what was acknowledged");
    }
    for back_end in &back_ends {
        let name = back_end.name();
        let takes = |fact: &&Fact| back_end.inputs().contains(&fact.input);
        let want: Vec<Fact> =
            expected.iter().filter(takes).map(|fact| fact.at_resolution(back_end.nanos())).collect();
        // A server may show what it has a moment after it took it; what it shows then must be exactly this.
        let mut found = Vec::new();
        eventually(&format!("{name} shows {} items", want.len()), || {
            found = back_end.facts();
            (found.len() >= want.len()).then_some(())
        });
        found.sort();
        compare(name, &want, &found);
        back_end.check_story(&store);
    }
}

/// Waits until each sender got so many items through.
fn reach(senders: &[Sender], count: usize, round: usize) {
    eventually(&format!("{count} acknowledged items of each sender in round {round}"), || {
        senders.iter().all(|sender| sender.acknowledged() >= count).then_some(())
    });
}

/// Every back end with a real server; the slow ones only when they are asked for.
fn start(folder: &Path) -> Vec<Box<dyn BackEnd>> {
    let path = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let mut all: Vec<Box<dyn BackEnd>> = vec![
        Box::new(metrics::InPrometheus::start(&path("prometheus"))),
        Box::new(metrics::InVictoriaMetrics::start(&path("victoriametrics"))),
        Box::new(objects::InS3::start(&path("s3"))),
        Box::new(search::InOpenSearch::start(&path("opensearch"))),
        Box::new(topics::InKafka::start(&path("kafka"))),
    ];
    if testkit::server::all() {
        all.push(Box::new(tables::InClickHouse::start(&path("clickhouse"))));
        all.push(Box::new(streams::InLoki::start(&path("loki"))));
        all.push(Box::new(traces::InJaeger::start(&path("jaeger"), &folder.join("data/sinks/store"))));
    }
    all
}

/// The numbered items in the store's files, in order.
pub(crate) fn facts_of_store(store: &Path) -> Vec<Fact> {
    let mut facts = Vec::new();
    for row in stored::rows(store, "traces", &["name", "timestamp", "end_time"]) {
        facts.extend(Fact::new(Input::Otlp, &row["name"], &row["timestamp"], row["end_time"].clone()));
    }
    for row in stored::rows(store, "metrics", &["attributes", "timestamp", "value"]) {
        let name = row["attributes"].split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let name = name.into_iter().find(|part| part.starts_with("sample-")).unwrap_or_default();
        let value: f64 = row["value"].parse().unwrap();
        facts.extend(Fact::new(Input::RemoteWrite, name, &row["timestamp"], value.to_string()));
    }
    for row in stored::rows(store, "logs", &["timestamp", "body"]) {
        facts.extend(Fact::of_body(&row["timestamp"], row.get("body").map_or("", String::as_str)));
    }
    facts.sort();
    facts
}

/// Panics with the first differences.
fn compare(name: &str, want: &[Fact], found: &[Fact]) {
    let counts = |facts: &[Fact]| {
        let mut counts: BTreeMap<Fact, usize> = BTreeMap::new();
        for fact in facts {
            *counts.entry(fact.clone()).or_default() += 1;
        }
        counts
    };
    let (wanted, has) = (counts(want), counts(found));
    let lost: Vec<_> = wanted.iter().filter(|(fact, _)| !has.contains_key(fact)).take(3).collect();
    let more: Vec<_> = has.iter().filter(|(fact, count)| wanted.get(fact) != Some(count)).take(3).collect();
    assert!(
        lost.is_empty() && more.is_empty(),
        "{name} has {} items of {}; lost or changed: {lost:#?}; others, or more often: {more:#?}",
        found.len(),
        want.len()
    );
    assert!(want.len() > STEP, "{name} was sent next to nothing: {}", want.len());
}
