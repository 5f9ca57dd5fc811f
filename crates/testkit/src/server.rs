//! Real peers: Prometheus, Jaeger, telemetrygen, built by `cargo xtask servers` and found by `TIDEGATE_TEST_SERVERS`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::process::{Process, answers, free_port, write};

/// The path of a real peer's binary; panics with the command that builds it.
pub fn binary(name: &str) -> PathBuf {
    let folder = std::env::var_os("TIDEGATE_TEST_SERVERS").map_or_else(cache, PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{name} is not built in {}; run: cargo xtask servers", folder.display());
    path
}

fn cache() -> PathBuf {
    let base = std::env::var_os("TIDEGATE_TEST_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        Some(base.or(home)?.join("tidegate-tests"))
    });
    base.unwrap_or_default().join("bin")
}

/// Whether the slow peers are asked for (`cargo xtask test --all`).
pub fn all() -> bool {
    std::env::var_os("TIDEGATE_TEST_ALL").is_some()
}

/// A real Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    /// Its process.
    pub process: Process,
    /// Its port, for queries, remote-write and OTLP.
    pub port: u16,
}

impl Prometheus {
    /// Starts Prometheus with `config` (YAML) and its data below `folder`. It takes remote-write 1.0 and 2.0 and OTLP.
    pub fn start(folder: &Path, config: &str) -> Self {
        Self::start_at(folder, free_port(), config)
    }

    /// The same, on a port that its own configuration names.
    pub fn start_at(folder: &Path, port: u16, config: &str) -> Self {
        let file = write(folder, "prometheus.yml", config);
        let mut command = Command::new(binary("prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus-data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-remote-write-receiver", "--web.enable-otlp-receiver"])
            .arg("--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest")
            .arg("--web.remote-write-receiver.accepted-protobuf-messages=io.prometheus.write.v2.Request")
            .arg("--enable-feature=exemplar-storage,native-histograms,metadata-wal-records");
        let mut process = Process::start("prometheus", &mut command, folder.join("prometheus.log"));
        process.wait_until("ready", || answers(port, "/-/ready"));
        Self { process, port }
    }

    /// The result of an instant query: `data.result`.
    pub fn query(&self, query: &str) -> serde_json::Value {
        let path = format!("/api/v1/query?query={}", encode(query));
        let answer = crate::process::http(self.port, "GET", &path, &[], &[]).expect("prometheus answers");
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"].take()
    }
}

/// A real Jaeger, all in one, in memory.
#[derive(Debug)]
pub struct Jaeger {
    /// Its process.
    pub process: Process,
    /// OTLP over gRPC.
    pub otlp_grpc: u16,
    /// OTLP over HTTP.
    pub otlp_http: u16,
    /// Its query API.
    pub query: u16,
}

impl Jaeger {
    /// Starts Jaeger with its log below `folder`.
    pub fn start(folder: &Path) -> Self {
        let (admin, query, otlp_grpc, otlp_http) = (free_port(), free_port(), free_port(), free_port());
        let mut command = Command::new(binary("jaeger"));
        // Without the sampler setting it would send its own traces to the default OTLP port, that is, to us.
        command
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .env("SPAN_STORAGE_TYPE", "memory")
            .arg("--collector.otlp.enabled=true");
        for (flag, port) in [
            ("admin.http", admin),
            ("query.http-server", query),
            ("query.grpc-server", free_port()),
            ("collector.otlp.grpc", otlp_grpc),
            ("collector.otlp.http", otlp_http),
            ("collector.http-server", free_port()),
            ("collector.grpc-server", free_port()),
            ("collector.zipkin", free_port()),
        ] {
            command.arg(format!("--{flag}.host-port=127.0.0.1:{port}"));
        }
        for flag in ["processor.jaeger-compact", "processor.jaeger-binary", "processor.zipkin-compact"] {
            command.arg(format!("--{flag}.server-host-port=127.0.0.1:{}", free_port()));
        }
        command.arg(format!("--http-server.host-port=127.0.0.1:{}", free_port()));
        let mut process = Process::start("jaeger", &mut command, folder.join("jaeger.log"));
        process.wait_until("ready", || answers(admin, "/"));
        Self { process, otlp_grpc, otlp_http, query }
    }

    /// One trace, as its query API answers it; `None` while it has none.
    pub fn trace(&self, id: &str) -> Option<serde_json::Value> {
        let answer = crate::process::http(self.query, "GET", &format!("/api/traces/{id}"), &[], &[]).ok()?;
        (answer.status == 200).then(|| answer.json()["data"][0].take()).filter(|data| !data.is_null())
    }
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
