//! What an item says, as fields with typed values: the one form in which what was sent and what a back end keeps are
//! compared.

use std::collections::BTreeMap;
use std::fmt;

/// The value of a field. Numbers are compared by their bits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A double, as its bits.
    Double(u64),
    /// A truth value.
    Bool(bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nanoseconds since 1970.
    Time(u64),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Map(BTreeMap<String, Value>),
    /// An attribute without a value.
    Nothing,
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A double.
    pub fn double(number: f64) -> Self {
        Self::Double(number.to_bits())
    }

    /// Bytes as lower-case hexadecimal text.
    pub fn hex(bytes: &[u8]) -> Self {
        Self::Text(hex(bytes))
    }
}

/// Bytes as lower-case hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most bytes of a value that are shown.
const SHOWN: usize = 300;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Double(bits) => {
                let number = f64::from_bits(*bits);
                if number.is_nan() { write!(f, "NaN {bits:#x}") } else { write!(f, "{number:?}") }
            }
            other => {
                let text = format!("{other:?}");
                let shown = text.floor_char_boundary(SHOWN);
                let rest = text.len() - shown;
                f.write_str(&text[..shown])?;
                if rest > 0 { write!(f, "… and {rest} bytes") } else { Ok(()) }
            }
        }
    }
}

/// Fields by name. Absent and empty are the same, as in protobuf, so empty fields are never put in.
///
/// | name | what |
/// |---|---|
/// | `trace_id`, `span_id`, `parent_span_id` | hexadecimal text |
/// | `time`, `start`, `end`, `observed` | times |
/// | `attr.KEY`, `resource.KEY`, `scope.attr.KEY` | attributes |
/// | `event.N.…`, `link.N.…` | what lies in a span |
/// | `sample.SERIES@MILLISECONDS` | one Prometheus sample, by name and labels |
/// | `wrong.NAME` | what a back end says twice, and the second time otherwise; never expected |
pub type Fields = BTreeMap<String, Value>;

const WRONG: &str = "wrong.";

/// Puts in what is said otherwise than another field has it.
pub fn contradict(fields: &mut Fields, name: &str, value: Option<Value>) {
    fields.insert(format!("{WRONG}{name}"), value.unwrap_or(Value::Nothing));
}

/// How an expectation reads what a back end has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Nothing beyond what was sent may be there.
    Exact,
    /// More may be there: attributes that the gateway derives from a record.
    AtLeast,
}

/// Every field in which `found` differs from `expected`, as text.
pub fn differences(expected: &Fields, found: &Fields, strictness: Strictness) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in expected {
        match found.get(name) {
            None => wrong.push(format!("{name} is missing, should be {value}")),
            Some(other) if other != value => wrong.push(format!("{name} is {other}, should be {value}")),
            Some(_) => {}
        }
    }
    for (name, value) in found {
        let is_allowed = strictness == Strictness::AtLeast && !name.starts_with(WRONG);
        if !is_allowed && !expected.contains_key(name) {
            wrong.push(format!("{name} is {value}, should not be there"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, Value)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn doubles_differ_by_their_bits() {
        let quiet = fields(&[("value", Value::Double(0x7ff8_0000_0000_0001))]);
        let stale = fields(&[("value", Value::Double(0x7ff0_0000_0000_0002))]);
        assert_eq!(differences(&quiet, &quiet, Strictness::Exact), Vec::<String>::new());
        assert_eq!(differences(&quiet, &stale, Strictness::Exact).len(), 1);
        let (minus, plus) = (fields(&[("v", Value::double(-0.0))]), fields(&[("v", Value::double(0.0))]));
        assert_eq!(differences(&minus, &plus, Strictness::Exact), ["v is 0.0, should be -0.0"]);
    }

    #[test]
    fn of_a_long_value_the_beginning_is_shown() {
        let shown = Value::text("ü".repeat(1000)).to_string();
        assert!(shown.len() < 350 && shown.ends_with("… and 1708 bytes"), "{shown}");
        assert_eq!(Value::text("ü").to_string(), "Text(\"ü\")");
    }

    #[test]
    fn a_field_too_many_is_a_difference_unless_more_is_allowed() {
        let (one, two) =
            (fields(&[("a", Value::Int(1))]), fields(&[("a", Value::Int(1)), ("b", Value::Bool(true))]));
        assert_eq!(differences(&one, &two, Strictness::Exact), ["b is Bool(true), should not be there"]);
        assert!(differences(&one, &two, Strictness::AtLeast).is_empty());
        assert_eq!(differences(&two, &one, Strictness::AtLeast).len(), 1);
        let mut contradicted = one.clone();
        contradict(&mut contradicted, "a", None);
        assert_eq!(
            differences(&one, &contradicted, Strictness::AtLeast),
            ["wrong.a is Nothing, should not be there"]
        );
    }
}
