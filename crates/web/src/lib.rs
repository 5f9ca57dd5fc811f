//! The query API, the gateway's own metrics and its health, as routers for the front door.
//!
//! | file | what |
//! |---|---|
//! | `trace.rs` | `/api/v1/traces/{id}`: a trace by any spelling of its id, from the embedded store |
//! | `traces.rs` | the one place that asks the store for traces |
//! | `jaeger/` | Jaeger's query API, below `/jaeger` |
//! | `tempo/` | Tempo's, below `/tempo` |
//! | `params.rs` | what these have in their queries |
//! | `stitched.rs` | requests out of everything that was received for them, under whatever ids |
//! | `correlation.rs` | `/api/v1/correlation`: how requests are joined, hop by hop |
//! | `books.rs` | `/api/v1/ledger`, `/api/v1/sinks`, `/metrics` |
//! | `letters.rs` | `/api/v1/dead-letters`: list, show, replay, drop |
//! | `replay.rs` | `/api/v1/sinks/{sink}/replay`, `/api/v1/cursors` |
//! | `home.rs` | `/` |
//! | `answer.rs` | refusals as JSON |
//! | `health.rs` | `/healthz`, `/readyz` |
//!
//! Invariants: GET changes nothing. What changes something is a POST of JSON or a DELETE, which no page of another origin can send
//! unasked. What tells about data or sinks stands behind the front door's gate; health does not.

#![allow(clippy::result_large_err, reason = "an error here is a whole answer, made once a request")]

mod answer;
mod books;
mod correlation;
#[cfg(test)]
mod fixture;
mod health;
mod home;
mod jaeger;
mod letters;
mod params;
mod replay;
mod stitched;
mod tempo;
mod trace;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use pipeline::{Metrics, Pipeline};

/// What the API reads from.
#[derive(Clone)]
pub struct Sources {
    /// The books and the sinks' state.
    pub pipeline: Arc<Pipeline>,
    /// The embedded store; `None` when no sink of its type is configured.
    pub store: Option<store::Reader>,
    /// What requests are called; `None` where nothing is stitched.
    pub names: Option<stitch::Names>,
    /// The gateway's own metrics.
    pub metrics: Metrics,
}

/// Routes that stand behind the gate.
pub fn guarded(sources: Sources) -> Router {
    Router::new()
        .route("/", get(home::home))
        .route("/api/v1/traces/{id}", get(trace::by_id))
        .route("/api/v1/correlation", get(correlation::correlation))
        .route("/api/v1/ledger", get(books::ledger))
        .route("/api/v1/sinks", get(books::sinks))
        .route("/api/v1/dead-letters", get(letters::list).delete(letters::drop_many))
        .route("/api/v1/dead-letters/replay", post(letters::replay))
        .route("/api/v1/dead-letters/{id}", get(letters::show).delete(letters::drop_one))
        .route("/api/v1/sinks/{sink}/replay", post(replay::begin))
        .route("/api/v1/cursors", get(replay::cursors))
        .route("/api/v1/cursors/{name}", axum::routing::delete(replay::drop_cursor))
        .route("/metrics", get(books::metrics))
        .merge(jaeger::routes())
        .merge(tempo::routes())
        .with_state(sources)
}

/// Routes that everybody may ask. `ready` turns false when the gateway drains.
pub fn public(ready: health::Ready) -> Router {
    Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready)).with_state(ready)
}

pub use health::Ready;
