//! Drains, full journals, late sinks, the intake.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{OnFull, Options};
use model::{Failure, Origin, RefusalKind, Signal, Source, Tenant};
use normalize::{Hint, Input, Message, RawInput, Shape, WireInput};
use pipeline::SinkOptions;
use pipeline::status::State;
use wire::Coding;

use crate::world::{Act, DELIVERED, Fake, SIGNAL, World, books, expected, quick, retry};

fn origin(source: &str) -> Origin {
    Origin { tenant: Tenant::default(), source: Source::new(source).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_by_its_deadline_and_says_what_is_left() {
    let mut world = World::new();
    let hung = Arc::new(Fake::new(|_| Act::Hang));
    let away = Arc::new(Fake::new(|_| retry(Some(Duration::from_secs(300)))));
    let well = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("hung", &hung), ("away", &away), ("well", &well)]);
    run.append("a", 5).await;
    hung.attempts(1).await;
    away.attempts(1).await;
    well.delivered(5).await;
    let begin = tokio::time::Instant::now();
    let drained = run.pipeline.drain(Duration::from_secs(2)).await;
    assert!(begin.elapsed() <= Duration::from_secs(2));
    assert_eq!(drained.late, ["parcels were still in flight"]);
    assert!(drained.ledger.balanced);
    assert_eq!(books(&drained.ledger, "hung"), expected([("accepted", 5), ("held", 5)]));
    assert_eq!(books(&drained.ledger, "away"), expected([("accepted", 5), ("held", 5)]));
    assert_eq!(books(&drained.ledger, "well"), expected([("accepted", 5), ("delivered", 5)]));
    for sink in [&hung, &away, &well] {
        assert_eq!(sink.closed.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
    world.kill(run);
    let hung = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("hung", &hung)]);
    hung.delivered(5).await;
    drop(run);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gateway_refuses_so_that_the_client_comes_back() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("sink", &sink)]);
    let intake = run.pipeline.intake();
    let input = |lines: &'static str| {
        let hint = Hint { shape: Shape::Kong, ..Hint::default() };
        Input::Raw(RawInput { origin: origin("kong"), hint, bytes: Bytes::from_static(lines.as_bytes()) })
    };
    let good = r#"[{"request":{"id":"1","method":"GET","uri":"/"},"started_at":1700000000000}]"#;
    let accepted = intake.submit(input(good)).await.unwrap();
    assert_eq!((accepted.counts.logs, accepted.rejected.len()), (1, 0));
    sink.delivered(1).await;
    run.pipeline.drain(Duration::from_secs(10)).await;
    let refusal = intake.submit(input(good)).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retry_after), (RefusalKind::Unavailable, Some(Duration::from_secs(5))));
    assert_eq!(books(&run.ledger(), "sink"), expected([("accepted", 1), ("delivered", 1)]));
    let page = run.metrics.render();
    for line in [
        "tidegate_receiver_accepted_requests_total{source=\"kong\"} 1\n",
        "tidegate_receiver_refused_requests_total{source=\"kong\",reason=\"unavailable\"} 1\n",
    ] {
        assert!(page.contains(line), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_put_aside_and_counted() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("sink", &sink)]);
    let intake = run.pipeline.intake();
    let bytes = Bytes::from_static(b"{\"RayID\":\"8c\",\"EdgeStartTimestamp\":1700000000}\n{\"RayID\":}\n");
    let raw = RawInput { origin: origin("edge"), hint: Hint::default(), bytes };
    let accepted = intake.submit(Input::Raw(raw)).await.unwrap();
    assert_eq!((accepted.counts.logs, accepted.rejected.len()), (1, 1));
    intake.quarantine(&origin("logpush"), "truncated", "ends inside a line", b"{\"a\":");
    let wire = WireInput {
        origin: origin("otlp"),
        message: Message::Otlp(SIGNAL),
        coding: Coding::Plain,
        body: Bytes::from_static(b"\x0a\xff"),
        plain: Bytes::from_static(b"\x0a\xff"),
    };
    assert_eq!(intake.submit(Input::Wire(wire)).await.unwrap_err().kind, RefusalKind::Malformed);
    sink.delivered(1).await;
    run.pipeline.drain(Duration::from_secs(10)).await;
    let mut text = String::new();
    for entry in std::fs::read_dir(world.folder.path().join("quarantine")).unwrap() {
        text.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = |source: &str| lines.iter().find(|line| line["source"] == source).unwrap();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(
        (found("edge")["index"].as_u64(), found("edge")["text"].as_str()),
        (Some(1), Some("{\"RayID\":}"))
    );
    assert_eq!(found("logpush")["reason"], "truncated");
    let page = run.metrics.render();
    assert!(
        page.contains("tidegate_receiver_refused_requests_total{source=\"otlp\",reason=\"malformed\"} 1\n"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_starts_later_balances_with_what_was_before() {
    let mut world = World::new();
    let first = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("first", &first)]);
    run.append("a", 6).await;
    first.delivered(6).await;
    run.pipeline.drain(Duration::from_secs(10)).await;
    world.kill(run);
    let later = Arc::new(Fake::new(|_| DELIVERED));
    let options = SinkOptions { start: pipeline::Moment::Now, ..quick() };
    let run = world.start_with(&[("later", &later)], &options);
    run.append("a", 2).await;
    later.delivered(2).await;
    assert_eq!(run.end("later").await, expected([("accepted", 8), ("before", 6), ("delivered", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_may_skip_forgets_the_oldest_when_the_journal_is_full() {
    let mut world = World::new();
    world.options =
        Options { max_bytes: 2 << 20, segment_bytes: 16 << 10, keep: Duration::ZERO, ..world.options };
    let dead = Arc::new(Fake::new(|_| retry(None)));
    let options = SinkOptions { on_full: OnFull::Skip, ..quick() };
    let run = world.start_with(&[("dead", &dead)], &options);
    let mut accepted = 0;
    let skipped = |run: &crate::world::Run| books(&run.ledger(), "dead").get("skipped").copied().unwrap_or(0);
    while skipped(&run) == 0 {
        // While it is refused: space comes when the courier has checkpointed what it skipped.
        accepted += if run.offer("a", 5000).await { 5000 } else { 0 };
        assert!(accepted < 10_000_000);
    }
    let books = run.end("dead").await;
    assert_eq!(books["accepted"], accepted);
    assert_eq!(books["skipped"] + books["held"], accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_another_signal_to_knock_is_skipped_all_the_same() {
    let mut world = World::new();
    world.options =
        Options { max_bytes: 2 << 20, segment_bytes: 16 << 10, keep: Duration::ZERO, ..world.options };
    let nobody = || Act::Say(Err(Failure::Unreachable { reason: "nobody".into() }));
    let dead = Arc::new(Fake { signals: &[SIGNAL, Signal::Traces], ..Fake::new(move |_| nobody()) });
    let options = SinkOptions { on_full: OnFull::Skip, ..quick() };
    let run = world.start_with(&[("dead", &dead)], &options);
    run.append("a", 1).await;
    while run.pipeline.status().iter().any(|status| status.state != State::Away) {
        tokio::task::yield_now().await;
    }
    // From the sixth attempt on logs have the turn.
    dead.attempts(6).await;
    let skipped = |run: &crate::world::Run| books(&run.ledger(), "dead").get("skipped").copied().unwrap_or(0);
    let filled = async {
        while skipped(&run) == 0 {
            run.offer_to(Signal::Traces, "a", 5000).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), filled).await.expect("the journal gets room again");
    assert!(dead.attempts.lock().unwrap().iter().all(|attempt| attempt.signal == SIGNAL), "logs knocked");
    run.end("dead").await;
}
