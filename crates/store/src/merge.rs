//! Merging: small files of an hour that is over become one. The new file names the union of its inputs' journal ranges;
//! whoever lists the folder ignores the inputs from then on, and they are deleted after a grace period. A crash at any
//! point leaves either the inputs, or the output and inputs that are ignored.
//!
//! All columns are made anew from the rows' own bytes, so merging also brings old files to the present schema.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::UnixNanos;
use rows::{Batch, Batches, Writer};

use crate::StoreError;
use crate::files::Files;
use crate::flush::metadata;
use crate::index::{Index, Stored};
use crate::key::Key;

/// At most so many files are read at once; it bounds memory to about as many decoded batches.
const MOST_INPUTS: usize = 32;
/// About what the decoded batch of one input takes.
pub(crate) const DECODED: u64 = 2 << 20;

/// Finds files worth merging: neighbours in one partition whose hour ended before `closed`, together not larger than
/// `most`. A file is merged again only when the others add at least a quarter to it, so that an item is rewritten a few
/// times at most.
pub(crate) fn next(index: &Index, closed: UnixNanos, most: u64) -> Option<Vec<Stored>> {
    for (partition, files) in index.partitions() {
        if partition.hour.end() > closed {
            continue;
        }
        let mut from = 0;
        while from < files.len() {
            let mut sum = 0;
            let run = files[from..].iter().take(MOST_INPUTS).take_while(|file| {
                sum += file.size;
                sum <= most && file.key.span.generation == files[from].key.span.generation
            });
            let run: Vec<Stored> = run.cloned().collect();
            let total: u64 = run.iter().map(|file| file.size).sum();
            let largest = run.iter().map(|file| file.size).max().unwrap_or(0);
            if run.len() >= 2 && (total - largest >= largest / 4 || run.len() == MOST_INPUTS) {
                return Some(run);
            }
            from += 1;
        }
    }
    None
}

/// Writes one file with the rows of `inputs`, which are neighbours in one partition.
pub(crate) fn merge(files: &Files, inputs: &[Stored]) -> Result<Stored, StoreError> {
    let Some(first) = inputs.first() else { return Err(StoreError::new("nothing to merge")) };
    let mut key: Key = first.key.clone();
    let mut streams = Vec::with_capacity(inputs.len());
    let mut count = 0;
    for input in inputs {
        key.span = key.span.union(input.key.span);
        key.times = (key.times.0.min(input.key.times.0), key.times.1.max(input.key.times.1));
        let object = files.object(&input.key.path(), input.size);
        let footer =
            rows::Footer::read(&object).map_err(|error| StoreError::from(error).of(&input.key.path()))?;
        count += footer.rows();
        streams.push(Stream::open(rows::File::new(object, footer).batches()?)?);
    }
    let mut writer =
        Writer::new(key.partition.signal, usize::try_from(count).unwrap_or(usize::MAX), &metadata(key.span))?;
    let mut heap: BinaryHeap<Reverse<(Place, usize)>> = BinaryHeap::new();
    for (number, stream) in streams.iter_mut().enumerate() {
        heap.extend(stream.place().map(|place| Reverse((place, number))));
    }
    let mut written = 0;
    while let Some(Reverse((_, number))) = heap.pop() {
        let stream = &mut streams[number];
        stream.push(&mut writer)?;
        written += 1;
        heap.extend(stream.place().map(|place| Reverse((place, number))));
    }
    if written != count {
        return Err(StoreError::new(format!("inputs hold {written} rows, their footers say {count}")));
    }
    let bytes = writer.finish()?;
    let size = bytes.len() as u64;
    files.put(&key.path(), bytes)?;
    Ok(Stored { key, size })
}

/// Where a row stands in file order.
type Place = (String, i64, u64, u32);

/// The rows of one input.
struct Stream {
    batches: Batches,
    batch: Option<Batch>,
    at: usize,
    scratch: Vec<u8>,
}

impl Stream {
    fn open(batches: Batches) -> Result<Self, StoreError> {
        let mut stream = Self { batches, batch: None, at: 0, scratch: Vec::new() };
        stream.refill()?;
        Ok(stream)
    }

    fn refill(&mut self) -> Result<(), StoreError> {
        self.at = 0;
        self.batch = self
            .batches
            .by_ref()
            .find(|batch| !matches!(batch, Ok(batch) if batch.is_empty()))
            .transpose()?;
        Ok(())
    }

    fn place(&mut self) -> Option<Place> {
        let row = self.batch.as_ref()?.row(self.at, &mut self.scratch);
        Some((row.service.to_owned(), row.time, row.offset, row.index))
    }

    /// Hands the row to `writer` and steps to the next.
    fn push(&mut self, writer: &mut Writer) -> Result<(), StoreError> {
        let Some(batch) = &self.batch else { return Ok(()) };
        writer.push(&batch.row(self.at, &mut self.scratch))?;
        self.at += 1;
        if self.at < batch.len() { Ok(()) } else { self.refill() }
    }
}
