//! What the operator may set for any sink, whatever its type: how its courier retries, starts and gives up.

use std::sync::Arc;
use std::time::Duration;

use journal::OnFull;

use crate::Moment;

use crate::Rules;

/// A courier's settings; the same for every type of sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// Where a new sink begins.
    pub start: Moment,
    /// What happens when the journal is full.
    pub on_full: OnFull,
    /// How long one attempt may take before it is cancelled and tried again.
    pub deadline: Duration,
    /// Items older than this (since they were received) are given up, booked `expired`; `None` keeps trying for ever.
    pub max_age: Option<Duration>,
    /// The first wait of the backoff; it doubles with each further failure.
    pub backoff_first: Duration,
    /// The longest wait of the backoff.
    pub backoff_most: Duration,
    /// The longest wait that a peer may ask for.
    pub after_most: Duration,
    /// What it is given of what the journal holds; `None` where that is everything.
    pub rules: Option<Arc<Rules>>,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            start: Moment::Earliest,
            on_full: OnFull::Hold,
            deadline: Duration::from_secs(60),
            max_age: None,
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(30),
            after_most: Duration::from_secs(300),
            rules: None,
        }
    }
}
