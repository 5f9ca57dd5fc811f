//! What must be found of an item where everything is Prometheus series: samples, and native histograms.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint,
    SummaryDataPoint, exponential_histogram_data_point::Buckets, metric::Data,
    number_data_point::Value as Number,
};

use super::{Run, otlp, point, sample};
use crate::flatten;
use crate::item::{Id, SAMPLES_PER_SERIES};
use crate::value::{Fields, Value};

const NANOS_PER_MILLI: u64 = 1_000_000;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Scales of native histograms. Finer ones are merged to the finest; for a coarser one there is no place.
const COARSEST: i32 = -4;
const FINEST: i32 = 8;
/// The width that Prometheus gives a zero bucket of which the sender told none.
const NARROWEST: f64 = 1e-128;

/// The metric item as what it becomes in Prometheus. Nothing for a point that has no place there: of delta temporality, or
/// of too coarse a scale.
pub fn as_samples(run: &Run, id: Id) -> Fields {
    let mut series = Series { target: target(run, id), fields: Fields::new() };
    if id.stream.is_remote_write() {
        let name = sample_name(&self::series(sample::labels(run, id)), sample::time(run, id));
        series.fields.insert(name, Value::Double(sample::value(run, id)));
        return series.fields;
    }
    match point::metric(run, id).data {
        Some(Data::Gauge(gauge)) => {
            for point in &gauge.data_points {
                let has_unit = matches!(point.value, Some(Number::AsInt(_)) | None);
                series.number(if has_unit { "audit_depth_bytes" } else { "audit_level" }, point);
            }
        }
        Some(Data::Sum(sum)) if sum.aggregation_temporality == CUMULATIVE => {
            let name = if sum.is_monotonic { "audit_requests_total" } else { "audit_balance" };
            sum.data_points.iter().for_each(|point| series.number(name, point));
        }
        Some(Data::Histogram(histogram)) if histogram.aggregation_temporality == CUMULATIVE => {
            histogram.data_points.iter().for_each(|point| series.classic(point));
        }
        Some(Data::ExponentialHistogram(histogram)) if histogram.aggregation_temporality == CUMULATIVE => {
            histogram.data_points.iter().for_each(|point| series.native(point));
        }
        Some(Data::Summary(summary)) => {
            summary.data_points.iter().for_each(|point| series.summary(point));
        }
        _ => {}
    }
    series.fields
}

/// The largest finite number, by its size, of the series that these samples of an item belong to.
pub fn largest(run: &Run, id: Id, samples: &Fields) -> f64 {
    let finite = |bits: u64| Some(f64::from_bits(bits).abs()).filter(|number| number.is_finite());
    let of_series =
        (0..if id.stream.is_remote_write() { SAMPLES_PER_SERIES } else { 0 }).filter_map(|place| {
            let number = id.number - id.number % SAMPLES_PER_SERIES + place;
            finite(sample::value(run, Id { number, ..id }))
        });
    let own = samples
        .values()
        .filter_map(|value| if let Value::Double(bits) = value { finite(*bits) } else { None });
    of_series.chain(own).fold(0.0, f64::max)
}

/// The labels of the item's resource.
fn target(run: &Run, id: Id) -> Vec<(String, String)> {
    let resource = otlp::resource(run, id);
    let label = |(key, label): (&str, &str)| {
        let found = resource.attributes.iter().find(|known| known.key == key)?;
        Some((label.to_owned(), text(found)))
    };
    [("service.name", "job"), ("service.instance.id", "instance")].into_iter().filter_map(label).collect()
}

fn text(attribute: &KeyValue) -> String {
    match flatten::attribute_value(attribute) {
        Value::Text(text) => text,
        other => other.to_string(),
    }
}

struct Series {
    target: Vec<(String, String)>,
    fields: Fields,
}

impl Series {
    fn add(&mut self, name: &str, more: Option<(&str, &str)>, own: &[KeyValue], time: u64, value: Value) {
        let mut labels = self.target.clone();
        labels.push(("__name__".to_owned(), name.to_owned()));
        labels.extend(more.map(|(label, value)| (label.to_owned(), value.to_owned())));
        labels.extend(own.iter().map(|attribute| (attribute.key.clone(), text(attribute))));
        self.fields.insert(sample_name(&series(labels), (time / NANOS_PER_MILLI) as i64), value);
    }

    fn number(&mut self, name: &str, point: &NumberDataPoint) {
        let value = match point.value {
            Some(Number::AsInt(whole)) => Value::double(whole as f64),
            Some(Number::AsDouble(double)) => Value::double(double),
            None => Value::Double(sample::STALE),
        };
        self.add(name, None, &point.attributes, point.time_unix_nano, value);
    }

    fn classic(&mut self, point: &HistogramDataPoint) {
        let (own, time) = (&point.attributes, point.time_unix_nano);
        let mut below = 0;
        for (bound, count) in ["0.1", "1", "2.5", "+Inf"].into_iter().zip(&point.bucket_counts) {
            below += count;
            let value = Value::double(below as f64);
            self.add("audit_latency_seconds_bucket", Some(("le", bound)), own, time, value);
        }
        self.add("audit_latency_seconds_count", None, own, time, Value::double(point.count as f64));
        if let Some(sum) = point.sum {
            self.add("audit_latency_seconds_sum", None, own, time, Value::double(sum));
        }
    }

    fn summary(&mut self, point: &SummaryDataPoint) {
        let (own, time) = (&point.attributes, point.time_unix_nano);
        for (quantile, at) in ["0.5", "0.9", "0.99"].into_iter().zip(&point.quantile_values) {
            let value = Value::double(at.value);
            self.add("audit_wait_seconds", Some(("quantile", quantile)), own, time, value);
        }
        self.add("audit_wait_seconds_count", None, own, time, Value::double(point.count as f64));
        self.add("audit_wait_seconds_sum", None, own, time, Value::double(point.sum));
    }

    fn native(&mut self, point: &ExponentialHistogramDataPoint) {
        if point.scale < COARSEST {
            return;
        }
        let is_width_told = point.zero_threshold > 0.0;
        let histogram = native(
            point.scale.min(FINEST),
            if is_width_told { point.zero_threshold } else { NARROWEST },
            [point.zero_count, point.count],
            point.sum.unwrap_or(0.0),
            [&point.positive, &point.negative].map(|side| merged(side.as_ref(), point.scale)),
        );
        self.add("audit_size_bytes", None, &point.attributes, point.time_unix_nano, histogram);
    }
}

/// The buckets of one side by the indices of native histograms, which are named by their upper bound.
fn merged(side: Option<&Buckets>, scale: i32) -> Vec<(i64, u64)> {
    let merge = 1i64 << (scale - FINEST).max(0);
    let mut made: Vec<(i64, u64)> = Vec::new();
    let Some(side) = side else { return made };
    for (at, count) in side.bucket_counts.iter().enumerate() {
        let index = (i64::from(side.offset) + at as i64).div_euclid(merge) + 1;
        match made.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => made.push((index, *count)),
        }
    }
    made
}

/// A native histogram as a value; its empty buckets say nothing.
pub(crate) fn native(
    schema: i32,
    zero_threshold: f64,
    [zero_count, count]: [u64; 2],
    sum: f64,
    [positive, negative]: [Vec<(i64, u64)>; 2],
) -> Value {
    let side = |buckets: Vec<(i64, u64)>| {
        let full = buckets.into_iter().filter(|(_, count)| *count > 0);
        Value::List(
            full.map(|(index, count)| Value::List(vec![Value::Int(index), Value::Int(count as i64)]))
                .collect(),
        )
    };
    let members = [
        ("schema", Value::Int(schema.into())),
        ("zero_threshold", Value::double(zero_threshold)),
        ("zero_count", Value::Int(zero_count as i64)),
        ("count", Value::Int(count as i64)),
        ("sum", Value::double(sum)),
        ("positive", side(positive)),
        ("negative", side(negative)),
    ];
    Value::Map(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A series as one text: its labels, sorted.
pub(crate) fn series(mut labels: Vec<(String, String)>) -> String {
    labels.sort();
    let all: Vec<String> = labels.into_iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", all.join(","))
}

/// The field of one sample of a series.
pub(crate) fn sample_name(series: &str, time_ms: i64) -> String {
    format!("sample.{series}@{time_ms}")
}
