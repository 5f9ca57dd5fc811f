//! The counts as people read them.

use std::collections::BTreeMap;

use model::UnixNanos;
use serde::{Deserialize, Serialize};

use super::count::{Cell, Example, Place};
use super::{Cause, Hop, Joined};

/// Requests that a report names for each cause.
const EXAMPLES: usize = 5;
/// A second in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// How the requests of the last hour are joined, hop by hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How many seconds it looks back.
    pub seconds: u64,
    /// From the visitor inwards, all four.
    pub hops: Vec<HopReport>,
}

/// One hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HopReport {
    /// Which.
    pub hop: Hop,
    /// Requests that were judged here.
    pub requests: u64,
    /// Of these: the trace context joined them.
    pub exact: u64,
    /// A ray or a request id did.
    pub by_id: u64,
    /// They were joined to the likeliest of several.
    pub guessed: u64,
    /// They were not joined.
    pub alone: u64,
    /// Shares of the same, 0 to 1; none where there were no requests.
    pub shares: Option<Shares>,
    /// How long ago anything of this hop came, in seconds; none where nothing ever did.
    pub last_came_seconds: Option<u64>,
    /// Why there is nothing to judge, where that is so.
    pub silence: Option<String>,
    /// The same by tenant and route, the most frequent first.
    pub routes: Vec<RouteReport>,
    /// What could be better and how, the most frequent first.
    pub causes: Vec<CauseReport>,
}

/// Shares of a hop's requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in the report")]
pub struct Shares {
    pub exact: f64,
    pub by_id: f64,
    pub guessed: f64,
    pub alone: f64,
}

/// One route at a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in the report")]
pub struct RouteReport {
    pub tenant: String,
    pub route: String,
    pub requests: u64,
    pub exact: u64,
    pub by_id: u64,
    pub guessed: u64,
    pub alone: u64,
    pub shares: Option<Shares>,
}

/// One cause at a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CauseReport {
    /// Which.
    pub cause: Cause,
    /// Requests that show it.
    pub requests: u64,
    /// What their records show.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
    /// Routes that show it, the most frequent first.
    pub routes: Vec<String>,
    /// Trace ids of a few of them.
    pub examples: Vec<String>,
}

/// What a report is of.
pub(super) struct Window {
    pub(super) now: UnixNanos,
    pub(super) minutes: u32,
    /// By hop, when something came last; 0 for never.
    pub(super) came: [u64; Hop::ALL.len()],
}

#[derive(Default)]
struct Gathered {
    requests: u64,
    routes: BTreeMap<String, u64>,
    examples: Vec<Example>,
}

/// Puts cells together.
pub(super) fn report<'a>(
    window: &Window,
    cells: impl Iterator<Item = (&'a Place, &'a Cell)>,
    name: impl Fn(u32) -> String,
) -> Report {
    let mut routes: BTreeMap<(Hop, u32, &str), [u64; 4]> = BTreeMap::new();
    let mut causes: BTreeMap<(Hop, Cause), Gathered> = BTreeMap::new();
    for (place, cell) in cells {
        let sums = routes.entry((place.hop, place.tenant, &place.route)).or_default();
        sums.iter_mut().zip(cell.joined).for_each(|(sum, joined)| *sum += joined);
        for (cause, (requests, examples)) in &cell.causes {
            let gathered = causes.entry((place.hop, *cause)).or_default();
            gathered.requests += requests;
            *gathered.routes.entry(place.route.clone()).or_default() += requests;
            // Of later minutes: more of what belongs to them can still be looked up.
            gathered.examples.splice(0..0, examples.iter().copied());
            gathered.examples.truncate(EXAMPLES);
        }
    }
    let hops = Hop::ALL.into_iter().map(|hop| {
        let own = routes.iter().filter(|((of, ..), _)| *of == hop);
        let mut routes: Vec<RouteReport> =
            own.map(|((_, tenant, route), sums)| route_report(name(*tenant), route, *sums)).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.requests));
        let own = causes.iter().filter(|((of, _), _)| *of == hop);
        let mut causes: Vec<CauseReport> =
            own.map(|((_, cause), gathered)| cause_report(hop, *cause, gathered)).collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.requests));
        let came = window.came[hop as usize];
        let ago = (came > 0).then(|| window.now.0.saturating_sub(came) / SECOND);
        let sum = |of: fn(&RouteReport) -> u64| routes.iter().map(of).sum::<u64>();
        let sums = [sum(|r| r.exact), sum(|r| r.by_id), sum(|r| r.guessed), sum(|r| r.alone)];
        let requests = sums.iter().sum();
        HopReport {
            hop,
            requests,
            exact: sums[Joined::Exact as usize],
            by_id: sums[Joined::ById as usize],
            guessed: sums[Joined::Guessed as usize],
            alone: sums[Joined::Alone as usize],
            shares: shares(sums),
            last_came_seconds: ago,
            silence: (requests == 0).then(|| silence(hop, ago)),
            routes,
            causes,
        }
    });
    Report { seconds: u64::from(window.minutes) * 60, hops: hops.collect() }
}

fn shares(sums: [u64; 4]) -> Option<Shares> {
    let all: u64 = sums.iter().sum();
    let [exact, by_id, guessed, alone] = sums.map(|sum| sum as f64 / all as f64);
    (all > 0).then_some(Shares { exact, by_id, guessed, alone })
}

fn route_report(tenant: String, route: &str, sums: [u64; 4]) -> RouteReport {
    let [exact, by_id, guessed, alone] = sums;
    let requests = sums.iter().sum();
    RouteReport {
        tenant,
        route: route.to_owned(),
        requests,
        exact,
        by_id,
        guessed,
        alone,
        shares: shares(sums),
    }
}

fn cause_report(hop: Hop, cause: Cause, gathered: &Gathered) -> CauseReport {
    let mut evidence = cause.evidence().to_owned();
    if cause == Cause::ClockOff {
        let mut numbers: Vec<i64> = gathered.examples.iter().map(|example| example.number).collect();
        numbers.sort_unstable();
        let middle = numbers.get(numbers.len() / 2).copied().unwrap_or_default();
        let seconds = middle.unsigned_abs() as f64 / 1000.0;
        let direction = if middle < 0 { "behind" } else { "ahead of" };
        let (inner, outer) = match hop {
            Hop::Service => ("The service's", "Kong's or Cloudflare's"),
            Hop::Edge | Hop::Worker | Hop::Kong => ("Kong's", "Cloudflare's"),
        };
        evidence.push_str(&format!(" {inner} clock is {seconds:.1} s {direction} {outer}."));
    }
    let mut routes: Vec<(&String, &u64)> = gathered.routes.iter().collect();
    routes.sort_by_key(|(_, requests)| std::cmp::Reverse(**requests));
    let hex = |example: &Example| example.trace.iter().map(|byte| format!("{byte:02x}")).collect();
    CauseReport {
        cause,
        requests: gathered.requests,
        evidence,
        remedy: cause.remedy().to_owned(),
        routes: routes.into_iter().take(EXAMPLES).map(|(route, _)| route.clone()).collect(),
        examples: gathered.examples.iter().map(hex).collect(),
    }
}

/// What is said of a hop of which there is nothing to judge; `ago` is when something of it came last, in seconds.
fn silence(hop: Hop, ago: Option<u64>) -> String {
    let (what, remedy) = match hop {
        Hop::Edge => (
            "Logpush's http_requests",
            "create the job with this gateway's /ingest/cloudflare/logpush as destination, or look at its status at Cloudflare",
        ),
        Hop::Worker => (
            "Workers, neither workers_trace_events nor what they asked for in http_requests",
            "if Workers run, create a Logpush job for workers_trace_events and set logpush: true in their wrangler configuration",
        ),
        Hop::Kong => (
            "Kong's http-log",
            "add the http-log plugin globally with this gateway's /ingest/kong/http-log as its http_endpoint, or look for its errors in Kong's log",
        ),
        Hop::Service => (
            "services' spans",
            "let services export OTLP to this gateway: OTEL_EXPORTER_OTLP_ENDPOINT=http://GATEWAY:4318",
        ),
    };
    match ago {
        None => format!("nothing has ever come of {what}: {remedy}"),
        Some(seconds) if seconds < 3600 => {
            format!("{what} came {} ago, and nothing of the last hour was to be joined", span(seconds))
        }
        Some(seconds) => format!("the last of {what} came {} ago: {remedy}", span(seconds)),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
