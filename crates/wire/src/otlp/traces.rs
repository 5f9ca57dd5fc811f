//! Views over an `ExportTraceServiceRequest`.

use super::{Attributes, Repeated, Resource, Scope, View, repeated};
use crate::walk::{Fields, WireError, fields};

/// The spans of one resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResourceSpans<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The resource; empty when there is none.
    pub resource: Resource<'a>,
    /// The schema of the resource's attributes.
    pub schema_url: &'a str,
}

/// The spans of one instrumentation scope.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScopeSpans<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The scope; empty when there is none.
    pub scope: Scope<'a>,
    /// The schema of the spans' attributes.
    pub schema_url: &'a str,
}

/// One span. Ids are as sent: of any length, empty when absent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// 16 bytes when valid.
    pub trace_id: &'a [u8],
    /// 8 bytes when valid.
    pub span_id: &'a [u8],
    /// 8 bytes when valid; empty for a root.
    pub parent_span_id: &'a [u8],
    /// The W3C tracestate.
    pub trace_state: &'a str,
    /// The operation.
    pub name: &'a str,
    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer; others may come.
    pub kind: i32,
    /// Start, nanoseconds since 1970.
    pub start: u64,
    /// End, nanoseconds since 1970.
    pub end: u64,
    /// Bits 0–7 W3C flags; bit 8: bit 9 tells whether the parent is remote.
    pub flags: u32,
    /// 0 unset, 1 ok, 2 error.
    pub status_code: i32,
    /// What the status says.
    pub status_message: &'a str,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
    /// Events that the sender dropped.
    pub dropped_events: u32,
    /// Links that the sender dropped.
    pub dropped_links: u32,
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// Nanoseconds since 1970.
    pub time: u64,
    /// What happened.
    pub name: &'a str,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
}

/// A reference to another span.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link<'a> {
    /// The message's bytes.
    pub raw: &'a [u8],
    /// The other span's trace.
    pub trace_id: &'a [u8],
    /// The other span.
    pub span_id: &'a [u8],
    /// The other span's tracestate.
    pub trace_state: &'a str,
    /// As `Span::flags`.
    pub flags: u32,
    /// Attributes that the sender dropped.
    pub dropped_attributes: u32,
}

/// The resources of a request.
pub fn resource_spans(plain: &[u8]) -> Repeated<'_, ResourceSpans<'_>> {
    repeated(plain, 1)
}

/// Calls `each` for every span, in wire order.
///
/// # Errors
/// The bytes are no request, or `each` answered one.
pub fn each_span<'a>(
    plain: &'a [u8],
    mut each: impl FnMut(&ResourceSpans<'a>, &ScopeSpans<'a>, Span<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for resource in resource_spans(plain) {
        let resource = resource?;
        for scope in resource.scopes() {
            let scope = scope?;
            for span in scope.spans() {
                each(&resource, &scope, span?)?;
            }
        }
    }
    Ok(())
}

impl<'a> View<'a> for ResourceSpans<'a> {
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

impl<'a> ResourceSpans<'a> {
    /// The scopes below this resource.
    pub fn scopes(&self) -> Repeated<'a, ScopeSpans<'a>> {
        repeated(self.raw, 2)
    }
}

impl<'a> View<'a> for ScopeSpans<'a> {
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

impl<'a> ScopeSpans<'a> {
    /// The spans of this scope.
    pub fn spans(&self) -> Repeated<'a, Span<'a>> {
        repeated(self.raw, 2)
    }

    /// The spans' bytes, unread.
    pub fn raw_spans(&self) -> Fields<'a> {
        fields(self.raw)
    }
}

impl<'a> View<'a> for Span<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut span = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => span.trace_id = field.bytes()?,
                2 => span.span_id = field.bytes()?,
                3 => span.trace_state = field.text()?,
                4 => span.parent_span_id = field.bytes()?,
                5 => span.name = field.text()?,
                6 => span.kind = field.varint()? as i32,
                7 => span.start = field.fixed64()?,
                8 => span.end = field.fixed64()?,
                10 => span.dropped_attributes = field.varint()? as u32,
                12 => span.dropped_events = field.varint()? as u32,
                14 => span.dropped_links = field.varint()? as u32,
                15 => {
                    for field in fields(field.bytes()?) {
                        let field = field?;
                        match field.number {
                            2 => span.status_message = field.text()?,
                            3 => span.status_code = field.varint()? as i32,
                            _ => {}
                        }
                    }
                }
                16 => span.flags = field.fixed32()?,
                _ => {}
            }
        }
        Ok(span)
    }
}

impl<'a> Span<'a> {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 9)
    }

    /// Its events.
    pub fn events(&self) -> Repeated<'a, Event<'a>> {
        repeated(self.raw, 11)
    }

    /// Its links.
    pub fn links(&self) -> Repeated<'a, Link<'a>> {
        repeated(self.raw, 13)
    }
}

impl<'a> View<'a> for Event<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut event = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => event.time = field.fixed64()?,
                2 => event.name = field.text()?,
                4 => event.dropped_attributes = field.varint()? as u32,
                _ => {}
            }
        }
        Ok(event)
    }
}

impl<'a> Event<'a> {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 3)
    }
}

impl<'a> View<'a> for Link<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut link = Self { raw, ..Self::default() };
        for field in fields(raw) {
            let field = field?;
            match field.number {
                1 => link.trace_id = field.bytes()?,
                2 => link.span_id = field.bytes()?,
                3 => link.trace_state = field.text()?,
                5 => link.dropped_attributes = field.varint()? as u32,
                6 => link.flags = field.fixed32()?,
                _ => {}
            }
        }
        Ok(link)
    }
}

impl<'a> Link<'a> {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.raw, 4)
    }
}
