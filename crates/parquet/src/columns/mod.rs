//! Column builders: one file a signal, and the columns that every signal has. Making a row never fails: where an item's own
//! fields are damaged the columns hold what could be read, and `raw` holds the rest.

mod base;
mod logs;
mod metrics;
mod spans;
mod text;

use std::borrow::Cow;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::ArrowError;
use model::Signal;

use crate::row::Row;
use crate::schema;

/// Rows being gathered into a record batch.
pub(crate) struct Columns {
    signal: Signal,
    own: Own,
    base: base::Columns,
    rows: usize,
    bytes: usize,
}

enum Own {
    Spans(Box<spans::Columns>),
    Logs(Box<logs::Columns>),
    Metrics(Box<metrics::Columns>),
}

impl Columns {
    pub(crate) fn new(signal: Signal) -> Self {
        let own = match signal {
            Signal::Traces => Own::Spans(Box::default()),
            Signal::Logs => Own::Logs(Box::default()),
            Signal::Metrics => Own::Metrics(Box::default()),
        };
        Self { signal, own, base: base::Columns::default(), rows: 0, bytes: 0 }
    }

    pub(crate) fn push(&mut self, row: &Row<'_>) {
        let raw = match &mut self.own {
            Own::Spans(columns) => {
                columns.push(row);
                Cow::Borrowed(row.raw)
            }
            Own::Logs(columns) => columns.push(row),
            Own::Metrics(columns) => {
                columns.push(row);
                Cow::Borrowed(row.raw)
            }
        };
        self.base.push(row, &raw);
        self.rows += 1;
        self.bytes += 2 * row.raw.len() + 2 * row.resource.len() + row.scope.len() + row.metric.len() + 128;
    }

    /// The low half of the trace id of the last row, if it has one.
    pub(crate) fn low(&self) -> Option<u64> {
        match &self.own {
            Own::Spans(columns) => columns.low(),
            Own::Logs(columns) => columns.low(),
            Own::Metrics(_) => None,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the gathered rows take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows gathered since the last call.
    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = match &mut self.own {
            Own::Spans(columns) => columns.finish(),
            Own::Logs(columns) => columns.finish(),
            Own::Metrics(columns) => columns.finish(),
        };
        arrays.extend(self.base.finish());
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(schema::of(self.signal), arrays)
    }
}
