//! What the parts of one courier share: one sink with one signal. The loop reads and cuts, the carriers deliver, the settler
//! settles; each touches the progress through this.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{Cursor, Offset};
use model::{Clock, Failure, Signal};
use tokio::sync::watch;

use super::cut::pieces;
use super::pace::Pace;
use super::progress::{Outcome, Progress};
use crate::deadletter::{DeadLetters, Letter};
use crate::metrics::{Counter, Family, Kind, Metrics};
use crate::status::Health;
use crate::{Cut, Edges, Memory, Parcel, Part, Receipt, Sink, SinkOptions, Workers};

const ATTEMPTS: Family = Family {
    name: "tidegate_sink_attempts_total",
    help: "Attempts to deliver a parcel, by how they ended.",
    kind: Kind::Counter,
};

/// How far the drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Read and deliver.
    Run,
    /// Deliver what was read, try nothing twice, read no more.
    Finish,
}

/// See the module.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    pub(crate) signal: Signal,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) options: SinkOptions,
    pub(crate) cut: Cut,
    pub(crate) edges: Edges,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) memory: Memory,
    pub(crate) workers: Workers,
    /// The one thread that writes dead letters.
    pub(crate) disk: Workers,
    pub(crate) health: Arc<Health>,
    /// How many attempts may run at once, those of a replay included.
    pub(crate) pace: Arc<Pace>,
    pub(crate) attempts: Attempts,
    /// The number of the replay that goes this way; 0 for the way that every item takes.
    pub(crate) replay: u64,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Everything below this is given up (`on_full: skip`).
    pub(crate) mark: watch::Sender<Offset>,
    pub(crate) progress: Mutex<Progress>,
    pub(crate) cursor: Cursor,
    pub(crate) letters: Arc<Mutex<DeadLetters>>,
    pub(crate) rng: Mutex<fastrand::Rng>,
    /// Held from the snapshot until it is durable, so that an older one never follows a newer.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// Counters of attempts by how they ended.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    delivered: Counter,
    retried: Counter,
    refused: Counter,
    too_large: Counter,
}

impl Attempts {
    pub(crate) fn new(metrics: &Metrics, sink: &str, signal: Signal) -> Self {
        let counter = |outcome| {
            metrics.counter(ATTEMPTS, &[("sink", sink), ("signal", signal.as_str()), ("outcome", outcome)])
        };
        Self {
            delivered: counter("delivered"),
            retried: counter("retried"),
            refused: counter("refused"),
            too_large: counter("too_large"),
        }
    }

    /// Counts an attempt by its answer, if one came.
    pub(crate) fn count(&self, answer: Option<&Result<Receipt, Failure>>) {
        let counter = match answer {
            Some(Ok(_)) => &self.delivered,
            None | Some(Err(Failure::Retry { .. } | Failure::Unreachable { .. })) => &self.retried,
            Some(Err(Failure::Refused { .. } | Failure::RefusedWhole { .. })) => &self.refused,
            Some(Err(Failure::TooLarge { .. })) => &self.too_large,
        };
        counter.add(1);
    }
}

impl Route {
    /// A way to the same sink beside this one, with a progress and cursor of its own, for what is delivered once more. What is
    /// asked for again is not too old.
    pub(crate) fn beside(&self, replay: u64, cursor: Cursor, progress: Progress) -> Self {
        let seed = self.rng().u64(..);
        Self {
            name: Arc::clone(&self.name),
            signal: self.signal,
            sink: Arc::clone(&self.sink),
            options: SinkOptions { max_age: None, ..self.options.clone() },
            cut: self.cut,
            edges: self.edges,
            clock: Arc::clone(&self.clock),
            memory: self.memory.clone(),
            workers: self.workers.clone(),
            disk: self.disk.clone(),
            health: Arc::clone(&self.health),
            pace: Arc::clone(&self.pace),
            attempts: self.attempts.clone(),
            replay,
            phase: self.phase.clone(),
            mark: watch::channel(Offset(0)).0,
            progress: Mutex::new(progress),
            cursor,
            letters: Arc::clone(&self.letters),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The version of the sink's rules; 0 where it has none.
    pub(crate) fn rules(&self) -> u64 {
        self.options.rules.as_ref().map_or(0, |rules| rules.version())
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts a parcel of one frame that exceeds the limits at item borders, in order.
    pub(crate) async fn split(&self, parcel: Parcel) -> Vec<Parcel> {
        let cut = self.cut;
        if parcel.parts.len() != 1 || pieces(&parcel, cut) == 1 {
            return vec![parcel];
        }
        self.on_worker(parcel, move |parcel| parcel.split(cut)).await
    }

    /// Runs `job` on a worker thread; in place when there is none any more.
    pub(crate) async fn on_worker<T: Send + 'static>(
        &self,
        parcel: Parcel,
        job: impl Fn(&Parcel) -> T + Send + Sync + 'static,
    ) -> T {
        let job = Arc::new(job);
        let (there, copy) = (Arc::clone(&job), parcel.clone());
        match self.workers.run(move || there(&copy)).await {
            Ok(result) => result,
            Err(_gone) => job(&parcel),
        }
    }

    /// Removes the parts that are too old or were given up while they waited, and books them.
    pub(crate) fn give_up(&self, mut piece: Parcel) -> Parcel {
        let mark = *self.mark.borrow();
        let now = self.clock.now();
        let expired = |part: &Part| self.options.max_age.is_some_and(|age| now.since(part.received) > age);
        if !piece.parts.iter().any(|part| part.offset < mark || expired(part)) {
            return piece;
        }
        let mut progress = self.progress();
        piece.parts.retain(|part| {
            let reason = match part.offset < mark {
                true => "skipped",
                false if expired(part) => "expired",
                false => return true,
            };
            progress.book(part.offset, Outcome::Dropped(reason), part.len().into());
            false
        });
        piece
    }

    /// Writes letters; resolves when they are durable.
    pub(crate) async fn bury(&self, letters: Arc<Vec<Letter>>) -> Result<(), String> {
        let (files, now) = (Arc::clone(&self.letters), self.clock.now());
        let job = move || files.lock().unwrap_or_else(PoisonError::into_inner).bury(&letters, now);
        match self.disk.run(job).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(gone) => Err(gone.to_string()),
        }
    }

    /// Makes low-water mark, ranges and books durable as they are now.
    pub(crate) async fn checkpoint(&self) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let state = self.progress().snapshot();
        let result = self.cursor.checkpoint(state).await.map_err(|error| with_causes(&error));
        if let Err(error) = &result {
            self.progress().spoil();
            self.health.noted(&format!("the cursor cannot be written: {error}"));
            tracing::warn!(sink = &*self.name, signal = %self.signal, error, "checkpoint not written; it is tried again");
        }
        result
    }
}

/// An error with its causes, since what is shown to a person stands alone.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
