//! OTLP over gRPC: with a real client, and with frames made by hand.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::{Counts, Refusal, RefusalKind};
use normalize::{Input, Message};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use wire::json::response::{Encoding, read_export, read_status};
use wire::{Coding, Signal};

use crate::{Answer, Case, House, exchange, gzip, house, house_with, sample};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const GZIP: (&str, &str) = ("grpc-encoding", "gzip");

fn traces() -> Vec<u8> {
    wire::json::to_proto(Signal::Traces, &sample("otlp/traces.json")).unwrap()
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

fn h2() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

async fn call(house: &House, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    exchange(&h2(), house.request("POST", path, headers, body)).await
}

/// Status and message, from trailers or from headers when they are all there is.
fn status(answer: &Answer) -> (u32, String) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/grpc"));
    let place = answer.trailers.as_ref().unwrap_or(&answer.headers);
    let text = |name: &str| place.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    (text("grpc-status").parse().unwrap(), text("grpc-message"))
}

#[tokio::test]
async fn a_tonic_client_exports_with_every_coding() {
    let house = house();
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", house.address))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let request = ExportTraceServiceRequest::decode(&traces()[..]).unwrap();
    for (sent, kept) in [
        (None, Coding::Plain),
        (Some(CompressionEncoding::Gzip), Coding::Gzip),
        (Some(CompressionEncoding::Zstd), Coding::Zstd),
    ] {
        let mut client = TraceServiceClient::new(channel.clone());
        if let Some(encoding) = sent {
            client = client.send_compressed(encoding);
        }
        let response = client.export(request.clone()).await.unwrap().into_inner();
        assert_eq!(response.partial_success, None);
        let inputs = house.inputs();
        let [Input::Wire(input)] = &inputs[..] else { panic!() };
        assert_eq!((input.message, input.coding), (Message::Otlp(Signal::Traces), kept));
        assert_eq!(ExportTraceServiceRequest::decode(&input.plain[..]).unwrap(), request);
        assert_eq!(
            wire::coding::inflate(kept, &input.body, wire::coding::Ceiling::bytes(1 << 20)).unwrap(),
            input.plain
        );
    }
    house.fake.accept(Counts::default(), &[(2, "span id of 3 bytes")]);
    let partial = TraceServiceClient::new(channel.clone())
        .export(request)
        .await
        .unwrap()
        .into_inner()
        .partial_success
        .unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (1, "item 2: span id of 3 bytes"));
    house.fake.refuse(Refusal::unavailable("journal is full: 100 %", Duration::from_secs(2)));
    let refused = LogsServiceClient::new(channel.clone())
        .export(ExportLogsServiceRequest { resource_logs: vec![Default::default()] })
        .await
        .unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unavailable, "journal is full: 100 %"));
    let told = read_status(Encoding::Protobuf, refused.details()).unwrap();
    assert_eq!((told.code, told.retry), (14, Some(Duration::from_secs(2))));
    drop(channel);
    house.close().await;
}

#[tokio::test]
async fn each_refusal_has_its_code_and_only_the_retryable_have_retry_info() {
    let house = house();
    let quota = Refusal {
        kind: RefusalKind::Quota,
        message: "quota".into(),
        retry_after: Some(Duration::from_secs(9)),
    };
    for (refusal, code, retry) in [
        (Refusal::unavailable("näh\n%", Duration::from_millis(250)), 14, Some(Duration::from_millis(250))),
        (quota, 8, Some(Duration::from_secs(9))),
        (Refusal::too_large("too large"), 8, None),
        (Refusal::malformed("bad"), 3, None),
    ] {
        house.fake.refuse(refusal.clone());
        let answer = call(&house, EXPORT, &[GRPC], framed(0, &traces())).await;
        let (got, message) = status(&answer);
        assert_eq!(got, code, "{refusal:?}");
        if code == 14 {
            assert_eq!(message, "n%C3%A4h%0A%25");
        }
        let details = answer.headers.get("grpc-status-details-bin");
        let told = details
            .map(|d| read_status(Encoding::Protobuf, &BASE64_STANDARD_NO_PAD.decode(d).unwrap()).unwrap());
        assert_eq!(told.and_then(|status| status.retry), retry);
    }
    house.close().await;
}

#[tokio::test]
async fn hostile_calls_are_answered_in_grpc() {
    let house = house_with(
        serde_json::json!({}),
        serde_json::json!({ "otlp": { "max_body": "1MiB", "max_inflated": "2MiB" } }),
    );
    let plain = traces();
    let mut huge = vec![0];
    huge.extend_from_slice(&u32::MAX.to_be_bytes());
    let cases: Vec<Case<u32>> = vec![
        (&[GRPC], Vec::new(), 3, "holds no message"),
        (&[GRPC], vec![0, 0, 0], 3, "call of 3 bytes"),
        (&[GRPC], framed(2, &plain), 3, "flag 2"),
        (&[GRPC], framed(0, &plain)[..100].to_vec(), 3, "ends after 95"),
        (&[GRPC], [framed(0, &plain), framed(0, &plain)].concat(), 3, "more follows"),
        (&[GRPC], huge, 8, "exceeds the limit of 1MiB"),
        (&[GRPC], framed(0, &vec![0; (1 << 20) + 1]), 8, "exceeds the limit of 1MiB"),
        (&[GRPC, GZIP], framed(1, &gzip(&vec![0; 16 << 20])), 8, "times its size"),
        (&[GRPC, GZIP], framed(1, &plain), 3, "corrupt"),
        (&[GRPC], framed(1, &gzip(&plain)), 3, "without grpc-encoding"),
        (&[GRPC, ("grpc-encoding", "br")], framed(0, &plain), 12, "not served"),
        (&[("content-type", "application/grpc+json")], framed(0, b"{}"), 12, "application/grpc+json"),
    ];
    for (headers, body, code, message) in cases {
        let answer = call(&house, EXPORT, headers, body).await;
        let (got, text) = status(&answer);
        assert_eq!(got, code, "{headers:?} {message}: {text}");
        assert!(text.contains(message), "{text:?} has no {message:?}");
        assert!(!answer.headers.contains_key("grpc-status-details-bin"));
        if headers.contains(&("grpc-encoding", "br")) {
            assert_eq!(answer.header("grpc-accept-encoding"), "identity,gzip,zstd,snappy");
        }
        assert_eq!(house.memory.used(), 0, "{message}");
    }
    assert!(house.inputs().is_empty());
    // An encoding may be named and not used.
    let answer =
        call(&house, EXPORT, &[("content-type", "application/grpc+proto"), GZIP], framed(0, &plain)).await;
    assert_eq!(status(&answer).0, 0);
    assert_eq!(read_export(Signal::Traces, Encoding::Protobuf, &answer.body[5..]), Ok(None));
    let answer = call(&house, "/some.Service/Method", &[GRPC], framed(0, b"")).await;
    assert_eq!(status(&answer).0, 12);
    // Not gRPC at all.
    assert_eq!(
        call(&house, EXPORT, &[("content-type", "application/x-protobuf")], plain.clone()).await.status,
        415
    );
    assert_eq!(house.post(EXPORT, &[GRPC], framed(0, &plain)).await.status, 505);
    house.close().await;
}

#[tokio::test]
async fn without_credentials_a_call_is_unauthenticated() {
    let house = house_with(serde_json::json!({ "auth": { "bearer": ["s3cret"] } }), serde_json::json!({}));
    for path in [EXPORT, "/some.Service/Method"] {
        assert_eq!(status(&call(&house, path, &[GRPC], framed(0, &traces())).await).0, 16);
    }
    let answer =
        call(&house, EXPORT, &[GRPC, ("authorization", "Bearer s3cret")], framed(0, &traces())).await;
    assert_eq!(status(&answer).0, 0);
    house.close().await;
}

#[tokio::test]
async fn health_is_told_to_everybody() {
    let house = house_with(serde_json::json!({ "auth": { "bearer": ["s3cret"] } }), serde_json::json!({}));
    let check = async |service: &str| {
        let mut asked = Vec::new();
        wire::put::bytes(&mut asked, 1, service.as_bytes());
        let answer = call(&house, "/grpc.health.v1.Health/Check", &[GRPC], framed(0, &asked)).await;
        (status(&answer).0, answer.body.get(5..).unwrap_or_default().to_vec())
    };
    assert_eq!(check("").await, (0, vec![8, 1]));
    assert_eq!(check("opentelemetry.proto.collector.logs.v1.LogsService").await, (0, vec![8, 1]));
    assert_eq!(check("other").await.0, 5);
    house.close().await;
}
