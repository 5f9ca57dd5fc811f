//! Attribute values as label text, the way Prometheus shows them: scalars plainly, bytes as base64, arrays and maps
//! as JSON with sorted keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::WireError;
use crate::json::quoted;
use crate::otlp::AnyValue;
use crate::otlp::attributes::MAX_DEPTH;

/// The value as text.
pub(super) fn value(value: &AnyValue<'_>) -> Result<String, WireError> {
    Ok(match value {
        AnyValue::Empty => String::new(),
        AnyValue::Str(text) => (*text).to_owned(),
        AnyValue::Array(_) | AnyValue::Map(_) => {
            let mut out = Vec::new();
            json(value, 0, &mut out)?;
            String::from_utf8(out).expect("the writer copies only whole strings")
        }
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => double(*value),
        AnyValue::Bytes(bytes) => STANDARD.encode(bytes),
    })
}

/// Appends what `value` answers to `out`, copying text once.
///
/// # Errors
/// The value's bytes are no value, or nest too deep.
pub fn append(value: &AnyValue<'_>, out: &mut Vec<u8>) -> Result<(), WireError> {
    match value {
        AnyValue::Str(text) => out.extend_from_slice(text.as_bytes()),
        AnyValue::Array(_) | AnyValue::Map(_) => json(value, 0, out)?,
        scalar => out.extend_from_slice(self::value(scalar)?.as_bytes()),
    }
    Ok(())
}

/// A bound or quantile as a label: plain decimals, never an exponent.
pub(super) fn bound(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

/// As ECMAScript shows numbers.
fn double(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 || (1e-6..1e21).contains(&size) {
        return bound(value);
    }
    let text = format!("{value:e}");
    if size < 1.0 { text } else { text.replace('e', "e+") }
}

fn json(value: &AnyValue<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError::TooDeep(MAX_DEPTH));
    }
    match value {
        AnyValue::Array(values) => {
            out.push(b'[');
            for (i, value) in values.clone().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                json(&value?, depth + 1, out)?;
            }
            out.push(b']');
        }
        AnyValue::Map(attributes) => {
            let mut sorted = BTreeMap::new();
            for pair in attributes.clone() {
                let pair = pair?;
                sorted.insert(pair.key, pair.value);
            }
            out.push(b'{');
            for (i, (key, value)) in sorted.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                quoted(key, out);
                out.push(b':');
                json(value, depth + 1, out)?;
            }
            out.push(b'}');
        }
        AnyValue::Empty => out.extend_from_slice(b"null"),
        AnyValue::Str(text) => quoted(text, out),
        AnyValue::Bytes(bytes) => quoted(&STANDARD.encode(bytes), out),
        AnyValue::Double(value) if !value.is_finite() => quoted(&bound(*value), out),
        AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => {
            out.extend_from_slice(self::value(value)?.as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_shown_as_ecmascript_shows_them() {
        for (number, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-2.5e-9, "-2.5e-9"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn bounds_have_no_exponent() {
        for (number, text) in
            [(0.005, "0.005"), (10.0, "10"), (1e21, "1000000000000000000000"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(bound(number), text);
        }
    }
}
