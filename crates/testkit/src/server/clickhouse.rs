//! ClickHouse 18.16 as Debian has it: a real HTTP server of ClickHouse's, without the types and settings that came later
//! (`Map`, `DateTime64`, `JSON`, `async_insert`). The engine of today is in `chdb.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{installed, libraries};
use crate::process::{Answer, Process, answers, free_port, http, write};

/// A real ClickHouse. The user `default` has no password.
#[derive(Debug)]
pub struct ClickHouse {
    /// Its process.
    pub process: Process,
    /// Its HTTP port.
    pub port: u16,
    folder: PathBuf,
}

impl ClickHouse {
    /// A user with a password.
    pub const USER: &str = "gw";
    /// Its password.
    pub const PASSWORD: &str = "secret";

    /// Starts ClickHouse with its data and log below `folder`.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &folder.join("clickhouse-data"))
    }

    /// The same with its tables in `data`, which may lie on a small disk.
    pub fn start_with(folder: &Path, data: &Path) -> Self {
        let (port, tcp) = (free_port(), free_port());
        let data = data.display();
        write(
            folder,
            "clickhouse.xml",
            &format!(
                "<?xml version=\"1.0\"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <http_port>{port}</http_port>
  <tcp_port>{tcp}</tcp_port>
  <listen_host>127.0.0.1</listen_host>
  <path>{data}/</path>
  <tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/user_files/</user_files_path>
  <format_schema_path>{data}/format_schemas/</format_schema_path>
  <mark_cache_size>67108864</mark_cache_size>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <users_config>{}</users_config>
</yandex>
",
                folder.join("clickhouse-users.xml").display()
            ),
        );
        let user = |name: &str, password: &str| {
            format!(
                "<{name}><password>{password}</password><networks><ip>127.0.0.1</ip></networks>\
                 <profile>default</profile><quota>default</quota></{name}>"
            )
        };
        write(
            folder,
            "clickhouse-users.xml",
            &format!(
                "<?xml version=\"1.0\"?>
<yandex>
  <profiles><default><max_memory_usage>500000000</max_memory_usage></default></profiles>
  <users>{}{}</users>
  <quotas><default/></quotas>
</yandex>
",
                user("default", ""),
                user(Self::USER, Self::PASSWORD)
            ),
        );
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

pub(super) fn query(port: u16, sql: &str) -> String {
    let answer: Answer =
        http(port, "POST", "/", &[], sql.as_bytes()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.text()
}

pub(super) fn rows(port: u16, sql: &str) -> Vec<Value> {
    query(port, &format!("{sql} FORMAT JSONEachRow"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn launch(folder: &Path, port: u16) -> Process {
    let root = installed("clickhouse").join("root");
    let mut command = Command::new(root.join("usr/sbin/clickhouse-server"));
    command.env("LD_LIBRARY_PATH", libraries(&root)).current_dir(folder);
    command.arg(format!("--config-file={}", folder.join("clickhouse.xml").display()));
    let mut process = Process::start("clickhouse", &mut command, folder.join("clickhouse.log"));
    process.wait_until("ready", || answers(port, "/ping"));
    process
}
