//! A journal on a simulated disk, sinks that do what a script says, and what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{Durability, Journal, Offset, Options, SimFs};
use model::{Batch, Clock, ContentHash, Failure, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use pipeline::sink::{Settler, Sink};
use pipeline::{
    Bounds, BoxFuture, Carried, Cut, Edges, Ledger, Memory, Metrics, Parcel, Pipeline, Receipt, Resume,
    Setup, SinkOptions, Workers,
};
use tokio::sync::watch;
use tokio::time::Instant;
use wire::{Coding, put};

pub(crate) const SIGNAL: Signal = Signal::Logs;
pub(crate) const EVERYTHING: Cut =
    Cut { max_items: 1000, max_bytes: 1 << 20, max_stored_bytes: 1 << 20, max_wait: Duration::ZERO };

/// An item: its frame and its index there.
pub(crate) type Item = (u64, u32);
type Answer = Result<Receipt, Failure>;

pub(crate) enum Act {
    Say(Answer),
    Hang,
    Panic,
}

pub(crate) const DELIVERED: Act = Act::Say(Ok(Receipt::Delivered));

pub(crate) fn retry(after: Option<Duration>) -> Act {
    Act::Say(Err(Failure::Retry { after, reason: "away".into() }))
}

pub(crate) fn items(parcel: &Parcel) -> Vec<Item> {
    parcel.places().map(|place| (place.offset.0, place.index)).collect()
}

#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    pub(crate) signal: Signal,
    pub(crate) range_id: String,
    pub(crate) items: Vec<Item>,
    pub(crate) bodies: Vec<String>,
}

/// A sink that does what its script says.
pub(crate) struct Fake {
    pub(crate) signals: &'static [Signal],
    pub(crate) cut: Cut,
    pub(crate) edges: Edges,
    pub(crate) in_flight: usize,
    pub(crate) script: Box<dyn Fn(&Parcel) -> Act + Send + Sync>,
    pub(crate) attempts: Mutex<Vec<Attempt>>,
    /// Items that the script's answer left with the sink, in order.
    pub(crate) delivered: Mutex<Vec<Item>>,
    pub(crate) changed: watch::Sender<usize>,
    pub(crate) attached: Mutex<Option<(Resume, Settler)>>,
    pub(crate) closed: AtomicU64,
}

impl Fake {
    pub(crate) fn new(script: impl Fn(&Parcel) -> Act + Send + Sync + 'static) -> Self {
        Self {
            signals: &[SIGNAL],
            cut: EVERYTHING,
            edges: Edges::Free,
            in_flight: 1,
            script: Box::new(script),
            attempts: Mutex::default(),
            delivered: Mutex::default(),
            changed: watch::channel(0).0,
            attached: Mutex::default(),
            closed: AtomicU64::new(0),
        }
    }

    /// Waits until at least so many attempts were made.
    pub(crate) async fn attempts(&self, number: usize) {
        let enough = || self.attempts.lock().unwrap().len() >= number;
        self.until(enough).await;
    }

    /// Waits until at least so many items, copies included, are delivered.
    pub(crate) async fn delivered(&self, number: usize) {
        let enough = || self.delivered.lock().unwrap().len() >= number;
        self.until(enough).await;
    }

    async fn until(&self, enough: impl Fn() -> bool) {
        let mut changed = self.changed.subscribe();
        while !enough() {
            changed.changed().await.unwrap();
        }
    }

    fn left_with_sink(parcel: &Parcel, answer: &Answer) -> Vec<Item> {
        let all = items(parcel);
        match answer {
            Ok(Receipt::Partly(refused)) => all[refused.items as usize..].to_vec(),
            Ok(_) => all,
            Err(Failure::Refused { items }) => {
                let refused = |index: usize| items.iter().any(|item| item.index as usize == index);
                all.iter().enumerate().filter(|(index, _)| !refused(*index)).map(|(_, item)| *item).collect()
            }
            Err(_) => Vec::new(),
        }
    }
}

impl Sink for Fake {
    fn signals(&self) -> &[Signal] {
        self.signals
    }

    fn cut(&self) -> Cut {
        self.cut
    }

    fn edges(&self) -> Edges {
        self.edges
    }

    fn in_flight(&self, _: Signal) -> usize {
        self.in_flight
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let bodies = parcel.plain().map(|plain| read_bodies(&plain)).unwrap_or_default();
            let (items, range_id, signal) = (items(parcel), parcel.range_id(1), parcel.signal);
            self.attempts.lock().unwrap().push(Attempt {
                at: Instant::now(),
                signal,
                range_id,
                items,
                bodies,
            });
            let act = (self.script)(parcel);
            if let Act::Say(answer) = &act {
                self.delivered.lock().unwrap().extend(Self::left_with_sink(parcel, answer));
            }
            self.changed.send_modify(|changes| *changes += 1);
            match act {
                Act::Say(answer) => answer,
                Act::Hang => std::future::pending().await,
                Act::Panic => panic!("on purpose"),
            }
        })
    }

    fn attach(&self, _: Signal, resume: Resume, settler: Settler) {
        *self.attached.lock().unwrap() = Some((resume, settler));
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

#[derive(Debug)]
pub(crate) struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::SeqCst))
    }
}

/// One data folder over several runs.
pub(crate) struct World {
    pub(crate) disk: SimFs,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<Hand>,
    pub(crate) options: Options,
    pub(crate) seed: u64,
}

/// One run of a world.
pub(crate) struct Run {
    pub(crate) journal: Journal,
    pub(crate) pipeline: Pipeline,
    pub(crate) metrics: Metrics,
    clock: Arc<Hand>,
}

pub(crate) fn quick() -> SinkOptions {
    SinkOptions {
        backoff_first: Duration::from_millis(1),
        backoff_most: Duration::from_millis(4),
        ..SinkOptions::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let options =
            Options { durability: Durability::Sync, max_bytes: 64 << 20, low_space: 0, ..Options::default() };
        Self {
            disk: SimFs::new(),
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(Hand(AtomicU64::new(1_700_000_000_000_000_000))),
            options,
            seed: 7,
        }
    }

    pub(crate) fn start(&self, sinks: &[(&str, &Arc<Fake>)]) -> Run {
        self.start_with(sinks, &quick())
    }

    pub(crate) fn start_with(&self, sinks: &[(&str, &Arc<Fake>)], options: &SinkOptions) -> Run {
        let vfs = Arc::new(self.disk.clone());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (journal, _) =
            Journal::open(vfs, PathBuf::from("/journal"), self.options.clone(), Arc::clone(&clock)).unwrap();
        let carried = |(name, sink): &(&str, &Arc<Fake>)| Carried {
            name: (*name).into(),
            sink: Arc::<Fake>::clone(sink),
            options: options.clone(),
        };
        let metrics = Metrics::default();
        let pipeline = Pipeline::start(Setup {
            journal: journal.clone(),
            sinks: sinks.iter().map(carried).collect(),
            memory: Memory::new(64 << 20),
            workers: Workers::start("test-worker", 1, 16).unwrap(),
            delivery_workers: Workers::start("test-deliver", 1, 16).unwrap(),
            clock,
            metrics: metrics.clone(),
            folder: self.folder.path().to_owned(),
            dead_letters: Bounds { bytes: 64 << 20, keep: Duration::from_secs(86_400) },
            quarantine_bytes: 1 << 20,
            seed: self.seed,
        });
        Run { journal, pipeline: pipeline.unwrap(), metrics, clock: Arc::clone(&self.clock) }
    }

    /// Ends a run as `kill -9` does. The next one starts on what the disk holds.
    pub(crate) fn kill(&mut self, run: Run) {
        self.disk = self.disk.kill();
        drop(run);
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn letters(&self, sink: &str) -> Vec<pipeline::Letter> {
        self.read_letters(sink).unwrap()
    }

    /// The same while a gateway is running: a file may go while it is read.
    pub(crate) fn read_letters(&self, sink: &str) -> std::io::Result<Vec<pipeline::Letter>> {
        pipeline::deadletter::read(&self.folder.path().join("dead-letters").join(sink))?.collect()
    }
}

impl Run {
    /// Appends a frame of log records for a tenant and waits until it is durable.
    pub(crate) async fn append(&self, tenant: &str, records: u32) -> Offset {
        self.append_to(SIGNAL, tenant, records).await
    }

    /// The same to the log of any signal; a courier does not look into it.
    pub(crate) async fn append_to(&self, signal: Signal, tenant: &str, records: u32) -> Offset {
        let (log, batch) = (self.journal.log(signal), Batch { signal, ..self.batch(tenant, records) });
        let before = log.durable();
        // Waited for by its offset: the append's own time limit would pass at once on a paused clock.
        drop(log.append(&batch));
        let durable = log.wait_past(before).await.unwrap();
        assert_eq!(durable, before.next(), "one writer");
        durable
    }

    /// Appends a frame unless the journal refuses it.
    pub(crate) async fn offer(&self, tenant: &str, records: u32) -> bool {
        self.offer_to(SIGNAL, tenant, records).await
    }

    /// The same to the log of any signal.
    pub(crate) async fn offer_to(&self, signal: Signal, tenant: &str, records: u32) -> bool {
        let batch = Batch { signal, ..self.batch(tenant, records) };
        self.journal.log(signal).append(&batch).await.is_ok()
    }

    fn batch(&self, tenant: &str, records: u32) -> Batch {
        let origin = Origin { tenant: Tenant::new(tenant).unwrap(), source: Source::new("otlp").unwrap() };
        let number = self.journal.log(SIGNAL).durable().0 + 1;
        let plain = logs((0..records).map(|index| format!("{number}/{index}")));
        Batch {
            signal: SIGNAL,
            layout: Layout::Otlp,
            coding: Coding::Gzip,
            plain_len: plain.len() as u32,
            items: records,
            content_hash: ContentHash::of(&origin, &plain),
            received: self.clock.now(),
            body: wire::coding::compress(Coding::Gzip, 1, &plain).into(),
            origin,
        }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let ledger = self.pipeline.ledger();
        assert!(ledger.balanced, "{ledger:#?}");
        ledger
    }

    /// Drains in time and gives the books of one sink, all tenants together.
    pub(crate) async fn end(self, sink: &str) -> BTreeMap<String, u64> {
        let drained = self.pipeline.drain(Duration::from_secs(20)).await;
        assert_eq!(drained.late, Vec::<&str>::new());
        self.ledger();
        books(&drained.ledger, sink)
    }
}

/// A sink's books, all origins together; zeros left out.
pub(crate) fn books(ledger: &Ledger, sink: &str) -> BTreeMap<String, u64> {
    let mut books = BTreeMap::new();
    for row in ledger.rows.iter().filter(|row| row.sink == sink) {
        let mut add = |what: &str, items: u64| *books.entry(what.to_owned()).or_default() += items;
        add("accepted", row.accepted);
        add("before", row.before);
        add("held", row.held);
        add("delivered", row.delivered);
        add("peer_refused", row.peer_refused);
        add("dead_letters", row.dead_letters);
        add("replayed", row.replayed);
        add("replay_refused", row.replay_refused);
        add("replay_dead_letters", row.replay_dead_letters);
        row.dropped.iter().for_each(|(reason, items)| add(reason, *items));
    }
    books.retain(|_, items| *items > 0);
    books
}

pub(crate) fn expected<const N: usize>(books: [(&str, u64); N]) -> BTreeMap<String, u64> {
    books.into_iter().map(|(what, items)| (what.to_owned(), items)).collect()
}

/// OTLP logs, one resource and scope, one record per body.
fn logs(bodies: impl Iterator<Item = String>) -> Vec<u8> {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |resource| {
        put::message(resource, 2, |scope| {
            for body in bodies {
                put::message(scope, 2, |record| {
                    put::message(record, 5, |value| put::bytes(value, 1, body.as_bytes()));
                });
            }
        });
    });
    plain
}

/// The bodies of `logs`, in order.
pub(crate) fn read_bodies(plain: &[u8]) -> Vec<String> {
    let mut bodies = Vec::new();
    wire::otlp::logs::each_record(plain, |_, _, record| {
        if let wire::otlp::AnyValue::Str(body) = record.body {
            bodies.push(body.to_owned());
        }
        Ok(())
    })
    .unwrap();
    bodies
}
