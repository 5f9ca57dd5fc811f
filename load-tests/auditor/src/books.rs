//! What the gateway's books must say of one sink, from what is there and what is not.

use std::collections::HashMap;
use std::hash::Hash;

use crate::backend::Refusal;
use crate::claims::Claim;
use crate::item::Signal;
use crate::ledger::Booked;

type Key = (Signal, &'static str);

/// The bounds of what may be booked. A peer that refuses some items of a request names none, and the gateway spreads its
/// number over the request's sources: so that is held against whole signals.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// At most so many are refused or dead letters: those that may have been kept and are not there.
    missing: HashMap<Key, u64>,
    /// From so many to so many are refused by the peer without a letter.
    refused: HashMap<Signal, (u64, u64)>,
    /// From so many to so many were left out: those acknowledged, and every attempt that may have been kept.
    left_out: HashMap<Key, (u64, u64)>,
}

impl Books {
    /// Notes an item of which so many copies are there.
    pub(crate) fn miss(&mut self, key: Key, claim: Claim, copies: u64) {
        *self.missing.entry(key).or_default() += claim.copies().saturating_sub(copies);
    }

    /// Notes an item that is poison.
    pub(crate) fn must_refuse(&mut self, (signal, _): Key, claim: Claim, refusal: Refusal) {
        if refusal == Refusal::Booked {
            widen(self.refused.entry(signal).or_default(), claim);
        }
    }

    /// Notes an item for which there is no place.
    pub(crate) fn leave_out(&mut self, key: Key, claim: Claim) {
        widen(self.left_out.entry(key).or_default(), claim);
    }

    /// Where the books say something else.
    pub(crate) fn problems(&self, booked: &Booked) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, refused) in &booked.refused {
            let dead = refused - number(&booked.by_peer, key);
            let most = number(&self.missing, key);
            if dead > most {
                problems.push(format!(
                    "{dead} {} of {} are booked as dead letters, of which at most {most} are not there",
                    key.0.name(),
                    key.1
                ));
            }
        }
        for signal in Signal::ALL {
            let of = |numbers: &HashMap<Key, u64>| -> u64 {
                numbers.iter().filter(|(key, _)| key.0 == signal).map(|(_, number)| number).sum()
            };
            let (refused, by_peer, missing) = (of(&booked.refused), of(&booked.by_peer), of(&self.missing));
            if refused > missing {
                problems.push(format!(
                    "{refused} {} are booked as refused or dead, of which at most {missing} are not there",
                    signal.name()
                ));
            }
            if let Some((least, most)) = self.refused.get(&signal).filter(|bounds| !is_in(by_peer, **bounds))
            {
                problems.push(format!(
                    "{by_peer} {} are booked as refused by the peer; {least} to {most} are",
                    signal.name()
                ));
            }
        }
        for (key, left_out) in &booked.left_out {
            let (least, most) = self.left_out.get(key).copied().unwrap_or_default();
            if !is_in(*left_out, (least, most)) {
                problems.push(format!(
                    "{left_out} {} of {} are booked as untranslatable; {least} to {most} are",
                    key.0.name(),
                    key.1
                ));
            }
        }
        problems.sort();
        problems
    }
}

fn widen((least, most): &mut (u64, u64), claim: Claim) {
    *least += u64::from(claim.acknowledged);
    *most += claim.copies();
}

fn is_in(number: u64, (least, most): (u64, u64)) -> bool {
    (least..=most).contains(&number)
}

fn number<K: Eq + Hash>(numbers: &HashMap<K, u64>, key: &K) -> u64 {
    numbers.get(key).copied().unwrap_or(0)
}
