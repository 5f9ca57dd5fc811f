//! OTLP-JSON lines in files, rotated and compressed, each item once per file set.
//!
//! A delivery is: lines appended, file synced, then the position (which file, how long, up to which offset) synced beside the
//! data folder's other state. Only then is it `Delivered`. After a crash the file is cut to the recorded length, so that half
//! a delivery leaves no trace, and a parcel that comes again is skipped as far as the position covers it.
//!
//! | file | what |
//! |---|---|
//! | `log.rs` | one signal's files: open, append, rotate, mend |
//! | `position.rs` | the position and its two alternating slots |
//! | `squeeze.rs` | finished files to gzip |
//! | `name.rs` | how files are called |

mod log;
mod name;
mod position;
mod squeeze;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use model::{Clock, Failure, Problem, Signal};
use pipeline::settings::{self, Period, Size};
use pipeline::{BoxFuture, CheckedSink, Cut, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::losses::{Losses, left_out};
use crate::signals;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "file",
    summary: "Appends OTLP-JSON lines to files that are rotated and compressed; every item is in them once.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "archive:\n  type: file\n  folder: ./archive\n  rotate_bytes: 256MiB\n  rotate_every: 1h\n  compress: gzip\n",
    page: "## What becomes of it

Each item is in the files once, over restarts and `kill -9` too: the position that was reached is recorded with the cursor, and what lies behind it
is cut off and written again. A line is one OTLP/JSON request of the items of one parcel; 64-bit integers are strings and bytes are base64 there, as the
OTLP specification has it. Bit patterns of NaN are not kept: JSON has one `\"NaN\"`. A disk that is full is tried again.",
};

/// Writes files of OTLP-JSON: each line is one OTLP request. Finished files are never touched again and never deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The folder for the files; made if it does not exist. No other sink may write to it.
    folder: PathBuf,
    /// Which signals it takes. Default: all. Each has files of its own.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// A file is finished when it has grown to this size. Default: `256MiB`; at least `64KiB`.
    #[serde(default = "rotate_bytes")]
    rotate_bytes: Size,
    /// A file is finished when it is this old and more data arrives. Default: `1h`; at least `1s`.
    #[serde(default = "rotate_every")]
    rotate_every: Period,
    /// What is done with a finished file. Default: `gzip`.
    #[serde(default)]
    compress: Compress,
    /// How long a write that is not full waits for more. Each write is synced to disk: longer waits spare the disk. Default: `1s`;
    /// at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
}

/// What is done with a finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compress {
    /// It stays as it is.
    None,
    /// It becomes a `.gz` file.
    #[default]
    Gzip,
}

fn rotate_bytes() -> Size {
    Size(256 << 20)
}

fn rotate_every() -> Period {
    Period(Duration::from_secs(3600))
}

fn max_wait() -> Period {
    Period(Duration::from_secs(1))
}

/// When a file is finished, and what becomes of it.
#[derive(Debug, Clone)]
struct Rotation {
    folder: PathBuf,
    bytes: u64,
    every: Duration,
    compress: Compress,
}

struct Checked {
    signals: Vec<Signal>,
    rotation: Rotation,
    max_wait: Duration,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let mut bad =
        |path: &str, message: String, remedy: &str| problems.push(Problem::new(path, message, remedy));
    if settings.folder.as_os_str().is_empty() {
        bad("folder", "names no folder".into(), "write for example ./archive");
    }
    if settings.rotate_bytes.0 < 64 << 10 {
        bad(
            "rotate_bytes",
            format!("{} is less than 64KiB", settings.rotate_bytes),
            "write for example 256MiB",
        );
    }
    if settings.rotate_every.0 < Duration::from_secs(1) {
        bad("rotate_every", format!("{} is shorter than 1s", settings.rotate_every), "write for example 1h");
    }
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(60)), "1s", &mut problems);
    let signals = signals::checked(&settings.signals, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let rotation = Rotation {
        folder: settings.folder,
        bytes: settings.rotate_bytes.0,
        every: settings.rotate_every.0,
        compress: settings.compress,
    };
    Ok(Box::new(Checked { signals, rotation, max_wait: settings.max_wait.0 }))
}

impl CheckedSink for Checked {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let losses = Losses::new(Arc::clone(&context.name), context.metrics);
            let (threads, logs) = (OnceLock::new(), Arc::default());
            let Checked { signals, rotation, max_wait } = *self;
            let (clock, state) = (context.clock, context.folder);
            Ok(Arc::new(File { signals, rotation, max_wait, state, clock, losses, threads, logs })
                as Arc<dyn Sink>)
        })
    }
}

struct File {
    signals: Vec<Signal>,
    rotation: Rotation,
    max_wait: Duration,
    /// Where positions are kept.
    state: PathBuf,
    clock: Arc<dyn Clock>,
    losses: Losses,
    /// Started by the first delivery.
    threads: OnceLock<Result<Threads, String>>,
    /// By signal; locked on the writing thread only.
    logs: Arc<[Mutex<Option<log::Log>>; Signal::ALL.len()]>,
}

/// Files are written by one thread and compressed by another, so that neither an fsync nor a large file holds up anybody else.
struct Threads {
    writing: Workers,
    squeezing: Workers,
}

/// How many finished files may wait to be compressed; more are found again when the next one is finished.
const SQUEEZE_QUEUE: usize = 64;

impl Threads {
    fn start() -> std::io::Result<Self> {
        Ok(Self {
            writing: Workers::start("file-write", 1, 4)?,
            squeezing: Workers::start("file-squeeze", 1, SQUEEZE_QUEUE)?,
        })
    }
}

impl Sink for File {
    fn signals(&self) -> &[Signal] {
        &self.signals
    }

    fn cut(&self) -> Cut {
        Cut { max_items: 20_000, max_bytes: 4 << 20, max_stored_bytes: 4 << 20, max_wait: self.max_wait }
    }

    fn takes_again(&self) -> bool {
        // What lies below its position is in its files, and is left out.
        false
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.write(parcel))
    }
}

impl File {
    async fn write(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let threads =
            self.threads.get_or_init(|| Threads::start().map_err(|error| error.to_string())).as_ref();
        let threads = threads.map_err(|error| retry(format!("no thread can be started: {error}")))?;
        let (logs, rotation, state) = (Arc::clone(&self.logs), self.rotation.clone(), self.state.clone());
        let (parcel_there, now, squeezing) = (parcel.clone(), self.clock.now(), threads.squeezing.clone());
        let written = threads.writing.run(move || {
            let mut log =
                logs[parcel_there.signal as usize - 1].lock().unwrap_or_else(PoisonError::into_inner);
            let log = match &mut *log {
                Some(log) => log,
                closed => closed.insert(log::Log::open(rotation, &state, parcel_there.signal, squeezing)?),
            };
            log.append(&parcel_there, now)
        });
        let losses = written.await.map_err(|gone| retry(gone.to_string()))??;
        self.losses.book(&losses);
        Ok(left_out(Receipt::Delivered, &losses, parcel.items()))
    }
}

fn retry(reason: String) -> Failure {
    Failure::Retry { after: None, reason }
}

#[cfg(test)]
mod tests;
