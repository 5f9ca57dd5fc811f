//! How long a courier waits before it tries again: exponential with full jitter, or what the peer asked for.

use std::time::Duration;

use crate::SinkOptions;

/// The waits of one parcel.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    after_most: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(options: &SinkOptions) -> Self {
        Self {
            first: options.backoff_first,
            most: options.backoff_most,
            after_most: options.after_most,
            failures: 0,
        }
    }

    /// The wait after one more failure. `after` is what the peer asked for; without it the wait is drawn evenly from zero
    /// to a ceiling that doubles each time.
    pub(crate) fn next(&mut self, after: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.failures.min(30)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        match after {
            Some(after) => after.min(self.after_most),
            None => Duration::from_nanos(rng.u64(0..=u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling_and_never_pass_it() {
        let options = SinkOptions::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut longest = vec![Duration::ZERO; 40];
        for _ in 0..200 {
            let mut backoff = Backoff::new(&options);
            for longest in &mut longest {
                *longest = (*longest).max(backoff.next(None, &mut rng));
            }
        }
        for (failure, longest) in longest.into_iter().enumerate() {
            let ceiling = Duration::from_millis(100 << failure.min(20)).min(Duration::from_secs(30));
            assert!(longest <= ceiling && longest > ceiling * 9 / 10, "failure {failure}: {longest:?}");
        }
    }

    #[test]
    fn what_the_peer_asks_for_is_kept_up_to_five_minutes() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::new(&SinkOptions::default());
        let mut check = |asked, expected| {
            assert_eq!(
                backoff.next(Some(Duration::from_secs(asked)), &mut rng),
                Duration::from_secs(expected)
            );
        };
        check(0, 0);
        check(7, 7);
        check(300, 300);
        check(86_400, 300);
    }
}
