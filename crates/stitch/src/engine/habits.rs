//! Whether Kong sends spans of its own, learned service by service from what came in the last ten minutes: what always comes is worth waiting
//! for, what never comes is not.

use std::time::Duration;

use ahash::HashMap;
use model::UnixNanos;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Whether Kong sends spans of its own for the requests that it logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KongSpans {
    /// As it is learned, for each of Kong's services.
    #[default]
    Auto,
    /// It does: they are waited for, 30 s at least.
    Always,
    /// It does not: nothing is waited for, unless `hold` is longer than 5 s.
    Never,
}

/// A minute in nanoseconds.
const MINUTE: u64 = 60_000_000_000;
/// How many minutes count.
const MINUTES: usize = 10;
/// Requests before anything is learned.
const LEAST: u32 = 100;
/// Services that are told apart; of the others nothing is learned.
const MOST: usize = 4096;
/// How long what always comes is waited for, at least.
const LONG: Duration = Duration::from_secs(30);
/// A `hold` that is longer is meant for what the edge tells.
const SHORT: Duration = Duration::from_secs(5);

/// One minute of one service.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    number: u64,
    requests: u32,
    own: u32,
}

#[derive(Debug, Default)]
pub(super) struct Habits(HashMap<u64, [Minute; MINUTES]>);

/// A service of a tenant.
fn key(tenant: u32, service: &str) -> u64 {
    xxh3_64_with_seed(service.as_bytes(), tenant.into())
}

impl Habits {
    fn minute(&mut self, tenant: u32, service: &str, now: UnixNanos) -> Option<&mut Minute> {
        let key = key(tenant, service);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            return None;
        }
        let number = now.0 / MINUTE;
        let minute = self.0.entry(key).or_default().get_mut(number as usize % MINUTES)?;
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        Some(minute)
    }

    /// A request through Kong was told, or Kong's own span came in time.
    pub(super) fn request(&mut self, tenant: u32, service: &str, has_own: bool, now: UnixNanos) {
        if let Some(minute) = self.minute(tenant, service, now) {
            minute.requests += 1;
            minute.own += u32::from(has_own);
        }
    }

    /// Kong's own span came after the request was told.
    pub(super) fn late(&mut self, tenant: u32, service: &str, now: UnixNanos) {
        if let Some(minute) = self.minute(tenant, service, now) {
            minute.own += 1;
        }
    }

    /// How long a request waits for Kong's own span.
    pub(super) fn hold(
        &self,
        kong_spans: KongSpans,
        hold: Duration,
        tenant: u32,
        service: &str,
        now: UnixNanos,
    ) -> Duration {
        let comes = match kong_spans {
            KongSpans::Always => Some(true),
            KongSpans::Never => Some(false),
            KongSpans::Auto => self.learned(tenant, service, now),
        };
        match comes {
            Some(true) => hold.max(LONG),
            Some(false) if hold <= SHORT => Duration::ZERO,
            _ => hold,
        }
    }

    /// Whether Kong's own spans always come, or never; `None` where it is one time so and another time so, or too little is known.
    fn learned(&self, tenant: u32, service: &str, now: UnixNanos) -> Option<bool> {
        let minutes = self.0.get(&key(tenant, service))?;
        let first = (now.0 / MINUTE).saturating_sub(MINUTES as u64 - 1);
        let recent = || minutes.iter().filter(|minute| minute.number >= first);
        let (requests, own): (u32, u32) =
            (recent().map(|minute| minute.requests).sum(), recent().map(|minute| minute.own).sum());
        match own {
            _ if requests < LEAST => None,
            0 => Some(false),
            own if u64::from(own) * 100 >= u64::from(requests) * 99 => Some(true),
            _ => None,
        }
    }

    /// Forgets services of which nothing came for so long that it does not count.
    pub(super) fn forget(&mut self, now: UnixNanos) {
        let first = (now.0 / MINUTE).saturating_sub(MINUTES as u64 - 1);
        if self.0.len() >= MOST / 2 {
            self.0.retain(|_, minutes| minutes.iter().any(|minute| minute.number >= first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(5);

    fn at(minute: u64) -> UnixNanos {
        UnixNanos((1000 + minute) * MINUTE)
    }

    fn after(own: impl Fn(u32) -> bool, count: u32, minute: u64) -> Duration {
        let mut habits = Habits::default();
        (0..count).for_each(|number| habits.request(1, "shop", own(number), at(0)));
        habits.request(2, "shop", true, at(0));
        habits.hold(KongSpans::Auto, HOLD, 1, "shop", at(minute))
    }

    #[test]
    fn what_always_comes_is_waited_for_and_what_never_comes_is_not() {
        assert_eq!(after(|_| true, 99, 0), HOLD);
        assert_eq!(after(|_| true, 100, 0), LONG);
        assert_eq!(after(|number| number != 7, 100, 9), LONG);
        assert_eq!(after(|number| number > 1, 100, 0), HOLD);
        assert_eq!(after(|number| number == 7, 100, 0), HOLD);
        assert_eq!(after(|_| false, 100, 9), Duration::ZERO);
        // Ten minutes later nothing is known of it.
        assert_eq!(after(|_| false, 100, 10), HOLD);
        assert_eq!(after(|_| true, 100, 10), HOLD);
    }

    #[test]
    fn a_span_that_comes_late_comes_all_the_same() {
        let mut habits = Habits::default();
        for _ in 0..100 {
            habits.request(1, "shop", false, at(0));
            habits.late(1, "shop", at(0));
        }
        assert_eq!(habits.hold(KongSpans::Auto, HOLD, 1, "shop", at(0)), LONG);
    }

    #[test]
    fn the_operator_knows_better() {
        let (habits, minute) = (Habits::default(), 60 * Duration::from_secs(1));
        let hold = |spans, hold| habits.hold(spans, hold, 1, "shop", at(0));
        assert_eq!(hold(KongSpans::Always, HOLD), LONG);
        assert_eq!(hold(KongSpans::Always, minute), minute);
        assert_eq!(hold(KongSpans::Never, HOLD), Duration::ZERO);
        assert_eq!(hold(KongSpans::Never, minute), minute);
    }

    #[test]
    fn services_that_are_gone_make_room() {
        let mut habits = Habits::default();
        (0..MOST + 9).for_each(|number| habits.request(1, &number.to_string(), true, at(0)));
        assert_eq!(habits.0.len(), MOST);
        habits.forget(at(9));
        assert_eq!(habits.0.len(), MOST);
        habits.forget(at(10));
        assert!(habits.0.is_empty());
    }
}
