//! How far senders may go. A run raises it from step to step, so that no step comes when everything is sent already, and
//! each stream has items on the way at every step.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::item::SAMPLES_PER_SERIES;

/// The share of its items that each sender may send by now. It only rises.
#[derive(Debug, Default)]
pub struct Pace {
    /// Millionths.
    share: AtomicU64,
}

const WHOLE: f64 = 1e6;

impl Pace {
    /// Lets every sender go to this share, from 0 to 1, of its items.
    pub fn allow(&self, share: f64) {
        self.share.fetch_max((share.clamp(0.0, 1.0) * WHOLE).ceil() as u64, Ordering::Relaxed);
    }

    /// How many of `items` may be sent by now: whole series, so that a series stays in order.
    pub(super) fn allowed(&self, items: u64) -> u64 {
        let share = self.share.load(Ordering::Relaxed) as f64 / WHOLE;
        ((share * items as f64).ceil() as u64).next_multiple_of(SAMPLES_PER_SERIES).min(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_may_go_as_far_as_was_ever_allowed_and_to_the_end_in_the_end() {
        let pace = Pace::default();
        assert_eq!(pace.allowed(1000), 0);
        for (share, expected) in [(0.5, 504), (0.2, 504), (0.999, 1000), (1.0, 1000)] {
            pace.allow(share);
            assert_eq!(pace.allowed(1000), expected, "{share}");
        }
        assert_eq!(pace.allowed(3), 3);
    }
}
