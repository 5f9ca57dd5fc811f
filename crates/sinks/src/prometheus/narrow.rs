//! What Prometheus refused of a request in 1.0. It stores nothing of one in which a single sample comes too late, and does not say which
//! one it was, so that the good ones must be sent again, whoever sent them.
//!
//! In 2.0 it stores the good ones and counts them: so it is asked again in 2.0. One that does not read 2.0 is sent halves, in order.

use http::StatusCode;
use model::Failure;
use pipeline::{PeerRefused, Receipt};
use wire::Counts;

use super::Prometheus;
use super::answer::{self, missing};
use super::body::Part;
use super::lot::Lot;
use super::message::Message;
use crate::client::Answer;

/// Items of one request in 2.0: each may have a line in the answer, and Prometheus sends itself as many.
const ASKED_AT_ONCE: usize = 2000;
/// Requests after which a peer of 1.0 is sent what is left without halving it.
const MOST_HALVINGS: u32 = 64;

/// What was refused so far.
#[derive(Default)]
pub(super) struct Sum {
    items: u32,
    upper_bound: bool,
    reason: String,
}

impl Sum {
    pub(super) fn add(&mut self, refused: Option<PeerRefused>) {
        let Some(refused) = refused else { return };
        self.items = self.items.saturating_add(refused.items);
        self.upper_bound |= refused.upper_bound;
        if self.reason.is_empty() {
            self.reason = refused.reason;
        }
    }

    /// `None` when nothing was.
    pub(super) fn refused(self) -> Option<PeerRefused> {
        let Self { items, upper_bound, reason } = self;
        (items > 0).then_some(PeerRefused { items, upper_bound, reason })
    }
}

impl Prometheus {
    /// Delivers what is good of a lot of which Prometheus stored nothing, sent as this `message` of 1.0; answers what is not.
    pub(super) async fn narrow(&self, lot: &Lot, message: Message) -> Result<Option<PeerRefused>, Failure> {
        let reads_2 = message == Message::V1 && self.asking.message(self.clock.now()) == Message::V2;
        if reads_2 {
            if let Some(mut sum) = self.ask(lot).await? {
                // Series of nothing but exemplars, and metadata without a series, have no place in 2.0.
                sum.add(self.accompany(lot, message).await?);
                return Ok(sum.refused());
            }
            self.asking.refused(self.clock.now());
        }
        let sum = self.halve(lot, message).await?;
        if lot.is_of_otlp() {
            self.accompany(lot, message).await?;
        }
        Ok(sum.refused())
    }

    /// Sends the values in 2.0; `None` when the peer does not read it.
    async fn ask(&self, lot: &Lot) -> Result<Option<Sum>, Failure> {
        let mut sum = Sum::default();
        let items = lot.items();
        for first in (0..items).step_by(ASKED_AT_ONCE) {
            let piece = lot.cut(first..items.min(first + ASKED_AT_ONCE as u32));
            let prepared = self.prepare(&piece, Message::V2, Part::Values).await?;
            if prepared.is_empty {
                continue;
            }
            let answer = self.post(&piece, Message::V2, &prepared).await?;
            // A peer of 1.0 may take the body for an empty one of its own, and be content.
            let counts = prepared.counts.as_ref();
            let is_judged = answer.status.is_success() || answer::is_of_samples(&answer);
            if answer.status == StatusCode::UNSUPPORTED_MEDIA_TYPE
                || is_judged && missing(&answer.headers, counts).is_none()
            {
                return Ok(None);
            }
            sum.add(self.judge(&answer, &piece, counts)?);
        }
        Ok(Some(sum))
    }

    /// Sends what goes with the values. What says of a resource what it is, is no item: when the peer has newer, nothing is missing.
    async fn accompany(&self, lot: &Lot, message: Message) -> Result<Option<PeerRefused>, Failure> {
        let prepared = self.prepare(lot, message, Part::Company).await?;
        if prepared.is_empty {
            return Ok(None);
        }
        let answer = self.post(lot, message, &prepared).await?;
        let refused = self.judge(&answer, lot, None)?;
        Ok(refused.filter(|_| !lot.is_of_otlp()))
    }

    /// Sends halves in 1.0, in order, until what is refused is one item.
    async fn halve(&self, lot: &Lot, message: Message) -> Result<Sum, Failure> {
        let (mut sum, mut halvings) = (Sum::default(), 0);
        // What describes the resources of OTLP may be what came too late.
        let (part, mut pieces) = match lot.is_of_otlp() {
            true => (Part::Values, vec![lot.clone()]),
            false => (Part::All, halves(lot).into()),
        };
        while let Some(piece) = pieces.pop() {
            if piece.items() == 0 {
                continue;
            }
            let prepared = self.prepare(&piece, message, part).await?;
            if prepared.is_empty {
                continue;
            }
            let answer = self.post(&piece, message, &prepared).await?;
            match self.judge(&answer, &piece, None)? {
                Some(_)
                    if piece.items() > 1 && answer::stored_nothing(&answer) && halvings < MOST_HALVINGS =>
                {
                    halvings += 1;
                    pieces.extend(halves(&piece));
                }
                Some(_) if piece.items() == 1 && answer::there(&answer, &piece) > 0 => {}
                Some(refused) => sum.add(Some(PeerRefused { upper_bound: piece.items() > 1, ..refused })),
                None => {}
            }
        }
        Ok(sum)
    }

    fn judge(
        &self,
        answer: &Answer,
        lot: &Lot,
        counts: Option<&Counts>,
    ) -> Result<Option<PeerRefused>, Failure> {
        let verdict = answer::verdict(answer, lot, counts, self.checked.on_unauthorized)?;
        Ok(match verdict.receipt {
            Receipt::Partly(refused) => Some(refused),
            _ => None,
        })
    }
}

/// The second half, then the first, which is to go first.
pub(super) fn halves(lot: &Lot) -> [Lot; 2] {
    let items = lot.items();
    [lot.cut(items / 2..items), lot.cut(0..items / 2)]
}
