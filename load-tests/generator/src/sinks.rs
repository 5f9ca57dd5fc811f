//! What sinks cost: each alone in front of a peer that takes everything, and what attaching six of them costs the side that
//! takes requests in. CPU time is read by thread: those that listen, normalize and commit on one side, all others on the other.

use std::time::Duration;

use crate::body::{self, Case};
use crate::gateway::{Cpu, Gateway};
use crate::{Options, drive, swallow};

/// A sink, the case that drives it, and what its side may cost: CPU-seconds per million items.
struct Measured {
    kind: &'static str,
    case: &'static str,
    settings: &'static str,
}

/// `PORT` is that of the swallowing peer, `FOLDER` a folder of its own.
const SINKS: &[Measured] = &[
    Measured { kind: "blackhole", case: "otlp-http-500", settings: "" },
    Measured { kind: "file", case: "otlp-http-500", settings: "folder: FOLDER/archive, compress: none" },
    Measured {
        kind: "object_store",
        case: "otlp-http-500",
        settings: "url: 'file://FOLDER/lake', max_wait: 1s",
    },
    Measured { kind: "store", case: "otlp-http-500", settings: "flush_age: 1s" },
    Measured {
        kind: "otlp",
        case: "otlp-http-500",
        settings: "endpoint: 'http://127.0.0.1:PORT', protocol: http, compression: none",
    },
    Measured {
        kind: "prometheus",
        case: "remote-write-2000",
        settings: "url: 'http://127.0.0.1:PORT/api/v1/write'",
    },
];

/// Items that a run must have brought to its sink before its cost says anything.
const LEAST: u64 = 10_000;
/// How often the fan-out is measured with one sink and with six, in turns: the median of the ratios counts.
const TURNS: usize = 5;
/// What attaching six sinks may add to the cost of taking an item in.
const MOST_RATIO: f64 = 1.10;

/// Prints both tables; an error when something cannot be measured. Answers whether the fan-out stays within its limit.
#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let cases = body::cases();
    let find = |name: &str| cases.iter().find(|case| case.name == name).ok_or(format!("no case {name}"));
    let port = swallow::start().await?;
    println!("\n{:<14} {:<18} {:>16} {:>16}", "sink", "case", "sink cpu-s/M", "intake cpu-s/M");
    for sink in SINKS {
        if options.only.as_ref().is_some_and(|only| !sink.kind.contains(only.as_str())) {
            continue;
        }
        let settings = sink.settings.replace("PORT", &port.to_string());
        let cost = cost(options, find(sink.case)?, &[(sink.kind, settings)]).await?;
        println!("{:<14} {:<18} {:>16.3} {:>16.3}", sink.kind, sink.case, cost.sinks, cost.intake);
    }
    if options.only.is_some() {
        return Ok(true);
    }
    let case = find("otlp-http-500")?;
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let one = cost(options, case, &[("blackhole", String::new())]).await?;
        let six = cost(options, case, &vec![("blackhole", String::new()); 6]).await?;
        ratios.push(six.intake / one.intake);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[TURNS / 2];
    println!(
        "\nintake CPU per item with six sinks / with one: {ratio:.3} (limit {MOST_RATIO:.2}; all: {ratios:.3?})"
    );
    Ok(ratio <= MOST_RATIO)
}

/// CPU-seconds per million items on each side.
struct Cost {
    intake: f64,
    sinks: f64,
}

async fn cost(options: &Options, case: &Case, sinks: &[(&str, String)]) -> Result<Cost, String> {
    let mut gateway = Gateway::start(&options.gateway, options.folder.as_deref(), sinks).await?;
    let port = gateway.port();
    let time = Duration::from_secs(options.seconds);
    drive::run(case, port, options.connections, time / 5).await?;
    let warm = gateway.settled(case.name).await?;
    let before = gateway.cpu()?;
    drive::run(case, port, options.connections, time).await?;
    let delivered = gateway.settled(case.name).await? - warm;
    let after = gateway.cpu()?;
    gateway.stop().await?;
    if delivered < LEAST {
        return Err(format!("{}: only {delivered} items arrived", case.name));
    }
    let per_million = |of: fn(&Cpu) -> f64| (of(&after) - of(&before)) / delivered as f64 * 1e6;
    // Every sink gets every item: the ledger's number is theirs together.
    let sinks_number = sinks.len() as f64;
    Ok(Cost { intake: per_million(|cpu| cpu.intake) * sinks_number, sinks: per_million(|cpu| cpu.sinks) })
}
