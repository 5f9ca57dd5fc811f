//! Protobuf → OTLP JSON, driven by the tables: one compact line, ids in hex, 64-bit integers as strings, enums as
//! integers, absent and zero scalars left out.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::shape::{Kind, MOST_FIELDS, Presence, Shape, Slot};
use crate::WireError;
use crate::walk::{self, Field, Value};

/// How deep messages may nest: 32 levels of attribute values, three messages each, within a request.
const MOST_LEVELS: usize = 112;

/// Appends `message` as a JSON object.
pub(super) fn object(
    message: &[u8],
    shape: &Shape,
    level: usize,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    if level > MOST_LEVELS {
        return Err(WireError::TooDeep(MOST_LEVELS));
    }
    let found = Found::read(message, shape)?;
    out.push(b'{');
    let open = out.len();
    for (slot, last) in shape.fields.iter().zip(&found.last) {
        let Some(last) = last else { continue };
        let undo = out.len();
        if out.len() > open {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(slot.name.as_bytes());
        out.extend_from_slice(b"\":");
        let shown = match slot.presence {
            Presence::Repeated => list(message, slot, level, out)?,
            _ => single(message, last, slot, level, out)?,
        };
        if !shown {
            out.truncate(undo);
        }
    }
    out.push(b'}');
    Ok(())
}

/// The last occurrence of each field, which is the one that counts for scalars.
struct Found<'a> {
    last: [Option<Last<'a>>; MOST_FIELDS],
}

#[derive(Clone, Copy)]
struct Last<'a> {
    field: Field<'a>,
    /// Where the first occurrence starts that still counts: behind the last other member of a `oneof`.
    first: usize,
}

impl<'a> Found<'a> {
    fn read(message: &'a [u8], shape: &Shape) -> Result<Self, WireError> {
        let mut last: [Option<Last<'a>>; MOST_FIELDS] = [None; MOST_FIELDS];
        let mut chosen = None;
        for field in walk::fields(message) {
            let field = field?;
            let Some(index) = shape.find_number(field.number) else { continue };
            if shape.fields[index].presence == Presence::Choice
                && let Some(other) = chosen.replace(index)
                && other != index
            {
                last[other] = None;
            }
            last[index] = Some(Last { field, first: last[index].map_or(field.start, |last| last.first) });
        }
        Ok(Self { last })
    }
}

fn single(
    message: &[u8],
    last: &Last<'_>,
    slot: &Slot,
    level: usize,
    out: &mut Vec<u8>,
) -> Result<bool, WireError> {
    let Kind::Message(shape) = slot.kind else {
        return scalar(last.field.value, slot, slot.presence == Presence::Implicit, out);
    };
    let mut content = Cow::Borrowed(last.field.bytes()?);
    if last.first < last.field.start {
        // Occurrences of one message field merge, and the merge of messages is their concatenation.
        let mut merged = Vec::new();
        for field in walk::fields(message) {
            let field = field?;
            if field.number == slot.number && field.start >= last.first {
                merged.extend_from_slice(field.bytes()?);
            }
        }
        content = Cow::Owned(merged);
    }
    object(&content, shape, level + 1, out)?;
    Ok(true)
}

fn list(message: &[u8], slot: &Slot, level: usize, out: &mut Vec<u8>) -> Result<bool, WireError> {
    out.push(b'[');
    let open = out.len();
    let comma = |out: &mut Vec<u8>| {
        if out.len() > open {
            out.push(b',');
        }
    };
    for field in walk::fields(message) {
        let field = field?;
        if field.number != slot.number {
            continue;
        }
        match (slot.kind, field.value) {
            (Kind::Message(shape), _) => {
                comma(out);
                object(field.bytes()?, shape, level + 1, out)?;
            }
            (Kind::Fixed64 | Kind::Double | Kind::Uint64, Value::Len(packed)) => {
                let mut at = 0;
                while at < packed.len() {
                    let value;
                    (value, at) = element(slot, packed, at)?;
                    comma(out);
                    scalar(value, slot, false, out)?;
                }
            }
            (_, value) => {
                comma(out);
                scalar(value, slot, false, out)?;
            }
        }
    }
    out.push(b']');
    Ok(true)
}

/// One value of a packed list.
fn element<'a>(slot: &Slot, packed: &'a [u8], at: usize) -> Result<(Value<'a>, usize), WireError> {
    if matches!(slot.kind, Kind::Uint64) {
        let (value, next) = walk::varint(packed, at)?;
        return Ok((Value::Varint(value), next));
    }
    let bytes = packed.get(at..at + 8).ok_or(WireError::Truncated(at))?;
    Ok((Value::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken"))), at + 8))
}

/// Appends a scalar; `false` when it is zero and zeros are left out.
fn scalar(value: Value<'_>, slot: &Slot, skip_zero: bool, out: &mut Vec<u8>) -> Result<bool, WireError> {
    let zero = match value {
        Value::Varint(bits) | Value::Fixed64(bits) => bits == 0,
        Value::Fixed32(bits) => bits == 0,
        Value::Len(bytes) => bytes.is_empty(),
    };
    if zero && skip_zero {
        return Ok(false);
    }
    match (slot.kind, value) {
        (Kind::Text, Value::Len(bytes)) => {
            let text = simdutf8::basic::from_utf8(bytes).map_err(|_| WireError::Utf8(slot.number))?;
            quoted(text, out);
        }
        (Kind::Id, Value::Len(bytes)) => {
            out.push(b'"');
            for byte in bytes {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            out.push(b'"');
        }
        (Kind::Bytes, Value::Len(bytes)) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
        (Kind::Bool, Value::Varint(value)) => {
            out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
        }
        (Kind::Double, Value::Fixed64(bits)) => double(f64::from_bits(bits), out),
        (Kind::Fixed64, Value::Fixed64(value)) | (Kind::Uint64, Value::Varint(value)) => long(value, out),
        (Kind::Sfixed64, Value::Fixed64(value)) | (Kind::Int64, Value::Varint(value)) => {
            long(value as i64, out);
        }
        (Kind::Fixed32, Value::Fixed32(value)) => short(value, out),
        (Kind::Uint32, Value::Varint(value)) => short(value as u32, out),
        (Kind::Sint32, Value::Varint(value)) => short(walk::zigzag(value) as i32, out),
        (Kind::Enum(_), Value::Varint(value)) => short(value as i32, out),
        _ => return Err(WireError::Mismatch(slot.number)),
    }
    Ok(true)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn long(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(b'"');
    short(value, out);
    out.push(b'"');
}

fn short(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest number that reads back as the same double; JSON has no words for the rest.
fn double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        write!(out, "{value:?}").expect("writing to memory cannot fail");
    }
}

/// Appends a JSON string.
pub fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..i]);
        plain_from = i + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}
