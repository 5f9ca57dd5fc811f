//! The gateway's ledger, set against what the senders know.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::claims::Claims;
use crate::item::{Signal, Stream};

/// What the ledger says of one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Booked {
    /// Items booked as refused by the peer or as dead letters, by signal and source.
    pub refused: HashMap<(Signal, &'static str), u64>,
    /// Items booked as refused by the peer alone.
    pub by_peer: HashMap<(Signal, &'static str), u64>,
    /// Items booked as dropped because the peer's format has no place for them, by signal and source.
    pub left_out: HashMap<(Signal, &'static str), u64>,
    /// All dead letters.
    pub dead_letters: u64,
    /// All items refused by the peer.
    pub peer_refused: u64,
}

/// The items of the ledger that no sink has settled yet.
pub fn pending(ledger: &Json) -> u64 {
    rows(ledger).map(|row| number(row, "held")).sum()
}

/// Items that a sink has accepted so far, and those of them that it has settled.
pub fn accepted_and_settled(ledger: &Json, sink: &str) -> (u64, u64) {
    let of = || rows(ledger).filter(|row| row["sink"] == sink);
    let accepted = of().map(|row| number(row, "accepted")).sum::<u64>();
    (accepted, accepted.saturating_sub(of().map(|row| number(row, "held")).sum()))
}

fn rows(ledger: &Json) -> impl Iterator<Item = &Json> {
    ledger["rows"].as_array().into_iter().flatten()
}

fn number(row: &Json, name: &str) -> u64 {
    row[name].as_u64().unwrap_or(0)
}

/// What is booked for a sink.
pub fn booked(ledger: &Json, sink: &str) -> Booked {
    let mut booked = Booked::default();
    for row in rows(ledger).filter(|row| row["sink"] == sink) {
        let (dead, refused) = (number(row, "dead_letters"), number(row, "peer_refused"));
        booked.dead_letters += dead;
        booked.peer_refused += refused;
        let key = Stream::ALL
            .into_iter()
            .find(|s| row["signal"] == s.signal().name() && row["source"] == s.source());
        if let Some(stream) = key {
            let key = (stream.signal(), stream.source());
            *booked.refused.entry(key).or_default() += dead + refused;
            *booked.by_peer.entry(key).or_default() += refused;
            *booked.left_out.entry(key).or_default() += number(&row["dropped"], "untranslatable");
        }
    }
    booked
}

/// Everything in the ledger that does not fit together, or not to what the senders know.
pub fn problems(ledger: &Json, sinks: &[(&str, &[Signal])], claims: &Claims) -> Vec<String> {
    let mut wrong = Vec::new();
    if ledger["balanced"] != true {
        wrong.push("the ledger is not balanced".to_owned());
    }
    for row in rows(ledger) {
        if row["difference"] != 0 {
            wrong.push(format!("a row does not balance: {row}"));
        }
    }
    // Kept at least what was acknowledged, at most that and what had no answer.
    let mut bounds: HashMap<(Signal, &str), (u64, u64)> = HashMap::new();
    for (id, claim) in claims.all() {
        let (least, most) = bounds.entry((id.stream.signal(), id.stream.source())).or_default();
        *least += u64::from(claim.acknowledged);
        *most += claim.copies();
    }
    for (sink, signals) in sinks {
        for ((signal, source), (least, most)) in &bounds {
            if !signals.contains(signal) {
                continue;
            }
            let of = rows(ledger).filter(|row| {
                row["sink"] == *sink && row["signal"] == signal.name() && row["source"] == *source
            });
            let accepted: u64 = of.map(|row| number(row, "accepted")).sum();
            if accepted < *least || accepted > *most {
                wrong.push(format!(
                    "{sink} has accepted {accepted} {} of {source}; the senders know of {least} to {most}",
                    signal.name()
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ledger(accepted: u64, difference: i64) -> Json {
        json!({ "balanced": difference == 0, "rows": [{
            "sink": "store", "signal": "logs", "source": "kong", "tenant": "default", "accepted": accepted,
            "held": 0, "delivered": accepted - 3, "dead_letters": 2, "peer_refused": 0,
            "dropped": { "untranslatable": 1 }, "difference": difference,
        }] })
    }

    #[test]
    fn a_ledger_is_held_against_what_the_senders_know() {
        let claims = Claims::default();
        claims.claim(Stream::Kong, 0..12);
        claims.acknowledge(Stream::Kong, 0..10);
        claims.miss(Stream::Kong, 8..12);
        let sinks: &[(&str, &[Signal])] = &[("store", &[Signal::Logs])];
        let problems = |accepted, difference| problems(&ledger(accepted, difference), sinks, &claims);
        assert_eq!(problems(10, 0), Vec::<String>::new());
        assert_eq!(problems(14, 0), Vec::<String>::new());
        assert_eq!(problems(9, 0).len(), 1);
        assert_eq!(problems(15, 0).len(), 1);
        assert_eq!(problems(10, 1).len(), 2);
        let booked = booked(&ledger(10, 0), "store");
        let key = (Signal::Logs, "kong");
        assert_eq!((booked.dead_letters, booked.refused[&key], booked.left_out[&key]), (2, 2, 1));
    }
}
