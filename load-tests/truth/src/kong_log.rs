//! Kong's records as its http-log plugin sends them, of 2.8 and of 3.x.

use serde_json::{Map, Value, json};

use crate::case::{Case, Kong};
use crate::context::Context;
use crate::draw::MILLI;
use crate::mark::Mark;

/// The address of an upstream, which tells what is a record's and stitching does not look at.
pub(crate) fn address(serial: u32) -> String {
    let [_, a, b, c] = serial.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

/// The port from which those of the upstreams of a case's requests are counted.
pub(crate) const PORT: u16 = 9000;

/// The record.
pub(crate) fn record(case: &Case, at: u8, kong: &Kong, mark: Mark) -> String {
    let mut headers: Map<String, Value> = Map::new();
    headers.insert("host".into(), "origin.shop.example".into());
    headers.insert("user-agent".into(), mark.to_string().into());
    headers.insert("accept".into(), "application/json".into());
    if let Some(ray) = kong.ray {
        headers.insert("cf-ray".into(), format!("{ray:016x}-HAN").into());
    }
    for (name, value) in kong.sent.iter().flat_map(Context::headers) {
        headers.insert(name.into(), value.into());
    }
    let started = kong.times.start / MILLI;
    let took = kong.times.took / MILLI;
    let is_new = kong.id.is_some();
    let tries = (1..=kong.tries).map(|number| {
        let begun = started + u64::from(number);
        let mut one = json!({
            "balancer_start": begun,
            "balancer_latency": 0,
            "ip": address(case.serial),
            "port": PORT + u16::from(at),
        });
        if is_new {
            one["balancer_start_ns"] = (begun as f64 * 1e6).into();
        }
        if number < kong.tries {
            one["state"] = "failed".into();
            one["code"] = 502.into();
        }
        one
    });
    let tries: Vec<Value> = tries.collect();
    let mut latencies = json!({
        "kong": 3.min(took),
        "proxy": if kong.tries == 0 { json!(-1) } else { json!(took.saturating_sub(4)) },
        "request": took,
    });
    let mut record = json!({
        "request": {
            "uri": case.path,
            "url": format!("https://origin.shop.example:8443{}", case.path),
            "querystring": {},
            "method": case.method,
            "headers": headers,
            "size": 1311,
        },
        "upstream_uri": case.path,
        "response": { "status": kong.status, "headers": {}, "size": 962 },
        "tries": tries,
        "route": { "id": "e26990ea-a404-4319-8be9-9a90b0f685a5", "name": "fn" },
        "service": {
            "id": "5b0c7c39-9d1c-4a5f-9a44-1c8a3f0d7e11",
            "name": "openfaas",
            "host": "gateway.openfaas",
        },
        "client_ip": format!("203.0.113.{}", case.serial % 250),
        "started_at": started,
    });
    if let Some(id) = kong.id {
        latencies["receive"] = 1.into();
        record["request"]["id"] = format!("{id:032x}").into();
        let statuses: Vec<String> = (1..=kong.tries)
            .map(|number| if number < kong.tries { "502".to_owned() } else { kong.status.to_string() })
            .collect();
        record["upstream_status"] = statuses.join(", ").into();
        record["source"] = if kong.tries == 0 { "kong" } else { "upstream" }.into();
        record["workspace_name"] = "default".into();
    }
    record["latencies"] = latencies;
    if !kong.trace_id.is_empty() {
        let ids: Map<String, Value> =
            kong.trace_id.iter().map(|(key, id)| ((*key).to_owned(), id.clone().into())).collect();
        record["trace_id"] = ids.into();
    }
    // As Kong's encoder writes it.
    record.to_string().replace('/', "\\/")
}
