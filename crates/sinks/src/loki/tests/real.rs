//! Against a real Loki (`--all`).

use super::*;
use serde_json::Value as Json;
use testkit::process::eventually;
use testkit::server::Loki as Server;

const HOUR: u64 = 3_600_000_000_000;

/// Loki looks at the machine's clock, so these records are of about now.
fn now() -> u64 {
    model::SystemClock.now().0
}

async fn to(server: &Server, more: Json) -> Arc<dyn Sink> {
    let mut settings = json!({"url": format!("http://127.0.0.1:{}", server.port)});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

/// All lines, as (labels and metadata, time, line), sorted by time.
fn stored(server: &Server, query: &str, around: u64) -> Vec<(Json, u64, String)> {
    let streams = server.query_range(query, around - 20 * 24 * HOUR, around + HOUR, 5000);
    let mut all = Vec::new();
    for stream in streams.as_array().unwrap() {
        for value in stream["values"].as_array().unwrap() {
            let at = value[0].as_str().unwrap().parse().unwrap();
            all.push((stream["stream"].clone(), at, value[1].as_str().unwrap().to_owned()));
        }
    }
    all.sort_by(|a, b| (a.1, &a.2).cmp(&(b.1, &b.2)));
    all
}

#[tokio::test]
async fn a_real_loki_holds_every_value_and_a_resend_stores_nothing_twice() {
    if !testkit::server::all() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let sink = to(&server, json!({"labels": {"cluster": "eu"}})).await;
    let at = now();
    let attributes = (0..200).map(|n| text(&format!("k.{n}"), "ü\"\\\n")).collect();
    let rich = LogRecord {
        severity_number: 17,
        severity_text: "ERR".into(),
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        attributes,
        ..line(at + 123, "größe \u{1f980}\n\"{}\\")
    };
    let same = |id: u8| LogRecord { trace_id: vec![id; 16], ..line(at + 5, "same") };
    let empty = LogRecord { body: None, event_name: "boom".into(), ..line(at + 6, "") };
    let parcel = logs(vec![rich, same(1), same(2), same(2), empty]);
    for _ in 0..3 {
        assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    }
    // Cut otherwise, by another process.
    let again = to(&server, json!({"labels": {"cluster": "eu"}})).await;
    assert_eq!(again.deliver(&parcel.cut(1..4)).await, Ok(Receipt::Delivered));
    let lines = stored(&server, "{cluster=\"eu\"}", at);
    let texts: Vec<_> = lines.iter().map(|(_, at, line)| (*at, line.as_str())).collect();
    assert_eq!(
        texts,
        [(at + 5, "same"), (at + 5, "same"), (at + 6, ""), (at + 123, "größe \u{1f980}\n\"{}\\")]
    );
    let labels = &lines[3].0;
    for (name, value) in [
        ("cluster", "eu"),
        ("service_name", "shop"),
        ("source", "test"),
        ("severity", "error"),
        ("trace_id", "0102030405060708090a0b0c0d0e0f10"),
        ("span_id", "0102030405060708"),
        ("severity_text", "ERR"),
        ("severity_number", "17"),
        ("detected_level", "error"),
        ("k_0", "ü\"\\\n"),
    ] {
        assert_eq!(labels[name], value, "{name}: {labels}");
    }
    // 128 entries of ours are taken, with Loki's own beside them.
    assert_eq!(labels.as_object().unwrap().keys().filter(|name| name.starts_with("k_")).count(), 124);
    assert_eq!(
        (&lines[0].0["trace_id"], &lines[1].0["trace_id"]),
        (&json!("01".repeat(16)), &json!("02".repeat(16)))
    );
    // Killed and started again: what it had is replayed from its own log, what is sent again is not doubled.
    server.process.kill();
    assert!(crate::fixture::is_held(&sink.deliver(&parcel).await));
    server.restart();
    eventually("Loki takes pushes again", || testkit::process::answers(server.port, "/ready").then_some(()));
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    assert_eq!(stored(&server, "{cluster=\"eu\"}", at).len(), 4);
}

/// What the server says that was started last: the connection to the one before may still be in the pool, and fails without a status.
async fn on_a_fresh_connection(sink: &Arc<dyn Sink>, parcel: &Parcel) -> Result<Receipt, Failure> {
    match sink.deliver(parcel).await {
        Err(Failure::Retry { reason, .. }) if !reason.contains("429") => sink.deliver(parcel).await,
        answer => answer,
    }
}

#[tokio::test]
async fn a_real_lokis_refusals_are_counted_and_the_good_lines_are_stored() {
    if !testkit::server::all() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let limits = "reject_old_samples: true, reject_old_samples_max_age: 168h, max_line_size: 1KB";
    let mut server = Server::start_with(folder.path(), limits);
    let sink = to(&server, json!({})).await;
    let at = now();
    let old = |n: u64| line(at - 10 * 24 * HOUR + n, "old");
    let long = line(at + 1, &"x".repeat(2000));
    let mixed =
        logs(vec![line(at, "good"), old(1), old(2), line(at + HOUR, "early"), long, line(at + 2, "better")]);
    let Ok(Receipt::Partly(refused)) = sink.deliver(&mixed).await else { panic!() };
    assert_eq!((refused.items, refused.upper_bound), (4, false), "{}", refused.reason);
    assert!(refused.reason.starts_with("line_too_long, too_new, too_old: 400"), "{}", refused.reason);
    // Two hours behind the newest line of their stream.
    let behind =
        logs(vec![line(at - 2 * HOUR, "behind"), line(at - 2 * HOUR + 1, "behind"), line(at + 3, "best")]);
    let Ok(Receipt::Partly(refused)) = sink.deliver(&behind).await else { panic!() };
    assert_eq!((refused.items, refused.upper_bound), (2, false), "{}", refused.reason);
    assert!(refused.reason.starts_with("out_of_order: 400"), "{}", refused.reason);
    let lines: Vec<_> =
        stored(&server, "{service_name=\"shop\"}", at).into_iter().map(|(_, _, line)| line).collect();
    assert_eq!(lines, ["good", "better", "best"]);
    // Above its rate everything waits.
    server.restart_with("ingestion_rate_mb: 0.0001, ingestion_burst_size_mb: 0.0001");
    let many = logs((0..100).map(|n| line(at + 10 + n, "a line of some length")).collect());
    let failure = on_a_fresh_connection(&sink, &many).await.unwrap_err();
    assert!(matches!(&failure, Failure::Retry { reason, .. } if reason.contains("429")), "{failure}");
    server.restart();
    assert_eq!(on_a_fresh_connection(&sink, &many).await, Ok(Receipt::Delivered));
    assert_eq!(stored(&server, "{service_name=\"shop\"}", at).len(), 103);
}
