//! Plan → open → run → drain.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use journal::{Journal, Offset, OnFull, RealFs};
use model::{Clock, Signal, Source, SystemClock};
use pipeline::{
    Carried, Memory, Metrics, Pipeline, Rules, Setup, SinkContext, SinkOptions, Workers, with_causes,
};
use receivers::{Bound, Context, Door};
use stitch::Stitch;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::banner;
use crate::joined;
use crate::plan::{Plan, PlannedSink, STITCH, Settled};
use crate::settings::{Durability, JournalSettings};
use crate::watch;

/// Jobs that may wait for a worker thread before requests are refused.
const WORK_QUEUE: usize = 1024;

/// Disk that the quarantine may take.
const QUARANTINE_BYTES: u64 = 64 << 20;

/// Bytes of a journal segment. Each log keeps three on disk at least: the one written to and two in reserve.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Runs the gateway until it is told to stop.
pub(crate) fn run(plan: Plan) -> Result<(), String> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let front = runtime("front")?;
    let delivery = runtime("deliver")?;
    let ended = front.block_on(serve(plan, delivery.handle().clone()));
    // What a sink still does was not waited for by the drain: its data is in the journal.
    delivery.shutdown_background();
    ended
}

/// Threads of their own for requests and for deliveries: a sink that computes long never keeps a client waiting, and what each
/// side costs can be read from the names of the threads.
fn runtime(name: &'static str) -> Result<Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build();
    runtime.map_err(|error| format!("no threads can be started: {error}"))
}

async fn serve(plan: Plan, delivery: Handle) -> Result<(), String> {
    let mut stop = Stop::listen()?;
    let _lock = lock(&plan.data)?;
    let bound = Bound::bind(&plan.front_door.addresses).map_err(|error| with_causes(&error))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (memory, metrics) = (Memory::new(plan.memory), Metrics::default());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 16));
    let start_workers = |name| {
        Workers::start(name, threads, WORK_QUEUE)
            .map_err(|error| format!("no threads can be started: {error}"))
    };
    let (workers, delivery_workers) = (start_workers("front-work")?, start_workers("deliver-work")?);

    let options = journal_options(&plan.journal, plan.memory, &plan.data);
    let journal_bytes = options.max_bytes;
    let (journal, recovery) =
        Journal::open(Arc::new(RealFs), plan.data.join("journal"), options, Arc::clone(&clock)).map_err(
            |error| format!("journal {}: {}", plan.data.join("journal").display(), with_causes(&error)),
        )?;
    for log in recovery.logs.iter().filter(|log| log.damaged_frames > 0) {
        let (signal, frames, items) = (log.signal, log.damaged_frames, log.damaged_items);
        tracing::error!(%signal, frames, items, "damaged data was set aside in the journal's quarantine");
    }
    let listed: Vec<(String, &'static str)> =
        plan.sinks.iter().map(|sink| (sink.name.clone(), sink.kind)).collect();
    let sinks = SinkContext {
        name: Arc::default(),
        folder: plan.data.join("sinks"),
        clock: Arc::clone(&clock),
        memory: memory.clone(),
        workers: delivery_workers.clone(),
        metrics: metrics.clone(),
    };
    let stitch_folder = plan.data.join("stitch");
    let setup = Setup {
        journal: journal.clone(),
        sinks: Vec::new(),
        memory: memory.clone(),
        workers: workers.clone(),
        delivery_workers,
        clock: Arc::clone(&clock),
        metrics: metrics.clone(),
        folder: plan.data.clone(),
        dead_letters: plan.dead_letters,
        quarantine_bytes: QUARANTINE_BYTES,
        seed: fastrand::u64(..),
    };
    let asks = plan.sinks.iter().any(|sink| sink.joined);
    let next = Offset(journal.log(Signal::Logs).durable().0 + 1);
    let joined = joined::since(&plan.data, asks, next)?;
    // Whatever sinks and couriers start, they start on the threads of delivery.
    let started = delivery.spawn(async move {
        let (mut carried, reader) = open(plan.sinks, joined, &sinks).await?;
        let mut names = None;
        if let Some(options) = plan.stitch {
            let options = stitch::engine::Options { joined: joined.map(|offset| offset.0), ..options };
            let context = SinkContext { name: STITCH.into(), folder: stitch_folder, ..sinks };
            let stitch = Stitch::open(options, setup.journal.clone(), context).await;
            let stitch = stitch.map_err(|error| format!("stitching: {error}"))?;
            names = Some(stitch.names());
            // What is not delivered to anybody holds no data back.
            let on_full = if asks { OnFull::Hold } else { OnFull::Skip };
            let options = SinkOptions { on_full, ..SinkOptions::default() };
            carried.push(Carried { name: STITCH.into(), sink: stitch, options });
        }
        let pipeline = Pipeline::start(Setup { sinks: carried, ..setup });
        Ok::<_, String>((Arc::new(pipeline.map_err(|error| with_causes(&error))?), reader, names))
    });
    let (pipeline, reader, names) = started.await.map_err(|error| error.to_string())??;

    let closing = Arc::new(AtomicBool::new(false));
    let context = Context {
        intake: pipeline.intake(),
        memory,
        workers,
        metrics: metrics.clone(),
        pace: plan.front_door.pace,
        closing: Arc::clone(&closing),
    };
    let mut endpoints = Vec::new();
    let mut mounted = Vec::new();
    for (row, checked) in plan.receivers {
        let source =
            Source::new(row.name).ok_or_else(|| format!("receiver {} has no good name", row.name))?;
        // gRPC's paths are its methods; for a person gRPC is the address.
        endpoints.extend(
            row.paths.iter().filter(|path| !path.contains('.')).map(|path| (row.name, (*path).to_owned())),
        );
        if row.paths.iter().any(|path| path.contains('.')) {
            endpoints.push(("otlp (gRPC)", String::new()));
        }
        mounted.push((source, checked));
    }
    let sources = web::Sources { pipeline: Arc::clone(&pipeline), store: reader, names, metrics };
    let public = web::public(web::Ready { closing: Arc::clone(&closing) });
    let door = Door::open(mounted, &context, plan.front_door.gate, web::guarded(sources), public)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let server = bound.serve(Arc::new(door), plan.front_door.keeping);
    crate::say(&banner::text(&banner::Facts {
        addresses: server.addresses(),
        endpoints,
        data: &plan.data,
        journal_bytes,
        memory: plan.memory,
        sinks: listed,
    }));

    tokio::select! {
        () = stop.wait() => {}
        () = watch::budget(journal.clone(), &pipeline) => {}
    }
    tracing::info!(deadline = ?plan.shutdown, "stopping: no new requests, finishing what is in flight");
    let begun = Instant::now();
    let drained = tokio::select! {
        drained = drain(server, &pipeline, &journal, plan.shutdown) => drained,
        () = stop.wait() => return Err("stopped at once by a second signal; what was acknowledged is in the journal".into()),
    };
    let held: u64 = drained.ledger.rows.iter().map(|row| row.held).sum();
    tracing::info!(took = ?begun.elapsed(), held, late = ?drained.late, "stopped; what is held is in the journal");
    Ok(())
}

/// Opens every sink; answers the reader of the first store too.
async fn open(
    sinks: Vec<PlannedSink>,
    joined_since: Option<Offset>,
    context: &SinkContext,
) -> Result<(Vec<Carried>, Option<store::Reader>), String> {
    let mut carried = Vec::new();
    let mut reader = None;
    for PlannedSink { name, kind: _, mut options, joined, settled } in sinks {
        let context =
            SinkContext { name: name.as_str().into(), folder: context.folder.join(&name), ..context.clone() };
        let failed = |error| format!("sink {name}: {error}");
        let sink = match settled {
            Settled::Store(settings) => {
                let store = store::Store::open(settings, context).await.map_err(failed)?;
                reader.get_or_insert_with(|| store.reader());
                store
            }
            Settled::Other(checked) => checked.open(context).await.map_err(failed)?,
        };
        if let Some(since) = joined_since.filter(|_| joined) {
            if !sink.signals().contains(&Signal::Logs) {
                return Err(format!("sink {name}: edge_logs is joined, and it takes no logs; remove that"));
            }
            options.rules = Some(Arc::new(Rules::joined(options.rules.as_deref(), since)));
        }
        carried.push(Carried { name: name.into(), sink, options });
    }
    Ok((carried, reader))
}

/// Stops the intake, lets requests and deliveries finish, checkpoints, closes the journal; all within `deadline`.
async fn drain(
    server: receivers::Server,
    pipeline: &Pipeline,
    journal: &Journal,
    deadline: Duration,
) -> pipeline::Drained {
    let end = Instant::now() + deadline;
    // Requests in flight get a third at most: they wait for the disk only. Couriers keep delivering meanwhile.
    let _ = server.drain(deadline / 3).await;
    let drained = pipeline.drain(end.saturating_duration_since(Instant::now()) * 9 / 10).await;
    journal.close().await;
    drained
}

/// SIGTERM or SIGINT.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be listened for: {error}"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// One gateway at a time on a data folder. The lock ends with the process.
fn lock(data: &Path) -> Result<File, String> {
    let shown = data.display();
    std::fs::create_dir_all(data).map_err(|error| format!("data folder {shown} cannot be made: {error}"))?;
    let file = File::create(data.join("lock"))
        .map_err(|error| format!("data folder {shown} cannot be written: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "data folder {shown} is in use by another gateway; give this one a folder of its own with data:"
        )),
        Err(TryLockError::Error(error)) => Err(format!("data folder {shown} cannot be locked: {error}")),
    }
}

fn journal_options(settings: &JournalSettings, memory: u64, data: &Path) -> journal::Options {
    const GIB: u64 = 1 << 30;
    let defaults = journal::Options::default();
    let free = fs4::available_space(data).unwrap_or(50 * GIB);
    journal::Options {
        durability: match settings.durability {
            Durability::Sync => journal::Durability::Sync,
            Durability::Flush => journal::Durability::Flush,
            Durability::Memory => journal::Durability::Memory,
        },
        max_bytes: settings.max_bytes.map_or_else(|| (10 * GIB).min(free / 5), |size| size.0),
        keep: settings.keep.0,
        keep_orphans: settings.keep_orphans.0,
        segment_bytes: SEGMENT_BYTES,
        hot_bytes: memory / 4,
        ..defaults
    }
}
