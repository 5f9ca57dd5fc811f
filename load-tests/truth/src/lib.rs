//! Requests of random shape whose truth is known, stitched, and judged.
//!
//! | file | what |
//! |---|---|
//! | `context.rs` | trace contexts as headers |
//! | `case.rs` | a request as it truly was |
//! | `draw.rs`, `draw/kong.rs` | requests of random shape |
//! | `logpush.rs`, `kong_log.rs`, `spans.rs` | what its hops leave: raw Logpush lines, Kong's records, OTLP |
//! | `mark.rs` | whose each of them is, where stitching does not look |
//! | `feed.rs` | all of it on its way through `normalize` and the engine |
//! | `listen.rs` | what is told |
//! | `decide.rs` | what can be decided from what was recorded |
//! | `judge.rs`, `table.rs` | what was told, set against it; the table |
//!
//! # What goes wrong on purpose
//!
//! - Any record may be missing: of the edge, a Worker, a fetch, Kong, a service, single spans of it. Zones that do not log headers; answers from
//!   the cache; no Worker, Workers that ask Workers, two Workers of one ray; none to four fetches, side by side or one after the other, to Kong or
//!   elsewhere; requests around Cloudflare, and around Kong.
//! - Contexts: none, W3C in either case, B3 in one header or several and of 64 bits, Datadog, X-Ray, a UUID in `x-trace-id`, six malformed ones, two
//!   notations of one trace or of two, a page whose requests share one. Workers send them on, mint spans (one each, one for all), begin a new trace,
//!   or send none. Kong's plugin goes on in the same notation, in another one beside it, begins anew, or trips over `tracestate`; its spans are
//!   exported or not. Decisions against sampling.
//! - `cf-ray` as the fetch's, the Worker's or none. Made up by whoever goes around Cloudflare: one of somebody else's, old or fresh, always the
//!   same, random. `x-kong-request-id` likewise, at the edge and at services.
//! - Cloudflare's times in nanoseconds, whole seconds or RFC 3339; a second job that sends the same without headers; the legacy record beside the
//!   row or in its place; Workers' requests within the visitor's row; spans that Cloudflare itself exports of Workers, in a trace that is sent on
//!   or kept.
//! - Kong 2.8 and 3.x, with the OpenTelemetry plugin or the Zipkin plugin, whose spans name no request and share their caller's id where B3 came;
//!   retries; 401 and 503 of Kong's own; clocks of Kong and of services off by up to five seconds.
//! - Records come in any order, late by up to thirty minutes, twice, in batches of any size, whole batches again; two tenants have the same ids.
//!   The engine is fed in pieces, takes turns, gives or does not give what it has, and is dropped and opened again in between.
//!
//! # What is decidable
//!
//! - Only ids decide: rays, Kong's request ids, trace and span ids. That a host, a path or a time fits decides nothing.
//! - A ray ties together what names it, where a record of Cloudflare's does; Kong's request id, where a record or a span of Kong's does. A trace
//!   id ties nothing together: a page has one for all of its requests. Hops that no id ties together are parts, each right or wrong by itself.
//! - A part's trace id is that of the spans that were received for it; of several, or where there are none, the one of the best notation nearest to
//!   the visitor. Among equals (several fetches, several requests through Kong) any is right.
//! - The parent of a hop is the nearest recorded one that caused it. Kong's caller among several fetches is decidable where Kong names the fetch's own
//!   ray, or where its header names the span that one of them alone was sent with; or where the visitor's record says that there was but one.
//!   Which of two Workers of one ray did something is not. Where nobody above is tied to Kong it is the span in its header, unless Kong wrote it.
//! - A trace that Cloudflare alone has spans of is a request's only where a header names it, or nothing else does. Which of a run's exported spans a
//!   fetch is lies between its id, where that was sent, and any of them.
//! - Kong's own spans are of a request that they name; without a name, of the one whose header names the upstream's. Where that does not count, be it
//!   that another notation is better or that Kong asked nobody, it may be told besides. A header of 2.8 does not say who wrote it.
//! - A ray of which only the legacy record tells may be anybody's until five minutes after that came: it has no time.
//! - A span id that a record shows as sent is the sender's: of a fetch where the visitor's record is there to tell it from the visitor's own, of Kong's
//!   last try where Kong says that it wrote the header.
//! - What was copied within minutes, of a ray or a request id, cannot be told from the original: clocks differ by as much. Copier and original are
//!   counted apart.
//! - Whether spans are wanted says the decision nearest to the visitor. Where equals decide both ways, to tell all and to tell nothing is right.
//! - Whatever is not decidable must still be of the same request: a stranger is a false join. It is none that requests of one page share a trace.
//! - A request is decidable when anything of it is, and exact when all of that is right: each span there once, with the right trace id, parent and,
//!   where somebody else names it, id; nothing else; and each of its log records found by look-up, also by the record's own ray or request id.

pub mod case;
pub mod context;
pub mod decide;
pub mod draw;
pub mod feed;
pub mod judge;
mod kong_log;
pub mod listen;
mod logpush;
pub mod mark;
mod spans;
pub mod table;

use std::path::Path;

pub use judge::Verdict;

/// What is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many requests.
    pub requests: u32,
    /// Chooses their shapes.
    pub seed: u64,
}

/// Makes requests, has them stitched in `folder`, and judges.
///
/// # Errors
/// The engine cannot go on, or a record is refused.
pub fn run(plan: Plan, folder: &Path) -> Result<(Verdict, feed::Seen), String> {
    let mut drawer = draw::Drawer::new(plan.seed, plan.requests);
    let mut feeder = feed::Feeder::new(folder, plan.seed)?;
    let mut cases = Vec::with_capacity(plan.requests as usize);
    let mut end = draw::BEGIN;
    for _ in 0..plan.requests {
        let (at, case) = drawer.draw();
        end = at;
        feeder.send(&case, at);
        feeder.run(at)?;
        cases.push(case);
    }
    let seen = feeder.finish(end, &cases)?;
    Ok((judge::judge(&cases, &seen), seen))
}
