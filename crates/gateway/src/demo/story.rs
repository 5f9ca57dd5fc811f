//! What happened: a handful of functions behind Kong behind Cloudflare, told by every hop in its own format.

use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::json;
use wire::put;

/// The bodies to send, plain.
pub(crate) struct Story {
    /// OTLP spans of the OpenFaaS gateway and of the functions.
    pub(crate) traces: Vec<u8>,
    /// OTLP log records of the functions.
    pub(crate) logs: Vec<u8>,
    /// Remote-write 1.0 series of the functions.
    pub(crate) series: Vec<u8>,
    /// A Kong http-log array.
    pub(crate) kong: Vec<u8>,
    /// Logpush `http_requests` lines, visitor and subrequest.
    pub(crate) edge: Vec<u8>,
    /// Logpush `workers_trace_events` lines.
    pub(crate) workers: Vec<u8>,
    /// The trace of each request, in hex.
    pub(crate) trace_ids: Vec<String>,
}

const FUNCTIONS: [&str; 4] = ["checkout", "catalog", "payment", "search"];
const COLOS: [&str; 3] = ["HAN", "SGN", "FRA"];
const MILLI: u64 = 1_000_000;

/// One request on its way, times in nanoseconds.
struct Request {
    function: &'static str,
    trace: [u8; 16],
    visitor_ray: String,
    subrequest_ray: String,
    kong_id: String,
    worker_span: [u8; 8],
    start: u64,
    /// Time spent in the function, ms.
    took: u64,
    status: u16,
    colo: &'static str,
}

/// Tells of `requests` requests that ended at about `now`.
pub(crate) fn tell(seed: u64, requests: u32, now: u64) -> Story {
    let mut rng = Rng::with_seed(seed);
    let mut story = Story {
        traces: Vec::new(),
        logs: Vec::new(),
        series: Vec::new(),
        kong: b"[".to_vec(),
        edge: Vec::new(),
        workers: Vec::new(),
        trace_ids: Vec::new(),
    };
    for n in 0..requests {
        let request = request(&mut rng, now - u64::from(requests - n) * 50 * MILLI - 2_000 * MILLI);
        let function_span = spans(&mut rng, &request, &mut story.traces);
        log(&request, function_span, &mut story.logs);
        if n > 0 {
            story.kong.push(b',');
        }
        story.kong.extend(kong(&request).to_string().bytes());
        edge(&request, &mut story.edge);
        worker(&request, &mut story.workers);
        story.trace_ids.push(hex(&request.trace));
    }
    story.kong.push(b']');
    series(&mut rng, requests, now, &mut story.series);
    story
}

fn request(rng: &mut Rng, start: u64) -> Request {
    let mut bytes = |n: usize| (0..n).map(|_| rng.u8(..)).collect::<Vec<u8>>();
    let (trace, worker_span) = (bytes(16), bytes(8));
    let (visitor_ray, subrequest_ray, kong_id) = (hex(&bytes(8)), hex(&bytes(8)), hex(&bytes(16)));
    Request {
        function: FUNCTIONS[rng.usize(..4)],
        trace: trace.try_into().expect("sixteen bytes were drawn"),
        visitor_ray,
        subrequest_ray,
        kong_id,
        worker_span: worker_span.try_into().expect("eight bytes were drawn"),
        start,
        took: rng.u64(5..120),
        status: if rng.u8(..10) == 0 { 500 } else { 200 },
        colo: COLOS[rng.usize(..3)],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn traceparent(request: &Request) -> String {
    format!("00-{}-{}-01", hex(&request.trace), hex(&request.worker_span))
}

fn text(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    put::message(out, field, |kv| {
        put::bytes(kv, 1, key.as_bytes());
        put::message(kv, 2, |any| put::bytes(any, 1, value.as_bytes()));
    });
}

fn number(out: &mut Vec<u8>, field: u32, key: &str, value: u64) {
    put::message(out, field, |kv| {
        put::bytes(kv, 1, key.as_bytes());
        put::message(kv, 2, |any| put::uint(any, 3, value));
    });
}

/// The OpenFaaS gateway's server span and the function's below it; answers the id of the latter.
fn spans(rng: &mut Rng, request: &Request, out: &mut Vec<u8>) -> [u8; 8] {
    let gateway: [u8; 8] = rng.u64(1..).to_be_bytes();
    let function: [u8; 8] = rng.u64(1..).to_be_bytes();
    let path = format!("/function/{}", request.function);
    for (service, id, parent, after, took) in [
        ("openfaas-gateway", gateway, request.worker_span, 12, request.took + 4),
        (request.function, function, gateway, 14, request.took),
    ] {
        put::message(out, 1, |resource_spans| {
            put::message(resource_spans, 1, |resource| text(resource, 1, "service.name", service));
            put::message(resource_spans, 2, |scope_spans| {
                put::message(scope_spans, 1, |scope| put::bytes(scope, 1, b"tidegate.demo"));
                put::message(scope_spans, 2, |span| {
                    put::bytes(span, 1, &request.trace);
                    put::bytes(span, 2, &id);
                    put::bytes(span, 4, &parent);
                    put::bytes(span, 5, format!("POST {path}").as_bytes());
                    put::uint(span, 6, 2);
                    put::fixed64(span, 7, request.start + after * MILLI);
                    put::fixed64(span, 8, request.start + (after + took) * MILLI);
                    text(span, 9, "http.request.method", "POST");
                    text(span, 9, "url.path", &path);
                    number(span, 9, "http.response.status_code", u64::from(request.status));
                    if service == "openfaas-gateway" {
                        text(
                            span,
                            9,
                            "http.request.header.cf-ray",
                            &format!("{}-{}", request.subrequest_ray, request.colo),
                        );
                        text(span, 9, "http.request.header.x-kong-request-id", &request.kong_id);
                    }
                    if request.status >= 500 {
                        put::message(span, 15, |status| put::uint(status, 3, 2));
                    }
                });
            });
        });
    }
    function
}

fn log(request: &Request, span: [u8; 8], out: &mut Vec<u8>) {
    let (severity, level, body) = match request.status {
        500 => (17, "ERROR", format!("{} failed: upstream database timed out", request.function)),
        _ => (9, "INFO", format!("{} done in {} ms", request.function, request.took)),
    };
    put::message(out, 1, |resource_logs| {
        put::message(resource_logs, 1, |resource| text(resource, 1, "service.name", request.function));
        put::message(resource_logs, 2, |scope_logs| {
            put::message(scope_logs, 2, |record| {
                let time = request.start + (14 + request.took) * MILLI;
                put::fixed64(record, 1, time);
                put::uint(record, 2, severity);
                put::bytes(record, 3, level.as_bytes());
                put::message(record, 5, |any| put::bytes(any, 1, body.as_bytes()));
                put::bytes(record, 9, &request.trace);
                put::bytes(record, 10, &span);
                put::fixed64(record, 11, time);
            });
        });
    });
}

fn kong(request: &Request) -> serde_json::Value {
    let ms = request.start / MILLI;
    let id = &request.kong_id;
    json!({
        "request": {
            "uri": format!("/function/{}", request.function), "method": "POST", "size": 1874, "id": id, "querystring": {},
            "url": format!("https://origin.shop.example:8443/function/{}", request.function),
            "headers": {"host": "origin.shop.example", "user-agent": "tidegate-demo", "cf-ray": format!("{}-{}", request.subrequest_ray, request.colo),
                "traceparent": traceparent(request)},
        },
        "upstream_uri": format!("/function/{}", request.function),
        "upstream_status": request.status.to_string(),
        "response": {"status": request.status, "size": 962, "headers": {"content-type": "application/json", "x-kong-request-id": id}},
        "latencies": {"kong": 2, "proxy": request.took + 4, "request": request.took + 8, "receive": 1},
        "tries": [{"balancer_start": ms + 11, "balancer_latency": 0, "ip": "10.42.1.17", "port": 8080}],
        "route": {"id": "8ab859d4-3e2c-4ae0-8e0e-3b7203be5db1", "name": format!("fn-{}", request.function), "paths": [format!("/function/{}", request.function)]},
        "service": {"id": "5b0c7c39-9d1c-4a5f-9a44-1c8a3f0d7e11", "name": "openfaas", "host": "gateway.openfaas", "port": 8080},
        "client_ip": "203.0.113.24", "started_at": ms + 9, "source": "upstream", "workspace_name": "default",
    })
}

fn edge(request: &Request, out: &mut Vec<u8>) {
    let end = request.start + (request.took + 30) * MILLI;
    let uri = format!("/function/{}", request.function);
    let visitor = json!({
        "RayID": request.visitor_ray, "ParentRayID": "00", "EdgeStartTimestamp": request.start, "EdgeEndTimestamp": end,
        "EdgeTimeToFirstByteMs": request.took + 28, "EdgeResponseStatus": request.status, "EdgeColoCode": request.colo,
        "ClientRequestMethod": "POST", "ClientRequestHost": "api.shop.example", "ClientRequestURI": uri, "ClientRequestPath": uri,
        "ClientRequestProtocol": "HTTP/2", "ClientRequestSource": "eyeball", "ClientIP": "203.0.113.24", "OriginResponseStatus": 0,
        "WorkerSubrequest": false, "WorkerSubrequestCount": 1, "WorkerScriptName": "edge-router", "WorkerStatus": "ok",
        "CacheCacheStatus": "dynamic", "ZoneName": "shop.example",
        "RequestHeaders": {"traceparent": format!("00-{}-00000000000000a1-01", hex(&request.trace))},
    });
    let subrequest = json!({
        "RayID": request.subrequest_ray, "ParentRayID": request.visitor_ray, "EdgeStartTimestamp": request.start + 6 * MILLI,
        "EdgeEndTimestamp": end - 4 * MILLI, "EdgeTimeToFirstByteMs": request.took + 20, "EdgeResponseStatus": request.status,
        "EdgeColoCode": request.colo, "ClientRequestMethod": "POST", "ClientRequestHost": "origin.shop.example", "ClientRequestURI": uri,
        "ClientRequestPath": uri, "ClientRequestSource": "edgeWorkerFetch", "OriginIP": "198.51.100.7", "OriginResponseStatus": request.status,
        "OriginResponseDurationMs": request.took + 18, "WorkerSubrequest": true, "ZoneName": "shop.example",
        "RequestHeaders": {"traceparent": traceparent(request)},
    });
    out.extend(format!("{visitor}\n{subrequest}\n").bytes());
}

fn worker(request: &Request, out: &mut Vec<u8>) {
    let ms = request.start / MILLI;
    let event = json!({
        "EventType": "fetch", "ScriptName": "edge-router", "Entrypoint": "", "Outcome": "ok", "EventTimestampMs": ms + 1,
        "WallTimeMs": request.took + 27, "CPUTimeMs": 2, "Exceptions": [],
        "Event": {"RayID": request.visitor_ray, "Request": {"URL": format!("https://api.shop.example/function/{}", request.function), "Method": "POST"},
            "Response": {"Status": request.status}},
        "Logs": [{"Level": "log", "Message": [format!("route /function/{} -> origin", request.function)], "TimestampMs": ms + 5}],
    });
    out.extend(format!("{event}\n").bytes());
}

fn series(rng: &mut Rng, requests: u32, now: u64, out: &mut Vec<u8>) {
    for function in FUNCTIONS {
        for (name, value) in [
            ("gateway_function_invocation_total", f64::from(requests)),
            ("gateway_functions_seconds_sum", f64::from(requests) * 0.06),
            ("gateway_service_count", f64::from(rng.u8(1..4))),
        ] {
            put::message(out, 1, |series| {
                for (label, text) in [
                    ("__name__", name),
                    ("function_name", function),
                    ("instance", "gateway:8080"),
                    ("job", "openfaas"),
                ] {
                    put::message(series, 1, |pair| {
                        put::bytes(pair, 1, label.as_bytes());
                        put::bytes(pair, 2, text.as_bytes());
                    });
                }
                put::message(series, 2, |sample| {
                    put::fixed64(sample, 1, value.to_bits());
                    put::uint(sample, 2, now / MILLI);
                });
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_tells_one_story_and_every_hop_names_its_trace() {
        let (first, second) = (tell(1, 3, 1_790_000_000_000_000_000), tell(1, 3, 1_790_000_000_000_000_000));
        assert_eq!(first.traces, second.traces);
        let edge = String::from_utf8(first.edge).unwrap();
        let kong = String::from_utf8(first.kong).unwrap();
        assert_eq!(first.trace_ids.len(), 3);
        for id in &first.trace_ids {
            assert_eq!(edge.matches(id.as_str()).count(), 2, "visitor and subrequest");
            assert_eq!(kong.matches(id.as_str()).count(), 1);
        }
        serde_json::from_str::<Vec<serde_json::Value>>(&kong).unwrap();
    }
}
