//! One point of remote-write → the bytes of an OTLP data point, or the loss that it is.

use super::histogram::{CUSTOM, Count, Histogram, Side};
use super::labels::{self, Pair};
use super::limits::BUCKETS;
use super::losses::{Loss, Losses};
use crate::rw::STALE;
use crate::walk;
use crate::{WireError, put};

/// Nanoseconds of milliseconds; what lies outside of 1970 to 2554 is moved to its edge.
pub(super) fn nanos(millis: i64, losses: &mut Losses) -> u64 {
    let nanos = u64::try_from(millis).ok().and_then(|millis| millis.checked_mul(1_000_000));
    nanos.unwrap_or_else(|| {
        losses.add(Loss::Time, 1);
        if millis < 0 { 0 } else { u64::MAX }
    })
}

/// Appends string attributes as `field`.
pub(super) fn attributes(out: &mut Vec<u8>, field: u32, labels: &[Pair<'_>]) {
    for &(key, value) in labels {
        attribute(out, field, key, value);
    }
}

/// Appends one string attribute as `field`.
pub(super) fn attribute(out: &mut Vec<u8>, field: u32, key: &[u8], value: &[u8]) {
    put::message(out, field, |out| {
        put::bytes(out, 1, key);
        put::message(out, 2, |out| put::bytes(out, 1, value));
    });
}

/// A `NumberDataPoint`. The stale marker becomes the flag that no value was recorded.
pub(super) fn number(
    labels: &[Pair<'_>],
    (time, start): (u64, u64),
    bits: u64,
    exemplars: &[Vec<u8>],
) -> Vec<u8> {
    let mut out = Vec::new();
    attributes(&mut out, 7, labels);
    times(&mut out, time, start);
    if bits == STALE {
        put::uint(&mut out, 8, 1);
    } else {
        put::fixed64(&mut out, 4, bits);
    }
    for exemplar in exemplars {
        put::bytes(&mut out, 5, exemplar);
    }
    out
}

/// Appends start and time as every data point has them.
pub(super) fn times(out: &mut Vec<u8>, time: u64, start: u64) {
    if start != 0 {
        put::fixed64(out, 2, start);
    }
    put::fixed64(out, 3, time);
}

/// An OTLP `Exemplar` of a 1.0 one. Ids in hex of the right length become ids, other labels attributes.
pub(super) fn exemplar(exemplar: &[u8], losses: &mut Losses) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    let (mut bits, mut time) = (0, 0);
    for field in walk::fields(exemplar) {
        let field = field?;
        match field.number {
            1 => {
                let (name, value) = labels::read(field.bytes()?)?;
                check_text(name)?;
                check_text(value)?;
                match (name, hex(value)) {
                    (b"trace_id", Some(id)) if id.len() == 16 => put::bytes(&mut out, 5, &id),
                    (b"span_id", Some(id)) if id.len() == 8 => put::bytes(&mut out, 4, &id),
                    _ => attribute(&mut out, 7, name, value),
                }
            }
            2 => bits = field.fixed64()?,
            3 => time = field.varint()? as i64,
            _ => {}
        }
    }
    put::fixed64(&mut out, 2, nanos(time, losses));
    put::fixed64(&mut out, 3, bits);
    Ok(out)
}

/// Lower-case hex, which comes back as the same text; all zeros are no id.
fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || text.len() > 32 || text.iter().all(|&byte| byte == b'0') {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Requires that text for OTLP is UTF-8.
pub(super) fn check_text(text: &[u8]) -> Result<(), WireError> {
    simdutf8::basic::from_utf8(text).map(drop).map_err(|_| WireError::Utf8(1))
}

/// A native histogram as a data point of a `Histogram` or an `ExponentialHistogram`; `Err` names why there is none.
pub(super) fn native(
    histogram: &Histogram,
    labels: &[Pair<'_>],
    exemplars: &[Vec<u8>],
    losses: &mut Losses,
) -> Result<Vec<u8>, Loss> {
    if histogram.check().is_err() {
        return Err(Loss::Buckets);
    }
    const GAUGE: u64 = 3;
    if !histogram.is_stale() && (!histogram.is_int() || histogram.reset_hint == GAUGE) {
        return Err(Loss::FloatHistogram);
    }
    let point = if histogram.schema == CUSTOM {
        explicit(histogram, labels, exemplars, losses)
    } else {
        exponential(histogram, labels, exemplars, losses)?
    };
    losses.add(Loss::ResetHint, u64::from(histogram.reset_hint != 0));
    Ok(point)
}

fn explicit(
    histogram: &Histogram,
    labels: &[Pair<'_>],
    exemplars: &[Vec<u8>],
    losses: &mut Losses,
) -> Vec<u8> {
    // The check has bound every index by the number of bounds.
    let mut counts = vec![0u64; histogram.bounds.len() + 1];
    if !histogram.is_stale() {
        for (index, count) in histogram.positive.buckets() {
            counts[index as usize] = count;
        }
    }
    let times = (nanos(histogram.timestamp, losses), nanos(histogram.start, losses));
    let sum = (!histogram.is_stale()).then_some(histogram.sum);
    explicit_point(labels, times, int(histogram.count), sum, &histogram.bounds, &counts, exemplars)
}

/// A `HistogramDataPoint`; without a sum and with `count` 0 when it is stale. Bounds are bits.
pub(super) fn explicit_point(
    labels: &[Pair<'_>],
    (time, start): (u64, u64),
    count: Option<u64>,
    sum: Option<u64>,
    bounds: &[u64],
    counts: &[u64],
    exemplars: &[Vec<u8>],
) -> Vec<u8> {
    let mut out = Vec::new();
    attributes(&mut out, 9, labels);
    times(&mut out, time, start);
    match count {
        Some(count) => put::fixed64(&mut out, 4, count),
        None => put::uint(&mut out, 10, 1),
    }
    if let Some(sum) = sum {
        put::fixed64(&mut out, 5, sum);
    }
    put::message(&mut out, 6, |out| {
        counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    });
    put::message(&mut out, 7, |out| {
        bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
    });
    for exemplar in exemplars {
        put::bytes(&mut out, 8, exemplar);
    }
    out
}

fn exponential(
    histogram: &Histogram,
    labels: &[Pair<'_>],
    exemplars: &[Vec<u8>],
    losses: &mut Losses,
) -> Result<Vec<u8>, Loss> {
    let sides = if histogram.is_stale() {
        [None, None]
    } else {
        [dense(&histogram.positive)?, dense(&histogram.negative)?]
    };
    let mut out = Vec::new();
    attributes(&mut out, 1, labels);
    times(&mut out, nanos(histogram.timestamp, losses), nanos(histogram.start, losses));
    put::sint(&mut out, 6, histogram.schema);
    match int(histogram.count) {
        Some(count) if !histogram.is_stale() => {
            put::fixed64(&mut out, 4, count);
            put::fixed64(&mut out, 5, histogram.sum);
            put::fixed64(&mut out, 7, int(histogram.zero).unwrap_or(0));
        }
        _ => put::uint(&mut out, 10, 1),
    }
    put::fixed64(&mut out, 14, histogram.zero_threshold);
    for (field, side) in [8, 9].into_iter().zip(sides) {
        let Some((offset, counts)) = side else { continue };
        put::message(&mut out, field, |out| {
            put::sint(out, 1, offset.into());
            put::message(out, 2, |out| counts.iter().for_each(|&count| put::varint(out, count)));
        });
    }
    for exemplar in exemplars {
        put::bytes(&mut out, 11, exemplar);
    }
    Ok(out)
}

fn int(count: Count) -> Option<u64> {
    match count {
        Count::Int(count) => Some(count),
        Count::Float(_) => None,
    }
}

/// One side by OTLP's first index and dense counts; `None` when it is empty. Its width is known before it is made.
fn dense(side: &Side) -> Result<Option<(i32, Vec<u64>)>, Loss> {
    let mut filled = side.buckets().filter(|&(_, count)| count > 0);
    let Some((first, _)) = filled.next() else { return Ok(None) };
    let last = filled.last().map_or(first, |(last, _)| last);
    let width = i64::from(last) - i64::from(first) + 1;
    if width > BUCKETS as i64 {
        return Err(Loss::Buckets);
    }
    let mut counts = vec![0; width as usize];
    for (index, count) in side.buckets().filter(|&(_, count)| count > 0) {
        counts[(index - first) as usize] = count;
    }
    Ok(Some((first.checked_sub(1).ok_or(Loss::Buckets)?, counts)))
}
