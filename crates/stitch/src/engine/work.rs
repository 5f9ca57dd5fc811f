//! What is in memory between two turns: a read-through and write-back view of the join store.

mod recent;
mod timers;
mod way;

use std::collections::BTreeSet;

use ahash::HashMap;
use model::{Signal, Tenant, UnixNanos};

use super::Reached;
use crate::book::{Book, BookError, Changes, Hot, Index, Spans, log, tree};
use crate::cluster::Cluster;
use crate::fact::{Fact, Seen, Trace};
use recent::Recent;
use timers::Timers;

/// Keys, and traces, that are kept in memory after a turn, and as many once more.
const KEPT: usize = 20_000;
/// Bytes of clusters that are kept in memory after a turn, about, and as much once more: those that wait for their time, and those that
/// the edge's records come to while they are young.
const KEPT_BYTES: usize = 20 << 20;
/// Spans that a trace remembers.
const MOST_SEEN: usize = 512;
/// Clusters that one trace is told to; a trace id that so many requests name is no request's.
const MOST_ASKING: usize = 1024;

/// An entry and whether it has to be written.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) value: T,
    pub(super) is_changed: bool,
}

impl<T> Held<T> {
    pub(super) fn read(value: T) -> Self {
        Self { value, is_changed: false }
    }

    pub(super) fn new(value: T) -> Self {
        Self { value, is_changed: true }
    }
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is there now.
    New,
    /// It was there already.
    Copy,
    /// There is no room for it.
    NoRoom,
}

/// What became of a fact, and how many facts there was no room for, it and others that it ties to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absorbed {
    pub(super) taken: Taken,
    pub(super) left_out: u64,
}

/// A cluster in memory; `None` where it went into another.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) cluster: Option<Cluster>,
    pub(super) is_changed: bool,
    /// Whether its keys lie in the newest generation.
    is_young: bool,
}

#[derive(Debug, Default)]
pub(super) struct Work {
    clusters: Recent<u64, Home>,
    keys: Recent<(u32, Index), Held<u64>>,
    traces: Recent<(u32, Trace), Held<Spans>>,
    due: BTreeSet<u64>,
    timers: Timers,
    tenants: HashMap<String, u32>,
    new_tenants: Vec<(String, u32)>,
    next: u64,
    /// The first cluster that was never written.
    unwritten: u64,
    /// By signal: how far it was read, and whether that is new.
    reached: [Held<Reached>; 3],
    /// What is to be noted for look-up.
    pub(super) notes: Vec<Note>,
}

/// A change of a cold tree.
#[derive(Debug)]
pub(super) enum Note {
    /// This name leads to this trace.
    Name(Vec<u8>),
    /// What is known under this trace id, of this cluster; empty for nothing any more.
    Request { key: Vec<u8>, value: Vec<u8> },
}

impl<T: Default> Default for Held<T> {
    fn default() -> Self {
        Self::read(T::default())
    }
}

pub(super) const fn place(signal: Signal) -> usize {
    signal as usize - 1
}

pub(super) fn number(value: &[u8], what: &'static str) -> Result<u64, BookError> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| BookError::Damaged(what))
}

impl Work {
    pub(super) fn load(book: &Book) -> Result<Self, BookError> {
        let mut work = Self { timers: Timers::load(book)?, ..Self::default() };
        if let Some(value) = book.state.get(tree::NEXT)? {
            work.next = number(&value, "the next cluster")?;
            work.unwritten = work.next;
        }
        for entry in book.state.prefix(tree::TENANT) {
            let (key, value) = entry.into_inner()?;
            let name = String::from_utf8_lossy(&key[tree::TENANT.len()..]).into_owned();
            let known =
                u32::try_from(number(&value, "a tenant")?).map_err(|_| BookError::Damaged("a tenant"))?;
            work.tenants.insert(name, known);
        }
        for signal in Signal::ALL {
            let at = place(signal);
            if let Some(value) = book.state.get(tree::below(tree::CURSOR, &[&[log(signal)]]))? {
                let (offset, item) =
                    value.split_at_checked(8).ok_or(BookError::Damaged("a place in a log"))?;
                let item = item.try_into().map_err(|_| BookError::Damaged("a place in a log"))?;
                let offset = number(offset, "a place in a log")?;
                work.reached[at] = Held::read(Reached { offset, item: u32::from_be_bytes(item) });
            }
        }
        Ok(work)
    }

    /// Entries in memory.
    pub(super) fn len(&self) -> usize {
        self.clusters.len() + self.keys.len() + self.traces.len()
    }

    pub(super) fn reached(&self, signal: Signal) -> Reached {
        self.reached[place(signal)].value
    }

    pub(super) fn reach(&mut self, signal: Signal, reached: Reached) {
        self.reached[place(signal)] = Held::new(reached);
    }

    pub(super) fn tenant(&mut self, tenant: &Tenant) -> u32 {
        if let Some(known) = self.tenants.get(tenant.as_str()) {
            return *known;
        }
        let new = self.tenants.len() as u32;
        self.tenants.insert(tenant.as_str().to_owned(), new);
        self.new_tenants.push((tenant.as_str().to_owned(), new));
        new
    }

    /// A tenant's name.
    pub(super) fn name(&self, tenant: u32) -> Tenant {
        let name = self.tenants.iter().find(|(_, number)| **number == tenant);
        name.and_then(|(name, _)| Tenant::new(name)).unwrap_or_default()
    }

    fn home(&mut self, book: &Book, tenant: u32, index: Index) -> Result<Option<u64>, BookError> {
        let held = self.keys.get_or_bring((tenant, index), || {
            Ok::<_, BookError>(book.home(tenant, index)?.map(Held::read))
        })?;
        Ok(held.map(|held| held.value))
    }

    /// A cluster, from memory or from disk.
    pub(super) fn cluster(&mut self, book: &Book, id: u64) -> Result<Option<&mut Home>, BookError> {
        let home = self.clusters.get_or_bring(id, || {
            let found = book.cluster(id)?;
            Ok::<_, BookError>(found.map(|(cluster, is_young)| Home {
                cluster: Some(cluster),
                is_changed: false,
                is_young,
            }))
        })?;
        Ok(home.filter(|home| home.cluster.is_some()))
    }

    /// Takes a cluster out, to be looked at and given back.
    pub(super) fn borrow(&mut self, book: &Book, id: u64) -> Result<Option<Cluster>, BookError> {
        Ok(self.cluster(book, id)?.and_then(|home| home.cluster.take()))
    }

    /// Gives a cluster back.
    pub(super) fn give_back(&mut self, id: u64, cluster: Cluster, is_changed: bool) {
        if let Some(home) = self.clusters.get(&id) {
            home.cluster = Some(cluster);
            home.is_changed |= is_changed;
        }
    }

    /// Whether a record is counted for the first time.
    pub(super) fn counts(&mut self, book: &Book, tenant: u32, identity: u128) -> Result<bool, BookError> {
        let index = Index::Counted(identity);
        let is_first = self.home(book, tenant, index)?.is_none();
        if is_first {
            self.keys.insert((tenant, index), Held::new(0));
        }
        Ok(is_first)
    }

    /// A new cluster.
    fn found(&mut self, tenant: u32) -> u64 {
        let id = self.next;
        self.next += 1;
        let cluster = Cluster { tenant, ..Cluster::default() };
        self.clusters.insert(id, Home { cluster: Some(cluster), is_changed: true, is_young: true });
        id
    }

    /// Brings clusters into one. Says how many facts there was no room for.
    fn unite(&mut self, book: &Book, into: u64, others: &[u64]) -> Result<u64, BookError> {
        let mut left_out = 0;
        for other in others {
            let Some(home) = self.cluster(book, *other)? else { continue };
            home.is_changed = true;
            let Some(cluster) = home.cluster.take() else { continue };
            let tenant = cluster.tenant;
            for index in cluster.facts.iter().flat_map(Index::of) {
                // A key that there was no room for leads elsewhere.
                if self.home(book, tenant, index)?.is_none_or(|to| to == *other) {
                    self.keys.insert((tenant, index), Held::new(into));
                }
            }
            for trace in &cluster.wants {
                self.ask(book, tenant, *trace, into)?;
            }
            for (canonical, _) in &cluster.noted {
                let key = super::tell::request_key(canonical, tenant, *other);
                self.notes.push(Note::Request { key, value: Vec::new() });
            }
            self.due.remove(other);
            self.due.insert(into);
            // The timers of the other one lead to nobody any more.
            for fact in &cluster.facts {
                if let Fact::Kong(kong) = fact {
                    self.timers.set(kong.due, into);
                }
            }
            if let Some(Home { cluster: Some(mine), is_changed, .. }) = self.cluster(book, into)? {
                *is_changed = true;
                left_out += mine.merge(cluster);
            }
        }
        Ok(left_out)
    }

    /// What is remembered of a trace.
    pub(super) fn spans(
        &mut self,
        book: &Book,
        tenant: u32,
        trace: Trace,
    ) -> Result<&mut Held<Spans>, BookError> {
        let bring = || Ok::<_, BookError>(Some(Held::read(book.spans(tenant, &trace)?)));
        let held = self.traces.get_or_bring((tenant, trace), bring)?;
        held.ok_or(BookError::Damaged("a trace"))
    }

    /// Remembers a received span, and lets those be looked at that ask for its trace.
    pub(super) fn see(
        &mut self,
        book: &Book,
        tenant: u32,
        trace: Trace,
        seen: Seen,
    ) -> Result<(), BookError> {
        let held = self.spans(book, tenant, trace)?;
        let spans = &mut held.value;
        if spans.seen.len() >= MOST_SEEN || spans.seen.iter().any(|one| one.span == seen.span) {
            return Ok(());
        }
        spans.seen.push(seen);
        held.is_changed = true;
        let asking = held.value.asked_by.clone();
        self.due.extend(asking);
        Ok(())
    }

    /// A cluster wants to be looked at when spans of a trace come.
    pub(super) fn ask(&mut self, book: &Book, tenant: u32, trace: Trace, id: u64) -> Result<(), BookError> {
        let held = self.spans(book, tenant, trace)?;
        let asked_by = &mut held.value.asked_by;
        if asked_by.len() < MOST_ASKING && !asked_by.contains(&id) {
            asked_by.push(id);
            held.is_changed = true;
        }
        Ok(())
    }

    /// Rings the timers whose time has come.
    pub(super) fn call(&mut self, now: UnixNanos) {
        self.due.extend(self.timers.ring(now.0));
    }

    /// What this leads to has to be looked at.
    pub(super) fn call_for(&mut self, book: &Book, tenant: u32, index: Index) -> Result<(), BookError> {
        let home = self.home(book, tenant, index)?;
        self.due.extend(home);
        Ok(())
    }

    /// The next cluster that has to be looked at.
    pub(super) fn next_due(&mut self) -> Option<u64> {
        self.due.pop_first()
    }

    /// A cluster that could not be looked at is due all the same.
    pub(super) fn put_off(&mut self, id: u64) {
        self.due.insert(id);
    }

    /// What leads to a cluster, and what it asks for, has to live as long as it does. A key that there was no room for leads elsewhere.
    fn renew(
        &self,
        book: &Book,
        changes: &mut Changes,
        hot: &Hot,
        id: u64,
        cluster: &Cluster,
    ) -> Result<(), BookError> {
        let tenant = cluster.tenant;
        for index in cluster.facts.iter().flat_map(Index::of) {
            let leads = match self.keys.peek(&(tenant, index)) {
                Some(held) => Some(held.value),
                None => book.home(tenant, index)?,
            };
            if leads.is_none_or(|to| to == id) {
                changes.home(hot, tenant, index, id);
            }
        }
        for trace in &cluster.wants {
            match self.traces.peek(&(tenant, *trace)) {
                // Written with all that changed.
                Some(held) if held.is_changed => {}
                Some(held) => changes.spans(hot, tenant, trace, &held.value)?,
                None => changes.spans(hot, tenant, trace, &book.spans(tenant, trace)?)?,
            }
        }
        Ok(())
    }

    /// Puts what changed into a transaction. It stays here until that is true.
    pub(super) fn write(&self, book: &Book, changes: &mut Changes, now: UnixNanos) -> Result<(), BookError> {
        let Some(hot) = book.hot().first() else { return Ok(()) };
        // In the order of their keys, each lies beside the one before it.
        let mut clusters: Vec<_> = self.clusters.iter().filter(|(_, home)| home.is_changed).collect();
        clusters.sort_unstable_by_key(|(id, _)| **id);
        for (id, home) in &clusters {
            // One that went into another before it was ever written leaves nothing to be taken back.
            if home.cluster.is_some() || **id < self.unwritten {
                changes.cluster(hot, **id, home.cluster.as_ref())?;
            }
            if let (Some(cluster), false) = (&home.cluster, home.is_young) {
                self.renew(book, changes, hot, **id, cluster)?;
            }
        }
        let mut keys: Vec<_> = self.keys.iter().filter(|(_, held)| held.is_changed).collect();
        keys.sort_unstable_by_key(|(key, _)| **key);
        for ((tenant, index), held) in keys {
            changes.home(hot, *tenant, *index, held.value);
        }
        let mut traces: Vec<_> = self.traces.iter().filter(|(_, held)| held.is_changed).collect();
        traces.sort_unstable_by_key(|(key, _)| **key);
        for ((tenant, trace), held) in traces {
            changes.spans(hot, *tenant, trace, &held.value)?;
        }
        let state = &book.state;
        // What was not looked at, since nothing can be told now, is due all the same.
        self.timers.write(book, changes, self.due.iter().map(|id| (now.0, *id)));
        for (name, number) in &self.new_tenants {
            let value = u64::from(*number).to_be_bytes();
            changes.put(state, tree::below(tree::TENANT, &[name.as_bytes()]), value);
        }
        if !clusters.is_empty() {
            changes.put(state, tree::NEXT, self.next.to_be_bytes());
        }
        for signal in Signal::ALL {
            let (at, log) = (place(signal), [log(signal)]);
            let reached = &self.reached[at];
            if reached.is_changed {
                let value =
                    [&reached.value.offset.to_be_bytes()[..], &reached.value.item.to_be_bytes()].concat();
                changes.put(state, tree::below(tree::CURSOR, &[&log]), value);
            }
        }
        self.note(book, changes);
        Ok(())
    }

    fn note(&self, book: &Book, changes: &mut Changes) {
        let Some(newest) = book.cold().first() else { return };
        for note in &self.notes {
            match note {
                Note::Name(key) => changes.put(&newest.names, key.clone(), []),
                Note::Request { key, value } if value.is_empty() => {
                    for generation in book.cold() {
                        changes.remove(&generation.requests, key.clone());
                    }
                }
                Note::Request { key, value } => changes.put(&newest.requests, key.clone(), value.clone()),
            }
        }
    }

    /// Everything is on disk: what is young is kept for the next turn, unless it is much.
    pub(super) fn written(&mut self, now: UnixNanos) {
        self.reached.iter_mut().for_each(|held| held.is_changed = false);
        self.notes.clear();
        self.unwritten = self.next;
        self.timers.written(std::mem::take(&mut self.due).into_iter().map(|id| (now.0, id)));
        self.new_tenants.clear();
        let mut bytes = 0;
        for home in self.clusters.values_mut() {
            // With everything that leads to it, it has been written into the newest generation.
            home.is_young |= home.is_changed;
            home.is_changed = false;
            bytes += home.cluster.as_ref().map_or(0, Cluster::weight);
        }
        self.keys.values_mut().for_each(|held| held.is_changed = false);
        self.traces.values_mut().for_each(|held| held.is_changed = false);
        if bytes > KEPT_BYTES {
            self.clusters.forget();
        }
        if self.keys.len() > KEPT {
            self.keys.forget();
        }
        if self.traces.len() > KEPT {
            self.traces.forget();
        }
    }

    /// A new generation has begun: what is in memory lies in an older one now.
    pub(super) fn age(&mut self) {
        self.clusters.all_mut().for_each(|home| home.is_young = false);
    }
}
