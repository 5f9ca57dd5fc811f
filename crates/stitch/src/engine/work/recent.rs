//! Entries in memory: all that changed since they were written, and those that were asked for of late.

use std::hash::Hash;

use ahash::HashMap;

/// Two lots of entries. What is asked for goes into the first; when that is full the second is forgotten and takes its place.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    first: HashMap<K, V>,
    second: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { first: HashMap::default(), second: HashMap::default() }
    }
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// An entry in memory.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.second.remove(key) {
            self.first.insert(*key, value);
        }
        self.first.get_mut(key)
    }

    /// Looks at an entry in memory without asking for it.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.first.get(key).or_else(|| self.second.get(key))
    }

    /// An entry in memory, or brought there; `None` where there is none.
    pub(super) fn get_or_bring<E>(
        &mut self,
        key: K,
        bring: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<&mut V>, E> {
        if self.get(&key).is_none() {
            let Some(value) = bring()? else { return Ok(None) };
            self.insert(key, value);
        }
        Ok(self.first.get_mut(&key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.second.remove(&key);
        self.first.insert(key, value);
    }

    /// Those that were asked for of late; all that changed are among them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.first.iter()
    }

    /// As `iter`, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.first.values_mut()
    }

    /// All of them, to be changed.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.first.values_mut().chain(self.second.values_mut())
    }

    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// The first lot is full: what was not asked for of late is forgotten. All that changed has to be on disk.
    pub(super) fn forget(&mut self) {
        self.second = std::mem::take(&mut self.first);
    }
}
