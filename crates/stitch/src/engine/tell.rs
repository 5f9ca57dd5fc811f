//! Looking again at a cluster: what it comes to now, set against what was told.

use std::collections::BTreeMap;

use model::UnixNanos;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::work::Note;
use super::{BookError, ClockSkew, Engine, Options};
use crate::book::Name;
use crate::cluster::{Cluster, Row, Told};
use crate::correlation::{Judgement, judge};
use crate::derive::{Derived, Made, Place, Ways, derive};
use crate::emit;
use crate::fact::{Fact, Of, Span, Trace};
use crate::request::{Request, Traces, requests};
use crate::series::Revision;

/// What can be looked up under a trace id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// Other ids of its requests.
    pub(crate) aliases: Vec<Trace>,
    /// Its log records, and the span that each belongs to.
    pub(crate) rows: Vec<(Row, Trace, Span)>,
    /// Parents of received roots.
    pub(crate) parents: Vec<(Trace, Span, Span)>,
}

/// Where what is noted of a cluster under a trace id lies: by the id's low half first, which is all that some notations have.
pub(super) fn request_key(canonical: &Trace, tenant: u32, id: u64) -> Vec<u8> {
    [&canonical[8..], &canonical[..8], &tenant.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// What a whole cluster comes to.
#[derive(Default)]
struct Outcome {
    spans: Vec<Derived>,
    /// By canonical id.
    noted: BTreeMap<Trace, Noted>,
    names: Vec<(Name, Trace)>,
    /// Derived spans of requests through Kong of which it has sent spans of its own.
    own: Vec<Span>,
    /// How its requests are joined.
    judgements: Vec<Judgement>,
}

impl Outcome {
    /// A trace id under which spans were told before more was known leads to where they are now: somebody may have it.
    fn remember(&mut self, told: &[Told]) {
        for told in told.iter().filter(|told| !self.noted.contains_key(&told.trace)) {
            let now = self.spans.iter().find(|span| span.span == told.span).map(|span| span.trace);
            let name = now.map(|canonical| (Name::Trace(told.trace), canonical));
            self.names.extend(name.filter(|name| !self.names.contains(name)));
        }
    }
}

impl Engine {
    /// Looks again at a cluster, and tells what is new.
    pub(super) fn tell(&mut self, id: u64, now: UnixNanos) -> Result<(), BookError> {
        let Some(mut cluster) = self.work.borrow(&self.book, id)? else { return Ok(()) };
        let looked = self.look_again(&mut cluster, id, now);
        self.work.give_back(id, cluster, looked.as_ref().copied().unwrap_or(true));
        looked.map(|_| ())
    }

    /// Says whether anything of the cluster has changed.
    fn look_again(&mut self, cluster: &mut Cluster, id: u64, now: UnixNanos) -> Result<bool, BookError> {
        let mut is_changed = false;
        let mut traces = Traces::new();
        for trace in wanted(cluster) {
            let held = self.work.spans(&self.book, cluster.tenant, trace)?;
            if !held.value.seen.is_empty() {
                traces.insert(trace, held.value.seen.clone());
            }
            if !cluster.wants.contains(&trace) {
                self.work.ask(&self.book, cluster.tenant, trace, id)?;
                cluster.wants.push(trace);
                is_changed = true;
            }
        }
        let Options { every_edge, fills_roots, clock_skew, .. } = self.options;
        let ways = Ways { now: now.0, every_edge, fills_roots, shifts: clock_skew == ClockSkew::Shift };
        let mut outcome = outcome(cluster, &traces, ways);
        self.learn(cluster, &outcome, now);
        is_changed |= self.differences(cluster, &outcome.spans, now);
        outcome.remember(&cluster.told);
        is_changed |= self.note(cluster, id, &outcome);
        if self.joined.is_open() {
            for (row, trace, span) in outcome.noted.values().flat_map(|noted| &noted.rows) {
                self.joined.place(row, *trace, *span);
            }
        }
        let judgements = std::mem::take(&mut outcome.judgements);
        is_changed |= self.hops.settle(cluster.tenant, &mut cluster.counted, judgements, now);
        Ok(is_changed)
    }

    /// Learns from requests through Kong whether it sends spans of its own.
    fn learn(&mut self, cluster: &Cluster, outcome: &Outcome, now: UnixNanos) {
        for fact in &cluster.facts {
            let Fact::Kong(kong) = fact else { continue };
            let told = cluster.told.iter().find(|told| told.span == kong.span);
            let has_own = outcome.own.contains(&kong.span);
            let is_made = outcome.spans.iter().any(|span| span.place == Place::Kong(kong.span));
            let is_due = kong.due > self.turned.0 && kong.due <= now.0;
            match told {
                None if is_made || has_own && is_due => {
                    self.habits.request(cluster.tenant, &kong.service, has_own, now);
                }
                Some(told) if has_own && told.hash != 0 => {
                    self.habits.late(cluster.tenant, &kong.service, now);
                }
                _ => {}
            }
        }
    }

    /// Gathers what differs from what was told. Says whether anything does.
    fn differences(&mut self, cluster: &mut Cluster, spans: &[Derived], now: UnixNanos) -> bool {
        let mut differs = false;
        for span in spans {
            let message = emit::span(span);
            let hash = xxh3_64(&message).max(1);
            // Its id is its own whatever its trace becomes: it counts once.
            let counted = match cluster.told.iter().any(|told| told.span == span.span) {
                true => Revision::Later,
                false => Revision::First,
            };
            let known =
                cluster.told.iter_mut().find(|told| (told.trace, told.span) == (span.trace, span.span));
            let revision = match known {
                Some(told) if told.hash == hash => continue,
                Some(told) => {
                    told.revision += 1;
                    (told.hash, told.start, told.service) = (hash, span.start, span.service);
                    told.revision
                }
                None => {
                    let (trace, id, service, start) = (span.trace, span.span, span.service, span.start);
                    cluster.told.push(Told { trace, span: id, service, revision: 1, hash, start });
                    1
                }
            };
            differs = true;
            self.tally.of(cluster.tenant).derived(span, counted, now);
            self.counts.told += u64::from(revision == 1);
            self.counts.revised += u64::from(revision > 1);
            let gathered = self.outbox.gather(cluster.tenant, revision > 1);
            gathered.add(span.service, &message, revision);
        }
        let is_gone = |told: &&mut Told| {
            told.hash != 0 && !spans.iter().any(|span| (span.trace, span.span) == (told.trace, told.span))
        };
        for told in cluster.told.iter_mut().filter(is_gone) {
            differs = true;
            if !spans.iter().any(|span| span.span == told.span) {
                self.tally.of(cluster.tenant).withdraw(&told.span);
            }
            told.hash = 0;
            told.revision += 1;
            self.counts.withdrawn += 1;
            let message = emit::withdrawal(&told.trace, &told.span, told.start);
            let gathered = self.outbox.gather(cluster.tenant, true);
            gathered.add(told.service, &message, told.revision);
        }
        differs
    }

    /// Notes what can be looked up. Says whether anything of it is new.
    fn note(&mut self, cluster: &mut Cluster, id: u64, outcome: &Outcome) -> bool {
        let mut is_new = false;
        let mut after = Vec::with_capacity(outcome.noted.len());
        let newest = self.book.newest_cold();
        if cluster.named.0 != newest {
            cluster.named = (newest, Vec::new());
        }
        for (canonical, noted) in &outcome.noted {
            let Ok(value) = postcard::to_allocvec(noted) else { continue };
            let names = || outcome.names.iter().filter(|(_, of)| of == canonical);
            let mut hashed = value.clone();
            names().for_each(|(name, _)| hashed.extend_from_slice(&name.prefix()));
            let hash = xxh3_64(&hashed);
            after.push((*canonical, hash));
            if cluster.noted.contains(&(*canonical, hash)) {
                continue;
            }
            is_new = true;
            let key = request_key(canonical, cluster.tenant, id);
            self.work.notes.push(Note::Request { key, value });
            for (name, _) in names() {
                let key = name.key(cluster.tenant, canonical);
                let hash = xxh3_64(&key);
                if !cluster.named.1.contains(&hash) {
                    cluster.named.1.push(hash);
                    self.work.notes.push(Note::Name(key));
                }
            }
        }
        let gone = cluster.noted.iter().filter(|(trace, _)| !outcome.noted.contains_key(trace));
        for (trace, _) in gone {
            is_new = true;
            let key = request_key(trace, cluster.tenant, id);
            self.work.notes.push(Note::Request { key, value: Vec::new() });
        }
        cluster.noted = after;
        is_new
    }
}

/// Every trace that records of a cluster name.
fn wanted(cluster: &Cluster) -> Vec<Trace> {
    let mut wanted: Vec<Trace> = Vec::new();
    let mut want = |trace: &Trace| {
        if !wanted.contains(trace) {
            wanted.push(*trace);
        }
    };
    for fact in &cluster.facts {
        let context = match fact {
            Fact::Edge(edge) => edge.context.as_ref(),
            Fact::Fetch(fetch) => fetch.context.as_ref(),
            Fact::Worker(worker) => worker.context.as_ref(),
            Fact::Kong(kong) => kong.context.as_ref(),
            Fact::Native(native) => {
                want(&native.trace);
                None
            }
            Fact::Line(_) => None,
        };
        if let Some(context) = context {
            want(&context.trace);
            context.beside.iter().for_each(&mut want);
        }
    }
    wanted
}

fn outcome(cluster: &Cluster, traces: &Traces, ways: Ways) -> Outcome {
    let mut outcome = Outcome::default();
    let requests = requests(&cluster.facts);
    for request in &requests {
        let made = derive(request, traces, ways);
        outcome.judgements.extend(judge(request, &requests, made.as_ref(), traces, ways.now));
        let Some(made) = made else { continue };
        let canonical = made.identity.canonical;
        let noted = outcome.noted.entry(canonical).or_default();
        for alias in &made.identity.aliases {
            if !noted.aliases.contains(alias) {
                noted.aliases.push(*alias);
            }
        }
        noted.rows.extend(rows(cluster, request, &made));
        noted.parents.extend(made.parents.iter().map(|((trace, span), parent)| (*trace, *span, *parent)));
        let aliases = made.identity.aliases.iter().map(|alias| Name::Trace(*alias));
        outcome.names.extend(aliases.chain(keys(request)).map(|name| (name, canonical)));
        outcome.own.extend(made.stand_ins.iter().filter_map(|(place, _)| match place {
            Place::Kong(span) => Some(*span),
            _ => None,
        }));
        outcome.spans.extend(made.spans);
    }
    outcome
}

/// What people may know of a request besides trace ids.
fn keys<'a>(request: &'a Request<'_>) -> impl Iterator<Item = Name> + 'a {
    let edges = request.edges.iter().map(|edge| Name::Ray(edge.ray));
    let fetches = request.fetches.iter().map(|fetch| Name::Ray(fetch.ray));
    let causes = request.fetches.iter().filter_map(|fetch| fetch.parent).map(Name::Ray);
    let workers = request.workers.iter().filter_map(|worker| worker.ray).map(Name::Ray);
    let kongs = request.kongs.iter().filter_map(|kong| kong.id).map(Name::Kong);
    let mut names: Vec<Name> = edges.chain(fetches).chain(causes).chain(workers).chain(kongs).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

/// The log records of a request, each with the span that it belongs to.
fn rows(cluster: &Cluster, request: &Request<'_>, made: &Made) -> Vec<(Row, Trace, Span)> {
    let canonical = made.identity.canonical;
    let span_of = |place: Place| {
        let own = made.spans.iter().find(|span| span.place == place).map(|span| (span.trace, span.span));
        let stand_in = made.stand_ins.iter().find(|(of, _)| *of == place).map(|(_, span)| *span);
        own.or(stand_in).unwrap_or((canonical, [0; 8]))
    };
    let is_of = |fact: &Fact| match fact {
        // Further records of the same request belong to the same span.
        Fact::Edge(edge) => request.edges.iter().any(|one| one.ray == edge.ray),
        Fact::Fetch(fetch) => request.fetches.iter().any(|one| one.ray == fetch.ray),
        Fact::Worker(worker) => request.workers.iter().any(|one| std::ptr::eq(*one, worker)),
        Fact::Kong(kong) => request.kongs.iter().any(|one| std::ptr::eq(*one, kong)),
        Fact::Native(_) => false,
        Fact::Line(line) => request.lines.iter().any(|one| std::ptr::eq(*one, line)),
    };
    let mut rows = Vec::new();
    for (fact, row) in cluster.facts.iter().zip(&cluster.rows) {
        let place = match fact {
            Fact::Edge(edge) => Place::Edge(edge.ray),
            Fact::Fetch(fetch) => Place::Fetch(fetch.ray),
            Fact::Worker(worker) => Place::Worker(worker.span),
            Fact::Kong(kong) => Place::Kong(kong.span),
            Fact::Native(_) => continue,
            Fact::Line(line) => match line.of {
                Of::Edge(ray) if request.fetches.iter().any(|fetch| fetch.ray == ray) => Place::Fetch(ray),
                Of::Edge(ray) => Place::Edge(ray),
                Of::Worker(_, span) => Place::Worker(span),
            },
        };
        if let (Some(row), true) = (row, is_of(fact)) {
            let (trace, span) = span_of(place);
            rows.push((*row, trace, span));
        }
    }
    rows
}
