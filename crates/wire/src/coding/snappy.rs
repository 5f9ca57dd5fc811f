//! Raw snappy blocks.

use super::{Ceiling, Coding, InflateError};
use crate::{put, walk};

/// The magic that opens a framed stream.
const FRAMED: &[u8] = &[0xff, 0x06, 0x00, 0x00, b's', b'N', b'a', b'P', b'p', b'Y'];

/// An honest block expands at most some 21 times (64-byte copies of 3 bytes); a larger claim is a lie.
const MAX_EXPANSION: usize = 24;

const fn corrupt(reason: &'static str) -> InflateError {
    InflateError::Corrupt { coding: Coding::Snappy, reason }
}

/// The declared length and where the elements begin.
fn preamble(block: &[u8]) -> Result<(usize, usize), InflateError> {
    if block.is_empty() {
        return Err(corrupt("it is empty"));
    }
    if block.starts_with(FRAMED) {
        return Err(InflateError::Framed);
    }
    match walk::varint(block, 0) {
        Ok((length, at)) if length <= u64::from(u32::MAX) => Ok((length as usize, at)),
        _ => Err(corrupt("its length is not a 32-bit varint")),
    }
}

pub(super) fn inflate(block: &[u8], ceiling: Ceiling) -> Result<Vec<u8>, InflateError> {
    let (length, _) = preamble(block)?;
    // The lie comes first: a larger ceiling would not help it.
    if length > block.len().saturating_mul(MAX_EXPANSION) {
        return Err(corrupt("its declared length is more than 24 times its size"));
    }
    ceiling.check(length, block.len())?;
    let mut out = vec![0; length];
    match snap::raw::Decoder::new().decompress(block, &mut out) {
        Ok(made) if made == length => Ok(out),
        Ok(_) => Err(corrupt("its declared length is wrong")),
        Err(_) => Err(corrupt("its elements do not decode")),
    }
}

pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(plain)
        .expect("snappy compresses anything below 4 GiB, and bodies are far smaller")
}

/// Joins blocks into one that inflates to their contents laid end to end, without inflating: the lengths are added, the
/// elements appended. Copies in an element stream are relative, so they stay right.
///
/// # Errors
/// A part has no readable length, or the sum does not fit 32 bits. The elements are not looked at.
pub fn join_snappy(parts: &[&[u8]]) -> Result<Vec<u8>, InflateError> {
    let mut total = 0u64;
    let mut elements = Vec::with_capacity(parts.len());
    for part in parts {
        let (length, at) = preamble(part)?;
        total += length as u64;
        elements.push(&part[at..]);
    }
    if total > u64::from(u32::MAX) {
        return Err(InflateError::TooLarge { limit: u32::MAX as usize });
    }
    let mut out = Vec::with_capacity(5 + elements.iter().map(|e| e.len()).sum::<usize>());
    put::varint(&mut out, total);
    for element in elements {
        out.extend_from_slice(element);
    }
    Ok(out)
}
