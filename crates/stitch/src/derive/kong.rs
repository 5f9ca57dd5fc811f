//! Kong's request and its tries, made from its log where it exports no spans of its own.

use super::{From, Join, Kind, Making, Parent, Place, Service, named};
use crate::attribute::{int, text};
use crate::fact::{Fetch, Kong, Maker, Native, Span, Trace};

impl<'a> Making<'a> {
    pub(super) fn kongs(&mut self) {
        for kong in &self.request.kongs {
            if let Some((trace, span)) = self.exported(kong) {
                self.stand_ins.push((Place::Kong(kong.span), (trace, span)));
                if let Some(fetch) = self.sharing(kong, trace, span) {
                    self.parents.push(((trace, span), self.fetch_span(fetch)));
                }
                continue;
            }
            if kong.due > self.ways.now {
                continue;
            }
            let parent = self.below_fetch(kong);
            let look = &kong.look;
            let what = if kong.route.is_empty() { "unmatched" } else { &kong.route };
            let (service, source) = (Service::Kong, "kong.http_log");
            self.push(
                Place::Kong(kong.span),
                kong.span,
                parent,
                From {
                    service,
                    kind: Kind::Server,
                    name: named(&look.method, what),
                    start: look.start,
                    end: look.end,
                    is_inferred: false,
                    is_error: look.status >= 500,
                    look,
                    source,
                },
            );
            self.tries(kong);
        }
    }

    fn tries(&mut self, kong: &Kong) {
        let look = &kong.look;
        let last = kong.tries.len().wrapping_sub(1);
        for (at, one) in kong.tries.iter().enumerate() {
            // The span that services were given as their parent.
            let injected = || kong.context.as_ref().and_then(|context| context.parent);
            let span = if at == last && kong.rewritten { injected().unwrap_or(one.span) } else { one.span };
            let end = kong.tries.get(at + 1).map_or(kong.answered, |next| next.start);
            self.push(
                Place::Try(one.span),
                span,
                Parent::of(kong.span, Join::Exact, "same_record"),
                From {
                    service: Service::Kong,
                    kind: Kind::Client,
                    name: named(&look.method, &kong.service),
                    start: one.start,
                    end,
                    is_inferred: false,
                    is_error: one.failed || at != last || one.status >= 400,
                    look: &crate::fact::Look::default(),
                    source: "kong.http_log",
                },
            );
            let links = if at == last { self.orphans(kong) } else { Vec::new() };
            if let Some(made) = self.spans.last_mut() {
                let out = &mut made.attributes;
                text(out, "server.address", &one.ip);
                int(out, "server.port", one.port.into());
                int(out, "kong.try", at as i64 + 1);
                if one.status != 0 {
                    int(out, "http.response.status_code", one.status.into());
                }
                made.links = links.iter().map(|native| (native.trace, native.span)).collect();
                let id = made.span;
                if self.ways.fills_roots
                    && let [only] = links.as_slice()
                {
                    self.parents.push(((only.trace, only.span), id));
                }
            }
        }
    }

    /// Roots of the service behind this request, which were given no parent.
    fn orphans(&self, kong: &Kong) -> Vec<&'a Native> {
        let is_alone = self.request.kongs.len() == 1;
        let fits = |native: &&Native| {
            native.maker == Maker::Service
                && native.is_server
                && native.parent == [0; 8]
                && match (native.kong, kong.id) {
                    (Some(theirs), Some(ours)) => theirs == ours,
                    _ => is_alone || native.ray.is_some() && native.ray == kong.ray,
                }
        };
        self.request.natives.iter().copied().filter(fits).collect()
    }

    /// The span that Kong itself has sent for the request.
    fn exported(&self, kong: &Kong) -> Option<(crate::fact::Trace, Span)> {
        let fits = |native: &&&Native| {
            native.maker == Maker::Kong && native.is_server && native.kong.is_some() && native.kong == kong.id
        };
        if let Some(native) = self.request.natives.iter().find(fits) {
            return Some((native.trace, native.span));
        }
        // The Zipkin plugin names no request: its span is known by the id that it put into the header.
        let context = kong.context.as_ref()?;
        let injected = context.parent?;
        let seen = self.seen(&context.trace);
        let own = seen.iter().find(|seen| seen.maker == Maker::Kong && seen.span == injected)?;
        let server = seen.iter().find(|seen| seen.maker == Maker::Kong && seen.span == own.parent);
        let server = server.unwrap_or(own);
        // Kong's records before 3.x do not say that it wrote the header. What another Kong in front of it wrote began before its request.
        let within = kong.look.start..=kong.look.end;
        let is_own = kong.rewritten || (own.is_client && within.contains(&own.start));
        is_own.then_some((context.trace, server.span))
    }

    /// The Worker's request whose span's id Kong's own span has: as Zipkin has it, both sides of a request share one.
    fn sharing(&self, kong: &Kong, trace: Trace, span: Span) -> Option<&'a Fetch> {
        let is_sent = |fetch: &&&Fetch| {
            fetch.context.as_ref().is_some_and(|sent| sent.trace == trace && sent.parent == Some(span))
        };
        let sent: Vec<&'a Fetch> = self.request.fetches.iter().filter(is_sent).copied().collect();
        let by_ray = sent.iter().find(|fetch| Some(fetch.ray) == kong.ray);
        match (by_ray, sent.as_slice()) {
            (Some(fetch), _) | (None, [fetch]) => Some(fetch),
            _ => None,
        }
    }

    /// The parent of a request through Kong, the surest that there is.
    fn below_fetch(&self, kong: &Kong) -> Parent {
        // A ray that nobody vouches for joins nothing, so what is found by it is of this request.
        if let Some(ray) = kong.ray
            && let Some(parent) = self.by_ray(ray, kong)
        {
            return parent;
        }
        let context = kong.context.as_ref().filter(|context| context.trace == self.identity.canonical);
        let sent =
            if kong.rewritten { kong.grand_parent } else { context.and_then(|context| context.parent) };
        let Some(span) = sent.filter(|_| context.is_some()) else { return Parent::ROOT };
        let is_known = self.spans.iter().any(|made| made.span == span)
            || self.seen(&self.identity.canonical).iter().any(|seen| seen.span == span);
        if is_known { Parent::of(span, Join::Exact, "trace_context") } else { Parent::external(span) }
    }

    fn by_ray(&self, ray: u64, kong: &Kong) -> Option<Parent> {
        let sure = |fetch: &Fetch| {
            let span = self.fetch_span(fetch);
            let sent = kong.context.as_ref().and_then(|context| context.parent);
            let is_sent = !kong.rewritten && sent == Some(span);
            Parent::of(
                span,
                if is_sent { Join::Exact } else { Join::ById },
                if is_sent { "trace_context" } else { "ray" },
            )
        };
        if let Some(fetch) = self.request.fetches.iter().find(|fetch| fetch.ray == ray) {
            return Some(sure(fetch));
        }
        let caused: Vec<&&Fetch> =
            self.request.fetches.iter().filter(|fetch| fetch.parent == Some(ray)).collect();
        // Kong was shown the visitor's ray; whose request it is may stand in its headers.
        let sent = kong.context.as_ref().and_then(|context| context.parent);
        let asked = if kong.rewritten { kong.grand_parent } else { sent };
        let names = |fetch: &&&&Fetch| fetch.context.as_ref().is_some_and(|own| own.parent == asked);
        let named: Vec<&&&Fetch> = caused.iter().filter(|_| asked.is_some()).filter(names).collect();
        if let [only] = named.as_slice()
            && !self.is_visitors(asked)
        {
            let span = self.fetch_span(only);
            let join = if asked == Some(span) { Join::Exact } else { Join::ById };
            return Some(Parent::of(span, join, "trace_context"));
        }
        if let [only] = caused.as_slice() {
            return Some(sure(only));
        }
        let fits = |fetch: &&&&Fetch| {
            let (theirs, ours) = (&fetch.look, &kong.look);
            theirs.method == ours.method
                && theirs.host == ours.host
                && theirs.path == ours.path
                && theirs.status == ours.status
                && (theirs.start..=theirs.end).contains(&ours.start)
        };
        let fitting: Vec<&&&Fetch> = caused.iter().filter(fits).collect();
        if let [only] = fitting.as_slice() {
            return Some(Parent::of(self.fetch_span(only), Join::Guessed, "host_path_and_time"));
        }
        let above = self
            .worker_span(ray)
            .or_else(|| self.made(Place::Origin(ray)))
            .or_else(|| self.edge_span(ray))?;
        Some(Parent::of(above, Join::ById, "ray"))
    }
}
