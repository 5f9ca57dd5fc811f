//! Rows to Parquet bytes. Equal rows in equal order give equal bytes: nothing here looks at a clock or at chance.

use std::cmp::Ordering;
use std::sync::Arc;

use model::Signal;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::FileError;
use crate::chunk::{Chunk, Entry};
use crate::columns::Columns;
use crate::row::Row;
use crate::schema;
use crate::traces::Gathered;

/// Rows of a row group; small enough that finding one trace decodes little.
const GROUP_ROWS: usize = 128 * 1024;
/// A record batch is handed on at so many rows or bytes, whichever comes first.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;
const PAGE_BYTES: usize = 256 << 10;
/// A page of the columns that hold most bytes: to read one row of a file its page is decompressed.
const LARGE_PAGE_BYTES: usize = 64 << 10;
/// Rows after which it is looked whether a page is full; rows are large, and the default lets pages grow to megabytes.
const STEP_ROWS: usize = 64;
/// Level 1 costs a third of level 3 and gives nearly its size on telemetry that is dictionary-coded already.
const ZSTD_LEVEL: i32 = 1;

/// Writes one file of one signal.
pub struct Writer {
    file: ArrowWriter<Vec<u8>>,
    columns: Columns,
    traces: Gathered,
}

impl Writer {
    /// A file of about `rows` rows (an upper bound sizes the bloom filters best), with `metadata` beside the schema's
    /// version.
    ///
    /// # Errors
    /// The Parquet library refuses the schema, which would be a bug here.
    pub fn new(signal: Signal, rows: usize, metadata: &[(&str, String)]) -> Result<Self, FileError> {
        let file =
            ArrowWriter::try_new(Vec::new(), schema::of(signal), Some(properties(signal, rows, metadata)))?;
        Ok(Self { file, columns: Columns::new(signal), traces: Gathered::default() })
    }

    /// Appends a row. Rows are to come sorted by service, then time, then offset and index.
    ///
    /// # Errors
    /// The Parquet library refuses the rows gathered so far.
    pub fn push(&mut self, row: &Row<'_>) -> Result<(), FileError> {
        self.columns.push(row);
        self.traces.push(self.columns.low());
        if self.columns.rows() >= BATCH_ROWS || self.columns.bytes() >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// The Parquet library refuses the last rows.
    pub fn finish(mut self) -> Result<Vec<u8>, FileError> {
        self.write()?;
        // What is written beside the row groups stands behind the last of them.
        self.file.flush()?;
        let index = self.traces.encode();
        if let Some(place) = index.place(self.file.bytes_written()) {
            self.file.write_all(&index.bytes).map_err(|error| FileError::new(error.to_string()))?;
            self.file.append_key_value_metadata(KeyValue::new(crate::traces::KEY.to_owned(), place));
        }
        Ok(self.file.into_inner()?)
    }

    /// Bytes encoded so far, the unfinished row group included.
    pub fn bytes(&self) -> usize {
        self.file.bytes_written() + self.file.in_progress_size() + self.columns.bytes() + self.traces.bytes()
    }

    fn write(&mut self) -> Result<(), FileError> {
        if self.columns.rows() == 0 {
            return Ok(());
        }
        let batch = self.columns.take()?;
        Ok(self.file.write(&batch)?)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// An item of one of several chunks, by the numbers of the chunk and of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The chunk's number in the slice that it is used with.
    pub chunk: u32,
    /// The entry's number in the chunk.
    pub entry: u32,
}

/// Sorts picks from `chunks` into file order: service, time, offset, index. The order is total, so that the same items
/// always make the same file.
pub fn sort(chunks: &[Arc<Chunk>], picks: &mut [Pick]) {
    picks.sort_unstable_by(|a, b| {
        let (a, x) = at(chunks, *a);
        let (b, y) = at(chunks, *b);
        let (one, other) = (a.service(x), b.service(y));
        let by_service = if Arc::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) };
        by_service
            .then_with(|| x.time.cmp(&y.time))
            .then_with(|| a.frame().offset.cmp(&b.frame().offset))
            .then_with(|| x.index.cmp(&y.index))
    });
}

/// The item that `pick` stands for.
pub fn at(chunks: &[Arc<Chunk>], pick: Pick) -> (&Chunk, &Entry) {
    let chunk = &chunks[pick.chunk as usize];
    (chunk, &chunk.entries()[pick.entry as usize])
}

fn properties(signal: Signal, rows: usize, metadata: &[(&str, String)]) -> WriterProperties {
    let mut pairs = vec![
        KeyValue::new(schema::VERSION_KEY.to_owned(), schema::VERSION.to_owned()),
        KeyValue::new(schema::SIGNAL_KEY.to_owned(), signal.as_str().to_owned()),
    ];
    pairs.extend(metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())));
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_created_by("tidegate".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(STEP_ROWS)
        .set_key_value_metadata(Some(pairs))
        .set_statistics_enabled(EnabledStatistics::None);
    for name in ["timestamp", "service_name", "name", "metric_name", "trace_id"] {
        properties = properties.set_column_statistics_enabled(column(name), EnabledStatistics::Page);
    }
    for name in ["raw", "body"] {
        properties = properties.set_column_data_page_size_limit(column(name), LARGE_PAGE_BYTES);
    }
    for name in ["trace_id", "trace_id_low", "span_id", "parent_span_id", "raw", "body", "events", "links"] {
        properties = properties.set_column_dictionary_enabled(column(name), false);
    }
    for name in [
        "timestamp",
        "end_time",
        "received",
        "duration_ns",
        "journal_offset",
        "item_index",
        "observed_time",
        "start_time",
    ] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    if signal != Signal::Metrics {
        let distinct = rows.clamp(64, GROUP_ROWS) as u64;
        for name in ["trace_id", "trace_id_low"] {
            properties = properties
                .set_column_bloom_filter_enabled(column(name), true)
                .set_column_bloom_filter_fpp(column(name), 0.01)
                .set_column_bloom_filter_max_ndv(column(name), distinct);
        }
    }
    properties.build()
}

fn column(name: &str) -> ColumnPath {
    ColumnPath::from(name)
}
