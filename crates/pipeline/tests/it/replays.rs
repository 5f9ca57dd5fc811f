//! The journal delivered once more, cursors in an operator's hands, and books that balance through all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Failure, UnixNanos};
use pipeline::deadletter::Filter;
use pipeline::operate::{Again, Begun, Chosen, Owner};
use pipeline::{Cut, Denied, Edges, Moment, Parcel, Receipt, SinkOptions};

use crate::world::{
    Act, DELIVERED, EVERYTHING, Fake, Item, Run, World, books, expected, items, quick, retry,
};

fn again(from: Moment, to: Moment) -> Again {
    Again { sink: "sink".into(), signals: Vec::new(), from, to }
}

async fn everything(run: &Run) -> Begun {
    run.pipeline.replay(again(Moment::Earliest, Moment::Now)).await.unwrap().remove(0)
}

/// Waits until no replay is under way.
async fn until_over(run: &Run) {
    let over = async {
        while run.pipeline.cursors().await.unwrap().iter().any(|cursor| cursor.owner == Owner::Replay) {
            run.ledger();
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), over).await.is_err() {
        panic!("{:#?} {:#?}", run.pipeline.cursors().await, run.pipeline.status());
    }
}

fn at(world: &World) -> Moment {
    Moment::At(model::Clock::now(&*world.clock))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_in_a_time_is_delivered_once_more_and_booked_beside_the_balance() {
    let world = World::new();
    let (sink, other) = (Arc::new(Fake::new(|_| DELIVERED)), Arc::new(Fake::new(|_| DELIVERED)));
    let run = world.start(&[("sink", &sink), ("other", &other)]);
    let mut times = Vec::new();
    for _ in 0..6 {
        world.pass(Duration::from_secs(60));
        times.push(at(&world));
        run.append("a", 10).await;
    }
    sink.delivered(60).await;
    other.delivered(60).await;
    let begun = run.pipeline.replay(again(times[2], times[4])).await.unwrap();
    assert_eq!((begun[0].first, begun[0].last, begun[0].items, begun[0].incomplete), (3, 5, 30, false));
    sink.delivered(90).await;
    until_over(&run).await;
    let delivered = sink.delivered.lock().unwrap()[60..].to_vec();
    let range: Vec<Item> = (3..=5).flat_map(|frame| (0..10).map(move |index| (frame, index))).collect();
    assert_eq!(delivered, range);
    assert_eq!(other.delivered.lock().unwrap().len(), 60);

    // Since a period back; and a time in which nothing came.
    let begun = run.pipeline.replay(again(Moment::Ago(Duration::from_secs(30)), Moment::Now)).await.unwrap();
    assert_eq!((begun[0].first, begun[0].last), (6, 6));
    sink.delivered(100).await;
    until_over(&run).await;
    let nothing =
        run.pipeline.replay(again(Moment::At(UnixNanos(1)), Moment::At(UnixNanos(2)))).await.unwrap();
    assert_eq!((nothing[0].cursor.clone(), nothing[0].items), (None, 0));
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 60), ("delivered", 60), ("replayed", 40)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_a_crash_and_is_counted_once() {
    let mut world = World::new();
    let cut = Cut { max_items: 10, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &sink)]);
    for _ in 0..20 {
        run.append("a", 10).await;
    }
    sink.delivered(200).await;
    while run.ledger().rows[0].delivered < 200 {
        tokio::task::yield_now().await;
    }
    world.kill(run);

    // It gets through a part, then the peer is away.
    let stop = Arc::new(Fake {
        cut,
        ..Fake::new(|parcel: &Parcel| if parcel.range().0.0 <= 8 { DELIVERED } else { retry(None) })
    });
    let run = world.start(&[("sink", &stop)]);
    let begun = everything(&run).await;
    assert_eq!(begun.items, 200);
    stop.delivered(80).await;
    while run.ledger().rows[0].replayed < 80 {
        tokio::task::yield_now().await;
    }
    let status = run.pipeline.status().remove(0);
    assert_eq!(status.replay.unwrap().cursor, begun.cursor.clone().unwrap());
    let denied = run.pipeline.replay(again(Moment::Earliest, Moment::Now)).await;
    assert!(matches!(&denied, Err(Denied::Impossible(reason)) if reason.contains("under way")), "{denied:?}");
    world.kill(run);

    let back = Arc::new(Fake { cut, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &back)]);
    back.delivered(120).await;
    until_over(&run).await;
    assert_eq!(back.delivered.lock().unwrap().first(), Some(&(9, 0)), "what was done is not done again");
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 200), ("delivered", 200), ("replayed", 200)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_a_replay_have_names_of_their_own_that_stay_over_a_crash() {
    let mut world = World::new();
    let cut = Cut { max_items: 10, ..EVERYTHING };
    let known = Arc::new(Fake { cut, edges: Edges::Recorded, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &known)]);
    run.append("a", 10).await;
    run.append("a", 10).await;
    known.delivered(20).await;
    while run.ledger().rows[0].delivered < 20 {
        tokio::task::yield_now().await;
    }
    world.kill(run);
    let away = Arc::new(Fake { cut, edges: Edges::Recorded, ..Fake::new(|_| retry(None)) });
    let run = world.start(&[("sink", &away)]);
    everything(&run).await;
    away.attempts(2).await;
    world.kill(run);
    let back = Arc::new(Fake { cut, edges: Edges::Recorded, ..Fake::new(|_| DELIVERED) });
    let run = world.start(&[("sink", &back)]);
    back.delivered(20).await;
    until_over(&run).await;
    let ids =
        |sink: &Fake| sink.attempts.lock().unwrap().iter().map(|a| a.range_id.clone()).collect::<Vec<_>>();
    let (first, tried, then) = (ids(&known), ids(&away), ids(&back));
    assert!(tried.iter().all(|id| *id == then[0]), "{tried:?} {then:?}");
    assert!(then.iter().all(|id| !first.contains(id)), "{first:?} {then:?}");
    assert_eq!(run.end("sink").await["replayed"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_says_what_to_do() {
    let world = World::new();
    let settling = Arc::new(Fake { edges: Edges::Settled, ..Fake::new(|_| Act::Say(Ok(Receipt::Pending))) });
    let run = world.start(&[("sink", &settling)]);
    let denied = run.pipeline.replay(again(Moment::Ago(Duration::from_secs(3600)), Moment::Now)).await;
    assert!(
        matches!(&denied, Err(Denied::Impossible(reason)) if reason.contains("start: -1h")),
        "{denied:?}"
    );
    let wrong = Again { sink: "snik".into(), ..again(Moment::Earliest, Moment::Now) };
    let denied = run.pipeline.replay(wrong).await;
    assert!(
        matches!(&denied, Err(Denied::Missing(reason)) if reason.contains("there are sink")),
        "{denied:?}"
    );
    let denied = run.pipeline.drop_cursor("sink", None).await;
    assert!(matches!(&denied, Err(Denied::Impossible(_))), "{denied:?}");
    let denied = run.pipeline.drop_cursor("nobody", None).await;
    assert!(matches!(&denied, Err(Denied::Missing(_))), "{denied:?}");
    drop(run.pipeline.drain(Duration::from_secs(20)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_dropped_ends_where_it_is() {
    let world = World::new();
    let away = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&away);
    let cut = Cut { max_items: 10, ..EVERYTHING };
    let script = move |parcel: &Parcel| match asked.load(Ordering::SeqCst) && parcel.range().0.0 > 2 {
        true => retry(None),
        false => DELIVERED,
    };
    let sink = Arc::new(Fake { cut, ..Fake::new(script) });
    let run = world.start(&[("sink", &sink)]);
    for _ in 0..5 {
        run.append("a", 10).await;
    }
    sink.delivered(50).await;
    away.store(true, Ordering::SeqCst);
    let name = everything(&run).await.cursor.unwrap();
    sink.delivered(70).await;
    let before = sink.attempts.lock().unwrap().len();
    sink.attempts(before + 2).await;
    let dropped = run.pipeline.drop_cursor(&name, None).await.unwrap();
    assert_eq!((dropped[0].delivered, dropped[0].dropped["cancelled"]), (20, 30));
    assert!(run.pipeline.cursors().await.unwrap().iter().all(|cursor| cursor.owner == Owner::Sink));
    away.store(false, Ordering::SeqCst);
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 50), ("delivered", 50), ("replayed", 20)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_of_a_sink_that_is_gone_is_listed_and_dropped() {
    let mut world = World::new();
    let sink = Arc::new(Fake::new(|_: &Parcel| retry(None)));
    let run = world.start(&[("old", &sink)]);
    run.append("a", 10).await;
    sink.attempts(1).await;
    world.kill(run);
    let new = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("new", &new)]);
    run.append("a", 5).await;
    new.delivered(15).await;
    let orphan = run.pipeline.cursors().await.unwrap().into_iter().find(|c| c.name == "old").unwrap();
    assert_eq!((orphan.owner, orphan.held_items, orphan.held_frames), (Owner::Orphan, 15, 2));
    assert!(orphan.held_bytes > 0);
    let dropped = run.pipeline.drop_cursor("old", None).await.unwrap();
    assert_eq!(dropped[0].dropped, BTreeMap::from([("forgotten".to_owned(), 15)]));
    assert!(run.pipeline.cursors().await.unwrap().iter().all(|cursor| cursor.name != "old"));
    run.end("new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sink_may_begin_some_time_back() {
    let mut world = World::new();
    let first = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start(&[("first", &first)]);
    for _ in 0..5 {
        run.append("a", 10).await;
        world.pass(Duration::from_secs(60));
    }
    first.delivered(50).await;
    world.kill(run);
    let late = Arc::new(Fake::new(|_| DELIVERED));
    let options = SinkOptions { start: Moment::Ago(Duration::from_secs(150)), ..quick() };
    let run = world.start_with(&[("late", &late)], &options);
    late.delivered(20).await;
    let books = run.end("late").await;
    assert_eq!(books, expected([("accepted", 50), ("before", 30), ("delivered", 20)]));
}

/// One seeded life after the other: appends, replays of both kinds and kills in any order, a peer that does what it likes.
async fn lives(seed: u64) {
    let mut world = World::new();
    world.seed = seed;
    let mut random = fastrand::Rng::with_seed(seed);
    let delivered: Arc<Mutex<BTreeMap<Item, u64>>> = Arc::default();
    let calm = Arc::new(AtomicBool::new(false));
    let mut appended = 0;
    for life in 0..6 {
        let (moods, quiet, kept) =
            (Mutex::new(fastrand::Rng::with_seed(random.u64(..))), Arc::clone(&calm), Arc::clone(&delivered));
        let script = move |parcel: &Parcel| {
            let poisoned = items(parcel).iter().any(|(frame, index)| (frame + u64::from(*index)) % 17 == 0);
            let mood = if quiet.load(Ordering::SeqCst) { 9 } else { moods.lock().unwrap().u32(0..7) };
            match mood {
                0 => retry(None),
                1 => Act::Panic,
                2 => Act::Say(Err(Failure::TooLarge { reason: "large".into() })),
                _ if poisoned => Act::Say(Err(Failure::RefusedWhole { reason: "poison".into() })),
                _ => {
                    let mut kept = kept.lock().unwrap();
                    items(parcel).into_iter().for_each(|item| *kept.entry(item).or_default() += 1);
                    DELIVERED
                }
            }
        };
        let cut = Cut { max_items: 7, ..EVERYTHING };
        let sink = Arc::new(Fake { cut, in_flight: 3, ..Fake::new(script) });
        let run = world.start(&[("sink", &sink)]);
        for _ in 0..random.usize(3..12) {
            match random.u32(0..6) {
                0 => drop(run.pipeline.replay(again(Moment::Earliest, Moment::Now)).await),
                1 => drop(run.pipeline.replay_letters(Chosen::All(Filter::default())).await),
                2 => drop(run.pipeline.letters(Filter::default(), None, 10).await),
                3 => world.pass(Duration::from_secs(random.u64(1..50))),
                _ => {
                    let records = random.u32(1..15);
                    appended += u64::from(records);
                    run.append(["a", "b"][random.usize(0..2)], records).await;
                }
            }
            run.ledger();
        }
        if life < 5 {
            world.kill(run);
            continue;
        }
        calm.store(true, Ordering::SeqCst);
        until_over(&run).await;
        let settled = async {
            while books(&run.ledger(), "sink").contains_key("held") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), settled).await.expect("everything is done");
        let books = run.end("sink").await;
        let of = |what: &str| books.get(what).copied().unwrap_or(0);
        assert_eq!(of("accepted"), appended, "seed {seed}");
        assert_eq!(of("delivered") + of("dead_letters"), appended, "seed {seed}: {books:?}");
        let delivered = delivered.lock().unwrap();
        let letters = world.letters("sink").into_iter().map(|letter| (letter.head.offset, letter.head.first));
        let reached: BTreeSet<Item> = delivered.keys().copied().chain(letters).collect();
        assert_eq!(reached.len() as u64, appended, "seed {seed}: each item was delivered or has a letter");
        let copies: u64 = delivered.values().sum();
        assert!(
            copies >= of("delivered") + of("replayed"),
            "seed {seed}: nothing is counted that was not delivered"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_through_replays_and_crashes_whatever_the_peer_does() {
    for seed in 0..8 {
        lives(seed).await;
    }
}
