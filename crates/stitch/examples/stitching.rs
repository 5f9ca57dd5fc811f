//! What stitching costs beside taking in the same rows, and what its join store takes:
//!
//! ```text
//! cargo run --release -p tidegate-stitch --example stitching -- [REQUESTS [together | apart] [no-metrics]]
//! ```
//!
//! Each request is two rows of Cloudflare's http_requests, a Worker's event with a console line, and a record of Kong's: the first story of the
//! samples under ids of its own. Taking in is inflating what Logpush sends by gzip, normalizing and appending to a journal on disk, without HTTP;
//! stitching is reading what was appended, joining, telling, counting and a synced transaction for the 5,000 rows of half a second. `together` is
//! everything of a request in one transaction; `apart`, which is how it comes, is Logpush's rows a minute behind Kong's, after the hold, so
//! that Kong's spans are told first without the edge and revised when it comes.
//!
//! The CPU time of the journal's threads is that of taking in, the CPU time of the join store's that of stitching; Linux only.

#![allow(clippy::print_stdout, reason = "an example says what it measured")]
#![allow(clippy::unwrap_used, reason = "an example that cannot go on ends")]

use std::ops::Range;
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

/// Requests of one batch, and of half a second.
const BATCH: u64 = 1_000;
/// Nanoseconds of a turn.
const TURN: u64 = 500_000_000;
/// Turns that the edge's rows are late.
const LATE: u64 = 120;
/// A moment in the life of the samples.
const NOW: UnixNanos = UnixNanos(1_772_438_460_000_000_000);
/// Keys of one request: two rays and Kong's request id, each in both memories, and its trace.
const ENTRIES: u64 = 7;

/// What took so much CPU time, in seconds.
#[derive(Debug, Default)]
struct Spent {
    taking: f64,
    feeding: f64,
    turning: f64,
    /// Of the longest turn, by the clock.
    longest: f64,
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    journal: Journal,
    engine: Engine,
    now: UnixNanos,
    rows: u64,
    offset: u64,
    spent: Spent,
}

fn main() {
    let requests: u64 = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let is = |wanted: &str| std::env::args().skip(2).any(|word| word == wanted);
    let folder = tempfile::tempdir().unwrap();
    let stitched = folder.path().join("stitch");
    let mut options = Options::default();
    if is("no-metrics") {
        options.metrics.cloudflare.enabled = false;
        options.metrics.kong.enabled = false;
        options.metrics.spans.enabled = false;
    }
    let late = if is("together") { 0 } else { LATE };
    let mut bench = Bench::new(folder.path(), Engine::open(&stitched, options).unwrap());
    for step in 0..requests.div_ceil(BATCH) + late + 30 {
        let of = |step: u64| step * BATCH..((step + 1) * BATCH).min(requests);
        bench.take_in(kong(of(step)));
        if let Some(before) = step.checked_sub(late) {
            bench.take_in(logpush(of(before)));
        }
        bench.turn();
    }
    bench.report(requests, &stitched);
}

impl Bench {
    fn new(folder: &Path, engine: Engine) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = journal::Options { max_bytes: 64 << 30, ..journal::Options::default() };
        let (journal, _) =
            Journal::open(Arc::new(RealFs), folder.join("journal"), options, Arc::new(SystemClock)).unwrap();
        Self { runtime, journal, engine, now: NOW, rows: 0, offset: 0, spent: Spent::default() }
    }

    fn take_in(&mut self, inputs: Vec<(Shape, Vec<u8>)>) {
        let begun = Cpu::now().own;
        let batches: Vec<Batch> = inputs.into_iter().map(|input| taken(input, self.now)).collect();
        for batch in &batches {
            self.runtime.block_on(self.journal.log(Signal::Logs).append(batch)).unwrap();
        }
        self.spent.taking += Cpu::now().own - begun;
        let begun = Cpu::now().own;
        let tenant = Tenant::default();
        for batch in &batches {
            self.rows += u64::from(batch.items);
            self.offset += 1;
            let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(64 << 20)).unwrap();
            let piece = Piece {
                signal: Signal::Logs,
                tenant: &tenant,
                offset: self.offset,
                items: 0..batch.items,
                is_whole: true,
                is_derived: false,
                plain: &plain,
            };
            self.engine.feed(&piece, self.now).unwrap();
        }
        self.spent.feeding += Cpu::now().own - begun;
    }

    fn turn(&mut self) {
        let (begun, wall) = (Cpu::now().own, Instant::now());
        self.now.0 += TURN;
        self.engine.turn(self.now).unwrap();
        for signal in [Signal::Traces, Signal::Metrics] {
            let out = self.engine.outgoing(signal, usize::MAX).unwrap();
            if let Some(last) = out.last() {
                self.engine.given(signal, last.number);
            }
        }
        self.spent.turning += Cpu::now().own - begun;
        self.spent.longest = self.spent.longest.max(wall.elapsed().as_secs_f64());
    }

    fn report(&self, requests: u64, stitched: &Path) {
        let (cpu, spent, counts) = (Cpu::now(), &self.spent, self.engine.counts());
        let million = self.rows as f64 / 1e6;
        let (taking, stitching) = (spent.taking + cpu.journal, spent.feeding + spent.turning + cpu.store);
        println!(
            "{requests} requests, {} rows, {} spans told, {} revised",
            self.rows, counts.told, counts.revised
        );
        println!("taking in:  {:>6.2} CPU-s per million rows", taking / million);
        println!(
            "stitching:  {:>6.2} CPU-s per million rows ({:.2} reading and joining, {:.2} turns, {:.2} the join store's threads; longest turn {:.2} s)",
            stitching / million,
            spent.feeding / million,
            spent.turning / million,
            cpu.store / million,
            spent.longest
        );
        println!("stitching / taking in: {:.2}", stitching / taking);
        println!(
            "join store: {} entries that lead to a request, {} MiB on disk, {} MiB of memory in the process",
            requests * ENTRIES,
            disk(stitched) >> 20,
            memory() >> 20
        );
        let begun = Instant::now();
        let looked = 1_000.min(requests);
        for number in 0..looked {
            let ray = format!("{:016x}", ray(number * (requests / looked), 0));
            assert_eq!(self.engine.look(&Sought::read(&ray)).unwrap().len(), 1, "{ray}");
        }
        println!("a look-up by ray: {:.3} ms", begun.elapsed().as_secs_f64() * 1e3 / looked as f64);
    }
}

fn ray(request: u64, hop: u64) -> u64 {
    // Random to the eye, and no two alike.
    (request * 2 + hop + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What Kong sends of these requests.
fn kong(requests: Range<u64>) -> Vec<(Shape, Vec<u8>)> {
    let record = String::from_utf8(sample("kong/http-log-3x-single.json")).unwrap();
    let records: Vec<String> = requests.map(|request| own(record.trim(), request)).collect();
    if records.is_empty() {
        Vec::new()
    } else {
        vec![(Shape::Kong, format!("[{}]", records.join(",")).into_bytes())]
    }
}

/// What Logpush sends of these requests, by gzip.
fn logpush(requests: Range<u64>) -> Vec<(Shape, Vec<u8>)> {
    let lines = |name: &str, count: usize| -> Vec<String> {
        let text = String::from_utf8(sample(name)).unwrap();
        text.lines().take(count).map(|line| format!("{line}\n")).collect()
    };
    let files =
        [lines("cloudflare/http_requests.ndjson", 2), lines("cloudflare/workers_trace_events.ndjson", 1)];
    let texts = files.map(|lines| -> String {
        requests.clone().flat_map(|request| lines.iter().map(move |line| own(line, request))).collect()
    });
    let sent = texts.into_iter().filter(|text| !text.is_empty());
    sent.map(|text| (Shape::Logpush, compress(Coding::Gzip, 6, text.as_bytes()))).collect()
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

fn taken((shape, sent): (Shape, Vec<u8>), now: UnixNanos) -> Batch {
    let coding = if shape == Shape::Logpush { Coding::Gzip } else { Coding::Plain };
    let text = inflate(coding, &sent, Ceiling::bytes(64 << 20)).unwrap();
    let origin = Origin { tenant: Tenant::default(), source: Source::new("bench").unwrap() };
    let hint = Hint { shape, ..Hint::default() };
    let raw = RawInput { origin, hint, bytes: Bytes::from(text) };
    let normalized = normalize(Input::Raw(raw), now).unwrap();
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
