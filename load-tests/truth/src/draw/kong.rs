//! Kong, its plugins, and the services behind it.

use fastrand::Rng;

use super::{Drawer, MILLI, Past, SECOND, percent};
use crate::case::{Asker, Call, Case, Exported, Kong, Times};
use crate::context::{Context, Notation, id64, id128, read};

/// Until so long after it a ray may be copied, where all that tells of it is a record without a time that may still come: as late as records
/// may be, and the minutes within which nothing tells a copy from the original.
const UNTIMED: u64 = 2160 * SECOND;

impl Drawer {
    /// The ray that Kong is shown, and whether it is made up.
    fn ray(&mut self, case: &mut Case, asker: Asker) -> (Option<u64>, bool) {
        let visitors = case.edge.as_ref().map(|edge| edge.ray);
        let chance = self.rng.u8(..100);
        match asker {
            Asker::Edge if chance < 92 => (visitors, false),
            Asker::Fetch(at) => {
                let fetch = &case.fetches[usize::from(at)];
                match chance {
                    0..75 => (Some(fetch.ray), false),
                    75..92 => (Some(fetch.parent), false),
                    _ => (None, false),
                }
            }
            Asker::Edge => (None, false),
            Asker::Outside => match chance {
                0..20 => (self.old_ray(case), true),
                20..24 => (self.copy(case).and_then(|past| past.ray), true),
                24..30 => (Some(1), true),
                30..40 => (Some(id64(&mut self.rng)), true),
                _ => (None, false),
            },
        }
    }

    /// A request that a case has something of, so that nothing tells them apart.
    fn copy(&mut self, case: &mut Case) -> Option<Past> {
        let past = self.fresh()?;
        case.copied = Some(past.serial);
        Some(past)
    }

    /// A ray of long ago. Of one that only a record without a time tells of, nobody can say how long.
    fn old_ray(&mut self, case: &mut Case) -> Option<u64> {
        let past = self.old()?;
        if past.is_untimed && self.now - past.at < UNTIMED {
            case.copied = Some(past.serial);
        }
        past.ray
    }

    pub(super) fn at_kong(&mut self, case: &mut Case, asker: Asker, times: Times) {
        let (ray, is_forged) = self.ray(case, asker);
        let asked = match asker {
            Asker::Fetch(at) => case.fetches[usize::from(at)].sent.clone(),
            _ => case.sent.clone(),
        };
        let rng = &mut self.rng;
        let is_new = percent(rng, 85);
        let skew = if percent(rng, 80) { 0 } else { rng.i64(-5000..5000) };
        let start = (times.start / MILLI).saturating_add_signed(skew) * MILLI;
        let times = Times { start, took: (times.took / MILLI).max(1) * MILLI };
        let (tries, status) = match rng.u8(..100) {
            0..4 => (0, 401),
            4..6 => (0, 503),
            6..12 => (rng.u8(2..4), 200),
            12..14 => (3, 502),
            14..17 => (1, 500),
            17..21 => (1, 404),
            _ => (1, 200),
        };
        let mut kong = Kong {
            id: is_new.then(|| id128(rng)),
            asker,
            ray,
            is_forged,
            times,
            sent: asked.clone(),
            trace_id: Vec::new(),
            is_rewritten: false,
            link: read(&asked).filter(|read| read.best.has_span()).map_or(0, |read| read.best.span),
            is_link_own: false,
            tries,
            status,
            exported: None,
            is_recorded: percent(rng, 92),
        };
        if is_new && percent(rng, 50) {
            trace(rng, &mut kong, &asked);
        } else if percent(rng, 30) {
            zipkin(rng, &mut kong, &asked);
        }
        if tries > 0 && percent(rng, 85) {
            let inner =
                Times { start: start + 2 * MILLI, took: times.took.saturating_sub(3 * MILLI).max(MILLI) };
            let (contexts, id, ray) = (kong.sent.clone(), kong.id, kong.ray);
            // Clocks of services differ as well; of those that Kong's differs from, not from Kong's.
            let skew = if percent(rng, 90) { 0 } else { rng.i64(-3000..3000) };
            let inner = Times { start: (inner.start / MILLI).saturating_add_signed(skew) * MILLI, ..inner };
            call(rng, case, &contexts, id, ray, inner);
        }
        case.kongs.push(kong);
    }

    /// A service that is asked around Kong, with a request id that somebody made up.
    pub(super) fn at_service(&mut self, case: &mut Case, times: Times) {
        let (kong, ray) = match self.rng.u8(..16) {
            0..7 => (self.old().and_then(|past| past.kong), None),
            7 => (self.copy(case).and_then(|past| past.kong), None),
            8..12 => (Some(7), self.old_ray(case)),
            _ => (Some(id128(&mut self.rng)), None),
        };
        let contexts = case.sent.clone();
        call(&mut self.rng, case, &contexts, kong, ray, times);
        case.calls.iter_mut().for_each(|call| call.is_direct = true);
    }
}

/// What Kong's OpenTelemetry plugin makes of the headers.
fn trace(rng: &mut Rng, kong: &mut Kong, asked: &[Context]) {
    // B3 wins when Kong reads; it goes on in the notation that it read.
    let readable =
        || asked.iter().filter(|context| context.is_readable() && context.notation != Notation::Custom);
    let is_b3 = |context: &&Context| matches!(context.notation, Notation::B3 | Notation::Multi);
    let read = readable().find(is_b3).or_else(|| readable().next()).copied();
    let own = id64(rng);
    let root = id64(rng);
    let key = |notation| match notation {
        Notation::B3 | Notation::Multi => "b3",
        Notation::Datadog => "datadog",
        Notation::Xray => "aws",
        _ => "w3c",
    };
    let logged = |context: &Context| match context.notation {
        Notation::Datadog => context.trace.to_string(),
        Notation::B3 | Notation::Multi if context.trace >> 64 == 0 => format!("{:016x}", context.trace),
        _ => format!("{:032x}", context.trace),
    };
    let manner = rng.u8(..100);
    let stays = |notation: Notation| {
        move |context: &&Context| match notation {
            Notation::W3c | Notation::Upper => {
                matches!(context.notation, Notation::Custom | Notation::B3 | Notation::Multi)
            }
            Notation::B3 | Notation::Multi => !matches!(context.notation, Notation::B3 | Notation::Multi),
            _ => context.notation != notation,
        }
    };
    let exports = rng.bool();
    // Without instrumentations nothing is exported, and what is sent on says "not sampled".
    let is_idle = !exports && rng.u8(..4) == 0;
    let go_on = |context: &Context| {
        let notation = if context.notation == Notation::Upper { Notation::W3c } else { context.notation };
        let grand = if matches!(notation, Notation::B3 | Notation::Multi) { context.span } else { 0 };
        Context { notation, span: own, grand, sampled: context.sampled && !is_idle, ..*context }
    };
    let (mut out, parent) = match read {
        // `tracestate` without b3: Kong begins a b3 trace beside the traceparent that it leaves alone.
        Some(context) if context.notation == Notation::W3c && manner < 6 => {
            let beside =
                Context { notation: Notation::Multi, trace: id128(rng), span: own, grand: 0, sampled: true };
            kong.trace_id = vec![("b3", logged(&beside))];
            kong.sent = asked.iter().copied().chain([beside]).collect();
            return;
        }
        Some(context) if manner < 15 && context.notation != Notation::Datadog => {
            // It injects another notation beside the one that it read.
            let first = go_on(&context);
            let other = match first.notation {
                Notation::W3c => Context { notation: Notation::Multi, grand: context.span, ..first },
                _ => Context { notation: Notation::W3c, grand: 0, ..first },
            };
            (vec![first, other], context.span)
        }
        Some(context) if manner < 90 => (vec![go_on(&context)], context.span),
        _ => (vec![Context { span: own, sampled: !is_idle, ..Context::new(rng) }], 0),
    };
    for context in &out {
        kong.trace_id.push((key(context.notation), logged(context)));
    }
    let first = out[0];
    if let [only] = out.as_slice() {
        let notation = only.notation;
        out.extend(asked.iter().filter(stays(notation)).copied());
    }
    kong.sent = out;
    let best = crate::context::read(&kong.sent);
    kong.is_rewritten = best.as_ref().is_some_and(|read| read.best.span == own);
    kong.link = match (&best, kong.is_rewritten) {
        // Only B3 tells, and only what stands in a header of it.
        (_, true) => kong.sent.iter().map(|context| context.grand).find(|grand| *grand != 0).unwrap_or(0),
        (Some(read), false) if read.best.has_span() => read.best.span,
        _ => 0,
    };
    if exports && first.sampled {
        kong.exported = Some(Exported { trace: first.trace, root, parent, balancer: own, is_zipkin: false });
    }
}

/// What Kong's Zipkin plugin makes of the headers: it reads B3 and W3C, begins B3 where there is neither, and its server's span shares the id
/// of the caller's where B3 came. Its log says what was made only from 3.x on.
fn zipkin(rng: &mut Rng, kong: &mut Kong, asked: &[Context]) {
    let is_b3 = |context: &&Context| matches!(context.notation, Notation::B3 | Notation::Multi);
    let is_w3c = |context: &&Context| matches!(context.notation, Notation::W3c | Notation::Upper);
    let read_of = asked.iter().find(is_b3).or_else(|| asked.iter().find(is_w3c)).copied();
    let (own, server) = (id64(rng), id64(rng));
    let exports = rng.bool();
    let (out, root, parent) = match read_of {
        Some(context) if is_b3(&&context) => {
            (Context { span: own, grand: context.span, ..context }, context.span, context.grand)
        }
        Some(context) => {
            let notation = Notation::W3c;
            (Context { notation, span: own, grand: 0, ..context }, server, context.span)
        }
        // It decides by its own ratio.
        None => {
            let (notation, trace) = (Notation::Multi, id128(rng));
            (Context { notation, trace, span: own, grand: server, sampled: exports }, server, 0)
        }
    };
    let is_like = |context: &&Context| is_b3(context) == is_b3(&&out) && is_w3c(context) == is_w3c(&&out);
    let stays = |context: &&Context| {
        !is_like(context) && (out.notation != Notation::W3c || context.notation != Notation::Malformed)
    };
    kong.sent = std::iter::once(out).chain(asked.iter().filter(stays).copied()).collect();
    let best = read(&kong.sent).map(|read| read.best);
    let is_shown = best.is_some_and(|best| best.span == own);
    if kong.id.is_some() {
        let (key, id) = match out.notation {
            Notation::W3c => ("w3c", format!("{:032x}", out.trace)),
            _ if out.trace >> 64 == 0 => ("b3", format!("{:016x}", out.trace)),
            _ => ("b3", format!("{:032x}", out.trace)),
        };
        kong.trace_id = vec![(key, id)];
        kong.is_rewritten = is_shown;
    }
    kong.link = match best {
        Some(_) if kong.is_rewritten => out.grand,
        Some(best) if best.has_span() => best.span,
        _ => 0,
    };
    kong.is_link_own = is_shown && (!kong.is_rewritten || read_of.is_none());
    if exports && out.sampled {
        kong.exported = Some(Exported { trace: out.trace, root, parent, balancer: own, is_zipkin: true });
    }
}

/// A request to services that was sent `contexts`.
fn call(
    rng: &mut Rng,
    case: &mut Case,
    contexts: &[Context],
    kong: Option<u128>,
    ray: Option<u64>,
    times: Times,
) {
    let reads_b3 = rng.bool();
    let reads_upper = rng.bool();
    let understood = contexts.iter().find(|context| match context.notation {
        Notation::W3c => true,
        Notation::Upper => reads_upper,
        Notation::B3 | Notation::Multi => reads_b3,
        _ => false,
    });
    if understood.is_some_and(|context| !context.sampled) && !percent(rng, 20) {
        return;
    }
    let (trace, parent) = understood.map_or_else(|| (id128(rng), 0), |context| (context.trace, context.span));
    let mut spans = [id64(rng), id64(rng), id64(rng)];
    match rng.u8(..20) {
        0 => spans[0] = 0,
        1 => spans[2] = 0,
        _ => {}
    }
    let kong = kong.filter(|_| percent(rng, 75));
    let ray = ray.filter(|_| percent(rng, 60));
    case.calls.push(Call { trace, parent, times, spans, kong, ray, is_direct: false });
}
