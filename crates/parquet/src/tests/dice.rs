//! Generated telemetry: everything the formats allow, empty and odd values often.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link},
};

use super::write_request as rw;

/// A time in the middle of an hour.
pub(super) const NOW: u64 = 1_795_252_500_000_000_000;

/// Throws numbers; the same seed throws the same.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Splitmix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn many<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (!self.next().is_multiple_of(4)).then(|| make(self))
    }

    fn text(&mut self) -> String {
        self.pick(&[
            "",
            "a",
            "GET /x",
            "größe ✓ 漢字",
            "5",
            "true",
            "{\"a\":1}",
            "tab\there",
            "\u{0}nul",
            "x.y.z",
        ])
        .to_owned()
    }

    fn id(&mut self, length: usize) -> Vec<u8> {
        match self.below(8) {
            0 => Vec::new(),
            1 => vec![0; length],
            2 => vec![7; length / 2],
            _ => (0..length).map(|_| self.next() as u8).collect(),
        }
    }

    fn time(&mut self) -> u64 {
        match self.below(12) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64 + 1,
            _ => NOW - 3_600_000_000_000 + self.next() % 7_200_000_000_000,
        }
    }

    pub(super) fn double(&mut self) -> f64 {
        let odd = [
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1.5,
            f64::from_bits(0x7ff0_0000_0000_0002),
        ];
        if self.below(3) == 0 { f64::from_bits(self.next()) } else { self.pick(&odd) }
    }

    fn value(&mut self, depth: usize) -> AnyValue {
        let kinds = if depth < 3 { 8 } else { 6 };
        AnyValue {
            value: match self.below(kinds) {
                0 => None,
                1 => Some(Value::StringValue(self.text())),
                2 => Some(Value::BoolValue(self.next().is_multiple_of(2))),
                3 => Some(Value::IntValue(self.next() as i64)),
                4 => Some(Value::DoubleValue(self.double())),
                5 => Some(Value::BytesValue(self.id(5))),
                6 => {
                    Some(Value::ArrayValue(ArrayValue { values: self.many(3, |dice| dice.value(depth + 1)) }))
                }
                _ => Some(Value::KvlistValue(KeyValueList {
                    values: self.many(3, |dice| dice.pair(depth + 1)),
                })),
            },
        }
    }

    fn pair(&mut self, depth: usize) -> KeyValue {
        let keys = [
            "",
            "k",
            "http.route",
            "http.method",
            "http.request.method",
            "http.status_code",
            "cloudflare.ray_id",
            "k8s.namespace.name",
            "service.name",
            "ключ",
        ];
        KeyValue {
            key: self.pick(&keys).to_owned(),
            value: self.maybe(|dice| dice.value(depth)),
            ..KeyValue::default()
        }
    }

    fn pairs(&mut self) -> Vec<KeyValue> {
        let most = if self.below(20) == 0 { 40 } else { 6 };
        self.many(most, |dice| dice.pair(0))
    }

    fn resource(&mut self) -> Option<Resource> {
        self.maybe(|dice| {
            let mut attributes = dice.pairs();
            if dice.below(4) != 0 {
                let name = dice.pick(&["cart", "checkout", "Ünïcode", ""]).to_owned();
                let value = Some(AnyValue { value: Some(Value::StringValue(name)) });
                attributes.push(KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() });
            }
            Resource { attributes, dropped_attributes_count: dice.next() as u32 % 3, ..Resource::default() }
        })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        self.maybe(|dice| InstrumentationScope {
            name: dice.text(),
            version: dice.text(),
            attributes: dice.pairs(),
            dropped_attributes_count: dice.next() as u32 % 3,
        })
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.id(8),
            flags: self.next() as u32,
            name: self.text(),
            kind: self.below(8) as i32 - 1,
            start_time_unix_nano: self.time(),
            end_time_unix_nano: self.time(),
            attributes: self.pairs(),
            dropped_attributes_count: self.next() as u32 % 2,
            events: self.many(2, |dice| Event {
                time_unix_nano: dice.time(),
                name: dice.text(),
                attributes: dice.pairs(),
                dropped_attributes_count: 1,
            }),
            dropped_events_count: self.next() as u32 % 2,
            links: self.many(2, |dice| Link {
                trace_id: dice.id(16),
                span_id: dice.id(8),
                trace_state: dice.text(),
                attributes: dice.pairs(),
                dropped_attributes_count: 2,
                flags: dice.next() as u32,
            }),
            dropped_links_count: self.next() as u32 % 2,
            status: self.maybe(|dice| Status { message: dice.text(), code: dice.below(4) as i32 }),
        }
    }

    pub(super) fn traces(&mut self) -> ExportTraceServiceRequest {
        let resource_spans = self.many(3, |dice| ResourceSpans {
            resource: dice.resource(),
            scope_spans: dice.many(3, |dice| ScopeSpans {
                scope: dice.scope(),
                spans: dice.many(4, Self::span),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportTraceServiceRequest { resource_spans }
    }

    fn record(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.time(),
            observed_time_unix_nano: self.time(),
            severity_number: self.below(30) as i32,
            severity_text: self.text(),
            body: self.maybe(|dice| dice.value(0)),
            attributes: self.pairs(),
            dropped_attributes_count: self.next() as u32 % 2,
            flags: self.next() as u32,
            trace_id: self.id(16),
            span_id: self.id(8),
            event_name: self.text(),
        }
    }

    pub(super) fn logs(&mut self) -> ExportLogsServiceRequest {
        let resource_logs = self.many(3, |dice| ResourceLogs {
            resource: dice.resource(),
            scope_logs: dice.many(3, |dice| ScopeLogs {
                scope: dice.scope(),
                log_records: dice.many(4, Self::record),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportLogsServiceRequest { resource_logs }
    }

    fn exemplar(&mut self) -> Exemplar {
        Exemplar {
            filtered_attributes: self.pairs(),
            time_unix_nano: self.time(),
            span_id: self.id(8),
            trace_id: self.id(16),
            value: self.maybe(|dice| exemplar::Value::AsDouble(dice.double())),
        }
    }

    fn number(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.pairs(),
            start_time_unix_nano: self.time(),
            time_unix_nano: self.time(),
            exemplars: self.many(2, Self::exemplar),
            flags: self.below(2) as u32,
            value: self.maybe(|dice| match dice.below(2) {
                0 => number_data_point::Value::AsDouble(dice.double()),
                _ => number_data_point::Value::AsInt(dice.next() as i64),
            }),
        }
    }

    fn data(&mut self) -> Data {
        match self.below(5) {
            0 => Data::Gauge(Gauge { data_points: self.many(3, Self::number) }),
            1 => Data::Sum(Sum {
                data_points: self.many(3, Self::number),
                aggregation_temporality: self.below(3) as i32,
                is_monotonic: self.next().is_multiple_of(2),
            }),
            2 => Data::Histogram(Histogram {
                data_points: self.many(3, |dice| HistogramDataPoint {
                    attributes: dice.pairs(),
                    start_time_unix_nano: dice.time(),
                    time_unix_nano: dice.time(),
                    count: dice.next(),
                    sum: dice.maybe(Self::double),
                    bucket_counts: dice.many(4, Self::next),
                    explicit_bounds: dice.many(4, Self::double),
                    exemplars: dice.many(1, Self::exemplar),
                    flags: 0,
                    min: dice.maybe(Self::double),
                    max: dice.maybe(Self::double),
                }),
                aggregation_temporality: self.below(3) as i32,
            }),
            3 => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.many(3, |dice| ExponentialHistogramDataPoint {
                    attributes: dice.pairs(),
                    start_time_unix_nano: dice.time(),
                    time_unix_nano: dice.time(),
                    count: dice.next(),
                    sum: dice.maybe(Self::double),
                    scale: dice.next() as i32,
                    zero_count: dice.next(),
                    positive: Some(Buckets {
                        offset: dice.next() as i32,
                        bucket_counts: dice.many(4, Self::next),
                    }),
                    negative: None,
                    flags: 1,
                    exemplars: dice.many(1, Self::exemplar),
                    min: dice.maybe(Self::double),
                    max: None,
                    zero_threshold: dice.double(),
                }),
                aggregation_temporality: self.below(3) as i32,
            }),
            _ => Data::Summary(Summary {
                data_points: self.many(3, |dice| SummaryDataPoint {
                    attributes: dice.pairs(),
                    start_time_unix_nano: dice.time(),
                    time_unix_nano: dice.time(),
                    count: dice.next(),
                    sum: dice.double(),
                    quantile_values: dice
                        .many(2, |dice| ValueAtQuantile { quantile: dice.double(), value: dice.double() }),
                    flags: 0,
                }),
            }),
        }
    }

    pub(super) fn metrics(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.many(2, |dice| ResourceMetrics {
            resource: dice.resource(),
            scope_metrics: dice.many(2, |dice| ScopeMetrics {
                scope: dice.scope(),
                metrics: dice.many(3, |dice| Metric {
                    name: dice.text(),
                    description: dice.text(),
                    unit: dice.text(),
                    metadata: dice.pairs(),
                    data: dice.maybe(Self::data),
                }),
                schema_url: dice.text(),
            }),
            schema_url: dice.text(),
        });
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn labels(&mut self) -> Vec<rw::Label> {
        let names = ["__name__", "instance", "job", "le", "zone"];
        let from = self.below(names.len());
        let label = |name: &&str, value| rw::Label { name: (*name).to_owned(), value };
        names[from..].iter().map(|name| label(name, self.text())).collect()
    }

    fn histogram(&mut self) -> rw::Histogram {
        rw::Histogram {
            count: self.maybe(|dice| match dice.below(2) {
                0 => rw::Count::Int(dice.next()),
                _ => rw::Count::Float(dice.double()),
            }),
            sum: self.double(),
            schema: self.below(12) as i32 - 4,
            positive_deltas: self.many(3, |dice| dice.next() as i64),
            timestamp: self.millis(),
            start: self.maybe(Self::millis),
        }
    }

    fn millis(&mut self) -> i64 {
        match self.below(6) {
            0 => 0,
            1 => -5,
            2 => i64::MAX,
            _ => (NOW / 1_000_000) as i64 + self.below(100_000) as i64,
        }
    }

    pub(super) fn write_request(&mut self) -> rw::WriteRequest {
        rw::WriteRequest {
            timeseries: self.many(5, |dice| rw::TimeSeries {
                labels: dice.labels(),
                samples: dice.many(3, |dice| rw::Sample {
                    value: dice.double(),
                    timestamp: dice.millis(),
                    start: dice.maybe(Self::millis),
                }),
                exemplars: dice.many(2, |dice| rw::Exemplar {
                    labels: dice.labels(),
                    value: dice.double(),
                    timestamp: dice.millis(),
                }),
                histograms: dice.many(2, Self::histogram),
                metadata: dice.maybe(Self::metadata),
                custom_histograms: dice.many(2, Self::histogram),
            }),
            metadata: self.many(3, Self::metadata),
        }
    }

    fn metadata(&mut self) -> rw::MetricMetadata {
        rw::MetricMetadata {
            kind: self.below(9) as i32,
            family: self.text(),
            help: self.text(),
            unit: self.text(),
        }
    }
}
