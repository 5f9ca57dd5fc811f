//! What became of the messages of one parcel: counted as the brokers' reports come in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

use super::answer::meaning;

/// The messages of one attempt, by number in the order in which they are made.
#[derive(Debug, Default)]
pub(super) struct Shipment {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Handed over and not reported yet.
    under_way: usize,
    /// Who waits wants to know when no more than so many are under way.
    wake_at: Option<usize>,
    /// Which messages the brokers have.
    done: Vec<bool>,
    failed: Vec<Failed>,
    /// Whether all is to be tried again, so that no more needs to be handed over.
    doomed: bool,
}

/// A message that the brokers do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) message: u32,
    pub(super) code: Code,
}

/// Goes with a message, and comes back with its report.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) shipment: Arc<Shipment>,
    pub(super) message: u32,
}

impl Shipment {
    /// An attempt of which the brokers have some messages from an earlier one of the same parcel.
    pub(super) fn after(earlier: Option<&Self>) -> Self {
        let done = earlier.map(|earlier| earlier.state().done.clone()).unwrap_or_default();
        Self { state: Mutex::new(State { done, ..State::default() }), changed: Notify::new() }
    }

    /// Whether the brokers have this message.
    pub(super) fn has(&self, message: u32) -> bool {
        self.state().done.get(message as usize).copied().unwrap_or_default()
    }

    /// Notes that a message is about to be handed over.
    pub(super) fn depart(&self) {
        self.state().under_way += 1;
    }

    /// Notes that a message was not handed over after all, because there is no room.
    pub(super) fn stay(&self) {
        self.state().under_way -= 1;
    }

    /// Notes what became of a message that departed.
    pub(super) fn report(&self, message: u32, result: Result<(), Code>) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        match result {
            Ok(()) => {
                let place = message as usize;
                if state.done.len() <= place {
                    state.done.resize(place + 1, false);
                }
                state.done[place] = true;
            }
            Err(code) => {
                state.doomed |= meaning(code).is_of_all();
                state.failed.push(Failed { message, code });
            }
        }
        if state.wake_at.is_some_and(|at| state.under_way <= at) {
            state.wake_at = None;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Waits until at most `most` messages are under way. One may wait at a time.
    pub(super) async fn drained(&self, most: usize) {
        loop {
            {
                let mut state = self.state();
                if state.under_way <= most {
                    return;
                }
                state.wake_at = Some(most);
            }
            self.changed.notified().await;
        }
    }

    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.state().under_way
    }

    /// Whether all is to be tried again, because of what failed so far.
    pub(super) fn is_doomed(&self) -> bool {
        self.state().doomed
    }

    /// Everything that failed.
    pub(super) fn failed(&self) -> Vec<Failed> {
        self.state().failed.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn who_waits_is_woken_when_few_enough_are_under_way() {
        let shipment = Shipment::default();
        (0..4).for_each(|_| shipment.depart());
        let mut wait = std::pin::pin!(shipment.drained(2));
        assert!(wait.as_mut().now_or_never().is_none());
        shipment.report(0, Ok(()));
        assert!(wait.as_mut().now_or_never().is_none());
        shipment.report(3, Err(Code::MessageTimedOut));
        assert!(wait.now_or_never().is_some());
        assert_eq!(shipment.under_way(), 2);
    }

    #[test]
    fn a_later_attempt_knows_what_the_brokers_have() {
        let first = Shipment::default();
        for (message, result) in [(0, Ok(())), (1, Err(Code::MessageTimedOut)), (5, Ok(()))] {
            first.depart();
            first.report(message, result);
        }
        let second = Shipment::after(Some(&first));
        let has: Vec<u32> = (0..8).filter(|message| second.has(*message)).collect();
        assert_eq!(has, [0, 5]);
        assert!(first.is_doomed() && !second.is_doomed());
        assert_eq!(first.failed(), [Failed { message: 1, code: Code::MessageTimedOut }]);
    }
}
