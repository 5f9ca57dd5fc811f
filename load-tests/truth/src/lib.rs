//! Requests of random shape whose truth is known, stitched, and judged.
//!
//! | file | what |
//! |---|---|
//! | `context.rs` | trace contexts as headers |
//! | `case.rs` | a request as it truly was |
//! | `draw.rs` | requests of random shape |
//! | `logpush.rs`, `kong_log.rs`, `spans.rs` | what its hops leave: raw Logpush lines, Kong's records, OTLP |
//! | `mark.rs` | whose each of them is, where stitching does not look |
//! | `feed.rs` | all of it on its way through `normalize` and the engine |
//! | `decide.rs` | what can be decided from what was recorded |
//! | `judge.rs`, `table.rs` | what was told, set against it; the table |

pub mod case;
pub mod context;
pub mod decide;
pub mod draw;
pub mod feed;
pub mod judge;
mod kong_log;
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
