//! A closed-loop load generator: it starts a gateway on an empty data folder with the journal on `sync` and one swallowing
//! sink, drives each input in turn, and prints items per second and the gateway's CPU-seconds per million items.
//!
//! | file | what |
//! |---|---|
//! | `body.rs` | realistic request bodies, made once |
//! | `drive.rs` | the closed loops: HTTP/1.1 and gRPC over HTTP/2, prebuilt requests on kept connections |
//! | `lookup.rs` | what a look-up by any id takes in a store of millions of spans |
//! | `request/` | requests from edge to service, for look-ups and stitching |
//! | `sinks.rs`, `swallow.rs` | what each sink costs, in front of a peer that takes everything; what six cost the intake |
//! | `stitching.rs` | what stitching costs beside a gateway without it |
//! | `gateway.rs` | the gateway under test as a process: start, CPU time, memory, stop |
//!
//! The generator runs on one core and, where `taskset` is there, the gateway on another, so that the two do not disturb
//! each other. CPU time is what counts; rates on a shared machine are noise.

mod body;
mod drive;
mod gateway;
mod lookup;
mod request;
mod sinks;
mod stitching;
mod swallow;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::body::Case;
use crate::gateway::{Cores, Gateway};

/// Drives a gateway with each kind of input and prints what an item costs.
#[derive(Debug, Parser)]
struct Options {
    /// The gateway's binary.
    #[arg(long)]
    gateway: PathBuf,
    /// Seconds to measure each case, after a warm-up of a fifth of that.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Connections for HTTP/1.1 cases.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Measures what sinks cost instead of what inputs cost.
    #[arg(long)]
    sinks: bool,
    /// Measures look-ups in a store of many spans instead.
    #[arg(long, conflicts_with = "sinks")]
    lookup: bool,
    /// Measures what stitching costs instead.
    #[arg(long, conflicts_with_all = ["sinks", "lookup"])]
    stitching: bool,
    /// Requests of five rows each for `--stitching`.
    #[arg(long, default_value_t = 40_000)]
    requests: u64,
    /// Spans in the store for `--lookup`.
    #[arg(long, default_value_t = 10_000_000)]
    items: u64,
    /// Look-ups of each spelling for `--lookup`.
    #[arg(long, default_value_t = 400)]
    asks: u64,
    /// Leaves the gateway's data in its folder, for `--lookup`.
    #[arg(long)]
    keep: bool,
    /// The program that tells what a join store takes, for `--lookup`: the example of that name.
    #[arg(long)]
    join_store: Option<PathBuf>,
    /// Only cases (or sinks) whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Ends with an error when a case costs more CPU-seconds per million items, or a look-up more time, or stitching more, than its limit.
    #[arg(long)]
    enforce: bool,
    /// Where the gateway keeps its data during the run; default: the system's temporary folder.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
fn main() -> ExitCode {
    let options = Options::parse();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    if options.sinks || options.lookup || options.stitching {
        let run = async {
            match options.stitching {
                true => stitching::run(&options).await,
                false if options.lookup => lookup::run(&options).await,
                false => sinks::run(&options).await,
            }
        };
        return match tokio::task::LocalSet::new().block_on(&runtime, run) {
            Ok(within) if within || !options.enforce => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    println!(
        "{:<18} {:>12} {:>16} {:>7} {:>9} {:>8}",
        "case", "items/s", "cpu-s/M items", "limit", "peak MiB", "refused"
    );
    let mut too_dear = false;
    for case in body::cases() {
        if options.only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        match runtime.block_on(measure(&options, &case)) {
            Ok(row) => {
                let mark = if row.cost > case.limit { " over the limit" } else { "" };
                too_dear |= row.cost > case.limit;
                println!(
                    "{:<18} {:>12.0} {:>16.3} {:>7.2} {:>9} {:>8}{mark}",
                    case.name, row.rate, row.cost, case.limit, row.peak_mib, row.refused
                );
            }
            Err(error) => {
                eprintln!("{}: {error}", case.name);
                return ExitCode::FAILURE;
            }
        }
    }
    if too_dear && options.enforce { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Row {
    rate: f64,
    cost: f64,
    peak_mib: u64,
    refused: u64,
}

async fn measure(options: &Options, case: &Case) -> Result<Row, String> {
    let mut gateway = Gateway::start(
        &options.gateway,
        options.folder.as_deref(),
        &[("blackhole", String::new())],
        "",
        Cores::One,
    )
    .await?;
    let warm_up = Duration::from_millis(options.seconds * 200);
    drive::run(case, gateway.port(), options.connections, warm_up).await?;
    let before = gateway.cpu_seconds()?;
    let done =
        drive::run(case, gateway.port(), options.connections, Duration::from_secs(options.seconds)).await?;
    let used = gateway.cpu_seconds()? - before;
    let peak_mib = gateway.peak_mib()?;
    gateway.stop().await?;
    let items = (done.accepted * case.items) as f64;
    if items == 0.0 {
        return Err(format!(
            "no request was accepted; {} were refused, the last with {}",
            done.refused, done.last_status
        ));
    }
    Ok(Row {
        rate: items / done.elapsed.as_secs_f64(),
        cost: used / items * 1e6,
        peak_mib,
        refused: done.refused,
    })
}
