//! What was told, set against what is true.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::case::{Case, Hop, Native};
use crate::decide::{Parent, Part, Received, decide};
use crate::feed::Seen;
use crate::listen::Shown;

/// How far requests are right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// All of them.
    pub requests: u64,
    /// Those of which anything was recorded that stitching has to do with, so that something is decidable.
    pub decidable: u64,
    /// Those of which everything is.
    pub whole: u64,
    /// Of the decidable, those of which everything decidable is right.
    pub exact: u64,
    /// Spans and log records shown in a request that they are no part of.
    pub false_joins: u64,
    /// Requests of which somebody else had copied something within minutes, and those of them that are right all the same. Neither they nor the
    /// copiers are decidable.
    pub copied: (u64, u64),
    /// Spans told, by the sureness that they claim: how many, and how many of those whose true parent is recorded lie below it.
    pub joins: BTreeMap<&'static str, Sureness>,
    /// What went wrong: how many times, and the number of one request for each.
    pub causes: BTreeMap<&'static str, (u64, u32)>,
}

/// How often a claim is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sureness {
    /// Spans that make it.
    pub told: u64,
    /// Those whose parent can be checked against the truth.
    pub checked: u64,
    /// Those of them that are right.
    pub right: u64,
}

impl Verdict {
    /// The share of the decidable that is exact.
    pub fn share(&self) -> f64 {
        if self.decidable == 0 { 0.0 } else { self.exact as f64 / self.decidable as f64 }
    }

    /// Whether both targets are met.
    pub fn is_good(&self) -> bool {
        self.decidable > 0 && self.share() >= 0.99 && self.false_joins == 0
    }

    fn blame(&mut self, cause: &'static str, serial: u32) {
        let entry = self.causes.entry(cause).or_insert((0, serial));
        entry.0 += 1;
    }
}

struct Judge<'a> {
    cases: &'a [Case],
    seen: &'a Seen,
    /// Serials that have anything in a trace.
    of_trace: HashMap<(u8, u128), BTreeSet<u32>>,
    /// Whose a received span is.
    received: HashMap<(u8, u128, u64), u32>,
    /// Told spans of a case.
    told: HashMap<u32, Vec<(u128, u64, &'a Shown)>>,
    /// Requests that somebody copied from, each with those who did. Nothing tells them apart.
    copiers: BTreeMap<u32, Vec<u32>>,
    /// Requests that carry a trace id, by tenant.
    carriers: HashMap<(u8, u128), Vec<u32>>,
    /// Received spans that Cloudflare sent.
    cloudflares: HashSet<u64>,
    verdict: Verdict,
}

/// Judges.
pub fn judge(cases: &[Case], seen: &Seen) -> Verdict {
    let mut judge = Judge {
        cases,
        seen,
        of_trace: HashMap::new(),
        received: HashMap::new(),
        told: HashMap::new(),
        copiers: BTreeMap::new(),
        carriers: HashMap::new(),
        cloudflares: HashSet::new(),
        verdict: Verdict { requests: cases.len() as u64, ..Verdict::default() },
    };
    for case in cases {
        if let Some(original) = case.copied {
            judge.copiers.entry(original).or_default().push(case.serial);
        }
        for trace in case.traces() {
            judge.carriers.entry((case.tenant, trace)).or_default().push(case.serial);
        }
        for call in &case.calls {
            for span in call.spans.into_iter().filter(|span| *span != 0) {
                judge.received.insert((case.tenant, call.trace, span), case.serial);
            }
        }
        for own in case.kongs.iter().filter_map(|kong| kong.exported) {
            for span in [own.root, own.balancer] {
                judge.received.insert((case.tenant, own.trace, span), case.serial);
            }
        }
        for own in case.natives() {
            for span in own.spans() {
                judge.received.insert((case.tenant, own.trace, span), case.serial);
                judge.cloudflares.insert(span);
            }
        }
    }
    let mut traces = Received::new();
    for (tenant, trace, span) in judge.received.keys() {
        let by_others = !judge.cloudflares.contains(span);
        *traces.entry((*tenant, *trace)).or_default() |= by_others;
    }
    for ((tenant, trace, _), serial) in &judge.received {
        judge.of_trace.entry((*tenant, *trace)).or_default().insert(*serial);
    }
    for ((tenant, trace, span), shown) in &seen.told {
        judge.of_trace.entry((*tenant, *trace)).or_default().insert(shown.mark.serial);
        judge.told.entry(shown.mark.serial).or_default().push((*trace, *span, shown));
    }
    for case in cases {
        judge.request(case, &traces);
        judge.strangers(case);
    }
    judge.rows();
    for serial in &seen.doubled {
        judge.verdict.blame("two spans have one id", *serial);
    }
    judge.verdict
}

impl Judge<'_> {
    fn request(&mut self, case: &Case, traces: &Received) {
        let decided = decide(case, traces);
        if decided.parts.is_empty() || case.copied.is_some() {
            return;
        }
        let mut wrong = BTreeSet::new();
        for part in &decided.parts {
            self.part(case, part, &mut wrong);
        }
        let expected: BTreeSet<Hop> = decided
            .parts
            .iter()
            .flat_map(|part| part.told.iter().map(|told| told.hop).chain(part.open.clone()))
            .collect();
        let told = self.told.get(&case.serial).map_or(&[][..], Vec::as_slice);
        if told.iter().any(|(_, _, shown)| !expected.contains(&shown.mark.hop)) {
            wrong.insert("a span is told that must not be");
        }
        if self.seen.lost.contains(&case.serial) {
            wrong.insert("an id does not lead to its record");
        }
        if self.copiers.contains_key(&case.serial) {
            self.verdict.copied.0 += 1;
            self.verdict.copied.1 += u64::from(wrong.is_empty());
            return;
        }
        self.claims(case);
        self.verdict.decidable += 1;
        self.verdict.whole += u64::from(decided.is_whole);
        self.verdict.exact += u64::from(wrong.is_empty());
        for cause in wrong {
            self.verdict.blame(cause, case.serial);
        }
    }

    fn part(&self, case: &Case, part: &Part, wrong: &mut BTreeSet<&'static str>) {
        let told = self.told.get(&case.serial).map_or(&[][..], Vec::as_slice);
        let of = |hop: Hop| told.iter().filter(move |(_, _, shown)| shown.mark.hop == hop);
        let mut shown_in: BTreeSet<u128> = BTreeSet::new();
        let is_silent = !part.told.iter().any(|told| of(told.hop).next().is_some());
        for expected in part.told.iter().filter(|_| !(part.may_be_silent && is_silent)) {
            let mut found = of(expected.hop);
            let (Some((trace, span, shown)), more) = (found.next(), found.next()) else {
                wrong.insert("a span is missing");
                continue;
            };
            if more.is_some() {
                wrong.insert("a span is told twice");
            }
            shown_in.insert(*trace);
            if !self.is_right(case, expected.parent, Some(*trace), shown.parent) {
                wrong.insert(match expected.hop {
                    Hop::Edge | Hop::Origin => "the parent of the edge is wrong",
                    Hop::Run(_) => "the parent of a Worker is wrong",
                    Hop::Fetch(_) => "the parent of a fetch is wrong",
                    Hop::Kong(_) => "the parent of Kong is wrong",
                    Hop::Try(..) => "the parent of a try is wrong",
                });
            }
            if expected.id.map_or_else(|| case.carries(*span) && !is_fetch(expected.hop), |id| id != *span) {
                wrong.insert(match expected.hop {
                    Hop::Fetch(_) => "a fetch does not have the id that it sent",
                    Hop::Try(..) => "a try does not have the id that it sent",
                    _ => "a span has the id of another",
                });
            }
        }
        for (trace, span, parent) in part.roots.iter().filter(|_| !(part.may_be_silent && is_silent)) {
            let shown = self.seen.parents.get(&(case.tenant, *trace, *span)).copied().unwrap_or(0);
            if !self.is_right(case, *parent, None, shown) {
                wrong.insert("the parent of a received root is wrong");
            }
        }
        let is_canonical = |trace: &u128| match part.canonical.as_slice() {
            [] => !case.traces().contains(trace),
            ids => ids.contains(trace),
        };
        if shown_in.len() > 1 {
            wrong.insert("hops lie in different traces");
        }
        if !shown_in.iter().all(is_canonical) {
            wrong.insert("the trace id is wrong");
        }
        for hop in &part.records {
            let key = crate::mark::Mark { serial: case.serial, hop: *hop };
            if !self.seen.found.contains(&key) {
                wrong.insert("a log record is not found");
            }
        }
    }

    /// Whether a parent is the right one. `trace` is that in which the child lies, where it matters.
    fn is_right(&self, case: &Case, expected: Parent, trace: Option<u128>, parent: u64) -> bool {
        let told = self.told.get(&case.serial).map_or(&[][..], Vec::as_slice);
        match expected {
            Parent::Root => parent == 0,
            Parent::Span(id) => parent == id,
            Parent::Hop(hop) => told.iter().any(|(of, id, shown)| {
                shown.mark.hop == hop && trace.is_none_or(|trace| trace == *of) && *id == parent
            }),
            Parent::Native(at) => {
                case.runs[usize::from(at)].native.as_ref().is_some_and(|native| native.has(parent))
            }
            // Strangers are looked for apart.
            Parent::Open => true,
        }
    }

    fn case(&self, serial: u32) -> Option<&Case> {
        self.cases.get((serial as usize).wrapping_sub(1))
    }

    fn original(&self, serial: u32) -> u32 {
        self.case(serial).and_then(|case| case.copied).unwrap_or(serial)
    }

    /// Whether two requests have nothing to do with each other. Of copiers and originals nobody can say.
    fn are_strangers(&self, a: u32, b: u32) -> bool {
        self.original(a) != self.original(b)
    }

    /// A request, and those that nothing tells apart from it.
    fn likes(&self, serial: u32) -> impl Iterator<Item = &Case> {
        let original = self.original(serial);
        let copiers = self.copiers.get(&original).into_iter().flatten().copied();
        std::iter::once(original).chain(copiers).filter_map(|serial| self.case(serial))
    }

    /// Whether a request, or one that nothing tells apart from it, has this trace id.
    fn has_trace(&self, serial: u32, trace: u128) -> bool {
        self.likes(serial).any(|case| case.traces().contains(&trace))
    }

    /// Whether a request, or one that nothing tells apart from it, has this span id.
    fn has_span(&self, serial: u32, span: u64) -> bool {
        self.likes(serial).any(|case| case.carries(span))
    }

    /// Spans of others that a request's spans lie among, below, or point at.
    fn strangers(&mut self, case: &Case) {
        let Some(told) = self.told.get(&case.serial) else { return };
        let mut wrong = Vec::new();
        for (trace, span, shown) in told {
            let of = self.of_trace.get(&(case.tenant, *trace));
            let mut others = of.into_iter().flatten();
            if others.any(|of| self.are_strangers(*of, case.serial)) && !self.has_trace(case.serial, *trace) {
                wrong.push("false: in the trace of another");
            }
            let by_told =
                self.seen.told.get(&(case.tenant, *trace, shown.parent)).map(|other| other.mark.serial);
            let parent = self.received.get(&(case.tenant, *trace, shown.parent)).copied().or(by_told);
            if shown.parent != 0
                && parent.is_some_and(|of| self.are_strangers(of, case.serial))
                && !self.has_span(case.serial, shown.parent)
            {
                wrong.push("false: below a span of another");
            }
            if shown.parent == *span {
                wrong.push("false: below itself");
            }
            for (trace, span) in &shown.links {
                let of = self.received.get(&(case.tenant, *trace, *span));
                if of.is_some_and(|of| self.are_strangers(*of, case.serial))
                    && !self.has_span(case.serial, *span)
                {
                    wrong.push("false: linked to a span of another");
                }
            }
        }
        self.verdict.false_joins += wrong.len() as u64;
        for cause in wrong {
            self.verdict.blame(cause, case.serial);
        }
    }

    /// What spans claim of their parents, against the truth.
    fn claims(&mut self, case: &Case) {
        let Some(told) = self.told.get(&case.serial) else { return };
        for (trace, _, shown) in told {
            let sureness = self.verdict.joins.entry(shown.join).or_default();
            sureness.told += 1;
            // The nearest of its true ancestors of which there is a span.
            let spans = |hop: &Hop| {
                let of = told.iter().filter(|(of, _, other)| of == trace && other.mark.hop == *hop);
                let mut spans: Vec<u64> = of.map(|(_, span, _)| *span).collect();
                spans.extend(received(case, *hop));
                spans
            };
            let nearest = truth(case, shown.mark.hop).iter().map(spans).find(|spans| !spans.is_empty());
            if let Some(nearest) = nearest {
                sureness.checked += 1;
                sureness.right += u64::from(nearest.contains(&shown.parent));
            }
        }
    }

    /// Log records as look-up shows them.
    fn rows(&mut self) {
        let mut wrong = Vec::new();
        for (mark, (tenant, canonical, trace, span)) in &self.seen.rows {
            let mut others = self.of_trace.get(&(*tenant, *canonical)).into_iter().flatten();
            if others.any(|of| self.are_strangers(*of, mark.serial))
                && !self.has_trace(mark.serial, *canonical)
            {
                wrong.push(("false: a log record in the trace of another", mark.serial));
            }
            let by_told = self.seen.told.get(&(*tenant, *trace, *span)).map(|shown| shown.mark.serial);
            let of = by_told.or_else(|| self.received.get(&(*tenant, *trace, *span)).copied());
            if *span != 0 && of.is_none_or(|of| self.are_strangers(of, mark.serial)) {
                wrong.push(("false: a log record below a span of another", mark.serial));
            }
        }
        for ((tenant, canonical), aliases) in &self.seen.aliases {
            let Some(serials) = self.of_trace.get(&(*tenant, *canonical)) else { continue };
            // An id is rightly there when one of the trace's requests has it, or one that nothing tells apart from such a request: also
            // where that one has no span of its own there.
            let carriers = |id: &u128| self.carriers.get(&(*tenant, *id)).into_iter().flatten();
            let members: BTreeSet<u32> =
                serials.iter().chain(carriers(canonical)).map(|serial| self.original(*serial)).collect();
            let is_known =
                |alias: &u128| carriers(alias).any(|serial| members.contains(&self.original(*serial)));
            if let (false, Some(serial)) = (aliases.iter().all(is_known), serials.first()) {
                wrong.push(("false: found by an id of another", *serial));
            }
        }
        self.verdict.false_joins += wrong.len() as u64;
        for (cause, serial) in wrong {
            self.verdict.blame(cause, serial);
        }
    }
}

fn is_fetch(hop: Hop) -> bool {
    matches!(hop, Hop::Fetch(_))
}

/// Spans of a hop that somebody sent: of a Worker's run also those of what it asked for, since which of them asked what is not always known.
fn received(case: &Case, hop: Hop) -> Vec<u64> {
    match hop {
        Hop::Run(at) => case.runs[usize::from(at)].native.iter().flat_map(Native::spans).collect(),
        Hop::Fetch(at) => {
            let clients = case.natives().flat_map(|native| &native.clients);
            clients.filter(|(of, _)| *of == at).map(|(_, span)| *span).collect()
        }
        Hop::Kong(at) => case.kongs[usize::from(at)].exported.iter().map(|own| own.root).collect(),
        _ => Vec::new(),
    }
}

/// The true ancestors of a hop, the nearest first.
fn truth(case: &Case, hop: Hop) -> Vec<Hop> {
    let mut ancestors = Vec::new();
    let mut at = hop;
    while let Some(parent) = parent(case, at) {
        ancestors.push(parent);
        at = parent;
    }
    ancestors
}

fn parent(case: &Case, hop: Hop) -> Option<Hop> {
    let asked = |ray: u64| {
        let fetch = case.fetches.iter().position(|fetch| fetch.ray == ray);
        fetch.map_or(Hop::Edge, |at| Hop::Fetch(at as u8))
    };
    match hop {
        Hop::Edge => None,
        Hop::Origin => Some(Hop::Edge),
        Hop::Run(at) => {
            let run = &case.runs[usize::from(at)];
            let first = case.runs.iter().position(|other| other.ray == run.ray)?;
            // A bound Worker was called by the other one of the same ray.
            Some(if first < usize::from(at) { Hop::Run(first as u8) } else { asked(run.ray) })
        }
        Hop::Fetch(at) => {
            let ray = case.fetches[usize::from(at)].parent;
            let run = case.runs.iter().position(|run| run.ray == ray);
            Some(run.map_or(Hop::Edge, |at| Hop::Run(at as u8)))
        }
        Hop::Kong(at) => match case.kongs[usize::from(at)].asker {
            crate::case::Asker::Edge => Some(Hop::Origin),
            crate::case::Asker::Fetch(at) => Some(Hop::Fetch(at)),
            crate::case::Asker::Outside => None,
        },
        Hop::Try(at, _) => Some(Hop::Kong(at)),
    }
}
