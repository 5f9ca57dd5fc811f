//! A replay of the journal: a courier beside a sink's own, on a fork of its cursor, that ends where the fork does. Same sink,
//! limits, order, retry, halving and dead letters; its ranges have names of their own, so that a peer that knows ranges takes
//! them again.
//!
//! When it is over its books are added to those of the sink's own cursor, in one checkpoint with its number; then the fork is
//! forgotten. A crash before that resumes it, a crash in between only forgets it: nothing is counted twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::{Fork, Journal, Offset};
use model::Signal;
use tokio::sync::watch;

use super::progress::Progress;
use super::route::{Phase, Route};
use super::{Courier, with_causes};
use crate::Edges;
use crate::status::ReplayStatus;

/// How long the disk is left alone when it refuses.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// One replay that is under way.
pub(crate) struct Replay {
    pub(crate) number: u64,
    pub(crate) until: Offset,
    pub(crate) route: Arc<Route>,
    main: Arc<Route>,
    journal: Journal,
    phase: watch::Sender<Phase>,
    /// An operator has asked for its end.
    cancelled: watch::Sender<bool>,
}

/// The replays of a pipeline; whoever runs one takes it off when it is over.
#[derive(Clone, Default)]
pub(crate) struct Replays(Arc<Mutex<Vec<Arc<Replay>>>>);

impl Replays {
    pub(crate) fn list(&self) -> Vec<Arc<Replay>> {
        self.lock().clone()
    }

    /// The one of a sink and signal: there is one at most.
    pub(crate) fn of(&self, sink: &str, signal: Signal) -> Option<Arc<Replay>> {
        self.lock().iter().find(|replay| replay.is_of(sink, signal)).map(Arc::clone)
    }

    /// Lets every replay finish what it has read.
    pub(crate) fn finish(&self) {
        self.lock().iter().for_each(|replay| {
            replay.phase.send_replace(Phase::Finish);
        });
    }

    fn remove(&self, replay: &Arc<Replay>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, replay));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Replay>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Replay {
    /// A replay on `fork`, listed in `replays`, and what runs it.
    pub(crate) fn begin(
        replays: &Replays,
        journal: &Journal,
        main: &Arc<Route>,
        fork: Fork,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Fork { number, until, cursor } = fork;
        let (phase, watched) = watch::channel(Phase::Run);
        let reader = cursor.reader();
        let progress = Progress::new(cursor.state(), main.edges == Edges::Free);
        let route = Arc::new(Route { phase: watched, ..main.beside(number, cursor, progress) });
        let courier = Courier::new(Arc::clone(&route), reader);
        let replay = Arc::new(Self {
            number,
            until,
            route,
            main: Arc::clone(main),
            journal: journal.clone(),
            phase,
            cancelled: watch::channel(false).0,
        });
        replays.lock().push(Arc::clone(&replay));
        let replays = replays.clone();
        async move {
            courier.run().await;
            // Stopped where it was, it goes on after the restart.
            replay.end(&replays).await;
        }
    }

    pub(crate) fn is_of(&self, sink: &str, signal: Signal) -> bool {
        *self.route.name == *sink && self.route.signal == signal
    }

    /// Ends it where it is; resolves when it is forgotten, or the pipeline ends.
    pub(crate) async fn cancel(&self) {
        let mut gone = self.cancelled.subscribe();
        self.cancelled.send_replace(true);
        self.phase.send_replace(Phase::Finish);
        // `false` again says that it is gone.
        let _ = gone.wait_for(|asked| !*asked).await;
    }

    /// Whether everything up to its end is done.
    fn is_through(&self) -> bool {
        self.route.progress().low() > self.until
    }

    /// Books what it brought and forgets the fork, when it is through or not wanted any more.
    async fn end(self: &Arc<Self>, replays: &Replays) {
        if !self.is_through() && !*self.cancelled.borrow() {
            return;
        }
        // What is done is durable before it is added, so that a crash until then has little to do again.
        if !self.checkpointed(&self.route).await {
            return;
        }
        let (through, low) = (self.is_through(), self.route.progress().low());
        let books = self.route.progress().booked();
        let (delivered, dead): (u64, u64) =
            books.0.values().fold((0, 0), |sum, fate| (sum.0 + fate.delivered, sum.1 + fate.dead_letters));
        self.main.progress().replayed(Some(self.number), &books);
        if !self.checkpointed(&self.main).await {
            return;
        }
        replays.remove(self);
        let (journal, signal) = (self.journal.clone(), self.main.signal);
        let name = self.name();
        // What stays by mistake is forgotten by the next start: the sink's cursor knows the number.
        let forgotten = self.main.disk.run(move || journal.forget(&name, signal, "cancelled")).await;
        if let Ok(Err(error)) = forgotten {
            tracing::warn!(sink = &*self.main.name, %signal, error = with_causes(&error), "replay's cursor not removed");
        }
        let (sink, number) = (&*self.main.name, self.number);
        tracing::info!(sink, %signal, number, through, low = low.0, delivered, dead_letters = dead, "replay is over");
        self.cancelled.send_replace(false);
    }

    /// For the sink's status.
    pub(crate) fn status(&self) -> ReplayStatus {
        let progress = self.route.progress();
        let books = progress.booked();
        ReplayStatus {
            cursor: self.name(),
            low: progress.low().0,
            until: self.until.0,
            delivered: books.0.values().map(|fate| fate.delivered).sum(),
        }
    }

    /// The name of its cursor.
    pub(crate) fn name(&self) -> String {
        format!("{}~{}", self.main.name, self.number)
    }

    async fn checkpointed(&self, route: &Route) -> bool {
        while route.progress().is_dirty() && route.checkpoint().await.is_err() {
            if self.main.pause(DISK_PAUSE).await.is_err() {
                return false;
            }
        }
        true
    }
}
