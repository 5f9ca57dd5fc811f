//! The columns of logs.

use std::sync::Arc;

use std::borrow::Cow;

use arrow_array::ArrayRef;
use arrow_array::builder::{Int32Builder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder};
use wire::otlp::{View, logs};

use super::base::{nanos, times};
use super::spans::{Ids, Scopes};
use super::text::{Described, append_body};
use crate::row::Row;
use crate::value::some;

pub(super) struct Columns {
    time: TimestampNanosecondBuilder,
    ids: Ids,
    service: StringBuilder,
    severity: Int32Builder,
    severity_text: StringBuilder,
    body: StringBuilder,
    event_name: StringBuilder,
    observed: TimestampNanosecondBuilder,
    described: Described,
    scope: Scopes,
    flags: UInt32Builder,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            time: times(),
            ids: Ids::default(),
            service: StringBuilder::new(),
            severity: Int32Builder::new(),
            severity_text: StringBuilder::new(),
            body: StringBuilder::new(),
            event_name: StringBuilder::new(),
            observed: times(),
            described: Described::with_promoted(),
            scope: Scopes::default(),
            flags: UInt32Builder::new(),
        }
    }
}

impl Columns {
    /// The low half of the trace id of the last row, if it has one.
    pub(super) fn low(&self) -> Option<u64> {
        self.ids.last
    }

    /// Appends a row and answers what of its item no other column holds.
    pub(super) fn push<'a>(&mut self, row: &Row<'a>) -> Cow<'a, [u8]> {
        let record = logs::LogRecord::read(row.raw).ok();
        self.time.append_value(row.time);
        self.ids
            .push(record.as_ref().map_or(&[], |r| r.trace_id), record.as_ref().map_or(&[], |r| r.span_id));
        self.service.append_value(row.service);
        self.severity.append_value(record.as_ref().map_or(0, |r| r.severity));
        self.severity_text.append_option(record.as_ref().and_then(|r| some(r.severity_text)));
        self.event_name.append_option(record.as_ref().and_then(|r| some(r.event_name)));
        self.observed.append_option(record.as_ref().filter(|r| r.observed != 0).map(|r| nanos(r.observed)));
        self.described.push(record.as_ref().map(logs::LogRecord::attributes), row.resource);
        self.scope.push(row.scope);
        self.flags.append_value(record.as_ref().map_or(0, |r| r.flags));
        match (crate::body::split(row.raw), record) {
            (Some((text, rest)), _) => {
                self.body.append_value(text);
                return Cow::Owned(rest);
            }
            (None, Some(record)) => append_body(&mut self.body, &record.body),
            (None, None) => self.body.append_null(),
        }
        Cow::Borrowed(row.raw)
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.time.finish())];
        arrays.extend(self.ids.finish());
        arrays.push(Arc::new(self.service.finish()));
        arrays.push(Arc::new(self.severity.finish()));
        arrays.push(Arc::new(self.severity_text.finish()));
        arrays.push(Arc::new(self.body.finish()));
        arrays.push(Arc::new(self.event_name.finish()));
        arrays.push(Arc::new(self.observed.finish()));
        arrays.extend(self.described.finish_promoted());
        arrays.extend(self.described.finish());
        arrays.extend(self.scope.finish());
        arrays.push(Arc::new(self.flags.finish()));
        arrays
    }
}
