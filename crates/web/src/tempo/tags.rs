//! What there is to choose from: the names of attributes, and the values of one of them.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use rows::{Filter, Subject};
use serde_json::{Value, json};
use store::{Extent, Search};

use super::traceql::{Field, INTRINSICS, Query};
use super::{Refused, answer, range};
use crate::Sources;
use crate::params::{Asked, Params, Part, part};
use crate::traces::{self, lacks};

/// Values in an answer unless told, and at most.
const USUAL: usize = 1000;
const MOST: usize = 10_000;

/// Names by scope, in the order in which they are shown.
type Scopes = Vec<(&'static str, Vec<String>)>;

async fn scopes(sources: &Sources, params: &Params) -> Result<(Scopes, Extent), Refused> {
    let (from, to) = range(params)?;
    let most = params.count("limit", MOST, MOST)?;
    let scope = params.get("scope").unwrap_or("all");
    if !["all", "none", "resource", "span", "intrinsic", "event", "link", "instrumentation"].contains(&scope)
    {
        return Err(Refused::from(format!(
            "parameter 'scope': {scope:?} is not resource, span or intrinsic"
        )));
    }
    let keys = traces::attribute_keys(sources, from, to).await?;
    let first = |keys: &BTreeSet<String>| keys.iter().take(most).cloned().collect();
    let intrinsics = INTRINSICS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let all = [("resource", first(&keys.resource)), ("span", first(&keys.span)), ("intrinsic", intrinsics)];
    let wanted = |name: &str| [name, "all", "none"].contains(&scope);
    Ok((all.into_iter().filter(|(name, _)| wanted(name)).collect(), keys.extent))
}

/// `/api/search/tags`: names without their scopes.
pub(super) async fn names(State(sources): State<Sources>, asked: Asked) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let (scopes, extent) = scopes(&sources, &params).await?;
    let intrinsic = params.get("scope") == Some("intrinsic");
    let names: BTreeSet<String> = scopes
        .into_iter()
        .filter(|(name, _)| intrinsic || *name != "intrinsic")
        .flat_map(|(_, names)| names)
        .collect();
    Ok(answer(&json!({ "tagNames": names }), &lacks(&extent)))
}

/// `/api/v2/search/tags`: names by scope.
pub(super) async fn names_by_scope(
    State(sources): State<Sources>,
    asked: Asked,
) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let (scopes, extent) = scopes(&sources, &params).await?;
    let scopes: Vec<Value> =
        scopes.into_iter().map(|(name, tags)| json!({ "name": name, "tags": tags })).collect();
    Ok(answer(&json!({ "scopes": scopes }), &lacks(&extent)))
}

/// `/api/search/tag/{tag}/values`: a name without a scope.
pub(super) async fn values(
    State(sources): State<Sources>,
    tag: Part,
    asked: Asked,
) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let tag = decoded(&part(tag)?);
    let field = match tag.as_str() {
        "root.service.name" | "service.name" => Field::Of(Subject::Service),
        "root.name" | "name" => Field::Of(Subject::Name),
        "status.code" => Field::Of(Subject::Status),
        other => Field::parse(other).unwrap_or_else(|_| Field::Either(other.to_owned())),
    };
    let (values, extent) = values_of(&sources, &params, &field).await?;
    Ok(answer(&json!({ "tagValues": values }), &lacks(&extent)))
}

/// `/api/v2/search/tag/{tag}/values`: a name as TraceQL has it, values with their types.
pub(super) async fn typed_values(
    State(sources): State<Sources>,
    tag: Part,
    asked: Asked,
) -> Result<Response, Refused> {
    let params = Params::read(asked)?;
    let field = Field::parse(&decoded(&part(tag)?))?;
    let (values, extent) = values_of(&sources, &params, &field).await?;
    let typed: Vec<Value> =
        values.iter().map(|value| json!({ "type": kind(&field, value), "value": value })).collect();
    Ok(answer(&json!({ "tagValues": typed }), &lacks(&extent)))
}

async fn values_of(
    sources: &Sources,
    params: &Params,
    field: &Field,
) -> Result<(BTreeSet<String>, Extent), Refused> {
    let (from, to) = range(params)?;
    let limit = params.count("limit", USUAL, MOST)?;
    let fixed: &[&str] = match field {
        Field::Of(Subject::Status) => &["error", "ok", "unset"],
        Field::Of(Subject::Kind) => &["client", "consumer", "internal", "producer", "server", "unspecified"],
        // There are as many durations as spans.
        Field::Of(Subject::Duration) => return Ok((BTreeSet::new(), Extent::default())),
        _ => &[],
    };
    if !fixed.is_empty() {
        return Ok((fixed.iter().map(|name| (*name).to_owned()).collect(), Extent::default()));
    }
    // A query that is not finished yet is sent too, while it is written: then all values are shown, as Tempo does.
    let filter = params.get("q").and_then(|text| Query::parse(text).ok()).map(|query| query.filter);
    let filter = filter.unwrap_or(Filter::All(Vec::new()));
    let mut values = BTreeSet::new();
    let mut extent = Extent::default();
    for subject in field.subjects() {
        let search = Search { filter: filter.clone(), from, to, limit };
        let found = traces::texts(sources, subject, search).await?;
        values.extend(found.texts);
        extent.rows += found.extent.rows;
        extent.partial |= found.extent.partial;
        extent.unreadable = extent.unreadable.max(found.extent.unreadable);
    }
    values.remove("");
    Ok((values.into_iter().take(limit).collect(), extent))
}

/// The type of a value, which tells a viewer whether to write it in quotes.
fn kind(field: &Field, value: &str) -> &'static str {
    match field {
        Field::Of(Subject::Status | Subject::Kind) => "keyword",
        Field::Of(Subject::Attribute(_) | Subject::Resource(_)) | Field::Either(_) => {
            match serde_json::from_str(value) {
                Ok(Value::Bool(_)) => "bool",
                Ok(Value::Number(number)) if number.is_f64() => "float",
                Ok(Value::Number(_)) => "int",
                _ => "string",
            }
        }
        Field::Of(_) => "string",
    }
}

/// Grafana encodes names twice, since what is between it and a Tempo decodes them once.
fn decoded(tag: &str) -> String {
    let mut bytes = Vec::with_capacity(tag.len());
    let mut rest = tag.as_bytes();
    while let [first, after @ ..] = rest {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_encoded_once_more_are_decoded() {
        for (sent, name) in [
            ("resource.service.name", "resource.service.name"),
            ("span.http%2Fpath", "span.http/path"),
            ("span.100%", "span.100%"),
            ("span.%zz", "span.%zz"),
            ("span.%ff", "span.%ff"),
            ("%E2%82%AC", "€"),
        ] {
            assert_eq!(decoded(sent), name);
        }
    }
}
