//! Where a fact belongs, and what there is no room for.

use super::{Absorbed, Held, Taken, Work};
use crate::book::{Book, BookError, Index};
use crate::cluster::{Room, Row};
use crate::fact::{Fact, Key};

/// Where a fact belongs.
#[derive(Debug, Default)]
struct Way {
    /// What is to lead to it.
    indexes: Vec<Index>,
    /// Clusters that it ties together: the one by a request id of Kong's before the one by a ray, which is the easier to forge.
    homes: Vec<u64>,
    /// 1 where a cluster had no room for it.
    passed: u64,
    /// The cluster without room that holds spans of this request through Kong.
    left: Option<(u64, u128)>,
}

impl Work {
    /// Takes a fact in.
    pub(in crate::engine) fn absorb(
        &mut self,
        book: &Book,
        tenant: u32,
        fact: Fact,
        row: Option<Row>,
    ) -> Result<Absorbed, BookError> {
        let Some(Way { indexes, mut homes, passed, left }) = self.way(book, tenant, &fact)? else {
            return Ok(Absorbed { taken: Taken::Copy, left_out: 0 });
        };
        // Two that have no room for each other stay what they are; the fact goes where its surer key leads.
        let apart = self.apart(&homes);
        homes.retain(|home| !apart.contains(home));
        homes.sort_unstable();
        let (id, mut left_out) = match homes.split_first() {
            None => (self.found(tenant), passed),
            Some((first, others)) => (*first, passed + self.unite(book, *first, others)?),
        };
        let due = match &fact {
            Fact::Kong(kong) => Some(kong.due),
            _ => None,
        };
        let Some(home) = self.clusters.get(&id) else {
            return Ok(Absorbed { taken: Taken::Copy, left_out });
        };
        let Some(cluster) = &mut home.cluster else { return Ok(Absorbed { taken: Taken::Copy, left_out }) };
        let is_first = cluster.facts.is_empty();
        let taken = match cluster.add(fact, row) {
            Some(true) => Taken::New,
            Some(false) => Taken::Copy,
            None => Taken::NoRoom,
        };
        left_out += u64::from(taken == Taken::NoRoom);
        if taken == Taken::Copy && left_out == 0 {
            return Ok(Absorbed { taken, left_out });
        }
        home.is_changed = true;
        match due {
            // Nothing is to be told of it before.
            Some(due) if is_first => self.timers.set(due, id),
            Some(due) => {
                self.timers.set(due, id);
                self.due.insert(id);
            }
            None => {
                self.due.insert(id);
            }
        }
        for index in indexes {
            let held = self.keys.get(&(tenant, index));
            if held.is_none_or(|held| held.value != id && !apart.contains(&held.value)) {
                self.keys.insert((tenant, index), Held::new(id));
            }
        }
        if let Some((from, kong)) = left {
            self.follow(from, kong, id);
        }
        Ok(Absorbed { taken, left_out })
    }

    /// Where a fact belongs; `None` when it is a copy. A cluster without room is passed over: what its key was forged for goes on by its other
    /// keys, and a request through Kong by itself.
    fn way(&mut self, book: &Book, tenant: u32, fact: &Fact) -> Result<Option<Way>, BookError> {
        let mut way = Way::default();
        // From the last on: Kong's request id, then the ray.
        let mut open = Index::of(fact);
        while let Some(index) = open.pop() {
            let id = self.home(book, tenant, index)?;
            // A key outlives its cluster by a moment, when a generation ends.
            let home = match id {
                Some(id) => self.cluster(book, id)?.and_then(|home| home.cluster.as_ref()).map(|it| (id, it)),
                None => None,
            };
            match home.map(|(id, cluster)| (id, cluster.room(fact))) {
                Some((_, Room::Taken)) => return Ok(None),
                Some((id, Room::Full)) => {
                    way.passed = 1;
                    if let (Fact::Kong(_), Index::Key(Key::Kong(kong))) = (fact, index) {
                        way.left = Some((id, kong));
                        way.indexes.push(index);
                    }
                }
                Some((id, Room::Free)) if !way.homes.contains(&id) => {
                    way.homes.push(id);
                    way.indexes.push(index);
                }
                _ => way.indexes.push(index),
            }
            if open.is_empty() && way.indexes.is_empty() && !matches!(index, Index::Own(_)) {
                open.push(Index::own(fact));
            }
        }
        Ok(Some(way))
    }

    /// Received spans that name a request of Kong's go with it where a ray that very many have had brought them to others.
    fn follow(&mut self, from: u64, kong: u128, into: u64) {
        let names = |fact: &Fact| matches!(fact, Fact::Native(native) if native.kong == Some(kong));
        let Some(home) = self.clusters.get(&from) else { return };
        let Some(cluster) = &mut home.cluster else { return };
        let moved = cluster.take(names);
        home.is_changed = true;
        self.due.insert(from);
        if let Some(cluster) = self.clusters.get(&into).and_then(|home| home.cluster.as_mut()) {
            moved.into_iter().for_each(|(fact, row)| {
                cluster.add(fact, row);
            });
        }
    }

    /// Those of several clusters in memory that the first has no room for.
    fn apart(&self, homes: &[u64]) -> Vec<u64> {
        let cluster = |id: &u64| self.clusters.peek(id).and_then(|home| home.cluster.as_ref());
        let Some((first, others)) = homes.split_first() else { return Vec::new() };
        let fits = |id: &&u64| cluster(first).zip(cluster(id)).is_none_or(|(first, other)| first.fits(other));
        others.iter().filter(|id| !fits(id)).copied().collect()
    }
}
