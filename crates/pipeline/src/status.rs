//! How one sink is doing with one signal: what the status page and the metrics show, and the circuit breaker, which lets
//! only one parcel knock while the peer is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Clock, Signal, UnixNanos};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) failures: u32,
    pub(crate) retries: u64,
    pub(crate) last_error: Option<LastError>,
    pub(crate) stopped: bool,
    told: Option<UnixNanos>,
}

impl Seen {
    pub(crate) fn state(&self) -> State {
        match self.failures {
            _ if self.stopped => State::Stopped,
            0 => State::Healthy,
            1..AWAY_AFTER => State::Retrying,
            _ => State::Away,
        }
    }
}

impl Health {
    pub(crate) fn new(signal: Signal, clock: Arc<dyn Clock>) -> Self {
        Self { signal, clock, seen: Mutex::default(), knock: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for the turn to knock while the peer is away; returns at once while it is not. The permit is to be kept until
    /// the parcel is through.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        if self.seen().state() != State::Away {
            return None;
        }
        Arc::clone(&self.knock).acquire_owned().await.ok()
    }

    pub(crate) fn answered(&self) {
        self.lock().failures = 0;
    }

    pub(crate) fn retried(&self, sink: &str, message: &str) {
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
        self.lock().clone()
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

    #[test]
    fn only_one_knocks_while_the_peer_is_away() {
        let health = Health::new(Signal::Logs, Arc::new(model::SystemClock));
        for _ in 0..AWAY_AFTER {
            assert!(health.turn().now_or_never().unwrap().is_none());
            health.retried("sink", "refused to connect");
        }
        assert_eq!(health.seen().state(), State::Away);
        let knocking = health.turn().now_or_never().unwrap();
        assert!(knocking.is_some());
        assert!(health.turn().now_or_never().is_none());
        health.answered();
        drop(knocking);
        assert!(health.turn().now_or_never().unwrap().is_none());
        assert_eq!(health.seen().state(), State::Healthy);
    }
}
