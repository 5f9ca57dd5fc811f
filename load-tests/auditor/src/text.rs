//! Values as text, as back ends keep those that know no other kind of attribute: numbers as ECMAScript writes them, but with
//! the sign of -0 and `+Inf` for infinity, lists and maps as JSON with sorted keys, bytes as base64.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::value::Value;

/// The value as text.
pub(crate) fn of(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => BASE64_STANDARD.encode(bytes),
        Value::Nothing => String::new(),
        Value::Int(_)
        | Value::Double(_)
        | Value::Bool(_)
        | Value::Time(_)
        | Value::List(_)
        | Value::Map(_) => json(value),
    }
}

/// A list or map as JSON that Go writes: what may stand in HTML is escaped.
pub(crate) fn of_go(value: &Value) -> String {
    json(value).replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

fn json(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Bytes(_) => quoted(&of(value)),
        Value::Int(number) => number.to_string(),
        Value::Time(nanos) => nanos.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Nothing => "null".to_owned(),
        Value::Double(bits) => number(f64::from_bits(*bits)),
        Value::List(all) => {
            let all: Vec<String> = all.iter().map(json).collect();
            format!("[{}]", all.join(","))
        }
        Value::Map(all) => {
            let all: Vec<String> =
                all.iter().map(|(name, value)| format!("{}:{}", quoted(name), json(value))).collect();
            format!("{{{}}}", all.join(","))
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// ECMA-262, `Number::toString`: the shortest digits that read back, with an exponent below 10⁻⁶ and from 10²¹ on.
fn number(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let shortest = format!("{:e}", number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    // The point stands behind so many digits.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = digits.len() as i32;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let text = if (count..=21).contains(&point) {
        format!("{digits}{}", zeros(point - count))
    } else if (1..=21).contains(&point) {
        let (whole, rest) = digits.split_at(point as usize);
        format!("{whole}.{rest}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{:+}", point - 1)
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-123_456_789.125, "-123456789.125"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-5, "0.0000125"),
            (5e-324, "5e-324"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            assert_eq!(of(&Value::double(number)), text);
        }
    }

    #[test]
    fn what_is_nested_is_json() {
        let map = Value::Map(
            [
                ("b".to_owned(), Value::List(vec![Value::Int(-1), Value::Nothing, Value::Bytes(vec![1])])),
                ("a\"".to_owned(), Value::text("\u{1}é\n")),
            ]
            .into(),
        );
        assert_eq!(of(&map), r#"{"a\"":"\u0001é\n","b":[-1,null,"AQ=="]}"#);
        assert_eq!(of(&Value::text("\"x\"")), "\"x\"");
        assert_eq!(of_go(&Value::List(vec![Value::text("<&>\"")])), r#"["\u003c\u0026\u003e\""]"#);
        assert_eq!(of(&Value::Bool(true)), "true");
    }
}
