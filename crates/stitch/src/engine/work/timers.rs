//! When clusters have to be looked at though nothing comes to them.
//!
//! They are all in memory. What was set in a turn lies in the join store under one key, which goes when the last of them has rung; a timer
//! that rang is there until then, and rings once more after a restart, which changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::book::{Book, BookError, Changes, tree};

/// Bytes of a timer: when, and which cluster.
const LEN: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// When, which cluster, and in which entry it lies.
    set: BTreeSet<(u64, u64, u64)>,
    /// Timers of each entry that have not rung.
    entries: BTreeMap<u64, u64>,
    /// Timers that are in no transaction yet.
    new: Vec<(u64, u64)>,
    /// Entries that have to go.
    gone: Vec<u64>,
    /// The number of the next entry.
    next: u64,
}

impl Timers {
    pub(super) fn load(book: &Book) -> Result<Self, BookError> {
        let mut timers = Self::default();
        for entry in book.state.prefix(tree::DUE) {
            let (key, value) = entry.into_inner()?;
            let number = super::number(&key[tree::DUE.len()..], "timers")?;
            let (each, rest) = value.as_chunks::<LEN>();
            if each.is_empty() || !rest.is_empty() {
                return Err(BookError::Damaged("timers"));
            }
            for timer in each {
                let [due, id] = [&timer[..8], &timer[8..]].map(|part| super::number(part, "a timer"));
                timers.insert((due?, id?, number));
            }
            timers.next = number + 1;
        }
        Ok(timers)
    }

    fn insert(&mut self, timer: (u64, u64, u64)) {
        if self.set.insert(timer) {
            *self.entries.entry(timer.2).or_default() += 1;
        }
    }

    /// This cluster is to be looked at then.
    pub(super) fn set(&mut self, due: u64, id: u64) {
        self.new.push((due, id));
    }

    /// Clusters whose time has come.
    pub(super) fn ring(&mut self, now: u64) -> Vec<u64> {
        let mut rung = Vec::new();
        while let Some(&(due, id, entry)) = self.set.first()
            && due <= now
        {
            self.set.pop_first();
            rung.push(id);
            if let Some(left) = self.entries.get_mut(&entry) {
                *left -= 1;
                if *left == 0 {
                    self.entries.remove(&entry);
                    self.gone.push(entry);
                }
            }
        }
        self.new.retain(|(due, id)| {
            let is_past = *due <= now;
            if is_past {
                rung.push(*id);
            }
            !is_past
        });
        rung
    }

    /// What is due now is set again, for the next look.
    pub(super) fn write(&self, book: &Book, changes: &mut Changes, due: impl Iterator<Item = (u64, u64)>) {
        let key = |number: u64| tree::below(tree::DUE, &[&number.to_be_bytes()]);
        self.gone.iter().for_each(|entry| changes.remove(&book.state, key(*entry)));
        let mut value = Vec::with_capacity(self.new.len() * LEN);
        for (due, id) in self.new.iter().copied().chain(due) {
            value.extend_from_slice(&due.to_be_bytes());
            value.extend_from_slice(&id.to_be_bytes());
        }
        if !value.is_empty() {
            changes.put(&book.state, key(self.next), value);
        }
    }

    /// What was written is on disk.
    pub(super) fn written(&mut self, due: impl Iterator<Item = (u64, u64)>) {
        self.gone.clear();
        let number = self.next;
        let new = std::mem::take(&mut self.new);
        for (due, id) in new.into_iter().chain(due) {
            self.insert((due, id, number));
            self.next = number + 1;
        }
    }
}
