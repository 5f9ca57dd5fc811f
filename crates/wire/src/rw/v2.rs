//! Views over a remote-write 2.0 `Request`: texts are in one table, everything else refers to it by index.

use super::{Histogram, Sample, sample};
use crate::WireError;
use crate::otlp::{Repeated, Scalars, View, repeated};
use crate::walk::fields;

/// The most texts that a request may have.
pub const MAX_SYMBOLS: usize = 1_000_000;

/// The series of a request.
pub fn series(plain: &[u8]) -> Repeated<'_, Series<'_>> {
    repeated(plain, 5)
}

/// The texts of a request.
#[derive(Debug, Clone)]
pub struct Symbols<'a> {
    texts: Vec<&'a str>,
}

impl<'a> Symbols<'a> {
    /// Reads the table of a request.
    ///
    /// # Errors
    /// The bytes are no request, a text is not UTF-8, or there are more than `MAX_SYMBOLS`.
    pub fn read(plain: &'a [u8]) -> Result<Self, WireError> {
        let mut texts = Vec::new();
        for field in fields(plain) {
            let field = field?;
            if field.number == 4 {
                if texts.len() == MAX_SYMBOLS {
                    return Err(WireError::TooMany(MAX_SYMBOLS));
                }
                texts.push(field.text()?);
            }
        }
        Ok(Self { texts })
    }

    /// The text at `index`; `None` beyond the table.
    pub fn get(&self, index: u32) -> Option<&'a str> {
        self.texts.get(index as usize).copied()
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none; an honest request has at least the empty one.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// One series with its points.
#[derive(Debug, Clone, Copy, Default)]
pub struct Series<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// What the series is about; `None` when the sender says nothing.
    pub metadata: Option<Metadata>,
    /// Start of all points, milliseconds since 1970, as drafts of the protocol had it; 0 is unknown.
    pub start: i64,
}

/// A pointer from a series to one measurement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exemplar<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The value's bits.
    pub value_bits: u64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// What a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// 0 unspecified, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set.
    pub kind: i32,
    /// Index of the help text; 0 is none.
    pub help_ref: u32,
    /// Index of the unit; 0 is none.
    pub unit_ref: u32,
}

/// Labels as pairs of indexes into the table.
#[derive(Debug, Clone)]
pub struct LabelRefs<'a> {
    refs: Scalars<'a>,
}

/// What a pair of references names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label<'a> {
    /// Both are in the table.
    Pair(&'a str, &'a str),
    /// A name without a value ends the list.
    Odd,
    /// This reference is not in the table.
    Beyond(u32),
}

impl<'a> LabelRefs<'a> {
    /// The references themselves.
    pub fn refs(&self) -> impl Iterator<Item = Result<u32, WireError>> + use<'a> {
        // One above 32 bits is beyond every table.
        self.refs.clone().map(|value| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX)))
    }

    /// The labels as `symbols` spells them, each checked.
    pub fn resolve<'s>(
        &self,
        symbols: &'s Symbols<'a>,
    ) -> impl Iterator<Item = Result<Label<'a>, WireError>> + use<'a, 's> {
        let mut refs = self.refs();
        std::iter::from_fn(move || {
            let name = match refs.next()? {
                Ok(name) => name,
                Err(error) => return Some(Err(error)),
            };
            let value = match refs.next() {
                None => return Some(Ok(Label::Odd)),
                Some(Ok(value)) => value,
                Some(Err(error)) => return Some(Err(error)),
            };
            Some(Ok(match (symbols.get(name), symbols.get(value)) {
                (Some(name), Some(value)) => Label::Pair(name, value),
                (None, _) => Label::Beyond(name),
                (_, None) => Label::Beyond(value),
            }))
        })
    }
}

impl<'a> View<'a> for Series<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut series = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                5 => series.metadata = Some(Metadata::read(field.bytes()?)?),
                6 => series.start = field.varint()? as i64,
                _ => {}
            }
        }
        Ok(series)
    }
}

impl<'a> Series<'a> {
    /// Its labels.
    pub fn labels(&self) -> LabelRefs<'a> {
        LabelRefs { refs: Scalars::varints(self.raw, 1) }
    }

    /// Float samples.
    pub fn samples(&self) -> impl Iterator<Item = Result<Sample, WireError>> + use<'a> {
        fields(self.raw).filter_map(|field| match field {
            Ok(field) if field.number == 2 => Some(field.bytes().and_then(|raw| sample(raw, 3))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Native histograms.
    pub fn histograms(&self) -> impl Iterator<Item = Result<Histogram<'a>, WireError>> + use<'a> {
        fields(self.raw).filter_map(|field| match field {
            Ok(field) if field.number == 3 => Some(field.bytes().and_then(|raw| Histogram::read(raw, 17))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }

    /// Exemplars.
    pub fn exemplars(&self) -> Repeated<'a, Exemplar<'a>> {
        repeated(self.raw, 4)
    }
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
    /// Its labels, usually `trace_id` and `span_id`.
    pub fn labels(&self) -> LabelRefs<'a> {
        LabelRefs { refs: Scalars::varints(self.raw, 1) }
    }
}

impl<'a> View<'a> for Metadata {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut metadata = Self::default();
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => metadata.kind = field.varint()? as i32,
                3 => metadata.help_ref = field.varint()? as u32,
                4 => metadata.unit_ref = field.varint()? as u32,
                _ => {}
            }
        }
        Ok(metadata)
    }
}
