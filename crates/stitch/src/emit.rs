//! Spans that stitching tells, as OTLP: batches for the journal.

use std::collections::BTreeMap;

use wire::put;

use crate::attribute::{int, text, truth, unfold_in};
use crate::derive::{Derived, Service};
use crate::fact::{Span, Trace};

/// A span's revision: 1 when it is told first, one more whenever more is known.
pub const REVISION: &str = "tidegate.revision";
/// On a revision that takes a span back: what was told is not so.
pub const WITHDRAWN: &str = "tidegate.withdrawn";

/// A span's message without its revision.
pub(crate) fn span(derived: &Derived) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + derived.attributes.len());
    head(&mut out, &derived.trace, &derived.span, derived.start, derived.end);
    if let Some(parent) = derived.parent.span {
        put::bytes(&mut out, 4, &parent);
    }
    put::bytes(&mut out, 5, derived.name.as_bytes());
    put::uint(&mut out, 6, derived.kind as u64);
    out.extend_from_slice(&derived.attributes);
    text(&mut out, "tidegate.join", derived.parent.join.as_str());
    if !derived.parent.by.is_empty() {
        text(&mut out, "tidegate.join_by", derived.parent.by);
    }
    if derived.parent.is_external {
        truth(&mut out, "tidegate.parent_external");
    }
    for (time, name, attributes) in &derived.events {
        put::message(&mut out, 11, |out| {
            put::fixed64(out, 1, *time);
            put::bytes(out, 2, name.as_bytes());
            unfold_in(3, attributes, out);
        });
    }
    for (trace, span) in &derived.links {
        put::message(&mut out, 13, |out| {
            put::bytes(out, 1, trace);
            put::bytes(out, 2, span);
        });
    }
    if derived.is_error {
        put::message(&mut out, 15, |out| put::uint(out, 3, 2));
    }
    out
}

/// A span that was told and is not so.
pub(crate) fn withdrawal(trace: &Trace, span: &Span, start: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    head(&mut out, trace, span, start, start);
    truth(&mut out, WITHDRAWN);
    out
}

fn head(out: &mut Vec<u8>, trace: &Trace, span: &Span, start: u64, end: u64) {
    put::bytes(out, 1, trace);
    put::bytes(out, 2, span);
    put::fixed64(out, 7, start);
    put::fixed64(out, 8, end);
}

/// Begins a message of so many bytes, which saves moving them when their number is known only afterwards.
fn begin(out: &mut Vec<u8>, field: u32, len: usize) {
    put::varint(out, u64::from(field) << 3 | 2);
    put::varint(out, len as u64);
}

/// A batch of spans to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// An `ExportTraceServiceRequest`.
    pub(crate) plain: Vec<u8>,
    /// How many spans.
    pub(crate) items: u32,
}

/// Bytes of spans after which a batch is full.
const FULL: usize = 1 << 20;

/// Spans gathered for batches of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    services: BTreeMap<Service, Vec<u8>>,
    /// The attribute that was written last, its room kept.
    revision: Vec<u8>,
    bytes: usize,
    items: u32,
    full: Vec<Told>,
}

impl Gathered {
    /// Takes in a span's message.
    pub(crate) fn add(&mut self, service: Service, message: &[u8], revision: u32) {
        let out = self.services.entry(service).or_default();
        let before = out.len();
        self.revision.clear();
        int(&mut self.revision, REVISION, i64::from(revision));
        begin(out, 2, message.len() + self.revision.len());
        out.extend_from_slice(message);
        out.extend_from_slice(&self.revision);
        self.bytes += out.len() - before;
        self.items += 1;
        if self.bytes >= FULL {
            self.close();
        }
    }

    fn close(&mut self) {
        let mut plain = Vec::with_capacity(self.bytes + 256);
        for (service, spans) in std::mem::take(&mut self.services) {
            let (mut resource, mut scope) = (Vec::new(), Vec::new());
            put::message(&mut resource, 1, |out| {
                put::message(out, 1, |out| {
                    put::bytes(out, 1, b"service.name");
                    put::message(out, 2, |out| put::bytes(out, 1, service.as_str().as_bytes()));
                });
            });
            put::message(&mut scope, 1, |out| put::bytes(out, 1, b"tidegate.stitch"));
            let scope_len = scope.len() + spans.len();
            begin(&mut resource, 2, scope_len);
            begin(&mut plain, 1, resource.len() + scope_len);
            plain.extend_from_slice(&resource);
            plain.extend_from_slice(&scope);
            plain.extend_from_slice(&spans);
        }
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        self.full.push(Told { plain, items });
    }

    /// Everything that was taken in, as batches.
    pub(crate) fn take(&mut self) -> Vec<Told> {
        if self.items > 0 {
            self.close();
        }
        std::mem::take(&mut self.full)
    }
}
