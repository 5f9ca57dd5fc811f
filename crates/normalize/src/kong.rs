//! Kong's log records (`kong.log.serialize()`, 2.0 to 3.10) as its http-log plugin sends them: each becomes an OTLP log
//! record whose body is the record's own bytes. (Kong, `kong/pdk/log.lua`; which fields exist depends on the version,
//! so fields are asked for, never versions.)

use std::borrow::Cow;

use model::UnixNanos;
use model::id::{Notation, Ray, derived};

use crate::json::{self, Decimal, Kind, Member, Value};
use crate::log::{ERROR, Groups, INFO, Record, Resource, Severity, UNKNOWN, WARN};
use crate::trace::{Header, Headers, Trace};

/// Most attributes made of what the AI plugins add.
const MOST_AI: usize = 64;

/// The parts of a record, by name.
#[derive(Debug, Default, Clone, Copy)]
struct Parts<'a> {
    request: Option<Value<'a>>,
    response: Option<Value<'a>>,
    latencies: Option<Value<'a>>,
    tries: Option<Value<'a>>,
    service: Option<Value<'a>>,
    route: Option<Value<'a>>,
    consumer: Option<Value<'a>>,
    client_ip: Option<Value<'a>>,
    started_at: Option<Value<'a>>,
    upstream_status: Option<Value<'a>>,
    upstream_uri: Option<Value<'a>>,
    source: Option<Value<'a>>,
    workspace_name: Option<Value<'a>>,
    trace_id: Option<Value<'a>>,
    correlation_id: Option<Value<'a>>,
    session: Option<Value<'a>>,
    ai: Option<Value<'a>>,
    duplicate: bool,
}

impl<'a> Parts<'a> {
    fn of(members: &[Member<'a>]) -> Self {
        let mut parts = Self::default();
        for member in members {
            let place = match member.key {
                b"request" => &mut parts.request,
                b"response" => &mut parts.response,
                b"latencies" => &mut parts.latencies,
                b"tries" => &mut parts.tries,
                b"service" => &mut parts.service,
                b"route" => &mut parts.route,
                b"consumer" => &mut parts.consumer,
                b"client_ip" => &mut parts.client_ip,
                b"started_at" => &mut parts.started_at,
                b"upstream_status" => &mut parts.upstream_status,
                b"upstream_uri" => &mut parts.upstream_uri,
                b"source" => &mut parts.source,
                b"workspace_name" => &mut parts.workspace_name,
                b"trace_id" => &mut parts.trace_id,
                b"correlation_id" => &mut parts.correlation_id,
                b"session" => &mut parts.session,
                b"ai" => &mut parts.ai,
                _ => continue,
            };
            let before = place.replace(member.value);
            parts.duplicate |= before.is_some();
        }
        parts
    }

    fn first_try(&self) -> Option<Value<'a>> {
        self.tries.and_then(|tries| tries.elements().next())
    }
}

/// Maps the records of one request.
pub(crate) struct Mapper<'a> {
    pub(crate) groups: Groups,
    pub(crate) members: Vec<Member<'a>>,
    received: UnixNanos,
    record: Record,
    resource: Resource,
}

impl<'a> Mapper<'a> {
    pub(crate) fn new(received: UnixNanos) -> Self {
        Self {
            groups: Groups::default(),
            members: Vec::new(),
            received,
            record: Record::default(),
            resource: Resource { service: "kong", source: "kong.http_log".into(), workspace: None },
        }
    }

    /// Maps the record whose members were put out; `text` is its own.
    pub(crate) fn map(&mut self, text: &'a [u8]) {
        let parts = Parts::of(&self.members);
        let record = &mut self.record;
        let took = latency(&parts, "request").or_else(|| latency(&parts, "session"));
        let status = field(parts.response, "status").and_then(whole);
        let status = status.or_else(|| field(parts.session, "status").and_then(whole));
        record.start(ended(&parts, took), self.received, severity(status), "kong.http_log");
        record.body(text);

        let mut headers = Headers::default();
        if let Some(found) = field(parts.request, "headers") {
            headers.add(found, &mut record.replaced);
        }
        let trace = Trace::of(&headers, parts.trace_id);
        let key = Key::of(&parts);
        let key_parts: Vec<&str> = key.parts.iter().map(AsRef::as_ref).collect();
        record.trace(&trace, trace.id.map(|_| derived::id8("kong.server", &key_parts)));
        if rewritten(&headers, parts.trace_id) {
            record.bool("kong.context_rewritten", true);
        }
        record.str("tidegate.key", &format!("kong|{}", key_parts.join("|")));

        request(record, &parts, &headers);
        if let Some(status) = status {
            record.int("http.response.status_code", status);
        } else if let Some(status) = field(parts.response, "status") {
            record.value("kong.response.status", status);
        }
        upstream(record, &parts);
        entities(record, &parts);
        if parts.duplicate {
            record.bool("tidegate.duplicate_keys", true);
        }
        let workspace = parts.workspace_name.filter(|name| name.is_string() && !name.raw.is_empty());
        let workspace = workspace.map(|name| json::text(name, &mut record.replaced));
        if self.resource.workspace.as_deref() != workspace.as_deref() {
            self.resource.workspace = workspace.map(Cow::into_owned);
        }
        self.groups.add(&self.resource, record);
    }
}

fn request(record: &mut Record, parts: &Parts<'_>, headers: &Headers<'_>) {
    for (name, key) in [("id", "kong.request.id"), ("method", "http.request.method")] {
        if let Some(value) = field(parts.request, name) {
            record.text(key, value);
        }
    }
    if let Some(uri) = field(parts.request, "uri").filter(Value::is_string) {
        let uri = json::text(uri, &mut record.replaced);
        record.str("url.path", uri.split('?').next().unwrap_or(&uri));
    }
    if let Some(url) = field(parts.request, "url").filter(Value::is_string) {
        let url = json::text(url, &mut record.replaced);
        if let Some((scheme, _)) = url.split_once("://") {
            record.str("url.scheme", scheme);
        }
    }
    if let Some(address) = parts.client_ip {
        record.text("client.address", address);
    }
    for (part, key) in [(parts.request, "http.request.size"), (parts.response, "http.response.size")] {
        if let Some(size) = field(part, "size").and_then(whole) {
            record.int(key, size);
        }
    }
    for (header, key) in [
        (Header::Host, "server.address"),
        (Header::UserAgent, "user_agent.original"),
        (Header::RequestId, "http.request.id"),
    ] {
        if let Some(text) = headers.get(header) {
            record.str(key, text);
        }
    }
    if let Some(ray) = headers.get(Header::CfRay).and_then(Ray::parse) {
        record.str("cloudflare.ray_id", ray.as_str());
    }
    if let Some(id) = field(field(parts.response, "headers"), "x-call-id") {
        record.text("openfaas.call_id", id);
    }
}

fn upstream(record: &mut Record, parts: &Parts<'_>) {
    for (name, key) in [
        ("request", "kong.latency.request"),
        ("kong", "kong.latency.kong"),
        ("proxy", "kong.latency.proxy"),
        ("receive", "kong.latency.receive"),
        ("session", "kong.latency.session"),
    ] {
        if let Some(value) = field(parts.latencies, name) {
            record.value(key, value);
        }
    }
    if let Some(started) = parts.started_at.and_then(|value| scaled(value, 6)) {
        record.int("kong.started_ns", started);
    }
    if let Some(tries) = parts.tries {
        let count = tries.elements().count();
        record.int("kong.tries.count", count as i64);
    }
    for (value, key) in [
        (parts.upstream_status, "kong.upstream.status"),
        (parts.upstream_uri, "kong.upstream.uri"),
        (parts.source, "kong.source"),
        (parts.correlation_id, "kong.correlation_id"),
    ] {
        if let Some(value) = value {
            record.text(key, value);
        }
    }
    if let Some(session) = parts.session {
        record.str("network.transport", "tcp");
        for (name, key) in [("received", "kong.session.received"), ("sent", "kong.session.sent")] {
            if let Some(size) = field(Some(session), name).and_then(whole) {
                record.int(key, size);
            }
        }
    }
}

fn entities(record: &mut Record, parts: &Parts<'_>) {
    for (entity, name, key) in [
        (parts.route, "name", "kong.route.name"),
        (parts.route, "id", "kong.route.id"),
        (parts.service, "name", "kong.service.name"),
        (parts.service, "id", "kong.service.id"),
        (parts.service, "host", "kong.service.host"),
        (parts.consumer, "username", "kong.consumer.username"),
        (parts.consumer, "id", "kong.consumer.id"),
    ] {
        if let Some(value) = field(entity, name) {
            record.text(key, value);
        }
    }
    if let Some(path) = field(parts.route, "paths").and_then(|paths| paths.elements().find(Value::is_string))
    {
        record.text("http.route", path);
    }
    if let Some(ai) = parts.ai {
        let mut left = MOST_AI;
        flatten(record, "kong.ai", ai, 4, &mut left);
    }
}

/// Objects become dotted names, down to `depth` levels and as long as attributes are `left`.
fn flatten(record: &mut Record, prefix: &str, value: Value<'_>, depth: u32, left: &mut usize) {
    if value.kind == Kind::Object && depth > 0 {
        for member in value.members() {
            let name = json::text(Value { raw: member.key, kind: member.key_kind }, &mut record.replaced);
            flatten(record, &format!("{prefix}.{name}"), member.value, depth - 1, left);
        }
    } else if *left > 0 {
        *left -= 1;
        record.value(prefix, value);
    }
}

/// What makes a record this record and no other, the same for every copy of it.
struct Key<'a> {
    parts: Vec<Cow<'a, str>>,
}

impl<'a> Key<'a> {
    /// The request id; before Kong 3.5 a fingerprint of what the record holds.
    fn of(parts: &Parts<'a>) -> Self {
        if let Some(id) = field(parts.request, "id").filter(|id| id.is_string() && !id.raw.is_empty()) {
            return Self { parts: vec![json::text(id, &mut false)] };
        }
        let first = parts.first_try();
        let address = match (field(first, "ip"), field(first, "port")) {
            (Some(ip), Some(port)) => Cow::Owned(format!("{}:{}", shortest(Some(ip)), shortest(Some(port)))),
            _ => Cow::Borrowed(""),
        };
        Self {
            parts: vec![
                Cow::Borrowed("fp"),
                shortest(parts.started_at),
                shortest(parts.client_ip),
                shortest(field(parts.request, "method")),
                shortest(field(parts.request, "uri")),
                shortest(field(parts.request, "size")),
                shortest(field(parts.response, "size")),
                shortest(field(parts.response, "status")),
                shortest(field(parts.latencies, "request")),
                shortest(field(parts.service, "id")),
                shortest(field(first, "balancer_start")),
                address,
            ],
        }
    }
}

/// A value's text; numbers in their shortest decimal form, nothing for null or absent.
fn shortest(value: Option<Value<'_>>) -> Cow<'_, str> {
    let Some(value) = value else { return Cow::Borrowed("") };
    match value.kind {
        Kind::Null => Cow::Borrowed(""),
        Kind::Number => match json::decimal(value.raw).and_then(Decimal::whole) {
            Some(whole) => Cow::Owned(whole.to_string()),
            None => {
                let text = std::str::from_utf8(value.raw).unwrap_or("");
                Cow::Owned(text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string()))
            }
        },
        _ => json::text(value, &mut false),
    }
}

/// Whether Kong put its own span into the headers that it sent upstream: it says so by naming the same trace.
fn rewritten(headers: &Headers<'_>, kong: Option<Value<'_>>) -> bool {
    let Some(kong) = kong else { return false };
    let in_headers = Trace::of(headers, None);
    let Some(id) = in_headers.id.filter(|_| in_headers.notation != Some(Notation::Custom)) else {
        return false;
    };
    let injected = Trace::of(&Headers::default(), Some(kong));
    let same = |other: model::TraceId| {
        other == id || (other.low() == id.low() && (other.high() == 0 || id.high() == 0))
    };
    injected.id.into_iter().chain(injected.aliases).any(same)
}

/// When the response was done: the event that the record tells of.
fn ended(parts: &Parts<'_>, took: Option<i64>) -> Option<UnixNanos> {
    let started = parts.started_at.and_then(|value| scaled(value, 6)).filter(|nanos| *nanos > 0)?;
    let end = started.checked_add(took.unwrap_or(0).max(0)).unwrap_or(started);
    u64::try_from(end).ok().map(UnixNanos)
}

/// A latency in nanoseconds.
fn latency(parts: &Parts<'_>, name: &str) -> Option<i64> {
    field(parts.latencies, name).and_then(|value| scaled(value, 6))
}

fn field<'a>(object: Option<Value<'a>>, name: &str) -> Option<Value<'a>> {
    let mut found = None;
    for member in object?.members() {
        if member.key == name.as_bytes() {
            found = Some(member.value);
        }
    }
    found
}

/// A number times 10^`shift`, cut to a whole one.
fn scaled(value: Value<'_>, shift: i32) -> Option<i64> {
    match value.kind {
        Kind::Number | Kind::Plain => json::decimal(value.raw)?.scaled(shift),
        _ => None,
    }
}

/// Kong 2.0 writes sizes as strings.
fn whole(value: Value<'_>) -> Option<i64> {
    match value.kind {
        Kind::Number | Kind::Plain => json::decimal(value.raw)?.whole(),
        _ => None,
    }
}

fn severity(status: Option<i64>) -> Severity {
    match status {
        Some(100..400) => INFO,
        Some(400..500) => WARN,
        Some(500..1000) => ERROR,
        _ => UNKNOWN,
    }
}
