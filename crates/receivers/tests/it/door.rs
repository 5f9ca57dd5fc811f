//! The sockets: paths, slow and broken clients, limits, the drain.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{House, house, house_with};

/// Longer than anything here takes; only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);

async fn connect(house: &House) -> TcpStream {
    timeout(HANG, TcpStream::connect(house.address)).await.unwrap().unwrap()
}

/// Everything until the gateway closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let ended = timeout(HANG, socket.read_to_end(&mut text)).await.expect("the connection hangs");
    assert!(ended.is_ok() || !text.is_empty(), "reset without an answer: {ended:?}");
    String::from_utf8_lossy(&text).into_owned()
}

async fn until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(timeout(HANG, socket.read_u8()).await.expect("the connection hangs").unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn unknown_paths_are_told_the_right_ones() {
    let house = house();
    let answer = house.post("/v2/traces", &[], "").await;
    assert_eq!(answer.status, 404);
    for path in
        ["POST /v1/traces\n", "POST|GET /api/v1/write\n", "POST /ingest/cloudflare/logpush/{dataset}\n"]
    {
        assert!(answer.text().contains(path), "{}", answer.text());
    }
    for path in ["/v1/traces/x", "/v1//traces", "/V1/traces", "/v1/traces//", "//v1/traces"] {
        assert_eq!(house.post(path, &[], "").await.status, 404, "{path}");
    }
    let answer = house.send(house.request("DELETE", "/v1/logs/", &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
    for (path, text) in [("/", "page"), ("/metrics", "numbers"), ("/healthz/", "ok")] {
        let answer = house.send(house.request("GET", path, &[], "")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, text), "{path}");
    }
    house.close().await;
}

#[tokio::test]
async fn aliases_are_served_exactly_as_written() {
    let settings = serde_json::json!({
        "otlp": { "aliases": { "logs": ["/otel/logs"] } }, "logpush": { "aliases": ["/cf"] }, "kong": { "enabled": false },
    });
    let house = house_with(serde_json::json!({}), settings);
    assert_eq!(house.post("/otel/logs/", &[("content-type", "application/json")], "{}").await.status, 200);
    assert_eq!(house.post("/x/otel/logs", &[], "").await.status, 404);
    assert_eq!(house.post("/cf/dns_logs", &[], "{}\n").await.status, 200);
    assert_eq!(house.post("/ingest/kong/http-log", &[], "{}").await.status, 404);
    house.close().await;
}

#[tokio::test]
async fn an_oversized_body_is_refused_unread_and_the_client_sees_why() {
    let house = house();
    let mut socket = connect(&house).await;
    let head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100000000\r\n";
    socket.write_all(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // A client that sends on all the same still gets the answer, not a reset.
    let mut socket = connect(&house).await;
    socket.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let (mut reading, mut writing) = socket.split();
    let write = async {
        let block = vec![0; 1 << 20];
        for _ in 0..12 {
            if writing.write_all(&block).await.is_err() {
                break;
            }
        }
        let _ = writing.shutdown().await;
    };
    let mut answer = Vec::new();
    let (read, ()) =
        timeout(HANG, async { tokio::join!(reading.read_to_end(&mut answer), write) }).await.unwrap();
    read.expect("no reset");
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
    house.close().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let house = house();
    let mut socket = connect(&house).await;
    socket
        .write_all(b"POST /ingest/kong/http-log HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(until(&mut socket, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"{}").await.unwrap();
    assert!(until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    // The connection is kept, and chunked bodies are read as well.
    socket
        .write_all(b"POST /ingest/kong/http-log HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n")
        .await
        .unwrap();
    assert!(until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(house.inputs().len(), 2);
    drop(socket);
    house.close().await;
}

#[tokio::test]
async fn slow_heads_and_silent_clients_are_cut() {
    let house = house_with(serde_json::json!({ "header_timeout": "100ms" }), serde_json::json!({}));
    let mut silent = connect(&house).await;
    let mut slow = connect(&house).await;
    slow.write_all(b"POST /v1/traces HTTP/1.1\r\nHo").await.unwrap();
    let mut preface = connect(&house).await;
    preface.write_all(b"POST").await.unwrap();
    for socket in [&mut silent, &mut slow, &mut preface] {
        let mut nothing = Vec::new();
        let _ = timeout(HANG, socket.read_to_end(&mut nothing)).await.expect("the connection is kept");
        assert_eq!(nothing, b"");
    }
    house.close().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_own_timeout() {
    let house = house_with(
        serde_json::json!({ "header_timeout": "50ms", "idle_timeout": "300ms" }),
        serde_json::json!({}),
    );
    let mut socket = connect(&house).await;
    let begun = std::time::Instant::now();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(rest(&mut socket).await.ends_with("ok"));
    assert!(begun.elapsed() >= Duration::from_millis(290), "closed after {:?}", begun.elapsed());
    house.close().await;
}

#[tokio::test]
async fn slow_bodies_are_refused_with_a_code_that_is_retried() {
    let slow = serde_json::json!({ "body_grace": "100ms", "body_rate": "1MiB" });
    let house = house_with(slow, serde_json::json!({}));
    for path in ["/v1/traces", "/api/v1/write", "/ingest/cloudflare/logpush", "/ingest/kong/http-log"] {
        let mut socket = connect(&house).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1000\r\n\r\nabc"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{path}: {answer}");
        assert!(answer.contains("too slow"), "{path}: {answer}");
        assert_eq!(house.memory.used(), 0);
    }
    assert!(house.inputs().is_empty());
    house.close().await;
}

#[tokio::test]
async fn broken_requests_do_no_harm() {
    let house = house();
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    for (request, status) in [
        (format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "431"),
        (format!("GET /healthz HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000)), "431"),
        (
            "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(),
            "400",
        ),
        ("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".into(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".into(), "400"),
        ("nonsense\r\n\r\n".into(), "400"),
    ] {
        let mut socket = connect(&house).await;
        // The gateway may have answered and closed before all of it is written.
        let _ = socket.write_all(request.as_bytes()).await;
        let answer = rest(&mut socket).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:.200}");
    }
    // A client that goes away in the middle of a body.
    let mut socket = connect(&house).await;
    socket
        .write_all(b"POST /ingest/kong/http-log HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{}")
        .await
        .unwrap();
    drop(socket);
    assert!(house.inputs().is_empty());
    house.close().await;
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() {
    let house = house();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http();
    for _ in 0..3 {
        let answer =
            crate::exchange(&client, house.request("POST", "/ingest/kong/http-log/", &[], "{}")).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(house.inputs().len(), 3);
    drop(client);
    house.close().await;
}

#[tokio::test]
async fn a_flood_of_resets_costs_the_flooder_its_connection() {
    let house = house();
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    // Each stream is opened by POST / (from HPACK's static table) and cancelled at once.
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    flood.extend(frame(4, 0, 0, &[]));
    for stream in (1..4000).step_by(2) {
        flood.extend(frame(1, 4, stream, &[0x83, 0x86, 0x84]));
        flood.extend(frame(3, 0, stream, &8u32.to_be_bytes()));
    }
    let mut socket = connect(&house).await;
    // The gateway may hang up before all of it is written.
    let _ = socket.write_all(&flood).await;
    let mut answer = Vec::new();
    let _ = timeout(HANG, socket.read_to_end(&mut answer)).await.expect("the connection is kept");
    let mut codes = Vec::new();
    let mut rest = &answer[..];
    while let [a, b, c, kind, _, _, _, _, _, payload @ ..] = rest {
        let (payload, after) = payload.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
        if *kind == 7 {
            codes.push(payload[7]);
        }
        rest = after;
    }
    assert_eq!(codes.last(), Some(&0xb), "ENHANCE_YOUR_CALM is said with GOAWAY");
    assert_eq!(house.post("/ingest/kong/http-log", &[], "{}").await.status, 200);
    assert_eq!(house.inputs().len(), 1);
    house.close().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let house = house_with(serde_json::json!({ "max_connections": 1 }), serde_json::json!({}));
    let mut first = connect(&house).await;
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until(&mut first, "ok").await;
    let mut second = connect(&house).await;
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let waited = timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(waited.is_err(), "the second was served");
    drop(first);
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 200 "));
    house.close().await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_nothing_new() {
    let house = house();
    let mut idle = connect(&house).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until(&mut idle, "ok").await;
    let mut busy = connect(&house).await;
    busy.write_all(b"POST /ingest/kong/http-log HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    until(&mut busy, "\r\n\r\n").await;
    let House { server, fake, memory, address, .. } = house;
    let drain = tokio::spawn(server.drain(HANG));
    assert_eq!(rest(&mut idle).await, "", "idle connections end at once");
    busy.write_all(b"{}").await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    assert!(drain.await.unwrap());
    assert_eq!(fake.inputs.lock().unwrap().len(), 1);
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn a_drain_cuts_what_outlasts_its_deadline() {
    let house = house();
    let mut busy = connect(&house).await;
    busy.write_all(b"POST /ingest/kong/http-log HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    until(&mut busy, "\r\n\r\n").await;
    let House { server, memory, .. } = house;
    assert!(!server.drain(Duration::from_millis(50)).await);
    assert_eq!(rest(&mut busy).await, "");
    assert_eq!(memory.used(), 0);
}
