//! What a cursor stores, and how it lies in its slots.
//!
//! Payload: the sink's name, then `u64 low, u64 orphaned, u64 × 2 open range, u32 + finished ranges, books, census of what came
//! before`, then since replays exist `u64 until, u64 last replay, books of replays`, then parts that begin with a `u16` tag: 1, the
//! rules that the open range was begun under, as `u64`. What is missing at the end is read as not there, and a version that
//! knows nothing of it leaves it unread.

use model::UnixNanos;

use crate::Offset;
use crate::books::{self, Books, Census};
use crate::fields::{Put, Take};

/// A range above the low-water mark that is wholly done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// First offset.
    pub first: Offset,
    /// Last offset.
    pub last: Offset,
    /// What became of its items; they move to the cursor's books when the low-water mark passes the range.
    pub books: Books,
}

/// What a cursor stores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The first offset that is not wholly done: everything below is.
    pub low: Offset,
    /// Done ranges above `low`, ascending, apart from each other; at most [`crate::MAX_FINISHED`].
    pub finished: Vec<Finished>,
    /// A range that a sink has begun to write and must write again exactly so.
    pub open: Option<(Offset, Offset)>,
    /// The version of the sink's rules that `open` was begun under, 0 for none; `None` where there is no such range, or it was
    /// begun by a gateway that kept no note of that.
    pub open_rules: Option<u64>,
    /// What became of the items below `low`, and of nothing else.
    pub books: Books,
    /// What replays brought, beside the way that every item takes once.
    pub replays: Replays,
}

/// What became of items that were delivered once more. No part of the balance: the items of a replay were booked before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replays {
    /// The number of the last replay of the journal that is over; its books are in here.
    pub last: u64,
    /// By origin; `delivered` are the items that the destination was brought again.
    pub books: Books,
}

/// Everything in a payload behind the name.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) state: State,
    pub(crate) before: Census,
    pub(crate) orphaned: UnixNanos,
    pub(crate) until: u64,
}

pub(crate) fn encode(state: &State, before: &Census, orphaned: UnixNanos, until: u64, put: &mut Put) {
    put.u64(state.low.0);
    put.u64(orphaned.0);
    let (first, last) = state.open.unwrap_or_default();
    put.u64(first.0);
    put.u64(last.0);
    put.u32(state.finished.len() as u32);
    for range in &state.finished {
        put.u64(range.first.0);
        put.u64(range.last.0);
        range.books.encode(put);
    }
    state.books.encode(put);
    books::encode_census(before, put);
    put.u64(until);
    put.u64(state.replays.last);
    state.replays.books.encode(put);
    if let Some(rules) = state.open_rules {
        put.u16(OPEN_RULES);
        put.u64(rules);
    }
}

/// The tag of the rules that the open range was begun under.
const OPEN_RULES: u16 = 1;

impl Stored {
    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let low = Offset(take.u64()?.max(1));
        let orphaned = UnixNanos(take.u64()?);
        let open = (Offset(take.u64()?), Offset(take.u64()?));
        let mut finished = Vec::new();
        for _ in 0..take.u32()? {
            finished.push(Finished {
                first: Offset(take.u64()?),
                last: Offset(take.u64()?),
                books: Books::decode(take)?,
            });
        }
        let books = Books::decode(take)?;
        let open = (open.0.0 > 0).then_some(open);
        let before = books::decode_census(take)?;
        let (until, replays) = match take.0 {
            [] => (0, Replays::default()),
            _ => (take.u64()?, Replays { last: take.u64()?, books: Books::decode(take)? }),
        };
        let open_rules = match take.u16() {
            Some(OPEN_RULES) => Some(take.u64()?),
            _ => None,
        };
        let state = State { low, finished, open, open_rules, books, replays };
        Some(Self { state, before, orphaned, until })
    }
}
