//! What counting costs in CPU time: `cargo run --release -p tidegate-stitch --example counting`. Each round is what a turn of stitching does: count
//! the records, take what changed for the store, and now and then tell. Linux only, as `normalizing` beside it, whose figures these compare with.

#![allow(clippy::print_stdout, reason = "this prints its findings")]

use bytes::Bytes;
use model::{Origin, Source, Tenant, UnixNanos};
use normalize::{Hint, Input, RawInput, Shape, normalize};
use testkit::sample;
use tidegate_stitch::series::{Options, Series};
use wire::Signal;
use wire::coding::{Ceiling, inflate};

/// An hour after the samples' story.
const NOW: UnixNanos = UnixNanos(1_772_442_000_000_000_000);
const ROUNDS: u64 = 200;

fn main() {
    logs("logpush http_requests", Shape::Logpush, "cloudflare/http_requests.ndjson", 20);
    logs("logpush workers_trace_events", Shape::Logpush, "cloudflare/workers_trace_events.ndjson", 50);
    logs("kong http-log", Shape::Kong, "kong/http-log-3x-batch-1.json", 300);
    let text = sample::sample("otlp/traces.json");
    let plain = wire::json::to_proto(Signal::Traces, &text).expect("the sample is a request").repeat(30);
    time("otlp spans", |series| {
        let mut items = 0;
        let done = wire::otlp::traces::each_span(&plain, |resource, scope, span| {
            items += 1;
            series.span(resource, scope, &span, NOW)
        });
        done.expect("the sample is OTLP");
        items
    });
}

fn logs(name: &str, shape: Shape, file: &str, times: usize) {
    let origin =
        Origin { tenant: Tenant::default(), source: Source::new("cost").expect("the name is short") };
    let bytes = Bytes::from(sample::sample(file).repeat(times));
    let raw = RawInput { origin, hint: Hint { shape, ..Hint::default() }, bytes };
    let batch =
        normalize(Input::Raw(raw), NOW).expect("the sample is taken").batch.expect("and holds records");
    let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(1 << 30)).expect("it was just made");
    time(name, |series| {
        let mut items = 0;
        let done = wire::otlp::logs::each_record(&plain, |resource, _, record| {
            items += 1;
            series.record(&resource.resource, &record, NOW)
        });
        done.expect("normalize makes OTLP");
        items
    });
}

fn time(name: &str, count: impl Fn(&mut Series) -> u64) {
    let mut series = Series::new(Options::default(), "cost");
    let (mut items, mut changes, mut bytes) = (0, 0, 0);
    let start = cpu_nanos();
    for round in 0..ROUNDS {
        items += count(&mut series);
        if round % 10 == 9 {
            let told = series.encode(UnixNanos(NOW.0 + round * 1_000_000_000));
            bytes += told.iter().map(|body| body.bytes.len()).sum::<usize>();
        }
        changes += series.take().len();
    }
    let spent = cpu_nanos() - start;
    let told = bytes as u64 / (ROUNDS / 10);
    println!(
        "{name}: {} ns an item ({} changes for the store a round, {told} bytes told at once)",
        spent / items,
        changes as u64 / ROUNDS
    );
}

/// CPU time that this process has used.
fn cpu_nanos() -> u64 {
    // Reading the file makes the kernel bring the figure up to date.
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells a process its times");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first figure is a number")
}
