//! Every byte of a small log is flipped, zeroed, overwritten and cut off, after a clean stop and after a kill: it opens, only
//! what was touched is lost, and the loss is counted.

use std::collections::BTreeSet;
use std::path::PathBuf;

use model::Signal;
use tidegate_journal::{Offset, Read, SimFs};

use crate::support::{Bench, batch, items_of, options};

const FRAMES: u64 = 7;
const FRAMES_AT: usize = 4096;

/// A small log and where its frames lie.
struct Small {
    fs: SimFs,
    path: PathBuf,
    /// Where each frame begins, and where the last ends.
    edges: Vec<usize>,
}

async fn small(clean: bool) -> Small {
    let bench = Bench::new(SimFs::new(), options());
    for n in 1..=FRAMES {
        bench.journal.log(Signal::Logs).append(&small_batch(n)).await.unwrap();
    }
    let fs = if clean {
        bench.journal.close().await;
        bench.fs.copy()
    } else {
        bench.fs.kill()
    };
    let path = fs.files().into_iter().find(|path| path.to_string_lossy().ends_with(".seg")).unwrap();
    let bytes = fs.peek(&path).unwrap();
    let mut edges = vec![FRAMES_AT];
    for n in 1..=FRAMES {
        let sent = small_batch(n);
        let names = sent.origin.tenant.as_str().len() + sent.origin.source.as_str().len();
        let length = (88 + names).next_multiple_of(8) + sent.body.len().next_multiple_of(8);
        edges.push(edges.last().unwrap() + length);
    }
    assert!(*edges.last().unwrap() <= bytes.len());
    Small { fs, path, edges }
}

fn small_batch(n: u64) -> model::Batch {
    let mut batch = batch(Signal::Logs, n);
    batch.body.truncate(8 + (n as usize * 5) % 40);
    batch.plain_len = batch.body.len() as u32;
    batch
}

impl Small {
    /// The frames whose bytes `range` touches.
    fn touched(&self, range: std::ops::Range<usize>) -> BTreeSet<u64> {
        (1..=FRAMES)
            .filter(|n| {
                let at = *n as usize - 1;
                self.edges[at] < range.end && range.start < self.edges[at + 1]
            })
            .collect()
    }

    /// Opens a damaged copy and compares what is left with what must be.
    async fn check(&self, what: &str, damaged: Vec<u8>, touched: &BTreeSet<u64>, clean: bool) {
        let fs = self.fs.copy();
        fs.poke(&self.path, damaged);
        let bench = Bench::new(fs, options());
        let reads = bench.read_all(Signal::Logs).await;
        let mut there = BTreeSet::new();
        let mut lost = BTreeSet::new();
        let mut lost_items = 0;
        for read in &reads {
            match read {
                Read::Frame(frame) => {
                    assert_eq!(frame.body, small_batch(frame.offset.0).body, "{what}");
                    assert!(there.insert(frame.offset.0), "{what}: read twice");
                }
                Read::Lost { first, last, items, reason, .. } => {
                    assert_eq!(*reason, "damaged", "{what}");
                    lost.extend(first.0..=last.0);
                    lost_items += items;
                }
            }
        }
        for n in 1..=FRAMES {
            // Padding is not summed, so a touched frame may be whole all the same.
            assert!(there.contains(&n) || touched.contains(&n), "{what}: frame {n} lost untouched");
            let known = there.contains(&n) || lost.contains(&n);
            // After a kill, only a later frame tells that an earlier one was durable.
            let is_tail = !clean && (n..=FRAMES).all(|later| !there.contains(&later));
            assert!(known || is_tail, "{what}: frame {n} vanished");
        }
        let expected: u64 = lost.iter().map(|n| u64::from(items_of(*n))).sum();
        let origins: u64 = bench.journal.ledger().accepted.values().sum();
        if clean {
            assert_eq!(lost_items, expected, "{what}: loss miscounted");
            let all: u64 = (1..=FRAMES).map(|n| u64::from(items_of(n))).sum();
            assert_eq!(origins, all, "{what}: accepted forgotten");
        } else {
            let read: u64 = there.iter().map(|n| u64::from(items_of(*n))).sum();
            assert_eq!(origins, read + lost_items, "{what}: books do not balance");
        }
        let next = bench.journal.log(Signal::Logs).append(&small_batch(99)).await.unwrap();
        let least = there.last().copied().unwrap_or(0).max(lost.last().copied().unwrap_or(0));
        assert!(next > Offset(least), "{what}: offset {next} given again");
        if clean {
            assert_eq!(next, Offset(FRAMES + 1), "{what}");
        }
    }
}

async fn each(
    clean: bool,
    step: usize,
    damage: impl Fn(&mut Vec<u8>, usize) -> std::ops::Range<usize>,
    name: &str,
) {
    let small = small(clean).await;
    let whole = small.fs.peek(&small.path).unwrap();
    let end = *small.edges.last().unwrap();
    for at in (0..64).chain(FRAMES_AT..end).step_by(step) {
        let mut damaged = whole.clone();
        let range = damage(&mut damaged, at);
        let touched = small.touched(range);
        small.check(&format!("{name} at {at}, clean {clean}"), damaged, &touched, clean).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_anywhere_costs_one_frame_at_most() {
    for clean in [true, false] {
        each(
            clean,
            1,
            |bytes, at| {
                bytes[at] ^= 1 << (at % 8);
                at..at + 1
            },
            "flip",
        )
        .await;
    }
}

#[tokio::test]
async fn zeros_anywhere_cost_what_they_cover() {
    let zero = |bytes: &mut Vec<u8>, at: usize| {
        let end = bytes.len().min(at + 24);
        bytes[at..end].fill(0);
        at..at + 24
    };
    for clean in [true, false] {
        each(clean, 3, zero, "zeros").await;
    }
}

#[tokio::test]
async fn garbage_anywhere_costs_what_it_covers() {
    let garbage = |bytes: &mut Vec<u8>, at: usize| {
        let mut random = fastrand::Rng::with_seed(at as u64);
        let end = bytes.len().min(at + 200);
        bytes[at..end].fill_with(|| random.u8(..));
        at..at + 200
    };
    for clean in [true, false] {
        each(clean, 3, garbage, "garbage").await;
    }
}

#[tokio::test]
async fn a_file_cut_anywhere_keeps_what_is_before() {
    // After a kill nothing tells that there was more: the rest is a torn tail. After a clean stop it is a loss.
    let small = small(true).await;
    let whole = small.fs.peek(&small.path).unwrap();
    for at in (0..64).chain(FRAMES_AT..*small.edges.last().unwrap()) {
        let touched = small.touched(at..whole.len());
        small.check(&format!("cut at {at}"), whole[..at].to_vec(), &touched, true).await;
    }
}

#[tokio::test]
async fn damaged_bytes_are_put_aside() {
    let small = small(true).await;
    let mut damaged = small.fs.peek(&small.path).unwrap();
    let at = small.edges[2] + 90;
    damaged[at] ^= 0x40;
    let expected = damaged[small.edges[2]..small.edges[3]].to_vec();
    small.fs.poke(&small.path, damaged);
    let bench = Bench::new(small.fs, options());
    bench.read_all(Signal::Logs).await;
    let aside = PathBuf::from("/data/logs/quarantine/00000000000000000003-00000000000000000003.bytes");
    assert_eq!(bench.fs.peek(&aside), Some(expected));
}

#[tokio::test]
async fn damaged_small_files_never_keep_it_from_opening() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(Signal::Logs);
    for n in 1..=FRAMES {
        log.append(&small_batch(n)).await.unwrap();
    }
    bench.journal.cursor("store", Signal::Logs, tidegate_journal::Start::Earliest).unwrap();
    bench.journal.close().await;
    let fs = bench.fs.copy();
    let small: Vec<_> =
        fs.files().into_iter().filter(|path| !path.to_string_lossy().ends_with("seg")).collect();
    assert!(small.len() >= 2);
    for path in &small {
        let whole = fs.peek(path).unwrap();
        for at in (0..whole.len().min(400)).step_by(3) {
            let fs = fs.copy();
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            fs.poke(path, damaged);
            let bench = Bench::new(fs, options());
            assert_eq!(bench.read_all(Signal::Logs).await.len() as u64, FRAMES, "{} at {at}", path.display());
        }
    }
}

#[tokio::test]
async fn damage_to_a_running_log_is_met_by_readers_and_the_books_balance() {
    let bench = Bench::new(SimFs::new(), options());
    let log = bench.journal.log(Signal::Logs);
    let cursor = bench.journal.cursor("store", Signal::Logs, tidegate_journal::Start::Earliest).unwrap();
    for n in 1..=FRAMES {
        log.append(&small_batch(n)).await.unwrap();
    }
    let path = bench.fs.files().into_iter().find(|path| path.to_string_lossy().ends_with(".seg")).unwrap();
    let mut bytes = bench.fs.peek(&path).unwrap();
    let at = FRAMES_AT + 3 * 130;
    bytes[at..at + 150].fill(0xee);
    bench.fs.poke(&path, bytes);
    let mut state = cursor.state();
    let mut reader = cursor.reader();
    let mut lost = 0;
    while reader.position() <= log.durable() {
        match reader.next().await.unwrap() {
            Read::Frame(frame) => state.books.of(&frame.origin).delivered += u64::from(frame.items),
            Read::Lost { origins, items, reason, .. } => {
                lost += items;
                origins.iter().for_each(|(origin, items)| state.books.drop_items(origin, reason, *items));
            }
        }
        log.append(&small_batch(90)).await.unwrap();
        state.low = reader.position();
        cursor.checkpoint(state.clone()).await.unwrap();
        bench.check_ledger();
        if state.low > Offset(20) {
            break;
        }
    }
    assert!(lost > 0);
}
