//! What sinks cost: each alone in front of a peer that takes everything, and what attaching six of them costs the side that
//! takes requests in. CPU time is read by thread: those that listen, normalize and commit on one side, all others on the other.

use std::time::Duration;

use testkit::server::Kafka;

use crate::body::{self, Case};
use crate::gateway::{Cores, Gateway};
use crate::{Options, drive, swallow};

/// A sink and the case that drives it.
struct Measured {
    kind: &'static str,
    case: &'static str,
    settings: &'static str,
}

const fn measured(kind: &'static str, case: &'static str, settings: &'static str) -> Measured {
    Measured { kind, case, settings }
}

/// With the settings of somebody who gives an address and nothing else, but that nothing waits for a fuller file. `PORT` is that of the swallowing peer, `KAFKA` that of a
/// real broker, `FOLDER` a folder of its own.
const SINKS: &[Measured] = &[
    measured("blackhole", SPANS, ""),
    measured("clickhouse", SPANS, "url: 'http://127.0.0.1:PORT'"),
    measured("elasticsearch", SPANS, "nodes: ['http://127.0.0.1:PORT']"),
    measured("file", SPANS, "folder: FOLDER/archive"),
    measured("http", SPANS, "url: 'http://127.0.0.1:PORT/items'"),
    measured("kafka", SPANS, "brokers: ['127.0.0.1:KAFKA']"),
    measured("loki", "logpush-1000", "url: 'http://127.0.0.1:PORT'"),
    measured("object_store", SPANS, "url: 'file://FOLDER/lake', max_wait: 1s"),
    measured("otlp", SPANS, "endpoint: 'http://127.0.0.1:PORT', protocol: http"),
    measured("prometheus", "remote-write-2000", "url: 'http://127.0.0.1:PORT/api/v1/write'"),
    measured("store", SPANS, "flush_age: 1s"),
];

/// The case of what takes spans.
const SPANS: &str = "otlp-http-500";
/// Six that take spans and are as different as can be.
const SIX: [&str; 6] = ["elasticsearch", "file", "http", "object_store", "otlp", "store"];

/// Items that a run must have brought to its sink before its cost says anything.
const LEAST: u64 = 10_000;
/// How often the fan-out is measured with one sink and with six, in turns: the median of the ratios counts.
const TURNS: usize = 9;
/// What attaching six sinks may add to the cost of taking an item in.
const MOST_RATIO: f64 = 1.10;

/// Prints both tables; an error when something cannot be measured. Answers whether the fan-out stays within its limit.
#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let cases = body::cases();
    let find = |name: &str| cases.iter().find(|case| case.name == name).ok_or(format!("no case {name}"));
    let is_asked = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let port = swallow::start().await?.to_string();
    println!("\n{:<14} {:<18} {:>16} {:>16}", "sink", "case", "sink cpu-s/M", "intake cpu-s/M");
    for sink in SINKS {
        if !is_asked(sink.kind) {
            continue;
        }
        let mut settings = sink.settings.replace("PORT", &port);
        let broker = settings.contains("KAFKA").then(Broker::start).transpose()?;
        if let Some(broker) = &broker {
            settings = settings.replace("KAFKA", &broker.kafka.port.to_string());
        }
        let cost = cost(options, find(sink.case)?, &[(sink.kind, settings)]).await?;
        println!("{:<14} {:<18} {:>16.3} {:>16.3}", sink.kind, sink.case, cost.sinks, cost.intake);
    }
    let blackholes = vec![("blackhole", String::new()); 6];
    let of = |sink: &&Measured| SIX.contains(&sink.kind);
    let six = SINKS.iter().filter(of).map(|sink| (sink.kind, sink.settings.replace("PORT", &port))).collect();
    let mut is_within = true;
    for (what, six) in [("six blackholes", blackholes), ("six different sinks", six)] {
        if !is_asked(what) {
            continue;
        }
        let ratios = ratios(options, find(SPANS)?, &six).await?;
        let ratio = ratios[ratios.len() / 2];
        println!(
            "\nintake CPU per item with {what} / with one: {ratio:.3} (limit {MOST_RATIO:.2}; all: {ratios:.3?})"
        );
        is_within &= ratio <= MOST_RATIO;
    }
    Ok(is_within)
}

/// What `six` cost the intake beside what the first of them costs it, in turns, sorted.
async fn ratios(options: &Options, case: &Case, six: &[(&str, String)]) -> Result<Vec<f64>, String> {
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let one = intake(options, case, &six[..1]).await?;
        let all = intake(options, case, six).await?;
        ratios.push(all / one);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(ratios)
}

/// CPU-seconds per million items that the intake takes while these sinks are at work; none of them need get done.
async fn intake(options: &Options, case: &Case, sinks: &[(&str, String)]) -> Result<f64, String> {
    let mut gateway =
        Gateway::start(&options.gateway, options.folder.as_deref(), sinks, "", Cores::One).await?;
    let port = gateway.port();
    let time = Duration::from_secs(options.seconds);
    drive::run(case, port, options.connections, time / 5).await?;
    let before = gateway.cpu()?;
    let done = drive::run(case, port, options.connections, time).await?;
    let used = gateway.cpu()?.intake - before.intake;
    gateway.stop().await?;
    let items = done.accepted * case.items;
    if items < LEAST {
        return Err(format!("{}: only {items} items were taken", case.name));
    }
    Ok(used / items as f64 * 1e6)
}

/// A real broker: nothing simple can stand for one.
struct Broker {
    kafka: Kafka,
    _folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self { kafka: Kafka::start(folder.path()), _folder: folder })
    }
}

/// CPU-seconds per million items on each side.
struct Cost {
    intake: f64,
    sinks: f64,
}

async fn cost(options: &Options, case: &Case, sinks: &[(&str, String)]) -> Result<Cost, String> {
    let mut gateway =
        Gateway::start(&options.gateway, options.folder.as_deref(), sinks, "", Cores::One).await?;
    let port = gateway.port();
    let time = Duration::from_secs(options.seconds);
    drive::run(case, port, options.connections, time / 5).await?;
    let warm = gateway.settled(case.name).await?;
    let before = gateway.cpu()?;
    drive::run(case, port, options.connections, time).await?;
    // What was answered is committed; what comes now is the sinks' work, and being asked whether it is done.
    let answered = gateway.cpu()?;
    let delivered = gateway.settled(case.name).await? - warm;
    let settled = gateway.cpu()?;
    gateway.stop().await?;
    if delivered < LEAST {
        return Err(format!("{}: only {delivered} items arrived", case.name));
    }
    let per_million = |seconds: f64| seconds / delivered as f64 * 1e6;
    Ok(Cost {
        // Every sink gets every item: the ledger's number is theirs together.
        intake: per_million(answered.intake - before.intake) * sinks.len() as f64,
        sinks: per_million(settled.sinks - before.sinks),
    })
}
