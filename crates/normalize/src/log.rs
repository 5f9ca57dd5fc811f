//! Writing OTLP log records: attributes go straight into the record's bytes, records into the bytes of their resource.

use std::collections::HashMap;

use model::id::Notation;
use model::{SpanId, TraceId, UnixNanos};
use wire::put;

use crate::json::{self, Kind, Value};
use crate::trace::Trace;

/// Severity of a log record: OTLP's number and our word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Severity(pub(crate) u8, pub(crate) &'static str);

pub(crate) const DEBUG: Severity = Severity(5, "DEBUG");
pub(crate) const INFO: Severity = Severity(9, "INFO");
pub(crate) const INFO2: Severity = Severity(10, "INFO2");
pub(crate) const WARN: Severity = Severity(13, "WARN");
pub(crate) const ERROR: Severity = Severity(17, "ERROR");
/// Nothing in the record tells.
pub(crate) const UNKNOWN: Severity = Severity(0, "");

/// One log record while it is written. Reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Record {
    out: Vec<u8>,
    /// A string of the record was no Unicode text and was mended.
    pub(crate) replaced: bool,
}

impl Record {
    /// Starts a record. A `time` of `None` means that the record tells none: its arrival stands in, and is marked.
    pub(crate) fn start(
        &mut self,
        time: Option<UnixNanos>,
        received: UnixNanos,
        severity: Severity,
        event: &str,
    ) {
        self.out.clear();
        self.replaced = false;
        put::fixed64(&mut self.out, 1, time.unwrap_or(received).0);
        if severity.0 != 0 {
            put::uint(&mut self.out, 2, u64::from(severity.0));
            put::bytes(&mut self.out, 3, severity.1.as_bytes());
        }
        put::fixed64(&mut self.out, 11, received.0);
        put::bytes(&mut self.out, 12, event.as_bytes());
        if time.is_none() {
            self.bool("tidegate.time_inferred", true);
        }
    }

    /// The body, verbatim: a string when it is Unicode text, bytes otherwise.
    pub(crate) fn body(&mut self, text: &[u8]) {
        let field = if simdutf8::basic::from_utf8(text).is_ok() { 1 } else { 7 };
        let value = 1 + put::varint_len(text.len() as u64) + text.len();
        put::varint(&mut self.out, 5 << 3 | 2);
        put::varint(&mut self.out, value as u64);
        put::bytes(&mut self.out, field, text);
    }

    /// A string attribute.
    pub(crate) fn str(&mut self, key: &str, text: &str) {
        let inner = 1 + put::varint_len(text.len() as u64) + text.len();
        self.key(key, inner);
        put::bytes(&mut self.out, 1, text.as_bytes());
    }

    /// An integer attribute.
    pub(crate) fn int(&mut self, key: &str, number: i64) {
        self.key(key, 1 + put::varint_len(number as u64));
        put::uint(&mut self.out, 3, number as u64);
    }

    /// A floating-point attribute.
    pub(crate) fn double(&mut self, key: &str, number: f64) {
        self.key(key, 9);
        put::fixed64(&mut self.out, 4, number.to_bits());
    }

    /// A boolean attribute.
    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.key(key, 2);
        put::uint(&mut self.out, 2, u64::from(value));
    }

    /// An attribute that is a list of strings.
    pub(crate) fn strings<T: AsRef<str>>(&mut self, key: &str, texts: &[T]) {
        let element = |text: &T| {
            let len = text.as_ref().len();
            1 + put::varint_len(len as u64) + len
        };
        let framed = |inner: usize| 1 + put::varint_len(inner as u64) + inner;
        let array: usize = texts.iter().map(|text| framed(element(text))).sum();
        self.key(key, framed(array));
        put::varint(&mut self.out, 5 << 3 | 2);
        put::varint(&mut self.out, array as u64);
        for text in texts {
            put::varint(&mut self.out, 1 << 3 | 2);
            put::varint(&mut self.out, element(text) as u64);
            put::bytes(&mut self.out, 1, text.as_ref().as_bytes());
        }
    }

    /// A string attribute from a JSON string, or from the JSON of anything else; nothing for null and `""`.
    pub(crate) fn text(&mut self, key: &str, value: Value<'_>) {
        if value.kind == Kind::Null || value.raw.is_empty() {
            return;
        }
        let text = json::text(value, &mut self.replaced);
        self.str(key, &text);
    }

    /// An attribute of the type that the JSON value has. Numbers that fit no attribute stay text, as do containers:
    /// an array of nothing but strings becomes a list, anything else keeps its JSON.
    pub(crate) fn value(&mut self, key: &str, value: Value<'_>) {
        match value.kind {
            Kind::Null => {}
            Kind::True => self.bool(key, true),
            Kind::False => self.bool(key, false),
            Kind::Number => self.number(key, value.raw),
            Kind::Array if value.elements().all(|element| element.is_string()) => {
                let texts: Vec<_> = value.elements().map(|e| json::text(e, &mut self.replaced)).collect();
                if !texts.is_empty() {
                    self.strings(key, &texts);
                }
            }
            Kind::Object if value.members().next().is_none() => {}
            Kind::Plain | Kind::Escaped | Kind::Array | Kind::Object => self.text(key, value),
        }
    }

    fn number(&mut self, key: &str, raw: &[u8]) {
        let text = std::str::from_utf8(raw).unwrap_or_default();
        if let Some(whole) = json::decimal(raw).and_then(json::Decimal::whole) {
            self.int(key, whole);
        } else {
            let integer = !raw.iter().any(|b| matches!(b, b'.' | b'e' | b'E'));
            match text.parse::<f64>() {
                Ok(double) if double.is_finite() && !integer => self.double(key, double),
                _ => self.str(key, text),
            }
        }
    }

    /// Trace id, span id and flags, with what is kept beside them. A span id without a trace id is no id.
    pub(crate) fn trace(&mut self, trace: &Trace, own_span: Option<SpanId>) {
        let Some(id) = trace.id else { return };
        put::bytes(&mut self.out, 9, id.bytes());
        if let Some(span) = own_span {
            put::bytes(&mut self.out, 10, span.bytes());
        }
        match trace.sampled {
            Some(true) => put::fixed32(&mut self.out, 8, 1 | u32::from(trace.random) << 1),
            Some(false) => self.bool("tidegate.sampled", false),
            None => {}
        }
        self.str("tidegate.trace_id.format", trace.notation.map_or("", Notation::as_str));
        self.int("tidegate.trace_id.bits", i64::from(trace.bits));
        if let Some(original) = &trace.original {
            self.str("tidegate.trace_id.original", original);
        }
        if let Some(parent) = trace.span {
            self.id("tidegate.parent_span_id", parent);
        }
        if !trace.aliases.is_empty() {
            let aliases: Vec<String> = trace.aliases.iter().map(TraceId::to_string).collect();
            self.strings("tidegate.trace_alias", &aliases);
        }
    }

    fn id(&mut self, key: &str, id: SpanId) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.key(key, 18);
        self.out.extend_from_slice(&[1 << 3 | 2, 16]);
        for byte in id.bytes() {
            self.out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }

    /// Starts an attribute whose value takes `inner` bytes.
    fn key(&mut self, key: &str, inner: usize) {
        let value = 1 + put::varint_len(inner as u64) + inner;
        let name = 1 + put::varint_len(key.len() as u64) + key.len();
        put::varint(&mut self.out, 6 << 3 | 2);
        put::varint(&mut self.out, (name + value) as u64);
        put::bytes(&mut self.out, 1, key.as_bytes());
        put::varint(&mut self.out, 2 << 3 | 2);
        put::varint(&mut self.out, inner as u64);
    }
}

/// What a record's resource is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Resource {
    pub(crate) service: &'static str,
    pub(crate) source: String,
    pub(crate) workspace: Option<String>,
}

/// The records of a request, gathered by resource in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    places: HashMap<Resource, usize>,
    groups: Vec<(Resource, Vec<u8>)>,
    last: usize,
    /// How much the first resource's records will roughly take: most requests have no other.
    expected: usize,
    /// Records added.
    pub(crate) records: u32,
    /// Bytes of all records.
    pub(crate) bytes: usize,
}

impl Groups {
    /// For a request of `len` bytes.
    pub(crate) fn expecting(len: usize) -> Self {
        Self { expected: len.saturating_mul(2).min(16 << 20), ..Self::default() }
    }

    /// Ends a record and adds it.
    pub(crate) fn add(&mut self, resource: &Resource, record: &mut Record) {
        if record.replaced {
            record.bool("tidegate.utf8_replaced", true);
        }
        let same = self.groups.get(self.last).is_some_and(|(last, _)| last == resource);
        if !same {
            self.last = match self.places.get(resource) {
                Some(&place) => place,
                None => {
                    let room = std::mem::take(&mut self.expected);
                    self.groups.push((resource.clone(), Vec::with_capacity(room)));
                    self.places.insert(resource.clone(), self.groups.len() - 1);
                    self.groups.len() - 1
                }
            };
        }
        put::bytes(&mut self.groups[self.last].1, 2, &record.out);
        self.bytes += record.out.len();
        self.records += 1;
    }

    /// The `ExportLogsServiceRequest` of all records.
    pub(crate) fn finish(self) -> Vec<u8> {
        let total: usize = self.groups.iter().map(|(_, records)| records.len() + 256).sum();
        let mut out = Vec::with_capacity(total);
        for (resource, records) in &self.groups {
            let mut head = Vec::new();
            put::message(&mut head, 1, |out| {
                let mut attributes =
                    vec![("service.name", resource.service), ("telemetry.source", resource.source.as_str())];
                attributes.extend(resource.workspace.as_deref().map(|name| ("kong.workspace.name", name)));
                for (key, value) in attributes {
                    put::message(out, 1, |out| {
                        put::bytes(out, 1, key.as_bytes());
                        put::message(out, 2, |out| put::bytes(out, 1, value.as_bytes()));
                    });
                }
            });
            let mut scope = Vec::new();
            put::message(&mut scope, 1, |out| put::bytes(out, 1, b"tidegate"));
            let scope_len = scope.len() + records.len();
            let len = head.len() + 1 + put::varint_len(scope_len as u64) + scope_len;
            put::varint(&mut out, 1 << 3 | 2);
            put::varint(&mut out, len as u64);
            out.extend_from_slice(&head);
            put::varint(&mut out, 2 << 3 | 2);
            put::varint(&mut out, scope_len as u64);
            out.extend_from_slice(&scope);
            out.extend_from_slice(records);
        }
        out
    }
}
