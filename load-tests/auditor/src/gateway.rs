//! The gateway under audit: a process that is given a configuration, killed, started again and asked for its ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use testkit::process::{Process, answers, free_port, http, write};

use crate::json;

/// A running gateway; dropping it kills the process.
#[derive(Debug)]
pub struct Gateway {
    binary: PathBuf,
    folder: PathBuf,
    config: PathBuf,
    port: u16,
    secrets: BTreeMap<&'static str, String>,
    process: Process,
}

impl Gateway {
    /// Starts `binary` with its data below `folder`, these sinks (names with YAML mappings) and these secrets in its
    /// environment.
    pub fn start(
        binary: &Path,
        folder: &Path,
        sinks: &[(&str, String)],
        secrets: BTreeMap<&'static str, String>,
    ) -> Self {
        let port = free_port();
        let mut text = format!(
            // What is made of the items is not what was sent: deliveries are audited alone.
            "data: {}\nfront_door: {{ addresses: ['127.0.0.1:{port}'] }}\nstitch: {{ enabled: false }}\nsinks:\n",
            data(folder).display()
        );
        for (name, sink) in sinks {
            text += &format!("  {name}: {sink}\n");
        }
        let config = write(folder, "tidegate.yaml", &text);
        let process = spawn(binary, folder, &config, &secrets);
        let (binary, folder) = (binary.to_owned(), folder.to_owned());
        let mut gateway = Self { binary, folder, config, port, secrets, process };
        gateway.wait_ready();
        gateway
    }

    fn wait_ready(&mut self) {
        let port = self.port;
        self.process.wait_until("ready", || answers(port, "/readyz"));
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`, and a new start on the same data.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.binary, &self.folder, &self.config, &self.secrets);
        self.wait_ready();
    }

    /// Ends it in order and starts it on the same data with another secret in each of these variables.
    pub fn restart_with(&mut self, secrets: &[(&'static str, &str)]) -> Result<(), String> {
        self.stop()?;
        self.secrets.extend(secrets.iter().map(|(name, secret)| (*name, (*secret).to_owned())));
        self.kill_and_restart();
        Ok(())
    }

    /// Ends it in order.
    pub fn stop(&mut self) -> Result<(), String> {
        let status = self.process.terminate();
        if status.success() { Ok(()) } else { Err(format!("the gateway ended with {status}")) }
    }

    /// Its ledger.
    pub fn ledger(&self) -> Result<Json, String> {
        self.get("/api/v1/ledger")
    }

    /// What it answers to `GET path`.
    pub fn get(&self, path: &str) -> Result<Json, String> {
        let answer = http(self.port, "GET", path, &[], &[]).map_err(|error| format!("{path}: {error}"))?;
        if answer.status != 200 {
            return Err(format!("{path}: {} {}", answer.status, answer.text()));
        }
        json::read_bytes(&answer.body)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Where a gateway whose files lie below `folder` keeps its data.
pub fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn spawn(binary: &Path, folder: &Path, config: &Path, secrets: &BTreeMap<&str, String>) -> Process {
    let mut command = Command::new(binary);
    command.arg("--config").arg(config).current_dir(folder).env_remove("TIDEGATE_DATA").envs(secrets);
    Process::start("tidegate", &mut command, folder.join("tidegate.log"))
}
