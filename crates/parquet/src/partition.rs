//! Which file an item belongs to: one for each tenant and hour of event time, so that queries over time touch few of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Signal, Tenant};

use crate::{Chunk, FileError, Hour, Pick, Writer, at, sort};

/// The items of `chunks` by tenant and hour, each in the order of a file (see `sort`). The same chunks always make the same
/// partitions in the same order.
pub fn partitions(chunks: &[Arc<Chunk>]) -> Vec<(Tenant, Hour, Vec<Pick>)> {
    let mut partitions: BTreeMap<(&Tenant, Hour), Vec<Pick>> = BTreeMap::new();
    for (chunk_number, chunk) in chunks.iter().enumerate() {
        let mut newest: Option<(Hour, Vec<Pick>)> = None;
        let frame = chunk.frame();
        for (number, entry) in chunk.entries().iter().enumerate() {
            let hour = Hour::of(entry.time, frame.received);
            let pick = Pick { chunk: chunk_number as u32, entry: number as u32 };
            match &mut newest {
                Some((same, picks)) if *same == hour => picks.push(pick),
                _ => {
                    if let Some((hour, picks)) = newest.replace((hour, vec![pick])) {
                        partitions.entry((&frame.tenant, hour)).or_default().extend(picks);
                    }
                }
            }
        }
        if let Some((hour, picks)) = newest {
            partitions.entry((&frame.tenant, hour)).or_default().extend(picks);
        }
    }
    let sorted = |((tenant, hour), mut picks): ((&Tenant, Hour), Vec<Pick>)| {
        sort(chunks, &mut picks);
        (tenant.clone(), hour, picks)
    };
    partitions.into_iter().map(sorted).collect()
}

/// The folders of a partition, as query engines know them: `signal=traces/tenant=default/date=2026-11-21/hour=09`.
pub fn folder(signal: Signal, tenant: &Tenant, hour: Hour) -> String {
    format!("signal={signal}/tenant={tenant}/{}", hour.folders())
}

/// One file of the items `picks`: the times of its earliest and latest row, and its bytes.
///
/// # Errors
/// The Parquet library refuses the rows, which would be a bug here.
pub fn encode(
    signal: Signal,
    chunks: &[Arc<Chunk>],
    picks: &[Pick],
    metadata: &[(&str, String)],
) -> Result<((i64, i64), Vec<u8>), FileError> {
    let mut writer = Writer::new(signal, picks.len(), metadata)?;
    let mut times = (i64::MAX, i64::MIN);
    for pick in picks {
        let (chunk, entry) = at(chunks, *pick);
        writer.push(&chunk.row(entry))?;
        times = (times.0.min(entry.time), times.1.max(entry.time));
    }
    Ok((times, writer.finish()?))
}
