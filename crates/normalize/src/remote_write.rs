//! Remote-write 1.0 and 2.0: checked and brought into the one layout by `wire::translate`; what was clean stays the
//! snappy block it came as.

use std::borrow::Cow;

use bytes::Bytes;
use model::{Batch, ContentHash, Counts, Layout, Refusal, Signal, UnixNanos};
use wire::translate::{Checked, v1_check, v2_to_v1};
use wire::walk::fields;
use wire::{Coding, WireError, coding};

use crate::{Message, Normalized, Rejected, WireInput};

/// Checks the request; series that break a rule are left out and named.
pub(crate) fn normalize(input: WireInput, received: UnixNanos) -> Result<Normalized, Refusal> {
    let version = if input.message == Message::RemoteWrite2 { "2.0" } else { "1.0" };
    let malformed = |error: WireError| Refusal::malformed(format!("remote-write {version} request: {error}"));
    let checked = match input.message {
        Message::RemoteWrite2 => v2_to_v1(&input.plain),
        _ => v1_check(&input.plain),
    }
    .map_err(malformed)?;
    let Checked { bytes, tally, rejected } = checked;
    let accepted = Counts {
        samples: tally.samples,
        histograms: tally.histograms,
        exemplars: tally.exemplars,
        metadata: tally.metadata,
        ..Counts::default()
    };
    let nothing_known = accepted.total() == 0 && rejected.is_empty() && !input.plain.is_empty();
    if nothing_known && !has_entries(&input).map_err(malformed)? {
        return Err(Refusal::malformed(format!(
            "remote-write {version} request of {} bytes holds no series and no metadata",
            input.plain.len()
        )));
    }
    let rejected = rejected.into_iter().map(|bad| Rejected {
        index: bad.index,
        records: 1,
        reason: bad.reason,
        message: bad.message,
        bytes: Bytes::new(),
    });
    let rejected: Vec<Rejected> = rejected.collect();
    if accepted.total() == 0 {
        return Ok(Normalized { accepted, rejected, ..Normalized::default() });
    }
    let content_hash = ContentHash::of(&input.origin, &input.plain);
    let plain_len = u32::try_from(bytes.len()).map_err(|_| {
        Refusal::too_large(format!("request of {} bytes exceeds the limit of 4 GiB", bytes.len()))
    })?;
    let (coding, body) = match bytes {
        Cow::Borrowed(_) => (input.coding, input.body.clone()),
        Cow::Owned(made) => (Coding::Snappy, Bytes::from(coding::compress(Coding::Snappy, 0, &made))),
    };
    let batch = Batch {
        origin: input.origin,
        signal: Signal::Metrics,
        layout: Layout::RemoteWrite,
        coding,
        body,
        plain_len,
        items: accepted.total(),
        content_hash,
        received,
    };
    Ok(Normalized { batch: Some(batch), accepted, rejected, seen: 0 })
}

/// Whether the request has series or metadata at all, if only without points. The two versions share no field number
/// on purpose, so a request of the other version has none.
fn has_entries(input: &WireInput) -> Result<bool, WireError> {
    for field in fields(&input.plain) {
        let number = field?.number;
        let known = match input.message {
            Message::RemoteWrite2 => matches!(number, 4 | 5),
            _ => matches!(number, 1 | 3),
        };
        if known {
            return Ok(true);
        }
    }
    Ok(false)
}
