//! Cloudflare's records as Logpush sends them: a line of JSON each.

use serde_json::{Map, Value, json};

use model::UnixNanos;

use crate::case::{Case, Edge, Fetch, Form, Hop, Run, Stamps, Times};
use crate::context::Context;
use crate::draw::{MILLI, SECOND};
use crate::mark::Mark;

fn headers(contexts: &[Context], kong: Option<u128>) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in contexts.iter().flat_map(Context::headers) {
        headers.insert(name.to_owned(), value.into());
    }
    if let Some(id) = kong {
        headers.insert("x-kong-request-id".to_owned(), format!("{id:032x}").into());
    }
    headers.into()
}

fn stamp(stamps: Stamps, time: u64) -> Value {
    match stamps {
        Stamps::Nanos => time.into(),
        Stamps::Seconds => (time / SECOND).into(),
        Stamps::Text => UnixNanos(time / SECOND * SECOND).to_string().replace(".000Z", "Z").into(),
    }
}

fn request(case: &Case, mark: Mark, ray: u64, times: Times, host: &str, status: u16) -> Value {
    json!({
        "CacheCacheStatus": "dynamic",
        "ClientCountry": "vn",
        "ClientIP": "203.0.113.24",
        "ClientRequestHost": host,
        "ClientRequestMethod": case.method,
        "ClientRequestPath": case.path,
        "ClientRequestProtocol": "HTTP/2",
        "ClientRequestURI": case.path,
        "ClientRequestUserAgent": mark.to_string(),
        "EdgeColoCode": "HAN",
        "EdgeEndTimestamp": stamp(case.stamps, times.start + times.took),
        "EdgeResponseStatus": status,
        "EdgeStartTimestamp": stamp(case.stamps, times.start),
        "EdgeTimeToFirstByteMs": times.took / MILLI,
        "OriginIP": "",
        "OriginResponseDurationMs": 0,
        "OriginResponseStatus": 0,
        "ParentRayID": "00",
        "RayID": format!("{ray:016x}"),
        "WorkerStatus": "unknown",
        "WorkerSubrequest": false,
        "WorkerSubrequestCount": 0,
        "ZoneName": "shop.example",
    })
}

/// The rows of `http_requests` and the legacy record of a request, as one job sends them.
pub(crate) fn rows(case: &Case, is_second: bool) -> Vec<String> {
    if is_second {
        let mut plain = Case { stamps: Stamps::Text, is_sent_twice: false, ..case.clone() };
        plain.edge.iter_mut().for_each(|edge| (edge.form, edge.shows_headers) = (Form::Row, false));
        plain.fetches.iter_mut().for_each(|fetch| fetch.shows_headers = false);
        return rows(&plain, false);
    }
    let recorded = case.edge.as_ref().filter(|edge| edge.is_recorded);
    let is_within =
        |fetch: &Fetch| recorded.is_some_and(|edge| edge.form == Form::Merged && edge.ray == fetch.parent);
    let fetches = case.fetches.iter().enumerate();
    let fetches = fetches.filter(|(_, fetch)| fetch.is_recorded && !is_within(fetch));
    let edges = recorded.into_iter().flat_map(|recorded| edge(case, recorded));
    edges.chain(fetches.map(|(at, fetch)| request_of(case, at, fetch).to_string())).collect()
}

/// The visitor's request, in every form that tells of it.
fn edge(case: &Case, edge: &Edge) -> Vec<String> {
    let row = || visitors(case, edge).to_string();
    match edge.form {
        Form::Row => vec![row()],
        Form::Legacy => vec![legacy(case, edge)],
        Form::Both => vec![row(), legacy(case, edge)],
        Form::Merged => {
            let mut record = visitors(case, edge);
            let fetches = case.fetches.iter().enumerate().filter(|(_, fetch)| fetch.parent == edge.ray);
            record["Subrequests"] = fetches.map(|(at, fetch)| request_of(case, at, fetch)).collect();
            vec![record.to_string()]
        }
    }
}

fn visitors(case: &Case, edge: &Edge) -> Value {
    let mark = Mark { serial: case.serial, hop: Hop::Edge };
    let mut record = request(case, mark, edge.ray, edge.times, "api.shop.example", edge.status);
    record["ClientRequestSource"] = "eyeball".into();
    if edge.shows_headers {
        record["RequestHeaders"] = headers(&case.sent, case.made_up);
    }
    if edge.is_cached {
        record["CacheCacheStatus"] = "hit".into();
    }
    if edge.has_origin {
        record["OriginIP"] = "198.51.100.7".into();
        record["OriginResponseStatus"] = edge.status.into();
        record["OriginResponseDurationMs"] = (edge.times.took / MILLI / 2).into();
    }
    if let Some(run) = case.runs.first() {
        record["WorkerScriptName"] = run.script.into();
        record["WorkerStatus"] = "ok".into();
        record["WorkerWallTimeUs"] = (run.times.took / 1000).into();
        record["WorkerSubrequestCount"] =
            case.fetches.iter().filter(|fetch| fetch.parent == edge.ray).count().into();
    }
    record
}

/// The legacy record: no time of its own, headers in it.
fn legacy(case: &Case, edge: &Edge) -> String {
    let mark = Mark { serial: case.serial, hop: Hop::Edge };
    let mut sent = if edge.shows_headers { headers(&case.sent, case.made_up) } else { json!({}) };
    sent["host"] = "api.shop.example".into();
    sent["user-agent"] = mark.to_string().into();
    json!({
        "EdgeRequest": {
            "ID": format!("{:016x}", edge.ray),
            "Source": "cloudflare-worker",
            "Method": case.method,
            "Duration": edge.times.took / MILLI,
            "Status": edge.status,
            "Request": { "Headers": sent },
        }
    })
    .to_string()
}

/// A Worker's request.
fn request_of(case: &Case, at: usize, fetch: &Fetch) -> Value {
    let mark = Mark { serial: case.serial, hop: Hop::Fetch(at as u8) };
    let mut record = request(case, mark, fetch.ray, fetch.times, fetch.host, fetch.status);
    record["ClientRequestSource"] = "edgeWorkerFetch".into();
    record["WorkerSubrequest"] = true.into();
    record["ParentRayID"] = format!("{:016x}", fetch.parent).into();
    record["OriginIP"] = "198.51.100.7".into();
    record["OriginResponseStatus"] = fetch.status.into();
    if fetch.shows_headers {
        record["RequestHeaders"] = headers(&fetch.sent, None);
    }
    record
}

/// A Worker's event.
pub(crate) fn run(case: &Case, at: usize, run: &Run) -> String {
    let mark = Mark { serial: case.serial, hop: Hop::Run(at as u8) };
    let url = format!("https://api.shop.example{}", case.path);
    json!({
        "CPUTimeMs": 2,
        "Entrypoint": "",
        "Event": {
            "RayID": format!("{:016x}", run.ray),
            "Request": { "URL": url, "Method": case.method },
            "Response": { "Status": 200 },
        },
        "EventTimestampMs": run.times.start / MILLI,
        "EventType": "fetch",
        "Exceptions": [],
        "Logs": [],
        "Outcome": if run.has_failed { "exception" } else { "ok" },
        "ScriptName": run.script,
        "ScriptVersion": { "ID": mark.to_string(), "Message": "", "Tag": "" },
        "WallTimeMs": run.times.took / MILLI,
    })
    .to_string()
}
