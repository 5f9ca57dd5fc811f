//! Refusals as `{"error": …}`, whoever refuses: a handler, a reader of the request, or the pipeline.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use pipeline::Denied;
use serde::Serialize;
use serde_json::json;

pub(crate) fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// What the pipeline answered, as JSON under `status`.
pub(crate) fn answer(status: StatusCode, result: Result<impl Serialize, Denied>) -> Response {
    match result {
        Ok(value) => (status, Json(value)).into_response(),
        Err(denied) => {
            let status = match denied {
                Denied::Missing(_) => StatusCode::NOT_FOUND,
                Denied::Impossible(_) => StatusCode::CONFLICT,
                Denied::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            refuse(status, &denied.to_string())
        }
    }
}

/// The query of a request.
pub(crate) fn query<T>(read: Result<Query<T>, QueryRejection>) -> Result<T, Response> {
    read.map(|Query(value)| value).map_err(|rejection| refuse(rejection.status(), &rejection.body_text()))
}

/// The JSON body of a request.
pub(crate) fn body<T>(read: Result<Json<T>, JsonRejection>) -> Result<T, Response> {
    read.map(|Json(value)| value).map_err(|rejection| refuse(rejection.status(), &rejection.body_text()))
}
