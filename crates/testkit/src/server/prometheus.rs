//! Prometheus: remote-write 1.0 and 2.0 and OTLP in, PromQL out.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{binary, encode};
use crate::process::{Process, answers, free_port, http, write};

/// A real Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// Its process.
    pub process: Process,
    /// Its port, for queries, remote-write and OTLP.
    pub port: u16,
    folder: PathBuf,
    messages: &'static [&'static str],
}

/// What a Prometheus reads unless it is told otherwise.
const BOTH: &[&str] = &["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

impl Prometheus {
    /// Starts Prometheus with `config` (YAML) and its data below `folder`. It takes remote-write 1.0 and 2.0 and OTLP.
    pub fn start(folder: &Path, config: &str) -> Self {
        Self::start_at(folder, free_port(), config)
    }

    /// The same, on a port that its own configuration names.
    pub fn start_at(folder: &Path, port: u16, config: &str) -> Self {
        Self::start_with(folder, port, config, BOTH)
    }

    /// One that answers 415 to remote-write 2.0.
    pub fn start_reading_1_0(folder: &Path) -> Self {
        Self::start_with(folder, free_port(), "global: {}\n", &BOTH[..1])
    }

    fn start_with(folder: &Path, port: u16, config: &str, messages: &'static [&'static str]) -> Self {
        write(folder, "prometheus.yml", config);
        Self { process: launch(folder, port, messages), port, folder: folder.to_owned(), messages }
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, self.port, self.messages);
    }

    /// The result of an instant query: `data.result`.
    pub fn query(&self, query: &str) -> serde_json::Value {
        let path = format!("/api/v1/query?query={}", encode(query));
        let answer = http(self.port, "GET", &path, &[], &[]).expect("prometheus answers");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"].take()
    }
}

fn launch(folder: &Path, port: u16, messages: &[&str]) -> Process {
    let mut command = Command::new(binary("prometheus"));
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("prometheus-data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--web.enable-remote-write-receiver", "--web.enable-otlp-receiver"])
        .arg("--enable-feature=exemplar-storage,native-histograms,metadata-wal-records");
    for message in messages {
        command.arg(format!("--web.remote-write-receiver.accepted-protobuf-messages={message}"));
    }
    let mut process = Process::start("prometheus", &mut command, folder.join("prometheus.log"));
    process.wait_until("ready", || answers(port, "/-/ready"));
    process
}
