//! Tempo's query API over the embedded store, below `/tempo`: what Grafana's Tempo data source asks.
//!
//! | file | what |
//! |---|---|
//! | `by_id.rs` | a trace by its id, in protobuf or JSON |
//! | `search.rs` | `/tempo/api/search` |
//! | `tags.rs` | names and values to choose from |
//! | `traceql/` | the part of TraceQL that is understood |
//!
//! Errors are text, as Tempo's are. Where an answer may lack something, the header `x-tidegate-partial` says so.

mod by_id;
mod search;
mod tags;
mod traceql;

use axum::Json;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use model::UnixNanos;
use serde_json::{Value, json};

use crate::Sources;
use crate::params::Params;
use crate::traces::{Trouble, noted};

/// Times in questions are seconds.
const SECONDS: u64 = 1_000_000_000;

/// Its routes.
pub(crate) fn routes() -> Router<Sources> {
    Router::new()
        .route("/tempo/api/echo", get(|| async { "echo" }))
        .route("/tempo/api/status/buildinfo", get(build))
        .route("/tempo/api/traces/{id}", get(by_id::first))
        .route("/tempo/api/v2/traces/{id}", get(by_id::second))
        .route("/tempo/api/search", get(search::search))
        .route("/tempo/api/search/tags", get(tags::names))
        .route("/tempo/api/v2/search/tags", get(tags::names_by_scope))
        .route("/tempo/api/search/tag/{tag}/values", get(tags::values))
        .route("/tempo/api/v2/search/tag/{tag}/values", get(tags::typed_values))
        .route("/tempo/api/metrics/query", get(metrics))
        .route("/tempo/api/metrics/query_range", get(metrics))
}

/// Why a request is refused.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.status(), trouble.message())
    }
}

/// The gateway's own version: a viewer must not take it for a Tempo that can do more than is here.
async fn build() -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"), "revision": "", "branch": "tidegate", "buildUser": "",
        "buildDate": "", "goVersion": "",
    }))
}

async fn metrics() -> Refused {
    Refused(StatusCode::NOT_IMPLEMENTED, "TraceQL metrics are not supported".to_owned())
}

/// An answer, with what it lacks.
fn answer(body: &Value, lacks: &[String]) -> Response {
    noted(Json(body).into_response(), lacks)
}

/// The range of time that is asked about; all that is kept unless told.
fn range(params: &Params) -> Result<(UnixNanos, UnixNanos), String> {
    let from = params.time("start", SECONDS)?.unwrap_or(UnixNanos(0));
    // The last second counts to its end; 0 is as good as nothing.
    let to = params.time("end", SECONDS)?.filter(|to| to.0 != 0);
    let to = to.map_or(UnixNanos(u64::MAX), |to| UnixNanos(to.0.saturating_add(SECONDS - 1)));
    Params::range(from, to)?;
    Ok((from, to))
}
