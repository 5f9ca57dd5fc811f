use std::collections::BTreeMap;

use model::{Source, Tenant};
use proptest::prelude::*;

use super::*;

fn origin(name: &str) -> Origin {
    Origin { tenant: Tenant::default(), source: Source::new(name).unwrap() }
}

fn fresh() -> Progress {
    Progress::new(State { low: Offset(1), ..State::default() }, true)
}

fn read(progress: &mut Progress, offsets: std::ops::RangeInclusive<u64>) {
    for offset in offsets {
        assert!(progress.read(Offset(offset), &origin("otlp"), 10));
    }
}

fn deliver(progress: &mut Progress, offset: u64) {
    progress.book(Offset(offset), Outcome::Delivered, 10);
}

#[test]
fn a_frame_is_booked_when_it_and_all_before_it_are_done() {
    let mut progress = fresh();
    read(&mut progress, 1..=4);
    deliver(&mut progress, 3);
    progress.book(Offset(1), Outcome::DeadLetter, 4);
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.low, ranges(&snapshot), snapshot.books.total()), (Offset(1), vec![(3, 3, 10)], 0));
    progress.book(Offset(1), Outcome::Delivered, 6);
    deliver(&mut progress, 2);
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.low, ranges(&snapshot), snapshot.books.total()), (Offset(4), vec![], 30));
    let fate = &snapshot.books.0[&origin("otlp")];
    assert_eq!((fate.delivered, fate.dead_letters), (26, 4));
}

#[test]
fn what_is_done_above_the_mark_is_remembered_with_its_books() {
    let mut progress = fresh();
    read(&mut progress, 1..=6);
    deliver(&mut progress, 2);
    progress.book(Offset(3), Outcome::Dropped("expired"), 10);
    deliver(&mut progress, 5);
    let snapshot = progress.snapshot();
    assert_eq!(ranges(&snapshot), [(2, 3, 20), (5, 5, 10)]);
    let mut again = Progress::new(snapshot, true);
    read(&mut again, 1..=1);
    read(&mut again, 4..=4);
    deliver(&mut again, 1);
    let snapshot = again.snapshot();
    assert_eq!((snapshot.low, ranges(&snapshot), snapshot.books.total()), (Offset(4), vec![(5, 5, 10)], 30));
    deliver(&mut again, 4);
    assert_eq!((again.low(), again.snapshot().books.total(), again.frames()), (Offset(6), 50, 0));
}

#[test]
fn skipping_books_what_is_not_done_and_leaves_what_is_being_written() {
    let mut progress = Progress::new(State { low: Offset(1), ..State::default() }, false);
    read(&mut progress, 1..=4);
    progress.pend(Offset(1), 10);
    progress.pend(Offset(2), 10);
    progress.begin(Offset(1), 0).unwrap();
    progress.skip(Offset(1));
    progress.skip(Offset(4));
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.low, snapshot.open, progress.frames()), (Offset(4), None, 1));
    assert_eq!(snapshot.books.0[&origin("otlp")].dropped["skipped"], 30);
}

#[test]
fn a_range_with_edges_is_checkpointed_as_it_was_begun_until_all_of_it_is_done() {
    let mut progress = Progress::new(State { low: Offset(1), ..State::default() }, false);
    read(&mut progress, 1..=5);
    progress.begin(Offset(4), 0).unwrap();
    // Frames of two layouts take turns, and a parcel of one of them is through before the other.
    deliver(&mut progress, 1);
    deliver(&mut progress, 3);
    let snapshot = progress.snapshot();
    let begun = (Offset(1), 0, Some((Offset(1), Offset(4))));
    assert_eq!((snapshot.low, snapshot.books.total(), snapshot.open), begun);
    let mut again = Progress::new(snapshot, false);
    read(&mut again, 1..=5);
    deliver(&mut again, 1);
    let snapshot = again.snapshot();
    assert_eq!((snapshot.low, snapshot.books.total(), snapshot.open), begun);
    for mut progress in [progress, again] {
        (1..=4).for_each(|offset| deliver(&mut progress, offset));
        progress.close_open();
        let snapshot = progress.snapshot();
        assert_eq!((snapshot.low, snapshot.books.total(), snapshot.open), (Offset(5), 40, None));
    }
}

fn ranges(state: &State) -> Vec<(u64, u64, u64)> {
    state.finished.iter().map(|range| (range.first.0, range.last.0, range.books.total())).collect()
}

#[test]
fn no_item_is_booked_twice() {
    let mut progress = fresh();
    read(&mut progress, 1..=1);
    progress.book(Offset(1), Outcome::Delivered, 7);
    progress.book(Offset(1), Outcome::DeadLetter, 7);
    deliver(&mut progress, 1);
    deliver(&mut progress, 9);
    assert_eq!(progress.snapshot().books.total(), 10);
}

#[test]
fn settling_waits_for_what_was_not_handed_over() {
    let mut progress = Progress::new(State { low: Offset(1), ..State::default() }, false);
    read(&mut progress, 1..=3);
    progress.pend(Offset(1), 10);
    progress.pend(Offset(2), 9);
    assert!(progress.settle(Offset(2)).unwrap_err().contains("1 items of offset 2"));
    assert!(progress.settle(Offset(7)).unwrap_err().contains("not read"));
    progress.pend(Offset(2), 1);
    progress.begin(Offset(2), 7).unwrap();
    assert_eq!(progress.snapshot().open_rules, Some(7));
    progress.begin(Offset(2), 7).unwrap();
    assert!(!progress.is_dirty(), "nothing new");
    assert!(progress.begun_under_others(8) && !progress.begun_under_others(7));
    progress.begin(Offset(2), 8).unwrap();
    assert!(progress.is_dirty() && progress.begun_under_others(7));
    assert!(progress.begin(Offset(3), 8).is_err());
    assert!(progress.settle(Offset(1)).is_err());
    assert_eq!(progress.snapshot().open, Some((Offset(1), Offset(2))));
    progress.settle(Offset(2)).unwrap();
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.low, snapshot.open, snapshot.books.total()), (Offset(3), None, 20));
    assert!(progress.begin(Offset(2), 8).is_err());
}

#[test]
fn ranges_are_bounded_and_reading_stops_there() {
    let mut progress = fresh();
    read(&mut progress, 1..=3000);
    for offset in (2..=3000).step_by(2) {
        assert_eq!(progress.may_read(), offset / 2 <= MAX_FINISHED as u64, "{offset}");
        deliver(&mut progress, offset);
    }
    assert_eq!(progress.snapshot().finished.len(), MAX_FINISHED);
    (1..3000).step_by(2).for_each(|offset| deliver(&mut progress, offset));
    assert!(progress.may_read());
    assert_eq!((progress.low(), progress.frames()), (Offset(3001), 0));
}

#[derive(Debug, Clone)]
enum Step {
    Read(u8, u64),
    Lost(u64, u64),
    Book(prop::sample::Index, u8, u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 0..5u64).prop_map(|(origin, items)| Step::Read(origin, items)),
        1 => (1..4u64, 0..9u64).prop_map(|(offsets, items)| Step::Lost(offsets, items)),
        8 => (any::<prop::sample::Index>(), 0..4u8, 1..5u64).prop_map(|(at, how, items)| Step::Book(at, how, items)),
        1 => Just(Step::Restart),
    ]
}

/// The toy: every offset with what is left of it, a plain list.
#[derive(Default)]
struct Toy {
    frames: BTreeMap<u64, (u8, u64)>,
    lost: BTreeMap<u64, (u64, u64)>,
    done: BTreeMap<u64, u64>,
    end: u64,
}

impl Toy {
    fn low(&self) -> u64 {
        let open =
            self.frames.iter().find(|(at, (_, items))| self.done.get(at).copied().unwrap_or(0) < *items);
        open.map_or(self.end, |(at, _)| *at)
    }

    fn items_done_above(&self, low: u64) -> u64 {
        let done = |at: &u64, items: u64| self.done.get(at).copied().unwrap_or(0) == items;
        let frames = self.frames.range(low..).filter(|(at, (_, items))| done(at, *items));
        let lost: u64 = self.lost.range(low..).map(|(_, (_, items))| items).sum();
        frames.map(|(_, (_, items))| items).sum::<u64>() + lost
    }

    fn items_below(&self, low: u64) -> u64 {
        let frames: u64 = self.frames.range(..low).map(|(_, (_, items))| items).sum();
        let lost: u64 = self.lost.range(..low).map(|(_, (_, items))| items).sum();
        frames + lost
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn books_and_low_water_mark_agree_at_every_step(steps in prop::collection::vec(step(), 1..80)) {
        let mut toy = Toy { end: 1, ..Toy::default() };
        let mut progress = fresh();
        let origins = ["a", "b", "c"].map(origin);
        for step in steps {
            match step {
                Step::Read(from, items) => {
                    progress.read(Offset(toy.end), &origins[usize::from(from)], items);
                    toy.frames.insert(toy.end, (from, items));
                    toy.end += 1;
                }
                Step::Lost(offsets, items) => {
                    let range = (Offset(toy.end), Offset(toy.end + offsets - 1));
                    progress.lost(range, &[(origins[0].clone(), items)].into(), "damaged");
                    toy.lost.insert(toy.end, (toy.end + offsets - 1, items));
                    toy.end += offsets;
                }
                Step::Book(at, how, items) => {
                    if toy.frames.is_empty() {
                        continue;
                    }
                    let at = *at.get(&toy.frames.keys().copied().collect::<Vec<_>>());
                    let outcome = [
                        Outcome::Delivered,
                        Outcome::PeerRefused { upper_bound: true },
                        Outcome::DeadLetter,
                        Outcome::Dropped("expired"),
                    ][usize::from(how)];
                    progress.book(Offset(at), outcome, items);
                    let done = toy.done.entry(at).or_default();
                    *done = (*done + items).min(toy.frames[&at].1);
                }
                Step::Restart => {
                    let snapshot = progress.snapshot();
                    let finished = snapshot.finished.clone();
                    let low = snapshot.low.0;
                    progress = Progress::new(snapshot, true);
                    // What is in a finished range does not come again; everything else does, from the beginning.
                    let mut at = low;
                    while at < toy.end {
                        if let Some(range) = finished.iter().find(|range| range.first.0 == at) {
                            at = range.last.0 + 1;
                        } else if let Some((last, items)) = toy.lost.get(&at) {
                            progress.lost((Offset(at), Offset(*last)), &[(origins[0].clone(), *items)].into(), "damaged");
                            at = last + 1;
                        } else {
                            let (from, items) = toy.frames[&at];
                            progress.read(Offset(at), &origins[usize::from(from)], items);
                            toy.done.remove(&at);
                            at += 1;
                        }
                    }
                }
            }
            let snapshot = progress.snapshot();
            prop_assert_eq!(snapshot.low.0, toy.low());
            prop_assert_eq!(snapshot.books.total(), toy.items_below(toy.low()));
            for pair in snapshot.finished.windows(2) {
                prop_assert!(pair[0].last.next() < pair[1].first, "ranges are apart and in order");
            }
            prop_assert!(snapshot.finished.iter().all(|range| range.first > snapshot.low && range.first <= range.last));
            let above = toy.items_done_above(toy.low());
            prop_assert_eq!(snapshot.finished.iter().map(|range| range.books.total()).sum::<u64>(), above);
        }
    }
}
