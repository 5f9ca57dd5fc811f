//! The request's bytes. Received 1.0 bodies go out as they came, several of them as one compressed body laid end to end; only what
//! holds private fields, is to be 2.0 or was OTLP is made anew.

use std::sync::Arc;

use bytes::Bytes;
use model::{Failure, Layout, Signal};
use pipeline::Parcel;
use wire::batch::count;
use wire::translate::{self, Losses};
use wire::{Coding, Counts, WireError};

use super::PrivateFields;
use super::message::Message;

/// zstd's level for what must be compressed anew: the fastest, since CPU is what this costs. snappy has none.
const LEVEL: i32 = 1;

/// How bodies are made, as configured.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// snappy or zstd.
    pub(super) coding: Coding,
    pub(super) private_fields: PrivateFields,
    pub(super) otlp: Arc<translate::Options>,
}

impl Recipe {
    /// The same without the series that is added to what was OTLP.
    pub(super) fn without_target_info(&self) -> Self {
        let otlp = translate::Options { target_info: false, ..(*self.otlp).clone() };
        Self { otlp: Arc::new(otlp), ..self.clone() }
    }
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Compressed as configured.
    pub(super) bytes: Bytes,
    pub(super) losses: Losses,
    /// What a body of 2.0 holds, to which the peer's answer is held; a peer of 1.0 says nothing.
    pub(super) counts: Option<Counts>,
}

/// Makes the body of `message`. Takes milliseconds for a large parcel.
pub(super) fn prepare(parcel: &Parcel, message: Message, recipe: &Recipe) -> Result<Prepared, Failure> {
    // A peer that refused 2.0 loses what only private fields carry; stripping is what counts it.
    let strip = message == Message::Fallback || recipe.private_fields == PrivateFields::Strip;
    if parcel.layout == Layout::RemoteWrite && message != Message::V2 && !strip {
        return as_received(parcel, recipe.coding);
    }
    let plain = parcel.plain()?;
    let (plain, mut losses) = match parcel.layout {
        Layout::RemoteWrite
            if message != Message::V2 && !translate::has_private(&plain).map_err(unreadable)? =>
        {
            return as_received(parcel, recipe.coding);
        }
        Layout::RemoteWrite => (plain, Losses::default()),
        Layout::Otlp => {
            let (bytes, losses) = translate::otlp_to_rw(&plain, &recipe.otlp).map_err(unreadable)?;
            (Bytes::from(bytes), losses)
        }
    };
    let counts = match message {
        Message::V2 => Some(count(Signal::Metrics, Layout::RemoteWrite, &plain).map_err(unreadable)?),
        Message::V1 | Message::Fallback => None,
    };
    let plain = match message {
        Message::V2 => Bytes::from(translate::v1_to_v2(&plain).map_err(unreadable)?),
        Message::V1 | Message::Fallback if strip => {
            let (bytes, stripped) = translate::strip_to_v1(&plain).map_err(unreadable)?;
            losses += &stripped;
            Bytes::from(bytes)
        }
        Message::V1 | Message::Fallback => plain,
    };
    Ok(Prepared { bytes: wire::coding::compress(recipe.coding, LEVEL, &plain).into(), losses, counts })
}

fn as_received(parcel: &Parcel, coding: Coding) -> Result<Prepared, Failure> {
    let body = parcel.join(&[coding])?;
    Ok(Prepared { bytes: body.bytes, losses: Losses::default(), counts: None })
}

fn unreadable(error: WireError) -> Failure {
    Failure::RefusedWhole { reason: format!("the parcel cannot be read: {error}") }
}
