//! Native histograms of remote-write, 1.0 and 2.0 alike: reading one into flat lists, the rules that it must keep,
//! and its buckets as an iterator. Nothing here grows with a span's length or offset, only with the bytes read.

use super::limits::BUCKETS;
use crate::WireError;
use crate::rw::{STALE, private};
use crate::walk::{self, Field, Value};

/// The schema of histograms with custom buckets.
pub(super) const CUSTOM: i64 = -53;

/// A native histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    pub(super) count: Count,
    /// Bits of the sum.
    pub(super) sum: u64,
    pub(super) schema: i64,
    /// Bits of the zero bucket's width.
    pub(super) zero_threshold: u64,
    pub(super) zero: Count,
    pub(super) negative: Side,
    pub(super) positive: Side,
    /// 0 unknown, 1 yes, 2 no, 3 gauge.
    pub(super) reset_hint: u64,
    /// Milliseconds.
    pub(super) timestamp: i64,
    /// Bits of the upper bounds of custom buckets.
    pub(super) bounds: Vec<u64>,
    /// Milliseconds; 0 is none.
    pub(super) start: i64,
    /// Whether fields of private numbers were met.
    pub(super) private: bool,
}

/// A number of observations: which flavour is set decides the flavour of the histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Count {
    Int(u64),
    /// The bits of a double.
    Float(u64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Int(0)
    }
}

/// The buckets on one side of zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Side {
    /// Offset and length.
    pub(super) spans: Vec<(i32, u32)>,
    /// Differences of neighbouring integer counts.
    pub(super) deltas: Vec<i64>,
    /// Bits of float counts.
    pub(super) counts: Vec<u64>,
}

impl Histogram {
    /// Reads the message. Both packed and loose lists are accepted. `start` is taken from 2.0's field and from the
    /// private one.
    pub(super) fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut histogram = Self::default();
        for field in walk::fields(message) {
            histogram.take(&field?)?;
        }
        Ok(histogram)
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), WireError> {
        match field.number {
            1 => self.count = Count::Int(field.varint()?),
            2 => self.count = Count::Float(field.fixed64()?),
            3 => self.sum = field.fixed64()?,
            4 => self.schema = walk::zigzag(field.varint()?),
            5 => self.zero_threshold = field.fixed64()?,
            6 => self.zero = Count::Int(field.varint()?),
            7 => self.zero = Count::Float(field.fixed64()?),
            8 => self.negative.spans.push(span(field.bytes()?)?),
            9 => varints(field, |delta| self.negative.deltas.push(walk::zigzag(delta)))?,
            10 => doubles(field, &mut self.negative.counts)?,
            11 => self.positive.spans.push(span(field.bytes()?)?),
            12 => varints(field, |delta| self.positive.deltas.push(walk::zigzag(delta)))?,
            13 => doubles(field, &mut self.positive.counts)?,
            14 => self.reset_hint = field.varint()?,
            15 => self.timestamp = field.varint()? as i64,
            16 => doubles(field, &mut self.bounds)?,
            17 | private::START => self.start = field.varint()? as i64,
            _ => {}
        }
        self.private |= field.number >= private::FIRST;
        Ok(())
    }

    /// Whether this is no histogram but the mark that the series has gone.
    pub(super) fn is_stale(&self) -> bool {
        self.sum == STALE
    }

    /// Whether the counts are integers.
    pub(super) fn is_int(&self) -> bool {
        matches!(self.count, Count::Int(_))
    }

    /// Checks what Prometheus checks before it stores a histogram. The text says what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        for (side, name) in [(&self.negative, "negative"), (&self.positive, "positive")] {
            let buckets = side.deltas.len().max(side.counts.len()).max(side.spans.len());
            if buckets > BUCKETS {
                return Err(format!("{buckets} {name} buckets exceed the limit of {BUCKETS}"));
            }
        }
        if self.is_stale() {
            return Ok(());
        }
        match self.schema {
            CUSTOM => self.check_custom()?,
            -4..=52 if !self.bounds.is_empty() => {
                return Err(format!("schema {} has custom bounds", self.schema));
            }
            -4..=52 => {}
            schema => return Err(format!("schema {schema} is neither -53 nor from -4 to 52")),
        }
        let negative = self.negative.check(self.is_int()).map_err(|text| format!("negative side: {text}"))?;
        let positive = self.positive.check(self.is_int()).map_err(|text| format!("positive side: {text}"))?;
        match (self.count, self.zero) {
            (Count::Int(count), Count::Int(zero)) => {
                let buckets = u128::from(negative) + u128::from(positive) + u128::from(zero);
                let unequal = if f64::from_bits(self.sum).is_nan() {
                    buckets > count.into()
                } else {
                    buckets != count.into()
                };
                if unequal {
                    return Err(format!("{buckets} observations are in buckets, but the count is {count}"));
                }
            }
            (Count::Float(count), Count::Float(zero)) => {
                if f64::from_bits(count) < 0.0 || f64::from_bits(zero) < 0.0 {
                    return Err("a count is negative".into());
                }
            }
            (Count::Float(_), Count::Int(0)) => {}
            (Count::Int(_), Count::Float(_)) | (Count::Float(_), Count::Int(_)) => {
                return Err("count and zero count are of different flavours".into());
            }
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), String> {
        let bounds = || self.bounds.iter().map(|&bits| f64::from_bits(bits));
        if bounds().any(f64::is_nan) {
            return Err("a custom bound is NaN".into());
        }
        if !bounds().is_sorted_by(|a, b| a < b) {
            return Err("custom bounds do not increase".into());
        }
        if bounds().next_back() == Some(f64::INFINITY) {
            return Err("the last custom bound is +Inf".into());
        }
        if self.bounds.len() > BUCKETS {
            return Err(format!("{} custom bounds exceed the limit of {BUCKETS}", self.bounds.len()));
        }
        let no_zero = matches!(self.zero, Count::Int(0))
            || matches!(self.zero, Count::Float(zero) if f64::from_bits(zero) == 0.0);
        if !no_zero || f64::from_bits(self.zero_threshold) != 0.0 {
            return Err("custom buckets come with a zero bucket".into());
        }
        if self.negative != Side::default() {
            return Err("custom buckets come with a negative side".into());
        }
        let mut reach = 0u64;
        for &(offset, length) in &self.positive.spans {
            let Ok(offset) = u64::try_from(offset) else {
                return Err(format!("span offset {offset} is negative"));
            };
            reach += offset + u64::from(length);
        }
        if reach > self.bounds.len() as u64 + 1 {
            return Err(format!("spans reach to bucket {reach}, but there are {} bounds", self.bounds.len()));
        }
        Ok(())
    }
}

impl Side {
    /// Checks one side and answers how many integer observations it holds.
    fn check(&self, is_int: bool) -> Result<u64, String> {
        if !self.spans.iter().skip(1).all(|&(offset, _)| offset >= 0) {
            return Err("a later span has a negative offset".into());
        }
        let (used, unused) = if is_int {
            (self.deltas.len(), self.counts.len())
        } else {
            (self.counts.len(), self.deltas.len())
        };
        if unused > 0 {
            return Err("buckets are not of the flavour of the count".into());
        }
        let length: u64 = self.spans.iter().map(|&(_, length)| u64::from(length)).sum();
        if length != used as u64 {
            return Err(format!("spans need {length} buckets, but there are {used}"));
        }
        if self.reach().is_none() {
            return Err("spans reach beyond the range of bucket indices".into());
        }
        if !is_int {
            if self.counts.iter().any(|&bits| f64::from_bits(bits) < 0.0) {
                return Err("a bucket holds a negative count".into());
            }
            return Ok(0);
        }
        let (mut count, mut total) = (0i64, 0u64);
        for &delta in &self.deltas {
            count = count.checked_add(delta).ok_or("bucket counts overflow")?;
            total = u64::try_from(count)
                .map_err(|_| "a bucket holds a negative count")?
                .checked_add(total)
                .ok_or("bucket counts overflow")?;
        }
        Ok(total)
    }

    /// The index behind the last bucket; `None` when it leaves the range of 32 bits.
    fn reach(&self) -> Option<i32> {
        self.spans.iter().try_fold(0i32, |at, &(offset, length)| {
            at.checked_add(offset)?.checked_add(i32::try_from(length).ok()?)
        })
    }

    /// Index and count of each integer bucket, lowest first. Only for a side that was checked.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        let mut next = 0i32;
        let mut count = 0i64;
        let mut deltas = self.deltas.iter();
        self.spans
            .iter()
            .flat_map(move |&(offset, length)| {
                let first = next.wrapping_add(offset);
                next = first.wrapping_add(length as i32);
                first..next
            })
            .map_while(move |index| {
                count = count.wrapping_add(*deltas.next()?);
                Some((index, count as u64))
            })
    }
}

fn span(message: &[u8]) -> Result<(i32, u32), WireError> {
    let (mut offset, mut length) = (0, 0);
    for field in walk::fields(message) {
        let field = field?;
        match field.number {
            1 => offset = walk::zigzag(field.varint()?) as i32,
            2 => length = field.varint()? as u32,
            _ => {}
        }
    }
    Ok((offset, length))
}

/// Hands out the varints of a list, packed or loose.
pub(super) fn varints(field: &Field<'_>, mut each: impl FnMut(u64)) -> Result<(), WireError> {
    match field.value {
        Value::Varint(value) => each(value),
        Value::Len(packed) => {
            let mut at = 0;
            while at < packed.len() {
                let value;
                (value, at) = walk::varint(packed, at)?;
                each(value);
            }
        }
        _ => return Err(WireError::Mismatch(field.number)),
    }
    Ok(())
}

/// Appends the bits of a list of doubles, packed or loose.
fn doubles(field: &Field<'_>, out: &mut Vec<u64>) -> Result<(), WireError> {
    match field.value {
        Value::Fixed64(bits) => out.push(bits),
        Value::Len(packed) => {
            let (chunks, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(WireError::Truncated(packed.len() - rest.len()));
            }
            out.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
        }
        _ => return Err(WireError::Mismatch(field.number)),
    }
    Ok(())
}
