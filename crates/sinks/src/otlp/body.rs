//! The request's bytes: as received where that is safe, else made from the plain bytes.

use bytes::Bytes;
use model::{Failure, Layout};
use pipeline::{Body, Parcel};
use wire::Coding;
use wire::translate::{self, Losses};

/// gzip and zstd levels for what must be compressed anew: the fastest, since CPU is what this costs.
const LEVEL: i32 = 1;

/// A single untouched frame that is in `coding` already, as it came.
///
/// Frames are not joined as compressed members: some gRPC servers stop after the first gzip member and would lose the rest without a word.
/// For the same reason a received gzip body counts only if its last member is the whole: its length trailer (RFC 1952, ISIZE) says so.
pub(super) fn verbatim(parcel: &Parcel, coding: Coding) -> Option<Body> {
    let [part] = &parcel.parts[..] else { return None };
    if parcel.layout != Layout::Otlp || part.coding != coding || !part.is_whole() {
        return None;
    }
    let single = coding != Coding::Gzip || part.body.ends_with(&part.plain_len.to_le_bytes());
    single.then(|| Body { coding, bytes: part.body.clone() })
}

/// Translates where needed, and compresses. `TooLarge` when several items make more than `limit` plain bytes.
pub(super) fn make(parcel: &Parcel, coding: Coding, limit: u64) -> Result<(Body, Losses), Failure> {
    let plain = parcel.plain()?;
    let (plain, losses) = match parcel.layout {
        Layout::Otlp => (plain, Losses::default()),
        Layout::RemoteWrite => {
            let (otlp, losses) = translate::rw_to_otlp(&plain)
                .map_err(|error| Failure::RefusedWhole { reason: error.to_string() })?;
            (Bytes::from(otlp), losses)
        }
    };
    if plain.len() as u64 > limit && parcel.items() > 1 {
        let reason = format!("request of {} bytes exceeds the limit of {limit}", plain.len());
        return Err(Failure::TooLarge { reason });
    }
    let bytes = match coding {
        Coding::Plain => plain,
        _ => Bytes::from(wire::coding::compress(coding, LEVEL, &plain)),
    };
    Ok((Body { coding, bytes }, losses))
}

/// The name of a coding in HTTP and gRPC headers; none for plain.
pub(super) fn coding_name(coding: Coding) -> Option<&'static str> {
    match coding {
        Coding::Plain => None,
        Coding::Snappy => Some("snappy"),
        Coding::Gzip => Some("gzip"),
        Coding::Zstd => Some("zstd"),
        Coding::Deflate => Some("deflate"),
    }
}
