//! One batch as it lies in a segment.
//!
//! ```text
//!   0  u32  crc32c of [4 .. header length] and the segment's epoch
//!   4  u16  header length, names and padding included, a multiple of 8
//!   6  u8   version, 1
//!   7  u8   mark, 0xD7: lets a scan skip what cannot be a frame
//!   8  u64  sequence number
//!  16  u32  body length
//!  20  u32  crc32c of body, epoch and sequence number
//!  24  u64  highest sequence number known durable when this was staged
//!  32  u64  items of all frames before this one in the log
//!  40  u64  received, Unix nanoseconds
//!  48  u64  number of a derived batch, 0 for what clients sent
//!  56  u128 content hash
//!  72  u32  plain length
//!  76  u32  items
//!  80  u8   signal, layout, coding, tenant length, source length; three zeros
//!  88       tenant, source, zeros up to a multiple of 8
//!           body, zeros up to a multiple of 8
//! ```
//!
//! All numbers are little-endian. Both sums carry the epoch, 64 random bits of the segment's current life, so that a frame
//! of a file's earlier life never counts, and so that no body can contain a valid frame.

use model::{Batch, ContentHash, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use wire::Coding;

const VERSION: u8 = 1;
const MARK: u8 = 0xD7;
const FIXED: usize = 88;
/// The longest header: fixed part, two names of 64 bytes.
pub(crate) const HEADER_MAX: usize = FIXED + 128;

/// A decoded frame header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) items_before: u64,
    pub(crate) received: UnixNanos,
    pub(crate) derived: u64,
    pub(crate) content_hash: ContentHash,
    pub(crate) plain_len: u32,
    pub(crate) items: u32,
    pub(crate) signal: Signal,
    pub(crate) layout: Layout,
    pub(crate) coding: Coding,
    pub(crate) origin: Origin,
    pub(crate) header_len: u16,
    pub(crate) body_len: u32,
    body_sum: u32,
}

/// What is not in the batch itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) items_before: u64,
    pub(crate) derived: u64,
}

pub(crate) const fn padded(n: usize) -> usize {
    n.next_multiple_of(8)
}

fn header_len(origin: &Origin) -> usize {
    padded(FIXED + origin.tenant.as_str().len() + origin.source.as_str().len())
}

/// Bytes that a batch takes in a segment.
pub(crate) fn length_of(batch: &Batch) -> usize {
    header_len(&batch.origin) + padded(batch.body.len())
}

fn body_sum(plain_sum: u32, epoch: u64, seq: u64) -> u32 {
    let sum = crc32c::crc32c_append(plain_sum, &epoch.to_le_bytes());
    crc32c::crc32c_append(sum, &seq.to_le_bytes())
}

fn header_sum(header: &[u8], epoch: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), &epoch.to_le_bytes())
}

/// Appends a frame to `out`. `plain_sum` is the crc32c of the body alone, so that it can be taken before any lock is.
pub(crate) fn encode(out: &mut Vec<u8>, batch: &Batch, plain_sum: u32, place: Place) {
    let start = out.len();
    let header = header_len(&batch.origin);
    let (tenant, source) = (batch.origin.tenant.as_str(), batch.origin.source.as_str());
    let mut fixed = [0; FIXED];
    let mut at = 4;
    let mut put = |bytes: &[u8]| {
        fixed[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&(header as u16).to_le_bytes());
    put(&[VERSION, MARK]);
    put(&place.seq.to_le_bytes());
    put(&(batch.body.len() as u32).to_le_bytes());
    put(&body_sum(plain_sum, place.epoch, place.seq).to_le_bytes());
    put(&place.durable.to_le_bytes());
    put(&place.items_before.to_le_bytes());
    put(&batch.received.0.to_le_bytes());
    put(&place.derived.to_le_bytes());
    put(&batch.content_hash.0.to_le_bytes());
    put(&batch.plain_len.to_le_bytes());
    put(&batch.items.to_le_bytes());
    put(&[
        batch.signal as u8,
        batch.layout as u8,
        batch.coding as u8,
        tenant.len() as u8,
        source.len() as u8,
    ]);
    out.reserve(header + padded(batch.body.len()));
    out.extend_from_slice(&fixed);
    out.extend_from_slice(tenant.as_bytes());
    out.extend_from_slice(source.as_bytes());
    out.resize(start + header, 0);
    let sum = header_sum(&out[start + 4..start + header], place.epoch);
    out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&batch.body);
    out.resize(start + header + padded(batch.body.len()), 0);
}

/// Whether bytes can be the beginning of a frame at all; cheap, for scans.
pub(crate) fn plausible(bytes: &[u8]) -> bool {
    bytes.len() >= FIXED && bytes[6] == VERSION && bytes[7] == MARK
}

/// Reads a header of this epoch and signal; `None` when it is anything else.
pub(crate) fn head(bytes: &[u8], epoch: u64, signal: Signal) -> Option<Head> {
    if !plausible(bytes) {
        return None;
    }
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | (u64::from(u32_at(at + 4)) << 32);
    let header_len = u16_at(4);
    let header = bytes.get(..usize::from(header_len)).filter(|header| header.len() >= FIXED)?;
    if header_sum(&header[4..], epoch) != u32_at(0) || bytes[80] != signal as u8 {
        return None;
    }
    let tenant_end = FIXED + usize::from(bytes[83]);
    let source_end = tenant_end + usize::from(bytes[84]);
    let name = |from: usize, to: usize| std::str::from_utf8(header.get(from..to)?).ok();
    Some(Head {
        seq: u64_at(8),
        durable: u64_at(24),
        items_before: u64_at(32),
        received: UnixNanos(u64_at(40)),
        derived: u64_at(48),
        content_hash: ContentHash(u128::from(u64_at(56)) | (u128::from(u64_at(64)) << 64)),
        plain_len: u32_at(72),
        items: u32_at(76),
        signal,
        layout: Layout::from_u8(bytes[81])?,
        coding: coding_of(bytes[82])?,
        origin: Origin {
            tenant: Tenant::new(name(FIXED, tenant_end)?)?,
            source: Source::new(name(tenant_end, source_end)?)?,
        },
        header_len,
        body_len: u32_at(16),
        body_sum: u32_at(20),
    })
}

const fn coding_of(number: u8) -> Option<Coding> {
    match number {
        0 => Some(Coding::Plain),
        1 => Some(Coding::Snappy),
        2 => Some(Coding::Gzip),
        3 => Some(Coding::Zstd),
        4 => Some(Coding::Deflate),
        _ => None,
    }
}

impl Head {
    /// Bytes from the beginning of this frame to the beginning of the next.
    pub(crate) fn length(&self) -> u64 {
        u64::from(self.header_len) + (u64::from(self.body_len)).next_multiple_of(8)
    }

    /// Whether `body` is this frame's body, whole and unchanged.
    pub(crate) fn matches(&self, body: &[u8], epoch: u64) -> bool {
        body.len() == self.body_len as usize
            && body_sum(crc32c::crc32c(body), epoch, self.seq) == self.body_sum
    }
}

/// Rewrites the sums of whole frames in `bytes` for another epoch: they move to another segment as they are.
pub(crate) fn resalt(bytes: &mut [u8], from: u64, to: u64, signal: Signal) {
    let mut at = 0;
    while let Some(head) = bytes.get(at..).and_then(|rest| head(rest, from, signal)) {
        let header = usize::from(head.header_len);
        let body = &bytes[at + header..at + header + head.body_len as usize];
        let sum = body_sum(crc32c::crc32c(body), to, head.seq);
        bytes[at + 20..at + 24].copy_from_slice(&sum.to_le_bytes());
        let sum = header_sum(&bytes[at + 4..at + header], to);
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        at += head.length() as usize;
    }
}
