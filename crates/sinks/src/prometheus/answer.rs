//! What a remote-write answer means for the courier (remote-write specifications 1.0 and 2.0, "Retries & Backoff", and the
//! `-Written` headers of 2.0).

use http::{HeaderMap, StatusCode};
use model::{Failure, Layout};
use pipeline::{Parcel, PeerRefused, Receipt};
use wire::Counts;

use super::OnUnauthorized;
use crate::client::Answer;

/// What became of a request that the peer answered for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) receipt: Receipt,
    /// Whether a peer of 2.0 did not say what it stored.
    pub(super) unconfirmed: bool,
}

/// Whether the peer refuses something of what the request holds, not the request as such.
pub(super) fn judges_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
}

/// Judges an answer to `parcel`, which was sent as a body of 2.0 with `counts`, or as 1.0.
pub(super) fn verdict(
    answer: &Answer,
    parcel: &Parcel,
    counts: Option<&Counts>,
    on_unauthorized: OnUnauthorized,
) -> Result<Verdict, Failure> {
    let status = answer.status;
    let reason = || match answer.text() {
        text if text.is_empty() => status.to_string(),
        text => format!("{status}: {text}"),
    };
    let hold = |reason: String| Err(Failure::Retry { after: answer.after, reason });
    match status.as_u16() {
        200..=299 => Ok(stored(answer, parcel, counts)),
        300..=399 => hold(format!("{status}: redirects are not followed; set the final URL")),
        401 | 403 if on_unauthorized == OnUnauthorized::Hold => hold(format!(
            "the peer refuses our credentials, data is held until they are mended: {}",
            reason()
        )),
        // Nobody stored anything of what was too large. A request that we joined is halved; what a sender sent as one is
        // final like every other 4xx, as the specification has it.
        413 if parcel.parts.len() > 1 => Err(Failure::TooLarge { reason: reason() }),
        429 | 500..=599 => hold(reason()),
        // A peer of 1.0 stores nothing of a request in which it refuses one sample: no sender loses what it sent by another's
        // samples, and of OTLP, which no sender meant to be one request of remote-write, each point is judged alone.
        _ if judges_content(status)
            && missing(&answer.headers, counts).is_none()
            && (parcel.parts.len() > 1 || parcel.layout == Layout::Otlp) =>
        {
            Err(Failure::RefusedWhole { reason: reason() })
        }
        400..=499 => Ok(refused(answer, parcel, counts, reason())),
        // No status of HTTP: whatever answered, it judged nothing.
        _ => hold(reason()),
    }
}

fn stored(answer: &Answer, parcel: &Parcel, counts: Option<&Counts>) -> Verdict {
    let delivered = |unconfirmed| Verdict { receipt: Receipt::Delivered, unconfirmed };
    match missing(&answer.headers, counts) {
        None => delivered(counts.is_some_and(|counts| counts.total() > 0)),
        Some(0) => delivered(false),
        Some(items) => {
            let items = items.min(parcel.items());
            let reason = "the peer says that it stored less than it was sent".to_owned();
            let refused = PeerRefused { items, upper_bound: false, reason };
            Verdict { receipt: Receipt::Partly(refused), unconfirmed: false }
        }
    }
}

/// A final no: what the peer says it stored counts as delivered, without a word from it the whole parcel is the bound.
fn refused(answer: &Answer, parcel: &Parcel, counts: Option<&Counts>, reason: String) -> Verdict {
    let (items, upper_bound) = match missing(&answer.headers, counts) {
        // It refuses and says that all is stored: nothing is missing, whatever it means.
        Some(0) => return Verdict { receipt: Receipt::Delivered, unconfirmed: false },
        Some(items) => (items.min(parcel.items()), false),
        None => (parcel.items(), true),
    };
    Verdict { receipt: Receipt::Partly(PeerRefused { items, upper_bound, reason }), unconfirmed: false }
}

/// Sent minus written, of each kind that the peer confirms; a kind without a header was not written. `None` when no header
/// of the three is there (a peer of 1.0, which says nothing), or the body was 1.0.
fn missing(headers: &HeaderMap, counts: Option<&Counts>) -> Option<u32> {
    let sent = counts?;
    let kinds = [
        ("x-prometheus-remote-write-samples-written", sent.samples),
        ("x-prometheus-remote-write-histograms-written", sent.histograms),
        ("x-prometheus-remote-write-exemplars-written", sent.exemplars),
    ];
    let written = kinds
        .map(|(name, _)| headers.get(name).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok()));
    if written.iter().all(Option::is_none) {
        return None;
    }
    let missing = kinds.iter().zip(written).map(|((_, sent), written)| {
        sent.saturating_sub(u32::try_from(written.unwrap_or(0)).unwrap_or(u32::MAX))
    });
    Some(missing.fold(0, u32::saturating_add))
}
