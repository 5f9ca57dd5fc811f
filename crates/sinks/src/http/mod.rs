//! Any HTTP endpoint that takes JSON: lines (NDJSON), an array, or an OTLP/JSON request.

mod answer;
mod body;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use model::{Failure, Problem, Signal};
use pipeline::settings::{self, Period, Secret, Size};
use pipeline::{BoxFuture, CheckedSink, Cut, Edges, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;

use crate::client::endpoints::{Prefer, one_or_list};
use crate::client::settings::own_header;
use crate::client::{Answer, Auth, Client, Compression, Endpoints, Plan, Speak, Tls, Written};
use crate::document::Mode;
use crate::losses::{Losses, left_out};
use crate::signals;
use answer::{Changed, Class};
use body::Recipe;
use template::Template;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "http",
    summary: "Posts JSON to any URL: one line an item (NDJSON), an array, or OTLP/JSON requests.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "webhook:\n  type: http\n  url: http://127.0.0.1:8080/telemetry\n  signals: [logs]\n  header_templates:\n    Idempotency-Key: \"{range_id}\"\n",
    page: "## What becomes of it

Each item is one JSON document, laid out as `documents` says; with `format: otlp_json` a request is one OTLP/JSON `Export…ServiceRequest` as the
OTLP specification has it, to which remote-write metrics are translated. JSON has no NaN and no infinity: they become text, and in OTLP/JSON the
strings of its protobuf mapping. Bytes become base64.

HTTP has no identity of a request: when an answer is lost, the same items are sent again. A header template with `{range_id}` names the request: 16 hex
digits that stay the same when the same items are sent again, also after a restart, so that the peer can leave out what it has. A request
that is halved gets a name for each half.

| answer | what is done |
|---|---|
| 2xx | delivered; the body of the answer is not looked at |
| 408, 425, 429, 5xx, no answer | tried again, after the time that Retry-After asks for |
| 401, 403 | tried again until the credentials are mended |
| 3xx | tried again: redirects are not followed |
| 413 | halved |
| other 4xx | refused: halved until the item is found, which becomes a dead letter |

`delivered_statuses`, `retry_statuses`, `refused_statuses` and `too_large_statuses` change the meaning of single statuses.

Proven against a scripted server only: every status, and bodies by value.",
};

/// Sends JSON to one URL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The whole URL, used as it is, for example `https://HOST/telemetry`.
    #[serde(default)]
    url: Option<String>,
    /// Several equal peers instead of `url`. Requests go to each in turn, or, with `in_flight: 1`, to one as long as it serves. One that cannot be
    /// reached or answers 5xx is left out for 1 s, doubled up to 1 min, and the others are asked at once.
    #[serde(default)]
    urls: Vec<String>,
    /// The method. Default: `post`.
    #[serde(default)]
    method: Verb,
    /// Which signals it takes. Default: all.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// What a request holds. Default: `ndjson`.
    #[serde(default)]
    format: Format,
    /// How the document of an item is laid out, unless the format is `otlp_json`. Default: `otel`.
    #[serde(default)]
    documents: Option<Mode>,
    /// The Content-Type. Default: `application/x-ndjson` for lines, `application/json` otherwise.
    #[serde(default)]
    content_type: Option<String>,
    /// How bodies are compressed. Default: `none`, since not every server reads the others.
    #[serde(default = "compression")]
    compression: Compression,
    /// Headers sent with every request as they are, for example an API key.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Headers that tell what a request is about: `{tenant}`, `{signal}`, `{sink}` and `{range_id}` are filled in; write `{{` for a brace. For example
    /// `Idempotency-Key` as `{range_id}`, or `X-Scope-OrgID` as `{tenant}`.
    #[serde(default)]
    header_templates: BTreeMap<String, String>,
    /// Credentials.
    #[serde(default)]
    auth: Option<Auth>,
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
    /// Statuses that mean that the peer has the data, beside 2xx; for example 409 from a peer that knows the request's name.
    #[serde(default)]
    delivered_statuses: Vec<u16>,
    /// Statuses after which a request is tried again, beside 401, 403, 408, 425, 429 and 5xx.
    #[serde(default)]
    retry_statuses: Vec<u16>,
    /// Statuses that mean that something in the request is bad, beside 4xx: it is halved until that is found and becomes a dead letter.
    #[serde(default)]
    refused_statuses: Vec<u16>,
    /// Statuses that mean that the request is too large, beside 413: it is halved.
    #[serde(default)]
    too_large_statuses: Vec<u16>,
    /// The most items of a request. Default: 1000; from 1 to 50000.
    #[serde(default = "max_items")]
    #[schemars(range(min = 1, max = 50_000))]
    max_items: u32,
    /// The most bytes of a request before compression, unless a single item has more. Default: `1MiB`; from `1KiB` to `64MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// How long a request that is not full waits for more. Default: `1s`; at most `5m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// How many requests of each signal may be under way at once; fewer while the peer is busy. Default: 4; from 1, which keeps the order of arrival, to 64.
    #[serde(default = "in_flight")]
    #[schemars(range(min = 1, max = 64))]
    in_flight: u32,
}

/// The method.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Verb {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
}

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// One document a line.
    #[default]
    Ndjson,
    /// One array of documents.
    JsonArray,
    /// One OTLP request in JSON.
    OtlpJson,
}

fn compression() -> Compression {
    Compression::None
}

fn max_items() -> u32 {
    1000
}

fn max_bytes() -> Size {
    Size(1 << 20)
}

fn max_wait() -> Period {
    Period(Duration::from_secs(1))
}

fn in_flight() -> u32 {
    4
}

/// JSON takes about so many times the bytes of what it is made from; a parcel is cut so that its body stays within the limit.
const JSON_FOR_PLAIN: u64 = 3;

struct Checked {
    endpoints: Endpoints,
    method: Method,
    signals: Vec<Signal>,
    recipe: Recipe,
    content_type: HeaderValue,
    templates: Vec<(HeaderName, Template)>,
    changed: Changed,
    plan: Plan,
    cut: Cut,
    in_flight: usize,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let written = Written {
        headers: &settings.headers,
        tenant_header: None,
        auth: settings.auth.as_ref(),
        tls: settings.tls.as_ref(),
        proxy: settings.proxy.as_ref(),
        no_proxy: &settings.no_proxy,
    };
    let plan = Plan::check(&written, &mut problems);
    let (one, list) = (("url", settings.url.as_deref()), ("urls", &settings.urls[..]));
    let urls = one_or_list(one, list, "http://127.0.0.1:8080/telemetry", &mut problems);
    let signals = signals::checked(&settings.signals, &mut problems);
    let content_type = content_type(&settings, &mut problems);
    let templates = templates(&settings, &plan, &mut problems);
    let changed = changed(&settings, &mut problems);
    limits(&settings, &mut problems);
    if settings.format == Format::OtlpJson && settings.documents.is_some() {
        let message = "has no effect with format: otlp_json, which has a layout of its own";
        problems.push(Problem::new("documents", message, "remove it, or choose another format"));
    }
    let prefer = if settings.in_flight == 1 { Prefer::Same } else { Prefer::Next };
    let (Some(endpoints), true) = (Endpoints::new(urls, prefer), problems.is_empty()) else {
        return Err(problems);
    };
    let (Size(limit), Period(max_wait)) = (settings.max_bytes, settings.max_wait);
    let max_bytes = limit / JSON_FOR_PLAIN;
    Ok(Box::new(Checked {
        endpoints,
        method: match settings.method {
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        },
        signals,
        recipe: Recipe {
            format: settings.format,
            mode: settings.documents.unwrap_or_default(),
            coding: settings.compression.into(),
            limit,
        },
        content_type,
        templates,
        changed,
        plan,
        cut: Cut { max_items: settings.max_items, max_bytes, max_stored_bytes: max_bytes, max_wait },
        in_flight: settings.in_flight as usize,
    }))
}

fn limits(settings: &Settings, problems: &mut Vec<Problem>) {
    settings::within("max_items", settings.max_items, 1..=50_000, "1000", problems);
    settings::within("max_bytes", settings.max_bytes, Size(1 << 10)..=Size(64 << 20), "1MiB", problems);
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(300)), "1s", problems);
    settings::within("in_flight", settings.in_flight, 1..=64, "4", problems);
}

fn content_type(settings: &Settings, problems: &mut Vec<Problem>) -> HeaderValue {
    let default = match settings.format {
        Format::Ndjson => "application/x-ndjson",
        Format::JsonArray | Format::OtlpJson => "application/json",
    };
    let Some(text) = &settings.content_type else { return HeaderValue::from_static(default) };
    HeaderValue::from_str(text).ok().filter(|_| text.contains('/')).unwrap_or_else(|| {
        let message = format!("{text:?} is not a media type");
        problems.push(Problem::new("content_type", message, format!("write for example {default}")));
        HeaderValue::from_static(default)
    })
}

fn templates(settings: &Settings, plan: &Plan, problems: &mut Vec<Problem>) -> Vec<(HeaderName, Template)> {
    let mut templates: Vec<(HeaderName, Template)> = Vec::new();
    for (name, text) in &settings.header_templates {
        let path = format!("header_templates.{name}");
        let header = own_header(&path, name, &plan.headers, problems);
        match Template::parse(text) {
            Ok(template) => templates.extend(header.map(|header| (header, template))),
            Err(message) => problems.push(Problem::new(
                path,
                message,
                "write {tenant}, {signal}, {sink} or {range_id}, and {{ for a brace",
            )),
        }
    }
    templates
}

/// The statuses whose meaning is changed, each in one list only.
fn changed(settings: &Settings, problems: &mut Vec<Problem>) -> Changed {
    let lists = [
        ("delivered_statuses", &settings.delivered_statuses, Class::Delivered),
        ("retry_statuses", &settings.retry_statuses, Class::Retry),
        ("refused_statuses", &settings.refused_statuses, Class::Refused),
        ("too_large_statuses", &settings.too_large_statuses, Class::TooLarge),
    ];
    let mut changed = Changed::new();
    for (path, statuses, class) in lists {
        for (number, status) in statuses.iter().enumerate() {
            let path = format!("{path}[{number}]");
            if !(300..=599).contains(status) {
                let message = format!("{status} is not from 300 to 599");
                problems.push(Problem::new(path, message, "write for example 409"));
            } else if changed.insert(*status, class).is_some() {
                let message = format!("{status} is listed twice");
                problems.push(Problem::new(path, message, "keep it in one of the lists"));
            }
        }
    }
    changed
}

impl CheckedSink for Checked {
    fn open(mut self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let client = Client::of(Speak::Http, std::mem::take(&mut self.plan), context.clock)?;
            let losses = Losses::new(Arc::clone(&context.name), context.metrics);
            let sink = HttpSink { checked: *self, client, workers: context.workers, losses };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

struct HttpSink {
    checked: Checked,
    client: Client,
    workers: Workers,
    losses: Losses,
}

impl Sink for HttpSink {
    fn signals(&self) -> &[Signal] {
        &self.checked.signals
    }

    fn cut(&self) -> Cut {
        self.checked.cut
    }

    fn adaptive(&self) -> bool {
        true
    }

    fn in_flight(&self, _: Signal) -> usize {
        self.checked.in_flight
    }

    fn edges(&self) -> Edges {
        let named = self.checked.templates.iter().any(|(_, template)| template.names_range());
        if named { Edges::Recorded } else { Edges::Free }
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.send(parcel))
    }
}

impl HttpSink {
    async fn send(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        let checked = &self.checked;
        let (piece, recipe) = (parcel.clone(), checked.recipe);
        let made = self.workers.run(move || body::make(&piece, recipe)).await;
        let (body, losses) =
            made.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })??;
        let headers = self.headers(parcel)?;
        let away = |answer: &Answer| {
            answer.status.is_server_error() && answer::class(answer.status, &checked.changed) == Class::Retry
        };
        let method = &checked.method;
        let answer = checked.endpoints.send(&self.client, method, &headers, &body.into(), away).await?;
        answer::verdict(&answer, &checked.changed)?;
        self.losses.book(&losses);
        Ok(left_out(Receipt::Delivered, &losses, parcel.items()))
    }

    fn headers(&self, parcel: &Parcel) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, self.checked.content_type.clone());
        let coding = match self.checked.recipe.coding {
            Coding::Gzip => Some("gzip"),
            Coding::Zstd => Some("zstd"),
            _ => None,
        };
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        for (name, template) in &self.checked.templates {
            let Some(value) = template.fill(parcel) else {
                let reason = format!("the name of the sink cannot be sent in the header {name}");
                return Err(Failure::Retry { after: None, reason });
            };
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests;
