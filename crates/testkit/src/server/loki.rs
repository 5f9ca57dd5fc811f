//! Grafana Loki 3.7.8 (`--all`): pushes in, LogQL out.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{binary, encode};
use crate::process::{Process, answers, free_port, http, write};

/// A real Loki of one tenant.
#[derive(Debug)]
pub struct Loki {
    /// Its process.
    pub process: Process,
    /// Its HTTP port; pushes go to `/loki/api/v1/push`.
    pub port: u16,
    folder: PathBuf,
}

impl Loki {
    /// Starts Loki with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, "")
    }

    /// The same with further members of `limits_config`, such as `ingestion_rate_mb: 0.0001, ingestion_burst_size_mb:
    /// 0.0001`, which makes it answer 429.
    pub fn start_with(folder: &Path, limits: &str) -> Self {
        let port = free_port();
        let mut loki = Self { process: launch_on(folder, port, limits), port, folder: folder.to_owned() };
        loki.process.wait_until("ready", || answers(port, "/ready"));
        loki
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.restart_with("");
    }

    /// The same with other further limits.
    pub fn restart_with(&mut self, limits: &str) {
        self.process.kill();
        let port = self.port;
        self.process = launch_on(&self.folder, port, limits);
        self.process.wait_until("ready", || answers(port, "/ready"));
    }

    /// The streams of a range query, oldest first, at most `limit` lines: `data.result`.
    pub fn query_range(&self, query: &str, from_nanos: u64, to_nanos: u64, limit: usize) -> Value {
        let path = format!(
            "/loki/api/v1/query_range?query={}&start={from_nanos}&end={to_nanos}&limit={limit}&direction=forward",
            encode(query)
        );
        let answer =
            http(self.port, "GET", &path, &[], &[]).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"].take()
    }
}

fn launch_on(folder: &Path, port: u16, limits: &str) -> Process {
    let data = folder.join("loki-data");
    let file = write(folder, "loki.yaml", &config(&data, port, limits));
    let mut command = Command::new(binary("loki"));
    command.arg(format!("-config.file={}", file.display())).arg("-target=all").current_dir(folder);
    Process::start("loki", &mut command, folder.join("loki.log"))
}

fn config(data: &Path, port: u16, limits: &str) -> String {
    let (grpc, gossip) = (free_port(), free_port());
    let data = data.display();
    // YAML takes each key once.
    let age = if limits.contains("reject_old_samples:") { "" } else { "reject_old_samples: false, " };
    // Fresh lines are in the ingester, however old they are: it is asked for any time (two settings; -1ns is for ever).
    // Ready at once (no ring to settle, no ten seconds between looks at the scheduler); lines of any age and over any time, as many in one
    // answer as its own messages hold (100 MiB). Busy streams are not split: the ingesters know equal lines of one stream alone.
    format!(
        "auth_enabled: false
analytics: {{ reporting_enabled: false }}
server:
  http_listen_address: 127.0.0.1
  http_listen_port: {port}
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: {grpc}
  grpc_server_max_recv_msg_size: 104857600
  grpc_server_max_send_msg_size: 104857600
  http_server_write_timeout: 2m
  log_level: warn
common:
  instance_addr: 127.0.0.1
  path_prefix: {data}
  storage: {{ filesystem: {{ chunks_directory: {data}/chunks, rules_directory: {data}/rules }} }}
  replication_factor: 1
  ring: {{ instance_addr: 127.0.0.1, kvstore: {{ store: inmemory }} }}
memberlist: {{ bind_addr: [127.0.0.1], bind_port: {gossip} }}
schema_config:
  configs:
    - from: 2020-10-24
      store: tsdb
      object_store: filesystem
      schema: v13
      index: {{ prefix: index_, period: 24h }}
querier: {{ query_ingesters_within: 0 }}
ingester: {{ query_store_max_look_back_period: -1ns, lifecycler: {{ min_ready_duration: 0s, final_sleep: 0s }} }}
limits_config: {{ allow_structured_metadata: true, {age}max_entries_limit_per_query: 1000000, max_query_length: 0, split_queries_by_interval: 0, shard_streams: {{ enabled: false }}, {limits} }}
frontend: {{ scheduler_dns_lookup_period: 500ms }}
pattern_ingester: {{ enabled: false }}
compactor: {{ working_directory: {data}/compactor }}
ruler: {{ storage: {{ type: local, local: {{ directory: {data}/rules }} }}, rule_path: {data}/rules-tmp }}
"
    )
}
