//! Facts that share keys, kept together, and what was told of them.

use serde::{Deserialize, Serialize};

use crate::correlation::Counted;
use crate::derive::Service;
use crate::fact::{Fact, Span, Trace};

/// Where a log record lies: the frame's place in the log, the record's in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Row {
    /// The frame.
    pub offset: u64,
    /// The record in it.
    pub index: u32,
    /// The record's time: when it happened, else when it was observed.
    pub time: u64,
}

/// A span as it was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) trace: Trace,
    pub(crate) span: Span,
    pub(crate) service: Service,
    /// How often it was told, and with it its number.
    pub(crate) revision: u32,
    /// Of what was told; 0 once it was taken back.
    pub(crate) hash: u64,
    /// When it began, so that taking it back lies beside it.
    pub(crate) start: u64,
}

/// Facts of one tenant that share keys: one request, or several that somebody's forged header ties together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) tenant: u32,
    /// In their natural order, without copies.
    pub(crate) facts: Vec<Fact>,
    /// Where each of them was read, if it was a log record.
    pub(crate) rows: Vec<Option<Row>>,
    pub(crate) told: Vec<Told>,
    /// Traces that its records name, so that it is looked at again when spans of theirs come.
    pub(crate) wants: Vec<Trace>,
    /// For each trace id under which something of it can be looked up: the hash of what was noted there.
    pub(crate) noted: Vec<(Trace, u64)>,
    /// What leads to that: the generation in which it was written, and hashes of its keys.
    pub(crate) named: (u64, Vec<u64>),
    /// What is said of its requests, as it was counted.
    pub(crate) counted: Vec<Counted>,
}

/// How many records of Cloudflare's, how many of Kong's and how many received spans one cluster may hold. More share a key only when somebody
/// forges it, and whoever forges one kind of them takes no room from the others.
pub(crate) const MOST: usize = 256;

/// What a cluster has for a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// A copy of it.
    Taken,
    /// A place.
    Free,
    /// Nothing.
    Full,
}

/// Facts that share their room.
fn kind(fact: &Fact) -> u8 {
    match fact {
        Fact::Edge(_) | Fact::Fetch(_) | Fact::Worker(_) => 0,
        Fact::Kong(_) => 1,
        Fact::Native(_) => 2,
        Fact::Line(_) => 3,
    }
}

impl Cluster {
    /// What there is for a fact.
    pub(crate) fn room(&self, fact: &Fact) -> Room {
        if self.facts.binary_search_by_key(&fact.order(), Fact::order).is_ok() {
            return Room::Taken;
        }
        let alike = || self.facts.iter().filter(|one| kind(one) == kind(fact)).count();
        if self.facts.len() >= MOST && alike() >= MOST { Room::Full } else { Room::Free }
    }

    /// Bytes that it takes in memory, about.
    pub(crate) fn weight(&self) -> usize {
        let facts: usize = self.facts.iter().map(Fact::weight).sum();
        facts + 64 * (self.told.len() + self.rows.len()) + 256
    }

    /// Whether there is room for everything of another.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        let both = || self.facts.iter().chain(&other.facts);
        both().count() <= MOST || (0..4).all(|of| both().filter(|fact| kind(fact) == of).count() <= MOST)
    }

    /// Takes a fact in; `false` when it is a copy of one that is there. Answers `None` when there is no room.
    pub(crate) fn add(&mut self, fact: Fact, row: Option<Row>) -> Option<bool> {
        match self.room(&fact) {
            Room::Taken => return Some(false),
            Room::Full => return None,
            Room::Free => {}
        }
        let at = self.facts.partition_point(|one| one.order() < fact.order());
        self.facts.insert(at, fact);
        self.rows.insert(at, row);
        Some(true)
    }

    /// Takes facts out.
    pub(crate) fn take(&mut self, is_of: impl Fn(&Fact) -> bool) -> Vec<(Fact, Option<Row>)> {
        let facts = std::mem::take(&mut self.facts).into_iter().zip(std::mem::take(&mut self.rows));
        let (out, stay): (Vec<_>, Vec<_>) = facts.partition(|(fact, _)| is_of(fact));
        (self.facts, self.rows) = stay.into_iter().unzip();
        out
    }

    /// Takes in everything of another. What there is no room for is left out; says how many facts that were.
    pub(crate) fn merge(&mut self, other: Self) -> u64 {
        let mut left_out = 0;
        for (fact, row) in other.facts.into_iter().zip(other.rows) {
            left_out += u64::from(self.add(fact, row).is_none());
        }
        for told in other.told {
            match self.told.iter_mut().find(|mine| (mine.trace, mine.span) == (told.trace, told.span)) {
                Some(mine) if mine.revision < told.revision => *mine = told,
                Some(_) => {}
                None => self.told.push(told),
            }
        }
        for trace in other.wants {
            if !self.wants.contains(&trace) {
                self.wants.push(trace);
            }
        }
        self.counted.extend(other.counted);
        if self.named.0 == other.named.0 {
            self.named.1.extend(other.named.1);
        }
        left_out
    }
}
