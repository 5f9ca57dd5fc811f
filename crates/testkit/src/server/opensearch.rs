//! OpenSearch and Elasticsearch 7.10.2, one node, without TLS and authentication: `_bulk` in, `_search` out.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{encode, installed, java};
use crate::process::{Answer, Process, free_port, http};

/// Which of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OpenSearch 2.19.1.
    OpenSearch2,
    /// OpenSearch 3.8 (`--all`).
    OpenSearch3,
    /// Elasticsearch 7.10.2, the last under the Apache licence: no data streams.
    Elasticsearch7,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::OpenSearch2 => "opensearch",
            Self::OpenSearch3 => "opensearch3",
            Self::Elasticsearch7 => "elasticsearch",
        }
    }
}

/// A real OpenSearch or Elasticsearch.
#[derive(Debug)]
pub struct OpenSearch {
    /// Its process.
    pub process: Process,
    /// Its HTTP port.
    pub port: u16,
    kind: Kind,
    folder: PathBuf,
    transport: u16,
    settings: Vec<String>,
}

impl OpenSearch {
    /// Starts OpenSearch 2 with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(Kind::OpenSearch2, folder, &[])
    }

    /// The same of another kind and with further node settings, such as `indexing_pressure.memory.limit=1kb`, which
    /// makes it answer 429.
    pub fn start_with(kind: Kind, folder: &Path, settings: &[&str]) -> Self {
        let (port, transport) = (free_port(), free_port());
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let process = launch(kind, folder, port, transport, &settings);
        Self { process, port, kind, folder: folder.to_owned(), transport, settings }
    }

    /// Starts it again on the same ports and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.kind, &self.folder, self.port, self.transport, &self.settings);
    }

    /// The same with other node settings in place of the former ones.
    pub fn restart_with(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        self.restart();
    }

    /// One request with a JSON body, or none when it is null.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        http(self.port, method, path, &[("content-type", "application/json")], &body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.process.log()))
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.request(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path} {body}: {}", answer.text());
        answer.json()
    }

    /// Makes everything that was indexed visible to searches.
    pub fn refresh(&self) {
        self.done("POST", "/_refresh", &Value::Null);
    }

    /// How many documents an index pattern holds, after a refresh; 0 when nothing has that name.
    pub fn count(&self, index: &str) -> u64 {
        self.refresh();
        let path = format!("/{}/_count?ignore_unavailable=true&allow_no_indices=true", encode(index));
        self.done("GET", &path, &Value::Null)["count"].as_u64().expect("a count is a number")
    }

    /// The answer to a search body.
    pub fn search(&self, index: &str, body: &Value) -> Value {
        self.done("POST", &format!("/{}/_search", encode(index)), body)
    }

    /// Every document of an index pattern, after a refresh: the hits with `_index`, `_id` and `_source`.
    pub fn documents(&self, index: &str) -> Vec<Value> {
        const PAGE: usize = 5000;
        self.refresh();
        let begin = format!("/{}/_search?scroll=1m&ignore_unavailable=true", encode(index));
        let body = serde_json::json!({ "size": PAGE, "sort": ["_doc"] });
        let mut page = self.done("POST", &begin, &body);
        let mut found = Vec::new();
        loop {
            let hits = page["hits"]["hits"].as_array_mut().expect("a search answers hits");
            if hits.is_empty() {
                let scroll = serde_json::json!({ "scroll_id": page["_scroll_id"] });
                self.request("DELETE", "/_search/scroll", &scroll);
                return found;
            }
            found.append(hits);
            let scroll = serde_json::json!({ "scroll": "1m", "scroll_id": page["_scroll_id"] });
            page = self.done("POST", "/_search/scroll", &scroll);
        }
    }
}

fn launch(kind: Kind, folder: &Path, port: u16, transport: u16, settings: &[String]) -> Process {
    let name = kind.name();
    let mut command = java(&installed(name), "512m", "Run");
    command.arg(folder.join(name)).args([port.to_string(), transport.to_string()]).args(settings);
    command.current_dir(folder);
    let mut process = Process::start(name, &mut command, folder.join(format!("{name}.log")));
    process.wait_until("ready", || {
        http(port, "GET", "/_cluster/health?wait_for_status=yellow&timeout=1s", &[], &[])
            .is_ok_and(|answer| answer.status == 200)
    });
    process
}
