//! JSON tokens and values, and the keys of objects: none twice, none that a peer reads as both a value and an object.

use std::borrow::Cow;
use std::io::Write;
use std::ops::{Deref, DerefMut};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::UnixNanos;
use wire::WireError;
use wire::json::{Lists, of_one_kind};
use wire::otlp::AnyValue;
use wire::otlp::attributes::{Attributes, KeyValue};

use crate::calendar::rfc3339;

/// The bytes of a document that is being written, and how lists are.
#[derive(Debug, Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
    /// At the moment.
    lists: Lists,
    /// In attributes of items and resources.
    in_attributes: Lists,
}

impl Out {
    pub(super) fn new(in_attributes: Lists, lists: Lists) -> Self {
        Self { bytes: Vec::new(), lists, in_attributes }
    }

    pub(super) fn lists(&self) -> Lists {
        self.lists
    }

    /// Calls `write` to append what holds lists of that kind.
    fn within<R>(&mut self, lists: Lists, write: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.lists, lists);
        let result = write(self);
        self.lists = before;
        result
    }
}

impl Deref for Out {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Out {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// Appends a string.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    wire::json::quoted(text, out);
}

/// Appends an integer.
pub(super) fn integer(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{value}");
}

/// Appends the shortest text that reads back as `value`; the name of what is not finite.
pub(super) fn double(value: f64, out: &mut Vec<u8>) {
    match not_finite(value) {
        Some(name) => string(name, out),
        None => {
            // It always has a point or an exponent, so that a peer that guesses types takes 1.0 for a float.
            let _ = write!(out, "{value:?}");
        }
    }
}

/// The name of a number that JSON cannot write.
pub(super) fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_finite() => None,
        _ if value.is_nan() => Some("NaN"),
        _ if value > 0.0 => Some("Infinity"),
        _ => Some("-Infinity"),
    }
}

/// Appends bytes in hex, as a string.
pub(super) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in bytes {
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}

/// Appends bytes in base64, as a string.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[from..]);
    out.truncate(from + written.unwrap_or(0));
    out.push(b'"');
}

/// Appends a time as a string.
pub(super) fn time(nanos: u64, out: &mut Vec<u8>) {
    out.push(b'"');
    rfc3339(UnixNanos(nanos), out);
    out.push(b'"');
}

/// Appends a value of any kind.
pub(super) fn value(value: &AnyValue<'_>, out: &mut Out) -> Result<(), WireError> {
    match value {
        AnyValue::Empty => out.extend_from_slice(b"null"),
        AnyValue::Str(text) => string(text, out),
        AnyValue::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        AnyValue::Int(number) => integer(number, out),
        AnyValue::Double(number) => double(*number, out),
        AnyValue::Bytes(bytes) => base64(bytes, out),
        AnyValue::Array(values) => {
            let open = out.len();
            out.push(b'[');
            // The outermost list is looked through as a whole.
            out.within(Lists::AsTheyAre, |out| {
                for element in values.clone() {
                    comma(open + 1, out);
                    self::value(&element?, out)?;
                }
                Ok::<_, WireError>(())
            })?;
            out.push(b']');
            if out.lists == Lists::OfOneKind {
                of_one_kind(open, out);
            }
        }
        AnyValue::Map(members) => attributes(members.clone(), out)?,
    }
    Ok(())
}

fn comma(open: usize, out: &mut Vec<u8>) {
    if out.len() > open {
        out.push(b',');
    }
}

/// Appends attributes as an object with their keys as they are, dots among them.
pub(super) fn attributes(attributes: Attributes<'_>, out: &mut Out) -> Result<(), WireError> {
    let mut pairs = Vec::new();
    for pair in attributes {
        let KeyValue { key, value } = pair?;
        pairs.push((settled(key), value));
    }
    untangle(&mut pairs, |value| matches!(value, AnyValue::Map(_)));
    let mut object = Object::open(out);
    for (key, content) in &pairs {
        object.member(key, |out| value(content, out))?;
    }
    object.close();
    Ok(())
}

/// Sorts by key, leaves the last of equal keys, and renames what cannot stand beside another: a value, not an object, whose key is
/// also the beginning of another.
pub(super) fn untangle<T>(pairs: &mut Vec<(Cow<'_, str>, T)>, is_object: impl Fn(&T) -> bool) {
    // The sort is stable: seen from behind, the last of equal keys comes first and is kept.
    pairs.reverse();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs.dedup_by(|later, kept| later.0 == kept.0);
    let begins = |key: &str, other: &str| {
        other.len() > key.len() && other.starts_with(key) && other.as_bytes()[key.len()] == b'.'
    };
    let is_clashing = |at: usize| {
        let (key, value) = &pairs[at];
        // Keys that begin with this one follow it without a gap; those with a dot next are among them.
        let following = pairs[at + 1..].iter().take_while(|(other, _)| other.starts_with(&**key));
        !is_object(value) && following.clone().any(|(other, _)| begins(key, other))
    };
    let clashing: Vec<usize> = (0..pairs.len()).filter(|at| is_clashing(*at)).collect();
    for at in &clashing {
        let mut name = format!("{}.value", pairs[*at].0);
        while pairs.iter().any(|(other, _)| *other == name || begins(&name, other)) {
            name.push('_');
        }
        pairs[*at].0 = Cow::Owned(name);
    }
    if !clashing.is_empty() {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
    }
}

/// The key with no part between dots empty or blank: peers that read dots as objects refuse such.
pub(super) fn settled(key: &str) -> Cow<'_, str> {
    let blank = |part: &str| part.chars().all(char::is_whitespace);
    if !key.split('.').any(blank) {
        return Cow::Borrowed(key);
    }
    let parts: Vec<&str> = key.split('.').map(|part| if blank(part) { "_" } else { part }).collect();
    Cow::Owned(parts.join("."))
}

/// An object that is being written. Nothing empty is left out: callers decide.
pub(super) struct Object<'o> {
    out: &'o mut Out,
    open: usize,
}

impl<'o> Object<'o> {
    pub(super) fn open(out: &'o mut Out) -> Self {
        out.push(b'{');
        let open = out.len();
        Self { out, open }
    }

    /// The bytes so far, to append whole members to: each begins with its comma, so there must be a member before.
    pub(super) fn buffer(&mut self) -> &mut Out {
        self.out
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// A member whose value `write` appends.
    pub(super) fn member<R>(&mut self, name: &str, write: impl FnOnce(&mut Out) -> R) -> R {
        comma(self.open, self.out);
        string(name, self.out);
        self.out.push(b':');
        write(self.out)
    }

    /// A string, unless it is empty.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.member(name, |out| string(text, out));
        }
    }

    /// A time, unless it is 0, which is unknown.
    pub(super) fn time(&mut self, name: &str, nanos: u64) {
        if nanos != 0 {
            self.member(name, |out| time(nanos, out));
        }
    }

    /// Bytes in hex, unless there are none.
    pub(super) fn id(&mut self, name: &str, id: &[u8]) {
        if !id.is_empty() {
            self.member(name, |out| hex(id, out));
        }
    }

    /// An integer.
    pub(super) fn integer(&mut self, name: &str, value: impl std::fmt::Display) {
        self.member(name, |out| integer(value, out));
    }

    /// An integer, unless it is 0.
    pub(super) fn count(&mut self, name: &str, value: u32) {
        if value != 0 {
            self.integer(name, value);
        }
    }

    /// A number; what is not finite is the text `NAME_text` instead.
    pub(super) fn number(&mut self, name: &str, value: f64) {
        match not_finite(value) {
            Some(text) => self.text(&format!("{name}_text"), text),
            None => self.member(name, |out| double(value, out)),
        }
    }

    /// Attributes, unless there are none.
    pub(super) fn attributes(&mut self, name: &str, attributes: Attributes<'_>) -> Result<(), WireError> {
        if attributes.clone().next().is_none() {
            return Ok(());
        }
        self.member(name, |out| self::attributes(attributes, out))
    }

    /// The same of an item or a resource itself.
    pub(super) fn own_attributes(&mut self, name: &str, attributes: Attributes<'_>) -> Result<(), WireError> {
        if attributes.clone().next().is_none() {
            return Ok(());
        }
        let lists = self.out.in_attributes;
        self.member(name, |out| out.within(lists, |out| self::attributes(attributes, out)))
    }

    /// An array whose elements `each` appends.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        elements: impl Iterator<Item = Result<T, WireError>>,
        mut each: impl FnMut(T, &mut Out) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.member(name, |out| {
            out.push(b'[');
            let open = out.len();
            for element in elements {
                let element = element?;
                comma(open, out);
                each(element, out)?;
            }
            out.push(b']');
            Ok(())
        })
    }
}
