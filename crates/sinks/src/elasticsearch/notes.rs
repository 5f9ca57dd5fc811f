//! What the server has said of items whose parcel comes again, since it could not take others of them yet: so that the next attempt sends
//! only those. It is memory only: after a restart all are sent again, and their ids see to it that none is stored twice.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Signal;
use pipeline::{ItemPlace, Parcel};

/// How many items are remembered: more than all parcels in flight have. Parcels that were given up leave theirs behind.
const MOST: usize = 200_000;

/// What became of an item for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The server has it.
    Stored,
    /// The server will not have it.
    Refused(String),
}

/// Signal, offset and index of an item.
type Key = (Signal, u64, u32);

/// The notes of all parcels under way.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<HashMap<Key, Fate>>);

/// What is noted of one parcel's items, by index.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted(Vec<Option<Fate>>);

impl Noted {
    /// What became of the item with this index in the parcel.
    pub(super) fn get(&self, index: u32) -> Option<&Fate> {
        self.0.get(index as usize).and_then(Option::as_ref)
    }

    pub(super) fn set(&mut self, index: u32, fate: Fate) {
        if let Some(slot) = self.0.get_mut(index as usize) {
            *slot = Some(fate);
        }
    }

    /// How many items nothing is noted of.
    pub(super) fn open(&self) -> usize {
        self.0.iter().filter(|fate| fate.is_none()).count()
    }

    /// Index and reason of the refused.
    pub(super) fn refused(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().zip(0..).filter_map(|(fate, index)| match fate {
            Some(Fate::Refused(reason)) => Some((index, &**reason)),
            _ => None,
        })
    }
}

fn key(parcel: &Parcel, place: &ItemPlace) -> Key {
    (parcel.signal, place.offset.0, place.index)
}

impl Notes {
    fn map(&self) -> MutexGuard<'_, HashMap<Key, Fate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted of the parcel's items.
    pub(super) fn of(&self, parcel: &Parcel) -> Noted {
        let map = self.map();
        if map.is_empty() {
            return Noted(vec![None; parcel.items() as usize]);
        }
        Noted(parcel.places().map(|place| map.get(&key(parcel, &place)).cloned()).collect())
    }

    /// Remembers until the parcel comes again.
    pub(super) fn keep(&self, parcel: &Parcel, noted: &Noted) {
        let mut map = self.map();
        if map.len() > MOST {
            map.clear();
        }
        for (place, fate) in parcel.places().zip(&noted.0) {
            if let Some(fate) = fate {
                map.insert(key(parcel, &place), fate.clone());
            }
        }
    }

    /// Forgets a parcel that is done.
    pub(super) fn forget(&self, parcel: &Parcel) {
        let mut map = self.map();
        if !map.is_empty() {
            parcel.places().for_each(|place| drop(map.remove(&key(parcel, &place))));
        }
    }
}
