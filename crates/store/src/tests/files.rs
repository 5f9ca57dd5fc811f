//! Which files there are: partitions, retention, merging, parcels in pieces, memory, the background task.

use std::time::Duration;

use pipeline::settings::{Period, Size};

use super::*;

/// The hour folders that have files, without what is above them.
fn hours(ground: &Ground) -> Vec<String> {
    let mut hours: Vec<String> = ground
        .files()
        .iter()
        .map(|file| {
            let parts: Vec<&str> = file.split('/').collect();
            format!("{} {} {}", parts[1], parts[2], parts[3])
        })
        .collect();
    hours.dedup();
    hours
}

#[tokio::test]
async fn rows_lie_in_the_hour_in_which_they_happened() {
    let late = HOUR - 26 * 60 * MINUTE;
    let ground = Ground::new(vec![
        ("a", HOUR, vec![HOUR - 1, HOUR, late]),
        ("b", HOUR, vec![HOUR + 59 * MINUTE]),
        // No time, and times beyond belief: the hour of receiving.
        ("c", HOUR, vec![0, 1, u64::MAX]),
    ]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 3).await;
    store.flush(Signal::Traces).await.unwrap();
    assert_eq!(
        hours(&ground),
        [
            "tenant=a date=2026-11-20 hour=07",
            "tenant=a date=2026-11-21 hour=08",
            "tenant=a date=2026-11-21 hour=09",
            "tenant=b date=2026-11-21 hour=09",
            "tenant=c date=2026-11-21 hour=09",
        ]
    );
    check_shown(&ground, &store, 3, "all hours").await;
}

#[tokio::test]
async fn what_is_too_old_is_deleted() {
    let mut ground = Ground::new(vec![("a", HOUR, vec![HOUR, HOUR + 60 * MINUTE])]);
    ground.settings.keep = Period(Duration::from_hours(24));
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    store.flush(Signal::Traces).await.unwrap();
    let end = HOUR + 60 * MINUTE;
    for (now, left) in
        [(end + 24 * 60 * MINUTE - 1, 2), (end + 24 * 60 * MINUTE, 1), (end + 25 * 60 * MINUTE, 0)]
    {
        ground.set_clock(now);
        store.upkeep().await.unwrap();
        assert_eq!(ground.files().len(), left);
        assert_eq!(store.reader().count(Signal::Traces).await, Ok(left as u64));
    }
    let root = ground.folder.path().join("store");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0, "empty folders stay");
}

#[tokio::test]
async fn when_there_is_too_much_the_oldest_hours_go_first() {
    let frames = [3, 1, 2, 0].map(|hour| ("a", HOUR, vec![HOUR + hour * 60 * MINUTE]));
    let mut ground = Ground::new(frames.to_vec());
    let store = ground.start().await;
    for offset in 1..=4 {
        ground.deliver(&store, offset, offset).await;
        store.flush(Signal::Traces).await.unwrap();
    }
    let root = ground.folder.path().join("store");
    let names = ground.files();
    let sizes = names.iter().map(|name| std::fs::metadata(root.join(name)).unwrap().len());
    let most = sizes.max().unwrap();
    drop(store);
    ground.settings.max_size = Size(2 * most);
    let store = ground.start().await;
    store.upkeep().await.unwrap();
    assert_eq!(shown(&store.reader()).await, [(1, 0), (3, 0)]);
    assert_eq!(hours(&ground), ["tenant=a date=2026-11-21 hour=11", "tenant=a date=2026-11-21 hour=12"]);
}

#[tokio::test]
async fn small_files_of_an_hour_that_is_over_become_one() {
    let frames: Vec<_> = (0..5).map(|n| ("a", HOUR, vec![HOUR + n, HOUR + 100 - n])).collect();
    let ground = Ground::new(frames);
    let store = ground.start().await;
    for offset in 1..=5 {
        ground.deliver(&store, offset, offset).await;
        store.flush(Signal::Traces).await.unwrap();
    }
    store.upkeep().await.unwrap();
    assert_eq!(ground.files().len(), 5, "the hour is not over");
    ground.set_clock(HOUR + 3 * 60 * MINUTE);
    store.upkeep().await.unwrap();
    assert_eq!(ground.files().len(), 6, "inputs stay for a while");
    check_shown(&ground, &store, 5, "merged").await;
    drop(store);

    // A new start finds the inputs inside the merged file's range.
    let store = ground.start().await;
    check_shown(&ground, &store, 5, "started").await;
    ground.set_clock(HOUR + 4 * 60 * MINUTE);
    store.upkeep().await.unwrap();
    let files = ground.files();
    let name = format!("/{HOUR}-{}-1.1-5.parquet", HOUR + 100);
    assert!(files.len() == 1 && files[0].ends_with(&name), "{files:?} {name}");
    check_shown(&ground, &store, 5, "inputs deleted").await;
}

#[tokio::test]
async fn a_damaged_file_is_neither_merged_nor_covered_by_a_merge() {
    let ground = Ground::new((0..5).map(|n| ("a", HOUR, vec![HOUR + n])).collect());
    let store = ground.start().await;
    for offset in 1..=5 {
        ground.deliver(&store, offset, offset).await;
        store.flush(Signal::Traces).await.unwrap();
    }
    drop(store);
    let damaged = ground.files().into_iter().find(|file| file.ends_with(".3-3.parquet")).unwrap();
    let damaged = ground.folder.path().join("store").join(damaged);
    let bytes = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    ground.set_clock(HOUR + 3 * 60 * MINUTE);
    let store = ground.start().await;
    store.upkeep().await.unwrap();
    ground.set_clock(HOUR + 4 * 60 * MINUTE);
    store.upkeep().await.unwrap();
    let mut spans: Vec<String> = ground
        .files()
        .iter()
        .map(|file| file.rsplit_once('.').unwrap().0.rsplit_once('.').unwrap().1.to_owned())
        .collect();
    spans.sort();
    assert_eq!(spans, ["1-2", "3-3", "4-5"]);
    // Once it is mended, everything is there.
    std::fs::write(&damaged, &bytes).unwrap();
    drop(store);
    let store = ground.start().await;
    check_shown(&ground, &store, 5, "mended").await;
}

#[tokio::test]
async fn a_frame_in_two_parcels_is_settled_whole() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR]), ("a", HOUR, vec![HOUR, HOUR + 1, HOUR + 2])]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    let mut head = ground.parcel(2);
    head.parts[0].items = 0..1;
    assert_eq!(store.deliver(&head).await, Ok(Receipt::Pending));
    store.flush(Signal::Traces).await.unwrap();
    assert_eq!(ground.courier.cursor().next, 2);
    // The courier may hand a part over again that it was interrupted in.
    for items in [0..1, 1..3, 1..3, 0..3] {
        let mut part = ground.parcel(2);
        part.parts[0].items = items;
        assert_eq!(store.deliver(&part).await, Ok(Receipt::Pending));
    }
    check_shown(&ground, &store, 2, "in memory").await;
    store.flush(Signal::Traces).await.unwrap();
    assert_eq!(ground.courier.cursor().next, 3);
    check_shown(&ground, &store, 2, "in a file").await;
}

#[tokio::test]
async fn what_has_no_room_in_memory_waits_in_the_journal() {
    let mut ground = Ground::new(vec![("a", HOUR, vec![HOUR]), ("a", HOUR, vec![HOUR; 50])]);
    ground.memory = Memory::new(2_000);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    let refused = store.deliver(&ground.parcel(2)).await;
    assert!(matches!(refused, Err(Failure::Retry { .. })), "{refused:?}");
    check_shown(&ground, &store, 1, "what was taken").await;
    store.flush(Signal::Traces).await.unwrap();
    assert_eq!(ground.memory.used(), 0, "written rows still hold memory");
}

#[tokio::test]
async fn a_frame_that_is_not_what_it_says_is_refused() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR])]);
    let store = ground.start().await;
    let mut parcel = ground.parcel(1);
    parcel.parts[0].items = 0..2;
    parcel.parts[0].frame_items = 2;
    assert!(matches!(store.deliver(&parcel).await, Err(Failure::RefusedWhole { .. })));
    parcel.parts[0].body = Bytes::from_static(&[0xff; 9]);
    assert!(matches!(store.deliver(&parcel).await, Err(Failure::RefusedWhole { .. })));
    assert_eq!(shown(&store.reader()).await, []);
    assert_eq!(ground.memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn rows_are_written_when_they_have_waited_long_enough() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR])]);
    let store = Store::open(ground.settings.clone(), ground.context()).await.unwrap();
    ground.attach(&store);
    ground.deliver(&store, 1, 1).await;
    ground.set_clock(HOUR + MINUTE);
    ground.courier.settled.notified().await;
    assert_eq!(ground.files().len(), 1);
}

#[tokio::test]
async fn closing_writes_what_is_left() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR])]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    store.close().await;
    assert_eq!((ground.courier.cursor().next, ground.files().len()), (2, 1));
}

#[tokio::test]
async fn leftovers_of_a_stopped_machine_are_swept_up() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR])]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    store.flush(Signal::Traces).await.unwrap();
    let file = ground.folder.path().join("store").join(&ground.files()[0]);
    let mut staging = file.clone().into_os_string();
    staging.push("#1");
    std::fs::write(&staging, b"half").unwrap();
    let note = file.with_file_name("notes#1");
    std::fs::write(&note, b"not ours").unwrap();
    let _store = ground.start().await;
    assert!(!std::path::Path::new(&staging).exists());
    assert!(note.exists());
}
