//! The command line.

use std::process::ExitCode;

use clap::Parser;
use truth::{Plan, run, table};

/// Makes requests of random shape whose truth is known, sends them through normalizing and stitching, and prints how often the result is
/// right. Ends with an error when less than 99 % of what is decidable is exact, or anything is joined that does not belong together.
///
/// cargo run --release -p tidegate-truth -- --requests 100000 --seed 1
#[derive(Debug, Parser)]
struct Options {
    /// How many requests.
    #[arg(long, default_value_t = 100_000)]
    requests: u32,
    /// Chooses their shapes, and how their records come.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints what requests were and what is told of them, by their numbers.
    #[arg(long, value_delimiter = ',')]
    show: Vec<u32>,
}

#[allow(clippy::print_stdout, reason = "the table is the product of this program")]
fn main() -> ExitCode {
    let options = Options::parse();
    let plan = Plan { requests: options.requests, seed: options.seed };
    for story in table::stories(plan, &options.show) {
        println!("{story}");
    }
    let done =
        tempfile::tempdir().map_err(|error| error.to_string()).and_then(|folder| run(plan, folder.path()));
    let (verdict, seen) = match done {
        Ok(done) => done,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for serial in options.show {
        println!("{serial}:\n{}", table::told(serial, &seen));
    }
    print!("{}", table::table(&verdict, &seen));
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
