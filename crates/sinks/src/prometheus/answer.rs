//! What a remote-write answer means for the courier (remote-write specifications 1.0 and 2.0, "Retries & Backoff", and the
//! `-Written` headers of 2.0).

use http::{HeaderMap, StatusCode};
use model::Failure;
use pipeline::{PeerRefused, Receipt};
use wire::Counts;

use super::OnUnauthorized;
use super::lot::Lot;
use crate::client::Answer;

/// What became of a request that the peer answered for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) receipt: Receipt,
    /// Whether a peer of 2.0 did not say what it stored.
    pub(super) unconfirmed: bool,
}

/// Judges an answer to `lot`, which was sent as a body of 2.0 with `counts`, or as 1.0.
pub(super) fn verdict(
    answer: &Answer,
    lot: &Lot,
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
        200..=299 => Ok(stored(answer, lot, counts)),
        300..=399 => hold(format!("{status}: redirects are not followed; set the final URL")),
        401 | 403 if on_unauthorized == OnUnauthorized::Hold => hold(format!(
            "the peer refuses our credentials, data is held until they are mended: {}",
            reason()
        )),
        // Nobody stored anything of what was too large. A request that we joined is halved; what a sender sent as one is
        // final like every other 4xx, as the specification has it.
        413 if lot.is_joined() => Err(Failure::TooLarge { reason: reason() }),
        429 | 500..=599 => hold(reason()),
        400..=499 => Ok(refused(answer, lot, counts, reason())),
        // No status of HTTP: whatever answered, it judged nothing.
        _ => hold(reason()),
    }
}

fn stored(answer: &Answer, lot: &Lot, counts: Option<&Counts>) -> Verdict {
    let delivered = |unconfirmed| Verdict { receipt: Receipt::Delivered, unconfirmed };
    match missing(&answer.headers, counts) {
        None => delivered(counts.is_some_and(|counts| counts.total() > 0)),
        Some(0) => delivered(false),
        Some(items) => {
            let items = items.min(lot.items());
            let reason = "the peer says that it stored less than it was sent".to_owned();
            let refused = PeerRefused { items, upper_bound: false, reason };
            Verdict { receipt: Receipt::Partly(refused), unconfirmed: false }
        }
    }
}

/// A final no: what the peer says it stored counts as delivered, without a word from it the whole lot is the bound.
fn refused(answer: &Answer, lot: &Lot, counts: Option<&Counts>, reason: String) -> Verdict {
    let refused = match missing(&answer.headers, counts) {
        Some(missing) => {
            let accounted = there(answer, lot).saturating_add(descriptions(answer, lot));
            let items = missing.saturating_sub(accounted).min(lot.items());
            // A point of OTLP may be several samples, and lines beyond what was read may be of samples that the peer has.
            let upper_bound = lot.is_of_otlp() || !answer.whole && lot.parcel.may_have_arrived();
            (items > 0).then_some(PeerRefused { items, upper_bound, reason })
        }
        None => Some(PeerRefused { items: lot.items(), upper_bound: true, reason }),
    };
    Verdict { receipt: receipt(refused), unconfirmed: false }
}

/// A receipt without a refusal, or with one.
pub(super) fn receipt(refused: Option<PeerRefused>) -> Receipt {
    refused.map_or(Receipt::Delivered, Receipt::Partly)
}

/// Of how many samples that may have arrived before an answer says, a line each, that the peer has newer ones of their series: these
/// it has.
pub(super) fn there(answer: &Answer, lot: &Lot) -> u32 {
    if lot.parcel.may_have_arrived() {
        lines(answer, |line| is_past(line) && !is_description(line))
    } else {
        0
    }
}

/// How many of the samples that describe the resources of OTLP came too late: they are no items.
fn descriptions(answer: &Answer, lot: &Lot) -> u32 {
    if lot.is_of_otlp() { lines(answer, is_description) } else { 0 }
}

/// How many lines of the answer's body are so.
fn lines(answer: &Answer, is_so: impl Fn(&str) -> bool) -> u32 {
    String::from_utf8_lossy(&answer.body).lines().filter(|line| is_so(line)).count() as u32
}

/// Whether a line says that there is a newer sample of the series, as Prometheus puts it. Bounds are no such thing: what lies beyond them was never
/// let in.
fn is_past(line: &str) -> bool {
    line.starts_with(LATE)
}

fn is_description(line: &str) -> bool {
    line.contains("__name__=\"target_info\"")
}

/// How Prometheus puts that a sample, histogram or exemplar came too late.
const LATE: &str = "out of order";

/// Whether a peer says of a request in 1.0 what Prometheus says of one of which it stores nothing. Others that refuse samples with the same
/// status have stored the rest, and say more.
pub(super) fn stored_nothing(answer: &Answer) -> bool {
    const SAID: [&str; 4] = [LATE, "too old sample", "out of bounds", "duplicate sample for timestamp"];
    let said = String::from_utf8_lossy(&answer.body);
    let mut lines = said.lines();
    let line = lines.next().unwrap_or_default();
    let is_known = SAID.iter().any(|words| line.starts_with(words));
    answer.status == StatusCode::BAD_REQUEST && is_known && lines.next().is_none()
}

/// Whether a peer judged the samples of a request, rather than the request.
pub(super) fn is_of_samples(answer: &Answer) -> bool {
    answer.status == StatusCode::BAD_REQUEST
}

/// Sent minus written, of each kind that the peer confirms; a kind without a header was not written. `None` when no header
/// of the three is there (a peer of 1.0, which says nothing), or the body was 1.0.
pub(super) fn missing(headers: &HeaderMap, counts: Option<&Counts>) -> Option<u32> {
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
