//! How many attempts at one sink and signal run at once: those of its courier and of a replay together.
//!
//! Where the sink lets the courier choose (`Sink::adaptive`), the limit grows by one when a whole round of answers came while it
//! was used up, and is halved when a peer asks to be left alone or does not answer in time, once for all attempts that were under
//! way then. A round of answers that took much longer than usual makes it an eighth smaller: the peer queues.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Where the limit begins, unless the ceiling is lower.
const FIRST: usize = 4;
/// An answer is slow when it takes so many times as long as usual …
const SLOW_TIMES: u32 = 2;
/// … and so much longer.
const SLOW_BY: Duration = Duration::from_millis(50);
/// How much of the usual time the newest answer is: a sixteenth …
const WEIGHT: u32 = 16;
/// … and less when it is slow: a peer that queues must not make that usual before anything is done about it.
const SLOW_WEIGHT: u32 = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pace {
    ceiling: usize,
    adaptive: bool,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Slots that are to go when they come back.
    owed: usize,
    /// Answers since the limit last changed.
    answers: usize,
    /// Whether the last slot was taken since then.
    used_up: bool,
    slow: usize,
    /// Counts the times that the limit was halved.
    round: u64,
    usual: Option<Duration>,
}

/// Leave to make one attempt; dropping it gives the slot back and tells nothing.
#[derive(Debug)]
pub(crate) struct Turn {
    slot: OwnedSemaphorePermit,
    since: Instant,
    round: u64,
}

impl Pace {
    pub(crate) fn new(ceiling: usize, adaptive: bool) -> Self {
        let ceiling = ceiling.max(1);
        let limit = if adaptive { ceiling.min(FIRST) } else { ceiling };
        let state = State { limit, owed: 0, answers: 0, used_up: false, slow: 0, round: 0, usual: None };
        Self { ceiling, adaptive, slots: Arc::new(Semaphore::new(limit)), state: Mutex::new(state) }
    }

    /// Waits for a slot; first come, first served.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let mut state = self.lock();
        state.used_up |= self.slots.available_permits() == 0;
        Some(Turn { slot, since: Instant::now(), round: state.round })
    }

    /// How many attempts may ever run at once.
    pub(crate) fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// How many attempts may run at once now.
    pub(crate) fn limit(&self) -> usize {
        self.lock().limit
    }

    /// The peer answered, whatever it said.
    pub(crate) fn answered(&self, turn: Turn) {
        let took = turn.since.elapsed();
        let mut state = self.lock();
        if self.adaptive {
            let usual = state.usual.unwrap_or(took);
            let slow = took > usual * SLOW_TIMES && took > usual + SLOW_BY;
            let weight = if slow { SLOW_WEIGHT } else { WEIGHT };
            state.usual = Some((usual * (weight - 1) + took) / weight);
            if slow {
                state.slow += 1;
                if state.slow >= state.limit {
                    let less = (state.limit / 8).max(1);
                    self.lower(&mut state, less);
                }
            } else if turn.round == state.round {
                state.answers += 1;
                if state.used_up && state.answers >= state.limit && state.limit < self.ceiling {
                    self.raise(&mut state);
                }
            }
        }
        give_back(&mut state, turn.slot);
    }

    /// The peer is busy, away, or did not answer in time.
    pub(crate) fn pushed_back(&self, turn: Turn) {
        let mut state = self.lock();
        // What was under way when the limit was halved says nothing new.
        if self.adaptive && turn.round == state.round {
            state.round += 1;
            let less = state.limit - state.limit / 2;
            self.lower(&mut state, less);
        }
        give_back(&mut state, turn.slot);
    }

    fn raise(&self, state: &mut State) {
        state.limit += 1;
        (state.answers, state.slow, state.used_up) = (0, 0, false);
        match state.owed.checked_sub(1) {
            Some(owed) => state.owed = owed,
            None => self.slots.add_permits(1),
        }
    }

    fn lower(&self, state: &mut State, less: usize) {
        let less = less.min(state.limit - 1);
        state.limit -= less;
        (state.answers, state.slow, state.used_up) = (0, 0, false);
        state.owed += less - self.slots.forget_permits(less);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn give_back(state: &mut State, slot: OwnedSemaphorePermit) {
    if let Some(owed) = state.owed.checked_sub(1) {
        state.owed = owed;
        slot.forget();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Takes every slot there is.
    fn fill(pace: &Pace) -> Vec<Turn> {
        std::iter::from_fn(|| pace.turn().now_or_never().flatten()).collect()
    }

    async fn round(pace: &Pace, took: Duration) {
        let turns = fill(pace);
        tokio::time::advance(took).await;
        turns.into_iter().for_each(|turn| pace.answered(turn));
    }

    const USUAL: Duration = Duration::from_millis(40);

    #[tokio::test(start_paused = true)]
    async fn the_limit_grows_by_one_a_round_up_to_the_ceiling_and_halves_once_a_push() {
        let pace = Pace::new(8, true);
        assert_eq!((pace.limit(), fill(&pace).len()), (4, 4));
        let mut limits = Vec::new();
        for _ in 0..40 {
            round(&pace, USUAL).await;
            limits.push(pace.limit());
        }
        assert!(limits.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1), "{limits:?}");
        assert_eq!(pace.limit(), 8);
        let turns = fill(&pace);
        assert_eq!(turns.len(), 8);
        turns.into_iter().for_each(|turn| pace.pushed_back(turn));
        assert_eq!((pace.limit(), fill(&pace).len()), (4, 4), "eight answers of one moment are one push");
        for _ in 0..9 {
            fill(&pace).into_iter().for_each(|turn| pace.pushed_back(turn));
        }
        assert_eq!((pace.limit(), fill(&pace).len()), (1, 1), "one is always tried");
    }

    #[tokio::test(start_paused = true)]
    async fn slots_that_are_out_when_the_limit_falls_do_not_come_back() {
        let pace = Pace::new(4, true);
        let mut turns = fill(&pace);
        pace.pushed_back(turns.remove(0));
        assert_eq!(pace.limit(), 2);
        assert!(fill(&pace).is_empty());
        pace.answered(turns.remove(0));
        assert!(fill(&pace).is_empty(), "two are still out");
        pace.answered(turns.remove(0));
        assert_eq!(fill(&pace).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_take_much_longer_than_usual_make_it_smaller() {
        let pace = Pace::new(16, true);
        for _ in 0..80 {
            round(&pace, USUAL).await;
        }
        assert_eq!(pace.limit(), 16);
        round(&pace, USUAL * 10).await;
        assert!(pace.limit() < 16, "{}", pace.limit());
        let pace = Pace::new(3, false);
        fill(&pace).into_iter().for_each(|turn| pace.pushed_back(turn));
        assert_eq!((pace.limit(), fill(&pace).len()), (3, 3), "a fixed limit stays");
    }
}
