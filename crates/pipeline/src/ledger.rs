//! The books as a person reads them: one row per sink, signal, tenant and source. For each row
//!
//! `accepted = before + held + delivered + peer_refused + dead_letters + Σ dropped`
//!
//! where every number is counted for itself: `accepted` and `held` from frames, the others as they were checkpointed with the
//! cursor. What is on its way, and what was delivered above the low-water mark, is held until the next checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use model::{Origin, Signal};
use serde::{Deserialize, Serialize};

use crate::metrics::{Family, Kind, Page};

/// The whole ledger at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Whether every row balances.
    pub balanced: bool,
    /// The rows, by sink, signal, tenant and source.
    pub rows: Vec<Row>,
}

/// One origin's items of one signal at one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The sink's configured name.
    pub sink: String,
    /// `traces`, `logs` or `metrics`.
    pub signal: String,
    /// On whose behalf they came.
    pub tenant: String,
    /// Through which receiver they came.
    pub source: String,
    /// Acknowledged since the journal began.
    pub accepted: u64,
    /// Acknowledged before this sink began: never meant for it.
    pub before: u64,
    /// In the journal, not done.
    pub held: u64,
    /// The destination has them.
    pub delivered: u64,
    /// The destination refused them while taking the rest, finally.
    pub peer_refused: u64,
    /// How many of `peer_refused` are an upper bound, since the peer gave no number.
    pub peer_refused_at_most: u64,
    /// Refused for good; their letters were written.
    pub dead_letters: u64,
    /// Gone, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Whether no sink of this name runs: its cursor only holds data.
    pub orphan: bool,
    /// `accepted` less everything else; 0 where the row balances.
    pub difference: i64,
}

const ITEMS: Family = Family {
    name: "tidegate_ledger_items_total",
    help: "Items by sink and what became of them; per source, accepted = before + held + all other outcomes.",
    kind: Kind::Counter,
};
const HELD: Family = Family {
    name: "tidegate_ledger_held_items",
    help: "Items in the journal that are not done at this sink.",
    kind: Kind::Gauge,
};
const BALANCED: Family = Family {
    name: "tidegate_ledger_balanced_rows",
    help: "Rows of the ledger, by whether they balance; any row under balanced=\"false\" is a defect.",
    kind: Kind::Gauge,
};

impl Ledger {
    /// Reads the journal's books.
    pub fn of(books: &journal::Ledger) -> Self {
        let mut rows = Vec::new();
        for sink in &books.sinks {
            let accepted: BTreeSet<&Origin> = books
                .accepted
                .keys()
                .filter(|(signal, _)| *signal == sink.signal)
                .map(|(_, origin)| origin)
                .collect();
            let origins: BTreeSet<&Origin> = accepted
                .into_iter()
                .chain(sink.before.keys())
                .chain(sink.held.keys())
                .chain(sink.books.0.keys())
                .collect();
            rows.extend(origins.into_iter().map(|origin| row(books, sink, origin)));
        }
        rows.sort_by(|a, b| {
            (&a.sink, &a.signal, &a.tenant, &a.source).cmp(&(&b.sink, &b.signal, &b.tenant, &b.source))
        });
        Self { balanced: rows.iter().all(|row: &Row| row.difference == 0), rows }
    }

    /// Items held for one sink and signal.
    pub fn held(&self, sink: &str, signal: Signal) -> u64 {
        let mine = self.rows.iter().filter(|row| row.sink == sink && row.signal == signal.as_str());
        mine.map(|row| row.held).sum()
    }

    /// Puts the books on a metrics page.
    pub(crate) fn put(&self, page: &mut Page) {
        for row in &self.rows {
            let (sink, source, signal) = (&*row.sink, &*row.source, &*row.signal);
            let mut put = |outcome: &str, items: u64| {
                page.put(
                    ITEMS,
                    &[("source", source), ("sink", sink), ("signal", signal), ("outcome", outcome)],
                    items,
                );
            };
            put("accepted", row.accepted);
            put("before", row.before);
            put("delivered", row.delivered);
            put("peer_refused", row.peer_refused);
            put("dead_letter", row.dead_letters);
            for (reason, items) in &row.dropped {
                put(&format!("dropped_{reason}"), *items);
            }
            page.put(HELD, &[("source", source), ("sink", sink), ("signal", signal)], row.held);
        }
        for balanced in [true, false] {
            let rows = self.rows.iter().filter(|row| (row.difference == 0) == balanced).count();
            page.put(BALANCED, &[("balanced", if balanced { "true" } else { "false" })], rows as u64);
        }
    }
}

fn row(books: &journal::Ledger, sink: &journal::SinkLedger, origin: &Origin) -> Row {
    let of = |census: &journal::Census| census.get(origin).copied().unwrap_or(0);
    let fate = sink.books.0.get(origin).cloned().unwrap_or_default();
    let accepted = books.accepted.get(&(sink.signal, origin.clone())).copied().unwrap_or(0);
    let (before, held) = (of(&sink.before), of(&sink.held));
    let rest = i128::from(before) + i128::from(held) + i128::from(fate.total());
    Row {
        sink: sink.sink.to_string(),
        signal: sink.signal.as_str().to_owned(),
        tenant: origin.tenant.as_str().to_owned(),
        source: origin.source.as_str().to_owned(),
        accepted,
        before,
        held,
        delivered: fate.delivered,
        peer_refused: fate.peer_refused,
        peer_refused_at_most: fate.peer_refused_at_most,
        dead_letters: fate.dead_letters,
        dropped: fate.dropped.iter().map(|(reason, items)| (reason.to_string(), *items)).collect(),
        orphan: !sink.registered,
        difference: i64::try_from(i128::from(accepted) - rest).unwrap_or(i64::MAX),
    }
}
