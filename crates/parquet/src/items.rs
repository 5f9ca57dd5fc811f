//! Finds the items of an OTLP `Export…ServiceRequest`: three levels of envelopes, the items below them.
//! Field numbers are those of opentelemetry-proto 1.11.

use wire::WireError;
use wire::walk::{self, Value};

use crate::chunk::{Collector, Found, Piece};
use crate::row::Kind;
use model::Signal;

/// The field that holds scopes in `Resource…`, and items (or metrics) in `Scope…`.
const BELOW: u32 = 2;

pub(crate) fn collect(plain: &[u8], to: &mut Collector) -> Result<(), WireError> {
    for resource in messages(plain, 1) {
        let resource = resource?;
        let resource_piece = to.envelope(resource, |number| number == BELOW)?;
        let service = to.service(service_name(resource).unwrap_or_default());
        for scope in messages(resource, BELOW) {
            let scope = scope?;
            let scope_piece = to.envelope(scope, |number| number == BELOW)?;
            match to.frame().signal {
                Signal::Traces => {
                    to.group(resource_piece, scope_piece, Piece::default(), service);
                    items(to, scope, BELOW, Kind::Span, read_span)?;
                }
                Signal::Logs => {
                    to.group(resource_piece, scope_piece, Piece::default(), service);
                    items(to, scope, BELOW, Kind::Log, read_log)?;
                }
                Signal::Metrics => {
                    for metric in messages(scope, BELOW) {
                        points(to, metric?, resource_piece, scope_piece, service)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// A metric's points. Of several `data` members the last counts, as protobuf's oneof has it; what is repeated of that one
/// is its union.
fn points(
    to: &mut Collector,
    metric: &[u8],
    resource: Piece,
    scope: Piece,
    service: u32,
) -> Result<(), WireError> {
    let mut settled = None;
    for field in walk::fields(metric) {
        settled = kind_of(field?.number).or(settled);
    }
    let Some(kind) = settled else { return Ok(()) };
    let mut envelope = Vec::new();
    for field in walk::fields(metric) {
        let field = field?;
        if field.number == kind.metric_field() {
            let head = without_points(field.bytes()?)?;
            if !head.is_empty() {
                wire::put::bytes(&mut envelope, field.number, &head);
            }
        } else if kind_of(field.number).is_none() {
            envelope.extend_from_slice(&metric[field.start..field.end]);
        }
    }
    let envelope = to.keep(&envelope);
    to.group(resource, scope, envelope, service);
    for data in messages(metric, kind.metric_field()) {
        items(to, data?, 1, kind, read_point)?;
    }
    Ok(())
}

fn without_points(data: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut head = Vec::new();
    for field in walk::fields(data) {
        let field = field?;
        if field.number != 1 {
            head.extend_from_slice(&data[field.start..field.end]);
        }
    }
    Ok(head)
}

/// An item's own time, where it has one, and its trace id.
type Read = (Option<i64>, [u8; 16]);

fn items(
    to: &mut Collector,
    message: &[u8],
    field: u32,
    kind: Kind,
    read: fn(&[u8]) -> Read,
) -> Result<(), WireError> {
    for raw in messages(message, field) {
        let raw = raw?;
        if !to.passes_over() {
            let (time, trace) = read(raw);
            to.item(&Found { kind, time, trace, raw });
        }
    }
    Ok(())
}

const fn kind_of(number: u32) -> Option<Kind> {
    Some(match number {
        5 => Kind::Gauge,
        7 => Kind::Sum,
        9 => Kind::Histogram,
        10 => Kind::ExponentialHistogram,
        11 => Kind::Summary,
        _ => return None,
    })
}

fn read_span(raw: &[u8]) -> Read {
    let (mut time, mut trace) = (0, [0; 16]);
    for field in walk::fields(raw).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Len(bytes)) => trace = bytes.try_into().unwrap_or_default(),
            (7, Value::Fixed64(nanos)) => time = nanos,
            _ => {}
        }
    }
    (known(time), trace)
}

fn read_log(raw: &[u8]) -> Read {
    let (mut time, mut observed, mut trace) = (0, 0, [0; 16]);
    for field in walk::fields(raw).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Fixed64(nanos)) => time = nanos,
            (9, Value::Len(bytes)) => trace = bytes.try_into().unwrap_or_default(),
            (11, Value::Fixed64(nanos)) => observed = nanos,
            _ => {}
        }
    }
    (known(time).or(known(observed)), trace)
}

fn read_point(raw: &[u8]) -> Read {
    let mut time = 0;
    for field in walk::fields(raw).map_while(Result::ok) {
        if let (3, Value::Fixed64(nanos)) = (field.number, field.value) {
            time = nanos;
        }
    }
    (known(time), [0; 16])
}

fn known(nanos: u64) -> Option<i64> {
    (nanos != 0).then(|| i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// `service.name` of a `Resource…` message, where it is a string that can be read.
fn service_name(message: &[u8]) -> Option<&str> {
    let mut found = None;
    for resource in messages(message, 1).map_while(Result::ok) {
        for attribute in messages(resource, 1).map_while(Result::ok) {
            let (mut named, mut value) = (false, None);
            for field in walk::fields(attribute).map_while(Result::ok) {
                match (field.number, field.value) {
                    (1, Value::Len(key)) => named = key == b"service.name",
                    (2, Value::Len(bytes)) => value = Some(bytes),
                    _ => {}
                }
            }
            if named && let Some(value) = value {
                let text = walk::fields(value).map_while(Result::ok).filter(|field| field.number == 1);
                found = text.filter_map(|field| field.text().ok()).last();
            }
        }
    }
    found
}

/// The sub-messages of `message` in field `number`.
pub(crate) fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], WireError>> {
    walk::fields(message).filter_map(move |field| match field {
        Ok(field) => (field.number == number).then(|| field.bytes()),
        Err(error) => Some(Err(error)),
    })
}
