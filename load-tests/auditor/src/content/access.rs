//! Logpush lines and Kong records: what the two products send of one HTTP request.

use serde_json::{Value, json};

use super::{Run, bytes, text};
use crate::item::Id;
use crate::value::hex;

const SECOND_MS: u64 = 1000;

/// One request as both products see it.
#[derive(Debug)]
pub struct Access {
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Its method.
    pub method: &'static str,
    /// Its status.
    pub status: u16,
    /// Its path, without a query.
    pub path: String,
    /// Its host.
    pub host: String,
    /// The user agent.
    pub agent: String,
    /// Bytes of the answer.
    pub size: u64,
    /// The trace in its headers.
    pub trace_id: Vec<u8>,
    /// The parent in its headers.
    pub parent: Vec<u8>,
}

/// The request behind an item.
pub fn access(run: &Run, id: Id) -> Access {
    let mut random = run.random(id, 9);
    Access {
        started_ms: run.epoch / 1_000_000 + random.u64(..20 * SECOND_MS),
        took_ms: random.u64(1..400),
        method: ["GET", "POST", "DELETE"][random.usize(..3)],
        status: [200, 204, 301, 404, 502][random.usize(..5)],
        path: format!("/fn/{}", ["resize", "checkout", "ünïcode"][random.usize(..3)]),
        host: format!("shop-{}.example", random.u8(..4)),
        agent: text(&mut random).to_owned(),
        size: random.u64(..1 << 33),
        trace_id: bytes::<16>(&mut random),
        parent: bytes::<8>(&mut random),
    }
}

impl Access {
    fn traceparent(&self) -> String {
        format!("00-{}-{}-01", hex(&self.trace_id), hex(&self.parent))
    }
}

/// The record of an `http_requests` line, without its line end.
pub fn logpush(run: &Run, id: Id) -> String {
    let access = access(run, id);
    let nanos = |ms: u64| ms * 1_000_000;
    json!({
        "RayID": id.name(),
        "ClientIP": "203.0.113.7",
        "ClientRequestHost": access.host,
        "ClientRequestMethod": access.method,
        "ClientRequestPath": access.path,
        "ClientRequestUserAgent": access.agent,
        "EdgeStartTimestamp": nanos(access.started_ms),
        "EdgeEndTimestamp": nanos(access.started_ms + access.took_ms),
        "EdgeResponseBytes": access.size,
        "EdgeResponseStatus": access.status,
        "RequestHeaders": { "traceparent": access.traceparent() },
        "WorkerSubrequest": false,
    })
    .to_string()
}

/// The record of Kong's http-log.
pub fn kong(run: &Run, id: Id) -> Value {
    let access = access(run, id);
    json!({
        "request": {
            "id": id.name(),
            "method": access.method,
            "uri": access.path,
            "size": 348,
            "headers": {
                "host": access.host,
                "user-agent": access.agent,
                "traceparent": access.traceparent(),
            },
        },
        "response": { "status": access.status, "size": access.size, "headers": {} },
        "latencies": { "kong": 1, "proxy": access.took_ms, "request": access.took_ms },
        "client_ip": "203.0.113.7",
        "started_at": access.started_ms,
    })
}
