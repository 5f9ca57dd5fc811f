//! What stays the same over a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use journal::Offset;
use pipeline::{Cut, Edges, Receipt};

use crate::world::{Act, Attempt, DELIVERED, EVERYTHING, Fake, World, expected, retry};

fn names(attempts: &[Attempt]) -> Vec<(String, usize)> {
    attempts.iter().map(|attempt| (attempt.range_id.clone(), attempt.items.len())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_range_is_sent_again_exactly_after_a_kill() {
    let mut world = World::new();
    let cut = Cut { max_items: 10, max_wait: Duration::from_secs(3600), ..EVERYTHING };
    let recorded = |script: fn() -> Act| {
        Arc::new(Fake { cut, edges: Edges::Recorded, in_flight: 3, ..Fake::new(move |_| script()) })
    };
    let first = recorded(|| Act::Hang);
    let run = world.start(&[("sink", &first)]);
    for (tenant, items) in [("a", 4), ("b", 3), ("a", 4), ("a", 4)] {
        run.append(tenant, items).await;
    }
    // The fourth frame does not fit beside tenant a's first two: the range is 1 to 3, two parcels.
    first.attempts(2).await;
    world.kill(run);
    let second = recorded(|| DELIVERED);
    let run = world.start(&[("sink", &second)]);
    run.append("b", 9).await;
    second.delivered(11).await;
    // The last two frames are read, and wait for more.
    let read = || {
        let status = &run.pipeline.status()[0];
        (status.low, status.in_hand_frames) == (4, 2)
    };
    while !read() {
        tokio::task::yield_now().await;
    }
    let sorted = |mut names: Vec<(String, usize)>| {
        names.sort();
        names
    };
    let before = sorted(names(&first.attempts.lock().unwrap()));
    let again = sorted(names(&second.attempts.lock().unwrap()[..2]));
    assert_eq!(before, again);
    assert_eq!(run.end("sink").await, expected([("accepted", 24), ("delivered", 24)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_range_of_one_split_frame_is_split_alike_after_a_kill() {
    let mut world = World::new();
    let cut = Cut { max_items: 10, ..EVERYTHING };
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let script = move |parcel: &pipeline::Parcel| match parcel.parts[0].items.start >= 20 {
        true => {
            seen.store(true, Ordering::SeqCst);
            Act::Hang
        }
        false => DELIVERED,
    };
    let first = Arc::new(Fake { cut, edges: Edges::Recorded, ..Fake::new(script) });
    let run = world.start(&[("sink", &first)]);
    run.append("a", 35).await;
    first.attempts(3).await;
    assert!(stop.load(Ordering::SeqCst));
    world.kill(run);
    let second = Arc::new(Fake { cut, edges: Edges::Recorded, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &second)]);
    second.delivered(35).await;
    let before = names(&first.attempts.lock().unwrap());
    assert_eq!(before, names(&second.attempts.lock().unwrap())[..3]);
    assert_eq!(run.end("sink").await, expected([("accepted", 35), ("delivered", 35)]));
}

fn settling() -> Arc<Fake> {
    let cut = Cut { max_items: 10, ..EVERYTHING };
    Arc::new(Fake { cut, edges: Edges::Settled, ..Fake::new(|_| Act::Say(Ok(Receipt::Pending))) })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_settling_moves_a_settling_sinks_cursor() {
    let mut world = World::new();
    let sink = settling();
    let run = world.start(&[("store", &sink)]);
    for tenant in ["a", "b", "a", "b"] {
        run.append(tenant, 4).await;
    }
    sink.delivered(16).await;
    let order: Vec<_> = sink.delivered.lock().unwrap().clone();
    assert!(order.is_sorted(), "{order:?}");
    let (resume, settler) = sink.attached.lock().unwrap().take().unwrap();
    assert_eq!((resume.next, resume.open), (Offset(1), None));
    assert!(settler.0.begin(Offset(5)).await.unwrap_err().contains("not read"));
    settler.0.settle(Offset(2)).await.unwrap();
    assert_eq!(
        crate::world::books(&run.ledger(), "store"),
        expected([("accepted", 16), ("delivered", 8), ("held", 8)])
    );
    // Begun, not settled, and then the end.
    settler.0.begin(Offset(3)).await.unwrap();
    world.kill(run);

    let sink = settling();
    let run = world.start(&[("store", &sink)]);
    sink.delivered(8).await;
    let (resume, settler) = sink.attached.lock().unwrap().take().unwrap();
    assert_eq!((resume.next, resume.open), (Offset(3), Some((Offset(3), Offset(3)))));
    assert_eq!(sink.attempts.lock().unwrap()[0].items, [(3, 0), (3, 1), (3, 2), (3, 3)]);
    assert!(settler.0.begin(Offset(4)).await.unwrap_err().contains("not settled"));
    settler.0.settle(Offset(3)).await.unwrap();
    settler.0.begin(Offset(4)).await.unwrap();
    settler.0.settle(Offset(4)).await.unwrap();
    assert_eq!(run.end("store").await, expected([("accepted", 16), ("delivered", 16)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_puts_off_without_settling_is_tried_again() {
    let world = World::new();
    let calls = std::sync::atomic::AtomicU64::new(0);
    let script = move |_: &pipeline::Parcel| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Act::Say(Ok(Receipt::Pending)),
        1 => retry(None),
        _ => DELIVERED,
    };
    let sink = Arc::new(Fake::new(script));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 2).await;
    sink.attempts(3).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 2), ("delivered", 2)]));
}
