//! Parcels, order, independence, waiting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use model::{Failure, Signal};
use pipeline::status::State;
use pipeline::{Cut, Parcel, SinkOptions};

use crate::world::{Act, DELIVERED, EVERYTHING, Fake, Run, SIGNAL, World, expected, quick, retry};

#[tokio::test(flavor = "multi_thread")]
async fn every_item_is_delivered_once_with_its_bytes() {
    let world = World::new();
    let cut = Cut { max_items: 7, ..EVERYTHING };
    let sink = Arc::new(Fake { in_flight: 4, cut, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &sink)]);
    let mut all = BTreeSet::new();
    for number in 0..60 {
        let items = number % 11 + 1;
        let offset = run.append(["a", "b", "c"][number as usize % 3], items).await;
        all.extend((0..items).map(|index| (offset.0, index)));
    }
    sink.delivered(all.len()).await;
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", all.len() as u64), ("delivered", all.len() as u64)]));
    let delivered = sink.delivered.lock().unwrap().clone();
    assert_eq!(delivered.len(), all.len());
    assert_eq!(delivered.into_iter().collect::<BTreeSet<_>>(), all);
    for attempt in sink.attempts.lock().unwrap().iter() {
        assert!(attempt.items.len() <= 7);
        let bodies: Vec<_> =
            attempt.items.iter().map(|(offset, index)| format!("{offset}/{index}")).collect();
        assert_eq!(attempt.bodies, bodies);
    }
    assert_eq!(sink.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sink_delays_no_other_and_gets_everything_when_it_is_back() {
    let world = World::new();
    let back = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&back);
    let dead =
        Arc::new(Fake::new(move |_| if seen.load(Ordering::SeqCst) { DELIVERED } else { retry(None) }));
    let well = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("dead", &dead), ("well", &well)]);
    for _ in 0..50 {
        run.append("a", 4).await;
    }
    well.delivered(200).await;
    dead.attempts(10).await;
    assert!(dead.delivered.lock().unwrap().is_empty());
    let status = run.pipeline.status();
    let state = |sink: &str| status.iter().find(|status| status.sink == sink).unwrap().state;
    assert_eq!(
        (state("dead"), state("well")),
        (pipeline::status::State::Away, pipeline::status::State::Healthy)
    );
    run.ledger();
    back.store(true, Ordering::SeqCst);
    dead.delivered(200).await;
    let order: Vec<_> = dead.delivered.lock().unwrap().clone();
    assert!(order.is_sorted());
    let metrics = run.metrics.clone();
    assert_eq!(run.end("dead").await, expected([("accepted", 200), ("delivered", 200)]));
    let page = metrics.render();
    let line = "tidegate_ledger_items_total{source=\"otlp\",tenant=\"a\",sink=\"dead\",signal=\"logs\",outcome=\"delivered\"} 200\n";
    assert!(page.contains(line), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_flight_keeps_order_whatever_fails() {
    let world = World::new();
    let calls = AtomicU64::new(0);
    let script = move |_: &pipeline::Parcel| match calls.fetch_add(1, Ordering::SeqCst) % 5 {
        0 | 3 => retry(None),
        1 => Act::Panic,
        _ => DELIVERED,
    };
    let cut = Cut { max_items: 3, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Fake::new(script) });
    let run = world.start(&[("sink", &sink)]);
    for _ in 0..20 {
        run.append("a", 5).await;
    }
    sink.delivered(100).await;
    assert!(sink.delivered.lock().unwrap().is_sorted());
    assert_eq!(run.end("sink").await, expected([("accepted", 100), ("delivered", 100)]));
}

/// A sink of two signals whose peer is gone, or answers logs badly, until it is mended.
fn two_signals(mended: &Arc<AtomicBool>, failure: Failure) -> Arc<Fake> {
    let mended = Arc::clone(mended);
    let script = move |parcel: &Parcel| match mended.load(Ordering::SeqCst) {
        false if failure == NOBODY || parcel.signal == SIGNAL => Act::Say(Err(failure.clone())),
        _ => DELIVERED,
    };
    Arc::new(Fake { signals: &[SIGNAL, Signal::Traces], ..Fake::new(script) })
}

const NOBODY: Failure = Failure::Unreachable { reason: String::new() };

fn states(run: &Run) -> [State; 2] {
    let status = run.pipeline.status();
    [status[0].state, status[1].state]
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_is_there_is_found_out_once_for_all_signals() {
    let (world, mended) = (World::new(), Arc::default());
    let sink = two_signals(&mended, NOBODY);
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 1).await;
    while states(&run) != [State::Away; 2] {
        tokio::task::yield_now().await;
    }
    // From the sixth attempt on logs have the turn.
    sink.attempts(6).await;
    run.append_to(Signal::Traces, "a", 1).await;
    let before = sink.attempts.lock().unwrap().len();
    sink.attempts(before + 20).await;
    mended.store(true, Ordering::SeqCst);
    sink.delivered(2).await;
    let of_traces =
        sink.attempts.lock().unwrap().iter().filter(|attempt| attempt.signal == Signal::Traces).count();
    assert_eq!(of_traces, 1, "logs knocked for both");
    while states(&run) != [State::Healthy; 2] {
        tokio::task::yield_now().await;
    }
    assert_eq!(run.end("sink").await, expected([("accepted", 2), ("delivered", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_answers_badly_is_the_matter_of_that_signal() {
    let (world, mended) = (World::new(), Arc::default());
    let sink = two_signals(&mended, Failure::Retry { after: None, reason: "not found".into() });
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 1).await;
    while states(&run)[0] != State::Away {
        tokio::task::yield_now().await;
    }
    run.append_to(Signal::Traces, "a", 1).await;
    sink.delivered(1).await;
    assert_eq!(states(&run), [State::Away, State::Healthy]);
    mended.store(true, Ordering::SeqCst);
    sink.delivered(2).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 2), ("delivered", 2)]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_nobody_is_tried_by_one_at_a_time_whatever_its_signal() {
    let (mut world, mended) = (World::new(), Arc::new(AtomicBool::new(false)));
    // All is there before anybody reads: on a paused clock any waiting for the disk would pass the time.
    let run = world.start(&[]);
    for _ in 0..3 {
        run.append("a", 1).await;
        run.append_to(Signal::Traces, "a", 1).await;
    }
    world.kill(run);
    let seen = Arc::clone(&mended);
    let script = move |_: &Parcel| if seen.load(Ordering::SeqCst) { DELIVERED } else { Act::Hang };
    let cut = Cut { max_items: 1, ..EVERYTHING };
    let sink = Arc::new(Fake { signals: &[SIGNAL, Signal::Traces], cut, in_flight: 3, ..Fake::new(script) });
    let run = world.start_with(&[("sink", &sink)], &SinkOptions::default());
    // Whichever of both is read first, the other one gets its turns too.
    let mut number = 20;
    let attempts = loop {
        sink.attempts(number).await;
        let attempts = sink.attempts.lock().unwrap().clone();
        let of = |signal| attempts[10..].iter().filter(|attempt| attempt.signal == signal).count();
        if of(SIGNAL).min(of(Signal::Traces)) >= 3 {
            break attempts;
        }
        number = attempts.len() + 1;
        assert!(number < 1000, "{attempts:?}");
    };
    assert_eq!(states(&run), [State::Away; 2]);
    // Six can be under way at once, so that five have ended when the eleventh begins.
    let apart = attempts[10..].windows(2).map(|pair| pair[1].at - pair[0].at);
    assert!(apart.min() >= Some(Duration::from_secs(60)), "{attempts:?}");
    mended.store(true, Ordering::SeqCst);
    sink.delivered(6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_gets_no_answer_holds_up_no_other_for_good() {
    let (world, mended) = (World::new(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&mended);
    let script = move |parcel: &Parcel| match parcel.signal {
        SIGNAL if !seen.load(Ordering::SeqCst) => Act::Hang,
        _ => DELIVERED,
    };
    let sink = Arc::new(Fake { signals: &[SIGNAL, Signal::Traces], ..Fake::new(script) });
    let options = SinkOptions { deadline: Duration::from_millis(20), ..quick() };
    let run = world.start_with(&[("sink", &sink)], &options);
    run.append("a", 1).await;
    // As long as nobody else hears of the peer, it may be away.
    while states(&run) != [State::Away; 2] {
        tokio::task::yield_now().await;
    }
    run.append_to(Signal::Traces, "a", 1).await;
    sink.delivered(1).await;
    while states(&run) != [State::Away, State::Healthy] {
        tokio::task::yield_now().await;
    }
    mended.store(true, Ordering::SeqCst);
    sink.delivered(2).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 2), ("delivered", 2)]));
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_asks_for_is_waited_for() {
    let world = World::new();
    let asked = [Some(90), Some(3600), Some(0)].map(|after| after.map(Duration::from_secs));
    let calls = AtomicU64::new(0);
    let script = move |_: &pipeline::Parcel| {
        let call = calls.fetch_add(1, Ordering::SeqCst) as usize;
        asked.get(call).map_or(DELIVERED, |after| retry(*after))
    };
    let sink = Arc::new(Fake::new(script));
    let run = world.start_with(&[("sink", &sink)], &SinkOptions::default());
    run.append("a", 1).await;
    sink.delivered(1).await;
    let attempts = sink.attempts.lock().unwrap().clone();
    let waits: Vec<u64> = attempts.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).collect();
    assert_eq!(waits, [90, 300, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_cancelled_at_its_deadline_and_made_again() {
    let world = World::new();
    let calls = AtomicU64::new(0);
    let sink =
        Arc::new(Fake::new(
            move |_| if calls.fetch_add(1, Ordering::SeqCst) == 0 { Act::Hang } else { DELIVERED },
        ));
    let run = world.start_with(&[("sink", &sink)], &SinkOptions::default());
    run.append("a", 1).await;
    sink.delivered(1).await;
    let attempts = sink.attempts.lock().unwrap().clone();
    let wait = attempts[1].at - attempts[0].at;
    assert!((Duration::from_secs(60)..=Duration::from_millis(60_110)).contains(&wait), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parcel_that_is_not_full_waits_for_more_and_no_longer() {
    let mut world = World::new();
    // Both are there before anybody reads: on a paused clock any waiting for the disk would pass the time.
    let run = world.start(&[]);
    run.append("a", 4).await;
    run.append("a", 6).await;
    world.kill(run);
    let cut = Cut { max_items: 10, max_wait: Duration::from_secs(30), ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &sink)]);
    sink.attempts(1).await;
    let full = tokio::time::Instant::now();
    run.append("a", 1).await;
    sink.attempts(2).await;
    let attempts = sink.attempts.lock().unwrap().clone();
    assert_eq!((attempts[0].items.len(), attempts[1].items.len()), (10, 1));
    assert!(attempts[1].at - full >= Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_given_up_and_booked() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| retry(None)));
    let options = SinkOptions { max_age: Some(Duration::from_secs(60)), ..quick() };
    let run = world.start_with(&[("sink", &sink)], &options);
    run.append("a", 3).await;
    sink.attempts(2).await;
    world.pass(Duration::from_secs(61));
    let young = run.append("a", 2).await;
    let reached = async {
        loop {
            let tried = sink.attempts.lock().unwrap().len();
            sink.attempts(tried + 1).await;
            if sink.attempts.lock().unwrap()[tried].items == [(young.0, 0), (young.0, 1)] {
                break;
            }
        }
    };
    reached.await;
    assert_eq!(run.end("sink").await, expected([("accepted", 5), ("expired", 3), ("held", 2)]));
}
