//! The end: stop the intake, finish what is in flight, let the sinks close, checkpoint, and say what is left. One deadline
//! stands over all of it; each step ends by its share at the latest, so that the last ones always come.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::courier::Phase;
use crate::ledger::Ledger;
use crate::pipeline::{Pipeline, sync_quarantine};

/// What the drain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// The books at the end: what is left is `held`.
    pub ledger: Ledger,
    /// Steps that did not end by their share of the deadline, in words; empty when all did.
    pub late: Vec<&'static str>,
}

impl Pipeline {
    /// Ends the pipeline within `deadline`. New requests are refused retryably at once; what couriers have read is tried
    /// once more; what does not get through stays in the journal. The journal itself stays open.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let start = Instant::now();
        let share = |percent: u32| start + deadline * percent / 100;
        let mut late = Vec::new();
        self.door.close();
        if timeout_at(share(25), self.door.wait_idle()).await.is_err() {
            late.push("requests were still open");
        }
        self.phase.send_replace(Phase::Finish);
        self.replays.finish();
        let couriers = std::mem::take(&mut *self.couriers.lock().unwrap_or_else(PoisonError::into_inner));
        let aborts: Vec<_> = couriers.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        if timeout_at(share(60), join_all(couriers)).await.is_err() {
            late.push("parcels were still in flight");
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
        let closing = join_all(self.sinks.iter().map(|(_, sink)| sink.close()));
        if timeout_at(share(80), closing).await.is_err() {
            late.push("sinks were still closing");
        }
        let replays = self.replays.list();
        let beside = replays.iter().map(|replay| &replay.route);
        let checkpoints = join_all(self.routes.iter().chain(beside).map(|route| async {
            if route.progress().is_dirty() {
                // An error is in the log and the status; what it leaves out is sent again after the restart.
                let _ = route.checkpoint().await;
            }
        }));
        if timeout_at(share(95), checkpoints).await.is_err() {
            late.push("cursors were still being written");
        }
        let door = std::sync::Arc::clone(&self.door);
        let synced = timeout_at(share(100), self.door.disk.run(move || sync_quarantine(&door))).await;
        if !matches!(synced, Ok(Ok(Ok(())))) {
            late.push("the quarantine was not synced");
        }
        self.routes.iter().for_each(|route| route.health.stopped());
        Drained { ledger: self.ledger(), late }
    }
}
