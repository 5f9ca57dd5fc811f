//! SkyWalking's ids, folded as the OpenTelemetry Collector's receiver folds them, so that both agree.
//! Where that receiver gives up, the text is hashed.

use super::text::{self, hash_span, hashed, trimmed};
use super::{IdError, Reading, SpanId, TraceId};

/// A UUID as it is; `<32 hex>.<thread>.<sequence>` folded by XOR; anything else hashed.
pub(super) fn trace(text: &str) -> Result<Reading, IdError> {
    let text = trimmed(text)?;
    let text = text.strip_prefix("TID:").map_or(text, str::trim);
    if text.len() <= 36 {
        return match text::uuid(text) {
            Ok(id) => Ok(Reading::of(id)),
            Err(IdError::Zero) => Err(IdError::Zero),
            Err(_) => hashed(text),
        };
    }
    match folded(text).and_then(TraceId::from_bytes) {
        Some(id) => Ok(Reading::of(id)),
        None => hashed(text),
    }
}

/// As `trace`, with the span's number folded in and both halves laid over each other.
pub(super) fn span(segment: &str, number: i32) -> Result<SpanId, IdError> {
    let segment = trimmed(segment)?;
    let bytes = folded(segment).or_else(|| text::uuid(segment).ok().map(|id| *id.bytes()));
    let folded = bytes.and_then(|mut bytes| {
        for (byte, part) in bytes.iter_mut().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        let mut half = [0; 8];
        for (at, byte) in half.iter_mut().enumerate() {
            *byte = bytes[at] ^ bytes[at + 8];
        }
        SpanId::from_bytes(half)
    });
    Ok(folded.unwrap_or_else(|| hash_span(format!("{segment}-{number}").as_bytes())))
}

fn folded(text: &str) -> Option<[u8; 16]> {
    let mut parts = text.split('.');
    let (start, middle, last) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let mut bytes = *text::uuid(start).ok()?.bytes();
    let (middle, last) = (middle.parse::<u32>().ok()?, last.parse::<u64>().ok()?);
    for (byte, part) in bytes[4..8].iter_mut().zip(middle.to_le_bytes()) {
        *byte ^= part;
    }
    for (byte, part) in bytes[8..].iter_mut().zip(last.to_le_bytes()) {
        *byte ^= part;
    }
    Some(bytes)
}
