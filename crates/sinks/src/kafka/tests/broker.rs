//! Against a real Kafka: what a consumer reads is what was delivered, by value, whatever happens to the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::{Value as Json, json};
use testkit::server::Kafka;

use super::read::{Record, read};
use super::*;
use crate::fixture::metrics;

fn brokers(kafka: &Kafka) -> String {
    format!("127.0.0.1:{}", kafka.port)
}

async fn topic(brokers: &str, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    let made = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

fn logs(texts: &[&str]) -> Vec<u8> {
    let record = |(number, text): (usize, &&str)| LogRecord {
        time_unix_nano: 1_795_253_400_000_000_000 + number as u64,
        body: Some(AnyValue { value: Some(Value::StringValue((*text).to_owned())) }),
        ..LogRecord::default()
    };
    let log_records = texts.iter().enumerate().map(record).collect();
    let scope = ScopeLogs { log_records, ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

fn logs_of(offset: u64, texts: &[&str]) -> Parcel {
    let frame = part(offset, Coding::Zstd, &logs(texts), texts.len() as u32);
    parcel(Signal::Logs, Layout::Otlp, vec![frame])
}

fn payload(record: &Record) -> &[u8] {
    record.payload.as_deref().unwrap()
}

#[tokio::test]
async fn what_is_read_back_is_what_was_delivered_in_every_encoding_and_compression() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(folder.path());
    let brokers = brokers(&kafka);
    let texts = ["{\"RayID\":\"7a\",\"städte\":[\"Zürich\",\"東京\"]}", "", "emoji 🌍\u{0}tail"];
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for encoding in ["otlp_proto", "otlp_json", "raw"] {
            let name = format!("logs-{compression}-{encoding}");
            let settings = json!({
                "compression": compression, "signals": ["logs"],
                "logs": {"topic": name, "encoding": encoding},
            });
            let sink = sink(&brokers, settings).await;
            assert_eq!(sink.deliver(&logs_of(7, &texts)).await, Ok(Receipt::Delivered), "{name}");
            sink.close().await;
            let records = read(&brokers, &name);
            match encoding {
                "otlp_proto" => {
                    let [record] = &records[..] else { panic!("{records:?}") };
                    assert_eq!(payload(record), logs(&texts));
                    assert_eq!(record.headers["content-type"], "application/x-protobuf");
                }
                "otlp_json" => {
                    let [record] = &records[..] else { panic!("{records:?}") };
                    let json: Json = serde_json::from_slice(payload(record)).unwrap();
                    let records = &json["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
                    assert_eq!(records[0]["body"]["stringValue"], texts[0]);
                    assert_eq!(records[2]["body"]["stringValue"], texts[2]);
                    assert_eq!(records[1]["timeUnixNano"], "1795253400000000001");
                    assert_eq!(record.headers["content-type"], "application/json");
                }
                _ => {
                    let seen: Vec<&[u8]> =
                        records.iter().map(|r| r.payload.as_deref().unwrap_or_default()).collect();
                    assert_eq!(seen, texts.map(str::as_bytes));
                    assert!(
                        records.iter().all(|record| record.payload.is_some()),
                        "an empty body is no tombstone"
                    );
                    let items: Vec<&str> =
                        records.iter().map(|r| r.headers["tidegate-item"].as_str()).collect();
                    assert_eq!(items, ["0", "1", "2"]);
                }
            }
            for record in &records {
                assert_eq!(record.key, None);
                assert_eq!(record.headers["tidegate-signal"], "logs");
                assert_eq!(record.headers["tidegate-offset"], "7");
                assert_eq!(record.headers["tidegate-origin"], "test");
            }
        }
    }
}

#[tokio::test]
async fn keys_choose_the_partitions_that_javas_producer_would() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(folder.path());
    let brokers = brokers(&kafka);
    topic(&brokers, "otlp_spans", 6, &[]).await;
    topic(&brokers, "otlp_metrics", 6, &[]).await;
    for key in ["trace_id", "trace_id_binary"] {
        let sink = sink(&brokers, json!({"traces": {"key": key}})).await;
        let pairs: Vec<(u128, &str)> = (1..=200).map(|id| (id % 50 + 1, key)).collect();
        assert_eq!(sink.deliver(&traces(vec![frame(5, &pairs)])).await, Ok(Receipt::Delivered));
    }
    let records = read(&brokers, "otlp_spans");
    assert_eq!(records.len(), 100);
    for record in &records {
        let key = record.key.as_deref().unwrap();
        assert_eq!(record.partition, partition(key, 6));
        let spans = named(payload(record));
        assert_eq!(spans.len(), 4);
        for (id, name) in spans {
            let expected = if name == "trace_id" {
                format!("{id:032x}").into_bytes()
            } else {
                id.to_be_bytes().to_vec()
            };
            assert_eq!(key, expected);
        }
    }
    // Remote-write, in two requests that are two parcels: one series stays in one partition, in order.
    let sink = sink(&brokers, json!({})).await;
    for (offset, base) in [(1, 0.0), (2, 100.0)] {
        let values: Vec<f64> = (0..40).map(|n| base + f64::from(n)).collect();
        assert_eq!(sink.deliver(&metrics(offset, &values)).await, Ok(Receipt::Delivered));
    }
    let mut series: BTreeMap<Vec<u8>, Vec<(i32, f64)>> = BTreeMap::new();
    for record in read(&brokers, "otlp_metrics") {
        wire::otlp::metrics::each_point(payload(&record), |_, _, _, point| {
            let wire::otlp::metrics::Point::Number(point) = point else { panic!("{point:?}") };
            let Some(wire::otlp::metrics::Number::Double(bits)) = point.value else { panic!("{point:?}") };
            series
                .entry(record.key.clone().unwrap())
                .or_default()
                .push((record.partition, f64::from_bits(bits)));
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(series.len(), 40);
    for (key, points) in series {
        let (at, first) = points[0];
        assert_eq!(at, partition(&key, 6));
        assert_eq!(points[1..], [(at, first + 100.0)]);
    }
}

#[tokio::test]
async fn nothing_is_lost_nor_reordered_when_the_broker_is_killed_in_mid_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start(folder.path());
    let brokers = brokers(&kafka);
    let sink = sink(&brokers, json!({"delivery_timeout": "2s", "logs": {"encoding": "raw"}})).await;
    let count = 200;
    let (killed, kill) = tokio::sync::oneshot::channel();
    let stream = async {
        let mut killed = Some(killed);
        for number in 0..count {
            if number == count / 2 {
                let _ = killed.take().unwrap().send(());
            }
            let parcel = logs_of(number, &[&format!("{number} a"), &format!("{number} b")]);
            loop {
                match sink.deliver(&parcel).await {
                    Ok(receipt) => break assert_eq!(receipt, Receipt::Delivered),
                    Err(Failure::Retry { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    };
    let restart = std::thread::spawn(move || {
        kill.blocking_recv().unwrap();
        kafka.process.kill();
        // Away for longer than a message may take.
        let away = std::time::Instant::now();
        while away.elapsed() < Duration::from_secs(4) {
            testkit::process::pause();
        }
        kafka.restart();
        kafka
    });
    stream.await;
    let kafka = restart.join().unwrap();
    let seen: Vec<String> = read(&brokers, "otlp_logs")
        .iter()
        .map(|record| String::from_utf8(payload(record).to_vec()).unwrap())
        .collect();
    // A message whose acknowledgement was lost with the broker may be there twice; none is missing, and none comes before an earlier one.
    let expected: Vec<String> =
        (0..count).flat_map(|number| ["a", "b"].map(|half| format!("{number} {half}"))).collect();
    let mut first_seen = Vec::new();
    for text in &seen {
        if !first_seen.contains(text) {
            first_seen.push(text.clone());
        }
    }
    assert_eq!(first_seen, expected);
    assert!(seen.len() <= expected.len() + 4, "{} of {} twice", seen.len() - expected.len(), expected.len());
    drop(kafka);
}

#[tokio::test]
async fn what_only_the_broker_finds_too_large_is_found_and_all_else_arrives_once() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_with(folder.path(), "message.max.bytes=20000");
    let brokers = brokers(&kafka);
    let sink = sink(&brokers, json!({"compression": "none", "logs": {"encoding": "otlp_proto"}})).await;
    let large = "x".repeat(30_000);
    let texts = ["one", "two", &large, "four", "five"];
    let whole = logs_of(1, &texts);
    let Err(Failure::Refused { items }) = sink.deliver(&whole).await else { panic!("nothing was refused") };
    assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [2]);
    assert!(items[0].reason.contains("max_message_bytes"), "{items:?}");
    let seen: Vec<Vec<u8>> =
        read(&brokers, "otlp_logs").iter().map(|record| payload(record).to_vec()).collect();
    for (at, text) in texts.iter().enumerate() {
        let holds = |message: &&Vec<u8>| message.windows(text.len()).any(|window| window == text.as_bytes());
        assert_eq!(seen.iter().filter(holds).count(), usize::from(at != 2), "{at}");
    }
    // Set to what the broker takes, the sink finds it by itself.
    let settings = json!({"max_message_bytes": "16KiB", "logs": {"encoding": "raw", "topic": "mended"}});
    let mended = super::sink(&brokers, settings).await;
    let answer = mended.deliver(&whole).await;
    let Err(Failure::Refused { items }) = answer else { panic!("{answer:?}") };
    assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [2]);
    let seen = read(&brokers, "mended");
    assert_eq!(seen.iter().map(payload).collect::<Vec<_>>(), [&b"one"[..], b"two", b"four", b"five"]);
}

#[tokio::test]
async fn wrong_credentials_hold_the_data_until_they_are_mended() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_secure(folder.path());
    let settings = |password: &str| {
        json!({
            "delivery_timeout": "3s",
            "logs": {"encoding": "raw"},
            "sasl": {"mechanism": "plain", "user": Kafka::USER, "password": password},
        })
    };
    let secure = format!("127.0.0.1:{}", kafka.sasl_port);
    let parcel = logs_of(1, &["held"]);
    let wrong = sink(&secure, settings("wrong")).await;
    let answer = wrong.deliver(&parcel).await;
    let Err(Failure::Retry { reason, .. }) = &answer else { panic!("{answer:?}") };
    assert!(reason.to_lowercase().contains("authentication"), "{reason}");
    wrong.close().await;
    let right = sink(&secure, settings(Kafka::PASSWORD)).await;
    assert_eq!(right.deliver(&parcel).await, Ok(Receipt::Delivered));
    let seen = read(&brokers(&kafka), "otlp_logs");
    assert_eq!(seen.iter().map(payload).collect::<Vec<_>>(), [b"held"]);
    #[cfg(feature = "kafka-tls")]
    with_scram_and_tls(&kafka).await;
}

/// Every way in that needs OpenSSL.
#[cfg(feature = "kafka-tls")]
async fn with_scram_and_tls(kafka: &Kafka) {
    let mut expected = vec![b"held".to_vec()];
    for (port, tls) in [(kafka.sasl_port, false), (kafka.tls_port, true)] {
        for mechanism in ["plain", "scram_sha_256", "scram_sha_512"] {
            let mut settings = json!({
                "delivery_timeout": "10s",
                "logs": {"encoding": "raw"},
                "sasl": {"mechanism": mechanism, "user": Kafka::USER, "password": Kafka::PASSWORD},
            });
            if tls {
                settings["tls"] = json!({"ca_file": kafka.ca()});
            }
            let text = format!("{mechanism} {tls}");
            let sink = sink(&format!("127.0.0.1:{port}"), settings).await;
            assert_eq!(sink.deliver(&logs_of(2, &[&text])).await, Ok(Receipt::Delivered), "{text}");
            expected.push(text.into_bytes());
        }
    }
    let settings = json!({
        "delivery_timeout": "3s",
        "sasl": {"mechanism": "scram_sha_512", "user": Kafka::USER, "password": "wrong"},
        "tls": {"ca_file": kafka.ca()},
    });
    let wrong = sink(&format!("127.0.0.1:{}", kafka.tls_port), settings).await;
    let answer = wrong.deliver(&logs_of(3, &["held"])).await;
    let Err(Failure::Retry { reason, .. }) = &answer else { panic!("{answer:?}") };
    assert!(reason.to_lowercase().contains("authentication"), "{reason}");
    wrong.close().await;
    // A broker that shows a certificate of nobody's is not spoken to.
    let settings = json!({
        "delivery_timeout": "2s",
        "sasl": {"mechanism": "plain", "user": Kafka::USER, "password": Kafka::PASSWORD},
        "tls": {},
    });
    let sink = sink(&format!("127.0.0.1:{}", kafka.tls_port), settings).await;
    let answer = sink.deliver(&logs_of(3, &["to nobody"])).await;
    let Err(Failure::Retry { reason, .. }) = &answer else { panic!("{answer:?}") };
    assert!(reason.to_lowercase().contains("certificate"), "{reason}");
    let seen = read(&brokers(kafka), "otlp_logs");
    assert_eq!(seen.into_iter().map(|record| record.payload.unwrap()).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_topic_that_is_missing_holds_the_data_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start_with(folder.path(), "auto.create.topics.enable=false");
    let brokers = brokers(&kafka);
    let sink = sink(&brokers, json!({"delivery_timeout": "2s", "logs": {"encoding": "raw"}})).await;
    let parcel = logs_of(1, &["held"]);
    let answer = sink.deliver(&parcel).await;
    assert!(
        matches!(&answer, Err(Failure::Retry { reason, .. }) if reason.contains("otlp_logs")),
        "{answer:?}"
    );
    topic(&brokers, "otlp_logs", 1, &[]).await;
    deliver_in_the_end(&*sink, &parcel).await;
    assert_eq!(read(&brokers, "otlp_logs").iter().map(payload).collect::<Vec<_>>(), [b"held"]);
}

#[tokio::test]
async fn a_compacted_topic_refuses_messages_without_a_key_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(folder.path());
    let brokers = brokers(&kafka);
    topic(&brokers, "otlp_logs", 1, &[("cleanup.policy", "compact")]).await;
    let sink = sink(&brokers, json!({"logs": {"encoding": "raw"}})).await;
    let answer = sink.deliver(&logs_of(1, &["a", "b"])).await;
    let Err(Failure::Refused { items }) = &answer else { panic!("{answer:?}") };
    assert_eq!(items.iter().map(|item| item.index).collect::<Vec<_>>(), [0, 1]);
    assert!(items[0].reason.contains("compacted"), "{}", items[0].reason);
}
