//! VictoriaMetrics 1.79.5: remote-write 1.0 in, PromQL and an export out.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{encode, installed};
use crate::process::{Answer, Process, answers, free_port, http};

/// A real VictoriaMetrics.
#[derive(Debug)]
pub struct VictoriaMetrics {
    /// Its process.
    pub process: Process,
    /// Its HTTP port; remote-write goes to `/api/v1/write`.
    pub port: u16,
    folder: PathBuf,
}

impl VictoriaMetrics {
    /// Starts VictoriaMetrics with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        let port = free_port();
        Self { process: launch(folder, port), port, folder: folder.to_owned() }
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, self.port);
    }

    /// The result of an instant query: `data.result`. What was just written may need a second look.
    pub fn query(&self, query: &str) -> Value {
        self.get(&format!("/api/v1/query?query={}", encode(query))).json()["data"]["result"].take()
    }

    /// Every sample of the series that `matcher` selects, a line each: `metric`, `values`, `timestamps` in milliseconds.
    /// What was just written may need a second look.
    pub fn export(&self, matcher: &str) -> Vec<Value> {
        let text = self.get(&format!("/api/v1/export?match%5B%5D={}", encode(matcher))).text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    fn get(&self, path: &str) -> Answer {
        // What was written is searchable soon after a flush, and only seconds later without one.
        self.ask("/internal/force_flush");
        self.ask(path)
    }

    fn ask(&self, path: &str) -> Answer {
        let answer = http(self.port, "GET", path, &[], &[]).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer
    }
}

fn launch(folder: &Path, port: u16) -> Process {
    let mut command = Command::new(installed("victoriametrics").join("root/usr/bin/victoria-metrics"));
    command
        .arg(format!("-storageDataPath={}", folder.join("victoriametrics-data").display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        // Without the two about searching, the newest half minute stays hidden.
        .args(["-retentionPeriod=100y", "-memory.allowedBytes=256MB"])
        .args(["-search.latencyOffset=0s", "-search.disableCache"]);
    let mut process = Process::start("victoriametrics", &mut command, folder.join("victoriametrics.log"));
    process.wait_until("ready", || answers(port, "/health"));
    process
}
