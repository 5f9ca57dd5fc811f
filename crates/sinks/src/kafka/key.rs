//! The keys of items: what belongs together has one key, hence one partition, wherever and whenever it is written.

use bytes::Bytes;
use model::Signal;
use wire::otlp::{AnyValue, Attributes, logs, metrics, traces};
use wire::{WireError, put};
use xxhash_rust::xxh3::Xxh3;

use super::settings::Keying;

/// A trace id or the hash of a series; `None` for what has neither.
pub(super) type Key = Option<u128>;

/// The key of every item of an OTLP request, in wire order.
pub(super) fn keys(signal: Signal, keying: Keying, plain: &[u8]) -> Result<Vec<Key>, WireError> {
    let mut keys = Vec::new();
    match (keying, signal) {
        (Keying::None, _) => {}
        (Keying::TraceHex | Keying::TraceBinary, Signal::Logs) => {
            logs::each_record(plain, |_, _, record| {
                keys.push(trace(record.trace_id));
                Ok(())
            })?;
        }
        (Keying::TraceHex | Keying::TraceBinary, _) => {
            traces::each_span(plain, |_, _, span| {
                keys.push(trace(span.trace_id));
                Ok(())
            })?;
        }
        (Keying::Series, _) => series(plain, &mut keys)?,
    }
    Ok(keys)
}

/// A key as the message has it.
pub(super) fn bytes(keying: Keying, key: u128) -> Bytes {
    match keying {
        Keying::None => Bytes::new(),
        Keying::TraceHex => format!("{key:032x}").into(),
        Keying::TraceBinary => Bytes::copy_from_slice(&key.to_be_bytes()),
        Keying::Series => format!("{key:016x}").into(),
    }
}

fn trace(id: &[u8]) -> Key {
    let id = u128::from_be_bytes(id.try_into().ok()?);
    (id != 0).then_some(id)
}

/// The order of attributes makes no other series.
///
/// The hash is a promise to whoever joins what was written before an update with what is written after it: it must not change.
fn series(plain: &[u8], keys: &mut Vec<Key>) -> Result<(), WireError> {
    let mut scratch = Vec::new();
    for resource in metrics::resource_metrics(plain) {
        let resource = resource?;
        let resource_hash = set(resource.resource.attributes(), &mut scratch)?;
        for scope in resource.scopes() {
            let scope = scope?;
            let attributes = set(scope.scope.attributes(), &mut scratch)?;
            for metric in scope.metrics() {
                let metric = metric?;
                let mut hash = Xxh3::new();
                hash.update(&resource_hash.to_le_bytes());
                hash.update(&attributes.to_le_bytes());
                for text in [scope.scope.name, scope.scope.version, metric.name, metric.unit] {
                    hash.update(&(text.len() as u64).to_le_bytes());
                    hash.update(text.as_bytes());
                }
                let metric_hash = hash.digest();
                for point in metric.points() {
                    let point = set(point?.attributes(), &mut scratch)?;
                    let mut both = [0; 16];
                    both[..8].copy_from_slice(&metric_hash.to_le_bytes());
                    both[8..].copy_from_slice(&point.to_le_bytes());
                    keys.push(Some(xxhash_rust::xxh3::xxh3_64(&both).into()));
                }
            }
        }
    }
    Ok(())
}

/// A hash of attributes in any order.
fn set(attributes: Attributes<'_>, scratch: &mut Vec<u8>) -> Result<u64, WireError> {
    let mut sum = 0u64;
    for pair in attributes {
        let pair = pair?;
        scratch.clear();
        put::varint(scratch, pair.key.len() as u64);
        scratch.extend_from_slice(pair.key.as_bytes());
        value(&pair.value, scratch)?;
        sum = sum.wrapping_add(xxhash_rust::xxh3::xxh3_64(scratch));
    }
    Ok(sum)
}

/// Lays a value down so that no two values look alike. Nesting is bounded by the views.
fn value(value: &AnyValue<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    let mut bytes = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        put::varint(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    match value {
        AnyValue::Empty => bytes(0, &[]),
        AnyValue::Str(text) => bytes(1, text.as_bytes()),
        AnyValue::Bool(value) => bytes(2, &[u8::from(*value)]),
        AnyValue::Int(value) => bytes(3, &value.to_le_bytes()),
        AnyValue::Double(value) => bytes(4, &value.to_bits().to_le_bytes()),
        AnyValue::Bytes(value) => bytes(7, value),
        AnyValue::Array(values) => {
            out.push(5);
            for inner in values.clone() {
                self::value(&inner?, out)?;
            }
            out.push(8);
        }
        AnyValue::Map(pairs) => {
            let sum = set(pairs.clone(), &mut Vec::new())?;
            bytes(6, &sum.to_le_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use prost::Message;

    fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
        let pair = |(key, value): &(&str, &str)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue { value: Some(Value::StringValue((*value).to_owned())) }),
            ..KeyValue::default()
        };
        pairs.iter().map(pair).collect()
    }

    fn request(resource: &[(&str, &str)], name: &str, points: &[&[(&str, &str)]]) -> Vec<u8> {
        let point = |pairs: &&[(&str, &str)]| NumberDataPoint {
            attributes: attributes(pairs),
            ..NumberDataPoint::default()
        };
        let data_points = points.iter().map(point).collect();
        let metric = Metric {
            name: name.to_owned(),
            data: Some(metric::Data::Gauge(Gauge { data_points })),
            ..Metric::default()
        };
        let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
        let resource = Resource { attributes: attributes(resource), ..Resource::default() };
        let resource = ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
    }

    fn of(plain: &[u8]) -> Vec<u128> {
        keys(Signal::Metrics, Keying::Series, plain).unwrap().into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn a_series_is_one_whatever_the_order_of_its_attributes() {
        let ab = [("a", "1"), ("b", "2")];
        let ba = [("b", "2"), ("a", "1")];
        assert_eq!(of(&request(&ab, "m", &[&ab, &ba])), of(&request(&ba, "m", &[&ba, &ab])));
    }

    #[test]
    fn whatever_makes_another_series_makes_another_key() {
        let mut all = Vec::new();
        for plain in [
            request(&[], "m", &[&[], &[("a", "1")], &[("a", "2")], &[("a", "12")], &[("a1", "2")]]),
            request(&[], "n", &[&[], &[("a", "1")]]),
            request(&[("a", "1")], "m", &[&[], &[("a", "1")]]),
            request(&[("a", "1"), ("b", "1")], "m", &[&[]]),
        ] {
            all.extend(of(&plain));
        }
        let met = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), met);
    }

    #[test]
    fn the_hash_of_a_series_never_changes() {
        let plain = request(&[("service.name", "shop")], "http.requests", &[&[("code", "200")]]);
        assert_eq!(bytes(Keying::Series, of(&plain)[0]), "37d267feb598d2a5");
    }

    #[test]
    fn values_of_different_kinds_or_shapes_do_not_look_alike() {
        let string = |text: &str| Value::StringValue(text.to_owned());
        let array = |values: Vec<Value>| {
            let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
            Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values })
        };
        let values = [
            string("1"),
            string(""),
            Value::BytesValue(b"1".to_vec()),
            Value::IntValue(1),
            Value::DoubleValue(1.0),
            Value::DoubleValue(-0.0),
            Value::DoubleValue(0.0),
            Value::BoolValue(true),
            array(vec![]),
            array(vec![string("1"), string("2")]),
            array(vec![array(vec![string("1")]), string("2")]),
            array(vec![array(vec![string("1"), string("2")])]),
        ];
        let mut met = Vec::new();
        for value in values {
            let mut raw = Vec::new();
            let pair = KeyValue {
                key: "k".into(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            };
            put::bytes(&mut raw, 1, &pair.encode_to_vec());
            met.push(set(Attributes::new(&raw, 1), &mut Vec::new()).unwrap());
        }
        let all = met.len();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), all);
    }

    #[test]
    fn a_trace_id_is_written_as_the_collector_does() {
        let id: Vec<u8> = (1..=16).collect();
        let key = trace(&id).unwrap();
        assert_eq!(bytes(Keying::TraceHex, key), "0102030405060708090a0b0c0d0e0f10");
        assert_eq!(bytes(Keying::TraceBinary, key), id);
        assert_eq!((trace(&[]), trace(&[0; 16]), trace(&[1; 8])), (None, None, None));
    }
}
