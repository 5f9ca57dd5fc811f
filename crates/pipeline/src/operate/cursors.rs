//! Cursors as an operator sees them: of sinks that run, of replays, and of sinks that are gone.

use std::collections::BTreeMap;

use journal::Reading;
use model::{Signal, UnixNanos};
use serde::{Deserialize, Serialize};

use super::Denied;
use crate::Pipeline;
use crate::courier::with_causes;

/// Whose a cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A sink that runs.
    Sink,
    /// A replay that is under way.
    Replay,
    /// A sink that is not configured any more.
    Orphan,
}

/// One cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorStatus {
    /// The sink's name; of a replay, `SINK~NUMBER`.
    pub name: String,
    /// The signal.
    pub signal: String,
    /// Whose it is.
    pub owner: Owner,
    /// Since when its sink is missed, for an orphan.
    pub since: Option<String>,
    /// The first offset that is not wholly done.
    pub low: u64,
    /// The last offset of a replay.
    pub until: Option<u64>,
    /// Frames that it has not done.
    pub held_frames: u64,
    /// Items that it has not done.
    pub held_items: u64,
    /// Bytes on disk that it has not passed.
    pub held_bytes: u64,
    /// Items below `low` that the destination has.
    pub delivered: u64,
}

/// A cursor that was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Its name.
    pub name: String,
    /// The signal.
    pub signal: String,
    /// Items below its end that the destination has.
    pub delivered: u64,
    /// Items that it gave up with this, and before, by reason.
    pub dropped: BTreeMap<String, u64>,
}

impl Pipeline {
    /// Every cursor.
    pub async fn cursors(&self) -> Result<Vec<CursorStatus>, Denied> {
        let journal = self.journal.clone();
        let read = self.workers.run(move || journal.readings()).await;
        let mut cursors: Vec<CursorStatus> = read
            .map_err(|gone| Denied::Broken(gone.to_string()))?
            .into_iter()
            .map(|reading| CursorStatus::of(&reading))
            .collect();
        cursors.sort_by(|a, b| (&a.name, &a.signal).cmp(&(&b.name, &b.signal)));
        Ok(cursors)
    }

    /// Drops a cursor: an orphan's, so that it pins nothing any more, or a replay's, which ends it. What it had not done is
    /// booked and told. A sink that runs keeps its cursor.
    pub async fn drop_cursor(&self, name: &str, signal: Option<Signal>) -> Result<Vec<Dropped>, Denied> {
        let meant = move |other: Signal| signal.is_none_or(|signal| signal == other);
        let mut dropped = Vec::new();
        for replay in self.replays.list() {
            if replay.name() == name && meant(replay.route.signal) {
                let mut forgotten = Dropped {
                    name: name.to_owned(),
                    signal: replay.route.signal.as_str().to_owned(),
                    delivered: 0,
                    dropped: BTreeMap::new(),
                };
                let held = self
                    .cursors()
                    .await?
                    .into_iter()
                    .find(|c| c.name == name && c.signal == forgotten.signal);
                replay.cancel().await;
                let books = replay.route.progress().booked();
                forgotten.delivered = books.0.values().map(|fate| fate.delivered).sum();
                let held = held.map_or(0, |held| held.held_items + held.delivered);
                let rest = held.saturating_sub(books.total());
                forgotten.dropped = BTreeMap::from([("cancelled".to_owned(), rest)]);
                dropped.push(forgotten);
            }
        }
        if self.sinks.iter().any(|(sink, _)| **sink == *name) {
            return Err(Denied::Impossible(format!(
                "sink {name} runs: its cursor is where it reads; remove the sink from the configuration first, or set its on_full to skip"
            )));
        }
        let journal = self.journal.clone();
        let name = name.to_owned();
        let job = move || {
            let mut gone = Vec::new();
            for reading in
                journal.readings().into_iter().filter(|reading| *reading.name == *name && !reading.registered)
            {
                if !meant(reading.signal) {
                    continue;
                }
                let books = journal
                    .forget(&name, reading.signal, "forgotten")
                    .map_err(|error| with_causes(&error))?;
                let mut dropped = BTreeMap::new();
                for (reason, items) in books.0.values().flat_map(|fate| &fate.dropped) {
                    *dropped.entry(reason.to_string()).or_default() += items;
                }
                let (signal, items) = (reading.signal, dropped.get("forgotten").copied().unwrap_or(0));
                tracing::warn!(sink = name, %signal, items, "an operator dropped the cursor; what it had not done is gone for it");
                gone.push(Dropped {
                    name: name.clone(),
                    signal: signal.as_str().to_owned(),
                    delivered: books.0.values().map(|fate| fate.delivered).sum(),
                    dropped,
                });
            }
            if gone.is_empty() { Ok(Err(name)) } else { Ok(Ok(gone)) }
        };
        let done = self.workers.run(job).await.map_err(|gone| Denied::Broken(gone.to_string()))?;
        match done
            .map_err(|error: String| Denied::Broken(format!("the cursor cannot be dropped: {error}")))?
        {
            Ok(gone) => {
                dropped.extend(gone);
                Ok(dropped)
            }
            Err(_) if !dropped.is_empty() => Ok(dropped),
            Err(name) => {
                Err(Denied::Missing(format!("there is no cursor {name}; see: tidegate cursor list")))
            }
        }
    }
}

impl CursorStatus {
    fn of(reading: &Reading) -> Self {
        let owner = match (reading.registered, reading.until) {
            (true, None) => Owner::Sink,
            (true, Some(_)) => Owner::Replay,
            (false, _) => Owner::Orphan,
        };
        Self {
            name: reading.name.to_string(),
            signal: reading.signal.as_str().to_owned(),
            owner,
            since: (reading.orphaned != UnixNanos(0)).then(|| reading.orphaned.to_string()),
            low: reading.low.0,
            until: reading.until.map(|until| until.0),
            held_frames: reading.frames,
            held_items: reading.held.values().sum(),
            held_bytes: reading.bytes,
            delivered: reading.books.0.values().map(|fate| fate.delivered).sum(),
        }
    }
}
