//! The request's bytes: one document an item, or one OTLP/JSON request.

use bytes::Bytes;
use model::{Failure, Layout};
use pipeline::Parcel;
use wire::translate::{self, Losses};
use wire::{Coding, WireError};

use super::Format;
use crate::document::{self, Mode};

/// gzip and zstd levels: the fastest, since CPU is what this costs.
const LEVEL: i32 = 1;

/// How bodies are made, as configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    pub(super) format: Format,
    pub(super) mode: Mode,
    pub(super) coding: Coding,
    /// The most plain bytes of a body with more than one item.
    pub(super) limit: u64,
}

/// Makes the body. Takes milliseconds for a large parcel.
pub(super) fn make(parcel: &Parcel, recipe: Recipe) -> Result<(Bytes, Losses), Failure> {
    let (plain, losses) = match recipe.format {
        Format::Ndjson => (documents(parcel, recipe.mode, [b"", b"\n", b"\n"])?, Losses::default()),
        Format::JsonArray => (documents(parcel, recipe.mode, [b"[", b",", b"]"])?, Losses::default()),
        Format::OtlpJson => otlp_json(parcel)?,
    };
    if plain.len() as u64 > recipe.limit && parcel.items() > 1 {
        let reason = format!("request of {} bytes exceeds the limit of {}", plain.len(), recipe.limit);
        return Err(Failure::TooLarge { reason });
    }
    let bytes = match recipe.coding {
        Coding::Plain => plain,
        coding => wire::coding::compress(coding, LEVEL, &plain),
    };
    Ok((bytes.into(), losses))
}

fn documents(parcel: &Parcel, mode: Mode, [open, between, close]: [&[u8]; 3]) -> Result<Vec<u8>, Failure> {
    let mut out = open.to_vec();
    let mut first = true;
    document::each(parcel, mode, |_, document| {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(document);
    })?;
    out.extend_from_slice(close);
    Ok(out)
}

fn otlp_json(parcel: &Parcel) -> Result<(Vec<u8>, Losses), Failure> {
    let unreadable =
        |error: WireError| Failure::RefusedWhole { reason: format!("the parcel cannot be read: {error}") };
    let plain = parcel.plain()?;
    let (plain, losses) = match parcel.layout {
        Layout::Otlp => (plain, Losses::default()),
        Layout::RemoteWrite => {
            let (otlp, losses) = translate::rw_to_otlp(&plain).map_err(unreadable)?;
            (Bytes::from(otlp), losses)
        }
    };
    Ok((wire::json::to_json(parcel.signal, &plain).map_err(unreadable)?, losses))
}
