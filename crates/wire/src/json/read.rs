//! OTLP JSON → protobuf, driven by the tables.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::JsonError;
use super::number::{integer, is_literal};
use super::shape::{Kind, MOST_FIELDS, Presence, Shape, Slot};
use super::text::Text;
use crate::put;

/// Reads one object as `shape`, appending its protobuf fields to `out`.
pub(super) fn message(
    text: &mut Text<'_>,
    shape: &'static Shape,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let mut places = Places::default();
    let mut hint = 0;
    text.object(|text, key| {
        let Some(index) = shape.find_key(key, hint) else { return text.skip() };
        hint = index + 1;
        if text.null() {
            return Ok(());
        }
        let slot = &shape.fields[index];
        places.clear(index, shape, out);
        let start = out.len();
        if slot.presence == Presence::Repeated {
            repeated(text, slot, out)?;
        } else {
            single(text, slot, out)?;
        }
        places.0[index] = (start, out.len());
        Ok(())
    })
}

/// Where each field of the message at hand was written. A key that comes again (or another member of the same
/// `oneof`) takes the place of the earlier one; protobuf alone would append lists and merge messages.
#[derive(Default)]
struct Places([(usize, usize); MOST_FIELDS]);

impl Places {
    fn clear(&mut self, index: usize, shape: &Shape, out: &mut Vec<u8>) {
        if shape.fields[index].presence == Presence::Choice {
            for other in 0..shape.fields.len() {
                if shape.fields[other].presence == Presence::Choice {
                    self.remove(other, out);
                }
            }
        } else {
            self.remove(index, out);
        }
    }

    /// Cuts a field out. The bytes moved were all written since that field was, so repeating a key costs at most
    /// the number of fields times the length of the input.
    fn remove(&mut self, index: usize, out: &mut Vec<u8>) {
        let (start, end) = self.0[index];
        if start == end {
            return;
        }
        out.drain(start..end);
        self.0[index] = (0, 0);
        for place in &mut self.0 {
            if place.0 >= end {
                place.0 -= end - start;
                place.1 -= end - start;
            }
        }
    }
}

fn repeated(text: &mut Text<'_>, slot: &'static Slot, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match slot.kind {
        Kind::Message(shape) => text.array(|text| {
            if text.null() {
                put::bytes(out, slot.number, &[]);
                return Ok(());
            }
            put::message(out, slot.number, |out| message(text, shape, out))
        }),
        Kind::Text => text.array(|text| single(text, slot, out)),
        _ if text.peek() == Some(b'[') => {
            put::message(out, slot.number, |packed| text.array(|text| scalar(text, slot, packed).map(drop)))
        }
        _ => Err(text.expected("an array")),
    }
}

fn single(text: &mut Text<'_>, slot: &'static Slot, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let number = slot.number;
    match slot.kind {
        Kind::Message(shape) => put::message(out, number, |out| message(text, shape, out)),
        Kind::Text => {
            put::bytes(out, number, text.string("a string")?.as_bytes());
            Ok(())
        }
        Kind::Id => {
            let id = text.string("an id in hex")?;
            if !id.is_empty() {
                put::bytes(out, number, &id_bytes(&id));
            }
            Ok(())
        }
        Kind::Bytes => {
            let at = text.at();
            let encoded = text.string("base64")?;
            let bytes = base64_bytes(&encoded).ok_or(JsonError::Base64(at, slot.name))?;
            put::bytes(out, number, &bytes);
            Ok(())
        }
        kind => {
            put::varint(out, u64::from(number) << 3 | wire_type(kind));
            scalar(text, slot, out)
        }
    }
}

/// The wire type of a scalar.
fn wire_type(kind: Kind) -> u64 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => 1,
        Kind::Fixed32 => 5,
        Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => 2,
        Kind::Bool | Kind::Uint32 | Kind::Uint64 | Kind::Int64 | Kind::Sint32 | Kind::Enum(_) => 0,
    }
}

/// Appends a scalar without its tag.
fn scalar(text: &mut Text<'_>, slot: &'static Slot, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match slot.kind {
        Kind::Bool => put::varint(out, u64::from(text.boolean()?)),
        Kind::Double => out.extend_from_slice(&double(text, slot)?.to_bits().to_le_bytes()),
        Kind::Fixed64 => out.extend_from_slice(&int::<u64>(text, slot)?.to_le_bytes()),
        Kind::Sfixed64 => out.extend_from_slice(&int::<i64>(text, slot)?.to_le_bytes()),
        Kind::Fixed32 => out.extend_from_slice(&int::<u32>(text, slot)?.to_le_bytes()),
        Kind::Uint32 => put::varint(out, int::<u32>(text, slot)?.into()),
        Kind::Uint64 => put::varint(out, int::<u64>(text, slot)?),
        Kind::Int64 => put::varint(out, int::<i64>(text, slot)? as u64),
        Kind::Sint32 => {
            let value = i64::from(int::<i32>(text, slot)?);
            put::varint(out, (value << 1 ^ value >> 63) as u64);
        }
        Kind::Enum(names) => put::varint(out, i64::from(enumeration(text, slot, names)?) as u64),
        Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => return Err(text.expected("a scalar")),
    }
    Ok(())
}

fn int<T: TryFrom<i128>>(text: &mut Text<'_>, slot: &Slot) -> Result<T, JsonError> {
    let at = text.at();
    let value = match text.peek() {
        Some(b'"') => {
            let digits = text.string("an integer")?;
            if is_literal(&digits) { integer(&digits) } else { None }
        }
        Some(b'-' | b'0'..=b'9') => integer(text.number()?),
        _ => return Err(text.expected("an integer")),
    };
    value.and_then(|value| T::try_from(value).ok()).ok_or(JsonError::Range(at, slot.name))
}

fn double(text: &mut Text<'_>, slot: &Slot) -> Result<f64, JsonError> {
    let at = text.at();
    let value = match text.peek() {
        Some(b'"') => match text.string("a number")?.as_ref() {
            "NaN" => return Ok(f64::NAN),
            "Infinity" => return Ok(f64::INFINITY),
            "-Infinity" => return Ok(f64::NEG_INFINITY),
            digits if is_literal(digits) => digits.parse().ok(),
            _ => None,
        },
        Some(b'-' | b'0'..=b'9') => text.number()?.parse::<f64>().ok(),
        _ => return Err(text.expected("a number")),
    };
    value.filter(|value| value.is_finite()).ok_or(JsonError::Range(at, slot.name))
}

fn enumeration(text: &mut Text<'_>, slot: &Slot, names: &[(&str, i32)]) -> Result<i32, JsonError> {
    if text.peek() != Some(b'"') {
        return int(text, slot);
    }
    let at = text.at();
    let name = text.string("an enum name")?;
    if let Some(&(_, number)) = names.iter().find(|(known, _)| *known == name) {
        return Ok(number);
    }
    let number = if is_literal(&name) { integer(&name) } else { None };
    number.and_then(|number| i32::try_from(number).ok()).ok_or(JsonError::Enum(at, slot.name))
}

/// The bytes of an id. Hex of any length becomes its bytes, so that a wrong length is seen where ids are checked.
/// Text that is not hex becomes bytes of a length that no id has, so that the same check rejects this record and
/// no other: the text itself, one byte longer when it happens to be as long as an id.
fn id_bytes(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    if text.len().is_multiple_of(2)
        && let Some(bytes) = text.as_bytes().chunks_exact(2).map(pair).collect()
    {
        return bytes;
    }
    let mut bytes = text.as_bytes().to_vec();
    if matches!(bytes.len(), 8 | 16) {
        bytes.push(b'?');
    }
    bytes
}

/// Standard or URL-safe alphabet, padded or not.
fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
    if text.contains(['-', '_']) {
        return ENGINE.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    ENGINE.decode(text).ok()
}
