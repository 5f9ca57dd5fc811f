//! One OTLP point → the series that Prometheus has for it.

use super::limits::BUCKETS;
use super::losses::{Loss, Losses};
use super::to_rw::{Labels, Out, to_double};
use super::{labels, text_of};
use crate::otlp::Repeated;
use crate::otlp::metrics::{
    Buckets, Exemplar, ExponentialPoint, HistogramPoint, Number, NumberPoint, SummaryPoint,
};
use crate::rw::STALE;
use crate::rw::private;
use crate::{WireError, put};

/// The metadata of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) kind: u64,
    pub(super) help: &'a str,
    pub(super) unit: &'a str,
}

impl Metadata<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put::uint(out, 1, self.kind);
        put::bytes(out, 4, self.help.as_bytes());
        put::bytes(out, 5, self.unit.as_bytes());
    }
}

/// Where one point goes: its labels without the metric's name, and what the names of its series begin with.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Labels,
    pub(super) metadata: Metadata<'a>,
    pub(super) out: &'a mut Out,
    pub(super) losses: &'a mut Losses,
}

type Exemplars<'a> = Repeated<'a, Exemplar<'a>>;

/// An exemplar as a field of a series, and its value.
struct MadeExemplar {
    time: i64,
    value: f64,
    content: Vec<u8>,
}

impl Series<'_> {
    /// A point of a gauge or a sum.
    pub(super) fn number(
        &mut self,
        point: &NumberPoint<'_>,
        exemplars: Exemplars<'_>,
    ) -> Result<(), WireError> {
        let stale = point.flags & 1 == 1;
        let bits = match point.value {
            _ if stale => STALE,
            Some(number) => self.double(number),
            None => {
                self.losses.add(Loss::NoValue, 1);
                return Ok(());
            }
        };
        let (time, start) = self.times(point.time, point.start);
        let exemplars = self.exemplars(exemplars)?;
        let Some(series) = self.out.series(self.name, &self.labels, self.metadata) else {
            self.losses.add(Loss::Size, 1);
            return Ok(());
        };
        series.sample(time, start, bits);
        for exemplar in exemplars {
            series.point(exemplar.time, 3, |out| out.extend_from_slice(&exemplar.content));
        }
        Ok(())
    }

    /// A histogram as one series for each bucket, one for the count and one for the sum.
    pub(super) fn classic(
        &mut self,
        point: &HistogramPoint<'_>,
        exemplars: Exemplars<'_>,
    ) -> Result<(), WireError> {
        let Some((bounds, counts)) = read_explicit(point)? else {
            self.losses.add(Loss::Buckets, 1);
            return Ok(());
        };
        let stale = point.flags & 1 == 1;
        self.losses.add(Loss::MinMax, u64::from(point.min.is_some() || point.max.is_some()));
        let (time, start) = self.times(point.time, point.start);
        let mut below = 0;
        let mut cumulative: Vec<(f64, u64)> = Vec::with_capacity(bounds.len() + 1);
        for (&bound, &count) in bounds.iter().zip(&counts) {
            below += count;
            if bound < f64::INFINITY {
                cumulative.push((bound, below));
            }
        }
        cumulative.push((f64::INFINITY, point.count));
        let mut by_bucket: Vec<Vec<MadeExemplar>> = Vec::new();
        by_bucket.resize_with(cumulative.len(), Vec::new);
        for exemplar in self.exemplars(exemplars)? {
            let bucket = cumulative.iter().position(|&(bound, _)| exemplar.value <= bound);
            by_bucket[bucket.unwrap_or(cumulative.len() - 1)].push(exemplar);
        }
        let total = self.count(point.count, stale);
        let mut whole = self.add("_count", time, start, total);
        if let Some(sum) = point.sum {
            whole &= self.add("_sum", time, start, if stale { STALE } else { sum });
        }
        for ((bound, count), exemplars) in cumulative.into_iter().zip(by_bucket) {
            self.labels.insert("le".into(), text_of::bound(bound));
            let bits = self.count(count, stale);
            let name = format!("{}_bucket", self.name);
            let Some(series) = self.out.series(&name, &self.labels, self.metadata) else {
                whole = false;
                break;
            };
            series.sample(time, start, bits);
            for exemplar in exemplars {
                series.point(exemplar.time, 3, |out| out.extend_from_slice(&exemplar.content));
            }
        }
        self.losses.add(Loss::Size, u64::from(!whole));
        Ok(())
    }

    /// A histogram with explicit bounds as a native one with custom buckets.
    pub(super) fn custom(
        &mut self,
        point: &HistogramPoint<'_>,
        exemplars: Exemplars<'_>,
    ) -> Result<(), WireError> {
        let Some((bounds, counts)) = read_explicit(point)? else {
            self.losses.add(Loss::Buckets, 1);
            return Ok(());
        };
        let buckets: Vec<(i32, u64)> = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(i, &count)| (i as i32, count))
            .collect();
        let native = Native {
            field: private::CUSTOM_HISTOGRAM,
            schema: -53,
            zero_threshold: 0,
            zero_count: 0,
            count: point.count,
            negative: &[],
            positive: &buckets,
            bounds: &bounds,
        };
        // An explicit last bound of +Inf leaves its overflow bucket empty; Prometheus forbids naming it.
        if bounds.last() == Some(&f64::INFINITY) {
            let overflow = counts.last().copied().unwrap_or(0);
            if overflow > 0 {
                self.losses.add(Loss::Buckets, 1);
                return Ok(());
            }
            let native = Native { bounds: &bounds[..bounds.len() - 1], ..native };
            return self.native(
                &native,
                point.flags,
                (point.time, point.start),
                point.sum,
                point.min.or(point.max),
                exemplars,
            );
        }
        self.native(
            &native,
            point.flags,
            (point.time, point.start),
            point.sum,
            point.min.or(point.max),
            exemplars,
        )
    }

    /// An exponential histogram as a native one. Scales above 8 are merged down to 8.
    pub(super) fn exponential(
        &mut self,
        point: &ExponentialPoint<'_>,
        exemplars: Exemplars<'_>,
    ) -> Result<(), WireError> {
        const FINEST: i32 = 8;
        const COARSEST: i32 = -4;
        if point.scale < COARSEST {
            self.losses.add(Loss::Scale, 1);
            return Ok(());
        }
        let shift = point.scale.saturating_sub(FINEST).max(0) as u32;
        let sides = (read_side(&point.positive, shift)?, read_side(&point.negative, shift)?);
        let (Some(positive), Some(negative)) = sides else {
            self.losses.add(Loss::Buckets, 1);
            return Ok(());
        };
        // Prometheus' own translation puts this width where the sender told none.
        const NARROWEST: f64 = 1e-128;
        let native = Native {
            field: 4,
            schema: point.scale.min(FINEST),
            zero_threshold: if point.zero_threshold == 0 {
                NARROWEST.to_bits()
            } else {
                point.zero_threshold
            },
            zero_count: point.zero_count,
            count: point.count,
            negative: &negative,
            positive: &positive,
            bounds: &[],
        };
        self.native(
            &native,
            point.flags,
            (point.time, point.start),
            point.sum,
            point.min.or(point.max),
            exemplars,
        )
    }

    /// A summary as a series for each quantile, one for the count and one for the sum.
    pub(super) fn summary(&mut self, point: &SummaryPoint<'_>) -> Result<(), WireError> {
        let stale = point.flags & 1 == 1;
        let (time, start) = self.times(point.time, point.start);
        let total = self.count(point.count, stale);
        let mut whole = self.add("_count", time, start, total);
        whole &= self.add("_sum", time, start, if stale { STALE } else { point.sum });
        for quantile in point.quantiles() {
            let quantile = quantile?;
            self.labels.insert("quantile".into(), text_of::bound(f64::from_bits(quantile.quantile)));
            whole &= self.add("", time, start, if stale { STALE } else { quantile.value });
        }
        self.losses.add(Loss::Size, u64::from(!whole));
        Ok(())
    }

    fn native(
        &mut self,
        native: &Native<'_>,
        flags: u32,
        (time, start): (u64, u64),
        sum: Option<u64>,
        edge: Option<u64>,
        exemplars: Exemplars<'_>,
    ) -> Result<(), WireError> {
        let stale = flags & 1 == 1;
        let sum = if stale {
            STALE
        } else {
            sum.unwrap_or_else(|| {
                self.losses.add(Loss::Sum, 1);
                0
            })
        };
        if !stale && !native.is_whole(sum) {
            self.losses.add(Loss::Buckets, 1);
            return Ok(());
        }
        self.losses.add(Loss::MinMax, u64::from(edge.is_some()));
        let (time, start) = self.times(time, start);
        let exemplars = self.exemplars(exemplars)?;
        let Some(series) = self.out.series(self.name, &self.labels, self.metadata) else {
            self.losses.add(Loss::Size, 1);
            return Ok(());
        };
        series.point(time, native.field, |out| {
            native.write(sum, stale, out);
            put::uint(out, 15, time as u64);
            if start != 0 {
                put::uint(out, private::START, start as u64);
            }
        });
        for exemplar in exemplars {
            series.point(exemplar.time, 3, |out| out.extend_from_slice(&exemplar.content));
        }
        Ok(())
    }

    /// Adds a sample to the series of this name ending; `false` when there is no room for it.
    fn add(&mut self, ending: &str, time: i64, start: i64, bits: u64) -> bool {
        let name = format!("{}{ending}", self.name);
        let series = self.out.series(&name, &self.labels, self.metadata);
        series.map(|series| series.sample(time, start, bits)).is_some()
    }

    fn count(&mut self, count: u64, stale: bool) -> u64 {
        if stale {
            return STALE;
        }
        let double = count as f64;
        self.losses.add(Loss::Integer, u64::from(double as u128 != u128::from(count)));
        double.to_bits()
    }

    fn double(&mut self, number: Number) -> u64 {
        let (bits, inexact) = to_double(number);
        self.losses.add(Loss::Integer, u64::from(inexact));
        bits
    }

    /// Both times in milliseconds.
    fn times(&mut self, time: u64, start: u64) -> (i64, i64) {
        const MILLI: u64 = 1_000_000;
        self.losses.add(
            Loss::Time,
            u64::from(!time.is_multiple_of(MILLI)) + u64::from(!start.is_multiple_of(MILLI)),
        );
        ((time / MILLI) as i64, (start / MILLI) as i64)
    }

    fn exemplars(&mut self, exemplars: Exemplars<'_>) -> Result<Vec<MadeExemplar>, WireError> {
        let mut made = Vec::new();
        for exemplar in exemplars {
            let exemplar = exemplar?;
            match exemplar.value {
                None => self.losses.add(Loss::Exemplar, 1),
                Some(number) => {
                    let bits = self.double(number);
                    made.push(self.exemplar(&exemplar, bits)?);
                }
            }
        }
        Ok(made)
    }

    fn exemplar(&mut self, exemplar: &Exemplar<'_>, bits: u64) -> Result<MadeExemplar, WireError> {
        /// What Prometheus keeps of an exemplar's labels, in characters.
        const MOST_CHARACTERS: usize = 128;
        let mut pairs = Labels::new();
        for (name, id) in [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)] {
            if id.iter().any(|&byte| byte != 0) && id.len() <= 16 {
                pairs.insert(name.into(), id.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
        let mut attributes = Labels::new();
        for pair in exemplar.filtered_attributes() {
            let pair = pair?;
            if !pair.key.is_empty() {
                attributes.insert(pair.key.to_owned(), text_of::value(&pair.value)?);
            }
        }
        let characters = |labels: &Labels| -> usize {
            labels.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum()
        };
        if characters(&pairs) + characters(&attributes) <= MOST_CHARACTERS {
            for (name, value) in attributes {
                pairs.entry(name).or_insert(value);
            }
        } else {
            self.losses.add(Loss::ExemplarAttributes, 1);
        }
        let (time, _) = self.times(exemplar.time, 0);
        let mut content = Vec::new();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            labels::write(&mut content, 1, (name.as_bytes(), value.as_bytes()));
        }
        put::fixed64(&mut content, 2, bits);
        put::uint(&mut content, 3, time as u64);
        Ok(MadeExemplar { time, value: f64::from_bits(bits), content })
    }
}

/// A native histogram to be written: non-empty buckets by index, lowest first.
#[derive(Clone, Copy)]
struct Native<'a> {
    field: u32,
    schema: i32,
    zero_threshold: u64,
    zero_count: u64,
    count: u64,
    negative: &'a [(i32, u64)],
    positive: &'a [(i32, u64)],
    bounds: &'a [f64],
}

impl Native<'_> {
    /// Whether the buckets make up the count, which Prometheus insists on.
    fn is_whole(&self, sum: u64) -> bool {
        let sides =
            self.negative.iter().chain(self.positive).map(|&(_, count)| u128::from(count)).sum::<u128>();
        let total = sides + u128::from(self.zero_count);
        if f64::from_bits(sum).is_nan() { total <= self.count.into() } else { total == self.count.into() }
    }

    fn write(&self, sum: u64, stale: bool, out: &mut Vec<u8>) {
        put::uint(out, 1, if stale { 0 } else { self.count });
        put::fixed64(out, 3, sum);
        put::sint(out, 4, self.schema.into());
        put::fixed64(out, 5, self.zero_threshold);
        put::uint(out, 6, if stale { 0 } else { self.zero_count });
        if !stale {
            write_side(self.negative, 8, out);
            write_side(self.positive, 11, out);
        }
        if !self.bounds.is_empty() {
            put::message(out, 16, |out| {
                self.bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
            });
        }
    }
}

/// Spans as `field`, deltas as the one behind. Every gap starts a new span.
fn write_side(buckets: &[(i32, u64)], field: u32, out: &mut Vec<u8>) {
    let mut next = 0i64;
    for run in buckets.chunk_by(|a, b| a.0.checked_add(1) == Some(b.0)) {
        put::message(out, field, |out| {
            put::sint(out, 1, i64::from(run[0].0) - next);
            put::uint(out, 2, run.len() as u64);
        });
        next = i64::from(run[0].0) + run.len() as i64;
    }
    if !buckets.is_empty() {
        put::message(out, field + 1, |out| {
            let mut last = 0;
            for &(_, count) in buckets {
                let delta = count as i64 - last;
                put::varint(out, (delta << 1 ^ delta >> 63) as u64);
                last = count as i64;
            }
        });
    }
}

/// The non-empty buckets of one side by Prometheus' indices, `shift` scales coarser; `None` when they cannot be told.
fn read_side(buckets: &Buckets<'_>, shift: u32) -> Result<Option<Vec<(i32, u64)>>, WireError> {
    let mut made: Vec<(i32, u64)> = Vec::new();
    for (i, count) in buckets.counts().enumerate() {
        let count = count?;
        if count == 0 {
            continue;
        }
        // OTLP's bucket i is Prometheus' i + 1: both call it by a bound, but by the other one.
        let index = ((i64::from(buckets.offset) + i as i64) >> shift.min(63)) + 1;
        // The index behind the last bucket must fit as well.
        let Some(index) = i32::try_from(index).ok().filter(|&index| index < i32::MAX) else {
            return Ok(None);
        };
        match made.last_mut() {
            Some((last, total)) if *last == index => {
                let Some(sum) = total.checked_add(count) else { return Ok(None) };
                *total = sum;
            }
            _ => made.push((index, count)),
        }
        if made.len() > BUCKETS || made.last().is_some_and(|&(_, count)| i64::try_from(count).is_err()) {
            return Ok(None);
        }
    }
    // Offsets of spans are 32 bits wide too.
    let wide =
        made.windows(2).any(|pair| i32::try_from(i64::from(pair[1].0) - i64::from(pair[0].0)).is_err());
    Ok((!wide).then_some(made))
}

/// Bounds and counts per bucket.
type Explicit = (Vec<f64>, Vec<u64>);

/// Bounds and counts of a histogram; `None` when they contradict each other.
fn read_explicit(point: &HistogramPoint<'_>) -> Result<Option<Explicit>, WireError> {
    let mut bounds = Vec::new();
    for bits in point.explicit_bounds() {
        bounds.push(f64::from_bits(bits?));
        if bounds.len() > BUCKETS {
            return Ok(None);
        }
    }
    let mut counts = Vec::new();
    let mut total = 0u64;
    for count in point.bucket_counts() {
        let count = count?;
        counts.push(count);
        let Some(sum) = total.checked_add(count).filter(|&sum| i64::try_from(sum).is_ok()) else {
            return Ok(None);
        };
        total = sum;
        if counts.len() > BUCKETS + 1 {
            return Ok(None);
        }
    }
    let fits = counts.len() == bounds.len() + 1 || (counts.is_empty() && bounds.is_empty());
    let rising = bounds.is_sorted_by(|a, b| a < b) && !bounds.iter().any(|bound| bound.is_nan());
    let counted = counts.is_empty() || total <= point.count || point.flags & 1 == 1;
    Ok((fits && rising && counted).then_some((bounds, counts)))
}
