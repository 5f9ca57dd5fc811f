//! Counts of items: what came in (a census), and what became of it (the books of a sink).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Origin, Signal, Source, Tenant};

use crate::Offset;
use crate::fields::{Put, Take};

/// Items by origin.
pub type Census = BTreeMap<Origin, u64>;

/// What became of one origin's items at one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// The destination has them.
    pub delivered: u64,
    /// The destination refused them while taking the rest, finally.
    pub peer_refused: u64,
    /// How many of `peer_refused` are an upper bound, since the peer gave no number.
    pub peer_refused_at_most: u64,
    /// They lie in the dead-letter file.
    pub dead_letters: u64,
    /// Gone, by reason (`filtered`, `skipped`, `expired`, `damaged` …).
    pub dropped: BTreeMap<Cow<'static, str>, u64>,
}

impl Fate {
    /// All items booked here.
    pub fn total(&self) -> u64 {
        self.delivered + self.peer_refused + self.dead_letters + self.dropped.values().sum::<u64>()
    }

    /// Adds another fate's counts.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.peer_refused += other.peer_refused;
        self.peer_refused_at_most += other.peer_refused_at_most;
        self.dead_letters += other.dead_letters;
        for (reason, items) in &other.dropped {
            *self.dropped.entry(reason.clone()).or_default() += items;
        }
    }
}

/// What became of items at one sink, by origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books(pub BTreeMap<Origin, Fate>);

impl Books {
    /// The row of one origin, made when it is missing.
    pub fn of(&mut self, origin: &Origin) -> &mut Fate {
        if !self.0.contains_key(origin) {
            self.0.insert(origin.clone(), Fate::default());
        }
        self.0.get_mut(origin).expect("inserted just above")
    }

    /// Books `items` of `origin` as dropped for `reason`.
    pub fn drop_items(&mut self, origin: &Origin, reason: impl Into<Cow<'static, str>>, items: u64) {
        *self.of(origin).dropped.entry(reason.into()).or_default() += items;
    }

    /// Adds another sink's or parcel's books.
    pub fn add(&mut self, other: &Self) {
        for (origin, fate) in &other.0 {
            self.of(origin).add(fate);
        }
    }

    /// All items booked.
    pub fn total(&self) -> u64 {
        self.0.values().map(Fate::total).sum()
    }

    pub(crate) fn encode(&self, put: &mut Put) {
        put.u32(self.0.len() as u32);
        for (origin, fate) in &self.0 {
            put.origin(origin);
            put.u64(fate.delivered);
            put.u64(fate.peer_refused);
            put.u64(fate.peer_refused_at_most);
            put.u64(fate.dead_letters);
            put.u32(fate.dropped.len() as u32);
            for (reason, items) in &fate.dropped {
                put.text(reason);
                put.u64(*items);
            }
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let mut books = Self::default();
        for _ in 0..take.u32()? {
            let origin = take.origin()?;
            let mut fate = Fate {
                delivered: take.u64()?,
                peer_refused: take.u64()?,
                peer_refused_at_most: take.u64()?,
                dead_letters: take.u64()?,
                dropped: BTreeMap::new(),
            };
            for _ in 0..take.u32()? {
                let reason = take.text()?.to_owned();
                fate.dropped.insert(reason.into(), take.u64()?);
            }
            books.0.insert(origin, fate);
        }
        Some(books)
    }
}

/// The whole journal's books at one moment. For every sink and origin:
/// `accepted = before + held + booked`, where `booked` is the total of the sink's fate.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Items accepted since the journal began, by signal and origin; counted from frames.
    pub accepted: BTreeMap<(Signal, Origin), u64>,
    /// One entry per sink and signal.
    pub sinks: Vec<SinkLedger>,
}

/// One sink's books for one signal.
#[derive(Debug, Clone)]
pub struct SinkLedger {
    /// The sink's configured name.
    pub sink: Arc<str>,
    /// The log.
    pub signal: Signal,
    /// Whether a sink of this name runs now; if not it is an orphan.
    pub registered: bool,
    /// The next offset that is not wholly done.
    pub low: Offset,
    /// Items accepted before this sink's first offset: never meant for it.
    pub before: Census,
    /// Items of durable frames at or above `low`, counted from frames. What was acknowledged above `low` is still held.
    pub held: Census,
    /// What became of the items below `low`.
    pub books: Books,
    /// What replays brought; not part of the balance.
    pub replays: Books,
}

pub(crate) fn add(census: &mut Census, origin: &Origin, items: u64) {
    if let Some(count) = census.get_mut(origin) {
        *count += items;
    } else {
        census.insert(origin.clone(), items);
    }
}

pub(crate) fn add_all(census: &mut Census, other: &Census) {
    for (origin, items) in other {
        add(census, origin, *items);
    }
}

/// `census` less `other`; rows that reach zero go.
pub(crate) fn less(census: &Census, other: &Census) -> Census {
    let left = census.iter().map(|(origin, items)| {
        (origin.clone(), items.saturating_sub(other.get(origin).copied().unwrap_or(0)))
    });
    left.filter(|(_, items)| *items > 0).collect()
}

pub(crate) fn total(census: &Census) -> u64 {
    census.values().sum()
}

pub(crate) fn encode_census(census: &Census, put: &mut Put) {
    put.u32(census.len() as u32);
    for (origin, items) in census {
        put.origin(origin);
        put.u64(*items);
    }
}

pub(crate) fn decode_census(take: &mut Take<'_>) -> Option<Census> {
    let mut census = Census::new();
    for _ in 0..take.u32()? {
        census.insert(take.origin()?, take.u64()?);
    }
    Some(census)
}

/// Whom items belong to when the bytes that told are gone.
pub(crate) fn unknown_origin() -> Origin {
    let source = Source::new("unknown").expect("a fixed, well-formed name");
    Origin { tenant: Tenant::default(), source }
}
