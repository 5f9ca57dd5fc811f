//! House tasks. One door to everything: `cargo xtask check | test | bench | audit | servers`.
//!
//! | file | what |
//! |---|---|
//! | `check.rs` | the gate: format, lints, dependencies, docs, a build without cmake and protoc, tidy rules |
//! | `test.rs` | the test command of the README, with all its set-up |
//! | `servers/` | installs the real peers of the integration tests into a cache folder |
//! | `bench.rs` | the load generator against a release build |
//! | `audit.rs` | the auditor against real back ends |
//! | `tidy.rs` | house rules, as tests |

mod audit;
mod bench;
mod check;
mod servers;
mod test;
#[cfg(test)]
mod tidy;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask <task>

  check          format, clippy, deny, docs, a build without cmake and protoc, tidy rules
  test [--all]   every test, with the real peers they need; --all adds the slow peers (Jaeger, Loki, MinIO, Zipkin, newer engines)
  bench [ARGS]   CPU-seconds per million items of each input, on a release build
  audit [ARGS]   every item followed through faults to every back end (docs/guides/audit.md); --all: 100,000 of them
  servers [--all]  installs the real peers of the tests into the cache folder
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let all = args.iter().any(|a| a == "--all");
    let done = match args.first().map(String::as_str) {
        Some("check") => check::run(),
        Some("test") => test::run(all),
        Some("bench") => bench::run(&args[1..]),
        Some("audit") => audit::run(&args[1..]),
        Some("servers") => servers::install(all),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The cargo that runs us.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with its output shown; an error names the step.
fn step(name: &str, command: &mut Command) -> Result<(), String> {
    eprintln!("── {name}");
    let status =
        command.status().map_err(|error| format!("{name}: {command:?} cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {command:?} ended with {status}")) }
}
