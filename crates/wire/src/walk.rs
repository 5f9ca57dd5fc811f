//! The walker: borrowed iteration over the fields of one protobuf message.
//!
//! Every view stands on it. It allocates nothing, recurses nowhere and looks at each byte once. It knows the
//! wire format only (protobuf encoding spec, "Message Structure"); field meanings belong to the views.

use std::fmt;

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The input ends inside a field; the value is the offset of the field's tag.
    Truncated(usize),
    /// A varint is longer than 10 bytes or overflows 64 bits.
    Varint(usize),
    /// A field number is 0 or above 2^29 − 1.
    FieldNumber(usize),
    /// A wire type is 3, 4 (groups), 6 or 7.
    WireType(usize),
    /// A known field has a wire type that its definition forbids; the value is the field number.
    Mismatch(u32),
    /// Messages nest deeper than the limit given.
    TooDeep(usize),
    /// A message holds more entries than the limit given.
    TooMany(usize),
    /// A string field is not UTF-8; the value is the field number.
    Utf8(u32),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(at) => {
                write!(f, "protobuf field at byte {at} reaches beyond the end of its message")
            }
            Self::Varint(at) => write!(f, "protobuf varint at byte {at} is longer than 64 bits"),
            Self::FieldNumber(at) => write!(f, "protobuf tag at byte {at} has no valid field number"),
            Self::WireType(at) => write!(f, "protobuf tag at byte {at} has an unsupported wire type"),
            Self::Mismatch(field) => write!(f, "protobuf field {field} has the wrong wire type"),
            Self::TooDeep(limit) => write!(f, "protobuf messages nest deeper than {limit}"),
            Self::TooMany(limit) => write!(f, "protobuf message holds more than {limit} entries"),
            Self::Utf8(field) => write!(f, "protobuf string field {field} is not UTF-8"),
        }
    }
}

impl std::error::Error for WireError {}

/// One field's value, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little-endian.
    Fixed64(u64),
    /// Wire type 2: a string, bytes, a message or packed scalars.
    Len(&'a [u8]),
    /// Wire type 5, little-endian.
    Fixed32(u32),
}

/// One field of a message, with its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field number, 1 to 2^29 − 1.
    pub number: u32,
    /// What the field holds.
    pub value: Value<'a>,
    /// Offset of the tag's first byte in the message walked.
    pub start: usize,
    /// Offset just behind the field's last byte.
    pub end: usize,
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field, or `Mismatch`.
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Len(bytes) => Ok(bytes),
            _ => Err(WireError::Mismatch(self.number)),
        }
    }

    /// The text of a string field, `Mismatch` or `Utf8`.
    #[inline]
    pub fn text(&self) -> Result<&'a str, WireError> {
        simdutf8::basic::from_utf8(self.bytes()?).map_err(|_| WireError::Utf8(self.number))
    }

    /// The number of a varint field, or `Mismatch`.
    #[inline]
    pub fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(WireError::Mismatch(self.number)),
        }
    }

    /// The bits of a fixed64, sfixed64 or double field, or `Mismatch`.
    #[inline]
    pub fn fixed64(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Fixed64(value) => Ok(value),
            _ => Err(WireError::Mismatch(self.number)),
        }
    }

    /// The bits of a fixed32 field, or `Mismatch`.
    #[inline]
    pub fn fixed32(&self) -> Result<u32, WireError> {
        match self.value {
            Value::Fixed32(value) => Ok(value),
            _ => Err(WireError::Mismatch(self.number)),
        }
    }
}

/// Iterates over a message's fields in wire order. After an error it ends.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

/// Walks `message`.
#[inline]
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { message, at: 0 }
}

impl<'a> Fields<'a> {
    #[inline(always)]
    fn read(&mut self) -> Result<Field<'a>, WireError> {
        let start = self.at;
        let (tag, mut at) = varint(self.message, start)?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::FieldNumber(start));
        }
        let value = match tag & 7 {
            0 => {
                let (value, next) = varint(self.message, at)?;
                at = next;
                Value::Varint(value)
            }
            1 => {
                let bytes = self.cut(start, at, 8)?;
                at += 8;
                Value::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
            }
            2 => {
                let (len, next) = varint(self.message, at)?;
                let len = usize::try_from(len).map_err(|_| WireError::Truncated(start))?;
                let bytes = self.cut(start, next, len)?;
                at = next + len;
                Value::Len(bytes)
            }
            5 => {
                let bytes = self.cut(start, at, 4)?;
                at += 4;
                Value::Fixed32(u32::from_le_bytes(bytes.try_into().expect("four bytes were taken")))
            }
            _ => return Err(WireError::WireType(start)),
        };
        self.at = at;
        Ok(Field { number: number as u32, value, start, end: at })
    }

    #[inline(always)]
    fn cut(&self, start: usize, at: usize, len: usize) -> Result<&'a [u8], WireError> {
        let end = at.checked_add(len).ok_or(WireError::Truncated(start))?;
        self.message.get(at..end).ok_or(WireError::Truncated(start))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    // Inlined into each view's loop, where the match on the field's number and the one on its wire type become one.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.message.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.at = self.message.len();
        }
        Some(field)
    }
}

/// Reads a base-128 varint at `at`; answers the value and the offset behind it.
#[inline]
pub fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), WireError> {
    if let Some(&byte) = bytes.get(at)
        && byte < 0x80
    {
        return Ok((u64::from(byte), at + 1));
    }
    let mut value = 0u64;
    for (i, &byte) in bytes.get(at..).unwrap_or(&[]).iter().take(10).enumerate() {
        if i == 9 && byte > 1 {
            return Err(WireError::Varint(at));
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, at + i + 1));
        }
    }
    Err(if bytes.len().saturating_sub(at) >= 10 { WireError::Varint(at) } else { WireError::Truncated(at) })
}

/// Undoes protobuf's ZigZag coding of `sint32` and `sint64`.
#[inline]
pub fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
