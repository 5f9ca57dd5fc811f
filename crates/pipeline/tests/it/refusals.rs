//! What peers refuse for good: halving, dead letters, final answers.

use std::sync::Arc;

use model::{Failure, RefusedItem};
use pipeline::{Cut, Parcel, PeerRefused, Receipt};

use crate::world::{Act, DELIVERED, EVERYTHING, Fake, World, expected, items, read_bodies};

fn refused_whole() -> Act {
    Act::Say(Err(Failure::RefusedWhole { reason: "bad field".into() }))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_item_of_ten_thousand_becomes_the_only_dead_letter() {
    let world = World::new();
    let bad = (3, 777);
    let cut = Cut { max_items: 10_000, ..EVERYTHING };
    let script =
        move |parcel: &Parcel| if items(parcel).contains(&bad) { refused_whole() } else { DELIVERED };
    let sink = Arc::new(Fake { cut, ..Fake::new(script) });
    let run = world.start(&[("sink", &sink)]);
    for _ in 0..5 {
        run.append("a", 2000).await;
    }
    sink.delivered(9_999).await;
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 10_000), ("delivered", 9_999), ("dead_letters", 1)]));
    let delivered = sink.delivered.lock().unwrap().clone();
    assert!(delivered.is_sorted() && !delivered.contains(&bad));
    let letters = world.letters("sink");
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].head.offset, letters[0].head.first, &*letters[0].head.reason),
        (3, 777, "bad field")
    );
    assert_eq!(read_bodies(&letters[0].plain), ["3/777"]);
    assert!(sink.attempts.lock().unwrap().len() <= 4 + 2 * 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_halved_until_it_fits() {
    let world = World::new();
    let script = |parcel: &Parcel| match parcel.items() {
        0..=30 => DELIVERED,
        _ => Act::Say(Err(Failure::TooLarge { reason: "at most 30".into() })),
    };
    let sink = Arc::new(Fake::new(script));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 500).await;
    sink.delivered(500).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 500), ("delivered", 500)]));
    assert!(sink.delivered.lock().unwrap().is_sorted());
    assert!(world.letters("sink").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_the_peer_names_become_letters_and_the_rest_is_delivered() {
    let world = World::new();
    let refuse = |index| RefusedItem { index, reason: format!("item {index}") };
    let script = move |_: &Parcel| {
        let items = [8, 1, 9, 1, 4000].into_iter().map(refuse).collect();
        Act::Say(Err(Failure::Refused { items }))
    };
    let cut = Cut { max_items: 10, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Fake::new(script) });
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 30).await;
    sink.delivered(21).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 30), ("delivered", 21), ("dead_letters", 9)]));
    let letters = world.letters("sink");
    let bodies: Vec<_> = letters.iter().flat_map(|letter| read_bodies(&letter.plain)).collect();
    assert_eq!(bodies, ["1/1", "1/8", "1/9", "1/11", "1/18", "1/19", "1/21", "1/28", "1/29"]);
    assert_eq!(letters[4].head.reason, "item 8");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_refused_while_taking_the_rest_is_booked_and_not_sent_again() {
    let world = World::new();
    let script = |parcel: &Parcel| {
        let items = (parcel.items() / 3).max(1);
        Act::Say(Ok(Receipt::Partly(PeerRefused {
            items,
            upper_bound: false,
            reason: "out of order".into(),
        })))
    };
    let cut = Cut { max_items: 9, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Fake::new(script) });
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 27).await;
    sink.attempts(3).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 27), ("delivered", 18), ("peer_refused", 9)]));
    assert_eq!(sink.attempts.lock().unwrap().len(), 3);
    assert!(world.letters("sink").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_refuses_everything_leaves_every_item_in_a_letter() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| refused_whole()));
    let run = world.start(&[("sink", &sink)]);
    run.append("a", 20).await;
    run.append("b", 13).await;
    sink.attempts(20 + 19 + 13 + 12).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 33), ("dead_letters", 33)]));
    assert_eq!(world.letters("sink").len(), 33);
}
