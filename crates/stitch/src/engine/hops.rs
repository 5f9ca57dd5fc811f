//! The correlation report's counts, in the engine's transactions.

use model::UnixNanos;

use super::Engine;
use crate::book::{Book, BookError, Changes, tree};
use crate::correlation::{Counts, Hop, Report};
use crate::fact::{Fact, Maker};

/// Reads back what was counted.
pub(super) fn load(book: &Book) -> Result<Counts, BookError> {
    let mut counts = Counts::default();
    let mut unreadable = 0;
    for entry in book.state.prefix(tree::HOPS) {
        let (key, value) = entry.into_inner()?;
        unreadable += u64::from(!counts.load(&key[tree::HOPS.len()..], &value));
    }
    if unreadable > 0 {
        tracing::error!(unreadable, "a part of the correlation report cannot be read and is left out");
    }
    Ok(counts)
}

/// Puts what changed into a transaction.
pub(super) fn write(counts: &Counts, book: &Book, changes: &mut Changes) {
    for change in counts.changes() {
        let key = tree::below(tree::HOPS, &[&change.key]);
        match change.value {
            Some(value) => changes.put(&book.state, key, value),
            None => changes.remove(&book.state, key),
        }
    }
}

/// The hop that a record tells of; `None` for what only accompanies such records.
pub(super) fn hop(fact: &Fact) -> Option<Hop> {
    Some(match fact {
        Fact::Edge(_) => Hop::Edge,
        Fact::Fetch(_) | Fact::Worker(_) => Hop::Worker,
        Fact::Kong(_) => Hop::Kong,
        Fact::Native(native) => of(native.maker),
        Fact::Line(_) => return None,
    })
}

/// The hop that a received span tells of.
pub(super) const fn of(maker: Maker) -> Hop {
    match maker {
        Maker::Edge => Hop::Edge,
        Maker::Worker => Hop::Worker,
        Maker::Kong => Hop::Kong,
        Maker::Service => Hop::Service,
    }
}

impl Engine {
    /// How the requests of the last hour are joined.
    pub fn correlation(&self, now: UnixNanos) -> Report {
        self.hops.report(now, |tenant| self.work.name(tenant).to_string())
    }
}
