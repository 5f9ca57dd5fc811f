//! Writes a range of unsettled rows to files: one a tenant and hour of event time. Which files, what they are called and what
//! is in them follows from the range alone, so that writing it again after a crash changes nothing.

use model::Signal;

use crate::StoreError;
use crate::files::Files;
use crate::index::Stored;
use crate::key::{Key, Partition, Span};
use crate::pending::Range;

/// Writes the files of `range` and answers what was written. When it returns, they survive power loss.
pub(crate) fn write(files: &Files, signal: Signal, range: &Range) -> Result<Vec<Stored>, StoreError> {
    let mut written = Vec::new();
    for (tenant, hour, picks) in rows::partitions(&range.chunks) {
        let (times, bytes) = rows::encode(signal, &range.chunks, &picks, &metadata(range.span))?;
        let key = Key { partition: Partition { signal, tenant, hour }, times, span: range.span };
        let size = bytes.len() as u64;
        files.put(&key.path(), bytes)?;
        written.push(Stored { key, size });
    }
    Ok(written)
}

/// What the file's metadata says beside the schema's version.
pub(crate) fn metadata(span: Span) -> [(&'static str, String); 1] {
    [("tidegate.journal_range", format!("{}.{}-{}", span.generation, span.first, span.last))]
}
