use std::sync::Arc;

use proptest::prelude::*;
use wire::coding::sniff;
use wire::put;

use super::*;
use crate::parcel::tests::{parcel, part};

/// OTLP logs with one record per number.
fn logs(numbers: Range<u32>) -> Vec<u8> {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |resource| {
        put::message(resource, 2, |scope| {
            for number in numbers {
                put::message(scope, 2, |record| put::fixed64(record, 1, u64::from(number)));
            }
        });
    });
    plain
}

fn numbers(plain: &[u8]) -> Vec<u64> {
    let mut times = Vec::new();
    wire::otlp::logs::each_record(plain, |_, _, record| {
        times.push(record.time);
        Ok(())
    })
    .unwrap();
    times
}

/// A frame of records `from..from + records`, of which `items` are meant.
fn frame(offset: u64, coding: Coding, from: u32, records: u32, items: Range<u32>) -> Part {
    let plain = logs(from..from + records);
    let body = if coding == Coding::Plain { plain.clone() } else { compress(coding, 1, &plain) };
    Part { coding, plain_len: plain.len() as u32, body: body.into(), ..part(offset, items, records) }
}

fn whole(offset: u64, coding: Coding) -> Part {
    frame(offset, coding, offset as u32 * 100, 3, 0..3)
}

/// What a body holds once the peer has inflated it.
fn read(body: &Body) -> Vec<u64> {
    numbers(&inflate(body.coding, &body.bytes, Ceiling::bytes(1 << 20)).unwrap())
}

#[test]
fn one_untouched_frame_goes_out_as_it_came_in() {
    for coding in [Coding::Plain, Coding::Snappy, Coding::Gzip, Coding::Zstd] {
        let parcel = parcel(vec![whole(1, coding)]);
        let body = parcel.join(&[Coding::Zstd, coding]).unwrap();
        assert_eq!((body.coding, &body.bytes), (coding, &parcel.parts[0].body));
        assert!(parcel.parts[0].inflated.get().is_none(), "nothing was inflated");
    }
}

#[test]
fn untouched_snappy_frames_are_joined_without_inflating() {
    let parcel = parcel(vec![whole(1, Coding::Snappy), whole(2, Coding::Snappy)]);
    let body = parcel.join(&[Coding::Snappy]).unwrap();
    assert_eq!((body.coding, read(&body)), (Coding::Snappy, vec![100, 101, 102, 200, 201, 202]));
    assert!(parcel.parts.iter().all(|part| part.inflated.get().is_none()));
}

#[test]
fn everything_else_is_made_from_plain_in_the_coding_liked_best() {
    let parts = vec![whole(1, Coding::Gzip), frame(2, Coding::Snappy, 200, 5, 1..3), whole(3, Coding::Plain)];
    let parcel = parcel(parts);
    let expected = vec![100, 101, 102, 201, 202, 300, 301, 302];
    for (accepted, coding) in [
        (&[][..], Coding::Plain),
        (&[Coding::Gzip, Coding::Snappy], Coding::Gzip),
        (&[Coding::Zstd], Coding::Zstd),
        (&[Coding::Snappy, Coding::Plain], Coding::Snappy),
    ] {
        let body = parcel.join(accepted).unwrap();
        assert_eq!((body.coding, read(&body)), (coding, expected.clone()));
        assert!(sniff(&body.bytes).is_none_or(|found| found == coding));
    }
    assert_eq!(numbers(&parcel.plain().unwrap()), expected);
}

#[test]
fn a_frame_is_inflated_once_for_all_who_share_it() {
    let mine = parcel(vec![whole(1, Coding::Gzip)]);
    let theirs =
        parcel(vec![Part { inflated: Arc::clone(&mine.parts[0].inflated), ..mine.parts[0].clone() }]);
    let (a, b) = (mine.plain().unwrap(), theirs.plain().unwrap());
    assert_eq!(a.as_ptr(), b.as_ptr());
}

#[test]
fn a_frame_that_lies_about_its_length_is_named_and_becomes_a_refusal() {
    for wrong in [-1i64, 1] {
        let mut part = whole(7, Coding::Gzip);
        part.plain_len = u32::try_from(i64::from(part.plain_len) + wrong).unwrap();
        let error = parcel(vec![whole(6, Coding::Gzip), part]).plain().unwrap_err();
        assert_eq!(error.offset, Offset(7));
        let Failure::RefusedWhole { reason } = Failure::from(error) else { panic!("another failure") };
        assert!(reason.starts_with("frame 7 cannot be read: "), "{reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn splitting_keeps_every_item_in_order_and_the_limits(
        records in 1u32..200,
        max_items in 1u32..60,
        max_bytes in 1u64..2000,
        from in 0u32..50,
    ) {
        let from = from.min(records - 1);
        let parcel = parcel(vec![frame(1, Coding::Gzip, 0, records, from..records)]);
        let cut = Cut { max_items, max_bytes, max_stored_bytes: u64::MAX, max_wait: std::time::Duration::ZERO };
        let pieces = parcel.split(cut);
        let mut all = Vec::new();
        for piece in &pieces {
            let plain = piece.plain().unwrap();
            prop_assert!(piece.items() <= max_items);
            prop_assert!(plain.len() as u64 <= max_bytes || piece.items() == 1, "{} bytes", plain.len());
            all.extend(numbers(&plain));
        }
        prop_assert_eq!(all, (u64::from(from)..u64::from(records)).collect::<Vec<_>>());
    }
}
