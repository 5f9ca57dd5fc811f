//! From a parcel to unsettled rows.

use std::sync::Arc;
use std::time::Duration;

use model::Failure;
use pipeline::{Memory, Parcel, Part};
use rows::{Chunk, Frame};

use crate::pending::{Arrival, Pending};

/// How long a courier waits when there is no memory for more rows: a file is written in about this time.
const PAUSE: Duration = Duration::from_millis(200);

/// Reads the items of `parcel` that `wanted` says are new. All or nothing: a part that cannot be read or has no room
/// refuses the parcel.
pub(crate) fn read(
    parcel: &Parcel,
    memory: &Memory,
    wanted: &[Option<u32>],
) -> Result<Vec<Arrival>, Failure> {
    let mut arrivals = Vec::new();
    for (part, from) in parcel.parts.iter().zip(wanted) {
        if let Some(from) = from {
            arrivals.push(read_part(parcel, part, *from, memory)?);
        }
    }
    Ok(arrivals)
}

/// For each part of `parcel` the number of the first item that is still to be gathered, if any.
pub(crate) fn wanted(parcel: &Parcel, pending: &Pending) -> Vec<Option<u32>> {
    parcel.parts.iter().map(|part| pending.wants(part.offset.0, part.items.end)).collect()
}

fn read_part(parcel: &Parcel, part: &Part, from: u32, memory: &Memory) -> Result<Arrival, Failure> {
    let items = part.items.start.max(from)..part.items.end;
    // The plain bytes, and a quarter for the file that is made of them.
    let plain = u64::from(part.plain_len);
    let mut lease = memory.lease(plain + plain / 4).map_err(|refusal| busy(refusal.message))?;
    let frame = Frame {
        signal: parcel.signal,
        layout: parcel.layout,
        tenant: parcel.tenant.clone(),
        source: part.origin.source.clone(),
        offset: part.offset.0,
        received: part.received,
        plain: part.frame_plain()?,
        numbers: part.kept.clone(),
    };
    let chunk = Chunk::read(frame, items.clone()).map_err(|error| Failure::RefusedWhole {
        reason: format!("frame {} cannot be read: {error}", part.offset),
    })?;
    if chunk.entries().len() != items.len() {
        let reason = format!("frame {} has {} items at {items:?}", part.offset, chunk.entries().len());
        return Err(Failure::RefusedWhole { reason });
    }
    let beyond = (chunk.bytes() as u64).saturating_sub(plain);
    lease.grow(beyond).map_err(|refusal| busy(refusal.message))?;
    Ok(Arrival { chunk: Arc::new(chunk), lease, end: items.end, whole: items.end >= part.frame_items })
}

/// There is no room for more rows now.
pub(crate) fn busy(reason: String) -> Failure {
    Failure::Retry { after: Some(PAUSE), reason }
}
