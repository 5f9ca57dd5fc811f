//! A sink with `edge_logs: joined`: each log record of Cloudflare and Kong once, under its trace and span, however often the gateway is
//! killed; everything else as it came; and what it has held is booked to the record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use testkit::process::eventually;

use super::{ask, inputs, post};
use crate::crash::{archive_lines, settled};
use crate::gateway::Gateway;

fn sections(folder: &Path, edge_logs: &str) -> String {
    let archive = |name: &str| folder.join(name).display().to_string();
    format!(
        "stitch: {{ hold: 200ms }}\nsinks:\n  store: {{ type: store, flush_age: 1s }}\n  all: {{ type: file, folder: {} }}\n  joined: {{ type: file, folder: {}, edge_logs: {edge_logs} }}\n",
        archive("all"),
        archive("joined")
    )
}

fn attribute<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let all = record["attributes"].as_array()?;
    all.iter().find(|pair| pair["key"] == name)?["value"]["stringValue"].as_str()
}

/// What a record is, whenever and however often it came.
fn own(record: &Value) -> String {
    let key = attribute(record, "tidegate.key");
    json!([record["eventName"], record["timeUnixNano"], record["body"], key]).to_string()
}

/// The log records in a file sink's folder.
fn records(folder: &Path) -> Vec<Value> {
    let lines = archive_lines(folder);
    let scopes = lines.iter().flat_map(|(_, line)| line["resourceLogs"].as_array().into_iter().flatten());
    let scopes = scopes.flat_map(|resource| resource["scopeLogs"].as_array().into_iter().flatten());
    scopes.flat_map(|scope| scope["logRecords"].as_array().cloned().unwrap_or_default()).collect()
}

/// How many items of the logs a sink has been through, by source and what became of them.
fn books(ledger: &Value, sink: &str) -> BTreeMap<(String, String), u64> {
    let mut books = BTreeMap::new();
    for row in ledger["rows"].as_array().unwrap() {
        if row["sink"] != sink || row["signal"] != "logs" {
            continue;
        }
        let mut book = |what: &str, count: &Value| {
            let key = (row["source"].as_str().unwrap().to_owned(), what.to_owned());
            *books.entry(key).or_default() += count.as_u64().unwrap_or(0);
        };
        ["accepted", "delivered"].iter().for_each(|what| book(what, &row[*what]));
        book("joined", &row["dropped"]["joined"]);
    }
    books
}

#[test]
fn a_sink_gets_each_edge_log_once_joined_though_the_gateway_is_killed() {
    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut inputs = inputs();
        random.shuffle(&mut inputs);

        // What comes before the sink asks for it reaches it as it came.
        let mut gateway = Gateway::start(folder.path(), &sections(folder.path(), "received"));
        let first = ("/ingest/kong/http-log", testkit::sample("kong/http-log-3x-single.json"));
        post(&gateway, &first);
        settled(&gateway);
        assert!(gateway.process.terminate().success(), "{}", gateway.process.log());
        gateway.reconfigure(&sections(folder.path(), "joined"));

        let plain = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "body": { "stringValue": "of a service" } }] }] }] });
        inputs.insert(inputs.len() / 2, ("/v1/logs", plain.to_string().into_bytes()));
        for input in &inputs {
            post(&gateway, input);
            if random.u8(..3) == 0 {
                gateway.process.kill();
                gateway.restart();
            }
        }
        let ledger = settled(&gateway);

        let (all, joined) = (records(&folder.path().join("all")), records(&folder.path().join("joined")));
        let set = |records: &[Value]| records.iter().map(own).collect::<BTreeSet<_>>();
        assert_eq!(set(&joined), set(&all), "seed {seed}");
        assert_eq!(set(&joined).len(), joined.len(), "seed {seed}: a record came twice");
        assert!(all.len() > joined.len() + 5, "some of what was sent was sent before: {}", all.len());

        let (of_all, of_joined) = (books(&ledger, "all"), books(&ledger, "joined"));
        let at = |books: &BTreeMap<_, u64>, source: &str, what: &str| {
            books.get(&(source.to_owned(), what.to_owned())).copied().unwrap_or(0)
        };
        let again = at(&of_joined, "stitch-joined", "accepted");
        assert_eq!(at(&of_joined, "stitch-joined", "delivered"), again, "{of_joined:#?}");
        assert_eq!(again as usize, joined.len() - 2, "{of_joined:#?}");
        assert_eq!(at(&of_all, "stitch-joined", "joined"), again, "{of_all:#?}");
        for (source, as_received) in [("kong", 1), ("logpush", 0), ("otlp", 1)] {
            let (accepted, delivered) =
                (at(&of_joined, source, "accepted"), at(&of_joined, source, "delivered"));
            assert_eq!(delivered, as_received, "{source}: {of_joined:#?}");
            assert_eq!(at(&of_joined, source, "joined"), accepted - delivered, "{source}: {of_joined:#?}");
            assert_eq!(at(&of_all, source, "delivered"), accepted, "{source}: {of_all:#?}");
        }

        // By the trace id that a record has there, its request is found, the record below the span that it names.
        let mut below = 0;
        for record in joined.iter().filter(|record| record["spanId"].is_string()) {
            let (trace, span) = (record["traceId"].as_str().unwrap(), record["spanId"].as_str().unwrap());
            let answer = eventually(&format!("trace {trace}"), || ask(&gateway, trace));
            let logs = answer["traces"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|trace| trace["logs"].as_array().unwrap());
            let same: Vec<_> = logs.filter(|log| log["body"] == record["body"]["stringValue"]).collect();
            assert!(!same.is_empty(), "seed {seed}: {record:#}\n{answer:#}");
            // Where Kong's own span comes after the record was told, it stands for the one that was made.
            let is_kong = record["eventName"] == "kong.http_log";
            let is_below = same.iter().any(|log| log["span_id"] == span);
            assert!(is_kong || is_below, "seed {seed}: {record:#}\n{answer:#}");
            below += usize::from(is_below);
        }
        assert!(below > 50, "{below}");
    }
}
