//! Jaeger: OTLP in, traces by id out.

use std::path::Path;
use std::process::Command;

use super::binary;
use crate::process::{Process, answers, free_port, http};

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
            .arg("--collector.otlp.enabled=true")
            // It answers before it stores, and drops silently what its queue has no room for: 2,000 spans by default.
            .arg("--collector.queue-size=1000000");
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
        let answer = http(self.query, "GET", &format!("/api/traces/{id}"), &[], &[]).ok()?;
        (answer.status == 200).then(|| answer.json()["data"][0].take()).filter(|data| !data.is_null())
    }
}
