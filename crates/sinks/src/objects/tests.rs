use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path as Folder;

use bytes::Bytes;
use model::Layout;
use proptest::prelude::*;
use rows::{File, Footer};
use serde_json::json;
use testkit::peer::{Peer, Reply, Seen};
use testkit::server::S3;
use wire::Coding;

use super::*;
use crate::fixture::{self, START, metrics, open_plain, part, samples, spans, traces};

/// Every object below a folder: its name and bytes.
fn objects(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The item bytes in an object, with offset and index.
fn items(object: &[u8]) -> Vec<(u64, u32, Vec<u8>)> {
    let bytes = Bytes::copy_from_slice(object);
    let file = File::new(bytes.clone(), Footer::read(&bytes).unwrap());
    let mut found = Vec::new();
    file.between(i64::MIN..=i64::MAX, &mut |row| {
        found.push((row.offset, row.index, row.raw.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

async fn folder_sink(folder: &Folder) -> Arc<dyn Sink> {
    open_plain(&ROW, json!({"url": format!("file://{}/lake", folder.display())})).await
}

async fn s3_sink(peer: &Peer, more: serde_json::Value) -> Arc<dyn Sink> {
    let options = json!({
        "endpoint": peer.url(""), "region": "eu-central-1", "access_key_id": "GATEWAY", "secret_access_key": "s3cret",
        "session_token": "",
    });
    let mut settings = json!({"url": "s3://bucket/pre/fix", "options": options});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

#[tokio::test]
async fn items_are_partitioned_by_the_hour_of_their_event_and_kept_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let sink = folder_sink(folder.path()).await;
    assert_eq!(sink.deliver(&traces(7, Coding::Gzip, &["grüße", "b", "c"])).await, Ok(Receipt::Delivered));
    let quiet = f64::from_bits(0x7ff8_0000_0000_0123);
    assert_eq!(sink.deliver(&metrics(9, &[1.5, quiet, -0.0])).await, Ok(Receipt::Delivered));

    let found = objects(&folder.path().join("lake"));
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let [m, t] = names[..] else { panic!("{names:?}") };
    let (prefix, rest) = m.rsplit_once('/').unwrap();
    assert_eq!(prefix, "signal=metrics/tenant=default/date=2026-11-21/hour=09");
    assert!(rest.starts_with(&format!("{}-", START.0)), "{rest}");
    assert!(t.starts_with("signal=traces/tenant=default/date=2026-11-21/hour=09/"), "{t}");
    let spans = items(&found[t]);
    assert_eq!(
        spans.iter().map(|(offset, index, _)| (*offset, *index)).collect::<Vec<_>>(),
        [(7, 0), (7, 1), (7, 2)]
    );
    let has = |raw: &[u8], what: &[u8]| raw.windows(what.len()).any(|window| window == what);
    assert!(has(&spans[0].2, "grüße".as_bytes()));
    assert!(items(&found[m]).iter().any(|(_, _, raw)| has(raw, &quiet.to_bits().to_le_bytes())));
}

#[tokio::test]
async fn a_parcel_that_comes_again_changes_nothing_whatever_was_written_of_it() {
    let hours = |offset| {
        let early = samples("up", &[1.0]);
        let mut late = Vec::new();
        // The same series an hour later.
        wire::put::message(&mut late, 1, |series| {
            wire::put::message(series, 2, |sample| {
                wire::put::fixed64(sample, 1, 2.0f64.to_bits());
                wire::put::uint(sample, 2, (START.millis() + 3_600_000) as u64);
            });
        });
        let plain = [early, late].concat();
        fixture::parcel(Signal::Metrics, Layout::RemoteWrite, vec![part(offset, Coding::Snappy, &plain, 2)])
    };
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    folder_sink(folder.path()).await.deliver(&hours(5)).await.unwrap();
    let whole = objects(&lake);
    assert_eq!(whole.len(), 2, "one for each hour: {:?}", whole.keys());
    for kept in [0, 1, 2] {
        for name in whole.keys().skip(kept) {
            std::fs::remove_file(lake.join(name)).unwrap();
        }
        let sink = folder_sink(folder.path()).await;
        assert_eq!(sink.deliver(&hours(5)).await, Ok(Receipt::Delivered));
        assert_eq!(objects(&lake), whole);
    }
    // Another range of equal rows is another object.
    folder_sink(folder.path()).await.deliver(&hours(6)).await.unwrap();
    assert_eq!(objects(&lake).len(), 4);
}

#[tokio::test]
async fn halves_of_a_parcel_are_objects_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let sink = folder_sink(folder.path()).await;
    let whole = traces(7, Coding::Plain, &["a", "b", "c"]);
    for half in [whole.cut(0..1), whole.cut(1..3)] {
        assert_eq!(sink.deliver(&half).await, Ok(Receipt::Delivered));
    }
    let found = objects(&folder.path().join("lake"));
    let mut all: Vec<u32> =
        found.values().flat_map(|object| items(object)).map(|(_, index, _)| index).collect();
    all.sort_unstable();
    assert_eq!((found.len(), all), (2, vec![0, 1, 2]));
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let sink = folder_sink(folder.path()).await;
    let mut damaged = part(3, Coding::Gzip, &spans(&["a", "b"]), 2);
    damaged.body = Bytes::from_static(b"\x1f\x8bnot gzip");
    let parcel = fixture::parcel(Signal::Traces, Layout::Otlp, vec![damaged]);
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::RefusedWhole { .. })));
    let short = part(3, Coding::Plain, &spans(&["a", "b"]), 5);
    let parcel = fixture::parcel(Signal::Traces, Layout::Otlp, vec![short]);
    let Err(Failure::RefusedWhole { reason }) = sink.deliver(&parcel).await else { panic!() };
    assert_eq!(reason, "frame 3 has 2 items at 0..5");
    assert!(objects(&folder.path().join("lake")).is_empty());
}

fn xml(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message></Error>")
}

fn put(peer: &Peer) -> Vec<Seen> {
    peer.seen().into_iter().filter(|seen| seen.method == http::Method::PUT).collect()
}

#[tokio::test]
async fn an_object_is_put_under_a_condition_with_a_signature() {
    let peer = Peer::start(Reply::status(200).header("etag", "\"1\"")).await;
    let sink = s3_sink(&peer, json!({})).await;
    assert_eq!(sink.deliver(&traces(7, Coding::Plain, &["a"])).await, Ok(Receipt::Delivered));
    let [seen] = &put(&peer)[..] else { panic!() };
    assert!(seen.path.starts_with("/bucket/pre/fix/signal%3Dtraces/"), "{}", seen.path);
    assert_eq!(seen.header("if-none-match"), "*");
    assert_eq!(seen.header("content-type"), "application/vnd.apache.parquet");
    let signed = seen.header("authorization");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=GATEWAY/"), "{signed}");
    assert!(!signed.contains("s3cret"));
    assert_eq!(items(&seen.body).len(), 1);
}

#[tokio::test]
async fn every_answer_has_its_class() {
    for (status, body, delivered) in [
        (200, String::new(), true),
        (409, xml("ConditionalRequestConflict"), false),
        (400, xml("RequestTimeout"), false),
        (401, xml("Unauthorized"), false),
        (403, xml("AccessDenied"), false),
        (404, xml("NoSuchBucket"), false),
        (429, xml("TooManyRequests"), false),
        (500, xml("InternalError"), false),
        (503, xml("SlowDown"), false),
        (507, xml("XMinioStorageFull"), false),
        (301, xml("PermanentRedirect"), false),
    ] {
        let peer =
            Peer::start(Reply::body(status, body).header("etag", "\"1\"").header("location", "/elsewhere"))
                .await;
        let sink = s3_sink(&peer, json!({})).await;
        let answer = sink.deliver(&traces(7, Coding::Plain, &["a"])).await;
        match answer {
            Ok(Receipt::Delivered) => assert!(delivered, "{status}"),
            Err(Failure::Retry { reason, .. }) => {
                assert!(!delivered, "{status}");
                assert!(
                    reason.starts_with("s3://bucket/pre/fix: ") && !reason.contains("s3cret"),
                    "{reason}"
                );
                assert_eq!(reason.contains("credentials"), matches!(status, 401 | 403), "{reason}");
                assert_eq!(reason.contains("bucket?"), status == 404, "{reason}");
            }
            other => panic!("{status}: {other:?}"),
        }
        assert!(peer.seen().iter().all(|seen| seen.path.starts_with("/bucket/")), "a redirect was followed");
    }
}

fn there(size: usize) -> Reply {
    Reply::status(200)
        .header("content-length", &size.to_string())
        .header("etag", "\"9\"")
        .header("last-modified", "Sat, 21 Nov 2026 09:30:00 GMT")
}

#[tokio::test]
async fn an_object_that_is_there_already_counts_as_written_if_it_is_whole() {
    let size = make::objects(&traces(7, Coding::Plain, &["a"])).unwrap()[0].bytes.len();
    for (conflict, found, delivered) in [
        (412, there(size), true),
        (409, there(size), true),
        (412, there(size - 1), false),
        (409, Reply::status(404), false),
        (412, Reply::status(403), false),
    ] {
        let peer = Peer::start(found).await;
        peer.then(Reply::body(conflict, xml("Conflict")));
        let sink = s3_sink(&peer, json!({})).await;
        let answer = sink.deliver(&traces(7, Coding::Plain, &["a"])).await;
        assert_eq!(answer == Ok(Receipt::Delivered), delivered, "{answer:?}");
        assert!(delivered || matches!(answer, Err(Failure::Retry { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_tried_again() {
    let peer = Peer::start(Reply::Hangup).await;
    let sink = s3_sink(&peer, json!({})).await;
    let gone = sink.deliver(&traces(7, Coding::Plain, &["a"])).await;
    assert!(matches!(gone, Err(Failure::Retry { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_store_without_conditions_is_put_to_plainly() {
    let peer = Peer::start(Reply::status(200).header("etag", "\"1\"")).await;
    // The library tries an error of the server's once more.
    peer.then(Reply::body(501, xml("NotImplemented")));
    peer.then(Reply::body(501, xml("NotImplemented")));
    let sink = s3_sink(&peer, json!({})).await;
    for offset in [7, 8] {
        assert_eq!(sink.deliver(&traces(offset, Coding::Plain, &["a"])).await, Ok(Receipt::Delivered));
    }
    let conditions: Vec<_> = put(&peer).iter().map(|seen| seen.header("if-none-match").to_owned()).collect();
    assert_eq!(conditions, ["*", "*", "", ""]);
}

#[tokio::test]
async fn a_large_object_goes_up_in_parts_unless_it_is_there() {
    // Random bytes, so that the file is larger than a part.
    let mut roll = dice(7);
    let name: String = (0..4 << 20).map(|_| char::from(b'!' + (roll() % 90) as u8)).collect();
    let parcel = || traces(7, Coding::Plain, &[name.as_str()]);
    let started = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
    let finished = "<CompleteMultipartUploadResult><ETag>\"9\"</ETag></CompleteMultipartUploadResult>";

    let peer = Peer::start(Reply::status(200).header("etag", "\"1\"")).await;
    let sink = s3_sink(&peer, json!({"part_size": "5MiB"})).await;
    peer.then(Reply::body(404, ""));
    peer.then(Reply::body(200, started));
    peer.then(Reply::status(200).header("etag", "\"1\""));
    peer.then(Reply::status(200).header("etag", "\"2\""));
    peer.then(Reply::body(200, finished));
    let answer = sink.deliver(&parcel()).await;
    let seen = peer.seen();
    assert_eq!(answer, Ok(Receipt::Delivered));
    let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["HEAD", "POST", "PUT", "PUT", "POST"]);
    let file = [&seen[2].body[..], &seen[3].body[..]].concat();
    assert_eq!(seen[2].body.len(), 5 << 20);
    assert_eq!(items(&file).len(), 1);

    let full = Peer::start(there(file.len())).await;
    let sink = s3_sink(&full, json!({"part_size": "5MiB"})).await;
    assert_eq!(sink.deliver(&parcel()).await, Ok(Receipt::Delivered));
    assert_eq!(full.seen().len(), 1);

    let cut_off = Peer::start(Reply::status(204)).await;
    cut_off.then(Reply::body(404, ""));
    cut_off.then(Reply::body(200, started));
    cut_off.then(Reply::body(403, xml("AccessDenied")));
    let sink = s3_sink(&cut_off, json!({"part_size": "5MiB"})).await;
    assert!(matches!(sink.deliver(&parcel()).await, Err(Failure::Retry { .. })));
    let last = cut_off.seen().pop().unwrap();
    assert_eq!((last.method.as_str(), last.path.contains("uploadId=u1")), ("DELETE", true));
}

/// A small generator of even bytes.
fn dice(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

#[test]
fn problems_come_all_at_once() {
    let Err(problems) = (ROW.check)(json!({
        "url": "s3://", "max_bytes": "1KiB", "max_wait": "0", "part_size": "1MiB", "signals": [],
    })) else {
        panic!()
    };
    let mut paths: Vec<_> = problems.into_iter().map(|problem| problem.path).collect();
    paths.sort();
    assert_eq!(paths, ["max_bytes", "max_wait", "part_size", "signals", "url"]);
}

#[test]
fn a_url_that_means_no_store_is_a_problem() {
    let paths = |settings| match (ROW.check)(settings) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>(),
    };
    for url in [
        "bucket",
        "s3:/bucket",
        "ftp://bucket/a",
        "s3:///a",
        "file://folder",
        "file:///",
        "s3://user:secret@bucket/a",
        "s3://bucket/a//b",
        "s3://bucket/../a",
        "s3://bucket/a?versionId=1",
    ] {
        assert_eq!(paths(json!({"url": url})), ["url"], "{url}");
    }
    for url in [
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket/a/b/",
        "gs://bucket/a",
        "az://container",
        "file:///tmp/a",
    ] {
        assert_eq!(paths(json!({"url": url})), [""; 0], "{url}");
    }
    let unknown = json!({"url": "gs://bucket", "options": {"service_account": "x", "acces_key": "s3cret"}});
    assert_eq!(paths(unknown), ["options.acces_key"]);
    assert_eq!(paths(json!({"url": "file:///a", "options": {"region": "x"}})), ["options.region"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn equal_parcels_make_equal_objects(names in prop::collection::vec("[a-c]{1,3}", 1..20), offset in 1u64..9) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let once = make::objects(&traces(offset, Coding::Gzip, &names)).unwrap();
        let again = make::objects(&traces(offset, Coding::Plain, &names)).unwrap();
        prop_assert_eq!(once, again);
    }
}

/// Against a real store: every item is there once, however often it was sent, and its bytes are the ones that were sent.
async fn keeps_each_item_once(store: testkit::server::Store) {
    let folder = tempfile::tempdir().unwrap();
    let mut s3 = S3::start_with(store, folder.path());
    s3.make_bucket("telemetry");
    let endpoint = s3.endpoint();
    let settings = |secret: &str| {
        json!({
            "url": "s3://telemetry/lake", "part_size": "5MiB",
            "options": {"endpoint": endpoint, "access_key_id": S3::KEY_ID, "secret_access_key": secret},
        })
    };
    let sink = open_plain(&ROW, settings(S3::SECRET)).await;
    let wrong = open_plain(&ROW, settings("not the secret")).await;
    let small = traces(7, Coding::Gzip, &["grüße", "\u{1f980}", "c"]);
    let refused = wrong.deliver(&small).await;
    let Err(Failure::Retry { reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("are the credentials right?") && !reason.contains("not the secret"), "{reason}");

    let mut roll = dice(11);
    let name: String = (0..6 << 20).map(|_| char::from(b'!' + (roll() % 90) as u8)).collect();
    let large = traces(8, Coding::Plain, &[name.as_str()]);
    let nan = metrics(9, &[f64::from_bits(0x7ff8_dead_beef_0001), 2.0]);
    let parcels = [&small, &large, &nan];
    for parcel in parcels {
        assert_eq!(sink.deliver(parcel).await, Ok(Receipt::Delivered));
    }
    let keys = s3.keys("telemetry", "lake/");
    assert_eq!(keys.len(), 3, "{keys:?}");
    let read = |s3: &S3| -> BTreeMap<String, Vec<u8>> {
        keys.iter().map(|key| (key.clone(), s3.get("telemetry", key))).collect()
    };
    let written = read(&s3);
    for parcel in parcels {
        let expected = make::objects(parcel).unwrap();
        for object in expected {
            assert_eq!(written[&format!("lake/{}", object.key)], object.bytes);
        }
    }

    // Sent again, by a process that knows nothing of the first and through a server that was killed meanwhile.
    s3.process.kill();
    let again = open_plain(&ROW, settings(S3::SECRET)).await;
    assert!(matches!(again.deliver(&small).await, Err(Failure::Unreachable { .. })));
    s3.restart();
    for parcel in parcels {
        assert_eq!(again.deliver(parcel).await, Ok(Receipt::Delivered));
    }
    assert_eq!(s3.keys("telemetry", ""), keys);
    assert_eq!(read(&s3), written);
}

#[tokio::test]
async fn s3s_fs_keeps_each_item_once() {
    keeps_each_item_once(testkit::server::Store::S3sFs).await;
}

#[tokio::test]
async fn minio_keeps_each_item_once_and_says_what_it_misses() {
    if !testkit::server::all() {
        return;
    }
    keeps_each_item_once(testkit::server::Store::MinIo).await;
    let folder = tempfile::tempdir().unwrap();
    let s3 = S3::start_with(testkit::server::Store::MinIo, folder.path());
    let options =
        json!({"endpoint": s3.endpoint(), "access_key_id": S3::KEY_ID, "secret_access_key": S3::SECRET});
    let sink = open_plain(&ROW, json!({"url": "s3://absent/lake", "options": options})).await;
    let missing = sink.deliver(&traces(7, Coding::Plain, &["a"])).await;
    let Err(Failure::Retry { reason, .. }) = missing else { panic!("{missing:?}") };
    assert!(reason.contains("is there such a bucket?"), "{reason}");
}
