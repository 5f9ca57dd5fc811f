//! The 1.0 layout with private fields → plain remote-write 1.0, for peers that must not see them.

use std::collections::HashSet;

use super::check::copy_public;
use super::labels::{self, METRIC_NAME};
use super::losses::{Loss, Losses};
use super::to_v2::Family;
use crate::rw::private;
use crate::walk;
use crate::{WireError, put};

/// Whether `strip_to_v1` would remove anything: a walk over the points, without a copy.
pub fn has_private(plain: &[u8]) -> Result<bool, WireError> {
    for field in walk::fields(plain) {
        let field = field?;
        if field.number >= private::FIRST || field.number == 1 && series_has_private(field.bytes()?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn series_has_private(series: &[u8]) -> Result<bool, WireError> {
    for field in walk::fields(series) {
        let field = field?;
        if field.number >= private::FIRST || matches!(field.number, 2 | 4) && starts(field.bytes()?)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes every private field. Histograms with custom buckets and start times are lost and counted; the metadata of
/// a series becomes an entry for its family, once for each family.
pub fn strip_to_v1(plain: &[u8]) -> Result<(Vec<u8>, Losses), WireError> {
    let mut out = Vec::with_capacity(plain.len());
    let mut losses = Losses::default();
    let mut families = HashSet::new();
    for field in walk::fields(plain) {
        let field = field?;
        match field.number {
            1 => series(field.bytes()?, &mut out, &mut losses, &mut families)?,
            private::FIRST.. => {}
            _ => out.extend_from_slice(&plain[field.start..field.end]),
        }
    }
    Ok((out, losses))
}

fn series<'a>(
    series: &'a [u8],
    out: &mut Vec<u8>,
    losses: &mut Losses,
    families: &mut HashSet<&'a [u8]>,
) -> Result<(), WireError> {
    let mut name = &b""[..];
    let mut metadata = None;
    let mut points = 0;
    let undo = out.len();
    put::message(out, 1, |out| -> Result<(), WireError> {
        for field in walk::fields(series) {
            let field = field?;
            match field.number {
                1 => {
                    let pair = labels::read(field.bytes()?)?;
                    if pair.0 == METRIC_NAME {
                        name = pair.1;
                    }
                    out.extend_from_slice(&series[field.start..field.end]);
                }
                2 | 4 => {
                    let point = field.bytes()?;
                    losses.add(Loss::Start, starts(point)?);
                    put::message(out, field.number, |out| copy_public(point, out))?;
                    points += 1;
                }
                private::CUSTOM_HISTOGRAM => {
                    losses.add(Loss::CustomBuckets, 1);
                    losses.add(Loss::Start, starts(field.bytes()?)?);
                }
                private::SERIES_METADATA => metadata = Some(Family::read(field.bytes()?)?),
                number if number >= private::FIRST => {}
                _ => {
                    out.extend_from_slice(&series[field.start..field.end]);
                    points += 1;
                }
            }
        }
        Ok(())
    })?;
    if points == 0 {
        out.truncate(undo);
    }
    if let Some(metadata) = metadata {
        // The entry names the family: for histograms and summaries the series' name without its ending.
        let stem = match metadata.kind {
            3..=5 => POINT_ENDINGS.iter().find_map(|ending| name.strip_suffix(*ending)).unwrap_or(name),
            _ => name,
        };
        if !stem.is_empty() && families.insert(stem) {
            put::message(out, 3, |out| {
                put::uint(out, 1, metadata.kind);
                put::bytes(out, 2, stem);
                put::bytes(out, 4, metadata.help);
                put::bytes(out, 5, metadata.unit);
            });
        }
    }
    Ok(())
}

/// What the series of one histogram or summary add to its name.
const POINT_ENDINGS: [&[u8]; 4] = [b"_bucket", b"_count", b"_sum", b"_created"];

fn starts(point: &[u8]) -> Result<u64, WireError> {
    let mut starts = 0;
    for field in walk::fields(point) {
        starts += u64::from(field?.number == private::START);
    }
    Ok(starts)
}
