//! Inflating bodies: which codings a request names, and inflating under a ceiling, in leased memory, off the async workers.

use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use model::Refusal;
use pipeline::settings::Size;
use pipeline::{Lease, Workers};
use wire::Coding;
use wire::coding::{self, Ceiling, InflateError};

use crate::body::Gathered;

/// Encodings that a request may pile up.
const MOST_LAYERS: usize = 2;
/// The ratio of plain to compressed bytes above which a body is a bomb …
pub(crate) const RATIO: u32 = 200;
/// … once so many plain bytes have come.
pub(crate) const RATIO_AFTER: usize = 1 << 20;
/// Room for plain bytes at the first attempt, where nothing better is known.
const FIRST_ROOM: usize = 64 << 10;
/// How much more room each further attempt gets: what is thrown away stays below a seventh of the work.
const MORE_ROOM: usize = 8;
/// Compressed bytes above which an entropy-coded body leaves the async worker.
const HEAVY: usize = 16 << 10;
/// The same for snappy, which is several times faster and expands less.
const HEAVY_SNAPPY: usize = 64 << 10;

/// One encoding of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// One that batches can be kept in.
    Coding(Coding),
    /// Snappy, as blocks or framed: the first bytes tell.
    Snappy,
}

/// A body in both forms, with the memory that both are held in.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The form that may be kept: as received where that is one coding, else plain.
    pub(crate) coding: Coding,
    /// The body in that form.
    pub(crate) body: Bytes,
    /// The body inflated.
    pub(crate) plain: Bytes,
    /// Kept until the request is answered.
    pub(crate) lease: Lease,
}

/// The encodings named by `header`, outermost last. Unknown ones are refused as unsupported.
pub(crate) fn layers(headers: &HeaderMap, header: &HeaderName) -> Result<Vec<Layer>, Refusal> {
    let mut layers = Vec::new();
    for value in headers.get_all(header) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for word in text.split(',').map(str::trim) {
            layers.push(match word.to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Layer::Coding(Coding::Gzip),
                "zstd" => Layer::Coding(Coding::Zstd),
                "deflate" | "zlib" => Layer::Coding(Coding::Deflate),
                "snappy" | "x-snappy-framed" => Layer::Snappy,
                _ => return Err(Refusal::unsupported(format!("{header} {word:?} is not served"))),
            });
        }
    }
    if layers.len() > MOST_LAYERS {
        let count = layers.len();
        return Err(Refusal::unsupported(format!(
            "{count} encodings in {header} exceed the limit of {MOST_LAYERS}"
        )));
    }
    Ok(layers)
}

/// Inflates a body of `layers`, outermost last, to at most `most` plain bytes.
pub(crate) async fn inflate(
    workers: &Workers,
    layers: Vec<Layer>,
    gathered: Gathered,
    most: usize,
) -> Result<Decoded, Refusal> {
    if layers.is_empty() {
        let Gathered { bytes, lease } = gathered;
        if bytes.len() > most {
            return Err(crate::body::too_large(Some(bytes.len()), most));
        }
        return Ok(Decoded { coding: Coding::Plain, body: bytes.clone(), plain: bytes, lease });
    }
    if is_heavy(&layers, gathered.bytes.len()) {
        off_worker(workers, move || peel(&layers, gathered, most)).await
    } else {
        peel(&layers, gathered, most)
    }
}

/// Runs `job` on the named threads; a job that broke is a fault of ours, so the client may come back.
pub(crate) async fn off_worker<T: Send + 'static>(
    workers: &Workers,
    job: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    workers
        .run(job)
        .await
        .unwrap_or_else(|gone| Err(Refusal::unavailable(gone.to_string(), std::time::Duration::from_secs(1))))
}

fn is_heavy(layers: &[Layer], bytes: usize) -> bool {
    let only_snappy =
        layers.iter().all(|layer| matches!(layer, Layer::Snappy | Layer::Coding(Coding::Snappy)));
    bytes > if only_snappy { HEAVY_SNAPPY } else { HEAVY }
}

fn peel(layers: &[Layer], gathered: Gathered, most: usize) -> Result<Decoded, Refusal> {
    let Gathered { bytes: body, mut lease } = gathered;
    let as_received = lease.bytes();
    let mut plain = body.clone();
    for layer in layers.iter().rev() {
        let before = lease.bytes();
        let inflated = match layer {
            Layer::Coding(coding) => widen(*coding, &plain, &mut lease, most)?,
            Layer::Snappy if is_framed(&plain) => unframe(&plain, &mut lease, most)?,
            Layer::Snappy => widen(Coding::Snappy, &plain, &mut lease, most)?,
        };
        lease.shrink_to(before + inflated.capacity() as u64);
        plain = Bytes::from(inflated);
    }
    // Only what the journal's readers can inflate by themselves is kept as received.
    let coding = match layers {
        [Layer::Coding(coding @ (Coding::Snappy | Coding::Gzip | Coding::Zstd))] => *coding,
        [Layer::Snappy] if !is_framed(&body) => Coding::Snappy,
        _ => Coding::Plain,
    };
    let body = if coding == Coding::Plain {
        lease.shrink_to(lease.bytes().saturating_sub(as_received));
        plain.clone()
    } else {
        body
    };
    Ok(Decoded { coding, body, plain, lease })
}

/// Inflates into room that is leased step by step, so that a small body does not take the memory of a large one.
pub(crate) fn widen(coding: Coding, body: &[u8], lease: &mut Lease, most: usize) -> Result<Vec<u8>, Refusal> {
    let before = lease.bytes();
    let mut room = hint(coding, body).clamp(FIRST_ROOM, most.max(FIRST_ROOM)).min(most);
    loop {
        let held = lease.bytes() - before;
        lease.grow((room as u64).saturating_sub(held))?;
        match coding::inflate(coding, body, Ceiling { bytes: room, ratio_after: RATIO_AFTER, ratio: RATIO }) {
            Ok(plain) => return Ok(plain),
            Err(InflateError::TooLarge { .. }) if room < most => {
                room = room.saturating_mul(MORE_ROOM).min(most);
            }
            Err(error) => return Err(refusal(&error)),
        }
    }
}

/// What a body says of its own plain length; never believed, only used to guess well.
fn hint(coding: Coding, body: &[u8]) -> usize {
    match coding {
        Coding::Gzip => match body.last_chunk::<4>() {
            Some(length) => u32::from_le_bytes(*length) as usize,
            None => 0,
        },
        Coding::Snappy => {
            let mut length = 0u64;
            for (at, byte) in body.iter().take(5).enumerate() {
                length |= u64::from(byte & 0x7f) << (7 * at);
                if byte & 0x80 == 0 {
                    break;
                }
            }
            length as usize
        }
        _ => body.len().saturating_mul(MORE_ROOM),
    }
}

/// Whether bytes begin a snappy framed stream.
fn is_framed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\x06\x00\x00sNaPpY")
}

fn unframe(body: &[u8], lease: &mut Lease, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut reader = snap::read::FrameDecoder::new(body);
    let mut plain = Vec::new();
    // A block holds at most 64 KiB.
    let mut block = vec![0; 64 << 10];
    loop {
        let read = reader
            .read(&mut block)
            .map_err(|error| Refusal::malformed(format!("framed snappy body: {error}")))?;
        if read == 0 {
            return Ok(plain);
        }
        let needed = plain.len() + read;
        if needed > most {
            return Err(crate::body::too_large(None, most));
        }
        if needed > plain.capacity() {
            let room = (plain.capacity() * 2).max(needed).min(most);
            lease.grow((room - plain.capacity()) as u64)?;
            plain.reserve_exact(room - plain.len());
        }
        plain.extend_from_slice(&block[..read]);
    }
}

/// What an inflater's complaint means to the client.
pub(crate) fn refusal(error: &InflateError) -> Refusal {
    match error {
        InflateError::TooLarge { limit } => {
            Refusal::too_large(format!("inflated body exceeds the limit of {}", Size(*limit as u64)))
        }
        InflateError::Ratio { .. } => Refusal::too_large(error.to_string()),
        _ => Refusal::malformed(error.to_string()),
    }
}
