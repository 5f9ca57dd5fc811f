//! Jaeger's query API over the embedded store, below `/jaeger`: what Grafana's Jaeger data source and Jaeger's own page ask.
//!
//! | file | what |
//! |---|---|
//! | `query.rs` | what may be asked |
//! | `trace.rs` | a trace as Jaeger's JSON has it |
//! | `v3.rs` | `/jaeger/api/v3/…`: the same in OTLP/JSON |
//!
//! Errors have Jaeger's form, `{"data":null,…,"errors":[{"code":…,"msg":…}]}`. Where an answer may lack something, `errors` says
//! so beside the data.

mod query;
mod trace;
mod v3;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use model::UnixNanos;
use serde_json::{Value, json};

use crate::Sources;
use crate::params::{Asked, Params, Part, part};
use crate::traces::{self, Trouble, Whole, lacks};

/// What Jaeger calls the service of spans whose resource names none.
const NO_SERVICE: &str = "OTLPResourceNoServiceName";

/// Milliseconds since 1970, the unit of times in questions about dependencies.
const MILLIS: u64 = 1_000_000;
/// How far back these look unless told.
const DEPENDENCIES_BACK: u64 = 24 * 3_600_000_000_000;

/// Its routes.
pub(crate) fn routes() -> Router<Sources> {
    Router::new()
        .route("/jaeger/api/traces", get(search))
        .route("/jaeger/api/traces/{id}", get(by_id))
        .route("/jaeger/api/services", get(services))
        .route("/jaeger/api/services/{service}/operations", get(operation_names))
        .route("/jaeger/api/operations", get(operations))
        .route("/jaeger/api/dependencies", get(dependencies))
        .merge(v3::routes())
}

/// Why a request is refused, in the words of its answer.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        let errors = json!([{ "code": status.as_u16(), "msg": message }]);
        (status, Json(json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors })))
            .into_response()
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

/// An answer with `total` as Jaeger counts: only lists of names are counted.
fn answer(data: &Value, total: usize, lacks: Vec<String>) -> Response {
    let lacks: Vec<Value> = lacks.into_iter().map(|lack| json!({ "msg": lack })).collect();
    let errors = if lacks.is_empty() { Value::Null } else { Value::Array(lacks) };
    Json(json!({ "data": data, "total": total, "limit": 0, "offset": 0, "errors": errors })).into_response()
}

fn whole(traces: &[Whole], lacks: Vec<String>) -> Response {
    answer(&traces.iter().map(trace::json).collect(), 0, lacks)
}

async fn by_id(State(sources): State<Sources>, id: Part) -> Result<Response, Refused> {
    let mut traces = traces::find(&sources, &part(id)?).await?;
    traces.retain(|trace| !trace.spans.is_empty());
    if traces.is_empty() {
        return Err(Refused(
            StatusCode::NOT_FOUND,
            "trace not found: the store has log records of it, no spans".to_owned(),
        ));
    }
    Ok(whole(&traces, Vec::new()))
}

async fn search(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let ids: Vec<&str> = params.all("traceID").collect();
    if ids.is_empty() {
        let found = traces::search(&sources, query::search(&params, sources.pipeline.now())?).await?;
        return Ok(whole(&found.traces, found.lacks));
    }
    if ids.len() > query::MOST_IDS {
        return Err(Refused::from(format!("{} trace ids are more than {}", ids.len(), query::MOST_IDS)));
    }
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for id in ids {
        match traces::find(&sources, id).await {
            Ok(traces) => {
                found.extend(traces.iter().filter(|trace| !trace.spans.is_empty()).map(trace::json));
            }
            Err(trouble @ Trouble::Unknown(_)) => {
                errors.push(json!({ "msg": trouble.message(), "traceID": id }));
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
    let errors = if errors.is_empty() { Value::Null } else { Value::Array(errors) };
    let body = json!({ "data": found, "total": 0, "limit": 0, "offset": 0, "errors": errors });
    Ok(Json(body).into_response())
}

async fn services(State(sources): State<Sources>) -> Result<Response, Refused> {
    let operations = traces::operations(&sources, UnixNanos(0), UnixNanos(u64::MAX)).await?;
    let names: Vec<&str> = operations.services().map(shown).collect();
    Ok(answer(&json!(names), names.len(), lacks(&operations.extent)))
}

async fn operation_names(State(sources): State<Sources>, service: Part) -> Result<Response, Refused> {
    let service = part(service)?;
    let operations = traces::operations(&sources, UnixNanos(0), UnixNanos(u64::MAX)).await?;
    let mut names: Vec<&str> = operations.of(stored(&service)).map(|(name, _)| name).collect();
    names.dedup();
    Ok(answer(&json!(names), names.len(), lacks(&operations.extent)))
}

async fn operations(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let service = params.get("service").ok_or_else(|| query::NEEDS_SERVICE.to_owned())?;
    let wanted = params.get("spanKind");
    let operations = traces::operations(&sources, UnixNanos(0), UnixNanos(u64::MAX)).await?;
    let list: Vec<Value> = of_kind(&operations, service, wanted)
        .map(|(name, kind)| json!({ "name": name, "spanKind": kind }))
        .collect();
    let total = list.len();
    Ok(answer(&Value::Array(list), total, lacks(&operations.extent)))
}

async fn dependencies(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let to = params.time("endTs", MILLIS)?.unwrap_or_else(|| sources.pipeline.now());
    let back = params.time("lookback", MILLIS)?.map_or(DEPENDENCIES_BACK, |back| back.0);
    let service = params.get("service").map(stored);
    let found = traces::calls(&sources, UnixNanos(to.0.saturating_sub(back)), to).await?;
    let calls = found
        .calls
        .iter()
        .filter(|((parent, child), _)| service.is_none_or(|service| parent == service || child == service));
    let links = calls.map(|((parent, child), count)| {
        json!({ "parent": shown(parent), "child": shown(child), "callCount": count })
    });
    Ok(answer(&links.collect(), 0, lacks(&found.extent)))
}

/// A service's operations with their kinds as Jaeger writes them: none for unspecified.
fn of_kind<'a>(
    operations: &'a store::Operations,
    service: &'a str,
    wanted: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'static str)> {
    let kinds = operations.of(stored(service)).map(|(name, kind)| match kind {
        "unspecified" => (name, ""),
        kind => (name, kind),
    });
    kinds.filter(move |(_, kind)| wanted.is_none_or(|wanted| wanted == *kind))
}

/// A service's name as it is shown.
fn shown(service: &str) -> &str {
    if service.is_empty() { NO_SERVICE } else { service }
}

/// A service's name as it is stored.
fn stored(service: &str) -> &str {
    if service == NO_SERVICE { "" } else { service }
}
