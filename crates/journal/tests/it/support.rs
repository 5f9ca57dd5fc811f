//! What the journal's tests share: numbered batches, a clock that is set by hand, a journal on a simulated disk.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::{Batch, Clock, ContentHash, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use tidegate_journal::{Census, Journal, Offset, Options, Read, Recovery, SimFs, Upkeep};
use wire::Coding;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_700_000_000_000_000_000)))
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

/// Small segments, no memory to read from, upkeep by hand.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        max_bytes: 4 << 20,
        hot_bytes: 0,
        low_space: 0,
        upkeep: Upkeep::Caller,
        ..Options::default()
    }
}

/// One of three origins.
pub(crate) fn origin(n: u64) -> Origin {
    let source = Source::new(["otlp", "kong", "logpush"][(n % 3) as usize]).unwrap();
    Origin { tenant: Tenant::default(), source }
}

/// How many items batch `n` has.
pub(crate) fn items_of(n: u64) -> u32 {
    (n % 7 + 1) as u32
}

/// The body of batch `n`: its number, then bytes that follow from it.
pub(crate) fn body_of(n: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(n);
    let mut body = n.to_le_bytes().to_vec();
    body.extend(std::iter::repeat_with(|| random.u8(..)).take((n * 37 % 900) as usize));
    body.into()
}

pub(crate) fn batch(signal: Signal, n: u64) -> Batch {
    let body = body_of(n);
    Batch {
        origin: origin(n),
        signal,
        layout: Layout::Otlp,
        coding: Coding::Plain,
        plain_len: body.len() as u32,
        items: items_of(n),
        content_hash: ContentHash(u128::from(n) << 64 | 7),
        received: UnixNanos(1_700_000_000_000_000_000 + n),
        body,
    }
}

/// A journal on a simulated disk.
pub(crate) struct Bench {
    pub(crate) fs: SimFs,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) options: Options,
    pub(crate) journal: Journal,
    pub(crate) recovery: Recovery,
}

impl Bench {
    pub(crate) fn new(fs: SimFs, options: Options) -> Self {
        Self::with_clock(fs, options, HandClock::new())
    }

    pub(crate) fn with_clock(fs: SimFs, options: Options, clock: Arc<HandClock>) -> Self {
        let (journal, recovery) =
            Journal::open(Arc::new(fs.clone()), "/data".into(), options.clone(), clock.clone()).unwrap();
        Self { fs, clock, options, journal, recovery }
    }

    /// Stops in order and starts again.
    pub(crate) async fn reopen(self) -> Self {
        self.journal.close().await;
        let Self { fs, clock, options, .. } = self;
        Self::with_clock(fs, options, clock)
    }

    /// Everything that is there, up to the last visible offset.
    pub(crate) async fn read_all(&self, signal: Signal) -> Vec<Read> {
        let log = self.journal.log(signal);
        let mut reader = log.reader(log.first());
        let mut reads = Vec::new();
        while reader.position() <= log.durable() {
            reads.push(reader.next().await.unwrap());
        }
        reads
    }

    /// Batch `n` stands at offset `n`, for exactly this range.
    pub(crate) async fn expect(&self, signal: Signal, range: RangeInclusive<u64>) {
        let reads = self.read_all(signal).await;
        assert_eq!(reads.len() as u64, range.end() - range.start() + 1);
        for (n, read) in range.zip(reads) {
            let Read::Frame(frame) = read else { panic!("{n} is lost: {read:?}") };
            let sent = batch(signal, n);
            assert_eq!(frame.offset, Offset(n));
            assert_eq!((frame.body, frame.origin, frame.items), (sent.body, sent.origin, sent.items));
            assert_eq!((frame.content_hash, frame.received), (sent.content_hash, sent.received));
        }
    }

    /// `accepted = before + held + booked`, for every sink and origin.
    pub(crate) fn check_ledger(&self) {
        let ledger = self.journal.ledger();
        for sink in &ledger.sinks {
            let mut columns = Census::new();
            let mut put = |origin: &Origin, items: u64| {
                if items > 0 {
                    *columns.entry(origin.clone()).or_default() += items;
                }
            };
            sink.before.iter().for_each(|(origin, items)| put(origin, *items));
            sink.held.iter().for_each(|(origin, items)| put(origin, *items));
            sink.books.0.iter().for_each(|(origin, fate)| put(origin, fate.total()));
            let accepted: Census = ledger
                .accepted
                .iter()
                .filter(|((signal, _), _)| *signal == sink.signal)
                .map(|((_, origin), items)| (origin.clone(), *items))
                .collect();
            assert_eq!(accepted, columns, "books of {} for {}", sink.sink, sink.signal);
        }
    }
}
