use model::{Source, UnixNanos};
use proptest::prelude::*;

use super::*;

pub(crate) fn part(offset: u64, items: Range<u32>, frame_items: u32) -> Part {
    Part {
        offset: Offset(offset),
        items,
        frame_items,
        kept: None,
        changed: false,
        origin: Origin { tenant: Tenant::default(), source: Source::new("otlp").unwrap() },
        content_hash: ContentHash(u128::from(offset) << 64),
        received: UnixNanos(0),
        derived: 0,
        coding: Coding::Plain,
        body: Bytes::new(),
        plain_len: 0,
        inflated: Arc::default(),
    }
}

pub(crate) fn parcel(parts: Vec<Part>) -> Parcel {
    Parcel {
        sink: "sink".into(),
        tenant: Tenant::default(),
        signal: Signal::Logs,
        layout: Layout::Otlp,
        parts,
        rules: 0,
        replay: 0,
        attempt: 0,
        begun: false,
    }
}

#[test]
fn an_index_leads_to_its_frame_and_identity() {
    let parcel = parcel(vec![part(7, 3..5, 9), part(8, 0..2, 2)]);
    let found = parcel.place(2).unwrap();
    assert_eq!((found.part, found.offset, found.index), (1, Offset(8), 0));
    assert_eq!(parcel.place(1).unwrap().id.to_string(), "0000000000000007000000000000000000000004");
    assert_eq!(parcel.place(4), None);
}

#[test]
fn a_range_id_changes_with_everything_that_names_the_items() {
    let whole = parcel(vec![part(7, 0..9, 9), part(8, 0..2, 2)]);
    let id = whole.range_id(1);
    assert_eq!(id.len(), 16);
    assert_eq!(id, whole.clone().range_id(1));
    assert_ne!(id, whole.range_id(2));
    let ruled = Parcel { rules: 1, ..whole.clone() };
    assert_eq!(id, ruled.range_id(1), "rules that changed nothing");
    let mut changed = ruled.clone();
    changed.parts[1].changed = true;
    assert_ne!(id, changed.range_id(1));
    assert_ne!(changed.range_id(1), Parcel { rules: 2, ..changed.clone() }.range_id(1));
    assert_ne!(id, whole.cut(0..10).range_id(1));
    assert_ne!(id, Parcel { sink: "other".into(), ..whole.clone() }.range_id(1));
    // The same offsets in the journal of another gateway, or in one begun anew.
    let mut elsewhere = whole.clone();
    elsewhere.parts[1].received = elsewhere.parts[1].received.plus(std::time::Duration::from_nanos(1));
    assert_ne!(id, elsewhere.range_id(1));
    let mut other = whole.clone();
    other.parts[0].content_hash = model::ContentHash(other.parts[0].content_hash.0 ^ 1);
    assert_ne!(id, other.range_id(1));
    assert_ne!(id, Parcel { signal: Signal::Traces, ..whole }.range_id(1));
}

#[test]
fn items_that_rules_left_keep_the_numbers_they_came_with() {
    let kept = |offset, numbers: &[u32]| {
        let items = numbers.len() as u32;
        Part { kept: Some(numbers.into()), ..part(offset, 0..items, items) }
    };
    let parcel = parcel(vec![kept(7, &[1, 4, 5]), kept(8, &[0])]);
    let numbers = |parcel: &Parcel| parcel.places().map(|p| (p.offset.0, p.index)).collect::<Vec<_>>();
    assert_eq!(numbers(&parcel), [(7, 1), (7, 4), (7, 5), (8, 0)]);
    assert_eq!(numbers(&parcel.cut(1..3)), [(7, 4), (7, 5)]);
    assert_eq!(parcel.place(2).unwrap().id.to_string(), "0000000000000007000000000000000000000005");
    assert_eq!(parcel.cut(0..2).parts[0].end(), 5);
    let skipped = |number| {
        let mut part = parcel.parts[0].clone();
        part.skip_below(number);
        part.items
    };
    assert_eq!([0, 1, 2, 5, 6, 99].map(skipped), [0..3, 0..3, 1..3, 2..3, 3..3, 3..3]);
}

proptest! {
    #[test]
    fn cutting_keeps_places_in_order(sizes in prop::collection::vec(1u32..9, 1..6), from in 0u32..60, len in 0u32..60) {
        let parts = sizes.iter().zip(1..).map(|(size, offset)| part(offset, 1..1 + size, size + 2)).collect();
        let parcel = parcel(parts);
        let all: Vec<_> = parcel.places().map(|p| p.id).collect();
        prop_assert_eq!(all.len(), parcel.items() as usize);
        let cut = parcel.cut(from..from + len);
        prop_assert!(cut.parts.iter().all(|part| !part.is_empty()));
        let kept: Vec<_> = cut.places().map(|p| p.id).collect();
        let expected: Vec<_> = all.iter().copied().skip(from as usize).take(len as usize).collect();
        prop_assert_eq!(kept, expected);
        for (index, id) in all.iter().enumerate() {
            prop_assert_eq!(parcel.place(index as u32).map(|p| p.id), Some(*id));
        }
    }
}
