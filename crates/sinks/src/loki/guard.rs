//! The guard on cardinality: how many streams one sink may open. Loki keeps each stream in memory, and refuses new ones above its own limit,
//! so one label with a value per request would keep out everybody else's logs.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::UnixNanos;

/// Loki closes a stream that was idle for about so long; from then on it does not count any more.
const IDLE: Duration = Duration::from_secs(3600);
/// How often idle streams are looked for when there is no room.
const SWEEP: Duration = Duration::from_secs(60);

/// The streams of one sink.
#[derive(Debug)]
pub(super) struct Guard {
    most: usize,
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When each stream was last written to, by the hash of its name.
    seen: HashMap<u64, UnixNanos>,
    swept: UnixNanos,
}

impl Guard {
    /// A guard that lets `most` streams pass.
    pub(super) fn new(most: usize) -> Self {
        Self { most, hasher: RandomState::new(), known: Mutex::default() }
    }

    /// Whether the stream may be written to: it is known, or there is room for one more.
    pub(super) fn admits(&self, tenant: &str, labels: &str, now: UnixNanos) -> bool {
        let stream = self.hasher.hash_one((tenant, labels));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = known.seen.get_mut(&stream) {
            *seen = now;
            return true;
        }
        if known.seen.len() >= self.most && now.since(known.swept) >= SWEEP {
            known.swept = now;
            known.seen.retain(|_, seen| now.since(*seen) < IDLE);
        }
        let room = known.seen.len() < self.most;
        if room {
            known.seen.insert(stream, now);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::START;

    #[test]
    fn known_streams_pass_and_idle_ones_make_room() {
        let guard = Guard::new(2);
        let later = |seconds| START.plus(Duration::from_secs(seconds));
        assert!(guard.admits("t", "{a}", START));
        assert!(guard.admits("t", "{b}", START));
        assert!(!guard.admits("t", "{c}", START));
        assert!(!guard.admits("u", "{a}", START), "tenants have streams of their own");
        assert!(guard.admits("t", "{a}", later(3000)));
        assert!(!guard.admits("t", "{c}", later(3599)));
        assert!(guard.admits("t", "{c}", later(3700)), "b was idle for an hour");
        assert!(!guard.admits("t", "{b}", later(3700)));
        assert!(guard.admits("t", "{a}", later(3700)));
    }
}
