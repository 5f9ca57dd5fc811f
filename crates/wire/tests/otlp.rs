//! Views ≡ prost: a message read through the views and put together again is the message that prost encoded.
#![allow(clippy::unwrap_used, reason = "what a test made itself is sound, or the test fails")]

use opentelemetry_proto::tonic::collector::{
    logs::v1 as clogs, metrics::v1 as cmetrics, trace::v1 as ctrace,
};
use opentelemetry_proto::tonic::common::v1::{self as common, any_value};
use opentelemetry_proto::tonic::{
    logs::v1 as logs, metrics::v1 as metrics, resource::v1 as resource, trace::v1 as trace,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use tidegate_wire::otlp::{self, AnyValue, Attributes};
use tidegate_wire::{Layout, Signal, WireError, batch};

type Done<T> = Result<T, WireError>;

fn read_value(value: AnyValue<'_>) -> Done<Option<common::AnyValue>> {
    use any_value::Value;
    let value = match value {
        AnyValue::Empty => return Ok(None),
        AnyValue::Str(text) => Value::StringValue(text.into()),
        AnyValue::Bool(truth) => Value::BoolValue(truth),
        AnyValue::Int(number) => Value::IntValue(number),
        AnyValue::Double(number) => Value::DoubleValue(number),
        AnyValue::Bytes(bytes) => Value::BytesValue(bytes.into()),
        AnyValue::Array(values) => {
            let read = values.map(|value| Ok(read_value(value?)?.unwrap_or_default()));
            Value::ArrayValue(common::ArrayValue { values: read.collect::<Done<_>>()? })
        }
        AnyValue::Map(map) => Value::KvlistValue(common::KeyValueList { values: read_attributes(map)? }),
    };
    Ok(Some(common::AnyValue { value: Some(value) }))
}

fn read_attributes(attributes: Attributes<'_>) -> Done<Vec<common::KeyValue>> {
    let read = attributes.map(|pair| {
        let pair = pair?;
        Ok(common::KeyValue { key: pair.key.into(), value: read_value(pair.value)?, ..Default::default() })
    });
    read.collect()
}

fn read_resource(raw: &otlp::Resource<'_>) -> Done<Option<resource::Resource>> {
    Ok(Some(resource::Resource { attributes: read_attributes(raw.attributes())?, ..Default::default() }))
}

fn read_scope(scope: &otlp::Scope<'_>) -> Done<Option<common::InstrumentationScope>> {
    Ok(Some(common::InstrumentationScope {
        name: scope.name.into(),
        version: scope.version.into(),
        attributes: read_attributes(scope.attributes())?,
        ..Default::default()
    }))
}

fn read_span(span: otlp::traces::Span<'_>) -> Done<trace::Span> {
    let events = span.events().map(|event| {
        let event = event?;
        Ok(trace::span::Event {
            time_unix_nano: event.time,
            name: event.name.into(),
            attributes: read_attributes(event.attributes())?,
            dropped_attributes_count: event.dropped_attributes,
        })
    });
    let links = span.links().map(|link| {
        let link = link?;
        Ok(trace::span::Link {
            trace_id: link.trace_id.into(),
            span_id: link.span_id.into(),
            trace_state: link.trace_state.into(),
            attributes: read_attributes(link.attributes())?,
            dropped_attributes_count: link.dropped_attributes,
            flags: link.flags,
        })
    });
    Ok(trace::Span {
        trace_id: span.trace_id.into(),
        span_id: span.span_id.into(),
        trace_state: span.trace_state.into(),
        parent_span_id: span.parent_span_id.into(),
        flags: span.flags,
        name: span.name.into(),
        kind: span.kind,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: read_attributes(span.attributes())?,
        dropped_attributes_count: span.dropped_attributes,
        events: events.collect::<Done<_>>()?,
        dropped_events_count: span.dropped_events,
        links: links.collect::<Done<_>>()?,
        dropped_links_count: span.dropped_links,
        status: Some(trace::Status { message: span.status_message.into(), code: span.status_code }),
    })
}

fn read_traces(plain: &[u8]) -> Done<ctrace::ExportTraceServiceRequest> {
    let resources = otlp::traces::resource_spans(plain).map(|resource| {
        let resource = resource?;
        let scopes = resource.scopes().map(|scope| {
            let scope = scope?;
            Ok(trace::ScopeSpans {
                scope: read_scope(&scope.scope)?,
                spans: scope.spans().map(|span| read_span(span?)).collect::<Done<_>>()?,
                schema_url: scope.schema_url.into(),
            })
        });
        Ok(trace::ResourceSpans {
            resource: read_resource(&resource.resource)?,
            scope_spans: scopes.collect::<Done<_>>()?,
            schema_url: resource.schema_url.into(),
        })
    });
    Ok(ctrace::ExportTraceServiceRequest { resource_spans: resources.collect::<Done<_>>()? })
}

fn read_record(record: otlp::logs::LogRecord<'_>) -> Done<logs::LogRecord> {
    Ok(logs::LogRecord {
        time_unix_nano: record.time,
        observed_time_unix_nano: record.observed,
        severity_number: record.severity,
        severity_text: record.severity_text.into(),
        attributes: read_attributes(record.attributes())?,
        dropped_attributes_count: record.dropped_attributes,
        flags: record.flags,
        trace_id: record.trace_id.into(),
        span_id: record.span_id.into(),
        event_name: record.event_name.into(),
        body: read_value(record.body)?,
    })
}

fn read_logs(plain: &[u8]) -> Done<clogs::ExportLogsServiceRequest> {
    let resources = otlp::logs::resource_logs(plain).map(|resource| {
        let resource = resource?;
        let scopes = resource.scopes().map(|scope| {
            let scope = scope?;
            Ok(logs::ScopeLogs {
                scope: read_scope(&scope.scope)?,
                log_records: scope.records().map(|record| read_record(record?)).collect::<Done<_>>()?,
                schema_url: scope.schema_url.into(),
            })
        });
        Ok(logs::ResourceLogs {
            resource: read_resource(&resource.resource)?,
            scope_logs: scopes.collect::<Done<_>>()?,
            schema_url: resource.schema_url.into(),
        })
    });
    Ok(clogs::ExportLogsServiceRequest { resource_logs: resources.collect::<Done<_>>()? })
}

fn read_exemplars(point: &otlp::metrics::Point<'_>) -> Done<Vec<metrics::Exemplar>> {
    use metrics::exemplar::Value;
    let read = point.exemplars().map(|exemplar| {
        let exemplar = exemplar?;
        Ok(metrics::Exemplar {
            filtered_attributes: read_attributes(exemplar.filtered_attributes())?,
            time_unix_nano: exemplar.time,
            span_id: exemplar.span_id.into(),
            trace_id: exemplar.trace_id.into(),
            value: exemplar.value.map(|value| match value {
                otlp::metrics::Number::Double(bits) => Value::AsDouble(f64::from_bits(bits)),
                otlp::metrics::Number::Int(number) => Value::AsInt(number),
            }),
        })
    });
    read.collect()
}

fn read_number(point: &otlp::metrics::Point<'_>) -> Done<metrics::NumberDataPoint> {
    use metrics::number_data_point::Value;
    let otlp::metrics::Point::Number(number) = point else { panic!("a gauge or sum has numbers") };
    Ok(metrics::NumberDataPoint {
        attributes: read_attributes(point.attributes())?,
        start_time_unix_nano: number.start,
        time_unix_nano: number.time,
        exemplars: read_exemplars(point)?,
        flags: number.flags,
        value: number.value.map(|value| match value {
            otlp::metrics::Number::Double(bits) => Value::AsDouble(f64::from_bits(bits)),
            otlp::metrics::Number::Int(number) => Value::AsInt(number),
        }),
    })
}

fn read_histogram(point: &otlp::metrics::Point<'_>) -> Done<metrics::HistogramDataPoint> {
    let otlp::metrics::Point::Histogram(histogram) = point else { panic!("a histogram has histograms") };
    Ok(metrics::HistogramDataPoint {
        attributes: read_attributes(point.attributes())?,
        start_time_unix_nano: histogram.start,
        time_unix_nano: histogram.time,
        count: histogram.count,
        sum: histogram.sum.map(f64::from_bits),
        bucket_counts: histogram.bucket_counts().collect::<Done<_>>()?,
        explicit_bounds: histogram
            .explicit_bounds()
            .map(|bits| bits.map(f64::from_bits))
            .collect::<Done<_>>()?,
        exemplars: read_exemplars(point)?,
        flags: histogram.flags,
        min: histogram.min.map(f64::from_bits),
        max: histogram.max.map(f64::from_bits),
    })
}

fn read_exponential(point: &otlp::metrics::Point<'_>) -> Done<metrics::ExponentialHistogramDataPoint> {
    let otlp::metrics::Point::Exponential(exponential) = point else {
        panic!("the points are of their metric's kind")
    };
    let buckets = |buckets: otlp::metrics::Buckets<'_>| -> Done<_> {
        Ok(Some(metrics::exponential_histogram_data_point::Buckets {
            offset: buckets.offset,
            bucket_counts: buckets.counts().collect::<Done<_>>()?,
        }))
    };
    Ok(metrics::ExponentialHistogramDataPoint {
        attributes: read_attributes(point.attributes())?,
        start_time_unix_nano: exponential.start,
        time_unix_nano: exponential.time,
        count: exponential.count,
        sum: exponential.sum.map(f64::from_bits),
        scale: exponential.scale,
        zero_count: exponential.zero_count,
        positive: buckets(exponential.positive)?,
        negative: buckets(exponential.negative)?,
        flags: exponential.flags,
        exemplars: read_exemplars(point)?,
        min: exponential.min.map(f64::from_bits),
        max: exponential.max.map(f64::from_bits),
        zero_threshold: f64::from_bits(exponential.zero_threshold),
    })
}

fn read_summary(point: &otlp::metrics::Point<'_>) -> Done<metrics::SummaryDataPoint> {
    let otlp::metrics::Point::Summary(summary) = point else { panic!("a summary has summaries") };
    let quantiles = summary.quantiles().map(|quantile| {
        let quantile = quantile?;
        Ok(metrics::summary_data_point::ValueAtQuantile {
            quantile: f64::from_bits(quantile.quantile),
            value: f64::from_bits(quantile.value),
        })
    });
    Ok(metrics::SummaryDataPoint {
        attributes: read_attributes(point.attributes())?,
        start_time_unix_nano: summary.start,
        time_unix_nano: summary.time,
        count: summary.count,
        sum: f64::from_bits(summary.sum),
        quantile_values: quantiles.collect::<Done<_>>()?,
        flags: summary.flags,
    })
}

fn read_metric(metric: otlp::metrics::Metric<'_>) -> Done<metrics::Metric> {
    use metrics::metric::Data;
    use otlp::metrics::MetricKind;
    fn points<T>(
        metric: &otlp::metrics::Metric<'_>,
        read: fn(&otlp::metrics::Point<'_>) -> Done<T>,
    ) -> Done<Vec<T>> {
        metric.points().map(|point| read(&point?)).collect()
    }
    let data = match metric.kind {
        MetricKind::None => None,
        MetricKind::Gauge => Some(Data::Gauge(metrics::Gauge { data_points: points(&metric, read_number)? })),
        MetricKind::Sum { temporality, monotonic } => Some(Data::Sum(metrics::Sum {
            data_points: points(&metric, read_number)?,
            aggregation_temporality: temporality,
            is_monotonic: monotonic,
        })),
        MetricKind::Histogram { temporality } => Some(Data::Histogram(metrics::Histogram {
            data_points: points(&metric, read_histogram)?,
            aggregation_temporality: temporality,
        })),
        MetricKind::ExponentialHistogram { temporality } => {
            Some(Data::ExponentialHistogram(metrics::ExponentialHistogram {
                data_points: points(&metric, read_exponential)?,
                aggregation_temporality: temporality,
            }))
        }
        MetricKind::Summary => {
            Some(Data::Summary(metrics::Summary { data_points: points(&metric, read_summary)? }))
        }
    };
    Ok(metrics::Metric {
        name: metric.name.into(),
        description: metric.description.into(),
        unit: metric.unit.into(),
        metadata: read_attributes(metric.metadata())?,
        data,
    })
}

fn read_metrics(plain: &[u8]) -> Done<cmetrics::ExportMetricsServiceRequest> {
    let resources = otlp::metrics::resource_metrics(plain).map(|resource| {
        let resource = resource?;
        let scopes = resource.scopes().map(|scope| {
            let scope = scope?;
            Ok(metrics::ScopeMetrics {
                scope: read_scope(&scope.scope)?,
                metrics: scope.metrics().map(|metric| read_metric(metric?)).collect::<Done<_>>()?,
                schema_url: scope.schema_url.into(),
            })
        });
        Ok(metrics::ResourceMetrics {
            resource: read_resource(&resource.resource)?,
            scope_metrics: scopes.collect::<Done<_>>()?,
            schema_url: resource.schema_url.into(),
        })
    });
    Ok(cmetrics::ExportMetricsServiceRequest { resource_metrics: resources.collect::<Done<_>>()? })
}

// What prost encodes.

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zé漢]{1,6}", "[a-z]{120,140}"]
}

/// Doubles that equal themselves, the odd ones among them; bits of NaN have a test of their own.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-0.0), Just(f64::INFINITY), -1e9..1e9f64]
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..1000u64, any::<u64>()]
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => vec(any::<u8>(), len), 1 => vec(any::<u8>(), 0..20)]
}

fn attribute_value() -> impl Strategy<Value = Option<common::AnyValue>> {
    use any_value::Value;
    let leaf = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..9).prop_map(Value::BytesValue),
    ];
    let tree = leaf.prop_recursive(4, 12, 3, |inner| {
        let value = inner.prop_map(|value| common::AnyValue { value: Some(value) });
        let pair = (text(), option::of(value.clone())).prop_map(|(key, value)| common::KeyValue {
            key,
            value,
            ..Default::default()
        });
        prop_oneof![
            vec(prop_oneof![4 => value, 1 => Just(common::AnyValue::default())], 0..3)
                .prop_map(|values| Value::ArrayValue(common::ArrayValue { values })),
            vec(pair, 0..3).prop_map(|values| Value::KvlistValue(common::KeyValueList { values })),
        ]
    });
    option::weighted(0.9, tree.prop_map(|value| common::AnyValue { value: Some(value) }))
}

fn attribute_list() -> impl Strategy<Value = Vec<common::KeyValue>> {
    let pair = (text(), attribute_value());
    vec(pair.prop_map(|(key, value)| common::KeyValue { key, value, ..Default::default() }), 0..3)
}

fn a_resource() -> impl Strategy<Value = Option<resource::Resource>> {
    attribute_list().prop_map(|attributes| Some(resource::Resource { attributes, ..Default::default() }))
}

fn a_scope() -> impl Strategy<Value = Option<common::InstrumentationScope>> {
    (text(), text(), attribute_list()).prop_map(|(name, version, attributes)| {
        Some(common::InstrumentationScope { name, version, attributes, ..Default::default() })
    })
}

fn a_span() -> impl Strategy<Value = trace::Span> {
    let event = (word(), text(), attribute_list(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| trace::span::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    );
    let link = (id(16), id(8), text(), attribute_list(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| trace::span::Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    );
    let ids = (id(16), id(8), id(8), text(), any::<u32>());
    let what = (text(), any::<i32>(), word(), word(), attribute_list(), text(), any::<i32>());
    let below = (vec(event, 0..3), vec(link, 0..3), any::<u32>(), any::<u32>(), any::<u32>());
    (ids, what, below).prop_map(|(ids, what, below)| trace::Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2,
        trace_state: ids.3,
        flags: ids.4,
        name: what.0,
        kind: what.1,
        start_time_unix_nano: what.2,
        end_time_unix_nano: what.3,
        attributes: what.4,
        status: Some(trace::Status { message: what.5, code: what.6 }),
        events: below.0,
        links: below.1,
        dropped_attributes_count: below.2,
        dropped_events_count: below.3,
        dropped_links_count: below.4,
    })
}

fn some_traces() -> impl Strategy<Value = ctrace::ExportTraceServiceRequest> {
    let scope = (a_scope(), vec(a_span(), 0..4), text())
        .prop_map(|(scope, spans, schema_url)| trace::ScopeSpans { scope, spans, schema_url });
    let resource =
        (a_resource(), vec(scope, 0..3), text()).prop_map(|(resource, scope_spans, schema_url)| {
            trace::ResourceSpans { resource, scope_spans, schema_url }
        });
    vec(resource, 0..3).prop_map(|resource_spans| ctrace::ExportTraceServiceRequest { resource_spans })
}

fn some_logs() -> impl Strategy<Value = clogs::ExportLogsServiceRequest> {
    let record = (
        (word(), word(), any::<i32>(), text(), attribute_value(), attribute_list()),
        (any::<u32>(), any::<u32>(), id(16), id(8), text()),
    )
        .prop_map(|(what, ids)| logs::LogRecord {
            time_unix_nano: what.0,
            observed_time_unix_nano: what.1,
            severity_number: what.2,
            severity_text: what.3,
            body: what.4,
            attributes: what.5,
            dropped_attributes_count: ids.0,
            flags: ids.1,
            trace_id: ids.2,
            span_id: ids.3,
            event_name: ids.4,
        });
    let scope = (a_scope(), vec(record, 0..4), text())
        .prop_map(|(scope, log_records, schema_url)| logs::ScopeLogs { scope, log_records, schema_url });
    let resource = (a_resource(), vec(scope, 0..3), text()).prop_map(|(resource, scope_logs, schema_url)| {
        logs::ResourceLogs { resource, scope_logs, schema_url }
    });
    vec(resource, 0..3).prop_map(|resource_logs| clogs::ExportLogsServiceRequest { resource_logs })
}

fn some_exemplars() -> impl Strategy<Value = Vec<metrics::Exemplar>> {
    use metrics::exemplar::Value;
    let value = prop_oneof![double().prop_map(Value::AsDouble), any::<i64>().prop_map(Value::AsInt)];
    let exemplar = (attribute_list(), word(), id(8), id(16), option::of(value)).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| metrics::Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    );
    vec(exemplar, 0..2)
}

fn some_numbers() -> impl Strategy<Value = Vec<metrics::NumberDataPoint>> {
    use metrics::number_data_point::Value;
    let value = prop_oneof![double().prop_map(Value::AsDouble), any::<i64>().prop_map(Value::AsInt)];
    let point = (attribute_list(), word(), word(), some_exemplars(), any::<u32>(), option::of(value))
        .prop_map(|(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| {
            metrics::NumberDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                exemplars,
                flags,
                value,
            }
        });
    vec(point, 0..4)
}

fn some_histograms() -> impl Strategy<Value = Vec<metrics::HistogramDataPoint>> {
    let numbers = (
        option::of(double()),
        option::of(double()),
        option::of(double()),
        vec(word(), 0..5),
        vec(double(), 0..5),
    );
    let point = (attribute_list(), word(), word(), word(), numbers, some_exemplars(), any::<u32>()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, count, numbers, exemplars, flags)| {
            metrics::HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count,
                sum: numbers.0,
                min: numbers.1,
                max: numbers.2,
                bucket_counts: numbers.3,
                explicit_bounds: numbers.4,
                exemplars,
                flags,
            }
        },
    );
    vec(point, 0..3)
}

fn some_exponentials() -> impl Strategy<Value = Vec<metrics::ExponentialHistogramDataPoint>> {
    let buckets = || {
        (any::<i32>(), vec(word(), 0..5)).prop_map(|(offset, bucket_counts)| {
            Some(metrics::exponential_histogram_data_point::Buckets { offset, bucket_counts })
        })
    };
    let numbers =
        (option::of(double()), option::of(double()), option::of(double()), any::<i32>(), word(), double());
    let point = (
        attribute_list(),
        word(),
        word(),
        word(),
        numbers,
        (buckets(), buckets()),
        some_exemplars(),
        any::<u32>(),
    )
        .prop_map(
            |(attributes, start_time_unix_nano, time_unix_nano, count, numbers, sides, exemplars, flags)| {
                metrics::ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count,
                    sum: numbers.0,
                    min: numbers.1,
                    max: numbers.2,
                    scale: numbers.3,
                    zero_count: numbers.4,
                    zero_threshold: numbers.5,
                    positive: sides.0,
                    negative: sides.1,
                    exemplars,
                    flags,
                }
            },
        );
    vec(point, 0..3)
}

fn some_summaries() -> impl Strategy<Value = Vec<metrics::SummaryDataPoint>> {
    let quantile = (double(), double())
        .prop_map(|(quantile, value)| metrics::summary_data_point::ValueAtQuantile { quantile, value });
    let point = (attribute_list(), word(), word(), word(), double(), vec(quantile, 0..4), any::<u32>())
        .prop_map(
            |(attributes, start_time_unix_nano, time_unix_nano, count, sum, quantile_values, flags)| {
                metrics::SummaryDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count,
                    sum,
                    quantile_values,
                    flags,
                }
            },
        );
    vec(point, 0..3)
}

fn some_metrics() -> impl Strategy<Value = cmetrics::ExportMetricsServiceRequest> {
    use metrics::metric::Data;
    let data = prop_oneof![
        some_numbers().prop_map(|data_points| Data::Gauge(metrics::Gauge { data_points })),
        (some_numbers(), any::<i32>(), any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(metrics::Sum { data_points, aggregation_temporality, is_monotonic })
            }
        ),
        (some_histograms(), any::<i32>()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(metrics::Histogram { data_points, aggregation_temporality })
        }),
        (some_exponentials(), any::<i32>()).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(metrics::ExponentialHistogram { data_points, aggregation_temporality })
        }),
        some_summaries().prop_map(|data_points| Data::Summary(metrics::Summary { data_points })),
    ];
    let metric = (text(), text(), text(), attribute_list(), option::weighted(0.95, data)).prop_map(
        |(name, description, unit, metadata, data)| metrics::Metric {
            name,
            description,
            unit,
            metadata,
            data,
        },
    );
    let scope = (a_scope(), vec(metric, 0..4), text())
        .prop_map(|(scope, metrics, schema_url)| metrics::ScopeMetrics { scope, metrics, schema_url });
    let resource =
        (a_resource(), vec(scope, 0..3), text()).prop_map(|(resource, scope_metrics, schema_url)| {
            metrics::ResourceMetrics { resource, scope_metrics, schema_url }
        });
    vec(resource, 0..3)
        .prop_map(|resource_metrics| cmetrics::ExportMetricsServiceRequest { resource_metrics })
}

/// Every item with what lies around it, so that the same items in other wrappers compare equal.
trait Items: Message + Default + PartialEq {
    const SIGNAL: Signal;
    fn items(&self) -> Vec<String>;
}

impl Items for ctrace::ExportTraceServiceRequest {
    const SIGNAL: Signal = Signal::Traces;
    fn items(&self) -> Vec<String> {
        let mut items = Vec::new();
        for r in &self.resource_spans {
            for s in &r.scope_spans {
                let around = format!("{:?} {} {:?} {}", r.resource, r.schema_url, s.scope, s.schema_url);
                items.extend(s.spans.iter().map(|span| format!("{around} {span:?}")));
            }
        }
        items
    }
}

impl Items for clogs::ExportLogsServiceRequest {
    const SIGNAL: Signal = Signal::Logs;
    fn items(&self) -> Vec<String> {
        let mut items = Vec::new();
        for r in &self.resource_logs {
            for s in &r.scope_logs {
                let around = format!("{:?} {} {:?} {}", r.resource, r.schema_url, s.scope, s.schema_url);
                items.extend(s.log_records.iter().map(|record| format!("{around} {record:?}")));
            }
        }
        items
    }
}

impl Items for cmetrics::ExportMetricsServiceRequest {
    const SIGNAL: Signal = Signal::Metrics;
    fn items(&self) -> Vec<String> {
        use metrics::metric::Data;
        let mut items = Vec::new();
        for r in &self.resource_metrics {
            for s in &r.scope_metrics {
                for m in &s.metrics {
                    let bare = metrics::Metric { data: None, ..m.clone() };
                    let (about, points): (String, Vec<String>) = match &m.data {
                        None => (String::new(), Vec::new()),
                        Some(Data::Gauge(data)) => (String::new(), shown(&data.data_points)),
                        Some(Data::Sum(data)) => (
                            format!("{} {}", data.aggregation_temporality, data.is_monotonic),
                            shown(&data.data_points),
                        ),
                        Some(Data::Histogram(data)) => {
                            (data.aggregation_temporality.to_string(), shown(&data.data_points))
                        }
                        Some(Data::ExponentialHistogram(data)) => {
                            (data.aggregation_temporality.to_string(), shown(&data.data_points))
                        }
                        Some(Data::Summary(data)) => (String::new(), shown(&data.data_points)),
                    };
                    let around = format!(
                        "{:?} {} {:?} {} {bare:?} {about}",
                        r.resource, r.schema_url, s.scope, s.schema_url
                    );
                    items.extend(points.into_iter().map(|point| format!("{around} {point}")));
                }
            }
        }
        items
    }
}

fn shown<T: std::fmt::Debug>(points: &[T]) -> Vec<String> {
    points.iter().map(|point| format!("{point:?}")).collect()
}

/// Counting, slicing, splitting and joining keep every item, whole and in order.
fn cuts<T: Items>(one: &T, two: &T, at: u32, size: usize) {
    let plain = [one.encode_to_vec(), two.encode_to_vec()].concat();
    // As decoded: prost leaves out −0.0 as if it were 0.
    let parts = [one, two].map(|part| T::decode(&part.encode_to_vec()[..]).unwrap().items());
    let items = parts.concat();
    let total = items.len() as u32;
    assert_eq!(T::decode(&plain[..]).unwrap().items(), items, "requests end to end are one request");
    assert_eq!(batch::count(T::SIGNAL, Layout::Otlp, &plain).unwrap().total(), total);
    assert_eq!(batch::slice(T::SIGNAL, Layout::Otlp, &plain, 0..total).unwrap(), plain);
    let at = at % (total + 1);
    let parts = [0..at, at..total].map(|range| batch::slice(T::SIGNAL, Layout::Otlp, &plain, range).unwrap());
    assert_eq!(T::decode(&parts[0][..]).unwrap().items(), items[..at as usize]);
    assert_eq!(T::decode(&parts.concat()[..]).unwrap().items(), items);
    let mut joined = Vec::new();
    for range in batch::split(T::SIGNAL, Layout::Otlp, &plain, 3, size).unwrap() {
        let piece = batch::slice(T::SIGNAL, Layout::Otlp, &plain, range.clone()).unwrap();
        assert!(range.len() <= 3 && (range.len() == 1 || piece.len() <= size));
        joined.extend(piece);
    }
    assert_eq!(T::decode(&joined[..]).unwrap().items(), items);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traces_read_as_prost_reads_them(message in some_traces()) {
        let plain = message.encode_to_vec();
        prop_assert_eq!(read_traces(&plain).unwrap(), message.clone());
        let spans: Vec<_> = message.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).collect();
        let mut at = 0;
        let count = otlp::ids::each_span(&plain, |ids| {
            let span = spans[at];
            at += 1;
            assert_eq!((ids.trace.bytes, ids.span.bytes), (&span.trace_id[..], &span.span_id[..]));
            assert_eq!(ids.parent.bytes, span.parent_span_id);
            for id in [ids.trace, ids.span, ids.parent] {
                assert_eq!(&plain[id.at..id.at + id.bytes.len()], id.bytes);
            }
            assert_eq!(&trace::Span::decode(&plain[ids.item]).unwrap(), span);
            Ok(())
        });
        prop_assert_eq!(count.unwrap() as usize, spans.len());
    }

    #[test]
    fn logs_read_as_prost_reads_them(message in some_logs()) {
        let plain = message.encode_to_vec();
        prop_assert_eq!(read_logs(&plain).unwrap(), message.clone());
        let records: Vec<_> = message.resource_logs.iter().flat_map(|r| &r.scope_logs).flat_map(|s| &s.log_records).collect();
        let mut at = 0;
        otlp::ids::each_record(&plain, |ids| {
            assert_eq!((ids.trace.bytes, ids.span.bytes), (&records[at].trace_id[..], &records[at].span_id[..]));
            at += 1;
            Ok(())
        }).unwrap();
        prop_assert_eq!(at, records.len());
    }

    #[test]
    fn metrics_read_as_prost_reads_them(message in some_metrics()) {
        prop_assert_eq!(read_metrics(&message.encode_to_vec()).unwrap(), message);
    }

    #[test]
    fn cut_traces_lose_nothing(one in some_traces(), two in some_traces(), at in any::<u32>(), size in 1usize..2000) {
        cuts(&one, &two, at, size);
    }

    #[test]
    fn cut_logs_lose_nothing(one in some_logs(), two in some_logs(), at in any::<u32>(), size in 1usize..2000) {
        cuts(&one, &two, at, size);
    }

    #[test]
    fn cut_metrics_lose_nothing(one in some_metrics(), two in some_metrics(), at in any::<u32>(), size in 1usize..2000) {
        cuts(&one, &two, at, size);
    }
}

#[test]
fn the_bits_of_a_nan_survive() {
    let bits = 0x7ff0_0000_0000_0002;
    let mut point = Vec::new();
    tidegate_wire::put::fixed64(&mut point, 4, bits);
    let point = <otlp::metrics::NumberPoint<'_> as otlp::View>::read(&point).unwrap();
    assert_eq!(point.value, Some(otlp::metrics::Number::Double(bits)));
}
