//! The edge's request, its own request to the origin, Workers and what they asked for.

use model::id::derived::id8;

use super::{From, Join, Kind, Making, Parent, Place, Service, named};
use crate::fact::{Fetch, Maker, Native, Of, Seen, Span, Trace, Worker};
use crate::read::ray_text;

impl<'a> Making<'a> {
    pub(super) fn edge(&mut self) {
        for edge in &self.request.edges {
            let context = self.request.context_of(edge);
            if edge.from_cache && context.is_none() && !self.ways.every_edge {
                continue;
            }
            let external = self.request.external(&self.identity.canonical);
            if let Some(native) = self.native(Maker::Edge, edge.ray) {
                self.stand_ins.push((Place::Edge(edge.ray), (native.trace, native.span)));
                if let Some(parent) = external.filter(|_| native.parent == [0; 8]) {
                    self.parents.push(((native.trace, native.span), parent));
                }
                continue;
            }
            let ray = ray_text(edge.ray);
            let (start, end, is_inferred) = self.edge_times(edge);
            let parent = external.map_or(Parent::ROOT, Parent::external);
            let look = &edge.look;
            let is_error = look.status >= 500;
            let name = named(&look.method, &look.host);
            let source = if edge.is_legacy { "cloudflare.edge_request" } else { "cloudflare.http_requests" };
            let service = Service::Edge;
            self.push(
                Place::Edge(edge.ray),
                *id8("cf.edge", &[&ray]).bytes(),
                parent,
                From {
                    service,
                    kind: Kind::Server,
                    name: name.clone(),
                    start,
                    end,
                    is_inferred,
                    is_error,
                    look,
                    source,
                },
            );
            let decided = self
                .request
                .lines
                .iter()
                .filter(|line| line.of == Of::Edge(edge.ray) && !line.event.is_empty());
            let events = decided.map(|line| (line.time, "cloudflare.firewall", line.event.clone())).collect();
            if let Some(span) = self.spans.last_mut() {
                span.events = events;
            }
            // A context that services did not go on with: what the visitor knows of the request is found by it.
            let dropped = context.filter(|context| context.trace != self.identity.canonical);
            if let (Some(context), Some(span)) = (dropped, self.spans.last_mut())
                && let Some(parent) = context.parent
            {
                span.links.push((context.trace, parent));
            }
            let ran = edge.has_worker
                || self.request.workers.iter().any(|worker| worker.ray == Some(edge.ray))
                || self.request.fetches.iter().any(|fetch| fetch.parent == Some(edge.ray))
                || self.native(Maker::Worker, edge.ray).is_some();
            let Some(origin) = edge.origin.filter(|_| !ran) else { continue };
            let answered = if edge.first_byte > 0 { (start + edge.first_byte).min(end) } else { end };
            self.push(
                Place::Origin(edge.ray),
                *id8("cf.origin", &[&ray]).bytes(),
                Parent::of(*id8("cf.edge", &[&ray]).bytes(), Join::Exact, "ray"),
                From {
                    service,
                    kind: Kind::Client,
                    name,
                    start: answered.saturating_sub(origin.took).max(start),
                    end: answered,
                    is_inferred: true,
                    is_error: origin.status == 0 || origin.status >= 400,
                    look,
                    source,
                },
            );
        }
    }

    pub(super) fn workers(&mut self) {
        for worker in &self.request.workers {
            let parent = match worker.ray {
                Some(ray) => self.below_edge(ray),
                None => Parent::ROOT,
            };
            if let Some(native) = self.exported_worker(worker) {
                self.stand_ins.push((Place::Worker(worker.span), (native.trace, native.span)));
                if let Some(parent) = parent.span.filter(|_| native.parent == [0; 8]) {
                    self.parents.push(((native.trace, native.span), parent));
                }
                continue;
            }
            let look = &worker.look;
            let kind = match (worker.ray, worker.is_queue) {
                (Some(_), _) => Kind::Server,
                (None, true) => Kind::Consumer,
                (None, false) => Kind::Internal,
            };
            self.push(
                Place::Worker(worker.span),
                worker.span,
                parent,
                From {
                    service: Service::Worker,
                    kind,
                    name: named("worker", &worker.script),
                    start: look.start,
                    end: look.end,
                    is_inferred: false,
                    is_error: worker.failed,
                    look,
                    source: "cloudflare.workers_trace_events",
                },
            );
        }
        // A Worker that exports its own spans and has no event.
        for native in &self.request.natives {
            let told = self.parents.iter().any(|(of, _)| *of == (native.trace, native.span));
            if native.maker == Maker::Worker
                && native.parent == [0; 8]
                && !told
                && let Some(parent) = native.ray.and_then(|ray| self.below_edge(ray).span)
            {
                self.parents.push(((native.trace, native.span), parent));
            }
        }
    }

    /// The span that a Worker itself has sent of its run. Several Workers may serve one ray, each other's by a binding: then the script tells.
    fn exported_worker(&self, worker: &Worker) -> Option<&'a Native> {
        let ray = worker.ray?;
        let of_ray = self.request.workers.iter().filter(|one| one.ray == Some(ray));
        if of_ray.count() == 1 {
            return self.native(Maker::Worker, ray);
        }
        let fits = |native: &&&Native| {
            native.maker == Maker::Worker && native.ray == Some(ray) && native.script == worker.script
        };
        let natives = self.request.natives.iter().filter(fits);
        natives.min_by_key(|native| (native.parent != [0; 8], native.start, native.span)).copied()
    }

    /// The parent of a Worker that served `ray`: the edge's span, or the Worker's request when another Worker asked; else what the visitor sent.
    fn below_edge(&self, ray: u64) -> Parent {
        if let Some(span) = self.edge_span(ray) {
            return Parent::of(span, Join::ById, "ray");
        }
        if let Some(fetch) = self.request.fetches.iter().find(|fetch| fetch.ray == ray) {
            return Parent::of(self.fetch_span(fetch), Join::ById, "ray");
        }
        self.request.external(&self.identity.canonical).map_or(Parent::ROOT, Parent::external)
    }

    /// The edge's span of a ray, made or received.
    pub(super) fn edge_span(&self, ray: u64) -> Option<Span> {
        self.made(Place::Edge(ray)).or_else(|| self.native(Maker::Edge, ray).map(|native| native.span))
    }

    /// The span of the Worker that served a ray, made or received.
    pub(super) fn worker_span(&self, ray: u64) -> Option<Span> {
        let worker = self.request.workers.iter().find(|worker| worker.ray == Some(ray));
        let native = || self.native(Maker::Worker, ray).map(|native| native.span);
        worker.and_then(|worker| self.made(Place::Worker(worker.span))).or_else(native)
    }

    pub(super) fn fetches(&mut self) {
        for fetch in &self.request.fetches {
            let span = self.fetch_span(fetch);
            if let Some(own) = self.exported_fetch(fetch, span) {
                self.stand_ins.push((Place::Fetch(fetch.ray), own));
                continue;
            }
            let parent = fetch.parent.map_or(Parent::ROOT, |ray| self.below_worker(ray, fetch));
            let look = &fetch.look;
            self.push(
                Place::Fetch(fetch.ray),
                span,
                parent,
                From {
                    service: Service::Worker,
                    kind: Kind::Client,
                    name: named(&look.method, &look.host),
                    start: look.start,
                    end: look.end,
                    is_inferred: false,
                    is_error: look.status >= 400,
                    look,
                    source: "cloudflare.http_requests",
                },
            );
        }
    }

    /// The received span of a Worker's request: in the trace that its header names, whatever that of the request has become.
    fn exported_fetch(&self, fetch: &Fetch, span: Span) -> Option<(Trace, Span)> {
        let sent = fetch.context.as_ref().filter(|sent| sent.parent == Some(span))?;
        self.sender(&sent.trace, span).map(|_| (sent.trace, span))
    }

    /// Who sent a span, if anybody did.
    fn sender(&self, trace: &Trace, span: Span) -> Option<Maker> {
        self.seen(trace).iter().find(|seen| seen.span == span).map(|seen| seen.maker)
    }

    /// The parent of what a Worker that served `ray` asked for.
    fn below_worker(&self, ray: u64, fetch: &Fetch) -> Parent {
        if let Some(native) = self.native(Maker::Worker, ray) {
            let covers = |seen: &&Seen| {
                seen.maker == Maker::Worker
                    && seen.is_client
                    && seen.host == fetch.look.host
                    && (seen.start..=seen.end).contains(&fetch.look.start)
            };
            if let Some(own) =
                self.seen(&native.trace).iter().filter(covers).max_by_key(|seen| (seen.start, seen.span))
            {
                return Parent::of(own.span, Join::Guessed, "host_and_time");
            }
        }
        if let Some(span) = self.worker_span(ray).or_else(|| self.edge_span(ray)) {
            return Parent::of(span, Join::ById, "parent_ray");
        }
        match self.request.fetches.iter().find(|other| other.ray == ray && other.ray != fetch.ray) {
            Some(other) => Parent::of(self.fetch_span(other), Join::ById, "parent_ray"),
            None => Parent::ROOT,
        }
    }

    /// Whether a visitor sent this span.
    pub(super) fn is_visitors(&self, span: Option<Span>) -> bool {
        let mut sent = self.request.visitors();
        span.is_some() && sent.any(|context| context.parent == span)
    }

    /// The id of a Worker's request: the one that its code put into the headers, so that whoever came after it has a parent; a derived one where
    /// the header is the visitor's own, or may be because no record tells what the visitor sent, or another request of the same Worker has it
    /// already, or Kong's Zipkin plugin has given it to its own. Requests of one page come with one span of the visitor's: taken for theirs, it would make one span of several requests.
    pub(super) fn fetch_span(&self, fetch: &Fetch) -> Span {
        let derived = || *id8("cf.sub", &[&ray_text(fetch.ray)]).bytes();
        let Some((trace, sent)) =
            fetch.context.as_ref().and_then(|context| Some((context.trace, context.parent?)))
        else {
            return derived();
        };
        let sender = self.sender(&trace, sent);
        let first = self
            .request
            .fetches
            .iter()
            .find(|other| other.context.as_ref().and_then(|context| context.parent) == Some(sent));
        // What Cloudflare exports of a Worker is no visitor's.
        if sender == Some(Maker::Kong)
            || (self.request.edges.is_empty() && sender != Some(Maker::Worker))
            || self.is_visitors(Some(sent))
            || first.is_some_and(|first| first.ray != fetch.ray)
        {
            derived()
        } else {
            sent
        }
    }
}
