//! What a topic holds, by librdkafka's consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

/// A message as a consumer sees it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) partition: i32,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) timestamp: Option<i64>,
}

/// All that `topic` holds now, partition by partition, each in order.
pub(super) fn read(brokers: &str, topic: &str) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), testkit::process::PATIENCE).unwrap();
    let mut open: BTreeSet<i32> =
        metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    assert!(!open.is_empty(), "{topic} has no partitions");
    let mut list = TopicPartitionList::new();
    for partition in &open {
        list.add_partition_offset(topic, *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut records = Vec::new();
    while !open.is_empty() {
        match consumer.poll(testkit::process::PATIENCE) {
            Some(Ok(message)) => {
                let headers = message.headers().map(|headers| {
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                    headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
                });
                records.push(Record {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    payload: message.payload().map(<[u8]>::to_vec),
                    headers: headers.unwrap_or_default(),
                    timestamp: message.timestamp().to_millis(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => panic!("{topic}: {error}"),
            None => panic!("{topic}: no answer"),
        }
    }
    let _ = consumer.poll(Duration::ZERO);
    records.sort_by_key(|record| record.partition);
    records
}
