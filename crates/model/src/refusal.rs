//! Why a client is refused. One function per protocol turns a refusal into the status that *that* protocol's senders
//! understand.

use std::fmt;
use std::time::Duration;

/// Which of the client's own actions can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Overload, budget or disk full, draining: the same request may succeed later.
    Unavailable,
    /// The tenant's own quota is used up: the same request may succeed later.
    Quota,
    /// The request is larger than a limit; the same request never succeeds.
    TooLarge,
    /// The bytes are not what the protocol demands; the same request never succeeds.
    Malformed,
    /// Content type, encoding or protocol version is not served.
    Unsupported,
    /// No or wrong credentials.
    Unauthenticated,
    /// Good credentials without this right.
    Forbidden,
}

impl RefusalKind {
    /// The label used for counting, from a closed set.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Quota => "quota",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
        }
    }
}

/// A refusal of a whole request. Nothing of it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the client can do about it.
    pub kind: RefusalKind,
    /// Thing, value and limit, lower case, without a full stop.
    pub message: String,
    /// When to come back; `None` where waiting cannot help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Overload, full disk or draining; come back after `retry_after`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { kind: RefusalKind::Unavailable, message: message.into(), retry_after: Some(retry_after) }
    }

    /// The body or a part of it exceeds a limit.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::TooLarge, message: message.into(), retry_after: None }
    }

    /// The bytes are not what the protocol demands.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Malformed, message: message.into(), retry_after: None }
    }

    /// Content type, encoding or version is not served.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Unsupported, message: message.into(), retry_after: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
