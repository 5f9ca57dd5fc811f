use super::*;
use crate::put;

fn traces(resources: &[&[u32]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (r, scopes) in resources.iter().enumerate() {
        put::message(&mut out, 1, |out| {
            put::message(out, 1, |out| put::bytes(out, 1, &[r as u8; 3]));
            for (s, &spans) in scopes.iter().enumerate() {
                put::message(out, 2, |out| {
                    put::message(out, 1, |out| put::bytes(out, 1, format!("scope {s}").as_bytes()));
                    for span in 0..spans {
                        put::message(out, 2, |out| put::bytes(out, 5, format!("{r} {s} {span}").as_bytes()));
                    }
                    put::bytes(out, 3, b"schema");
                    put::uint(out, 77, 7);
                });
            }
            put::bytes(out, 99, b"unknown");
        });
    }
    put::uint(&mut out, 500, 5);
    out
}

/// Every span's name with the unknown field of its scope and resource.
fn spans(plain: &[u8]) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    crate::otlp::traces::each_span(plain, |resource, scope, span| {
        let unknown = fields(resource.raw).any(|field| field.unwrap().number == 99)
            && fields(scope.raw).any(|field| field.unwrap().number == 77);
        found.push((
            span.name.to_owned(),
            unknown && scope.schema_url == "schema" && !scope.scope.name.is_empty(),
        ));
        Ok(())
    })
    .unwrap();
    found
}

const TRACES: (Signal, Layout) = (Signal::Traces, Layout::Otlp);

#[test]
fn every_slice_holds_its_items_in_their_wrappers_unknown_fields_included() {
    let plain = traces(&[&[2, 0, 3], &[], &[0], &[4]]);
    let all = spans(&plain);
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|(_, unknown)| *unknown));
    for from in 0..=9 {
        for to in from..=9 {
            let slice = slice(TRACES.0, TRACES.1, &plain, from..to).unwrap();
            assert_eq!(spans(&slice), all[from as usize..to as usize], "{from}..{to}");
            let own = fields(&slice).any(|field| field.unwrap().number == 500);
            assert_eq!(own, from == 0, "the request's own field stays with the first slice");
        }
    }
}

#[test]
fn the_slice_of_everything_is_the_same_to_the_byte() {
    let plain = traces(&[&[2, 0, 3], &[], &[4]]);
    assert_eq!(slice(TRACES.0, TRACES.1, &plain, 0..9).unwrap(), plain);
    assert_eq!(slice(TRACES.0, TRACES.1, &plain, 0..u32::MAX).unwrap(), plain);
    assert_ne!(slice(TRACES.0, TRACES.1, &plain, 0..8).unwrap(), plain);
}

#[test]
fn pieces_keep_both_limits_and_leave_no_gap() {
    let plain = traces(&[&[20, 1, 30], &[7; 9], &[4]]);
    let total = count(TRACES.0, TRACES.1, &plain).unwrap().total();
    for (items, bytes) in
        [(1, 1), (3, usize::MAX), (u32::MAX, 200), (10, 333), (0, 64), (u32::MAX, usize::MAX)]
    {
        let ranges = split(TRACES.0, TRACES.1, &plain, items, bytes).unwrap();
        let mut next = 0;
        for range in ranges {
            assert_eq!(range.start, next);
            next = range.end;
            let piece = slice(TRACES.0, TRACES.1, &plain, range.clone()).unwrap();
            assert!(range.len() == 1 || range.len() <= items as usize && piece.len() <= bytes, "{range:?}");
        }
        assert_eq!(next, total);
    }
}

#[test]
fn a_request_without_items_has_no_pieces() {
    assert!(split(TRACES.0, TRACES.1, &traces(&[&[], &[0]]), 5, 5).unwrap().is_empty());
    assert_eq!(count(TRACES.0, TRACES.1, &[]).unwrap(), Counts::default());
}

#[test]
fn the_items_of_a_series_are_counted_by_kind_and_cut_apart() {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |out| {
        put::message(out, 1, |out| put::bytes(out, 1, b"__name__"));
        for field in [2, 2, 3, 4, private::CUSTOM_HISTOGRAM] {
            put::message(out, field, |out| put::uint(out, 2, u64::from(field)));
        }
        put::message(out, private::SERIES_METADATA, |out| put::uint(out, 1, 1));
    });
    put::message(&mut plain, 3, |out| put::uint(out, 1, 2));
    let (signal, layout) = (Signal::Metrics, Layout::RemoteWrite);
    let whole = count(signal, layout, &plain).unwrap();
    assert_eq!(whole, Counts { samples: 2, exemplars: 1, histograms: 2, metadata: 1, ..Counts::default() });
    let mut sum = Counts::default();
    for item in 0..whole.total() {
        let slice = slice(signal, layout, &plain, item..item + 1).unwrap();
        let here = count(signal, layout, &slice).unwrap();
        assert_eq!(here.total(), 1);
        sum += here;
        if item < 5 {
            let series = crate::rw::v1::series(&slice).next().unwrap().unwrap();
            assert_eq!(series.labels().next().unwrap().unwrap().0, "__name__");
            assert_eq!(series.metadata().unwrap().unwrap().kind, 1);
        }
    }
    assert_eq!(sum, whole);
}

#[test]
fn data_of_a_metric_that_later_data_overrides_is_neither_counted_nor_sliced() {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |out| {
        put::message(out, 2, |out| {
            put::message(out, 2, |out| {
                put::message(out, 5, |out| put::message(out, 1, |out| put::fixed64(out, 3, 1)));
                put::message(out, 7, |out| {
                    put::message(out, 1, |out| put::fixed64(out, 3, 2));
                    put::message(out, 1, |out| put::fixed64(out, 3, 3));
                    put::uint(out, 2, 2);
                });
            });
        });
    });
    let (signal, layout) = (Signal::Metrics, Layout::Otlp);
    assert_eq!(count(signal, layout, &plain).unwrap().points, 2);
    let last = slice(signal, layout, &plain, 1..2).unwrap();
    let mut times = Vec::new();
    crate::otlp::metrics::each_point(&last, |_, _, metric, point| {
        assert_eq!(metric.kind, crate::otlp::metrics::MetricKind::Sum { temporality: 2, monotonic: false });
        times.push(point.time());
        Ok(())
    })
    .unwrap();
    assert_eq!(times, [3]);
    assert!(last.len() < plain.len() - 20);
}

#[test]
fn counting_stops_at_its_limit() {
    let plain = traces(&[&[5, 5]]);
    assert_eq!(count_within(TRACES.0, TRACES.1, &plain, 10).unwrap().spans, 10);
    assert_eq!(count_within(TRACES.0, TRACES.1, &plain, 9), Err(WireError::TooMany(9)));
}

#[test]
fn ten_million_empty_spans_are_refused_by_their_number() {
    let scope = [0x12, 0x00].repeat(10_000_000);
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |out| put::bytes(out, 2, &scope));
    assert_eq!(
        count_within(TRACES.0, TRACES.1, &plain, MAX_SPANS),
        Err(WireError::TooMany(MAX_SPANS as usize))
    );
}

#[test]
fn an_item_that_is_no_message_is_refused() {
    let mut plain = Vec::new();
    put::message(&mut plain, 1, |out| put::message(out, 2, |out| put::uint(out, 2, 1)));
    assert_eq!(count(TRACES.0, TRACES.1, &plain), Err(WireError::Mismatch(2)));
    assert_eq!(split(TRACES.0, TRACES.1, &plain, 1, 1), Err(WireError::Mismatch(2)));
    assert_eq!(slice(TRACES.0, TRACES.1, &plain, 0..1), Err(WireError::Mismatch(2)));
}
