//! What bodies say, for comparing.

use std::collections::BTreeMap;

use tidegate_stitch::series::Body;
use wire::otlp::AnyValue;
use wire::otlp::metrics::{MetricKind, Number, Point, each_point};

/// The last point of a series.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Last {
    pub(super) start: u64,
    pub(super) time: u64,
    /// A counter's value, or a histogram's count.
    pub(super) value: u64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<u64>,
    pub(super) bounds: Vec<f64>,
    pub(super) exemplars: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) is_over: bool,
    /// Points of the series.
    pub(super) points: usize,
}

/// Series by name (with `{native}` behind it for exponential buckets) and labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Points(pub(super) BTreeMap<(String, BTreeMap<String, String>), Last>);

impl Points {
    pub(super) fn of(bodies: &[Body]) -> Self {
        let mut points = Self::default();
        for body in bodies {
            points.add(body);
        }
        points
    }

    fn add(&mut self, body: &Body) {
        let mut count = 0;
        each_point(&body.bytes, |_, scope, metric, point| {
            assert_eq!(scope.scope.name, "tidegate.stitch");
            let Some(AnyValue::Str(hint)) = metric.metadata().get("prometheus.name")? else {
                panic!("no hint")
            };
            assert_eq!(hint, metric.name);
            let is_cumulative = match metric.kind {
                MetricKind::Sum { temporality, monotonic } => temporality == 2 && monotonic,
                MetricKind::Histogram { temporality } | MetricKind::ExponentialHistogram { temporality } => {
                    temporality == 2
                }
                _ => false,
            };
            assert!(is_cumulative, "{metric:?}");
            let mut labels = BTreeMap::new();
            for pair in point.attributes() {
                let pair = pair?;
                let AnyValue::Str(value) = pair.value else { panic!("{pair:?}") };
                assert_eq!(labels.insert(pair.key.to_owned(), value.to_owned()), None, "{}", metric.name);
            }
            let native = matches!(point, Point::Exponential(_));
            let name = if native { format!("{}{{native}}", metric.name) } else { metric.name.to_owned() };
            let before = self.0.get(&(name.clone(), labels.clone())).cloned().unwrap_or_default();
            let mut last = Last { points: before.points + 1, ..Last::default() };
            match point {
                Point::Number(number) => {
                    (last.start, last.time) = (number.start, number.time);
                    last.is_over = number.flags & 1 == 1;
                    last.value = match number.value {
                        Some(Number::Int(value)) => u64::try_from(value).unwrap(),
                        other => {
                            assert!(last.is_over && other.is_none());
                            0
                        }
                    };
                }
                Point::Histogram(histogram) => {
                    (last.start, last.time, last.value) = (histogram.start, histogram.time, histogram.count);
                    last.is_over = histogram.flags & 1 == 1;
                    last.sum = f64::from_bits(histogram.sum.unwrap_or(0));
                    last.buckets = histogram.bucket_counts().collect::<Result<_, _>>()?;
                    last.bounds = histogram
                        .explicit_bounds()
                        .map(|b| b.map(f64::from_bits))
                        .collect::<Result<_, _>>()?;
                    assert_eq!(last.buckets.iter().sum::<u64>(), last.value);
                }
                Point::Exponential(histogram) => {
                    (last.start, last.time, last.value) = (histogram.start, histogram.time, histogram.count);
                    last.is_over = histogram.flags & 1 == 1;
                    last.sum = f64::from_bits(histogram.sum.unwrap_or(0));
                    last.buckets = histogram.positive.counts().collect::<Result<_, _>>()?;
                    assert_eq!(last.buckets.iter().sum::<u64>() + histogram.zero_count, last.value);
                }
                Point::Summary(_) => panic!("a summary"),
            }
            for exemplar in point.exemplars() {
                let exemplar = exemplar?;
                last.exemplars.push((exemplar.trace_id.to_vec(), exemplar.span_id.to_vec()));
            }
            assert!(last.start <= last.time && before.time < last.time, "{name}: {before:?} {last:?}");
            assert!(last.is_over || last.value >= before.value, "{name} shrank");
            self.0.insert((name, labels), last);
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(count, body.points);
    }

    /// The series of a metric: values of these labels, in this order.
    pub(super) fn by(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, Last> {
        let of = self.0.iter().filter(|((of, _), _)| of == name);
        of.map(|((_, all), last)| {
            (labels.iter().map(|label| all.get(*label).cloned().unwrap_or_default()).collect(), last.clone())
        })
        .collect()
    }

    /// The same, values alone, added up where the labels do not tell series apart.
    pub(super) fn counts(&self, name: &str, labels: &[&str]) -> BTreeMap<Vec<String>, u64> {
        let mut counts = BTreeMap::new();
        for ((of, all), last) in &self.0 {
            if of == name {
                let key: Vec<String> =
                    labels.iter().map(|label| all.get(*label).cloned().unwrap_or_default()).collect();
                *counts.entry(key).or_default() += last.value;
            }
        }
        counts
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.keys().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
    }
}
