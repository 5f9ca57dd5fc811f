//! Headers that carry a trace id, a span id and the sampling decision in one line
//! (W3C Trace Context level 2, B3 propagation, Jaeger client propagation, Google Cloud Trace, AWS X-Ray, SkyWalking v3).

use std::borrow::Cow;

use super::text::{self, span, span_up_to_16, trace, trimmed};
use super::{IdError, Notation, Reading, SpanId, TraceId, skywalking};

/// What one propagation header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context<'a> {
    /// The trace id; absent only where B3 sends a bare decision.
    pub trace_id: Option<TraceId>,
    /// The id of the span that sent the header.
    pub span_id: Option<SpanId>,
    /// That span's own parent, where the notation tells.
    pub parent: Option<SpanId>,
    /// The sampling decision, when one was made.
    pub sampled: Option<bool>,
    /// Sampled for debugging, beyond any ratio.
    pub debug: bool,
    /// The right-most bits of the trace id are known to be random (W3C level 2).
    pub random: bool,
    /// How wide the id was: 128, 64, or 0 when it is a hash.
    pub bits: u8,
    /// The trace id as it was written.
    pub original: Cow<'a, str>,
}

impl<'a> Context<'a> {
    /// Reads one header value. Blanks around it are ignored; several values joined by a comma are no context.
    pub fn parse(notation: Notation, text: &'a str) -> Result<Self, IdError> {
        let text = trimmed(text)?;
        match notation {
            Notation::W3c | Notation::ElasticApm => traceparent(text, false),
            Notation::W3cStrict => traceparent(text, true),
            Notation::B3Single => b3(text),
            Notation::Jaeger => jaeger(text),
            Notation::Gcp => gcp(text),
            Notation::Aws => aws(text),
            Notation::Sw8 => sw8(text),
            _ => TraceId::read(notation, text).map(|reading| Self::of(reading, text)),
        }
    }

    fn of(reading: Reading, original: impl Into<Cow<'a, str>>) -> Self {
        Self {
            trace_id: Some(reading.id),
            span_id: None,
            parent: None,
            sampled: None,
            debug: false,
            random: false,
            bits: reading.bits,
            original: original.into(),
        }
    }
}

fn traceparent(text: &str, strict: bool) -> Result<Context<'_>, IdError> {
    let bytes = text.as_bytes();
    if bytes.len() < 55 || bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' || !text.is_ascii() {
        return Err(IdError::Form);
    }
    if strict && bytes[..55].iter().any(u8::is_ascii_uppercase) {
        return Err(IdError::Form);
    }
    let version = text::hex(&text[..2]).ok_or(IdError::Form)?;
    let tail_fits = match version {
        0xff => false,
        0 => bytes.len() == 55,
        _ => bytes.len() == 55 || bytes[55] == b'-',
    };
    if !tail_fits {
        return Err(IdError::Form);
    }
    let flags = text::hex(&text[53..55]).ok_or(IdError::Form)?;
    let id = text::trace_up_to_32(&text[3..35])?;
    let span_id = span_up_to_16(&text[36..52])?;
    Ok(Context {
        span_id: Some(span_id),
        sampled: Some(flags & 1 == 1),
        random: flags & 2 == 2,
        ..Context::of(Reading::of(id), &text[3..35])
    })
}

fn b3(text: &str) -> Result<Context<'_>, IdError> {
    let decision = |state: &str| match state {
        "0" => Ok((Some(false), false)),
        "1" => Ok((Some(true), false)),
        "d" => Ok((Some(true), true)),
        _ => Err(IdError::Form),
    };
    if text.len() == 1 {
        let (sampled, debug) = decision(text)?;
        return Ok(Context {
            trace_id: None,
            span_id: None,
            parent: None,
            sampled,
            debug,
            random: false,
            bits: 0,
            original: Cow::Borrowed(""),
        });
    }
    let mut parts = text.split('-');
    let original = parts.next().ok_or(IdError::Form)?;
    let id = text::trace_of_16_or_32(original)?;
    let sixteen = |part: &str| if part.len() == 16 { span_up_to_16(part) } else { Err(IdError::Form) };
    let span_id = sixteen(parts.next().ok_or(IdError::Form)?)?;
    let (sampled, debug) = parts.next().map_or(Ok((None, false)), decision)?;
    let parent = parts.next().map(sixteen).transpose()?;
    if parts.next().is_some() {
        return Err(IdError::Form);
    }
    Ok(Context { span_id: Some(span_id), parent, sampled, debug, ..Context::of(Reading::of(id), original) })
}

/// Jaeger strips leading zeros, so any number of digits up to the full width is normal; some clients encode the colons.
fn jaeger(text: &str) -> Result<Context<'_>, IdError> {
    let mut parts = [""; 4];
    let mut rest = text;
    for (at, part) in parts.iter_mut().enumerate() {
        let cut = rest
            .find(':')
            .map(|i| (i, 1))
            .or_else(|| rest.find("%3A").or_else(|| rest.find("%3a")).map(|i| (i, 3)));
        match (cut, at) {
            (Some((i, width)), 0..=2) => {
                *part = &rest[..i];
                rest = &rest[i + width..];
            }
            (None, 3) => *part = rest,
            _ => return Err(IdError::Form),
        }
    }
    let [original, span_text, parent, flags] = parts;
    if flags.len() > 2 {
        return Err(IdError::Form);
    }
    let flags = text::hex(flags).ok_or(IdError::Form)?;
    let id = text::trace_up_to_32(original)?;
    let span_id = span_up_to_16(span_text)?;
    let parent = match span_up_to_16(parent) {
        Ok(parent) => Some(parent),
        Err(IdError::Zero) => None,
        Err(_) if parent.is_empty() => None,
        Err(error) => return Err(error),
    };
    Ok(Context {
        span_id: Some(span_id),
        parent,
        sampled: Some(flags & 3 != 0),
        debug: flags & 2 == 2,
        ..Context::of(Reading::of(id), original)
    })
}

fn gcp(text: &str) -> Result<Context<'_>, IdError> {
    let (ids, options) = text.split_once(';').unwrap_or((text, ""));
    let (original, span_text) = ids.split_once('/').map_or((ids, None), |(id, span)| (id, Some(span)));
    if original.len() != 32 {
        return Err(IdError::Form);
    }
    let id = text::trace_up_to_32(original)?;
    let span_id = match span_text {
        None => None,
        Some(digits) if digits.starts_with('-') => return Err(IdError::Form),
        Some(digits) => span(text::decimal(digits)?).ok(),
    };
    let sampled = options.split(';').find_map(|option| match option.trim() {
        "o=0" => Some(false),
        "o=1" | "o=3" => Some(true),
        _ => None,
    });
    Ok(Context { span_id, sampled, ..Context::of(Reading::of(id), original) })
}

/// The parts come in any order; load balancers put `Self` first.
fn aws(text: &str) -> Result<Context<'_>, IdError> {
    let mut root = None;
    let mut span_id = None;
    let mut sampled = None;
    for part in text.split(';') {
        let Some((name, value)) = part.trim().split_once('=') else { continue };
        match name {
            "Root" => root = Some(value),
            "Parent" if value.len() == 16 => span_id = span_up_to_16(value).ok(),
            "Sampled" => sampled = (value != "?").then_some(value == "1"),
            _ => {}
        }
    }
    let original = root.ok_or(IdError::Form)?;
    let (time, unique) =
        original.strip_prefix("1-").and_then(|rest| rest.split_once('-')).ok_or(IdError::Form)?;
    if time.len() != 8 || unique.len() != 24 {
        return Err(IdError::Form);
    }
    let (time, unique) = (text::hex(time).ok_or(IdError::Form)?, text::hex(unique).ok_or(IdError::Form)?);
    let id = trace(time << 96 | unique)?;
    Ok(Context { span_id, sampled, ..Context::of(Reading::of(id), original) })
}

/// `sampled-trace-segment-span-…`, the texts in base64.
fn sw8(text: &str) -> Result<Context<'_>, IdError> {
    let mut parts = text.split('-');
    let sampled = match parts.next() {
        Some("0") => false,
        Some("1") => true,
        _ => return Err(IdError::Form),
    };
    let plain = |part: Option<&str>| {
        let bytes = text::base64(part.ok_or(IdError::Form)?)?;
        String::from_utf8(bytes).map_err(|_| IdError::Form)
    };
    let original = plain(parts.next())?;
    let segment = plain(parts.next())?;
    let number = parts.next().and_then(|n| n.parse::<i32>().ok()).ok_or(IdError::Form)?;
    let reading = skywalking::trace(trimmed(&original)?)?;
    let span_id = skywalking::span(&segment, number).ok();
    Ok(Context { span_id, sampled: Some(sampled), ..Context::of(reading, original) })
}
