//! The ten stories of the samples, in every order, against what is expected of them.

#![allow(clippy::unwrap_used, reason = "a test may fail at any step")]

mod cases;
mod correlation;
mod crowd;
mod engine;
mod joined;
mod lines;
mod series;
mod shapes;
mod stories;

use bytes::Bytes;
use model::{Origin, Source, Tenant, UnixNanos};
use normalize::{Hint, Input, RawInput, Shape, normalize};
use testkit::sample::sample;
use tidegate_stitch::fact::Fact;
use tidegate_stitch::read;
use tidegate_stitch::request::Traces;
use wire::Signal;
use wire::coding::{Ceiling, inflate};

/// 2026-03-02T09:00:00Z, an hour after the samples' story.
pub(crate) const NOW: UnixNanos = UnixNanos(1_772_442_000_000_000_000);

/// What a file of the samples comes to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fed {
    pub(crate) facts: Vec<Fact>,
    pub(crate) traces: Traces,
}

/// A file of JSON records as the journal has it.
pub(crate) fn normalized(name: &str, shape: Shape) -> Vec<u8> {
    taken(name, sample(name), shape)
}

/// JSON records as the journal has them.
pub(crate) fn taken(name: &str, records: Vec<u8>, shape: Shape) -> Vec<u8> {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("test").unwrap() };
    let hint = Hint { shape, ..Hint::default() };
    let raw = RawInput { origin, hint, bytes: Bytes::from(records) };
    let normalized = normalize(Input::Raw(raw), NOW).unwrap();
    assert!(normalized.rejected.is_empty(), "{name}: {:?}", normalized.rejected);
    let batch = normalized.batch.unwrap();
    inflate(batch.coding, &batch.body, Ceiling::bytes(64 << 20)).unwrap()
}

/// The facts in a file of JSON records.
pub(crate) fn records(name: &str, shape: Shape) -> Fed {
    let plain = normalized(name, shape);
    let mut facts = Vec::new();
    wire::otlp::logs::each_record(&plain, |_, _, record| {
        facts.extend(read::record(&record)?);
        Ok(())
    })
    .unwrap();
    Fed { facts, traces: Traces::default() }
}

/// The facts in a file of OTLP/JSON spans.
pub(crate) fn spans(name: &str) -> Fed {
    let plain = wire::json::to_proto(Signal::Traces, &sample(name)).unwrap();
    let mut input = Fed::default();
    wire::otlp::traces::each_span(&plain, |resource, scope, span| {
        input.facts.extend(read::span(resource, scope, &span)?.map(Fact::Native));
        if let Some((trace, seen)) = read::seen(resource, scope, &span)? {
            input.traces.entry(trace).or_default().push(seen);
        }
        Ok(())
    })
    .unwrap();
    input
}
