//! The request's bytes. Received 1.0 bodies go out as they came, several of them as one compressed body laid end to end; only what
//! holds private fields, is to be 2.0 or was OTLP is made anew.

use std::sync::Arc;

use bytes::Bytes;
use model::{Failure, Layout, Signal};
use wire::batch::{Pieces, count};
use wire::rw::v1::Series;
use wire::translate::{self, Losses};
use wire::walk::fields;
use wire::{Coding, Counts, WireError};

use super::PrivateFields;
use super::lot::Lot;
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

/// What of a lot a request is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    All,
    /// Samples and histograms.
    Values,
    /// What goes with them and is nothing that a series is made of: exemplars, metadata and what says of a resource what it is.
    Company,
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Compressed as configured.
    pub(super) bytes: Bytes,
    /// Whether there is nothing in it.
    pub(super) is_empty: bool,
    pub(super) losses: Losses,
    /// What a body of 2.0 holds, to which the peer's answer is held; a peer of 1.0 says nothing.
    pub(super) counts: Option<Counts>,
}

/// Makes the body of `message` with this part of a lot. Takes milliseconds for a large one.
pub(super) fn prepare(lot: &Lot, message: Message, part: Part, recipe: &Recipe) -> Result<Prepared, Failure> {
    let parcel = &lot.parcel;
    // A peer that refused 2.0 loses what only private fields carry; stripping is what counts it.
    let strip = message == Message::Fallback || recipe.private_fields == PrivateFields::Strip;
    let may_be_as_received =
        parcel.layout == Layout::RemoteWrite && message != Message::V2 && part == Part::All;
    if may_be_as_received && !strip {
        return as_received(lot, recipe.coding);
    }
    let plain = parcel.plain()?;
    let (plain, mut losses) = match parcel.layout {
        Layout::RemoteWrite
            if may_be_as_received && !translate::has_private(&plain).map_err(unreadable)? =>
        {
            return as_received(lot, recipe.coding);
        }
        Layout::RemoteWrite if lot.translated => {
            (select_of_points(plain, part).map_err(unreadable)?, Losses::default())
        }
        Layout::RemoteWrite => (select(plain, part).map_err(unreadable)?, Losses::default()),
        Layout::Otlp => {
            let (bytes, losses) = translate::otlp_to_rw(&plain, &recipe.options(part)).map_err(unreadable)?;
            (Bytes::from(bytes), losses)
        }
    };
    let is_empty = plain.is_empty();
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
    let bytes = wire::coding::compress(recipe.coding, LEVEL, &plain).into();
    Ok(Prepared { bytes, is_empty, losses, counts })
}

impl Recipe {
    fn options(&self, part: Part) -> Arc<translate::Options> {
        match part {
            Part::All => Arc::clone(&self.otlp),
            Part::Values => Arc::new(translate::Options { target_info: false, ..(*self.otlp).clone() }),
            Part::Company => Arc::new(translate::Options { points: false, ..(*self.otlp).clone() }),
        }
    }
}

/// A part of a 1.0 request.
fn select(plain: Bytes, part: Part) -> Result<Bytes, WireError> {
    /// The field of exemplars in a series. Metadata lies in the request itself.
    const EXEMPLARS: u32 = 3;
    if part == Part::All {
        return Ok(plain);
    }
    let pieces = Pieces::read(Signal::Metrics, Layout::RemoteWrite, plain)?;
    let is_value = |item: &u32| !matches!(pieces.field(*item), None | Some(EXEMPLARS));
    let chosen: Vec<u32> =
        (0..pieces.len()).filter(|item| is_value(item) == (part == Part::Values)).collect();
    Ok(pieces.request(&chosen).into())
}

/// The same of points that are samples already: as `Recipe::options` has it, `target_info` goes with them, and exemplars are theirs.
fn select_of_points(plain: Bytes, part: Part) -> Result<Bytes, WireError> {
    if part == Part::All {
        return Ok(plain);
    }
    let mut out = Vec::new();
    for field in fields(&plain) {
        let field = field?;
        let describes = field.number == 1 && describes(&Series { raw: field.bytes()? })?;
        if describes == (part == Part::Company) {
            out.extend_from_slice(&plain[field.start..field.end]);
        }
    }
    Ok(out.into())
}

/// Whether a series says of a resource what it is.
fn describes(series: &Series<'_>) -> Result<bool, WireError> {
    for label in series.labels() {
        if label? == ("__name__", "target_info") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn as_received(lot: &Lot, coding: Coding) -> Result<Prepared, Failure> {
    let body = lot.parcel.join(&[coding])?;
    Ok(Prepared { bytes: body.bytes, is_empty: false, losses: Losses::default(), counts: None })
}

/// What no sink can read becomes a dead letter.
pub(super) fn unreadable(error: WireError) -> Failure {
    Failure::RefusedWhole { reason: format!("the parcel cannot be read: {error}") }
}
