//! Version 3 of Jaeger's API: traces in OTLP/JSON, errors as `{"error":{"httpCode":…,"message":…}}`.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use model::UnixNanos;
use rows::Span;
use serde_json::{Value, json};

use super::{of_kind, query, shown};
use crate::Sources;
use crate::params::{Asked, Params, Part, part};
use crate::traces::{self, Trouble, lacks, noted};

pub(super) fn routes() -> Router<Sources> {
    Router::new()
        .route("/jaeger/api/v3/traces", get(search))
        .route("/jaeger/api/v3/traces/{id}", get(by_id))
        .route("/jaeger/api/v3/services", get(services))
        .route("/jaeger/api/v3/operations", get(operations))
}

struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        let error = json!({ "httpCode": status.as_u16(), "message": message });
        (status, Json(json!({ "error": error }))).into_response()
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

async fn by_id(State(sources): State<Sources>, id: Part) -> Result<Response, Refused> {
    let traces = traces::find(&sources, &part(id)?).await?;
    // One trace is asked for; what else the text may mean is another question.
    match traces.into_iter().find(|trace| !trace.spans.is_empty()) {
        Some(trace) => result(&trace.spans, &[]),
        None => Err(Refused(StatusCode::NOT_FOUND, "trace not found".to_owned())),
    }
}

async fn search(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let found = traces::search(&sources, query::search_v3(&params)?).await?;
    let spans: Vec<Span> = found.traces.into_iter().flat_map(|trace| trace.spans).collect();
    result(&spans, &found.lacks)
}

/// What an answer lacks is in a header, since its form has no place for it.
fn result(spans: &[Span], lacks: &[String]) -> Result<Response, Refused> {
    let data = rows::request_json(spans)
        .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("a span is no JSON: {error}")))?;
    let body = [br#"{"result":"#, &data[..], b"}"].concat();
    let response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    Ok(noted(response, lacks))
}

async fn services(State(sources): State<Sources>) -> Result<Response, Refused> {
    let operations = traces::operations(&sources, UnixNanos(0), UnixNanos(u64::MAX)).await?;
    let names: Vec<&str> = operations.services().map(shown).collect();
    Ok(noted(Json(json!({ "services": names })).into_response(), &lacks(&operations.extent)))
}

async fn operations(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let service = params.get("service").ok_or_else(|| query::NEEDS_SERVICE.to_owned())?;
    let operations = traces::operations(&sources, UnixNanos(0), UnixNanos(u64::MAX)).await?;
    let list: Vec<Value> = of_kind(&operations, service, params.get("span_kind"))
        .map(|(name, kind)| json!({ "name": name, "spanKind": kind }))
        .collect();
    Ok(noted(Json(json!({ "operations": list })).into_response(), &lacks(&operations.extent)))
}
