//! What a receiver counts of its own traffic. Items are the ledger's business, not counted here.

use model::RefusalKind;
use pipeline::Metrics;
use pipeline::metrics::{Counter, Family, Kind};

/// Requests that reached a receiver, whatever became of them.
const REQUESTS: Family = counter("tidegate_receiver_requests_total", "Requests that reached the receiver.");
/// Bytes of bodies as received.
const BYTES: Family = counter("tidegate_receiver_body_bytes_total", "Bytes of request bodies as received.");
/// Bytes of bodies after inflating.
const PLAIN: Family =
    counter("tidegate_receiver_inflated_bytes_total", "Bytes of request bodies after inflating.");
/// Requests refused, by kind.
const REFUSED: Family =
    counter("tidegate_receiver_refused_requests_total", "Requests refused, by kind of refusal.");
/// Records of requests that were taken otherwise.
const REJECTED: Family = counter(
    "tidegate_receiver_rejected_records_total",
    "Records not taken from requests whose other records were, by reason.",
);
/// Bodies that were not quite what they claimed.
const ODD: Family = counter(
    "tidegate_receiver_odd_bodies_total",
    "Bodies taken although their headers or their end were wrong, by oddity.",
);

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter }
}

/// Every kind of refusal, in the order of the counters.
const KINDS: [RefusalKind; 7] = [
    RefusalKind::Unavailable,
    RefusalKind::Quota,
    RefusalKind::TooLarge,
    RefusalKind::Malformed,
    RefusalKind::Unsupported,
    RefusalKind::Unauthenticated,
    RefusalKind::Forbidden,
];

/// One receiver's counters.
#[derive(Debug)]
pub(crate) struct Meter {
    requests: Counter,
    bytes: Counter,
    plain: Counter,
    refused: [Counter; KINDS.len()],
    metrics: Metrics,
    receiver: String,
}

impl Meter {
    pub(crate) fn new(metrics: &Metrics, receiver: &str) -> Self {
        let labels = [("receiver", receiver)];
        Self {
            requests: metrics.counter(REQUESTS, &labels),
            bytes: metrics.counter(BYTES, &labels),
            plain: metrics.counter(PLAIN, &labels),
            refused: KINDS
                .map(|kind| metrics.counter(REFUSED, &[("receiver", receiver), ("kind", kind.as_str())])),
            metrics: metrics.clone(),
            receiver: receiver.to_owned(),
        }
    }

    pub(crate) fn request(&self) {
        self.requests.add(1);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.add(bytes as u64);
    }

    pub(crate) fn inflated(&self, bytes: usize) {
        self.plain.add(bytes as u64);
    }

    pub(crate) fn refused(&self, kind: RefusalKind) {
        if let Some(at) = KINDS.iter().position(|known| *known == kind) {
            self.refused[at].add(1);
        }
    }

    /// Counts records that were not taken; `reason` is from a closed set.
    pub(crate) fn rejected(&self, reason: &'static str, records: usize) {
        self.metrics
            .counter(REJECTED, &[("receiver", &self.receiver), ("reason", reason)])
            .add(records as u64);
    }

    /// Counts a body that was taken although something about it was wrong; `oddity` is from a closed set.
    pub(crate) fn odd(&self, oddity: &'static str) {
        self.metrics.counter(ODD, &[("receiver", &self.receiver), ("oddity", oddity)]).add(1);
    }
}
