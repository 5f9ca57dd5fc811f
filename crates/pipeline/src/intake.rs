//! Where batches enter. `submit` resolving is the acknowledgement: what it accepted is durable in the journal.

use std::sync::Arc;

use model::{Counts, Refusal};
use normalize::{Input, Rejected};

use crate::BoxFuture;

/// What was taken of one request.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// Items taken, by kind.
    pub counts: Counts,
    /// Items not taken, by index and reason; those of JSON sources are in the quarantine already.
    pub rejected: Vec<Rejected>,
    /// JSON sources: records met in the bytes, taken or not; the next piece's `Hint::first_index` is this one's plus `seen`.
    pub seen: u32,
}

/// What receivers know of everything behind them.
pub trait Submit: Send + Sync {
    /// Normalizes, writes to the journal and waits until it is durable. A refusal means that nothing was kept;
    /// dropping the future leaves it open whether it was.
    fn submit(&self, input: Input) -> BoxFuture<'_, Result<Accepted, Refusal>>;

    /// Counts a request that the receiver itself refused before it came to `submit`, which counts its own refusals.
    fn refused(&self, origin: &model::Origin, refusal: &Refusal) {
        let _ = (origin, refusal);
    }

    /// Puts a whole request aside that can never be taken (at most 64 KiB of it is kept), counted under `reason`.
    fn quarantine(&self, origin: &model::Origin, reason: &'static str, message: &str, bytes: &[u8]);
}

/// A handle on the intake.
#[derive(Clone)]
pub struct Intake(pub Arc<dyn Submit>);

impl std::ops::Deref for Intake {
    type Target = dyn Submit;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
