//! How many bytes the three logs may take together. Each is sure of an eighth; two reserve segments a log stand outside,
//! so that there is always room for cursors and checkpoints.

use std::sync::{Mutex, PoisonError};

use model::Signal;

/// Reserve segments of each log.
pub(crate) const RESERVE: usize = 2;

#[derive(Debug)]
pub(crate) struct Budget {
    max_bytes: u64,
    /// What live segments may take.
    limit: u64,
    segment_bytes: u64,
    live: Mutex<[u64; 3]>,
}

/// What the journal takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of live segments and reserve together.
    pub bytes: u64,
    /// `Options::max_bytes`.
    pub max_bytes: u64,
    /// Bytes of live segments of traces, logs and metrics, in this order.
    pub live: [u64; 3],
}

const fn index(signal: Signal) -> usize {
    signal as usize - 1
}

impl Budget {
    pub(crate) fn new(max_bytes: u64, segment_bytes: u64) -> Self {
        let reserve = segment_bytes * (RESERVE * Signal::ALL.len()) as u64;
        Self { max_bytes, limit: max_bytes.saturating_sub(reserve), segment_bytes, live: Mutex::default() }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, [u64; 3]> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `signal` may take at most now: everything but what others have or are sure of.
    fn allowed(&self, live: &[u64; 3], signal: Signal) -> u64 {
        let sure = self.limit / 8;
        let others =
            (0..3).filter(|other| *other != index(signal)).map(|other| live[other].max(sure)).sum::<u64>();
        self.limit.saturating_sub(others)
    }

    /// Takes `bytes` for a new segment, or says what is full.
    pub(crate) fn take(&self, signal: Signal, bytes: u64) -> Result<(), String> {
        let mut live = self.live();
        let allowed = self.allowed(&live, signal);
        if live[index(signal)] + bytes > allowed {
            let has = live[index(signal)];
            return Err(format!("{signal} takes {has} of {allowed} bytes (max_bytes {})", self.max_bytes));
        }
        live[index(signal)] += bytes;
        Ok(())
    }

    /// Counts what is on disk already, whatever the limit is.
    pub(crate) fn count(&self, signal: Signal, bytes: u64) {
        self.live()[index(signal)] += bytes;
    }

    pub(crate) fn give_back(&self, signal: Signal, bytes: u64) {
        let mut live = self.live();
        live[index(signal)] = live[index(signal)].saturating_sub(bytes);
    }

    /// Whether `signal` has room for fewer than two more segments.
    pub(crate) fn is_pressed(&self, signal: Signal) -> bool {
        let live = self.live();
        live[index(signal)] + 2 * self.segment_bytes > self.allowed(&live, signal)
    }

    /// Whether `signal` has no room for one more segment.
    pub(crate) fn is_full(&self, signal: Signal) -> bool {
        let live = self.live();
        live[index(signal)] + self.segment_bytes > self.allowed(&live, signal)
    }

    /// The largest frame: it must fit beside others into a log's sure part.
    pub(crate) fn largest_frame(&self) -> u64 {
        (self.limit / 8).min(1 << 30)
    }

    pub(crate) fn usage(&self, spares: u64) -> Usage {
        let live = *self.live();
        Usage { bytes: live.iter().sum::<u64>() + spares, max_bytes: self.max_bytes, live }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_log_is_sure_of_an_eighth() {
        let budget = Budget::new(86, 1);
        while budget.take(Signal::Traces, 1).is_ok() {}
        assert_eq!(budget.usage(0).live, [60, 0, 0]);
        while budget.take(Signal::Logs, 1).is_ok() {}
        while budget.take(Signal::Metrics, 1).is_ok() {}
        assert_eq!(budget.usage(0).live, [60, 10, 10]);
        budget.give_back(Signal::Traces, 20);
        assert!(budget.take(Signal::Metrics, 1).is_ok());
        assert!(!budget.is_pressed(Signal::Metrics));
    }
}
