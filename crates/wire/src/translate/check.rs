//! Checking a 1.0 request: untouched when clean, which costs one pass; else rewritten without what breaks a rule.

use std::borrow::Cow;

use super::histogram::Histogram;
use super::labels::{self, Fault, METRIC_NAME, Pair};
use super::limits::{LABELS, MESSAGES, NAME_BYTES, SERIES};
use crate::Counts;
use crate::rw::private;
use crate::walk::{self, Field, Value};
use crate::{WireError, put};

/// A request that keeps the rules of the 1.0 layout, and what was cut out of it to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The request in the 1.0 layout, with private fields when it came as 2.0.
    pub bytes: Cow<'a, [u8]>,
    /// What `bytes` holds.
    pub tally: Counts,
    /// What is missing from it.
    pub rejected: Vec<Rejected>,
}

/// A series that was not taken, or one point of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Index of the series (or the metadata entry) among the request's.
    pub index: u32,
    /// Why: `metric_name`, `label_name`, `label_duplicate`, `labels_limit`, `series_limit`, `utf8`, `refs`, `mixed`,
    /// `histogram` or `amplification`.
    pub reason: &'static str,
    /// The series and what is wrong with it; empty behind the first 64 of a request.
    pub message: String,
}

/// Collects rejections, the first few of them with words.
pub(super) fn reject(rejected: &mut Vec<Rejected>, index: u32, labels: &[Pair<'_>], (reason, text): Fault) {
    let message = if rejected.len() >= MESSAGES {
        String::new()
    } else if labels.is_empty() {
        format!("series {index}: {text}")
    } else {
        format!("series {index} {}: {text}", labels::shown(labels))
    };
    rejected.push(Rejected { index, reason, message });
}

/// Checks a 1.0 request against the rules of series, labels and histograms.
///
/// Labels are sorted and those without value dropped; a series or histogram that breaks a rule is left out and
/// named; fields of private numbers are removed. Fails when the bytes are no protobuf message. Bytes of another
/// message (2.0 among them) may pass with an empty tally and no rejection.
pub fn v1_check(plain: &[u8]) -> Result<Checked<'_>, WireError> {
    let mut tally = Counts::default();
    let mut rejected = Vec::new();
    let mut edit = Edit { plain, out: None, kept_from: 0 };
    let (mut series, mut metadata) = (0, 0);
    let mut scratch = Vec::new();
    for field in walk::fields(plain) {
        let field = field?;
        match field.number {
            1 => {
                let index = series;
                series += 1;
                let bytes = field.bytes()?;
                if index < SERIES
                    && let Some(samples) = clean(bytes)
                {
                    tally.samples += samples;
                    continue;
                }
                scratch.clear();
                match check_series(bytes, index, &mut tally, &mut rejected, &mut scratch)? {
                    Verdict::Keep => {}
                    Verdict::Drop => edit.cut(&field),
                    Verdict::Replace => {
                        edit.cut(&field);
                        put::bytes(edit.made(), 1, &scratch);
                    }
                }
            }
            3 => {
                let index = metadata;
                metadata += 1;
                match check_metadata(field.bytes()?)? {
                    Some(fault) => {
                        reject(&mut rejected, index, &[], fault);
                        edit.cut(&field);
                    }
                    None => tally.metadata += 1,
                }
            }
            private::FIRST.. => edit.cut(&field),
            _ => {}
        }
    }
    Ok(Checked { bytes: edit.finish(), tally, rejected })
}

/// A copy of `plain` that is made only when something is cut out of it.
struct Edit<'a> {
    plain: &'a [u8],
    out: Option<Vec<u8>>,
    kept_from: usize,
}

impl<'a> Edit<'a> {
    fn cut(&mut self, field: &Field<'_>) {
        let (from, plain) = (self.kept_from, self.plain);
        self.made().extend_from_slice(&plain[from..field.start]);
        self.kept_from = field.end;
    }

    fn made(&mut self) -> &mut Vec<u8> {
        self.out.get_or_insert_with(|| Vec::with_capacity(self.plain.len()))
    }

    fn finish(mut self) -> Cow<'a, [u8]> {
        match self.out.take() {
            None => Cow::Borrowed(self.plain),
            Some(mut out) => {
                out.extend_from_slice(&self.plain[self.kept_from..]);
                Cow::Owned(out)
            }
        }
    }
}

/// The quick way for what real senders send: labels in strict order, then samples, nothing else, every field in
/// its usual place. Answers the number of samples, or `None` when the long way must look.
#[inline]
fn clean(series: &[u8]) -> Option<u32> {
    let mut at = 0;
    let mut last: &[u8] = &[];
    let mut named = false;
    let mut count = 0;
    while series.get(at) == Some(&0x0a) {
        let label;
        (label, at) = piece(series, at + 1)?;
        let (name, next) = tagged(label, 0, 0x0a)?;
        let (value, end) = tagged(label, next, 0x12)?;
        if end != label.len() || !is_behind(name, last) || value.is_empty() || name.len() > NAME_BYTES {
            return None;
        }
        named |= name == METRIC_NAME;
        last = name;
        count += 1;
    }
    // Tags and lengths below 128 are ASCII like the text between them, so one look at all labels settles most series.
    if !series[..at].is_ascii() && !is_utf8(&series[..at]) {
        return None;
    }
    if !named || count > LABELS {
        return None;
    }
    let mut samples = 0;
    while at < series.len() {
        let (sample, next) = tagged(series, at, 0x12)?;
        at = next;
        let rest = if sample.first() == Some(&0x09) { sample.get(9..)? } else { sample };
        if let [0x10, digits @ ..] = rest {
            let (_, end) = walk::varint(digits, 0).ok()?;
            if end != digits.len() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
        samples += 1;
    }
    Some(samples)
}

/// Whether `name` sorts behind `last`; nearly always the first byte tells.
#[inline]
fn is_behind(name: &[u8], last: &[u8]) -> bool {
    match (name.first(), last.first()) {
        (Some(a), Some(b)) if a != b => a > b,
        _ => name > last,
    }
}

/// Whether names and values are UTF-8, of labels that `clean` has cut already.
#[cold]
fn is_utf8(labels: &[u8]) -> bool {
    let mut at = 0;
    while at < labels.len() {
        let Some((label, next)) = piece(labels, at + 1) else { return false };
        let Some((name, behind)) = tagged(label, 0, 0x0a) else { return false };
        let Some((value, _)) = tagged(label, behind, 0x12) else { return false };
        if simdutf8::basic::from_utf8(name).is_err() || simdutf8::basic::from_utf8(value).is_err() {
            return false;
        }
        at = next;
    }
    true
}

/// The piece behind a one-byte tag.
#[inline]
fn tagged(bytes: &[u8], at: usize, tag: u8) -> Option<(&[u8], usize)> {
    if bytes.get(at) != Some(&tag) {
        return None;
    }
    piece(bytes, at + 1)
}

/// A length of one or two bytes and what it measures. Two bytes reach to 16383, just below the longest value.
#[inline]
fn piece(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let first = usize::from(*bytes.get(at)?);
    let (len, from) = if first < 0x80 {
        (first, at + 1)
    } else {
        let second = usize::from(*bytes.get(at + 1)?);
        if second >= 0x80 {
            return None;
        }
        (first & 0x7f | second << 7, at + 2)
    };
    Some((bytes.get(from..from + len)?, from + len))
}

enum Verdict {
    Keep,
    Replace,
    Drop,
}

/// The long way. `made` is the series anew when it must be replaced.
fn check_series(
    series: &[u8],
    index: u32,
    tally: &mut Counts,
    rejected: &mut Vec<Rejected>,
    made: &mut Vec<u8>,
) -> Result<Verdict, WireError> {
    let mut pairs = Vec::new();
    let mut points = Vec::new();
    let mut dirty = false;
    let mut here = Counts::default();
    let mut faults = Vec::new();
    for field in walk::fields(series) {
        let field = field?;
        match field.number {
            1 => {
                // Beyond the limit nothing more is needed of the labels than their number.
                let pair = labels::read(field.bytes()?)?;
                pairs.push(pair);
            }
            2 => {
                dirty |= check_sample(field.bytes()?)?;
                points.push(field);
                here.samples += 1;
            }
            3 => match labels::check_exemplar(field.bytes()?)? {
                Ok(()) => {
                    dirty |= has_private(field.bytes()?)?;
                    points.push(field);
                    here.exemplars += 1;
                }
                Err(fault) => faults.push(fault),
            },
            4 => {
                let histogram = Histogram::read(field.bytes()?)?;
                match histogram.check() {
                    Ok(()) => {
                        dirty |= histogram.private;
                        points.push(field);
                        here.histograms += 1;
                    }
                    Err(text) => faults.push(("histogram", text)),
                }
            }
            private::FIRST.. => dirty = true,
            _ => points.push(field),
        }
    }
    let settled = if index < SERIES {
        labels::settle(&mut pairs)
    } else {
        Err(("series_limit", format!("the request exceeds the limit of {SERIES} series")))
    };
    match settled {
        Err(fault) => {
            reject(rejected, index, &pairs, fault);
            return Ok(Verdict::Drop);
        }
        Ok(changed) => dirty |= changed || !faults.is_empty(),
    }
    for fault in faults {
        reject(rejected, index, &pairs, fault);
    }
    *tally += here;
    if !dirty {
        return Ok(Verdict::Keep);
    }
    for &pair in &pairs {
        labels::write(made, 1, pair);
    }
    for point in points {
        match (point.number, point.value) {
            (2..=4, Value::Len(bytes)) => put::message(made, point.number, |out| copy_public(bytes, out))?,
            _ => made.extend_from_slice(&series[point.start..point.end]),
        }
    }
    Ok(Verdict::Replace)
}

/// Checks the wire types of a 1.0 `Sample`; answers whether it has private fields.
fn check_sample(sample: &[u8]) -> Result<bool, WireError> {
    let mut private = false;
    for field in walk::fields(sample) {
        let field = field?;
        match field.number {
            1 => drop(field.fixed64()?),
            2 => drop(field.varint()?),
            number => private |= number >= private::FIRST,
        }
    }
    Ok(private)
}

fn check_metadata(metadata: &[u8]) -> Result<Option<Fault>, WireError> {
    for field in walk::fields(metadata) {
        let field = field?;
        match field.number {
            1 => drop(field.varint()?),
            2 | 4 | 5 if simdutf8::basic::from_utf8(field.bytes()?).is_err() => {
                return Ok(Some(("utf8", format!("field {} of the metadata is not UTF-8", field.number))));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn has_private(message: &[u8]) -> Result<bool, WireError> {
    for field in walk::fields(message) {
        if field?.number >= private::FIRST {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies every field but the private ones.
pub(super) fn copy_public(message: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    for field in walk::fields(message) {
        let field = field?;
        if field.number < private::FIRST {
            out.extend_from_slice(&message[field.start..field.end]);
        }
    }
    Ok(())
}
