//! What somebody who knows everything could say of a request from what was recorded of it, and no more. See the crate's page for the
//! rules in words.

use std::collections::{BTreeSet, HashMap};

use crate::case::{Asker, Case, Fetch, Hop, Kong, Run};
use crate::context::{Context, Read, read};

/// The parent that a hop must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// None.
    Root,
    /// The span of this id, whosever it is.
    Span(u64),
    /// The span of another hop.
    Hop(Hop),
    /// Any of the spans that Cloudflare sent of this run: which one only host and time tell.
    Native(u8),
    /// What was recorded does not tell: none, or any of the same request.
    Open,
}

/// A hop that must be told, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub hop: Hop,
    /// Below what.
    pub parent: Parent,
    /// The id that it must have, where somebody else names it.
    pub id: Option<u64>,
}

/// Hops of a request that ids tie together.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The trace ids of which one is right; none at all for one that is nobody else's.
    pub canonical: Vec<u128>,
    /// What must be told.
    pub told: Vec<Told>,
    /// Whether it may be that none of it is told: equals say both that it is wanted and that it is not.
    pub may_be_silent: bool,
    /// Hops that may be told and need not be: no id says whether spans that somebody sent are of them.
    pub open: Vec<Hop>,
    /// Received roots that look-up must show below something: their trace, their id.
    pub roots: Vec<(u128, u64, Parent)>,
    /// Hops whose records must be found with it.
    pub records: Vec<Hop>,
}

/// What is decidable of a request.
#[derive(Debug, Clone, Default)]
pub struct Decided {
    /// Its parts: one, where ids tie all of its hops together.
    pub parts: Vec<Part>,
    /// Whether nothing is left open.
    pub is_whole: bool,
}

/// Trace ids of which anybody sent spans, by tenant, and whether anybody but Cloudflare did.
pub type Received = HashMap<(u8, u128), bool>;

/// An item of a case that left something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Edge,
    Run(usize),
    Fetch(usize),
    Kong(usize),
    Call(usize),
}

/// Decides.
pub fn decide(case: &Case, received: &Received) -> Decided {
    let items = items(case);
    let mut groups: Vec<usize> = (0..items.len()).collect();
    for a in 0..items.len() {
        for b in 0..a {
            if are_tied(case, items[a], items[b]) {
                let (from, to) = (groups[a].max(groups[b]), groups[a].min(groups[b]));
                groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
    }
    let mut decided = Decided { parts: Vec::new(), is_whole: true };
    for group in 0..items.len() {
        let of: Vec<Item> =
            items.iter().zip(&groups).filter(|(_, of)| **of == group).map(|(item, _)| *item).collect();
        if let Some(part) = part(case, &of, received) {
            decided.is_whole &=
                !part.may_be_silent && !part.told.iter().any(|told| told.parent == Parent::Open);
            decided.parts.push(part);
        }
    }
    decided.is_whole &= decided.parts.len() <= 1;
    decided
}

fn items(case: &Case) -> Vec<Item> {
    let edge = case.edge.iter().filter(|edge| edge.is_recorded).map(|_| Item::Edge);
    let runs = (0..case.runs.len())
        .filter(|at| case.runs[*at].is_recorded || case.runs[*at].native.is_some())
        .map(Item::Run);
    let fetches = (0..case.fetches.len()).filter(|at| case.fetches[*at].is_recorded).map(Item::Fetch);
    let kongs = (0..case.kongs.len()).filter(|at| case.kongs[*at].is_named()).map(Item::Kong);
    let calls = (0..case.calls.len()).filter(|at| case.calls[*at].spans[0] != 0).map(Item::Call);
    edge.chain(runs).chain(fetches).chain(kongs).chain(calls).collect()
}

/// Rays that Cloudflare's records name.
fn rays(case: &Case, item: Item) -> Vec<u64> {
    match item {
        Item::Edge => case.edge.iter().map(|edge| edge.ray).collect(),
        Item::Run(at) => vec![case.runs[at].ray],
        Item::Fetch(at) => vec![case.fetches[at].ray, case.fetches[at].parent],
        Item::Kong(_) | Item::Call(_) => Vec::new(),
    }
}

/// The ray that Kong's record names truly. Kong's own spans name none.
fn kong_ray(kong: &Kong) -> Option<u64> {
    kong.ray.filter(|_| kong.is_recorded && !kong.is_forged)
}

fn are_tied(case: &Case, a: Item, b: Item) -> bool {
    match (a, b) {
        (Item::Call(call), Item::Kong(kong)) | (Item::Kong(kong), Item::Call(call)) => {
            let call = &case.calls[call];
            !call.is_direct && call.kong.is_some() && call.kong == case.kongs[kong].id
        }
        (Item::Kong(kong), other) | (other, Item::Kong(kong)) => {
            kong_ray(&case.kongs[kong]).is_some_and(|ray| rays(case, other).contains(&ray))
        }
        (Item::Call(call), other) | (other, Item::Call(call)) => {
            let call = &case.calls[call];
            // Kong's request id says more than a ray, where somebody knows it.
            let kong = case.kongs.iter().find(|kong| call.kong.is_some() && kong.id == call.kong);
            let is_by_kong = kong.is_some_and(Kong::is_named);
            !call.is_direct && !is_by_kong && call.ray.is_some_and(|ray| rays(case, other).contains(&ray))
        }
        (a, b) => {
            let theirs = rays(case, b);
            rays(case, a).iter().any(|ray| theirs.contains(ray))
        }
    }
}

/// The hops of a part, by kind.
struct Hops<'a> {
    case: &'a Case,
    has_edge: bool,
    /// Runs of which there is an event or a span of Cloudflare's.
    runs: Vec<(u8, &'a Run)>,
    fetches: Vec<(u8, &'a Fetch)>,
    kongs: Vec<(u8, &'a Kong)>,
    natives: Vec<u128>,
}

impl<'a> Hops<'a> {
    fn of(case: &'a Case, items: &[Item]) -> Self {
        let mut hops =
            Self { case, has_edge: false, runs: vec![], fetches: vec![], kongs: vec![], natives: vec![] };
        for item in items {
            match *item {
                Item::Edge => hops.has_edge = true,
                Item::Run(at) => hops.runs.push((at as u8, &case.runs[at])),
                Item::Fetch(at) => hops.fetches.push((at as u8, &case.fetches[at])),
                Item::Kong(at) => {
                    let kong = &case.kongs[at];
                    if kong.is_recorded {
                        hops.kongs.push((at as u8, kong));
                    }
                    hops.natives.extend(kong.exported.filter(|own| !own.is_zipkin).map(|own| own.trace));
                }
                Item::Call(at) => hops.natives.push(case.calls[at].trace),
            }
        }
        hops
    }

    fn shown(fetch: &Fetch) -> &[Context] {
        if fetch.shows_headers { &fetch.sent } else { &[] }
    }

    /// What each record shows, and how far it is from the edge: records of one kind are equals.
    fn reads(&self) -> Vec<(u8, Read)> {
        let edge = if self.has_edge { read(self.case.at_edge()) } else { None };
        let fetches = self.fetches.iter().filter_map(|(_, fetch)| read(Self::shown(fetch)));
        let kongs = self.kongs.iter().filter_map(|(_, kong)| read(&kong.sent));
        edge.into_iter()
            .map(|read| (0, read))
            .chain(fetches.map(|read| (1, read)))
            .chain(kongs.map(|read| (2, read)))
            .collect()
    }

    /// Whether spans are wanted; `None` where equals disagree.
    fn is_wanted(&self) -> Option<bool> {
        // A context that names no span has no room for a decision either.
        let decision =
            |read: Option<Read>| read.filter(|read| read.best.has_span()).map(|read| read.best.sampled);
        let edge = self.case.edge.as_ref().filter(|_| self.has_edge);
        let has_failed = edge.is_some_and(|edge| edge.status >= 500)
            || self.kongs.iter().any(|(_, kong)| kong.status >= 500)
            || self.runs.iter().any(|(_, run)| run.has_failed);
        let visitors = edge.and_then(|_| decision(read(self.case.at_edge())));
        let fetches = self.fetches.iter().filter_map(|(_, fetch)| decision(read(Self::shown(fetch))));
        let own = self.kongs.iter().filter(|(_, kong)| !kong.is_rewritten);
        let kongs = own.filter_map(|(_, kong)| decision(read(&kong.sent)));
        let levels = [visitors.into_iter().collect(), fetches.collect(), kongs.collect::<BTreeSet<bool>>()];
        let nearest = levels.into_iter().find(|decisions| !decisions.is_empty()).unwrap_or_default();
        match (has_failed, nearest.first(), nearest.last()) {
            (true, ..) | (_, None, _) => Some(true),
            (_, first, last) => first.filter(|_| first == last).copied(),
        }
    }

    fn canonical(&self, received: &Received) -> Vec<u128> {
        let reads = self.reads();
        let best = reads.iter().map(|(depth, read)| ((read.rank, *depth), read.best.trace));
        let beside = reads.iter().flat_map(|(_, read)| read.beside.iter().map(|id| ((u8::MAX, 0), *id)));
        let candidates: Vec<((u8, u8), u128)> = best.chain(beside).collect();
        let best_of = |fits: &dyn Fn(&u128) -> bool| {
            let fitting = || candidates.iter().filter(|(_, id)| fits(id));
            let least = fitting().map(|(rank, _)| *rank).min();
            let ids: BTreeSet<u128> =
                fitting().filter(|(rank, _)| Some(*rank) == least).map(|(_, id)| *id).collect();
            ids.into_iter().collect::<Vec<u128>>()
        };
        let is_received = |id: &u128| received.contains_key(&(self.case.tenant, *id));
        let named = candidates.iter().map(|(_, id)| *id).filter(is_received);
        // A trace of Cloudflare's in which services have spans was sent on.
        let cloudflares = || self.runs.iter().filter_map(|(_, run)| run.native.as_ref()).map(|own| own.trace);
        let is_sent_on = |id: &u128| received.get(&(self.case.tenant, *id)) == Some(&true);
        let have: BTreeSet<u128> =
            self.natives.iter().copied().chain(named).chain(cloudflares().filter(is_sent_on)).collect();
        if have.is_empty() {
            let best = best_of(&|_| true);
            // What Cloudflare keeps for itself is the last resort.
            return if best.is_empty() { cloudflares().collect() } else { best };
        }
        let best = if have.len() > 1 { best_of(&|id| have.contains(id)) } else { Vec::new() };
        if best.is_empty() { have.into_iter().collect() } else { best }
    }

    /// The parent of whatever names `ray` as the one that caused it.
    fn below(&self, ray: u64) -> Option<Parent> {
        match self.runs.iter().filter(|(_, run)| run.ray == ray).collect::<Vec<_>>().as_slice() {
            [(at, run)] if run.native.is_some() => Some(Parent::Native(*at)),
            [(at, _)] => Some(Parent::Hop(Hop::Run(*at))),
            [] => self.above(ray),
            _ => Some(Parent::Open),
        }
    }

    /// What asked with `ray`.
    fn above(&self, ray: u64) -> Option<Parent> {
        let edge = self.case.edge.as_ref().filter(|edge| self.has_edge && edge.ray == ray);
        let fetch = || self.fetches.iter().find(|(_, fetch)| fetch.ray == ray);
        edge.map(|_| Parent::Hop(Hop::Edge)).or_else(|| fetch().map(|(at, _)| self.fetch(*at)))
    }

    /// What is below a fetch: its span, or the one that Cloudflare sent of it.
    fn fetch(&self, at: u8) -> Parent {
        match self.exported(at) {
            Some((_, true)) => Parent::Open,
            Some((span, false)) => Parent::Span(span),
            None => Parent::Hop(Hop::Fetch(at)),
        }
    }

    /// The span that Cloudflare sent of a fetch, and whether it may be another's: where several were sent with it.
    fn exported(&self, at: u8) -> Option<(u64, bool)> {
        let sent = Self::sent(&self.case.fetches[usize::from(at)])?;
        let is_native = self.case.natives().any(|native| native.clients.iter().any(|(_, own)| *own == sent));
        is_native.then(|| (sent, self.is_shared(at, sent)))
    }

    /// The span that a fetch was sent with.
    fn sent(fetch: &Fetch) -> Option<u64> {
        read(Self::shown(fetch)).filter(|read| read.best.has_span()).map(|read| read.best.span)
    }

    fn is_shared(&self, at: u8, sent: u64) -> bool {
        let mut others = self.fetches.iter().filter(|(other, _)| *other != at);
        others.any(|(_, other)| Self::sent(other) == Some(sent))
    }

    /// The span that a fetch was sent with, where that is nobody else's.
    fn own_id(&self, at: u8) -> Option<u64> {
        // Without the visitor's record nobody knows what is the visitor's own.
        let own = Self::sent(&self.case.fetches[usize::from(at)]).filter(|_| self.has_edge)?;
        let is_visitors = self.case.sent.iter().any(|context| context.span == own);
        (!self.is_shared(at, own) && !is_visitors).then_some(own)
    }

    fn kong_parent(&self, kong: &Kong, canonical: &[u128]) -> Parent {
        if let Some(ray) = kong_ray(kong) {
            if let Some((at, _)) = self.fetches.iter().find(|(_, fetch)| fetch.ray == ray) {
                return self.fetch(*at);
            }
            let caused: Vec<&(u8, &Fetch)> =
                self.fetches.iter().filter(|(_, fetch)| fetch.parent == ray).collect();
            let sent = |fetch: &Fetch| read(Self::shown(fetch)).map_or(0, |read| read.best.span);
            let named: Vec<u8> = caused
                .iter()
                .filter(|(_, fetch)| kong.link != 0 && sent(fetch) == kong.link)
                .map(|(at, _)| *at)
                .collect();
            // A span that several were sent with, or the visitor's own, tells nothing.
            let is_visitors = self.case.sent.iter().any(|context| context.span == kong.link);
            let edge = self.case.edge.as_ref().filter(|edge| self.has_edge && edge.ray == ray);
            let all = self.case.fetches.iter().filter(|fetch| fetch.parent == ray).count();
            return match (named.as_slice(), caused.as_slice()) {
                ([only], _) if !is_visitors && !kong.is_link_own => self.fetch(*only),
                // Only a row says how many requests the Worker made.
                (_, [(only, _)]) if edge.is_some() && self.case.has_row() && all == 1 => self.fetch(*only),
                (_, [_, ..]) => Parent::Open,
                (_, []) if kong.asker == Asker::Edge && edge.is_some() && self.case.has_row() => {
                    Parent::Hop(Hop::Origin)
                }
                (_, []) => self.below(ray).unwrap_or_else(|| self.by_header(kong, canonical)),
            };
        }
        self.by_header(kong, canonical)
    }

    fn by_header(&self, kong: &Kong, canonical: &[u128]) -> Parent {
        let is_of_trace = read(&kong.sent).is_some_and(|read| canonical == [read.best.trace]);
        match canonical {
            _ if kong.is_link_own => Parent::Open,
            [_] if is_of_trace && kong.link != 0 => Parent::Span(kong.link),
            [_] | [] => Parent::Root,
            _ => Parent::Open,
        }
    }

    /// Hops that may be told, and need not be.
    fn open(&self) -> Vec<Hop> {
        let fetches = self.fetches.iter().map(|(at, _)| *at);
        let fetches = fetches.filter(|at| self.exported(*at).is_some_and(|(_, may_be)| may_be));
        let kongs = self.kongs.iter().filter(|(_, kong)| kong.is_told_by_itself().is_none());
        let kongs = kongs.flat_map(|(at, kong)| {
            std::iter::once(Hop::Kong(*at)).chain((1..=kong.tries).map(|number| Hop::Try(*at, number)))
        });
        fetches.map(Hop::Fetch).chain(kongs).collect()
    }

    /// Received roots and their parents.
    fn roots(&self) -> Vec<(u128, u64, Parent)> {
        let is_alone = |run: &Run| self.runs.iter().filter(|(_, other)| other.ray == run.ray).count() == 1;
        let runs = self.runs.iter().filter(|(_, run)| is_alone(run));
        let of = |run: &Run| {
            let native = run.native.as_ref()?;
            Some((native.trace, native.root, self.above(run.ray)?))
        };
        let kongs = self.kongs.iter().filter(|(_, kong)| kong.is_told_by_itself() == Some(true));
        let shared = kongs.filter_map(|(_, kong)| {
            let own = kong.exported.filter(|own| own.is_zipkin)?;
            let (at, _) = self.fetches.iter().find(|(at, _)| self.own_id(*at) == Some(own.root))?;
            Some((own.trace, own.root, Parent::Hop(Hop::Fetch(*at))))
        });
        runs.filter_map(|(_, run)| of(run)).chain(shared).collect()
    }

    fn told(&self, canonical: &[u128]) -> Vec<Told> {
        let mut told = Vec::new();
        let visitors = read(self.case.at_edge());
        if let Some(edge) = self.case.edge.as_ref().filter(|_| self.has_edge)
            && !(edge.is_cached && visitors.is_none() && self.case.has_row())
        {
            let parent = match (&visitors, canonical) {
                (Some(read), [only]) if read.best.trace == *only && read.best.has_span() => {
                    Parent::Span(read.best.span)
                }
                (Some(_), [_, _, ..]) => Parent::Open,
                _ => Parent::Root,
            };
            told.push(Told { hop: Hop::Edge, parent, id: None });
            if edge.has_origin && self.case.has_row() {
                told.push(Told { hop: Hop::Origin, parent: Parent::Hop(Hop::Edge), id: None });
            }
        }
        for (at, run) in self.runs.iter().filter(|(_, run)| run.is_recorded && run.native.is_none()) {
            let is_shared = self.runs.iter().filter(|(_, other)| other.ray == run.ray).count() > 1;
            let parent = self.above(run.ray).unwrap_or(Parent::Root);
            told.push(Told {
                hop: Hop::Run(*at),
                parent: if is_shared { Parent::Open } else { parent },
                id: None,
            });
        }
        for (at, fetch) in self.fetches.iter().filter(|(at, _)| self.exported(*at).is_none()) {
            let own = self.own_id(*at);
            // Kong's Zipkin plugin has a span of its own with the id that it was asked with.
            let is_kongs = self
                .case
                .kongs
                .iter()
                .filter_map(|kong| kong.exported)
                .any(|kong| kong.is_zipkin && own == Some(kong.root));
            let parent = self.below(fetch.parent).unwrap_or(Parent::Root);
            told.push(Told { hop: Hop::Fetch(*at), parent, id: own.filter(|_| !is_kongs) });
        }
        for (at, kong) in self.kongs.iter().filter(|(_, kong)| kong.is_told_by_itself() == Some(false)) {
            told.push(Told { hop: Hop::Kong(*at), parent: self.kong_parent(kong, canonical), id: None });
            for number in 1..=kong.tries {
                let own = read(&kong.sent).filter(|_| kong.is_rewritten && number == kong.tries);
                let id = own.map(|own| own.best.span);
                told.push(Told { hop: Hop::Try(*at, number), parent: Parent::Hop(Hop::Kong(*at)), id });
            }
        }
        told
    }
}

fn part(case: &Case, items: &[Item], received: &Received) -> Option<Part> {
    let hops = Hops::of(case, items);
    let edge = hops.has_edge.then_some(Hop::Edge);
    let runs = hops.runs.iter().filter(|(_, run)| run.is_recorded).map(|(at, _)| Hop::Run(*at));
    let fetches = hops.fetches.iter().map(|(at, _)| Hop::Fetch(*at));
    let kongs = hops.kongs.iter().map(|(at, _)| Hop::Kong(*at));
    let records: Vec<Hop> = edge.into_iter().chain(runs).chain(fetches).chain(kongs).collect();
    if records.is_empty() {
        return None;
    }
    let canonical = hops.canonical(received);
    let is_wanted = hops.is_wanted();
    let told = if is_wanted == Some(false) { Vec::new() } else { hops.told(&canonical) };
    let (open, roots) =
        if is_wanted == Some(false) { Default::default() } else { (hops.open(), hops.roots()) };
    Some(Part { canonical, told, may_be_silent: is_wanted.is_none(), open, roots, records })
}
