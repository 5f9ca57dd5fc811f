//! Zipkin 3.5.1 (`--all`): spans in, traces by id out, in memory.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::installed;
use crate::process::{Process, answers, free_port, http};

/// A real Zipkin.
#[derive(Debug)]
pub struct Zipkin {
    /// Its process.
    pub process: Process,
    /// Its port; spans go to `/api/v2/spans`.
    pub port: u16,
}

impl Zipkin {
    /// Starts Zipkin with its log below `folder`.
    pub fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new("java");
        command.env("QUERY_PORT", port.to_string());
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        // Its own setting for the port would listen on every interface.
        command.args(["-Darmeria.ports[0].ip=127.0.0.1", "-Darmeria.ports[0].protocol=HTTP"]);
        command.arg(format!("-Darmeria.ports[0].port={port}")).arg("-jar");
        command.arg(installed("zipkin").join("lib/zipkin-server-3.5.1-exec.jar"));
        command.arg("--logging.level.root=WARN").current_dir(folder);
        let mut process = Process::start("zipkin", &mut command, folder.join("zipkin.log"));
        process.wait_until("ready", || answers(port, "/health"));
        Self { process, port }
    }

    /// The spans of one trace; `None` while it has none.
    pub fn trace(&self, id: &str) -> Option<Value> {
        let answer = http(self.port, "GET", &format!("/api/v2/trace/{id}"), &[], &[]).ok()?;
        (answer.status == 200).then(|| answer.json())
    }
}
