//! A gateway under test: a process with a folder, a configuration and ports of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::process::{Answer, Process, answers, eventually, free_port, http, write};

/// A running gateway; dropping it kills the process.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    config: PathBuf,
}

impl Gateway {
    /// Starts a gateway whose files lie in `folder`. `sections` is YAML after `data` and `front_door`.
    pub(crate) fn start(folder: &Path, sections: &str) -> Self {
        Self::start_at(folder, free_port(), sections)
    }

    /// The same, on a port that somebody else must know beforehand.
    pub(crate) fn start_at(folder: &Path, port: u16, sections: &str) -> Self {
        let text = format!(
            "data: {}\nfront_door: {{ addresses: ['127.0.0.1:{port}'] }}\n{sections}",
            folder.join("data").display()
        );
        let config = write(folder, "tidegate.yaml", &text);
        let mut gateway = Self { process: spawn(folder, &config), folder: folder.to_owned(), port, config };
        gateway.wait_ready();
        gateway
    }

    /// Starts the same gateway again after it was killed or stopped.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.folder, &self.config);
        self.wait_ready();
    }

    /// Starts it again with other sections.
    pub(crate) fn reconfigure(&mut self, sections: &str) {
        let text = format!(
            "data: {}\nfront_door: {{ addresses: ['127.0.0.1:{}'] }}\n{sections}",
            self.folder.join("data").display(),
            self.port
        );
        self.config = write(&self.folder, "tidegate.yaml", &text);
        self.restart();
    }

    fn wait_ready(&mut self) {
        let port = self.port;
        self.process.wait_until("ready", || answers(port, "/readyz"));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http(self.port, "GET", path, &[], &[])
            .unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.process.log()))
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        http(self.port, "POST", path, headers, body)
            .unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.process.log()))
    }

    /// The ledger, as its API answers it.
    pub(crate) fn ledger(&self) -> Value {
        self.get("/api/v1/ledger").json()
    }

    /// A trace by any spelling of its id, once the gateway has it.
    pub(crate) fn trace(&self, id: &str) -> Value {
        eventually(&format!("trace {id}"), || {
            let answer = self.get(&format!("/api/v1/traces/{}", testkit::server::encode(id)));
            (answer.status == 200).then(|| answer.json())
        })
    }

    /// Runs one of the binary's commands against this gateway and gives what it printed.
    pub(crate) fn command(&self, args: &[&str]) -> String {
        let output = Command::new(binary())
            .args(args)
            .arg("--url")
            .arg(self.url())
            .output()
            .expect("the binary can be started");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The binary under test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_tidegate")
}

fn spawn(folder: &Path, config: &Path) -> Process {
    let mut command = Command::new(binary());
    command.arg("--config").arg(config).current_dir(folder).env_remove("TIDEGATE_DATA");
    Process::start("tidegate", &mut command, folder.join("tidegate.log"))
}
