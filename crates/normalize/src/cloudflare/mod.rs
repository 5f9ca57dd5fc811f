//! Cloudflare Logpush: each record of any dataset becomes an OTLP log record. (Cloudflare docs, "Logpush datasets".)
//!
//! | file | what |
//! |---|---|
//! | `fields.rs` | the fields that are understood |
//! | `dataset.rs` | which dataset a record belongs to |
//! | `http.rs` | `http_requests`, and the mapping that other datasets share with it |
//! | `worker.rs` | `workers_trace_events` and what Tail Workers post; console lines and exceptions |
//! | `edge_request.rs` | the `EdgeRequest` shape of the OpenFaaS and Workers guide |
//! | `other.rs` | every other dataset, field by field |

mod dataset;
mod edge_request;
mod fields;
mod http;
mod other;
mod worker;

use std::ops::Range;

use model::UnixNanos;

use crate::Hint;
use crate::json::{Kind, Member, Value};
use crate::log::{Groups, Record, Resource};
use dataset::Dataset;
use fields::{Field, Row};

/// Maps the records of one request.
pub(crate) struct Mapper<'a> {
    pub(crate) groups: Groups,
    hint: &'a Hint,
    named: Option<Dataset>,
    received: UnixNanos,
    record: Record,
    row: Row<'a>,
    edge: Resource,
    worker: Resource,
    other: Resource,
}

/// What one record is mapped from.
#[derive(Debug, Clone, Copy)]
struct Source<'a> {
    /// The record's own text: the body.
    text: &'a [u8],
    dataset: Dataset,
}

impl<'a> Mapper<'a> {
    /// A mapper for a request of `len` bytes.
    pub(crate) fn new(hint: &'a Hint, len: usize, received: UnixNanos) -> Self {
        let resource = |service| Resource { service, source: String::new(), workspace: None };
        Self {
            groups: Groups::expecting(len),
            hint,
            named: hint.dataset.as_deref().and_then(Dataset::named),
            received,
            record: Record::default(),
            row: Row::new(),
            edge: resource("cloudflare-edge"),
            worker: resource("cloudflare-worker"),
            other: resource("cloudflare"),
        }
    }

    /// The buffer that the next record's members go into.
    pub(crate) fn members(&mut self) -> &mut Vec<Member<'a>> {
        &mut self.row.members
    }

    /// Maps the record whose members were put out, `range` of `text`.
    pub(crate) fn map(&mut self, text: &'a [u8], range: Range<usize>) {
        let mut text = &text[range];
        self.row.index();
        if let Some(inner) = self.wrapped() {
            text = inner.raw;
            self.row.enter(inner);
        }
        let dataset = self.named.unwrap_or_else(|| dataset::recognise(&self.row));
        let source = Source { text, dataset };
        match dataset {
            Dataset::HttpRequests => self.http_with_subrequests(source),
            Dataset::WorkersTraceEvents | Dataset::Tail => self.worker(source),
            Dataset::EdgeRequest => self.edge_request(source),
            _ => self.other(source),
        }
    }

    /// The record inside `{"info": …}` and its like.
    fn wrapped(&self) -> Option<Value<'a>> {
        let [only] = self.row.members.as_slice() else { return None };
        let is_wrapper = matches!(only.key, b"info" | b"event" | b"Records");
        (is_wrapper && only.value.kind == Kind::Object && only.value.members().next().is_some())
            .then_some(only.value)
    }

    /// Ends the record: what every record of a request has.
    fn finish(&mut self, source: Source<'a>, service: Service) {
        let record = &mut self.record;
        let name = source.dataset.name(self.hint);
        record.str("cloudflare.dataset", name);
        if let Some(rate) = &self.hint.sample_rate {
            record.str("cloudflare.sample_rate", rate);
        }
        for (key, value) in &self.hint.tags {
            record.str(&format!("cloudflare.tag.{key}"), value);
        }
        if self.row.duplicate {
            record.bool("tidegate.duplicate_keys", true);
        }
        let resource = match service {
            Service::Edge => &mut self.edge,
            Service::Worker => &mut self.worker,
            Service::Other => &mut self.other,
        };
        if resource.source.strip_prefix("cloudflare.") != Some(name) {
            resource.source = format!("cloudflare.{name}");
        }
        self.groups.add(resource, record);
    }

    /// Maps the visitor's record, and each request that its Worker made as a record of its own.
    fn http_with_subrequests(&mut self, source: Source<'a>) {
        let subrequests = self.row.get(Field::Subrequests);
        self.http(source);
        let Some(subrequests) = subrequests else { return };
        for element in subrequests.elements().filter(|e| e.kind == Kind::Object).take(MOST_PARTS) {
            if element.members().next().is_some() {
                self.row.enter(element);
                self.http(Source { text: element.raw, dataset: source.dataset });
            }
        }
    }
}

/// Most records that are made from the parts of one: Cloudflare itself stops far below it.
const MOST_PARTS: usize = 1_024;

/// Whose log it is: `service.name`.
#[derive(Debug, Clone, Copy)]
enum Service {
    Edge,
    Worker,
    Other,
}
