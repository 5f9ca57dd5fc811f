//! How one sink is doing with one signal: what the status page and the metrics show, and the circuit breaker, which lets
//! only one parcel knock while the peer is away. A peer that answers badly is away for the signal that it answers; one that
//! nobody can connect to is away for all of them, and so is one that lets attempts wait for their whole deadline and answers
//! nobody meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Clock, Signal, UnixNanos};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::quarantine::cut_text;

/// Longest error text that is kept.
const MOST_TEXT: usize = 1 << 10;
/// What happens again and again is told at most so often.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// After so many failures in a row the peer is taken to be away.
const AWAY_AFTER: u32 = 5;

/// What a courier does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The last attempt ended well, or there was none yet.
    Healthy,
    /// The last attempts did not end well; each parcel is tried again.
    Retrying,
    /// Many attempts in a row did not end well; one parcel at a time is tried until one gets through.
    Away,
    /// The courier has stopped.
    Stopped,
}

impl State {
    pub(crate) const ALL: [Self; 4] = [Self::Healthy, Self::Retrying, Self::Away, Self::Stopped];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Retrying => "retrying",
            Self::Away => "away",
            Self::Stopped => "stopped",
        }
    }
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When, Unix nanoseconds.
    pub at: u64,
    /// What.
    pub message: String,
}

/// One sink and signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkStatus {
    /// The sink's configured name.
    pub sink: String,
    /// The signal's name.
    pub signal: &'static str,
    /// What its courier does.
    pub state: State,
    /// The last thing that went wrong since start, even when it is mended.
    pub last_error: Option<LastError>,
    /// Attempts since start that have to be made again.
    pub retries: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The next offset that is not wholly done.
    pub low: u64,
    /// Durable items that are not done, by the last checkpoint.
    pub lag_items: u64,
    /// Frames that are not done, by number: the distance from `low` to the end of the log.
    pub lag_frames: u64,
    /// Frames that were read and are not left behind.
    pub in_hand_frames: usize,
    /// Parcels that may be in flight at once now.
    pub in_flight_limit: usize,
    /// The replay that is under way, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayStatus>,
}

/// A replay that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// The name of its cursor.
    pub cursor: String,
    /// The next offset that is not wholly done.
    pub low: u64,
    /// The last offset that it reads.
    pub until: u64,
    /// Items that it has delivered since the process began, and before by its last checkpoint.
    pub delivered: u64,
}

/// The part that the courier writes.
#[derive(Debug)]
pub(crate) struct Health {
    signal: Signal,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    knock: Arc<Semaphore>,
    peer: Arc<Peer>,
}

/// What the couriers of one peer, one a signal, know of it together.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Attempts in a row, of whatever signal, that found nobody.
    missed: watch::Sender<u32>,
    /// Signs of life, of whatever signal.
    heard: AtomicU64,
    knock: Arc<Semaphore>,
}

/// Leave to try while the peer is away, kept until the parcel is through.
#[derive(Debug, Default)]
pub(crate) struct Knock {
    /// For this signal.
    own: Option<OwnedSemaphorePermit>,
    /// For all signals of the peer, until anybody is there.
    peer: Option<OwnedSemaphorePermit>,
}

impl Default for Peer {
    fn default() -> Self {
        Self { missed: watch::Sender::new(0), heard: AtomicU64::new(0), knock: Arc::new(Semaphore::new(1)) }
    }
}

impl Peer {
    fn is_away(&self) -> bool {
        *self.missed.borrow() >= AWAY_AFTER
    }

    fn missed(&self) {
        self.missed.send_modify(|missed| *missed = missed.saturating_add(1));
    }

    fn is_there(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.missed.send_if_modified(|missed| std::mem::take(missed) > 0);
    }

    /// Waits until nobody else knocks; `None` when somebody is there meanwhile.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let mut missed = self.missed.subscribe();
        tokio::select! {
            biased;
            _ = missed.wait_for(|missed| *missed < AWAY_AFTER) => None,
            permit = Arc::clone(&self.knock).acquire_owned() => permit.ok(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) failures: u32,
    pub(crate) retries: u64,
    pub(crate) last_error: Option<LastError>,
    pub(crate) stopped: bool,
    /// Whether nobody can connect to the peer, or is answered by it, whoever found out.
    unreachable: bool,
    told: Option<UnixNanos>,
}

impl Seen {
    pub(crate) fn state(&self) -> State {
        match self.failures {
            _ if self.stopped => State::Stopped,
            _ if self.unreachable => State::Away,
            0 => State::Healthy,
            1..AWAY_AFTER => State::Retrying,
            _ => State::Away,
        }
    }
}

impl Health {
    pub(crate) fn new(signal: Signal, clock: Arc<dyn Clock>, peer: Arc<Peer>) -> Self {
        Self { signal, clock, seen: Mutex::default(), knock: Arc::new(Semaphore::new(1)), peer }
    }

    /// Waits for the turn to knock while the peer is away; returns at once while it is not, or while it is this one's turn.
    pub(crate) async fn turn(&self, knock: &mut Knock) {
        if knock.own.is_none() && self.lock().failures >= AWAY_AFTER {
            // Whoever has this signal's turn may be waiting for the peer's: it is not kept while waiting for that.
            knock.peer = None;
            knock.own = Arc::clone(&self.knock).acquire_owned().await.ok();
        }
        if knock.peer.is_none() && self.peer.is_away() {
            knock.peer = self.peer.turn().await;
        }
    }

    pub(crate) fn answered(&self) {
        self.peer.is_there();
        self.lock().failures = 0;
    }

    /// The peer wants the parcel again, or what it wants is not known; somebody is there, and others need not wait for this parcel.
    pub(crate) fn retried(&self, sink: &str, message: &str, knock: &mut Knock) {
        self.peer.is_there();
        knock.peer = None;
        self.failed(sink, message);
    }

    /// Nobody is there.
    pub(crate) fn missed(&self, sink: &str, message: &str) {
        self.peer.missed();
        self.failed(sink, message);
    }

    /// How often the peer was heard of so far, by whatever signal.
    pub(crate) fn heard(&self) -> u64 {
        self.peer.heard.load(Ordering::Relaxed)
    }

    /// No answer came in time to an attempt that began when the peer was `heard` of so often. If nobody has heard of it since, nobody
    /// may be there; else it is this parcel that takes long. Which of both is not certain, so the next one who waits for the peer,
    /// perhaps of another signal, has the turn now.
    pub(crate) fn unanswered(&self, sink: &str, message: &str, heard: u64, knock: &mut Knock) {
        if self.heard() == heard {
            self.peer.missed();
        }
        knock.peer = None;
        self.failed(sink, message);
    }

    fn failed(&self, sink: &str, message: &str) {
        let mut seen = self.lock();
        seen.failures = seen.failures.saturating_add(1);
        seen.retries += 1;
        seen.last_error =
            Some(LastError { at: self.now().0, message: cut_text(message, MOST_TEXT).to_owned() });
        if seen.failures == AWAY_AFTER {
            tracing::warn!(sink, signal = %self.signal, error = message, "the sink is away; its data is held");
        }
    }

    /// Notes what went wrong without being a matter of the peer's.
    pub(crate) fn noted(&self, message: &str) {
        self.lock().last_error =
            Some(LastError { at: self.now().0, message: cut_text(message, MOST_TEXT).to_owned() });
    }

    /// Whether it is time to tell the operator about dead letters again.
    pub(crate) fn may_tell(&self) -> bool {
        let now = self.now();
        let mut seen = self.lock();
        let due = seen.told.is_none_or(|told| now.since(told) >= TELL_AGAIN);
        if due {
            seen.told = Some(now);
        }
        due
    }

    pub(crate) fn stopped(&self) {
        self.lock().stopped = true;
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen { unreachable: self.peer.is_away(), ..self.lock().clone() }
    }

    fn now(&self) -> UnixNanos {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn health(signal: Signal, peer: &Arc<Peer>) -> Health {
        Health::new(signal, Arc::new(model::SystemClock), Arc::clone(peer))
    }

    /// Whether a parcel may go now.
    fn may(health: &Health, knock: &mut Knock) -> bool {
        health.turn(knock).now_or_never().is_some()
    }

    #[test]
    fn only_one_knocks_while_the_peer_answers_badly_and_only_of_that_signal() {
        let peer = Arc::default();
        let (logs, traces) = (health(Signal::Logs, &peer), health(Signal::Traces, &peer));
        let mut first = Knock::default();
        for _ in 0..AWAY_AFTER {
            assert!(may(&logs, &mut first));
            logs.retried("sink", "not found", &mut first);
        }
        assert_eq!([&logs, &traces].map(|health| health.seen().state()), [State::Away, State::Healthy]);
        assert!(may(&logs, &mut first));
        assert!(!may(&logs, &mut Knock::default()));
        assert!(may(&traces, &mut Knock::default()));
        logs.answered();
        drop(first);
        assert!(may(&logs, &mut Knock::default()));
        assert_eq!(logs.seen().state(), State::Healthy);
    }

    #[test]
    fn one_of_all_signals_knocks_while_nobody_is_there() {
        let peer = Arc::default();
        let (logs, traces) = (health(Signal::Logs, &peer), health(Signal::Traces, &peer));
        let (mut first, mut other) = (Knock::default(), Knock::default());
        for _ in 0..AWAY_AFTER {
            assert!(may(&logs, &mut first));
            logs.missed("sink", "refused to connect");
        }
        assert_eq!([&logs, &traces].map(|health| health.seen().state()), [State::Away; 2]);
        assert!(may(&logs, &mut first));
        assert!(!may(&traces, &mut other));
        // Somebody is there, but has no place for logs: traces need not wait for that.
        logs.retried("sink", "not found", &mut first);
        assert!(may(&traces, &mut other));
        assert_eq!([&logs, &traces].map(|health| health.seen().state()), [State::Away, State::Healthy]);
        assert!(!may(&logs, &mut Knock::default()));
    }

    #[tokio::test]
    async fn a_peer_that_answers_nobody_is_away_for_all_and_all_take_turns_to_knock() {
        let peer = Arc::default();
        let (logs, traces) = (health(Signal::Logs, &peer), health(Signal::Traces, &peer));
        let (mut first, mut other) = (Knock::default(), Knock::default());
        let late = |health: &Health, knock: &mut Knock| {
            assert!(may(health, knock));
            let heard = health.heard();
            health.unanswered("sink", "no answer", heard, knock);
        };
        (0..AWAY_AFTER).for_each(|_| late(&logs, &mut first));
        assert_eq!([&logs, &traces].map(|health| health.seen().state()), [State::Away; 2]);
        assert!(may(&logs, &mut first));
        let mut waiting = Box::pin(traces.turn(&mut other));
        assert!(waiting.as_mut().now_or_never().is_none());
        logs.unanswered("sink", "no answer", logs.heard(), &mut first);
        // Not before traces have tried is it logs' turn again.
        assert!(!may(&logs, &mut first));
        waiting.as_mut().now_or_never().unwrap();
        drop(waiting);
        // It was only logs that took long.
        traces.answered();
        drop(other);
        assert!(may(&traces, &mut Knock::default()));
        assert_eq!([&logs, &traces].map(|health| health.seen().state()), [State::Away, State::Healthy]);
    }

    #[test]
    fn a_parcel_that_takes_long_is_no_sign_of_a_peer_that_answers_others() {
        let peer = Arc::default();
        let (logs, traces) = (health(Signal::Logs, &peer), health(Signal::Traces, &peer));
        for _ in 0..3 * AWAY_AFTER {
            let heard = logs.heard();
            traces.answered();
            logs.unanswered("sink", "no answer", heard, &mut Knock::default());
        }
        assert_eq!([&logs, &traces].map(|health| health.seen().state()), [State::Away, State::Healthy]);
        assert!(may(&traces, &mut Knock::default()));
        // That no answer came says neither that nobody is there nor that somebody is.
        (1..AWAY_AFTER).for_each(|_| traces.missed("sink", "refused to connect"));
        logs.unanswered("sink", "no answer", logs.heard(), &mut Knock::default());
        assert_eq!(traces.seen().state(), State::Away);
    }

    #[tokio::test]
    async fn who_waits_for_a_peer_goes_when_somebody_is_there_though_the_knocker_goes_on() {
        let peer = Arc::default();
        let (logs, traces) = (health(Signal::Logs, &peer), health(Signal::Traces, &peer));
        let (mut first, mut second, mut other) = (Knock::default(), Knock::default(), Knock::default());
        (0..AWAY_AFTER).for_each(|_| logs.missed("sink", "refused to connect"));
        assert!(may(&logs, &mut first));
        let mut waiting = Box::pin(traces.turn(&mut other));
        assert!(waiting.as_mut().now_or_never().is_none());
        // A second parcel of the same signal waits for that signal's turn and keeps nothing of the peer's.
        assert!(!may(&logs, &mut second));
        logs.answered();
        waiting.as_mut().await;
        drop(waiting);
        assert!(first.peer.is_some() && other.peer.is_none() && second.peer.is_none());
    }
}
