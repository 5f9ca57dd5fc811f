//! Which facts belong to one request, and under which trace id it goes. Both are functions of the set of facts: neither the order in
//! which they came nor how often enters.

use std::collections::BTreeMap;

use crate::fact::{
    Context, Edge, Fact, Fetch, Key, Kong, Line, Maker, Native, Rank, Seen, Span, Trace, Worker,
};
use crate::read::is_coarse;

/// Received spans of traces that facts name, by trace.
pub type Traces = BTreeMap<Trace, Vec<Seen>>;

/// How far who names a ray or a request id may lie from who vouches for it before that is not believed, in nanoseconds: more than clocks
/// differ, less than what somebody copied is old.
const NEAR: u64 = 300_000_000_000;

/// The facts of one request.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// Visitors' requests: one, unless the feed is odd.
    pub edges: Vec<&'a Edge>,
    /// Further records of the same visitors' requests: of another job, or the legacy record beside the row.
    pub again: Vec<&'a Edge>,
    /// What Workers asked for.
    pub fetches: Vec<&'a Fetch>,
    /// Workers' runs.
    pub workers: Vec<&'a Worker>,
    /// Requests through Kong.
    pub kongs: Vec<&'a Kong>,
    /// Received spans that name a key of it.
    pub natives: Vec<&'a Native>,
    /// What is said about it beside.
    pub lines: Vec<&'a Line>,
}

/// A request's ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The trace id under which it is shown.
    pub canonical: Trace,
    /// Every other id that was seen for it.
    pub aliases: Vec<Trace>,
}

/// Sorts facts and drops copies; the first of several copies stays.
pub fn settle(facts: &mut Vec<Fact>) {
    facts.sort_by_key(Fact::order);
    facts.dedup_by(|later, first| later.is_copy(first));
}

/// Divides settled facts into requests: two belong together when they share a key that one of them, or a third, vouches for.
pub fn requests(facts: &[Fact]) -> Vec<Request<'_>> {
    let mut vouched: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (at, fact) in facts.iter().enumerate() {
        for key in fact.vouches() {
            vouched.entry(key).or_default().push(at);
        }
    }
    let mut groups = Groups((0..facts.len()).collect());
    for (at, fact) in facts.iter().enumerate() {
        for key in believed(fact, facts, &vouched) {
            if let Some(first) = vouched.get(&key).and_then(|witnesses| witnesses.first()) {
                groups.join(at, *first);
            }
        }
    }
    let mut requests: BTreeMap<usize, Request<'_>> = BTreeMap::new();
    for (at, fact) in facts.iter().enumerate() {
        let request = requests.entry(groups.root(at)).or_default();
        match fact {
            Fact::Edge(edge) => request.edges.push(edge),
            Fact::Fetch(fetch) => request.fetches.push(fetch),
            Fact::Worker(worker) => request.workers.push(worker),
            Fact::Kong(kong) => request.kongs.push(kong),
            Fact::Native(native) => request.natives.push(native),
            Fact::Line(line) => request.lines.push(line),
        }
    }
    requests.values_mut().for_each(Request::tell_once);
    requests.into_values().collect()
}

/// The keys of a fact that its word is taken for.
fn believed(fact: &Fact, facts: &[Fact], vouched: &BTreeMap<Key, Vec<usize>>) -> Vec<Key> {
    let is_near = |key: &Key, start: u64| {
        let witnesses = || vouched.get(key).into_iter().flatten().map(|at| &facts[*at]);
        let mut times = witnesses().filter_map(Fact::began).peekable();
        if times.peek().is_some() {
            return times.any(|began| began.abs_diff(start) <= NEAR);
        }
        // Nobody says when it was, but nothing of it began after it was told of.
        witnesses().any(|witness| start <= witness.came().saturating_add(NEAR))
    };
    match fact {
        Fact::Kong(kong) => {
            let ray = kong.ray.map(Key::Ray).filter(|ray| is_near(ray, kong.look.start));
            ray.into_iter().chain(kong.id.map(Key::Kong)).collect()
        }
        // Kong's request id names one request, and a ray in the same span can only repeat what Kong's own record says.
        Fact::Native(native) if native.maker == Maker::Service => {
            let is_near = |key: &Key| is_near(key, native.start);
            let kong = native.kong.map(Key::Kong).filter(is_near);
            kong.or(native.ray.map(Key::Ray).filter(is_near)).into_iter().collect()
        }
        _ => fact.keys(),
    }
}

/// Union-find over places.
struct Groups(Vec<usize>);

impl Groups {
    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller place is the root, whatever the order of joining.
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low;
    }
}

impl Request<'_> {
    /// Of several records of one ray, each is the one that tells most: two jobs may send the same requests.
    fn tell_once(&mut self) {
        let edges = std::mem::take(&mut self.edges);
        let rank = |edge: &Edge| (edge.is_legacy, is_coarse(&edge.look), edge.context.is_none());
        let best = |ray| edges.iter().filter(|edge| edge.ray == ray).min_by_key(|edge| rank(edge));
        (self.edges, self.again) =
            edges.iter().partition(|edge| best(edge.ray).is_some_and(|best| std::ptr::eq(*best, **edge)));
        let fetches = std::mem::take(&mut self.fetches);
        let rank = |fetch: &Fetch| (fetch.context.is_none(), is_coarse(&fetch.look));
        let best = |ray| fetches.iter().filter(|fetch| fetch.ray == ray).min_by_key(|fetch| rank(fetch));
        let is_best = |fetch: &&&Fetch| best(fetch.ray).is_some_and(|best| std::ptr::eq(*best, **fetch));
        self.fetches = fetches.iter().filter(is_best).copied().collect();
    }

    /// The contexts that visitors sent.
    pub fn visitors(&self) -> impl Iterator<Item = &Context> {
        self.edges.iter().chain(&self.again).filter_map(|edge| edge.context.as_ref())
    }

    /// The context that the visitor of this request sent, by whichever record tells.
    pub fn context_of(&self, edge: &Edge) -> Option<&Context> {
        let mut alike = self.edges.iter().chain(&self.again).filter(|other| other.ray == edge.ray);
        alike.find_map(|edge| edge.context.as_ref())
    }

    /// Every context in it, the better first: by how it is written, then from the edge inwards.
    fn contexts(&self) -> Vec<&Context> {
        let edges = self.visitors();
        let workers = self.workers.iter().filter_map(|worker| worker.context.as_ref());
        let fetches = self.fetches.iter().filter_map(|fetch| fetch.context.as_ref());
        let kongs = self.kongs.iter().filter_map(|kong| kong.context.as_ref());
        let mut contexts: Vec<&Context> = edges.chain(workers).chain(fetches).chain(kongs).collect();
        contexts.sort_by_key(|context| context.rank);
        contexts
    }

    /// Every trace id that its records carry, the better first.
    pub fn candidates(&self) -> Vec<Trace> {
        let contexts = self.contexts();
        let beside = contexts.iter().flat_map(|context| &context.beside);
        let mut ids: Vec<Trace> = Vec::new();
        for id in contexts.iter().map(|context| &context.trace).chain(beside) {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids
    }

    /// Its ids. Received spans keep theirs, so where they have one, it is the request's; else the best that its records carry; else one
    /// that is derived. `None` for a request that consists of nothing but received spans: they are whole without us.
    pub fn identity(&self, traces: &Traces) -> Option<Identity> {
        let is_only_native = self.edges.is_empty()
            && self.fetches.is_empty()
            && self.workers.is_empty()
            && self.kongs.is_empty();
        let candidates = self.candidates();
        let mut received: Vec<Trace> = Vec::new();
        let mut apart: Vec<Trace> = Vec::new();
        let named = self.natives.iter().map(|native| native.trace);
        let weak =
            candidates.iter().copied().filter(|id| traces.get(id).is_some_and(|spans| !spans.is_empty()));
        for id in named.chain(weak) {
            let list = if self.is_forwarded(&id, &candidates, traces) { &mut received } else { &mut apart };
            if !list.contains(&id) {
                list.push(id);
            }
        }
        let best = || candidates.iter().find(|id| received.contains(id)).copied();
        let canonical = match received.as_slice() {
            [] => candidates.first().copied().or_else(|| self.earliest(&apart)).or_else(|| self.derived()),
            [only] => Some(*only),
            several => best().or_else(|| self.earliest(several)),
        }?;
        let mut aliases = Vec::new();
        for id in candidates.into_iter().chain(received).chain(apart) {
            if id != canonical && !aliases.contains(&id) {
                aliases.push(id);
            }
        }
        aliases.sort_unstable();
        let tells = !is_only_native || !aliases.is_empty();
        tells.then_some(Identity { canonical, aliases })
    }

    /// Whether a trace reaches beyond what Cloudflare made: its id is in a header, or a span of somebody else carries it.
    fn is_forwarded(&self, id: &Trace, candidates: &[Trace], traces: &Traces) -> bool {
        let is_other = |maker: Maker| !matches!(maker, Maker::Edge | Maker::Worker);
        candidates.contains(id)
            || self.natives.iter().any(|native| native.trace == *id && is_other(native.maker))
            || traces.get(id).is_some_and(|spans| spans.iter().any(|span| is_other(span.maker)))
    }

    fn earliest(&self, among: &[Trace]) -> Option<Trace> {
        let natives = self.natives.iter().filter(|native| among.contains(&native.trace));
        natives.min_by_key(|native| (native.start, native.trace)).map(|native| native.trace)
    }

    /// The id of a request that nobody named.
    fn derived(&self) -> Option<Trace> {
        let of_ray = |ray: u64| *model::id::derived::id16("trace", &[&crate::read::ray_text(ray)]).bytes();
        if let Some(ray) = self.visitor_ray() {
            return Some(of_ray(ray));
        }
        self.kongs.first().map(|kong| kong.trace).or_else(|| self.workers.first().map(|worker| worker.trace))
    }

    /// The ray of the visitor's request, as far as the records tell: of the edge's record, else the one that caused the first fetch, else
    /// the Worker's.
    pub fn visitor_ray(&self) -> Option<u64> {
        let edge = self.edges.first().map(|edge| edge.ray);
        let is_fetch = |ray: &u64| self.fetches.iter().any(|fetch| fetch.ray == *ray);
        let causes = self.fetches.iter().filter_map(|fetch| fetch.parent).find(|ray| !is_fetch(ray));
        let worker = || self.workers.iter().find_map(|worker| worker.ray);
        let fetch = || self.fetches.first().map(|fetch| fetch.ray);
        edge.or(causes).or_else(worker).or_else(fetch)
    }

    /// Whether its spans are wanted: nobody decided against it, or it failed. What Kong's plugin wrote into a header that it made itself is no
    /// decision of the caller's.
    pub fn is_sampled(&self) -> bool {
        let decided = |context: &Option<Context>| context.as_ref().and_then(|context| context.sampled);
        let edge = self.visitors().find_map(|context| context.sampled);
        let worker = || self.workers.iter().find_map(|worker| decided(&worker.context));
        let fetch = || self.fetches.iter().find_map(|fetch| decided(&fetch.context));
        let kong =
            || self.kongs.iter().filter(|kong| !kong.rewritten).find_map(|kong| decided(&kong.context));
        let failed = self.edges.iter().any(|edge| edge.look.status >= 500)
            || self.kongs.iter().any(|kong| kong.look.status >= 500)
            || self.workers.iter().any(|worker| worker.failed);
        failed || edge.or_else(worker).or_else(fetch).or_else(kong) != Some(false)
    }

    /// The span that the visitor's context names, when it is of this trace.
    pub fn external(&self, canonical: &Trace) -> Option<Span> {
        let edge = self.visitors().next()?;
        edge.parent.filter(|_| edge.trace == *canonical && edge.rank != Rank::Injected)
    }
}
