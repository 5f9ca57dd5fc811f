//! Which services, span names and attribute keys there are. A file never changes, so what is in it is read once and kept, as
//! much of it as a fixed number of bytes holds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, MutexGuard};

use rows::{Filter, Keys, Seen, Subject};

use crate::index::Stored;
use crate::kept::Kept;
use crate::reader::{Reader, View};
use crate::search::{Asked, Budget, Extent, Looked, in_file, in_memory, newest_first};

/// Different names or keys that are kept of one file, and that one answer holds at most.
const MOST_OF_A_FILE: Room = Room { texts: 5_000, bytes: 512 << 10 };
const MOST: Room = Room { texts: 50_000, bytes: 8 << 20 };

/// The kinds of spans, by their bit in `Operations`.
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// Services and the names of their spans.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operations {
    services: BTreeMap<String, BTreeMap<String, u8>>,
    taken: Room,
    /// What was looked at.
    pub extent: Extent,
}

/// The keys of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttributeKeys {
    /// Of spans.
    pub span: BTreeSet<String>,
    /// Of resources.
    pub resource: BTreeSet<String>,
    taken: Room,
    /// What was looked at.
    pub extent: Extent,
}

impl Operations {
    /// The services, in the order of text; empty for spans without one.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// The names of a service's spans with their kinds, in the order of text.
    pub fn of(&self, service: &str) -> impl Iterator<Item = (&str, &'static str)> {
        self.services.get(service).into_iter().flatten().flat_map(|(name, kinds)| {
            let has = move |bit: &usize| kinds & (1 << bit) != 0;
            (0..KINDS.len()).filter(has).map(move |bit| (name.as_str(), KINDS[bit]))
        })
    }

    fn put(&mut self, service: &str, name: &str, kinds: u8, most: Room) {
        if let Some(known) = self.services.get_mut(service).and_then(|names| names.get_mut(name)) {
            *known |= kinds;
            return;
        }
        if !self.taken.take(service.len() + name.len(), most) {
            self.extent.truncated = true;
            return;
        }
        self.services.entry(service.to_owned()).or_default().insert(name.to_owned(), kinds);
    }
}

impl Known for Operations {
    fn columns() -> &'static [&'static str] {
        &["service_name", "name", "kind"]
    }

    fn note(&mut self, seen: &dyn Seen) {
        let text = |subject| seen.text(subject).unwrap_or_default();
        let (service, name, kind) = (text(&Subject::Service), text(&Subject::Name), text(&Subject::Kind));
        let bit = KINDS.iter().position(|known| *known == kind).unwrap_or(0);
        self.put(&service, &name, 1 << bit, MOST_OF_A_FILE);
    }

    fn join(&mut self, other: &Self) {
        self.extent.truncated |= other.extent.truncated;
        for (service, names) in &other.services {
            for (name, kinds) in names {
                self.put(service, name, *kinds, MOST);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.taken.bytes + self.taken.texts * 128
    }

    fn extent(&mut self) -> &mut Extent {
        &mut self.extent
    }

    fn kept(reader: &Reader) -> MutexGuard<'_, Kept<Arc<Self>>> {
        reader.operations_kept()
    }
}

impl Known for AttributeKeys {
    fn columns() -> &'static [&'static str] {
        &["attributes", "resource_attributes"]
    }

    fn note(&mut self, seen: &dyn Seen) {
        let Self { span, resource, taken, extent } = self;
        for (of, keys) in [(Keys::Span, span), (Keys::Resource, resource)] {
            seen.keys(of, &mut |key| extent.truncated |= !put(keys, key, taken, MOST_OF_A_FILE));
        }
    }

    fn join(&mut self, other: &Self) {
        let Self { span, resource, taken, extent } = self;
        extent.truncated |= other.extent.truncated;
        for (keys, others) in [(span, &other.span), (resource, &other.resource)] {
            for key in others {
                extent.truncated |= !put(keys, key, taken, MOST);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.taken.bytes + self.taken.texts * 48
    }

    fn extent(&mut self) -> &mut Extent {
        &mut self.extent
    }

    fn kept(reader: &Reader) -> MutexGuard<'_, Kept<Arc<Self>>> {
        reader.keys_kept()
    }
}

/// Whether there was room.
fn put(keys: &mut BTreeSet<String>, key: &str, taken: &mut Room, most: Room) -> bool {
    if keys.contains(key) {
        return true;
    }
    taken.take(key.len(), most) && keys.insert(key.to_owned())
}

/// Different texts and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Room {
    pub(crate) texts: usize,
    pub(crate) bytes: usize,
}

impl Room {
    /// Takes a text of so many bytes, unless there would be more than `most`.
    pub(crate) fn take(&mut self, bytes: usize, most: Self) -> bool {
        let room = self.texts < most.texts && self.bytes + bytes <= most.bytes;
        if room {
            self.texts += 1;
            self.bytes += bytes;
        }
        room
    }
}

/// All times: what a file holds is kept whole, whatever was asked for first.
const ALWAYS: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// What can be known of a file once and for all.
pub(crate) trait Known: Default {
    /// The columns that it is read from.
    fn columns() -> &'static [&'static str];
    /// Takes a span in.
    fn note(&mut self, seen: &dyn Seen);
    /// Takes in what is known of a file.
    fn join(&mut self, other: &Self);
    /// About the bytes it takes in memory.
    fn bytes(&self) -> usize;
    /// What the answer covers.
    fn extent(&mut self) -> &mut Extent;
    /// What is known of other files.
    fn kept(reader: &Reader) -> MutexGuard<'_, Kept<Arc<Self>>>;
}

/// What is known of all files with spans of these times, and of the rows in memory.
pub(crate) fn known<T: Known>(reader: &Reader, times: &RangeInclusive<i64>, view: &View, most: u64) -> T {
    let all = Filter::All(Vec::new());
    let mut found = T::default();
    let _ = in_memory(view, times, &all, &mut |seen| {
        found.note(seen);
        ControlFlow::Continue(())
    });
    let mut budget = Budget::new(most);
    for stored in newest_first(view, times) {
        match of_file(reader, stored, &all, &mut budget) {
            Ok(known) => found.join(&known),
            Err(looked) => found.extent().note(looked),
        }
        if found.extent().partial {
            break;
        }
    }
    found.extent().rows = budget.spent;
    found
}

fn of_file<T: Known>(
    reader: &Reader,
    stored: &Stored,
    all: &Filter,
    budget: &mut Budget,
) -> Result<Arc<T>, Looked> {
    let path = stored.key.path();
    let known = T::kept(reader).get(&path, stored.size);
    if let Some(known) = known {
        return Ok(known);
    }
    let mut here = T::default();
    let asked = Asked { times: &ALWAYS, filter: all, columns: T::columns() };
    let looked = in_file(reader, stored, &asked, budget, &mut |seen| {
        here.note(seen);
        ControlFlow::Continue(())
    });
    if looked != Looked::Whole {
        return Err(looked);
    }
    let bytes = here.bytes();
    let here = Arc::new(here);
    T::kept(reader).put(path, stored.size, Arc::clone(&here), bytes);
    Ok(here)
}
