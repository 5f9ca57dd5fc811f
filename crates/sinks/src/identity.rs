//! What an item is called at a peer that keeps one of each name: the same for a sender's resend, for our own, and for a replay.
//!
//! In this order: the natural key that `normalize` wrote to records of Cloudflare's datasets and of Kong (`tidegate.key`); for a span,
//! its trace id, span id and start; for one that stitching has made, and may tell again otherwise, its trace id and span id; else the hash of the body that it came in, and its index there. A log record without a time of its own is
//! named by its place in the journal as well, so that two equal lines stay two. Tenant and source are part of every name.

use sha2::{Digest, Sha256};
use wire::otlp::AnyValue;

use crate::document::{Item, View};

/// How many bytes of the hash are kept: 120 bits, 20 characters of base64.
const KEPT: usize = 15;

/// A name of 20 characters of URL-safe base64.
pub(crate) type Name = [u8; KEPT / 3 * 4];

/// The item's name.
pub(crate) fn name(item: &Item<'_>) -> Name {
    use base64::Engine;
    let hash = hash(item);
    let mut name = Name::default();
    let written = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(&hash[..KEPT], &mut name);
    debug_assert_eq!(written, Ok(name.len()), "15 bytes are exactly 20 characters");
    name
}

fn hash(item: &Item<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let origin = &item.part.origin;
    let natural = natural(item);
    let source =
        if matches!(natural, Some(Natural::Stitched { .. })) { "stitch" } else { origin.source.as_str() };
    for word in [origin.tenant.as_str(), source] {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    match natural {
        Some(Natural::Stitched { trace, span }) => {
            hash.update(b"stitched");
            hash.update(trace);
            hash.update(span);
        }
        Some(Natural::Key(key)) => {
            hash.update(b"key");
            hash.update(key);
        }
        Some(Natural::Span { trace, span, start }) => {
            hash.update(b"span");
            hash.update(trace);
            hash.update(span);
            hash.update(start.to_le_bytes());
        }
        None => {
            hash.update(b"body");
            hash.update(item.place.id.content.0.to_le_bytes());
            hash.update(item.place.id.index.to_le_bytes());
            if !has_time(item) {
                // The time of arrival sets journals apart: each counts its offsets from 0.
                hash.update(item.place.offset.0.to_le_bytes());
                hash.update(item.part.received.0.to_le_bytes());
            }
        }
    }
    hash.finalize().into()
}

enum Natural<'a> {
    Key(&'a str),
    Span {
        trace: &'a [u8],
        span: &'a [u8],
        start: u64,
    },
    /// What stitching has made, whatever a later revision says of it.
    Stitched {
        trace: &'a [u8],
        span: &'a [u8],
    },
}

fn natural<'a>(item: &Item<'a>) -> Option<Natural<'a>> {
    match &item.view {
        // Only our own scope is trusted: others could call different records by one name, and all but one would be lost.
        View::Log { scope, record, .. } if scope.name == "tidegate" => {
            match record.attributes().get("tidegate.key") {
                Ok(Some(AnyValue::Str(key))) => Some(Natural::Key(key)),
                _ => None,
            }
        }
        View::Span { span, .. } => {
            let is_id = |id: &[u8], len: usize| id.len() == len && id.iter().any(|byte| *byte != 0);
            let named = is_id(span.trace_id, 16) && is_id(span.span_id, 8);
            let (trace, span, start) = (span.trace_id, span.span_id, span.start);
            let natural = match item.revision() {
                Some(_) => Natural::Stitched { trace, span },
                None => Natural::Span { trace, span, start },
            };
            named.then_some(natural)
        }
        _ => None,
    }
}

/// Whether the item says itself when it happened.
fn has_time(item: &Item<'_>) -> bool {
    match &item.view {
        View::Log { record, .. } => {
            let inferred = record.attributes().get("tidegate.time_inferred");
            record.time != 0 && !matches!(inferred, Ok(Some(AnyValue::Bool(true))))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::{Layout, Signal, Tenant};
    use pipeline::Parcel;
    use wire::{Coding, put};

    use super::*;
    use crate::document::{Mode, each};
    use crate::fixture::{START, parcel, part, spans, traces};

    fn names(parcel: &Parcel) -> Vec<String> {
        let mut names = Vec::new();
        each(parcel, Mode::Otel, |item, _| names.push(String::from_utf8(name(item).to_vec()).unwrap()))
            .unwrap();
        names
    }

    /// A request of one scope `scope` with records of these times and keys.
    fn logs(scope: &str, records: &[(u64, Option<&str>)]) -> Vec<u8> {
        let mut out = Vec::new();
        put::message(&mut out, 1, |resource| {
            put::message(resource, 2, |logs| {
                put::message(logs, 1, |out| put::bytes(out, 1, scope.as_bytes()));
                for (time, key) in records {
                    put::message(logs, 2, |record| {
                        put::fixed64(record, 1, *time);
                        put::message(record, 5, |body| put::bytes(body, 1, b"same"));
                        if let Some(key) = key {
                            put::message(record, 6, |pair| {
                                put::bytes(pair, 1, b"tidegate.key");
                                put::message(pair, 2, |value| put::bytes(value, 1, key.as_bytes()));
                            });
                        }
                    });
                }
            });
        });
        out
    }

    fn log_names(offset: u64, scope: &str, records: &[(u64, Option<&str>)]) -> Vec<String> {
        let frame = part(offset, Coding::Plain, &logs(scope, records), records.len() as u32);
        names(&parcel(Signal::Logs, Layout::Otlp, vec![frame]))
    }

    #[test]
    fn a_name_is_twenty_characters_that_stay_the_same_for_ever() {
        // A name that changes with a release stores everything twice that is sent again across it.
        assert_eq!(names(&traces(1, Coding::Plain, &["a"])), ["uWHbbd-metajzgzFKZc-"]);
    }

    #[test]
    fn a_span_is_its_ids_and_start_wherever_it_comes_in() {
        let [alone] = &names(&traces(1, Coding::Plain, &["a"]))[..] else { panic!() };
        let batch = parcel(Signal::Traces, Layout::Otlp, vec![part(9, Coding::Gzip, &spans(&["b", "a"]), 2)]);
        assert_eq!(names(&batch), [alone.clone(), alone.clone()], "the fixture's spans share their ids");
        let mut other = traces(1, Coding::Plain, &["a"]);
        other.parts[0].origin.tenant = Tenant::new("other").unwrap();
        assert_ne!(&names(&other)[0], alone);
    }

    #[test]
    fn a_record_is_its_key_where_the_gateway_wrote_one() {
        let first = log_names(1, "tidegate", &[(START.0, Some("kong|1")), (START.0, Some("kong|2"))]);
        let again = log_names(2, "tidegate", &[(START.0 + 5, Some("kong|2"))]);
        assert_ne!(first[0], first[1]);
        assert_eq!(first[1], again[0]);
        let foreign = log_names(1, "other", &[(START.0, Some("kong|1")), (START.0 + 1, Some("kong|1"))]);
        assert_ne!(foreign[0], foreign[1]);
    }

    #[test]
    fn a_record_with_a_time_is_the_body_it_came_in_and_its_index() {
        let records = [(START.0, None), (START.0, None)];
        let (first, again) = (log_names(1, "x", &records), log_names(2, "x", &records));
        assert_eq!(first, again);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 2);
        assert_ne!(log_names(1, "x", &records[..1])[0], first[0]);
    }

    #[test]
    fn a_record_without_a_time_is_its_place() {
        let first = log_names(1, "x", &[(0, None), (0, None)]);
        assert_eq!(first, log_names(1, "x", &[(0, None), (0, None)]));
        let all: BTreeSet<_> = first.into_iter().chain(log_names(2, "x", &[(0, None), (0, None)])).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_parcel_cut_in_the_middle_names_its_items_alike() {
        let records = [(START.0, None), (0, None), (START.0, Some("k"))];
        let whole =
            parcel(Signal::Logs, Layout::Otlp, vec![part(3, Coding::Plain, &logs("tidegate", &records), 3)]);
        assert_eq!(names(&whole.cut(1..3)), names(&whole)[1..]);
    }
}
