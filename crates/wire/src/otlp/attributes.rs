//! Attributes, values, resources and scopes: what all three signals share.

use super::View;
use crate::walk::{Fields, WireError, fields};

/// How deep arrays and maps may nest. A value below that reads as `WireError::TooDeep`, so that whoever follows values
/// down by recursion stays within this depth whatever the bytes say.
pub const MAX_DEPTH: usize = 32;

/// The most attributes of one span, event, link, record or point that a receiver takes.
pub const MAX_ATTRIBUTES: usize = 1024;

/// A value of any kind, borrowed. Arrays and maps are walked when asked for.
#[derive(Debug, Clone)]
pub enum AnyValue<'a> {
    /// No value.
    Empty,
    /// Text.
    Str(&'a str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Values in order.
    Array(Values<'a>),
    /// Values by key.
    Map(Attributes<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> View<'a> for AnyValue<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        Self::read_at(raw, 0)
    }
}

impl<'a> AnyValue<'a> {
    /// Reads a value around which `depth` arrays and maps lie.
    fn read_at(raw: &'a [u8], depth: u8) -> Result<Self, WireError> {
        let mut value = AnyValue::Empty;
        for field in fields(raw) {
            let field = field?;
            value = match field.number {
                1 => AnyValue::Str(field.text()?),
                2 => AnyValue::Bool(field.varint()? != 0),
                3 => AnyValue::Int(field.varint()? as i64),
                4 => AnyValue::Double(f64::from_bits(field.fixed64()?)),
                5 => AnyValue::Array(Values { fields: fields(field.bytes()?), depth: deeper(depth)? }),
                6 => AnyValue::Map(Attributes {
                    fields: fields(field.bytes()?),
                    number: 1,
                    depth: deeper(depth)?,
                }),
                7 => AnyValue::Bytes(field.bytes()?),
                _ => continue,
            };
        }
        Ok(value)
    }
}

fn deeper(depth: u8) -> Result<u8, WireError> {
    if usize::from(depth) < MAX_DEPTH { Ok(depth + 1) } else { Err(WireError::TooDeep(MAX_DEPTH)) }
}

/// The values of an array.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    fields: Fields<'a>,
    depth: u8,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<AnyValue<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        for field in self.fields.by_ref() {
            match field {
                Ok(field) if field.number == 1 => {
                    return Some(field.bytes().and_then(|raw| AnyValue::read_at(raw, self.depth)));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

/// One attribute.
#[derive(Debug, Clone)]
pub struct KeyValue<'a> {
    /// Its name.
    pub key: &'a str,
    /// Its value.
    pub value: AnyValue<'a>,
}

impl<'a> View<'a> for KeyValue<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        Self::read_at(raw, 0)
    }
}

impl<'a> KeyValue<'a> {
    fn read_at(raw: &'a [u8], depth: u8) -> Result<Self, WireError> {
        let mut pair = KeyValue { key: "", value: AnyValue::Empty };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => pair.key = field.text()?,
                2 => pair.value = AnyValue::read_at(field.bytes()?, depth)?,
                _ => {}
            }
        }
        Ok(pair)
    }
}

/// The attributes in one repeated field of a message.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    fields: Fields<'a>,
    number: u32,
    depth: u8,
}

impl<'a> Attributes<'a> {
    /// The attributes in field `number` of `message`.
    pub fn new(message: &'a [u8], number: u32) -> Self {
        Self { fields: fields(message), number, depth: 0 }
    }

    /// The first attribute named `key`.
    pub fn get(&self, key: &str) -> Result<Option<AnyValue<'a>>, WireError> {
        for pair in self.clone() {
            let pair = pair?;
            if pair.key == key {
                return Ok(Some(pair.value));
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<KeyValue<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        for field in self.fields.by_ref() {
            match field {
                Ok(field) if field.number == self.number => {
                    return Some(field.bytes().and_then(|raw| KeyValue::read_at(raw, self.depth)));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

/// Who made the telemetry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resource<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
}

impl<'a> View<'a> for Resource<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        Ok(Self { raw })
    }
}

impl<'a> Resource<'a> {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 1)
    }
}

/// Which instrumentation made it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
}

impl<'a> Scope<'a> {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 3)
    }
}

impl<'a> View<'a> for Scope<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut scope = Scope { raw, name: "", version: "" };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => scope.name = field.text()?,
                2 => scope.version = field.text()?,
                _ => {}
            }
        }
        Ok(scope)
    }
}
