//! Everything at once, killed at random points: the books balance at every step, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::Offset;
use model::{Failure, RefusedItem};
use pipeline::{Cut, Edges, Parcel, PeerRefused, Receipt};

use crate::world::{Act, EVERYTHING, Fake, Item, World, books, items, retry};

/// What came of the items at the peer, over all runs.
#[derive(Default)]
struct Peer {
    taken: Mutex<BTreeSet<Item>>,
    calm: AtomicBool,
}

/// Items that this peer never takes.
fn poison(item: Item) -> bool {
    (item.0 * 7 + u64::from(item.1)).is_multiple_of(23)
}

fn misbehave(peer: &Peer, rng: &Mutex<fastrand::Rng>, parcel: &Parcel) -> Act {
    let all = items(parcel);
    let mut rng = rng.lock().unwrap();
    let mood = if peer.calm.load(Ordering::SeqCst) { 9 } else { rng.u32(0..12) };
    let bad = |index: &usize| poison(all[*index]);
    let answer = match mood {
        0 | 1 => return retry(None),
        2 => return Act::Hang,
        3 => return Act::Panic,
        4 if all.len() > 3 => return Act::Say(Err(Failure::TooLarge { reason: "at most 3".into() })),
        5 => {
            let reason = String::from("late");
            Ok(Receipt::Partly(PeerRefused { items: 1, upper_bound: true, reason }))
        }
        6 | 7 if all.iter().any(|item| poison(*item)) => {
            return Act::Say(Err(Failure::RefusedWhole { reason: "poison".into() }));
        }
        _ => match (0..all.len()).filter(bad).map(|index| index as u32).collect::<Vec<_>>() {
            bad if bad.is_empty() => Ok(Receipt::Delivered),
            bad => {
                let items =
                    bad.into_iter().map(|index| RefusedItem { index, reason: "poison".into() }).collect();
                Err(Failure::Refused { items })
            }
        },
    };
    let mut taken = peer.taken.lock().unwrap();
    match &answer {
        Ok(Receipt::Partly(_)) => taken.extend(all),
        _ => taken.extend(all.into_iter().filter(|item| !poison(*item))),
    }
    Act::Say(answer)
}

fn sink(peer: &Arc<Peer>, seed: u64, edges: Edges, in_flight: usize) -> Arc<Fake> {
    let (peer, rng) = (Arc::clone(peer), Mutex::new(fastrand::Rng::with_seed(seed)));
    let cut = Cut { max_items: 9, ..EVERYTHING };
    Arc::new(Fake { cut, edges, in_flight, ..Fake::new(move |parcel| misbehave(&peer, &rng, parcel)) })
}

/// A sink that gathers in memory and writes now and then, as the store does.
fn settling(peer: &Arc<Peer>, seed: u64) -> (Arc<Fake>, Arc<Mutex<fastrand::Rng>>) {
    let rng = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
    let (peer, moods) = (Arc::clone(peer), Arc::clone(&rng));
    let script = move |parcel: &Parcel| {
        let poisoned = items(parcel)
            .iter()
            .enumerate()
            .filter(|(_, item)| poison(**item))
            .map(|(at, _)| at as u32)
            .collect::<Vec<_>>();
        let mood = if peer.calm.load(Ordering::SeqCst) { 9 } else { moods.lock().unwrap().u32(0..6) };
        match mood {
            0 => retry(None),
            1 => Act::Panic,
            _ if poisoned.is_empty() => Act::Say(Ok(Receipt::Pending)),
            _ => {
                let items = poisoned
                    .into_iter()
                    .map(|index| RefusedItem { index, reason: "poison".into() })
                    .collect();
                Act::Say(Err(Failure::Refused { items }))
            }
        }
    };
    let cut = Cut { max_items: 9, ..EVERYTHING };
    (Arc::new(Fake { cut, edges: Edges::Settled, ..Fake::new(script) }), rng)
}

/// Settles what the sink was given, the open range of the life before exactly and first.
async fn settle(sink: Arc<Fake>, peer: Arc<Peer>, rng: Arc<Mutex<fastrand::Rng>>) {
    let mut changed = sink.changed.subscribe();
    let (resume, settler) = sink.attached.lock().unwrap().clone().unwrap();
    let mut open = resume.open.map(|(_, last)| last.0);
    loop {
        let given: Vec<Item> = sink.delivered.lock().unwrap().clone();
        let highest = given.iter().map(|item| item.0).max().unwrap_or(0);
        let last = open.filter(|open| *open <= highest).or((open.is_none()).then_some(highest)).unwrap_or(0);
        let patient = !peer.calm.load(Ordering::SeqCst) && rng.lock().unwrap().bool();
        if last >= resume.next.0 && !patient && settler.0.begin(Offset(last)).await.is_ok() {
            open = Some(last);
            peer.taken.lock().unwrap().extend(given.into_iter().filter(|item| item.0 <= last));
            if settler.0.settle(Offset(last)).await.is_ok() {
                open = None;
            }
        }
        // Also without a change: a frame's last piece may have been noted since.
        let _ = tokio::time::timeout(Duration::from_millis(5), changed.changed()).await;
    }
}

async fn live(seed: u64) {
    let mut world = World::new();
    world.seed = seed;
    let mut rng = fastrand::Rng::with_seed(seed);
    let options = pipeline::SinkOptions { deadline: Duration::from_millis(5), ..crate::world::quick() };
    let peers = [(); 4].map(|()| Arc::new(Peer::default()));
    let mut all: BTreeSet<Item> = BTreeSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let kinds = [
        ("free", Edges::Free, 4),
        ("ordered", Edges::Free, 1),
        ("recorded", Edges::Recorded, 3),
        ("settled", Edges::Settled, 1),
    ];
    for life in 0..6 {
        let calm = life == 5;
        peers.iter().for_each(|peer| peer.calm.store(calm, Ordering::SeqCst));
        let (store, moods) = settling(&peers[3], rng.u64(..));
        let mut sinks: Vec<_> = kinds[..3]
            .iter()
            .zip(&peers)
            .map(|((name, edges, in_flight), peer)| (*name, sink(peer, rng.u64(..), *edges, *in_flight)))
            .collect();
        sinks.push(("settled", Arc::clone(&store)));
        let named: Vec<_> = sinks.iter().map(|(name, sink)| (*name, sink)).collect();
        let run = world.start_with(&named, &options);
        let settling = tokio::spawn(settle(store, Arc::clone(&peers[3]), moods));
        for _ in 0..rng.u32(1..12) {
            let count = rng.u32(1..14);
            let offset = run.append(["a", "b"][rng.usize(..2)], count).await;
            all.extend((0..count).map(|index| (offset.0, index)));
            run.ledger();
        }
        let (_, watched) = &sinks[rng.usize(..4)];
        // The point of the kill: after some attempts, or when there are no more to come.
        let _ = tokio::time::timeout(Duration::from_millis(30), watched.attempts(rng.usize(1..12))).await;
        let ledger = run.ledger();
        for (name, _, _) in kinds {
            let done = books(&ledger, name);
            let done = done["accepted"] - done.get("held").copied().unwrap_or(0);
            let before = last.insert(name, done).unwrap_or(0);
            assert!(done >= before, "seed {seed}: books of {name} went back from {before} to {done}");
        }
        if !calm {
            settling.abort();
            world.kill(run);
            continue;
        }
        for (name, sink) in &sinks {
            while books(&run.ledger(), name).contains_key("held") {
                // Checkpoints come with progress; nothing else is waited for.
                let tries = sink.attempts.lock().unwrap().len();
                let _ = tokio::time::timeout(Duration::from_millis(20), sink.attempts(tries + 1)).await;
            }
        }
        settling.abort();
        run.pipeline.drain(Duration::from_secs(10)).await;
        let ledger = run.ledger();
        for ((name, _, _), peer) in kinds.iter().zip(&peers) {
            let books = books(&ledger, name);
            assert_eq!(books["accepted"], all.len() as u64, "seed {seed}");
            let taken = peer.taken.lock().unwrap();
            let buried: BTreeSet<Item> = world
                .letters(name)
                .iter()
                .flat_map(|letter| {
                    (0..letter.head.items).map(|more| (letter.head.offset, letter.head.first + more))
                })
                .collect();
            let lost: Vec<_> =
                all.iter().filter(|item| !taken.contains(item) && !buried.contains(item)).collect();
            assert!(lost.is_empty(), "seed {seed}: {name} lost {lost:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_the_books_balance_however_often_it_is_killed() {
    let mut lives = tokio::task::JoinSet::new();
    (0..12).for_each(|seed| drop(lives.spawn(live(seed))));
    while let Some(lived) = lives.join_next().await {
        lived.unwrap();
    }
}
