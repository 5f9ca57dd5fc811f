//! OTLP JSON ⇄ protobuf (OTLP specification, "JSON Protobuf Encoding"), driven by tables of messages.
//!
//! - `tables`, `shape`: OTLP's messages as rows of field number, key and kind
//! - `text`, `number`: the JSON cursor, and integers without doubles
//! - `read`, `write`: the two directions
//! - `copy`, `lists`: an object's members as another peer wants them, its lists in one kind of value
//! - `response`: what an OTLP server answers, in both encodings
//!
//! What is accepted beyond the specification: snake_case keys, enum names, 64-bit integers as numbers, URL-safe or
//! unpadded base64, a byte order mark. A key that comes twice counts once, with its last value; `null` counts as
//! absent; unknown keys are passed over. The bit patterns of NaN do not survive JSON, everything else does.

mod copy;
mod lists;
mod number;
mod read;
pub mod response;
mod shape;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod write;

pub use copy::object_members;
pub use lists::{Lists, of_one_kind};
pub use write::quoted;

use std::fmt;

use crate::walk;
use crate::{Signal, WireError};

/// Why text is not an OTLP JSON request. The number is the offset of the byte, behind a byte order mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// The text ends inside a value that starts or is awaited here.
    Unfinished(usize),
    /// Something else stands where this is needed.
    Expected(usize, &'static str),
    /// More text follows the request.
    Trailing(usize),
    /// The text is not UTF-8.
    Utf8(usize),
    /// A string holds an unescaped control character.
    Control(usize),
    /// A backslash starts no escape.
    Escape(usize),
    /// An escape is half of a surrogate pair.
    Surrogate(usize),
    /// Arrays and objects nest deeper than 128.
    TooDeep(usize),
    /// A number literal is longer than 1100 bytes.
    LongNumber(usize),
    /// The named field's number is out of range, or no integer where one is needed.
    Range(usize, &'static str),
    /// The named field's text is none of its enum's names.
    Enum(usize, &'static str),
    /// The named field's text is not base64.
    Base64(usize, &'static str),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished(at) => write!(f, "JSON ends inside the value at byte {at}"),
            Self::Expected(at, what) => write!(f, "JSON at byte {at} is not {what}"),
            Self::Trailing(at) => write!(f, "JSON goes on at byte {at} behind the request"),
            Self::Utf8(at) => write!(f, "JSON at byte {at} is not UTF-8"),
            Self::Control(at) => write!(f, "JSON string holds a bare control character at byte {at}"),
            Self::Escape(at) => write!(f, "JSON string holds an unknown escape at byte {at}"),
            Self::Surrogate(at) => write!(f, "JSON string holds half a surrogate pair at byte {at}"),
            Self::TooDeep(at) => write!(f, "JSON at byte {at} nests deeper than {}", text::MOST_LEVELS),
            Self::LongNumber(at) => {
                write!(f, "JSON number at byte {at} is longer than {} bytes", text::LONGEST_NUMBER)
            }
            Self::Range(at, name) => write!(f, "JSON number at byte {at} does not fit {name}"),
            Self::Enum(at, name) => write!(f, "JSON text at byte {at} is no value of {name}"),
            Self::Base64(at, name) => write!(f, "JSON text at byte {at} for {name} is not base64"),
        }
    }
}

impl std::error::Error for JsonError {}

/// Makes protobuf of the signal's `Export…ServiceRequest` in JSON.
///
/// An id of a wrong length keeps its length, and an id that is not hex gets a length that no id has: the check of
/// ids rejects such a record alone. Any other fault refuses the whole request. The result is at most a small
/// multiple of the input.
pub fn to_proto(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut text = text::Text::new(json)?;
    let mut out = Vec::with_capacity(json.len() / 2);
    read::message(&mut text, tables::request(signal), &mut out)?;
    text.end()?;
    Ok(out)
}

/// Makes one compact line of JSON, without a line end, of the signal's request in protobuf.
///
/// Fails on bytes that are no such message: on a string that is not UTF-8, too, and on messages that nest deeper
/// than 112.
pub fn to_json(signal: Signal, plain: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::with_capacity(plain.len() * 2);
    write::object(plain, tables::request(signal), 0, &mut out)?;
    Ok(out)
}

/// Like `to_json`, but makes one request of each resource entry and ends each with a line feed.
pub fn to_json_lines(signal: Signal, plain: &[u8]) -> Result<Vec<u8>, WireError> {
    let shape = tables::request(signal);
    let mut out = Vec::with_capacity(plain.len() * 2);
    for field in walk::fields(plain) {
        let field = field?;
        if shape.find_number(field.number).is_some() {
            write::object(&plain[field.start..field.end], shape, 0, &mut out)?;
            out.push(b'\n');
        }
    }
    Ok(out)
}
