//! Several requests of one parcel at the same time.

use std::collections::BTreeMap;

use wire::rw::v1;
use wire::walk::fields;
use wire::{Counts, put};

use super::*;
use crate::prometheus::lot;

/// Labels in order of their names, which is what a series is.
pub(super) type Identity = BTreeMap<String, String>;

pub(super) fn identity(series: &v1::Series<'_>) -> Identity {
    let pairs = series.labels().map(|pair| pair.unwrap());
    pairs.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.into(), value.into())).collect()
}

pub(super) fn count(plain: &[u8]) -> Counts {
    wire::batch::count(Signal::Metrics, Layout::RemoteWrite, plain).unwrap()
}

/// A request of one sample each: a series' number and the sample's time in milliseconds behind the start.
fn samples_of(pairs: &[(u32, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (series, time) in pairs {
        put::message(&mut out, 1, |out| {
            let mut labels = [("__name__", "up".to_owned()), ("n", series.to_string())];
            // Whoever sends a series may write its labels in any order.
            if time % 2 == 1 {
                labels.reverse();
            }
            for (name, value) in labels {
                put::message(out, 1, |out| {
                    put::bytes(out, 1, name.as_bytes());
                    put::bytes(out, 2, value.as_bytes());
                });
            }
            put::message(out, 2, |out| {
                put::fixed64(out, 1, 1f64.to_bits());
                put::uint(out, 2, START + time);
                if *time >= STARTED {
                    put::uint(out, wire::rw::private::START, START);
                }
            });
        });
    }
    out
}

const START: u64 = crate::fixture::START.0 / 1_000_000;
/// Samples from here on have a start time.
const STARTED: u64 = 1 << 20;

/// A parcel of one part for each of these requests.
fn joined(first: u64, requests: &[&[(u32, u64)]]) -> Parcel {
    let frame = |(number, pairs): (usize, &&[(u32, u64)])| {
        part(first + number as u64, Coding::Snappy, &samples_of(pairs), pairs.len() as u32)
    };
    parcel(Signal::Metrics, Layout::RemoteWrite, requests.iter().enumerate().map(frame).collect())
}

/// Which series were sent with which times, in the order in which the peer read them.
fn sent(seen: &[Seen]) -> BTreeMap<String, Vec<u64>> {
    let mut sent: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seen in seen {
        let plain = plain(seen);
        for series in v1::series(&plain) {
            let series = series.unwrap();
            let times = series.samples().map(|sample| sample.unwrap().timestamp as u64 - START);
            sent.entry(identity(&series)["n"].clone()).or_default().extend(times);
        }
    }
    sent
}

/// Two series that four shards keep apart.
fn two_apart() -> [u32; 2] {
    let recipe = recipe();
    let parcel = joined(1, &[&(0..8).map(|series| (series, 0)).collect::<Vec<_>>()]);
    let (lots, _) = lot::split(&parcel, &recipe, 4).unwrap();
    let mut firsts = lots.iter().filter_map(|(_, lot)| {
        let plain = lot.parcel.plain().unwrap();
        Some(identity(&v1::series(&plain).next()?.unwrap())["n"].parse().unwrap())
    });
    [firsts.next().unwrap(), firsts.next().unwrap()]
}

pub(super) fn recipe() -> body::Recipe {
    body::Recipe {
        coding: Coding::Snappy,
        private_fields: PrivateFields::Strip,
        otlp: Arc::new(Options::default()),
    }
}

/// Answers as `reply` whatever holds this series, all else with 204.
async fn peer_of(series: u32, reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Peer {
    let name = series.to_string();
    Peer::answering(move |seen| {
        if sent(std::slice::from_ref(seen)).contains_key(&name) { reply(seen) } else { Reply::status(204) }
    })
    .await
}

/// A peer that answers nobody does so for good, and a test that hangs tells nothing.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("a peer on loopback answers at once")
}

fn many(time: u64) -> Vec<(u32, u64)> {
    (0..64).map(|series| (series, time)).collect()
}

#[tokio::test]
async fn every_shard_has_one_request_in_flight_and_all_of_them_at_the_same_time() {
    for shards in [1, 2, 5] {
        let peer = Peer::answering_together(shards, Reply::status(204)).await;
        let sink = sink(&peer, json!({"shards": shards})).await;
        for parcel in 1..=3 {
            let delivered = soon(sink.deliver(&joined(parcel, &[&many(parcel)]))).await;
            assert_eq!(outcome(delivered), Outcome::Delivered);
            assert_eq!(peer.seen().len(), shards * parcel as usize);
        }
        assert_eq!(sink.in_flight(Signal::Metrics), 1, "the next parcel waits for all shards of this one");
    }
}

#[tokio::test]
async fn every_series_arrives_in_order_and_whole() {
    for shards in [1, 3, 64] {
        let peer = Peer::start(Reply::status(204)).await;
        let sink = sink(&peer, json!({"shards": shards})).await;
        for round in 0..4 {
            let (first, second) = (many(2 * round), many(2 * round + 1));
            let parcel = joined(2 * round + 1, &[&first, &second]);
            assert_eq!(outcome(sink.deliver(&parcel).await), Outcome::Delivered);
        }
        let sent = sent(&peer.seen());
        assert_eq!(sent.len(), 64);
        for (series, times) in sent {
            assert_eq!(times, (0..8).collect::<Vec<_>>(), "{series} of {shards}");
        }
    }
}

#[tokio::test]
async fn only_the_shard_that_failed_is_sent_again() {
    let [bad, good] = two_apart();
    for (reply, again) in [
        (Reply::status(503).header("retry-after", "7"), Outcome::Retry(Some(7))),
        (Reply::status(401), Outcome::Retry(None)),
        (Reply::Hangup, Outcome::Retry(None)),
    ] {
        let answers = std::sync::Mutex::new(vec![reply.clone(), reply]);
        let peer = peer_of(bad, move |_| answers.lock().unwrap().pop().unwrap_or(Reply::status(204))).await;
        let sink = sink(&peer, json!({"shards": 4})).await;
        let pairs = [(bad, 1), (good, 1)];
        let mut outcomes = Vec::new();
        for attempt in 0..3 {
            let parcel = Parcel { attempt, ..joined(1, &[&pairs]) };
            outcomes.push(outcome(sink.deliver(&parcel).await));
        }
        assert_eq!(outcomes.pop(), Some(Outcome::Delivered));
        assert!(outcomes.iter().all(|outcome| *outcome == again), "{outcomes:?}");
        let times = |count| vec![1; count];
        let expected = BTreeMap::from([(bad.to_string(), times(3)), (good.to_string(), times(1))]);
        assert_eq!(sent(&peer.seen()), expected);
        // The next parcel, and this one when it is replayed, are sent whole.
        let next = [joined(2, &[&pairs]), Parcel { replay: 1, ..joined(1, &[&pairs]) }, joined(1, &[&pairs])];
        for parcel in next {
            let before = peer.seen().len();
            assert_eq!(outcome(sink.deliver(&parcel).await), Outcome::Delivered);
            assert_eq!(peer.seen().len(), before + 2);
        }
    }
}

#[tokio::test]
async fn a_replay_in_between_does_not_take_what_is_done_of_the_parcel_in_hand() {
    let [bad, good] = two_apart();
    let peer =
        peer_of(bad, |seen| Reply::status(if seen.header("retry-attempt") == "1" { 204 } else { 503 }));
    let peer = peer.await;
    let sink = sink(&peer, json!({"shards": 4})).await;
    let parcel = joined(1, &[&[(bad, 1), (good, 1)]]);
    assert_eq!(outcome(sink.deliver(&parcel).await), Outcome::Retry(None));
    let replay = Parcel { replay: 3, ..joined(1, &[&[(good, 9)]]) };
    assert_eq!(outcome(sink.deliver(&replay).await), Outcome::Delivered);
    assert_eq!(outcome(sink.deliver(&Parcel { attempt: 1, ..parcel }).await), Outcome::Delivered);
    let expected = BTreeMap::from([(bad.to_string(), vec![1, 1]), (good.to_string(), vec![1, 9])]);
    assert_eq!(sent(&peer.seen()), expected);
}

#[tokio::test]
async fn what_was_refused_before_a_retry_is_still_refused_after_it() {
    let [bad, good] = two_apart();
    let name = good.to_string();
    let peer = Peer::answering(move |seen| {
        let is_good = sent(std::slice::from_ref(seen)).contains_key(&name);
        match seen.header("retry-attempt") {
            _ if is_good => Reply::status(422),
            "1" => Reply::status(204),
            _ => Reply::status(503),
        }
    })
    .await;
    let sink = sink(&peer, json!({"shards": 4})).await;
    let parcel = joined(1, &[&[(bad, 1), (good, 1), (good, 2)]]);
    assert_eq!(outcome(sink.deliver(&parcel).await), Outcome::Retry(None));
    assert_eq!(outcome(sink.deliver(&Parcel { attempt: 1, ..parcel }).await), Outcome::Partly(2, true));
    let expected = BTreeMap::from([(bad.to_string(), vec![1, 1]), (good.to_string(), vec![1, 2])]);
    assert_eq!(sent(&peer.seen()), expected);
}

#[tokio::test]
async fn an_attempt_that_is_dropped_keeps_what_was_answered() {
    let [bad, good] = two_apart();
    let peer = peer_of(bad, |seen| match seen.header("retry-attempt") {
        "1" => Reply::status(204),
        _ => Reply::Silence,
    })
    .await;
    let context = context(std::path::Path::new("/nowhere"), &SetClock::new());
    let metrics = context.metrics.clone();
    let sink = open(&ROW, json!({"url": peer.url("/"), "shards": 4}), context).await;
    let parcel = joined(1, &[&[(bad, 1), (good, STARTED)]]);
    // That the start time got lost is counted when the shard is done.
    let done = async {
        while !metrics.render().contains("reason=\"start\"} 1") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = sink.deliver(&parcel) => panic!("one shard has no answer: {answer:?}"),
        () = soon(done) => {}
    }
    let again = Parcel { attempt: 1, ..parcel };
    assert_eq!(outcome(soon(sink.deliver(&again)).await), Outcome::Delivered);
    let expected = BTreeMap::from([(bad.to_string(), vec![1, 1]), (good.to_string(), vec![STARTED])]);
    assert_eq!(sent(&peer.seen()), expected);
    assert!(metrics.render().contains("reason=\"start\"} 1"), "{}", metrics.render());
}

#[tokio::test]
async fn after_a_restart_all_shards_are_sent_again_and_what_is_there_is_not_called_refused() {
    let late = |seen: &Seen| {
        let count: usize = sent(std::slice::from_ref(seen)).values().map(Vec::len).sum();
        Reply::body(400, "out of order sample for series {n=\"1\"}\n".repeat(count))
            .header("x-prometheus-remote-write-samples-written", "0")
    };
    for (begun, expected) in [(true, Outcome::Delivered), (false, Outcome::Partly(64, false))] {
        let peer = Peer::answering(move |seen| match seen.header("x-prometheus-remote-write-version") {
            "2.0.0" => {
                let v1 = wire::translate::v2_to_v1(&plain(seen)).unwrap().bytes;
                let body = wire::coding::compress(Coding::Snappy, 1, &v1).into();
                late(&Seen { body, ..seen.clone() })
            }
            _ => Reply::status(204),
        })
        .await;
        let settings = json!({"shards": 4, "message": "2.0"});
        let parcel = Parcel { begun, ..joined(1, &[&many(1)]) };
        assert_eq!(outcome(sink(&peer, settings).await.deliver(&parcel).await), expected);
        assert_eq!(peer.seen().len(), 4);
    }
}

#[tokio::test]
async fn what_the_shards_were_refused_is_summed() {
    // Each shard in 2.0 says of its own how many it stored: all but one.
    let peer = Peer::answering(|seen| {
        let v1 = wire::translate::v2_to_v1(&plain(seen)).unwrap().bytes;
        let stored = count(&v1).samples - 1;
        Reply::status(400).header("x-prometheus-remote-write-samples-written", &stored.to_string())
    })
    .await;
    let sink_of_2 = sink(&peer, json!({"shards": 4, "message": "2.0"})).await;
    assert_eq!(outcome(sink_of_2.deliver(&joined(1, &[&many(1)])).await), Outcome::Partly(4, false));
    // In 1.0 the bound is what is in the shards that were refused.
    let [bad, good] = two_apart();
    let peer = peer_of(bad, |_| Reply::status(422)).await;
    let sink_of_1 = sink(&peer, json!({"shards": 4})).await;
    let parcel = joined(1, &[&[(bad, 1), (good, 1), (bad, 2), (good, 2), (good, 3)]]);
    assert_eq!(outcome(sink_of_1.deliver(&parcel).await), Outcome::Partly(2, true));
    assert_eq!(peer.seen().len(), 2);
}

#[tokio::test]
async fn a_sample_that_comes_too_late_narrows_its_shard_alone() {
    let [bad, good] = two_apart();
    // Stores nothing of a request with the sample at 5, and does not read 2.0.
    let name = bad.to_string();
    let peer = Peer::answering(move |seen| {
        if seen.header("x-prometheus-remote-write-version") == "2.0.0" {
            return Reply::status(415);
        }
        let is_late = sent(std::slice::from_ref(seen)).get(&name).is_some_and(|times| times.contains(&5));
        if is_late { Reply::body(400, LATE) } else { Reply::status(204) }
    })
    .await;
    let sink = sink(&peer, json!({"shards": 4})).await;
    let parcel = joined(1, &[&[(good, 5), (bad, 4), (bad, 5), (good, 6), (bad, 6), (bad, 7)]]);
    assert_eq!(outcome(sink.deliver(&parcel).await), Outcome::Partly(1, false));
    let of_1_0: Vec<_> =
        peer.seen().into_iter().filter(|seen| seen.header("content-type").len() < 30).collect();
    let sent = sent(&of_1_0);
    assert_eq!(sent[&good.to_string()], [5, 6], "sent once");
    // Whole, then the first half, of that the first and the second quarter, then the second half.
    assert_eq!(sent[&bad.to_string()], [4, 5, 6, 7, 4, 5, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_shard_that_is_too_large_is_halved_without_the_others() {
    let [bad, good] = two_apart();
    let name = bad.to_string();
    let peer = peer_of(bad, move |seen| {
        let many = sent(std::slice::from_ref(seen))[&name].len() > 2;
        Reply::status(if many { 413 } else { 204 })
    })
    .await;
    let sink = sink(&peer, json!({"shards": 4})).await;
    let requests: [&[(u32, u64)]; 2] = [&[(bad, 1), (bad, 2), (good, 1)], &[(bad, 3), (bad, 4), (good, 2)]];
    assert_eq!(outcome(sink.deliver(&joined(1, &requests)).await), Outcome::Delivered);
    let sent_to = sent(&peer.seen());
    assert_eq!(sent_to[&good.to_string()], [1, 2]);
    assert_eq!(sent_to[&bad.to_string()], [1, 2, 3, 4, 1, 2, 3, 4]);
    // What a sender sent at once is refused for good.
    let alone = joined(3, &[&[(bad, 1), (bad, 2), (bad, 3), (good, 1)]]);
    assert_eq!(outcome(sink.deliver(&alone).await), Outcome::Partly(3, true));
}

#[tokio::test]
async fn halving_what_is_always_too_large_ends() {
    let peer = Peer::start(Reply::status(413)).await;
    let sink = sink(&peer, json!({"shards": 2})).await;
    let times: Vec<(u32, u64)> = (0..2000).map(|time| (0, time)).collect();
    let (first, second) = times.split_at(1000);
    assert_eq!(outcome(sink.deliver(&joined(1, &[first, second])).await), Outcome::Partly(2000, true));
    let requests = peer.seen().len();
    assert!((65..400).contains(&requests), "{requests}");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_before_anything_is_sent() {
    let peer = Peer::start(Reply::status(204)).await;
    let sink = sink(&peer, json!({"shards": 4})).await;
    let good = part(1, Coding::Snappy, &samples_of(&many(1)), 64);
    let bad = part(2, Coding::Snappy, &[0x0a, 0x05, 0x0a], 1);
    let parcel = parcel(Signal::Metrics, Layout::RemoteWrite, vec![good, bad]);
    let answer = sink.deliver(&parcel).await;
    assert!(matches!(answer, Err(Failure::RefusedWhole { .. })), "{answer:?}");
    assert_eq!(peer.seen().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_read_in_one_shard_is_halved_only_when_what_is_there_is_known_to_be() {
    // A sample that is no message is found when private fields are looked for, which is when its shard is sent.
    let [bad, good] = two_apart();
    let mut plain = samples_of(&[(good, 1), (bad, 1)]);
    let broken = samples_of(&[(bad, 2)]);
    let series = fields(&broken).next().unwrap().unwrap().bytes().unwrap();
    put::message(&mut plain, 1, |out| {
        out.extend_from_slice(series);
        put::bytes(out, 2, &[0x0b]);
    });
    let peer = Peer::start(Reply::status(204)).await;
    let sink = sink(&peer, json!({"shards": 4})).await;
    let parcel = parcel(Signal::Metrics, Layout::RemoteWrite, vec![part(1, Coding::Snappy, &plain, 4)]);
    assert_eq!(outcome(sink.deliver(&parcel).await), Outcome::Retry(None));
    let answer = sink.deliver(&Parcel { attempt: 1, ..parcel }).await;
    assert!(matches!(answer, Err(Failure::RefusedWhole { .. })), "{answer:?}");
    assert_eq!(sent(&peer.seen()), BTreeMap::from([(good.to_string(), vec![1])]));
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sink = open_plain(&ROW, json!({"url": format!("http://{gone}/"), "shards": 4})).await;
    for pairs in [many(1), vec![(1, 1)]] {
        let answer = sink.deliver(&joined(1, &[&pairs])).await;
        assert!(matches!(answer, Err(Failure::Unreachable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn metadata_alone_is_one_request() {
    let mut plain = Vec::new();
    for family in ["up", "down", "sideways"] {
        put::message(&mut plain, 3, |out| put::bytes(out, 2, family.as_bytes()));
    }
    let peer = Peer::start(Reply::status(204)).await;
    let parcel = parcel(Signal::Metrics, Layout::RemoteWrite, vec![part(1, Coding::Snappy, &plain, 3)]);
    assert_eq!(outcome(sink(&peer, json!({"shards": 8})).await.deliver(&parcel).await), Outcome::Delivered);
    let seen = peer.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(super::plain(&seen[0]), plain);
}

#[tokio::test]
async fn a_target_info_that_is_refused_costs_no_points_of_its_shard() {
    let has = |seen: &Seen, text: &[u8]| plain(seen).windows(text.len()).any(|window| window == text);
    for shards in [2, 64] {
        let peer = Peer::answering(move |seen| {
            if has(seen, b"target_info") { Reply::body(400, LATE) } else { Reply::status(204) }
        })
        .await;
        let sink = sink(&peer, json!({"shards": shards})).await;
        assert_eq!(outcome(sink.deliver(&of_a_resource(&[1, 2])).await), Outcome::Delivered);
        assert!(peer.seen().iter().any(|seen| has(seen, b"heat")));
        assert!(peer.seen().iter().any(|seen| has(seen, b"target_info")));
    }
}

#[tokio::test]
async fn points_that_are_samples_in_several_shards_are_refused_at_most_so_often() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{
        Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric,
    };
    use prost::Message;
    let point = |time: u64| HistogramDataPoint {
        time_unix_nano: crate::fixture::START.0 + time,
        count: 9,
        sum: Some(1.0),
        bucket_counts: vec![1; 9],
        explicit_bounds: (0..8).map(f64::from).collect(),
        ..HistogramDataPoint::default()
    };
    let metric = |aggregation_temporality: i32, points: u64| Metric {
        name: "took".into(),
        data: Some(metric::Data::Histogram(Histogram {
            data_points: (0..points).map(|time| point(time * 1_000_000)).collect(),
            aggregation_temporality,
        })),
        ..Metric::default()
    };
    // Two of delta temporality have no place in Prometheus.
    let scope = ScopeMetrics { metrics: vec![metric(2, 5), metric(1, 2)], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    let otlp = parcel(Signal::Metrics, Layout::Otlp, vec![part(1, Coding::Gzip, &request, 7)]);
    // Of the shard with the sum a sample is missing, or three of every shard's.
    for (of_sum, of_all, expected) in [(0, 0, None), (1, 0, Some(1)), (0, 3, Some(5))] {
        let peer = Peer::answering(move |seen| {
            let v1 = wire::translate::v2_to_v1(&plain(seen)).unwrap().bytes;
            let has_sum = v1.windows(8).any(|window| window == b"took_sum");
            let stored = count(&v1).samples - of_all - if has_sum { of_sum } else { 0 };
            Reply::status(200).header("x-prometheus-remote-write-samples-written", &stored.to_string())
        })
        .await;
        let context = context(std::path::Path::new("/nowhere"), &SetClock::new());
        let metrics = context.metrics.clone();
        let settings = json!({"url": peer.url("/"), "shards": 4, "message": "2.0"});
        let sink = open(&ROW, settings, context).await;
        let Ok(Receipt::LeftOut { items: 2, refused, .. }) = sink.deliver(&otlp).await else { panic!() };
        let refused = refused.map(|refused| (refused.items, refused.upper_bound));
        assert_eq!(refused, expected.map(|items| (items, true)));
        assert!(metrics.render().contains("reason=\"delta\"} 2"), "{}", metrics.render());
    }
}

#[test]
fn as_much_is_gathered_as_there_are_shards_and_no_more_than_32_mib() {
    let cut = |settings: serde_json::Value| {
        let mut all = json!({"url": "http://peer"});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let cut = runtime.block_on(open_plain(&ROW, all)).cut();
        (cut.max_items, cut.max_stored_bytes)
    };
    assert_eq!(cut(json!({})), (50_000, 1 << 20));
    assert_eq!(cut(json!({"shards": 4})), (200_000, 4 << 20));
    assert_eq!(cut(json!({"shards": 64, "max_bytes": "32MiB"})), (3_200_000, 32 << 20));
    for shards in [0, 65] {
        let problems = (ROW.check)(json!({"url": "http://peer", "shards": shards})).err().unwrap();
        assert_eq!(problems.iter().map(|problem| &*problem.path).collect::<Vec<_>>(), ["shards"]);
    }
}
