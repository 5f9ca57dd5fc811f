//! Dead letters as an operator handles them: listed, shown, delivered again, dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use model::UnixNanos;
use serde::Serialize;
use tokio::sync::Notify;

use super::Denied;
use crate::courier::can_go;
use crate::deadletter::{DeadLetters, Filter, Id, Letter, Listed, Mark, Page, Shown, State, View, Which};
use crate::metrics::{Family, Kind};
use crate::{Bounds, Pipeline, Sink};

const DROPPED: Family = Family {
    name: "tidegate_deadletter_discarded_letters_total",
    help: "Dead letters that an operator dropped.",
    kind: Kind::Counter,
};

/// The dead letters of one sink, or of one that is not configured any more.
pub(crate) struct Shelf {
    pub(crate) sink: Arc<str>,
    pub(crate) letters: Arc<Mutex<DeadLetters>>,
    pub(crate) way: Way,
}

/// How letters get back to their sink.
pub(crate) enum Way {
    /// Its courier is woken.
    Courier(Arc<Notify>),
    /// It takes the journal in order only.
    Settles,
    /// It does not run.
    Gone,
}

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// These.
    Ids(Vec<Id>),
    /// All that pass.
    All(Filter),
}

/// How many letters were taken up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Letters that are on their way, or gone.
    pub letters: u64,
    /// Letters that stay as they are.
    pub left: u64,
    /// Why the first of them does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

impl Shelf {
    fn view(&self) -> View {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).view()
    }

    /// The same, less what is past its time.
    fn view_at(&self, now: UnixNanos) -> io::Result<View> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.expire(now)?;
        Ok(letters.view())
    }

    fn listed(&self, which: Which, state: State, letter: &Letter) -> Listed {
        let id = Id { sink: Arc::clone(&self.sink), which };
        let (sink, head, bytes) = (self.sink.to_string(), letter.head.clone(), letter.plain.len() as u64);
        Listed { id, sink, state, head, bytes }
    }
}

/// The shelves below `folder` that belong to none of `known`: letters outlive the configuration of their sink.
pub(crate) fn strays(folder: &Path, known: &BTreeSet<Arc<str>>, bounds: Bounds) -> io::Result<Vec<Shelf>> {
    let mut strays = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(strays),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| model::Tenant::new(name).is_some()) else { continue };
        if known.contains(name) || !entry.file_type()?.is_dir() {
            continue;
        }
        let letters = Arc::new(Mutex::new(DeadLetters::open(entry.path(), bounds)?));
        strays.push(Shelf { sink: name.into(), letters, way: Way::Gone });
    }
    Ok(strays)
}

impl Pipeline {
    /// Letters that pass `filter`, in the order of their names from `after` on, at most `most`.
    pub async fn letters(&self, filter: Filter, after: Option<Id>, most: usize) -> Result<Page, Denied> {
        let (shelves, now) = (Arc::clone(&self.shelves), self.clock.now());
        self.on_disk(move || {
            let mut page = Page::default();
            for shelf in shelves.iter() {
                let behind = match &after {
                    Some(after) if after.sink > shelf.sink => continue,
                    Some(after) if after.sink == shelf.sink => Some(after.which),
                    _ => None,
                };
                if filter.sink.as_ref().is_some_and(|sink| **sink != *shelf.sink) {
                    continue;
                }
                for found in shelf.view_at(now)?.walk(behind) {
                    let (which, state, letter) = found?;
                    if !filter.takes(&shelf.sink, state, &letter.head) {
                        continue;
                    }
                    if page.letters.len() >= most.max(1) {
                        page.next = page.letters.last().map(|last| last.id.clone());
                        return Ok(page);
                    }
                    page.letters.push(shelf.listed(which, state, &letter));
                }
            }
            Ok(page)
        })
        .await
    }

    /// One letter with its items.
    pub async fn letter(&self, id: Id) -> Result<Shown, Denied> {
        let shelves = Arc::clone(&self.shelves);
        let missing = Denied::Missing(format!("there is no dead letter {id}, or not any more"));
        let found = self.on_disk(move || {
            let Some(shelf) = shelves.iter().find(|shelf| shelf.sink == id.sink) else { return Ok(None) };
            let found = shelf.view().one(id.which)?;
            Ok(found.map(|(state, letter)| Shown::of(shelf.listed(id.which, state, &letter), &letter)))
        });
        found.await?.ok_or(missing)
    }

    /// Marks letters to be delivered again, to the sink that refused them. When this answers the marks are durable: what was
    /// taken up is delivered, after a restart too.
    pub async fn replay_letters(&self, chosen: Chosen) -> Result<Taken, Denied> {
        let (by_sink, mut taken) = self.choose(chosen, can_go).await?;
        for (sink, which) in by_sink {
            let Some(shelf) = self.shelves.iter().find(|shelf| shelf.sink == sink) else { continue };
            let wake = match &shelf.way {
                Way::Courier(wake) => Ok(wake),
                Way::Settles => Err(format!(
                    "sink {sink} writes the journal's data in order and takes no single items; configure a second sink of its \
                     type with start: earliest, or read the letters with show"
                )),
                Way::Gone => Err(format!(
                    "sink {sink} is not configured any more; configure it again, or drop its letters"
                )),
            };
            match wake {
                Ok(wake) => {
                    taken.letters += which.len() as u64;
                    self.mark(shelf, which, Mark::Again).await?;
                    wake.notify_one();
                }
                Err(reason) => taken.leave(which.len() as u64, &reason),
            }
        }
        taken.or_denied()
    }

    /// Drops letters for good; they are gone when this answers.
    pub async fn drop_letters(&self, chosen: Chosen) -> Result<Taken, Denied> {
        let (by_sink, mut taken) = self.choose(chosen, |_| Ok(())).await?;
        for (sink, which) in by_sink {
            let Some(shelf) = self.shelves.iter().find(|shelf| shelf.sink == sink) else { continue };
            let letters = which.len() as u64;
            self.mark(shelf, which, Mark::Dropped).await?;
            self.metrics.counter(DROPPED, &[("sink", &sink)]).add(letters);
            tracing::warn!(sink = &*sink, letters, "dead letters were dropped by an operator");
            taken.letters += letters;
        }
        taken.or_denied()
    }

    /// Finds what is meant, by sink; what `fit` turns down is left.
    async fn choose(
        &self,
        chosen: Chosen,
        fit: impl Fn(&crate::deadletter::Head) -> Result<(), String> + Send + 'static,
    ) -> Result<(BTreeMap<Arc<str>, Vec<Which>>, Taken), Denied> {
        let shelves = Arc::clone(&self.shelves);
        self.on_disk(move || {
            let mut by_sink: BTreeMap<Arc<str>, Vec<Which>> = BTreeMap::new();
            let mut taken = Taken::default();
            let mut meet = |shelf: &Shelf, which: Which, letter: &Letter| match fit(&letter.head) {
                Ok(()) => by_sink.entry(Arc::clone(&shelf.sink)).or_default().push(which),
                Err(reason) => {
                    taken.leave(1, &format!("{}: {reason}", Id { sink: Arc::clone(&shelf.sink), which }));
                }
            };
            match &chosen {
                Chosen::All(filter) => {
                    for shelf in shelves.iter() {
                        if filter.sink.as_ref().is_some_and(|sink| **sink != *shelf.sink) {
                            continue;
                        }
                        for found in shelf.view().walk(None) {
                            let (which, state, letter) = found?;
                            if filter.takes(&shelf.sink, state, &letter.head) {
                                meet(shelf, which, &letter);
                            }
                        }
                    }
                }
                Chosen::Ids(ids) => {
                    let distinct: BTreeSet<&Id> = ids.iter().collect();
                    let mut unknown = Vec::new();
                    for id in distinct {
                        let shelf = shelves.iter().find(|shelf| shelf.sink == id.sink);
                        let found = shelf.map(|shelf| shelf.view().one(id.which).map(|found| (shelf, found)));
                        match found.transpose()? {
                            Some((shelf, Some((_, letter)))) => meet(shelf, id.which, &letter),
                            _ => unknown.push(id),
                        }
                    }
                    for id in unknown {
                        taken.leave(1, &format!("there is no dead letter {id}, or not any more"));
                    }
                }
            }
            Ok((by_sink, taken))
        })
        .await
    }

    async fn mark(&self, shelf: &Shelf, which: Vec<Which>, mark: Mark) -> Result<(), Denied> {
        let (letters, now) = (Arc::clone(&shelf.letters), self.clock.now());
        let job = move || letters.lock().unwrap_or_else(PoisonError::into_inner).mark(&which, mark, now);
        let done = self.disk.run(job).await.map_err(|gone| Denied::Broken(gone.to_string()))?;
        done.map_err(|error| Denied::Broken(format!("the dead letters' folder cannot be written: {error}")))
    }

    /// Runs `job` on a worker thread: it reads files that may be large.
    async fn on_disk<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Denied> {
        let done = self.workers.run(job).await.map_err(|gone| Denied::Broken(gone.to_string()))?;
        done.map_err(|error| Denied::Broken(format!("the dead letters cannot be read: {error}")))
    }
}

impl Taken {
    fn leave(&mut self, letters: u64, reason: &str) {
        self.left += letters;
        self.because.get_or_insert_with(|| reason.to_owned());
    }

    /// Nothing at all where something was meant is a denial.
    fn or_denied(self) -> Result<Self, Denied> {
        match &self.because {
            Some(reason) if self.letters == 0 => Err(Denied::Impossible(reason.clone())),
            _ => Ok(self),
        }
    }
}

/// The way back to a sink.
pub(crate) fn way(sink: &dyn Sink, wake: &Arc<Notify>) -> Way {
    if sink.takes_again() { Way::Courier(Arc::clone(wake)) } else { Way::Settles }
}
