//! What a look-up by any spelling of an id takes in a large store: a gateway with its embedded store is filled with requests that are
//! stitched, left alone until it has written, joined and merged everything, started anew, and asked.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::Options;
use crate::drive::{open, pause, read_answer, send};
use crate::gateway::{Cores, Gateway};
use crate::request::{LOGS, Request, SAMPLE, SPANS, SPELLINGS, Senders, Spelling};

/// Requests of one batch.
const BATCH: u64 = 200;
/// Items that sinks may be behind: the journal must not run full, since stitching then leaves out what it has not read.
const MOST_HELD: u64 = 300_000;
/// What a look-up may take, at the 99th percentile.
const LIMIT: Duration = Duration::from_millis(10);
/// When nothing has been merged for so long nothing will be: the store looks every minute.
const QUIET: Duration = Duration::from_secs(70);
/// Look-ups in the join store alone.
const JOIN_STORE_ASKS: u64 = 20_000;
/// Hours before now over which the requests are spread.
const HOURS: u64 = 24;

/// Prints how long look-ups took, and what store and join store take. Answers whether they stay within their limit.
#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let requests = options.items.div_ceil(SPANS).max(1);
    let sinks = [("store", String::new())];
    let mut gateway =
        Gateway::start(&options.gateway, options.folder.as_deref(), &sinks, "", Cores::All).await?;
    gateway.is_kept = options.keep;
    let all = fill(&gateway, requests).await?;
    let spans = requests * SPANS;
    println!("{requests} requests, {spans} spans, {} log records", requests * LOGS);
    quiet(&gateway).await?;
    println!("the gateway after filling: {} MiB, at most {} MiB", gateway.rss_mib()?, gateway.peak_mib()?);
    gateway.restart().await?;
    let mut asking = Asking::new(gateway.port(), all).await?;
    let first = asking.ask(Request::id, 0).await?;
    println!("the very first look-up after a start: {:.1} ms", first.as_secs_f64() * 1e3);
    println!("\n{:<18} {:>31}   {:>31}", "", "asked first, ms", "asked again, ms");
    let columns = ["p50", "p95", "p99", "max"].map(|name| format!("{name:>7}")).join(" ");
    println!("{:<18} {columns}   {columns}   CPU, ms", "look-up by");
    let mut is_within = true;
    let mut random = fastrand::Rng::with_seed(7);
    for (name, spelling) in SPELLINGS {
        let numbers = draw(&mut random, requests, options.asks, name == "short");
        let mut times = [Vec::new(), Vec::new()];
        let cpu = gateway.cpu_seconds()?;
        for times in &mut times {
            for number in &numbers {
                times.push(asking.ask(spelling, *number).await?);
            }
            times.sort_unstable();
        }
        let each = (gateway.cpu_seconds()? - cpu) * 1e3 / (2 * numbers.len().max(1)) as f64;
        let [first, again] = times.map(|times| [0.5, 0.95, 0.99, 1.0].map(|share| at(&times, share)));
        is_within &= first[2] <= LIMIT;
        let shown =
            |times: [Duration; 4]| times.map(|time| format!("{:>7.2}", time.as_secs_f64() * 1e3)).join(" ");
        let mark = if first[2] > LIMIT { "  over the limit" } else { "" };
        println!("{name:<18} {}   {}   {each:>7.2}{mark}", shown(first), shown(again));
    }
    println!("\nthe gateway after look-ups: {} MiB", gateway.rss_mib()?);
    gateway.terminate().await?;
    for (what, below) in [("store", "data/sinks"), ("join store", "data/stitch"), ("journal", "data/journal")]
    {
        println!("{what} on disk: {} MiB", disk(&gateway.folder().join(below)) >> 20);
    }
    if let Some(program) = &options.join_store {
        join_store(program, &gateway.folder().join("data/stitch"), all).await?;
    }
    Ok(is_within)
}

/// Different requests by chance.
fn draw(random: &mut fastrand::Rng, requests: u64, count: u64, short: bool) -> Vec<u64> {
    let mut numbers = std::collections::BTreeSet::new();
    let fits = |number: &u64| !short || Request::is_short(*number);
    let most = (0..requests.min(count * 16)).filter(fits).count() as u64;
    while (numbers.len() as u64) < count.min(most) {
        let number = random.u64(..requests);
        numbers.extend(Some(number).filter(fits));
    }
    let mut numbers: Vec<u64> = numbers.into_iter().collect();
    random.shuffle(&mut numbers);
    numbers
}

/// What so large a share of sorted times does not exceed.
fn at(times: &[Duration], share: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    let place = (times.len() as f64 * share).ceil() as usize;
    times.get(place.saturating_sub(1).min(last)).copied().unwrap_or_default()
}

/// Where the requests lie in time.
#[derive(Debug, Clone, Copy)]
struct All {
    requests: u64,
    /// Milliseconds from the sample to the first.
    first: u64,
}

impl All {
    fn request(self, number: u64) -> Request {
        let place = u128::from(number) * u128::from(HOURS * 3_600_000) / u128::from(self.requests);
        Request::new(number, self.first + place as u64)
    }
}

#[allow(clippy::print_stderr, reason = "who waits for minutes wants to see why")]
async fn fill(gateway: &Gateway, requests: u64) -> Result<All, String> {
    let now = testkit::process::now().as_millis() as u64;
    let all = All { requests, first: now.saturating_sub(HOURS * 3_600_000 + SAMPLE) };
    let senders = Senders::new()?;
    let mut stream = open(gateway.port()).await?;
    let (begun, cpu) = (Instant::now(), gateway.cpu_seconds()?);
    for first in (0..requests).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(requests);
        let batch: Vec<Request> = numbers.map(|number| all.request(number)).collect();
        for body in senders.bodies(&batch) {
            send(&mut stream, body, "").await?;
        }
        if (first / BATCH).is_multiple_of(20) {
            while gateway.held().await? > MOST_HELD {
                pause().await;
            }
        }
        if (first / BATCH).is_multiple_of(500) {
            eprintln!("{first} of {requests} requests after {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    while gateway.held().await? > 0 {
        pause().await;
    }
    let used = gateway.cpu_seconds()? - cpu;
    eprintln!(
        "filled in {:.0} s, with {used:.0} CPU-seconds of the gateway's",
        begun.elapsed().as_secs_f64()
    );
    Ok(all)
}

/// Waits until the store has merged what it merges by itself.
#[allow(clippy::print_stderr, reason = "who waits for minutes wants to see why")]
async fn quiet(gateway: &Gateway) -> Result<(), String> {
    let (mut last, mut since) = (String::new(), Instant::now());
    while since.elapsed() < QUIET {
        let page = String::from_utf8_lossy(&gateway.get("/metrics").await?).into_owned();
        let mut shown = String::new();
        // Metrics of what was stitched go on coming.
        let is_told =
            |line: &&str| line.starts_with("tidegate_store_files{") && !line.contains("\"metrics\"");
        for line in page.lines().filter(is_told) {
            let _ = writeln!(shown, "{line}");
        }
        if shown != last {
            (last, since) = (shown, Instant::now());
        }
        pause().await;
    }
    eprint!("{last}");
    Ok(())
}

/// Somebody who asks.
struct Asking {
    stream: TcpStream,
    all: All,
    answer: Vec<u8>,
}

impl Asking {
    async fn new(port: u16, all: All) -> Result<Self, String> {
        Ok(Self { stream: open(port).await?, all, answer: Vec::new() })
    }

    /// How long it took until the whole of a request's trace was there.
    async fn ask(&mut self, spelling: Spelling, number: u64) -> Result<Duration, String> {
        let request = self.all.request(number);
        let text = spelling(&request);
        let head = format!("GET /api/v1/traces/{text} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        let begun = Instant::now();
        self.stream.write_all(head.as_bytes()).await.map_err(|error| format!("asking: {error}"))?;
        let status = read_answer(&mut self.stream, &mut self.answer).await?;
        let took = begun.elapsed();
        let end = self.answer.windows(4).position(|at| at == b"\r\n\r\n").map_or(0, |at| at + 4);
        let body: Value = serde_json::from_slice(&self.answer[end..])
            .map_err(|error| format!("{text}: {status}, {error}"))?;
        let trace = &body["traces"][0];
        let many = |what: &str| trace[what].as_array().map_or(0, Vec::len) as u64;
        if trace["trace_id"] == request.id() && many("spans") == SPANS && many("logs") == LOGS {
            return Ok(took);
        }
        Err(format!(
            "{text}: {status}, {} with {} spans and {} log records, where {} with {SPANS} and {LOGS} was sent",
            trace["trace_id"],
            many("spans"),
            many("logs"),
            request.id()
        ))
    }
}

/// What the join store by itself takes: another process opens it, and looks up rays all over it.
async fn join_store(program: &Path, folder: &Path, all: All) -> Result<(), String> {
    let mut child = tokio::process::Command::new(program)
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let mut random = fastrand::Rng::with_seed(8);
    let ray = |_| format!("{:016x}\n", all.request(random.u64(..all.requests)).rays[0]);
    let ids: String = (0..JOIN_STORE_ASKS).map(ray).collect();
    if let Some(mut input) = child.stdin.take() {
        input.write_all(ids.as_bytes()).await.map_err(|error| format!("asking the join store: {error}"))?;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    status.success().then_some(()).ok_or(format!("{} ended with {status}", program.display()))
}

/// Bytes that a folder takes on disk.
fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => disk(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
