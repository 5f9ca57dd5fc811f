//! Outside bytes never panic, and never make more than their ceiling: arbitrary ones, and valid messages with bytes changed.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_wire::coding::{self, Ceiling, Inflater};
use tidegate_wire::otlp::{AnyValue, Attributes, Repeated, View};
use tidegate_wire::{Coding, Layout, Signal, WireError, batch, otlp, put, rw};

const CODINGS: [Coding; 5] = [Coding::Plain, Coding::Snappy, Coding::Gzip, Coding::Zstd, Coding::Deflate];
const CEILING: Ceiling = Ceiling { bytes: 50_000, ratio_after: 10_000, ratio: 100 };

/// Inflates in every way there is.
fn inflate_all(body: &[u8]) {
    for coding in CODINGS {
        if let Ok(plain) = coding::inflate(coding, body, CEILING) {
            assert!(plain.len() <= CEILING.bytes);
            assert!(plain.len() <= CEILING.ratio_after || plain.len() / body.len() <= CEILING.ratio as usize);
        }
    }
    let _ = coding::sniff(body);
    let _ = coding::join_snappy(&[body, body]);
    let mut inflater = Inflater::new(CEILING);
    let mut out = Vec::new();
    for chunk in body.chunks(7) {
        let mut rest = chunk;
        loop {
            let before = out.len();
            match inflater.push(rest, &mut out, 1000) {
                Ok(taken) => {
                    assert!(out.len() - before <= 1000 && taken <= rest.len());
                    rest = &rest[taken..];
                    if rest.is_empty() && out.len() == before {
                        break;
                    }
                }
                Err(_) => return,
            }
        }
        assert!(out.len() <= CEILING.bytes);
    }
    let _ = inflater.finish();
}

/// Reads to the end, errors included.
fn all<'a, T: View<'a>>(repeated: Repeated<'a, T>, mut each: impl FnMut(T)) {
    for item in repeated.flatten() {
        each(item);
    }
}

fn attributes(attributes: Attributes<'_>) {
    for pair in attributes.flatten() {
        value(pair.value);
    }
}

/// By recursion, as readers do: the views bound its depth.
fn value(any: AnyValue<'_>) {
    match any {
        AnyValue::Array(values) => values.flatten().for_each(value),
        AnyValue::Map(map) => attributes(map),
        _ => {}
    }
}

fn read_all(plain: &[u8]) {
    all(otlp::traces::resource_spans(plain), |resource| {
        attributes(resource.resource.attributes());
        all(resource.scopes(), |scope| {
            attributes(scope.scope.attributes());
            all(scope.spans(), |span| {
                attributes(span.attributes());
                all(span.events(), |event| attributes(event.attributes()));
                all(span.links(), |link| attributes(link.attributes()));
            });
        });
    });
    all(otlp::logs::resource_logs(plain), |resource| {
        all(resource.scopes(), |scope| {
            all(scope.records(), |record| {
                attributes(record.attributes());
                value(record.body);
            });
        });
    });
    let _ = otlp::metrics::each_point(plain, |_, _, metric, point| {
        attributes(metric.metadata());
        attributes(point.attributes());
        all(point.exemplars(), |exemplar| attributes(exemplar.filtered_attributes()));
        match point {
            otlp::metrics::Point::Histogram(point) => {
                point.bucket_counts().for_each(drop);
                point.explicit_bounds().for_each(drop);
            }
            otlp::metrics::Point::Exponential(point) => {
                point.positive.counts().for_each(drop);
                point.negative.counts().for_each(drop);
            }
            otlp::metrics::Point::Summary(point) => all(point.quantiles(), drop),
            otlp::metrics::Point::Number(_) => {}
        }
        Ok(())
    });
    let _ = otlp::ids::each_span(plain, |ids| {
        assert!(plain.get(ids.item).is_some());
        assert_eq!(&plain[ids.trace.at..][..ids.trace.bytes.len()], ids.trace.bytes);
        Ok(())
    });
    let _ = otlp::ids::each_record(plain, |_| Ok(()));
    all(rw::v1::series(plain), |series| {
        series.labels().for_each(drop);
        series.samples().for_each(drop);
        series.histograms().flatten().for_each(|histogram| histogram_parts(&histogram));
        all(series.exemplars(), |exemplar| exemplar.labels().for_each(drop));
        let _ = series.metadata();
    });
    all(rw::v1::metadata(plain), drop);
    if let Ok(symbols) = rw::v2::Symbols::read(plain) {
        all(rw::v2::series(plain), |series| {
            series.labels().resolve(&symbols).for_each(drop);
            series.samples().for_each(drop);
            series.histograms().flatten().for_each(|histogram| histogram_parts(&histogram));
            all(series.exemplars(), |exemplar| exemplar.labels().resolve(&symbols).for_each(drop));
        });
    }
    if let Ok(stripped) = rw::strip_private(plain) {
        assert!(stripped.len() <= plain.len() + 10 || stripped.len() <= plain.len() * 2);
    }
}

fn histogram_parts(histogram: &rw::Histogram<'_>) {
    all(histogram.negative_spans(), drop);
    all(histogram.positive_spans(), drop);
    histogram.negative_deltas().for_each(drop);
    histogram.positive_deltas().for_each(drop);
    histogram.negative_counts().for_each(drop);
    histogram.positive_counts().for_each(drop);
    histogram.custom_values().for_each(drop);
}

fn cut_all(plain: &[u8]) {
    for signal in Signal::ALL {
        for layout in [Layout::Otlp, Layout::RemoteWrite] {
            let counted = batch::count(signal, layout, plain);
            let ranges = batch::split(signal, layout, plain, 3, 100);
            assert_eq!(counted.is_ok(), ranges.is_ok());
            let (Ok(counts), Ok(ranges)) = (counted, ranges) else { continue };
            let mut items = 0;
            for range in ranges {
                let slice =
                    batch::slice(signal, layout, plain, range.clone()).expect("what counts also cuts");
                let here = batch::count(signal, layout, &slice).expect("a slice is a request");
                assert_eq!(here.total() as usize, range.len());
                items += here.total();
            }
            assert_eq!(items, counts.total());
        }
    }
}

/// Bytes that look like messages: nested fields of small numbers, among them those of our views.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let scalar = (1u32..18, any::<u64>(), 0..3).prop_map(|(field, value, kind)| {
        let mut out = Vec::new();
        match kind {
            0 => put::uint(&mut out, field, value),
            1 => put::fixed64(&mut out, field, value),
            _ => put::fixed32(&mut out, field, value as u32),
        }
        out
    });
    let text = (prop_oneof![1u32..18, 1001u32..1004], vec(any::<u8>(), 0..20)).prop_map(|(field, text)| {
        let mut out = Vec::new();
        put::bytes(&mut out, field, &text);
        out
    });
    prop_oneof![scalar, text].prop_recursive(6, 60, 6, |inner| {
        (prop_oneof![6 => 1u32..4, 2 => 4u32..14, 1 => 1001u32..1004], vec(inner, 0..6)).prop_map(
            |(field, parts)| {
                let mut out = Vec::new();
                put::bytes(&mut out, field, &parts.concat());
                out
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..300)) {
        inflate_all(&bytes);
        read_all(&bytes);
        cut_all(&bytes);
    }

    #[test]
    fn messages_of_any_shape_are_refused_or_read(parts in vec(messages(), 0..8), at in any::<usize>(), byte in any::<u8>()) {
        let mut plain = parts.concat();
        read_all(&plain);
        cut_all(&plain);
        if !plain.is_empty() {
            let at = at % plain.len();
            plain[at] = byte;
            read_all(&plain);
            cut_all(&plain);
        }
    }

    #[test]
    fn compressed_bodies_with_changes_are_refused_or_inflated(
        plain in vec(prop_oneof![Just(0u8), any::<u8>()], 0..3000),
        coding in 1usize..5, at in any::<usize>(), byte in any::<u8>(), keep in any::<usize>(), again in any::<bool>(),
    ) {
        let mut body = coding::compress(CODINGS[coding], 1, &plain);
        prop_assert_eq!(&coding::inflate(CODINGS[coding], &body, Ceiling::bytes(plain.len())).unwrap(), &plain);
        if again {
            body.extend_from_within(..);
        }
        let at = at % body.len();
        body[at] = byte;
        inflate_all(&body);
        body.truncate(keep % body.len());
        inflate_all(&body);
    }

    #[test]
    fn joined_blocks_inflate_to_their_contents(parts in vec(vec(0u8..4, 0..400), 0..6)) {
        let blocks: Vec<_> = parts.iter().map(|part| coding::compress(Coding::Snappy, 0, part)).collect();
        let blocks: Vec<_> = blocks.iter().map(Vec::as_slice).collect();
        let joined = coding::join_snappy(&blocks).unwrap();
        prop_assert_eq!(coding::inflate(Coding::Snappy, &joined, Ceiling::bytes(3000)).unwrap(), parts.concat());
    }
}

#[test]
fn a_hundred_thousand_nested_values_end_at_the_depth_limit() {
    // Each level wraps the one below: array (5) of values (1). Built outwards, so lengths are known.
    for (outer, inner) in [(5, 1), (6, 1)] {
        let mut levels = Vec::new();
        let mut len = 0usize;
        for _ in 0..50_000 {
            let mut head = Vec::new();
            for field in [inner, outer].into_iter().chain((outer == 6).then_some(2)) {
                let mut one = Vec::new();
                put::varint(&mut one, u64::from(field as u32) << 3 | 2);
                put::varint(&mut one, (len + head.len()) as u64);
                one.extend_from_slice(&head);
                head = one;
            }
            len += head.len();
            levels.push(head);
        }
        let raw: Vec<u8> = levels.into_iter().rev().flatten().collect();
        let mut record = Vec::new();
        put::bytes(&mut record, 5, &raw);
        let mut plain = Vec::new();
        put::message(&mut plain, 1, |out| put::message(out, 2, |out| put::bytes(out, 2, &record)));
        read_all(&plain);
        cut_all(&plain);
    }
    let mut nested = Vec::new();
    for _ in 0..33 {
        let mut outer = Vec::new();
        put::message(&mut outer, 5, |out| put::bytes(out, 1, &nested));
        nested = outer;
    }
    let mut any = AnyValue::read(&nested);
    let mut depth = 0;
    while let Ok(AnyValue::Array(mut values)) = any {
        depth += 1;
        any = values.next().expect("each level has one value");
    }
    assert_eq!((depth, any.err()), (32, Some(WireError::TooDeep(32))));
}

#[test]
fn broken_fields_are_named() {
    for (bytes, error) in [
        (&b"\x0a\x05abc"[..], WireError::Truncated(0)),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Truncated(0)),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireError::Varint(1)),
        (b"\x0b\x0c", WireError::WireType(0)),
        (b"\x02\x00", WireError::FieldNumber(0)),
        (b"\x08\x01", WireError::Mismatch(1)),
    ] {
        assert_eq!(batch::count(Signal::Traces, Layout::Otlp, bytes), Err(error), "{bytes:x?}");
    }
}
