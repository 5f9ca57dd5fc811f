//! A log record read back from a row.

use serde::Serialize;
use serde_json::Value;
use wire::WireError;
use wire::otlp::{View, logs};

use crate::row::Row;
use crate::scope::{Below, Scope};
use crate::value::{Attributes, hex, json};

/// A log record, decoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogRow {
    /// Nanoseconds since 1970: when it happened, else was observed, else received.
    pub time: i64,
    /// When it was observed, nanoseconds since 1970; 0 is unknown.
    pub observed: u64,
    /// 32 lower-case hex digits; empty for none.
    pub trace_id: String,
    /// 16 lower-case hex digits; empty for none.
    pub span_id: String,
    /// `service.name` of its resource.
    pub service: String,
    /// 1 to 24; 0 is unspecified.
    pub severity: i32,
    /// The severity as its source writes it.
    pub severity_text: String,
    /// The name of the event; empty for plain records.
    pub event_name: String,
    /// The record itself.
    pub body: Value,
    /// W3C flags.
    pub flags: u32,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its resource's attributes.
    pub resource: Attributes,
    /// The instrumentation scope.
    pub scope: Scope,
    /// Attributes that its sender left out.
    pub dropped: u32,
    /// On whose behalf it was sent.
    pub tenant: String,
    /// Which receiver took it.
    pub source: String,
    /// Journal offset of its frame.
    pub offset: u64,
    /// Its number in the frame.
    pub index: u32,
}

impl LogRow {
    /// Decodes a row of logs.
    ///
    /// # Errors
    /// The item's bytes are not a log record.
    pub fn read(row: &Row<'_>) -> Result<Self, WireError> {
        let record = logs::LogRecord::read(row.raw)?;
        let below = Below::read(row)?;
        Ok(Self {
            time: row.time,
            observed: record.observed,
            trace_id: hex::<16>(record.trace_id),
            span_id: hex::<8>(record.span_id),
            service: row.service.to_owned(),
            severity: record.severity,
            severity_text: record.severity_text.to_owned(),
            event_name: record.event_name.to_owned(),
            body: json(&record.body, 0),
            flags: record.flags,
            attributes: Attributes::read(record.attributes()),
            resource: below.resource,
            scope: below.scope,
            dropped: record.dropped_attributes,
            tenant: row.tenant.to_owned(),
            source: row.source.to_owned(),
            offset: row.offset,
            index: row.index,
        })
    }
}
