//! Replays of the journal, as an operator asks for them.

use std::sync::{Arc, PoisonError};

use journal::Offset;
use model::{Signal, UnixNanos};
use serde::Serialize;

use super::Denied;
use crate::courier::{Replay, Route, with_causes};
use crate::{Moment, Pipeline};

/// What is to be delivered once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// To this sink.
    pub sink: String,
    /// Only these signals; empty: all that it takes.
    pub signals: Vec<Signal>,
    /// What was received from here on …
    pub from: Moment,
    /// … up to here.
    pub to: Moment,
}

/// One replay, a signal each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Begun {
    /// The sink.
    pub sink: String,
    /// The signal.
    pub signal: String,
    /// The name of its cursor, as `cursor list` shows it; `None` when there is nothing to replay.
    pub cursor: Option<String>,
    /// The first offset.
    pub first: u64,
    /// The last offset.
    pub last: u64,
    /// Items in that range.
    pub items: u64,
    /// When the oldest data that the journal still keeps was received.
    pub kept_since: Option<String>,
    /// Whether data from before `kept_since` was asked for that the journal may have had, and has no more.
    pub incomplete: bool,
}

/// Where a replay begins and ends in the log.
struct Range {
    first: Offset,
    last: Offset,
    kept_since: Option<UnixNanos>,
    incomplete: bool,
}

impl Pipeline {
    /// Starts replays, one for each signal; when this answers they are durable: they go on after a restart.
    pub async fn replay(&self, again: Again) -> Result<Vec<Begun>, Denied> {
        let routes: Vec<&Arc<Route>> =
            self.routes.iter().filter(|route| *route.name == *again.sink).collect();
        let Some(any) = routes.first() else {
            let known: Vec<&str> = self.sinks.iter().map(|(name, _)| &**name).collect();
            return Err(Denied::Missing(format!(
                "there is no sink {}; there are {}",
                again.sink,
                known.join(", ")
            )));
        };
        if !any.sink.takes_again() {
            return Err(Denied::Impossible(format!(
                "sink {0} keeps each item exactly once and takes none again; to have the data again, \
                 configure a second sink of its type with start: {1}",
                again.sink, again.from
            )));
        }
        let now = self.clock.now();
        let (from, to) = (again.from.at(now), again.to.at(now));
        if from > to {
            return Err(Denied::Impossible(format!("from {from} is later than to {to}")));
        }
        let wanted: Vec<&Arc<Route>> = routes
            .into_iter()
            .filter(|route| again.signals.is_empty() || again.signals.contains(&route.signal))
            .collect();
        if let Some(signal) =
            again.signals.iter().find(|signal| !wanted.iter().any(|route| route.signal == **signal))
        {
            return Err(Denied::Impossible(format!("sink {} takes no {signal}", again.sink)));
        }
        // One request at a time, so that two do not begin the same.
        let _turn = self.starting.lock().await;
        for route in &wanted {
            if let Some(replay) = self.replays.of(&again.sink, route.signal) {
                return Err(Denied::Impossible(format!(
                    "a replay of {} to {} is under way; wait for it, or end it with: tidegate cursor drop {}",
                    route.signal,
                    again.sink,
                    replay.name()
                )));
            }
        }
        let mut begun = Vec::new();
        for route in wanted {
            begun.push(self.begin(route, from, to, now).await?);
        }
        Ok(begun)
    }

    async fn begin(
        &self,
        main: &Arc<Route>,
        from: UnixNanos,
        to: UnixNanos,
        now: UnixNanos,
    ) -> Result<Begun, Denied> {
        let (journal, route) = (self.journal.clone(), Arc::clone(main));
        // A number that no replay of this sink had before, whatever the clock does.
        let number = (now.0 / 1_000_000).max(main.progress().last_replay() + 1);
        let job = move || {
            let log = journal.log(route.signal);
            let (first, last, kept_since) = (log.first(), log.durable(), log.oldest());
            let range = Range {
                first: log.seek(from).max(first),
                last: Offset(log.seek(UnixNanos(to.0.saturating_add(1))).0 - 1).min(last),
                kept_since,
                incomplete: first.0 > 1 && kept_since.is_none_or(|kept| from < kept),
            };
            if range.first > range.last {
                return Ok((range, None));
            }
            let fork = journal.fork(&route.name, route.signal, number, range.first, range.last);
            fork.map(|fork| (range, Some(fork)))
        };
        let made = self.workers.run(job).await.map_err(|gone| Denied::Broken(gone.to_string()))?;
        let (range, fork) = made
            .map_err(|error| Denied::Broken(format!("the replay has no cursor: {}", with_causes(&error))))?;
        let mut begun = Begun {
            sink: main.name.to_string(),
            signal: main.signal.as_str().to_owned(),
            cursor: None,
            first: range.first.0,
            last: range.last.0,
            items: 0,
            kept_since: range.kept_since.map(|time| time.to_string()),
            incomplete: range.incomplete,
        };
        let Some(fork) = fork else { return Ok(begun) };
        let name = Arc::clone(fork.cursor.sink());
        begun.cursor = Some(name.to_string());
        begun.items =
            self.cursors().await?.into_iter().find(|c| *c.name == *name).map_or(0, |c| c.held_items);
        let running = Replay::begin(&self.replays, &self.journal, main, fork);
        let running = self.runtime.spawn(running);
        self.couriers.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        Ok(begun)
    }
}
