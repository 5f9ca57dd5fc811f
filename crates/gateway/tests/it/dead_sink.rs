//! A dead sink delays no other, and gets everything when it is back.

use testkit::process::{eventually, free_port};

use crate::crash::{names_in_archive, settled};
use crate::gateway::Gateway;
use crate::numbered::{INPUTS, Sender};
use crate::stored;

#[test]
fn a_dead_sink_delays_no_other_and_gets_everything_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let behind = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let later = free_port();
    let sections = format!(
        "sinks:\n  archive: {{ type: file, folder: {} }}\n  behind: {{ type: otlp, endpoint: 'http://127.0.0.1:{later}', protocol: grpc, backoff: 200ms }}\n",
        archive.display()
    );
    let mut gateway = Gateway::start(folder.path(), &sections);
    let senders: Vec<Sender> = INPUTS.iter().map(|input| Sender::start(*input, gateway.port)).collect();
    eventually("each sender got 500 items through", || {
        senders.iter().all(|s| s.acknowledged() >= 500).then_some(())
    });
    let results: Vec<_> = senders.into_iter().map(|s| (s.input(), s.finish().0)).collect();

    eventually("the living sink has everything", || {
        let ledger = gateway.ledger();
        assert_eq!(ledger["balanced"], true, "{ledger:#}");
        let held = |sink: &str| -> u64 {
            ledger["rows"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|row| row["sink"] == sink)
                .filter_map(|row| row["held"].as_u64())
                .sum()
        };
        assert!(held("behind") >= 2000, "the dead sink's items are held: {ledger:#}");
        (held("archive") == 0).then_some(())
    });
    let archived = names_in_archive(&archive);
    for (input, acknowledged) in &results {
        assert!(acknowledged.iter().all(|n| archived.contains(&input.name(*n))), "{input:?}");
    }

    // The gateway is killed while the other is away: what it held must survive that too.
    gateway.process.kill();
    gateway.restart();
    let mut second =
        Gateway::start_at(behind.path(), later, "sinks: { store: { type: store, flush_age: 1s } }\n");
    let ledger = settled(&gateway);
    for row in ledger["rows"].as_array().unwrap() {
        assert_eq!(row["delivered"], row["accepted"], "{row}");
    }
    settled(&second);
    assert!(second.process.terminate().success());
    let store = behind.path().join("data/sinks/store");
    let spans = stored::rows(&store, "traces", &["name"]);
    let logs = stored::rows(&store, "logs", &["cf_ray", "kong_request_id"]);
    let metrics = stored::rows(&store, "metrics", &["metric_name"]);
    for (input, acknowledged) in &results {
        let found = match input.source() {
            "otlp" => spans.len(),
            "prometheus" => metrics.iter().filter(|row| row["metric_name"] == "numbered").count(),
            "logpush" => logs.iter().filter(|row| row.contains_key("cf_ray")).count(),
            _ => logs.iter().filter(|row| row.contains_key("kong_request_id")).count(),
        };
        assert!(found >= acknowledged.len(), "{input:?}: {found} of {} arrived", acknowledged.len());
    }
}
