//! What a series holds. Whole numbers throughout, so that no order of observations changes a bit: counts in thousandths, since a record
//! of a sampled feed stands for several, and sums in nanoseconds times thousandths.

use std::collections::BTreeMap;

use super::metric::{Kind, Metric};
use crate::fact::{Span, Trace};

/// One whole observation.
pub(super) const ONE: u64 = 1_000;

/// What was measured, and by how many it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// The duration, in nanoseconds.
    pub nanos: u64,
    /// How many it stands for, in thousandths.
    pub weight: u64,
    /// Where it can be looked at.
    pub exemplar: Option<Exemplar>,
}

/// An example of what was measured. The greatest is kept: the latest, whatever the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exemplar {
    pub time: u64,
    pub trace: Trace,
    pub span: Span,
    pub nanos: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// In thousandths.
    Counter(u64),
    Histogram(Histogram),
}

impl Value {
    pub(super) fn new(metric: Metric, native: Option<u64>) -> Self {
        match metric.row().kind {
            Kind::Counter => Self::Counter(0),
            Kind::Histogram { bounds, .. } => Self::Histogram(Histogram {
                counts: vec![0; bounds.len() + 1],
                sum: 0,
                exemplars: vec![None; bounds.len() + 1],
                native: native.map(Native::new),
            }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Per bucket, the last above all bounds; in thousandths.
    pub counts: Vec<u64>,
    pub sum: u128,
    /// One per bucket.
    pub exemplars: Vec<Option<Exemplar>>,
    pub native: Option<Native>,
}

impl Histogram {
    pub(super) fn observe(&mut self, bounds: &[u64], per_unit: u64, sample: Sample) {
        let at = bounds.partition_point(|bound| *bound < sample.nanos);
        self.counts[at] = self.counts[at].saturating_add(sample.weight);
        self.sum = self.sum.saturating_add(weighed(sample));
        self.exemplars[at] = self.exemplars[at].max(sample.exemplar);
        if let Some(native) = &mut self.native {
            native.observe(per_unit, sample);
        }
    }
}

fn weighed(sample: Sample) -> u128 {
    u128::from(sample.nanos) * u128::from(sample.weight)
}

/// A histogram with exponential buckets, eight to each doubling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Native {
    /// Since when: it may have been asked for later than the series began.
    pub start: u64,
    pub zero: u64,
    pub sum: u128,
    /// By index, in thousandths. Durations from a nanosecond to centuries have less than 600 of them.
    pub buckets: BTreeMap<i32, u64>,
}

impl Native {
    /// OTLP's scale and Prometheus' schema: 2³ buckets to a doubling.
    pub(super) const SCALE: i32 = 3;

    pub(super) fn new(start: u64) -> Self {
        Self { start, zero: 0, sum: 0, buckets: BTreeMap::new() }
    }

    fn observe(&mut self, per_unit: u64, sample: Sample) {
        let place = match sample.nanos {
            0 => &mut self.zero,
            nanos => self.buckets.entry(Self::index(nanos, per_unit)).or_default(),
        };
        *place = place.saturating_add(sample.weight);
        self.sum = self.sum.saturating_add(weighed(sample));
    }

    /// The bucket whose upper bound is the first not below the value.
    fn index(nanos: u64, per_unit: u64) -> i32 {
        let value = nanos as f64 / per_unit as f64;
        (value.log2() * f64::from(1 << Self::SCALE)).ceil() as i32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_below_it() {
        let Value::Histogram(mut histogram) = Value::new(Metric::KongLatency, Some(7)) else {
            unreachable!()
        };
        let Kind::Histogram { per_unit, bounds } = Metric::KongLatency.row().kind else { unreachable!() };
        for nanos in [0, bounds[0], bounds[0] + 1, u64::MAX] {
            histogram.observe(bounds, per_unit, Sample { nanos, weight: ONE, exemplar: None });
        }
        assert_eq!(histogram.counts[..2], [2 * ONE, ONE]);
        assert_eq!(histogram.counts.last(), Some(&ONE));
        let native = histogram.native.unwrap();
        assert_eq!(native.zero, ONE);
        // One millisecond is one of its unit: the upper bound of the bucket before index 0.
        assert_eq!(native.buckets.keys().copied().collect::<Vec<_>>()[..2], [-1, 0]);
    }

    #[test]
    fn no_observation_overflows() {
        let Value::Histogram(mut histogram) = Value::new(Metric::SpanLatency, Some(0)) else {
            unreachable!()
        };
        let Kind::Histogram { per_unit, bounds } = Metric::SpanLatency.row().kind else { unreachable!() };
        for _ in 0..3 {
            histogram.observe(bounds, per_unit, Sample { nanos: u64::MAX, weight: u64::MAX, exemplar: None });
        }
        assert_eq!(histogram.counts.last(), Some(&u64::MAX));
    }
}
