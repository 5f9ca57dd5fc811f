//! The books, the sinks' state and the gateway's own metrics.

use axum::Json;
use axum::extract::State;
use http::header;
use pipeline::{Ledger, SinkStatus};

use crate::Sources;

pub(crate) async fn ledger(State(sources): State<Sources>) -> Json<Ledger> {
    Json(sources.pipeline.ledger())
}

pub(crate) async fn sinks(State(sources): State<Sources>) -> Json<Vec<SinkStatus>> {
    Json(sources.pipeline.status())
}

pub(crate) async fn metrics(
    State(sources): State<Sources>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], sources.metrics.render())
}
