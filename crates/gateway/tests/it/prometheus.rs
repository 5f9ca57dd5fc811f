//! A real Prometheus on both sides: it scrapes and writes to the gateway, the gateway writes to another; every sample that
//! went through is compared by value with what the sender itself has.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use testkit::process::{eventually, free_port};
use testkit::server::Prometheus;

use crate::crash::settled;
use crate::gateway::Gateway;
use crate::stored;

const RECEIVING: &str = "global: {}\nstorage: {tsdb: {out_of_order_time_window: 1h}}\n";

fn sending(gateway: u16, message: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_native_histograms: true, external_labels: {{src: sender}}}}
scrape_configs:
- {{job_name: gateway, static_configs: [{{targets: ['127.0.0.1:{gateway}']}}]}}
- {{job_name: self, static_configs: [{{targets: ['127.0.0.1:@SELF@']}}]}}
remote_write:
- url: http://127.0.0.1:{gateway}/api/v1/write
  protobuf_message: {message}
  send_exemplars: true
  send_native_histograms: true
  queue_config: {{batch_send_deadline: 300ms, min_shards: 1, max_shards: 1}}
"
    )
}

/// Samples (and native histograms, as text) of every series with `job`, by series and time, `external` labels apart.
fn samples(prometheus: &Prometheus, job: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for series in prometheus.query(&format!("{{job=\"{job}\"}}[10m]")).as_array().unwrap() {
        let mut labels = series["metric"].as_object().unwrap().clone();
        labels.remove("src");
        let points: BTreeMap<String, String> = ["values", "histograms"]
            .iter()
            .flat_map(|kind| series[*kind].as_array().into_iter().flatten())
            .map(|point| (point[0].to_string(), point[1].to_string()))
            .collect();
        all.insert(Value::Object(labels).to_string(), points);
    }
    all
}

fn check(message: &str, sink_message: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, mine) = (folder.path().join("receiving"), folder.path().join("sending"));
    let (second, gateway_folder) = (folder.path().join("second"), folder.path().join("gateway"));
    for folder in [&theirs, &mine, &second, &gateway_folder] {
        std::fs::create_dir(folder).unwrap();
    }
    let receiving = Prometheus::start(&theirs, RECEIVING);
    let mut other =
        Gateway::start_at(&second, free_port(), "sinks: { store: { type: store, flush_age: 1s } }\n");
    let mut gateway = Gateway::start(
        &gateway_folder,
        &format!(
            "sinks:
  store: {{ type: store, flush_age: 1s }}
  metrics: {{ type: prometheus, url: 'http://127.0.0.1:{}/api/v1/write', message: '{sink_message}' }}
  other: {{ type: prometheus, url: 'http://127.0.0.1:{}/api/v1/write', message: '{sink_message}' }}
",
            receiving.port, other.port
        ),
    );
    let mut sender = start_sender(&mine, gateway.port, message);

    // Everything that the sender had at some moment, once the receiver has something newer of the same target.
    let before = eventually("ten scrapes of the gateway", || {
        let have = samples(&sender, "gateway");
        have.iter().any(|(series, points)| series.contains("\"up\"") && points.len() >= 10).then_some(())?;
        Some((have, samples(&sender, "self")))
    });
    eventually("the receiver has the same samples, bit for bit", || {
        let got = (samples(&receiving, "gateway"), samples(&receiving, "self"));
        (missing(&before.0, &got.0) == 0 && missing(&before.1, &got.1) == 0).then_some(())
    });
    let points: usize = before.0.values().chain(before.1.values()).map(BTreeMap::len).sum();
    assert!(points > 2000, "only {points} points were compared");
    let native =
        before.1.values().flat_map(BTreeMap::values).filter(|value| value.contains("buckets")).count();
    assert!(native > 0, "no native histogram was compared");

    // What the sender says of its own success.
    let own = sender.query(
        "prometheus_remote_storage_samples_failed_total + prometheus_remote_storage_samples_dropped_total",
    );
    for series in own.as_array().unwrap() {
        assert!(series["value"][1] == "0", "{series}");
    }
    assert!(sender.process.terminate().success());
    let ledger = settled(&gateway);
    for row in ledger["rows"].as_array().unwrap() {
        assert_eq!(row["delivered"], row["accepted"], "{row}");
    }
    settled(&other);
    assert!(gateway.process.terminate().success());
    assert!(other.process.terminate().success());
    let columns = ["timestamp", "metric_name", "attributes", "value"];
    let mut here = stored::rows(&gateway_folder.join("data/sinks/store"), "metrics", &columns);
    let mut there = stored::rows(&second.join("data/sinks/store"), "metrics", &columns);
    here.sort();
    there.sort();
    assert!(here.len() >= points, "{} rows in the store, {points} points at the sender", here.len());
    assert_eq!(here.len(), there.len());
    assert!(here == there, "the second gateway's rows differ");
}

fn start_sender(folder: &Path, gateway: u16, message: &str) -> Prometheus {
    // The sender scrapes itself, so its port must be known beforehand.
    let port = free_port();
    Prometheus::start_at(folder, port, &sending(gateway, message).replace("@SELF@", &port.to_string()))
}

/// Points that `got` lacks or has with another value.
fn missing(
    expected: &BTreeMap<String, BTreeMap<String, String>>,
    got: &BTreeMap<String, BTreeMap<String, String>>,
) -> usize {
    expected
        .iter()
        .map(|(series, points)| {
            let theirs = got.get(series);
            points.iter().filter(|(time, value)| theirs.and_then(|t| t.get(*time)) != Some(value)).count()
        })
        .sum()
}

#[test]
fn remote_write_1_from_prometheus_to_prometheus_keeps_every_sample() {
    check("prometheus.WriteRequest", "1.0");
}

#[test]
fn remote_write_2_from_prometheus_to_prometheus_keeps_every_sample() {
    check("io.prometheus.write.v2.Request", "2.0");
}
