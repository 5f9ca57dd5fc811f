//! Metrics of every kind.

use super::*;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// One gauge with these values.
pub(super) fn points(values: &[f64]) -> Parcel {
    let data_points = values.iter().zip(0..).map(|(value, at)| double(*value, at)).collect();
    of(vec![metric("g", Data::Gauge(Gauge { data_points }))], values.len() as u32)
}

/// A point of each of the five kinds, the sum's with a whole number.
pub(super) fn all_kinds() -> Parcel {
    let exemplar = Exemplar {
        filtered_attributes: vec![text("k", "v")],
        time_unix_nano: START.0 + 7,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        value: Some(exemplar::Value::AsDouble(0.5)),
    };
    let gauge =
        NumberDataPoint { exemplars: vec![exemplar], ..double(f64::from_bits(0x7ff8_0000_0000_0abc), 0) };
    let whole = NumberDataPoint { value: Some(number_data_point::Value::AsInt(-3)), ..double(0.0, 1) };
    let histogram = HistogramDataPoint {
        attributes: vec![text("a", "b")],
        start_time_unix_nano: START.0,
        time_unix_nano: START.0 + 2,
        count: 6,
        sum: Some(12.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 5.0],
        min: Some(0.25),
        max: None,
        ..Default::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        time_unix_nano: START.0 + 3,
        count: 4,
        sum: Some(-1.0),
        scale: -2,
        zero_count: 1,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 300] }),
        negative: Some(Buckets { offset: 2, bucket_counts: vec![2] }),
        ..Default::default()
    };
    let summary = SummaryDataPoint {
        time_unix_nano: START.0 + 4,
        count: 9,
        sum: 1e300,
        quantile_values: vec![
            ValueAtQuantile { quantile: 0.5, value: 1.5 },
            ValueAtQuantile { quantile: 0.99, value: f64::INFINITY },
        ],
        ..Default::default()
    };
    let all = vec![
        metric("g", Data::Gauge(Gauge { data_points: vec![gauge] })),
        metric(
            "s",
            Data::Sum(Sum { data_points: vec![whole], aggregation_temporality: 2, is_monotonic: true }),
        ),
        metric("h", Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 })),
        metric(
            "e",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 2,
            }),
        ),
        metric("q", Data::Summary(Summary { data_points: vec![summary] })),
    ];
    of(all, 5)
}

fn double(value: f64, at: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![text("größe", "ü\0")],
        start_time_unix_nano: START.0 - 1,
        time_unix_nano: START.0 + at,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        description: "d".into(),
        unit: "s".into(),
        data: Some(data),
        ..Default::default()
    }
}

fn of(metrics: Vec<Metric>, items: u32) -> Parcel {
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "1".into(),
        dropped_attributes_count: 3,
        ..Default::default()
    };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: "s".into() }];
    let resource = Resource { attributes: vec![text("service.name", "shop")], ..Default::default() };
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource), scope_metrics, schema_url: "r".into() }];
    let plain = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
    parcel(Signal::Metrics, Laid::Otlp, vec![part(1, Coding::Plain, &plain, items)])
}
