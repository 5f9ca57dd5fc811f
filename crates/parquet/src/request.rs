//! Decoded spans as an OTLP request again: the bytes of each as they were received, with the trace and the parent that the
//! decoded span has now.

use std::collections::HashMap;

use model::Signal;
use wire::{WireError, put, walk};

use crate::span::Span;

/// The fields of a span that may have changed since it was received: trace id and parent.
const TRACE: u32 = 1;
const PARENT: u32 = 4;

/// An `ExportTraceServiceRequest` of `spans`, which is a `TracesData` too. Spans of one resource and scope stand together, in
/// the order in which the first of them came.
pub fn request(spans: &[Span]) -> Vec<u8> {
    let mut resources: Vec<Resource<'_>> = Vec::new();
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    for span in spans {
        let envelope = &*span.bytes.resource;
        let number = *numbers.entry(envelope).or_insert_with(|| {
            resources.push(Resource { envelope, scopes: Vec::new(), numbers: HashMap::new() });
            resources.len() - 1
        });
        resources[number].put(span);
    }
    let mut out = Vec::new();
    for resource in resources {
        put::message(&mut out, 1, |out| {
            out.extend_from_slice(resource.envelope);
            for scope in &resource.scopes {
                put::bytes(out, 2, scope);
            }
        });
    }
    out
}

/// The spans of one resource.
struct Resource<'a> {
    envelope: &'a [u8],
    /// `ScopeSpans` messages.
    scopes: Vec<Vec<u8>>,
    /// Their places, by their bytes without spans.
    numbers: HashMap<&'a [u8], usize>,
}

impl<'a> Resource<'a> {
    fn put(&mut self, span: &'a Span) {
        let envelope = &*span.bytes.scope;
        let number = *self.numbers.entry(envelope).or_insert_with(|| {
            self.scopes.push(envelope.to_vec());
            self.scopes.len() - 1
        });
        put::bytes(&mut self.scopes[number], 2, &encoded(span));
    }
}

/// The same in OTLP/JSON.
///
/// # Errors
/// A span was stored whose text is not UTF-8.
pub fn request_json(spans: &[Span]) -> Result<Vec<u8>, WireError> {
    wire::json::to_json(Signal::Traces, &request(spans))
}

fn encoded(span: &Span) -> Vec<u8> {
    let raw = &span.bytes.span;
    let mut out = Vec::with_capacity(raw.len() + 32);
    let (trace, parent) = (bytes(&span.trace_id), bytes(&span.parent_span_id));
    if !trace.is_empty() {
        put::bytes(&mut out, TRACE, &trace);
    }
    if !parent.is_empty() {
        put::bytes(&mut out, PARENT, &parent);
    }
    for field in walk::fields(raw).map_while(Result::ok) {
        if field.number != TRACE && field.number != PARENT {
            out.extend_from_slice(&raw[field.start..field.end]);
        }
    }
    out
}

/// The bytes of an id in hex; none for what is no hex.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Option<Vec<u8>> =
        hex.bytes().map(|digit| char::from(digit).to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).unwrap_or_default();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
