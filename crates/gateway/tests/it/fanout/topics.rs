//! Kafka behind the `kafka` sink.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use testkit::server::Kafka;

use super::back_end::{BackEnd, Fact};
use super::story;
use crate::numbered::Input;

/// How long the broker may take with one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One broker; OTLP requests as JSON.
pub(crate) struct InKafka(Kafka);

impl InKafka {
    pub(crate) fn start(folder: &Path) -> Self {
        Self(Kafka::start(folder))
    }

    /// Every message of a topic, each once: a consumer knows those that were sent again by what their headers say of the
    /// place in the journal.
    fn messages(&self, topic: &str) -> Vec<Value> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", format!("127.0.0.1:{}", self.0.port))
            .set("group.id", "fanout")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let (mut all, mut left) = (TopicPartitionList::new(), 0);
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).unwrap();
            all.add_partition_offset(topic, partition.id(), Offset::Offset(low)).unwrap();
            left += high - low;
        }
        consumer.assign(&all).unwrap();
        let mut messages = BTreeMap::new();
        for _ in 0..left {
            let message = consumer.poll(PATIENCE).unwrap_or_else(|| panic!("{topic} ended early")).unwrap();
            let value: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            let before = messages.insert(place(&message), value.clone());
            assert!(before.is_none_or(|before| before == value), "{topic}: one place, two contents");
        }
        messages.into_values().collect()
    }

    fn logs(&self) -> Vec<(i64, String)> {
        let records = members(self.messages("otlp_logs"), ["resourceLogs", "scopeLogs", "logRecords"]);
        let body = |record: &Value| record["body"]["stringValue"].as_str().unwrap_or_default().to_owned();
        records.iter().map(|record| (nanos(&record["timeUnixNano"]), body(record))).collect()
    }

    fn spans(&self) -> Vec<Value> {
        members(self.messages("otlp_spans"), ["resourceSpans", "scopeSpans", "spans"])
    }
}

/// Where the items of a message stand in the gateway's journal.
fn place(message: &BorrowedMessage<'_>) -> [String; 2] {
    let header = |name: &str| {
        let found = message.headers().unwrap().iter().find(|header| header.key == name);
        String::from_utf8(found.unwrap().value.unwrap().to_vec()).unwrap()
    };
    [header("tidegate-offset"), header("tidegate-item")]
}

/// What lies three lists deep.
fn members(messages: Vec<Value>, names: [&str; 3]) -> Vec<Value> {
    names.iter().fold(messages, |outer, name| {
        outer
            .into_iter()
            .flat_map(|mut one| one[*name].as_array_mut().map(std::mem::take).unwrap_or_default())
            .collect()
    })
}

fn nanos(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

impl BackEnd for InKafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn sink(&self) -> String {
        let json = ["traces", "logs", "metrics"].map(|signal| format!("{signal}: {{ encoding: otlp_json }}"));
        format!(
            "{{ type: kafka, brokers: ['127.0.0.1:{}'], backoff: 200ms, {} }}",
            self.0.port,
            json.join(", ")
        )
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        for span in self.spans() {
            let end = nanos(&span["endTimeUnixNano"]).to_string();
            let start = nanos(&span["startTimeUnixNano"]).to_string();
            facts.extend(Fact::new(Input::Otlp, span["name"].as_str().unwrap_or_default(), &start, end));
        }
        let metrics = members(self.messages("otlp_metrics"), ["resourceMetrics", "scopeMetrics", "metrics"]);
        for point in metrics.iter().flat_map(|metric| metric["gauge"]["dataPoints"].as_array().unwrap()) {
            let number = point["attributes"].as_array().unwrap().iter().find(|a| a["key"] == "number");
            let name = number.unwrap()["value"]["stringValue"].as_str().unwrap();
            let value = point["asDouble"].as_f64().unwrap().to_string();
            let time = nanos(&point["timeUnixNano"]).to_string();
            facts.extend(Fact::new(Input::RemoteWrite, name, &time, value));
        }
        facts.extend(self.logs().iter().filter_map(|(nanos, body)| Fact::of_body(&nanos.to_string(), body)));
        facts
    }

    fn kill(&mut self) {
        self.0.process.kill();
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn check_story(&self, store: &Path) {
        let spans = self.spans().into_iter().map(|span| {
            let text = |name: &str| span[name].as_str().unwrap_or_default();
            (nanos(&span["startTimeUnixNano"]), story::span(text("spanId"), text("name")))
        });
        let found = self.logs().into_iter().chain(spans);
        story::compare(self.name(), &story::of_store(store, &["logs", "traces"], 1), found);
    }
}
