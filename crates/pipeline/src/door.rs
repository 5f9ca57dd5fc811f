//! The intake itself: normalize, append, wait until it is durable, put the rest aside, answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::Journal;
use model::{Clock, Origin, Refusal, UnixNanos};
use normalize::{Input, Normalized, Rejected, normalize};
use tokio::sync::Semaphore;

use crate::intake::{Accepted, Submit};
use crate::metrics::{Family, Kind, Metrics};
use crate::quarantine::{Entry, MOST_BYTES, Quarantine};
use crate::{BoxFuture, Workers};

/// Bodies longer than this are normalized on a worker thread.
const INLINE_BYTES: usize = 64 << 10;
/// When to come back while the gateway stops: about as long as a restart takes.
const RETRY_STOPPING: Duration = Duration::from_secs(5);
/// More requests than can ever be open at once.
const MOST_OPEN: u32 = 1 << 28;

const REQUESTS: Family = Family {
    name: "tidegate_receiver_accepted_requests_total",
    help: "Requests taken, wholly or in part.",
    kind: Kind::Counter,
};
const REFUSED: Family = Family {
    name: "tidegate_receiver_refused_requests_total",
    help: "Requests of which nothing was taken, by reason.",
    kind: Kind::Counter,
};
const REJECTED: Family = Family {
    name: "tidegate_receiver_rejected_items_total",
    help: "Records that were not taken, by reason.",
    kind: Kind::Counter,
};
const QUARANTINED: Family = Family {
    name: "tidegate_quarantine_entries_total",
    help: "Records and requests put into the quarantine, by reason.",
    kind: Kind::Counter,
};
const UNQUARANTINED: Family = Family {
    name: "tidegate_quarantine_failed_entries_total",
    help: "Records and requests that the quarantine could not keep, since its disk did not keep up or failed.",
    kind: Kind::Counter,
};

/// See the module.
pub(crate) struct Door {
    pub(crate) journal: Journal,
    pub(crate) workers: Workers,
    pub(crate) disk: Workers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) quarantine: Arc<Mutex<Quarantine>>,
    closed: AtomicBool,
    open: Semaphore,
}

impl Door {
    pub(crate) fn new(
        journal: Journal,
        (workers, disk): (Workers, Workers),
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        quarantine: Quarantine,
    ) -> Self {
        let quarantine = Arc::new(Mutex::new(quarantine));
        let open = Semaphore::new(MOST_OPEN as usize);
        Self { journal, workers, disk, clock, metrics, quarantine, closed: AtomicBool::new(false), open }
    }

    /// Refuses everything from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Resolves when no request is open any more.
    pub(crate) async fn wait_idle(&self) {
        let _ = self.open.acquire_many(MOST_OPEN).await;
    }

    async fn take(&self, input: Input) -> Result<Accepted, Refusal> {
        // Counted as open before `closed` is looked at, so that the drain waits for whoever saw it open.
        let _open = self.open.try_acquire();
        if self.closed.load(Ordering::SeqCst) {
            return Err(Refusal::unavailable("the gateway is stopping", RETRY_STOPPING));
        }
        let (origin, received) = (origin(&input).clone(), self.clock.now());
        let Normalized { batch, accepted, rejected, seen } = self.normalize(input, received).await?;
        if let Some(batch) = batch {
            let log = self.journal.log(batch.signal);
            log.append(&batch).await.map_err(|error| error.refusal())?;
        }
        self.put_aside(&origin, received, &rejected).await;
        Ok(Accepted { counts: accepted, rejected, seen })
    }

    async fn normalize(&self, input: Input, received: UnixNanos) -> Result<Normalized, Refusal> {
        if length(&input) <= INLINE_BYTES {
            return normalize(input, received);
        }
        let done = self.workers.run(move || normalize(input, received)).await;
        done.unwrap_or_else(|gone| Err(Refusal::unavailable(gone.to_string(), RETRY_STOPPING)))
    }

    /// Counts what was rejected and writes what has bytes to the quarantine.
    async fn put_aside(&self, origin: &Origin, received: UnixNanos, rejected: &[Rejected]) {
        let source = origin.source.as_str();
        let mut lines = Vec::new();
        for record in rejected {
            self.metrics.counter(REJECTED, &[("source", source), ("reason", record.reason)]).add(1);
            if record.bytes.is_empty() {
                continue;
            }
            self.metrics.counter(QUARANTINED, &[("source", source), ("reason", record.reason)]).add(1);
            let entry = Entry {
                origin,
                received,
                reason: record.reason,
                message: &record.message,
                index: Some(record.index),
                bytes: &record.bytes,
            };
            lines.push(entry.line());
        }
        if !lines.is_empty() {
            let job = self.writing(source, lines, received);
            if self.disk.run(job).await.is_err() {
                tracing::error!(source, "quarantine has no thread any more; entries were lost");
            }
        }
    }

    fn writing(&self, source: &str, lines: Vec<Vec<u8>>, now: UnixNanos) -> impl FnOnce() + Send + 'static {
        let files = Arc::clone(&self.quarantine);
        let failed = self.metrics.counter(UNQUARANTINED, &[("source", source)]);
        move || {
            let result = files.lock().unwrap_or_else(PoisonError::into_inner).put(&lines, now);
            if let Err(error) = result {
                failed.add(lines.len() as u64);
                tracing::error!(error = %error, entries = lines.len(), "quarantine not written");
            }
        }
    }
}

impl Submit for Door {
    fn submit(&self, input: Input) -> BoxFuture<'_, Result<Accepted, Refusal>> {
        Box::pin(async move {
            let origin = origin(&input).clone();
            let answer = self.take(input).await;
            match &answer {
                Ok(_) => self.metrics.counter(REQUESTS, &[("source", origin.source.as_str())]).add(1),
                Err(refusal) => self.refused(&origin, refusal),
            }
            answer
        })
    }

    fn refused(&self, origin: &Origin, refusal: &Refusal) {
        let labels = [("source", origin.source.as_str()), ("reason", refusal.kind.as_str())];
        self.metrics.counter(REFUSED, &labels).add(1);
    }

    fn quarantine(&self, origin: &Origin, reason: &'static str, message: &str, bytes: &[u8]) {
        let source = origin.source.as_str();
        self.metrics.counter(QUARANTINED, &[("source", source), ("reason", reason)]).add(1);
        let received = self.clock.now();
        let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
        let line = Entry { origin, received, reason, message, index: None, bytes }.line();
        if !self.disk.offer(self.writing(source, vec![line], received)) {
            self.metrics.counter(UNQUARANTINED, &[("source", source)]).add(1);
        }
    }
}

fn origin(input: &Input) -> &Origin {
    match input {
        Input::Wire(wire) => &wire.origin,
        Input::Raw(raw) => &raw.origin,
    }
}

fn length(input: &Input) -> usize {
    match input {
        Input::Wire(wire) => wire.plain.len(),
        Input::Raw(raw) => raw.bytes.len(),
    }
}
