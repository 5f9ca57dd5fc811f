//! What the senders claim: which items were sent, which were acknowledged, which were refused, and how often each may be
//! there at most.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::item::{Id, Stream};

/// What is known of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    /// It was acknowledged.
    pub acknowledged: bool,
    /// It was refused for good.
    pub refused: bool,
    /// Attempts without an answer: each may have been kept.
    pub unanswered: u16,
}

impl Claim {
    /// How often it may be there without anybody having doubled it.
    pub fn copies(self) -> u64 {
        u64::from(self.acknowledged) + u64::from(self.unanswered)
    }
}

/// Everything that was claimed, by stream and number.
#[derive(Debug, Default)]
pub struct Claims {
    streams: Mutex<BTreeMap<Stream, Vec<Claim>>>,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Stream, Vec<Claim>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that these items, which follow the last claimed ones, are about to be sent.
    pub fn claim(&self, stream: Stream, numbers: Range<u64>) {
        let mut streams = self.lock();
        let items = streams.entry(stream).or_default();
        assert_eq!(items.len() as u64, numbers.start, "items are sent in order");
        items.resize(numbers.end as usize, Claim::default());
    }

    /// Notes that these items were acknowledged.
    pub fn acknowledge(&self, stream: Stream, numbers: Range<u64>) {
        self.each(stream, numbers, |claim| claim.acknowledged = true);
    }

    /// Notes that these items were refused for good.
    pub fn refuse(&self, stream: Stream, numbers: Range<u64>) {
        self.each(stream, numbers, |claim| claim.refused = true);
    }

    /// Notes that an attempt at these items had no answer.
    pub fn miss(&self, stream: Stream, numbers: Range<u64>) {
        self.each(stream, numbers, |claim| claim.unanswered = claim.unanswered.saturating_add(1));
    }

    fn each(&self, stream: Stream, numbers: Range<u64>, change: impl Fn(&mut Claim)) {
        let mut streams = self.lock();
        let Some(items) = streams.get_mut(&stream) else { return };
        for number in numbers {
            if let Some(claim) = items.get_mut(number as usize) {
                change(claim);
            }
        }
    }

    /// What is known of an item; `None` when it was never sent.
    pub fn get(&self, id: Id) -> Option<Claim> {
        self.lock().get(&id.stream)?.get(usize::try_from(id.number).ok()?).copied()
    }

    /// All items with what is known of them.
    pub fn all(&self) -> Vec<(Id, Claim)> {
        let streams = self.lock();
        let items = streams.iter().flat_map(|(stream, claims)| {
            let numbered = claims.iter().zip(0..);
            numbered.map(|(claim, number)| (Id { stream: *stream, number }, *claim))
        });
        items.collect()
    }

    /// Items of a stream that have been answered for good so far: they are answered in order.
    pub fn answered(&self, stream: Stream) -> u64 {
        let streams = self.lock();
        let items = streams.get(&stream).map(Vec::as_slice).unwrap_or_default();
        items.partition_point(|claim| claim.acknowledged || claim.refused) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_may_be_there_once_for_its_acknowledgement_and_once_for_each_attempt_without_an_answer() {
        let claims = Claims::default();
        claims.claim(Stream::Kong, 0..3);
        claims.miss(Stream::Kong, 0..2);
        claims.acknowledge(Stream::Kong, 0..2);
        claims.refuse(Stream::Kong, 2..3);
        let copies = |number| claims.get(Id { stream: Stream::Kong, number }).map(Claim::copies);
        assert_eq!([copies(0), copies(1), copies(2), copies(3)], [Some(2), Some(2), Some(0), None]);
        assert_eq!([claims.answered(Stream::Kong), claims.answered(Stream::Logpush)], [3, 0]);
        claims.claim(Stream::Kong, 3..5);
        assert_eq!(claims.answered(Stream::Kong), 3);
    }
}
