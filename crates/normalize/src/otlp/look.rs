//! One pass over an item: its structure, and the ids in it.

use std::fmt::Write;

use model::{SpanId, TraceId};
use wire::WireError;
use wire::walk::{Field, fields, varint};

use super::Verdict;

/// Deepest nesting of an attribute's value.
const DEPTH: usize = 32;
/// Most attributes of one span, event, link, record or point.
const ATTRIBUTES: u32 = 1_024;

/// What a span says of itself.
#[derive(Debug, Default)]
pub(super) struct Look<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) parent: &'a [u8],
    pub(super) bad_links: u32,
    crowd: Option<&'static str>,
}

impl<'a> Look<'a> {
    /// Looks through a span.
    pub(super) fn span(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut look = Self::default();
        let mut count = 0;
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => look.trace_id = field.bytes()?,
                2 => look.span_id = field.bytes()?,
                4 => look.parent = field.bytes()?,
                3 | 5 => drop(field.text()?),
                6 | 10 | 12 | 14 => drop(field.varint()?),
                7 | 8 => drop(field.fixed64()?),
                9 => look.attribute(&field, &mut count)?,
                11 => look.part(&field, 3)?,
                13 => {
                    look.part(&field, 4)?;
                    look.bad_links += u32::from(!link_is_good(field.bytes()?)?);
                }
                15 => status(field.bytes()?)?,
                16 => drop(field.fixed32()?),
                _ => {}
            }
        }
        Ok(look)
    }

    pub(super) fn verdict(&self) -> Verdict {
        if let Some(reason) = self.crowd {
            return Verdict::Reject(reason, crowd_message(reason));
        }
        if TraceId::from_otlp(self.trace_id).is_none() {
            return Verdict::Reject("invalid_trace_id", id_message("trace id", self.trace_id, 16));
        }
        if SpanId::from_otlp(self.span_id).is_none() {
            return Verdict::Reject("invalid_span_id", id_message("span id", self.span_id, 8));
        }
        if self.parent_is_good() && self.bad_links == 0 { Verdict::Keep } else { Verdict::Mend }
    }

    /// Whether the parent may stay: absent, or a valid id of another span.
    pub(super) fn parent_is_good(&self) -> bool {
        self.parent.is_empty() || (SpanId::from_otlp(self.parent).is_some() && self.parent != self.span_id)
    }

    /// Looks through an event or a link.
    fn part(&mut self, part: &Field<'a>, attributes: u32) -> Result<(), WireError> {
        let is_link = part.number == 13;
        let mut count = 0;
        for field in fields(part.bytes()?) {
            let field = field?;
            match field.number {
                number if number == attributes => self.attribute(&field, &mut count)?,
                1 | 2 if is_link => drop(field.bytes()?),
                1 => drop(field.fixed64()?),
                2 | 3 => drop(field.text()?),
                4 | 5 => drop(field.varint()?),
                6 if is_link => drop(field.fixed32()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn attribute(&mut self, field: &Field<'_>, count: &mut u32) -> Result<(), WireError> {
        *count += 1;
        match attribute(field.bytes()?) {
            Err(WireError::TooDeep(_)) => self.crowd = Some("too_deep"),
            other => other?,
        }
        if *count > ATTRIBUTES {
            self.crowd = Some("attributes_limit");
        }
        Ok(())
    }
}

/// The ids of a log record, and whether it keeps the limits.
#[derive(Debug, Default)]
pub(super) struct Ids<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    crowd: Option<&'static str>,
}

impl<'a> Ids<'a> {
    /// Looks through a log record.
    pub(super) fn of_record(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut ids = Self::default();
        let mut count = 0;
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 | 11 => drop(field.fixed64()?),
                2 | 7 => drop(field.varint()?),
                3 | 12 => drop(field.text()?),
                5 => ids.value(any_value(field.bytes()?))?,
                6 => {
                    count += 1;
                    ids.value(attribute(field.bytes()?))?;
                }
                8 => drop(field.fixed32()?),
                9 => ids.trace_id = field.bytes()?,
                10 => ids.span_id = field.bytes()?,
                _ => {}
            }
        }
        if count > ATTRIBUTES {
            ids.crowd = Some("attributes_limit");
        }
        Ok(ids)
    }

    fn value(&mut self, looked: Result<(), WireError>) -> Result<(), WireError> {
        match looked {
            Err(WireError::TooDeep(_)) => self.crowd = Some("too_deep"),
            other => other?,
        }
        Ok(())
    }

    pub(super) fn verdict(&self) -> Verdict {
        if let Some(reason) = self.crowd {
            return Verdict::Reject(reason, crowd_message(reason));
        }
        let trace_fits = self.trace_id.is_empty() || self.trace_is_good();
        let span_fits = self.span_id.is_empty() || self.span_is_good();
        if trace_fits && span_fits { Verdict::Keep } else { Verdict::Mend }
    }

    /// Whether the trace id is one.
    pub(super) fn trace_is_good(&self) -> bool {
        TraceId::from_otlp(self.trace_id).is_some()
    }

    /// Whether the span id is one and has a trace id to belong to.
    pub(super) fn span_is_good(&self) -> bool {
        self.trace_is_good() && SpanId::from_otlp(self.span_id).is_some()
    }
}

/// Looks through a metric and answers a verdict for each of its points.
pub(super) fn metric(raw: &[u8], each: &mut impl FnMut(Verdict)) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        let attributes = match field.number {
            1..=3 => {
                field.text()?;
                continue;
            }
            12 => {
                attribute(field.bytes()?)?;
                continue;
            }
            5 | 7 | 11 => 7,
            9 => 9,
            10 => 1,
            _ => continue,
        };
        for part in fields(field.bytes()?) {
            let part = part?;
            if part.number == 1 {
                point(part.bytes()?, attributes)?;
                each(Verdict::Keep);
            }
        }
    }
    Ok(())
}

fn point(raw: &[u8], attributes: u32) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        if field.number == attributes {
            attribute(field.bytes()?)?;
        }
    }
    Ok(())
}

/// Whether both ids of a link are valid.
pub(super) fn link_is_good(raw: &[u8]) -> Result<bool, WireError> {
    let (mut trace, mut span) = (&[][..], &[][..]);
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 => trace = field.bytes()?,
            2 => span = field.bytes()?,
            _ => {}
        }
    }
    Ok(TraceId::from_otlp(trace).is_some() && SpanId::from_otlp(span).is_some())
}

fn status(raw: &[u8]) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        match field.number {
            2 => drop(field.text()?),
            3 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(())
}

/// Looks through an instrumentation scope.
pub(super) fn scope(raw: &[u8]) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 | 2 => drop(field.text()?),
            3 => attribute(field.bytes()?)?,
            4 => drop(field.varint()?),
            _ => {}
        }
    }
    Ok(())
}

/// Looks through the attributes of a message that has them at `number`.
pub(super) fn attributes(raw: &[u8], number: u32) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        if field.number == number {
            attribute(field.bytes()?)?;
        }
    }
    Ok(())
}

/// Looks through one key and its value.
#[inline]
fn attribute(raw: &[u8]) -> Result<(), WireError> {
    if is_short_and_simple(raw) { Ok(()) } else { any_attribute(raw) }
}

/// Whether the attribute is what most are: a short key, then a short ASCII string, a number or a truth value.
#[inline]
fn is_short_and_simple(raw: &[u8]) -> bool {
    let [0x0a, key, rest @ ..] = raw else { return false };
    let Some((key, [0x12, len, value @ ..])) = rest.split_at_checked(usize::from(*key)) else { return false };
    if raw.len() > 0x7f || usize::from(*len) != value.len() || !key.is_ascii() {
        return false;
    }
    match value {
        [0x0a, len, text @ ..] => usize::from(*len) == text.len() && text.is_ascii(),
        [0x10 | 0x18, number @ ..] => varint(number, 0).is_ok_and(|(_, end)| end == number.len()),
        [0x21, number @ ..] => number.len() == 8,
        _ => false,
    }
}

fn any_attribute(raw: &[u8]) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 => drop(field.text()?),
            2 => any_value(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(())
}

#[inline]
fn any_value(raw: &[u8]) -> Result<(), WireError> {
    nested(raw, 1)
}

/// Values nest; the limit keeps this recursion shallow.
fn nested(raw: &[u8], depth: usize) -> Result<(), WireError> {
    if depth > DEPTH {
        return Err(WireError::TooDeep(DEPTH));
    }
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 => drop(field.text()?),
            2 | 3 => drop(field.varint()?),
            4 => drop(field.fixed64()?),
            5 => {
                for element in fields(field.bytes()?) {
                    let element = element?;
                    if element.number == 1 {
                        nested(element.bytes()?, depth + 1)?;
                    }
                }
            }
            6 => {
                for pair in fields(field.bytes()?) {
                    let pair = pair?;
                    if pair.number == 1 {
                        key_value(pair.bytes()?, depth + 1)?;
                    }
                }
            }
            7 => drop(field.bytes()?),
            _ => {}
        }
    }
    Ok(())
}

fn key_value(raw: &[u8], depth: usize) -> Result<(), WireError> {
    for field in fields(raw) {
        let field = field?;
        match field.number {
            1 => drop(field.text()?),
            2 => nested(field.bytes()?, depth)?,
            _ => {}
        }
    }
    Ok(())
}

fn crowd_message(reason: &str) -> String {
    match reason {
        "too_deep" => format!("attribute value nests deeper than {DEPTH}"),
        _ => format!("more than {ATTRIBUTES} attributes"),
    }
}

fn id_message(what: &str, id: &[u8], expected: usize) -> String {
    if id.len() != expected {
        return format!("{what} of {} bytes, expected {expected}", id.len());
    }
    let mut text = format!("{what} ");
    for byte in id {
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str(" is all zero");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_quick_look_takes_nothing_that_the_slow_one_refuses(
            mut raw in prop_oneof![
                Just(b"\x0a\x01k\x12\x04\x0a\x02ab".to_vec()),
                Just(b"\x0a\x01k\x12\x03\x18\x80\x01".to_vec()),
                Just(b"\x0a\x01k\x12\x09\x21\0\0\0\0\0\0\0\0".to_vec()),
            ],
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in 0usize..16,
        ) {
            prop_assert!(is_short_and_simple(&raw));
            for (at, byte) in changes {
                let at = at.index(raw.len());
                raw[at] = byte;
            }
            raw.truncate(cut);
            prop_assert!(!is_short_and_simple(&raw) || any_attribute(&raw).is_ok());
        }
    }
}
