//! What every receiver is given, and what all do alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::body::Body;
use http::Request;
use model::{Origin, Refusal, Source};
use normalize::{Input, Message, Rejected, WireInput};
use pipeline::intake::Accepted;
use pipeline::{Intake, Memory, Metrics, Workers};

use crate::auth::Caller;
use crate::decode::Decoded;
use crate::meter::Meter;
use crate::settings::Pace;

/// What receivers use of the rest of the gateway.
#[derive(Clone)]
pub struct Context {
    /// Where batches go.
    pub intake: Intake,
    /// Where memory for bodies comes from.
    pub memory: Memory,
    /// Where large bodies are inflated.
    pub workers: Workers,
    /// Where traffic is counted.
    pub metrics: Metrics,
    /// How slowly a body may come.
    pub pace: Pace,
    /// Set when the front door closes; health checks tell it.
    pub closing: Arc<AtomicBool>,
}

/// One receiver at work: its name, its counters and the rest of the gateway.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) context: Context,
    pub(crate) source: Source,
    pub(crate) meter: Arc<Meter>,
}

impl Receiver {
    pub(crate) fn new(context: &Context, source: Source) -> Self {
        let meter = Arc::new(Meter::new(&context.metrics, source.as_str()));
        Self { context: context.clone(), source, meter }
    }

    /// Who sent a request that came through the gate.
    pub(crate) fn origin(&self, request: &Request<Body>) -> Origin {
        let caller = request.extensions().get::<Caller>();
        let tenant = caller.map(|caller| caller.tenant.clone()).unwrap_or_default();
        Origin { tenant, source: self.source.clone() }
    }

    /// Submits a protobuf body, or counts why it came to none. Memory is held until the intake has answered.
    pub(crate) async fn hand_in(
        &self,
        origin: Origin,
        message: Message,
        decoded: Result<Decoded, Refusal>,
    ) -> Result<Accepted, Refusal> {
        let Decoded { coding, body, plain, lease } = match decoded {
            Ok(decoded) => decoded,
            Err(refusal) => {
                self.context.intake.refused(&origin, &refusal);
                return Err(refusal);
            }
        };
        if plain.is_empty() {
            return Ok(Accepted::default());
        }
        let input = WireInput { origin, message, coding, body, plain };
        let accepted = self.context.intake.submit(Input::Wire(input)).await;
        drop(lease);
        accepted
    }

    /// Counts what was not taken of a request.
    pub(crate) fn count_rejected(&self, rejected: &[Rejected]) {
        let mut reasons = BTreeMap::new();
        for one in rejected {
            *reasons.entry(one.reason).or_insert(0) += one.records as usize;
        }
        for (reason, records) in reasons {
            self.meter.rejected(reason, records);
        }
    }
}
