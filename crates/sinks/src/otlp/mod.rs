//! OTLP over gRPC and HTTP (OTLP 1.x, protobuf). What came in as OTLP goes out as it came; remote-write metrics are translated.

mod answer;
mod body;
mod grpc;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use model::{Failure, Problem, Signal};
use pipeline::settings::{self, Period, Secret, Size};
use pipeline::{Body, BoxFuture, CheckedSink, Cut, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Coding, translate};

use crate::client::{self, Auth, Client, Speak, Tls};
use crate::losses::{Losses, left_out};
use crate::signals;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "otlp",
    summary: "Sends traces, logs and metrics by OTLP, over gRPC or HTTP: Jaeger, Tempo, the Collector, another Tidegate.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "jaeger:\n  type: otlp\n  endpoint: http://127.0.0.1:4317\n  protocol: grpc\n  signals: [traces]\n  compression: none\n",
    page: "## What becomes of it

What needs no change goes out byte for byte as it was received. OTLP has no identity of a request: an answer that was lost is sent again, and the peer
has those items twice, unless it merges equal span ids itself. What the peer refuses by partial success is final, booked `peer_refused` with its number.

| answer | what is done |
|---|---|
| HTTP 429, 502, 503, 504; gRPC UNAVAILABLE, ABORTED, CANCELLED, DEADLINE_EXCEEDED, OUT_OF_RANGE, DATA_LOSS; RESOURCE_EXHAUSTED with RetryInfo | tried again, after the time that the peer asks for |
| HTTP 413, gRPC \"larger than max\" | halved |
| 401, 403, UNAUTHENTICATED, PERMISSION_DENIED | tried again until the credentials are mended |
| any other | refused: halved until the item is found, which becomes a dead letter |

Proven against Jaeger, Prometheus (OTLP over HTTP) and another Tidegate.",
};

/// Sends OTLP to one peer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the peer listens: `http://HOST:4317` for gRPC; for HTTP a base such as `http://HOST:4318`, to which `/v1/traces`,
    /// `/v1/logs` and `/v1/metrics` are appended. It may be left out if each signal has a URL of its own.
    #[serde(default)]
    endpoint: Option<String>,
    /// How the peer is spoken to. Default: `grpc`.
    #[serde(default)]
    protocol: Protocol,
    /// Which signals it takes. Default: all. Leave out what the peer does not serve: what it refuses for good is not sent again.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// The whole URL for traces, used as it is instead of the endpoint; only with `protocol: http`.
    #[serde(default)]
    traces_url: Option<String>,
    /// The whole URL for logs, used as it is instead of the endpoint; only with `protocol: http`.
    #[serde(default)]
    logs_url: Option<String>,
    /// The whole URL for metrics, used as it is instead of the endpoint; only with `protocol: http`.
    #[serde(default)]
    metrics_url: Option<String>,
    /// How bodies are compressed. A request that was received in this compression and is sent alone goes out byte for byte. Default:
    /// `gzip`; `none` costs least within a data centre; `zstd` only if the peer reads it.
    #[serde(default)]
    compression: Compression,
    /// Headers (gRPC: metadata) sent with every request, for example a tenant or an API key.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Credentials.
    #[serde(default)]
    auth: Option<Auth>,
    /// Whom to trust behind an `https` endpoint. Left out: the machine's certificate authorities.
    #[serde(default)]
    tls: Option<Tls>,
    /// The most bytes of a request before compression. Default: `3584KiB`, which every gRPC server takes unless it was told
    /// otherwise (4 MiB); from `1KiB` to `64MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// How long a request that is not full waits for more. Default: `200ms`; at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// How many requests of traces, and as many of logs, may be under way at once. Default: 4; from 1 to 64. Metrics are always sent one
    /// request at a time, since a peer may refuse points that arrive out of order.
    #[serde(default = "in_flight")]
    #[schemars(range(min = 1, max = 64))]
    in_flight: u32,
    /// Whether an answer of 500 over HTTP is tried again. Default: false, as OTLP demands; set it for a peer that answers 500 when it is
    /// overloaded.
    #[serde(default)]
    retry_500: bool,
}

/// How the peer is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    /// OTLP/gRPC, usually port 4317.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf bodies, usually port 4318.
    Http,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// Not at all.
    None,
    /// gzip, which every peer reads.
    #[default]
    Gzip,
    /// zstd: cheaper and smaller, but not every peer reads it.
    Zstd,
}

fn max_bytes() -> Size {
    Size(3584 << 10)
}

fn max_wait() -> Period {
    Period(Duration::from_millis(200))
}

fn in_flight() -> u32 {
    4
}

/// Checked settings: one URL for each signal taken.
struct Checked {
    protocol: Protocol,
    urls: Vec<(Signal, Uri)>,
    coding: Coding,
    headers: HeaderMap,
    tls: Option<Tls>,
    max_bytes: u64,
    max_wait: Duration,
    in_flight: usize,
    retry_500: bool,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let headers = client::settings::headers(&settings.headers, settings.auth.as_ref(), &mut problems);
    let urls = urls(&settings, &mut problems);
    let Size(max_bytes) = settings.max_bytes;
    if !(1 << 10..=64 << 20).contains(&max_bytes) {
        let message = format!("{} is not from 1KiB to 64MiB", settings.max_bytes);
        problems.push(Problem::new("max_bytes", message, "write for example 3584KiB"));
    }
    let Period(max_wait) = settings.max_wait;
    if max_wait > Duration::from_secs(60) {
        let message = format!("{} is longer than 1m", settings.max_wait);
        problems.push(Problem::new("max_wait", message, "write for example 200ms"));
    }
    if !(1..=64).contains(&settings.in_flight) {
        let message = format!("{} is not from 1 to 64", settings.in_flight);
        problems.push(Problem::new("in_flight", message, "write for example 4"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let coding = match settings.compression {
        Compression::None => Coding::Plain,
        Compression::Gzip => Coding::Gzip,
        Compression::Zstd => Coding::Zstd,
    };
    Ok(Box::new(Checked {
        protocol: settings.protocol,
        urls,
        coding,
        headers,
        tls: settings.tls,
        max_bytes,
        max_wait,
        in_flight: settings.in_flight as usize,
        retry_500: settings.retry_500,
    }))
}

/// Where each signal goes.
fn urls(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<(Signal, Uri)> {
    let endpoint = settings.endpoint.as_deref().map(|text| base(settings.protocol, text, problems));
    let mut urls = Vec::new();
    for signal in signals::checked(&settings.signals, problems) {
        let (path, own) = match signal {
            Signal::Traces => ("traces_url", &settings.traces_url),
            Signal::Logs => ("logs_url", &settings.logs_url),
            Signal::Metrics => ("metrics_url", &settings.metrics_url),
        };
        let url = match (own, settings.protocol, &endpoint) {
            (Some(_), Protocol::Grpc, _) => {
                let message = "a URL for one signal is of no use with gRPC";
                problems.push(Problem::new(path, message, "remove it, or set protocol: http"));
                None
            }
            (Some(own), Protocol::Http, _) => client::settings::url(path, own, problems),
            (None, Protocol::Grpc, Some(Some(base))) => {
                Some(with_path(base, grpc::method(signal).to_owned()))
            }
            (None, Protocol::Http, Some(Some(base))) => {
                Some(with_path(base, format!("{}/v1/{signal}", base.path().trim_end_matches('/'))))
            }
            (None, _, Some(None)) => None,
            (None, protocol, None) => {
                let example = if protocol == Protocol::Grpc {
                    "http://127.0.0.1:4317"
                } else {
                    "http://127.0.0.1:4318"
                };
                let message = format!("there is no endpoint for {signal}");
                problems.push(Problem::new("endpoint", message, format!("write for example {example}")));
                None
            }
        };
        urls.extend(url.map(|url| (signal, url)));
    }
    urls
}

/// Checks the endpoint: no query, and for gRPC no path.
fn base(protocol: Protocol, text: &str, problems: &mut Vec<Problem>) -> Option<Uri> {
    let uri = client::settings::url("endpoint", text, problems)?;
    if uri.query().is_some() {
        let remedy = "remove the query, or give each signal a URL of its own";
        problems.push(Problem::new("endpoint", "holds a query, to which no path can be appended", remedy));
        return None;
    }
    if protocol == Protocol::Grpc && uri.path() != "/" {
        problems.push(Problem::new("endpoint", "holds a path, which gRPC has no use for", "remove the path"));
        return None;
    }
    Some(uri)
}

fn with_path(base: &Uri, path: String) -> Uri {
    let mut parts = base.clone().into_parts();
    parts.path_and_query =
        Some(PathAndQuery::try_from(path).expect("a path of a URL with a plain word behind it is a path"));
    Uri::from_parts(parts).expect("the base has scheme and authority")
}

impl CheckedSink for Checked {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let speak = if self.protocol == Protocol::Grpc { Speak::Http2 } else { Speak::Http };
            let client = Client::open(speak, self.tls.as_ref(), self.headers.clone(), context.clock)?;
            let losses = Losses::new(Arc::clone(&context.name), context.metrics);
            let signals = self.urls.iter().map(|(signal, _)| *signal).collect();
            let warned = AtomicBool::new(false);
            let sink = Otlp { checked: *self, signals, client, workers: context.workers, losses, warned };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

struct Otlp {
    checked: Checked,
    signals: Vec<Signal>,
    client: Client,
    workers: Workers,
    losses: Losses,
    /// Whether the peer's warnings were told once.
    warned: AtomicBool,
}

impl Sink for Otlp {
    fn signals(&self) -> &[Signal] {
        &self.signals
    }

    fn cut(&self) -> Cut {
        let max_bytes = self.checked.max_bytes;
        Cut { max_items: 50_000, max_bytes, max_stored_bytes: max_bytes, max_wait: self.checked.max_wait }
    }

    fn in_flight(&self, signal: Signal) -> usize {
        if signal == Signal::Metrics { 1 } else { self.checked.in_flight }
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.send(parcel))
    }
}

impl Otlp {
    async fn send(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let Some((_, url)) = self.checked.urls.iter().find(|(signal, _)| *signal == parcel.signal) else {
            return Err(Failure::RefusedWhole { reason: format!("this sink takes no {}", parcel.signal) });
        };
        let (body, losses) = self.body(parcel).await?;
        let sent = parcel.items();
        let verdict = match self.checked.protocol {
            Protocol::Grpc => {
                let answer = self.client.post(url, grpc::headers(body.coding), grpc::framed(body)?).await?;
                grpc::verdict(&answer, parcel.signal, sent)?
            }
            Protocol::Http => {
                let answer = self.client.post(url, http_headers(body.coding), body.bytes.into()).await?;
                answer::verdict(&answer, parcel.signal, sent, self.checked.retry_500)?
            }
        };
        self.losses.book(&losses);
        if let Some(warning) = verdict.warning
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                sink = &*parcel.sink,
                signal = parcel.signal.as_str(),
                warning,
                "the peer took the data with a warning; told once"
            );
        }
        Ok(left_out(verdict.receipt, &losses, sent))
    }

    async fn body(&self, parcel: &Parcel) -> Result<(Body, translate::Losses), Failure> {
        if let Some(body) = body::verbatim(parcel, self.checked.coding) {
            return Ok((body, translate::Losses::default()));
        }
        let (parcel, coding, limit) = (parcel.clone(), self.checked.coding, self.checked.max_bytes);
        let made = self.workers.run(move || body::make(&parcel, coding, limit)).await;
        made.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })?
    }
}

fn http_headers(coding: Coding) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    if let Some(name) = body::coding_name(coding) {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers
}

#[cfg(test)]
mod tests;
