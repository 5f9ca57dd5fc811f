//! Prometheus remote-write 1.0 and 2.0. The media type decides which; headers are judged before the body, and overload is
//! 503, since a default Prometheus drops on 429.

use axum::body::Body;
use http::header::{ALLOW, CONTENT_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use model::{Counts, Refusal, RefusalKind, Source};
use normalize::Message;
use pipeline::intake::Accepted;
use pipeline::settings::Size;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Coding;

use crate::body::Reader;
use crate::decode::{self, Decoded, Layer};
use crate::door::Routes;
use crate::media::Media;
use crate::receiver::{Context, Receiver};
use crate::reply;
use crate::table::{CheckedReceiver, ReceiverRow, check_plain};

const PATHS: &[&str] = &[
    "/api/v1/write",
    "/api/v1/push",
    "/api/v1/prometheus",
    "/prometheus/api/v1/write",
    "/api/v1/remote_write",
    "/api/v1/prom/write",
];

/// The row of the remote-write receiver.
pub(crate) const ROW: ReceiverRow = ReceiverRow {
    name: "prometheus",
    summary: "Prometheus remote-write 1.0 and 2.0, vmagent's zstd included",
    paths: PATHS,
    schema: || schemars::schema_for!(Settings),
    check: |value| {
        let settings: Settings = pipeline::settings::read(value)?;
        let problems = check_plain(settings.max_body, settings.max_inflated, &settings.aliases);
        if problems.is_empty() { Ok(Box::new(settings)) } else { Err(problems) }
    },
    example: "prometheus:\n  max_body: 32MiB\n  aliases: [/insert/0/prometheus/api/v1/write]\n",
};

/// Settings of the remote-write receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Whether remote-write is taken.
    enabled: bool,
    /// Largest body as received. A sender cannot split a request: keep it far above `max_samples_per_send`.
    max_body: Size,
    /// Largest body after inflating.
    max_inflated: Size,
    /// Further paths, each served exactly as written.
    aliases: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, max_body: Size(32 << 20), max_inflated: Size(32 << 20), aliases: Vec::new() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    body: usize,
    plain: usize,
}

impl CheckedReceiver for Settings {
    fn enabled(&self) -> bool {
        self.enabled
    }

    fn paths(&self) -> Vec<String> {
        PATHS.iter().map(|path| (*path).to_owned()).chain(self.aliases.iter().cloned()).collect()
    }

    fn mount(self: Box<Self>, source: Source, context: &Context, routes: &mut Routes) {
        let receiver = Receiver::new(context, source);
        let limits = Limits { body: self.max_body.0 as usize, plain: self.max_inflated.0 as usize };
        for path in self.paths() {
            let receiver = receiver.clone();
            routes.add(&path, METHODS, move |request| {
                let receiver = receiver.clone();
                async move { handle(&receiver, limits, request).await }
            });
        }
    }
}

/// GET only answers vmagent's question.
const METHODS: &[Method] = &[Method::POST, Method::GET];

const VICTORIA: HeaderName = HeaderName::from_static("x-victoriametrics-remote-write-version");
const SAMPLES: HeaderName = HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS: HeaderName = HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS: HeaderName = HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

async fn handle(receiver: &Receiver, limits: Limits, request: Request<Body>) -> Response<Body> {
    let asks_version =
        request.uri().query().is_some_and(|q| q.split('&').any(|p| p == "get_vm_proto_version=1"));
    if asks_version {
        return reply::text(StatusCode::OK, "1");
    }
    if request.method() != Method::POST {
        let mut response = reply::text(StatusCode::METHOD_NOT_ALLOWED, "remote-write is sent with POST");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    receiver.meter.request();
    // A wrong header wins over a corrupt body, and encoding over type.
    let negotiated = encoding(request.headers()).and_then(|layer| Ok((layer, message(request.headers())?)));
    let (layer, message) = match negotiated {
        Ok(negotiated) => negotiated,
        Err(refusal) => {
            receiver.meter.refused(refusal.kind);
            receiver.context.intake.refused(&receiver.origin(&request), &refusal);
            return refuse(&refusal);
        }
    };
    let origin = receiver.origin(&request);
    let decoded = read(receiver, limits, layer, request).await;
    let (mut response, written) = match receiver.hand_in(origin, message, decoded).await {
        Ok(accepted) => {
            receiver.count_rejected(&accepted.rejected);
            (answer(&accepted), accepted.counts)
        }
        Err(refusal) => {
            receiver.meter.refused(refusal.kind);
            (refuse(&refusal), Counts::default())
        }
    };
    // A 1.0 sender would read any of them, even a zero, as a claim about what was written.
    if message == Message::RemoteWrite2 {
        for (name, count) in
            [(SAMPLES, written.samples), (HISTOGRAMS, written.histograms), (EXEMPLARS, written.exemplars)]
        {
            response.headers_mut().insert(name, HeaderValue::from(count));
        }
    }
    response
}

fn encoding(headers: &HeaderMap) -> Result<Layer, Refusal> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Layer::Coding(Coding::Snappy)) };
    let text = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
    match text.as_str() {
        "" | "snappy" => Ok(Layer::Coding(Coding::Snappy)),
        "zstd" if headers.contains_key(VICTORIA) => Ok(Layer::Coding(Coding::Zstd)),
        other => Err(Refusal::unsupported(format!("content encoding {other:?} is not snappy"))),
    }
}

fn message(headers: &HeaderMap) -> Result<Message, Refusal> {
    let Some(media) = Media::of(headers) else { return Ok(Message::RemoteWrite1) };
    if media.essence != "application/x-protobuf" {
        return Err(Refusal::unsupported(format!(
            "content type {:?} is not application/x-protobuf",
            media.essence
        )));
    }
    match media.parameter("proto") {
        None | Some("prometheus.WriteRequest") => Ok(Message::RemoteWrite1),
        Some("io.prometheus.write.v2.Request") => Ok(Message::RemoteWrite2),
        Some(other) => {
            Err(Refusal::unsupported(format!("message {other:?} is neither remote-write 1.0 nor 2.0")))
        }
    }
}

async fn read(
    receiver: &Receiver,
    limits: Limits,
    layer: Layer,
    request: Request<Body>,
) -> Result<Decoded, Refusal> {
    let context = &receiver.context;
    let (head, body) = request.into_parts();
    let gathered =
        Reader::new(&head.headers, body, limits.body, &context.memory, &context.pace)?.all().await?;
    receiver.meter.received(gathered.bytes.len());
    if gathered.bytes.is_empty() {
        return Err(Refusal::malformed("empty body is no snappy block"));
    }
    let decoded = decode::inflate(&context.workers, vec![layer], gathered, limits.plain).await?;
    receiver.meter.inflated(decoded.plain.len());
    Ok(decoded)
}

/// Taken whole: 204. Taken in part: 400, so that the sender reports it; it resends nothing after either.
fn answer(accepted: &Accepted) -> Response<Body> {
    let Some(first) = accepted.rejected.first() else { return reply::empty(StatusCode::NO_CONTENT) };
    let message = match accepted.rejected.iter().map(|one| u64::from(one.records)).sum() {
        1u64 => format!("series {}: {}", first.index, first.message),
        count => format!("{count} series; first, series {}: {}", first.index, first.message),
    };
    reply::text(StatusCode::BAD_REQUEST, &message)
}

/// What remote-write answers to a refusal. Prometheus retries 5xx and drops on everything else, 429 included.
fn refuse(refusal: &Refusal) -> Response<Body> {
    let status = match refusal.kind {
        RefusalKind::Unavailable | RefusalKind::Quota => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::TooLarge => {
            let message = format!("{}; lower max_samples_per_send at the sender", refusal.message);
            return reply::text(StatusCode::BAD_REQUEST, &message);
        }
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        RefusalKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
    };
    let mut response = reply::text(status, &refusal.message);
    reply::retry_after(&mut response, refusal.retry_after);
    response
}
