//! Turning refused items into dead letters: each gets its own bytes cut out of its frame.

use std::ops::Range;

use bytes::Bytes;
use model::{Layout, RefusedItem, UnixNanos};

use crate::body::slice;
use crate::deadletter::{Head, Letter};
use crate::quarantine::cut_text;
use crate::{Parcel, Part};

/// Longest reason that is kept.
const MOST_REASON: usize = 1 << 10;

/// Whether the parcel's only frame cannot be read, so that halving would get nowhere.
pub(crate) fn unreadable(parcel: &Parcel) -> bool {
    parcel.plain().is_err()
}

/// The letters of `items`, which are sorted, distinct indexes into `parcel`. A frame that cannot be read gets one letter for
/// all of its items that are meant.
pub(crate) fn letters(parcel: &Parcel, items: &[RefusedItem], now: UnixNanos) -> Vec<Letter> {
    let mut letters = Vec::with_capacity(items.len());
    let mut before = 0;
    let mut rest = items;
    for part in &parcel.parts {
        let after = before + part.len();
        let (mine, others) = rest.split_at(rest.partition_point(|item| item.index < after));
        rest = others;
        let wanted: Vec<(u32, &str)> =
            mine.iter().map(|item| (item.index - before + part.items.start, &*item.reason)).collect();
        bury_part(parcel, part, &wanted, now, &mut letters);
        before = after;
    }
    letters
}

/// The letter of a part that the sink's rules could not be applied to: without its bytes, since what rules would have redacted
/// is still in them.
pub(crate) fn withheld(parcel: &Parcel, part: &Part, reason: &str, now: UnixNanos) -> Letter {
    let reason =
        format!("held back without content, since the sink's rules cannot be applied to it: {reason}");
    let head = Head { unreadable: true, ..head(parcel, part, part.items.start, part.len(), &reason, now) };
    Letter { head, plain: Bytes::new() }
}

fn bury_part(
    parcel: &Parcel,
    part: &Part,
    wanted: &[(u32, &str)],
    now: UnixNanos,
    letters: &mut Vec<Letter>,
) {
    let Some((first, reason)) = wanted.first() else { return };
    let start = letters.len();
    let cut = part.frame_plain().map_err(|error| error.reason).and_then(|plain| {
        let mut found = |index: u32, reason: &str, bytes: Bytes| {
            letters.push(Letter { head: head(parcel, part, index, 1, reason, now), plain: bytes });
        };
        singles(parcel, plain, 0..part.frame_items, wanted, &mut found)
    });
    if let Err(unreadable) = cut {
        letters.truncate(start);
        let reason = format!("{reason} ({unreadable})");
        let head = Head { unreadable: true, ..head(parcel, part, *first, wanted.len() as u32, &reason, now) };
        letters.push(Letter { head, plain: part.body.clone() });
    }
}

/// Finds the wanted items by halving, so that a frame of n items is not walked n times. `plain` holds `range`.
fn singles(
    parcel: &Parcel,
    plain: Bytes,
    range: Range<u32>,
    wanted: &[(u32, &str)],
    found: &mut impl FnMut(u32, &str, Bytes),
) -> Result<(), String> {
    match wanted {
        [] => return Ok(()),
        [(index, reason)] => {
            let at = index - range.start;
            let bytes = if range.len() == 1 { plain } else { slice(parcel, &plain, at..at + 1)? };
            found(*index, reason, bytes);
            return Ok(());
        }
        _ => {}
    }
    let half = range.start + (range.end - range.start) / 2;
    let (left, right) = wanted.split_at(wanted.partition_point(|(index, _)| *index < half));
    let offset = range.start;
    if !left.is_empty() {
        let bytes = slice(parcel, &plain, 0..half - offset)?;
        singles(parcel, bytes, offset..half, left, found)?;
    }
    if !right.is_empty() {
        let bytes = slice(parcel, &plain, half - offset..range.end - offset)?;
        singles(parcel, bytes, half..range.end, right, found)?;
    }
    Ok(())
}

fn head(parcel: &Parcel, part: &Part, index: u32, items: u32, reason: &str, now: UnixNanos) -> Head {
    let layout = match parcel.layout {
        Layout::Otlp => "otlp",
        Layout::RemoteWrite => "remote_write",
    };
    let index = part.number(index);
    let id = crate::ItemId { content: part.content_hash, index };
    Head {
        buried: now.0,
        signal: parcel.signal.as_str().to_owned(),
        layout: layout.to_owned(),
        tenant: part.origin.tenant.as_str().to_owned(),
        source: part.origin.source.as_str().to_owned(),
        received: part.received.0,
        offset: part.offset.0,
        first: index,
        items,
        id: id.to_string(),
        reason: cut_text(reason, MOST_REASON).to_owned(),
        unreadable: false,
    }
}
