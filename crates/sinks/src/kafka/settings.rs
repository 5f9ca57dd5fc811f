//! The settings, and what checking makes of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Problem, Signal, Tenant};
use pipeline::settings::{self, Period, Secret, Size, read};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::signals;

/// Writes traces, logs and metrics to Kafka topics.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Some of the cluster's brokers, each as `HOST:PORT`. The others are learnt from them.
    brokers: Vec<String>,
    /// Which signals it takes. Default: all.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// Where spans go, and how.
    #[serde(default)]
    traces: Traces,
    /// Where log records go, and how.
    #[serde(default)]
    logs: Logs,
    /// Where metrics go, and how.
    #[serde(default)]
    metrics: Metrics,
    /// How batches of messages are compressed. Default: `zstd`.
    #[serde(default)]
    compression: Compression,
    /// How long a batch of messages that is not full waits for more. Default: `5ms`; at most `1s`.
    #[serde(default = "linger")]
    linger: Period,
    /// The most bytes of a message with its key and headers, and of a batch of messages, before compression. It must not exceed what
    /// brokers and topics take (`message.max.bytes`, `max.message.bytes`). Default: `1MB`, which they do unless told otherwise;
    /// from `4KiB` to `64MiB`.
    #[serde(default = "max_message_bytes")]
    max_message_bytes: Size,
    /// How long the brokers have to acknowledge a message until it is given up for this attempt; the data is sent again by the next one.
    /// Keep it below the sink's `deadline`. Default: `30s`; from `1s` to `5m`.
    #[serde(default = "delivery_timeout")]
    delivery_timeout: Period,
    /// Who the brokers are told is writing, for their logs and quotas. Default: `tidegate`.
    #[serde(default = "client_id")]
    client_id: String,
    /// Credentials.
    #[serde(default)]
    sasl: Option<Sasl>,
    /// Speaks TLS to the brokers; `{}` trusts the machine's certificate authorities. Needs a build with the feature `kafka-tls`.
    #[serde(default)]
    tls: Option<Tls>,
}

/// Where spans go, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Traces {
    /// The topic; `{tenant}` becomes the tenant's name. Default: `otlp_spans`.
    topic: String,
    /// What a message holds. Default: `otlp_proto`.
    encoding: TracesEncoding,
    /// The messages' key. Default: `trace_id`, so that the spans of one trace are in one partition.
    key: TraceKey,
}

/// Where log records go, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Logs {
    /// The topic; `{tenant}` becomes the tenant's name. Default: `otlp_logs`.
    topic: String,
    /// What a message holds. Default: `otlp_proto`.
    encoding: LogsEncoding,
    /// The messages' key. Default: `none`. With a trace id, records without one have no key.
    key: TraceKey,
}

/// Where metrics go, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Metrics {
    /// The topic; `{tenant}` becomes the tenant's name. Default: `otlp_metrics`.
    topic: String,
    /// What a message holds. Default: `otlp_proto`.
    encoding: MetricsEncoding,
    /// The messages' key. Default: `series`, so that the points of one series are in one partition and in order.
    key: SeriesKey,
}

/// What a message of spans holds.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TracesEncoding {
    /// An `ExportTraceServiceRequest` in protobuf.
    #[default]
    OtlpProto,
    /// An `ExportTraceServiceRequest` in JSON.
    OtlpJson,
}

/// What a message of log records holds.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LogsEncoding {
    /// An `ExportLogsServiceRequest` in protobuf.
    #[default]
    OtlpProto,
    /// An `ExportLogsServiceRequest` in JSON.
    OtlpJson,
    /// The body of one record: text and bytes as they are, anything else as JSON.
    Raw,
}

/// What a message of metrics holds.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MetricsEncoding {
    /// An `ExportMetricsServiceRequest` in protobuf.
    #[default]
    OtlpProto,
    /// An `ExportMetricsServiceRequest` in JSON.
    OtlpJson,
}

/// The key of spans or log records.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TraceKey {
    /// The trace id as 32 hex digits, as the Collector writes it; requests are split by it.
    TraceId,
    /// The trace id as 16 bytes; requests are split by it.
    TraceIdBinary,
    /// No key: requests stay together, each goes to any partition.
    None,
}

/// The key of metrics.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SeriesKey {
    /// A hash over the resource, the scope, the metric and the point's attributes, as 16 hex digits; requests are split by it.
    Series,
    /// No key: requests stay together, each goes to any partition.
    None,
}

/// How batches of messages are compressed.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// Not at all.
    None,
    /// gzip: the most CPU.
    Gzip,
    /// Snappy: the least CPU.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard: the smallest; brokers and consumers since Kafka 2.1.
    #[default]
    Zstd,
}

/// Credentials for the brokers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sasl {
    /// How they are shown: `plain` sends the password as it is, so use it with TLS or on a trusted network; `scram_sha_256` and
    /// `scram_sha_512` need a build with the feature `kafka-tls`.
    mechanism: Mechanism,
    /// The user's name.
    user: String,
    /// The user's password.
    password: Secret,
}

/// How credentials are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Mechanism {
    /// SASL/PLAIN.
    #[serde(rename = "plain")]
    Plain,
    /// SASL/SCRAM with SHA-256.
    #[serde(rename = "scram_sha_256")]
    Scram256,
    /// SASL/SCRAM with SHA-512.
    #[serde(rename = "scram_sha_512")]
    Scram512,
}

/// Whom the gateway trusts, and how it shows who it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// A PEM file of certificate authorities, used instead of the machine's own.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// A PEM file with the gateway's own certificate, for brokers that ask for one.
    #[serde(default)]
    certificate_file: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[serde(default)]
    key_file: Option<PathBuf>,
    /// The password of the key, if it is encrypted.
    #[serde(default)]
    key_password: Option<Secret>,
}

impl Default for Traces {
    fn default() -> Self {
        Self { topic: "otlp_spans".into(), encoding: TracesEncoding::default(), key: TraceKey::TraceId }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self { topic: "otlp_logs".into(), encoding: LogsEncoding::default(), key: TraceKey::None }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { topic: "otlp_metrics".into(), encoding: MetricsEncoding::default(), key: SeriesKey::Series }
    }
}

fn linger() -> Period {
    Period(Duration::from_millis(5))
}

fn max_message_bytes() -> Size {
    Size(1_000_000)
}

fn delivery_timeout() -> Period {
    Period(Duration::from_secs(30))
}

fn client_id() -> String {
    "tidegate".into()
}

/// The settings, checked.
#[derive(Debug)]
pub(super) struct Checked {
    /// One for each signal.
    pub(super) forms: Vec<Arc<Form>>,
    /// librdkafka's properties by name.
    pub(super) properties: Vec<(&'static str, Secret)>,
    /// Files that must be readable.
    pub(super) files: Vec<PathBuf>,
}

/// How one signal is written.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) signal: Signal,
    pub(super) topic: Topic,
    pub(super) encoding: Encoding,
    pub(super) key: Keying,
    /// The most bytes of a message with everything that belongs to it.
    pub(super) max_message_bytes: usize,
}

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Proto,
    Json,
    Raw,
}

/// What keys messages have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keying {
    None,
    TraceHex,
    TraceBinary,
    Series,
}

/// A topic's name, in which `{tenant}` may stand.
#[derive(Debug)]
pub(super) struct Topic(String);

impl Topic {
    /// The name for one tenant.
    pub(super) fn of(&self, tenant: &Tenant) -> String {
        self.0.replace("{tenant}", tenant.as_str())
    }
}

/// Reads and checks.
pub(super) fn check(value: serde_json::Value) -> Result<Checked, Vec<Problem>> {
    let settings: Settings = read(value)?;
    let mut problems = Vec::new();
    let Size(max_message_bytes) = settings.max_message_bytes;
    settings::within(
        "max_message_bytes",
        settings.max_message_bytes,
        Size(4 << 10)..=Size(64 << 20),
        "1MB",
        &mut problems,
    );
    let forms = forms(&settings, max_message_bytes as usize, &mut problems);
    let mut properties = properties(&settings, &mut problems);
    let files = security(&settings, &mut properties, &mut problems);
    if problems.is_empty() { Ok(Checked { forms, properties, files }) } else { Err(problems) }
}

fn forms(settings: &Settings, max_message_bytes: usize, problems: &mut Vec<Problem>) -> Vec<Arc<Form>> {
    let trace_key = |key| match key {
        TraceKey::TraceId => Keying::TraceHex,
        TraceKey::TraceIdBinary => Keying::TraceBinary,
        TraceKey::None => Keying::None,
    };
    let mut forms = Vec::new();
    for signal in signals::checked(&settings.signals, problems) {
        let (name, encoding, key) = match signal {
            Signal::Traces => {
                let Traces { topic, encoding, key } = &settings.traces;
                let encoding = match encoding {
                    TracesEncoding::OtlpProto => Encoding::Proto,
                    TracesEncoding::OtlpJson => Encoding::Json,
                };
                (topic, encoding, trace_key(*key))
            }
            Signal::Logs => {
                let Logs { topic, encoding, key } = &settings.logs;
                let encoding = match encoding {
                    LogsEncoding::OtlpProto => Encoding::Proto,
                    LogsEncoding::OtlpJson => Encoding::Json,
                    LogsEncoding::Raw => Encoding::Raw,
                };
                (topic, encoding, trace_key(*key))
            }
            Signal::Metrics => {
                let Metrics { topic, encoding, key } = &settings.metrics;
                let encoding = match encoding {
                    MetricsEncoding::OtlpProto => Encoding::Proto,
                    MetricsEncoding::OtlpJson => Encoding::Json,
                };
                let key = match key {
                    SeriesKey::Series => Keying::Series,
                    SeriesKey::None => Keying::None,
                };
                (topic, encoding, key)
            }
        };
        let topic = topic(&format!("{signal}.topic"), name, problems);
        forms.push(Arc::new(Form { signal, topic, encoding, key, max_message_bytes }));
    }
    forms
}

/// Kafka's names of topics: at most 249 of these characters, which a tenant's name is made of as well, at most 64 of them.
fn topic(path: &str, name: &str, problems: &mut Vec<Problem>) -> Topic {
    let plain = name.replace("{tenant}", "");
    let longest = plain.len() + name.matches("{tenant}").count() * 64;
    let good = plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !good || name.is_empty() || name == "." || name == ".." {
        let message = format!("{name:?} is not a topic's name");
        problems.push(Problem::new(path, message, "write letters, digits, . _ - and {tenant}"));
    } else if longest > 249 {
        let message = format!("{name:?} may become longer than the 249 characters of a topic's name");
        problems.push(Problem::new(path, message, "shorten it"));
    }
    Topic(name.to_owned())
}

fn properties(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<(&'static str, Secret)> {
    if settings.brokers.is_empty() {
        problems.push(Problem::new("brokers", "names no broker", "write for example [\"kafka:9092\"]"));
    }
    for (number, broker) in settings.brokers.iter().enumerate() {
        self::broker(&format!("brokers[{number}]"), broker, problems);
    }
    let Period(linger) = settings.linger;
    settings::at_most("linger", settings.linger, Period(Duration::from_secs(1)), "5ms", problems);
    let Period(timeout) = settings.delivery_timeout;
    settings::within(
        "delivery_timeout",
        settings.delivery_timeout,
        Period(Duration::from_secs(1))..=Period(Duration::from_secs(300)),
        "30s",
        problems,
    );
    if settings.client_id.is_empty() || !settings.client_id.bytes().all(|b| b.is_ascii_graphic()) {
        let message = format!("{:?} is empty or holds more than plain characters", settings.client_id);
        problems.push(Problem::new("client_id", message, "write for example tidegate"));
    }
    let compression = match settings.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Snappy => "snappy",
        Compression::Lz4 => "lz4",
        Compression::Zstd => "zstd",
    };
    let max_bytes = settings.max_message_bytes.0;
    // librdkafka's copies of what was handed over and not yet acknowledged; the rest waits in the journal.
    let queue = max_bytes.saturating_mul(4).max(16 << 20) >> 10;
    [
        ("bootstrap.servers", settings.brokers.join(",")),
        ("client.id", settings.client_id.clone()),
        ("enable.idempotence", "true".into()),
        ("acks", "all".into()),
        // As Java's producers choose partitions, so that what both write under one key lies together.
        ("partitioner", "murmur2_random".into()),
        ("compression.type", compression.into()),
        ("linger.ms", linger.as_millis().to_string()),
        ("message.max.bytes", max_bytes.to_string()),
        ("batch.size", max_bytes.to_string()),
        ("message.timeout.ms", timeout.as_millis().to_string()),
        ("queue.buffering.max.kbytes", queue.to_string()),
        ("queue.buffering.max.messages", "20000".into()),
        ("reconnect.backoff.max.ms", "2000".into()),
        ("socket.keepalive.enable", "true".into()),
    ]
    .map(|(name, value)| (name, Secret::new(value)))
    .into()
}

fn broker(path: &str, text: &str, problems: &mut Vec<Problem>) {
    if text.contains("://") || text.contains([',', '@', '/']) || text.contains(char::is_whitespace) {
        let message = format!("{text:?} is not a broker");
        problems.push(Problem::new(path, message, "write one HOST:PORT, for example kafka:9092"));
        return;
    }
    let (host, port) = match text.rsplit_once(':') {
        // The colons of a bare IPv6 address are none before a port.
        Some((host, port)) if !host.contains(':') || (host.starts_with('[') && host.ends_with(']')) => {
            (host, port)
        }
        _ => (text, ""),
    };
    if host.is_empty() {
        problems.push(Problem::new(path, format!("{text:?} names no host"), "write for example kafka:9092"));
    } else if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        let remedy = format!("write \"{host}:9092\"");
        problems.push(Problem::new(path, format!("{text:?} has no port"), remedy));
    }
}

/// Adds the properties of TLS and credentials; answers the files that they name.
fn security(
    settings: &Settings,
    properties: &mut Vec<(&'static str, Secret)>,
    problems: &mut Vec<Problem>,
) -> Vec<PathBuf> {
    let needs = "use a build with the feature kafka-tls (cargo build --features kafka-tls)";
    let mut set = |name, value: &str| properties.push((name, Secret::new(value)));
    if let Some(sasl) = &settings.sasl {
        let mechanism = match sasl.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram256 => "SCRAM-SHA-256",
            Mechanism::Scram512 => "SCRAM-SHA-512",
        };
        if sasl.mechanism != Mechanism::Plain && !cfg!(feature = "kafka-tls") {
            let message = format!("this build of Tidegate has no {mechanism}");
            problems.push(Problem::new("sasl.mechanism", message, format!("write plain, or {needs}")));
        }
        for (path, text) in [("sasl.user", sasl.user.as_str()), ("sasl.password", sasl.password.expose())] {
            if text.is_empty() || text.contains('\0') {
                problems.push(Problem::new(path, "is empty or holds a zero byte", "write the broker's"));
            }
        }
        set("sasl.mechanism", mechanism);
        set("sasl.username", &sasl.user);
        set("sasl.password", sasl.password.expose());
    }
    let protocol = match (&settings.sasl, &settings.tls) {
        (None, None) => "plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), None) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    set("security.protocol", protocol);
    let Some(tls) = &settings.tls else { return Vec::new() };
    if !cfg!(feature = "kafka-tls") {
        problems.push(Problem::new("tls", "this build of Tidegate speaks no TLS to Kafka", needs));
    }
    if tls.certificate_file.is_some() != tls.key_file.is_some() {
        let message = "a certificate and its key are of use only together";
        problems.push(Problem::new("tls", message, "set both certificate_file and key_file, or neither"));
    }
    let mut files = Vec::new();
    for (name, path, file) in [
        ("ssl.ca.location", "tls.ca_file", &tls.ca_file),
        ("ssl.certificate.location", "tls.certificate_file", &tls.certificate_file),
        ("ssl.key.location", "tls.key_file", &tls.key_file),
    ] {
        let Some(file) = file else { continue };
        match file.to_str() {
            Some(text) if !text.is_empty() && !text.contains('\0') => set(name, text),
            _ => problems.push(Problem::new(path, "is no path in UTF-8", "name the file otherwise")),
        }
        files.push(file.clone());
    }
    if let Some(password) = &tls.key_password {
        set("ssl.key.password", password.expose());
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(mut settings: serde_json::Value) -> Vec<String> {
        if settings.get("brokers").is_none() {
            settings["brokers"] = json!(["127.0.0.1:9092"]);
        }
        let found = check(settings).err().unwrap_or_default();
        found.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn every_problem_is_found_at_once() {
        let found = problems(json!({
            "brokers": ["kafka", "", "kafka:0", "::1", "kafka:9092", "[::1]:9092", "http://kafka:9092", "a:1,b:2"],
            "signals": [],
            "linger": "2s",
            "max_message_bytes": "100B",
            "delivery_timeout": "10ms",
            "client_id": "tide gate",
            "sasl": {"mechanism": "plain", "user": "", "password": ""},
        }));
        assert_eq!(
            found,
            [
                "max_message_bytes: 100B is not from 4KiB to 64MiB",
                "signals: names no signal",
                "brokers[0]: \"kafka\" has no port",
                "brokers[1]: \"\" names no host",
                "brokers[2]: \"kafka:0\" has no port",
                "brokers[3]: \"::1\" has no port",
                "brokers[6]: \"http://kafka:9092\" is not a broker",
                "brokers[7]: \"a:1,b:2\" is not a broker",
                "linger: 2s is longer than 1s",
                "delivery_timeout: 10ms is not from 1s to 5m",
                "client_id: \"tide gate\" is empty or holds more than plain characters",
                "sasl.user: is empty or holds a zero byte",
                "sasl.password: is empty or holds a zero byte",
            ]
        );
    }

    #[test]
    fn a_topic_is_named_by_kafkas_rules() {
        for (name, good) in [
            ("otlp_spans", true),
            ("{tenant}", true),
            ("a.b-c_{tenant}.D9", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a b", false),
            ("ä", false),
            ("{tenants}", false),
            ("logs/{tenant}", false),
        ] {
            assert_eq!(problems(json!({"logs": {"topic": name}})).is_empty(), good, "{name}");
        }
        let long = "a".repeat(249);
        assert!(problems(json!({"traces": {"topic": long}})).is_empty());
        assert!(!problems(json!({"traces": {"topic": format!("{long}a")}})).is_empty());
        assert!(!problems(json!({"traces": {"topic": format!("{}{{tenant}}", &long[..186])}})).is_empty());
        let topic = Topic("x-{tenant}-{tenant}".into());
        assert_eq!(topic.of(&Tenant::new("team.a").unwrap()), "x-team.a-team.a");
    }

    #[test]
    fn raw_is_for_logs_alone() {
        assert!(problems(json!({"logs": {"encoding": "raw"}})).is_empty());
        assert!(!problems(json!({"traces": {"encoding": "raw"}})).is_empty());
        assert!(!problems(json!({"metrics": {"encoding": "raw"}})).is_empty());
    }

    #[test]
    fn tls_and_scram_need_their_feature() {
        let sasl = |mechanism| json!({"sasl": {"mechanism": mechanism, "user": "gw", "password": "s3cret"}});
        assert!(problems(sasl("plain")).is_empty());
        let cases = [
            (sasl("scram_sha_256"), "sasl.mechanism: this build of Tidegate has no SCRAM-SHA-256"),
            (sasl("scram_sha_512"), "sasl.mechanism: this build of Tidegate has no SCRAM-SHA-512"),
            (json!({"tls": {}}), "tls: this build of Tidegate speaks no TLS to Kafka"),
        ];
        for (settings, problem) in cases {
            let expected: &[&str] = if cfg!(feature = "kafka-tls") { &[] } else { &[problem] };
            assert_eq!(problems(settings), expected);
        }
        let half = problems(json!({"tls": {"key_file": "k.pem"}}));
        assert_eq!(half.last().unwrap(), "tls: a certificate and its key are of use only together");
    }

    #[test]
    fn no_debug_shows_a_secret() {
        let settings = json!({
            "brokers": ["kafka:9092"], "sasl": {"mechanism": "plain", "user": "gw", "password": "s3cret"},
        });
        assert!(!format!("{:?}", check(settings).unwrap()).contains("s3cret"));
    }
}
