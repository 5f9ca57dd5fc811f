//! From a time to a place, a part of the log read once more, cursors forgotten.

use std::time::Duration;

use crate::support::{Bench, batch, items_of, options};
use model::{Signal, UnixNanos};
use tidegate_journal::{CursorError, Offset, Read, ReadError, SimFs, Start};

const LOG: Signal = Signal::Logs;

/// When batch `n` was received.
fn at(n: u64) -> UnixNanos {
    UnixNanos(1_700_000_000_000_000_000 + n)
}

async fn filled(frames: u64) -> Bench {
    let bench = Bench::new(SimFs::new(), options());
    for n in 1..=frames {
        bench.journal.log(LOG).append(&batch(LOG, n)).await.unwrap();
    }
    bench
}

#[tokio::test]
async fn a_time_leads_to_the_first_frame_received_then_or_later() {
    let bench = filled(300).await;
    let check = |bench: &Bench| {
        let log = bench.journal.log(LOG);
        for n in [1, 2, 17, 100, 255, 299, 300] {
            assert_eq!(log.seek(at(n)), Offset(n));
        }
        assert_eq!((log.seek(UnixNanos(0)), log.seek(at(301))), (Offset(1), Offset(301)));
        assert_eq!(log.oldest(), Some(at(1)));
    };
    check(&bench);
    let bench = bench.reopen().await;
    check(&bench);
    let empty = bench.journal.log(Signal::Traces);
    assert_eq!((empty.seek(at(1)), empty.oldest()), (Offset(1), None));
}

#[tokio::test]
async fn a_new_cursor_begins_at_a_time_and_the_books_balance() {
    let bench = filled(300).await;
    let cursor = bench.journal.cursor("late", LOG, Start::Since(at(120))).unwrap();
    assert_eq!(cursor.state().low, Offset(120));
    let ahead = bench.journal.cursor("ahead", LOG, Start::Since(at(9000))).unwrap();
    assert_eq!(ahead.state().low, Offset(301));
    bench.check_ledger();
    let before: u64 =
        bench.journal.ledger().sinks.iter().find(|s| &*s.sink == "late").unwrap().before.values().sum();
    assert_eq!(before, (1..120).map(|n| u64::from(items_of(n))).sum::<u64>());
}

#[tokio::test]
async fn a_fork_reads_its_part_and_ends_after_a_restart_too() {
    let bench = filled(300).await;
    drop(bench.journal.cursor("sink", LOG, Start::Earliest).unwrap());
    drop(bench.journal.fork("sink", LOG, 7, Offset(40), Offset(60)).unwrap());
    let bench = bench.reopen().await;
    let forks = bench.journal.forks("sink", LOG).unwrap();
    assert_eq!((forks.len(), forks[0].number, forks[0].until), (1, 7, Offset(60)));
    assert!(bench.journal.forks("sin", LOG).unwrap().is_empty());
    let mut reader = forks[0].cursor.reader();
    for n in 40..=60 {
        let Ok(Read::Frame(frame)) = reader.next().await else { panic!("{n}") };
        assert_eq!(frame.offset, Offset(n));
    }
    assert_eq!(reader.next().await.unwrap_err(), ReadError::Ended);
    assert_eq!(reader.try_next().unwrap_err(), ReadError::Ended);
    bench.check_ledger();

    let held: u64 = (40..=60).map(|n| u64::from(items_of(n))).sum();
    let books = bench.journal.forget("sink~7", LOG, "cancelled").unwrap();
    assert_eq!(books.total(), held);
    let written = forks[0].cursor.checkpoint(forks[0].cursor.state()).await;
    assert!(matches!(written, Err(CursorError::Unknown)), "a forgotten cursor stays forgotten: {written:?}");
    let bench = bench.reopen().await;
    assert!(bench.journal.forks("sink", LOG).unwrap().is_empty());
    assert!(matches!(bench.journal.forget("sink~7", LOG, "cancelled"), Err(CursorError::Unknown)));
}

#[tokio::test]
async fn a_fork_pins_what_it_has_to_read_until_it_is_forgotten() {
    let bench = filled(300).await;
    let main = bench.journal.cursor("sink", LOG, Start::Earliest).unwrap();
    drop(bench.journal.fork("sink", LOG, 1, Offset(100), Offset(200)).unwrap());
    let mut state = main.state();
    let mut reader = main.reader();
    for _ in 1..=300 {
        let Ok(Read::Frame(frame)) = reader.next().await else { panic!("a frame") };
        state.books.of(&frame.origin).delivered += u64::from(frame.items);
        state.low = frame.offset.next();
    }
    main.checkpoint(state).await.unwrap();
    bench.clock.pass(Duration::from_secs(7200));
    bench.journal.tend();
    let first = bench.journal.log(LOG).first();
    assert!(first > Offset(1) && first <= Offset(100), "{first}");
    let reading = bench.journal.readings().into_iter().find(|reading| &*reading.name == "sink~1").unwrap();
    assert_eq!((reading.low, reading.until, reading.frames), (Offset(100), Some(Offset(200)), 101));
    bench.journal.forget("sink~1", LOG, "cancelled").unwrap();
    bench.journal.tend();
    assert!(bench.journal.log(LOG).first() > Offset(100));
    assert!(bench.journal.log(LOG).seek(at(5)) >= bench.journal.log(LOG).first());
    bench.check_ledger();
}
