//! The audit of one back end: what it has, set against what was claimed.

use std::collections::HashMap;

use crate::backend::{Copies, Form, Refusal, Row, Server};
use crate::books::Books;
use crate::cannot_hold::{held, with_lost_digits};
use crate::claims::{Claim, Claims};
use crate::content::{self, Run};
use crate::item::Id;
use crate::ledger::Booked;
use crate::letters::Letters;
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
    /// Those of them that the faults of the run do not explain either.
    pub unexplained: u64,
    /// Copies that say something else than was sent.
    pub corrupted: u64,
    /// What was never sent, or was refused, or names no item; dead letters without a reason to be.
    pub spurious: u64,
    /// Acknowledged, and neither there nor refused as it must be.
    pub lost: u64,
    /// Acknowledged and poison to this back end: dead letters, and what is booked as refused by the peer.
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
            && self.unexplained == 0
            && (self.duplicated == 0 || copies == Copies::AtLeastOnce)
    }
}

/// Reads a back end and judges it: every item is there, or the back end refuses that very item and it is a dead letter, or
/// is booked. Where nothing tells copies apart, an item may be there `again` so often; any number of times if `None`.
pub fn audit(
    run: &Run,
    row: &Row,
    server: &dyn Server,
    claims: &Claims,
    booked: &Booked,
    letters: &Letters,
    again: Option<u64>,
) -> Result<Counts, String> {
    let mine: HashMap<Id, Claim> =
        claims.all().into_iter().filter(|(id, _)| row.signals.contains(&id.stream.signal())).collect();
    let mut ids: Vec<Id> = mine.keys().copied().collect();
    ids.sort();
    let (copies, counts) = (HashMap::new(), Counts::default());
    let mut judge = Judge { run, row, again, claims: &mine, copies, counts };
    server.read(run, &ids, &mut |found| judge.see(&found))?;
    Ok(judge.finish(&ids, server, booked, letters))
}

struct Judge<'a> {
    run: &'a Run,
    row: &'a Row,
    again: Option<u64>,
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
        let largest = content::largest(self.run, id, &expected);
        let fields = with_lost_digits(self.row.cannot_hold, &expected, found.fields.clone(), largest);
        let wrong = differences(&expected, &fields, content::strictness(id.stream));
        if !wrong.is_empty() {
            self.counts.corrupted += 1;
            self.example("corrupted", &format!("{} ({}): {}", id.name(), id.number, wrong.join("; ")));
        }
    }

    /// What must be there of an item; nothing where there is no place for it.
    fn expected(&self, id: Id) -> Fields {
        held(self.row.cannot_hold, self.sent(id))
    }

    /// What the gateway delivers of an item; nothing where the protocol has no place for it.
    fn sent(&self, id: Id) -> Fields {
        match self.row.form {
            Form::Items => content::as_item(self.run, id),
            Form::Samples => content::as_samples(self.run, id),
        }
    }

    fn finish(mut self, ids: &[Id], server: &dyn Server, booked: &Booked, letters: &Letters) -> Counts {
        let mut books = Books::default();
        for id in ids {
            let (claim, copies) = (self.claims[id], self.copies.get(id).copied().unwrap_or(0));
            let key = (id.stream.signal(), id.stream.source());
            self.counts.claimed += 1;
            self.counts.acknowledged += u64::from(claim.acknowledged);
            self.counts.delivered += u64::from(copies > 0);
            let refusal = server.refuses(self.run, *id);
            if refusal.is_none() && self.row.form == Form::Samples && self.expected(*id).is_empty() {
                // What the back end alone has no place for is delivered to it.
                self.counts.left_out += u64::from(claim.acknowledged);
                if self.sent(*id).is_empty() {
                    books.leave_out(key, claim);
                }
                continue;
            }
            books.miss(key, claim, copies);
            match refusal {
                None => self.taken(*id, claim, copies, letters.of(*id)),
                Some(refusal) => {
                    books.must_refuse(key, claim, refusal);
                    self.refused(*id, claim, copies, refusal, letters);
                }
            }
        }
        let strangers = letters.reasons.keys().filter(|id| !self.claims.contains_key(id));
        let strange = letters.strange.iter().cloned().chain(strangers.map(|id| id.name()));
        for letter in strange.collect::<Vec<_>>() {
            self.counts.spurious += 1;
            self.example("spurious", &format!("a dead letter: {letter}"));
        }
        self.counts.misbooked = books.problems(booked);
        self.counts
    }

    /// Judges what the back end has no reason to refuse.
    fn taken(&mut self, id: Id, claim: Claim, copies: u64, reasons: &[String]) {
        if copies > claim.copies() && claim.copies() > 0 {
            self.counts.duplicated += copies - claim.copies();
            if self.row.copies == Copies::Once {
                self.example("duplicated", &format!("{} is there {copies} times", id.name()));
            }
            // Each attempt that was kept is sent again by itself.
            let each = self.again.unwrap_or(u64::MAX).saturating_add(1);
            let most = claim.copies().saturating_mul(each);
            if copies > most {
                self.counts.unexplained += copies - most;
                self.example(
                    "unexplained",
                    &format!("{} is there {copies} times, {most} at most", id.name()),
                );
            }
        }
        if claim.acknowledged && copies == 0 {
            self.counts.lost += 1;
            self.example("lost", &format!("{} ({})", id.name(), id.number));
        }
        if let Some(reason) = reasons.first() {
            self.counts.spurious += 1;
            self.example("spurious", &format!("a dead letter: {}, {reason}", id.name()));
        }
    }

    /// Judges what is poison to the back end.
    fn refused(&mut self, id: Id, claim: Claim, copies: u64, refusal: Refusal, letters: &Letters) {
        let reasons = letters.of(id);
        if copies > 0 {
            self.counts.spurious += 1;
            self.example("spurious", &format!("{} is there, and is poison", id.name()));
        }
        let is_told = match refusal {
            Refusal::Letter(why) => reasons.iter().any(|reason| reason.contains(why)),
            Refusal::Booked => reasons.is_empty(),
        };
        if claim.acknowledged && is_told {
            self.counts.accounted += 1;
        } else if claim.acknowledged {
            self.counts.lost += 1;
            self.example("lost", &format!("{} must be refused by {refusal:?}: {reasons:?}", id.name()));
        }
        let more = (reasons.len() as u64).saturating_sub(claim.copies() + letters.spare);
        if more > 0 {
            self.counts.duplicated += more;
            self.example("duplicated", &format!("{} has {} dead letters", id.name(), reasons.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Signal, Stream};
    use crate::value::Value;

    const RUN: Run = Run { seed: 3, epoch: 1_790_000_000_000_000_000, is_poisoned: false };
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

    fn row(form: Form) -> Row {
        Row {
            name: "faithless",
            signals: if form == Form::Samples { &[Signal::Metrics] } else { &Signal::ALL },
            form,
            cannot_hold: &[],
            copies: Copies::Once,
            is_slow: false,
            start: |_, _| unreachable!("the test has the server already"),
        }
    }

    fn audited(form: Form, spoil: fn(&mut Vec<(Id, Fields)>), booked: &Booked) -> Counts {
        let row = row(form);
        let claims = Claims::default();
        for stream in Stream::ALL {
            claims.claim(stream, 0..ITEMS);
            claims.acknowledge(stream, 0..ITEMS);
        }
        audit(&RUN, &row, &Faithless { form, spoil }, &claims, booked, &Letters::default(), None).unwrap()
    }

    fn check(form: Form, spoil: fn(&mut Vec<(Id, Fields)>), expected: [u64; 4]) {
        let counts = audited(form, spoil, &Booked::default());
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

    /// A back end that refuses two Kong records.
    struct Picky(fn(&mut Vec<Id>), Refusal);

    const POISON: [Id; 2] = [Id { stream: Stream::Kong, number: 3 }, Id { stream: Stream::Kong, number: 5 }];

    impl Server for Picky {
        fn sink(&self, _: u16) -> String {
            "{ type: blackhole }".to_owned()
        }

        fn refuses(&self, _: &Run, id: Id) -> Option<Refusal> {
            POISON.contains(&id).then_some(self.1)
        }

        fn read(&self, run: &Run, ids: &[Id], each: &mut dyn FnMut(Found)) -> Result<(), String> {
            let mut kept: Vec<Id> = ids.iter().copied().filter(|id| !POISON.contains(id)).collect();
            (self.0)(&mut kept);
            kept.iter().for_each(|id| each(Found::item(run, content::as_item(run, *id))));
            Ok(())
        }
    }

    /// Duplicated, spurious, lost, accounted, and whether the books are right.
    fn picky(
        refusal: Refusal,
        spoil: fn(&mut Vec<Id>),
        letters: &[(Id, &str)],
        by_peer: u64,
    ) -> ([u64; 4], bool) {
        let claims = Claims::default();
        claims.claim(Stream::Kong, 0..ITEMS);
        claims.acknowledge(Stream::Kong, 0..ITEMS);
        let key = (Signal::Logs, "kong");
        let booked = Booked {
            refused: [(key, letters.len() as u64 + by_peer)].into(),
            by_peer: [(key, by_peer)].into(),
            ..Booked::default()
        };
        let mut all = Letters::default();
        for (id, reason) in letters {
            all.reasons.entry(*id).or_default().push((*reason).to_owned());
        }
        let row = Row {
            name: "picky",
            signals: &Signal::ALL,
            form: Form::Items,
            cannot_hold: &[],
            copies: Copies::Once,
            is_slow: false,
            start: |_, _| unreachable!("the test has the server already"),
        };
        let counts = audit(&RUN, &row, &Picky(spoil, refusal), &claims, &booked, &all, None).unwrap();
        let numbers = [counts.duplicated, counts.spurious, counts.lost, counts.accounted];
        (numbers, counts.misbooked.is_empty())
    }

    #[test]
    fn what_is_poison_must_be_a_dead_letter_with_its_reason_and_nothing_else_may_be_one() {
        let [three, five] = POISON;
        let of = |letters: &[(Id, &str)]| picky(Refusal::Letter("bad"), |_| {}, letters, 0);
        assert_eq!(of(&[(three, "too bad"), (five, "bad")]), ([0, 0, 0, 2], true));
        assert_eq!(of(&[(three, "bad")]), ([0, 0, 1, 1], true));
        assert_eq!(of(&[(three, "bad"), (five, "other")]), ([0, 0, 1, 1], true));
        assert_eq!(of(&[(three, "bad"), (five, "bad"), (five, "bad")]).0, [1, 0, 0, 2]);
        let four = Id { number: 4, ..three };
        assert_eq!(of(&[(three, "bad"), (five, "bad"), (four, "bad")]).0, [0, 1, 0, 2]);
        let kept =
            picky(Refusal::Letter("bad"), |all| all.push(POISON[0]), &[(three, "bad"), (five, "bad")], 0);
        assert_eq!(kept.0, [0, 1, 0, 2]);
        let lost = picky(Refusal::Letter("bad"), |all| all.truncate(9), &[(three, "bad"), (five, "bad")], 0);
        assert_eq!(lost.0[2], ITEMS - 2 - 9);
    }

    #[test]
    fn what_the_peer_refuses_without_naming_it_must_be_booked_to_the_item() {
        let of = |letters: &[(Id, &str)], by_peer| picky(Refusal::Booked, |_| {}, letters, by_peer);
        assert_eq!(of(&[], 2), ([0, 0, 0, 2], true));
        assert_eq!(of(&[], 1), ([0, 0, 0, 2], false));
        assert_eq!(of(&[], 3), ([0, 0, 0, 2], false));
        assert_eq!(of(&[(POISON[0], "bad")], 1).0, [0, 0, 1, 1]);
    }

    #[test]
    fn books_that_name_more_refusals_or_other_omissions_than_there_are_are_found() {
        let misbooked = |form, booked| audited(form, |_| {}, &booked).misbooked.len();
        let key = (Signal::Metrics, "otlp");
        assert_eq!(misbooked(Form::Items, Booked::default()), 0);
        assert_eq!(misbooked(Form::Items, Booked { refused: [(key, 1)].into(), ..Booked::default() }), 2);
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
        let counts =
            audit(&RUN, &row, &twice, &claims, &Booked::default(), &Letters::default(), None).unwrap();
        assert_eq!(counts.duplicated, 1, "{:?}", counts.examples);
    }
    #[test]
    fn copies_that_no_fault_explains_are_found_where_copies_are_no_error() {
        let row = Row { copies: Copies::AtLeastOnce, ..row(Form::Items) };
        let claims = Claims::default();
        claims.claim(Stream::Kong, 0..2);
        claims.acknowledge(Stream::Kong, 0..2);
        let thrice = Faithless {
            form: Form::Items,
            spoil: |all| {
                let first = all[0].clone();
                all.extend([first.clone(), first]);
            },
        };
        for (again, unexplained) in [(Some(0), 2), (Some(1), 1), (Some(2), 0), (None, 0)] {
            let (booked, letters) = (Booked::default(), Letters::default());
            let counts = audit(&RUN, &row, &thrice, &claims, &booked, &letters, again).unwrap();
            assert_eq!((counts.duplicated, counts.unexplained), (2, unexplained), "{again:?}");
            assert_eq!(counts.is_good(Copies::AtLeastOnce), unexplained == 0);
        }
    }
}
