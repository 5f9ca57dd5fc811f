//! Searching by what spans are: which traces, which names, and what is said when the work has a ceiling.

use rows::{Filter, Order, Subject, Test};

use super::*;
use crate::names::{Room, known};
use crate::search::{self, calls, texts};
use crate::{Hits, Operations, Search};

fn all(limit: usize) -> Search {
    Search { filter: Filter::All(Vec::new()), from: UnixNanos(0), to: UnixNanos(u64::MAX), limit }
}

fn places(hits: &Hits) -> Vec<(u64, u32)> {
    hits.traces
        .iter()
        .map(|id| {
            let number = u128::from_be_bytes(*id.bytes());
            ((number >> 64) as u64, number as u32 - 1)
        })
        .collect()
}

fn named(names: &[&str]) -> Filter {
    let is = |name: &&str| Filter::Is(Subject::Name, Test::Text(Order::Equal, (*name).to_owned()));
    Filter::Any(names.iter().map(is).collect())
}

#[tokio::test]
async fn the_newest_traces_are_found_in_memory_and_in_files() {
    let ground = Ground::new(vec![
        ("a", HOUR, vec![HOUR + 5, HOUR + 1, HOUR + 3]),
        ("b", HOUR, vec![HOUR + 4]),
        ("a", HOUR, vec![HOUR + 2, HOUR + 9]),
    ]);
    let store = ground.start().await;
    let reader = store.reader();
    ground.deliver(&store, 1, 2).await;
    store.flush(Signal::Traces).await.unwrap();
    ground.deliver(&store, 3, 3).await;
    for when in ["one in memory", "all in files"] {
        for (search, expected, truncated) in [
            (all(9), vec![(3, 1), (1, 0), (2, 0), (1, 2), (3, 0), (1, 1)], false),
            (all(2), vec![(3, 1), (1, 0)], true),
            (Search { to: UnixNanos(HOUR + 4), ..all(2) }, vec![(2, 0), (1, 2)], true),
            (
                Search { from: UnixNanos(HOUR + 2), to: UnixNanos(HOUR + 3), ..all(9) },
                vec![(1, 2), (3, 0)],
                false,
            ),
            (Search { filter: named(&["span 3.0", "span 1.1"]), ..all(9) }, vec![(3, 0), (1, 1)], false),
            (Search { filter: named(&["span 9.9"]), ..all(9) }, vec![], false),
        ] {
            let hits = reader.search(search.clone()).await.unwrap();
            assert_eq!((places(&hits), hits.extent.truncated), (expected, truncated), "{when}: {search:?}");
            assert_eq!((hits.extent.partial, hits.extent.unreadable), (false, 0), "{when}");
        }
        store.flush(Signal::Traces).await.unwrap();
    }
}

#[tokio::test]
async fn files_of_older_spans_are_not_read_once_the_answer_is_complete() {
    let hours = 3_600_000_000_000;
    let ground =
        Ground::new((0..4).map(|n| ("a", HOUR, vec![HOUR - n * hours, HOUR - n * hours + 1])).collect());
    let store = ground.start().await;
    ground.deliver(&store, 1, 4).await;
    store.flush(Signal::Traces).await.unwrap();
    assert_eq!(ground.files().len(), 4);
    for (limit, rows) in [(1, 2), (2, 2), (3, 4), (8, 8), (9, 8)] {
        let hits = store.reader().search(all(limit)).await.unwrap();
        assert_eq!((hits.traces.len(), hits.extent.rows), (limit.min(8), rows), "{limit}");
    }
}

#[tokio::test]
async fn a_search_that_ends_at_its_ceiling_says_so_and_has_the_newest() {
    let hours = 3_600_000_000_000;
    let ground =
        Ground::new((0..4).map(|n| ("a", HOUR, vec![HOUR - n * hours, HOUR - n * hours + 1])).collect());
    let store = ground.start().await;
    ground.deliver(&store, 1, 4).await;
    store.flush(Signal::Traces).await.unwrap();
    let reader = store.reader();
    let view = reader.look(|state| state(Signal::Traces));
    let job = {
        let (reader, view) = (reader.clone(), view);
        move || {
            let hits = search::search(&reader, &all(9), &view, 3);
            assert_eq!(places(&hits), [(1, 1), (1, 0), (2, 1), (2, 0)]);
            assert_eq!((hits.extent.rows, hits.extent.partial), (4, true));
            let names = texts(&reader, &Subject::Name, &all(9), &view, 1);
            assert_eq!((names.texts.len(), names.extent.partial), (2, true));
            let called = calls(&reader, &(i64::MIN..=i64::MAX), &view, 1);
            assert!(called.extent.partial && called.calls.is_empty());
            let few: Operations = known(&reader, &(i64::MIN..=i64::MAX), &view, 1);
            assert_eq!((few.of("").count(), few.extent.partial), (2, true));
            // What was read is known: the next one goes on where this one ended.
            let more: Operations = known(&reader, &(i64::MIN..=i64::MAX), &view, 6);
            assert_eq!((more.of("").count(), more.extent.partial, more.extent.rows), (8, false, 6));
            let again: Operations = known(&reader, &(i64::MIN..=i64::MAX), &view, 0);
            assert_eq!((again.of("").count(), again.extent.partial, again.extent.rows), (8, false, 0));
        }
    };
    std::thread::spawn(job).join().unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_left_out_of_a_search_and_counted() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR]), ("a", HOUR, vec![HOUR])]);
    let store = ground.start().await;
    for offset in 1..=2 {
        ground.deliver(&store, offset, offset).await;
        store.flush(Signal::Traces).await.unwrap();
    }
    drop(store);
    let damaged = ground.folder.path().join("store").join(&ground.files()[0]);
    let bytes = std::fs::read(&damaged).unwrap();
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&damaged, &bytes[..length]).unwrap();
        let store = ground.start().await;
        let hits = store.reader().search(all(9)).await.unwrap();
        assert_eq!((places(&hits), hits.extent.unreadable), (vec![(2, 0)], 1), "{length}");
        let names = store.reader().operations(UnixNanos(0), UnixNanos(u64::MAX)).await.unwrap();
        assert_eq!((names.of("").count(), names.extent.unreadable), (1, 1), "{length}");
    }
}

#[tokio::test]
async fn different_texts_are_listed_up_to_a_limit() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR, HOUR + 1]), ("a", HOUR, vec![HOUR + 2])]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    store.flush(Signal::Traces).await.unwrap();
    ground.deliver(&store, 2, 2).await;
    let reader = store.reader();
    let ask = |search| reader.texts(Subject::Name, search);
    let names = ask(all(9)).await.unwrap();
    assert_eq!(names.texts.into_iter().collect::<Vec<_>>(), ["span 1.0", "span 1.1", "span 2.0"]);
    assert!(!names.extent.truncated);
    let names = ask(all(2)).await.unwrap();
    assert_eq!((names.texts.len(), names.extent.truncated), (2, true));
}

#[test]
fn names_take_no_more_room_than_there_is() {
    let most = Room { texts: 3, bytes: 10 };
    let mut taken = Room::default();
    assert_eq!([4, 7, 6, 0, 0].map(|bytes| taken.take(bytes, most)), [true, false, true, true, false]);
    assert_eq!(taken, Room { texts: 3, bytes: 10 });
}
