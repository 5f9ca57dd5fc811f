//! Views over an `ExportLogsServiceRequest`.

use super::{AnyValue, Attributes, Repeated, Resource, Scope, View, repeated};
use crate::walk::{WireError, fields};

/// The records of one resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceLogs<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The resource; empty when there is none.
    pub resource: Resource<'a>,
    /// The schema of the resource's attributes.
    pub schema_url: &'a str,
}

/// The records of one instrumentation scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeLogs<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The scope; empty when there is none.
    pub scope: Scope<'a>,
    /// The schema of the records' attributes.
    pub schema_url: &'a str,
}

/// One log record. Ids are as sent: of any length, empty when absent.
#[derive(Debug, Clone)]
pub struct LogRecord<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// When it happened, nanoseconds since 1970; 0 is unknown.
    pub time: u64,
    /// When it was observed, nanoseconds since 1970; 0 is unknown.
    pub observed: u64,
    /// 1 to 24; 0 is unspecified.
    pub severity: i32,
    /// The severity as its source writes it.
    pub severity_text: &'a str,
    /// The record itself.
    pub body: AnyValue<'a>,
    /// 16 bytes when valid.
    pub trace_id: &'a [u8],
    /// 8 bytes when valid.
    pub span_id: &'a [u8],
    /// Bits 0–7 W3C flags.
    pub flags: u32,
    /// The name of the event; empty for plain records.
    pub event_name: &'a str,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
}

/// The resources of a request.
pub fn resource_logs(plain: &[u8]) -> Repeated<'_, ResourceLogs<'_>> {
    repeated(plain, 1)
}

/// Calls `each` for every record, in wire order.
///
/// # Errors
/// The bytes are no request, or `each` answered one.
pub fn each_record<'a>(
    plain: &'a [u8],
    mut each: impl FnMut(&ResourceLogs<'a>, &ScopeLogs<'a>, LogRecord<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for resource in resource_logs(plain) {
        let resource = resource?;
        for scope in resource.scopes() {
            let scope = scope?;
            for record in scope.records() {
                each(&resource, &scope, record?)?;
            }
        }
    }
    Ok(())
}

impl<'a> View<'a> for ResourceLogs<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut view = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => view.resource = Resource { raw: field.bytes()? },
                3 => view.schema_url = field.text()?,
                _ => {}
            }
        }
        Ok(view)
    }
}

impl<'a> ResourceLogs<'a> {
    /// The scopes below this resource.
    pub fn scopes(&self) -> Repeated<'a, ScopeLogs<'a>> {
        repeated(self.raw, 2)
    }
}

impl<'a> View<'a> for ScopeLogs<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut view = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => view.scope = Scope::read(field.bytes()?)?,
                3 => view.schema_url = field.text()?,
                _ => {}
            }
        }
        Ok(view)
    }
}

impl<'a> ScopeLogs<'a> {
    /// The records of this scope.
    pub fn records(&self) -> Repeated<'a, LogRecord<'a>> {
        repeated(self.raw, 2)
    }
}

impl<'a> View<'a> for LogRecord<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut record = Self {
            raw,
            time: 0,
            observed: 0,
            severity: 0,
            severity_text: "",
            body: AnyValue::Empty,
            trace_id: &[],
            span_id: &[],
            flags: 0,
            event_name: "",
            dropped_attributes: 0,
        };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => record.time = field.fixed64()?,
                2 => record.severity = field.varint()? as i32,
                3 => record.severity_text = field.text()?,
                5 => record.body = AnyValue::read(field.bytes()?)?,
                7 => record.dropped_attributes = field.varint()? as u32,
                8 => record.flags = field.fixed32()?,
                9 => record.trace_id = field.bytes()?,
                10 => record.span_id = field.bytes()?,
                11 => record.observed = field.fixed64()?,
                12 => record.event_name = field.text()?,
                _ => {}
            }
        }
        Ok(record)
    }
}

impl<'a> LogRecord<'a> {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 6)
    }
}
