//! Merging: small files of an hour that is over become one. The new file names the union of its inputs' journal ranges;
//! whoever lists the folder ignores the inputs from then on, and they are deleted after a grace period. A crash at any
//! point leaves either the inputs, or the output and inputs that are ignored.
//!
//! All columns are made anew from the rows' own bytes, so merging also brings old files to the present schema.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use model::UnixNanos;
use object_store::path::Path;
use rows::{Batch, Batches, Row, Writer};

use crate::StoreError;
use crate::files::Files;
use crate::flush::metadata;
use crate::index::{Index, Stored};
use crate::key::Key;

/// At most so many files are read at once; it bounds memory to about as many decoded batches.
const MOST_INPUTS: usize = 32;
/// About what the decoded batch of one input takes.
pub(crate) const DECODED: u64 = 2 << 20;

/// Why files could not be merged.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// The input of this number cannot be read.
    Input(usize, StoreError),
    /// The new file cannot be written.
    Output(StoreError),
}

/// Finds files worth merging: neighbours in one partition whose hour ended before `closed`, together not larger than
/// `most`, with no unreadable one between them (it would lie inside the new file's range, and be ignored). A file is merged again only when the others add at least a quarter to it, so that an item is rewritten a few
/// times at most.
pub(crate) fn next(
    index: &Index,
    unreadable: &HashSet<Path>,
    closed: UnixNanos,
    most: u64,
) -> Option<Vec<Stored>> {
    for (partition, files) in index.partitions() {
        if partition.hour.end() > closed {
            continue;
        }
        let mut from = 0;
        while from < files.len() {
            let mut sum = 0;
            let run = files[from..].iter().take(MOST_INPUTS).take_while(|file| {
                sum += file.size;
                sum <= most
                    && !unreadable.contains(&file.key.path())
                    && file.key.span.generation == files[from].key.span.generation
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

/// Writes one file with the rows of `inputs`, which are neighbours in one partition, at least one.
pub(crate) fn merge(files: &Files, inputs: &[Stored]) -> Result<Stored, MergeError> {
    let mut streams = Vec::with_capacity(inputs.len());
    let mut count = 0;
    for (number, input) in inputs.iter().enumerate() {
        let (stream, rows) = Stream::open(files, input).map_err(|error| MergeError::Input(number, error))?;
        count += rows;
        streams.push(stream);
    }
    let key = union(inputs);
    let rows = usize::try_from(count).unwrap_or(usize::MAX);
    let output = |error: rows::FileError| MergeError::Output(error.into());
    let mut writer = Writer::new(key.partition.signal, rows, &metadata(key.span)).map_err(output)?;
    let mut heap: BinaryHeap<Reverse<(Place, usize)>> = BinaryHeap::new();
    for (number, stream) in streams.iter_mut().enumerate() {
        heap.extend(stream.place().map(|place| Reverse((place, number))));
    }
    while let Some(Reverse((_, number))) = heap.pop() {
        let stream = &mut streams[number];
        if let Some(row) = stream.row() {
            writer.push(&row).map_err(output)?;
        }
        stream.step().map_err(|error| MergeError::Input(number, error))?;
        heap.extend(stream.place().map(|place| Reverse((place, number))));
    }
    if let Some(number) = streams.iter().position(|stream| stream.left != 0) {
        let error = StoreError::new("the file ends before its last row").of(&inputs[number].key.path());
        return Err(MergeError::Input(number, error));
    }
    let bytes = writer.finish().map_err(output)?;
    let size = bytes.len() as u64;
    files.put(&key.path(), bytes).map_err(|error| MergeError::Output(error.into()))?;
    Ok(Stored { key, size })
}

/// The key of the file that replaces `inputs`.
fn union(inputs: &[Stored]) -> Key {
    let mut keys = inputs.iter().map(|input| &input.key);
    let mut key = keys.next().expect("there is at least one input").clone();
    for other in keys {
        key.span = key.span.union(other.span);
        key.times = (key.times.0.min(other.times.0), key.times.1.max(other.times.1));
    }
    key
}

/// Where a row stands in file order.
type Place = (String, i64, u64, u32);

/// The rows of one input.
struct Stream {
    batches: Batches,
    batch: Option<Batch>,
    at: usize,
    /// Rows that are still to come, by the footer.
    left: u64,
    scratch: Vec<u8>,
}

impl Stream {
    fn open(files: &Files, input: &Stored) -> Result<(Self, u64), StoreError> {
        let object = files.object(&input.key.path(), input.size);
        let of = |error: rows::FileError| StoreError::from(error).of(&input.key.path());
        let footer = rows::Footer::read(&object).map_err(of)?;
        let rows = footer.rows();
        let batches = rows::File::new(object, footer).batches().map_err(of)?;
        let mut stream = Self { batches, batch: None, at: 0, left: rows, scratch: Vec::new() };
        stream.refill()?;
        Ok((stream, rows))
    }

    fn refill(&mut self) -> Result<(), StoreError> {
        self.at = 0;
        let empty = |batch: &Result<Batch, _>| matches!(batch, Ok(batch) if batch.is_empty());
        self.batch = self.batches.by_ref().find(|batch| !empty(batch)).transpose()?;
        Ok(())
    }

    fn row(&mut self) -> Option<Row<'_>> {
        Some(self.batch.as_ref()?.row(self.at, &mut self.scratch))
    }

    fn place(&mut self) -> Option<Place> {
        let row = self.row()?;
        Some((row.service.to_owned(), row.time, row.offset, row.index))
    }

    /// Goes to the next row.
    fn step(&mut self) -> Result<(), StoreError> {
        self.at += 1;
        self.left = self.left.saturating_sub(1);
        if self.batch.as_ref().is_some_and(|batch| self.at < batch.len()) { Ok(()) } else { self.refill() }
    }
}
