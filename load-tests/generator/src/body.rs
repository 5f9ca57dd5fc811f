//! Request bodies of realistic size: spans of some 440 bytes, series of 11 labels, Logpush rows of some 1.3 kB, Kong
//! records of some 1.9 kB. Made once per run from a fixed seed.

use std::fmt::Write as _;
use std::io::Write as _;

use bytes::Bytes;
use fastrand::Rng;
use wire::put;

/// One thing to measure.
pub(crate) struct Case {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// How it travels.
    pub(crate) protocol: Protocol,
    /// The path posted to.
    pub(crate) path: &'static str,
    /// Headers beside `host` and `content-length`.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// The body, as it goes over the wire.
    pub(crate) body: Bytes,
    /// Items in the body.
    pub(crate) items: u64,
    /// CPU-seconds per million items that the gateway may use.
    pub(crate) limit: f64,
}

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 POST on kept connections.
    Http,
    /// Unary gRPC, several streams on one connection.
    Grpc,
}

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LIMIT_ITEM: f64 = 1.5;
const LIMIT_ROW: f64 = 15.0;

/// Every case, in the order of the table.
pub(crate) fn cases() -> Vec<Case> {
    let mut rng = Rng::with_seed(7);
    let spans = traces(&mut rng, 500);
    let few_spans = traces(&mut rng, 50);
    let series = remote_write(&mut rng, 2000);
    let rows = logpush(&mut rng, 1000);
    let records = kong(&mut rng, 200);
    let protobuf: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
    let protobuf_gzip: &[(&str, &str)] =
        &[("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let snappy: &[(&str, &str)] = &[
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let gzip: &[(&str, &str)] = &[("content-encoding", "gzip")];
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let case = |name, protocol, path, headers, body: Vec<u8>, items, limit| Case {
        name,
        protocol,
        path,
        headers,
        body: body.into(),
        items,
        limit,
    };
    vec![
        case("otlp-grpc-500", Protocol::Grpc, TRACES, &[], framed(&spans), 500, LIMIT_ITEM),
        case("otlp-grpc-50", Protocol::Grpc, TRACES, &[], framed(&few_spans), 50, LIMIT_ITEM),
        case("otlp-http-500", Protocol::Http, "/v1/traces", protobuf, spans.clone(), 500, LIMIT_ITEM),
        case(
            "otlp-http-gzip-500",
            Protocol::Http,
            "/v1/traces",
            protobuf_gzip,
            zipped(&spans),
            500,
            LIMIT_ITEM,
        ),
        case("remote-write-2000", Protocol::Http, "/api/v1/write", snappy, block(&series), 2000, LIMIT_ITEM),
        case(
            "logpush-1000",
            Protocol::Http,
            "/ingest/cloudflare/logpush",
            gzip,
            zipped(&rows),
            1000,
            LIMIT_ROW,
        ),
        case("kong-200", Protocol::Http, "/ingest/kong/http-log", json, records, 200, LIMIT_ROW),
    ]
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&u32::try_from(message.len()).expect("bodies are far below 4 GiB").to_be_bytes());
    out.extend_from_slice(message);
    out
}

fn zipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("writing to memory cannot fail")
}

fn block(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("bodies are far below 4 GiB")
}

fn hex(rng: &mut Rng, bytes: usize) -> String {
    (0..bytes).fold(String::new(), |mut out, _| {
        let _ = write!(out, "{:02x}", rng.u8(..));
        out
    })
}

fn choice<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
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

const NOW: u64 = 1_790_000_000_000_000_000;

fn traces(rng: &mut Rng, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for first in (0..count).step_by(50) {
        put::message(&mut out, 1, |resource_spans| {
            let service = format!("checkout-{}", rng.u8(..20));
            put::message(resource_spans, 1, |resource| {
                for (key, value) in [
                    ("service.name", service.as_str()),
                    ("service.namespace", "shop"),
                    ("service.instance.id", "checkout-7d9c6b5f4-0a1b2"),
                    ("k8s.pod.name", "checkout-7d9c6b5f4-x2x9f"),
                    ("k8s.namespace.name", "prod"),
                    ("telemetry.sdk.language", "go"),
                    ("telemetry.sdk.version", "1.38.0"),
                    ("host.name", "node-17"),
                ] {
                    attribute(resource, 1, key, value);
                }
            });
            put::message(resource_spans, 2, |scope_spans| {
                put::message(scope_spans, 1, |scope| {
                    put::bytes(scope, 1, b"otelhttp");
                    put::bytes(scope, 2, b"0.63.0");
                });
                let mut trace = [0; 16];
                let mut parent: Option<[u8; 8]> = None;
                for i in first..(first + 50).min(count) {
                    if i % 10 == 0 {
                        rng.fill(&mut trace);
                        parent = None;
                    }
                    put::message(scope_spans, 2, |out| parent = Some(span(rng, out, &trace, parent)));
                }
            });
        });
    }
    out
}

fn span(rng: &mut Rng, out: &mut Vec<u8>, trace: &[u8; 16], parent: Option<[u8; 8]>) -> [u8; 8] {
    let mut id = [0; 8];
    rng.fill(&mut id);
    let start = NOW - rng.u64(..1_000_000_000);
    put::bytes(out, 1, trace);
    put::bytes(out, 2, &id);
    if let Some(parent) = parent {
        put::bytes(out, 4, &parent);
    }
    let name = choice(
        rng,
        &["GET /api/v1/orders/{id}", "POST /api/v1/cart", "SELECT shop.orders", "kafka.produce orders"],
    );
    put::bytes(out, 5, name.as_bytes());
    put::uint(out, 6, rng.u64(1..6));
    put::fixed64(out, 7, start);
    put::fixed64(out, 8, start + rng.u64(..100_000_000));
    attribute(out, 9, "http.request.method", "GET");
    attribute(out, 9, "http.route", "/api/v1/orders/{id}");
    number(out, 9, "http.response.status_code", [200, 200, 200, 404, 500][rng.usize(..5)]);
    let url = format!("https://shop.example/api/v1/orders/{}?expand=lines", rng.u32(..100_000_000));
    attribute(out, 9, "url.full", &url);
    attribute(out, 9, "server.address", "shop.example");
    number(out, 9, "server.port", 443);
    attribute(out, 9, "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36");
    let peer = format!("10.{}.{}.{}", rng.u8(..), rng.u8(..), rng.u8(..));
    attribute(out, 9, "network.peer.address", &peer);
    id
}

fn remote_write(rng: &mut Rng, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..count {
        put::message(&mut out, 1, |series| {
            let instance = format!("10.4.{}.{}:8080", i % 250, i / 250);
            let pod = format!("checkout-7d9c6b5f4-{:05}", i % 97);
            let node = format!("node-{}", i % 40);
            let route = format!("/api/v1/r{}", i % 60);
            for (name, value) in [
                ("__name__", "http_server_request_duration_seconds_bucket"),
                ("cluster", "prod-eu-1"),
                ("instance", &instance),
                ("job", "checkout"),
                ("le", ["0.005", "0.01", "0.1", "1", "+Inf"][i % 5]),
                ("method", "GET"),
                ("namespace", "shop"),
                ("node", &node),
                ("pod", &pod),
                ("route", &route),
                ("status", "200"),
            ] {
                put::message(series, 1, |label| {
                    put::bytes(label, 1, name.as_bytes());
                    put::bytes(label, 2, value.as_bytes());
                });
            }
            put::message(series, 2, |sample| {
                put::fixed64(sample, 1, (rng.f64() * 1e6).to_bits());
                put::uint(sample, 2, NOW / 1_000_000);
            });
        });
    }
    out
}

fn logpush(rng: &mut Rng, count: usize) -> Vec<u8> {
    let mut out = String::new();
    for _ in 0..count {
        let start = NOW - rng.u64(..60_000_000_000);
        let took = rng.u64(5..400);
        let _ = writeln!(
            out,
            concat!(
                r#"{{"RayID":"{ray}","ParentRayID":"00","ClientIP":"203.0.113.{ip}","ClientASN":64512,"ClientCountry":"vn","ClientDeviceType":"desktop","#,
                r#""ClientRequestHost":"shop.example","ClientRequestMethod":"GET","ClientRequestPath":"/fn/resize-{path}","ClientRequestURI":"/fn/resize-{path}?w={width}","#,
                r#""ClientRequestProtocol":"HTTP/2","ClientRequestBytes":1312,"ClientRequestUserAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0 Safari/537.36","#,
                r#""ClientSSLProtocol":"TLSv1.3","ClientSSLCipher":"AEAD-AES128-GCM-SHA256","CacheCacheStatus":"{cache}","EdgeColoCode":"{colo}","EdgeRequestHost":"shop.example","EdgeResponseBytes":{size},"#,
                r#""EdgeResponseContentType":"application/json","EdgeResponseStatus":{status},"EdgeServerIP":"192.0.2.10","EdgeStartTimestamp":{start},"EdgeEndTimestamp":{end},"EdgeTimeToFirstByteMs":{first},"#,
                r#""OriginIP":"198.51.100.7","OriginResponseStatus":200,"OriginResponseDurationMs":{first},"OriginDNSResponseTimeMs":1,"OriginTCPHandshakeDurationMs":1,"OriginTLSHandshakeDurationMs":2,"#,
                r#""SecurityAction":"","SecurityRuleID":"","WorkerCPUTime":2100,"WorkerStatus":"ok","WorkerSubrequest":false,"WorkerSubrequestCount":1,"WorkerWallTimeUs":182312,"ZoneName":"shop.example","#,
                r#""RequestHeaders":{{"traceparent":"00-{trace}-{span}-01"}},"ResponseHeaders":{{}}}}"#
            ),
            ray = hex(rng, 8),
            ip = rng.u8(..),
            path = rng.u8(..30),
            width = rng.u16(..2000),
            cache = choice(rng, &["hit", "miss", "dynamic"]),
            colo = choice(rng, &["HAN", "SGN", "FRA"]),
            size = rng.u32(300..90_000),
            status = [200, 200, 200, 304, 404, 502][rng.usize(..6)],
            start = start,
            end = start + took * 1_000_000,
            first = took - 3,
            trace = hex(rng, 16),
            span = hex(rng, 8),
        );
    }
    out.into_bytes()
}

fn kong(rng: &mut Rng, count: usize) -> Vec<u8> {
    let mut out = String::from("[");
    for i in 0..count {
        let started = NOW / 1_000_000 - rng.u64(..60_000);
        let id = hex(rng, 16);
        let _ = write!(
            out,
            concat!(
                r#"{comma}{{"request":{{"uri":"\/function\/checkout","url":"https:\/\/origin.shop.example:8443\/function\/checkout","querystring":{{}},"method":"POST","#,
                r#""headers":{{"host":"origin.shop.example","user-agent":"shop-android\/5.2 okhttp\/4.12.0","accept":"application\/json","accept-encoding":"gzip, br","cdn-loop":"cloudflare; loops=1; subreqs=1","#,
                r#""cf-connecting-ip":"203.0.113.24","cf-ipcountry":"VN","cf-ray":"{ray}-HAN","x-forwarded-for":"203.0.113.24","x-forwarded-proto":"https","content-type":"application\/json","content-length":"348","#,
                r#""traceparent":"00-{trace}-{span}-01"}},"size":1874,"tls":{{"version":"TLSv1.3","cipher":"TLS_AES_256_GCM_SHA384","client_verify":"NONE"}},"id":"{id}"}},"upstream_uri":"\/function\/checkout","#,
                r#""response":{{"status":200,"headers":{{"content-type":"application\/json","connection":"close","x-kong-upstream-latency":"139","x-kong-proxy-latency":"3","via":"1.1 kong\/3.10.0","x-kong-request-id":"{id}"}},"size":962}},"#,
                r#""latencies":{{"kong":3,"proxy":139,"request":144,"receive":1}},"tries":[{{"balancer_start":{started},"balancer_latency":0,"ip":"10.42.1.17","port":8080,"balancer_start_ns":1.7724384001451e+18,"balancer_latency_ns":38912}}],"#,
                r#""route":{{"id":"8ab859d4-3e2c-4ae0-8e0e-3b7203be5db1","name":"fn-checkout","paths":["\/function\/checkout"],"protocols":["http","https"],"methods":["GET","POST"],"strip_path":false,"created_at":1760000000,"tags":{{}}}},"#,
                r#""service":{{"id":"5b0c7c39-9d1c-4a5f-9a44-1c8a3f0d7e11","name":"openfaas","host":"gateway.openfaas.svc","port":8080,"protocol":"http","retries":5,"connect_timeout":60000}},"#,
                r#""client_ip":"203.0.113.24","started_at":{started},"source":"upstream","workspace":"6a1f0a30-96cf-4c0e-8f3a-0a1d2f3b4c5d","workspace_name":"default","upstream_status":"200"}}"#
            ),
            comma = if i == 0 { "" } else { "," },
            ray = hex(rng, 8),
            trace = hex(rng, 16),
            span = hex(rng, 8),
            id = id,
            started = started,
        );
    }
    out.push(']');
    out.into_bytes()
}
