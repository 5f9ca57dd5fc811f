//! The classic errors of home-made logs, each provoked: acknowledged before durable, damage taken for a torn tail, a failed
//! sync repeated, recycled before the cursor is durable. And a disk that is full, slow or gone for a while.

use std::path::Path;
use std::time::Duration;

use model::Signal;
use tidegate_journal::vfs::{Fault, Op};
use tidegate_journal::{AppendError, Durability, Offset, OnFull, Options, Read, SimFs, Start, State, Upkeep};

use crate::support::{Bench, batch, body_of, items_of, options};

const LOG: Signal = Signal::Traces;

/// Delivers everything up to the end and stores the cursor.
async fn deliver_all(bench: &Bench, cursor: &tidegate_journal::Cursor) -> State {
    let mut state = cursor.state();
    let mut reader = cursor.reader();
    while reader.position() <= bench.journal.log(LOG).durable() {
        match reader.next().await.unwrap() {
            Read::Frame(frame) => state.books.of(&frame.origin).delivered += u64::from(frame.items),
            Read::Lost { origins, reason, .. } => {
                origins.iter().for_each(|(origin, items)| state.books.drop_items(origin, reason, *items));
            }
        }
        state.low = reader.position();
    }
    cursor.checkpoint(state.clone()).await.unwrap();
    state
}

async fn fill(bench: &Bench, from: u64, n: u64) -> u64 {
    let log = bench.journal.log(LOG);
    for n in from..from + n {
        match log.append(&batch(LOG, n)).await {
            Ok(_) => {}
            Err(AppendError::Full { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    from + n
}

#[tokio::test]
async fn an_acknowledgement_follows_a_sync_of_the_written_file() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(LOG);
    for n in 1..=60 {
        log.append(&batch(LOG, n)).await.unwrap();
        let history = bench.fs.history();
        let write = history.iter().rposition(|(op, _)| *op == Op::Write).unwrap();
        let synced = history[write..].iter().any(|(op, path)| *op == Op::Sync && *path == history[write].1);
        assert!(synced, "batch {n} was acknowledged before its sync");
    }
    // A power cut leaves at least what was acknowledged, whatever else it takes.
    let fs = bench.fs.crash(7);
    Bench::new(fs, options()).expect(LOG, 1..=60).await;
}

#[tokio::test]
async fn readers_see_nothing_that_is_not_durable() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(LOG);
    log.append(&batch(LOG, 1)).await.unwrap();
    bench.fs.fail_all(Op::Sync, Fault::Io);
    let mut reader = log.reader(Offset(2));
    assert!(matches!(log.append(&batch(LOG, 2)).await, Err(AppendError::Failed { .. })));
    assert_eq!(log.durable(), Offset(1));
    assert!(reader.try_next().unwrap().is_none());
}

#[tokio::test]
async fn a_failed_sync_is_never_repeated_on_the_same_file() {
    for call in 1..=12 {
        for fault in [Fault::Io, Fault::Full] {
            let bench = Bench::new(SimFs::new(), options());
            let log = bench.journal.log(LOG);
            log.append(&batch(LOG, 1)).await.unwrap();
            let before = bench.fs.history().len();
            bench.fs.fail_at(call, fault);
            let mut acked = vec![1];
            for n in 2..=9 {
                match log.append(&batch(LOG, n)).await {
                    Ok(_) => acked.push(n),
                    Err(error) => assert!(error.refusal().retry_after.is_some()),
                }
            }
            assert!(acked.len() >= 8, "one fault refuses one group, then it goes on: {acked:?}");
            let history = bench.fs.history();
            if let Some((Op::Sync, failed)) = history.get(before + call as usize - 1) {
                let again = history[before + call as usize..].iter().filter(|(op, _)| *op == Op::Sync);
                assert_eq!(
                    again.filter(|(_, path)| path == failed).count(),
                    0,
                    "{} synced again",
                    failed.display()
                );
            }
            let after = Bench::new(bench.fs.crash(call), options());
            let kept: Vec<u64> = after
                .read_all(LOG)
                .await
                .iter()
                .filter_map(|read| match read {
                    Read::Frame(frame) => Some(u64::from_le_bytes(frame.body[..8].try_into().unwrap())),
                    Read::Lost { .. } => None,
                })
                .collect();
            assert!(acked.iter().all(|n| kept.contains(n)), "{acked:?} acknowledged, {kept:?} kept");
        }
    }
}

#[tokio::test]
async fn every_failing_call_of_a_segments_change_is_survived() {
    let small = Options { max_bytes: 1 << 20, ..options() };
    for call in 1..=60 {
        for fault in [Fault::Io, Fault::Full, Fault::Short] {
            let bench = Bench::new(SimFs::new(), small.clone());
            let log = bench.journal.log(LOG);
            bench.fs.fail_at(call, fault);
            let mut acked = Vec::new();
            for n in 1..=40 {
                if log.append(&batch(LOG, n)).await.is_ok() {
                    acked.push(n);
                }
                if n % 10 == 0 {
                    bench.journal.tend();
                }
            }
            assert!(acked.len() >= 38, "call {call}, {fault:?}: {acked:?}");
            let after = Bench::new(bench.fs.crash(call), small.clone());
            let reads = after.read_all(LOG).await;
            let bodies: Vec<_> = reads
                .iter()
                .filter_map(|read| match read {
                    Read::Frame(frame) => Some(frame.body.clone()),
                    Read::Lost { .. } => None,
                })
                .collect();
            assert!(acked.iter().all(|n| bodies.contains(&body_of(*n))), "call {call}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn damage_below_what_is_durable_is_a_loss_and_not_a_torn_tail() {
    let bench = Bench::new(SimFs::new(), options());
    for n in 1..=9 {
        bench.journal.log(LOG).append(&batch(LOG, n)).await.unwrap();
    }
    let fs = bench.fs.kill();
    let path = fs.files().into_iter().find(|path| path.extension().is_some_and(|end| end == "seg")).unwrap();
    let mut bytes = fs.peek(&path).unwrap();
    let body = body_of(5);
    let body_at = bytes.windows(body.len()).position(|window| *window == body[..]).unwrap();
    bytes[body_at + 9] ^= 1;
    fs.poke(&path, bytes);
    let bench = Bench::new(fs, options());
    let reads = bench.read_all(LOG).await;
    let last = reads.last().unwrap().last();
    assert_eq!(last, Offset(9), "frames behind the damage are read");
    let lost: u64 =
        reads.iter().map(|read| if let Read::Lost { items, .. } = read { *items } else { 0 }).sum();
    let there: u64 =
        reads.iter().map(|read| if let Read::Frame(frame) = read { u64::from(frame.items) } else { 0 }).sum();
    assert_eq!(lost + there, (1..=9).map(|n| u64::from(items_of(n))).sum());
    assert_eq!(lost, u64::from(items_of(5)));
}

#[tokio::test]
async fn a_segment_is_recycled_only_after_the_cursor_is_durable() {
    let bench = Bench::new(SimFs::new(), options());
    let cursor = bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
    fill(&bench, 1, 120).await;
    bench.clock.pass(Duration::from_secs(7200));
    bench.journal.tend();
    assert_eq!(bench.journal.log(LOG).first(), Offset(1), "nothing is passed yet");
    bench.fs.fail_all(Op::Sync, Fault::Io);
    let mut state = cursor.state();
    state.low = Offset(121);
    assert!(cursor.checkpoint(state).await.is_err());
    bench.fs.heal();
    bench.journal.tend();
    assert_eq!(bench.journal.log(LOG).first(), Offset(1), "a cursor that is not durable frees nothing");
    deliver_all(&bench, &cursor).await;
    bench.journal.tend();
    let first = bench.journal.log(LOG).first();
    assert!(first > Offset(1));
    let history = bench.fs.history();
    let freed = history.iter().position(|(op, path)| {
        matches!(op, Op::Rename | Op::Remove)
            && path.starts_with("/data/traces")
            && path.extension().is_some_and(|e| e == "spare")
            || *op == Op::Remove && path.extension().is_some_and(|e| e == "seg")
    });
    let stored =
        history.iter().rposition(|(op, path)| *op == Op::Sync && path.starts_with("/data/traces/cursors"));
    assert!(stored.is_some() && freed.is_some());
    bench.check_ledger();
    let bench = Bench::with_clock(bench.fs.crash(1), options(), bench.clock.clone());
    assert_eq!(bench.journal.cursor("store", LOG, Start::Now).unwrap().state().low, Offset(121));
    bench.check_ledger();
}

#[tokio::test]
async fn frames_of_a_files_former_life_are_never_read() {
    let tight = Options { max_bytes: 512 << 10, ..options() };
    let mut bench = Bench::new(SimFs::new(), tight.clone());
    let mut n = 1;
    for round in 0..12 {
        let cursor = bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
        n = fill(&bench, n, 150).await;
        deliver_all(&bench, &cursor).await;
        bench.clock.pass(Duration::from_secs(7200));
        bench.journal.tend();
        let clock = bench.clock.clone();
        bench = Bench::with_clock(bench.fs.crash(round), tight.clone(), clock);
        let first = bench.journal.log(LOG).first().0;
        for (read, n) in bench.read_all(LOG).await.into_iter().zip(first..) {
            let Read::Frame(frame) = read else { panic!("{n}") };
            assert_eq!((frame.offset, frame.body), (Offset(n), body_of(n)));
        }
    }
    bench.check_ledger();
}

#[tokio::test]
async fn a_spare_of_a_lost_log_does_not_bring_its_frames_back() {
    let bench = Bench::new(SimFs::new(), options());
    for from in (1..=300).step_by(20) {
        fill(&bench, from, 20).await;
        bench.clock.pass(Duration::from_secs(7200));
        bench.journal.tend();
    }
    let spares = |fs: &SimFs| {
        let is_stale = |path: &Path| {
            path.extension().is_some_and(|end| end == "spare")
                && fs.peek(path).unwrap().iter().any(|byte| *byte != 0)
        };
        fs.files().into_iter().filter(|path| is_stale(path)).count()
    };
    assert_eq!(spares(&bench.fs), 2, "both spares have had a life");
    let fs = bench.fs.kill();
    for path in fs.files() {
        if path.extension().is_none_or(|end| end != "spare") {
            tidegate_journal::Vfs::remove(&fs, &path).unwrap();
        }
    }
    // Numbers begin anew, so the stale frames have just the numbers and places that are expected next.
    let bench = Bench::new(fs, options());
    fill(&bench, 1, 3).await;
    let bench = Bench::new(bench.fs.kill(), options());
    assert!(!bench.recovery.logs[0].torn);
    assert_eq!(bench.recovery.logs[0].next, Offset(4));
    bench.expect(LOG, 1..=3).await;
}

#[tokio::test]
async fn what_a_start_shows_is_durable_even_where_a_sync_had_failed_before() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(LOG);
    log.append(&batch(LOG, 1)).await.unwrap();
    bench.fs.fail_all(Op::Sync, Fault::Io);
    assert!(log.append(&batch(LOG, 2)).await.is_err());
    let bench = Bench::new(bench.fs.kill(), options());
    // Refused, and found whole in the system's memory: accepted from now on.
    bench.expect(LOG, 1..=2).await;
    for seed in 0..8 {
        let after = Bench::new(bench.fs.copy_unsynced().crash(seed), options());
        after.expect(LOG, 1..=2).await;
    }
}

#[tokio::test]
async fn a_cursor_read_from_memory_frees_nothing_that_a_power_cut_would_need() {
    let bench = Bench::new(SimFs::new(), options());
    let cursor = bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
    fill(&bench, 1, 120).await;
    bench.fs.hold_syncs();
    let state = State { low: Offset(121), ..cursor.state() };
    let storing = tokio::spawn(async move { cursor.checkpoint(state).await });
    let is_written = |fs: &SimFs| matches!(fs.history().last(), Some((Op::Write, path)) if path.ends_with("cursors/c-store.1"));
    while !is_written(&bench.fs) {
        tokio::task::yield_now().await;
    }
    let bench = Bench::with_clock(bench.fs.kill(), options(), bench.clock.clone());
    assert!(storing.await.unwrap().is_err());
    bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
    bench.clock.pass(Duration::from_secs(7200));
    bench.journal.tend();
    let first = bench.journal.log(LOG).first();
    for seed in 0..8 {
        let after = Bench::new(bench.fs.copy_unsynced().crash(seed), options());
        let low = after.journal.cursor("store", LOG, Start::Earliest).unwrap().state().low;
        assert!(low >= first, "{low} needs what is below {first}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_by_itself() {
    let bench = Bench::new(SimFs::new(), options());
    let cursor = bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
    let mut n = fill(&bench, 1, 40).await;
    bench.journal.tend();
    bench.fs.set_capacity(Some(bench.fs.used() + 8192));
    n = fill(&bench, n, 1000).await;
    assert!(n < 1040, "the disk is full");
    let error = bench.journal.log(LOG).append(&batch(LOG, n)).await.unwrap_err();
    assert!(error.refusal().retry_after.is_some());
    deliver_all(&bench, &cursor).await;
    bench.expect(LOG, 1..=n - 1).await;
    bench.fs.set_capacity(None);
    bench.journal.tend();
    // The first append after the failure asks for a segment; one of the next gets it.
    let log = bench.journal.log(LOG).clone();
    let resumed = async {
        while log.append(&batch(LOG, n)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), resumed).await.unwrap();
    bench.expect(LOG, 1..=n).await;
    bench.check_ledger();
}

#[tokio::test]
async fn little_space_on_the_file_system_refuses_before_it_is_full() {
    let watchful = Options { low_space: 1 << 20, ..options() };
    let bench = Bench::new(SimFs::new(), watchful);
    fill(&bench, 1, 5).await;
    bench.fs.set_capacity(Some(bench.fs.used() + (1 << 19)));
    bench.journal.tend();
    let log = bench.journal.log(LOG);
    assert!(matches!(log.append(&batch(LOG, 6)).await, Err(AppendError::Full { .. })));
    bench.fs.set_capacity(None);
    bench.journal.tend();
    assert_eq!(log.append(&batch(LOG, 6)).await, Ok(Offset(6)));
}

#[tokio::test]
async fn the_budget_holds_until_the_sink_has_passed() {
    let tight = Options { max_bytes: 512 << 10, ..options() };
    let bench = Bench::new(SimFs::new(), tight);
    let cursor = bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
    let n = fill(&bench, 1, 5000).await;
    assert!(n < 5000);
    bench.journal.tend();
    assert!(matches!(bench.journal.log(LOG).append(&batch(LOG, n)).await, Err(AppendError::Full { .. })));
    let other = bench.journal.log(Signal::Logs);
    assert!(other.append(&batch(Signal::Logs, 1)).await.is_ok(), "another log has its own part");
    deliver_all(&bench, &cursor).await;
    bench.journal.tend();
    assert_eq!(bench.journal.log(LOG).append(&batch(LOG, n)).await, Ok(Offset(n)));
    bench.check_ledger();
}

#[tokio::test]
async fn a_sink_that_may_skip_forgets_the_oldest_and_books_it() {
    let tight = Options { max_bytes: 512 << 10, ..options() };
    let bench = Bench::new(SimFs::new(), tight);
    let cursor = bench.journal.cursor("store", LOG, Start::Earliest).unwrap();
    bench.journal.set_on_full("store", OnFull::Skip);
    let mut reader = cursor.reader();
    let n = fill(&bench, 1, 5000).await;
    assert!(reader.next().await.is_ok());
    bench.journal.tend();
    let to = cursor.skip_past(Offset(0)).await;
    assert_eq!(cursor.skip_to(), to);
    assert!(bench.journal.log(LOG).append(&batch(LOG, n)).await.is_err(), "not before the cursor is durable");
    let mut state = cursor.state();
    state.books.drop_items(&crate::support::origin(1), "skipped", u64::from(items_of(1)));
    while reader.position() < to {
        let Ok(Read::Lost { origins, reason: "skipped", .. }) = reader.next().await else { panic!("a skip") };
        origins.iter().for_each(|(origin, items)| state.books.drop_items(origin, "skipped", *items));
    }
    state.low = to;
    cursor.checkpoint(state).await.unwrap();
    bench.journal.tend();
    assert_eq!(bench.journal.log(LOG).append(&batch(LOG, n)).await, Ok(Offset(n)));
    bench.check_ledger();
    let skipped: u64 = (1..to.0).map(|n| u64::from(items_of(n))).sum();
    assert_eq!(cursor.state().books.total(), skipped);
}

#[tokio::test]
async fn an_orphan_pins_for_its_time_and_is_booked_expired() {
    let bench = Bench::new(SimFs::new(), options());
    bench.journal.cursor("gone", LOG, Start::Earliest).unwrap();
    fill(&bench, 1, 120).await;
    let bench = bench.reopen().await;
    bench.clock.pass(Duration::from_secs(7200));
    bench.journal.tend();
    assert_eq!(bench.journal.log(LOG).first(), Offset(1));
    assert_ne!(bench.journal.orphans()[0].since, model::UnixNanos(0));
    bench.clock.pass(Duration::from_secs(25 * 3600));
    bench.journal.tend();
    let first = bench.journal.log(LOG).first();
    assert!(first > Offset(1));
    bench.check_ledger();
    let state = bench.journal.cursor("gone", LOG, Start::Earliest).unwrap().state();
    assert_eq!(state.low, first);
    let expired: u64 = (1..first.0).map(|n| u64::from(items_of(n))).sum();
    assert_eq!(state.books.total(), expired);
}

#[tokio::test]
async fn in_memory_mode_a_failing_disk_loses_nothing_while_the_process_lives() {
    let weak = Options { durability: Durability::Memory, ..options() };
    let bench = Bench::new(SimFs::new(), weak);
    let log = bench.journal.log(LOG).clone();
    let mut acked = 0;
    for n in 1..=60 {
        if n % 9 == 0 {
            bench.fs.fail_at(1 + n % 4, Fault::Io);
        }
        let retried = async {
            while log.append(&batch(LOG, n)).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        let went_on = tokio::time::timeout(Duration::from_secs(10), retried).await;
        assert!(went_on.is_ok(), "batch {n}: {:?}", log.refuses());
        acked = n;
    }
    bench.journal.tend();
    let all = log.wait_past(Offset(acked - 1));
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap().unwrap();
    bench.expect(LOG, 1..=acked).await;
}

#[tokio::test]
async fn a_disk_that_hangs_refuses_in_time_and_what_was_staged_stays() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(LOG);
    log.append(&batch(LOG, 1)).await.unwrap();
    bench.fs.hold_syncs();
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let (waiting, late) = (log.append(&batch(LOG, 2)), Duration::from_millis(3500));
    assert!(tokio::time::timeout(late, waiting).await.is_err(), "it waits");
    assert_eq!(log.append(&batch(LOG, 3)).await, Err(AppendError::Stalled), "nothing more is admitted");
    assert!(asked.elapsed() < Duration::from_secs(4));
    assert_eq!(log.refuses(), Some(AppendError::Stalled));
    bench.fs.release_syncs();
    assert_eq!(log.wait_past(Offset(1)).await, Ok(Offset(2)));
    bench.fs.hold_syncs();
    let asked = tokio::time::Instant::now();
    assert_eq!(log.append(&batch(LOG, 3)).await, Err(AppendError::Stalled));
    assert_eq!(asked.elapsed().as_secs(), 4);
    bench.fs.release_syncs();
    assert_eq!(log.wait_past(Offset(2)).await, Ok(Offset(3)));
    bench.expect(LOG, 1..=3).await;
}

#[tokio::test]
async fn what_is_too_large_or_of_another_signal_is_refused_for_good() {
    let bench = Bench::new(SimFs::new(), options());
    let mut large = batch(LOG, 1);
    large.body = vec![0; 2 << 20].into();
    let log = bench.journal.log(LOG);
    assert!(matches!(log.append(&large).await, Err(AppendError::TooLarge { .. })));
    assert!(matches!(log.append(&batch(Signal::Logs, 1)).await, Err(AppendError::WrongSignal { .. })));
    // A batch larger than a segment gets a longer one.
    large.body = vec![7; 100 << 10].into();
    assert_eq!(log.append(&large).await, Ok(Offset(1)));
    let bench = bench.reopen().await;
    let reads = bench.read_all(LOG).await;
    assert!(matches!(&reads[..], [Read::Frame(frame)] if frame.body == large.body));
}

#[tokio::test]
async fn the_machines_own_file_system_works_alike() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        let vfs = std::sync::Arc::new(tidegate_journal::RealFs);
        let real = Options { upkeep: Upkeep::Thread, ..options() };
        tidegate_journal::Journal::open(vfs, path.join("a/b"), real, crate::support::HandClock::new())
            .unwrap()
            .0
    };
    let journal = open(folder.path());
    let cursor = journal.cursor("store: #1", LOG, Start::Earliest).unwrap();
    for n in 1..=200 {
        assert_eq!(journal.log(LOG).append(&batch(LOG, n)).await, Ok(Offset(n)));
    }
    let mut state = cursor.state();
    state.low = Offset(150);
    cursor.checkpoint(state.clone()).await.unwrap();
    journal.close().await;
    drop((cursor, journal));
    let journal = open(folder.path());
    let cursor = journal.cursor("store: #1", LOG, Start::Earliest).unwrap();
    assert_eq!(cursor.state(), state);
    let mut reader = cursor.reader();
    for n in 150..=200 {
        let Ok(Read::Frame(frame)) = reader.next().await else { panic!("{n}") };
        assert_eq!((frame.offset, frame.body), (Offset(n), body_of(n)));
    }
    journal.close().await;
}
