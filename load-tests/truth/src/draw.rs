//! Requests of random shape. What can go wrong in the field goes wrong here, each with its own chance; see the crate's page.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::case::{Asker, Call, Case, Edge, Exported, Fetch, Kong, Run, Times};
use crate::context::{Context, Notation, id64, id128, read};

/// A millisecond in nanoseconds.
pub const MILLI: u64 = 1_000_000;
/// A second in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;
/// 2026-03-02T08:00:00Z.
pub const BEGIN: u64 = 1_772_438_400 * SECOND;

/// From so long ago a copied ray or request id is old: stitching promises not to believe it.
const OLD: u64 = 360 * SECOND;
/// Within so long nothing tells a copy from the original: clocks may differ by as much.
const FRESH: u64 = 240 * SECOND;
/// How far back those who copy look.
const REMEMBERED: u64 = 2400 * SECOND;

const HOSTS: [&str; 3] = ["origin.shop.example", "auth.shop.example", "feed.partner.example"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const PATHS: [&str; 5] = ["checkout", "catalog", "payment", "inventory", "recommend"];
const SCRIPTS: [&str; 3] = ["edge-router", "auth-guard", "cart-merge"];

/// Draws one request after the other.
#[derive(Debug)]
pub struct Drawer {
    rng: Rng,
    now: u64,
    /// Nanoseconds between two requests, on average.
    pace: u64,
    serial: u32,
    /// The page that is being loaded: its context, and how many requests are still to come.
    page: Option<(Context, u8)>,
    /// What can be copied.
    past: VecDeque<Past>,
    /// The last request, which another tenant may have in its own way.
    twin: Option<Case>,
}

/// What can be copied of a request.
#[derive(Debug, Clone, Copy)]
struct Past {
    at: u64,
    serial: u32,
    ray: Option<u64>,
    kong: Option<u128>,
}

fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(..n) == 0
}

fn percent(rng: &mut Rng, n: u8) -> bool {
    rng.u8(..100) < n
}

impl Drawer {
    /// Draws `requests` requests over at least forty minutes.
    pub fn new(seed: u64, requests: u32) -> Self {
        let pace = (2400 * SECOND / u64::from(requests.max(1))).max(100 * MILLI);
        Self {
            rng: Rng::with_seed(seed),
            now: BEGIN,
            pace,
            serial: 0,
            page: None,
            past: VecDeque::new(),
            twin: None,
        }
    }

    /// The next request, and when it began.
    pub fn draw(&mut self) -> (u64, Case) {
        self.serial += 1;
        if let Some(twin) = self.twin.take() {
            return (self.now, self.again(twin));
        }
        self.now += self.rng.u64(..self.pace * 2);
        let mut case = self.plain();
        case.serial = self.serial;
        if case.copied.is_none() {
            self.remember(&case);
        }
        if one_in(&mut self.rng, 100) {
            self.twin = Some(case.clone());
        }
        (self.now, case)
    }

    /// The same ids at another tenant, who has other records of them.
    fn again(&mut self, mut case: Case) -> Case {
        let rng = &mut self.rng;
        case.copied = None;
        case.serial = self.serial;
        case.tenant = 1;
        if let Some(edge) = &mut case.edge {
            edge.is_recorded = rng.bool();
        }
        case.runs.iter_mut().for_each(|run| run.is_recorded = rng.bool());
        case.fetches.iter_mut().for_each(|fetch| fetch.is_recorded = rng.bool());
        case.kongs.iter_mut().for_each(|kong| kong.is_recorded = rng.bool());
        case.calls.retain(|_| rng.bool());
        case
    }

    fn remember(&mut self, case: &Case) {
        let ray = case.fetches.first().map(|fetch| fetch.ray).or(case.edge.as_ref().map(|edge| edge.ray));
        let kong = case.kongs.iter().find_map(|kong| kong.id);
        self.past.push_back(Past { at: self.now, serial: case.serial, ray, kong });
        while self.past.front().is_some_and(|past| self.now - past.at > REMEMBERED) {
            self.past.pop_front();
        }
    }

    /// A request of long enough ago that nobody may believe what was copied from it.
    fn old(&mut self) -> Option<Past> {
        let count = self.past.iter().take_while(|past| self.now - past.at >= OLD).count();
        (count > 0).then(|| self.past[self.rng.usize(..count)])
    }

    /// A request of the last minutes.
    fn fresh(&mut self) -> Option<Past> {
        let before = self.past.partition_point(|past| self.now - past.at >= FRESH);
        (before < self.past.len()).then(|| self.past[self.rng.usize(before..self.past.len())])
    }

    /// What the visitor sends: nothing, a trace of the request's own, or that of the page.
    fn visitor(&mut self) -> Vec<Context> {
        if let Some((context, left)) = self.page.take() {
            if left > 0 {
                self.page = Some((context, left - 1));
            }
            // A browser's page sends one span for all of its requests, or one for each.
            let shares = context.span.is_multiple_of(2);
            return vec![if shares { context } else { Context { span: id64(&mut self.rng), ..context } }];
        }
        let rng = &mut self.rng;
        if one_in(rng, 40) {
            let context = Context::new(rng);
            self.page = Some((context, rng.u8(1..25)));
            return vec![context];
        }
        match rng.u8(..10) {
            0..3 => Vec::new(),
            3..9 => vec![Context::draw(rng)],
            // Two notations of one trace, or of two.
            _ => {
                let context = Context::new(rng);
                let other = if rng.bool() { context.trace } else { id128(rng) };
                vec![context, Context { notation: Notation::B3, trace: other, ..context }]
            }
        }
    }

    fn plain(&mut self) -> Case {
        let sent = self.visitor();
        let rng = &mut self.rng;
        let mut case = Case {
            path: format!("/function/{}", rng.choice(PATHS).unwrap_or("x")),
            method: rng.choice(METHODS).unwrap_or("GET"),
            sent,
            ..Case::default()
        };
        let took = rng.u64(40..800) * MILLI;
        let times = Times { start: self.now, took };
        match rng.u32(..100) {
            0..6 => self.at_kong(&mut case, Asker::Outside, times),
            6..8 => self.at_service(&mut case, times),
            _ => self.at_edge(&mut case, times),
        }
        case
    }

    fn at_edge(&mut self, case: &mut Case, times: Times) {
        if one_in(&mut self.rng, 60) {
            case.made_up = self.old().and_then(|past| past.kong);
        }
        let rng = &mut self.rng;
        let edge = Edge {
            ray: id64(rng),
            times,
            is_cached: percent(rng, 8),
            has_origin: false,
            status: 200,
            shows_headers: percent(rng, 85),
            is_recorded: percent(rng, 93),
        };
        let (ray, is_cached) = (edge.ray, edge.is_cached);
        case.edge = Some(edge);
        let inner = Times { start: times.start + 2 * MILLI, took: times.took - 6 * MILLI };
        if is_cached {
            return;
        }
        if percent(rng, 70) {
            let sent = case.sent.clone();
            self.run(case, ray, &sent, inner, 0);
        } else {
            if let Some(edge) = &mut case.edge {
                edge.has_origin = true;
            }
            self.at_kong(case, Asker::Edge, inner);
        }
        let status = case.kongs.iter().map(|kong| kong.status).max().unwrap_or(200);
        if let Some(edge) = &mut case.edge {
            edge.status = status;
        }
    }

    /// A Worker that serves `ray`, which was asked with `asked`.
    fn run(&mut self, case: &mut Case, ray: u64, asked: &[Context], times: Times, depth: u8) {
        let rng = &mut self.rng;
        let script = SCRIPTS[usize::from(depth) % SCRIPTS.len()];
        let is_recorded = percent(rng, 90);
        let has_failed = one_in(rng, 100);
        case.runs.push(Run { ray, script, times, has_failed, is_recorded });
        // A Worker that calls another one directly: both serve one ray.
        if depth == 0 && one_in(rng, 50) {
            let script = "bound-worker";
            let times = Times { start: times.start + MILLI, took: times.took - 2 * MILLI };
            case.runs.push(Run { ray, script, times, has_failed: false, is_recorded });
        }
        let wants = match rng.u8(..10) {
            0 => 0,
            1..6 => 1,
            6..8 => 2,
            8 => 3,
            _ => 4,
        };
        let is_parallel = rng.bool();
        let manner = rng.u8(..100);
        let minted = asked.first().map(|context| context.next(rng));
        let mut start = times.start + MILLI;
        let each = (times.took - 2 * MILLI) / if is_parallel { 1 } else { u64::max(wants, 1) };
        for number in 0..wants {
            let rng = &mut self.rng;
            let took = rng.u64(each / 2..=each).max(2 * MILLI);
            let sent: Vec<Context> = match (manner, asked) {
                (0..20, _) => asked.to_vec(),
                (20..60, [first, ..]) if first.is_readable() => vec![first.next(rng)],
                (60..75, _) => minted.into_iter().filter(Context::is_readable).collect(),
                (75..85, _) => vec![Context::new(rng)],
                (85..90, _) => vec![Context { notation: Notation::Custom, ..Context::new(rng) }],
                _ => Vec::new(),
            };
            let at = case.fetches.len() as u8;
            let is_last = depth >= 2;
            // The first goes to Kong, further ones there or elsewhere.
            let to_kong = (number == 0 || rng.bool()) && (is_last || !percent(rng, 12));
            let to_worker = !to_kong && !is_last && rng.bool();
            let host = if to_kong { HOSTS[0] } else { HOSTS[rng.usize(1..HOSTS.len())] };
            case.fetches.push(Fetch {
                ray: id64(rng),
                parent: ray,
                times: Times { start, took },
                host,
                sent: sent.clone(),
                status: 200,
                shows_headers: case.edge.as_ref().is_some_and(|edge| edge.shows_headers),
                is_recorded: percent(rng, 90),
            });
            let inner = Times { start: start + 800_000, took: took.saturating_sub(MILLI).max(MILLI) };
            if to_kong {
                self.at_kong(case, Asker::Fetch(at), inner);
                case.fetches[usize::from(at)].status = case.kongs.last().map_or(200, |kong| kong.status);
            } else if to_worker && took > 20 * MILLI {
                let ray = case.fetches[usize::from(at)].ray;
                self.run(case, ray, &sent, inner, depth + 1);
            }
            if !is_parallel {
                start += took;
            }
        }
    }

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
                0..20 => (self.old().and_then(|past| past.ray), true),
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

    fn at_kong(&mut self, case: &mut Case, asker: Asker, times: Times) {
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
            tries,
            status,
            exported: None,
            is_recorded: percent(rng, 92),
        };
        if is_new && percent(rng, 50) {
            trace(rng, &mut kong, &asked);
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
    fn at_service(&mut self, case: &mut Case, times: Times) {
        let (kong, ray) = match self.rng.u8(..16) {
            0..7 => (self.old().and_then(|past| past.kong), None),
            7 => (self.copy(case).and_then(|past| past.kong), None),
            8..12 => (Some(7), self.old().and_then(|past| past.ray)),
            _ => (Some(id128(&mut self.rng)), None),
        };
        let contexts = case.sent.clone();
        call(&mut self.rng, case, &contexts, kong, ray, times);
        case.calls.iter_mut().for_each(|call| call.is_direct = true);
    }
}

/// What Kong's OpenTelemetry or Zipkin plugin makes of the headers.
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
        kong.exported = Some(Exported { trace: first.trace, root, parent, balancer: own });
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
