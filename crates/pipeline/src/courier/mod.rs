//! A courier carries one signal from the journal to one sink: it reads at the cursor, cuts parcels, keeps as many in flight as
//! the sink allows, and checkpoints what came of them. It waits for nobody but its own sink and its own disk.

mod again;
mod attempt;
mod backoff;
mod bury;
mod cut;
mod pace;
mod progress;
mod replay;
mod route;
mod rule;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use journal::{Offset, Read, ReadError, Reader};
use model::Source;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use self::again::{Again, can_go, layout_of};
use self::cut::{Gather, Load};
pub(crate) use self::pace::Pace;
use self::progress::Outcome;
pub(crate) use self::progress::Progress;
pub(crate) use self::replay::{Replay, Replays};
pub use self::route::with_causes;
pub(crate) use self::route::{Attempts, Phase, Route};
use crate::sink::{Resume, Settler};
use crate::{Edges, Parcel, Part};

/// A checkpoint follows progress after this time …
const CHECKPOINT_AFTER: Duration = Duration::from_secs(1);
/// … or after so many parcels.
const CHECKPOINT_PARCELS: u32 = 64;
/// Frames read and not left behind; a settling sink gathers many small ones.
const MOST_FRAMES: usize = 1 << 20;
/// Frames taken in one go before the loop looks at anything else.
const READ_AT_ONCE: usize = 256;

/// The loop's own state.
pub(crate) struct Courier {
    route: Arc<Route>,
    reader: Reader,
    gather: Gather,
    carriers: JoinSet<Result<(), attempt::Stopped>>,
    in_flight: usize,
    /// Parcels of a recorded range that wait for their turn.
    waiting: Vec<Parcel>,
    /// The last offset of the recorded range under way.
    range: Option<Offset>,
    since_checkpoint: u32,
    /// Whether a carrier was lost, so that the low-water mark cannot move past what it carried.
    broken: bool,
    /// Whether the last frame of a replay was read.
    ended: bool,
    /// When the next checkpoint is due; `None` while there is nothing to write.
    due: Option<Instant>,
}

impl Courier {
    pub(crate) fn new(route: Arc<Route>, reader: Reader) -> Self {
        let open = route.progress().open();
        let border = open.map(|(_, last)| last);
        let mut gather = Gather::new(Arc::clone(&route.name), route.signal, route.cut, route.edges, border);
        gather.replay = route.replay;
        let in_flight = route.pace.ceiling();
        if route.edges == Edges::Recorded && route.progress().begun_under_others(route.rules()) {
            tell_of_other_rules(&route);
        }
        if route.edges == Edges::Settled {
            let resume = Resume { next: route.progress().low(), open };
            let settler = Settler(Arc::new(settle::Door(Arc::clone(&route))));
            route.sink.attach(route.signal, resume, settler);
        }
        let carriers = JoinSet::new();
        Self {
            route,
            reader,
            gather,
            carriers,
            in_flight,
            waiting: Vec::new(),
            range: None,
            since_checkpoint: 0,
            broken: false,
            ended: false,
            due: None,
        }
    }

    /// Runs until the drain, a replay to its end; returns when nothing is in flight any more.
    pub(crate) async fn run(mut self) {
        let mut phase = self.route.phase.clone();
        while *phase.borrow_and_update() == Phase::Run && !self.broken {
            self.start().await;
            if self.is_through() {
                return;
            }
            let now = Instant::now();
            let free = self.carriers.len() < self.in_flight && self.range.is_none();
            let wake = self.gather.due().filter(|_| free);
            let mark = *self.route.mark.borrow();
            tokio::select! {
                _ = phase.changed() => {}
                Some(ended) = self.carriers.join_next() => self.ended(ended),
                read = self.reader.next(), if self.may_read() => match read {
                    Ok(read) => self.take(read, now),
                    Err(ReadError::Closed) => break,
                    Err(ReadError::Ended) => self.end_reading(),
                },
                () = sleep_until(wake) => {}
                mark = self.route.cursor.skip_past(mark) => self.skip(mark),
                () = sleep_until(self.due) => self.checkpoint().await,
            }
        }
        self.finish(&mut phase).await;
        self.route.health.stopped();
    }

    /// Delivers what was read already, each parcel once.
    async fn finish(&mut self, phase: &mut watch::Receiver<Phase>) {
        let _ = phase.wait_for(|phase| *phase == Phase::Finish).await;
        self.gather.close_all();
        loop {
            if !self.broken {
                self.start().await;
            }
            match self.carriers.join_next().await {
                Some(ended) => self.ended(ended),
                None => break,
            }
        }
    }

    /// A replay was read to its end: what was gathered goes now.
    fn end_reading(&mut self) {
        self.ended = true;
        self.gather.close_all();
    }

    fn is_through(&self) -> bool {
        self.ended && self.carriers.is_empty() && self.waiting.is_empty() && self.gather.is_empty()
    }

    fn may_read(&self) -> bool {
        let progress = self.route.progress();
        !self.ended && !self.gather.is_ready() && progress.may_read() && progress.frames() < MOST_FRAMES
    }

    /// Takes what was read and what else can be read without waiting, until a load is full.
    fn take(&mut self, first: Read, now: Instant) {
        let mut next = Some(first);
        for _ in 0..READ_AT_ONCE {
            let Some(read) = next.take() else { return };
            self.take_one(read, now);
            if !self.may_read() {
                return;
            }
            // An error here shows again where the loop waits.
            next = self.reader.try_next().unwrap_or_default();
        }
        if let Some(read) = next {
            self.take_one(read, now);
        }
    }

    fn take_one(&mut self, read: Read, now: Instant) {
        match read {
            Read::Frame(frame) => {
                let (offset, layout, items) = (frame.offset, frame.layout, frame.items.into());
                let unwanted = self.unwanted(&frame.origin.source);
                let mut progress = self.route.progress();
                let deliver = progress.read(offset, &frame.origin, items) && unwanted.is_none();
                if let Some(reason) = unwanted {
                    progress.book(offset, Outcome::Dropped(reason), items);
                }
                drop(progress);
                match deliver {
                    true => self.gather.push(Part::of(frame), layout, now),
                    false => self.gather.skip(offset),
                }
            }
            Read::Lost { first, last, origins, reason, items } => {
                self.route.progress().lost((first, last), &origins, reason);
                self.gather.skip(last);
                if items > 0 {
                    let (sink, signal) = (&*self.route.name, self.route.signal);
                    tracing::error!(sink, signal = %signal, items, reason, first = first.0, last = last.0, "items are gone");
                }
            }
        }
        self.touched();
    }

    /// Why the sink has no use for what is derived from what it is given anyway.
    fn unwanted(&self, source: &Source) -> Option<&'static str> {
        let route = &self.route;
        if source.is_revised() && !route.sink.shows_revisions() {
            return Some("revised");
        }
        let is_joined = || route.options.rules.as_ref().is_some_and(|rules| rules.are_joined());
        (source.is_joined() && !is_joined()).then_some("joined")
    }

    /// Gives up everything below `mark`: what waits is woken and booked `skipped`, and so is what the sink has not settled.
    fn skip(&mut self, mark: Offset) {
        tracing::error!(sink = &*self.route.name, signal = %self.route.signal, below = mark.0, "the journal is full: items are skipped");
        self.route.mark.send_replace(mark);
        if self.route.edges == Edges::Settled {
            self.route.progress().skip(mark);
        }
        self.touched();
    }

    /// Starts what may start.
    async fn start(&mut self) {
        loop {
            while self.carriers.len() < self.in_flight
                && let Some(parcel) = self.waiting.pop()
            {
                self.launch(parcel);
            }
            if !self.waiting.is_empty() || self.carriers.len() >= self.in_flight || self.range.is_some() {
                return;
            }
            let Some(load) = self.gather.take(Instant::now()) else { return };
            if !self.record(&load).await {
                return;
            }
            self.waiting = load.parcels;
            self.waiting.reverse();
        }
    }

    /// Where edges are recorded: makes the range durable before its first attempt, however long that takes.
    async fn record(&mut self, load: &Load) -> bool {
        if self.route.edges != Edges::Recorded {
            return true;
        }
        self.range = Some(load.last);
        loop {
            let begun = self.route.progress().begin(load.last, self.route.rules());
            debug_assert!(begun.is_ok(), "one range at a time: {begun:?}");
            if !self.route.progress().is_dirty() || self.route.checkpoint().await.is_ok() {
                return true;
            }
            if self.route.pause(CHECKPOINT_AFTER).await.is_err() {
                // Nothing of the range is attempted: it is read again after the restart.
                return false;
            }
        }
    }

    fn launch(&mut self, parcel: Parcel) {
        // Rules make the plain bytes anew.
        let copies = if self.route.options.rules.is_some() { 2 } else { 1 };
        let bytes = |part: &Part| part.stored_share() + copies * part.plain_share();
        let bytes: u64 = parcel.parts.iter().map(bytes).sum();
        let (route, alone) = (Arc::clone(&self.route), self.carriers.is_empty());
        self.carriers.spawn(async move {
            // One parcel per courier moves even when the pool is empty, since only that frees anything.
            let lease = if alone { route.memory.overdraw(bytes) } else { route.memory.wait(bytes).await };
            attempt::carry(route, parcel, lease).await
        });
    }

    fn ended(&mut self, ended: Result<Result<(), attempt::Stopped>, tokio::task::JoinError>) {
        if let Err(error) = ended {
            // A defect of ours: what it carried stays held, and nothing more is read until the restart brings it again.
            let (sink, signal) = (&*self.route.name, self.route.signal);
            tracing::error!(sink, signal = %signal, error = %error, "courier stopped; its data is held");
            self.route.health.noted(&format!("courier stopped: {error}"));
            self.route.health.stopped();
            self.broken = true;
            return;
        }
        if self.carriers.is_empty() && self.waiting.is_empty() && self.range.is_some() {
            self.route.progress().close_open();
            self.range = None;
        }
        self.since_checkpoint += 1;
        self.touched();
    }

    /// Sets the time of the next checkpoint when there is something to write.
    fn touched(&mut self) {
        if !self.route.progress().is_dirty() {
            return;
        }
        let now = Instant::now();
        match self.since_checkpoint >= CHECKPOINT_PARCELS {
            true => self.due = Some(now),
            false => self.due = Some(self.due.unwrap_or(now + CHECKPOINT_AFTER)),
        }
    }

    async fn checkpoint(&mut self) {
        self.due = None;
        self.since_checkpoint = 0;
        if self.route.progress().is_dirty() && self.route.checkpoint().await.is_err() {
            self.due = Some(Instant::now() + CHECKPOINT_AFTER);
        }
    }
}

/// A range was begun under other rules and perhaps sent: the peer takes it for another one where these make a difference to it.
fn tell_of_other_rules(route: &Route) {
    let told =
        "the range under way was begun under other rules and goes again under these: the peer may hold both";
    tracing::warn!(sink = &*route.name, signal = %route.signal, "{told}");
    route.health.noted(told);
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
