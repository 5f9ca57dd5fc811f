//! Writes a range of unsettled rows to files: one a tenant and hour of event time. Which files, what they are called and what
//! is in them follows from the range alone, so that writing it again after a crash changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Signal, Tenant};
use rows::{Chunk, Pick, Writer};

use crate::StoreError;
use crate::files::Files;
use crate::index::Stored;
use crate::key::{Hour, Key, Partition, Span};
use crate::pending::Range;

/// Writes the files of `range` and answers what was written. When it returns, they survive power loss.
pub(crate) fn write(files: &Files, signal: Signal, range: &Range) -> Result<Vec<Stored>, StoreError> {
    let mut written = Vec::new();
    for (partition, mut picks) in partitions(signal, &range.chunks) {
        rows::sort(&range.chunks, &mut picks);
        let (key, bytes) = encode(partition, range.span, &range.chunks, &picks)?;
        let size = bytes.len() as u64;
        files.put(&key.path(), bytes)?;
        written.push(Stored { key, size });
    }
    Ok(written)
}

fn partitions(signal: Signal, chunks: &[Arc<Chunk>]) -> Vec<(Partition, Vec<Pick>)> {
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
    let named = |((tenant, hour), picks): ((&Tenant, Hour), _)| {
        (Partition { signal, tenant: tenant.clone(), hour }, picks)
    };
    partitions.into_iter().map(named).collect()
}

fn encode(
    partition: Partition,
    span: Span,
    chunks: &[Arc<Chunk>],
    picks: &[Pick],
) -> Result<(Key, Vec<u8>), StoreError> {
    let mut writer = Writer::new(partition.signal, picks.len(), &metadata(span))?;
    let mut times = (i64::MAX, i64::MIN);
    for pick in picks {
        let (chunk, entry) = rows::at(chunks, *pick);
        writer.push(&chunk.row(entry))?;
        times = (times.0.min(entry.time), times.1.max(entry.time));
    }
    Ok((Key { partition, times, span }, writer.finish()?))
}

/// What the file's metadata says beside the schema's version.
pub(crate) fn metadata(span: Span) -> [(&'static str, String); 1] {
    [("tidegate.journal_range", format!("{}.{}-{}", span.generation, span.first, span.last))]
}
