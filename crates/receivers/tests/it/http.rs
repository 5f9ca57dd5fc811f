//! OTLP over HTTP.

use std::time::Duration;

use model::{Counts, Refusal, RefusalKind};
use normalize::{Input, Message};
use wire::json::response::{Encoding, read_export, read_status};
use wire::{Coding, Signal};

use crate::{Case, gzip, house, house_with, sample, snappy};

const PROTO: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn traces() -> Vec<u8> {
    wire::json::to_proto(Signal::Traces, &sample("otlp/traces.json")).unwrap()
}

#[tokio::test]
async fn every_path_takes_its_signal_and_answers_exactly_200() {
    let house = house();
    let plain = traces();
    for (path, signal) in [
        ("/v1/traces", Signal::Traces),
        ("/v1/traces/", Signal::Traces),
        ("/", Signal::Traces),
        ("/v1/logs", Signal::Logs),
        ("/v1/metrics?x=1", Signal::Metrics),
        ("/api/v1/otlp/v1/metrics", Signal::Metrics),
        ("/opentelemetry/v1/metrics", Signal::Metrics),
        ("/api/v1/otel/trace", Signal::Traces),
    ] {
        let answer = house.post(path, &[PROTO], plain.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("content-type"), PROTO.1);
        let inputs = house.inputs();
        let [Input::Wire(input)] = &inputs[..] else { panic!("{path}: {inputs:?}") };
        assert_eq!((input.message, input.coding), (Message::Otlp(signal), Coding::Plain), "{path}");
        assert_eq!((&input.plain[..], &input.body[..]), (&plain[..], &plain[..]));
        assert_eq!((input.origin.tenant.as_str(), input.origin.source.as_str()), ("default", "otlp"));
    }
    assert_eq!(house.count("tidegate_receiver_requests_total{receiver=\"otlp\"}"), 8);
    assert_eq!(house.count("tidegate_receiver_body_bytes_total{receiver=\"otlp\"}"), 8 * plain.len() as u64);
    house.close().await;
}

#[tokio::test]
async fn compressed_bodies_are_kept_as_received_where_the_journal_can_read_them() {
    let house = house();
    let plain = traces();
    let framed = {
        use std::io::Write;
        let mut writer = snap::write::FrameEncoder::new(Vec::new());
        writer.write_all(&plain).unwrap();
        writer.into_inner().unwrap()
    };
    let make = |coding| wire::coding::compress(coding, 3, &plain);
    let two = [make(Coding::Gzip), make(Coding::Gzip)].concat();
    let nested = gzip(&make(Coding::Zstd));
    for (encoding, body, kept) in [
        ("gzip", make(Coding::Gzip), Coding::Gzip),
        (" GZIP ", make(Coding::Gzip), Coding::Gzip),
        ("zstd", make(Coding::Zstd), Coding::Zstd),
        ("snappy", make(Coding::Snappy), Coding::Snappy),
        ("snappy", framed, Coding::Plain),
        ("deflate", make(Coding::Deflate), Coding::Plain),
        ("zstd, gzip", nested, Coding::Plain),
        ("identity", plain.clone(), Coding::Plain),
        ("", plain.clone(), Coding::Plain),
        ("gzip", two, Coding::Gzip),
    ] {
        let answer = house.post("/v1/traces", &[PROTO, ("content-encoding", encoding)], body.clone()).await;
        assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        let inputs = house.inputs();
        let [Input::Wire(input)] = &inputs[..] else { panic!("{encoding}") };
        assert_eq!(input.coding, kept, "{encoding}");
        assert!(input.plain.starts_with(&plain), "{encoding}");
        assert_eq!(&input.body[..], if kept == Coding::Plain { &plain[..] } else { &body[..] }, "{encoding}");
    }
    house.close().await;
}

#[tokio::test]
async fn json_is_taken_and_answered_in_json() {
    let house = house();
    for body in [
        sample("otlp/traces.json"),
        vec![b' '; 100_000].into_iter().chain(sample("otlp/traces.json")).collect(),
    ] {
        let answer =
            house.post("/v1/traces", &[("content-type", "Application/JSON; charset=utf-8")], body).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "{}"));
        let inputs = house.inputs();
        let [Input::Wire(input)] = &inputs[..] else { panic!() };
        assert_eq!((&input.plain[..], input.coding), (&traces()[..], Coding::Plain));
    }
    house.close().await;
}

#[tokio::test]
async fn what_was_not_taken_is_told_as_partial_success() {
    let house = house();
    house.fake.accept(Counts { spans: 3, ..Counts::default() }, &[(4, "trace id of 3 bytes"), (7, "x")]);
    for (header, encoding, body) in
        [(PROTO, Encoding::Protobuf, traces()), (JSON, Encoding::Json, sample("otlp/traces.json"))]
    {
        let answer = house.post("/v1/traces", &[header], body).await;
        assert_eq!(answer.status, 200);
        let partial = read_export(Signal::Traces, encoding, &answer.body).unwrap().unwrap();
        assert_eq!(
            (partial.rejected, partial.message.as_str()),
            (2, "2 items; first, item 4: trace id of 3 bytes")
        );
    }
    assert_eq!(
        house.count("tidegate_receiver_rejected_records_total{reason=\"bad_id\",receiver=\"otlp\"}").max(
            house.count("tidegate_receiver_rejected_records_total{receiver=\"otlp\",reason=\"bad_id\"}")
        ),
        4
    );
    house.close().await;
}

#[tokio::test]
async fn each_refusal_has_the_status_that_otlp_senders_understand() {
    let house = house();
    let after = Duration::from_millis(1500);
    let quota = Refusal { kind: RefusalKind::Quota, message: "quota".into(), retry_after: Some(after) };
    for (refusal, status, code, retry) in [
        (Refusal::unavailable("journal is full", after), 503, 14, "2"),
        (quota, 429, 8, "2"),
        (Refusal::malformed("span at byte 3"), 400, 3, ""),
        (Refusal::too_large("too large"), 413, 8, ""),
    ] {
        house.fake.refuse(refusal.clone());
        for (header, encoding, body) in
            [(PROTO, Encoding::Protobuf, traces()), (JSON, Encoding::Json, sample("otlp/traces.json"))]
        {
            let answer = house.post("/v1/traces", &[header], body).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("retry-after")),
                (status, retry),
                "{refusal:?}"
            );
            assert_eq!(answer.header("content-type"), header.1);
            let told = read_status(encoding, &answer.body).unwrap();
            assert_eq!((told.code, &told.message, told.retry), (code, &refusal.message, refusal.retry_after));
        }
    }
    house.close().await;
}

#[tokio::test]
async fn hostile_bodies_get_their_status_and_name_the_limit() {
    let house = house_with(
        serde_json::json!({}),
        serde_json::json!({ "otlp": { "max_body": "1MiB", "max_inflated": "4MiB" } }),
    );
    let plain = traces();
    let whole = gzip(&plain);
    let bomb = gzip(&vec![0; 64 << 20]);
    let bad_crc = {
        let mut body = whole.clone();
        let at = body.len() - 6;
        body[at] ^= 1;
        body
    };
    let mut lie = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    lie.extend_from_slice(&[0; 100]);
    let cases: Vec<Case<u16>> = vec![
        (&[PROTO, ("content-encoding", "gzip")], bomb, 413, "times its size"),
        (
            &[PROTO, ("content-encoding", "gzip")],
            gzip(&noise(5 << 20)),
            413,
            "inflated body exceeds the limit of 4MiB",
        ),
        (&[PROTO, ("content-encoding", "gzip")], whole[..whole.len() / 2].to_vec(), 400, "ends too early"),
        (&[PROTO, ("content-encoding", "gzip")], bad_crc, 400, "checksum"),
        (&[PROTO, ("content-encoding", "gzip")], plain.clone(), 400, "corrupt"),
        (&[PROTO, ("content-encoding", "gzip")], Vec::new(), 400, "ends too early"),
        (&[PROTO, ("content-encoding", "zstd")], plain.clone(), 400, "corrupt"),
        (&[PROTO, ("content-encoding", "snappy")], lie, 400, "declared length"),
        (&[PROTO, ("content-encoding", "br")], plain.clone(), 415, "\"br\" is not served"),
        (&[PROTO, ("content-encoding", "gzip,gzip,gzip")], whole, 415, "3 encodings"),
        (&[PROTO], vec![0; (1 << 20) + 1], 413, "exceeds the limit of 1MiB"),
        (&[JSON], b"{\"resourceSpans\":".to_vec(), 400, "JSON ends"),
        (&[JSON], Vec::new(), 400, "JSON"),
        (&[JSON], sample("hostile/deep_nesting.json"), 400, "JSON"),
        (&[JSON], sample("hostile/zero_bytes.bin"), 400, "JSON"),
        (&[("content-type", "text/plain")], plain.clone(), 415, "content type"),
        (&[], plain.clone(), 415, "content type"),
    ];
    for (headers, body, status, message) in cases {
        let answer = house.post("/v1/traces", headers, body).await;
        assert_eq!(answer.status, status, "{headers:?} {message}: {}", answer.text());
        assert!(answer.text().contains(message), "{headers:?}: {:?} has no {message:?}", answer.text());
        assert_eq!(house.memory.used(), 0, "{headers:?} {message}");
    }
    assert!(house.inputs().is_empty());
    assert_eq!(
        house.fake.told.lock().unwrap().len(),
        15,
        "the intake hears of each but unknown content types"
    );
    house.close().await;
}

#[tokio::test]
async fn an_empty_request_is_taken_and_nothing_submitted() {
    let house = house();
    assert_eq!(house.post("/v1/logs", &[PROTO], Vec::new()).await.status, 200);
    assert!(house.inputs().is_empty());
    // Kong's path takes protobuf under any content type, JSON's included.
    for kind in [JSON, ("content-type", "text/plain"), ("x-none", "")] {
        assert_eq!(house.post("/api/v1/otel/trace", &[kind], traces()).await.status, 200);
        assert_eq!(house.inputs().len(), 1);
    }
    // Not framed: a snappy body that is no block.
    let answer =
        house.post("/v1/logs", &[PROTO, ("content-encoding", "snappy")], snappy(b"ok")[..2].to_vec()).await;
    assert_eq!(answer.status, 400);
    house.close().await;
}

/// Bytes that compress to about a sixth.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // One bit a byte: the body as received stays below its own limit, and the ratio below that of bombs.
        (state >> 63) as u8
    })
    .take(length)
    .collect()
}
