//! The hops of one request, judged by its records: whether what one of them sent is what the next one got.

use super::{Cause, Hop, Joined, Judgement, Verdict};
use crate::derive::{Join, Made, Place};
use crate::fact::{Context, Edge, Fetch, Kong, Look, Maker, Rank, Span, Trace};
use crate::read::is_coarse;
use crate::request::{Request, Traces};

/// Bytes of a route's name that are kept.
const ROUTE_BYTES: usize = 100;
/// How far times may lie apart before clocks are said to be off, in nanoseconds.
const TOLERANCE: u64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;

/// Judges a request. `among` is every request that any key ties to it, by whose records it shows that a key was not believed; `made` what became of it.
/// Requests through Kong that are not due at `now` are judged when they are. `None` where there is nothing to say.
pub fn judge(
    request: &Request<'_>,
    among: &[Request<'_>],
    made: Option<&Made>,
    traces: &Traces,
    now: u64,
) -> Option<Judgement> {
    if made.is_none() && !is_first_of_its_trace(request, among) {
        return None;
    }
    let judge = Judge { request, among, made, traces };
    let due = || request.kongs.iter().filter(|kong| kong.due <= now);
    let said: Vec<Verdict> = if request.is_sampled() {
        let edges = request.edges.iter().filter_map(|edge| judge.edge(edge));
        let kongs = due().map(|kong| judge.kong(kong));
        edges.chain(judge.worker()).chain(kongs).chain(judge.services(now)).collect()
    } else {
        let unsampled = |hop| said(hop, Joined::Alone, Some(Cause::SamplingOff));
        let has = [!request.edges.is_empty(), judge.ran(), due().next().is_some()];
        let hops = Hop::ALL.into_iter().zip(has).filter(|(_, has)| *has);
        hops.map(|(hop, _)| unsampled(hop)).collect()
    };
    let verdicts = worst(&said);
    let trace = match made {
        Some(made) => made.identity.canonical,
        None => request.natives.first()?.trace,
    };
    (!verdicts.is_empty()).then(|| Judgement { trace, route: route(request), verdicts })
}

/// Whether no request before it has the same trace: spans that nothing ties together are counted by their traces.
fn is_first_of_its_trace(request: &Request<'_>, among: &[Request<'_>]) -> bool {
    let trace = |request: &Request<'_>| request.natives.first().map(|native| native.trace);
    let first = among.iter().find(|other| trace(other) == trace(request));
    first.is_none_or(|first| std::ptr::eq(first, request))
}

/// Of several records at one hop the one that is joined worst stands for it, so that requests are counted and not records.
fn worst(all: &[Verdict]) -> Vec<Verdict> {
    let of = |hop| {
        let own = all.iter().filter(|verdict| verdict.hop == hop);
        own.max_by_key(|verdict| (verdict.joined, verdict.cause.is_some())).copied()
    };
    Hop::ALL.into_iter().filter_map(of).collect()
}

pub(super) fn said(hop: Hop, joined: Joined, cause: Option<Cause>) -> Verdict {
    Verdict { hop, joined, cause, number: 0 }
}

/// What a request is counted under.
fn route(request: &Request<'_>) -> String {
    let kong = request.kongs.first();
    let named = kong.map(|kong| kong.route.as_str()).filter(|route| !route.is_empty());
    let edge = || request.edges.first().map(|edge| &edge.look);
    let fetch = || request.fetches.first().map(|fetch| &fetch.look);
    let of_look = |look: &Look| {
        let segment = look.path.split(['/', '?']).find(|segment| !segment.is_empty());
        format!("{}/{}", look.host, segment.unwrap_or_default())
    };
    let script = || request.workers.first().map(|worker| worker.script.clone());
    let route = named
        .map(str::to_owned)
        .or_else(|| kong.map(|kong| &kong.look).or_else(edge).or_else(fetch).map(of_look))
        .or_else(script);
    let mut route = route.unwrap_or_else(|| "unknown".to_owned());
    route.truncate(route.floor_char_boundary(ROUTE_BYTES));
    route
}

pub(super) struct Judge<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) among: &'a [Request<'a>],
    pub(super) made: Option<&'a Made>,
    pub(super) traces: &'a Traces,
}

/// What lies before a request through Kong.
enum Before<'a> {
    Nothing,
    /// What a Worker sent.
    Fetch(&'a Fetch),
    /// One of several that a Worker sent.
    Several(Vec<&'a Fetch>),
    /// A Worker of whose requests nothing came.
    Worker,
    Edge(&'a Edge),
}

/// Whether the two are one trace of which somebody kept the lower half only.
pub(super) fn is_cut(a: &Trace, b: &Trace) -> bool {
    a != b && a[8..] == b[8..] && (a[..8] == [0; 8] || b[..8] == [0; 8])
}

/// The context that came to Kong in headers; `None` where only Kong's own is known.
pub(super) fn received(kong: &Kong) -> Option<&Context> {
    kong.context.as_ref().filter(|context| !kong.rewritten && context.rank != Rank::Injected)
}

impl<'a> Judge<'a> {
    /// Whether a Worker had to do with it.
    pub(super) fn ran(&self) -> bool {
        !self.request.workers.is_empty()
            || !self.request.fetches.is_empty()
            || self.request.edges.iter().any(|edge| edge.has_worker)
            || self.request.natives.iter().any(|native| native.maker == Maker::Worker)
    }

    /// The visitor's context.
    pub(super) fn visitors(&self) -> Option<&'a Context> {
        self.request.edges.iter().find_map(|edge| edge.context.as_ref())
    }

    fn is_of_services(&self, trace: &Trace) -> bool {
        let has = |maker: Maker| maker == Maker::Service;
        self.traces.get(trace).is_some_and(|spans| spans.iter().any(|span| has(span.maker)))
            || self.request.natives.iter().any(|native| native.trace == *trace && has(native.maker))
    }

    fn edge(&self, edge: &Edge) -> Option<Verdict> {
        let say = |joined, cause| Some(said(Hop::Edge, joined, cause));
        if edge.from_cache {
            return None;
        }
        let (fetches, kongs) = (&self.request.fetches, &self.request.kongs);
        let is_service = |maker: Maker| matches!(maker, Maker::Kong | Maker::Service);
        let natives = self.request.natives.iter().any(|native| is_service(native.maker));
        if fetches.is_empty() && kongs.is_empty() && !natives && !self.ran_itself() {
            let asked = edge.is_legacy || edge.has_worker || edge.origin.is_some();
            if let Some(kong) = self.unbelieved(edge.ray) {
                return Some(off(Hop::Edge, Joined::Alone, kong.look.start, edge.look.start));
            }
            return if asked { say(Joined::Alone, Some(Cause::NothingBehind)) } else { None };
        }
        let Some(sent) = &edge.context else {
            // Without a Worker what Kong got is what the visitor sent.
            let is_hidden = !self.ran() && kongs.iter().any(|kong| received(kong).is_some());
            return say(Joined::ById, is_hidden.then_some(Cause::CustomFieldsNotLogged));
        };
        let fetched = fetches.iter().filter_map(|fetch| fetch.context.as_ref());
        let mut after = fetched.chain(kongs.iter().filter_map(|kong| kong.context.as_ref()));
        if after.any(|context| context.trace == sent.trace) || self.is_of_services(&sent.trace) {
            return say(Joined::Exact, None);
        }
        if fetches.is_empty() && kongs.is_empty() && !natives {
            // A Worker that answered by itself had nobody to pass anything on to.
            return say(Joined::ById, None);
        }
        let first = fetches.first().map(|fetch| fetch.context.as_ref());
        let kong = kongs.first().copied();
        let next = first.unwrap_or_else(|| kong.and_then(|kong| kong.context.as_ref()));
        let cause = match self.ran() {
            true => self.dropped(sent, next),
            false => changed(sent, kong),
        };
        say(Joined::ById, Some(cause))
    }

    fn ran_itself(&self) -> bool {
        !self.request.workers.is_empty()
            || self.request.natives.iter().any(|native| native.maker == Maker::Worker)
    }

    /// Why what a Worker sent is not what it got.
    pub(super) fn dropped(&self, got: &Context, sent: Option<&Context>) -> Cause {
        if sent.is_some_and(|sent| is_cut(&got.trace, &sent.trace)) {
            return Cause::ShortIds;
        }
        let mut kongs = self.request.kongs.iter().filter_map(|kong| received(kong));
        if sent.is_none() && kongs.any(|context| context.trace == got.trace) {
            return Cause::CustomFieldsNotLogged;
        }
        Cause::WorkerDropsTraceparent
    }

    fn worker(&self) -> Vec<Verdict> {
        let (edges, workers) = (&self.request.edges, &self.request.workers);
        let fetches = &self.request.fetches;
        let is_known = |ray: u64| {
            edges.iter().any(|edge| edge.ray == ray) || fetches.iter().any(|fetch| fetch.ray == ray)
        };
        let runs = workers.iter().filter_map(|worker| worker.ray);
        let lost = runs.clone().filter(|ray| !is_known(*ray));
        let alone = |_| said(Hop::Worker, Joined::Alone, Some(Cause::EdgeSilent));
        let mut all: Vec<Verdict> = lost.map(alone).collect();
        all.extend(fetches.iter().map(|fetch| self.fetch(fetch)));
        if all.is_empty() {
            // A ray is all that a Worker's event has: there is nothing better.
            all.extend(runs.map(|_| said(Hop::Worker, Joined::ById, None)));
        }
        all
    }

    fn fetch(&self, fetch: &Fetch) -> Verdict {
        let say = |joined, cause| said(Hop::Worker, joined, cause);
        let (edges, fetches) = (&self.request.edges, &self.request.fetches);
        let edge = edges.iter().find(|edge| Some(edge.ray) == fetch.parent);
        let above = fetches.iter().find(|other| Some(other.ray) == fetch.parent && other.ray != fetch.ray);
        if edge.is_none() && above.is_none() {
            return say(Joined::Alone, Some(Cause::EdgeSilent));
        }
        let got = edge.map_or_else(|| above.and_then(|above| above.context.as_ref()), |e| e.context.as_ref());
        match (got, &fetch.context) {
            (Some(got), Some(sent)) if got.trace == sent.trace => say(Joined::Exact, None),
            (Some(got), sent) => say(Joined::ById, Some(self.dropped(got, sent.as_ref()))),
            // The Worker began the trace.
            (None, Some(sent)) if sent.rank != Rank::Custom => say(Joined::ById, None),
            (None, _) => {
                let of_it =
                    |kong: &&&Kong| kong.ray.is_some() && [Some(fetch.ray), fetch.parent].contains(&kong.ray);
                let kong = self.request.kongs.iter().find(of_it);
                let is_hidden = kong.is_some_and(|kong| received(kong).is_some());
                let cause = if is_hidden { Cause::CustomFieldsNotLogged } else { Cause::NoContext };
                say(Joined::ById, Some(cause))
            }
        }
    }

    fn before(&self, kong: &Kong) -> Before<'a> {
        let Some(ray) = kong.ray else { return Before::Nothing };
        let fetches = &self.request.fetches;
        if let Some(fetch) = fetches.iter().find(|fetch| fetch.ray == ray) {
            return Before::Fetch(fetch);
        }
        let caused: Vec<&Fetch> = fetches.iter().filter(|fetch| fetch.parent == Some(ray)).copied().collect();
        match caused.as_slice() {
            [] => {}
            [only] => return Before::Fetch(only),
            // Its headers tell them apart.
            several => {
                let asked = asked(kong);
                let names = |fetch: &&&Fetch| fetch.context.as_ref().is_some_and(|own| own.parent == asked);
                let named = several.iter().filter(|_| asked.is_some()).filter(names).copied();
                return match named.collect::<Vec<_>>().as_slice() {
                    [only] if !self.is_guess(kong) => Before::Fetch(only),
                    _ => Before::Several(caused),
                };
            }
        }
        let edge = self.request.edges.iter().find(|edge| edge.ray == ray);
        let ran = self.request.workers.iter().any(|worker| worker.ray == Some(ray));
        match edge {
            Some(edge) if !edge.has_worker && !ran => Before::Edge(edge),
            None if !ran => Before::Nothing,
            _ => Before::Worker,
        }
    }

    fn kong(&self, kong: &Kong) -> Verdict {
        let say = |joined, cause| said(Hop::Kong, joined, cause);
        let got = kong.context.as_ref();
        let has = |sent: &Context| got.is_some_and(|got| got.trace == sent.trace);
        let is_mixed = got.is_some_and(|got| !got.beside.is_empty() && got.rank != Rank::Custom);
        let mixed = is_mixed.then_some(Cause::KongHeaderTypeMixed);
        let (sent, look, via_worker) = match self.before(kong) {
            Before::Nothing => return self.first(kong, mixed),
            Before::Several(fetches) => return self.one_of(kong, &fetches),
            Before::Fetch(fetch) => (fetch.context.as_ref(), Some(&fetch.look), false),
            Before::Worker => (self.visitors(), None, true),
            Before::Edge(edge) => {
                (edge.context.as_ref(), Some(&edge.look).filter(|_| !edge.is_legacy), false)
            }
        };
        let verdict = match sent {
            Some(sent) if has(sent) => say(Joined::Exact, mixed),
            Some(sent) if via_worker => say(Joined::ById, Some(self.dropped(sent, got))),
            Some(sent) => say(Joined::ById, Some(changed(sent, Some(kong)))),
            None if mixed.is_some() => say(Joined::ById, mixed),
            None if received(kong).is_some() && !via_worker => {
                say(Joined::ById, Some(Cause::CustomFieldsNotLogged))
            }
            None => match (self.visitors(), got) {
                (Some(_), _) => say(Joined::ById, Some(Cause::WorkerDropsTraceparent)),
                // The Worker began one.
                (None, Some(got)) if via_worker && got.rank != Rank::Custom => say(Joined::ById, None),
                _ => say(Joined::ById, Some(Cause::NoContext)),
            },
        };
        match look {
            Some(look) if verdict.cause.is_none() => skewed(verdict, kong, look),
            _ => verdict,
        }
    }

    /// A request to Kong of which nothing came before.
    fn first(&self, kong: &Kong, mixed: Option<Cause>) -> Verdict {
        let say = |joined, cause| said(Hop::Kong, joined, cause);
        if let Some(ray) = kong.ray {
            if let Some(start) = self.told_elsewhere(ray) {
                return off(Hop::Kong, Joined::Alone, kong.look.start, start);
            }
            return say(Joined::Alone, Some(Cause::EdgeSilent));
        }
        match asked(kong) {
            Some(_) => say(Joined::Exact, mixed),
            None => say(Joined::Alone, mixed.or(Some(Cause::Unnamed))),
        }
    }

    /// A request to Kong that is one of several that a Worker sent.
    fn one_of(&self, kong: &Kong, fetches: &[&Fetch]) -> Verdict {
        let guessed = self.is_guess(kong);
        let joined = if guessed { Joined::Guessed } else { Joined::ById };
        let fits = |fetch: &&&Fetch| {
            let (theirs, ours) = (&fetch.look, &kong.look);
            (&theirs.method, &theirs.host, &theirs.path, theirs.status)
                == (&ours.method, &ours.host, &ours.path, ours.status)
        };
        // What is alike but for its time would have been found, were it not for the clock.
        if let ([only], false) = (fetches.iter().filter(fits).collect::<Vec<_>>().as_slice(), guessed) {
            let verdict = skewed(said(Hop::Kong, joined, None), kong, &only.look);
            if verdict.cause.is_some() {
                return verdict;
            }
        }
        said(Hop::Kong, joined, Some(Cause::SeveralRequests))
    }

    /// Whether it is told below the likeliest of several.
    fn is_guess(&self, kong: &Kong) -> bool {
        let spans = self.made.map_or(&[][..], |made| &made.spans);
        let place = Place::Kong(kong.span);
        spans.iter().any(|span| span.place == place && span.parent.join == Join::Guessed)
    }

    /// A request through Kong that names this ray and is not believed, since their times are too far apart.
    fn unbelieved(&self, ray: u64) -> Option<&'a Kong> {
        self.among.iter().flat_map(|request| &request.kongs).find(|kong| kong.ray == Some(ray)).copied()
    }

    /// When what Cloudflare says of a ray began.
    pub(super) fn told_elsewhere(&self, ray: u64) -> Option<u64> {
        let edges = self.among.iter().flat_map(|request| &request.edges);
        let fetches = self.among.iter().flat_map(|request| &request.fetches);
        let workers = self.among.iter().flat_map(|request| &request.workers);
        let edges = edges.filter(|edge| edge.ray == ray).map(|edge| edge.look.start);
        let fetches = fetches.filter(|fetch| fetch.ray == ray || fetch.parent == Some(ray));
        let workers = workers.filter(|worker| worker.ray == Some(ray)).map(|worker| worker.look.start);
        edges.chain(fetches.map(|fetch| fetch.look.start)).chain(workers).next()
    }
}

/// Why Kong does not have what was sent to it.
fn changed(sent: &Context, kong: Option<&Kong>) -> Cause {
    let Some(kong) = kong else { return Cause::ContextLost };
    match &kong.context {
        Some(got) if is_cut(&sent.trace, &got.trace) => Cause::ShortIds,
        Some(got) if kong.rewritten || got.rank != sent.rank || got.beside.contains(&sent.trace) => {
            Cause::KongHeaderTypeMixed
        }
        _ => Cause::ContextLost,
    }
}

/// The span that asked Kong, where its headers tell.
fn asked(kong: &Kong) -> Option<Span> {
    if kong.rewritten { kong.grand_parent } else { received(kong).and_then(|context| context.parent) }
}

/// Clocks that differ by what lies between two times: of the hop further in, and of who is before it.
pub(super) fn off(hop: Hop, joined: Joined, inner: u64, outer: u64) -> Verdict {
    let number = (i128::from(inner) - i128::from(outer)) / i128::from(MILLI);
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    Verdict { hop, joined, cause: Some(Cause::ClockOff), number }
}

/// The same, of clocks that are off where the request does not lie in what caused it.
fn skewed(verdict: Verdict, kong: &Kong, look: &Look) -> Verdict {
    if is_coarse(look) {
        return verdict;
    }
    let early = look.start.saturating_sub(kong.look.start);
    let late = kong.look.end.saturating_sub(look.end);
    if early <= TOLERANCE && late <= TOLERANCE {
        return verdict;
    }
    let middle = |look: &Look| look.start + look.end.saturating_sub(look.start) / 2;
    off(verdict.hop, verdict.joined, middle(&kong.look), middle(look))
}
