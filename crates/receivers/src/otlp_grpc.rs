//! OTLP over gRPC, framed here: a unary call is a 5-byte header and one message, so the message stays bytes as received.
//!
//! gRPC over HTTP/2 (grpc/doc PROTOCOL-HTTP2): errors are answered as trailers only, a success as one message and trailers.

use std::sync::atomic::Ordering;

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use model::{Refusal, RefusalKind, Signal};
use normalize::Message;
use pipeline::settings::Size;
use wire::json::response::{self, Encoding, Status};
use wire::{put, walk};

use crate::body::{Gathered, Reader};
use crate::decode::{self, Decoded};
use crate::door::Routes;
use crate::media::Media;
use crate::otlp::{self, Limits, POST};
use crate::receiver::Receiver;
use crate::reply;

/// Compressed flag and length.
const HEADER: usize = 5;
/// What clients may compress with.
const SERVED: &str = "identity,gzip,zstd,snappy";
/// Longest message of a health check.
const LONGEST_CHECK: usize = 1 << 10;
/// Longest status message: headers have a limit at the client, too.
const LONGEST_MESSAGE: usize = 1 << 10;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

const SERVICES: [(&str, Signal); 3] = [
    ("opentelemetry.proto.collector.trace.v1.TraceService", Signal::Traces),
    ("opentelemetry.proto.collector.logs.v1.LogsService", Signal::Logs),
    ("opentelemetry.proto.collector.metrics.v1.MetricsService", Signal::Metrics),
];

/// Serves the three export methods, and health checks to everybody.
pub(crate) fn mount(receiver: &Receiver, limits: Limits, routes: &mut Routes) {
    for (service, signal) in SERVICES {
        let receiver = receiver.clone();
        routes.add(&format!("/{service}/Export"), POST, move |request| {
            let receiver = receiver.clone();
            async move { handle(&receiver, limits, signal, request).await }
        });
    }
    let receiver = receiver.clone();
    routes.add_public("/grpc.health.v1.Health/Check", POST, move |request| {
        let receiver = receiver.clone();
        async move {
            if let Some(response) = not_grpc(&request) {
                return response;
            }
            check(&receiver, request).await.unwrap_or_else(|refusal| refuse(&refusal))
        }
    });
}

/// Whether a request speaks gRPC, so that it must be answered in gRPC.
pub(crate) fn speaks_grpc(request: &Request<Body>) -> bool {
    request.version() == Version::HTTP_2 && is_grpc(request.headers())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.len() >= 16 && value[..16].eq_ignore_ascii_case(b"application/grpc")
    })
}

async fn handle(
    receiver: &Receiver,
    limits: Limits,
    signal: Signal,
    request: Request<Body>,
) -> Response<Body> {
    receiver.meter.request();
    if let Some(response) = not_grpc(&request) {
        receiver.meter.refused(RefusalKind::Unsupported);
        return response;
    }
    let origin = receiver.origin(&request);
    let decoded = read(receiver, limits, request).await;
    match receiver.hand_in(origin, Message::Otlp(signal), decoded).await {
        Ok(accepted) => {
            receiver.count_rejected(&accepted.rejected);
            let partial = otlp::partial(&accepted.rejected);
            succeed(&response::export(signal, Encoding::Protobuf, partial.as_ref()))
        }
        Err(refusal) => {
            receiver.meter.refused(refusal.kind);
            refuse(&refusal)
        }
    }
}

/// The answer to what is no gRPC call at all.
fn not_grpc(request: &Request<Body>) -> Option<Response<Body>> {
    if !is_grpc(request.headers()) {
        let message = "this path serves gRPC; the content type must be application/grpc";
        return Some(reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if request.version() != Version::HTTP_2 {
        return Some(reply::text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2"));
    }
    match Media::of(request.headers())?.essence.as_str() {
        "application/grpc" | "application/grpc+proto" => None,
        other => Some(unimplemented(&format!("message format {other} is not served"))),
    }
}

async fn read(receiver: &Receiver, limits: Limits, request: Request<Body>) -> Result<Decoded, Refusal> {
    let context = &receiver.context;
    let layers = decode::layers(request.headers(), &ENCODING)?;
    let (compressed, gathered) = message(receiver, request, limits.body).await?;
    receiver.meter.received(gathered.bytes.len());
    if compressed && layers.is_empty() {
        return Err(Refusal::malformed("a compressed message without grpc-encoding"));
    }
    let layers = if compressed { layers } else { Vec::new() };
    let decoded = decode::inflate(&context.workers, layers, gathered, limits.plain).await?;
    receiver.meter.inflated(decoded.plain.len());
    Ok(decoded)
}

/// Reads the one message of a unary call; says whether it is compressed.
async fn message(
    receiver: &Receiver,
    request: Request<Body>,
    most: usize,
) -> Result<(bool, Gathered), Refusal> {
    let context = &receiver.context;
    let (head, body) = request.into_parts();
    let cap = most.saturating_add(HEADER);
    // The message says its own length; what the request declares is not asked.
    let mut reader = Reader::lenient(&head.headers, body, cap, &context.memory, &context.pace)?;
    reader.until(HEADER).await?;
    let Some(header) = reader.so_far().first_chunk::<HEADER>() else {
        let read = reader.so_far().len();
        return Err(Refusal::malformed(format!("call of {read} bytes holds no message")));
    };
    let compressed = match header[0] {
        0 => false,
        1 => true,
        flag => return Err(Refusal::malformed(format!("message flag {flag} is neither 0 nor 1"))),
    };
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if length > most {
        let (length, most) = (Size(length as u64), Size(most as u64));
        return Err(Refusal::too_large(format!("message of {length} exceeds the limit of {most}")));
    }
    reader.limit(HEADER + length);
    let Gathered { bytes, lease } = reader.all().await.map_err(|refusal| match refusal.kind {
        RefusalKind::TooLarge => {
            Refusal::malformed(format!("more follows the message of {length} bytes of a unary call"))
        }
        _ => refusal,
    })?;
    if bytes.len() != HEADER + length {
        let (there, length) = (bytes.len() - HEADER, length);
        return Err(Refusal::malformed(match there > length {
            true => format!("more follows the message of {length} bytes of a unary call"),
            false => format!("message of {length} bytes ends after {there}"),
        }));
    }
    Ok((compressed, Gathered { bytes: bytes.slice(HEADER..), lease }))
}

/// `grpc.health.v1.Health/Check`.
async fn check(receiver: &Receiver, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (compressed, asked) = message(receiver, request, LONGEST_CHECK).await?;
    if compressed {
        return Err(Refusal::unsupported("health checks are not served compressed"));
    }
    let mut service: &[u8] = b"";
    for field in walk::fields(&asked.bytes) {
        let field = field.map_err(|error| Refusal::malformed(error.to_string()))?;
        if field.number == 1 {
            service = field.bytes().map_err(|error| Refusal::malformed(error.to_string()))?;
        }
    }
    if !service.is_empty() && !SERVICES.iter().any(|(name, _)| name.as_bytes() == service) {
        return Ok(trailers_only(5, "unknown service", None));
    }
    // ServingStatus: 1 serving, 2 not serving.
    let status = if receiver.context.closing.load(Ordering::Relaxed) { 2 } else { 1 };
    let mut answer = Vec::new();
    put::uint(&mut answer, 1, status);
    Ok(succeed(&answer))
}

fn succeed(message: &[u8]) -> Response<Body> {
    let mut framed = Vec::with_capacity(HEADER + message.len());
    framed.push(0);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// What gRPC answers to a refusal. RetryInfo tells retryable from final where the code alone does not.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Body> {
    let code = otlp::code(refusal.kind);
    let retry = match refusal.kind {
        RefusalKind::Unavailable | RefusalKind::Quota => refusal.retry_after,
        _ => None,
    };
    let told = Status { code, message: refusal.message.clone(), retry };
    let details = retry.map(|_| response::status(Encoding::Protobuf, &told));
    let mut response = trailers_only(code, &refusal.message, details.as_deref());
    if refusal.kind == RefusalKind::Unsupported {
        response.headers_mut().insert(ACCEPT, HeaderValue::from_static(SERVED));
    }
    response
}

/// The answer to a call of a method that is not served.
pub(crate) fn unimplemented(message: &str) -> Response<Body> {
    trailers_only(12, message, None)
}

fn trailers_only(code: u32, message: &str, details: Option<&[u8]>) -> Response<Body> {
    let mut response = reply::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(code));
    headers.insert(MESSAGE, percent_encoded(message));
    if let Some(value) = details.and_then(|d| HeaderValue::from_str(&BASE64_STANDARD_NO_PAD.encode(d)).ok()) {
        headers.insert(DETAILS, value);
    }
    response
}

/// Status messages carry printable ASCII; everything else and `%` is written as `%XX`.
fn percent_encoded(message: &str) -> HeaderValue {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes().take(LONGEST_MESSAGE) {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(byte as char),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&text).expect("printable ASCII is header text")
}
