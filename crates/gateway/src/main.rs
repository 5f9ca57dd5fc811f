//! The `tidegate` binary: one endpoint for telemetry.
//!
//! | file | what |
//! |---|---|
//! | `plan.rs`, `settings.rs`, `schema.rs` | text → a plan: everything checked, nothing opened |
//! | `run.rs` | plan → open → run → drain |
//! | `banner.rs` | what is printed at start |
//! | `watch.rs` | warns before the journal is full |
//! | `trace.rs`, `ledger.rs`, `correlate.rs`, `letters.rs`, `replay.rs`, `demo/`, `client.rs`, `table.rs` | commands that talk to a running gateway |
//! | `reference.rs` | the generated pages |
//!
//! The only crate that knows all the others.

mod banner;
mod client;
mod correlate;
mod demo;
mod joined;
mod ledger;
mod letters;
mod plan;
mod reference;
mod replay;
mod run;
mod schema;
mod settings;
mod table;
mod trace;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One endpoint for Prometheus, OpenTelemetry, Cloudflare Logpush and Kong; one trace identity; safe on disk; fanned out.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration file. Left out: everything goes to the embedded store.
    #[arg(long, short, env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway; the same as no command.
    Run,
    /// Checks a configuration file and names every problem with its line and its remedy.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Sends synthetic traffic of all four kinds to a running gateway.
    Demo(demo::Options),
    /// Shows a trace by any spelling of its id, as a tree.
    Trace(trace::Options),
    /// Shows how the requests of the last hour are joined, hop by hop and route by route, and what would make it better.
    Correlate(correlate::Options),
    /// Shows the books: accepted = before + held + delivered + refused + dead letters + dropped.
    Ledger(ledger::Options),
    /// Dead letters: what peers refused for good. Lists, shows, delivers again, drops.
    DeadLetters(letters::Options),
    /// Delivers a part of the journal once more, to one sink.
    Replay(replay::Options),
    /// Cursors: how far each sink and replay has read the journal. Lists, drops.
    Cursor(replay::CursorOptions),
    /// Prints the reference pages and the schema as one JSON object, by path.
    #[command(hide = true)]
    Reference,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None | Some(Command::Run) => plan::read_file(arguments.config.as_deref()).and_then(run::run),
        Some(Command::Check { file }) => plan::read_file(Some(&file)).map(|plan| {
            let sinks: Vec<_> =
                plan.sinks.iter().map(|sink| format!("{} ({})", sink.name, sink.kind)).collect();
            say(&format!(
                "{} is right: {} receivers, sinks: {}",
                file.display(),
                plan.receivers.len(),
                sinks.join(", ")
            ));
        }),
        Some(Command::Demo(options)) => asking(demo::run(options)),
        Some(Command::Trace(options)) => asking(trace::run(options)),
        Some(Command::Correlate(options)) => asking(correlate::run(options)),
        Some(Command::Ledger(options)) => asking(ledger::run(options)),
        Some(Command::DeadLetters(options)) => asking(letters::run(options)),
        Some(Command::Replay(options)) => asking(replay::run(options)),
        Some(Command::Cursor(options)) => asking(replay::cursor(options)),
        Some(Command::Reference) => {
            say(&reference::pages().to_string());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that asks a running gateway.
fn asking(command: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(command)
}

/// Prints what a command is for; a closed pipe ends it quietly.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
