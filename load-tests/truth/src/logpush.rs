//! Cloudflare's records as Logpush sends them: a line of JSON each.

use serde_json::{Map, Value, json};

use crate::case::{Case, Edge, Fetch, Run, Times};
use crate::context::Context;
use crate::draw::MILLI;
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
        "EdgeEndTimestamp": times.start + times.took,
        "EdgeResponseStatus": status,
        "EdgeStartTimestamp": times.start,
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

/// The visitor's request.
pub(crate) fn edge(case: &Case, edge: &Edge, mark: Mark) -> String {
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
    record.to_string()
}

/// A Worker's request.
pub(crate) fn fetch(case: &Case, fetch: &Fetch, mark: Mark) -> String {
    let mut record = request(case, mark, fetch.ray, fetch.times, fetch.host, fetch.status);
    record["ClientRequestSource"] = "edgeWorkerFetch".into();
    record["WorkerSubrequest"] = true.into();
    record["ParentRayID"] = format!("{:016x}", fetch.parent).into();
    record["OriginIP"] = "198.51.100.7".into();
    record["OriginResponseStatus"] = fetch.status.into();
    if fetch.shows_headers {
        record["RequestHeaders"] = headers(&fetch.sent, None);
    }
    record.to_string()
}

/// A Worker's event.
pub(crate) fn run(case: &Case, run: &Run, mark: Mark) -> String {
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
