//! Prometheus remote-write 1.0 and 2.0. One request is in flight for each series, so that it stays in order: one for all, or one for each
//! of some shards.

mod answer;
mod body;
mod lot;
mod message;
mod narrow;
mod shard;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method, header};
use model::{Clock, Failure, Problem, Signal};
use pipeline::settings::{self, Period, Secret, Size};
use pipeline::{BoxFuture, CheckedSink, Cut, Edges, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;
use wire::translate::{Naming, Options};

use crate::client::endpoints::{Prefer, one_or_list};
use crate::client::{Answer, Auth, Client, Endpoints, Plan, Speak, Tls, Written};
use crate::losses::{Losses, left_out};
use body::{Part, Prepared, Recipe};
use lot::Lot;
use message::{Choice, Message};
use shard::Hands;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "prometheus",
    summary: "Sends metrics by Prometheus remote-write 1.0 or 2.0: Prometheus, Mimir, VictoriaMetrics, Thanos.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "prometheus:\n  type: prometheus\n  url: http://127.0.0.1:9090/api/v1/write\n  message: \"1.0\"\n",
    page: "## What becomes of it

Requests go out one at a time in the order of arrival; with `shards`, one at a time for each, of series that are its own. A request is recorded before it leaves; when its answer was lost, or the gateway killed, it is sent again
as it was. A sample that the peer has already is stored once there. NaN payloads, stale markers and native histograms arrive bit for bit. A point of OTLP without a place in
Prometheus (delta temporality, a scale below -4) is not sent and booked as dropped, `untranslatable`.

A sample that comes too late for its series, or differs from the one that is there at its time, is refused with 400. That is final and booked `peer_refused`:

| peer | message | what becomes of the rest of the request | what is booked |
|---|---|---|---|
| any | 2.0 | the peer stores it | what the peer says it did not store |
| Prometheus | 1.0 | it stores nothing; the rest is sent again at once in 2.0, to one that does not read it in halves, in order | what was refused then; of OTLP, and after 64 halvings, an upper bound |
| others (Mimir, Cortex, Thanos) | 1.0 | the peer stores it and does not say how much | the whole request as an upper bound |

When a request that may have arrived is sent again, samples of which Prometheus says that they are out of order are booked as delivered: it has newer ones of their series, and it got those
after them. Should one have come too late the first time as well, it is booked as delivered nevertheless. Of samples of one series that stand in one request in the wrong order, Prometheus keeps the newest
and says nothing. A sample of `target_info` that comes too late is left out; it is no item.

VictoriaMetrics 1.79 refuses no sample, and keeps one that is sent again a second time. It keeps no native histograms, no NaN but stale markers, and about
eleven digits, the exponent being the same for all samples of a series, so that small ones beside large ones become 0.

With `shards` what is gathered is divided by the labels of its series, and the requests of all shards leave together; the next ones follow when all are answered.
A round trip then carries as many times `max_bytes`, so that more gets through to a peer that is far away or slow. A shard that the peer has stored is not sent again with others that failed,
unless the gateway was started anew in between. Bodies are compressed anew, and a request is as large as its series are: with few large ones it may exceed `max_bytes`, and one that the peer
answers with 413 is halved. Metadata entries of 1.0 go to the first shard; in 2.0, where they belong to series, they are lost to series of the others.
What is refused of OTLP is an upper bound, since a point may be samples in several shards.

Proven against Prometheus 3 with 1.0 and 2.0, against one that reads 1.0 alone, VictoriaMetrics 1.79 and another Tidegate.",
};

/// Sends metrics by remote-write. Metrics that were received by OTLP are translated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The whole URL, used as it is, for example `http://HOST:9090/api/v1/write`.
    #[serde(default)]
    url: Option<String>,
    /// Several equal peers instead of `url`. One of them gets everything, in order, as long as it serves; when it cannot be reached or answers 5xx,
    /// the next does, and it is left out for 1 s, doubled up to 1 min.
    #[serde(default)]
    urls: Vec<String>,
    /// Which version of remote-write is spoken. Default: `"1.0"`, which every peer reads; `"2.0"` also carries metadata with its series, start
    /// times and custom-bucket histograms, and tells how much was stored. A peer that refuses 2.0 (415) is sent 1.0 for an hour.
    #[serde(default)]
    message: Version,
    /// What is done, in 1.0, with the fields that only another Tidegate understands (start times, metadata of a series, custom-bucket
    /// histograms). Default: `strip`, which drops them and counts what is lost; `keep` sends bodies on as they are.
    #[serde(default)]
    private_fields: PrivateFields,
    /// How metrics that were received by OTLP are named. Default: `underscores_with_suffixes`, as Prometheus itself does.
    #[serde(default)]
    otlp_names: Names,
    /// Whether series that were received by OTLP carry their scope as `otel_scope_…` labels. Default: false, as in Prometheus.
    #[serde(default)]
    otlp_scope_labels: bool,
    /// Resource attributes that become labels of every series that was received by OTLP, for example `k8s.namespace.name`. Default: none;
    /// they are all labels of `target_info`.
    #[serde(default)]
    otlp_resource_labels: Vec<String>,
    /// How bodies are compressed. Default: `snappy`, as the protocol has it; `zstd` only for a peer that reads it.
    #[serde(default)]
    compression: Compression,
    /// Headers sent with every request, for example an API key.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// The header that carries the tenant for whom the data was received, for example `X-Scope-OrgID`. Default: none.
    #[serde(default)]
    tenant_header: Option<String>,
    /// Credentials.
    #[serde(default)]
    auth: Option<Auth>,
    /// What happens when the peer refuses the credentials (401, 403). Default: `hold`, which keeps the data and tries again until they are
    /// mended; `drop` books it as refused at once, as the remote-write specification has it.
    #[serde(default)]
    on_unauthorized: OnUnauthorized,
    /// How TLS is spoken to an `https` URL. Left out: the machine's certificate authorities are trusted.
    #[serde(default)]
    tls: Option<Tls>,
    /// The HTTP proxy through which the peer is reached, `http://USER:PASSWORD@HOST:PORT`; `environment` takes those of HTTPS_PROXY, HTTP_PROXY
    /// and NO_PROXY. Default: none, whatever the environment says.
    #[serde(default)]
    proxy: Option<Secret>,
    /// Hosts, domains (with all below) and address ranges that are reached without the proxy, for example `intern.example` or `10.0.0.0/8`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// The most compressed bytes of a request that is joined from several. Default: `1MiB`; from `1KiB` to `32MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// How long a request that is not full waits for more. Default: `1s`; at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// Into how many shards series are divided by their labels. Each has a request in flight of its own, so that so many times `max_bytes`, though
    /// at most `32MiB`, go out at once. Raise it when the sink falls behind while the peer could take more. Default: 1, which sends bodies as they
    /// were received; at most 64.
    #[serde(default = "shards")]
    shards: u32,
}

/// A version of remote-write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
enum Version {
    /// `prometheus.WriteRequest`.
    #[default]
    #[serde(rename = "1.0")]
    V1,
    /// `io.prometheus.write.v2.Request`.
    #[serde(rename = "2.0")]
    V2,
}

/// What is done with private fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum PrivateFields {
    /// They are taken out and what is lost is counted.
    #[default]
    Strip,
    /// They are sent on; peers skip what they do not know.
    Keep,
}

/// How OTLP metrics are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Names {
    /// Other characters become `_`; units and `_total` are appended.
    #[default]
    UnderscoresWithSuffixes,
    /// Other characters become `_`; nothing is appended.
    UnderscoresWithoutSuffixes,
    /// All characters are kept; units and `_total` are appended.
    Utf8WithSuffixes,
    /// Names are kept as they are.
    Untranslated,
}

impl From<Names> for Naming {
    fn from(names: Names) -> Self {
        match names {
            Names::UnderscoresWithSuffixes => Self::UnderscoreEscapingWithSuffixes,
            Names::UnderscoresWithoutSuffixes => Self::UnderscoreEscapingWithoutSuffixes,
            Names::Utf8WithSuffixes => Self::NoUtf8EscapingWithSuffixes,
            Names::Untranslated => Self::NoTranslation,
        }
    }
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// snappy's block format, which every peer reads.
    #[default]
    Snappy,
    /// zstd: smaller. VictoriaMetrics and another Tidegate read it.
    Zstd,
}

impl From<Compression> for Coding {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Snappy => Self::Snappy,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// What happens when the peer refuses the credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnUnauthorized {
    /// The data waits.
    #[default]
    Hold,
    /// The data is booked as refused.
    Drop,
}

fn max_bytes() -> Size {
    Size(1 << 20)
}

fn max_wait() -> Period {
    Period(Duration::from_secs(1))
}

fn shards() -> u32 {
    1
}

struct Checked {
    endpoints: Endpoints,
    version: Version,
    recipe: Recipe,
    plan: Plan,
    on_unauthorized: OnUnauthorized,
    max_bytes: u64,
    max_wait: Duration,
    shards: u32,
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
    let (one, list) = (("url", settings.url.as_deref()), ("urls", &settings.urls[..]));
    let urls = one_or_list(one, list, "http://127.0.0.1:9090/api/v1/write", &mut problems);
    let Size(max_bytes) = settings.max_bytes;
    settings::within(
        "max_bytes",
        settings.max_bytes,
        Size(1 << 10)..=Size(MOST_BYTES),
        "1MiB",
        &mut problems,
    );
    let Period(max_wait) = settings.max_wait;
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(60)), "1s", &mut problems);
    settings::within("shards", settings.shards, 1..=64, "4", &mut problems);
    let (Some(endpoints), true) = (Endpoints::new(urls, Prefer::Same), problems.is_empty()) else {
        return Err(problems);
    };
    let recipe = Recipe {
        coding: settings.compression.into(),
        private_fields: settings.private_fields,
        otlp: Arc::new(Options {
            names: settings.otlp_names.into(),
            promote: settings.otlp_resource_labels,
            scope_labels: settings.otlp_scope_labels,
            ..Options::default()
        }),
    };
    let Settings { message: version, on_unauthorized, shards, .. } = settings;
    Ok(Box::new(Checked { endpoints, version, recipe, plan, on_unauthorized, max_bytes, max_wait, shards }))
}

impl CheckedSink for Checked {
    fn open(mut self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let clock = Arc::clone(&context.clock);
            let client = Client::of(Speak::Http, std::mem::take(&mut self.plan), Arc::clone(&clock))?;
            let losses = Losses::new(Arc::clone(&context.name), context.metrics);
            let choice = Choice::new(self.version);
            let (workers, unconfirmed) = (context.workers, AtomicBool::new(false));
            let asking = Choice::new(Version::V2);
            let checked = *self;
            let hands = Hands::default();
            let sink =
                Prometheus { checked, client, clock, choice, workers, losses, asking, unconfirmed, hands };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

struct Prometheus {
    checked: Checked,
    client: Client,
    clock: Arc<dyn Clock>,
    choice: Choice,
    workers: Workers,
    losses: Losses,
    /// Whether the peer is asked in 2.0 what it refused of a request in 1.0.
    asking: Choice,
    /// Whether it was told that the peer does not say what it stored.
    unconfirmed: AtomicBool,
    hands: Hands,
}

/// The most compressed bytes that may be gathered.
const MOST_BYTES: u64 = 32 << 20;
/// Compressed text of labels rarely shrinks by more; it bounds a joined request in memory.
const PLAIN_FOR_STORED: u64 = 16;
/// The most that is read of an answer, which has a line for each sample that was refused.
const ANSWER: usize = 8 << 20;

impl Sink for Prometheus {
    fn signals(&self) -> &[Signal] {
        &[Signal::Metrics]
    }

    fn cut(&self) -> Cut {
        let shards = self.checked.shards;
        let stored = (self.checked.max_bytes * u64::from(shards)).min(MOST_BYTES);
        Cut {
            max_items: 50_000 * shards,
            max_bytes: stored * PLAIN_FOR_STORED,
            max_stored_bytes: stored,
            max_wait: self.checked.max_wait,
        }
    }

    /// So that it is known after a restart what may have arrived: exactly the request that was begun, and it is sent again as it was.
    fn edges(&self) -> Edges {
        Edges::Recorded
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(async move {
            match self.checked.shards {
                1 => self.send(&Lot::whole(parcel)).await,
                _ => self.send_in_shards(parcel).await,
            }
        })
    }
}

impl Prometheus {
    async fn send(&self, lot: &Lot) -> Result<Receipt, Failure> {
        let mut message = self.choice.message(self.clock.now());
        let mut prepared = self.prepare(lot, message, Part::All).await?;
        let mut answer = self.post(lot, message, &prepared).await?;
        if message == Message::V2 && answer.status == http::StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let now = self.clock.now();
            if self.choice.message(now) == Message::V2 {
                tracing::warn!(
                    sink = &*lot.parcel.sink,
                    "the peer does not read remote-write 2.0; it is sent 1.0 for an hour"
                );
            }
            self.choice.refused(now);
            message = Message::Fallback;
            prepared = self.prepare(lot, message, Part::All).await?;
            answer = self.post(lot, message, &prepared).await?;
        }
        let sent = lot.items();
        let verdict = answer::verdict(&answer, lot, prepared.counts.as_ref(), self.checked.on_unauthorized)?;
        if verdict.unconfirmed && !self.unconfirmed.swap(true, Ordering::Relaxed) {
            let hint = "if the data is missing there, set message: \"1.0\"";
            tracing::warn!(
                sink = &*lot.parcel.sink,
                hint,
                "the peer does not say what it stored of remote-write 2.0; told once"
            );
        }
        let receipt = match &verdict.receipt {
            Receipt::Partly(_) if message != Message::V2 && answer::stored_nothing(&answer) => {
                answer::receipt(self.narrow(lot, message).await?)
            }
            _ => verdict.receipt,
        };
        self.losses.book(&prepared.losses);
        Ok(left_out(receipt, &prepared.losses, sent))
    }

    async fn prepare(&self, lot: &Lot, message: Message, part: Part) -> Result<Prepared, Failure> {
        let (lot, recipe) = (lot.clone(), self.checked.recipe.clone());
        let made = self.workers.run(move || body::prepare(&lot, message, part, &recipe)).await;
        made.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })?
    }

    async fn post(&self, lot: &Lot, message: Message, prepared: &Prepared) -> Result<Answer, Failure> {
        let mut headers = message.headers();
        let coding = if self.checked.recipe.coding == Coding::Zstd { "zstd" } else { "snappy" };
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        if lot.parcel.attempt > 0 {
            headers.insert("retry-attempt", lot.parcel.attempt.into());
        }
        self.client.name_tenant(&mut headers, &lot.parcel.tenant);
        let away = |answer: &Answer| answer.status.is_server_error();
        let (client, body) = (&self.client, prepared.bytes.clone().into());
        self.checked.endpoints.send_within(ANSWER, client, &Method::POST, &headers, &body, away).await
    }
}

#[cfg(test)]
mod tests;
