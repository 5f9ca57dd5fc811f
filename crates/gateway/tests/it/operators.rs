//! What an operator does at three in the morning: dead letters, replays and cursors, by command and over HTTP.

use serde_json::{Value, json};
use testkit::peer::{Peer, Reply};
use testkit::process::eventually;

use crate::gateway::Gateway;

const JSON: (&str, &str) = ("content-type", "application/json");

/// An OTLP request of log records with these bodies.
fn logs(bodies: &[&str]) -> Vec<u8> {
    let records: Vec<Value> = bodies
        .iter()
        .map(|body| json!({ "timeUnixNano": "1700000000000000000", "body": { "stringValue": body } }))
        .collect();
    json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] }).to_string().into_bytes()
}

fn send(gateway: &Gateway, bodies: &[&str]) {
    let answer = gateway.post("/v1/logs", &[JSON], &logs(bodies));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn letters(gateway: &Gateway, query: &str) -> Vec<Value> {
    let answer = gateway.get(&format!("/api/v1/dead-letters{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["letters"].as_array().unwrap().clone()
}

/// The sum of a column of the ledger over the rows of a sink.
fn booked(gateway: &Gateway, sink: &str, column: &str) -> u64 {
    let ledger = gateway.ledger();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let rows = ledger["rows"].as_array().unwrap().iter().filter(|row| row["sink"] == sink);
    rows.filter_map(|row| row[column].as_u64()).sum()
}

fn otlp_sink(peer: &Peer) -> String {
    format!(
        "sinks: {{ peer: {{ type: otlp, endpoint: '{}', protocol: http, compression: none, backoff: 100ms }} }}\n",
        peer.url("")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_delivered_again_and_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(Reply::status(200)).await;
    // Three records: the whole, its halves, and each record are too large.
    (0..5).for_each(|_| peer.then(Reply::body(413, "too long")));
    let mut gateway = Gateway::start(folder.path(), &otlp_sink(&peer));
    assert!(gateway.command(&["dead-letters", "list"]).contains("no dead letters"));
    send(&gateway, &["one", "two\u{1b}[31m", "three"]);
    eventually("three dead letters", || (letters(&gateway, "").len() == 3).then_some(()));

    let listed = gateway.command(&["dead-letters", "list", "--sink", "peer", "--since", "-1h"]);
    assert_eq!(listed.matches("too long").count(), 3, "{listed}");
    let ids: Vec<String> =
        letters(&gateway, "").iter().map(|l| l["id"].as_str().unwrap().to_owned()).collect();
    assert!(listed.contains(&ids[0]));
    let shown = gateway.command(&["dead-letters", "show", &ids[1]]);
    assert!(shown.contains("refused by peer") && shown.contains("two"), "{shown}");
    let shown = gateway.get(&format!("/api/v1/dead-letters/{}", ids[2])).json();
    let record = &shown["otlp"]["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["body"]["stringValue"], "three");
    let first = gateway.get("/api/v1/dead-letters?limit=2").json();
    assert_eq!(first["letters"].as_array().unwrap().len(), 2);
    let rest = letters(&gateway, &format!("?after={}", first["next"].as_str().unwrap()));
    assert_eq!(rest.len(), 1);

    // Bad questions have answers that say what to write.
    for (path, status) in [
        ("/api/v1/dead-letters?limit=0", 400),
        ("/api/v1/dead-letters?since=yesterday", 400),
        ("/api/v1/dead-letters?colour=red", 400),
        ("/api/v1/dead-letters/nonsense", 400),
        ("/api/v1/dead-letters/peer:99-8", 404),
        ("/api/v1/dead-letters/peer:1-9", 404),
    ] {
        let answer = gateway.get(path);
        assert_eq!((answer.status, answer.json()["error"].is_string()), (status, true), "{path}");
    }
    let post =
        |headers: &[(&str, &str)], body: &[u8]| gateway.post("/api/v1/dead-letters/replay", headers, body);
    assert_eq!(post(&[JSON], b"{}").status, 400, "nothing is named");
    assert_eq!(post(&[("content-type", "text/plain")], b"{\"all\":true}").status, 415);
    assert_eq!(letters(&gateway, "").len(), 3);

    let before = peer.seen().len();
    let told = gateway.command(&["dead-letters", "replay", &ids[1]]);
    assert!(told.contains("1 dead letters are on the way"), "{told}");
    eventually("two are left", || (letters(&gateway, "").len() == 2).then_some(()));
    assert_eq!(peer.seen().len(), before + 1);
    assert_eq!(booked(&gateway, "peer", "replayed"), 1);

    assert!(gateway.command(&["dead-letters", "drop", &ids[0]]).contains("1 dead letters are dropped"));
    // What was decided outlives the process.
    gateway.process.kill();
    gateway.restart();
    let left = letters(&gateway, "");
    assert_eq!(left.iter().map(|letter| &letter["id"]).collect::<Vec<_>>(), [&json!(ids[2])]);
    gateway.command(&["dead-letters", "replay", "--sink", "peer", "--reason", "too long"]);
    eventually("none is left", || letters(&gateway, "").is_empty().then_some(()));
    assert_eq!(booked(&gateway, "peer", "replayed"), 2);
    assert_eq!(booked(&gateway, "peer", "dead_letters"), 3);
    let metrics = gateway.get("/metrics").text();
    let line = metrics.lines().find(|line| line.contains("outcome=\"replayed\""));
    assert!(line.is_some_and(|line| line.contains("tenant=\"default\"") && line.ends_with(" 2")), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_brings_the_journal_again_and_an_orphan_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(Reply::status(200)).await;
    let archive = format!("  gone: {{ type: file, folder: {} }}\n", folder.path().join("archive").display());
    let sinks = otlp_sink(&peer).replace("sinks: { peer: ", "sinks:\n  peer: ").replace(" } }\n", " }\n");
    let mut gateway = Gateway::start(folder.path(), &format!("{sinks}{archive}"));
    for n in 0..3 {
        send(&gateway, &[&format!("a{n}"), &format!("b{n}")]);
    }
    eventually("six are delivered", || (booked(&gateway, "peer", "delivered") == 6).then_some(()));
    let told = gateway.command(&["replay", "--sink", "peer", "--from", "-1h", "--signal", "logs"]);
    assert!(told.contains("logs: 6 items are on their way to peer again"), "{told}");
    eventually("six more", || (booked(&gateway, "peer", "replayed") == 6).then_some(()));
    eventually("the replay is over", || {
        (!gateway.command(&["cursor", "list"]).contains("a replay")).then_some(())
    });
    assert_eq!(booked(&gateway, "peer", "delivered"), 6);

    let refused = |path: &str, body: &str, status: u16| {
        let answer = gateway.post(path, &[JSON], body.as_bytes());
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
        answer.json()["error"].as_str().unwrap().to_owned()
    };
    assert!(refused("/api/v1/sinks/gone/replay", "{\"from\":\"-1h\"}", 409).contains("start: -1h"));
    refused("/api/v1/sinks/nobody/replay", "{\"from\":\"-1h\"}", 404);
    refused("/api/v1/sinks/peer/replay", "{\"from\":\"-1h\",\"signals\":[\"smoke\"]}", 400);
    assert_eq!(gateway.post("/api/v1/sinks/peer/replay", &[JSON], b"{\"from\":\"soon\"}").status, 422);

    // Without its sink a cursor holds the journal, until an operator drops it.
    gateway.process.kill();
    gateway.reconfigure(&sinks);
    send(&gateway, &["later"]);
    let listed = gateway.command(&["cursor", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("gone") && line.contains("nobody")), "{listed}");
    let told = gateway.command(&["cursor", "drop", "gone"]);
    assert!(told.contains("gone logs is dropped") && told.contains("forgotten"), "{told}");
    let listed = gateway.command(&["cursor", "list"]);
    assert!(!listed.contains("gone"), "{listed}");
    booked(&gateway, "peer", "delivered");
}
