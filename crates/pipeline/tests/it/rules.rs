//! A sink's rules between the journal and the sink: what arrives, what is booked, what stays the same over a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use journal::Offset;
use model::{Batch, ContentHash, Failure, Layout, Origin, RefusedItem, Source, Tenant, UnixNanos};
use pipeline::deadletter::Filter;
use pipeline::operate::Chosen;
use pipeline::rules::settings::RuleSettings;
use pipeline::{Cut, Edges, Parcel, Receipt, SinkOptions};
use serde_json::{Value, json};
use wire::Coding;

use crate::world::{Act, DELIVERED, EVERYTHING, Fake, SIGNAL, World, expected, quick, read_bodies};

fn with(rules: Value) -> SinkOptions {
    let settings: RuleSettings = serde_json::from_value(rules).unwrap();
    SinkOptions { rules: settings.check().unwrap(), ..quick() }
}

/// Leaves out the records with an odd number, and redacts the number of the others.
fn even() -> Value {
    json!({
        "drop": [{ "field": "body", "matches": "[13579]$" }],
        "redact": [{ "pattern": "/[0-9]+" }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_leave_out_is_booked_and_the_rest_keeps_its_numbers() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start_with(&[("sink", &sink)], &with(even()));
    run.append("a", 4).await;
    run.append("a", 5).await;
    sink.delivered(5).await;
    assert_eq!(run.end("sink").await, expected([("accepted", 9), ("delivered", 5), ("filtered", 4)]));
    assert_eq!(*sink.delivered.lock().unwrap(), [(1, 0), (1, 2), (2, 0), (2, 2), (2, 4)]);
    let bodies: Vec<_> = sink.attempts.lock().unwrap().iter().flat_map(|a| a.bodies.clone()).collect();
    assert_eq!(bodies, ["1[redacted]", "1[redacted]", "2[redacted]", "2[redacted]", "2[redacted]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_which_nothing_is_left_move_every_kind_of_cursor() {
    for edges in [Edges::Free, Edges::Recorded, Edges::Settled] {
        let world = World::new();
        let sink = Arc::new(Fake { edges, ..Fake::new(|_| Act::Say(Ok(Receipt::Pending))) });
        let nobody = json!({ "tenants": { "deny": ["a"] } });
        let run = world.start_with(&[("sink", &sink)], &with(nobody));
        for _ in 0..3 {
            run.append("a", 5).await;
        }
        while run.pipeline.status()[0].low < 4 {
            tokio::task::yield_now().await;
        }
        let books = run.end("sink").await;
        assert_eq!(books, expected([("accepted", 15), ("filtered", 15)]), "{edges:?}");
        assert!(sink.attempts.lock().unwrap().is_empty(), "{edges:?}: the sink was given nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settling_sink_settles_what_is_left() {
    let world = World::new();
    let sink = Arc::new(Fake { edges: Edges::Settled, ..Fake::new(|_| Act::Say(Ok(Receipt::Pending))) });
    let run = world.start_with(&[("sink", &sink)], &with(even()));
    run.append("a", 5).await;
    run.append("a", 1).await;
    sink.delivered(4).await;
    let settler = sink.attached.lock().unwrap().clone().unwrap().1;
    // The parcel's answer is noted a moment after the sink gave it.
    while settler.0.begin(Offset(2)).await.is_err() {
        tokio::task::yield_now().await;
    }
    settler.0.settle(Offset(2)).await.unwrap();
    assert_eq!(run.end("sink").await, expected([("accepted", 6), ("delivered", 4), ("filtered", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_hold_what_the_sink_was_given_under_the_number_it_came_with() {
    let world = World::new();
    let refuse = |index| RefusedItem { index, reason: "no".into() };
    let script = move |_: &Parcel| Act::Say(Err(Failure::Refused { items: vec![refuse(1), refuse(4)] }));
    let sink = Arc::new(Fake::new(script));
    let run = world.start_with(&[("sink", &sink)], &with(even()));
    run.append("a", 11).await;
    sink.delivered(4).await;
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 11), ("delivered", 4), ("filtered", 5), ("dead_letters", 2)]));
    let letters = world.letters("sink");
    assert_eq!(letters.iter().map(|letter| letter.head.first).collect::<Vec<_>>(), [2, 8]);
    assert!(letters[1].head.id.ends_with("00000008"));
    assert!(letters.iter().all(|letter| read_bodies(&letter.plain) == ["1[redacted]"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ruled_frame_is_split_and_halved_like_any_other() {
    let world = World::new();
    let bad = (1, 62);
    let script = move |parcel: &Parcel| match crate::world::items(parcel).contains(&bad) {
        true => Act::Say(Err(Failure::RefusedWhole { reason: "bad".into() })),
        false => DELIVERED,
    };
    let cut = Cut { max_items: 10, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Fake::new(script) });
    let run = world.start_with(&[("sink", &sink)], &with(even()));
    run.append("a", 100).await;
    sink.delivered(49).await;
    let books = run.end("sink").await;
    assert_eq!(
        books,
        expected([("accepted", 100), ("delivered", 49), ("filtered", 50), ("dead_letters", 1)])
    );
    assert_eq!(world.letters("sink")[0].head.first, 62);
    assert!(sink.attempts.lock().unwrap().iter().all(|attempt| attempt.items.len() <= 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_range_has_the_same_name_only_under_the_same_rules() {
    let mut names = Vec::new();
    for rules in [even(), even(), json!({ "drop": [{ "field": "body", "matches": "[02468]$" }] })] {
        let mut world = World::new();
        let recorded =
            |script: fn() -> Act| Arc::new(Fake { edges: Edges::Recorded, ..Fake::new(move |_| script()) });
        let first = recorded(|| Act::Hang);
        let run = world.start_with(&[("sink", &first)], &with(rules.clone()));
        run.append("a", 10).await;
        first.attempts(1).await;
        world.kill(run);
        let second = recorded(|| DELIVERED);
        let run = world.start_with(&[("sink", &second)], &with(rules));
        second.delivered(5).await;
        let books = run.end("sink").await;
        assert_eq!(books, expected([("accepted", 10), ("delivered", 5), ("filtered", 5)]));
        let name = |sink: &Fake| sink.attempts.lock().unwrap()[0].range_id.clone();
        assert_eq!(name(&first), name(&second));
        names.push(name(&first));
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
}

/// A range is begun under `before` and not answered; after a kill it goes under `after`. Both names, and what the operator is told.
async fn over_a_change(before: SinkOptions, after: SinkOptions) -> ([String; 2], Option<String>) {
    let mut world = World::new();
    let recorded =
        |script: fn() -> Act| Arc::new(Fake { edges: Edges::Recorded, ..Fake::new(move |_| script()) });
    let first = recorded(|| Act::Hang);
    let run = world.start_with(&[("sink", &first)], &before);
    run.append("a", 10).await;
    first.attempts(1).await;
    world.kill(run);
    let second = recorded(|| DELIVERED);
    let run = world.start_with(&[("sink", &second)], &after);
    second.delivered(5).await;
    let told = run.pipeline.status()[0].last_error.clone().map(|error| error.message);
    run.end("sink").await;
    ([&first, &second].map(|sink| sink.attempts.lock().unwrap()[0].range_id.clone()), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_begun_under_other_rules_has_another_name_and_that_is_told() {
    let odd = || with(json!({ "drop": [{ "field": "body", "matches": "[02468]$" }] }));
    for (before, after) in [(with(even()), odd()), (with(even()), quick()), (quick(), odd())] {
        let ([first, second], told) = over_a_change(before, after).await;
        assert_ne!(first, second, "or a peer would drop what it does not have");
        assert!(told.as_ref().is_some_and(|told| told.contains("begun under other rules")), "{told:?}");
    }
    for rules in [with(even()), quick()] {
        let ([first, second], told) = over_a_change(rules.clone(), rules).await;
        assert_eq!((first, told), (second, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_make_no_difference_to_a_range_leave_it_its_name() {
    let other = || with(json!({ "drop": [{ "field": "body", "equals": "somebody else's" }] }));
    for (before, after) in [(quick(), other()), (other(), quick())] {
        let ([first, second], _) = over_a_change(before, after).await;
        assert_eq!(first, second, "a peer that has it drops it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_books_nothing_twice() {
    let mut world = World::new();
    let sink = Arc::new(Fake::new(|parcel: &Parcel| match parcel.range().0.0 >= 20 {
        true => Act::Hang,
        false => DELIVERED,
    }));
    let cut = Cut { max_items: 1, ..EVERYTHING };
    let sink = Arc::new(Fake { cut, ..Arc::into_inner(sink).unwrap() });
    let run = world.start_with(&[("sink", &sink)], &with(even()));
    for _ in 0..30 {
        run.append("a", 4).await;
    }
    sink.delivered(38).await;
    world.kill(run);
    let again = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start_with(&[("sink", &again)], &with(even()));
    again.delivered(22).await;
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 120), ("delivered", 60), ("filtered", 60)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_cannot_be_applied_to_is_held_back_without_its_content() {
    let world = World::new();
    let sink = Arc::new(Fake::new(|_| DELIVERED));
    let run = world.start_with(&[("sink", &sink)], &with(even()));
    let origin = Origin { tenant: Tenant::new("a").unwrap(), source: Source::new("otlp").unwrap() };
    let damaged = Batch {
        signal: SIGNAL,
        layout: Layout::Otlp,
        coding: Coding::Plain,
        plain_len: 3,
        items: 7,
        content_hash: ContentHash(1),
        received: UnixNanos(1),
        body: b"\x0a\xffsecret".as_slice().into(),
        origin,
    };
    let log = run.journal.log(SIGNAL);
    drop(log.append(&damaged));
    log.wait_past(Offset(0)).await.unwrap();
    run.append("a", 2).await;
    sink.delivered(1).await;
    let books = run.end("sink").await;
    assert_eq!(books, expected([("accepted", 9), ("delivered", 1), ("filtered", 1), ("dead_letters", 7)]));
    let letters = world.letters("sink");
    assert_eq!(letters.len(), 1);
    assert!(letters[0].head.unreadable && letters[0].head.items == 7 && letters[0].plain.is_empty());
    assert!(letters[0].head.reason.contains("rules cannot be applied"), "{}", letters[0].head.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_goes_back_is_given_as_it_is() {
    let world = World::new();
    let mended = Arc::new(AtomicBool::new(false));
    let script = {
        let mended = Arc::clone(&mended);
        move |_: &Parcel| match mended.load(Ordering::SeqCst) {
            true => DELIVERED,
            false => Act::Say(Err(Failure::RefusedWhole { reason: "no".into() })),
        }
    };
    let sink = Arc::new(Fake::new(script));
    // What is left would not be kept again: its text is another one.
    let rules = json!({
        "keep": [{ "field": "body", "equals": "1/2" }],
        "redact": [{ "pattern": "/2", "with": "hash", "key": "0123456789abcdef" }],
    });
    let run = world.start_with(&[("sink", &sink)], &with(rules));
    run.append("a", 3).await;
    while run.ledger().rows.first().is_none_or(|row| row.dead_letters < 1) {
        tokio::task::yield_now().await;
    }
    let before = world.letters("sink");
    mended.store(true, Ordering::SeqCst);
    run.pipeline.replay_letters(Chosen::All(Filter::default())).await.unwrap();
    sink.delivered(1).await;
    assert_eq!(*sink.delivered.lock().unwrap(), [(1, 2)]);
    let last = sink.attempts.lock().unwrap().last().unwrap().bodies.clone();
    assert!(last[0].starts_with("1[hash:") && last == read_bodies(&before[0].plain), "{last:?}");
}
