//! Unary gRPC, framed by ourselves: the body stays the bytes that it is, and the status is read wherever the peer puts it
//! (gRPC over HTTP/2; `Trailers-Only` answers have it in the headers).

use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use model::{Failure, Signal};
use pipeline::Body;
use wire::Coding;
use wire::coding::{Ceiling, inflate};
use wire::json::response::{Encoding, read_status};

use super::answer::{self, Verdict};
use super::body::coding_name;
use crate::client::answer::{BODY_LIMIT, excerpt};
use crate::client::{Answer, Payload, percent};

/// The method's path.
pub(super) const fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

pub(super) fn headers(coding: Coding) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    if let Some(name) = coding_name(coding) {
        headers.insert("grpc-encoding", HeaderValue::from_static(name));
    }
    headers
}

/// Puts the message's head in front of it: one byte says whether it is compressed, four how long it is.
pub(super) fn framed(body: Body) -> Result<Payload, Failure> {
    let Ok(len) = u32::try_from(body.bytes.len()) else {
        return Err(Failure::TooLarge {
            reason: format!("message of {} bytes exceeds 4 GiB", body.bytes.len()),
        });
    };
    let mut head = [u8::from(body.coding != Coding::Plain), 0, 0, 0, 0];
    head[1..].copy_from_slice(&len.to_be_bytes());
    Ok(Payload::framed(Bytes::copy_from_slice(&head), body.bytes))
}

/// Judges an answer to `sent` items by its grpc-status (OTLP specification, "OTLP/gRPC Response").
pub(super) fn verdict(answer: &Answer, signal: Signal, sent: u32) -> Result<Verdict, Failure> {
    let (Some(code), carrier) = status(answer) else { return Err(answer::not_grpc(answer)) };
    if code == 0 {
        return Ok(answer::partial_success(
            signal,
            Encoding::Protobuf,
            &message(answer).unwrap_or_default(),
            sent,
        ));
    }
    let said = carrier
        .get("grpc-message")
        .map(|text| excerpt(&percent::decode(text.as_bytes())))
        .unwrap_or_default();
    let reason = format!("grpc status {code} {}: {said}", code_name(code));
    let after = carrier.get("grpc-status-details-bin").and_then(|details| retry_delay(details.as_bytes()));
    match (code, after) {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        (1 | 4 | 10 | 11 | 14 | 15, after) => Err(Failure::Retry { after: after.or(answer.after), reason }),
        // RESOURCE_EXHAUSTED is overload if the peer says when to come back, else size.
        (8, Some(after)) => Err(Failure::Retry { after: Some(after), reason }),
        (8, None) => Err(Failure::TooLarge { reason }),
        // PERMISSION_DENIED, UNAUTHENTICATED
        (7 | 16, after) => Err(answer::credentials(after, &reason)),
        _ => Ok(answer::refused_whole(sent, reason)),
    }
}

/// Whether a peer says that it cannot serve, whatever it is sent (UNAVAILABLE, or a gateway before it): another one may.
pub(super) fn is_away(answer: &Answer) -> bool {
    match status(answer).0 {
        Some(code) => code == 14,
        None => answer::is_away(answer.status, false),
    }
}

/// The status code and the headers that carry it and its details.
fn status(answer: &Answer) -> (Option<u32>, &HeaderMap) {
    let carrier =
        if answer.trailers.contains_key("grpc-status") { &answer.trailers } else { &answer.headers };
    let code = carrier.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
    (code, carrier)
}

fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("of no name")
}

/// The response message, inflated if the peer compressed it although nobody asked (some servers answer in the request's coding).
fn message(answer: &Answer) -> Option<Vec<u8>> {
    let (head, rest) = answer.body.split_at_checked(5)?;
    let len = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    let message = rest.get(..len)?;
    if head[0] == 0 {
        return Some(message.to_vec());
    }
    let coding = match answer.headers.get("grpc-encoding")?.as_bytes() {
        b"gzip" => Coding::Gzip,
        b"zstd" => Coding::Zstd,
        _ => return None,
    };
    inflate(coding, message, Ceiling::bytes(BODY_LIMIT)).ok()
}

/// The delay of a RetryInfo among the details, which are base64 with or without padding.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let status = ENGINE.decode(details).ok()?;
    read_status(Encoding::Protobuf, &status).ok()?.retry
}
