//! The audit of one back end: what it has, set against what was claimed.

use std::collections::HashMap;

use crate::backend::{Copies, Form, Row, Server};
use crate::cannot_hold::held;
use crate::claims::{Claim, Claims};
use crate::content::{self, Run};
use crate::item::{Id, Signal};
use crate::ledger::Booked;
use crate::read::Found;
use crate::value::{Fields, differences};

/// Most examples that are kept of each kind.
const EXAMPLES: usize = 5;

/// The columns of one back end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items about to be sent.
    pub claimed: u64,
    /// Items acknowledged.
    pub acknowledged: u64,
    /// Items that are there.
    pub delivered: u64,
    /// Copies more than the sender's own attempts explain.
    pub duplicated: u64,
    /// Copies that say something else than was sent.
    pub corrupted: u64,
    /// What was never sent, or was refused, or names no item.
    pub spurious: u64,
    /// Acknowledged, not there, and not accounted for by a refusal of the peer or a dead letter.
    pub lost: u64,
    /// Acknowledged and not there, but booked as refused by the peer or as dead letters.
    pub accounted: u64,
    /// Acknowledged, and of a kind for which the back end has no place.
    pub left_out: u64,
    /// Where the books say something else than what is there.
    pub misbooked: Vec<String>,
    /// The first of each kind, in words.
    pub examples: Vec<String>,
}

impl Counts {
    /// Whether everything is as it must be.
    pub fn is_good(&self, copies: Copies) -> bool {
        self.lost == 0
            && self.corrupted == 0
            && self.spurious == 0
            && self.misbooked.is_empty()
            && (self.duplicated == 0 || copies == Copies::AtLeastOnce)
    }
}

/// Reads a back end and judges it. What is not there is set against what the ledger booked as refused or dead only if
/// `may_refuse`; in a scenario without reason for refusals it is lost.
pub fn audit(
    run: &Run,
    row: &Row,
    server: &dyn Server,
    claims: &Claims,
    booked: &Booked,
    may_refuse: bool,
) -> Result<Counts, String> {
    let mine: HashMap<Id, Claim> =
        claims.all().into_iter().filter(|(id, _)| row.signals.contains(&id.stream.signal())).collect();
    let mut ids: Vec<Id> = mine.keys().copied().collect();
    ids.sort();
    let mut judge = Judge { run, row, claims: &mine, copies: HashMap::new(), counts: Counts::default() };
    server.read(run, &ids, &mut |found| judge.see(&found))?;
    Ok(judge.finish(&ids, booked, may_refuse))
}

struct Judge<'a> {
    run: &'a Run,
    row: &'a Row,
    claims: &'a HashMap<Id, Claim>,
    copies: HashMap<Id, u64>,
    counts: Counts,
}

impl Judge<'_> {
    fn example(&mut self, kind: &str, text: &str) {
        let of_kind = self.counts.examples.iter().filter(|known| known.starts_with(kind)).count();
        if of_kind < EXAMPLES {
            self.counts.examples.push(format!("{kind}: {text}"));
        }
    }

    fn see(&mut self, found: &Found) {
        let claim = found.id.and_then(|id| Some((id, self.claims.get(&id)?)));
        let Some((id, claim)) = claim else {
            self.counts.spurious += 1;
            return self.example("spurious", &format!("{:?} {:?}", found.id, found.fields));
        };
        if claim.copies() == 0 {
            self.counts.spurious += 1;
            return self.example("spurious", &format!("{} was not kept by any attempt", id.name()));
        }
        *self.copies.entry(id).or_default() += 1;
        let expected = self.expected(id);
        let wrong = differences(&expected, &found.fields, content::strictness(id.stream));
        if !wrong.is_empty() {
            self.counts.corrupted += 1;
            self.example("corrupted", &format!("{} ({}): {}", id.name(), id.number, wrong.join("; ")));
        }
    }

    /// What must be there of an item; nothing where there is no place for it.
    fn expected(&self, id: Id) -> Fields {
        let sent = match self.row.form {
            Form::Items => content::as_item(self.run, id),
            Form::Samples => content::as_samples(self.run, id),
        };
        held(self.row.cannot_hold, sent)
    }

    fn finish(mut self, ids: &[Id], booked: &Booked, may_refuse: bool) -> Counts {
        let mut left = if may_refuse { booked.refused.clone() } else { HashMap::new() };
        let mut books = Books::default();
        for id in ids {
            let (claim, copies) = (self.claims[id], self.copies.get(id).copied().unwrap_or(0));
            let key = (id.stream.signal(), id.stream.source());
            self.counts.claimed += 1;
            self.counts.acknowledged += u64::from(claim.acknowledged);
            self.counts.delivered += u64::from(copies > 0);
            if self.row.form == Form::Samples && self.expected(*id).is_empty() {
                self.counts.left_out += u64::from(claim.acknowledged);
                books.leave_out(key, claim);
                continue;
            }
            books.miss(key, claim, copies);
            if copies > claim.copies() && claim.copies() > 0 {
                self.counts.duplicated += copies - claim.copies();
                if self.row.copies == Copies::Once {
                    self.example("duplicated", &format!("{} is there {copies} times", id.name()));
                }
            }
            if claim.acknowledged && copies == 0 {
                match left.get_mut(&key) {
                    Some(refused) if *refused > 0 => {
                        *refused -= 1;
                        self.counts.accounted += 1;
                    }
                    _ => {
                        self.counts.lost += 1;
                        self.example("lost", &format!("{} ({})", id.name(), id.number));
                    }
                }
            }
        }
        self.counts.misbooked = books.problems(booked);
        self.counts
    }
}

type Key = (Signal, &'static str);

/// What the books must say of what is not there, by signal and source.
#[derive(Default)]
struct Books {
    /// At most so many are refused or dead letters: those that may have been kept and are not there.
    refused: HashMap<Key, u64>,
    /// From so many to so many were left out: those acknowledged, and every attempt that may have been kept.
    left_out: HashMap<Key, (u64, u64)>,
}

impl Books {
    fn miss(&mut self, key: Key, claim: Claim, copies: u64) {
        *self.refused.entry(key).or_default() += claim.copies().saturating_sub(copies);
    }

    fn leave_out(&mut self, key: Key, claim: Claim) {
        let (least, most) = self.left_out.entry(key).or_default();
        *least += u64::from(claim.acknowledged);
        *most += claim.copies();
    }

    fn problems(&self, booked: &Booked) -> Vec<String> {
        let mut problems = Vec::new();
        for ((signal, source), refused) in &booked.refused {
            let most = self.refused.get(&(*signal, *source)).copied().unwrap_or(0);
            if *refused > most {
                problems.push(format!(
                    "{refused} {} of {source} are booked as refused or dead, of which at most {most} are not there",
                    signal.name()
                ));
            }
        }
        for ((signal, source), left_out) in &booked.left_out {
            let (least, most) = self.left_out.get(&(*signal, *source)).copied().unwrap_or((0, 0));
            if *left_out < least || *left_out > most {
                problems.push(format!(
                    "{left_out} {} of {source} are booked as untranslatable; {least} to {most} are",
                    signal.name()
                ));
            }
        }
        problems.sort();
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Stream;
    use crate::value::Value;

    const RUN: Run = Run { seed: 3, epoch: 1_790_000_000_000_000_000 };
    const ITEMS: u64 = 16;

    /// A back end that has everything that was sent, but for what a test does to it.
    struct Faithless {
        form: Form,
        spoil: fn(&mut Vec<(Id, Fields)>),
    }

    impl Server for Faithless {
        fn sink(&self, _: u16) -> String {
            "{ type: blackhole }".to_owned()
        }

        fn read(&self, run: &Run, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
            let of = |id: &Id| match self.form {
                Form::Items => (*id, content::as_item(run, *id)),
                Form::Samples => (*id, content::as_samples(run, *id)),
            };
            let mut all: Vec<_> = ids.iter().map(of).filter(|(_, fields)| !fields.is_empty()).collect();
            (self.spoil)(&mut all);
            for (id, fields) in all {
                match self.form {
                    Form::Items => each(Found::item(run, fields)),
                    Form::Samples => each(Found { id: Some(id), fields }),
                }
            }
            Ok(())
        }
    }

    fn audited(form: Form, spoil: fn(&mut Vec<(Id, Fields)>), booked: &Booked, may_refuse: bool) -> Counts {
        let row = Row {
            name: "faithless",
            signals: if form == Form::Samples { &[Signal::Metrics] } else { &Signal::ALL },
            form,
            cannot_hold: &[],
            copies: Copies::Once,
            is_slow: false,
            start: |_, _| unreachable!("the test has the server already"),
        };
        let claims = Claims::default();
        for stream in Stream::ALL {
            claims.claim(stream, 0..ITEMS);
            claims.acknowledge(stream, 0..ITEMS);
        }
        audit(&RUN, &row, &Faithless { form, spoil }, &claims, booked, may_refuse).unwrap()
    }

    fn check(form: Form, spoil: fn(&mut Vec<(Id, Fields)>), expected: [u64; 4]) {
        let counts = audited(form, spoil, &Booked::default(), false);
        assert_eq!(
            [counts.duplicated, counts.corrupted, counts.spurious, counts.lost],
            expected,
            "{:?}",
            counts.examples
        );
        assert_eq!(counts.is_good(Copies::Once), expected == [0; 4]);
    }

    #[test]
    fn a_faithful_back_end_is_found_to_be_one() {
        check(Form::Items, |_| {}, [0; 4]);
        check(Form::Samples, |_| {}, [0; 4]);
    }

    #[test]
    fn one_item_that_is_dropped_doubled_or_made_up_is_found() {
        check(Form::Items, |all| drop(all.remove(77)), [0, 0, 0, 1]);
        check(Form::Samples, |all| drop(all.pop()), [0, 0, 0, 1]);
        check(Form::Items, |all| all.push(all[5].clone()), [1, 0, 0, 0]);
        check(
            Form::Items,
            |all| {
                let mut other = all[0].clone();
                other.1.insert("attr.item".into(), Value::text("spans-http.4711"));
                all.push(other);
            },
            [0, 0, 1, 0],
        );
    }

    #[test]
    fn a_change_of_any_field_of_any_item_is_found() {
        for stream in Stream::ALL {
            for number in 0..ITEMS {
                let id = Id { stream, number };
                let sent = content::as_item(&RUN, id);
                for name in sent.keys() {
                    let mut changed = sent.clone();
                    changed.remove(name);
                    assert!(!differences(&sent, &changed, content::strictness(stream)).is_empty(), "{name}");
                }
            }
        }
        check(
            Form::Items,
            |all| {
                let value = all.iter_mut().find_map(|(_, fields)| match fields.get_mut("end") {
                    Some(Value::Time(nanos)) => Some(nanos),
                    _ => None,
                });
                *value.unwrap() += 1;
            },
            [0, 1, 0, 0],
        );
        check(
            Form::Samples,
            |all| {
                let Some(Value::Double(bits)) = all[40].1.values_mut().next() else {
                    panic!("{:?}", all[40])
                };
                *bits ^= 1;
            },
            [0, 1, 0, 0],
        );
    }

    #[test]
    fn what_is_missing_is_accounted_for_only_where_refusals_are_expected_and_booked() {
        let booked = |count| Booked {
            refused: [((Signal::Logs, "kong"), count)].into(),
            dead_letters: count,
            ..Booked::default()
        };
        let spoil: fn(&mut Vec<(Id, Fields)>) = |all| all.truncate(all.len() - 2); // Kong comes last
        let lost = |count, may_refuse| {
            let counts = audited(Form::Items, spoil, &booked(count), may_refuse);
            (counts.lost, counts.accounted)
        };
        assert_eq!(lost(2, true), (0, 2));
        assert_eq!(lost(1, true), (1, 1));
        assert_eq!(lost(2, false), (2, 0));
    }

    #[test]
    fn books_that_name_more_refusals_or_other_omissions_than_there_are_are_found() {
        let misbooked = |form, booked| audited(form, |_| {}, &booked, true).misbooked.len();
        let key = (Signal::Metrics, "otlp");
        assert_eq!(misbooked(Form::Items, Booked::default()), 0);
        assert_eq!(misbooked(Form::Items, Booked { refused: [(key, 1)].into(), ..Booked::default() }), 1);
        let points = [Stream::PointsHttp, Stream::PointsGrpc].into_iter();
        let ids = points.flat_map(|stream| (0..ITEMS).map(move |number| Id { stream, number }));
        let without_place = ids.filter(|id| content::as_samples(&RUN, *id).is_empty()).count() as u64;
        assert!(without_place >= ITEMS / 4, "{without_place}");
        for (count, problems) in [(without_place - 1, 1), (without_place, 0), (without_place + 1, 1)] {
            let booked = Booked { left_out: [(key, count)].into(), ..Booked::default() };
            assert_eq!(misbooked(Form::Samples, booked), problems, "{count}");
        }
    }

    #[test]
    fn a_second_copy_is_no_fault_where_an_attempt_had_no_answer() {
        let row = Row {
            name: "faithless",
            signals: &Signal::ALL,
            form: Form::Items,
            cannot_hold: &[],
            copies: Copies::Once,
            is_slow: false,
            start: |_, _| unreachable!("the test has the server already"),
        };
        let claims = Claims::default();
        claims.claim(Stream::Kong, 0..2);
        claims.miss(Stream::Kong, 0..1);
        claims.acknowledge(Stream::Kong, 0..2);
        let twice = Faithless { form: Form::Items, spoil: |all| all.extend(all.clone()) };
        let counts = audit(&RUN, &row, &twice, &claims, &Booked::default(), false).unwrap();
        assert_eq!(counts.duplicated, 1, "{:?}", counts.examples);
    }
}
