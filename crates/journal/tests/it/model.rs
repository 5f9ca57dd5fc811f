//! A toy model stepped beside the journal, on a disk that forgets, fails and fills up.
//!
//! The toy is three maps: what was acknowledged, what was ever seen at an offset, and what a sink has stored. After every step:
//! nothing acknowledged or seen is lost while a cursor needs it, no offset ever means two batches, readers meet offsets one
//! after the other, the cursor is where it was last stored, the books balance, and `accepted` is what was ever seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Signal;
use proptest::prelude::*;
use tidegate_journal::vfs::Fault;
use tidegate_journal::{
    AppendError, Books, Cursor, Durability, Finished, Offset, Options, Read, Reader, SimFs, Start, State,
};

use crate::support::{Bench, batch, body_of, items_of, options, origin};

const LOG: Signal = Signal::Logs;

#[derive(Debug, Clone)]
enum Step {
    /// So many appends at once.
    Append(u8),
    /// The sink reads so many, leaves some of them undone (by bit), and stores its cursor.
    Courier(u8, u32),
    /// Upkeep, after so many minutes.
    Tend(u8),
    /// Power loss.
    Crash(u64),
    /// The process ends, the machine stays.
    Kill,
    /// A stop in order.
    Close,
    /// The n-th call from now fails.
    Fail(u8, Fault),
    /// So many KiB are left on the disk.
    Fill(u8),
    /// The disk is well again.
    Heal,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![Just(Fault::Io), Just(Fault::Full), Just(Fault::Short)];
    let step = prop_oneof![
        8 => (1..40u8).prop_map(Step::Append),
        5 => (1..60u8, any::<u32>()).prop_map(|(n, undone)| Step::Courier(n, undone)),
        4 => (0..90u8).prop_map(Step::Tend),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        3 => (1..30u8, fault).prop_map(|(n, fault)| Step::Fail(n, fault)),
        1 => (0..100u8).prop_map(Step::Fill),
        2 => Just(Step::Heal),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the sink has in hand between two checkpoints.
#[derive(Default)]
struct Sink {
    state: State,
    /// Read and not done.
    undone: BTreeSet<u64>,
    /// Read and done above the low-water mark.
    done: BTreeMap<u64, (u64, Books)>,
}

struct Toy {
    bench: Option<Bench>,
    cursor: Option<Cursor>,
    reader: Option<Reader>,
    sink: Sink,
    /// States that may be stored: the last one that was, and those whose write failed since.
    stored: Vec<State>,
    sent: u64,
    acked: BTreeMap<u64, u64>,
    seen: BTreeMap<u64, u64>,
    sync: bool,
}

impl Toy {
    fn new(options: Options) -> Self {
        let sync = options.durability == Durability::Sync;
        let bench = Bench::new(SimFs::new(), options);
        let mut toy = Self {
            bench: Some(bench),
            cursor: None,
            reader: None,
            sink: Sink::default(),
            stored: vec![State { low: Offset(1), ..State::default() }],
            sent: 0,
            acked: BTreeMap::new(),
            seen: BTreeMap::new(),
            sync,
        };
        toy.attach();
        toy
    }

    fn bench(&self) -> &Bench {
        self.bench.as_ref().expect("only taken while restarting")
    }

    /// Starts the sink; with a failing disk it may not come up.
    fn attach(&mut self) {
        let cursor = self.bench().journal.cursor("sink", LOG, Start::Earliest);
        let Ok(cursor) = cursor else { return };
        let state = cursor.state();
        let known = self.stored.iter().position(|stored| *stored == state);
        let Some(known) = known else { panic!("cursor {state:?} is none of {:?}", self.stored) };
        // What was tried after it and failed may still come back, until something newer is stored; what was before may not.
        self.stored.drain(..known);
        self.reader = Some(cursor.reader());
        self.cursor = Some(cursor);
        let done = state.finished.iter().map(|range| (range.first.0, (range.last.0, range.books.clone())));
        self.sink = Sink { done: done.collect(), undone: BTreeSet::new(), state };
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(n) => self.append(n).await,
            Step::Courier(n, undone) => self.carry(n, undone).await,
            Step::Tend(minutes) => {
                self.bench().clock.pass(Duration::from_secs(60 * u64::from(minutes)));
                self.bench().journal.tend();
            }
            Step::Crash(seed) => self.restart(|fs| fs.crash(seed), !self.sync),
            Step::Kill => self.restart(SimFs::kill, false),
            Step::Close => {
                self.bench().fs.heal();
                self.bench().journal.close().await;
                self.restart(SimFs::kill, false);
            }
            Step::Fail(n, fault) => self.bench().fs.fail_at(u64::from(n), fault),
            Step::Fill(kib) => {
                let fs = &self.bench().fs;
                fs.set_capacity(Some(fs.used() + u64::from(kib) * 1024));
            }
            Step::Heal => {
                self.bench().fs.heal();
                self.bench().fs.set_capacity(None);
            }
        }
        if self.cursor.is_none() {
            self.attach();
        }
        self.look().await;
    }

    async fn append(&mut self, n: u8) {
        let log = self.bench().journal.log(LOG).clone();
        let sent: Vec<_> = (self.sent + 1..=self.sent + u64::from(n)).collect();
        self.sent += u64::from(n);
        let waiting: Vec<_> = sent.iter().map(|n| (*n, log.append(&batch(LOG, *n)))).collect();
        for (n, appending) in waiting {
            match appending.await {
                Ok(offset) => {
                    let before = self.acked.insert(offset.0, n);
                    assert_eq!(before, None, "offset {offset} was acknowledged twice");
                }
                Err(AppendError::Full { .. } | AppendError::Failed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn carry(&mut self, n: u8, undone: u32) {
        let (Some(cursor), Some(reader)) = (self.cursor.clone(), self.reader.as_mut()) else { return };
        let durable = self.bench.as_ref().expect("running").journal.log(LOG).durable();
        let mut left = n;
        while left > 0 && reader.position() <= durable {
            left -= 1;
            match reader.next().await.expect("the journal is open") {
                Read::Frame(frame) => {
                    let offset = frame.offset.0;
                    if undone >> (offset % 32) & 1 == 1 {
                        self.sink.undone.insert(offset);
                    } else {
                        let mut books = Books::default();
                        books.of(&frame.origin).delivered += u64::from(frame.items);
                        self.sink.done.insert(offset, (offset, books));
                    }
                }
                Read::Lost { first, last, origins, .. } => {
                    assert!(!self.sync || origins.is_empty(), "{first}–{last} lost {origins:?}");
                    let mut books = Books::default();
                    origins.iter().for_each(|(origin, items)| books.drop_items(origin, "damaged", *items));
                    self.sink.done.insert(first.0, (last.0, books));
                }
            }
        }
        // What was left undone last time is done now, every other time.
        if undone.is_multiple_of(2) {
            for offset in std::mem::take(&mut self.sink.undone) {
                let n = self.seen[&offset];
                let mut books = Books::default();
                books.of(&origin(n)).delivered += u64::from(items_of(n));
                self.sink.done.insert(offset, (offset, books));
            }
        }
        let mut state = self.sink.state.clone();
        state.finished.clear();
        let mut ahead = BTreeMap::new();
        for (first, (last, books)) in std::mem::take(&mut self.sink.done) {
            if first == state.low.0 {
                state.low = Offset(last + 1);
                state.books.add(&books);
            } else {
                ahead.insert(first, (last, books));
            }
        }
        state.finished = ahead
            .iter()
            .map(|(first, (last, books))| Finished {
                first: Offset(*first),
                last: Offset(*last),
                books: books.clone(),
            })
            .collect();
        self.sink.done = ahead;
        self.sink.state = state.clone();
        match cursor.checkpoint(state.clone()).await {
            Ok(()) => self.stored = vec![state],
            Err(_) => self.stored.push(state),
        }
    }

    fn restart(&mut self, stop: impl FnOnce(&SimFs) -> SimFs, may_forget: bool) {
        let bench = self.bench.take().expect("running");
        let fs = stop(&bench.fs);
        let (options, clock) = (bench.options.clone(), bench.clock.clone());
        self.cursor = None;
        self.reader = None;
        drop(bench);
        let bench = Bench::with_clock(fs, options, clock);
        let next = bench.recovery.logs[1].next.0;
        let highest = self.seen.keys().chain(self.acked.keys()).last().copied().unwrap_or(0);
        assert!(next > self.seen.keys().last().copied().unwrap_or(0), "offset {next} was seen before");
        assert!(next > highest || may_forget, "offset {next} was acknowledged before");
        let low = self.stored.iter().map(|state| state.low.0).max().unwrap_or(1);
        assert!(next >= low || may_forget, "{next} is below the cursor's {low}");
        self.bench = Some(bench);
        if may_forget {
            self.acked.clear();
            self.forget();
        }
        self.attach();
    }

    /// In the weaker modes a power cut takes what it takes: from there on the toy believes what it sees.
    fn forget(&mut self) {
        self.seen.clear();
    }

    async fn look(&mut self) {
        let bench = self.bench();
        let log = bench.journal.log(LOG);
        let reads = bench.read_all(LOG).await;
        let first = log.first().0;
        let mut next = first;
        let mut fresh = BTreeMap::new();
        for read in reads {
            match read {
                Read::Frame(frame) => {
                    assert_eq!(frame.offset.0, next, "offsets are contiguous");
                    let n = u64::from_le_bytes(frame.body[..8].try_into().unwrap());
                    assert!((1..=self.sent).contains(&n));
                    assert_eq!(frame.body, body_of(n));
                    assert_eq!((frame.items, &frame.origin), (items_of(n), &origin(n)));
                    fresh.insert(next, n);
                    next += 1;
                }
                Read::Lost { first, last, items, .. } => {
                    assert_eq!(first.0, next, "offsets are contiguous");
                    assert!(!self.sync || items == 0, "{first}–{last} lost {items} items");
                    next = last.0 + 1;
                }
            }
        }
        assert_eq!(next, log.durable().0 + 1);
        for (offset, n) in self.seen.range(first..) {
            assert_eq!(fresh.get(offset), Some(n), "offset {offset} has changed");
        }
        for (offset, n) in &self.acked {
            let there = if *offset < first { self.seen.get(offset) } else { fresh.get(offset) };
            assert_eq!(there, Some(n), "acknowledged {n} at {offset} is lost");
        }
        let needed = self.stored.iter().map(|state| state.low.0).min().unwrap_or(1);
        self.seen.extend(fresh);
        let gone = self.seen.range(needed.min(first)..first).next();
        assert_eq!(gone, None, "{first} is the first kept, {needed} is needed");
        let bench = self.bench();
        bench.check_ledger();
        if self.sync {
            let accepted: u64 = bench.journal.ledger().accepted.values().sum();
            let expected: u64 = self.seen.values().map(|n| u64::from(items_of(*n))).sum();
            assert_eq!(accepted, expected, "accepted is not what was ever seen");
        }
        let usage = bench.journal.usage();
        assert!(usage.bytes <= usage.max_bytes, "{usage:?}");
    }
}

fn play(options: Options, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut toy = Toy::new(options);
        for step in steps {
            toy.step(step).await;
        }
        // With a good disk it always goes on.
        toy.bench().fs.heal();
        toy.bench().fs.set_capacity(None);
        toy.attach();
        toy.carry(255, 0).await;
        toy.carry(255, 0).await;
        toy.bench().journal.tend();
        toy.append(1).await;
        toy.look().await;
        toy.restart(SimFs::kill, false);
        toy.look().await;
    });
}

fn tight(durability: Durability) -> Options {
    Options { durability, max_bytes: 512 << 10, ..options() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_in_sync(steps in steps()) {
        play(tight(Durability::Sync), steps);
    }

    #[test]
    fn a_dead_process_loses_nothing_in_flush(steps in steps()) {
        let steps = steps.into_iter().filter(|step| !matches!(step, Step::Crash(_))).collect();
        play(tight(Durability::Flush), steps);
    }

    #[test]
    fn offsets_are_never_used_again_even_in_flush(steps in steps()) {
        // A failing device and a power cut together take shown frames; these modes do not promise otherwise.
        let steps = steps.into_iter().filter(|step| !matches!(step, Step::Fail(..))).collect();
        play(tight(Durability::Flush), steps);
    }
}
