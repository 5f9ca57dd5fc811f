//! Parquet bytes back to rows. Only the base columns are decoded, and of rows that are known by number only their pages; a trace is
//! found by the file's index of traces, in files of earlier versions by bloom filter, then by its low 64 bits; a time range by the row
//! groups' statistics, a moment by those of pages.

use std::ops::{ControlFlow, Range, RangeInclusive};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, BinaryArray, BooleanArray, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use model::{Signal, UnixNanos};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::ChunkReader;

use crate::FileError;
use crate::row::{Kind, Row};
use crate::schema;
use crate::walk::overlaps;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;
/// The same where three numbers of each are looked at.
const PLACES_ROWS: usize = 8192;

/// What a file says of itself, decoded; cheap to clone.
#[derive(Debug, Clone)]
pub struct Footer {
    metadata: ArrowReaderMetadata,
    signal: Signal,
}

/// One file, open for reading.
#[derive(Debug)]
pub struct File<R> {
    reader: R,
    footer: Footer,
}

impl Footer {
    /// Reads the footer of a file that was written here.
    ///
    /// # Errors
    /// The file is no Parquet file, or not one of a version that is known here.
    pub fn read<R: ChunkReader>(reader: &R) -> Result<Self, FileError> {
        // The page index is what makes one trace cheap: only the pages with its rows are read.
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(reader, options)?;
        let value = |key: &str| value(&metadata, key);
        match value(schema::VERSION_KEY) {
            Some(schema::VERSION) => {}
            Some(other) => {
                return Err(FileError::new(format!(
                    "schema version {other} is not known, only {}",
                    schema::VERSION
                )));
            }
            None => return Err(FileError::new(format!("metadata has no {}", schema::VERSION_KEY))),
        }
        let signal = value(schema::SIGNAL_KEY)
            .and_then(|name| Signal::ALL.into_iter().find(|signal| signal.as_str() == name))
            .ok_or_else(|| FileError::new(format!("metadata has no known {}", schema::SIGNAL_KEY)))?;
        if metadata.schema().fields() != schema::of(signal).fields() {
            return Err(FileError::new(format!(
                "columns are not those of {signal}, version {}",
                schema::VERSION
            )));
        }
        Ok(Self { metadata, signal })
    }

    /// What the file's metadata says under a key.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        value(&self.metadata, key)
    }

    /// Rows in the file.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// What the file holds.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Bytes of the columns before compression: about what decoding everything takes.
    pub fn plain_bytes(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| u64::try_from(group.total_byte_size()).unwrap_or(0)).sum()
    }

    /// Bytes that the footer takes in memory.
    pub fn memory(&self) -> usize {
        self.metadata.metadata().memory_size()
    }
}

fn value<'a>(metadata: &'a ArrowReaderMetadata, key: &str) -> Option<&'a str> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

impl<R: ChunkReader + Clone + 'static> File<R> {
    /// A file whose footer was read before.
    pub fn new(reader: R, footer: Footer) -> Self {
        Self { reader, footer }
    }

    /// Calls `each` with every row whose trace id has these low 64 bits, until it breaks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn trace(
        &self,
        low: u64,
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        let Some(column) = self.leaf("trace_id_low") else { return Ok(()) };
        let mut groups = Vec::new();
        for group in 0..self.footer.metadata.metadata().num_row_groups() {
            let filter = self.builder().get_row_group_column_bloom_filter(group, column)?;
            if filter.is_none_or(|filter| filter.check(&low)) {
                groups.push(group);
            }
        }
        if groups.is_empty() {
            return Ok(());
        }
        let mask = ProjectionMask::leaves(self.footer.metadata.parquet_schema(), [column]);
        let is_it = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
            let lows = batch.column(0).as_primitive::<UInt64Type>();
            Ok(lows.iter().map(|value| Some(value == Some(low))).collect::<BooleanArray>())
        });
        let filter = RowFilter::new(vec![Box::new(is_it)]);
        each_row(self.base(groups)?.with_row_filter(filter).build()?, self.footer.signal, |_| true, each)
    }

    /// Calls `each` with the rows of these numbers, which are to rise, until it breaks.
    ///
    /// # Errors
    /// The file cannot be read, or has no such rows.
    pub fn numbered(
        &self,
        rows: &[u32],
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        let Some((groups, selection)) = self.select(rows)? else { return Ok(()) };
        let reader = self.base(groups)?.with_row_selection(selection).build()?;
        each_row(reader, self.footer.signal, |_| true, each)
    }

    /// The trace ids of the rows of these numbers, which are to rise, where they have one.
    ///
    /// # Errors
    /// The file cannot be read, or has no such rows.
    pub fn trace_ids(&self, rows: &[u32]) -> Result<Vec<[u8; 16]>, FileError> {
        let mut ids = Vec::new();
        let (Some(column), Some((groups, selection))) = (self.leaf("trace_id"), self.select(rows)?) else {
            return Ok(ids);
        };
        let mask = ProjectionMask::leaves(self.footer.metadata.parquet_schema(), [column]);
        let reader =
            self.builder().with_projection(mask).with_row_groups(groups).with_row_selection(selection);
        for batch in reader.build()? {
            let batch = batch?;
            let column = batch.column(0).as_fixed_size_binary();
            ids.extend(column.iter().flatten().filter_map(|id| <[u8; 16]>::try_from(id).ok()));
        }
        Ok(ids)
    }

    /// The row groups that have the rows of these numbers, and which of their rows these are; `None` for no rows.
    fn select(&self, rows: &[u32]) -> Result<Option<(Vec<usize>, RowSelection)>, FileError> {
        let (mut groups, mut ranges) = (Vec::new(), Vec::new());
        let (mut begin, mut selected, mut left) = (0, 0, rows);
        for (number, group) in self.metadata().row_groups().iter().enumerate() {
            let count = count(group);
            let (mine, others) = left.split_at(left.partition_point(|row| (*row as usize) < begin + count));
            if !mine.is_empty() {
                groups.push(number);
                let within = mine.iter().map(|row| selected + (*row as usize).saturating_sub(begin));
                ranges.extend(within.map(|row| row..row + 1));
                selected += count;
            }
            begin += count;
            left = others;
        }
        if !left.is_empty() || !rows.is_sorted_by(|one, other| one < other) {
            return Err(FileError::new("the index of its traces names rows that are not there"));
        }
        let selection = || RowSelection::from_consecutive_ranges(ranges.into_iter(), selected);
        Ok((!groups.is_empty()).then(|| (groups, selection())))
    }

    /// Calls `each` with every row whose time is in `times` (nanoseconds since 1970), in file order, until it breaks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn between(
        &self,
        times: RangeInclusive<i64>,
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        let groups = self.metadata().row_groups().iter().enumerate();
        let groups: Vec<usize> =
            groups.filter(|(_, group)| overlaps(group, &times)).map(|(number, _)| number).collect();
        if groups.is_empty() {
            return Ok(());
        }
        each_row(self.base(groups)?.build()?, self.footer.signal, |time| times.contains(&time), each)
    }

    /// The numbers of the rows at these places in the journal: times (nanoseconds since 1970), offsets and indexes of rows that are looked
    /// for. What lies at another time is not looked at.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn places(&self, places: &[(i64, u64, u32)]) -> Result<Vec<u32>, FileError> {
        let mut found = Vec::new();
        let leaves = ["timestamp", "journal_offset", "item_index"].map(|name| self.leaf(name));
        let [Some(timestamp), Some(offset), Some(index)] = leaves else { return Ok(found) };
        let mut times: Vec<i64> = places.iter().map(|(time, ..)| *time).collect();
        times.sort_unstable();
        let (mut groups, mut numbers, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        let (mut begin, mut selected) = (0, 0);
        for (number, group) in self.metadata().row_groups().iter().enumerate() {
            let rows = count(group);
            let pages = match times.iter().any(|time| overlaps(group, &(*time..=*time))) {
                true => self.pages_at(number, timestamp, &times),
                false => Vec::new(),
            };
            if !pages.is_empty() {
                groups.push(number);
                numbers.extend(pages.iter().map(|page| begin + page.start..begin + page.end));
                ranges.extend(pages.iter().map(|page| selected + page.start..selected + page.end));
                selected += rows;
            }
            begin += rows;
        }
        if groups.is_empty() {
            return Ok(found);
        }
        let mask = ProjectionMask::leaves(self.footer.metadata.parquet_schema(), [timestamp, offset, index]);
        let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), selected);
        let reader =
            self.builder().with_projection(mask).with_row_groups(groups).with_row_selection(selection);
        let mut numbers = numbers.into_iter().flatten();
        for batch in reader.with_batch_size(PLACES_ROWS).build()? {
            let batch = batch?;
            let (moments, offsets, indexes) = (
                batch.column(0).as_primitive::<TimestampNanosecondType>().values(),
                batch.column(1).as_primitive::<UInt64Type>().values(),
                batch.column(2).as_primitive::<UInt32Type>().values(),
            );
            for (row, number) in (0..batch.num_rows()).zip(numbers.by_ref()) {
                let is_then = times.contains(&moments[row]);
                if is_then && places.contains(&(moments[row], offsets[row], indexes[row])) {
                    found.extend(u32::try_from(number));
                }
            }
        }
        Ok(found)
    }

    /// The rows of a row group that lie on pages with one of these times, which are to rise; all where nothing is known of its pages.
    fn pages_at(&self, group: usize, timestamp: usize, times: &[i64]) -> Vec<Range<usize>> {
        let rows = count(self.metadata().row_group(group));
        let pages = self.metadata().page_index_for_row_group(group);
        let known = || match pages.column_index(timestamp)? {
            ColumnIndexMetaData::INT64(index) => Some((index, pages.page_locations(timestamp)?)),
            _ => None,
        };
        let Some((index, places)) = known() else { return std::iter::once(0..rows).collect() };
        let first =
            |page: usize| places.get(page).and_then(|page| usize::try_from(page.first_row_index).ok());
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for page in 0..places.len() {
            if let (Some(least), Some(most)) = (index.min_value(page), index.max_value(page)) {
                let behind = times.partition_point(|time| time < least);
                if times.get(behind).is_none_or(|time| time > most) {
                    continue;
                }
            }
            let (from, to) = (first(page).unwrap_or(0).min(rows), first(page + 1).unwrap_or(rows).min(rows));
            match ranges.last_mut() {
                Some(last) if last.end >= from => last.end = to.max(last.end),
                _ => ranges.push(from..to),
            }
        }
        ranges
    }

    /// Every row, in file order, a batch at a time.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn batches(&self) -> Result<Batches, FileError> {
        let groups = (0..self.footer.metadata.metadata().num_row_groups()).collect();
        Ok(Batches { reader: self.base(groups)?.build()?, signal: self.footer.signal })
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.footer.metadata.metadata()
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.footer.metadata.schema()
    }

    pub(crate) fn builder(&self) -> ParquetRecordBatchReaderBuilder<R> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.reader.clone(), self.footer.metadata.clone())
    }

    fn base(&self, groups: Vec<usize>) -> Result<ParquetRecordBatchReaderBuilder<R>, FileError> {
        let wanted = BASE.iter().chain(extra(self.footer.signal)).filter_map(|name| self.leaf(name));
        let mask = ProjectionMask::leaves(self.footer.metadata.parquet_schema(), wanted);
        Ok(self.builder().with_projection(mask).with_row_groups(groups).with_batch_size(BATCH_ROWS))
    }

    /// The number of a leaf column that is not nested.
    pub(crate) fn leaf(&self, name: &str) -> Option<usize> {
        let columns = self.footer.metadata.parquet_schema().columns();
        columns.iter().position(|column| column.path().parts() == [name])
    }
}

/// The columns that every row is read back from.
const BASE: [&str; 10] = [
    "timestamp",
    "service_name",
    "tenant",
    "source",
    "received",
    "journal_offset",
    "item_index",
    "resource",
    "scope",
    "raw",
];

/// The columns beyond them that a signal needs.
fn extra(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Traces => &[],
        Signal::Logs => &["body"],
        Signal::Metrics => &["type", "metric"],
    }
}

fn count(group: &RowGroupMetaData) -> usize {
    usize::try_from(group.num_rows()).unwrap_or(0)
}

fn each_row(
    reader: ParquetRecordBatchReader,
    signal: Signal,
    wanted: impl Fn(i64) -> bool,
    each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
) -> Result<(), FileError> {
    let mut scratch = Vec::new();
    for batch in (Batches { reader, signal }) {
        let batch = batch?;
        for number in 0..batch.len() {
            if wanted(batch.time(number)) && each(&batch.row(number, &mut scratch)).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Batches of rows.
pub struct Batches {
    reader: ParquetRecordBatchReader,
    signal: Signal,
}

impl Iterator for Batches {
    type Item = Result<Batch, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(FileError::from).and_then(|batch| Batch::new(self.signal, &batch)))
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("signal", &self.signal).finish_non_exhaustive()
    }
}

/// Rows that were decoded together.
#[derive(Debug)]
pub struct Batch {
    signal: Signal,
    kinds: Vec<Kind>,
    body: Option<StringArray>,
    time: Arc<dyn Array>,
    received: Arc<dyn Array>,
    offset: Arc<dyn Array>,
    index: Arc<dyn Array>,
    service: StringArray,
    tenant: StringArray,
    source: StringArray,
    resource: BinaryArray,
    scope: BinaryArray,
    /// Of metrics; all others have nothing there.
    metric: Option<BinaryArray>,
    raw: BinaryArray,
}

impl Batch {
    fn new(signal: Signal, batch: &RecordBatch) -> Result<Self, FileError> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| FileError::new(format!("column {name} is missing")))
        };
        let text = |name: &str| column(name).map(|array| array.as_string::<i32>().clone());
        let bytes = |name: &str| column(name).map(|array| array.as_binary::<i32>().clone());
        let kinds = match signal {
            Signal::Traces => vec![Kind::Span; batch.num_rows()],
            Signal::Logs => vec![Kind::Log; batch.num_rows()],
            Signal::Metrics => {
                let unknown = |name: &str| FileError::new(format!("type {name:?} is not known"));
                let names = text("type")?;
                let kinds =
                    names.iter().flatten().map(|name| Kind::from_name(name).ok_or_else(|| unknown(name)));
                kinds.collect::<Result<_, _>>()?
            }
        };
        Ok(Self {
            signal,
            kinds,
            body: if signal == Signal::Logs { Some(text("body")?) } else { None },
            time: Arc::clone(column("timestamp")?),
            received: Arc::clone(column("received")?),
            offset: Arc::clone(column("journal_offset")?),
            index: Arc::clone(column("item_index")?),
            service: text("service_name")?,
            tenant: text("tenant")?,
            source: text("source")?,
            resource: bytes("resource")?,
            scope: bytes("scope")?,
            metric: if signal == Signal::Metrics { Some(bytes("metric")?) } else { None },
            raw: bytes("raw")?,
        })
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The time of row `number`, nanoseconds since 1970.
    pub fn time(&self, number: usize) -> i64 {
        self.time.as_primitive::<TimestampNanosecondType>().value(number)
    }

    /// Row `number`; `scratch` holds its item where that must be put together again.
    pub fn row<'a>(&'a self, number: usize, scratch: &'a mut Vec<u8>) -> Row<'a> {
        let mut raw = self.raw.value(number);
        if let Some(body) = self.body.as_ref().filter(|body| body.is_valid(number))
            && !crate::body::is_in(raw)
        {
            scratch.clear();
            crate::body::join(scratch, raw, body.value(number));
            raw = scratch;
        }
        let received = self.received.as_primitive::<TimestampNanosecondType>().value(number);
        Row {
            signal: self.signal,
            kind: self.kinds[number],
            time: self.time(number),
            received: UnixNanos(u64::try_from(received).unwrap_or(0)),
            offset: self.offset.as_primitive::<UInt64Type>().value(number),
            index: self.index.as_primitive::<UInt32Type>().value(number),
            tenant: self.tenant.value(number),
            source: self.source.value(number),
            service: self.service.value(number),
            resource: self.resource.value(number),
            scope: self.scope.value(number),
            metric: self.metric.as_ref().map_or(&[], |metric| metric.value(number)),
            raw,
        }
    }
}
