//! What the operator writes, and its check.

use std::collections::BTreeMap;
use std::time::Duration;

use elasticsearch::BulkParts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, header};
use model::{Problem, Signal};
use pipeline::settings::{self, Period, Secret, Size};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;

use super::answer::FILTER;
use super::bulk::Form;
use super::index::Template;
use super::setup::Puts;
use crate::client::endpoints::Prefer;
use crate::client::settings::Headers;
use crate::client::{self, Auth, Endpoints, Plan, Tls, Written};
use crate::document::{Lists, Mode, Shape};
use crate::signals;

/// Stores each item as a document.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The nodes, for example `[http://127.0.0.1:9200]`; a path before `/_bulk` is kept. One that cannot be
    /// reached, or answers 502, 503 or 504, is left out for 1 s, doubled up to 1 min, and the others are asked at once.
    nodes: Vec<String>,
    /// Which signals it takes. Default: all.
    #[serde(default = "signals::Name::all")]
    signals: Vec<signals::Name>,
    /// The index or data stream that an item goes to, which the server makes when it is not there. Dates of the event, in UTC, are written
    /// as Logstash does: `%{+yyyy.MM.dd}`. Fields: `{signal}`, `{tenant}`, `{source}`, `{dataset}`, `{service}`, `{attributes.NAME}`,
    /// `{resource.NAME}`; what a name may not hold becomes `_`, capitals become small. Default: `tidegate-{signal}-%{+yyyy.MM.dd}`.
    #[serde(default = "index")]
    index: String,
    /// The same for logs only, used instead of `index`.
    #[serde(default)]
    logs_index: Option<String>,
    /// The same for traces only, used instead of `index`.
    #[serde(default)]
    traces_index: Option<String>,
    /// The same for metrics only, used instead of `index`.
    #[serde(default)]
    metrics_index: Option<String>,
    /// Where an item goes whose fields make no name: one is missing, or the name is too long. A plain name. Default: `tidegate-fallback`.
    #[serde(default = "fallback_index")]
    fallback_index: String,
    /// How documents are laid out. Default: `otel`.
    #[serde(default)]
    documents: Mode,
    /// How a list of several kinds is written, such as `[1, "a"]`: in a field whose kind the servers choose themselves they refuse it. Default:
    /// `texts`.
    #[serde(default)]
    mixed_lists: MixedLists,
    /// Whether documents have an id made from the item's identity, so that an item that is sent again is stored once. Default: true. Without
    /// ids indexing is cheaper, and an answer that is lost on its way leaves its items in the index twice.
    #[serde(default = "yes")]
    ids: bool,
    /// Which revision of a span that stitching makes is stored: what it tells first, or the latest. Default: `latest` where there are `ids` and
    /// the name of the traces' index has a date, which no data stream's has; else `first`. A data stream cannot store the latest.
    #[serde(default)]
    revisions: Option<Revisions>,
    /// How bodies are compressed. Default: `gzip`.
    #[serde(default)]
    compression: Compression,
    /// Headers sent with every request.
    #[serde(default)]
    headers: Headers,
    /// A user with a password, or a bearer token.
    #[serde(default)]
    auth: Option<Auth>,
    /// An API key as the server shows it encoded, sent as `Authorization: ApiKey …`; instead of `auth`.
    #[serde(default)]
    api_key: Option<Secret>,
    /// The header that carries the tenant for whom the data was received. Default: none.
    #[serde(default)]
    tenant_header: Option<String>,
    /// How TLS is spoken to `https` nodes. Left out: the machine's certificate authorities are trusted.
    #[serde(default)]
    tls: Option<Tls>,
    /// The HTTP proxy through which the nodes are reached, `http://USER:PASSWORD@HOST:PORT`; `environment` takes those of HTTPS_PROXY,
    /// HTTP_PROXY and NO_PROXY. Default: none, whatever the environment says. Not together with `setup`.
    #[serde(default)]
    proxy: Option<Secret>,
    /// Hosts, domains (with all below) and address ranges that are reached without the proxy, for example `intern.example` or `10.0.0.0/8`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// The most bytes of a request's items as they were received; its documents are up to three times as long. Default: `4MiB`; from
    /// `1KiB` to `32MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// The most items of a request. Default: 5000; from 1 to 20000.
    #[serde(default = "max_items")]
    #[schemars(range(min = 1, max = 20_000))]
    max_items: u32,
    /// How long a request that is not full waits for more. Default: `1s`; at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// How many requests of each signal may be under way at once; fewer while the server is busy. Default: 4; from 1 to 64.
    #[serde(default = "in_flight")]
    #[schemars(range(min = 1, max = 64))]
    in_flight: u32,
    /// Index templates and a lifecycle policy, put before the first delivery unless there are some of that name. Left out: none are put.
    #[serde(default)]
    setup: Option<Setup>,
}

/// Which revision of a span that stitching makes is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Revisions {
    /// What is told first; what is told again is booked as dropped, `revised`.
    First,
    /// The latest: written over the one before, which is deleted where the span turns out to be none, or of another trace.
    Latest,
}

/// How a list of several kinds is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MixedLists {
    /// Each element as a text, its JSON; whole numbers beside fractions as fractions, where that keeps their values. Attributes that `setup`
    /// maps `flat` stay as they are.
    #[default]
    Texts,
    /// As it is: for a template of your own that takes any kind, by `dynamic: false` or `flattened`.
    Keep,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// Not at all.
    None,
    /// gzip.
    #[default]
    Gzip,
}

/// What is put to the server before the first delivery.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Setup {
    /// What templates (`NAME-logs` and so on) and the policy are called. Default: `tidegate`.
    pub(super) name: String,
    /// Whether names are of data streams or of plain indices. Default: `index`. Elasticsearch has data streams in its default
    /// distribution from 7.9 on, OpenSearch always.
    pub(super) kind: Kind,
    /// How attributes are mapped in the modes `otel` and `raw`. Default: `dynamic`.
    pub(super) attributes: Attributes,
    /// Which template wins where patterns overlap. Default: 200, above the servers' own.
    pub(super) priority: u32,
    /// Shards of an index. Left out: the server's default.
    pub(super) shards: Option<u32>,
    /// Copies of each shard. Left out: the server's default.
    pub(super) replicas: Option<u32>,
    /// The most fields of an index; a document that would add one more is refused. Default: 2000.
    pub(super) total_fields: u32,
    /// When indices are rolled over and deleted: by index lifecycle management of Elasticsearch, or by index state management of
    /// OpenSearch. A server that has neither is told of in the log, and gets no policy. Left out: never.
    pub(super) lifecycle: Option<Lifecycle>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            name: "tidegate".to_owned(),
            kind: Kind::Index,
            attributes: Attributes::Dynamic,
            priority: 200,
            shards: None,
            replicas: None,
            total_fields: 2000,
            lifecycle: None,
        }
    }
}

/// What names are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Plain indices, usually with a date in their name.
    Index,
    /// Data streams.
    DataStream,
}

/// How attributes are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Attributes {
    /// Each is a field, strings as keywords.
    Dynamic,
    /// All are one field (`flattened`, OpenSearch: `flat_object`), so that no attribute conflicts with another and none counts as a field; they are
    /// found by keyword only. Not in Elasticsearch's Apache-licensed builds, nor in OpenSearch before 2.7.
    Flat,
}

/// When indices are rolled over and deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lifecycle {
    /// A data stream begins a new index after so long. Default: `1d`.
    pub(super) rollover_after: Period,
    /// A data stream begins a new index at this size. Default: `50GiB`.
    pub(super) rollover_bytes: Size,
    /// An index is deleted so long after it was rolled over, or made. Default: `30d`.
    pub(super) delete_after: Period,
}

impl Default for Lifecycle {
    fn default() -> Self {
        let days = |days: u64| Period(Duration::from_secs(days * 86_400));
        Self { rollover_after: days(1), rollover_bytes: Size(50 << 30), delete_after: days(30) }
    }
}

fn index() -> String {
    "tidegate-{signal}-%{+yyyy.MM.dd}".to_owned()
}

fn fallback_index() -> String {
    "tidegate-fallback".to_owned()
}

fn yes() -> bool {
    true
}

fn max_bytes() -> Size {
    Size(4 << 20)
}

fn max_items() -> u32 {
    5000
}

fn max_wait() -> Period {
    Period(Duration::from_secs(1))
}

fn in_flight() -> u32 {
    4
}

/// Checked settings.
pub(super) struct Checked {
    /// Where `_bulk` requests go.
    pub(super) nodes: Endpoints,
    pub(super) signals: Vec<Signal>,
    pub(super) form: Form,
    pub(super) plan: Plan,
    pub(super) max_bytes: u64,
    pub(super) max_items: u32,
    pub(super) max_wait: Duration,
    pub(super) in_flight: usize,
    pub(super) setup: Option<Puts>,
}

/// Checks; pure.
pub(super) fn check(value: serde_json::Value) -> Result<Checked, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let plan = plan(&settings, &mut problems);
    let nodes = nodes(&settings.nodes, &mut problems);
    let signals = signals::checked(&settings.signals, &mut problems);
    ranges(&settings, &mut problems);
    let form = form(&settings, &signals, &mut problems);
    let setup =
        settings.setup.as_ref().map(|setup| check_setup(setup, &settings, &form, &signals, &mut problems));
    let endpoints = Endpoints::new(nodes.iter().map(bulk_url).collect(), Prefer::Next);
    let (Some(endpoints), true) = (endpoints, problems.is_empty()) else { return Err(problems) };
    let setup = settings.setup.zip(setup).map(|(setup, patterns)| Puts {
        setup,
        mode: form.shape.mode,
        patterns,
        nodes,
    });
    Ok(Checked {
        nodes: endpoints,
        signals,
        form,
        plan,
        max_bytes: settings.max_bytes.0,
        max_items: settings.max_items,
        max_wait: settings.max_wait.0,
        in_flight: settings.in_flight as usize,
        setup,
    })
}

fn plan(settings: &Settings, problems: &mut Vec<Problem>) -> Plan {
    let written = Written {
        headers: &settings.headers,
        tenant_header: settings.tenant_header.as_deref(),
        auth: settings.auth.as_ref(),
        tls: settings.tls.as_ref(),
        proxy: settings.proxy.as_ref(),
        no_proxy: &settings.no_proxy,
    };
    let mut plan = Plan::check(&written, problems);
    let Some(key) = &settings.api_key else { return plan };
    if settings.auth.is_some() {
        problems.push(Problem::new("api_key", "is given beside auth", "remove one of them"));
    }
    match HeaderValue::try_from(format!("ApiKey {}", key.expose())) {
        Ok(mut value) if !key.expose().trim().is_empty() => {
            value.set_sensitive(true);
            plan.headers.insert(header::AUTHORIZATION, value);
        }
        _ => {
            let remedy = "write the encoded key that the server gave";
            problems.push(Problem::new("api_key", "is no API key", remedy));
        }
    }
    plan
}

fn nodes(texts: &[String], problems: &mut Vec<Problem>) -> Vec<Uri> {
    if texts.is_empty() {
        problems.push(Problem::new("nodes", "names no node", "write for example [http://127.0.0.1:9200]"));
    }
    let mut nodes: Vec<Uri> = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let path = format!("nodes[{number}]");
        let Some(url) = client::settings::url(&path, text, problems) else { continue };
        if url.query().is_some() {
            problems.push(Problem::new(path, "holds a query", "remove it"));
        } else if nodes.contains(&url) {
            problems.push(Problem::new(path, "is in the list already", "remove it"));
        } else {
            nodes.push(url);
        }
    }
    nodes
}

fn bulk_url(node: &Uri) -> Uri {
    let path = format!("{}{}?{FILTER}", node.path().trim_end_matches('/'), BulkParts::None.url());
    let mut parts = node.clone().into_parts();
    parts.path_and_query =
        Some(PathAndQuery::try_from(path).expect("a URL's path with plain words behind it"));
    Uri::from_parts(parts).expect("a node has scheme and authority")
}

fn ranges(settings: &Settings, problems: &mut Vec<Problem>) {
    settings::within("max_bytes", settings.max_bytes, Size(1 << 10)..=Size(32 << 20), "4MiB", problems);
    settings::within("max_items", settings.max_items, 1..=20_000, "5000", problems);
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(60)), "1s", problems);
    settings::within("in_flight", settings.in_flight, 1..=64, "4", problems);
}

fn form(settings: &Settings, signals: &[Signal], problems: &mut Vec<Problem>) -> Form {
    let own: BTreeMap<Signal, (&str, &Option<String>)> = BTreeMap::from([
        (Signal::Logs, ("logs_index", &settings.logs_index)),
        (Signal::Traces, ("traces_index", &settings.traces_index)),
        (Signal::Metrics, ("metrics_index", &settings.metrics_index)),
    ]);
    let mut read = |path: &str, text: &str, signal: Signal| {
        let remedy = "write for example cloudflare-logs-%{+yyyy.MM.dd}";
        Template::read(text, signal)
            .map_err(|message| problems.push(Problem::new(path, message, remedy)))
            .ok()
    };
    let mut indices = Vec::new();
    for (signal, (path, own)) in own {
        let (path, text) = own.as_deref().map_or(("index", &*settings.index), |text| (path, text));
        // A template of a signal that is not taken is checked all the same.
        indices.extend(read(path, text, signal).map(|template| (signal, template)));
    }
    indices.retain(|(signal, _)| signals.contains(signal));
    let fallback = read("fallback_index", &settings.fallback_index, Signal::Logs);
    if fallback.as_ref().is_some_and(|template| !template.is_fixed()) {
        problems.push(Problem::new("fallback_index", "is not a plain name", "remove dates and fields"));
    }
    // The same fault of `index` is found for each signal: once is enough.
    let mut seen = Vec::new();
    problems.retain(|problem| {
        let is_new = !seen.contains(&(problem.path.clone(), problem.message.clone()));
        seen.push((problem.path.clone(), problem.message.clone()));
        is_new
    });
    let coding = match settings.compression {
        Compression::None => Coding::Plain,
        Compression::Gzip => Coding::Gzip,
    };
    let fallback = fallback.unwrap_or_else(|| Template::read("none", Signal::Logs).expect("a plain name"));
    let mut form =
        Form { shape: shape(settings), ids: settings.ids, revises: false, coding, indices, fallback };
    form.revises = match settings.revisions {
        Some(revisions) => revisions == Revisions::Latest,
        None => settings.ids && !is_stream(settings) && form.index(Signal::Traces).has_date(),
    };
    if form.revises && settings.revisions.is_some() {
        let mut bad = |message: &str, remedy: &str| problems.push(Problem::new("revisions", message, remedy));
        if !settings.ids {
            bad("without ids nothing can be written over", "remove ids: false, or write first");
        }
        if is_stream(settings) {
            bad("in a data stream nothing is written over", "write first, or setup.kind: index");
        }
    }
    form
}

/// Whether the names are put as those of data streams.
fn is_stream(settings: &Settings) -> bool {
    settings.setup.as_ref().is_some_and(|setup| setup.kind == Kind::DataStream)
}

fn shape(settings: &Settings) -> Shape {
    let others = match settings.mixed_lists {
        MixedLists::Texts => Lists::OfOneKind,
        MixedLists::Keep => Lists::AsTheyAre,
    };
    let is_flat = settings.setup.as_ref().is_some_and(|setup| setup.attributes == Attributes::Flat);
    let attributes = if is_flat { Lists::AsTheyAre } else { others };
    Shape { mode: settings.documents, attributes, others }
}

/// Checks what is to be put; answers for each signal what all names of its indices begin with.
fn check_setup(
    setup: &Setup,
    settings: &Settings,
    form: &Form,
    signals: &[Signal],
    problems: &mut Vec<Problem>,
) -> Vec<(Signal, String)> {
    let mut bad =
        |path: &str, message: String, remedy: &str| problems.push(Problem::new(path, message, remedy));
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if setup.name.is_empty() || !setup.name.chars().all(is_plain) || setup.name.starts_with(['-', '_', '.']) {
        let message = format!("{:?} is not made of small letters, digits, -, _ and .", setup.name);
        bad("setup.name", message, "write for example tidegate");
    }
    for signal in signals {
        if form.index(*signal).beginning().is_empty() {
            let message = format!(
                "the index for {signal} begins with a field, so its template would match every index"
            );
            bad("setup", message, "begin the name with a word, for example logs-{dataset}");
        }
    }
    if setup.attributes == Attributes::Flat && form.shape.mode == Mode::Ecs {
        bad("setup.attributes", "documents in ecs have no attributes".to_owned(), "remove it");
    }
    if setup.total_fields == 0 {
        bad("setup.total_fields", "0 lets no field in".to_owned(), "write for example 2000");
    }
    // What is put goes by another client, which knows neither.
    if settings.proxy.is_some() {
        bad(
            "setup",
            "cannot be put through a proxy".to_owned(),
            "put the templates yourself, or remove proxy",
        );
    }
    if settings.tls.as_ref().is_some_and(|tls| tls.server_name.is_some()) {
        let remedy = "put the templates yourself, or remove tls.server_name";
        bad("setup", "cannot be put under another server name".to_owned(), remedy);
    }
    signals.iter().map(|signal| (*signal, form.index(*signal).beginning().to_owned())).collect()
}
