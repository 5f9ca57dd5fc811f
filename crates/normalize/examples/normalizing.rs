//! What normalizing costs in CPU time: `cargo run --release -p tidegate-normalize --example normalizing [NAME]`.
//! The time is the process's own (`/proc/self/schedstat`), so that a busy machine does not blur it; Linux only.

#![allow(clippy::print_stdout, reason = "this prints its findings")]

use bytes::Bytes;
use model::{Origin, Signal, Source, Tenant, UnixNanos};
use tidegate_normalize::{Hint, Input, Message, RawInput, Shape, WireInput, normalize};
use wire::Coding;

const NOW: UnixNanos = UnixNanos(1_772_438_400_000_000_000);
/// Enough that the kernel's coarse accounting of CPU time does not matter.
const ROUNDS: u64 = 200;

fn main() {
    let rows = |name: &str, times: usize| Bytes::from(testkit::sample(name).repeat(times));
    raw("logpush http_requests", Shape::Logpush, &rows("cloudflare/http_requests.ndjson", 20));
    raw("logpush workers_trace_events", Shape::Logpush, &rows("cloudflare/workers_trace_events.ndjson", 50));
    raw("logpush dns_logs", Shape::Logpush, &rows("cloudflare/dns_logs.ndjson", 500));
    raw("kong http-log", Shape::Kong, &rows("kong/http-log-3x-batch-1.json", 300));
    let spans = wire::json::to_proto(Signal::Traces, &testkit::sample("otlp/traces.json"))
        .expect("the sample is a request")
        .repeat(30);
    let plain = Bytes::from(spans);
    time("otlp spans", plain.len(), || {
        Input::Wire(WireInput {
            origin: origin(),
            message: Message::Otlp(Signal::Traces),
            coding: Coding::Plain,
            body: plain.clone(),
            plain: plain.clone(),
        })
    });
}

fn origin() -> Origin {
    Origin { tenant: Tenant::default(), source: Source::new("cost").expect("the name is short") }
}

fn raw(name: &str, shape: Shape, bytes: &Bytes) {
    let hint = Hint { shape, ..Hint::default() };
    time(name, bytes.len(), || {
        Input::Raw(RawInput { origin: origin(), hint: hint.clone(), bytes: bytes.clone() })
    });
}

fn time(name: &str, len: usize, input: impl Fn() -> Input) {
    if std::env::args().nth(1).is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut items = 0;
    let mut out = 0;
    let start = cpu_nanos();
    for _ in 0..ROUNDS {
        let input = input();
        let done = normalize(input, NOW).expect("the sample is taken");
        items = u64::from(done.accepted.total());
        out = done.batch.map_or(0, |batch| batch.body.len() as u64);
    }
    let spent = cpu_nanos() - start;
    let (each, sent) = (spent / ROUNDS / items, len as u64 / items);
    println!("{name}: {each} ns an item ({sent} bytes in, {} out)", out / items);
}

/// CPU time that this process has used.
fn cpu_nanos() -> u64 {
    // Reading the file makes the kernel bring the figure up to date.
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells a process its times");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first figure is a number")
}
