//! OTLP as received: looked at once, and kept byte for byte unless an id in it must be mended or a span refused.
//! (OpenTelemetry protocol 1.x; its rules on ids: `trace.proto`, `logs.proto`.)
//!
//! | what | then |
//! |---|---|
//! | a span's trace or span id is all zero or of wrong length | the span is rejected, its neighbours stay |
//! | a parent id is invalid, or the span's own | cleared |
//! | a link's ids are invalid | the link goes, and counts as dropped |
//! | a log record's ids are invalid, or there is a span id without a trace id | cleared |
//! | an exemplar's ids are invalid | kept as they are: a point without a link is a point |

mod look;
mod mend;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use model::{Batch, ContentHash, Counts, Layout, Refusal, Signal, UnixNanos};
use wire::walk::fields;
use wire::{Coding, WireError};

use crate::{Normalized, Rejected, WireInput};
use look::Look;

/// Most spans or log records of one request; those beyond are rejected.
pub(crate) const ITEMS: u32 = 100_000;

/// What must happen to one item.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Keep,
    Mend,
    Reject(&'static str, String),
}

/// Looks through the request, and rewrites it only where it must.
pub(crate) fn normalize(
    input: WireInput,
    signal: Signal,
    received: UnixNanos,
) -> Result<Normalized, Refusal> {
    let malformed = |error: WireError| Refusal::malformed(format!("{signal} request: {error}"));
    let plain_len = u32::try_from(input.plain.len()).map_err(|_| {
        Refusal::too_large(format!("body of {} bytes exceeds the limit of 4 GiB", input.plain.len()))
    })?;
    let found = survey(&input.plain, signal).map_err(malformed)?;
    let accepted = match signal {
        Signal::Traces => Counts { spans: found.kept, ..Counts::default() },
        Signal::Logs => Counts { logs: found.kept, ..Counts::default() },
        Signal::Metrics => Counts { points: found.kept, ..Counts::default() },
    };
    if found.kept == 0 {
        return Ok(Normalized { accepted, rejected: found.rejected, ..Normalized::default() });
    }
    let content_hash = ContentHash::of(&input.origin, &input.plain);
    let (coding, body, plain_len) = if found.changed {
        let mended = mend::request(&input.plain, signal).map_err(malformed)?;
        let len = u32::try_from(mended.len()).unwrap_or(plain_len);
        (Coding::Plain, Bytes::from(mended), len)
    } else {
        (input.coding, input.body, plain_len)
    };
    let batch = Batch {
        origin: input.origin,
        signal,
        layout: Layout::Otlp,
        coding,
        body,
        plain_len,
        items: accepted.total(),
        content_hash,
        received,
    };
    Ok(Normalized { batch: Some(batch), accepted, rejected: found.rejected, seen: 0 })
}

/// What a request holds.
#[derive(Debug, Default)]
struct Survey {
    kept: u32,
    changed: bool,
    rejected: Vec<Rejected>,
    seen: u32,
}

impl Survey {
    fn book(&mut self, verdict: Verdict) {
        let index = self.seen;
        self.seen = self.seen.saturating_add(1);
        match verdict {
            Verdict::Keep => self.kept += 1,
            Verdict::Mend => {
                self.kept += 1;
                self.changed = true;
            }
            Verdict::Reject(reason, message) => {
                self.changed = true;
                Rejected::push(
                    &mut self.rejected,
                    Rejected { index, records: 1, reason, message, bytes: Bytes::new() },
                );
            }
        }
    }
}

/// Walks the whole request: its structure is checked down to every attribute's value.
fn survey(plain: &[u8], signal: Signal) -> Result<Survey, WireError> {
    let mut found = Survey::default();
    for request in fields(plain) {
        let request = request?;
        if request.number != 1 {
            continue;
        }
        for resource in fields(request.bytes()?) {
            let resource = resource?;
            match resource.number {
                1 => look::attributes(resource.bytes()?, 1)?,
                2 => survey_scope(resource.bytes()?, signal, &mut found)?,
                3 => drop(resource.text()?),
                _ => {}
            }
        }
    }
    Ok(found)
}

fn survey_scope(scope: &[u8], signal: Signal, found: &mut Survey) -> Result<(), WireError> {
    for field in fields(scope) {
        let field = field?;
        match field.number {
            1 => look::scope(field.bytes()?)?,
            2 if signal == Signal::Metrics => {
                look::metric(field.bytes()?, &mut |verdict| found.book(verdict))?;
            }
            2 => {
                let verdict = verdict(field.bytes()?, signal, found.seen)?;
                found.book(verdict);
            }
            3 => drop(field.text()?),
            _ => {}
        }
    }
    Ok(())
}

/// What must happen to the span or log record, the `index`th of the request.
fn verdict(item: &[u8], signal: Signal, index: u32) -> Result<Verdict, WireError> {
    if index >= ITEMS {
        return Ok(Verdict::Reject(
            "items_limit",
            format!("request exceeds the limit of {ITEMS} {signal} items"),
        ));
    }
    match signal {
        Signal::Traces => Ok(Look::span(item)?.verdict()),
        _ => Ok(look::Ids::of_record(item)?.verdict()),
    }
}
