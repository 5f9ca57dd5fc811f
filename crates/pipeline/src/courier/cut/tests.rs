use std::time::Duration;

use model::Source;
use proptest::prelude::*;

use super::*;
use crate::parcel::tests::part;

const CUT: Cut =
    Cut { max_items: 10, max_bytes: 1000, max_stored_bytes: 1000, max_wait: Duration::from_secs(5) };

fn gather(edges: Edges, border: Option<u64>) -> Gather {
    Gather::new("sink".into(), Signal::Logs, CUT, edges, border.map(Offset))
}

fn frame(tenant: &str, offset: u64, items: u32) -> Part {
    let mut part = part(offset, 0..items, items);
    part.origin.tenant = Tenant::new(tenant).unwrap();
    part.origin.source = Source::new("otlp").unwrap();
    part
}

fn push(gather: &mut Gather, now: Instant, frames: &[(&str, u64, u32)]) {
    for (tenant, offset, items) in frames {
        gather.push(frame(tenant, *offset, *items), Layout::Otlp, now);
    }
}

/// Tenant and offsets of each parcel of each load that is ready without waiting.
fn ready(gather: &mut Gather, now: Instant) -> Vec<Vec<(String, Vec<u64>)>> {
    let loads = std::iter::from_fn(|| gather.take(now));
    let parcel = |parcel: &Parcel| {
        (parcel.tenant.to_string(), parcel.parts.iter().map(|part| part.offset.0).collect::<Vec<_>>())
    };
    loads.map(|load| load.parcels.iter().map(parcel).collect()).collect()
}

fn one(tenant: &str, offsets: &[u64]) -> (String, Vec<u64>) {
    (tenant.to_owned(), offsets.to_vec())
}

#[tokio::test(start_paused = true)]
async fn frames_merge_by_tenant_up_to_the_limits() {
    let now = Instant::now();
    let mut gather = gather(Edges::Free, None);
    push(&mut gather, now, &[("a", 1, 4), ("b", 2, 4), ("a", 3, 4), ("a", 4, 4), ("b", 5, 6), ("a", 6, 25)]);
    let expected =
        vec![vec![one("a", &[1, 3])], vec![one("b", &[2, 5])], vec![one("a", &[4])], vec![one("a", &[6])]];
    assert_eq!(ready(&mut gather, now), expected);
    assert_eq!(gather.due(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_full_goes_when_its_time_has_come() {
    let now = Instant::now();
    let mut gather = gather(Edges::Free, None);
    push(&mut gather, now, &[("a", 1, 4)]);
    push(&mut gather, now + Duration::from_secs(1), &[("b", 2, 4)]);
    assert_eq!(gather.due(), Some(now + CUT.max_wait));
    assert_eq!(ready(&mut gather, now + Duration::from_secs(4)), Vec::<Vec<_>>::new());
    assert_eq!(ready(&mut gather, now + CUT.max_wait), [[one("a", &[1])]]);
    assert_eq!(ready(&mut gather, now + Duration::from_secs(6)), [[one("b", &[2])]]);
}

#[tokio::test(start_paused = true)]
async fn a_recorded_range_is_cut_whole_and_alike_after_a_restart() {
    let now = Instant::now();
    let frames = [("a", 1, 4), ("b", 2, 4), ("a", 3, 4), ("a", 4, 4), ("b", 5, 30), ("a", 6, 1)];
    let mut first = gather(Edges::Recorded, None);
    push(&mut first, now, &frames);
    first.close_all();
    let expected = vec![
        vec![one("a", &[1, 3]), one("b", &[2])],
        vec![one("a", &[4])],
        vec![one("b", &[5])],
        vec![one("a", &[6])],
    ];
    assert_eq!(ready(&mut first, now), expected);
    let mut again = gather(Edges::Recorded, Some(3));
    push(&mut again, now, &frames[..2]);
    assert_eq!(ready(&mut again, now + Duration::from_secs(60)), Vec::<Vec<_>>::new());
    push(&mut again, now, &frames[2..]);
    again.close_all();
    assert_eq!(ready(&mut again, now), expected);
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_before_a_restart_is_known_as_such_and_nothing_else() {
    let now = Instant::now();
    for edges in [Edges::Recorded, Edges::Settled] {
        let mut gather = gather(edges, Some(2));
        push(&mut gather, now, &[("a", 1, 4), ("b", 2, 4), ("a", 3, 4)]);
        gather.close_all();
        let loads = std::iter::from_fn(|| gather.take(now));
        let begun: Vec<(u64, bool)> = loads
            .flat_map(|load| load.parcels)
            .map(|parcel| (parcel.parts[0].offset.0, parcel.begun))
            .collect();
        assert_eq!(begun, [(1, true), (2, true), (3, false)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_border_is_kept_when_its_last_offset_holds_nothing() {
    let now = Instant::now();
    for edges in [Edges::Recorded, Edges::Settled] {
        let mut gather = gather(edges, Some(3));
        push(&mut gather, now, &[("a", 1, 4)]);
        gather.skip(Offset(3));
        push(&mut gather, now, &[("a", 4, 1)]);
        gather.close_all();
        assert_eq!(ready(&mut gather, now), [[one("a", &[1])], [one("a", &[4])]]);
    }
}

proptest! {
    #[test]
    fn every_frame_is_in_exactly_one_parcel_and_in_order(
        frames in prop::collection::vec((0..3usize, 1..14u32), 1..60),
        edges in prop::sample::select(vec![Edges::Free, Edges::Recorded, Edges::Settled]),
    ) {
        let now = Instant::now();
        let mut gather = gather(edges, None);
        for (offset, (tenant, items)) in (1..).zip(&frames) {
            push(&mut gather, now, &[(["a", "b", "c"][*tenant], offset, *items)]);
        }
        gather.close_all();
        let loads: Vec<Load> = std::iter::from_fn(|| gather.take(now)).collect();
        let mut seen = Vec::new();
        let mut before = 0;
        for load in &loads {
            let mut inside = Vec::new();
            for parcel in &load.parcels {
                let offsets: Vec<u64> = parcel.parts.iter().map(|part| part.offset.0).collect();
                prop_assert!(offsets.is_sorted());
                prop_assert!(parcel.parts.iter().all(|part| part.origin.tenant == parcel.tenant));
                prop_assert!(parcel.items() <= CUT.max_items || parcel.parts.len() == 1);
                inside.extend(offsets);
            }
            if edges != Edges::Free {
                prop_assert!(inside.iter().all(|offset| (before + 1..=load.last.0).contains(offset)));
                before = load.last.0;
            }
            seen.extend(inside);
        }
        seen.sort_unstable();
        prop_assert_eq!(seen, (1..=frames.len() as u64).collect::<Vec<_>>());
    }
}
