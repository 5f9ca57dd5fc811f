//! Ids made from what a record holds: no clock, no host, no order of arrival enters, so that a retry, a duplicate and
//! another gateway make the same id, and whoever upserts by id holds one copy.
//!
//! The id is the start of SHA-256 over the seed, the kind and the parts, each set off by the byte 0x1F.
//! The seed is fixed for ever: ids in stores depend on it.

use sha2::{Digest, Sha256};

use super::{SpanId, TraceId};

const SEED: &[u8] = b"tgw.v1";
const SEPARATOR: [u8; 1] = [0x1f];

/// The span id of `kind` and its parts.
pub fn id8(kind: &str, parts: &[&str]) -> SpanId {
    let digest = digest(kind, parts);
    let mut bytes: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
    if bytes == [0; 8] {
        bytes[7] = 1;
    }
    SpanId(bytes)
}

/// The trace id of `kind` and its parts.
pub fn id16(kind: &str, parts: &[&str]) -> TraceId {
    let digest = digest(kind, parts);
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("a digest has 32 bytes");
    if bytes == [0; 16] {
        bytes[15] = 1;
    }
    TraceId(bytes)
}

fn digest(kind: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(SEED);
    hash.update(SEPARATOR);
    hash.update(kind);
    for part in parts {
        hash.update(SEPARATOR);
        hash.update(part);
    }
    hash.finalize().into()
}
