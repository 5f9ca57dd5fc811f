//! The command line of the auditor.

use std::path::PathBuf;
use std::process::ExitCode;

use auditor::content::Run;
use auditor::drive::{Plan, run};
use auditor::item::Stream;
use auditor::send::Load;
use auditor::{report, scenario, table};
use clap::Parser;

/// Audits a gateway: sends numbered items, breaks things, and compares every back end with what was sent.
#[derive(Debug, Parser)]
struct Options {
    /// The gateway's binary.
    #[arg(long)]
    gateway: PathBuf,
    /// Items in all, spread evenly over the streams.
    #[arg(long, default_value_t = 10_000)]
    items: u64,
    /// Items a second in all; as fast as answers come when left out.
    #[arg(long)]
    rate: Option<u64>,
    /// Chooses the content.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Back ends, by name; all quick ones when left out.
    #[arg(long, value_delimiter = ',')]
    backends: Vec<String>,
    /// Scenarios, by name; the quick ones when left out.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Every back end and every scenario, 100,000 items.
    #[arg(long)]
    all: bool,
    /// Prints JSON, one object a scenario, instead of the table.
    #[arg(long)]
    json: bool,
    /// Where files are kept; a folder that is removed afterwards when left out.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
fn main() -> ExitCode {
    match audit(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
fn audit(options: &Options) -> Result<bool, String> {
    let items = if options.all { options.items.max(100_000) } else { options.items };
    let streams = Stream::ALL.to_vec();
    let each = items.div_ceil(streams.len() as u64);
    let plan = Plan {
        binary: options.gateway.canonicalize().map_err(|e| format!("{}: {e}", options.gateway.display()))?,
        run: Run::beginning_now(options.seed),
        load: Load { items: each, rate: options.rate.map(|rate| rate.div_ceil(streams.len() as u64)) },
        streams,
        backends: table::chosen(&options.backends, options.all)?,
    };
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = options.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut is_good = true;
    if !options.json {
        println!("{}", report::heading());
    }
    for scenario in scenario::chosen(&options.scenarios, options.all)? {
        let own = folder.join(scenario.name);
        std::fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        let outcome = run(&plan, &scenario, &own).map_err(|e| format!("{}: {e}", scenario.name))?;
        is_good &= outcome.is_good();
        if options.json {
            println!("{}", report::json(&outcome));
        } else {
            print!("{}", report::lines(&outcome));
        }
    }
    Ok(is_good)
}
