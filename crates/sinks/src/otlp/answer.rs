//! What an OTLP answer means for the courier (OTLP specification, "OTLP/HTTP Response"); gRPC's status codes are in `grpc.rs`.

use http::{StatusCode, header};
use model::{Failure, Signal};
use pipeline::{PeerRefused, Receipt};
use wire::json::response::{Encoding, read_export, read_status};

use crate::client::Answer;
use crate::client::answer::excerpt;

/// What became of a request that the peer answered for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) receipt: Receipt,
    /// What the peer has to say about data that it took in full.
    pub(super) warning: Option<String>,
}

/// Judges an answer over HTTP to `sent` items.
pub(super) fn verdict(
    answer: &Answer,
    signal: Signal,
    sent: u32,
    retry_500: bool,
) -> Result<Verdict, Failure> {
    let status = answer.status;
    let reason = || match message(answer) {
        text if text.is_empty() => status.to_string(),
        text => format!("{status}: {text}"),
    };
    match status.as_u16() {
        // A body that cannot be read does not undo the success.
        200..=299 => Ok(partial_success(signal, encoding(answer), &answer.body, sent)),
        300..=399 => {
            let reason = format!("{status}: redirects are not followed; set the final URL");
            Err(Failure::Retry { after: answer.after, reason })
        }
        401 | 403 => Err(credentials(answer.after, &reason())),
        413 => Err(Failure::TooLarge { reason: reason() }),
        429 | 502..=504 => Err(Failure::Retry { after: answer.after, reason: reason() }),
        500 if retry_500 => Err(Failure::Retry { after: answer.after, reason: reason() }),
        400..=599 => Ok(refused_whole(sent, reason())),
        // No status of HTTP: whatever answered, it judged nothing.
        _ => Err(Failure::Retry { after: answer.after, reason: reason() }),
    }
}

/// Whether a peer says that it cannot serve, whatever it is sent: another one may.
pub(super) fn is_away(status: StatusCode, retry_500: bool) -> bool {
    matches!(status.as_u16(), 502..=504) || (retry_500 && status == StatusCode::INTERNAL_SERVER_ERROR)
}

/// Credentials are the operator's to mend: the data waits.
pub(super) fn credentials(after: Option<std::time::Duration>, reason: &str) -> Failure {
    Failure::Retry {
        after,
        reason: format!("the peer refuses our credentials, data is held until they are mended: {reason}"),
    }
}

/// The peer's final no to a whole request. Nothing says how much of it was kept.
pub(super) fn refused_whole(sent: u32, reason: String) -> Verdict {
    let refused = PeerRefused { items: sent, upper_bound: true, reason };
    Verdict { receipt: Receipt::Partly(refused), warning: None }
}

/// Reads an `Export…ServiceResponse`. What cannot be read counts as a plain success.
pub(super) fn partial_success(signal: Signal, encoding: Encoding, response: &[u8], sent: u32) -> Verdict {
    let partial = read_export(signal, encoding, response).ok().flatten().unwrap_or_default();
    let reason = excerpt(partial.message.as_bytes());
    match u32::try_from(partial.rejected).unwrap_or(u32::MAX).min(sent) {
        0 => Verdict { receipt: Receipt::Delivered, warning: (!reason.is_empty()).then_some(reason) },
        items => {
            let refused = PeerRefused { items, upper_bound: false, reason };
            Verdict { receipt: Receipt::Partly(refused), warning: None }
        }
    }
}

fn encoding(answer: &Answer) -> Encoding {
    let json = answer
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if json { Encoding::Json } else { Encoding::Protobuf }
}

/// The text of an error body: the message of a `google.rpc.Status` if it is one, else the body itself.
fn message(answer: &Answer) -> String {
    match read_status(encoding(answer), &answer.body) {
        Ok(status) if !status.message.is_empty() => excerpt(status.message.as_bytes()),
        _ => answer.text(),
    }
}

/// The HTTP status of an answer that is not gRPC at all, or lacks its status.
pub(super) fn not_grpc(answer: &Answer) -> Failure {
    let status = answer.status;
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge { reason: status.to_string() },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => credentials(answer.after, status.as_str()),
        _ if !answer.whole => {
            Failure::Retry { after: answer.after, reason: "the answer broke off or exceeds 64 KiB".into() }
        }
        _ => {
            let reason = format!("{status} without grpc-status: is this a gRPC endpoint?");
            Failure::Retry { after: answer.after, reason }
        }
    }
}
