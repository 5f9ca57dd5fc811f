//! What needs no real broker: how reports are judged, what is sent again, what is not.

use std::time::Duration;

use pipeline::PeerRefused;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Error};
use serde_json::json;

use super::read::read;
use super::*;
use crate::fixture::metrics;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topic: &str, partitions: i32) -> (Cluster, String) {
    let cluster = Cluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let brokers = cluster.bootstrap_servers();
    (cluster, brokers)
}

/// Every span's name in a topic.
fn names(brokers: &str, topic: &str) -> Vec<String> {
    let records = read(brokers, topic);
    records
        .iter()
        .flat_map(|record| named(record.payload.as_deref().unwrap()))
        .map(|(_, name)| name)
        .collect()
}

#[tokio::test]
async fn each_trace_goes_to_the_partition_that_java_would_choose() {
    let (_cluster, brokers) = cluster("otlp_spans", 7);
    let sink = sink(&brokers, json!({})).await;
    let pairs: Vec<(u128, String)> =
        (0..300).map(|n| (u128::from(n % 40 + 1u32) << 64, n.to_string())).collect();
    let pairs: Vec<(u128, &str)> = pairs.iter().map(|(id, name)| (*id, name.as_str())).collect();
    let parcel = traces(vec![frame(5, &pairs[..100]), frame(6, &pairs[100..])]);
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    let records = read(&brokers, "otlp_spans");
    assert_eq!(records.len(), 80, "40 traces in each of two requests");
    let mut seen = 0;
    for record in &records {
        let key = record.key.as_deref().unwrap();
        assert_eq!(record.partition, partition(key, 7));
        let spans = named(record.payload.as_deref().unwrap());
        assert!(spans.iter().all(|(id, _)| format!("{id:032x}").as_bytes() == key));
        assert!(spans.is_sorted_by_key(|(_, name)| name.parse::<u32>().unwrap()), "in order");
        seen += spans.len();
        let offset = if spans[0].1.parse::<u32>().unwrap() < 100 { "5" } else { "6" };
        for (name, value) in [
            ("content-type", "application/x-protobuf"),
            ("tidegate-tenant", "default"),
            ("tidegate-signal", "traces"),
            ("tidegate-origin", "test"),
            ("tidegate-offset", offset),
        ] {
            assert_eq!(record.headers[name], value, "{name}");
        }
        let received = crate::fixture::START.millis() + offset.parse::<i64>().unwrap() * 1000;
        assert_eq!(record.timestamp, Some(received));
    }
    assert_eq!(seen, 300);
    sink.close().await;
}

#[tokio::test]
async fn what_the_broker_says_decides_what_becomes_of_the_parcel() {
    let (cluster, brokers) = cluster("otlp_spans", 1);
    let settings = json!({"traces": {"key": "none"}});
    let sink = sink(&brokers, settings).await;
    let parcel = traces(vec![frame(5, &[(1, "a"), (1, "b")])]);
    // The message, the message alone, and its first item alone: the second is good.
    cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 3]);
    let answer = sink.deliver(&parcel).await;
    let Err(Failure::Refused { items }) = &answer else { panic!("{answer:?}") };
    assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [0]);
    assert!(items[0].reason.contains("max_message_bytes"), "{items:?}");
    cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let answer = sink.deliver(&parcel).await;
    assert!(matches!(&answer, Err(Failure::Retry { reason, .. }) if reason.contains("grant")), "{answer:?}");
    cluster.request_errors(Api::Produce, &[Error::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    let answer = sink.deliver(&parcel).await;
    let Err(Failure::Refused { items }) = &answer else { panic!("{answer:?}") };
    assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    assert_eq!(names(&brokers, "otlp_spans"), ["b", "a", "b"]);
}

#[tokio::test]
async fn a_producer_that_lost_its_place_is_replaced() {
    let (cluster, brokers) = cluster("otlp_spans", 1);
    let sink = sink(&brokers, json!({"delivery_timeout": "5s"})).await;
    assert_eq!(sink.deliver(&traces(vec![frame(5, &[(1, "a")])])).await, Ok(Receipt::Delivered));
    let errors = [Error::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER];
    cluster.request_errors(Api::Produce, &errors);
    let second = traces(vec![frame(6, &[(1, "b")])]);
    let mut answer = sink.deliver(&second).await;
    for _ in 0..3 {
        if answer.is_ok() {
            break;
        }
        assert!(matches!(answer, Err(Failure::Retry { .. })), "{answer:?}");
        answer = sink.deliver(&second).await;
    }
    assert_eq!(answer, Ok(Receipt::Delivered));
    assert_eq!(names(&brokers, "otlp_spans"), ["a", "b"]);
}

#[tokio::test]
async fn while_the_brokers_are_away_the_parcel_is_held_and_then_sent_once() {
    let (cluster, brokers) = cluster("otlp_spans", 1);
    let sink = sink(&brokers, json!({"delivery_timeout": "1s"})).await;
    cluster.broker_down(-1).unwrap();
    let parcel = traces(vec![frame(5, &[(1, "a"), (2, "b")])]);
    let answer = sink.deliver(&parcel).await;
    let Err(Failure::Retry { reason, .. }) = &answer else { panic!("{answer:?}") };
    assert!(reason.starts_with("topic otlp_spans: "), "{reason}");
    cluster.broker_up(-1).unwrap();
    deliver_in_the_end(&*sink, &parcel).await;
    assert_eq!(names(&brokers, "otlp_spans"), ["a", "b"]);
}

#[tokio::test]
async fn what_the_brokers_took_of_a_parcel_is_not_sent_again() {
    let (cluster, brokers) = cluster("otlp_spans", 2);
    cluster.partition_leader("otlp_spans", 0, Some(1)).unwrap();
    cluster.partition_leader("otlp_spans", 1, None).unwrap();
    let sink = sink(&brokers, json!({"delivery_timeout": "1s"})).await;
    let all: Vec<(u128, String)> = (1..=20).map(|id| (id, id.to_string())).collect();
    let pairs: Vec<(u128, &str)> = all.iter().map(|(id, name)| (*id, name.as_str())).collect();
    let parcel = traces(vec![frame(5, &pairs)]);
    let answer = sink.deliver(&parcel).await;
    assert!(matches!(answer, Err(Failure::Retry { .. })), "{answer:?}");
    cluster.partition_leader("otlp_spans", 1, Some(1)).unwrap();
    deliver_in_the_end(&*sink, &parcel).await;
    let records = read(&brokers, "otlp_spans");
    let mut names = names(&brokers, "otlp_spans");
    names.sort_by_key(|name| name.parse::<u32>().unwrap());
    assert_eq!(names, all.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>(), "each once");
    assert!(records.iter().any(|r| r.partition == 0) && records.iter().any(|r| r.partition == 1));
}

#[tokio::test]
async fn nothing_of_a_cancelled_delivery_is_sent_later() {
    let (cluster, brokers) = cluster("otlp_spans", 1);
    let sink = sink(&brokers, json!({})).await;
    cluster.broker_down(-1).unwrap();
    let first = traces(vec![frame(5, &[(1, "cancelled")])]);
    let cancelled = tokio::time::timeout(Duration::from_millis(300), sink.deliver(&first)).await;
    assert!(cancelled.is_err(), "{cancelled:?}");
    cluster.broker_up(-1).unwrap();
    assert_eq!(sink.deliver(&traces(vec![frame(6, &[(1, "later")])])).await, Ok(Receipt::Delivered));
    assert_eq!(names(&brokers, "otlp_spans"), ["later"]);
}

#[tokio::test]
async fn a_parcel_of_more_messages_than_the_producer_holds_waits_for_room() {
    let (_cluster, brokers) = cluster("otlp_spans", 4);
    let sink = sink(&brokers, json!({"compression": "lz4"})).await;
    let count = 45_000u32;
    let pairs: Vec<(u128, &str)> = (1..=count).map(|id| (u128::from(id), "s")).collect();
    assert_eq!(sink.deliver(&traces(vec![frame(5, &pairs)])).await, Ok(Receipt::Delivered));
    let mut ids: Vec<u128> = read(&brokers, "otlp_spans")
        .iter()
        .flat_map(|record| named(record.payload.as_deref().unwrap()))
        .map(|(id, _)| id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=u128::from(count)).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_item_too_large_is_refused_by_name_and_the_rest_is_there() {
    let (_cluster, brokers) = cluster("otlp_spans", 1);
    let sink = sink(&brokers, json!({"max_message_bytes": "4KiB"})).await;
    let long = "x".repeat(5000);
    let parcel = traces(vec![frame(5, &[(1, "a"), (2, &long), (3, "c")])]);
    let answer = sink.deliver(&parcel).await;
    let Err(Failure::Refused { items }) = &answer else { panic!("{answer:?}") };
    assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [1]);
    assert_eq!(names(&brokers, "otlp_spans"), ["a", "c"]);
}

#[tokio::test]
async fn each_tenant_has_its_topic_when_asked_for() {
    let (cluster, brokers) = cluster("spans.team-a", 1);
    cluster.create_topic("spans.team-b", 1, 1).unwrap();
    let sink = sink(&brokers, json!({"traces": {"topic": "spans.{tenant}"}})).await;
    for tenant in ["team-a", "team-b"] {
        let parcel =
            Parcel { tenant: model::Tenant::new(tenant).unwrap(), ..traces(vec![frame(5, &[(1, tenant)])]) };
        assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    }
    for tenant in ["team-a", "team-b"] {
        let topic = format!("spans.{tenant}");
        assert_eq!(names(&brokers, &topic), [tenant]);
        assert_eq!(read(&brokers, &topic)[0].headers["tidegate-tenant"], tenant);
    }
}

#[tokio::test]
async fn translated_points_that_have_no_place_are_booked_as_not_delivered() {
    let (_cluster, brokers) = cluster("otlp_metrics", 1);
    let sink = sink(&brokers, json!({})).await;
    let mut parcel = metrics(5, &[1.0, 2.0]);
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    assert_eq!(read(&brokers, "otlp_metrics").len(), 2);
    // A metadata entry alone: OTLP has no place for it.
    let mut plain = Vec::new();
    wire::put::message(&mut plain, 3, |entry| wire::put::bytes(entry, 2, b"up"));
    parcel.parts = vec![part(6, Coding::Snappy, &plain, 1)];
    let answer = sink.deliver(&parcel).await;
    let expected = [
        Ok(Receipt::Delivered),
        Ok(Receipt::Partly(PeerRefused { items: 1, upper_bound: false, reason: String::new() })),
    ];
    assert!(expected.contains(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_signal_that_is_not_taken_is_refused() {
    let (_cluster, brokers) = cluster("otlp_logs", 1);
    let sink = sink(&brokers, json!({"signals": ["logs"]})).await;
    let answer = sink.deliver(&traces(vec![frame(5, &[(1, "a")])])).await;
    assert!(matches!(answer, Err(Failure::RefusedWhole { .. })), "{answer:?}");
}
