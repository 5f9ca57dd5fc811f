//! The books as a person reads them: one row per sink, signal, tenant and source. For each row
//!
//! `accepted = before + held + delivered + peer_refused + dead_letters + Σ dropped`
//!
//! where every number is counted for itself: `accepted` and `held` from frames, the others as they were checkpointed with the
//! cursor. What is on its way, and what was delivered above the low-water mark, is held until the next checkpoint.
//!
//! What replays bring is booked beside that, in columns of its own: `taken up again = replayed + replay_refused +
//! replay_dead_letters + Σ replay_dropped + what is on its way`. The first equation knows nothing of it.

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
    /// Delivered once more: by a replay of the journal, or of dead letters. Deliveries are counted, copies included.
    #[serde(default)]
    pub replayed: u64,
    /// The destination refused them in a replay while taking the rest.
    #[serde(default)]
    pub replay_refused: u64,
    /// Refused for good in a replay; new letters were written.
    #[serde(default)]
    pub replay_dead_letters: u64,
    /// Given up by a replay, by reason: the journal had lost or released them.
    #[serde(default)]
    pub replay_dropped: BTreeMap<String, u64>,
    /// Whether no sink of this name runs: its cursor only holds data.
    pub orphan: bool,
    /// `accepted` less everything else; 0 where the row balances.
    pub difference: i64,
}

const ITEMS: Family = Family {
    name: "tidegate_ledger_items_total",
    help: "Items by sink and what became of them; accepted = before + held + all other outcomes but replay*.",
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
                .chain(sink.replays.0.keys())
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

    /// Puts the books on a metrics page. At most so many tenants as `shown` takes have a label of their own, in the order in
    /// which they came; the others are added up.
    pub(crate) fn put(&self, page: &mut Page, shown: &mut Tenants) {
        for row in &self.rows {
            let (sink, source, signal) = (&*row.sink, &*row.source, &*row.signal);
            let tenant = shown.label(&row.tenant);
            let labels = [("source", source), ("tenant", tenant), ("sink", sink), ("signal", signal)];
            let mut put = |outcome: &str, items: u64| {
                let [source, tenant, sink, signal] = labels;
                page.put(ITEMS, &[source, tenant, sink, signal, ("outcome", outcome)], items);
            };
            put("accepted", row.accepted);
            put("before", row.before);
            put("delivered", row.delivered);
            put("peer_refused", row.peer_refused);
            put("dead_letter", row.dead_letters);
            put("replayed", row.replayed);
            for (reason, items) in &row.dropped {
                put(&format!("dropped_{reason}"), *items);
            }
            for (outcome, items) in
                [("replay_refused", row.replay_refused), ("replay_dead_letter", row.replay_dead_letters)]
            {
                if items > 0 {
                    put(outcome, items);
                }
            }
            for (reason, items) in &row.replay_dropped {
                put(&format!("replay_dropped_{reason}"), *items);
            }
            page.put(HELD, &labels, row.held);
        }
        for balanced in [true, false] {
            let rows = self.rows.iter().filter(|row| (row.difference == 0) == balanced).count();
            page.put(BALANCED, &[("balanced", if balanced { "true" } else { "false" })], rows as u64);
        }
    }
}

/// The tenants that have a label of their own: senders may choose their tenant, and labels must stay few.
#[derive(Debug, Default)]
pub(crate) struct Tenants(BTreeSet<String>);

impl Tenants {
    const MOST: usize = 100;
    /// No tenant's name: it has characters that names have not.
    const OTHERS: &str = "(others)";

    fn label<'a>(&mut self, tenant: &'a str) -> &'a str {
        if self.0.contains(tenant) {
            return tenant;
        }
        if self.0.len() >= Self::MOST {
            return Self::OTHERS;
        }
        self.0.insert(tenant.to_owned());
        tenant
    }
}

fn row(books: &journal::Ledger, sink: &journal::SinkLedger, origin: &Origin) -> Row {
    let of = |census: &journal::Census| census.get(origin).copied().unwrap_or(0);
    let fate = sink.books.0.get(origin).cloned().unwrap_or_default();
    let again = sink.replays.0.get(origin).cloned().unwrap_or_default();
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
        dropped: by_reason(&fate),
        replayed: again.delivered,
        replay_refused: again.peer_refused,
        replay_dead_letters: again.dead_letters,
        replay_dropped: by_reason(&again),
        orphan: !sink.registered,
        difference: i64::try_from(i128::from(accepted) - rest).unwrap_or(i64::MAX),
    }
}

fn by_reason(fate: &journal::Fate) -> BTreeMap<String, u64> {
    fate.dropped.iter().map(|(reason, items)| (reason.to_string(), *items)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_beyond_the_bound_share_a_label() {
        let row = |number: u64| Row {
            sink: "s".into(),
            signal: "logs".into(),
            tenant: format!("t{number:03}"),
            source: "otlp".into(),
            accepted: 1,
            delivered: 1,
            ..Row::default()
        };
        let (mut shown, mut page) = (Tenants::default(), Page::default());
        Ledger { balanced: true, rows: (100..200).map(row).collect() }.put(&mut page, &mut shown);
        let mut page = Page::default();
        Ledger { balanced: true, rows: (0..200).map(row).collect() }.put(&mut page, &mut shown);
        let text = page.text();
        let line = |tenant: &str, items: u64| {
            format!(
                "tidegate_ledger_items_total{{source=\"otlp\",tenant=\"{tenant}\",sink=\"s\",signal=\"logs\",outcome=\"delivered\"}} {items}\n"
            )
        };
        assert!(text.contains(&line("t150", 1)) && text.contains(&line("(others)", 100)), "{text}");
        assert!(!text.contains("t050"), "who came first keeps the label");
    }
}
