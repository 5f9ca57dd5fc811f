//! Kafka topics, read from their beginning to where they end now.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

/// How long a broker may take with one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes topics that take no more than so many bytes at once.
pub(crate) fn make_topics(brokers: &str, topics: &[&str], most: u32) -> Result<(), String> {
    let failed = |error: rdkafka::error::KafkaError| error.to_string();
    let client: AdminClient<_> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(failed)?;
    let most = most.to_string();
    let new = topics
        .iter()
        .map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &most));
    let new: Vec<NewTopic<'_>> = new.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in runtime.block_on(client.create_topics(&new, &options)).map_err(failed)? {
        made.map_err(|(topic, code)| format!("{topic}: {code}"))?;
    }
    Ok(())
}

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
