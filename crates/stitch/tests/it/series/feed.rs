//! Samples as single records and spans, so that they can be put in any order.

use std::collections::BTreeSet;

use bytes::Bytes;
use model::{Origin, Source, Tenant, UnixNanos};
use normalize::{Hint, Input, RawInput, Shape, normalize};
use testkit::sample::sample;
use tidegate_stitch::derive::{Derived, Ways, derive};
use tidegate_stitch::request::{Traces, requests, settle};
use tidegate_stitch::series::{Revision, Series};
use wire::coding::{Ceiling, inflate};
use wire::otlp::AnyValue;
use wire::{Signal, put};

use crate::{Fed, NOW};

/// One thing that is counted.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// A request of one log record.
    Log(Vec<u8>),
    /// A request of one span.
    Span(Vec<u8>),
    /// A span that stitching made.
    Made(Box<Derived>, Revision),
}

impl Item {
    pub(super) fn feed(&self, series: &mut Series, now: UnixNanos) {
        match self {
            Self::Log(plain) => wire::otlp::logs::each_record(plain, |resource, _, record| {
                series.record(&resource.resource, &record, now)
            }),
            Self::Span(plain) => wire::otlp::traces::each_span(plain, |resource, scope, span| {
                series.span(resource, scope, &span, now)
            }),
            Self::Made(span, revision) => {
                series.derived(span, *revision, now);
                Ok(())
            }
        }
        .unwrap();
    }
}

pub(super) const HTTP: &str = "cloudflare/http_requests.ndjson";
pub(super) const WORKERS: &str = "cloudflare/workers_trace_events.ndjson";
pub(super) const LOGPUSH: [&str; 4] =
    [HTTP, "cloudflare/http_requests.resent.ndjson", WORKERS, "cloudflare/firewall_events.ndjson"];
pub(super) const KONG: [&str; 8] = [
    "kong/http-log-3x-single.json",
    "kong/http-log-3x-batch-1.json",
    "kong/http-log-3x-batch-2.json",
    "kong/http-log-3x-batch-2.resent.json",
    "kong/http-log-3x-batch-3.json",
    "kong/http-log-3x-background.json",
    "kong/http-log-2x-single.json",
    "kong/http-log-2x-batch.json",
];

/// The records of a file, copies included, each with its key.
pub(super) fn records(text: Vec<u8>, shape: Shape) -> Vec<(String, Item)> {
    normalized(text, Hint { shape, ..Hint::default() })
}

/// The records of a request that says this of itself.
pub(super) fn hinted(text: Vec<u8>, hint: Hint) -> Vec<Item> {
    normalized(text, hint).into_iter().map(|(_, item)| item).collect()
}

fn normalized(text: Vec<u8>, hint: Hint) -> Vec<(String, Item)> {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("test").unwrap() };
    let raw = RawInput { origin, hint, bytes: Bytes::from(text) };
    let Some(batch) = normalize(Input::Raw(raw), NOW).unwrap().batch else { return Vec::new() };
    let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(64 << 20)).unwrap();
    let mut found = Vec::new();
    wire::otlp::logs::each_record(&plain, |resource, _, record| {
        let key = match record.attributes().get("tidegate.key")? {
            Some(AnyValue::Str(key)) => key.to_owned(),
            _ => String::new(),
        };
        found.push((key, Item::Log(single(resource.resource.raw, &[], record.raw))));
        Ok(())
    })
    .unwrap();
    found
}

/// A request of one resource, scope and record or span.
pub(super) fn single(resource: &[u8], scope: &[u8], item: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put::message(&mut out, 1, |out| {
        put::bytes(out, 1, resource);
        put::message(out, 2, |out| {
            put::bytes(out, 1, scope);
            put::bytes(out, 2, item);
        });
    });
    out
}

/// The records of these files, each once, as the caller of `Series` leaves copies out.
pub(super) fn logs(names: &[&str], shape: Shape) -> Vec<Item> {
    let mut known = BTreeSet::new();
    let all = names.iter().flat_map(|name| records(sample(name), shape));
    all.filter(|(key, _)| key.is_empty() || known.insert(key.clone())).map(|(_, item)| item).collect()
}

/// The spans of a file of OTLP/JSON.
pub(super) fn spans(name: &str) -> Vec<Item> {
    let plain = wire::json::to_proto(Signal::Traces, &sample(name)).unwrap();
    let mut found = Vec::new();
    wire::otlp::traces::each_span(&plain, |resource, scope, span| {
        let mut name = Vec::new();
        put::bytes(&mut name, 1, scope.scope.name.as_bytes());
        found.push(Item::Span(single(resource.resource.raw, &name, span.raw)));
        Ok(())
    })
    .unwrap();
    found
}

/// The spans that stitching makes of all samples.
pub(super) fn made() -> Vec<Item> {
    let logpush = LOGPUSH.iter().map(|name| crate::records(name, Shape::Logpush));
    let kong = KONG.iter().map(|name| crate::records(name, Shape::Kong));
    let inputs: Vec<Fed> = logpush.chain(kong).chain([crate::spans("otlp/traces.json")]).collect();
    let mut traces = Traces::default();
    for (trace, seen) in inputs.iter().flat_map(|input| &input.traces) {
        traces.entry(*trace).or_default().extend(seen.iter().cloned());
    }
    let mut facts: Vec<_> = inputs.into_iter().flat_map(|input| input.facts).collect();
    settle(&mut facts);
    let ways = Ways { now: NOW.0, every_edge: false, fills_roots: false, shifts: false };
    let made = requests(&facts);
    let made = made.iter().filter_map(|request| derive(request, &traces, ways)).flat_map(|made| made.spans);
    made.map(|span| Item::Made(Box::new(span), Revision::First)).collect()
}

/// Everything that the samples hold.
pub(super) fn all() -> Vec<Item> {
    let mut items = logs(&LOGPUSH, Shape::Logpush);
    items.extend(logs(&KONG, Shape::Kong));
    items.extend(spans("otlp/traces.json"));
    items.extend(made());
    items
}
