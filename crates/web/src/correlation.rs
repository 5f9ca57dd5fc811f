//! The correlation report: how the requests of the last hour are joined, hop by hop, and what would make it better.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::Sources;
use crate::answer::refuse;

pub(crate) async fn correlation(State(sources): State<Sources>) -> Response {
    let Some(names) = &sources.names else {
        return refuse(
            StatusCode::NOT_IMPLEMENTED,
            "stitching is switched off (stitch: { enabled: false }), so nothing is joined",
        );
    };
    match names.correlation().await {
        Ok(report) => Json(report).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("no report can be made: {error}")),
    }
}
