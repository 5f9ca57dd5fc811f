//! OTLP over HTTP: protobuf or JSON, answered in kind. Success is exactly 200, which Kong's plugin insists on.

use axum::body::Body;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use model::{Refusal, RefusalKind, Signal};
use normalize::Message;
use wire::json::response::{self, Encoding, Status};
use wire::{Coding, json};

use crate::body::Reader;
use crate::decode::{self, Decoded};
use crate::door::Routes;
use crate::media::Media;
use crate::otlp::{self, Limits, POST};
use crate::receiver::Receiver;
use crate::reply;

/// JSON above this leaves the async worker.
const HEAVY_JSON: usize = 64 << 10;

/// Where the encoding of a request is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typing {
    /// From `Content-Type`.
    ByHeader,
    /// It is protobuf, whatever the header says: users of Kong's plugin set their own.
    Protobuf,
}

/// Serves the conventional paths.
pub(crate) fn mount(receiver: &Receiver, limits: Limits, routes: &mut Routes) {
    for (path, signal, typing) in [
        ("/v1/traces", Signal::Traces, Typing::ByHeader),
        ("/v1/logs", Signal::Logs, Typing::ByHeader),
        ("/v1/metrics", Signal::Metrics, Typing::ByHeader),
        // A per-signal endpoint variable without a path means the root; the signals look alike on the wire.
        ("/", Signal::Traces, Typing::ByHeader),
        ("/api/v1/otel/trace", Signal::Traces, Typing::Protobuf),
        ("/api/v1/otlp/v1/metrics", Signal::Metrics, Typing::ByHeader),
        ("/opentelemetry/v1/metrics", Signal::Metrics, Typing::ByHeader),
    ] {
        serve(receiver, limits, path, signal, typing, routes);
    }
}

/// Serves one path.
pub(crate) fn serve(
    receiver: &Receiver,
    limits: Limits,
    path: &str,
    signal: Signal,
    typing: Typing,
    routes: &mut Routes,
) {
    let receiver = receiver.clone();
    routes.add(path, POST, move |request| {
        let receiver = receiver.clone();
        async move { handle(&receiver, limits, signal, typing, request).await }
    });
}

async fn handle(
    receiver: &Receiver,
    limits: Limits,
    signal: Signal,
    typing: Typing,
    request: Request<Body>,
) -> Response<Body> {
    receiver.meter.request();
    let Some(encoding) = encoding(&request, typing) else {
        receiver.meter.refused(RefusalKind::Unsupported);
        let message = "the content type must be application/x-protobuf or application/json";
        return reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    };
    let origin = receiver.origin(&request);
    let decoded = read(receiver, limits, signal, encoding, request).await;
    match receiver.hand_in(origin, Message::Otlp(signal), decoded).await {
        Ok(accepted) => {
            receiver.count_rejected(&accepted.rejected);
            let partial = otlp::partial(&accepted.rejected);
            answer(StatusCode::OK, encoding, response::export(signal, encoding, partial.as_ref()))
        }
        Err(refusal) => {
            receiver.meter.refused(refusal.kind);
            refuse(&refusal, encoding)
        }
    }
}

fn encoding(request: &Request<Body>, typing: Typing) -> Option<Encoding> {
    if typing == Typing::Protobuf {
        return Some(Encoding::Protobuf);
    }
    match Media::of(request.headers())?.essence.as_str() {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

async fn read(
    receiver: &Receiver,
    limits: Limits,
    signal: Signal,
    encoding: Encoding,
    request: Request<Body>,
) -> Result<Decoded, Refusal> {
    let context = &receiver.context;
    let (head, body) = request.into_parts();
    let layers = decode::layers(&head.headers, &CONTENT_ENCODING)?;
    let gathered =
        Reader::new(&head.headers, body, limits.body, &context.memory, &context.pace)?.all().await?;
    receiver.meter.received(gathered.bytes.len());
    let mut decoded = decode::inflate(&context.workers, layers, gathered, limits.plain).await?;
    receiver.meter.inflated(decoded.plain.len());
    if encoding == Encoding::Json {
        decoded = if decoded.plain.len() > HEAVY_JSON {
            decode::off_worker(&context.workers, move || from_json(signal, decoded)).await?
        } else {
            from_json(signal, decoded)?
        };
    }
    Ok(decoded)
}

fn from_json(signal: Signal, decoded: Decoded) -> Result<Decoded, Refusal> {
    let Decoded { plain: text, mut lease, .. } = decoded;
    // The protobuf is usually half the text; what exceeds it is added once it is known.
    let held = lease.bytes();
    lease.grow(text.len() as u64)?;
    let proto = json::to_proto(signal, &text).map_err(|error| Refusal::malformed(error.to_string()))?;
    lease.grow((proto.capacity() as u64).saturating_sub(text.len() as u64))?;
    drop(text);
    lease.shrink_to(held.max(proto.capacity() as u64));
    let plain = bytes::Bytes::from(proto);
    Ok(Decoded { coding: Coding::Plain, body: plain.clone(), plain, lease })
}

fn answer(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(match encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }),
    );
    response
}

/// What OTLP over HTTP answers to a refusal. Senders retry 429, 502, 503 and 504 only; 500 is final.
fn refuse(refusal: &Refusal, encoding: Encoding) -> Response<Body> {
    let status = match refusal.kind {
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Quota => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::Unsupported => {
            let mut response = reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &refusal.message);
            let served = HeaderValue::from_static("gzip, zstd, snappy, deflate");
            response.headers_mut().insert(ACCEPT_ENCODING, served);
            return response;
        }
    };
    let told = Status {
        code: otlp::code(refusal.kind),
        message: refusal.message.clone(),
        retry: refusal.retry_after,
    };
    let mut response = answer(status, encoding, response::status(encoding, &told));
    reply::retry_after(&mut response, refusal.retry_after);
    response
}
