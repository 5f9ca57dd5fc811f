//! Verdicts counted over the last hour: by the minute in which a request was judged first, so that one that joins later moves and is not counted
//! twice. In memory whole; what changed is handed out to be kept.

use std::collections::{BTreeMap, BTreeSet};

use model::UnixNanos;
use serde::{Deserialize, Serialize};

use super::report::{Report, Window, report};
use super::{Cause, Counted, Hop, Judgement, Verdict};
use crate::fact::Trace;

/// Minutes that are counted.
const MINUTES: u32 = 60;
/// A minute in nanoseconds.
const MINUTE: u64 = 60_000_000_000;
/// Routes of all tenants that are told apart.
const MOST_ROUTES: usize = 200;
/// What stands for all other routes.
const OTHER: &str = "__other__";
/// Requests that a cell names for each cause.
const EXAMPLES: usize = 3;

/// A request that shows a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Example {
    pub(super) trace: Trace,
    /// What the cause measures.
    pub(super) number: i64,
}

/// One minute of one hop of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell {
    /// Requests by how they are joined.
    pub(super) joined: [u64; 4],
    pub(super) causes: BTreeMap<Cause, (u64, Vec<Example>)>,
}

/// Where a cell lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) minute: u32,
    pub(super) tenant: u32,
    pub(super) hop: Hop,
    pub(super) route: String,
}

/// What has to be kept: a key of its own, and what is there from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// The counts of the last hour.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    cells: BTreeMap<Place, Cell>,
    routes: BTreeSet<(u32, String)>,
    /// When something of a hop came last, nanoseconds since 1970.
    came: [u64; Hop::ALL.len()],
    /// What is not kept yet.
    touched: BTreeSet<Place>,
    told: [bool; Hop::ALL.len()],
}

/// The first byte of keys.
const CELL: u8 = 0;
const CAME: u8 = 1;

fn minute(time: u64) -> u32 {
    u32::try_from(time / MINUTE).unwrap_or(u32::MAX)
}

impl Place {
    fn key(&self) -> Vec<u8> {
        let mut key = vec![CELL];
        key.extend_from_slice(&self.minute.to_be_bytes());
        key.extend_from_slice(&self.tenant.to_be_bytes());
        key.push(self.hop as u8);
        key.extend_from_slice(self.route.as_bytes());
        key
    }

    fn read(key: &[u8]) -> Option<Self> {
        let (minute, rest) = key.split_first_chunk()?;
        let (tenant, rest) = rest.split_first_chunk()?;
        let (hop, route) = rest.split_first()?;
        Some(Self {
            minute: u32::from_be_bytes(*minute),
            tenant: u32::from_be_bytes(*tenant),
            hop: *Hop::ALL.get(usize::from(*hop))?,
            route: String::from_utf8(route.to_vec()).ok()?,
        })
    }
}

impl Cell {
    fn add(&mut self, trace: &Trace, verdict: &Verdict) {
        self.joined[verdict.joined as usize] += 1;
        let Some(cause) = verdict.cause else { return };
        let (count, examples) = self.causes.entry(cause).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(Example { trace: *trace, number: verdict.number });
        }
    }

    fn take(&mut self, trace: &Trace, verdict: &Verdict) {
        let joined = &mut self.joined[verdict.joined as usize];
        *joined = joined.saturating_sub(1);
        let Some(cause) = verdict.cause else { return };
        let Some((count, examples)) = self.causes.get_mut(&cause) else { return };
        *count = count.saturating_sub(1);
        examples.retain(|example| example.trace != *trace);
        if *count == 0 {
            self.causes.remove(&cause);
        }
    }
}

impl Counts {
    /// Puts in what was kept; `false` when it cannot be read.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> bool {
        match key.split_first() {
            Some((&CELL, place)) => {
                let (Some(place), Ok(cell)) = (Place::read(place), postcard::from_bytes(value)) else {
                    return false;
                };
                self.routes.insert((place.tenant, place.route.clone()));
                self.cells.insert(place, cell);
                true
            }
            Some((&CAME, [hop])) => {
                let (Some(came), Ok(time)) = (self.came.get_mut(usize::from(*hop)), value.try_into()) else {
                    return false;
                };
                *came = u64::from_be_bytes(time);
                true
            }
            _ => false,
        }
    }

    /// Something of a hop came.
    pub(crate) fn came(&mut self, hop: Hop, now: UnixNanos) {
        let last = &mut self.came[hop as usize];
        // To the minute is enough, and does not cost a write for every record.
        if minute(*last) != minute(now.0) {
            *last = now.0;
            self.told[hop as usize] = true;
        }
    }

    /// Counts what is said of a cluster's requests, in place of what was said before. Says whether that is anything new.
    pub(crate) fn settle(
        &mut self,
        tenant: u32,
        counted: &mut Vec<Counted>,
        judgements: Vec<Judgement>,
        now: UnixNanos,
    ) -> bool {
        let is_known =
            |counted: &Counted| judgements.iter().any(|judgement| judgement.trace == counted.judgement.trace);
        // What a request was called before more was known.
        let unnamed = counted.iter().filter(|counted| !is_known(counted)).map(|counted| counted.minute).min();
        let first = |trace: &Trace| {
            let same = counted.iter().filter(|counted| counted.judgement.trace == *trace);
            same.map(|counted| counted.minute).min().or(unnamed).unwrap_or_else(|| minute(now.0))
        };
        let with_minute = |judgement: Judgement| Counted { minute: first(&judgement.trace), judgement };
        let mut after: Vec<Counted> = judgements.into_iter().map(with_minute).collect();
        for one in &mut after {
            self.bound(tenant, &mut one.judgement.route);
        }
        if *counted == after {
            return false;
        }
        for one in counted.drain(..) {
            self.apply(tenant, &one, now, Cell::take);
        }
        for one in &after {
            self.apply(tenant, one, now, Cell::add);
        }
        *counted = after;
        true
    }

    /// Bounds the number of routes.
    fn bound(&mut self, tenant: u32, route: &mut String) {
        let key = (tenant, std::mem::take(route));
        let is_known = self.routes.contains(&key);
        if !is_known && self.routes.len() >= MOST_ROUTES {
            OTHER.clone_into(route);
            return;
        }
        route.clone_from(&key.1);
        if !is_known {
            self.routes.insert(key);
        }
    }

    fn apply(&mut self, tenant: u32, one: &Counted, now: UnixNanos, change: fn(&mut Cell, &Trace, &Verdict)) {
        if is_past(one.minute, now) {
            return;
        }
        let Judgement { trace, route, verdicts } = &one.judgement;
        for verdict in verdicts {
            let place = Place { minute: one.minute, tenant, hop: verdict.hop, route: route.clone() };
            let cell = self.cells.entry(place.clone()).or_default();
            change(cell, trace, verdict);
            if *cell == Cell::default() {
                self.cells.remove(&place);
            }
            self.touched.insert(place);
        }
    }

    /// Forgets what is older than an hour.
    pub(crate) fn forget(&mut self, now: UnixNanos) {
        let mut is_any = false;
        while let Some(first) = self.cells.first_entry().filter(|first| is_past(first.key().minute, now)) {
            self.touched.insert(first.key().clone());
            first.remove();
            is_any = true;
        }
        if is_any {
            self.routes = self.cells.keys().map(|place| (place.tenant, place.route.clone())).collect();
        }
    }

    /// What is not kept yet. It is answered again until [`Self::kept`].
    pub(crate) fn changes(&self) -> impl Iterator<Item = Change> {
        let cells = self.touched.iter().map(|place| Change {
            key: place.key(),
            value: self.cells.get(place).and_then(|cell| postcard::to_allocvec(cell).ok()),
        });
        let told = Hop::ALL.into_iter().filter(|hop| self.told[*hop as usize]);
        let came = told.map(|hop| Change {
            key: vec![CAME, hop as u8],
            value: Some(self.came[hop as usize].to_be_bytes().to_vec()),
        });
        cells.chain(came)
    }

    /// Everything is kept.
    pub(crate) fn kept(&mut self) {
        self.touched.clear();
        self.told = Default::default();
    }

    /// The last hour as people read it; `name` is what tenants are called.
    pub(crate) fn report(&self, now: UnixNanos, name: impl Fn(u32) -> String) -> Report {
        let cells = self.cells.iter().filter(|(place, _)| !is_past(place.minute, now));
        let window = Window { now, minutes: MINUTES, came: self.came };
        report(&window, cells, name)
    }
}

fn is_past(minute: u32, now: UnixNanos) -> bool {
    minute.saturating_add(MINUTES) <= self::minute(now.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::Joined;

    const NOW: UnixNanos = UnixNanos(1_772_442_000_000_000_000);

    fn later(minutes: u64) -> UnixNanos {
        UnixNanos(NOW.0 + minutes * MINUTE)
    }

    fn judgement(trace: u8, route: &str, joined: Joined, cause: Option<Cause>) -> Judgement {
        let verdicts = vec![Verdict { hop: Hop::Kong, joined, cause, number: 0 }];
        Judgement { trace: [trace; 16], route: route.to_owned(), verdicts }
    }

    fn kong(counts: &Counts, now: UnixNanos) -> [u64; 4] {
        let report = counts.report(now, |_| "default".to_owned());
        let hop = &report.hops[Hop::Kong as usize];
        [hop.exact, hop.by_id, hop.guessed, hop.alone]
    }

    #[test]
    fn a_request_that_joins_later_moves_and_is_not_counted_twice() {
        let (mut counts, mut counted) = (Counts::default(), Vec::new());
        let alone = judgement(1, "r", Joined::Alone, Some(Cause::EdgeSilent));
        assert!(counts.settle(0, &mut counted, vec![alone.clone()], NOW));
        assert!(!counts.settle(0, &mut counted, vec![alone], later(1)));
        assert_eq!(kong(&counts, NOW), [0, 0, 0, 1]);
        // Under another id and another route.
        let exact = judgement(2, "s", Joined::Exact, None);
        assert!(counts.settle(0, &mut counted, vec![exact], later(5)));
        assert_eq!(kong(&counts, later(5)), [1, 0, 0, 0]);
        assert!(counts.report(later(5), |_| String::new()).hops.iter().all(|hop| hop.causes.is_empty()));
        // In the minute of its own.
        assert_eq!(kong(&counts, later(59)), [1, 0, 0, 0]);
        assert_eq!(kong(&counts, later(60)), [0; 4]);
    }

    #[test]
    fn clusters_that_become_one_count_once() {
        let (mut counts, mut one, mut other) = (Counts::default(), Vec::new(), Vec::new());
        let alone = |trace| judgement(trace, "r", Joined::Alone, Some(Cause::EdgeSilent));
        counts.settle(0, &mut one, vec![alone(1)], NOW);
        counts.settle(0, &mut other, vec![alone(2)], later(1));
        one.append(&mut other);
        counts.settle(0, &mut one, vec![judgement(2, "r", Joined::ById, None)], later(2));
        assert_eq!(kong(&counts, later(2)), [0, 1, 0, 0]);
    }

    #[test]
    fn what_changes_after_its_hour_counts_nowhere() {
        let (mut counts, mut counted) = (Counts::default(), Vec::new());
        counts.settle(0, &mut counted, vec![judgement(1, "r", Joined::Alone, None)], NOW);
        counts.forget(later(60));
        counts.settle(0, &mut counted, vec![judgement(1, "r", Joined::Exact, None)], later(60));
        assert_eq!(kong(&counts, later(60)), [0; 4]);
        assert!(counts.cells.is_empty() && counts.routes.len() <= 1);
    }

    #[test]
    fn routes_are_bounded() {
        let mut counts = Counts::default();
        for number in 0..MOST_ROUTES + 50 {
            let one = judgement(1, &format!("r{number}"), Joined::Exact, None);
            counts.settle(0, &mut Vec::new(), vec![one], NOW);
        }
        let report = counts.report(NOW, |_| String::new());
        let routes = &report.hops[Hop::Kong as usize].routes;
        assert_eq!(routes.len(), MOST_ROUTES + 1);
        let other = routes.iter().find(|route| route.route == OTHER).unwrap();
        assert_eq!(other.exact, 50);
    }

    #[test]
    fn what_is_kept_is_what_is_read_back() {
        let (mut counts, mut counted) = (Counts::default(), Vec::new());
        let cause = Some(Cause::ClockOff);
        counts.settle(7, &mut counted, vec![judgement(1, "r/é", Joined::Alone, cause)], NOW);
        counts.came(Hop::Edge, NOW);
        let mut again = Counts::default();
        for Change { key, value } in counts.changes() {
            assert!(again.load(&key, &value.unwrap()), "{key:?}");
        }
        let report = |counts: &Counts| counts.report(NOW, |tenant| tenant.to_string());
        assert_eq!(report(&again), report(&counts));
        counts.kept();
        assert_eq!(counts.changes().count(), 0);
        assert!(!again.load(&[9, 9], &[]) && !again.load(&[CELL, 1], &[]) && !again.load(&[], &[]));
        assert!(!again.load(&[CAME, 200], &[0; 8]));
    }
}
