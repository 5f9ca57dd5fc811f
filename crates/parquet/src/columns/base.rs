//! Where a row came from, and the bytes that it is read back from.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder, UInt64Builder,
};

use crate::row::Row;

pub(super) struct Columns {
    tenant: StringBuilder,
    source: StringBuilder,
    received: TimestampNanosecondBuilder,
    offset: UInt64Builder,
    index: UInt32Builder,
    resource: BinaryBuilder,
    scope: BinaryBuilder,
    metric: BinaryBuilder,
    raw: BinaryBuilder,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            tenant: StringBuilder::new(),
            source: StringBuilder::new(),
            received: times(),
            offset: UInt64Builder::new(),
            index: UInt32Builder::new(),
            resource: BinaryBuilder::new(),
            scope: BinaryBuilder::new(),
            metric: BinaryBuilder::new(),
            raw: BinaryBuilder::new(),
        }
    }
}

impl Columns {
    /// Appends one row; `raw` is its item, or what of it no other column holds.
    pub(super) fn push(&mut self, row: &Row<'_>, raw: &[u8]) {
        self.tenant.append_value(row.tenant);
        self.source.append_value(row.source);
        self.received.append_value(nanos(row.received.0));
        self.offset.append_value(row.offset);
        self.index.append_value(row.index);
        self.resource.append_value(row.resource);
        self.scope.append_value(row.scope);
        self.metric.append_value(row.metric);
        self.raw.append_value(raw);
    }

    pub(super) fn finish(&mut self) -> [ArrayRef; 9] {
        [
            Arc::new(self.tenant.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.received.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.index.finish()),
            Arc::new(self.resource.finish()),
            Arc::new(self.scope.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(self.raw.finish()),
        ]
    }
}

/// A builder of the schema's time type.
pub(super) fn times() -> TimestampNanosecondBuilder {
    TimestampNanosecondBuilder::new().with_data_type(crate::schema::time())
}

/// Nanoseconds as the column has them; what is beyond the year 2262 becomes that year.
pub(super) fn nanos(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
