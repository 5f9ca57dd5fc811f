//! Grafana Loki by its push API (`POST /loki/api/v1/push`, snappy protobuf): few bounded labels name a stream, everything else is
//! structured metadata of its line.

mod answer;
mod guard;
mod labels;
mod name;
mod push;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, header};
use model::{Clock, Failure, Problem, Signal};
use pipeline::metrics::{Family, Kind};
use pipeline::settings::{self, Period, Secret, Size};
use pipeline::{BoxFuture, CheckedSink, Cut, Metrics, Parcel, Receipt, Sink, SinkContext, SinkRow, Workers};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::client::{self, Auth, Client, Plan, Speak, Tls, Written};
use crate::losses::Losses;
use guard::Guard;
use labels::Recipe;

/// The row.
pub(crate) const ROW: SinkRow = SinkRow {
    name: "loki",
    summary: "Sends logs to Grafana Loki: few bounded labels, everything else as structured metadata.",
    schema: || schemars::schema_for!(Settings),
    check,
    example: "loki:\n  type: loki\n  url: http://127.0.0.1:3100/loki/api/v1/push\n  attribute_labels: [service.name, deployment.environment.name]\n  labels:\n    cluster: eu-1\n",
    page: include_str!("page.md"),
};

/// Sends logs to Loki.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where Loki takes pushes, for example `http://HOST:3100/loki/api/v1/push`. A URL without a path gets this path.
    url: String,
    /// The tenant, sent as `X-Scope-OrgID`. Left out: none is sent, which a Loki with `auth_enabled: true` refuses.
    #[serde(default)]
    tenant: Option<String>,
    /// Whether each record goes to the tenant that it was received for, instead of one for all. Default: false.
    #[serde(default)]
    tenant_of_item: bool,
    /// Attributes that become labels, `.` becoming `_`; those of the resource come first. Each combination of values is a stream, so name only what
    /// has few values. Default: `service.name`, `deployment.environment.name`.
    #[serde(default = "attribute_labels")]
    attribute_labels: Vec<String>,
    /// Labels that the gateway knows itself. Default: both.
    #[serde(default = "gateway_labels")]
    gateway_labels: Vec<GatewayLabel>,
    /// Labels that are the same on every stream.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The most streams that labels from attributes may make, while they are in use. Beyond it those labels become `__overflow__`, and the line's
    /// structured metadata has the values. Default: 1000; from 1 to 100000. Keep it below Loki's `max_global_streams_per_user` (5000).
    #[serde(default = "max_streams")]
    #[schemars(range(min = 1, max = 100_000))]
    max_streams: u32,
    /// The longest line. Longer ones become dead letters, since Loki would refuse them. Default: `256KiB`, Loki's own `max_line_size`; set it if
    /// Loki's is another; from `1KiB` to `4MiB`.
    #[serde(default = "max_line")]
    max_line: Size,
    /// Headers sent with every request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Credentials.
    #[serde(default)]
    auth: Option<Auth>,
    /// How TLS is spoken to an `https` URL. Left out: the machine's certificate authorities are trusted.
    #[serde(default)]
    tls: Option<Tls>,
    /// The HTTP proxy through which Loki is reached, `http://USER:PASSWORD@HOST:PORT`; `environment` takes those of HTTPS_PROXY, HTTP_PROXY and
    /// NO_PROXY. Default: none, whatever the environment says.
    #[serde(default)]
    proxy: Option<Secret>,
    /// Hosts, domains (with all below) and address ranges that are reached without the proxy, for example `intern.example` or `10.0.0.0/8`.
    #[serde(default)]
    no_proxy: Vec<String>,
    /// The most bytes, as they were received, that go into one request. Default: `1MiB`; from `1KiB` to `4MiB`.
    #[serde(default = "max_bytes")]
    max_bytes: Size,
    /// How long a request that is not full waits for more. Default: `1s`; at most `1m`.
    #[serde(default = "max_wait")]
    max_wait: Period,
    /// How many requests may be under way at once; fewer while Loki is busy. Default: 1; from 1 to 64. With more than one a Loki that is killed loses lines that it has
    /// answered for, and one with `unordered_writes: false` refuses lines.
    #[serde(default = "in_flight")]
    #[schemars(range(min = 1, max = 64))]
    in_flight: u32,
}

/// A label that the gateway knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GatewayLabel {
    /// `source`: the receiver that took the record.
    Source,
    /// `severity`: trace, debug, info, warn, error, fatal or unknown.
    Severity,
}

fn attribute_labels() -> Vec<String> {
    ["service.name", "deployment.environment.name"].map(str::to_owned).into()
}

fn gateway_labels() -> Vec<GatewayLabel> {
    vec![GatewayLabel::Source, GatewayLabel::Severity]
}

fn max_streams() -> u32 {
    1000
}

fn max_line() -> Size {
    Size(256 << 10)
}

fn max_bytes() -> Size {
    Size(1 << 20)
}

fn max_wait() -> Period {
    Period(Duration::from_secs(1))
}

fn in_flight() -> u32 {
    1
}

/// The most labels of a stream that Loki takes by default.
const LABELS: usize = 15;
const PATH: &str = "/loki/api/v1/push";
const TENANT: &str = "x-scope-orgid";

struct Checked {
    url: Uri,
    recipe: Recipe,
    max_streams: usize,
    plan: Plan,
    max_bytes: u64,
    max_wait: Duration,
    in_flight: usize,
}

fn check(value: serde_json::Value) -> Result<Box<dyn CheckedSink>, Vec<Problem>> {
    let settings: Settings = settings::read(value)?;
    let mut problems = Vec::new();
    let written = Written {
        headers: &settings.headers,
        tenant_header: settings.tenant_of_item.then_some(TENANT),
        auth: settings.auth.as_ref(),
        tls: settings.tls.as_ref(),
        proxy: settings.proxy.as_ref(),
        no_proxy: &settings.no_proxy,
    };
    let mut plan = Plan::check(&written, &mut problems);
    let url = client::settings::url("url", &settings.url, &mut problems).map(with_path);
    tenant(&settings, &mut plan.headers, &mut problems);
    labels_fit(&settings, &mut problems);
    let (Size(line), Size(max_bytes), Period(max_wait)) =
        (settings.max_line, settings.max_bytes, settings.max_wait);
    settings::within("max_line", settings.max_line, Size(1 << 10)..=Size(4 << 20), "256KiB", &mut problems);
    settings::within("max_bytes", settings.max_bytes, Size(1 << 10)..=Size(4 << 20), "1MiB", &mut problems);
    settings::at_most("max_wait", settings.max_wait, Period(Duration::from_secs(60)), "1s", &mut problems);
    settings::within("max_streams", settings.max_streams, 1..=100_000, "1000", &mut problems);
    settings::within("in_flight", settings.in_flight, 1..=64, "1", &mut problems);
    let (Some(url), true) = (url, problems.is_empty()) else { return Err(problems) };
    let recipe = Recipe {
        fixed: settings.labels,
        source: settings.gateway_labels.contains(&GatewayLabel::Source),
        severity: settings.gateway_labels.contains(&GatewayLabel::Severity),
        attributes: settings.attribute_labels,
        max_line: line as usize,
    };
    Ok(Box::new(Checked {
        url,
        recipe,
        max_streams: settings.max_streams as usize,
        plan,
        max_bytes,
        max_wait,
        in_flight: settings.in_flight as usize,
    }))
}

fn with_path(url: Uri) -> Uri {
    if url.path() != "/" || url.query().is_some() {
        return url;
    }
    let mut parts = url.into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(PATH));
    Uri::from_parts(parts).expect("a URL with scheme and authority has them with a path as well")
}

/// The tenant comes from one place only.
fn tenant(settings: &Settings, headers: &mut HeaderMap, problems: &mut Vec<Problem>) {
    if settings.tenant_of_item && settings.tenant.is_some() {
        problems.push(Problem::new("tenant", "is of no use with tenant_of_item", "remove one of the two"));
    }
    if headers.contains_key(TENANT) && (settings.tenant_of_item || settings.tenant.is_some()) {
        let message = "X-Scope-OrgID is set by tenant or tenant_of_item as well";
        problems.push(Problem::new("headers", message, "remove one of the two"));
    }
    let Some(tenant) = &settings.tenant else { return };
    match HeaderValue::from_str(tenant) {
        Ok(value) if !tenant.is_empty() && tenant.len() <= 150 => {
            headers.insert(TENANT, value);
        }
        _ => problems.push(Problem::new(
            "tenant",
            "is no name of a tenant",
            "write 1 to 150 letters and digits",
        )),
    }
}

/// Each label has a name that Loki takes, and one only; there is one at least on every stream, and not more than Loki takes.
fn labels_fit(settings: &Settings, problems: &mut Vec<Problem>) {
    let mut names = Vec::new();
    for label in &settings.gateway_labels {
        names.push(match label {
            GatewayLabel::Source => "source".to_owned(),
            GatewayLabel::Severity => "severity".to_owned(),
        });
    }
    for (name, value) in &settings.labels {
        let path = format!("labels.{name}");
        if !name::is_label(name) {
            let message = format!("{name:?} is no name of a label");
            problems.push(Problem::new(&path, message, format!("write {:?}", name::sanitized(name))));
        }
        if value.is_empty() || value.len() > 2048 {
            problems.push(Problem::new(
                path,
                "has no value, or one of more than 2048 bytes",
                "write a short value",
            ));
        }
        names.push(name.clone());
    }
    if names.is_empty() {
        let message = "a record without the attributes would have no label at all, which Loki refuses";
        problems.push(Problem::new("labels", message, "add a label, or one of gateway_labels"));
    }
    names.extend(settings.attribute_labels.iter().map(|key| name::sanitized(key)));
    if names.len() > LABELS {
        let message = format!("{} labels exceed Loki's limit of {LABELS}", names.len());
        problems.push(Problem::new("attribute_labels", message, "name fewer labels"));
    }
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("label {:?} comes twice", twice[0]);
        problems.push(Problem::new(
            "attribute_labels",
            message,
            "name it once in labels, gateway_labels and attribute_labels",
        ));
    }
}

impl CheckedSink for Checked {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let clock = Arc::clone(&context.clock);
            let client = Client::of(Speak::Http, self.plan, Arc::clone(&clock))?;
            let losses = Losses::new(Arc::clone(&context.name), context.metrics.clone());
            let sink = Loki {
                name: context.name,
                url: self.url,
                maker: Arc::new(Maker { recipe: self.recipe, guard: Guard::new(self.max_streams) }),
                cut: Cut {
                    max_items: 50_000,
                    max_bytes: self.max_bytes,
                    max_stored_bytes: self.max_bytes,
                    max_wait: self.max_wait,
                },
                in_flight: self.in_flight,
                client,
                clock,
                workers: context.workers,
                losses,
                metrics: context.metrics,
            };
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        })
    }
}

const REFUSED: Family = Family {
    name: "tidegate_sink_loki_lines_refused_total",
    help: "Lines that Loki left out, by reason, as far as its answers tell.",
    kind: Kind::Counter,
};

struct Loki {
    name: Arc<str>,
    url: Uri,
    maker: Arc<Maker>,
    cut: Cut,
    in_flight: usize,
    client: Client,
    clock: Arc<dyn Clock>,
    workers: Workers,
    losses: Losses,
    metrics: Metrics,
}

/// What a request is made with, on a worker's thread.
struct Maker {
    recipe: Recipe,
    guard: Guard,
}

impl Sink for Loki {
    fn signals(&self) -> &[Signal] {
        &[Signal::Logs]
    }

    fn cut(&self) -> Cut {
        self.cut
    }

    fn adaptive(&self) -> bool {
        true
    }

    fn in_flight(&self, _: Signal) -> usize {
        self.in_flight
    }

    fn deliver<'a>(&'a self, parcel: &'a Parcel) -> BoxFuture<'a, Result<Receipt, Failure>> {
        Box::pin(self.send(parcel))
    }
}

impl Loki {
    async fn send(&self, parcel: &Parcel) -> Result<Receipt, Failure> {
        if parcel.signal != Signal::Logs {
            return Err(Failure::RefusedWhole { reason: format!("this sink takes no {}", parcel.signal) });
        }
        let push = self.make(parcel).await?;
        let answer = self.client.post(&self.url, self.headers(parcel), Bytes::from(push.body).into()).await?;
        let verdict = answer::verdict(&answer, parcel.items(), push.streams)?;
        self.losses.note("metadata", push.dropped.metadata);
        self.losses.note("time", push.dropped.times);
        self.losses.note("labels", push.dropped.overflowed);
        for (reason, count) in verdict.refused {
            self.metrics.counter(REFUSED, &[("sink", &self.name), ("reason", reason)]).add(count);
        }
        Ok(verdict.receipt)
    }

    async fn make(&self, parcel: &Parcel) -> Result<push::Push, Failure> {
        let (parcel, maker, now) = (parcel.clone(), Arc::clone(&self.maker), self.clock.now());
        let made = self.workers.run(move || push::make(&parcel, &maker.recipe, &maker.guard, now)).await;
        made.map_err(|gone| Failure::Retry { after: None, reason: gone.to_string() })?
    }

    fn headers(&self, parcel: &Parcel) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        self.client.name_tenant(&mut headers, &parcel.tenant);
        headers
    }
}

#[cfg(test)]
mod tests;
