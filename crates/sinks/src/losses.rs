//! What a translation for a peer could not carry: counted by kind, told once, and booked where whole items were left out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline::metrics::{Family, Kind};
use pipeline::{Metrics, PeerRefused, Receipt};
use wire::translate;

const LOST: Family = Family {
    name: "tidegate_sink_translation_losses_total",
    help: "Parts of delivered items that the peer's format has no place for.",
    kind: Kind::Counter,
};

/// One sink's losses.
#[derive(Debug)]
pub(crate) struct Losses {
    sink: Arc<str>,
    metrics: Metrics,
    told: Mutex<BTreeSet<&'static str>>,
}

impl Losses {
    pub(crate) fn new(sink: Arc<str>, metrics: Metrics) -> Self {
        Self { sink, metrics, told: Mutex::default() }
    }

    /// Counts the losses of one delivery, and tells of each reason once.
    pub(crate) fn book(&self, losses: &translate::Losses) {
        for (loss, count) in losses.iter() {
            self.note(loss.as_str(), count);
        }
    }

    /// Counts `count` losses for one reason, and tells of it once.
    pub(crate) fn note(&self, reason: &'static str, count: u64) {
        if count > 0 {
            self.metrics.counter(LOST, &[("sink", &self.sink), ("reason", reason)]).add(count);
            if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(reason) {
                let sink = &*self.sink;
                tracing::warn!(
                    sink,
                    reason,
                    count,
                    "the peer's format cannot carry a part of the data; told once"
                );
            }
        }
    }
}

/// The receipt without the items that never left, so that the books do not call them delivered. `sent` is the parcel's items.
pub(crate) fn left_out(receipt: Receipt, losses: &translate::Losses, sent: u32) -> Receipt {
    let points = losses.iter().filter(|(loss, _)| loss.is_point());
    let (names, left_out) = points.fold((Vec::new(), 0u64), |(mut names, sum), (loss, count)| {
        names.push(loss.as_str());
        (names, sum.saturating_add(count))
    });
    let left_out = u32::try_from(left_out).unwrap_or(u32::MAX).min(sent);
    let why = format!("no place in the peer's format: {}", names.join(", "));
    match receipt {
        _ if left_out == 0 => receipt,
        Receipt::Delivered => Receipt::LeftOut { items: left_out, reason: why, refused: None },
        Receipt::Partly(refused) => {
            let refused = PeerRefused { items: refused.items.min(sent - left_out), ..refused };
            Receipt::LeftOut { items: left_out, reason: why, refused: Some(refused) }
        }
        other => other,
    }
}
