//! The ClickHouse engine of today, as chDB carries it, behind a small HTTP server of ours (`servers/chdb/server.py`): types,
//! formats and the texts of errors are ClickHouse's, how HTTP is spoken is not. For that there is `clickhouse.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::clickhouse::{query, rows};
use super::installed;
use crate::process::{Process, answers, free_port};

/// A real ClickHouse engine.
#[derive(Debug)]
pub struct Chdb {
    /// Its process.
    pub process: Process,
    /// Its HTTP port.
    pub port: u16,
    folder: PathBuf,
}

impl Chdb {
    /// Starts the engine with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        let port = free_port();
        Self { process: launch(folder, port), port, folder: folder.to_owned() }
    }

    /// Starts it again on the same port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, self.port);
    }

    /// The answer to a statement; panics with ClickHouse's reason when it refuses.
    pub fn query(&self, sql: &str) -> String {
        query(self.port, sql)
    }

    /// The rows of a SELECT, an object each.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        rows(self.port, sql)
    }
}

fn launch(folder: &Path, port: u16) -> Process {
    let home = installed("chdb");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", home.join("site")).arg(home.join("server.py")).arg(port.to_string());
    command.arg(folder.join("chdb-data")).current_dir(folder);
    let mut process = Process::start("chdb", &mut command, folder.join("chdb.log"));
    process.wait_until("ready", || answers(port, "/ping"));
    process
}
