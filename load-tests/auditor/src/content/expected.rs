//! What must be found of an item, as a span, log record, point or sample.

use super::{Run, access, otlp, point, sample};
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
            let metric = point::metric(run, id);
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
