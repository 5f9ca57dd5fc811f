//! Dead letters over HTTP.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use model::UnixNanos;
use pipeline::Moment;
use pipeline::deadletter::{self, Filter, Id};
use pipeline::operate::Chosen;
use serde::Deserialize;

use crate::Sources;
use crate::answer::{answer, body, query, refuse};

/// Letters on a page unless the caller says otherwise …
const PAGE: usize = 100;
/// … and at most.
const MOST: usize = 1000;

/// Which letters are meant. As a query of GET and DELETE, as the body of a replay.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    sink: Option<String>,
    signal: Option<String>,
    tenant: Option<String>,
    source: Option<String>,
    reason: Option<String>,
    since: Option<Moment>,
    until: Option<Moment>,
    state: Option<deadletter::State>,
    /// For a page: how many, and behind which.
    limit: Option<usize>,
    after: Option<String>,
    /// For a replay: these and nothing else.
    ids: Vec<String>,
    /// To mean every letter, since an empty filter may be a slip.
    all: bool,
}

impl Asked {
    fn filter(&self, now: UnixNanos) -> Filter {
        Filter {
            sink: self.sink.clone(),
            signal: self.signal.clone(),
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            reason: self.reason.clone(),
            since: self.since.map(|moment| moment.at(now)),
            until: self.until.map(|moment| moment.at(now)),
            state: self.state,
        }
    }

    /// What is to be changed; nothing named is a refusal.
    fn chosen(self, now: UnixNanos) -> Result<Chosen, Response> {
        let filter = self.filter(now);
        let filtered = filter != Filter::default();
        if self.limit.is_some() || self.after.is_some() {
            return Err(bad("limit and after are for pages; name letters by ids or by a filter"));
        }
        match (self.ids.is_empty(), filtered, self.all) {
            (false, false, false) => self
                .ids
                .iter()
                .map(|id| id.parse())
                .collect::<Result<_, _>>()
                .map(Chosen::Ids)
                .map_err(|error: String| bad(&error)),
            (false, ..) => Err(bad("ids stand alone: leave the filter out, or the ids")),
            (true, false, false) => {
                Err(bad("nothing is named: give ids, a filter such as sink, or all=true"))
            }
            (true, ..) => Ok(Chosen::All(filter)),
        }
    }
}

pub(crate) async fn list(
    State(sources): State<Sources>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let asked = query(asked)?;
    let after = asked.after.as_deref().map(id).transpose()?;
    let most = asked.limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&most) {
        return Err(bad(&format!("limit {most} is not 1 to {MOST}")));
    }
    let filter = asked.filter(sources.pipeline.now());
    Ok(answer(StatusCode::OK, sources.pipeline.letters(filter, after, most).await))
}

pub(crate) async fn show(
    State(sources): State<Sources>,
    Path(letter): Path<String>,
) -> Result<Response, Response> {
    Ok(answer(StatusCode::OK, sources.pipeline.letter(id(&letter)?).await))
}

pub(crate) async fn replay(
    State(sources): State<Sources>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Response> {
    let chosen = body(asked)?.chosen(sources.pipeline.now())?;
    Ok(answer(StatusCode::ACCEPTED, sources.pipeline.replay_letters(chosen).await))
}

pub(crate) async fn drop_one(
    State(sources): State<Sources>,
    Path(letter): Path<String>,
) -> Result<Response, Response> {
    // Asked for first: a letter that is not there is another answer than one that stays.
    let shown = sources.pipeline.letter(id(&letter)?).await;
    match shown {
        Ok(shown) => {
            let dropped = sources.pipeline.drop_letters(Chosen::Ids(vec![shown.listed.id])).await;
            Ok(answer(StatusCode::OK, dropped))
        }
        Err(denied) => Ok(answer(StatusCode::OK, Err::<(), _>(denied))),
    }
}

pub(crate) async fn drop_many(
    State(sources): State<Sources>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Response> {
    let chosen = query(asked)?.chosen(sources.pipeline.now())?;
    Ok(answer(StatusCode::OK, sources.pipeline.drop_letters(chosen).await))
}

fn id(text: &str) -> Result<Id, Response> {
    text.parse().map_err(|error: String| bad(&error))
}

fn bad(message: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, message)
}
