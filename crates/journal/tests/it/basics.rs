//! The ordinary life of a journal: append, read, reopen, checkpoint, recycle.

use std::sync::Arc;

use crate::support::{Bench, batch, body_of, options, origin};
use model::Signal;
use tidegate_journal::{AppendError, Offset, Read, SimFs, Start, State, Vfs};

#[tokio::test]
async fn what_is_appended_is_read_in_order_and_again_after_a_restart() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(Signal::Logs);
    for n in 1..=500 {
        assert_eq!(log.append(&batch(Signal::Logs, n)).await, Ok(Offset(n)));
    }
    bench.expect(Signal::Logs, 1..=500).await;
    let bench = bench.reopen().await;
    assert_eq!(bench.recovery.logs[1].next, Offset(501));
    assert_eq!(bench.recovery.logs[1].surveyed, 0, "a clean stop leaves nothing to survey");
    bench.expect(Signal::Logs, 1..=500).await;
    assert_eq!(bench.journal.log(Signal::Logs).append(&batch(Signal::Logs, 501)).await, Ok(Offset(501)));
    bench.expect(Signal::Logs, 1..=501).await;
}

#[tokio::test]
async fn readers_wait_for_what_is_not_there_yet_and_share_one_inflated_copy() {
    let bench = Bench::new(SimFs::new(), tidegate_journal::Options { hot_bytes: 3 << 20, ..options() });
    let log = bench.journal.log(Signal::Traces).clone();
    let (mut one, mut two) = (log.reader(Offset(1)), log.reader(Offset(1)));
    let waiting = tokio::spawn(async move { one.next().await });
    log.append(&batch(Signal::Traces, 1)).await.unwrap();
    let Ok(Read::Frame(first)) = waiting.await.unwrap() else { panic!("a frame") };
    let Ok(Read::Frame(same)) = two.next().await else { panic!("a frame") };
    first.inflated.set(bytes::Bytes::from_static(b"plain")).unwrap();
    assert_eq!(same.inflated.get().map(|plain| &plain[..]), Some(&b"plain"[..]));
    assert!(two.try_next().unwrap().is_none());
}

#[tokio::test]
async fn a_cursor_remembers_and_the_ledger_balances() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(Signal::Metrics);
    log.append(&batch(Signal::Metrics, 1)).await.unwrap();
    let cursor = bench.journal.cursor("store", Signal::Metrics, Start::Now).unwrap();
    for n in 2..=40 {
        log.append(&batch(Signal::Metrics, n)).await.unwrap();
    }
    bench.check_ledger();
    let mut state = cursor.state();
    assert_eq!(state.low, Offset(2));
    let mut reader = cursor.reader();
    for _ in 2..=11 {
        let Ok(Read::Frame(frame)) = reader.next().await else { panic!("a frame") };
        state.books.of(&frame.origin).delivered += u64::from(frame.items);
        state.low = frame.offset.next();
    }
    cursor.checkpoint(state.clone()).await.unwrap();
    bench.check_ledger();
    let bench = bench.reopen().await;
    assert_eq!(bench.journal.orphans().len(), 1);
    let cursor = bench.journal.cursor("store", Signal::Metrics, Start::Earliest).unwrap();
    assert_eq!(cursor.state(), state);
    assert!(bench.journal.orphans().is_empty());
    bench.check_ledger();
    let Ok(Read::Frame(frame)) = cursor.reader().next().await else { panic!("a frame") };
    assert_eq!((frame.offset, frame.body), (Offset(12), body_of(12)));
    let back = State { low: Offset(3), ..State::default() };
    assert!(cursor.checkpoint(back).await.is_err(), "a cursor never goes back");
    let ahead = State { low: Offset(99), ..State::default() };
    assert!(cursor.checkpoint(ahead).await.is_err(), "a cursor never leads");
}

#[tokio::test]
async fn a_closed_journal_refuses_and_can_still_be_read() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(Signal::Logs).clone();
    log.append(&batch(Signal::Logs, 1)).await.unwrap();
    bench.journal.close().await;
    assert_eq!(log.append(&batch(Signal::Logs, 2)).await, Err(AppendError::Closed));
    let mut reader = log.reader(Offset(1));
    assert!(matches!(reader.next().await, Ok(Read::Frame(_))));
    assert!(reader.next().await.is_err());
}

#[tokio::test]
async fn two_processes_cannot_open_the_same_folder() {
    let bench = Bench::new(SimFs::new(), options());
    let vfs: Arc<dyn Vfs> = Arc::new(bench.fs.clone());
    let again = tidegate_journal::Journal::open(vfs, "/data".into(), options(), bench.clock.clone());
    assert!(matches!(again, Err(tidegate_journal::OpenError::Locked { .. })));
    assert_eq!(origin(1).tenant.as_str(), "default");
}
