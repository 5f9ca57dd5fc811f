//! Replays and cursors over HTTP.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use model::Signal;
use pipeline::Moment;
use pipeline::operate::Again;
use serde::Deserialize;
use serde_json::json;

use crate::Sources;
use crate::answer::{answer, body, query, refuse};

/// What is to be delivered once more.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    from: Moment,
    #[serde(default = "now")]
    to: Moment,
    /// Left out: all that the sink takes.
    #[serde(default)]
    signals: Vec<String>,
}

const fn now() -> Moment {
    Moment::Now
}

/// Which of a name's cursors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct One {
    signal: Option<String>,
}

pub(crate) async fn begin(
    State(sources): State<Sources>,
    Path(sink): Path<String>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Response> {
    let Asked { from, to, signals } = body(asked)?;
    let signals = signals.iter().map(|name| signal(name)).collect::<Result<_, _>>()?;
    let begun = sources.pipeline.replay(Again { sink, signals, from, to }).await;
    Ok(answer(StatusCode::ACCEPTED, begun.map(|replays| json!({ "replays": replays }))))
}

pub(crate) async fn cursors(State(sources): State<Sources>) -> Response {
    answer(StatusCode::OK, sources.pipeline.cursors().await.map(|cursors| json!({ "cursors": cursors })))
}

pub(crate) async fn drop_cursor(
    State(sources): State<Sources>,
    Path(name): Path<String>,
    which: Result<Query<One>, QueryRejection>,
) -> Result<Response, Response> {
    let signal = query(which)?.signal.as_deref().map(signal).transpose()?;
    let dropped = sources.pipeline.drop_cursor(&name, signal).await;
    Ok(answer(StatusCode::OK, dropped.map(|dropped| json!({ "dropped": dropped }))))
}

fn signal(name: &str) -> Result<Signal, Response> {
    let known = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
    known.ok_or_else(|| {
        refuse(StatusCode::BAD_REQUEST, &format!("{name:?} is no signal; write traces, logs or metrics"))
    })
}
