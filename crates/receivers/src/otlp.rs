//! What OTLP over HTTP and over gRPC have in common: settings, routes, and the words of a partial success.

use http::Method;
use model::{RefusalKind, Signal};
use normalize::Rejected;
use pipeline::settings::Size;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::json::response::Partial;

use crate::door::Routes;
use crate::receiver::{Context, Receiver};
use crate::table::{CheckedReceiver, ReceiverRow, check_alias, check_size};
use crate::{otlp_grpc, otlp_http};

const PATHS: &[&str] = &[
    "/v1/traces",
    "/v1/logs",
    "/v1/metrics",
    "/",
    "/api/v1/otel/trace",
    "/api/v1/otlp/v1/metrics",
    "/opentelemetry/v1/metrics",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "/grpc.health.v1.Health/Check",
];

/// The row of the OTLP receiver.
pub(crate) const ROW: ReceiverRow = ReceiverRow {
    name: "otlp",
    summary: "OpenTelemetry traces, logs and metrics over gRPC and HTTP, as protobuf or JSON",
    paths: PATHS,
    schema: || schemars::schema_for!(Settings),
    check: |value| {
        let settings: Settings = pipeline::settings::read(value)?;
        let mut problems = Vec::new();
        check_size(&mut problems, "max_body", settings.max_body);
        check_size(&mut problems, "max_inflated", settings.max_inflated);
        for (key, aliases) in settings.aliases.by_signal() {
            for (index, alias) in aliases.iter().enumerate() {
                check_alias(&mut problems, &format!("aliases.{key}[{index}]"), alias);
            }
        }
        if problems.is_empty() { Ok(Box::new(settings)) } else { Err(problems) }
    },
    example: "otlp:\n  max_body: 64MiB\n  aliases:\n    traces: [/otel/v1/traces]\n",
};

/// Settings of the OTLP receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Whether OTLP is taken.
    enabled: bool,
    /// Largest body or gRPC message as received.
    max_body: Size,
    /// Largest body or gRPC message after inflating.
    max_inflated: Size,
    /// Further paths for OTLP over HTTP.
    aliases: Aliases,
}

/// Further paths by signal, each served exactly as written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Aliases {
    /// Paths that take traces.
    traces: Vec<String>,
    /// Paths that take logs.
    logs: Vec<String>,
    /// Paths that take metrics.
    metrics: Vec<String>,
}

impl Aliases {
    fn by_signal(&self) -> [(Signal, &[String]); 3] {
        [(Signal::Traces, &self.traces), (Signal::Logs, &self.logs), (Signal::Metrics, &self.metrics)]
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_body: Size(64 << 20),
            max_inflated: Size(64 << 20),
            aliases: Aliases::default(),
        }
    }
}

/// How large a message may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// As received.
    pub(crate) body: usize,
    /// Inflated.
    pub(crate) plain: usize,
}

impl CheckedReceiver for Settings {
    fn enabled(&self) -> bool {
        self.enabled
    }

    fn paths(&self) -> Vec<String> {
        let aliases = self.aliases.by_signal().into_iter().flat_map(|(_, aliases)| aliases.to_vec());
        PATHS.iter().map(|path| (*path).to_owned()).chain(aliases).collect()
    }

    fn mount(self: Box<Self>, source: model::Source, context: &Context, routes: &mut Routes) {
        let receiver = Receiver::new(context, source);
        let limits = Limits { body: self.max_body.0 as usize, plain: self.max_inflated.0 as usize };
        otlp_http::mount(&receiver, limits, routes);
        otlp_grpc::mount(&receiver, limits, routes);
        for (signal, aliases) in self.aliases.by_signal() {
            for alias in aliases {
                otlp_http::serve(&receiver, limits, alias, signal, otlp_http::Typing::ByHeader, routes);
            }
        }
    }
}

pub(crate) const POST: &[Method] = &[Method::POST];

/// The gRPC code of a refusal, which OTLP over HTTP repeats in the body.
pub(crate) fn code(kind: RefusalKind) -> u32 {
    match kind {
        RefusalKind::Unavailable => 14,
        // With RetryInfo a quota, without it a size: only the first is retried.
        RefusalKind::Quota | RefusalKind::TooLarge => 8,
        RefusalKind::Malformed => 3,
        RefusalKind::Unsupported => 12,
        RefusalKind::Unauthenticated => 16,
        RefusalKind::Forbidden => 7,
    }
}

/// What a partial success says; `None` when everything was taken.
pub(crate) fn partial(rejected: &[Rejected]) -> Option<Partial> {
    let first = rejected.first()?;
    let count: u64 = rejected.iter().map(|one| u64::from(one.records)).sum();
    let message = match count {
        1 => format!("item {}: {}", first.index, first.message),
        _ => format!("{count} items; first, item {}: {}", first.index, first.message),
    };
    Some(Partial { rejected: count, message })
}

/// Settings that do not parse, for tests of the table.
#[cfg(test)]
pub(crate) fn problems(value: serde_json::Value) -> Vec<model::Problem> {
    (ROW.check)(value).err().unwrap_or_default()
}
