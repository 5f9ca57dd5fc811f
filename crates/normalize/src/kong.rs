//! Kong's log records (`kong.log.serialize()`, 2.0 to 3.10) as its http-log plugin sends them: each becomes an OTLP log
//! record whose body is the record's own bytes. (Kong, `kong/pdk/log.lua`; which fields exist depends on the version,
//! so fields are asked for, never versions.)

use std::borrow::Cow;

use model::UnixNanos;
use model::id::{Ray, derived};

use crate::json::{self, Decimal, Kind, Member, Value};
use crate::log::{ERROR, Groups, INFO, Record, Resource, Severity, UNKNOWN, WARN};
use crate::trace::{Header, Headers, Trace};

mod reread;

pub use reread::{Reread, Try, reread};

/// Most attributes made of what the AI plugins add.
const MOST_AI: usize = 64;

/// The parts of a record, by name. Each object is walked once.
#[derive(Debug, Default, Clone, Copy)]
struct Parts<'a> {
    request: Request<'a>,
    response: Response<'a>,
    latencies: Latencies<'a>,
    tries: Option<Value<'a>>,
    service: Entity<'a>,
    route: Entity<'a>,
    consumer: Entity<'a>,
    client_ip: Option<Value<'a>>,
    started_at: Option<Value<'a>>,
    upstream_status: Option<Value<'a>>,
    upstream_uri: Option<Value<'a>>,
    source: Option<Value<'a>>,
    workspace_name: Option<Value<'a>>,
    trace_id: Option<Value<'a>>,
    correlation_id: Option<Value<'a>>,
    session: Option<Session<'a>>,
    ai: Option<Value<'a>>,
    duplicate: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Request<'a> {
    id: Option<Value<'a>>,
    method: Option<Value<'a>>,
    uri: Option<Value<'a>>,
    url: Option<Value<'a>>,
    size: Option<Value<'a>>,
    headers: Option<Value<'a>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Response<'a> {
    status: Option<Value<'a>>,
    size: Option<Value<'a>>,
    headers: Option<Value<'a>>,
}

/// Milliseconds, as Kong counts them.
#[derive(Debug, Default, Clone, Copy)]
struct Latencies<'a> {
    request: Option<Value<'a>>,
    kong: Option<Value<'a>>,
    proxy: Option<Value<'a>>,
    receive: Option<Value<'a>>,
    session: Option<Value<'a>>,
}

/// A service, route or consumer.
#[derive(Debug, Default, Clone, Copy)]
struct Entity<'a> {
    name: Option<Value<'a>>,
    id: Option<Value<'a>>,
    host: Option<Value<'a>>,
    paths: Option<Value<'a>>,
}

/// What a stream record has in place of request and response.
#[derive(Debug, Clone, Copy)]
struct Session<'a> {
    status: Option<Value<'a>>,
    received: Option<Value<'a>>,
    sent: Option<Value<'a>>,
}

/// The members of these names, found in one walk; of equal names the last.
fn pick<'a, const N: usize>(object: Value<'a>, names: [&str; N]) -> [Option<Value<'a>>; N] {
    let mut found = [None; N];
    for member in object.members() {
        if let Some(at) = names.iter().position(|name| name.as_bytes() == member.key) {
            found[at] = Some(member.value);
        }
    }
    found
}

impl<'a> Parts<'a> {
    fn of(members: &[Member<'a>]) -> Self {
        let mut parts = Self::default();
        let mut seen = 0u32;
        for &Member { key, value, .. } in members {
            let place = match key {
                b"request" => {
                    let [id, method, uri, url, size, headers] =
                        pick(value, ["id", "method", "uri", "url", "size", "headers"]);
                    parts.request = Request { id, method, uri, url, size, headers };
                    0
                }
                b"response" => {
                    let [status, size, headers] = pick(value, ["status", "size", "headers"]);
                    parts.response = Response { status, size, headers };
                    1
                }
                b"latencies" => {
                    let [request, kong, proxy, receive, session] =
                        pick(value, ["request", "kong", "proxy", "receive", "session"]);
                    parts.latencies = Latencies { request, kong, proxy, receive, session };
                    2
                }
                b"service" => {
                    parts.service = Entity::of(value, "name");
                    3
                }
                b"route" => {
                    parts.route = Entity::of(value, "name");
                    4
                }
                b"consumer" => {
                    parts.consumer = Entity::of(value, "username");
                    5
                }
                b"session" => {
                    let [status, received, sent] = pick(value, ["status", "received", "sent"]);
                    parts.session = Some(Session { status, received, sent });
                    6
                }
                _ => {
                    let (place, bit) = match key {
                        b"tries" => (&mut parts.tries, 7),
                        b"client_ip" => (&mut parts.client_ip, 8),
                        b"started_at" => (&mut parts.started_at, 9),
                        b"upstream_status" => (&mut parts.upstream_status, 10),
                        b"upstream_uri" => (&mut parts.upstream_uri, 11),
                        b"source" => (&mut parts.source, 12),
                        b"workspace_name" => (&mut parts.workspace_name, 13),
                        b"trace_id" => (&mut parts.trace_id, 14),
                        b"correlation_id" => (&mut parts.correlation_id, 15),
                        b"ai" => (&mut parts.ai, 16),
                        _ => continue,
                    };
                    *place = Some(value);
                    bit
                }
            };
            parts.duplicate |= seen & 1 << place != 0;
            seen |= 1 << place;
        }
        parts
    }
}

impl<'a> Entity<'a> {
    fn of(value: Value<'a>, name: &str) -> Self {
        let [name, id, host, paths] = pick(value, [name, "id", "host", "paths"]);
        Self { name, id, host, paths }
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
    /// A mapper for a request of `len` bytes.
    pub(crate) fn new(len: usize, received: UnixNanos) -> Self {
        Self {
            groups: Groups::expecting(len),
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
        let took = parts.latencies.request.or(parts.latencies.session).and_then(|value| scaled(value, 6));
        let answered = parts.response.status.or(parts.session.and_then(|session| session.status));
        let status = answered.and_then(whole);
        record.start(ended(&parts, took), self.received, severity(status), "kong.http_log");
        record.body(text);

        let mut headers = Headers::default();
        if let Some(found) = parts.request.headers {
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
        } else if let Some(status) = answered {
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
    for (value, key) in [(parts.request.id, "kong.request.id"), (parts.request.method, "http.request.method")]
    {
        if let Some(value) = value {
            record.text(key, value);
        }
    }
    if let Some(uri) = parts.request.uri.filter(Value::is_string) {
        let uri = json::text(uri, &mut record.replaced);
        record.str("url.path", uri.split('?').next().unwrap_or(&uri));
    }
    if let Some(url) = parts.request.url.filter(Value::is_string) {
        let url = json::text(url, &mut record.replaced);
        if let Some((scheme, _)) = url.split_once("://") {
            record.str("url.scheme", scheme);
        }
    }
    if let Some(address) = parts.client_ip {
        record.text("client.address", address);
    }
    for (size, key) in
        [(parts.request.size, "http.request.size"), (parts.response.size, "http.response.size")]
    {
        if let Some(size) = size.and_then(whole) {
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
    if let Some(id) = parts.response.headers.and_then(|headers| headers.get("x-call-id")) {
        record.text("openfaas.call_id", id);
    }
}

fn upstream(record: &mut Record, parts: &Parts<'_>) {
    let latencies = &parts.latencies;
    for (value, key) in [
        (latencies.request, "kong.latency.request"),
        (latencies.kong, "kong.latency.kong"),
        (latencies.proxy, "kong.latency.proxy"),
        (latencies.receive, "kong.latency.receive"),
        (latencies.session, "kong.latency.session"),
    ] {
        if let Some(value) = value {
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
        for (size, key) in [(session.received, "kong.session.received"), (session.sent, "kong.session.sent")]
        {
            if let Some(size) = size.and_then(whole) {
                record.int(key, size);
            }
        }
    }
}

fn entities(record: &mut Record, parts: &Parts<'_>) {
    for (value, key) in [
        (parts.route.name, "kong.route.name"),
        (parts.route.id, "kong.route.id"),
        (parts.service.name, "kong.service.name"),
        (parts.service.id, "kong.service.id"),
        (parts.service.host, "kong.service.host"),
        (parts.consumer.name, "kong.consumer.username"),
        (parts.consumer.id, "kong.consumer.id"),
    ] {
        if let Some(value) = value {
            record.text(key, value);
        }
    }
    if let Some(path) = parts.route.paths.and_then(|paths| paths.elements().find(Value::is_string)) {
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
        if let Some(id) = parts.request.id.filter(|id| id.is_string() && !id.raw.is_empty()) {
            return Self { parts: vec![json::text(id, &mut false)] };
        }
        let first = parts.tries.and_then(|tries| tries.elements().next());
        let [ip, port, start] =
            first.map_or([None; 3], |first| pick(first, ["ip", "port", "balancer_start"]));
        let address = match (ip, port) {
            (Some(ip), Some(port)) => Cow::Owned(format!("{}:{}", shortest(Some(ip)), shortest(Some(port)))),
            _ => Cow::Borrowed(""),
        };
        Self {
            parts: vec![
                Cow::Borrowed("fp"),
                shortest(parts.started_at),
                shortest(parts.client_ip),
                shortest(parts.request.method),
                shortest(parts.request.uri),
                shortest(parts.request.size),
                shortest(parts.response.size),
                shortest(parts.response.status),
                shortest(parts.latencies.request),
                shortest(parts.service.id),
                shortest(start),
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

/// Whether Kong put its own span into the header that counts: it says so by naming the same trace in that header's notation. A header
/// that it left alone beside another keeps the caller's span.
fn rewritten(headers: &Headers<'_>, kong: Option<Value<'_>>) -> bool {
    kong.is_some_and(|kong| Trace::of(headers, None).is_injected(kong))
}

/// When the response was done: the event that the record tells of.
fn ended(parts: &Parts<'_>, took: Option<i64>) -> Option<UnixNanos> {
    let started = parts.started_at.and_then(|value| scaled(value, 6)).filter(|nanos| *nanos > 0)?;
    let end = started.checked_add(took.unwrap_or(0).max(0)).unwrap_or(started);
    u64::try_from(end).ok().map(UnixNanos)
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
