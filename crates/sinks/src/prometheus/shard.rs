//! Shards: what of a parcel belongs to one series always goes the same way, and each way has one request in flight. The next parcel waits
//! until all are done, so that every series stays in order.
//!
//! What the peer answered to a shard for good is remembered until the parcel is over: an attempt after one that failed in part sends the
//! rest. A restart forgets it, and everything is sent again, as without shards.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use model::{Failure, Layout};
use pipeline::{Parcel, Receipt};

use super::Prometheus;
use super::lot::{Lot, split};
use super::narrow::{Sum, halves};
use crate::losses::left_out;

/// The shards that are done of the parcel in hand, and what came of them. A replay has a parcel of its own in hand.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<BTreeMap<u64, Hand>>);

#[derive(Debug, Default)]
struct Hand {
    /// The name of the parcel's range.
    range: String,
    done: BTreeMap<usize, Receipt>,
}

impl Hands {
    /// What is done of this parcel; whatever was in hand before is forgotten.
    fn take(&self, parcel: &Parcel, range: &str) -> BTreeMap<usize, Receipt> {
        let mut hands = self.lock();
        let hand = hands.entry(parcel.replay).or_default();
        if hand.range != range {
            *hand = Hand { range: range.to_owned(), done: BTreeMap::new() };
        }
        hand.done.clone()
    }

    fn note(&self, parcel: &Parcel, range: &str, shard: usize, receipt: Receipt) {
        if let Some(hand) = self.lock().get_mut(&parcel.replay).filter(|hand| hand.range == range) {
            hand.done.insert(shard, receipt);
        }
    }

    /// The parcel is over.
    fn forget(&self, parcel: &Parcel) {
        self.lock().remove(&parcel.replay);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Hand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Halvings of one shard after which what is too large is refused.
const MOST_HALVINGS: u32 = 64;

impl Prometheus {
    /// Sends all shards of a parcel at the same time, but for those that are done already.
    pub(super) async fn send_in_shards(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let (whole, recipe, shards) = (parcel.clone(), self.checked.recipe.clone(), self.checked.shards);
        let made = self.workers.run(move || split(&whole, &recipe, shards)).await;
        let (lots, losses) =
            made.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })??;
        let range = parcel.range_id(0);
        let before = self.hands.take(parcel, &range);
        let shards = lots.into_iter().map(|(shard, lot)| {
            let before = before.get(&shard).cloned();
            let range = &range;
            async move {
                if let Some(receipt) = before {
                    return Ok(receipt);
                }
                let receipt = self.send_shard(lot).await?;
                self.hands.note(parcel, range, shard, receipt.clone());
                Ok(receipt)
            }
        });
        let (done, failed): (Vec<_>, Vec<_>) = join_all(shards).await.into_iter().partition(Result::is_ok);
        let failed = failed.into_iter().filter_map(Result::err);
        if let Some(failure) = worst(failed, !done.is_empty(), parcel.may_have_arrived()) {
            return Err(failure);
        }
        self.hands.forget(parcel);
        self.losses.book(&losses);
        let never_left = left_out(Receipt::Delivered, &losses, parcel.items());
        let done = done.into_iter().filter_map(Result::ok);
        Ok(sum(done.chain([never_left]), parcel.items(), parcel.layout == Layout::Otlp))
    }

    /// Sends one shard. What is too large is halved here: the courier would halve the other shards with it, which the peer has.
    async fn send_shard(&self, lot: Lot) -> Result<Receipt, Failure> {
        let items = lot.items();
        let (mut receipts, mut pieces, mut halvings) = (Vec::new(), vec![lot], 0);
        while let Some(piece) = pieces.pop() {
            match self.send(&piece).await {
                Err(Failure::TooLarge { .. }) => {
                    halvings += 1;
                    let joined = halvings < MOST_HALVINGS;
                    pieces.extend(halves(&piece).map(|half| Lot { joined, ..half }));
                }
                answer => receipts.push(answer?),
            }
        }
        Ok(sum(receipts, items, false))
    }
}

/// What came of all shards together, of at most so many `items`. A point of OTLP may have been refused in several shards.
fn sum(receipts: impl IntoIterator<Item = Receipt>, items: u32, of_points: bool) -> Receipt {
    let (mut sum, mut left_out, mut why) = (Sum::default(), 0u32, String::new());
    for receipt in receipts {
        match receipt {
            Receipt::Delivered | Receipt::Pending => {}
            Receipt::Partly(refused) => sum.add(Some(refused)),
            Receipt::LeftOut { items, reason, refused } => {
                left_out = left_out.saturating_add(items);
                if why.is_empty() {
                    why = reason;
                }
                sum.add(refused);
            }
        }
    }
    let left_out = left_out.min(items);
    let refused = sum.refused().map(|mut refused| {
        refused.upper_bound |= of_points;
        refused.items = refused.items.min(items - left_out);
        refused
    });
    match left_out {
        0 => refused.map_or(Receipt::Delivered, Receipt::Partly),
        items => Receipt::LeftOut { items, reason: why, refused },
    }
}

/// What the courier is told when not all shards are done; `None` when they are.
///
/// A parcel that is refused whole is halved by the courier, and all of it is sent again. When shards of it are there, that is put off by one
/// attempt: the halves of a parcel that was tried before are known to be a resend, so that nothing of those shards is called refused.
fn worst(
    failures: impl Iterator<Item = Failure>,
    some_are_done: bool,
    may_have_arrived: bool,
) -> Option<Failure> {
    let (mut longest, mut retry, mut unreachable, mut refused) = (None, None, None, None);
    for failure in failures {
        match failure {
            Failure::Retry { after, reason } => {
                longest = longest.max(after);
                retry.get_or_insert(reason);
            }
            Failure::Unreachable { reason } => {
                unreachable.get_or_insert(reason);
            }
            other => {
                refused.get_or_insert(other);
            }
        }
    }
    match (retry, unreachable, refused) {
        (Some(reason), ..) => Some(Failure::Retry { after: longest, reason }),
        (None, Some(reason), _) => Some(Failure::Unreachable { reason }),
        (None, None, Some(failure)) if some_are_done && !may_have_arrived => {
            Some(Failure::Retry { after: None, reason: failure.to_string() })
        }
        (None, None, failure) => failure,
    }
}
