//! Parquet bytes back to rows. Only the base columns are decoded; a trace is found by bloom filter, then by its low 64
//! bits, a time range by the row groups' statistics.

use std::collections::HashSet;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, BinaryArray, BooleanArray, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use model::{Signal, UnixNanos};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;

use crate::FileError;
use crate::row::{Kind, Row};
use crate::schema;
use crate::walk::overlaps;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

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
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(reader, options)?;
        let value = |key: &str| {
            let pairs = metadata.metadata().file_metadata().key_value_metadata()?;
            pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
        };
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

    /// Calls `each` with the rows at these places in the journal, until it breaks: times (nanoseconds since 1970), offsets and indexes of
    /// rows that are looked for. What lies at another time is not looked at.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn at(
        &self,
        places: &[(i64, u64, u32)],
        each: &mut dyn FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), FileError> {
        let (Some(offset), Some(index)) = (self.leaf("journal_offset"), self.leaf("item_index")) else {
            return Ok(());
        };
        let may_hold =
            |group: &RowGroupMetaData| places.iter().any(|(time, ..)| overlaps(group, &(*time..=*time)));
        let groups = self.metadata().row_groups().iter().enumerate();
        let groups: Vec<usize> =
            groups.filter(|(_, group)| may_hold(group)).map(|(number, _)| number).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<(u64, u32)> = places.iter().map(|(_, offset, index)| (*offset, *index)).collect();
        let mask = ProjectionMask::leaves(self.footer.metadata.parquet_schema(), [offset, index]);
        let is_it = ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
            let (offsets, indexes) =
                (batch.column(0).as_primitive::<UInt64Type>(), batch.column(1).as_primitive::<UInt32Type>());
            let pairs = offsets.values().iter().zip(indexes.values());
            Ok(pairs
                .map(|(offset, index)| Some(wanted.contains(&(*offset, *index))))
                .collect::<BooleanArray>())
        });
        let filter = RowFilter::new(vec![Box::new(is_it)]);
        each_row(self.base(groups)?.with_row_filter(filter).build()?, self.footer.signal, |_| true, each)
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
        let wanted = BASE.iter().copied().chain(extra(self.footer.signal)).filter_map(|name| self.leaf(name));
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
const BASE: [&str; 11] = [
    "timestamp",
    "service_name",
    "tenant",
    "source",
    "received",
    "journal_offset",
    "item_index",
    "resource",
    "scope",
    "metric",
    "raw",
];

/// The column beyond them that a signal needs.
fn extra(signal: Signal) -> Option<&'static str> {
    match signal {
        Signal::Traces => None,
        Signal::Logs => Some("body"),
        Signal::Metrics => Some("type"),
    }
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
    metric: BinaryArray,
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
            metric: bytes("metric")?,
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
            metric: self.metric.value(number),
            raw,
        }
    }
}
