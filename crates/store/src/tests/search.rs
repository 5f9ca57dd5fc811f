//! Searching: in memory and in files, while they change.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::Trace;

fn names(trace: &Trace) -> Vec<&str> {
    trace.spans.iter().map(|span| &*span.name).collect()
}

fn id(bytes: [u8; 16]) -> TraceId {
    TraceId::from_bytes(bytes).unwrap()
}

#[tokio::test]
async fn a_trace_is_found_before_and_after_it_is_in_a_file() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR, HOUR + 1]), ("a", HOUR, vec![HOUR + 2])]);
    let store = ground.start().await;
    let reader = store.reader();
    ground.deliver(&store, 1, 2).await;
    for when in ["in memory", "in a file"] {
        let trace = reader.trace(id(trace_id(1, 1))).await.unwrap();
        assert_eq!(names(&trace), ["span 1.1"], "{when}");
        assert_eq!(trace.spans[0].trace_id, "00000000000000010000000100000002", "{when}");
        let absent = reader.trace(id(trace_id(7, 7))).await.unwrap();
        assert_eq!(absent, Trace::default(), "{when}");
        store.flush(Signal::Traces).await.unwrap();
    }
}

#[tokio::test]
async fn a_trace_id_and_its_low_half_find_each_other() {
    let ground = Ground::new(vec![("a", HOUR, vec![HOUR, HOUR + 1])]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    let low = |full: [u8; 16]| {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&full[8..]);
        id
    };
    let mut other = trace_id(1, 0);
    other[0] = 0xff;
    for _ in ["in memory", "in a file"] {
        let short = store.reader().trace(id(low(trace_id(1, 0)))).await.unwrap();
        assert_eq!(names(&short), ["span 1.0"]);
        let mixed_up = store.reader().trace(id(other)).await.unwrap();
        assert_eq!(mixed_up, Trace::default(), "two ids with different upper halves are two traces");
        store.flush(Signal::Traces).await.unwrap();
    }
}

#[tokio::test]
async fn a_span_that_was_sent_twice_is_shown_once() {
    let mut ground = Ground::new(vec![("a", HOUR, vec![HOUR])]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    store.flush(Signal::Traces).await.unwrap();
    // The sender resends the same body, which becomes another frame.
    ground.frames.push(("a", HOUR, vec![HOUR]));
    let mut resent = ground.parcel(1);
    resent.parts[0].offset = Offset(2);
    assert_eq!(store.deliver(&resent).await, Ok(Receipt::Pending));
    let trace = store.reader().trace(id(trace_id(1, 0))).await.unwrap();
    assert_eq!((trace.spans.len(), trace.spans[0].offset, trace.copies), (1, 2, 1));
    // Both were accepted, and both are kept.
    assert_eq!(store.reader().count(Signal::Traces).await, Ok(2));
}

#[tokio::test]
async fn a_trace_is_found_where_the_index_of_traces_is_missing_and_a_damaged_one_is_told() {
    let frames = vec![("a", HOUR, vec![HOUR, HOUR + 1]), ("a", HOUR, vec![HOUR + 2])];
    let ground = Ground::new(frames);
    let store = ground.start().await;
    for frame in [1, 2] {
        ground.deliver(&store, frame, frame).await;
        store.flush(Signal::Traces).await.unwrap();
    }
    let first = ground.folder.path().join("store").join(&ground.files()[0]);
    let whole = std::fs::read(&first).unwrap();
    let at = |text: &[u8]| whole.windows(text.len()).rposition(|there| there == text).unwrap();
    let found = async |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(&first, bytes).unwrap();
        // Another reader: what one has read of a file it keeps.
        let reader = store.reader();
        let mut traces = Vec::new();
        for id in [trace_id(1, 1), trace_id(2, 0)].map(id) {
            let trace = reader.trace(id).await.unwrap();
            traces.push((trace.spans.len(), trace.unreadable));
        }
        traces
    };
    let key = at(b"tidegate.trace_rows");
    assert_eq!(found(&|_| {}).await, [(1, 0), (1, 0)]);
    assert_eq!(found(&|bytes| bytes[key] = b'T').await, [(1, 0), (1, 0)], "as an earlier version wrote it");
    // The digits behind the version: where it begins.
    let begin = whole[key..].windows(2).position(|there| there == b"1 ").unwrap() + key + 2;
    assert_eq!(found(&|bytes| bytes[begin] = b'9').await, [(0, 1), (1, 1)], "a place beyond its end");
}

#[tokio::test]
async fn a_scan_answers_the_newest_of_a_range_of_time() {
    let ground = Ground::new(vec![
        ("a", HOUR, vec![HOUR + 5, HOUR + 1, HOUR + 3]),
        ("b", HOUR, vec![HOUR + 4]),
        ("a", HOUR, vec![HOUR + 2, HOUR + 9]),
    ]);
    let store = ground.start().await;
    ground.deliver(&store, 1, 2).await;
    store.flush(Signal::Traces).await.unwrap();
    ground.deliver(&store, 3, 3).await;
    let scan = |from: u64, to: u64, limit| Scan {
        signal: Signal::Traces,
        tenant: None,
        from: UnixNanos(HOUR + from),
        to: UnixNanos(HOUR + to),
        limit,
    };
    let mut cases = vec![
        (scan(0, 99, 9), vec![9, 5, 4, 3, 2, 1], false),
        (scan(2, 5, 9), vec![5, 4, 3, 2], false),
        (scan(0, 99, 2), vec![9, 5], true),
        (scan(0, 99, 0), vec![], true),
        (scan(10, 99, 9), vec![], false),
    ];
    cases.push((Scan { tenant: Tenant::new("b"), ..scan(0, 99, 9) }, vec![4], false));
    for (scan, expected, truncated) in cases {
        let scanned = store.reader().scan(scan.clone()).await.unwrap();
        let times: Vec<_> = scanned.spans.iter().map(|span| span.start - HOUR).collect();
        assert_eq!((times, scanned.truncated), (expected, truncated), "{scan:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_every_item_once_while_files_are_written_and_merged() {
    let frames: Vec<_> = (0..40).map(|n| ("a", HOUR, vec![HOUR + n, HOUR + n + 1])).collect();
    let ground = Arc::new(Ground::new(frames));
    let store = ground.start().await;
    ground.deliver(&store, 1, 1).await;
    let done = Arc::new(AtomicBool::new(false));
    let looking = {
        let (reader, done, ground) = (store.reader(), Arc::clone(&done), Arc::clone(&ground));
        tokio::spawn(async move {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) || looks == 0 {
                // What is shown is a beginning of what there is, whole frames, nothing twice.
                let places = shown(&reader).await;
                assert_eq!(places, ground.items(places.len() as u64 / 2));
                let count = reader.count(Signal::Traces).await.unwrap();
                assert!(
                    count >= places.len() as u64 && count.is_multiple_of(2),
                    "{count} after {}",
                    places.len()
                );
                looks += 1;
            }
        })
    };
    for offset in 2..=40 {
        ground.deliver(&store, offset, offset).await;
        store.flush(Signal::Traces).await.unwrap();
        if offset % 8 == 0 {
            ground.set_clock(HOUR + (4 + offset) * 60 * MINUTE);
            store.upkeep().await.unwrap();
        }
    }
    done.store(true, Ordering::SeqCst);
    looking.await.unwrap();
    check_shown(&ground, &store, 40, "at the end").await;
}

#[tokio::test]
async fn a_damaged_file_is_left_out_and_counted() {
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
        let trace = store.reader().trace(id(trace_id(2, 0))).await.unwrap();
        assert_eq!((names(&trace), trace.unreadable), (vec!["span 2.0"], 1), "{length}");
        assert!(store.reader().count(Signal::Traces).await.is_err());
    }
}
