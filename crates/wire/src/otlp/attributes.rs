//! Attributes, values, resources and scopes: what all three signals share.

use super::View;
use crate::walk::{Fields, WireError, fields};

/// How deep values may nest.
pub const MAX_DEPTH: usize = 32;

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
        let mut value = AnyValue::Empty;
        for field in fields(raw) {
            let field = field?;
            value = match field.number {
                1 => AnyValue::Str(field.text()?),
                2 => AnyValue::Bool(field.varint()? != 0),
                3 => AnyValue::Int(field.varint()? as i64),
                4 => AnyValue::Double(f64::from_bits(field.fixed64()?)),
                5 => AnyValue::Array(Values { fields: fields(field.bytes()?) }),
                6 => AnyValue::Map(Attributes::new(field.bytes()?, 1)),
                7 => AnyValue::Bytes(field.bytes()?),
                _ => continue,
            };
        }
        Ok(value)
    }
}

/// The values of an array.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<AnyValue<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        for field in self.fields.by_ref() {
            match field {
                Ok(field) if field.number == 1 => return Some(field.bytes().and_then(AnyValue::read)),
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
        let mut pair = KeyValue { key: "", value: AnyValue::Empty };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => pair.key = field.text()?,
                2 => pair.value = AnyValue::read(field.bytes()?)?,
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
}

impl<'a> Attributes<'a> {
    /// The attributes in field `number` of `message`.
    pub fn new(message: &'a [u8], number: u32) -> Self {
        Self { fields: fields(message), number }
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
                    return Some(field.bytes().and_then(KeyValue::read));
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
