//! Cloudflare Logpush and Kong: what is never refused, and the one thing that is, once.

use std::time::Duration;

use model::Refusal;
use normalize::{Hint, Input, RawInput, Shape};
use wire::Coding;

use crate::{House, gzip, house, house_with, sample};

const LOGPUSH: &str = "/ingest/cloudflare/logpush";
const KONG: &str = "/ingest/kong/http-log";
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn raw(house: &House) -> Vec<RawInput> {
    let inputs = house.inputs().into_iter();
    inputs.map(|input| if let Input::Raw(raw) = input { raw } else { panic!("{input:?}") }).collect()
}

#[tokio::test]
async fn logpush_bodies_reach_the_intake_whole_and_verbatim() {
    let house = house();
    let plain = sample("cloudflare/http_requests.ndjson");
    for (body, headers) in [
        (gzip(&plain), vec![GZIP]),
        (gzip(&plain), vec![]),
        (plain.clone(), vec![GZIP]),
        (plain.clone(), vec![]),
        (wire::coding::compress(Coding::Zstd, 1, &plain), vec![]),
    ] {
        let answer = house.post(LOGPUSH, &headers, body).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
        let inputs = raw(&house);
        assert_eq!(inputs.len(), 1);
        assert_eq!((&inputs[0].bytes[..], inputs[0].origin.source.as_str()), (&plain[..], "logpush"));
        assert_eq!(inputs[0].hint, Hint { shape: Shape::Logpush, ..Hint::default() });
    }
    assert_eq!(
        house
            .count("tidegate_receiver_odd_bodies_total{receiver=\"logpush\",oddity=\"content_encoding\"}")
            .max(house.count(
                "tidegate_receiver_odd_bodies_total{oddity=\"content_encoding\",receiver=\"logpush\"}"
            )),
        3
    );
    house.close().await;
}

#[tokio::test]
async fn the_url_names_dataset_tags_and_sampling() {
    let house = house();
    let check = async |url: &str, dataset: &str| {
        let answer = house.post(&format!("{LOGPUSH}{url}"), &[], "{}\n").await;
        assert_eq!(answer.status, 200, "{url}: {}", answer.text());
        let hint = raw(&house).remove(0).hint;
        assert_eq!(hint.dataset.as_deref().unwrap_or_default(), dataset, "{url}");
        hint
    };
    check("", "").await;
    check("/http_requests", "http_requests").await;
    check("/http_requests/", "http_requests").await;
    check("?dataset=dns_logs", "dns_logs").await;
    check("/firewall_events?dataset=dns_logs", "firewall_events").await;
    let hint = check("/x?tags=zone:shop,host:a%2Cb:c&sample_rate=0.1&other=1", "x").await;
    let tags: Vec<_> = hint.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(tags[0], ("zone", "shop"));
    assert_eq!(hint.sample_rate.as_deref(), Some("0.1"));
    for (url, status) in [
        ("/a%20b", 400),
        ("?dataset=..%2F", 400),
        ("?sample_rate=2", 400),
        ("?sample_rate=nan", 400),
        ("?tags=zone", 400),
        ("?tenant=shop", 403),
        ("?tenant=..", 400),
        ("/a/b", 404),
    ] {
        let answer = house.post(&format!("{LOGPUSH}{url}"), &[], "{}\n").await;
        assert_eq!(answer.status, status, "{url}: {}", answer.text());
    }
    assert!(raw(&house).is_empty());
    house.close().await;
}

#[tokio::test]
async fn the_validation_upload_is_answered_and_not_stored() {
    let house = house();
    let bodies = [
        sample("cloudflare/validation_test.txt.gz"),
        gzip(b"test\n"),
        b" tests ".to_vec(),
        Vec::new(),
        sample("hostile/empty.gz"),
    ];
    for body in bodies {
        assert_eq!(house.post(LOGPUSH, &[GZIP], body).await.status, 200);
    }
    assert!(raw(&house).is_empty());
    assert_eq!(house.aside(), []);
    house.close().await;
}

#[tokio::test]
async fn a_damaged_body_is_refused_once_and_then_its_whole_lines_are_kept() {
    let house = house();
    let plain = sample("cloudflare/http_requests.ndjson");
    let whole = gzip(&plain);
    for (name, body, pieces, aside) in [
        ("truncated in the first line", sample("hostile/truncated.ndjson.gz"), 0, 1),
        ("truncated later", whole[..whole.len() * 2 / 3].to_vec(), 1, 1),
        ("bad checksum", sample("hostile/bad_crc.ndjson.gz"), 1, 0),
    ] {
        let answer = house.post(LOGPUSH, &[GZIP], body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{name}");
        assert!(raw(&house).is_empty() && house.aside().is_empty(), "{name}: nothing is kept");
        assert_eq!(house.post(LOGPUSH, &[GZIP], body).await.status, 200, "{name}");
        let inputs = raw(&house);
        assert_eq!(inputs.len(), pieces, "{name}");
        for input in inputs {
            assert!(input.bytes.ends_with(b"\n") && input.bytes.starts_with(b"{"), "{name}");
            assert!(name != "truncated later" || plain.starts_with(&input.bytes));
        }
        let put = house.aside();
        assert_eq!(put.len(), aside, "{name}: {put:?}");
        assert!(
            put.iter()
                .all(|(reason, message, _)| *reason == "malformed" && message.contains("ends too early"))
        );
    }
    house.close().await;
}

#[tokio::test]
async fn hostile_bodies_are_answered_200_and_put_aside() {
    let house = house();
    let bomb = sample("hostile/bomb_64mib_zeros.gz");
    assert_eq!(house.post(LOGPUSH, &[GZIP], bomb.clone()).await.status, 200);
    let aside = house.aside();
    assert!(
        matches!(&aside[..], [("too_large", message, length)] if message.contains("times its size") && *length <= 64 << 10),
        "{aside:?}"
    );
    for name in [
        "concatenated_members.ndjson.gz",
        "split_line_across_members.ndjson.gz",
        "trailing_garbage.ndjson.gz",
    ] {
        assert_eq!(
            house.post(LOGPUSH, &[GZIP], sample(&format!("hostile/{name}"))).await.status,
            200,
            "{name}"
        );
        let inputs = raw(&house);
        assert_eq!(inputs.len(), 1, "{name}");
        for line in inputs[0].bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok(), "{name}");
        }
        assert_eq!(house.aside(), [], "{name}");
    }
    for name in [
        "bom_crlf.ndjson",
        "blank_lines.ndjson",
        "invalid_utf8.ndjson",
        "mixed_good_bad.ndjson",
        "deep_nesting.json",
    ] {
        let body = sample(&format!("hostile/{name}"));
        assert_eq!(house.post(LOGPUSH, &[], body.clone()).await.status, 200, "{name}");
        assert_eq!(raw(&house)[0].bytes, body, "{name}: lines are judged behind the intake");
    }
    house.close().await;
}

#[tokio::test]
async fn a_large_body_is_handed_on_in_pieces_of_whole_lines() {
    let house = house_with(
        serde_json::json!({}),
        serde_json::json!({ "logpush": { "max_inflated": "48MiB", "max_body": "80MiB" } }),
    );
    // About 200 bytes a line that compress like real ones, 40 MiB.
    let mut plain = Vec::new();
    let mut lines = 0u32;
    while plain.len() < 40 << 20 {
        let noise = lines.wrapping_mul(2_654_435_761);
        plain.extend_from_slice(format!("{{\"RayID\":\"{noise:08x}{lines:08x}\",\"EdgeStartTimestamp\":17000000{noise},\"p\":\"/a/{}\"}}\n", noise.rotate_left(7)).as_bytes());
        lines += 1;
    }
    for body in [gzip(&plain), plain.clone()] {
        assert_eq!(house.post(LOGPUSH, &[], body).await.status, 200);
        let inputs = raw(&house);
        assert!(inputs.len() >= 10, "{}", inputs.len());
        let (mut joined, mut index) = (Vec::new(), 0);
        for input in &inputs {
            assert_eq!(input.hint.first_index, index);
            assert!(input.bytes.len() <= 4 << 20 && input.bytes.ends_with(b"\n"));
            index += input.bytes.iter().filter(|b| **b == b'\n').count() as u32;
            joined.extend_from_slice(&input.bytes);
        }
        assert_eq!(index, lines);
        assert!(joined == plain, "the pieces are not the body");
        drop(inputs);
        assert_eq!(house.memory.used(), 0);
    }
    // Beyond the limit: what is before it is kept, and 200.
    let long = [&plain[..], &plain[..]].concat();
    for body in [gzip(&long), long.clone(), [&long[..], &long[..1 << 20]].concat()] {
        assert_eq!(house.post(LOGPUSH, &[], body).await.status, 200);
        let kept: usize = raw(&house).iter().map(|input| input.bytes.len()).sum();
        assert!(kept <= 48 << 20 && kept > (48 << 20) - 1000, "{kept}");
        let aside = house.aside();
        assert!(matches!(&aside[..], [("too_large", _, _)]), "{aside:?}");
    }
    assert_eq!(house.memory.used(), 0);
    house.close().await;
}

#[tokio::test]
async fn overload_is_503_for_both() {
    let house = house();
    house.fake.refuse(Refusal::unavailable("full", Duration::from_secs(2)));
    for path in [LOGPUSH, KONG] {
        let answer = house.post(path, &[], "{\"a\":1}").await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"), "{path}");
    }
    assert_eq!(house.aside(), []);
    house.fake.refuse(Refusal::malformed("no JSON at all"));
    for path in [LOGPUSH, KONG] {
        assert_eq!(house.post(path, &[], "{\"a\":1}").await.status, 200, "{path}");
        assert_eq!(house.aside(), [("malformed", "no JSON at all".to_owned(), 7)], "{path}");
    }
    house.close().await;
}

#[tokio::test]
async fn kong_records_are_taken_by_any_of_its_methods() {
    let house = house();
    for (method, name) in [
        ("POST", "kong/http-log-3x-batch-1.json"),
        ("PUT", "hostile/kong_array_one.json"),
        ("PATCH", "hostile/kong_raw_bytes.json"),
        ("POST", "hostile/kong_empty_array.json"),
    ] {
        let body = sample(name);
        let request =
            house.request(method, KONG, &[("content-type", "application/json; charset=utf-8")], body.clone());
        assert_eq!(house.send(request).await.status, 200, "{name}");
        let inputs = raw(&house);
        assert_eq!((inputs.len(), &inputs[0].bytes[..]), (1, &body[..]), "{name}");
        assert_eq!((inputs[0].hint.shape, inputs[0].origin.source.as_str()), (Shape::Kong, "kong"));
    }
    assert_eq!(house.post(KONG, &[], "").await.status, 200);
    assert_eq!(house.post(KONG, &[], gzip(b"{}")).await.status, 200);
    assert_eq!(raw(&house)[0].bytes, "{}");
    let answer = house.send(house.request("GET", KONG, &[], "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST, PUT, PATCH"));
    house.close().await;
}

#[tokio::test]
async fn what_kong_can_never_deliver_is_put_aside() {
    let house = house_with(
        serde_json::json!({}),
        serde_json::json!({ "kong": { "max_body": "100KiB", "max_inflated": "1MiB" } }),
    );
    for (body, reason, kept) in [
        (vec![b'x'; 200_000], "too_large", 64 << 10),
        (gzip(&vec![b' '; 2 << 20]), "too_large", usize::MAX),
        (gzip(b"{}")[..10].to_vec(), "malformed", 10),
    ] {
        assert_eq!(house.post(KONG, &[], body).await.status, 200);
        let aside = house.aside();
        assert_eq!((aside.len(), aside[0].0), (1, reason), "{aside:?}");
        assert!(kept == usize::MAX || aside[0].2 == kept, "{aside:?}");
    }
    assert!(raw(&house).is_empty());
    house.close().await;
}
