//! Warns while there is still time: when the journal's budget is half used, and when four fifths are. Each warning comes
//! once, and again only after the use has fallen below its mark.

use std::time::Duration;

use journal::Journal;
use pipeline::Pipeline;
use pipeline::settings::Size;

/// How often the use is looked at.
const EVERY: Duration = Duration::from_secs(10);

/// The marks, in per cent of the budget.
const MARKS: [u64; 2] = [50, 80];

/// Looks at the journal's use for ever; to be dropped when the gateway stops.
pub(crate) async fn budget(journal: Journal, pipeline: &Pipeline) {
    let mut tick = tokio::time::interval(EVERY);
    let mut told = 0;
    loop {
        tick.tick().await;
        let usage = journal.usage();
        let reached = reached(usage.live.iter().sum(), usage.max_bytes);
        if reached > told {
            let mut sinks = pipeline.status();
            sinks.sort_by_key(|sink| std::cmp::Reverse(sink.lag_items));
            let slowest = sinks
                .first()
                .map_or(String::new(), |s| format!("{} ({} {} items behind)", s.sink, s.signal, s.lag_items));
            let (used, limit) = (Size(usage.bytes), Size(usage.max_bytes));
            tracing::warn!(%used, %limit, slowest, "the journal is {reached} % full; at 100 % new data is refused until the slowest sink catches up");
        }
        told = reached;
    }
}

/// The highest mark that `used` has reached; 0 for none.
fn reached(used: u64, limit: u64) -> u64 {
    MARKS.into_iter().rev().find(|mark| used.saturating_mul(100) >= limit.saturating_mul(*mark)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::reached;

    #[test]
    fn marks_are_reached_in_turn() {
        for (used, mark) in [(0, 0), (49, 0), (50, 50), (79, 50), (80, 80), (200, 80)] {
            assert_eq!(reached(used, 100), mark, "{used}");
        }
    }
}
