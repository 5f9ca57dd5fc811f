//! Requests of random shape. What can go wrong in the field goes wrong here, each with its own chance; see the crate's page.

mod kong;

use std::collections::VecDeque;

use fastrand::Rng;

use crate::case::{Asker, Case, Edge, Fetch, Form, Native, Run, Stamps, Times};
use crate::context::{Context, Notation, id64, id128};

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
    /// Whether no record of Cloudflare's says when that ray was.
    is_untimed: bool,
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
            edge.form = if edge.form == Form::Merged { Form::Row } else { edge.form };
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
        let is_timed = |ray: u64| {
            let edge = case.edge.as_ref().filter(|edge| edge.is_recorded && case.has_row());
            let runs =
                case.runs.iter().any(|run| run.ray == ray && (run.is_recorded || run.native.is_some()));
            let mut fetches = case.fetches.iter().filter(|fetch| fetch.is_recorded);
            edge.is_some_and(|edge| edge.ray == ray)
                || runs
                || fetches.any(|fetch| fetch.ray == ray || fetch.parent == ray)
        };
        let is_untimed = case.edge.is_some() && !ray.is_some_and(is_timed);
        self.past.push_back(Past { at: self.now, serial: case.serial, ray, is_untimed, kong });
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
            stamps: match rng.u8(..20) {
                0..2 => Stamps::Text,
                2 => Stamps::Seconds,
                _ => Stamps::Nanos,
            },
            is_sent_twice: one_in(rng, 40),
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
        let form = match rng.u8(..40) {
            0..3 => Form::Legacy,
            3 => Form::Both,
            4..8 => Form::Merged,
            _ => Form::Row,
        };
        let edge = Edge {
            form,
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
            // What is told within a record comes or is missing with it.
            if edge.form == Form::Merged {
                let own = case.fetches.iter_mut().filter(|fetch| fetch.parent == ray);
                own.for_each(|fetch| fetch.is_recorded = edge.is_recorded);
            }
        }
    }

    /// A Worker that serves `ray`, which was asked with `asked`.
    fn run(&mut self, case: &mut Case, ray: u64, asked: &[Context], times: Times, depth: u8) {
        let rng = &mut self.rng;
        let script = SCRIPTS[usize::from(depth) % SCRIPTS.len()];
        let is_recorded = percent(rng, 90);
        let has_failed = one_in(rng, 100);
        let at_run = case.runs.len();
        let exports = percent(rng, 12);
        let is_forwarded = rng.bool();
        let native = |rng: &mut Rng, is_forwarded| Native {
            trace: id128(rng),
            root: id64(rng),
            clients: Vec::new(),
            is_forwarded,
        };
        let own = exports.then(|| native(rng, is_forwarded));
        case.runs.push(Run { ray, script, times, has_failed, is_recorded, native: own });
        // A Worker that calls another one directly: both serve one ray.
        if depth == 0 && one_in(rng, 50) {
            let script = "bound-worker";
            let times = Times { start: times.start + MILLI, took: times.took - 2 * MILLI };
            let own = exports.then(|| native(rng, false));
            case.runs.push(Run { ray, script, times, has_failed: false, is_recorded, native: own });
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
            let at = case.fetches.len() as u8;
            let own = case.runs[at_run].native.as_mut().map(|native| {
                let span = id64(rng);
                native.clients.push((at, span));
                Context { trace: native.trace, span, ..Context::new(rng) }
            });
            let sent: Vec<Context> = match (manner, asked) {
                _ if is_forwarded && own.is_some() => own.into_iter().collect(),
                (0..20, _) => asked.to_vec(),
                (20..60, [first, ..]) if first.is_readable() => vec![first.next(rng)],
                (60..75, _) => minted.into_iter().filter(Context::is_readable).collect(),
                (75..85, _) => vec![Context::new(rng)],
                (85..90, _) => vec![Context { notation: Notation::Custom, ..Context::new(rng) }],
                _ => Vec::new(),
            };
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
}
