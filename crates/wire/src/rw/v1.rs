//! Views over a remote-write 1.0 `WriteRequest` with our private fields (`super::private`).

use super::{Histogram, Sample, private, sample};
use crate::WireError;
use crate::otlp::{Repeated, View, repeated};
use crate::walk::{Fields, fields};

/// The series of a request.
pub fn series(plain: &[u8]) -> Repeated<'_, Series<'_>> {
    repeated(plain, 1)
}

/// The metadata entries of a request.
pub fn metadata(plain: &[u8]) -> Repeated<'_, Metadata<'_>> {
    repeated(plain, 3)
}

/// One series with its points.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
}

/// A pointer from a series to one measurement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exemplar<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The value's bits.
    pub value_bits: u64,
    /// Milliseconds since 1970; 0 is unknown.
    pub timestamp: i64,
}

/// What a metric family, or a series, is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set.
    pub kind: i32,
    /// The family's name; empty in a series' own metadata.
    pub family: &'a str,
    /// What it measures.
    pub help: &'a str,
    /// Its unit.
    pub unit: &'a str,
}

impl<'a> View<'a> for Series<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        Ok(Self { raw })
    }
}

impl<'a> Series<'a> {
    /// Names and values.
    pub fn labels(&self) -> Labels<'a> {
        Labels { fields: fields(self.raw) }
    }

    /// Float samples, with the start times that private fields keep.
    pub fn samples(&self) -> impl Iterator<Item = Result<Sample, WireError>> + use<'a> {
        fields(self.raw).filter_map(|field| match field {
            Ok(field) if field.number == 2 => Some(field.bytes().and_then(|raw| sample(raw, private::START))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Native histograms in wire order, those with custom buckets among them.
    pub fn histograms(&self) -> impl Iterator<Item = Result<Histogram<'a>, WireError>> + use<'a> {
        fields(self.raw).filter_map(|field| match field {
            Ok(field) if matches!(field.number, 4 | private::CUSTOM_HISTOGRAM) => {
                Some(field.bytes().and_then(|raw| Histogram::read(raw, private::START)))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Exemplars.
    pub fn exemplars(&self) -> Repeated<'a, Exemplar<'a>> {
        repeated(self.raw, 3)
    }

    /// What the sender said of this series, kept in a private field; the last when there are several.
    ///
    /// # Errors
    /// The series is no message.
    pub fn metadata(&self) -> Result<Option<Metadata<'a>>, WireError> {
        repeated(self.raw, private::SERIES_METADATA).last().transpose()
    }
}

/// The labels of a series or exemplar: name and value.
#[derive(Debug, Clone)]
pub struct Labels<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Labels<'a> {
    type Item = Result<(&'a str, &'a str), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        for field in self.fields.by_ref() {
            match field {
                Ok(field) if field.number == 1 => return Some(field.bytes().and_then(label)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

fn label(raw: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut name, mut value) = ("", "");
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

impl<'a> View<'a> for Exemplar<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut exemplar = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                2 => exemplar.value_bits = field.fixed64()?,
                3 => exemplar.timestamp = field.varint()? as i64,
                _ => {}
            }
        }
        Ok(exemplar)
    }
}

impl<'a> Exemplar<'a> {
    /// Names and values, usually `trace_id` and `span_id`.
    pub fn labels(&self) -> Labels<'a> {
        Labels { fields: fields(self.raw) }
    }
}

impl<'a> View<'a> for Metadata<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut metadata = Self::default();
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => metadata.kind = field.varint()? as i32,
                2 => metadata.family = field.text()?,
                4 => metadata.help = field.text()?,
                5 => metadata.unit = field.text()?,
                _ => {}
            }
        }
        Ok(metadata)
    }
}
