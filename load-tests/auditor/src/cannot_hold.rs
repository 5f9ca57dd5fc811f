//! What a back end cannot hold, as data: the expectation is reduced by exactly that.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::content::sample::STALE;
use crate::text;
use crate::value::{Fields, Value};

/// What a back end cannot hold: the only ways in which it may differ from what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CannotHold {
    /// Fields of this name, or that begin with it when it ends with a dot.
    Field(&'static str),
    /// The same of spans alone.
    SpanField(&'static str),
    /// Times finer than so many nanoseconds: they are cut.
    TimesBelow(u64),
    /// More than one NaN beside the stale marker.
    NanPayloads,
    /// Samples that are NaN: nothing is there, unless it is the stale marker.
    Nans,
    /// More than about eleven digits, the exponent being the same for all samples of a series: small ones beside large ones are 0.
    Digits,
    /// Native histograms: nothing is there.
    NativeHistograms,
    /// Bytes: they are base64 text.
    Bytes,
    /// Which kind of value an attribute or a body has: it is text (`text.rs`).
    Kinds,
    /// The sign of zeros.
    ZeroSigns,
    /// Lists and maps as attributes: they are text, JSON as Go writes it.
    Nesting,
    /// Attributes of empty text.
    EmptyTexts,
    /// Attributes whose text is of more bytes.
    AttributesAbove(usize),
    /// U+FFFD in the text of attributes: a space stands instead.
    ReplacementCharacter,
    /// Whether record, scope or resource has an attribute, and in its name more than letters, digits and single `_`.
    Places,
    /// Whole numbers as values of points: they are the nearest double.
    WholeNumbers,
    /// That the sum, the least or the greatest of a distribution is not known: it is 0.
    MissingNumbers,
}

impl CannotHold {
    /// The expectation without what cannot be held.
    fn apply(self, mut fields: Fields) -> Fields {
        let is_distribution = fields.contains_key("counts") || fields.contains_key("scale");
        if self == Self::MissingNumbers && is_distribution {
            for name in ["sum", "min", "max"] {
                fields.entry(name.to_owned()).or_insert(Value::double(0.0));
            }
        }
        let is_span = fields.contains_key("start") && fields.contains_key("span_id");
        fields.into_iter().filter_map(|(name, value)| self.field(is_span, name, value)).collect()
    }

    /// What is left of a field.
    fn field(self, is_span: bool, name: String, value: Value) -> Option<(String, Value)> {
        let is_named = |prefix: &str| name == prefix || (prefix.ends_with('.') && name.starts_with(prefix));
        let value = match (self, value) {
            (Self::Field(of), _) if is_named(of) => return None,
            (Self::SpanField(of), _) if is_span && is_named(of) => return None,
            (Self::EmptyTexts, Value::Text(text)) if text.is_empty() => return None,
            (Self::AttributesAbove(most), Value::Text(text))
                if text.len() > most && attribute(&name).is_some() =>
            {
                return None;
            }
            (Self::TimesBelow(unit), Value::Time(nanos)) => Value::Time(nanos - nanos % unit),
            (Self::NanPayloads, value) => without_payloads(value),
            (Self::Nans, Value::Double(bits)) if f64::from_bits(bits).is_nan() && bits != STALE => {
                return None;
            }
            (Self::ZeroSigns, value) if value == Value::double(-0.0) => Value::double(0.0),
            (Self::NativeHistograms, Value::Map(_)) if name.starts_with("sample.") => return None,
            (Self::Bytes, value) => with_bytes_as_text(value),
            (Self::Kinds, value) if name == "body" || attribute(&name).is_some() => {
                Value::Text(text::of(&value))
            }
            (Self::Nesting, value @ (Value::List(_) | Value::Map(_))) if attribute(&name).is_some() => {
                Value::Text(text::of_go(&value))
            }
            (Self::ReplacementCharacter, Value::Text(text)) if attribute(&name).is_some() => {
                Value::Text(text.replace('\u{fffd}', " "))
            }
            (Self::WholeNumbers, Value::Int(number)) if name == "value" => Value::double(number as f64),
            (_, value) => value,
        };
        let name = match (self, attribute(&name)) {
            (Self::Places, Some(key)) => format!("attr.{}", plain(key)),
            _ => name,
        };
        Some((name, value))
    }
}

/// The key of an attribute of whatever.
fn attribute(field: &str) -> Option<&str> {
    let of_item = ["attr.", "resource.", "scope.attr."].iter().find_map(|prefix| field.strip_prefix(prefix));
    let inner = || {
        let inner = field.strip_prefix("event.").or_else(|| field.strip_prefix("link."))?;
        inner.split_once(".attr.").map(|(_, key)| key)
    };
    of_item.or_else(inner)
}

/// The name with `_` for each run of what is no ASCII letter or digit; one that begins with a digit, or of which nothing is left, has `key`
/// before it.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    match out.as_str() {
        "" | "_" => "key".to_owned(),
        _ if out.starts_with(|c: char| c.is_ascii_digit()) => format!("key_{out}"),
        _ => out,
    }
}

fn without_payloads(value: Value) -> Value {
    match value {
        Value::Double(bits) if f64::from_bits(bits).is_nan() && bits != STALE => Value::double(f64::NAN),
        Value::List(all) => Value::List(all.into_iter().map(without_payloads).collect()),
        other => other,
    }
}

fn with_bytes_as_text(value: Value) -> Value {
    match value {
        Value::Bytes(bytes) => Value::Text(BASE64_STANDARD.encode(bytes)),
        Value::List(all) => Value::List(all.into_iter().map(with_bytes_as_text).collect()),
        Value::Map(all) => {
            Value::Map(all.into_iter().map(|(name, value)| (name, with_bytes_as_text(value))).collect())
        }
        other => other,
    }
}

/// What was found, with the digits of the expectation where they were lost to [`CannotHold::Digits`]. `largest` is the largest number of the
/// series.
pub fn with_lost_digits(cannot: &[CannotHold], expected: &Fields, mut found: Fields, largest: f64) -> Fields {
    const SHARE: f64 = 1e-11;
    // Numbers as small as these are 0 even alone.
    const LEAST: f64 = 1e-290;
    if !cannot.contains(&CannotHold::Digits) {
        return found;
    }
    for (name, value) in &mut found {
        let (Value::Double(is), Some(Value::Double(of))) = (&*value, expected.get(name)) else { continue };
        let (is, should) = (f64::from_bits(*is), f64::from_bits(*of));
        if (is - should).abs() <= (largest * SHARE).max(LEAST) {
            *value = Value::double(should);
        }
    }
    found
}

/// The expectation of a back end without what it cannot hold.
pub fn held(cannot: &[CannotHold], fields: Fields) -> Fields {
    cannot.iter().fold(fields, |fields, one| one.apply(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_may_differ() {
        let fields: Fields = [
            ("time".to_owned(), Value::Time(1_234_567)),
            ("value".to_owned(), Value::Double(0x7ff8_0000_dead_beef)),
            ("flags".to_owned(), Value::Int(1)),
            ("link.0.flags".to_owned(), Value::Int(2)),
        ]
        .into();
        assert_eq!(held(&[], fields.clone()), fields);
        let less = held(
            &[CannotHold::TimesBelow(1000), CannotHold::NanPayloads, CannotHold::Field("flags")],
            fields.clone(),
        );
        assert_eq!(less["time"], Value::Time(1_234_000));
        assert_eq!(less["value"], Value::double(f64::NAN));
        assert!(!less.contains_key("flags") && less.contains_key("link.0.flags"));
        assert!(!held(&[CannotHold::Field("link.")], fields).contains_key("link.0.flags"));
    }

    #[test]
    fn bytes_become_text_wherever_they_lie() {
        let bytes = || Value::Bytes(vec![0xfb, 0xff, 1]);
        let fields: Fields = [
            ("a".to_owned(), bytes()),
            ("b".to_owned(), Value::List(vec![bytes(), Value::Map([("c".to_owned(), bytes())].into())])),
        ]
        .into();
        let text = || Value::text("+/8B");
        let less = held(&[CannotHold::Bytes], fields);
        assert_eq!(less["a"], text());
        assert_eq!(less["b"], Value::List(vec![text(), Value::Map([("c".to_owned(), text())].into())]));
    }

    #[test]
    fn attributes_become_text_of_plain_names() {
        let fields: Fields = [
            ("attr.http.route".to_owned(), Value::Int(-1)),
            ("resource.ключ".to_owned(), Value::Bool(true)),
            ("scope.attr.9".to_owned(), Value::double(0.5)),
            ("attr.empty".to_owned(), Value::text("")),
            ("attr.foreign".to_owned(), Value::text("a\u{fffd}")),
            ("attr.long".to_owned(), Value::text("0123456789")),
            ("event.1.attr.list".to_owned(), Value::List(vec![Value::Int(1)])),
            ("body".to_owned(), Value::Map([("a".to_owned(), Value::Int(1))].into())),
            ("severity".to_owned(), Value::Int(9)),
            ("value".to_owned(), Value::Int(i64::MAX)),
        ]
        .into();
        let less = held(
            &[
                CannotHold::Kinds,
                CannotHold::EmptyTexts,
                CannotHold::AttributesAbove(9),
                CannotHold::ReplacementCharacter,
                CannotHold::Places,
                CannotHold::WholeNumbers,
            ],
            fields,
        );
        let expected: Fields = [
            ("attr.http_route".to_owned(), Value::text("-1")),
            ("attr.key".to_owned(), Value::text("true")),
            ("attr.key_9".to_owned(), Value::text("0.5")),
            ("attr.list".to_owned(), Value::text("[1]")),
            ("attr.foreign".to_owned(), Value::text("a ")),
            ("body".to_owned(), Value::text("{\"a\":1}")),
            ("severity".to_owned(), Value::Int(9)),
            ("value".to_owned(), Value::double(9_223_372_036_854_775_807.0)),
        ]
        .into();
        assert_eq!(less, expected);
    }

    #[test]
    fn what_a_distribution_does_not_tell_is_0() {
        let mut fields: Fields = [("sum".to_owned(), Value::double(1.0))].into();
        assert_eq!(held(&[CannotHold::MissingNumbers], fields.clone()), fields);
        fields.insert("scale".into(), Value::Int(0));
        let less = held(&[CannotHold::MissingNumbers], fields);
        assert_eq!([&less["sum"], &less["min"]], [&Value::double(1.0), &Value::double(0.0)]);
    }

    #[test]
    fn what_spans_cannot_hold_is_left_of_all_others() {
        let mut fields: Fields =
            [("flags".to_owned(), Value::Int(1)), ("span_id".to_owned(), Value::text("ab"))].into();
        assert_eq!(held(&[CannotHold::SpanField("flags")], fields.clone()), fields);
        fields.insert("start".into(), Value::Time(1));
        assert_eq!(held(&[CannotHold::SpanField("flags")], fields).len(), 2);
    }
    #[test]
    fn only_digits_that_no_sample_of_the_series_has_room_for_may_be_lost() {
        let of = |number: f64| Fields::from([("sample".to_owned(), Value::double(number))]);
        for (should, is, largest, may) in [
            (1.0 / 3.0, 0.333_333_333_333, 1.0, true),
            (1.0 / 3.0, 0.333_333_333, 1.0, false),
            (0.1, 0.0, 1e300, true),
            (-0.0, 0.0, 0.0, true),
            (f64::MAX, f64::MIN, f64::MAX, false),
            (f64::INFINITY, f64::MAX, f64::MAX, false),
            (5e-324, 0.0, 5e-324, true),
        ] {
            let found = with_lost_digits(&[CannotHold::Digits], &of(should), of(is), largest);
            assert_eq!(found == of(should), may, "{should} {is}");
            assert_eq!(with_lost_digits(&[], &of(should), of(is), largest), of(is));
        }
    }
}
