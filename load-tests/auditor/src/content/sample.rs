//! Remote-write series and their samples.

use super::{DOUBLES, NAN_WITH_PAYLOAD, Run, TEXTS, poison};
use crate::item::{Id, SAMPLES_PER_SERIES};

/// The name of every remote-write series.
pub const METRIC: &str = "audit_sample";

/// What Prometheus writes when a target is gone.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// The labels of the series that an item belongs to, sorted.
pub fn labels(run: &Run, id: Id) -> Vec<(String, String)> {
    let series = id.number / SAMPLES_PER_SERIES;
    let mut random = run.random(Id { number: series, ..id }, 7);
    [
        ("__name__", METRIC.to_owned()),
        ("instance", format!("10.0.0.{}:9100", random.u8(1..5))),
        ("item", id.name()),
        ("job", format!("shop-{}", series % 5)),
        ("text", TEXTS[random.usize(..TEXTS.len())].to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The time of a sample in milliseconds; those of a series follow each other by a second.
pub fn time(run: &Run, id: Id) -> i64 {
    (run.epoch / 1_000_000 + id.number % SAMPLES_PER_SERIES * 1000) as i64 - poison::age(run, id)
}

/// The item of a series and a time; `None` when no item of it has this time.
pub fn at(run: &Run, first: Id, time: i64) -> Option<Id> {
    let past = time.checked_sub((run.epoch / 1_000_000) as i64)?.checked_add(poison::age(run, first))?;
    let place = u64::try_from(past).ok().filter(|past| past % 1000 == 0)? / 1000;
    (place < SAMPLES_PER_SERIES).then(|| Id { number: first.number + place, ..first })
}

/// The bits of a sample's value.
pub fn value(run: &Run, id: Id) -> u64 {
    let mut random = run.random(id, 8);
    match random.u8(..8) {
        0 => NAN_WITH_PAYLOAD,
        1 => STALE,
        2 => f64::INFINITY.to_bits(),
        3 => random.u64(..0x7ff0_0000_0000_0000),
        _ => DOUBLES[random.usize(..DOUBLES.len())].to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Stream;

    #[test]
    fn a_sample_is_known_by_its_series_and_time() {
        let run = Run { seed: 1, epoch: 1_790_000_000_000_000_000, is_poisoned: true };
        for number in 0..100 {
            let id = Id { stream: Stream::Samples1, number };
            let first = Id::named(&id.name()).unwrap();
            assert_eq!(at(&run, first, time(&run, id)), Some(id));
            assert_eq!(at(&run, first, time(&run, id) + 1), None);
        }
        let id = Id { stream: Stream::Samples1, number: 0 };
        assert_eq!(at(&run, id, time(&run, id) - 1000), None);
        assert_eq!(at(&run, id, time(&run, id) + 8000), None);
    }
}
