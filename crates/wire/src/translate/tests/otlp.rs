use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as NumberValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram as ExplicitHistogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, summary_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;

use super::super::{
    Checked, Histograms, Loss, Losses, Naming, Options, limits, otlp_to_rw, rw_to_otlp, v1_check, v1_to_v2,
    v2_to_v1,
};
use super::*;
use crate::rw::STALE;

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Default::default() }
}

fn gauge(points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge { data_points: points })
}

fn number(value: f64, millis: u64) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: millis * 1_000_000,
        value: Some(NumberValue::AsDouble(value)),
        ..Default::default()
    }
}

fn export(resource: Vec<KeyValue>, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: resource, ..Default::default() }),
            scope_metrics: vec![ScopeMetrics { metrics, ..Default::default() }],
            ..Default::default()
        }],
    }
}

fn to_rw(request: &ExportMetricsServiceRequest, options: &Options) -> (WriteRequest, Losses) {
    let (bytes, losses) = otlp_to_rw(&request.encode_to_vec(), options).expect("valid protobuf");
    let checked = v1_check(&bytes).expect("valid protobuf");
    assert_eq!(checked.rejected, [], "what we make keeps our own rules");
    (read1(&bytes), losses)
}

fn to_rw_default(metrics: Vec<Metric>) -> (WriteRequest, Losses) {
    to_rw(&export(vec![], metrics), &Options::default())
}

fn to_otlp(bytes: &[u8]) -> (ExportMetricsServiceRequest, Losses) {
    let (bytes, losses) = rw_to_otlp(bytes).expect("valid protobuf");
    (ExportMetricsServiceRequest::decode(&bytes[..]).expect("what we write is protobuf"), losses)
}

fn lost(losses: &Losses) -> Vec<(Loss, u64)> {
    losses.iter().collect()
}

/// Samples as `name{label="value",…} bits time`, in order.
fn shown(request: &WriteRequest) -> Vec<String> {
    let mut lines = Vec::new();
    for series in &request.timeseries {
        let name = &series.labels.iter().find(|label| label.name == "__name__").expect("named").value;
        let rest: Vec<String> = series
            .labels
            .iter()
            .filter(|label| label.name != "__name__")
            .map(|l| format!("{}={}", l.name, l.value))
            .collect();
        for sample in &series.samples {
            lines.push(format!(
                "{name}{{{}}} {} {}",
                rest.join(","),
                f64::from_bits(sample.value),
                sample.timestamp
            ));
        }
    }
    lines
}

#[test]
fn a_resource_becomes_job_instance_and_target_info() {
    let resource = vec![
        text("service.name", "shop"),
        text("service.namespace", "eu"),
        text("service.instance.id", "i-1"),
        text("host.name", "h"),
        text("promoted", "p"),
    ];
    let points = vec![number(1.5, 1_000), number(2.5, 400_000)];
    let options = Options { promote: vec!["promoted".into()], ..Options::default() };
    let request = export(resource, vec![metric("temp", "Cel", gauge(points))]);
    let (made, losses) = to_rw(&request, &options);
    let without_points = to_rw(&request, &Options { points: false, ..options.clone() }).0;
    assert_eq!(shown(&without_points), shown(&made)[2..]);
    let without_info = to_rw(&request, &Options { target_info: false, ..options }).0;
    assert_eq!(shown(&without_info), shown(&made)[..2]);
    assert_eq!(
        shown(&made),
        [
            "temp_celsius{instance=i-1,job=eu/shop,promoted=p} 1.5 1000",
            "temp_celsius{instance=i-1,job=eu/shop,promoted=p} 2.5 400000",
            "target_info{host_name=h,instance=i-1,job=eu/shop,promoted=p} 1 1000",
            "target_info{host_name=h,instance=i-1,job=eu/shop,promoted=p} 1 151000",
            "target_info{host_name=h,instance=i-1,job=eu/shop,promoted=p} 1 301000",
            "target_info{host_name=h,instance=i-1,job=eu/shop,promoted=p} 1 400000",
        ]
    );
    assert!(losses.is_empty());
    let metadata = made.timeseries[0].metadata.clone().expect("set");
    assert_eq!((metadata.kind, metadata.unit.as_str()), (2, "celsius"));
}

#[test]
fn identity_alone_makes_no_target_info_and_a_nameless_resource_is_a_loss() {
    let one = || vec![metric("m", "", gauge(vec![number(1.0, 1)]))];
    let (made, losses) = to_rw(&export(vec![text("service.name", "shop")], one()), &Options::default());
    assert_eq!(shown(&made), ["m{job=shop} 1 1"]);
    assert!(losses.is_empty());
    let (made, losses) = to_rw(&export(vec![text("host.name", "h")], one()), &Options::default());
    assert_eq!(shown(&made), ["m{} 1 1"]);
    assert_eq!(lost(&losses), [(Loss::Resource, 1)]);
}

#[test]
fn times_far_apart_make_a_bounded_target_info() {
    let mut late = number(1.0, 0);
    late.time_unix_nano = u64::MAX;
    let resource = vec![text("service.name", "s"), text("x", "y")];
    let (made, _) = to_rw(
        &export(resource, vec![metric("m", "", gauge(vec![number(1.0, 0), late]))]),
        &Options::default(),
    );
    assert_eq!(made.timeseries[1].samples.len(), 101);
    assert_eq!(made.timeseries[1].samples[100].timestamp, (u64::MAX / 1_000_000) as i64);
}

#[test]
fn attributes_become_labels_and_colliding_keys_are_joined() {
    let values = AnyValue {
        value: Some(Value::ArrayValue(ArrayValue {
            values: vec![AnyValue { value: Some(Value::IntValue(1)) }, AnyValue { value: None }],
        })),
    };
    let map = KeyValueList { values: vec![text("z", "\"q"), pair("a", Value::DoubleValue(0.5))] };
    let mut point = number(1.0, 1);
    point.attributes = vec![
        text("b.x", "2"),
        text("b_x", "3"),
        text("b-x", "1"),
        pair("int", Value::IntValue(-7)),
        pair("flag", Value::BoolValue(true)),
        pair("float", Value::DoubleValue(1e21)),
        pair("bytes", Value::BytesValue(vec![0, 255])),
        KeyValue { key: "list".into(), value: Some(values), ..Default::default() },
        pair("map", Value::KvlistValue(map)),
        text("empty", ""),
        text("__name__", "evil"),
        text("1st", "1"),
    ];
    let (made, losses) = to_rw_default(vec![metric("m", "", gauge(vec![point]))]);
    let expected = [
        "__name__",
        "m",
        "b_x",
        "1;2;3",
        "bytes",
        "AP8=",
        "flag",
        "true",
        "float",
        "1e+21",
        "int",
        "-7",
        "key_1st",
        "1",
        "list",
        "[1,null]",
        "map",
        "{\"a\":0.5,\"z\":\"\\\"q\"}",
    ];
    assert_eq!(made.timeseries[0].labels, labels(&expected));
    assert!(losses.is_empty());
}

#[test]
fn strategies_and_scope_labels_are_options() {
    let mut request = export(
        vec![],
        vec![metric(
            "http.time",
            "s",
            gauge(vec![NumberDataPoint { attributes: vec![text("a.b", "c")], ..number(1.0, 1) }]),
        )],
    );
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "1".into(),
        attributes: vec![text("k.v", "x")],
        ..Default::default()
    };
    request.resource_metrics[0].scope_metrics[0].scope = Some(scope);
    request.resource_metrics[0].scope_metrics[0].schema_url = "u".into();
    let check =
        |options: Options, expected: &str| assert_eq!(shown(&to_rw(&request, &options).0), [expected]);
    check(Options::default(), "http_time_seconds{a_b=c} 1 1");
    check(
        Options { names: Naming::UnderscoreEscapingWithoutSuffixes, ..Options::default() },
        "http_time{a_b=c} 1 1",
    );
    check(
        Options { names: Naming::NoUtf8EscapingWithSuffixes, ..Options::default() },
        "http.time_seconds{a.b=c} 1 1",
    );
    check(Options { names: Naming::NoTranslation, ..Options::default() }, "http.time{a.b=c} 1 1");
    check(
        Options { scope_labels: true, ..Options::default() },
        "http_time_seconds{a_b=c,otel_scope_k_v=x,otel_scope_name=lib,otel_scope_schema_url=u,otel_scope_version=1} 1 1",
    );
}

#[test]
fn sums_are_counters_when_they_grow_and_delta_is_refused() {
    let sum = |temporality, monotonic| {
        let data_points = vec![number(3.0, 5)];
        Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic: monotonic })
    };
    let (made, losses) = to_rw_default(vec![
        metric("requests", "1", sum(2, true)),
        metric("open", "1", sum(2, false)),
        metric("delta", "", sum(1, true)),
        metric("unspecified", "", sum(0, true)),
        metric("unknown", "", sum(9, false)),
        metric("", "", sum(2, true)),
        metric("@@", "", sum(2, false)),
    ]);
    assert_eq!(shown(&made), ["requests_total{} 3 5", "open{} 3 5", "total{} 3 5"]);
    assert_eq!(
        made.timeseries.iter().map(|s| s.metadata.clone().expect("set").kind).collect::<Vec<_>>(),
        [1, 2, 1]
    );
    assert_eq!(lost(&losses), [(Loss::Delta, 1), (Loss::Temporality, 2), (Loss::Name, 1)]);
}

#[test]
fn values_keep_their_bits_and_what_does_not_fit_is_counted() {
    let stale = NumberDataPoint { flags: 1, value: None, ..number(0.0, 1) };
    let odd_nan = f64::from_bits(0x7ff8_0000_0000_0001);
    let big = NumberDataPoint { value: Some(NumberValue::AsInt((1 << 53) + 1)), ..number(0.0, 4) };
    let exact = NumberDataPoint { value: Some(NumberValue::AsInt(-(1 << 60))), ..number(0.0, 5) };
    let none = NumberDataPoint { value: None, ..number(0.0, 6) };
    let fine =
        NumberDataPoint { time_unix_nano: 7_000_001, start_time_unix_nano: 3_000_000, ..number(1.0, 0) };
    let points = vec![stale, number(odd_nan, 2), number(-0.0, 3), big, exact, none, fine];
    let (made, losses) = to_rw_default(vec![metric("m", "", gauge(points))]);
    let bits: Vec<u64> = made.timeseries[0].samples.iter().map(|sample| sample.value).collect();
    assert_eq!(bits[..3], [STALE, odd_nan.to_bits(), (-0.0f64).to_bits()]);
    assert_eq!(f64::from_bits(bits[3]), 9_007_199_254_740_992.0);
    assert_eq!(f64::from_bits(bits[4]), -1_152_921_504_606_846_976.0);
    assert_eq!((made.timeseries[0].samples[5].timestamp, made.timeseries[0].samples[5].start), (7, 3));
    assert_eq!(lost(&losses), [(Loss::NoValue, 1), (Loss::Time, 1), (Loss::Integer, 1)]);
}

#[test]
fn a_histogram_becomes_its_classic_series_with_exemplars_in_their_buckets() {
    let exemplar = |value: f64| Exemplar {
        value: Some(exemplar::Value::AsDouble(value)),
        time_unix_nano: 9_000_000,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        filtered_attributes: vec![text("k", "v")],
    };
    let point = HistogramDataPoint {
        time_unix_nano: 5_000_000,
        count: 6,
        sum: Some(12.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.005, 10.0],
        exemplars: vec![exemplar(99.0), exemplar(0.005), exemplar(f64::NAN)],
        min: Some(0.0),
        ..Default::default()
    };
    let data = |point: HistogramDataPoint| {
        Data::Histogram(ExplicitHistogram { data_points: vec![point], aggregation_temporality: 2 })
    };
    let (made, losses) = to_rw_default(vec![metric("lat", "s", data(point.clone()))]);
    assert_eq!(
        shown(&made),
        [
            "lat_seconds_count{} 6 5",
            "lat_seconds_sum{} 12.5 5",
            "lat_seconds_bucket{le=0.005} 1 5",
            "lat_seconds_bucket{le=10} 3 5",
            "lat_seconds_bucket{le=+Inf} 6 5",
        ]
    );
    assert_eq!(made.timeseries.iter().map(|s| s.exemplars.len()).collect::<Vec<_>>(), [0, 0, 1, 0, 2]);
    let ids = labels(&["k", "v", "span_id", &"cd".repeat(8), "trace_id", &"ab".repeat(16)]);
    assert_eq!(
        made.timeseries[2].exemplars[0],
        Exemplar1 { labels: ids, value: 0.005f64.to_bits(), timestamp: 9 }
    );
    assert_eq!(lost(&losses), [(Loss::MinMax, 1)]);

    let gone =
        HistogramDataPoint { flags: 1, count: 0, sum: None, min: None, exemplars: vec![], ..point.clone() };
    let (made, _) = to_rw_default(vec![metric("lat", "", data(gone))]);
    assert_eq!(made.timeseries.len(), 4, "no sum, no series of it");
    assert!(made.timeseries.iter().all(|series| series.samples[0].value == STALE));

    for broken in [
        HistogramDataPoint { bucket_counts: vec![1, 2], ..point.clone() },
        HistogramDataPoint { bucket_counts: vec![u64::MAX, 2, 3], ..point.clone() },
        HistogramDataPoint { explicit_bounds: vec![1.0, 1.0], ..point.clone() },
        HistogramDataPoint { explicit_bounds: vec![1.0, f64::NAN], ..point.clone() },
        HistogramDataPoint { count: 5, ..point.clone() },
        HistogramDataPoint { bucket_counts: vec![0; 5000], explicit_bounds: vec![0.0; 4999], ..point },
    ] {
        let (made, losses) = to_rw_default(vec![metric("lat", "", data(broken))]);
        assert_eq!((made.timeseries.len(), lost(&losses)), (0, vec![(Loss::Buckets, 1)]));
    }
}

#[test]
fn a_histogram_may_become_a_native_one_with_custom_buckets() {
    let point = HistogramDataPoint {
        count: 6,
        sum: Some(1.0),
        bucket_counts: vec![1, 0, 5],
        explicit_bounds: vec![0.5, 1.0],
        time_unix_nano: 1_000_000,
        ..Default::default()
    };
    let data = Data::Histogram(ExplicitHistogram { data_points: vec![point], aggregation_temporality: 2 });
    let options = Options { histograms: Histograms::Custom, ..Options::default() };
    let (made, losses) = to_rw(&export(vec![], vec![metric("lat", "", data)]), &options);
    let custom = &made.timeseries[0].custom[0];
    assert_eq!(
        (custom.schema, &custom.bounds[..], custom.count),
        (-53, &[0.5, 1.0][..], Some(Count::Int(6)))
    );
    assert_eq!(expand(&custom.positive_spans, &custom.positive_deltas), [(0, 1), (2, 5)]);
    assert!(losses.is_empty());
}

/// Non-empty buckets by index: what two encodings of one histogram have in common.
fn expand(spans: &[Span], deltas: &[i64]) -> Vec<(i32, i64)> {
    let (mut at, mut count, mut buckets) = (0, 0, Vec::new());
    let mut deltas = deltas.iter();
    for span in spans {
        at += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("lengths match");
            if count != 0 {
                buckets.push((at, count));
            }
            at += 1;
        }
    }
    buckets
}

fn exponential(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        scale,
        count: counts.iter().sum(),
        sum: Some(1.0),
        positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
        time_unix_nano: 1_000_000,
        ..Default::default()
    }
}

fn native(point: ExponentialHistogramDataPoint) -> (WriteRequest, Losses) {
    let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    to_rw_default(vec![metric("h", "", Data::ExponentialHistogram(data))])
}

#[test]
fn the_worked_example_of_the_specification_holds() {
    let (made, losses) = native(exponential(0, 3, &[10, 0, 0, 20, 5, 2]));
    let histogram = &made.timeseries[0].histograms[0];
    let spans = |pairs: &[(i32, u32)]| {
        pairs.iter().map(|&(offset, length)| Span { offset, length }).collect::<Vec<_>>()
    };
    let ours = expand(&histogram.positive_spans, &histogram.positive_deltas);
    assert_eq!(ours, expand(&spans(&[(4, 1), (2, 3)]), &[10, 10, -15, -3]));
    assert_eq!(ours, expand(&spans(&[(4, 6)]), &[10, -10, 0, 20, -15, -3]));
    assert_eq!(ours, [(4, 10), (7, 20), (8, 5), (9, 2)]);
    assert_eq!(histogram.zero_threshold, 1e-128);
    assert!(losses.is_empty());
}

#[test]
fn fine_scales_are_merged_down_to_8() {
    let counts: Vec<u64> = (1..=9).collect();
    for (scale, offset) in [(9, -5), (10, 0), (12, 7), (20, -1_000_000), (i32::MAX, i32::MIN), (40, 5)] {
        let (made, _) = native(exponential(scale, offset, &counts));
        let histogram = &made.timeseries[0].histograms[0];
        assert_eq!(histogram.schema, 8);
        // The rule of the reference, one scale at a time: p becomes ⌈p / 2⌉.
        let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
        for (i, &count) in counts.iter().enumerate() {
            let mut index = i64::from(offset) + i as i64 + 1;
            for _ in 8..scale.min(80) {
                index = (index + 1).div_euclid(2);
            }
            *expected.entry(index).or_default() += count as i64;
        }
        let expected: Vec<(i32, i64)> =
            expected.into_iter().map(|(index, count)| (index as i32, count)).collect();
        assert_eq!(
            expand(&histogram.positive_spans, &histogram.positive_deltas),
            expected,
            "{scale} {offset}"
        );
    }
}

#[test]
fn hostile_exponential_histograms_are_left_out_and_counted() {
    let check = |point: ExponentialHistogramDataPoint, loss: Loss| {
        let (made, losses) = native(point.clone());
        assert_eq!((made.timeseries.len(), losses.get(loss)), (0, 1), "{point:?}");
    };
    check(exponential(-5, 0, &[1]), Loss::Scale);
    check(exponential(i32::MIN, 0, &[1]), Loss::Scale);
    check(exponential(0, i32::MAX, &[1, 1]), Loss::Buckets);
    check(exponential(0, i32::MAX - 1, &[1]), Loss::Buckets);
    check(ExponentialHistogramDataPoint { count: 5, ..exponential(0, 0, &[1]) }, Loss::Buckets);
    check(
        ExponentialHistogramDataPoint {
            count: u64::MAX,
            positive: Some(Buckets { offset: 0, bucket_counts: vec![u64::MAX, 1] }),
            ..exponential(0, 0, &[])
        },
        Loss::Buckets,
    );
    check(
        ExponentialHistogramDataPoint {
            count: 1,
            positive: Some(Buckets { offset: 0, bucket_counts: vec![u64::MAX, 2] }),
            ..exponential(20, 0, &[])
        },
        Loss::Buckets,
    );
    check(exponential(0, 0, &[1; 4097]), Loss::Buckets);
    let wide = ExponentialHistogramDataPoint {
        negative: Some(Buckets { offset: i32::MIN, bucket_counts: vec![1] }),
        count: 2,
        ..exponential(0, i32::MAX - 2, &[1])
    };
    assert_eq!(native(wide).0.timeseries.len(), 1, "sides are independent");
}

#[test]
fn a_missing_sum_becomes_zero_and_no_value_becomes_stale() {
    let (made, losses) =
        native(ExponentialHistogramDataPoint { sum: None, max: Some(1.0), ..exponential(0, 0, &[1]) });
    assert_eq!(made.timeseries[0].histograms[0].sum, 0.0);
    assert_eq!(lost(&losses), [(Loss::MinMax, 1), (Loss::Sum, 1)]);
    let (made, _) = native(ExponentialHistogramDataPoint { flags: 1, ..exponential(0, 0, &[1]) });
    assert_eq!(made.timeseries[0].histograms[0].sum.to_bits(), STALE);
}

#[test]
fn a_summary_becomes_its_series() {
    let quantile = |quantile, value| summary_data_point::ValueAtQuantile { quantile, value };
    let point = SummaryDataPoint {
        count: 3,
        sum: 1.5,
        time_unix_nano: 1_000_000,
        quantile_values: vec![quantile(0.5, 0.1), quantile(1.0, f64::NAN)],
        ..Default::default()
    };
    let (made, losses) =
        to_rw_default(vec![metric("q", "", Data::Summary(Summary { data_points: vec![point] }))]);
    assert_eq!(
        shown(&made),
        ["q_count{} 3 1", "q_sum{} 1.5 1", "q{quantile=0.5} 0.1 1", "q{quantile=1} NaN 1"]
    );
    assert!(losses.is_empty());
}

#[test]
fn long_exemplar_attributes_are_left_out_before_the_ids() {
    let exemplar = Exemplar {
        value: Some(exemplar::Value::AsInt(1)),
        trace_id: vec![1; 16],
        filtered_attributes: vec![text("k", &"é".repeat(100))],
        ..Default::default()
    };
    let none = Exemplar::default();
    let point = NumberDataPoint { exemplars: vec![exemplar, none], ..number(1.0, 1) };
    let (made, losses) = to_rw_default(vec![metric("m", "", gauge(vec![point]))]);
    assert_eq!(made.timeseries[0].exemplars[0].labels, labels(&["trace_id", &"01".repeat(16)]));
    assert_eq!(lost(&losses), [(Loss::Exemplar, 1), (Loss::ExemplarAttributes, 1)]);
}

#[test]
fn labels_of_many_buckets_are_written_out_within_a_bound() {
    let attributes = vec![text("a", &"x".repeat(1 << 20))];
    let bounds: Vec<f64> = (0..4000).map(f64::from).collect();
    let point = HistogramDataPoint {
        attributes,
        bucket_counts: vec![0; 4001],
        explicit_bounds: bounds,
        ..Default::default()
    };
    let request = export(
        vec![],
        vec![metric(
            "h",
            "",
            Data::Histogram(ExplicitHistogram { data_points: vec![point], aggregation_temporality: 2 }),
        )],
    );
    let (bytes, losses) = otlp_to_rw(&request.encode_to_vec(), &Options::default()).expect("valid protobuf");
    assert!(bytes.len() < limits::MATERIALISED_BYTES + (2 << 20));
    assert_eq!(losses.get(Loss::Size), 1);
    let long = Series1 {
        samples: vec![sample(1.0, 1); 10_000],
        ..series(&["__name__", "m", "a", &"x".repeat(16 << 10)], &[])
    };
    let (bytes, losses) = rw_to_otlp(&super::request(vec![long]).encode_to_vec()).expect("valid protobuf");
    assert!(bytes.len() < limits::MATERIALISED_BYTES + (2 << 20));
    assert!(losses.get(Loss::Size) > 1000);
}

fn with_kind(kind: i32, unit: &str, series: Series1) -> Series1 {
    Series1 {
        metadata: Some(MetricMetadata { kind, help: "h".into(), unit: unit.into(), ..Default::default() }),
        ..series
    }
}

/// Metrics by name, and the resource's attributes.
fn metrics_of(request: &ExportMetricsServiceRequest) -> BTreeMap<String, Metric> {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).map(|metric| (metric.name.clone(), metric.clone())).collect()
}

#[test]
fn series_become_metrics_of_their_resource_and_scope() {
    let ids = ["instance", "i", "job", "eu/shop"];
    let named = |name: &'static str| [&["__name__", name][..], &ids].concat();
    let scoped =
        [&named("requests_total")[..], &["otel_scope_k", "v", "otel_scope_name", "lib", "path", "/"]]
            .concat();
    let request = request(vec![
        series(&[&["__name__", "target_info", "host", "h"][..], &ids].concat(), &[sample(1.0, 1)]),
        with_kind(1, "bytes", series(&scoped, &[Sample1 { start: 500, ..sample(3.0, 1000) }])),
        series(&named("plain"), &[sample(f64::from_bits(STALE), 7), sample(2.0, -1)]),
    ]);
    let (made, losses) = to_otlp(&request.encode_to_vec());
    let resource = &made.resource_metrics[0];
    assert_eq!(made.resource_metrics.len(), 1);
    assert_eq!(
        resource.resource.as_ref().expect("set").attributes,
        [
            text("service.namespace", "eu"),
            text("service.name", "shop"),
            text("service.instance.id", "i"),
            text("host", "h")
        ]
    );
    let scope =
        resource.scope_metrics.iter().find_map(|scope| scope.scope.as_ref()).expect("one has a scope");
    assert_eq!((scope.name.as_str(), &scope.attributes[..]), ("lib", &[text("k", "v")][..]));
    let metrics = metrics_of(&made);
    let counter = &metrics["requests_total"];
    assert_eq!((counter.unit.as_str(), counter.description.as_str()), ("By", "h"));
    assert_eq!(
        counter.metadata,
        [text("prometheus.type", "counter"), text("prometheus.name", "requests_total")]
    );
    let Some(Data::Sum(sum)) = &counter.data else { panic!("not a sum") };
    assert_eq!((sum.is_monotonic, sum.aggregation_temporality), (true, 2));
    let point = &sum.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (500_000_000, 1_000_000_000));
    assert_eq!(point.attributes, [text("path", "/")]);
    let Some(Data::Gauge(gauge)) = &metrics["plain"].data else { panic!("not a gauge") };
    assert_eq!((gauge.data_points[0].flags, gauge.data_points[0].value), (1, None));
    assert_eq!(lost(&losses), [(Loss::Time, 1)]);
}

#[test]
fn job_is_split_only_at_a_single_slash() {
    for (job, expected) in [
        ("a", vec![text("service.name", "a")]),
        ("a/b", vec![text("service.namespace", "a"), text("service.name", "b")]),
        ("a/b/c", vec![text("service.name", "a/b/c")]),
        ("/b", vec![text("service.name", "/b")]),
        ("a/", vec![text("service.name", "a/")]),
    ] {
        let (made, _) = to_otlp(
            &request(vec![series(&["__name__", "m", "job", job], &[sample(1.0, 1)])]).encode_to_vec(),
        );
        assert_eq!(made.resource_metrics[0].resource.as_ref().expect("set").attributes, expected);
    }
}

#[test]
fn a_whole_classic_histogram_becomes_one_point_and_a_torn_one_numbers() {
    let part = |name: &str, le: Option<&str>, value: f64| {
        let mut pairs = vec!["__name__", name];
        pairs.extend(le.iter().flat_map(|le| ["le", le]));
        with_kind(3, "", series(&pairs, &[sample(value, 1)]))
    };
    let mut whole = vec![
        part("lat_bucket", Some("0.5"), 1.0),
        part("lat_bucket", Some("+Inf"), 4.0),
        part("lat_bucket", Some("1.0"), 1.0),
        part("lat_count", None, 4.0),
        part("lat_sum", None, 9.5),
    ];
    whole[0].exemplars = vec![Exemplar1 {
        labels: labels(&["trace_id", &"ab".repeat(16), "span_id", "zz"]),
        value: 2,
        timestamp: 3,
    }];
    let (made, losses) = to_otlp(&request(whole.clone()).encode_to_vec());
    let metrics = metrics_of(&made);
    let Some(Data::Histogram(histogram)) = &metrics["lat"].data else { panic!("not a histogram") };
    let point = &histogram.data_points[0];
    assert_eq!(
        (point.count, point.sum, &point.bucket_counts[..], &point.explicit_bounds[..]),
        (4, Some(9.5), &[1, 0, 3][..], &[0.5, 1.0][..])
    );
    assert_eq!(
        (&point.exemplars[0].trace_id[..], &point.exemplars[0].filtered_attributes[..]),
        (&[0xab; 16][..], &[text("span_id", "zz")][..])
    );
    assert!(losses.is_empty());

    let torn = whole[..3].to_vec();
    let plain = request(torn).encode_to_vec();
    let metrics = metrics_of(&to_otlp(&plain).0);
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["lat_bucket"]);
    let Some(Data::Sum(sum)) = &metrics["lat_bucket"].data else { panic!("not a sum") };
    assert_eq!(sum.data_points.len(), 3);
    let (back, _) = otlp_to_rw(&rw_to_otlp(&plain).expect("valid").0, &Options::default()).expect("valid");
    assert_eq!(flat(&read1(&back)), flat(&read1(&plain)), "and the way back finds the series");

    let mut falling = whole;
    falling[1].samples[0] = sample(0.5, 1);
    let metrics = metrics_of(&to_otlp(&request(falling).encode_to_vec()).0);
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["lat_bucket", "lat_count", "lat_sum"]);
}

#[test]
fn native_histograms_become_exponential_or_explicit_ones() {
    let nh = with_kind(
        3,
        "",
        Series1 {
            histograms: vec![Histogram { private_start: 2, reset_hint: 2, ..histogram(5) }],
            ..series(&["__name__", "nh"], &[])
        },
    );
    let nhcb = with_kind(3, "", Series1 { custom: vec![custom(5)], ..series(&["__name__", "nhcb"], &[]) });
    let float = Histogram { count: Some(Count::Float(0.0)), ..Default::default() };
    let gauge = Histogram { reset_hint: 3, ..histogram(5) };
    let wide = Histogram {
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1 << 30, length: 1 }],
        ..histogram(5)
    };
    let lost_ones = Series1 { histograms: vec![float, gauge, wide], ..series(&["__name__", "lost"], &[]) };
    let (made, losses) = to_otlp(&request(vec![nh, nhcb, lost_ones]).encode_to_vec());
    let metrics = metrics_of(&made);
    let Some(Data::ExponentialHistogram(exponential)) = &metrics["nh"].data else {
        panic!("not exponential")
    };
    let point = &exponential.data_points[0];
    assert_eq!((point.scale, point.count, point.zero_count, point.sum), (3, 10, 4, Some(12.5)));
    assert_eq!(point.positive, Some(Buckets { offset: -3, bucket_counts: vec![1, 2, 0, 3] }));
    assert_eq!((point.start_time_unix_nano, point.zero_threshold), (2_000_000, 1e-128));
    let Some(Data::Histogram(explicit)) = &metrics["nhcb"].data else { panic!("not explicit") };
    assert_eq!(
        (&explicit.data_points[0].bucket_counts[..], &explicit.data_points[0].explicit_bounds[..]),
        (&[1, 0, 2][..], &[0.5, 1.0][..])
    );
    assert_eq!(lost(&losses), [(Loss::Buckets, 1), (Loss::FloatHistogram, 2), (Loss::ResetHint, 1)]);
}

/// Every sample: labels, bits, time, start.
fn flat(request: &WriteRequest) -> Vec<(Vec<Label>, u64, i64, i64)> {
    let mut flat = Vec::new();
    for series in &request.timeseries {
        flat.extend(series.samples.iter().map(|s| (series.labels.clone(), s.value, s.timestamp, s.start)));
    }
    flat.sort();
    flat
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    let value = prop_oneof![Just(STALE), Just((-0.0f64).to_bits()), any::<u64>()];
    let samples =
        prop::collection::btree_map(0i64..1 << 40, (value, prop_oneof![Just(0), 1i64..1 << 40]), 1..4);
    let one = (
        "[a-z]{1,3}(_total|_bytes|)",
        prop::collection::btree_map("[a-z]{1,4}|job|instance", "[a-z/é]{1,4}", 0..4),
        samples,
        prop_oneof![Just(0), Just(1), Just(2), Just(6), Just(7)],
        prop_oneof![Just(""), Just("bytes"), Just("seconds"), Just("odd")],
    );
    prop::collection::vec(one, 0..6).prop_map(|list| {
        let series = list.into_iter().enumerate().map(|(i, (name, labels, samples, kind, unit))| {
            let name = format!("n{i}_{name}");
            let mut pairs: Vec<Label> =
                labels.into_iter().map(|(name, value)| Label { name, value }).collect();
            pairs.push(Label { name: "__name__".into(), value: name });
            pairs.sort();
            let samples =
                samples.into_iter().map(|(timestamp, (value, start))| Sample1 { value, timestamp, start });
            with_kind(kind, unit, Series1 { labels: pairs, samples: samples.collect(), ..Default::default() })
        });
        request(series.collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn gauges_and_counters_survive_otlp_and_back(request in any_request()) {
        let plain = request.encode_to_vec();
        let (otlp, losses) = rw_to_otlp(&plain).expect("valid protobuf");
        prop_assert!(losses.is_empty());
        let options = Options { target_info: false, ..Options::default() };
        let (back, losses) = otlp_to_rw(&otlp, &options).expect("valid protobuf");
        prop_assert!(losses.is_empty(), "{:?}", losses);
        let back = read1(&back);
        prop_assert_eq!(flat(&back), flat(&request));
        let metadata = |request: &WriteRequest| -> BTreeMap<Vec<Label>, Option<MetricMetadata>> {
            request.timeseries.iter().map(|s| (s.labels.clone(), s.metadata.clone())).collect()
        };
        prop_assert_eq!(metadata(&back), metadata(&request));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for histograms in [Histograms::Classic, Histograms::Custom] {
            let _ = otlp_to_rw(&bytes, &Options { scope_labels: true, histograms, ..Options::default() });
        }
        let _ = rw_to_otlp(&bytes);
    }

    #[test]
    fn hostile_histograms_never_panic(scale: i32, offset: i32, counts in prop::collection::vec(any::<u64>(), 0..8), schema: i32, length: u32, deltas in prop::collection::vec(any::<i64>(), 0..4)) {
        let point = ExponentialHistogramDataPoint { count: counts.iter().fold(0, |a, &b| a.wrapping_add(b)), ..exponential(scale, offset, &[]) };
        let side = Some(Buckets { offset, bucket_counts: counts });
        let _ = native(ExponentialHistogramDataPoint { positive: side.clone(), negative: side, ..point });
        let spans = vec![Span { offset, length: deltas.len() as u32 }, Span { offset: offset.wrapping_neg(), length }];
        let broken = Histogram { schema, positive_spans: spans, positive_deltas: deltas, ..Default::default() };
        let _ = to_otlp(&request(vec![Series1 { histograms: vec![broken], ..series(&["__name__", "h"], &[]) }]).encode_to_vec());
    }
}

#[test]
fn otlp_to_remote_write_and_back_differs_in_the_named_things_only() {
    let exemplar = Exemplar {
        value: Some(exemplar::Value::AsDouble(1.0)),
        time_unix_nano: 4_000_000,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        filtered_attributes: vec![text("k", "v")],
    };
    let mut sum = number(3.0, 5);
    (sum.start_time_unix_nano, sum.attributes, sum.exemplars) =
        (1_000_000, vec![text("path", "/")], vec![exemplar]);
    let explicit = HistogramDataPoint {
        count: 3,
        sum: Some(1.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.25],
        time_unix_nano: 5_000_000,
        ..Default::default()
    };
    let mut exponent = exponential(3, -4, &[1, 0, 2]);
    exponent.zero_threshold = 0.5;
    let quantile_values = vec![summary_data_point::ValueAtQuantile { quantile: 0.5, value: 2.5 }];
    let quantiles = SummaryDataPoint {
        count: 2,
        sum: 5.0,
        time_unix_nano: 5_000_000,
        quantile_values,
        ..Default::default()
    };
    let metrics = vec![
        metric(
            "req",
            "By",
            Data::Sum(Sum { data_points: vec![sum], aggregation_temporality: 2, is_monotonic: true }),
        ),
        metric(
            "temp",
            "Cel",
            gauge(vec![number(-0.0, 5), NumberDataPoint { flags: 1, value: None, ..number(0.0, 6) }]),
        ),
        metric(
            "explicit",
            "",
            Data::Histogram(ExplicitHistogram { data_points: vec![explicit], aggregation_temporality: 2 }),
        ),
        metric(
            "exponential",
            "",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponent],
                aggregation_temporality: 2,
            }),
        ),
        metric("quantiles", "", Data::Summary(Summary { data_points: vec![quantiles] })),
    ];
    let resource = vec![text("service.name", "shop"), text("host.name", "h")];
    let before = export(resource, metrics);
    // By way of 2.0, as between two gateways.
    let (one, losses) = otlp_to_rw(&before.encode_to_vec(), &Options::default()).expect("valid protobuf");
    assert!(losses.is_empty(), "{losses:?}");
    let Checked { bytes, rejected, .. } = v2_to_v1(&v1_to_v2(&one).expect("valid")).expect("valid");
    assert_eq!(rejected, []);
    let (after, losses) = to_otlp(&bytes);
    assert!(losses.is_empty(), "{losses:?}");

    // Names: metrics carry Prometheus' name, and say so. The resource: keys are label names.
    let renamed = [
        ("req", "req_bytes_total", "counter"),
        ("temp", "temp_celsius", "gauge"),
        ("explicit", "explicit", "histogram"),
        ("exponential", "exponential", "histogram"),
        ("quantiles", "quantiles", "summary"),
    ];
    let (before, after_metrics) = (metrics_of(&before), metrics_of(&after));
    assert_eq!(after_metrics.len(), renamed.len());
    for (old, new, kind) in renamed {
        let mut expected = before[old].clone();
        expected.name = new.into();
        expected.metadata = vec![text("prometheus.type", kind), text("prometheus.name", new)];
        assert_eq!(after_metrics[new], expected);
    }
    let resource = after.resource_metrics[0].resource.as_ref().expect("set");
    assert_eq!(resource.attributes, [text("service.name", "shop"), text("host_name", "h")]);
}
