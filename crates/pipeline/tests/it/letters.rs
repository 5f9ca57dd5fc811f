//! Dead letters in an operator's hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::Failure;
use pipeline::deadletter::{Filter, Id, Listed, State};
use pipeline::operate::Chosen;
use pipeline::{Cut, Denied, Edges, Parcel, Receipt};

use crate::world::{Act, DELIVERED, EVERYTHING, Fake, Run, World, expected, items, retry};

/// Refuses parcels that hold one of the first `bad` items of any frame, until it is mended.
fn picky(bad: u32, mended: &Arc<AtomicBool>, reason: &'static str) -> Fake {
    let mended = Arc::clone(mended);
    Fake::new(move |parcel: &Parcel| {
        let found = items(parcel).iter().any(|(_, index)| *index < bad);
        if found && !mended.load(Ordering::SeqCst) {
            return Act::Say(Err(Failure::RefusedWhole { reason: reason.into() }));
        }
        DELIVERED
    })
}

async fn all(run: &Run) -> Vec<Listed> {
    run.pipeline.letters(Filter::default(), None, 1000).await.unwrap().letters
}

/// Waits until no letter is left, or as many as `left`.
async fn until_left(run: &Run, left: usize) {
    let reached = async {
        while all(run).await.len() != left {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), reached).await.is_err() {
        panic!("not {left} letters: {:#?}", all(run).await);
    }
}

fn everything() -> Chosen {
    Chosen::All(Filter::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_goes_back_to_the_sink_that_refused_it_and_to_no_other() {
    let world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let (sink, other) = (Arc::new(picky(2, &mended, "no such field")), Arc::new(Fake::new(|_| DELIVERED)));
    let run = world.start(&[("sink", &sink), ("other", &other)]);
    run.append("a", 10).await;
    run.append("b", 5).await;
    sink.delivered(11).await;
    other.delivered(15).await;
    until_left(&run, 4).await;
    let letters = all(&run).await;
    let places: Vec<_> = letters.iter().map(|l| (l.head.offset, l.head.first, &*l.head.tenant)).collect();
    assert_eq!(places, [(1, 0, "a"), (1, 1, "a"), (2, 0, "b"), (2, 1, "b")]);
    assert!(letters.iter().all(|l| l.head.reason == "no such field" && l.state == State::Waiting));

    mended.store(true, Ordering::SeqCst);
    let ids = [&letters[1], &letters[2]].map(|letter| letter.id.clone());
    let taken = run.pipeline.replay_letters(Chosen::Ids(ids.to_vec())).await.unwrap();
    assert_eq!((taken.letters, taken.left), (2, 0));
    sink.delivered(13).await;
    until_left(&run, 2).await;
    let last =
        sink.attempts.lock().unwrap().iter().rev().take(2).map(|a| a.bodies.clone()).collect::<Vec<_>>();
    assert_eq!(last, [["2/0"], ["1/1"]], "their own bytes, one parcel a tenant");
    let missing = run.pipeline.letter(ids[0].clone()).await;
    assert!(matches!(missing, Err(Denied::Missing(_))), "{missing:?}");

    let taken = run.pipeline.replay_letters(everything()).await.unwrap();
    assert_eq!((taken.letters, taken.left), (2, 0));
    until_left(&run, 0).await;
    assert_eq!(other.delivered.lock().unwrap().len(), 15);
    let mut delivered = sink.delivered.lock().unwrap().clone();
    delivered.sort_unstable();
    assert_eq!(delivered, (0..10).map(|i| (1, i)).chain((0..5).map(|i| (2, i))).collect::<Vec<_>>());
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 15), ("delivered", 11), ("dead_letters", 4), ("replayed", 4)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_refused_again_is_a_new_letter_with_the_new_answer() {
    let world = World::new();
    let asked = Arc::new(AtomicBool::new(false));
    let later = Arc::clone(&asked);
    let sink = Arc::new(Fake::new(move |_: &Parcel| {
        let reason = if later.load(Ordering::SeqCst) { "the new answer" } else { "the first answer" };
        Act::Say(Err(Failure::RefusedWhole { reason: reason.into() }))
    }));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 3).await;
    until_left(&run, 3).await;
    let before = all(&run).await;
    asked.store(true, Ordering::SeqCst);
    run.pipeline.replay_letters(Chosen::Ids(vec![before[1].id.clone()])).await.unwrap();
    let new = loop {
        let now = all(&run).await;
        if now.len() == 3 && now[2].head.reason == "the new answer" {
            break now;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((new[2].head.offset, new[2].head.first, &new[2].head.id), (1, 1, &before[1].head.id));
    assert_eq!((&new[0], &new[1]), (&before[0], &before[2]));
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 3), ("dead_letters", 3), ("replay_dead_letters", 1)]));
}

#[tokio::test(start_paused = true)]
async fn letters_past_their_time_go_while_nobody_asks_and_the_books_stay_right() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| Act::Say(Err(Failure::RefusedWhole { reason: "no".into() }))));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 3).await;
    let files = || std::fs::read_dir(world.folder.path().join("dead-letters/sink")).unwrap().count();
    let letters = || world.read_letters("sink").map(|all| all.len());
    let moment = || tokio::time::advance(Duration::from_millis(1));
    while letters().unwrap() < 3 {
        moment().await;
    }
    let minute = Duration::from_secs(60);
    // A day is how long they are kept. After a share of it nothing more goes into their file.
    world.pass(Duration::from_secs(86_400 / 8 + 1));
    tokio::time::advance(minute).await;
    while files() < 2 {
        moment().await;
    }
    assert_eq!(letters().unwrap(), 3);
    world.pass(Duration::from_secs(86_401));
    tokio::time::advance(minute).await;
    while letters().unwrap_or(3) > 0 {
        moment().await;
    }
    let told = || run.metrics.render().contains("deadletter_dropped_letters_total{sink=\"sink\"} 3\n");
    while !told() {
        moment().await;
    }
    tokio::time::resume();
    assert_eq!(run.end("sink").await, expected([("accepted", 3), ("dead_letters", 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_letters_survives_a_crash() {
    let mut world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let sink = Arc::new(picky(100, &mended, "no"));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 40).await;
    until_left(&run, 40).await;
    while run.ledger().rows[0].dead_letters < 40 {
        tokio::task::yield_now().await;
    }
    assert_eq!(run.pipeline.drain(Duration::from_secs(20)).await.late, Vec::<&str>::new());
    world.kill(run);

    let away = Arc::new(Fake::new(|_: &Parcel| retry(None)));
    let run = world.start(&[("sink", &away)]);
    run.pipeline.replay_letters(everything()).await.unwrap();
    away.attempts(3).await;
    assert!(all(&run).await.iter().all(|letter| letter.state == State::Replaying));
    world.kill(run);

    let back = Arc::new(Fake::new(|_: &Parcel| DELIVERED));
    let run = world.start(&[("sink", &back)]);
    back.delivered(40).await;
    until_left(&run, 0).await;
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 40), ("dead_letters", 40), ("replayed", 40)]));
    assert!(world.letters("sink").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_letters_are_gone_for_good_and_their_names_are_not_given_again() {
    let world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let sink = Arc::new(picky(100, &mended, "no"));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 6).await;
    until_left(&run, 6).await;
    let letters = all(&run).await;
    let first: Vec<Id> = letters[..2].iter().map(|letter| letter.id.clone()).collect();
    assert_eq!(run.pipeline.drop_letters(Chosen::Ids(first)).await.unwrap().letters, 2);
    assert_eq!(all(&run).await, letters[2..]);
    assert_eq!(world.letters("sink").len(), 4);
    assert_eq!(run.pipeline.drop_letters(everything()).await.unwrap().letters, 4);
    until_left(&run, 0).await;
    run.append("a", 1).await;
    until_left(&run, 1).await;
    let new = all(&run).await;
    assert!(letters.iter().all(|old| old.id != new[0].id));
    let text = run.metrics.render();
    assert!(text.contains("tidegate_deadletter_discarded_letters_total{sink=\"sink\"} 6\n"), "{text}");
    assert_eq!(run.end("sink").await, expected([("accepted", 7), ("dead_letters", 7)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_filtered_and_come_in_pages() {
    let world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let (one, two) = (Arc::new(picky(9, &mended, "Bad Field")), Arc::new(picky(1, &mended, "too old")));
    let run = world.start(&[("one", &one), ("two", &two)]);
    for tenant in ["a", "b", "c"] {
        run.append(tenant, 3).await;
    }
    until_left(&run, 12).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = run.pipeline.letters(Filter::default(), after, 5).await.unwrap();
        assert!(page.letters.len() <= 5);
        seen.extend(page.letters.into_iter().map(|letter| letter.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted() && seen.len() == 12, "{seen:?}");
    let count = async |filter: Filter| run.pipeline.letters(filter, None, 100).await.unwrap().letters.len();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(count(Filter { sink: text("two"), ..Filter::default() }).await, 3);
    assert_eq!(count(Filter { tenant: text("b"), ..Filter::default() }).await, 4);
    assert_eq!(count(Filter { reason: text("bad f"), ..Filter::default() }).await, 9);
    assert_eq!(count(Filter { signal: text("traces"), ..Filter::default() }).await, 0);
    assert_eq!(count(Filter { since: Some(model::UnixNanos(u64::MAX)), ..Filter::default() }).await, 0);
    assert_eq!(count(Filter { state: Some(State::Replaying), ..Filter::default() }).await, 0);
    let shown = run.pipeline.letter(seen[0].clone()).await.unwrap();
    let body = &shown.otlp.unwrap()["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"];
    assert_eq!(body["stringValue"], "1/0");
    run.end("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_a_sink_that_is_gone_or_settles_stay_and_say_why() {
    let mut world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let sink = Arc::new(picky(9, &mended, "no"));
    let run = world.start(&[("old", &sink)]);
    run.append("a", 2).await;
    until_left(&run, 2).await;
    world.kill(run);

    let settling = Arc::new(Fake {
        edges: Edges::Settled,
        ..Fake::new(|parcel: &Parcel| match items(parcel)[0].1 {
            0 => Act::Say(Err(Failure::RefusedWhole { reason: "no".into() })),
            _ => Act::Say(Ok(Receipt::Pending)),
        })
    });
    let run = world.start(&[("new", &settling)]);
    until_left(&run, 3).await;
    let denied = run.pipeline.replay_letters(everything()).await;
    assert!(
        matches!(&denied, Err(Denied::Impossible(reason)) if reason.contains("takes no single items")),
        "{denied:?}"
    );
    let old = Filter { sink: Some("old".into()), ..Filter::default() };
    let denied = run.pipeline.replay_letters(Chosen::All(old.clone())).await;
    assert!(
        matches!(&denied, Err(Denied::Impossible(reason)) if reason.contains("not configured")),
        "{denied:?}"
    );
    assert_eq!(run.pipeline.drop_letters(Chosen::All(old)).await.unwrap().letters, 2);
    assert_eq!(all(&run).await.len(), 1);
    drop(run.pipeline.drain(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_peer_knows_ranges_each_letter_is_a_range_of_its_own() {
    let world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let cut = Cut { max_items: 100, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, edges: Edges::Recorded, ..picky(2, &mended, "no") });
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 5).await;
    until_left(&run, 2).await;
    sink.delivered(3).await;
    mended.store(true, Ordering::SeqCst);
    let before = sink.attempts.lock().unwrap().len();
    run.pipeline.replay_letters(everything()).await.unwrap();
    until_left(&run, 0).await;
    let attempts = sink.attempts.lock().unwrap()[before..].to_vec();
    assert_eq!(attempts.iter().map(|a| a.items.clone()).collect::<Vec<_>>(), [[(1, 0)], [(1, 1)]]);
    assert_ne!(attempts[0].range_id, attempts[1].range_id);
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 5), ("delivered", 3), ("dead_letters", 2), ("replayed", 2)]));
}
