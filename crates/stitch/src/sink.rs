//! Stitching as a sink: it is given the logs and the traces, keeps what they come to in its join store, gives what it tells to the
//! journal, and settles what it has read. One thread does all of its work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use journal::{Journal, Offset};
use model::{Clock, Failure, Signal, UnixNanos};
use pipeline::{
    BoxFuture, Cut, Edges, Parcel, Receipt, Resume, Settler, Sink, SinkContext, Workers, with_causes,
};
use tokio::sync::Notify;

use crate::correlation::Report;
use crate::engine::{BookError, Counts, Engine, Found, Options, Piece, Sought};
use crate::measures;

/// How long what came waits for the next turn.
const TURN: Duration = Duration::from_millis(500);
/// Entries in memory after which a turn comes at once.
const MUCH: usize = 100_000;
/// Entries in memory after which nothing is taken in before the next turn.
const MOST: usize = 400_000;
/// How long a courier waits then, or when the join store cannot be read.
const PAUSE: Duration = Duration::from_millis(200);
/// Derived batches that are on their way to the journal together.
const AT_ONCE: usize = 16;
/// What is told.
const TOLD: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];
/// What is read.
const SIGNALS: [Signal; 2] = [Signal::Logs, Signal::Traces];

/// Stitching, attached to a journal.
#[derive(Debug)]
pub struct Stitch {
    engine: Mutex<Engine>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    thread: OnceLock<Result<Workers, String>>,
    settling: Mutex<[Settling; SIGNALS.len()]>,
    measured: Mutex<Measured>,
    /// One turn at a time.
    turning: tokio::sync::Mutex<()>,
    wake: Arc<Notify>,
    closed: AtomicBool,
    watched: AtomicBool,
    itself: Weak<Self>,
}

/// How far a log is settled.
#[derive(Debug, Default)]
struct Settling {
    settler: Option<Settler>,
    /// The last frame that was.
    last: u64,
}

/// What there is to measure.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    /// Of metrics: series, observations that overflowed, items that were untimely.
    pub(crate) metrics: (u64, u64, u64),
    /// Bytes of the join store on disk.
    pub(crate) disk: u64,
    /// Bytes of its buffers and cache.
    pub(crate) memory: u64,
}

/// Looks up requests by whatever they are called. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Names(Arc<Stitch>);

impl Names {
    /// Everything that is known of what an id may mean.
    ///
    /// # Errors
    /// The join store cannot be read.
    pub async fn look(&self, sought: Sought) -> Result<Vec<Found>, String> {
        self.0.on_thread(move |engine| engine.look(&sought)).await
    }

    /// How the requests of the last hour are joined.
    ///
    /// # Errors
    /// Stitching has ended.
    pub async fn correlation(&self) -> Result<Report, String> {
        let now = self.0.clock.now();
        self.0.on_thread(move |engine| Ok(engine.correlation(now))).await
    }
}

impl Stitch {
    /// Opens or creates the join store in the context's folder. Starts nothing.
    ///
    /// # Errors
    /// The folder cannot be used, or was written by another version.
    pub async fn open(options: Options, journal: Journal, context: SinkContext) -> Result<Arc<Self>, String> {
        let (folder, now) = (context.folder.clone(), context.clock.now());
        let last = TOLD.map(|signal| (signal, journal.log(signal).last_derived()));
        let opened = context.workers.run(move || -> Result<Engine, String> {
            let shown = folder.display().to_string();
            std::fs::create_dir_all(&folder)
                .map_err(|error| format!("folder {shown} cannot be made: {error}"))?;
            let opened = Engine::open_or_begin(&folder, options, now);
            let (mut engine, wrong) =
                opened.map_err(|error| format!("folder {shown}: {}", with_causes(&error)))?;
            if let Some(wrong) = wrong {
                tracing::error!(error = %wrong, "stitching begins anew: what joins with earlier records may not");
            }
            last.into_iter().for_each(|(signal, number)| engine.given(signal, number));
            Ok(engine)
        });
        let engine = opened.await.map_err(|gone| gone.to_string())??;
        Ok(Arc::new_cyclic(|itself: &Weak<Self>| {
            measures::register(&context.metrics, itself.clone());
            Self {
                engine: Mutex::new(engine),
                journal,
                clock: context.clock,
                thread: OnceLock::new(),
                settling: Mutex::default(),
                measured: Mutex::default(),
                turning: tokio::sync::Mutex::default(),
                wake: Arc::default(),
                closed: AtomicBool::new(false),
                watched: AtomicBool::new(true),
                itself: itself.clone(),
            }
        }))
    }

    /// A handle for looking up.
    pub fn names(self: &Arc<Self>) -> Names {
        Names(Arc::clone(self))
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        // A panic in between leaves what is in memory in doubt; what is on disk is whole, and a restart reads it.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the engine had counted after its last turn, and the join store's size then.
    pub(crate) fn measured(&self) -> Measured {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settling(&self) -> MutexGuard<'_, [Settling; SIGNALS.len()]> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the engine on the thread of its own.
    async fn on_thread<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, String> {
        let start = || Workers::start("stitch", 1, 64).map_err(|error| error.to_string());
        let thread = self.thread.get_or_init(start).clone()?;
        let itself = self.itself.upgrade().ok_or("stitching has ended")?;
        let done = thread.run(move || job(&mut itself.engine())).await;
        done.map_err(|gone| gone.to_string())?.map_err(|error| with_causes(&error))
    }

    async fn take(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let (owned, now) = (parcel.clone(), self.clock.now());
        let pending = self.on_thread(move |engine| {
            // More than this is not taken before it is on disk.
            if engine.pending() > MOST {
                return Ok(None);
            }
            feed(engine, &owned, now)?;
            Ok(Some(engine.pending()))
        });
        match pending.await {
            Ok(Some(pending)) => {
                if pending > MUCH {
                    self.wake.notify_one();
                }
                Ok(Receipt::Pending)
            }
            Ok(None) => {
                self.wake.notify_one();
                let reason = "what came before is being written".to_owned();
                Err(Failure::Retry { after: Some(PAUSE), reason })
            }
            Err(reason) => Err(Failure::Retry { after: Some(PAUSE), reason }),
        }
    }

    /// One turn: tells, gives, settles. Whatever cannot be done now is done by the next.
    async fn turn(&self) -> Result<(), String> {
        let _turn = self.turning.lock().await;
        let now = self.clock.now();
        let done = self.on_thread(move |engine| {
            engine.turn(now)?;
            let (disk, memory) = engine.size()?;
            let measured = Measured { counts: engine.counts(), metrics: engine.metrics(), disk, memory };
            Ok((SIGNALS.map(|signal| engine.settled(signal)), measured))
        });
        let (settled, measured) = done.await?;
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner) = measured;
        for signal in TOLD {
            self.give(signal).await?;
        }
        for (number, settled) in settled.into_iter().enumerate() {
            let last = settled.offset.saturating_sub(1);
            let settler = {
                let settling = &self.settling()[number];
                settling.settler.clone().filter(|_| last > settling.last)
            };
            if let Some(settler) = settler {
                settler.0.settle(Offset(last)).await?;
                self.settling()[number].last = last;
            }
        }
        Ok(())
    }

    /// Gives the journal what it has to be told, one batch after the other: the last number in its log then says that it has all up to
    /// there. What it refuses waits.
    async fn give(&self, signal: Signal) -> Result<(), String> {
        let log = self.journal.log(signal);
        loop {
            let batches = self.on_thread(move |engine| engine.outgoing(signal, AT_ONCE)).await?;
            let Some(last) = batches.last().map(|batch| batch.number) else { return Ok(()) };
            for batch in batches {
                let number = batch.number;
                // Given before, and perhaps by a process that ended before it could note that.
                if number <= log.last_derived() {
                    continue;
                }
                // What has been waiting for the disk may be in the log yet: it is not given twice.
                if let Some(error) = log.refuses() {
                    return Err(with_causes(&error));
                }
                let batch = batch.batch(self.clock.now());
                log.append_derived(&batch, number).await.map_err(|error| with_causes(&error))?;
            }
            // The next turn forgets them; after a process that ends before it, the log says what it has.
            let given = move |engine: &mut Engine| {
                engine.given(signal, last);
                Ok(())
            };
            self.on_thread(given).await?;
        }
    }

    async fn watch(itself: Weak<Self>, wake: Arc<Notify>) {
        let mut tick = tokio::time::interval(TURN);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = wake.notified() => {}
            }
            let Some(stitch) = itself.upgrade() else { return };
            if stitch.closed.load(Ordering::Relaxed) {
                return;
            }
            match stitch.turn().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "stitching is put off");
                    }
                    failing = true;
                }
            }
        }
    }
}

fn feed(engine: &mut Engine, parcel: &Parcel, now: UnixNanos) -> Result<(), BookError> {
    for part in &parcel.parts {
        // A frame that cannot be inflated is nothing that can be stitched; sinks bury it.
        let plain = part.frame_plain().unwrap_or_default();
        let piece = Piece {
            signal: parcel.signal,
            tenant: &parcel.tenant,
            offset: part.offset.0,
            items: part.items.clone(),
            is_whole: part.items.end >= part.frame_items,
            is_derived: part.derived > 0,
            plain: &plain,
        };
        engine.feed(&piece, now)?;
    }
    Ok(())
}

const fn number(signal: Signal) -> usize {
    match signal {
        Signal::Logs => 0,
        Signal::Traces | Signal::Metrics => 1,
    }
}

impl Sink for Stitch {
    fn signals(&self) -> &[Signal] {
        &SIGNALS
    }

    fn cut(&self) -> Cut {
        Cut { max_items: 20_000, max_bytes: 4 << 20, max_stored_bytes: 4 << 20, max_wait: Duration::ZERO }
    }

    fn edges(&self) -> Edges {
        Edges::Settled
    }

    fn shows_revisions(&self) -> bool {
        true
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.take(parcel))
    }

    fn attach(&self, signal: Signal, resume: Resume, settler: Settler) {
        let mut engine = self.engine();
        let reached = engine.reached(signal).offset;
        // The journal has skipped what was not read, or is another one, begun anew.
        if reached < resume.next.0 || reached > self.journal.log(signal).durable().0 + 1 {
            engine.restart(signal, resume.next.0);
        }
        drop(engine);
        let last = resume.next.0.saturating_sub(1);
        self.settling()[number(signal)] = Settling { settler: Some(settler), last };
        if self.watched.swap(false, Ordering::Relaxed) {
            tokio::spawn(Self::watch(self.itself.clone(), Arc::clone(&self.wake)));
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closed.store(true, Ordering::Relaxed);
            self.wake.notify_one();
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "what was read last is read again after the start");
            }
        })
    }
}
