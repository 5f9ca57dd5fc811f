//! The columns of traces.

use std::cell::Cell;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    FixedSizeBinaryBuilder, Int64Builder, StringBuilder, TimestampNanosecondBuilder, UInt32Builder,
    UInt64Builder,
};
use wire::otlp::{KeyValue, View, traces};
use wire::walk;

use super::base::{nanos, times};
use super::text::Described;
use crate::row::Row;
use crate::scope::scope_of;
use crate::span::{events, kind, links, status};
use crate::value::some;

pub(super) struct Columns {
    time: TimestampNanosecondBuilder,
    ids: Ids,
    parent: FixedSizeBinaryBuilder,
    service: StringBuilder,
    name: StringBuilder,
    kind: StringBuilder,
    status: StringBuilder,
    status_message: StringBuilder,
    end: TimestampNanosecondBuilder,
    duration: Int64Builder,
    described: Described,
    scope: Scopes,
    trace_state: StringBuilder,
    flags: UInt32Builder,
    events: StringBuilder,
    links: StringBuilder,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            time: times(),
            ids: Ids::default(),
            parent: FixedSizeBinaryBuilder::new(8),
            service: StringBuilder::new(),
            name: StringBuilder::new(),
            kind: StringBuilder::new(),
            status: StringBuilder::new(),
            status_message: StringBuilder::new(),
            end: times(),
            duration: Int64Builder::new(),
            described: Described::with_promoted(),
            scope: Scopes::default(),
            trace_state: StringBuilder::new(),
            flags: UInt32Builder::new(),
            events: StringBuilder::new(),
            links: StringBuilder::new(),
        }
    }
}

impl Columns {
    /// The low half of the trace id of the last row, if it has one.
    pub(super) fn low(&self) -> Option<u64> {
        self.ids.last
    }

    pub(super) fn push(&mut self, row: &Row<'_>) {
        // Of a span that cannot be read the columns are empty; `raw` has it.
        let span = traces::Span::read(row.raw).unwrap_or_default();
        self.time.append_value(row.time);
        self.ids.push(span.trace_id, span.span_id);
        append_id::<8>(&mut self.parent, span.parent_span_id);
        self.service.append_value(row.service);
        self.name.append_value(span.name);
        self.kind.append_value(kind(span.kind));
        self.status.append_value(status(span.status_code));
        self.status_message.append_option(some(span.status_message));
        self.end.append_value(nanos(span.end));
        self.duration.append_value(nanos(span.end.saturating_sub(span.start)));
        // One walk finds the attributes, and whether there is anything else to look for: most spans have neither.
        let (has_events, has_links) = (Cell::new(false), Cell::new(false));
        let attributes = walk::fields(span.raw).map_while(Result::ok).filter_map(|field| {
            match field.number {
                9 => return Some(field.bytes().and_then(KeyValue::read)),
                11 => has_events.set(true),
                13 => has_links.set(true),
                _ => {}
            }
            None
        });
        self.described.push(Some(attributes), row.resource);
        self.scope.push(row.scope);
        self.trace_state.append_option(some(span.trace_state));
        self.flags.append_value(span.flags);
        append_json(&mut self.events, has_events.get().then(|| events(&span)));
        append_json(&mut self.links, has_links.get().then(|| links(&span)));
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.time.finish())];
        arrays.extend(self.ids.finish());
        arrays.push(Arc::new(self.parent.finish()));
        arrays.push(Arc::new(self.service.finish()));
        arrays.push(Arc::new(self.name.finish()));
        arrays.push(Arc::new(self.kind.finish()));
        arrays.push(Arc::new(self.status.finish()));
        arrays.push(Arc::new(self.status_message.finish()));
        arrays.push(Arc::new(self.end.finish()));
        arrays.push(Arc::new(self.duration.finish()));
        arrays.extend(self.described.finish_promoted());
        arrays.extend(self.described.finish());
        arrays.extend(self.scope.finish());
        arrays.push(Arc::new(self.trace_state.finish()));
        arrays.push(Arc::new(self.flags.finish()));
        arrays.push(Arc::new(self.events.finish()));
        arrays.push(Arc::new(self.links.finish()));
        arrays
    }
}

/// An array of JSON objects, null when there are none.
fn append_json<T: serde::Serialize>(column: &mut StringBuilder, items: Option<impl Iterator<Item = T>>) {
    let Some(items) = items else { return column.append_null() };
    let all: Vec<T> = items.collect();
    column.append_option((!all.is_empty()).then(|| serde_json::to_string(&all).ok()).flatten());
}

/// Trace and span id.
pub(super) struct Ids {
    trace: FixedSizeBinaryBuilder,
    low: UInt64Builder,
    span: FixedSizeBinaryBuilder,
    /// The low half of the last trace id, if there was one.
    pub(super) last: Option<u64>,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            trace: FixedSizeBinaryBuilder::new(16),
            low: UInt64Builder::new(),
            span: FixedSizeBinaryBuilder::new(8),
            last: None,
        }
    }
}

impl Ids {
    pub(super) fn push(&mut self, trace: &[u8], span: &[u8]) {
        append_id::<16>(&mut self.trace, trace);
        self.last = id::<16>(trace).map(|id| crate::low_half(&id));
        self.low.append_option(self.last);
        append_id::<8>(&mut self.span, span);
    }

    pub(super) fn finish(&mut self) -> [ArrayRef; 3] {
        [Arc::new(self.trace.finish()), Arc::new(self.low.finish()), Arc::new(self.span.finish())]
    }
}

/// An id of `N` bytes that is not all zero.
fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok().filter(|id| *id != [0; N])
}

fn append_id<const N: usize>(column: &mut FixedSizeBinaryBuilder, bytes: &[u8]) {
    match id::<N>(bytes) {
        Some(id) => column.append_value(id).expect("the column was made for ids of this length"),
        None => column.append_null(),
    }
}

/// Name and version of the instrumentation scope.
#[derive(Default)]
pub(super) struct Scopes {
    name: StringBuilder,
    version: StringBuilder,
}

impl Scopes {
    pub(super) fn push(&mut self, envelope: &[u8]) {
        let scope = scope_of(envelope).ok().flatten().unwrap_or_default();
        self.name.append_option(some(scope.name));
        self.version.append_option(some(scope.version));
    }

    pub(super) fn finish(&mut self) -> [ArrayRef; 2] {
        [Arc::new(self.name.finish()), Arc::new(self.version.finish())]
    }
}
