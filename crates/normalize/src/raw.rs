//! JSON sources: bytes → records → OTLP log records of one batch.

use bytes::Bytes;
use model::{Batch, ContentHash, Counts, Refusal, Signal, UnixNanos};
use wire::{Coding, Layout, coding};

use crate::log::Groups;
use crate::records::{Fault, Found, LONGEST, Records};
use crate::{Normalized, RawInput, Rejected, Shape, cloudflare, kong};

/// Most bytes of one bad record that are kept for the quarantine.
const KEPT: usize = 64 << 10;

/// What is made of a request may be so many times as large as what was sent, and `SLACK` larger. Real records grow
/// two- to fourfold, of tiny ones mostly names are made.
const GROWTH: usize = 8;
const SLACK: usize = 16 << 20;

/// How hard zstd tries: its fastest ordinary level shrinks edge logs about tenfold.
const LEVEL: i32 = 1;

/// The uploads by which Cloudflare tests a destination.
const VALIDATION: [&[u8]; 3] = [br#"{"content":"tests"}"#, b"test", b"tests"];

/// Maps every record; what is no record is rejected, and nothing fails the whole.
pub(crate) fn normalize(input: &RawInput, received: UnixNanos) -> Result<Normalized, Refusal> {
    let text = &input.bytes[..];
    if input.hint.shape == Shape::Logpush && VALIDATION.contains(&text.trim_ascii()) {
        return Ok(Normalized::default());
    }
    let most = text.len().saturating_mul(GROWTH).saturating_add(SLACK);
    let mut bad = Bad { input, rejected: Vec::new(), seen: 0 };
    let groups = match input.hint.shape {
        Shape::Logpush => {
            let mut mapper = cloudflare::Mapper::new(&input.hint, text.len(), received);
            let mut records = Records::new(text);
            while let Some(found) = records.next(mapper.members()) {
                match found {
                    Found::Record(range) if mapper.groups.bytes > most => bad.add(range, Fault::Swollen),
                    Found::Record(range) => {
                        mapper.map(text, range);
                        bad.seen = bad.seen.saturating_add(1);
                    }
                    Found::Bad(range, fault) => bad.add(range, fault),
                }
            }
            mapper.groups
        }
        Shape::Kong => {
            let mut mapper = kong::Mapper::new(text.len(), received);
            let mut records = Records::new(text);
            while let Some(found) = records.next(&mut mapper.members) {
                match found {
                    Found::Record(range) if mapper.groups.bytes > most => bad.add(range, Fault::Swollen),
                    Found::Record(range) => {
                        mapper.map(&text[range]);
                        bad.seen = bad.seen.saturating_add(1);
                    }
                    Found::Bad(range, fault) => bad.add(range, fault),
                }
            }
            mapper.groups
        }
    };
    finish(input, groups, bad, received)
}

fn finish(
    input: &RawInput,
    groups: Groups,
    bad: Bad<'_>,
    received: UnixNanos,
) -> Result<Normalized, Refusal> {
    let accepted = Counts { logs: groups.records, ..Counts::default() };
    let (rejected, seen) = (bad.rejected, bad.seen);
    if groups.records == 0 {
        return Ok(Normalized { batch: None, accepted, rejected, seen });
    }
    let plain = groups.finish();
    let plain_len = u32::try_from(plain.len()).map_err(|_| {
        Refusal::too_large(format!("records of {} bytes exceed the limit of 4 GiB", plain.len()))
    })?;
    let batch = Batch {
        origin: input.origin.clone(),
        signal: Signal::Logs,
        layout: Layout::Otlp,
        coding: Coding::Zstd,
        body: Bytes::from(coding::compress(Coding::Zstd, LEVEL, &plain)),
        plain_len,
        items: accepted.total(),
        content_hash: ContentHash::of(&input.origin, &input.bytes),
        received,
    };
    Ok(Normalized { batch: Some(batch), accepted, rejected, seen })
}

/// The records that were not taken.
struct Bad<'a> {
    input: &'a RawInput,
    rejected: Vec<Rejected>,
    seen: u32,
}

impl Bad<'_> {
    fn add(&mut self, range: std::ops::Range<usize>, fault: Fault) {
        let (reason, message) = match fault {
            Fault::Json(error) => (error.reason(), error.to_string()),
            Fault::NotAnObject => ("not_an_object", "record is JSON but not an object".into()),
            Fault::Swollen => {
                ("amplification", format!("records of the request grow more than {GROWTH}-fold when mapped"))
            }
            Fault::Empty => ("empty", "record is an object without members".into()),
            Fault::TooLong => {
                ("too_large", format!("record of {} bytes exceeds the limit of {LONGEST}", range.len()))
            }
        };
        let index = self.input.hint.first_index.saturating_add(self.seen);
        self.seen = self.seen.saturating_add(1);
        let start = range.start;
        let end = range.end.min(start + KEPT);
        let bytes = self.input.bytes.slice(start..end);
        Rejected::push(&mut self.rejected, Rejected { index, records: 1, reason, message, bytes });
    }
}
