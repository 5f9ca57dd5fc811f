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

use crate::client::endpoints::Prefer;
use crate::client::{self, Answer, Auth, Client, Compression, Endpoints, Plan, Speak, Tls, Written};
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

Jaeger 1.62 keeps lists and maps as JSON text, and neither the flags of spans nor the attributes of links nor the sign of zeros. It answers before it has stored anything, and
drops without a word what its queue has no room for: set its `--collector.queue-size`, 2,000 spans by default, to more than the gateway sends at once, and count what
it loses when it dies as lost.

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
    /// Several equal peers instead of `endpoint`. Traces and logs go to each in turn, metrics stay with one as long as it serves. A peer that
    /// cannot be reached or says that it cannot serve (503, UNAVAILABLE) is left out for 1 s, doubled up to 1 min, and the others are asked at once.
    #[serde(default)]
    endpoints: Vec<String>,
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
    /// The header (gRPC: metadata) that carries the tenant for whom the data was received, for example `X-Scope-OrgID`. Default: none.
    #[serde(default)]
    tenant_header: Option<String>,
    /// Credentials.
    #[serde(default)]
    auth: Option<Auth>,
    /// How TLS is spoken to an `https` endpoint. Left out: the machine's certificate authorities are trusted.
    #[serde(default)]
    tls: Option<Tls>,
    /// The HTTP proxy through which the peer is reached, `http://USER:PASSWORD@HOST:PORT`; `environment` takes those of HTTPS_PROXY, HTTP_PROXY
    /// and NO_PROXY. Default: none, whatever the environment says.
    #[serde(default)]
    proxy: Option<Secret>,
    /// Hosts, domains (with all below) and address ranges that are reached without the proxy, for example `intern.example` or `10.0.0.0/8`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// The most bytes of a request before compression. Default: `3584KiB`, which every gRPC server takes unless it was told
    /// otherwise (4 MiB); from `1KiB` to `64MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// How long a request that is not full waits for more. Default: `200ms`; at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// How many requests of traces, and as many of logs, may be under way at once; fewer while the peer is busy. Default: 4; from 1 to 64. Metrics are always sent one
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

fn max_bytes() -> Size {
    Size(3584 << 10)
}

fn max_wait() -> Period {
    Period(Duration::from_millis(200))
}

fn in_flight() -> u32 {
    4
}

/// Checked settings: where each signal taken goes.
struct Checked {
    protocol: Protocol,
    endpoints: Vec<(Signal, Endpoints)>,
    coding: Coding,
    plan: Plan,
    max_bytes: u64,
    max_wait: Duration,
    in_flight: usize,
    retry_500: bool,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let written = Written {
        headers: &settings.headers,
        tenant_header: settings.tenant_header.as_deref(),
        auth: settings.auth.as_ref(),
        tls: settings.tls.as_ref(),
        proxy: settings.proxy.as_ref(),
        no_proxy: &settings.no_proxy,
    };
    let plan = Plan::check(&written, &mut problems);
    let urls = urls(&settings, &mut problems);
    settings::within(
        "max_bytes",
        settings.max_bytes,
        Size(1 << 10)..=Size(64 << 20),
        "3584KiB",
        &mut problems,
    );
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(60)), "200ms", &mut problems);
    settings::within("in_flight", settings.in_flight, 1..=64, "4", &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let endpoints = urls.into_iter().filter_map(|(signal, urls)| {
        let prefer = if signal == Signal::Metrics { Prefer::Same } else { Prefer::Next };
        Some((signal, Endpoints::new(urls, prefer)?))
    });
    Ok(Box::new(Checked {
        protocol: settings.protocol,
        endpoints: endpoints.collect(),
        coding: settings.compression.into(),
        plan,
        max_bytes: settings.max_bytes.0,
        max_wait: settings.max_wait.0,
        in_flight: settings.in_flight as usize,
        retry_500: settings.retry_500,
    }))
}

/// Where each signal goes.
fn urls(settings: &Settings, problems: &mut Vec<Problem>) -> Vec<(Signal, Vec<Uri>)> {
    let bases = bases(settings, problems);
    let mut urls = Vec::new();
    for signal in signals::checked(&settings.signals, problems) {
        let (path, own) = match signal {
            Signal::Traces => ("traces_url", &settings.traces_url),
            Signal::Logs => ("logs_url", &settings.logs_url),
            Signal::Metrics => ("metrics_url", &settings.metrics_url),
        };
        let of_signal = match (own, settings.protocol, &bases) {
            (Some(_), Protocol::Grpc, _) => {
                let message = "a URL for one signal is of no use with gRPC";
                problems.push(Problem::new(path, message, "remove it, or set protocol: http"));
                Vec::new()
            }
            (Some(own), Protocol::Http, _) => {
                client::settings::url(path, own, problems).into_iter().collect()
            }
            (None, Protocol::Grpc, Some(bases)) => {
                bases.iter().map(|base| with_path(base, grpc::method(signal).to_owned())).collect()
            }
            (None, Protocol::Http, Some(bases)) => {
                let path = |base: &Uri| format!("{}/v1/{signal}", base.path().trim_end_matches('/'));
                bases.iter().map(|base| with_path(base, path(base))).collect()
            }
            (None, protocol, None) => {
                let message = format!("there is no endpoint for {signal}");
                let remedy = format!("write for example {}", protocol.example());
                problems.push(Problem::new("endpoint", message, remedy));
                Vec::new()
            }
        };
        urls.push((signal, of_signal));
    }
    urls
}

/// Checks the endpoints: no query, and for gRPC no path. `None` when none is written.
fn bases(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Vec<Uri>> {
    if settings.endpoint.is_none() && settings.endpoints.is_empty() {
        return None;
    }
    let one = ("endpoint", settings.endpoint.as_deref());
    let list = ("endpoints", &settings.endpoints[..]);
    let bases = client::endpoints::one_or_list(one, list, settings.protocol.example(), problems);
    for base in &bases {
        let mut bad = |message: &str, remedy: &str| {
            let path = if settings.endpoint.is_some() { "endpoint" } else { "endpoints" };
            problems.push(Problem::new(path, message, remedy));
        };
        if base.query().is_some() {
            let remedy = "remove the query, or give each signal a URL of its own";
            bad("holds a query, to which no path can be appended", remedy);
        } else if settings.protocol == Protocol::Grpc && base.path() != "/" {
            bad("holds a path, which gRPC has no use for", "remove the path");
        }
    }
    Some(bases)
}

impl Protocol {
    fn example(self) -> &'static str {
        match self {
            Self::Grpc => "http://127.0.0.1:4317",
            Self::Http => "http://127.0.0.1:4318",
        }
    }
}

fn with_path(base: &Uri, path: String) -> Uri {
    let mut parts = base.clone().into_parts();
    parts.path_and_query =
        Some(PathAndQuery::try_from(path).expect("a path of a URL with a plain word behind it is a path"));
    Uri::from_parts(parts).expect("the base has scheme and authority")
}

impl CheckedSink for Checked {
    fn open(mut self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let speak = if self.protocol == Protocol::Grpc { Speak::Http2 } else { Speak::Http };
            let client = Client::of(speak, std::mem::take(&mut self.plan), context.clock)?;
            let losses = Losses::new(Arc::clone(&context.name), context.metrics);
            let signals = self.endpoints.iter().map(|(signal, _)| *signal).collect();
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

    fn adaptive(&self) -> bool {
        true
    }

    fn is_one_peer(&self) -> bool {
        let mut hosts = self.checked.endpoints.iter().map(|(_, endpoints)| endpoints.hosts());
        let first = hosts.next();
        hosts.all(|other| Some(other) == first)
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
        let to = self.checked.endpoints.iter().find(|(signal, _)| *signal == parcel.signal);
        let Some((_, endpoints)) = to else {
            return Err(Failure::RefusedWhole { reason: format!("this sink takes no {}", parcel.signal) });
        };
        let (body, losses) = self.body(parcel).await?;
        let sent = parcel.items();
        let mut headers = match self.checked.protocol {
            Protocol::Grpc => grpc::headers(body.coding),
            Protocol::Http => http_headers(body.coding),
        };
        self.client.name_tenant(&mut headers, &parcel.tenant);
        let verdict = match self.checked.protocol {
            Protocol::Grpc => {
                let body = grpc::framed(body)?;
                let answer = endpoints.post(&self.client, &headers, &body, grpc::is_away).await?;
                grpc::verdict(&answer, parcel.signal, sent)?
            }
            Protocol::Http => {
                let retry_500 = self.checked.retry_500;
                let away = |answer: &Answer| answer::is_away(answer.status, retry_500);
                let answer = endpoints.post(&self.client, &headers, &body.bytes.into(), away).await?;
                answer::verdict(&answer, parcel.signal, sent, retry_500)?
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
