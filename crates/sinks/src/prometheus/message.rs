//! Which message a peer is sent: as configured, or 1.0 for an hour after it refused 2.0.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use model::UnixNanos;

use super::Version;

/// After so long a peer that refused 2.0 is asked again: it may have been upgraded.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// 1.0, as configured.
    V1,
    /// 2.0, as configured.
    V2,
    /// 1.0, since the peer refused 2.0.
    Fallback,
}

impl Message {
    pub(super) fn headers(self) -> HeaderMap {
        let (kind, version) = match self {
            Self::V1 | Self::Fallback => ("application/x-protobuf", "0.1.0"),
            Self::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static(version));
        headers
    }
}

/// What one peer is sent.
#[derive(Debug)]
pub(super) struct Choice {
    version: Version,
    refused: Mutex<Option<UnixNanos>>,
}

impl Choice {
    pub(super) fn new(version: Version) -> Self {
        Self { version, refused: Mutex::new(None) }
    }

    /// What to send `now`.
    pub(super) fn message(&self, now: UnixNanos) -> Message {
        match (self.version, *self.refused.lock().unwrap_or_else(PoisonError::into_inner)) {
            (Version::V1, _) => Message::V1,
            (Version::V2, Some(at)) if now.since(at) < ASK_AGAIN => Message::Fallback,
            (Version::V2, _) => Message::V2,
        }
    }

    /// Remembers that the peer refused 2.0.
    pub(super) fn refused(&self, now: UnixNanos) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
}
