//! Classic histograms and summaries: several series in remote-write, one point in OTLP. The series of one request are
//! put together by base name, labels and time; what stays incomplete travels on as plain numbers.

use super::labels::Pair;
use super::losses::Losses;
use super::otlp_points::{attributes, explicit_point, nanos, times};
use crate::put;
use crate::rw::STALE;

/// The samples of one histogram or summary at one time.
#[derive(Default)]
pub(super) struct Parts<'a> {
    /// Without `le` and `quantile`.
    pub(super) labels: Vec<Pair<'a>>,
    /// Milliseconds.
    pub(super) start: i64,
    /// Upper bound, or quantile, and the bits of the value.
    pub(super) steps: Vec<(f64, u64)>,
    pub(super) count: Option<u64>,
    pub(super) sum: Option<u64>,
    pub(super) exemplars: Vec<Vec<u8>>,
    /// The samples that it is made of: index of the series and bits.
    pub(super) samples: Vec<(usize, u64)>,
}

/// Which part of a histogram or summary a series is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    Step(f64),
    Count,
    Sum,
}

/// The base name and the role of a series of a histogram (`step` is `le`) or summary (`quantile`), the step's label
/// taken out of `labels`; `None` when it is none.
pub(super) fn role<'a>(name: &'a [u8], labels: &mut Vec<Pair<'a>>, step: &[u8]) -> Option<(&'a [u8], Role)> {
    let ending: &[u8] = if step == b"le" { b"_bucket" } else { b"" };
    if let Some(at) = labels.iter().position(|(label, _)| *label == step) {
        let base = name.strip_suffix(ending)?;
        let bound: f64 = std::str::from_utf8(labels[at].1).ok()?.parse().ok()?;
        if bound.is_nan() {
            return None;
        }
        labels.remove(at);
        return Some((base, Role::Step(bound)));
    }
    if let Some(base) = name.strip_suffix(b"_count") {
        return Some((base, Role::Count));
    }
    Some((name.strip_suffix(b"_sum")?, Role::Sum))
}

impl Parts<'_> {
    /// The histogram's data point, when every bucket, their count and nothing contradictory is there.
    pub(super) fn histogram(&mut self, time: i64, losses: &mut Losses) -> Option<Vec<u8>> {
        self.steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        if !self.steps.is_sorted_by(|a, b| a.0 < b.0) || self.steps.last()?.0 != f64::INFINITY {
            return None;
        }
        let stale = self.is_stale()?;
        let mut counts = Vec::with_capacity(self.steps.len());
        let mut below = 0;
        for &(_, bits) in &self.steps {
            if stale {
                counts.push(0);
                continue;
            }
            let cumulative = whole(bits)?;
            counts.push(cumulative.checked_sub(below)?);
            below = cumulative;
        }
        let count = if stale { None } else { Some(whole(self.count?)?) };
        if count.is_some_and(|count| count != below) {
            return None;
        }
        let bounds: Vec<u64> =
            self.steps[..self.steps.len() - 1].iter().map(|step| step.0.to_bits()).collect();
        let sum = self.sum.filter(|_| !stale);
        let times = (nanos(time, losses), nanos(self.start, losses));
        Some(explicit_point(&self.labels, times, count, sum, &bounds, &counts, &self.exemplars))
    }

    /// The summary's data point, when count and sum are there.
    pub(super) fn summary(&self, time: i64, losses: &mut Losses) -> Option<Vec<u8>> {
        let (count, sum) = (self.count?, self.sum?);
        let stale = self.is_stale()?;
        let count = if stale { 0 } else { whole(count)? };
        let mut out = Vec::new();
        attributes(&mut out, 7, &self.labels);
        times(&mut out, nanos(time, losses), nanos(self.start, losses));
        if stale {
            put::uint(&mut out, 8, 1);
        } else {
            put::fixed64(&mut out, 4, count);
            put::fixed64(&mut out, 5, sum);
        }
        for &(quantile, value) in &self.steps {
            put::message(&mut out, 6, |out| {
                put::fixed64(out, 1, quantile.to_bits());
                if !stale {
                    put::fixed64(out, 2, value);
                }
            });
        }
        Some(out)
    }

    /// Whether all parts are stale markers; `None` when only some are.
    fn is_stale(&self) -> Option<bool> {
        let stale = self.samples.iter().filter(|&&(_, bits)| bits == STALE).count();
        match stale {
            0 => Some(false),
            _ if stale == self.samples.len() => Some(true),
            _ => None,
        }
    }
}

/// The whole number of a double that holds one exactly.
fn whole(bits: u64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = f64::from_bits(bits);
    ((0.0..=EXACT).contains(&value) && value.fract() == 0.0).then_some(value as u64)
}
