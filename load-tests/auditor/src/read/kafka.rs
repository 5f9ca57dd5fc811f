//! Kafka topics, read from their beginning to where they end now.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

/// How long a broker may take with one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The payload of every message of a topic; none where there is no such topic.
pub(crate) fn read(brokers: &str, topic: &str) -> Result<Vec<Vec<u8>>, String> {
    let failed = |error: rdkafka::error::KafkaError| format!("{topic}: {error}");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "auditor")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create()
        .map_err(failed)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(failed)?;
    let mut left = 0u64;
    let mut all = TopicPartitionList::new();
    let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
    for partition in partitions.map(rdkafka::metadata::MetadataPartition::id) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(failed)?;
        left += u64::try_from(high - low).unwrap_or(0);
        all.add_partition_offset(topic, partition, Offset::Offset(low)).map_err(failed)?;
    }
    let mut messages = Vec::new();
    if left == 0 {
        return Ok(messages);
    }
    consumer.assign(&all).map_err(failed)?;
    while left > 0 {
        let message =
            consumer.poll(PATIENCE).ok_or_else(|| format!("{topic}: {left} messages are missing"))?;
        messages.push(message.map_err(failed)?.payload().unwrap_or_default().to_vec());
        left -= 1;
    }
    Ok(messages)
}
