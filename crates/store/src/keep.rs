//! Retention: what is too old goes, then whatever is too much, the oldest hours first.

use std::time::Duration;

use model::UnixNanos;

use crate::index::{Index, Stored};

/// The files that must go now: those of hours that ended more than `keep` ago, then the oldest until no more than
/// `most_bytes` remain. A zero sets no limit. Replaced files count but are not named here: they go by themselves.
pub(crate) fn due(index: &Index, now: UnixNanos, keep: Duration, most_bytes: u64) -> Vec<Stored> {
    let mut due = Vec::new();
    let mut left = index.bytes();
    for (hour, files) in index.by_hour() {
        let too_old = !keep.is_zero() && hour.end().plus(keep) <= now;
        for file in files {
            let too_much = most_bytes != 0 && left > most_bytes;
            if !too_old && !too_much {
                return due;
            }
            left = left.saturating_sub(file.size);
            due.push(file.clone());
        }
    }
    due
}
