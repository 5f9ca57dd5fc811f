//! Everything behind the receivers put together: started once, drained once.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use journal::{Journal, Offset, Start};
use model::{Clock, Signal, UnixNanos};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::courier::{Again, Attempts, Courier, Pace, Phase, Progress, Replay, Replays, Route, with_causes};
use crate::deadletter::DeadLetters;
use crate::door::Door;
use crate::ledger::{Ledger, Tenants};
use crate::metrics::{Family, Kind, Page};
use crate::operate::{self, Shelf};
use crate::quarantine::Quarantine;
use crate::shelf::Bounds;
use crate::status::{Health, Peer, SinkStatus, State};
use crate::upkeep;
use crate::{BoxFuture, Edges, Intake, Memory, Metrics, Moment, Sink, SinkOptions, Workers};

/// Jobs that may wait for the disk's thread.
const DISK_QUEUE: usize = 1024;

/// One sink and how its courier treats it.
pub struct Carried {
    /// The configured name, of a tenant's alphabet: it keys the cursor and names a folder.
    pub name: Arc<str>,
    /// The sink, open.
    pub sink: Arc<dyn Sink>,
    /// How its courier treats it.
    pub options: SinkOptions,
}

/// Everything that a pipeline stands on.
pub struct Setup {
    /// The journal, open.
    pub journal: Journal,
    /// Every sink.
    pub sinks: Vec<Carried>,
    /// The memory pool.
    pub memory: Memory,
    /// Threads for what requests need that takes longer than half a millisecond.
    pub workers: Workers,
    /// The same for deliveries: what one side has to do never waits behind the other.
    pub delivery_workers: Workers,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// The data folder: `dead-letters/SINK` and `quarantine` are made below it.
    pub folder: PathBuf,
    /// What bounds the dead letters of each sink.
    pub dead_letters: Bounds,
    /// What bounds the quarantine, in bytes.
    pub quarantine_bytes: u64,
    /// Seed of the jitter.
    pub seed: u64,
}

/// Why a pipeline does not start.
#[derive(Debug)]
pub enum StartError {
    /// The operating system refuses a folder, a file or a thread.
    Io {
        /// What was touched.
        what: String,
        /// What it said.
        source: io::Error,
    },
    /// A sink's name cannot key a cursor, or two have the same.
    Name(String),
    /// A cursor cannot be made.
    Cursor {
        /// The sink's name.
        sink: String,
        /// What the journal said.
        reason: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, .. } => write!(f, "{what} is not usable"),
            Self::Name(name) => write!(
                f,
                "sink name {name:?} is used twice or has other characters than A-Z, a-z, 0-9, _, . and -"
            ),
            Self::Cursor { sink, reason } => write!(f, "sink {sink} has no cursor: {reason}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Name(_) | Self::Cursor { .. } => None,
        }
    }
}

/// A running pipeline. Dropping it without `drain` stops the couriers where they are: what is not booked is held.
pub struct Pipeline {
    pub(crate) journal: Journal,
    pub(crate) door: Arc<Door>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) sinks: Vec<(Arc<str>, Arc<dyn Sink>)>,
    pub(crate) couriers: Mutex<Vec<JoinHandle<()>>>,
    /// Dead letters by sink, in the order of their names.
    pub(crate) shelves: Arc<Vec<Shelf>>,
    pub(crate) workers: Workers,
    /// The one thread that writes dead letters.
    pub(crate) disk: Workers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) replays: Replays,
    /// Held while replays are begun.
    pub(crate) starting: tokio::sync::Mutex<()>,
    /// Where couriers run, whoever asks for one.
    pub(crate) runtime: tokio::runtime::Handle,
}

const QUARANTINE_BYTES: Family =
    Family { name: "tidegate_quarantine_kept_bytes", help: "Bytes in the quarantine.", kind: Kind::Gauge };
const QUARANTINE_DROPPED: Family = Family {
    name: "tidegate_quarantine_dropped_entries_total",
    help: "Entries that the quarantine's bound has dropped.",
    kind: Kind::Counter,
};
const LETTER_BYTES: Family =
    Family { name: "tidegate_deadletter_kept_bytes", help: "Bytes of dead letters.", kind: Kind::Gauge };
const LETTERS_DROPPED: Family = Family {
    name: "tidegate_deadletter_dropped_letters_total",
    help: "Dead letters that their bounds have dropped.",
    kind: Kind::Counter,
};
const JOURNAL_BYTES: Family = Family {
    name: "tidegate_journal_used_bytes",
    help: "Bytes that the journal takes on disk, reserve included.",
    kind: Kind::Gauge,
};
const JOURNAL_LIMIT: Family = Family {
    name: "tidegate_journal_limit_bytes",
    help: "Bytes that the journal may take.",
    kind: Kind::Gauge,
};
const MEMORY_BYTES: Family =
    Family { name: "tidegate_memory_leased_bytes", help: "Bytes leased from the pool.", kind: Kind::Gauge };
const MEMORY_LIMIT: Family =
    Family { name: "tidegate_memory_limit_bytes", help: "Bytes of the pool.", kind: Kind::Gauge };
const FAILURES: Family = Family {
    name: "tidegate_sink_failures",
    help: "Failed attempts in a row; 0 while the sink takes what it is given.",
    kind: Kind::Gauge,
};

const IN_FLIGHT: Family = Family {
    name: "tidegate_sink_in_flight_limit",
    help: "Parcels that may be in flight at once now.",
    kind: Kind::Gauge,
};
const STATE: Family = Family {
    name: "tidegate_sink_state",
    help: "1 for the state that the sink is in: away means that one parcel at a time knocks.",
    kind: Kind::Gauge,
};

impl Pipeline {
    /// Starts the couriers on the current runtime. Opens files and cursors: call it before traffic comes.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let disk =
            Workers::start("tidegate-books", 1, DISK_QUEUE).map_err(io_error("thread tidegate-books"))?;
        let folder = setup.folder.join("quarantine");
        let what = folder.display().to_string();
        let quarantine = Quarantine::open(folder, setup.quarantine_bytes).map_err(io_error(&what))?;
        let threads = (setup.workers.clone(), disk.clone());
        let (clock, metrics) = (Arc::clone(&setup.clock), setup.metrics.clone());
        let door = Arc::new(Door::new(setup.journal.clone(), threads, clock, metrics, quarantine));
        let (phase, _) = watch::channel(Phase::Run);
        let mut routes = Vec::new();
        let mut couriers: Vec<BoxFuture<'static, ()>> = Vec::new();
        let mut shelves = Vec::new();
        let replays = Replays::default();
        for (number, carried) in setup.sinks.iter().enumerate() {
            check_name(&setup.sinks[..number], &carried.name)?;
            let folder = setup.folder.join("dead-letters").join(&*carried.name);
            let what = folder.display().to_string();
            let mut letters = DeadLetters::open(folder, setup.dead_letters).map_err(io_error(&what))?;
            letters.expire(setup.clock.now()).map_err(io_error(&what))?;
            let letters = Arc::new(Mutex::new(letters));
            let mut mine = Vec::new();
            let shared = Arc::default();
            for signal in carried.sink.signals() {
                let peer = if carried.sink.is_one_peer() { Arc::clone(&shared) } else { Arc::default() };
                let (route, courier) = open(&setup, carried, *signal, &disk, &phase, &letters, peer)?;
                mine.push(route);
                couriers.push(Box::pin(courier.run()));
            }
            for route in &mine {
                resume(&setup.journal, route, &replays, &mut couriers)?;
            }
            let wake = Arc::default();
            if carried.sink.takes_again() {
                couriers.push(Box::pin(Again::new(mine.clone(), Arc::clone(&wake)).run()));
            }
            routes.append(&mut mine);
            let way = operate::way(&*carried.sink, &wake);
            shelves.push(Shelf { sink: Arc::clone(&carried.name), letters, way });
        }
        let known = shelves.iter().map(|shelf| Arc::clone(&shelf.sink)).collect();
        let folder = setup.folder.join("dead-letters");
        let what = folder.display().to_string();
        shelves.extend(operate::strays(&folder, &known, setup.dead_letters).map_err(io_error(&what))?);
        shelves.sort_by(|a, b| a.sink.cmp(&b.sink));
        let shelves = Arc::new(shelves);
        let (clock, watched) = (Arc::clone(&setup.clock), phase.subscribe());
        couriers.push(Box::pin(upkeep::run(Arc::clone(&shelves), disk.clone(), clock, watched)));
        let couriers = couriers.into_iter().map(tokio::spawn).collect();
        let sinks = setup
            .sinks
            .iter()
            .map(|carried| (Arc::clone(&carried.name), Arc::clone(&carried.sink)))
            .collect();
        let pipeline = Self {
            journal: setup.journal,
            door,
            phase,
            routes,
            sinks,
            couriers: Mutex::new(couriers),
            shelves,
            workers: setup.delivery_workers,
            disk,
            clock: setup.clock,
            metrics: setup.metrics.clone(),
            replays,
            starting: tokio::sync::Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        pipeline.show(&setup.metrics, &setup.memory);
        Ok(pipeline)
    }

    /// Where receivers submit.
    pub fn intake(&self) -> Intake {
        Intake(Arc::clone(&self.door) as _)
    }

    /// The time by the pipeline's clock.
    pub fn now(&self) -> UnixNanos {
        self.clock.now()
    }

    /// The books as they were last checkpointed.
    pub fn ledger(&self) -> Ledger {
        Ledger::of(&self.journal.ledger())
    }

    /// How every sink is doing.
    pub fn status(&self) -> Vec<SinkStatus> {
        let ledger = self.ledger();
        let of = |route: &Arc<Route>| {
            let replay = self.replays.of(&route.name, route.signal);
            status(route, &ledger, &self.journal, replay.as_deref())
        };
        self.routes.iter().map(of).collect()
    }

    fn show(&self, metrics: &Metrics, memory: &Memory) {
        let (journal, routes, memory) = (self.journal.clone(), self.routes.clone(), memory.clone());
        let quarantine = Arc::clone(&self.door.quarantine);
        let tenants = Mutex::new(Tenants::default());
        metrics.collect(move |page| {
            let mut tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
            Ledger::of(&journal.ledger()).put(page, &mut tenants);
            let usage = journal.usage();
            page.put(JOURNAL_BYTES, &[], usage.bytes);
            page.put(JOURNAL_LIMIT, &[], usage.max_bytes);
            page.put(MEMORY_BYTES, &[], memory.used());
            page.put(MEMORY_LIMIT, &[], memory.limit());
            // The disk's thread holds these locks while it writes: a page is not worth waiting for it.
            if let Ok(quarantine) = quarantine.try_lock() {
                page.put(QUARANTINE_BYTES, &[], quarantine.bytes());
                page.put(QUARANTINE_DROPPED, &[], quarantine.dropped());
            }
            routes.iter().for_each(|route| show_route(page, route));
        });
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let couriers = self.couriers.get_mut().unwrap_or_else(PoisonError::into_inner);
        couriers.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> StartError + '_ {
    move |source| StartError::Io { what: what.to_owned(), source }
}

fn check_name(before: &[Carried], name: &str) -> Result<(), StartError> {
    let taken = before.iter().any(|other| &*other.name == name);
    match model::Tenant::new(name) {
        Some(_) if !taken => Ok(()),
        _ => Err(StartError::Name(name.to_owned())),
    }
}

fn open(
    setup: &Setup,
    carried: &Carried,
    signal: Signal,
    disk: &Workers,
    phase: &watch::Sender<Phase>,
    letters: &Arc<Mutex<DeadLetters>>,
    peer: Arc<Peer>,
) -> Result<(Arc<Route>, Courier), StartError> {
    let start = match carried.options.start {
        Moment::Earliest => Start::Earliest,
        Moment::Now => Start::Now,
        since => Start::Since(since.at(setup.clock.now())),
    };
    let cursor = setup.journal.cursor(&carried.name, signal, start);
    let cursor = cursor.map_err(|error| StartError::Cursor {
        sink: carried.name.to_string(),
        reason: with_causes(&error),
    })?;
    setup.journal.set_on_full(&carried.name, carried.options.on_full);
    let reader = cursor.reader();
    let edges = carried.sink.edges();
    let resume = cursor.state();
    let seed = setup.seed ^ u64::from(crc32c::crc32c(carried.name.as_bytes())) ^ ((signal as u64) << 32);
    let route = Arc::new(Route {
        name: Arc::clone(&carried.name),
        signal,
        sink: Arc::clone(&carried.sink),
        options: carried.options.clone(),
        cut: carried.sink.cut(),
        edges,
        clock: Arc::clone(&setup.clock),
        memory: setup.memory.clone(),
        workers: setup.delivery_workers.clone(),
        disk: disk.clone(),
        health: Arc::new(Health::new(signal, Arc::clone(&setup.clock), peer)),
        pace: Arc::new(Pace::new(in_flight(&*carried.sink, signal), carried.sink.adaptive())),
        attempts: Attempts::new(&setup.metrics, &carried.name, signal),
        replay: 0,
        phase: phase.subscribe(),
        mark: watch::channel(Offset(0)).0,
        progress: Mutex::new(Progress::new(resume, edges == Edges::Free)),
        cursor,
        letters: Arc::clone(letters),
        rng: Mutex::new(fastrand::Rng::with_seed(seed)),
        turn: tokio::sync::Mutex::new(()),
    });
    let courier = Courier::new(Arc::clone(&route), reader);
    Ok((route, courier))
}

/// Goes on with the replays of a sink that were under way when the process ended.
fn resume(
    journal: &Journal,
    route: &Arc<Route>,
    replays: &Replays,
    couriers: &mut Vec<BoxFuture<'static, ()>>,
) -> Result<(), StartError> {
    let failed = |error: journal::CursorError| StartError::Cursor {
        sink: route.name.to_string(),
        reason: with_causes(&error),
    };
    let last = route.progress().last_replay();
    for fork in journal.forks(&route.name, route.signal).map_err(failed)? {
        // Its books are in already, or the sink takes none now.
        if fork.number <= last || !route.sink.takes_again() {
            let name = Arc::clone(fork.cursor.sink());
            journal.forget(&name, route.signal, "cancelled").map_err(failed)?;
            continue;
        }
        couriers.push(Box::pin(Replay::begin(replays, journal, route, fork)));
    }
    Ok(())
}

/// How many parcels a courier may have in flight.
fn in_flight(sink: &dyn Sink, signal: Signal) -> usize {
    match sink.edges() {
        Edges::Settled => 1,
        Edges::Free | Edges::Recorded => sink.in_flight(signal).max(1),
    }
}

fn status(route: &Route, ledger: &Ledger, journal: &Journal, replay: Option<&Replay>) -> SinkStatus {
    let seen = route.health.seen();
    let progress = route.progress();
    SinkStatus {
        sink: route.name.to_string(),
        signal: route.signal.as_str(),
        state: seen.state(),
        last_error: seen.last_error,
        retries: seen.retries,
        failures: seen.failures,
        low: progress.low().0,
        lag_items: ledger.held(&route.name, route.signal),
        lag_frames: (journal.log(route.signal).durable().0 + 1).saturating_sub(progress.low().0),
        in_hand_frames: progress.frames(),
        in_flight_limit: route.pace.limit(),
        replay: replay.map(Replay::status),
    }
}

fn show_route(page: &mut Page, route: &Route) {
    let labels = [("sink", &*route.name), ("signal", route.signal.as_str())];
    let seen = route.health.seen();
    page.put(FAILURES, &labels, seen.failures.into());
    page.put(IN_FLIGHT, &labels, route.pace.limit() as u64);
    for state in State::ALL {
        let [sink, signal] = labels;
        page.put(STATE, &[sink, signal, ("state", state.as_str())], u64::from(seen.state() == state));
    }
    if let Ok(letters) = route.letters.try_lock()
        && route.sink.signals().first() == Some(&route.signal)
    {
        page.put(LETTER_BYTES, &labels[..1], letters.bytes());
        page.put(LETTERS_DROPPED, &labels[..1], letters.dropped());
    }
}

/// For the drain: everything that the disk's thread still holds.
pub(crate) fn sync_quarantine(door: &Door) -> io::Result<()> {
    door.quarantine.lock().unwrap_or_else(PoisonError::into_inner).sync()
}
