//! What must be found of an item.

use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value as Number};

use super::{Run, access, otlp, sample};
use crate::flatten;
use crate::item::{Id, Stream};
use crate::value::{Fields, Strictness, Value, hex};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// How much more than the expectation may be there.
pub fn strictness(stream: Stream) -> Strictness {
    match stream {
        Stream::Logpush | Stream::Kong => Strictness::AtLeast,
        _ => Strictness::Exact,
    }
}

/// The item as a span, log record, point or sample.
pub fn as_item(run: &Run, id: Id) -> Fields {
    let (resource, scope) = (Some(&otlp::resource(run, id)), Some(&otlp::scope()));
    match id.stream {
        Stream::SpansHttp | Stream::SpansGrpc => flatten::span(resource, scope, &otlp::span(run, id)),
        Stream::LogsHttp | Stream::LogsGrpc => flatten::log(resource, scope, &otlp::log(run, id)),
        Stream::PointsHttp | Stream::PointsGrpc => {
            let metric = otlp::metric(run, id);
            flatten::points(resource, scope, &metric).into_iter().next().unwrap_or_default()
        }
        Stream::Samples1 | Stream::Samples2 => written_sample(run, id),
        Stream::Logpush => {
            let access = access::access(run, id);
            let mut fields = of_access(&access, access::logpush(run, id), access.started_ms);
            fields.insert("attr.cloudflare.ray_id".into(), Value::text(id.name()));
            fields.insert("resource.service.name".into(), Value::text("cloudflare-edge"));
            fields
        }
        Stream::Kong => {
            let access = access::access(run, id);
            let ended = access.started_ms + access.took_ms;
            let mut fields = of_access(&access, access::kong(run, id).to_string(), ended);
            fields.insert("attr.kong.request.id".into(), Value::text(id.name()));
            fields.insert("resource.service.name".into(), Value::text("kong"));
            fields
        }
    }
}

fn of_access(access: &access::Access, body: String, time_ms: u64) -> Fields {
    [
        ("body", Value::Text(body)),
        ("time", Value::Time(time_ms * NANOS_PER_MILLI)),
        ("trace_id", Value::Text(hex(&access.trace_id))),
        ("attr.http.request.method", Value::text(access.method)),
        ("attr.http.response.status_code", Value::Int(i64::from(access.status))),
        ("attr.http.response.size", Value::Int(access.size as i64)),
        ("attr.url.path", Value::text(access.path.as_str())),
        ("attr.server.address", Value::text(access.host.as_str())),
        ("attr.user_agent.original", Value::text(access.agent.as_str())),
        ("attr.client.address", Value::text("203.0.113.7")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn written_sample(run: &Run, id: Id) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in sample::labels(run, id) {
        match name.as_str() {
            "__name__" => fields.insert("metric".into(), Value::Text(value)),
            _ => fields.insert(format!("attr.{name}"), Value::Text(value)),
        };
    }
    fields.insert("time".into(), Value::Time(sample::time(run, id) as u64 * NANOS_PER_MILLI));
    fields.insert("value".into(), Value::Double(sample::value(run, id)));
    fields
}

/// The metric item as the Prometheus samples that it becomes.
pub fn as_samples(run: &Run, id: Id) -> Fields {
    let mut fields = Fields::new();
    if id.stream.is_remote_write() {
        let series = series(sample::labels(run, id));
        fields.insert(sample_name(&series, sample::time(run, id)), Value::Double(sample::value(run, id)));
        return fields;
    }
    let metric = otlp::metric(run, id);
    let mut labels = Vec::new();
    for (key, label) in [("service.name", "job"), ("service.instance.id", "instance")] {
        let resource = otlp::resource(run, id);
        let found = resource.attributes.iter().find(|known| known.key == key);
        labels.extend(found.map(|found| (label.to_owned(), text(flatten::attribute_value(found)))));
    }
    let mut add = |name: &str, more: Option<&str>, own: &[_], time: u64, value: f64| {
        let mut labels = labels.clone();
        labels.push(("__name__".to_owned(), name.to_owned()));
        labels.extend(more.map(|bound| ("le".to_owned(), bound.to_owned())));
        for attribute in own {
            let known: &opentelemetry_proto::tonic::common::v1::KeyValue = attribute;
            labels.push((known.key.clone(), text(flatten::attribute_value(known))));
        }
        let name = sample_name(&series(labels), (time / NANOS_PER_MILLI) as i64);
        fields.insert(name, Value::double(value));
    };
    match &metric.data {
        Some(Data::Gauge(gauge)) => {
            let name = if metric.unit == "By" { "audit_depth_bytes" } else { "audit_level" };
            for point in &gauge.data_points {
                add(name, None, &point.attributes, point.time_unix_nano, number(point.value.as_ref()));
            }
        }
        Some(Data::Sum(sum)) => {
            for point in &sum.data_points {
                let value = number(point.value.as_ref());
                add("audit_requests_total", None, &point.attributes, point.time_unix_nano, value);
            }
        }
        Some(Data::Histogram(histogram)) => {
            for point in &histogram.data_points {
                let (own, time) = (&point.attributes, point.time_unix_nano);
                let mut below = 0;
                for (bound, count) in ["0.1", "1", "2.5", "+Inf"].into_iter().zip(&point.bucket_counts) {
                    below += count;
                    add("audit_latency_seconds_bucket", Some(bound), own, time, below as f64);
                }
                add("audit_latency_seconds_count", None, own, time, point.count as f64);
                add("audit_latency_seconds_sum", None, own, time, point.sum.unwrap_or(0.0));
            }
        }
        _ => {}
    }
    fields
}

fn number(value: Option<&Number>) -> f64 {
    match value {
        Some(Number::AsInt(whole)) => *whole as f64,
        Some(Number::AsDouble(double)) => *double,
        None => 0.0,
    }
}

fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        other => other.to_string(),
    }
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
