//! One id in one field.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use super::{Context, IdError, Notation, Reading, SpanId, TraceId, skywalking};

/// No id and no header with ids in it is longer.
pub(super) const LONGEST: usize = 512;

pub(super) fn read(notation: Notation, text: &str) -> Result<Reading, IdError> {
    let text = trimmed(text)?;
    let id = match notation {
        Notation::W3c
        | Notation::W3cStrict
        | Notation::ElasticApm
        | Notation::B3Single
        | Notation::Jaeger
        | Notation::Gcp
        | Notation::Aws
        | Notation::Sw8 => {
            let context = Context::parse(notation, text)?;
            let id = context.trace_id.ok_or(IdError::Absent)?;
            return Ok(Reading { id, bits: context.bits });
        }
        Notation::B3Multi | Notation::Ot | Notation::Instana => trace_of_16_or_32(text)?,
        Notation::Zipkin => trace_up_to_32(text)?,
        Notation::Hex => trace_up_to_32(text.strip_prefix("0x").unwrap_or(text))?,
        Notation::OtlpJson => match text.len() {
            32 => trace_up_to_32(text)?,
            _ => return Err(IdError::Form),
        },
        Notation::Datadog => datadog(text, None)?,
        Notation::Base64 => {
            let bytes = base64(text)?;
            if !matches!(bytes.len(), 8 | 16) {
                return Err(IdError::Form);
            }
            TraceId::from_padded(&bytes).ok_or(IdError::Zero)?
        }
        Notation::Uuid => uuid(text)?,
        Notation::Custom => if text.len() >= 36 { uuid(text) } else { trace_of_16_or_32(text) }?,
        Notation::SkyWalking => return skywalking::trace(text),
        Notation::Hashed => return hashed(text),
    };
    Ok(Reading::of(id))
}

pub(super) fn read_span(notation: Notation, text: &str) -> Result<SpanId, IdError> {
    let text = trimmed(text)?;
    match notation {
        Notation::W3c
        | Notation::W3cStrict
        | Notation::ElasticApm
        | Notation::B3Single
        | Notation::Jaeger
        | Notation::Gcp
        | Notation::Aws
        | Notation::Sw8 => Context::parse(notation, text)?.span_id.ok_or(IdError::Absent),
        Notation::B3Multi | Notation::OtlpJson | Notation::Uuid => match text.len() {
            16 => span_up_to_16(text),
            _ => Err(IdError::Form),
        },
        Notation::Ot | Notation::Instana | Notation::Zipkin => span_up_to_16(text),
        Notation::Hex | Notation::Custom => span_up_to_16(text.strip_prefix("0x").unwrap_or(text)),
        Notation::Datadog => span(decimal(text)?),
        Notation::Base64 => {
            let bytes = base64(text)?;
            let bytes = <[u8; 8]>::try_from(bytes.as_slice()).map_err(|_| IdError::Form)?;
            SpanId::from_bytes(bytes).ok_or(IdError::Zero)
        }
        Notation::SkyWalking | Notation::Hashed => Ok(hash_span(text.as_bytes())),
    }
}

pub(super) fn datadog(low: &str, tid: Option<&str>) -> Result<TraceId, IdError> {
    let low = trimmed(low)?;
    if low.len() == 32 {
        return trace_up_to_32(low);
    }
    let low = decimal(low)?;
    if low == 0 {
        return Err(IdError::Zero);
    }
    let high = tid.filter(|tid| tid.len() == 16).and_then(hex).unwrap_or(0);
    trace(high << 64 | u128::from(low))
}

/// The text without blanks around it, unless it says that there is no id.
pub(super) fn trimmed(text: &str) -> Result<&str, IdError> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(IdError::TooLong);
    }
    const WORDS: [&str; 9] =
        ["-", "null", "nil", "none", "undefined", "n/a", "nan", "unknown", "ignored_trace"];
    if text.is_empty() || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Err(IdError::Absent);
    }
    Ok(text)
}

/// The number of 1 to 32 hex digits of any case.
pub(super) fn hex(text: &str) -> Option<u128> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let mut value = 0;
    for byte in text.bytes() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value)
}

pub(super) fn trace(value: u128) -> Result<TraceId, IdError> {
    TraceId::from_bytes(value.to_be_bytes()).ok_or(IdError::Zero)
}

pub(super) fn span(value: u64) -> Result<SpanId, IdError> {
    SpanId::from_bytes(value.to_be_bytes()).ok_or(IdError::Zero)
}

pub(super) fn trace_up_to_32(text: &str) -> Result<TraceId, IdError> {
    trace(hex(text).ok_or(IdError::Form)?)
}

pub(super) fn trace_of_16_or_32(text: &str) -> Result<TraceId, IdError> {
    match text.len() {
        16 | 32 => trace_up_to_32(text),
        _ => Err(IdError::Form),
    }
}

pub(super) fn span_up_to_16(text: &str) -> Result<SpanId, IdError> {
    if text.len() > 16 {
        return Err(IdError::Form);
    }
    span(hex(text).ok_or(IdError::Form)? as u64)
}

/// An unsigned number of 64 bits, or a negative one that stands for the same bits.
pub(super) fn decimal(text: &str) -> Result<u64, IdError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(IdError::Form);
    }
    if text.len() == digits.len() {
        text.parse::<u64>().ok()
    } else {
        text.parse::<i64>().ok().map(|v| v as u64)
    }
    .ok_or(IdError::Form)
}

pub(super) fn uuid(text: &str) -> Result<TraceId, IdError> {
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    match text.len() {
        32 => trace_up_to_32(text),
        36 => {
            let mut digits = [0; 32];
            let mut filled = 0;
            for (at, byte) in text.bytes().enumerate() {
                if matches!(at, 8 | 13 | 18 | 23) {
                    if byte != b'-' {
                        return Err(IdError::Form);
                    }
                } else {
                    digits[filled] = byte;
                    filled += 1;
                }
            }
            trace_up_to_32(std::str::from_utf8(&digits).map_err(|_| IdError::Form)?)
        }
        _ => Err(IdError::Form),
    }
}

pub(super) fn base64(text: &str) -> Result<Vec<u8>, IdError> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    GeneralPurpose::new(&alphabet, CONFIG).decode(text).map_err(|_| IdError::Form)
}

/// The first half of SHA-256 over the text: no salt and no folding of case, so that every gateway agrees.
pub(super) fn hashed(text: &str) -> Result<Reading, IdError> {
    let text = trimmed(text)?;
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("a digest has 32 bytes");
    if bytes == [0; 16] {
        bytes[15] = 1;
    }
    Ok(Reading { id: TraceId(bytes), bits: 0 })
}

pub(super) fn hash_span(text: &[u8]) -> SpanId {
    let digest = Sha256::digest(text);
    let mut bytes: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
    if bytes == [0; 8] {
        bytes[7] = 1;
    }
    SpanId(bytes)
}
