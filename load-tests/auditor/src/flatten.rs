//! OTLP messages as fields.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
    metric::Data, number_data_point::Value as Number, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::item::Signal;
use crate::value::{Fields, Value};

/// Every item of an OTLP request of `signal`.
pub fn request(signal: Signal, bytes: &[u8]) -> Result<Vec<Fields>, prost::DecodeError> {
    use prost::Message as _;
    Ok(match signal {
        Signal::Traces => traces(&ExportTraceServiceRequest::decode(bytes)?),
        Signal::Logs => logs(&ExportLogsServiceRequest::decode(bytes)?),
        Signal::Metrics => metrics(&ExportMetricsServiceRequest::decode(bytes)?),
    })
}

/// Every span of a request.
pub fn traces(request: &ExportTraceServiceRequest) -> Vec<Fields> {
    let mut all = Vec::new();
    for group in &request.resource_spans {
        for scope in &group.scope_spans {
            let (resource, of) = (group.resource.as_ref(), scope.scope.as_ref());
            all.extend(scope.spans.iter().map(|item| span(resource, of, item)));
        }
    }
    all
}

/// Every log record of a request.
pub fn logs(request: &ExportLogsServiceRequest) -> Vec<Fields> {
    let mut all = Vec::new();
    for group in &request.resource_logs {
        for scope in &group.scope_logs {
            let (resource, of) = (group.resource.as_ref(), scope.scope.as_ref());
            all.extend(scope.log_records.iter().map(|item| log(resource, of, item)));
        }
    }
    all
}

/// Every point of a request.
pub fn metrics(request: &ExportMetricsServiceRequest) -> Vec<Fields> {
    let mut all = Vec::new();
    for group in &request.resource_metrics {
        for scope in &group.scope_metrics {
            for metric in &scope.metrics {
                all.extend(points(group.resource.as_ref(), scope.scope.as_ref(), metric));
            }
        }
    }
    all
}

/// A span with what encloses it.
pub fn span(resource: Option<&Resource>, scope: Option<&InstrumentationScope>, span: &Span) -> Fields {
    let mut fields = enclosing(resource, scope);
    fields.put_hex("trace_id", &span.trace_id);
    fields.put_hex("span_id", &span.span_id);
    fields.put_hex("parent_span_id", &span.parent_span_id);
    fields.put_text("trace_state", &span.trace_state);
    fields.put_int("flags", span.flags.into());
    fields.put_text("name", &span.name);
    fields.put_int("kind", span.kind.into());
    fields.put_time("start", span.start_time_unix_nano);
    fields.put_time("end", span.end_time_unix_nano);
    fields.put_attributes("attr", &span.attributes);
    fields.put_int("dropped_attributes", span.dropped_attributes_count.into());
    fields.put_int("dropped_events", span.dropped_events_count.into());
    fields.put_int("dropped_links", span.dropped_links_count.into());
    for (at, event) in span.events.iter().enumerate() {
        fields.put_text(&format!("event.{at}.name"), &event.name);
        fields.put_time(&format!("event.{at}.time"), event.time_unix_nano);
        fields.put_attributes(&format!("event.{at}.attr"), &event.attributes);
    }
    for (at, link) in span.links.iter().enumerate() {
        fields.put_hex(&format!("link.{at}.trace_id"), &link.trace_id);
        fields.put_hex(&format!("link.{at}.span_id"), &link.span_id);
        fields.put_text(&format!("link.{at}.trace_state"), &link.trace_state);
        fields.put_attributes(&format!("link.{at}.attr"), &link.attributes);
        fields.put_int(&format!("link.{at}.flags"), link.flags.into());
    }
    if let Some(status) = &span.status {
        fields.put_int("status", status.code.into());
        fields.put_text("status.message", &status.message);
    }
    fields
}

/// A log record with what encloses it.
pub fn log(resource: Option<&Resource>, scope: Option<&InstrumentationScope>, record: &LogRecord) -> Fields {
    let mut fields = enclosing(resource, scope);
    fields.put_time("time", record.time_unix_nano);
    fields.put_time("observed", record.observed_time_unix_nano);
    fields.put_int("severity", record.severity_number.into());
    fields.put_text("severity_text", &record.severity_text);
    if let Some(body) = &record.body {
        fields.insert("body".into(), any(body));
    }
    fields.put_attributes("attr", &record.attributes);
    fields.put_int("dropped_attributes", record.dropped_attributes_count.into());
    fields.put_int("flags", record.flags.into());
    fields.put_hex("trace_id", &record.trace_id);
    fields.put_hex("span_id", &record.span_id);
    fields.put_text("event_name", &record.event_name);
    fields
}

/// Every point of a metric with what encloses it.
pub fn points(
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    metric: &Metric,
) -> Vec<Fields> {
    let mut around = enclosing(resource, scope);
    around.put_text("metric", &metric.name);
    around.put_text("unit", &metric.unit);
    around.put_text("description", &metric.description);
    let mut typed = |name: &str| around.put_text("type", name);
    match &metric.data {
        Some(Data::Gauge(gauge)) => {
            typed("gauge");
            gauge.data_points.iter().map(|point| number(&around, point)).collect()
        }
        Some(Data::Sum(sum)) => {
            typed("sum");
            around.put_int("temporality", sum.aggregation_temporality.into());
            around.insert("monotonic".into(), Value::Bool(sum.is_monotonic));
            sum.data_points.iter().map(|point| number(&around, point)).collect()
        }
        Some(Data::Histogram(histogram)) => {
            typed("histogram");
            around.put_int("temporality", histogram.aggregation_temporality.into());
            histogram.data_points.iter().map(|point| explicit(&around, point)).collect()
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            typed("exponential_histogram");
            around.put_int("temporality", histogram.aggregation_temporality.into());
            histogram.data_points.iter().map(|point| exponential(&around, point)).collect()
        }
        Some(Data::Summary(summary)) => {
            typed("summary");
            summary.data_points.iter().map(|point| quantiles(&around, point)).collect()
        }
        // The auditor sends none: one that is found names no item and is spurious.
        None => vec![around],
    }
}

fn number(around: &Fields, point: &NumberDataPoint) -> Fields {
    let mut fields = around.clone();
    fields.put_attributes("attr", &point.attributes);
    fields.put_time("start", point.start_time_unix_nano);
    fields.put_time("time", point.time_unix_nano);
    fields.put_int("flags", point.flags.into());
    match point.value {
        Some(Number::AsInt(whole)) => drop(fields.insert("value".into(), Value::Int(whole))),
        Some(Number::AsDouble(double)) => drop(fields.insert("value".into(), Value::double(double))),
        None => {}
    }
    fields
}

fn explicit(around: &Fields, point: &HistogramDataPoint) -> Fields {
    let mut fields = around.clone();
    fields.put_attributes("attr", &point.attributes);
    fields.put_time("start", point.start_time_unix_nano);
    fields.put_time("time", point.time_unix_nano);
    fields.put_int("flags", point.flags.into());
    fields.insert("count".into(), Value::Int(point.count as i64));
    fields.put_doubles([("sum", point.sum), ("min", point.min), ("max", point.max)]);
    let bounds = point.explicit_bounds.iter().map(|bound| Value::double(*bound)).collect();
    fields.insert("bounds".into(), Value::List(bounds));
    fields.insert("counts".into(), counts(&point.bucket_counts));
    fields
}

fn exponential(around: &Fields, point: &ExponentialHistogramDataPoint) -> Fields {
    let mut fields = around.clone();
    fields.put_attributes("attr", &point.attributes);
    fields.put_time("start", point.start_time_unix_nano);
    fields.put_time("time", point.time_unix_nano);
    fields.put_int("flags", point.flags.into());
    fields.insert("count".into(), Value::Int(point.count as i64));
    fields.put_doubles([("sum", point.sum), ("min", point.min), ("max", point.max)]);
    fields.insert("scale".into(), Value::Int(point.scale.into()));
    fields.insert("zero_count".into(), Value::Int(point.zero_count as i64));
    fields.insert("zero_threshold".into(), Value::double(point.zero_threshold));
    for (name, side) in [("positive", &point.positive), ("negative", &point.negative)] {
        if let Some(side) = side.as_ref().filter(|side| !side.bucket_counts.is_empty()) {
            fields.insert(format!("{name}.offset"), Value::Int(side.offset.into()));
            fields.insert(format!("{name}.counts"), counts(&side.bucket_counts));
        }
    }
    fields
}

fn quantiles(around: &Fields, point: &SummaryDataPoint) -> Fields {
    let mut fields = around.clone();
    fields.put_attributes("attr", &point.attributes);
    fields.put_time("start", point.start_time_unix_nano);
    fields.put_time("time", point.time_unix_nano);
    fields.put_int("flags", point.flags.into());
    fields.insert("count".into(), Value::Int(point.count as i64));
    fields.put_doubles([("sum", Some(point.sum))]);
    let pair = |at: &ValueAtQuantile| Value::List(vec![Value::double(at.quantile), Value::double(at.value)]);
    fields.insert("quantiles".into(), Value::List(point.quantile_values.iter().map(pair).collect()));
    fields
}

fn counts(counts: &[u64]) -> Value {
    Value::List(counts.iter().map(|count| Value::Int(*count as i64)).collect())
}

fn enclosing(resource: Option<&Resource>, scope: Option<&InstrumentationScope>) -> Fields {
    let mut fields = Fields::new();
    if let Some(resource) = resource {
        fields.put_attributes("resource", &resource.attributes);
    }
    if let Some(scope) = scope {
        fields.put_text("scope.name", &scope.name);
        fields.put_text("scope.version", &scope.version);
        fields.put_attributes("scope.attr", &scope.attributes);
    }
    fields
}

/// The value of an attribute.
pub fn attribute_value(attribute: &KeyValue) -> Value {
    attribute.value.as_ref().map_or(Value::Nothing, any)
}

fn any(value: &AnyValue) -> Value {
    match &value.value {
        None => Value::Nothing,
        Some(Any::StringValue(text)) => Value::Text(text.clone()),
        Some(Any::BoolValue(truth)) => Value::Bool(*truth),
        Some(Any::IntValue(whole)) => Value::Int(*whole),
        Some(Any::DoubleValue(double)) => Value::double(*double),
        Some(Any::BytesValue(bytes)) => Value::Bytes(bytes.clone()),
        Some(Any::ArrayValue(list)) => Value::List(list.values.iter().map(any).collect()),
        Some(Any::KvlistValue(map)) => {
            Value::Map(map.values.iter().map(|pair| (pair.key.clone(), attribute_value(pair))).collect())
        }
        Some(Any::StringValueStrindex(_)) => Value::Nothing,
    }
}

/// Puts fields in unless they are empty.
pub(crate) trait Put {
    fn put_text(&mut self, name: &str, text: &str);
    fn put_hex(&mut self, name: &str, bytes: &[u8]);
    fn put_int(&mut self, name: &str, number: i64);
    fn put_time(&mut self, name: &str, nanos: u64);
    fn put_doubles<const N: usize>(&mut self, pairs: [(&str, Option<f64>); N]);
    fn put_attributes(&mut self, prefix: &str, attributes: &[KeyValue]);
}

impl Put for Fields {
    fn put_text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.insert(name.to_owned(), Value::text(text));
        }
    }

    fn put_hex(&mut self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.insert(name.to_owned(), Value::hex(bytes));
        }
    }

    fn put_int(&mut self, name: &str, number: i64) {
        if number != 0 {
            self.insert(name.to_owned(), Value::Int(number));
        }
    }

    fn put_time(&mut self, name: &str, nanos: u64) {
        if nanos != 0 {
            self.insert(name.to_owned(), Value::Time(nanos));
        }
    }

    fn put_doubles<const N: usize>(&mut self, pairs: [(&str, Option<f64>); N]) {
        for (name, value) in pairs {
            self.extend(value.map(|value| (name.to_owned(), Value::double(value))));
        }
    }

    fn put_attributes(&mut self, prefix: &str, attributes: &[KeyValue]) {
        for attribute in attributes {
            self.insert(format!("{prefix}.{}", attribute.key), attribute_value(attribute));
        }
    }
}
