//! What the server's answers mean, for the whole request and for each item of it.

use elasticsearch::http::response::{Cause, Exception};
use http::StatusCode;
use model::Failure;
use serde::Deserialize;

use super::notes::Fate;
use crate::client::Answer;
use crate::client::answer::excerpt;

/// What of an answer is asked for: without it, each item's answer is as long as some documents.
pub(super) const FILTER: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,\
                                 items.*.error.caused_by.type,items.*.error.caused_by.reason";

/// Room for one item's answer, reasons included, and for what is around them.
const PER_ITEM: usize = 4 << 10;
const AROUND: usize = 64 << 10;

/// How much of the answer to a request of `items` is read.
pub(super) fn ceiling(items: usize) -> usize {
    AROUND + items * PER_ITEM
}

/// What becomes of one item: its fate, or why it is to be sent again.
pub(super) type Said = Result<Fate, String>;

/// Reads the answer to a request of `items`. `ids` tells whether the documents had an id of ours.
pub(super) fn judge(answer: &Answer, items: usize, ids: bool) -> Result<Vec<Said>, Failure> {
    if answer.status != StatusCode::OK {
        return Err(whole(answer));
    }
    if !answer.whole {
        if answer.body.len() >= ceiling(items) {
            let reason = format!("the answer is longer than {} bytes", ceiling(items));
            return Err(Failure::TooLarge { reason });
        }
        return Err(retry(answer, "the answer was cut off".to_owned()));
    }
    let unreadable =
        || retry(answer, format!("answered 200 with what is no answer to _bulk: {}", answer.text()));
    let bulk: Bulk = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    match bulk.errors {
        Some(false) => return Ok(vec![Ok(Fate::Stored); items]),
        Some(true) => {}
        None => return Err(unreadable()),
    }
    if bulk.items.len() != items {
        let reason = format!("the answer tells of {} items instead of {items}", bulk.items.len());
        return Err(retry(answer, reason));
    }
    Ok(bulk.items.into_iter().map(|item| item.create.said(ids)).collect())
}

#[derive(Deserialize)]
struct Bulk {
    errors: Option<bool>,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "index", alias = "delete")]
    create: Entry,
}

#[derive(Deserialize)]
struct Entry {
    status: u16,
    error: Option<Told>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Cause(Box<Cause>),
    Text(String),
}

impl Told {
    fn kind(&self) -> &str {
        match self {
            Self::Cause(cause) => cause.ty().unwrap_or_default(),
            Self::Text(_) => "",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Cause(cause) => chain(Some(cause)),
            Self::Text(text) => excerpt(text.as_bytes()),
        }
    }
}

/// An error with what caused it, on one line.
fn chain(mut cause: Option<&Cause>) -> String {
    let mut text = String::new();
    while let Some(this) = cause {
        let (kind, reason) = (this.ty().unwrap_or_default(), this.reason().unwrap_or_default());
        for part in [": ", kind, ": ", reason] {
            text.push_str(part);
        }
        cause = this.caused_by();
    }
    excerpt(text.trim_start_matches(": ").as_bytes())
}

impl Entry {
    fn said(&self, ids: bool) -> Said {
        let (kind, reason) = match &self.error {
            Some(error) => (error.kind(), error.text()),
            None => ("", String::new()),
        };
        let told = format!("{} {reason}", self.status);
        match self.status {
            200..=299 => Ok(Fate::Stored),
            // What was to be deleted is not there.
            404 if self.error.is_none() => Ok(Fate::Stored),
            // The same item came before, or a later revision of it.
            409 if ids && matches!(kind, "version_conflict_engine_exception" | "") => Ok(Fate::Stored),
            _ if passes(kind, &reason) => Err(told),
            401 | 403 | 408 | 409 | 429 | 500.. => Err(told),
            _ => Ok(Fate::Refused(told)),
        }
    }
}

/// Whether the reason lies in the server's state, whatever the status, and passes or is mended by its operator.
fn passes(kind: &str, reason: &str) -> bool {
    const KINDS: [&str; 7] = [
        "cluster_block_exception",
        "es_rejected_execution_exception",
        "rejected_execution_exception",
        "circuit_breaking_exception",
        "unavailable_shards_exception",
        "process_cluster_event_timeout_exception",
        "no_shard_available_action_exception",
    ];
    KINDS.contains(&kind)
        || (reason.contains("this action would add")
            && reason.contains("shards")
            && reason.contains("maximum"))
}

/// What a status other than 200 means.
fn whole(answer: &Answer) -> Failure {
    let told = serde_json::from_slice::<Exception>(&answer.body).ok();
    let reason = told.as_ref().and_then(|told| told.error().reason()).map(|text| excerpt(text.as_bytes()));
    let kind = told.as_ref().and_then(|told| told.error().ty()).unwrap_or_default();
    let status = answer.status.as_u16();
    let reason = format!("answered {status} {kind} {}", reason.unwrap_or_else(|| answer.text()));
    match status {
        413 => Failure::TooLarge { reason },
        400 if !passes(kind, &reason) => Failure::RefusedWhole { reason },
        429 if never_fits(&reason) => Failure::TooLarge { reason },
        300..=399 => retry(answer, format!("{reason}; redirects are not followed")),
        _ => retry(answer, reason),
    }
}

/// Whether the request alone is larger than all that the server lets in at once: it would be turned away for ever.
fn never_fits(reason: &str) -> bool {
    let number = |name: &str| -> Option<u64> {
        let (_, after) = reason.split_once(name)?;
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let (own, most) = (number("operation_bytes="), number("max_coordinating_and_primary_bytes="));
    matches!((own, most), (Some(own), Some(most)) if own > most)
}

fn retry(answer: &Answer, reason: String) -> Failure {
    Failure::Retry { after: answer.after, reason }
}
