//! What a sink says to its courier when a delivery did not end well. The courier decides nothing about retryability itself.

use std::fmt;
use std::time::Duration;

/// One item that the peer refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedItem {
    /// Index into the parcel's items, in join order.
    pub index: u32,
    /// What the peer said.
    pub reason: String,
}

/// Why a parcel was not delivered, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The peer is away, busy, or answered ambiguously: the same parcel again, after `after` or the courier's own backoff.
    Retry {
        /// What the peer asked for (Retry-After, RetryInfo).
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// Nobody is there: no connection came up, or it is dead. Again, like `Retry`, but what goes for one signal goes for all that this
    /// peer takes.
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// The peer took the parcel except these items: they become dead letters, the rest is delivered.
    Refused {
        /// The refused ones, by index.
        items: Vec<RefusedItem>,
    },
    /// The peer refused the whole because of something in it: halve until the item is found.
    RefusedWhole {
        /// What the peer said.
        reason: String,
    },
    /// The peer refused the whole because of its size: halve.
    TooLarge {
        /// What the peer said.
        reason: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { reason, .. } | Self::Unreachable { reason } => write!(f, "to be retried: {reason}"),
            Self::Refused { items } => write!(f, "{} items refused", items.len()),
            Self::RefusedWhole { reason } => write!(f, "refused: {reason}"),
            Self::TooLarge { reason } => write!(f, "too large: {reason}"),
        }
    }
}

impl std::error::Error for Failure {}
