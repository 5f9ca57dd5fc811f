//! Delivering dead letters once more, to the one sink that refused them, under the same limits, deadline, retry and halving as
//! everything else. One parcel of letters at a time; where a peer knows parcels by their edges, one letter.
//!
//! A letter goes in this order: what became of it is known (a letter that is refused again is a new letter by then, synced),
//! that is booked among the sink's replays and checkpointed, the letter is marked as gone. After a crash in between it is
//! delivered again: it is never lost, and `replayed` counts deliveries.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use journal::{Offset, State};
use model::{ContentHash, Layout, Origin, Signal, Source, Tenant, UnixNanos};
use tokio::sync::Notify;
use wire::Coding;

use super::attempt::{Stopped, carry};
use super::progress::Progress;
use super::route::{Phase, Route};
use crate::deadletter::{Head, Letter, Mark, Which};
use crate::{Edges, Parcel, Part};

/// At most so many letters are looked at for one parcel, whatever the sink's limits.
const MOST_LETTERS: usize = 4096;
/// How long the disk is left alone when it refuses.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// Delivers the letters of one sink that are marked to be delivered again.
pub(crate) struct Again {
    /// The sink's routes, one a signal.
    routes: Vec<Arc<Route>>,
    wake: Arc<Notify>,
}

/// Letters that go together.
struct Bundle {
    signal: Signal,
    which: Vec<(Which, Offset)>,
    parcel: Parcel,
}

impl Again {
    pub(crate) fn new(routes: Vec<Arc<Route>>, wake: Arc<Notify>) -> Self {
        Self { routes, wake }
    }

    /// Runs until the drain. What is marked stays marked until it is through.
    pub(crate) async fn run(self) {
        let Some(any) = self.routes.first().map(Arc::clone) else { return };
        while *any.phase.borrow() == Phase::Run {
            let done = match any.find_bundle().await {
                Ok(Some(bundle)) => self.bring(bundle).await,
                Ok(None) => any.unless_stopped(self.wake.notified()).await,
                Err(error) => {
                    any.health.noted(&format!("dead letters cannot be read: {error}"));
                    any.pause(DISK_PAUSE).await
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn bring(&self, bundle: Bundle) -> Result<(), Stopped> {
        let Bundle { signal, which, parcel } = bundle;
        let Some(main) = self.routes.iter().find(|route| route.signal == signal) else {
            // The sink has another shape than when it refused them.
            let which: Vec<Which> = which.iter().map(|(which, _)| *which).collect();
            if let Some(any) = self.routes.first() {
                any.health
                    .noted(&format!("the sink takes no {signal} any more: {} letters stay", which.len()));
                return any.mark_letters(which, Mark::Waiting).await;
            }
            return Ok(());
        };
        let mut progress = Progress::new(State { low: Offset(0), ..State::default() }, true);
        let mut frames: BTreeMap<Offset, (&Origin, u64)> = BTreeMap::new();
        for part in &parcel.parts {
            frames.entry(part.offset).or_insert((&part.origin, 0)).1 += u64::from(part.len());
        }
        for (offset, (origin, items)) in frames {
            progress.read(offset, origin, items);
        }
        let way = Arc::new(main.beside(0, main.cursor.clone(), progress));
        let bytes = parcel.parts.iter().map(Part::stored_share).sum();
        // One parcel of letters per sink moves even when the pool is empty.
        let lease = main.memory.overdraw(bytes);
        let carried = carry(Arc::clone(&way), parcel, lease).await;
        let (books, gone) = {
            let progress = way.progress();
            let gone = which.iter().filter(|(_, offset)| progress.is_done(*offset)).map(|(which, _)| *which);
            (progress.booked(), gone.collect::<Vec<_>>())
        };
        main.progress().replayed(None, &books);
        while main.checkpoint().await.is_err() {
            main.pause(DISK_PAUSE).await?;
        }
        main.mark_letters(gone, Mark::Replayed).await?;
        carried
    }
}

impl Route {
    /// The letters that go next; `None` while none is to go.
    async fn find_bundle(&self) -> Result<Option<Bundle>, String> {
        let (letters, name) = (Arc::clone(&self.letters), Arc::clone(&self.name));
        let (cut, alone) = (self.cut, self.edges != Edges::Free);
        // A letter holds what the rules left, and is given as it is.
        let rules = self.rules();
        let job = move || {
            let view = letters.lock().unwrap_or_else(PoisonError::into_inner).view();
            let mut bundle: Option<Bundle> = None;
            let mut bytes = 0;
            for which in view.again().take(MOST_LETTERS) {
                let Some((_, letter)) = view.one(which).map_err(|error| error.to_string())? else { continue };
                let Some((part, signal, layout)) = part_of(&letter) else { continue };
                let (tenant, offset) = (part.origin.tenant.clone(), part.offset);
                bytes += part.plain_share();
                let bundle = match &mut bundle {
                    None => bundle.insert(Bundle {
                        signal,
                        which: Vec::new(),
                        parcel: Parcel {
                            sink: Arc::clone(&name),
                            tenant,
                            signal,
                            layout,
                            parts: Vec::new(),
                            rules,
                            replay: 0,
                            attempt: 0,
                            begun: false,
                        },
                    }),
                    Some(first) => {
                        let parcel = &first.parcel;
                        let alike =
                            (&parcel.tenant, parcel.signal, parcel.layout) == (&tenant, signal, layout);
                        let fits = parcel.items() < cut.max_items && bytes <= cut.max_bytes;
                        if alone || !fits {
                            break;
                        }
                        if !alike {
                            continue;
                        }
                        first
                    }
                };
                bundle.which.push((which, offset));
                // The same item may have two letters when the first was written shortly before a crash.
                let same = |other: &Part| (other.offset, other.number(0)) == (part.offset, part.number(0));
                if !bundle.parcel.parts.iter().any(same) {
                    bundle.parcel.parts.push(part);
                }
            }
            if let Some(bundle) = &mut bundle {
                bundle.parcel.parts.sort_by_key(|part| (part.offset, part.number(0)));
            }
            Ok(bundle)
        };
        self.workers.run(job).await.map_err(|gone| gone.to_string())?
    }

    /// Marks letters, however long the disk takes to have room.
    async fn mark_letters(&self, which: Vec<Which>, mark: Mark) -> Result<(), Stopped> {
        if which.is_empty() {
            return Ok(());
        }
        let which = Arc::new(which);
        loop {
            let (letters, which, now) = (Arc::clone(&self.letters), Arc::clone(&which), self.clock.now());
            let job = move || letters.lock().unwrap_or_else(PoisonError::into_inner).mark(&which, mark, now);
            match self.disk.run(job).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => self.health.noted(&format!("dead letters cannot be marked: {error}")),
                Err(gone) => self.health.noted(&format!("dead letters cannot be marked: {gone}")),
            }
            self.pause(DISK_PAUSE).await?;
        }
    }
}

/// Whether a letter can be delivered again: its bytes are whole items of a known layout.
pub(crate) fn can_go(head: &Head) -> Result<(), String> {
    if head.unreadable {
        return Err("its bytes could not be read when it was given up".to_owned());
    }
    let known = signal_of(&head.signal).is_some() && layout_of(&head.layout).is_some();
    if !known || content_of(&head.id).is_none() || head.items == 0 {
        return Err("it was written by another version in a form that is not known here".to_owned());
    }
    Ok(())
}

/// The part that a letter is; its items keep the numbers and the identity that they came with.
fn part_of(letter: &Letter) -> Option<(Part, Signal, Layout)> {
    let head = &letter.head;
    can_go(head).ok()?;
    let numbers: Vec<u32> = (head.first..head.first.checked_add(head.items)?).collect();
    let part = Part {
        offset: Offset(head.offset),
        items: 0..head.items,
        frame_items: head.items,
        kept: Some(numbers.into()),
        // What rules it went through when it was given up is not known.
        changed: true,
        origin: Origin { tenant: Tenant::new(&head.tenant)?, source: Source::new(&head.source)? },
        content_hash: content_of(&head.id)?,
        received: UnixNanos(head.received),
        derived: 0,
        coding: Coding::Plain,
        plain_len: u32::try_from(letter.plain.len()).ok()?,
        body: letter.plain.clone(),
        inflated: Arc::new(OnceLock::new()),
    };
    Some((part, signal_of(&head.signal)?, layout_of(&head.layout)?))
}

fn signal_of(name: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.as_str() == name)
}

pub(crate) fn layout_of(name: &str) -> Option<Layout> {
    match name {
        "otlp" => Some(Layout::Otlp),
        "remote_write" => Some(Layout::RemoteWrite),
        _ => None,
    }
}

/// The content hash is the first 32 digits of an item's identity.
fn content_of(id: &str) -> Option<ContentHash> {
    u128::from_str_radix(id.get(..32)?, 16).ok().map(ContentHash)
}
