//! What Loki's answer to a push means for the courier. Loki checks each line by itself: with 400 it has stored the good ones, so that
//! answer is final, and its text is all that tells how many it left out, and why.

use std::collections::BTreeMap;

use model::Failure;
use pipeline::{PeerRefused, Receipt};

use crate::client::Answer;

/// Why Loki left a line out, as the metrics name it; told apart by what stands in its message.
///
/// Those that refuse a whole stream come last and say nothing about how many lines it had.
const REASONS: [(&str, &str, Scope); 14] = [
    ("has timestamp too old", "too_old", Scope::Line),
    ("has timestamp too new", "too_new", Scope::Line),
    ("max entry size", "line_too_long", Scope::Line),
    ("structured metadata too large", "metadata", Scope::Line),
    ("too many structured metadata labels", "metadata", Scope::Line),
    ("includes structured metadata, but", "metadata", Scope::Line),
    ("entry too far behind", "out_of_order", Scope::Stream),
    ("entry out of order", "out_of_order", Scope::Stream),
    ("label names; limit", "labels", Scope::Stream),
    ("has label name too long", "labels", Scope::Stream),
    ("has label value too long", "labels", Scope::Stream),
    ("has duplicate label name", "labels", Scope::Stream),
    ("error parsing labels", "labels", Scope::Stream),
    ("missing required labels", "labels", Scope::Stream),
];

/// What one message of Loki's stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Line,
    Stream,
}

/// What became of a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) receipt: Receipt,
    /// Lines left out by reason, as far as Loki tells; one for a reason without a number.
    pub(super) refused: BTreeMap<&'static str, u64>,
}

/// Judges the answer to a push of `sent` lines in `streams` streams.
pub(super) fn verdict(answer: &Answer, sent: u32, streams: usize) -> Result<Verdict, Failure> {
    let status = answer.status;
    let reason = || match answer.text() {
        text if text.is_empty() => status.to_string(),
        text => format!("{status}: {text}"),
    };
    let retry = |reason| Err(Failure::Retry { after: answer.after, reason });
    match status.as_u16() {
        // With 260 Loki says that it throws everything away for a while, by its own configuration.
        260 => retry(format!("ingestion is blocked, data is held: {}", reason())),
        200..=299 => Ok(Verdict { receipt: Receipt::Delivered, refused: BTreeMap::new() }),
        300..=399 => retry(format!("{status}: redirects are not followed; set the final URL")),
        400 => Ok(left_out(answer, sent, streams, &reason())),
        401 | 403 => retry(format!(
            "the peer refuses our credentials or tenant, data is held until they are mended: {}",
            reason()
        )),
        404 | 405 => {
            retry(format!("this is no push URL of a Loki, data is held until it is mended: {}", reason()))
        }
        408 | 425 | 429 => retry(reason()),
        413 => Err(Failure::TooLarge { reason: reason() }),
        402..=499 => Err(Failure::RefusedWhole { reason: reason() }),
        // No status of HTTP, or the peer's own trouble.
        _ => retry(reason()),
    }
}

/// Reads a 400. Exact is the number only where each message stands for one line, or where the one stream's own count is given.
fn left_out(answer: &Answer, sent: u32, streams: usize, reason: &str) -> Verdict {
    let text = without_quoted(&String::from_utf8_lossy(&answer.body));
    let mut refused = BTreeMap::new();
    let mut exact = answer.whole;
    let mut sum = 0u64;
    for message in text.split("; ") {
        let count = grouped(message).unwrap_or(1);
        let known = REASONS.iter().find(|(sign, ..)| message.contains(sign));
        let (name, count) = match known {
            Some(&(_, name, Scope::Line)) => (name, count),
            Some(&(_, name, Scope::Stream)) => {
                let told = ignored(message);
                // It speaks of one stream, and of the lines that were good enough to get there.
                exact &= streams == 1 && told.is_some_and(|(_, of)| of == u64::from(sent));
                (name, told.map_or(1, |(ignored, _)| ignored))
            }
            None => {
                exact = false;
                ("other", 1)
            }
        };
        *refused.entry(name).or_default() += count;
        sum = sum.saturating_add(count);
    }
    let items = if exact { u32::try_from(sum).unwrap_or(u32::MAX).min(sent) } else { sent };
    let names = refused.keys().copied().collect::<Vec<_>>().join(", ");
    let reason = format!("{names}: {reason}");
    let refused_by_peer = PeerRefused { items, upper_bound: !exact, reason };
    Verdict { receipt: Receipt::Partly(refused_by_peer), refused }
}

/// The number in front of `errors like: `.
fn grouped(message: &str) -> Option<u64> {
    message.split_once(" errors like: ")?.0.trim().parse().ok()
}

/// The numbers in `total ignored: N out of M for stream`.
fn ignored(message: &str) -> Option<(u64, u64)> {
    let (ignored, rest) = message.split_once("total ignored: ")?.1.split_once(" out of ")?;
    let (of, _) = rest.split_once(' ')?;
    Some((ignored.parse().ok()?, of.parse().ok()?))
}

/// The text without what stands in double quotes: Loki repeats labels, whose values anybody may have written.
fn without_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}
