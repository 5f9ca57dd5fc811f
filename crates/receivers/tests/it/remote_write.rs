//! Prometheus remote-write: negotiation, answers, and the order in which faults count.

use std::time::Duration;

use model::{Counts, Refusal};
use normalize::{Input, Message};
use wire::{Coding, put};

use crate::{Answer, house, house_with, snappy};

const PATH: &str = "/api/v1/write";
const V1: (&str, &str) = ("content-type", "application/x-protobuf");
const V2: (&str, &str) = ("content-type", "application/x-protobuf; proto=io.prometheus.write.v2.Request");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");
const COUNTS: Counts = Counts { samples: 5, histograms: 2, exemplars: 1, ..NONE };
const NONE: Counts =
    Counts { spans: 0, logs: 0, points: 0, samples: 0, histograms: 0, exemplars: 0, metadata: 0 };

fn request() -> Vec<u8> {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |series| {
        put::message(series, 1, |label| {
            put::bytes(label, 1, b"__name__");
            put::bytes(label, 2, b"up");
        });
        put::message(series, 2, |sample| {
            put::fixed64(sample, 1, 1f64.to_bits());
            put::uint(sample, 2, 1_700_000_000_000);
        });
    });
    plain
}

fn written(answer: &Answer) -> [&str; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        answer.header(match what {
            "samples" => "x-prometheus-remote-write-samples-written",
            "histograms" => "x-prometheus-remote-write-histograms-written",
            _ => "x-prometheus-remote-write-exemplars-written",
        })
    })
}

#[tokio::test]
async fn every_path_takes_both_versions_and_answers_204() {
    let house = house();
    house.fake.accept(COUNTS, &[]);
    for path in
        ["/api/v1/write", "/api/v1/push", "/api/v1/prometheus", "/prometheus/api/v1/write", "/api/v1/write/"]
    {
        for (headers, message, counted) in [
            (vec![V1, SNAPPY], Message::RemoteWrite1, ["", "", ""]),
            (vec![], Message::RemoteWrite1, ["", "", ""]),
            (vec![V2, SNAPPY], Message::RemoteWrite2, ["5", "2", "1"]),
            (
                vec![("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")],
                Message::RemoteWrite1,
                ["", "", ""],
            ),
        ] {
            let answer = house.post(path, &headers, snappy(&request())).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{path} {headers:?}");
            assert_eq!(written(&answer), counted);
            let inputs = house.inputs();
            let [Input::Wire(input)] = &inputs[..] else { panic!() };
            assert_eq!((input.message, input.coding), (message, Coding::Snappy));
            assert_eq!((&input.plain[..], &input.body[..]), (&request()[..], &snappy(&request())[..]));
            assert_eq!(input.origin.source.as_str(), "prometheus");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn headers_are_judged_before_the_body_and_encoding_before_type() {
    let house = house_with(
        serde_json::json!({}),
        serde_json::json!({ "prometheus": { "max_body": "64KiB", "max_inflated": "128KiB" } }),
    );
    let corrupt = b"\xff\xff\xff not snappy".to_vec();
    let mut lie = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    lie.extend_from_slice(&[0; 8]);
    let framed = b"\xff\x06\x00\x00sNaPpYxxxx".to_vec();
    let zeros = snappy(&vec![0; 200 << 10]);
    let cases = [
        (vec![V1, ("content-encoding", "gzip")], corrupt.clone(), 415, "\"gzip\" is not snappy"),
        (
            vec![("content-type", "application/json"), ("content-encoding", "deflate")],
            corrupt.clone(),
            415,
            "\"deflate\"",
        ),
        (vec![("content-type", "application/json"), SNAPPY], corrupt.clone(), 415, "\"application/json\""),
        (vec![("content-type", "image/png")], corrupt.clone(), 415, "\"image/png\""),
        (vec![("content-type", "application/x-protobuf;proto=other")], corrupt.clone(), 415, "\"other\""),
        (vec![V1, ("content-encoding", "zstd")], corrupt.clone(), 415, "\"zstd\""),
        (vec![V1, SNAPPY], corrupt.clone(), 400, "snappy"),
        (vec![V2, SNAPPY], corrupt, 400, "snappy"),
        (vec![V1, SNAPPY], Vec::new(), 400, "empty body"),
        (vec![V1, SNAPPY], lie, 400, "snappy"),
        (vec![V1, SNAPPY], framed, 400, "framed"),
        (vec![V1, SNAPPY], vec![0; 70_000], 400, "limit of 64KiB; lower max_samples_per_send"),
        (vec![V2, SNAPPY], zeros, 400, "limit of 128KiB; lower max_samples_per_send"),
    ];
    for (headers, body, status, message) in cases {
        let answer = house.post(PATH, &headers, body).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        assert!(answer.text().contains(message), "{headers:?}: {:?} has no {message:?}", answer.text());
        assert_eq!(answer.text().lines().count(), 1);
        let expected = if headers[0] == V2 { ["0"; 3] } else { [""; 3] };
        assert_eq!(written(&answer), expected, "{headers:?}");
        assert_eq!(house.memory.used(), 0);
    }
    assert!(house.inputs().is_empty());
    house.close().await;
}

#[tokio::test]
async fn overload_is_503_with_a_time_and_zeros_for_version_2() {
    let house = house();
    for kind in [model::RefusalKind::Unavailable, model::RefusalKind::Quota] {
        let refusal = Refusal { kind, message: "full".into(), retry_after: Some(Duration::from_secs(3)) };
        house.fake.refuse(refusal);
        for (header, counted) in [(V1, [""; 3]), (V2, ["0"; 3])] {
            let answer = house.post(PATH, &[header, SNAPPY], snappy(&request())).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "3"));
            assert_eq!((written(&answer), answer.text().as_str()), (counted, "full\n"));
        }
    }
    assert_eq!(house.inputs().len(), 0);
    house.close().await;
}

#[tokio::test]
async fn a_part_that_was_not_taken_is_400_and_the_rest_is_counted() {
    let house = house();
    house.fake.accept(COUNTS, &[(3, "label \"a\" comes twice")]);
    let answer = house.post(PATH, &[V2, SNAPPY], snappy(&request())).await;
    assert_eq!((answer.status.as_u16(), written(&answer)), (400, ["5", "2", "1"]));
    assert_eq!(answer.text(), "series 3: label \"a\" comes twice\n");
    let answer = house.post(PATH, &[V1, SNAPPY], snappy(&request())).await;
    assert_eq!((answer.status.as_u16(), written(&answer)), (400, [""; 3]));
    // Version 2 without any data: zeros.
    house.fake.accept(NONE, &[]);
    let answer = house.post(PATH, &[V2, SNAPPY], vec![0]).await;
    assert_eq!((answer.status.as_u16(), written(&answer)), (204, ["0"; 3]));
    house.close().await;
}

#[tokio::test]
async fn vmagent_may_use_zstd_and_asks_for_it() {
    let house = house();
    let body = wire::coding::compress(Coding::Zstd, 1, &request());
    let victoria = ("x-victoriametrics-remote-write-version", "1");
    let answer = house.post(PATH, &[V1, ("content-encoding", "zstd"), victoria], body).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let inputs = house.inputs();
    let [Input::Wire(input)] = &inputs[..] else { panic!() };
    assert_eq!(
        (input.message, input.coding, &input.plain[..]),
        (Message::RemoteWrite1, Coding::Zstd, &request()[..])
    );
    for method in ["GET", "POST"] {
        let asked = house.request(method, "/api/v1/write?get_vm_proto_version=1", &[], "");
        let answer = house.send(asked).await;
        assert_eq!((answer.status.as_u16(), answer.text().trim()), (200, "1"));
    }
    let answer = house.send(house.request("GET", PATH, &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
    let answer = house.send(house.request("PUT", PATH, &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST, GET"));
    house.close().await;
}
