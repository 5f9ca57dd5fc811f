//! What has to happen though nobody asks for it: dead letters that are past their time go.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use model::Clock;
use tokio::sync::watch;

use crate::Workers;
use crate::courier::Phase;
use crate::operate::Shelf;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(60);

/// Runs until the drain. What the disk refuses is tried again the next time.
pub(crate) async fn run(
    shelves: Arc<Vec<Shelf>>,
    disk: Workers,
    clock: Arc<dyn Clock>,
    mut phase: watch::Receiver<Phase>,
) {
    loop {
        tokio::select! {
            _ = phase.wait_for(|phase| *phase != Phase::Run) => return,
            () = tokio::time::sleep(EVERY) => {} // waits for time: the round
        }
        for shelf in shelves.iter() {
            let (letters, now) = (Arc::clone(&shelf.letters), clock.now());
            let job = move || {
                let mut letters = letters.lock().unwrap_or_else(PoisonError::into_inner);
                let before = letters.dropped();
                letters.expire(now).map(|()| letters.dropped() - before)
            };
            let sink = &*shelf.sink;
            match disk.run(job).await {
                Ok(Ok(0)) => {}
                Ok(Ok(letters)) => tracing::warn!(sink, letters, "dead letters past their time are gone"),
                Ok(Err(error)) => tracing::warn!(sink, %error, "dead letters past their time stay"),
                Err(gone) => tracing::warn!(sink, error = %gone, "dead letters past their time stay"),
            }
        }
    }
}
