//! Which rows of a file are of which trace: an index of our own behind the row groups, where other readers of Parquet do not look. The file's
//! metadata says where it lies. Trace ids are random, so that neither statistics nor the order of rows lead to one; bloom filters of
//! row groups only say in which 131,072 rows to look.
//!
//! | part | what |
//! |---|---|
//! | blocks | traces by the low 64 bits of their id: these, how many rows, the first row, how far each other is from the one before it |
//! | directory | for each block the first low half in it, and where it ends |
//! | filter | a Bloom filter of the low halves, in lines of 64 bytes |
//!
//! Directory and filter are kept in memory, about two bytes a trace; one block is read for a look-up.

use bytes::Bytes;
use parquet::file::reader::ChunkReader;
use wire::{put, walk};

use crate::FileError;
use crate::read::Footer;

/// The key of the metadata that says where the parts lie: the version, the begin, and the lengths of the three.
pub(crate) const KEY: &str = "tidegate.trace_rows";
const VERSION: u64 = 1;

/// A block is closed at so many bytes.
const BLOCK: usize = 4096;
/// Bytes of a block's place in the directory.
const ENTRY: usize = 12;
/// Bytes of a line of the filter, its bits for each trace, and how many of them a trace sets.
const LINE: usize = 64;
const BITS: usize = 12;
const SET: u32 = 6;

/// Gathers the traces of rows in file order.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    rows: Vec<(u64, u32)>,
    next: u32,
}

/// An index, and the lengths of its parts.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    lengths: [usize; 3],
}

impl Gathered {
    /// The next row, by the low half of its trace id if it has one.
    pub(crate) fn push(&mut self, low: Option<u64>) {
        self.rows.extend(low.map(|low| (low, self.next)));
        self.next = self.next.saturating_add(1);
    }

    /// About the bytes of the index of the rows so far.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() * 4
    }

    /// The index of all rows.
    pub(crate) fn encode(mut self) -> Encoded {
        self.rows.sort_unstable();
        let (mut blocks, mut directory) = (Vec::new(), Vec::new());
        let (mut begin, mut first) = (0, None);
        let mut close = |first: u64, end: usize| {
            directory.extend_from_slice(&first.to_be_bytes());
            // See `Encoded::place`.
            directory.extend_from_slice(&(end as u32).to_be_bytes());
        };
        let traces = self.rows.chunk_by(|one, other| one.0 == other.0);
        let mut count = 0;
        for rows in traces.clone() {
            let low = rows[0].0;
            if let Some(known) = first.filter(|_| blocks.len() - begin >= BLOCK) {
                close(known, blocks.len());
                (begin, first) = (blocks.len(), None);
            }
            first.get_or_insert(low);
            blocks.extend_from_slice(&low.to_be_bytes());
            put::varint(&mut blocks, rows.len() as u64);
            let mut last = 0;
            for (_, row) in rows {
                put::varint(&mut blocks, u64::from(row - last));
                last = *row;
            }
            count += 1;
        }
        if let Some(first) = first {
            close(first, blocks.len());
        }
        let lines = (count * BITS).div_ceil(LINE * 8);
        let mut filter = vec![0; lines * LINE];
        for rows in traces {
            for (byte, bit) in places(rows[0].0, lines) {
                filter[byte] |= bit;
            }
        }
        let lengths = [blocks.len(), directory.len(), filter.len()];
        Encoded { bytes: [blocks, directory, filter].concat(), lengths }
    }
}

impl Encoded {
    /// The value of the metadata, when it is written at `begin`; `None` when it is better left out.
    pub(crate) fn place(&self, begin: usize) -> Option<String> {
        let [blocks, directory, filter] = self.lengths;
        // Beyond, the directory's numbers would not do.
        (blocks > 0 && blocks <= u32::MAX as usize)
            .then(|| format!("{VERSION} {begin} {blocks} {directory} {filter}"))
    }
}

/// The bytes of the filter and the bits in them that stand for a trace.
fn places(low: u64, lines: usize) -> impl Iterator<Item = (usize, u8)> {
    // Ids are random, unless somebody counts them.
    let mixed = |number: u64| {
        let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    };
    let one = mixed(low.wrapping_add(0x9E37_79B9_7F4A_7C15));
    let line = (u128::from(one) * lines as u128) >> 64;
    let other = mixed(one);
    (0..SET).map(move |number| {
        let bit = (other >> (number * 9)) as usize % (LINE * 8);
        (line as usize * LINE + bit / 8, 1 << (bit % 8))
    })
}

/// The index of a file, as far as it is kept in memory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Where the blocks begin in the file, and their length.
    begin: u64,
    blocks: usize,
    /// The directory, and behind it the filter.
    kept: Bytes,
    directory: usize,
}

impl Traces {
    /// Reads the index of a file; `None` where the file has none.
    ///
    /// # Errors
    /// The file cannot be read, or its index is damaged.
    pub fn read<R: ChunkReader>(reader: &R, footer: &Footer) -> Result<Option<Self>, FileError> {
        let Some(place) = footer.value(KEY) else { return Ok(None) };
        let numbers: Option<Vec<u64>> = place.split(' ').map(|number| number.parse().ok()).collect();
        let Some([VERSION, begin, blocks, directory, filter]) = numbers.as_deref() else { return Ok(None) };
        let (begin, blocks, directory, filter) = (*begin, *blocks, *directory, *filter);
        let size =
            |length: u64| usize::try_from(length).ok().filter(|_| length <= reader.len()).ok_or_else(damaged);
        let (blocks, directory, filter) = (size(blocks)?, size(directory)?, size(filter)?);
        if directory % ENTRY != 0 || filter % LINE != 0 || begin > reader.len() {
            return Err(damaged());
        }
        let kept = reader.get_bytes(begin + blocks as u64, directory + filter)?;
        if kept.len() != directory + filter {
            return Err(damaged());
        }
        Ok(Some(Self { begin, blocks, kept, directory }))
    }

    /// Bytes that it takes in memory.
    pub fn memory(&self) -> usize {
        self.kept.len() + size_of::<Self>()
    }

    /// Whether the file may have rows of a trace whose id has these low 64 bits; if it says no there are none.
    pub fn may_hold(&self, low: u64) -> bool {
        let filter = &self.kept[self.directory..];
        let lines = filter.len() / LINE;
        lines > 0 && places(low, lines).all(|(byte, bit)| filter[byte] & bit != 0)
    }

    /// The rows of traces whose id has these low 64 bits, by their number in the file.
    ///
    /// # Errors
    /// The file cannot be read, or its index is damaged.
    pub fn rows<R: ChunkReader>(&self, reader: &R, low: u64) -> Result<Vec<u32>, FileError> {
        let Some((from, to)) = self.block(low).filter(|_| self.may_hold(low)) else { return Ok(Vec::new()) };
        if from > to || to > self.blocks {
            return Err(damaged());
        }
        let block = reader.get_bytes(self.begin + from as u64, to - from)?;
        find(&block, low).ok_or_else(damaged)
    }

    /// Where the block lies in which a trace must be.
    fn block(&self, low: u64) -> Option<(usize, usize)> {
        let entries = self.kept[..self.directory].as_chunks::<ENTRY>().0;
        let first = |entry: &[u8; ENTRY]| entry.first_chunk().map_or(0, |low| u64::from_be_bytes(*low));
        let end = |entry: &[u8; ENTRY]| entry.last_chunk().map_or(0, |end| u32::from_be_bytes(*end)) as usize;
        let behind = entries.partition_point(|entry| first(entry) <= low);
        let at = behind.checked_sub(1)?;
        Some((at.checked_sub(1).map_or(0, |before| end(&entries[before])), end(&entries[at])))
    }
}

/// The rows of a trace in a block; `None` for a damaged one.
fn find(block: &[u8], low: u64) -> Option<Vec<u32>> {
    let mut at = 0;
    while at < block.len() {
        let known = u64::from_be_bytes(*block.get(at..)?.first_chunk()?);
        let (count, mut next) = walk::varint(block, at + 8).ok()?;
        let mut rows = Vec::new();
        let mut row = 0u32;
        for _ in 0..count {
            let (step, after) = walk::varint(block, next).ok()?;
            next = after;
            if known == low {
                row = row.checked_add(u32::try_from(step).ok()?)?;
                rows.push(row);
            }
        }
        if known >= low {
            return Some(rows);
        }
        at = next;
    }
    Some(Vec::new())
}

fn damaged() -> FileError {
    FileError::new("the index of its traces is damaged")
}
