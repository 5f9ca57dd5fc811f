//! What stitching costs beside taking in the same rows, and what its join store takes:
//! `cargo run --release -p tidegate-stitch --example stitching -- [REQUESTS [no-metrics]]`. Each request is two rows of Cloudflare's http_requests, a Worker's
//! event with a console line, and a record of Kong's: the first story of the samples under ids of its own. Taking in is inflating what Logpush sends by gzip, normalizing
//! and appending to a journal on disk, without HTTP; stitching is reading what was appended, joining, telling, counting and a synced transaction every 20,000 rows.
//! The CPU time of the journal's threads is that of taking in, the CPU time of the join store's that of stitching; Linux only.

#![allow(clippy::print_stdout, reason = "an example says what it measured")]
#![allow(clippy::unwrap_used, reason = "an example that cannot go on ends")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use journal::{Journal, RealFs};
use model::{Batch, Origin, Signal, Source, SystemClock, Tenant, UnixNanos};
use normalize::{Hint, Input, RawInput, Shape, normalize};
use testkit::sample::sample;
use tidegate_stitch::engine::{Engine, Options, Piece, Sought};
use wire::coding::{Ceiling, Coding, compress, inflate};

/// As the gateway has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests of one batch.
const BATCH: u64 = 1_000;
/// A moment in the life of the samples.
const NOW: UnixNanos = UnixNanos(1_772_438_460_000_000_000);

fn main() {
    let requests: u64 = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = journal::Options { max_bytes: 64 << 30, ..journal::Options::default() };
    let (journal, _) =
        Journal::open(Arc::new(RealFs), folder.path().join("journal"), options, Arc::new(SystemClock))
            .unwrap();
    let stitched = folder.path().join("stitch");
    let mut options = Options::default();
    if std::env::args().nth(2).is_some_and(|word| word == "no-metrics") {
        options.metrics.cloudflare.enabled = false;
        options.metrics.kong.enabled = false;
        options.metrics.spans.enabled = false;
    }
    let mut engine = Engine::open(&stitched, options).unwrap();
    let (mut taking, mut feeding, mut turning) = (0.0, 0.0, 0.0);
    let (mut rows, mut offset, mut fed, mut longest) = (0u64, 0u64, 0u64, 0.0f64);
    for first in (0..requests).step_by(BATCH as usize) {
        let inputs = inputs(first, BATCH.min(requests - first));
        let begun = Cpu::now().own;
        let batches: Vec<Batch> = inputs.into_iter().map(taken).collect();
        for batch in &batches {
            runtime.block_on(journal.log(Signal::Logs).append(batch)).unwrap();
        }
        taking += Cpu::now().own - begun;
        for batch in &batches {
            rows += u64::from(batch.items);
            offset += 1;
            let begun = Cpu::now().own;
            let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(64 << 20)).unwrap();
            let tenant = Tenant::default();
            let piece = Piece {
                signal: Signal::Logs,
                tenant: &tenant,
                offset,
                items: 0..batch.items,
                is_whole: true,
                is_derived: false,
                plain: &plain,
            };
            engine.feed(&piece, NOW).unwrap();
            feeding += Cpu::now().own - begun;
        }
        if rows - fed >= 20_000 || first + BATCH >= requests {
            fed = rows;
            let (begun, wall) = (Cpu::now().own, Instant::now());
            turn(&mut engine);
            turning += Cpu::now().own - begun;
            longest = longest.max(wall.elapsed().as_secs_f64());
        }
    }
    let cpu = Cpu::now();
    let million = rows as f64 / 1e6;
    let (taking, stitching) = (taking + cpu.journal, feeding + turning + cpu.store);
    println!("{requests} requests, {rows} rows, {} spans told", engine.counts().told);
    println!("taking in:  {:>6.2} CPU-s per million rows", taking / million);
    println!(
        "stitching:  {:>6.2} CPU-s per million rows ({:.2} reading and joining, {:.2} turns, {:.2} the join store's threads; longest turn {longest:.2} s)",
        stitching / million,
        feeding / million,
        turning / million,
        cpu.store / million
    );
    println!("stitching / taking in: {:.2}", stitching / taking);
    let entries = requests * ENTRIES;
    println!(
        "join store: {entries} entries that lead to a request, {} MiB on disk, {} MiB of memory in the process",
        disk(&stitched) >> 20,
        memory() >> 20
    );
    let begun = Instant::now();
    let looked = 1_000.min(requests);
    for number in 0..looked {
        let ray = format!("{:016x}", ray(number * (requests / looked), 0));
        assert_eq!(engine.look(&Sought::read(&ray)).unwrap().len(), 1, "{ray}");
    }
    println!("a look-up by ray: {:.3} ms", begun.elapsed().as_secs_f64() * 1e3 / looked as f64);
}

/// Keys of one request: two rays and Kong's request id, each in both memories, and three records that are known not to count twice, and one more.
const ENTRIES: u64 = 10;

fn turn(engine: &mut Engine) {
    // Later than any hold.
    let later = UnixNanos(NOW.0 + 60_000_000_000);
    engine.turn(later).unwrap();
    for signal in [Signal::Traces, Signal::Metrics] {
        let out = engine.outgoing(signal, usize::MAX).unwrap();
        if let Some(last) = out.last() {
            engine.given(signal, last.number);
        }
    }
}

fn ray(request: u64, hop: u64) -> u64 {
    // Random to the eye, and no two alike.
    (request * 2 + hop + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What the senders of `count` requests send.
fn inputs(first: u64, count: u64) -> Vec<(Shape, Vec<u8>)> {
    let lines = |name: &str| String::from_utf8(sample(name)).unwrap();
    let http = lines("cloudflare/http_requests.ndjson");
    let story: Vec<&str> = http.lines().take(2).collect();
    let workers = lines("cloudflare/workers_trace_events.ndjson");
    let worker = workers.lines().next().unwrap();
    let kong = lines("kong/http-log-3x-single.json");
    let (mut edge, mut events, mut records) = (String::new(), String::new(), String::from("["));
    for request in first..first + count {
        let own = |text: &str| own(text, request);
        for line in &story {
            edge.push_str(&own(line));
            edge.push('\n');
        }
        events.push_str(&own(worker));
        events.push('\n');
        if request > first {
            records.push(',');
        }
        records.push_str(own(&kong).trim());
    }
    records.push(']');
    // As they are sent: Logpush by gzip, Kong's plugin as they are.
    let logpush = [edge, events].map(|text| (Shape::Logpush, compress(Coding::Gzip, 6, text.as_bytes())));
    logpush.into_iter().chain([(Shape::Kong, records.into_bytes())]).collect()
}

/// A record of the first story under a request's own ids.
fn own(text: &str, request: u64) -> String {
    let trace = u128::from(ray(request, 0)) << 64 | u128::from(request + 1);
    text.replace("d1c4b41bbbd002b0", &format!("{:016x}", ray(request, 1)))
        .replace("6a63ddb61ec24c64", &format!("{:016x}", ray(request, 0)))
        .replace("d256002ba4ab731c6203a1b59639b7ea", &format!("{trace:032x}"))
        .replace("e2d0e7dc47dda560", &format!("{:016x}", ray(request, 1) ^ 0x5555))
        .replace("4fbc2229026e50de", &format!("{:016x}", ray(request, 0) ^ 0x5555))
        .replace("b7e24850823040e1c9a22f46ceba7f69", &format!("{:032x}", trace ^ 0x77))
}

fn taken((shape, sent): (Shape, Vec<u8>)) -> Batch {
    let coding = if shape == Shape::Logpush { Coding::Gzip } else { Coding::Plain };
    let text = inflate(coding, &sent, Ceiling::bytes(64 << 20)).unwrap();
    let origin = Origin { tenant: Tenant::default(), source: Source::new("bench").unwrap() };
    let hint = Hint { shape, ..Hint::default() };
    let raw = RawInput { origin, hint, bytes: Bytes::from(text) };
    let normalized = normalize(Input::Raw(raw), NOW).unwrap();
    assert!(normalized.rejected.is_empty(), "{:?}", normalized.rejected);
    normalized.batch.unwrap()
}

/// CPU time: of this thread, of the journal's threads, of the join store's.
#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    own: f64,
    journal: f64,
    store: f64,
}

impl Cpu {
    fn now() -> Self {
        let mut cpu = Self::default();
        let own = std::process::id().to_string();
        for thread in std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap()) {
            let read = |name: &str| std::fs::read_to_string(thread.path().join(name)).unwrap();
            let seconds = read("schedstat").split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9;
            match read("comm").trim() {
                _ if thread.file_name() == *own => cpu.own += seconds,
                name if name.starts_with("fjall") => cpu.store += seconds,
                _ => cpu.journal += seconds,
            }
        }
        cpu
    }
}

fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { disk(&path) } else { path.metadata().unwrap().blocks() * 512 })
        .sum()
}

fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}
