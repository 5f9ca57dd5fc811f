//! What a request is made of, and how a parcel is divided by series.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use model::{Failure, Layout, Signal};
use pipeline::{Parcel, Part};
use wire::batch::count;
use wire::translate::{self, Losses};
use wire::walk::fields;
use wire::{Coding, WireError, put};
use xxhash_rust::xxh3::xxh3_64;

use super::body::{Recipe, unreadable};

/// What a request is made of: a parcel, or a shard of one.
#[derive(Debug, Clone)]
pub(super) struct Lot {
    pub(super) parcel: Parcel,
    /// Whether its samples were points of OTLP when they were received, although the parcel holds them as samples.
    pub(super) translated: bool,
    /// Whether it is of several requests as they were received, although the parcel has one part.
    pub(super) joined: bool,
}

impl Lot {
    /// All of a parcel.
    pub(super) fn whole(parcel: &Parcel) -> Self {
        Self { parcel: parcel.clone(), translated: false, joined: false }
    }

    pub(super) fn items(&self) -> u32 {
        self.parcel.items()
    }

    pub(super) fn cut(&self, range: Range<u32>) -> Self {
        Self { parcel: self.parcel.cut(range), ..*self }
    }

    /// Whether it was received by OTLP, so that a point may be several samples, and `target_info` is with them.
    pub(super) fn is_of_otlp(&self) -> bool {
        self.translated || self.parcel.layout == Layout::Otlp
    }

    /// Whether it holds more than a sender sent at once.
    pub(super) fn is_joined(&self) -> bool {
        self.parcel.parts.len() > 1 || self.joined && self.items() > 1
    }
}

/// Divides a parcel by series: a lot for each shard that has items, by the shard's number. Answers what translation lost as well. Takes
/// milliseconds for a large parcel.
pub(super) fn split(
    parcel: &Parcel,
    recipe: &Recipe,
    shards: u32,
) -> Result<(Vec<(usize, Lot)>, Losses), Failure> {
    let translated = parcel.layout == Layout::Otlp;
    let plain = parcel.plain()?;
    let (plain, losses) = match translated {
        false => (plain, Losses::default()),
        true => {
            let (plain, losses) = translate::otlp_to_rw(&plain, &recipe.otlp).map_err(unreadable)?;
            (plain.into(), losses)
        }
    };
    let joined = parcel.parts.len() > 1;
    let mut lots = Vec::new();
    for (shard, plain) in divide(&plain, shards).map_err(unreadable)?.into_iter().enumerate() {
        let items = count(Signal::Metrics, Layout::RemoteWrite, &plain).map_err(unreadable)?.total();
        if items == 0 {
            continue;
        }
        let parts = parcel.parts.first().map(|part| part_of(part, plain.into(), items)).into_iter().collect();
        let parcel = Parcel {
            parts,
            layout: Layout::RemoteWrite,
            sink: Arc::clone(&parcel.sink),
            tenant: parcel.tenant.clone(),
            ..*parcel
        };
        lots.push((shard, Lot { parcel, translated, joined }));
    }
    Ok((lots, losses))
}

/// A shard of several parts, told of the first of them. Where its items stood in the journal it does not say.
fn part_of(first: &Part, plain: Bytes, items: u32) -> Part {
    Part {
        items: 0..items,
        frame_items: items,
        kept: None,
        coding: Coding::Plain,
        plain_len: plain.len() as u32,
        body: plain,
        inflated: Arc::new(OnceLock::new()),
        ..first.clone()
    }
}

/// The series of a 1.0 request by shard, each in the order in which they came. What stands beside them goes to the first shard: metadata,
/// of which the last of a family is to win.
fn divide(plain: &[u8], shards: u32) -> Result<Vec<Vec<u8>>, WireError> {
    let mut divided = vec![Vec::new(); shards as usize];
    for field in fields(plain) {
        let field = field?;
        let shard = match field.number {
            1 => key(field.bytes()?)? % u64::from(shards),
            _ => 0,
        };
        divided[shard as usize].extend_from_slice(&plain[field.start..field.end]);
    }
    Ok(divided)
}

/// A hash of a series' labels in any order. A label without a value is none to Prometheus.
fn key(series: &[u8]) -> Result<u64, WireError> {
    let (mut sum, mut scratch) = (0u64, Vec::new());
    for field in fields(series) {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        let (mut name, mut value) = (&[][..], &[][..]);
        for field in fields(field.bytes()?) {
            let field = field?;
            match field.number {
                1 => name = field.bytes()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        if !value.is_empty() {
            scratch.clear();
            put::varint(&mut scratch, name.len() as u64);
            scratch.extend_from_slice(name);
            scratch.extend_from_slice(value);
            sum = sum.wrapping_add(xxh3_64(&scratch));
        }
    }
    Ok(sum)
}
