//! Views over OTLP: borrowed reading of the bytes of an `Export…ServiceRequest` (opentelemetry-proto 1.11).
//!
//! Each view is one pass over one message: scalars are parsed, repeated parts stay raw and are walked when asked for.
//! Unknown fields are skipped. When a singular field repeats, the last one wins, as protobuf demands.

pub mod attributes;
pub mod ids;
pub mod logs;
pub mod metrics;
pub mod traces;

use std::marker::PhantomData;

use crate::walk::{Field, Fields, Value, WireError, fields};

pub use attributes::{AnyValue, Attributes, KeyValue, Resource, Scope, Values};

/// A view that can be read from the bytes of its message.
pub trait View<'a>: Sized {
    /// Reads the message.
    ///
    /// # Errors
    /// The bytes are not a message, or a known field has the wrong wire type or is not UTF-8.
    fn read(raw: &'a [u8]) -> Result<Self, WireError>;
}

/// Walks the occurrences of one repeated message field and reads each as `T`. After an error it ends.
#[derive(Debug, Clone)]
pub struct Repeated<'a, T> {
    fields: Fields<'a>,
    number: u32,
    view: PhantomData<T>,
}

/// The messages in field `number` of `message`.
pub fn repeated<'a, T: View<'a>>(message: &'a [u8], number: u32) -> Repeated<'a, T> {
    Repeated { fields: fields(message), number, view: PhantomData }
}

impl<'a, T: View<'a>> Iterator for Repeated<'a, T> {
    type Item = Result<T, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        for field in self.fields.by_ref() {
            match field {
                Ok(field) if field.number == self.number => return Some(field.bytes().and_then(T::read)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

/// A repeated scalar, packed or not, as it lies in its message.
#[derive(Debug, Clone)]
pub struct Scalars<'a> {
    fields: Fields<'a>,
    number: u32,
    packed: &'a [u8],
    fixed: bool,
}

impl<'a> Scalars<'a> {
    /// Field `number` of `message` as varints.
    pub fn varints(message: &'a [u8], number: u32) -> Self {
        Self { fields: fields(message), number, packed: &[], fixed: false }
    }

    /// Field `number` of `message` as 64-bit words: fixed64, sfixed64 or double bits.
    pub fn words(message: &'a [u8], number: u32) -> Self {
        Self { fields: fields(message), number, packed: &[], fixed: true }
    }

    fn next_packed(&mut self) -> Result<u64, WireError> {
        if self.fixed {
            let Some((word, rest)) = self.packed.split_first_chunk::<8>() else {
                self.packed = &[];
                return Err(WireError::Truncated(0));
            };
            self.packed = rest;
            return Ok(u64::from_le_bytes(*word));
        }
        match crate::walk::varint(self.packed, 0) {
            Ok((value, end)) => {
                self.packed = &self.packed[end..];
                Ok(value)
            }
            Err(error) => {
                self.packed = &[];
                Err(error)
            }
        }
    }
}

impl Iterator for Scalars<'_> {
    type Item = Result<u64, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.packed.is_empty() {
                return Some(self.next_packed());
            }
            match self.fields.next()? {
                Ok(Field { number, value, .. }) if number == self.number => match (value, self.fixed) {
                    (Value::Len(packed), _) => self.packed = packed,
                    (Value::Varint(value), false) | (Value::Fixed64(value), true) => return Some(Ok(value)),
                    _ => return Some(Err(WireError::Mismatch(number))),
                },
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
