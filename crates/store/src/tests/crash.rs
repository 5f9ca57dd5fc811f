//! The machine stops; whatever it was doing, every item is shown once afterwards.

use super::*;

/// Two tenants, three hours, one frame with spans in two of them.
fn frames() -> Vec<(&'static str, u64, Vec<u64>)> {
    let times =
        |hours: &[u64]| hours.iter().enumerate().map(|(n, h)| HOUR + h * 60 * MINUTE + n as u64).collect();
    vec![
        ("a", HOUR, times(&[0, 0])),
        ("b", HOUR, times(&[0])),
        ("a", HOUR, times(&[0, 1, 0])),
        ("a", HOUR, times(&[2])),
        ("b", HOUR, times(&[1, 0])),
        ("a", HOUR, times(&[0])),
    ]
}

#[tokio::test]
async fn a_flush_that_stops_at_any_step_shows_every_item_once() {
    let mut stops = 0;
    for steps in 0.. {
        let ground = Ground::new(frames());
        // One range is settled before, so that the journal is known.
        let store = ground.start().await;
        ground.deliver(&store, 1, 1).await;
        assert_eq!(store.flush(Signal::Traces).await, Ok(true));

        ground.deliver(&store, 2, 5).await;
        check_shown(&ground, &store, 5, "before the flush").await;
        ground.courier.fuse.arm(steps);
        set_fuse(&store, &ground);
        let flushed = store.flush(Signal::Traces).await;
        check_shown(&ground, &store, 5, "while the machine stops").await;
        drop(store);

        let store = ground.start().await;
        ground.deliver_rest(&store).await;
        check_shown(&ground, &store, 6, "after the start, in memory").await;
        while store.flush(Signal::Traces).await.unwrap() {}
        check_shown(&ground, &store, 6, "after the start, in files").await;
        assert_eq!(ground.courier.cursor().next, 7);
        drop(store);
        let store = ground.start().await;
        check_shown(&ground, &store, 6, "after another start").await;
        if flushed == Ok(true) {
            break;
        }
        stops += 1;
    }
    // begin and settle, two steps each; five files (three hours of one tenant, two of the other), two steps each.
    assert_eq!(stops, 14);
}

#[tokio::test]
async fn a_merge_that_stops_at_any_step_shows_every_item_once() {
    let mut stops = 0;
    for steps in 0.. {
        let mut ground = Ground::new(frames());
        ground.settings.merge_grace = pipeline::settings::Period(std::time::Duration::ZERO);
        let store = ground.start().await;
        for offset in 1..=6 {
            ground.deliver(&store, offset, offset).await;
            assert_eq!(store.flush(Signal::Traces).await, Ok(true));
        }
        let before = ground.files().len();
        ground.set_clock(HOUR + 6 * 60 * MINUTE);
        ground.courier.fuse.arm(steps);
        set_fuse(&store, &ground);
        // The first merges, the second deletes what was merged.
        let done = store.upkeep().await.is_ok() && store.upkeep().await.is_ok();
        check_shown(&ground, &store, 6, "while the machine stops").await;
        drop(store);

        let store = ground.start().await;
        check_shown(&ground, &store, 6, "after the start").await;
        store.upkeep().await.unwrap();
        store.upkeep().await.unwrap();
        check_shown(&ground, &store, 6, "after merging again").await;
        assert!(ground.files().len() < before, "{:?}", ground.files());
        if done {
            break;
        }
        stops += 1;
    }
    assert!(stops >= 6, "only {stops} steps could be stopped at");
}

#[tokio::test]
async fn failing_disks_only_delay() {
    let ground = Ground::new(frames());
    let store = ground.start().await;
    ground.deliver(&store, 1, 4).await;
    store.files.fuse.arm(2);
    assert!(store.flush(Signal::Traces).await.is_err());
    // More arrives; the range that was begun stays as it is.
    ground.deliver(&store, 5, 6).await;
    store.files.fuse.arm(i64::MAX);
    assert_eq!(store.flush(Signal::Traces).await, Ok(true));
    assert_eq!(ground.courier.cursor().next, 5);
    assert_eq!(store.flush(Signal::Traces).await, Ok(true));
    assert_eq!(ground.courier.cursor().next, 7);
    check_shown(&ground, &store, 6, "at the end").await;
}

#[tokio::test]
async fn a_range_that_was_begun_is_written_alone() {
    let ground = Ground::new(frames());
    ground.courier.cursor.lock().unwrap().open = Some((1, 3));
    let store = ground.start().await;
    ground.deliver(&store, 1, 2).await;
    assert_eq!(store.flush(Signal::Traces).await, Ok(false), "its third frame is missing");
    ground.deliver(&store, 3, 6).await;
    assert_eq!(store.flush(Signal::Traces).await, Ok(true));
    assert_eq!(ground.courier.cursor().next, 4);
    assert!(ground.files().iter().all(|file| file.ends_with("-1.1-3.parquet")), "{:?}", ground.files());
}

#[tokio::test]
async fn writing_a_range_again_writes_the_same_bytes() {
    let bytes = |ground: &Ground| -> Vec<Vec<u8>> {
        ground
            .files()
            .iter()
            .map(|file| std::fs::read(ground.folder.path().join("store").join(file)).unwrap())
            .collect()
    };
    let ground = Ground::new(frames());
    let store = ground.start().await;
    ground.deliver(&store, 1, 6).await;
    // begin, five files, and nothing after them.
    ground.courier.fuse.arm(2 + 10);
    set_fuse(&store, &ground);
    assert!(store.flush(Signal::Traces).await.is_err());
    let (names, first) = (ground.files(), bytes(&ground));
    assert_eq!(names.len(), 5);
    drop(store);
    let store = ground.start().await;
    ground.deliver(&store, 1, 6).await;
    assert_eq!(store.flush(Signal::Traces).await, Ok(true));
    assert_eq!(ground.files(), names);
    assert_eq!(bytes(&ground), first);
}

#[tokio::test]
async fn files_that_the_courier_never_began_are_deleted() {
    let ground = Ground::new(frames());
    let store = ground.start().await;
    for offset in 1..=3 {
        ground.deliver(&store, offset, offset).await;
        store.flush(Signal::Traces).await.unwrap();
    }
    // Without `durability: sync` a cursor may fall back over a power cut.
    *ground.courier.cursor.lock().unwrap() = Cursor { next: 2, open: None };
    let store = ground.start().await;
    check_shown(&ground, &store, 1, "the settled part").await;
    ground.deliver_rest(&store).await;
    store.flush(Signal::Traces).await.unwrap();
    check_shown(&ground, &store, 6, "all of it").await;
    let names = ground.files();
    assert!(
        names.iter().all(|file| file.ends_with(".1-1.parquet") || file.ends_with(".2-6.parquet")),
        "{names:?}"
    );
}

#[tokio::test]
async fn files_of_an_older_journal_are_kept() {
    let ground = Ground::new(frames());
    let store = ground.start().await;
    ground.deliver(&store, 1, 6).await;
    store.flush(Signal::Traces).await.unwrap();
    // The journal's folder was lost, the store's was not: offsets begin at 1 again.
    *ground.courier.cursor.lock().unwrap() = Cursor { next: 1, open: None };
    let store = ground.start().await;
    assert_eq!(store.reader().count(Signal::Traces).await, Ok(10));
    ground.deliver(&store, 1, 2).await;
    store.flush(Signal::Traces).await.unwrap();
    let store = ground.start().await;
    assert_eq!(store.reader().count(Signal::Traces).await, Ok(13));
}

/// From now on the store's files burn down the courier's fuse.
fn set_fuse(store: &Arc<Store>, ground: &Ground) {
    store.files.fuse.follow(&ground.courier.fuse);
}
