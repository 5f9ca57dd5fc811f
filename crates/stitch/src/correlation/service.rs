//! The service at the end: whether it went on with what Kong, or the edge, sent it.

use super::judge::{Judge, is_cut, off, said};
use super::{Cause, Hop, Joined, Verdict};
use crate::derive::Place;
use crate::fact::{Context, Kong, Maker, Native, Rank, Seen, Span};

impl Judge<'_> {
    /// What is said of the services behind, one verdict for each request through Kong that reached one.
    pub(super) fn services(&self, now: u64) -> Vec<Verdict> {
        let request = self.request;
        if request.kongs.is_empty() {
            return self.without_kong();
        }
        let reached = |kong: &&&Kong| {
            let last = kong.tries.last();
            let failed = |one: &crate::fact::Try| one.failed || one.status == 0 && kong.look.status >= 502;
            kong.due <= now && last.is_some_and(|one| !failed(one))
        };
        request.kongs.iter().filter(reached).map(|kong| self.behind(kong)).collect()
    }

    fn behind(&self, kong: &Kong) -> Verdict {
        let say = |joined, cause| said(Hop::Service, joined, cause);
        let natives = self.naming(kong);
        let Some(context) = &kong.context else {
            return match natives.is_empty() {
                true => say(Joined::Alone, Some(Cause::HeadersNotCaptured)),
                false => say(Joined::ById, Some(self.unbegun())),
            };
        };
        let spans = self.of_services(context);
        let parents = self.parents(kong, context);
        let is_below = |span: &&Seen| context.rank == Rank::Injected || parents.contains(&span.parent);
        let is_native = |native: &&Native| native.trace == context.trace && native.parent != [0; 8];
        if spans.iter().any(is_below) || natives.iter().any(is_native) {
            return say(Joined::Exact, None);
        }
        if let Some(native) = natives.first() {
            let cause = if is_cut(&context.trace, &native.trace) {
                Cause::ShortIds
            } else if context.beside.contains(&native.trace) {
                Cause::KongHeaderTypeMixed
            } else if context.rank == Rank::Custom {
                self.unbegun()
            } else {
                Cause::ServiceIgnoresContext
            };
            return say(Joined::ById, Some(cause));
        }
        let within = |span: &&Seen| (kong.look.start..=kong.look.end).contains(&span.start);
        if spans.iter().any(within) {
            return say(Joined::Guessed, Some(Cause::SpanMissing));
        }
        let is_followed = |trace| self.traces.get(trace).is_some_and(|spans| spans.iter().any(is_service));
        if context.beside.iter().any(is_followed) {
            return say(Joined::ById, Some(Cause::KongHeaderTypeMixed));
        }
        let cause = match (context.sampled, context.rank) {
            (Some(false), _) => Cause::SamplingOff,
            (_, Rank::Custom) => Cause::HeadersNotCaptured,
            _ => Cause::ServiceSilent,
        };
        say(Joined::Alone, Some(cause))
    }

    /// Why there is no context that a service could go on with.
    fn unbegun(&self) -> Cause {
        let has_sent = self.visitors().is_some_and(|context| context.rank != Rank::Custom);
        if has_sent && self.ran() { Cause::WorkerDropsTraceparent } else { Cause::NoContext }
    }

    /// Services' spans that name a request through Kong, or, where it is the only one, its ray.
    fn naming(&self, kong: &Kong) -> Vec<&Native> {
        let is_alone = self.request.kongs.len() == 1;
        let fits = |native: &&&Native| {
            native.maker == Maker::Service
                && match (native.kong, kong.id) {
                    (Some(theirs), Some(ours)) => theirs == ours,
                    _ => is_alone || native.ray.is_some() && native.ray == kong.ray,
                }
        };
        self.request.natives.iter().filter(fits).copied().collect()
    }

    fn of_services(&self, context: &Context) -> Vec<&Seen> {
        let spans = self.traces.get(&context.trace).map_or(&[][..], Vec::as_slice);
        spans.iter().filter(|span| is_service(span)).collect()
    }

    /// The spans that a service may have been given as its parent.
    fn parents(&self, kong: &Kong, context: &Context) -> Vec<Span> {
        let tries = kong.tries.iter().map(|one| Place::Try(one.span));
        let spans = self.made.map_or(&[][..], |made| &made.spans);
        let made = tries.filter_map(|place| spans.iter().find(|span| span.place == place));
        let own = self.traces.get(&context.trace).map_or(&[][..], Vec::as_slice).iter();
        let own = own.filter(|span| span.maker == Maker::Kong).map(|span| span.span);
        context.parent.into_iter().chain(made.map(|span| span.span)).chain(own).collect()
    }

    /// Services that name a ray, or a request of Kong's that did not come.
    fn without_kong(&self) -> Vec<Verdict> {
        let say = |joined, cause| said(Hop::Service, joined, cause);
        let request = self.request;
        let is_alone = request.edges.is_empty() && request.fetches.is_empty() && request.workers.is_empty();
        // Spans of Cloudflare's or Kong's own vouch as their records do.
        let has_voucher = request.natives.iter().any(|native| native.maker != Maker::Service);
        let candidates = request.candidates();
        let of = |native: &&Native| {
            if is_alone && !has_voucher {
                if let Some(start) = self.unbelieved_start(native) {
                    return off(Hop::Service, Joined::Alone, native.start, start);
                }
                let cause = if native.kong.is_some() { Cause::KongSilent } else { Cause::EdgeSilent };
                return say(Joined::Alone, Some(cause));
            }
            let is_theirs = |other: &&Native| other.maker != Maker::Service && other.trace == native.trace;
            if candidates.contains(&native.trace) || request.natives.iter().any(is_theirs) {
                return say(Joined::Exact, None);
            }
            let cause = match candidates.iter().any(|id| is_cut(id, &native.trace)) {
                true => Cause::ShortIds,
                false if candidates.is_empty() || self.ran() => self.unbegun(),
                false => Cause::ServiceIgnoresContext,
            };
            say(Joined::ById, Some(cause))
        };
        request.natives.iter().filter(|native| native.maker == Maker::Service).map(of).collect()
    }
}

impl Judge<'_> {
    /// When what a span names began, where that is known and too far from the span to be believed.
    fn unbelieved_start(&self, native: &Native) -> Option<u64> {
        let named = |kong: &&&Kong| native.kong.is_some() && kong.id == native.kong;
        let kong = self.among.iter().flat_map(|request| &request.kongs).find(named);
        kong.map(|kong| kong.look.start).or_else(|| native.ray.and_then(|ray| self.told_elsewhere(ray)))
    }
}

fn is_service(span: &Seen) -> bool {
    span.maker == Maker::Service
}
