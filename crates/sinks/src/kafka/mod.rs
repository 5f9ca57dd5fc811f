//! Kafka, by librdkafka (its protocol guide; `CONFIGURATION.md` of librdkafka 2.12): an idempotent producer for each signal.

mod answer;
mod key;
mod pack;
mod producer;
mod settings;
mod shipment;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Failure, Problem, RefusedItem, Signal};
use pipeline::settings::Secret;
use pipeline::{BoxFuture, CheckedSink, Cut, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};

use answer::{Meaning, meaning, reason};
use pack::Packer;
use producer::{Address, Session, Unsent};
use settings::{Checked, Form};
use shipment::{Failed, Shipment, Ticket};

use crate::losses::{Losses, left_out};

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "kafka",
    summary: "Writes traces, logs and metrics to Kafka topics, keyed by trace or series.",
    schema: || schemars::schema_for!(settings::Settings),
    check: |value| -> Result<Box<dyn CheckedSink>, Vec<Problem>> { Ok(Box::new(settings::check(value)?)) },
    example: "kafka:\n  type: kafka\n  brokers: [\"kafka:9092\"]\n  traces: { topic: otlp_spans, key: trace_id }\n  logs: { topic: \"logs.{tenant}\", encoding: raw }\n  compression: zstd\n",
    page: include_str!("page.md"),
};

impl CheckedSink for Checked {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            for file in &self.files {
                std::fs::File::open(file)
                    .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            }
            let Checked { forms, properties, .. } = *self;
            let sink = Kafka {
                signals: forms.iter().map(|form| form.signal).collect(),
                lanes: forms.into_iter().map(Lane::new).collect(),
                properties: Arc::new(properties),
                losses: Losses::new(Arc::clone(&context.name), context.metrics),
                name: context.name,
                workers: context.workers,
            };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

struct Kafka {
    name: Arc<str>,
    signals: Vec<Signal>,
    lanes: Vec<Lane>,
    properties: Arc<Vec<(&'static str, Secret)>>,
    workers: Workers,
    losses: Losses,
}

/// What one signal has for itself: no signal waits for another, nor loses anything by another's mishap.
struct Lane {
    form: Arc<Form>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// The last attempt, unless all of it arrived: which items, and what became of their messages.
    last: Option<(Contents, Arc<Shipment>)>,
    /// Whether it was told that requests were not split by key.
    told: bool,
}

/// Exactly which items: the same contents make the same messages.
type Contents = Vec<(u64, Range<u32>)>;

impl Sink for Kafka {
    fn signals(&self) -> &[Signal] {
        &self.signals
    }

    fn cut(&self) -> Cut {
        // While one parcel is under way the next gathers, so that none needs to wait for more.
        Cut { max_items: 50_000, max_bytes: 4 << 20, max_stored_bytes: 4 << 20, max_wait: Duration::ZERO }
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.send(parcel))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // Whatever was handed over was reported or given up when its delivery ended.
            let sessions: Vec<_> = self.lanes.iter().filter_map(|lane| lane.state().session.take()).collect();
            let ends: Vec<_> = sessions.iter().map(|session| session.close()).collect();
            for end in ends {
                let _ = end.await;
            }
        })
    }
}

impl Kafka {
    async fn send(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let Some(lane) = self.lanes.iter().find(|lane| lane.form.signal == parcel.signal) else {
            return Err(Failure::RefusedWhole { reason: format!("this sink takes no {}", parcel.signal) });
        };
        let session = self.session(lane).await?;
        let _ = session.complaint();
        let underway = Underway::begin(lane, Arc::clone(&session), parcel);
        let to = Arc::new(Address {
            topic: lane.form.topic.of(&parcel.tenant),
            tenant: parcel.tenant.to_string(),
            signal: parcel.signal.as_str(),
        });
        let shipment = Arc::clone(&underway.shipment);
        let load = Load::new(parcel.clone(), &lane.form, &to, &session, shipment);
        let (mut load, stopped) = self.ship(load).await?;
        let mut failed = underway.shipment.failed();
        if stopped.is_none() && failed.iter().all(|failed| !meaning(failed.code).is_of_all()) {
            failed = self.narrow(parcel, &mut load, failed, lane).await?;
        }
        let worst = failed.iter().max_by_key(|failed| meaning(failed.code));
        let explain = |failed: &Failed| reason(&to.topic, failed.code, session.complaint().as_deref());
        let worst = worst.map(|failed| (failed, meaning(failed.code)));
        let outcome = match (worst, stopped) {
            (Some((failed, Meaning::Renew | Meaning::Retry)), _) => Err(retry(explain(failed))),
            (Some((failed, Meaning::TooLarge)), _) => Err(Failure::TooLarge { reason: explain(failed) }),
            (_, Some(stopped)) => Err(stopped),
            (_, None) => refused(&load, &failed, |failed| reason(&to.topic, failed.code, None)),
        };
        let renew = worst.is_some_and(|(_, meaning)| meaning == Meaning::Renew);
        underway.end(outcome.is_ok(), renew);
        if outcome.is_ok() {
            self.losses.book(&load.packer.losses);
        }
        self.tell(lane, load.packer.unsplit);
        outcome.map(|()| left_out(Receipt::Delivered, &load.packer.losses, parcel.items()))
    }

    /// Hands over all messages of a load, and waits for their reports. A failure among the answers says why there was no use in going on.
    async fn ship(&self, mut load: Load) -> Result<(Load, Option<Failure>), Failure> {
        let shipment = Arc::clone(&load.shipment);
        let stopped = loop {
            let job = move || {
                let step = load.run();
                (load, step)
            };
            let (back, step) = self.workers.run(job).await.map_err(|gone| retry(gone.to_string()))?;
            load = back;
            match step {
                Loaded::Full => room(&shipment).await,
                Loaded::All => break None,
                Loaded::Stopped(failure) => break Some(failure),
            }
        };
        shipment.drained(0).await;
        Ok((load, stopped))
    }

    /// Sends the items of messages that a broker found too large again, in halves, until those that it refuses alone are found: they are noted
    /// in `load`. One message at a time, since a broker judges whole batches, and refuses good messages with a bad one. Answers what failed for other reasons,
    /// or cannot be found out so because it was translated.
    async fn narrow(
        &self,
        parcel: &Parcel,
        load: &mut Load,
        failed: Vec<Failed>,
        lane: &Lane,
    ) -> Result<Vec<Failed>, Failure> {
        let (too_large, mut failed): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|failed| meaning(failed.code) == Meaning::TooLarge);
        for message in too_large {
            let mut pieces = match load.messages.get(message.message as usize) {
                Some(items) if !items.is_empty() => runs(items),
                _ => {
                    failed.push(message);
                    continue;
                }
            };
            while let Some(run) = pieces.pop() {
                let shipment = Arc::new(Shipment::default());
                let piece = Load::new(parcel.cut(run.clone()), &lane.form, &load.to, &load.session, shipment);
                let (piece, stopped) = self.ship(piece).await?;
                if let Some(stopped) = stopped {
                    return Err(stopped);
                }
                let first = |index: u32| run.start + index;
                let alone = piece.packer.refused.iter();
                load.packer.refused.extend(
                    alone.map(|item| RefusedItem { index: first(item.index), reason: item.reason.clone() }),
                );
                let Some(worst) =
                    piece.shipment.failed().into_iter().max_by_key(|failed| meaning(failed.code))
                else {
                    continue;
                };
                match meaning(worst.code) {
                    Meaning::TooLarge if run.len() > 1 => {
                        let middle = run.start + run.len() as u32 / 2;
                        pieces.extend([middle..run.end, run.start..middle]);
                    }
                    Meaning::TooLarge | Meaning::Refused => {
                        let reason = reason(&load.to.topic, worst.code, None);
                        let refused = run.map(|index| RefusedItem { index, reason: reason.clone() });
                        load.packer.refused.extend(refused);
                    }
                    Meaning::Renew | Meaning::Retry => {
                        failed.push(Failed { message: message.message, code: worst.code });
                        return Ok(failed);
                    }
                }
            }
        }
        Ok(failed)
    }

    async fn session(&self, lane: &Lane) -> Result<Arc<Session>, Failure> {
        if let Some(session) = lane.state().session.clone() {
            return Ok(session);
        }
        let (name, properties) = (Arc::clone(&self.name), Arc::clone(&self.properties));
        let opened = self.workers.run(move || Session::open(name, &properties)).await;
        let opened = opened.map_err(|gone| retry(gone.to_string()))?;
        let session = Arc::new(opened.map_err(|error| retry(format!("no producer can be made: {error}")))?);
        lane.state().session = Some(Arc::clone(&session));
        Ok(session)
    }

    fn tell(&self, lane: &Lane, unsplit: u32) {
        if unsplit > 0 && !std::mem::replace(&mut lane.state().told, true) {
            tracing::warn!(
                sink = &*self.name,
                signal = lane.form.signal.as_str(),
                "a request would grow too much if it was split by key, and went out without; told once"
            );
        }
    }
}

/// Ascending numbers as stretches.
fn runs(items: &[u32]) -> Vec<Range<u32>> {
    let mut items = items.to_vec();
    items.sort_unstable();
    let mut runs: Vec<Range<u32>> = Vec::new();
    for item in items {
        match runs.last_mut() {
            Some(run) if run.end == item => run.end += 1,
            _ => runs.push(item..item + 1),
        }
    }
    runs
}

fn retry(reason: String) -> Failure {
    Failure::Retry { after: None, reason }
}

/// What is left when nothing is to be tried again: everything delivered, or items refused by name.
fn refused(load: &Load, failed: &[Failed], why: impl Fn(&Failed) -> String) -> Result<(), Failure> {
    let mut items = load.packer.refused.clone();
    for failed in failed {
        match load.messages.get(failed.message as usize) {
            Some(of) if !of.is_empty() => {
                items.extend(of.iter().map(|index| RefusedItem { index: *index, reason: why(failed) }));
            }
            // Translated: only halving finds out which it was.
            _ => return Err(Failure::RefusedWhole { reason: why(failed) }),
        }
    }
    if items.is_empty() { Ok(()) } else { Err(Failure::Refused { items }) }
}

/// Waits until the producer has room again.
async fn room(shipment: &Shipment) {
    match shipment.under_way() {
        // librdkafka gives the room of a message back a moment after its report.
        0 => tokio::time::sleep(Duration::from_millis(1)).await, // waits for time: nothing signals this room
        under_way => shipment.drained(under_way / 2).await,
    }
}

/// Making messages and handing them over, on a worker thread.
struct Load {
    packer: Packer,
    to: Arc<Address>,
    session: Arc<Session>,
    shipment: Arc<Shipment>,
    /// The items of each message.
    messages: Vec<Vec<u32>>,
}

enum Loaded {
    All,
    Full,
    /// There is no use in going on. A report may say more of why.
    Stopped(Failure),
}

impl Load {
    fn new(
        parcel: Parcel,
        form: &Arc<Form>,
        to: &Arc<Address>,
        session: &Arc<Session>,
        shipment: Arc<Shipment>,
    ) -> Self {
        let (to, session) = (Arc::clone(to), Arc::clone(session));
        Self { packer: Packer::new(parcel, Arc::clone(form)), to, session, shipment, messages: Vec::new() }
    }

    fn run(&mut self) -> Loaded {
        loop {
            if self.shipment.is_doomed() {
                return Loaded::Stopped(retry("a message was not delivered".into()));
            }
            let mut message = match self.packer.next() {
                Ok(Some(message)) => message,
                Ok(None) => return Loaded::All,
                Err(failure) => return Loaded::Stopped(failure),
            };
            let number = self.messages.len() as u32;
            if !self.shipment.has(number) {
                let ticket = Ticket { shipment: Arc::clone(&self.shipment), message: number };
                self.shipment.depart();
                match self.session.send(&self.to, &message, ticket) {
                    Ok(()) => {}
                    Err(Unsent::Full) => {
                        self.shipment.stay();
                        self.packer.put_back(message);
                        return Loaded::Full;
                    }
                    Err(Unsent::Failed(code)) => self.shipment.report(number, Err(code)),
                }
            }
            self.messages.push(std::mem::take(&mut message.items));
        }
    }
}

impl Lane {
    fn new(form: Arc<Form>) -> Self {
        Self { form, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One delivery under way. Dropped before its end (its deadline has come) it ends the producer, so that nothing that was not sent
/// yet is sent behind the courier's back; the next attempt begins a new one.
struct Underway<'a> {
    lane: &'a Lane,
    session: Arc<Session>,
    shipment: Arc<Shipment>,
    contents: Contents,
    renew: bool,
    delivered: bool,
}

impl<'a> Underway<'a> {
    fn begin(lane: &'a Lane, session: Arc<Session>, parcel: &Parcel) -> Self {
        let contents: Contents =
            parcel.parts.iter().map(|part| (part.offset.0, part.items.clone())).collect();
        let last = lane.state().last.take();
        let earlier = last.filter(|(of, _)| *of == contents).map(|(_, shipment)| shipment);
        let shipment = Arc::new(Shipment::after(earlier.as_deref()));
        Self { lane, session, shipment, contents, renew: true, delivered: false }
    }

    /// Every message was reported.
    fn end(mut self, delivered: bool, renew: bool) {
        (self.delivered, self.renew) = (delivered, renew);
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        if !self.delivered {
            state.last = Some((std::mem::take(&mut self.contents), Arc::clone(&self.shipment)));
        }
        if self.renew {
            state.session = None;
            drop(self.session.close());
        }
    }
}

#[cfg(test)]
mod tests;
