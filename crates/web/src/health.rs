//! Health: alive means that the process answers; ready means that it takes data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use http::StatusCode;

/// Whether data is taken; set to closing by the drain.
#[derive(Debug, Clone, Default)]
pub struct Ready {
    /// True from the moment the drain begins.
    pub closing: Arc<AtomicBool>,
}

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(ready): State<Ready>) -> (StatusCode, &'static str) {
    if ready.closing.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_draining_gateway_is_alive_and_not_ready() {
        let state = Ready::default();
        assert_eq!(ready(State(state.clone())).await.0, StatusCode::OK);
        state.closing.store(true, Ordering::Relaxed);
        assert_eq!(ready(State(state)).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(alive().await, "ok\n");
    }
}
