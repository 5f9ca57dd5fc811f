//! Metrics with one point each, of every type.

use fastrand::Rng;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, Sum, Summary, SummaryDataPoint,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value as Number,
    summary_data_point::ValueAtQuantile,
};

use super::otlp::{NAME, SECOND, words};
use super::{DOUBLES, INTS, NAN_WITH_PAYLOAD, Run, text};
use crate::item::Id;

/// The flag of a point that says that nothing was recorded.
const NO_RECORDED_VALUE: u32 = 1;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
const DELTA: i32 = AggregationTemporality::Delta as i32;

/// What the points of one metric share.
struct Point {
    attributes: Vec<KeyValue>,
    start: u64,
    time: u64,
}

/// A metric with one point: every type and temporality in turn.
pub fn metric(run: &Run, id: Id) -> Metric {
    let mut random = run.random(id, 6);
    let time = run.epoch + random.u64(1..20 * SECOND);
    let attributes = vec![words(NAME, &id.name()), words("text", text(&mut random))];
    let point = Point { attributes, start: run.epoch, time };
    let (name, unit, data) = match id.number % 8 {
        0 => ("audit.level", "", gauge(point.number(any_double(&mut random)))),
        1 => ("audit.depth", "By", gauge(whole(&mut random, &point))),
        2 => {
            let value = Number::AsInt(random.i64(..1 << 40));
            ("audit.requests", "", sum(point.number(value), CUMULATIVE, true))
        }
        3 => ("audit.latency", "s", Data::Histogram(histogram(&mut random, point, CUMULATIVE))),
        4 => ("audit.size", "By", Data::ExponentialHistogram(exponential(&mut random, point, CUMULATIVE))),
        5 => ("audit.wait", "s", Data::Summary(summary(&mut random, point))),
        6 => ("audit.since", "", delta(&mut random, point)),
        _ => ("audit.balance", "", sum(point.number(any_double(&mut random)), CUMULATIVE, false)),
    };
    Metric {
        name: name.to_owned(),
        description: "what the auditor sends".to_owned(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

impl Point {
    fn number(&self, value: Number) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes.clone(),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            exemplars: Vec::new(),
            flags: 0,
            value: Some(value),
        }
    }
}

fn gauge(point: NumberDataPoint) -> Data {
    Data::Gauge(Gauge { data_points: vec![point] })
}

fn sum(point: NumberDataPoint, aggregation_temporality: i32, is_monotonic: bool) -> Data {
    Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic })
}

/// What was measured since the point before.
fn delta(random: &mut Rng, point: Point) -> Data {
    match random.u8(..3) {
        0 => sum(point.number(Number::AsDouble(random.f64() * 1e6)), DELTA, true),
        1 => Data::Histogram(histogram(random, point, DELTA)),
        _ => Data::ExponentialHistogram(exponential(random, point, DELTA)),
    }
}

fn any_double(random: &mut Rng) -> Number {
    Number::AsDouble(match random.u8(..6) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => f64::from_bits(NAN_WITH_PAYLOAD),
        _ => DOUBLES[random.usize(..DOUBLES.len())],
    })
}

/// A point of a whole number, or of nothing.
fn whole(random: &mut Rng, point: &Point) -> NumberDataPoint {
    let recorded = point.number(Number::AsInt(INTS[random.usize(..INTS.len())]));
    match random.u8(..4) {
        0 => NumberDataPoint { flags: NO_RECORDED_VALUE, value: None, ..recorded },
        _ => recorded,
    }
}

fn histogram(random: &mut Rng, point: Point, aggregation_temporality: i32) -> Histogram {
    let bucket_counts: Vec<u64> = (0..4).map(|_| random.u64(..1000)).collect();
    let point = HistogramDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start,
        time_unix_nano: point.time,
        count: bucket_counts.iter().sum(),
        sum: (random.u8(..4) > 0).then(|| random.f64() * 1e4),
        bucket_counts,
        explicit_bounds: vec![0.1, 1.0, 2.5],
        exemplars: Vec::new(),
        flags: 0,
        min: Some(0.001),
        max: Some(9.5),
    };
    Histogram { data_points: vec![point], aggregation_temporality }
}

/// One side of an exponential histogram, with empty buckets in between.
fn side(random: &mut Rng) -> Option<Buckets> {
    let count = random.usize(..7);
    let bucket_counts: Vec<u64> = (0..count).map(|_| random.u64(..4) * random.u64(..1000)).collect();
    (count > 0).then(|| Buckets { offset: random.i32(-20..20), bucket_counts })
}

fn exponential(random: &mut Rng, point: Point, aggregation_temporality: i32) -> ExponentialHistogram {
    let (positive, negative) = (side(random), side(random));
    let zero_count = random.u64(..3);
    let sides = positive.iter().chain(&negative).flat_map(|side| &side.bucket_counts);
    let point = ExponentialHistogramDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start,
        time_unix_nano: point.time,
        count: sides.sum::<u64>() + zero_count,
        sum: (random.u8(..4) > 0).then(|| random.f64() * 1e4 - 5e3),
        scale: random.i32(-5..=10),
        zero_count,
        zero_threshold: if random.bool() { 0.0 } else { 1e-6 },
        positive,
        negative,
        exemplars: Vec::new(),
        flags: 0,
        min: Some(-9.5),
        max: Some(9.5),
    };
    ExponentialHistogram { data_points: vec![point], aggregation_temporality }
}

/// Half of all summaries have seen nothing lately: their quantiles are Prometheus' ordinary NaN.
fn summary(random: &mut Rng, point: Point) -> Summary {
    const NAN: u64 = 0x7ff8_0000_0000_0001;
    let is_idle = random.bool();
    let quantile_values = [0.5, 0.9, 0.99].map(|quantile| ValueAtQuantile {
        quantile,
        value: if is_idle { f64::from_bits(NAN) } else { random.f64() },
    });
    let point = SummaryDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start,
        time_unix_nano: point.time,
        count: random.u64(1..1 << 40),
        sum: random.f64() * 1e4,
        quantile_values: quantile_values.to_vec(),
        flags: 0,
    };
    Summary { data_points: vec![point] }
}
