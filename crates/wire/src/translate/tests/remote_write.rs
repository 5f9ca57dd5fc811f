use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::*;
use crate::rw::STALE;
use crate::{Counts, Layout, Signal};

/// Labels, bits, time.
type ExemplarPoint = (Vec<Label>, u64, i64);

/// Points by series and kind, times first, values by their bits: what must survive.
#[derive(Debug, Default, PartialEq)]
struct Points {
    samples: BTreeMap<Vec<Label>, Vec<(i64, u64, i64)>>,
    histograms: BTreeMap<Vec<Label>, Vec<Histogram>>,
    exemplars: BTreeMap<Vec<Label>, Vec<ExemplarPoint>>,
    metadata: BTreeMap<Vec<Label>, (i32, String, String)>,
}

fn points2(request: &Request2) -> Points {
    let mut points = Points::default();
    let text = |index: u32| request.symbols[index as usize].clone();
    let pairs = |refs: &[u32]| -> Vec<Label> {
        refs.chunks(2).map(|pair| Label { name: text(pair[0]), value: text(pair[1]) }).collect()
    };
    for series in &request.timeseries {
        let mut key = pairs(&series.refs);
        key.sort();
        for sample in &series.samples {
            let start = if sample.start == 0 { series.created } else { sample.start };
            points.samples.entry(key.clone()).or_default().push((sample.timestamp, sample.value, start));
        }
        for histogram in &series.histograms {
            let mut histogram = histogram.clone();
            if histogram.start == 0 {
                histogram.start = series.created;
            }
            points.histograms.entry(key.clone()).or_default().push(histogram);
        }
        for exemplar in &series.exemplars {
            let one = (pairs(&exemplar.refs), exemplar.value, exemplar.timestamp);
            points.exemplars.entry(key.clone()).or_default().push(one);
        }
        if let Some(metadata) = &series.metadata
            && *metadata != (Metadata2 { kind: 0, help: 0, unit: 0 })
        {
            points.metadata.insert(key, (metadata.kind, text(metadata.help), text(metadata.unit)));
        }
    }
    points
}

/// A 2.0 request in the making.
#[derive(Default)]
struct Build {
    request: Request2,
}

impl Build {
    fn new() -> Self {
        let mut build = Self::default();
        build.request.symbols.push(String::new());
        build
    }

    fn symbol(&mut self, text: &str) -> u32 {
        let found = self.request.symbols.iter().position(|symbol| symbol == text);
        found.unwrap_or_else(|| {
            self.request.symbols.push(text.into());
            self.request.symbols.len() - 1
        }) as u32
    }

    fn refs(&mut self, pairs: &[&str]) -> Vec<u32> {
        pairs.iter().map(|text| self.symbol(text)).collect()
    }

    fn series(&mut self, pairs: &[&str]) -> &mut Series2 {
        let refs = self.refs(pairs);
        self.request.timeseries.push(Series2 { refs, ..Default::default() });
        self.request.timeseries.last_mut().expect("one was pushed")
    }

    fn sample(&mut self, pairs: &[&str], value: f64, timestamp: i64) {
        self.series(pairs).samples.push(Sample2 { value: value.to_bits(), timestamp, start: 0 });
    }

    fn check(&self) -> (WriteRequest, Checked<'static>) {
        let checked = v2_to_v1(&self.request.encode_to_vec()).expect("valid protobuf");
        (read1(&checked.bytes), checked)
    }
}

fn reasons(checked: &Checked<'_>) -> Vec<(u32, &'static str)> {
    checked.rejected.iter().map(|rejected| (rejected.index, rejected.reason)).collect()
}

#[test]
fn a_clean_request_is_the_same_bytes() {
    let mut clean = request(vec![
        series(
            &["__name__", "up", "job", "a"],
            &[sample(1.0, 5), sample(f64::from_bits(STALE), 6), sample(0.0, 0)],
        ),
        series(&["A", "é", "__name__", "up"], &[sample(-0.0, -5)]),
        Series1 { histograms: vec![histogram(7), custom(8)], ..series(&["__name__", "h"], &[]) },
        Series1 {
            exemplars: vec![Exemplar1 {
                labels: labels(&["trace_id", "abc"]),
                value: 1f64.to_bits(),
                timestamp: 2,
            }],
            ..series(&["__name__", "long", "v", &"x".repeat(16 << 10)], &[sample(1.0, 1)])
        },
    ]);
    clean.metadata.push(MetricMetadata {
        kind: 1,
        family: "up".into(),
        help: "é".into(),
        unit: String::new(),
    });
    let bytes = clean.encode_to_vec();
    let checked = v1_check(&bytes).expect("valid protobuf");
    assert!(matches!(checked.bytes, Cow::Borrowed(same) if same == bytes));
    assert_eq!(
        checked.tally,
        Counts { samples: 5, histograms: 2, exemplars: 1, metadata: 1, ..Counts::default() }
    );
    assert_eq!(checked.rejected, []);
}

#[test]
fn labels_are_sorted_and_empty_values_dropped() {
    let mixed = request(vec![
        series(&["__name__", "up"], &[sample(1.0, 1)]),
        series(&["job", "a", "__name__", "up", "gone", "", "Z", "z"], &[sample(f64::from_bits(STALE), 5)]),
        series(&["__name__", "up"], &[sample(2.0, 2)]),
    ]);
    let bytes = mixed.encode_to_vec();
    let checked = v1_check(&bytes).expect("valid protobuf");
    let expected = [
        series(&["__name__", "up"], &[sample(1.0, 1)]),
        series(&["Z", "z", "__name__", "up", "job", "a"], &[]),
        series(&["__name__", "up"], &[sample(2.0, 2)]),
    ];
    let made = read1(&checked.bytes);
    assert_eq!(
        made.timeseries.iter().map(|s| &s.labels).collect::<Vec<_>>(),
        expected.iter().map(|s| &s.labels).collect::<Vec<_>>()
    );
    assert_eq!(made.timeseries[1].samples[0].value, STALE);
    assert_eq!((checked.tally.samples, checked.rejected.len()), (3, 0));
}

#[test]
fn a_series_that_breaks_a_rule_is_rejected_alone_and_named() {
    let good = series(&["__name__", "up"], &[sample(1.0, 1)]);
    let check = |bad: Series1, reason: &str, text: &str| {
        let bytes = request(vec![good.clone(), bad, good.clone()]).encode_to_vec();
        let checked = v1_check(&bytes).expect("valid protobuf");
        assert_eq!(read1(&checked.bytes), request(vec![good.clone(), good.clone()]));
        assert_eq!(checked.tally.samples, 2);
        assert_eq!(reasons(&checked), [(1, reason)]);
        assert_eq!(checked.rejected[0].message, text);
    };
    let one = [sample(1.0, 1)];
    check(
        series(&["a", "b"], &one),
        "metric_name",
        "series 1 {a=\"b\"}: there is no label __name__ with a value",
    );
    check(series(&[], &one), "metric_name", "series 1: there is no label __name__ with a value");
    check(
        series(&["__name__", ""], &one),
        "metric_name",
        "series 1: there is no label __name__ with a value",
    );
    check(
        series(&["__name__", "up", "a", "1", "a", "2"], &one),
        "label_duplicate",
        "series 1 up{a=\"1\",a=\"2\"}: label \"a\" comes twice",
    );
    check(
        series(&["", "x", "__name__", "up"], &one),
        "label_name",
        "series 1 up{=\"x\"}: the label with the value \"x\" has no name",
    );
    let many: Vec<String> = (0..129).flat_map(|i| [format!("l{i:03}"), "v".into()]).collect();
    let many: Vec<&str> = ["__name__", "up"].into_iter().chain(many.iter().map(String::as_str)).collect();
    let checked = v1_check(&request(vec![series(&many, &one)]).encode_to_vec())
        .map(|checked| checked.rejected)
        .expect("valid");
    assert_eq!(checked[0].reason, "labels_limit");
    assert!(checked[0].message.ends_with("130 labels exceed the limit of 128"), "{}", checked[0].message);
    assert!(checked[0].message.len() < 400, "{}", checked[0].message);
    let long = "x".repeat(10 << 20);
    for bad in [series(&["__name__", "up", "a", &long], &one), series(&["__name__", "up", &long, "a"], &one)]
    {
        let bytes = request(vec![bad]).encode_to_vec();
        let checked = v1_check(&bytes).expect("valid protobuf");
        assert_eq!(reasons(&checked), [(0, "labels_limit")]);
        assert!(checked.rejected[0].message.len() < 400);
    }
}

#[test]
fn invalid_utf8_rejects_the_series() {
    for at in [3, 4] {
        let mut bytes =
            request(vec![series(&["__name__", "up", "aa", "bb"], &[sample(1.0, 1)])]).encode_to_vec();
        let found =
            bytes.windows(2).position(|pair| pair == if at == 3 { b"aa" } else { b"bb" }).expect("there");
        bytes[found] = 0xff;
        let checked = v1_check(&bytes).expect("valid protobuf");
        assert_eq!((checked.bytes.len(), reasons(&checked)), (0, vec![(0, "utf8")]));
    }
}

#[test]
fn private_numbers_from_outside_are_removed() {
    let mut forged = request(vec![Series1 {
        metadata: Some(MetricMetadata { kind: 1, ..Default::default() }),
        custom: vec![custom(1)],
        histograms: vec![Histogram { private_start: 5, ..histogram(9) }],
        ..series(&["__name__", "up"], &[Sample1 { value: 1f64.to_bits(), timestamp: 2, start: 3 }])
    }]);
    let mut bytes = forged.encode_to_vec();
    put_unknown(&mut bytes);
    let checked = v1_check(&bytes).expect("valid protobuf");
    let honest = &mut forged.timeseries[0];
    (honest.metadata, honest.samples[0].start) = (None, 0);
    honest.custom.clear();
    honest.histograms[0].private_start = 0;
    assert_eq!(&*checked.bytes, forged.encode_to_vec());
    assert_eq!(checked.tally, Counts { samples: 1, histograms: 1, ..Default::default() });
}

fn put_unknown(bytes: &mut Vec<u8>) {
    crate::put::uint(bytes, 5000, 1);
}

#[test]
fn the_request_has_a_most_number_of_series() {
    let mut one = Vec::new();
    crate::put::bytes(&mut one, 1, &series(&["__name__", "up"], &[sample(1.0, 1)]).encode_to_vec());
    let bytes = one.repeat(limits::SERIES as usize + 100);
    let checked = v1_check(&bytes).expect("valid protobuf");
    assert_eq!(checked.tally.samples, limits::SERIES);
    assert_eq!(checked.rejected.len(), 100);
    assert!(checked.rejected.iter().all(|rejected| rejected.reason == "series_limit"));
    assert_eq!(
        checked.rejected.iter().filter(|rejected| rejected.message.is_empty()).count(),
        100 - limits::MESSAGES
    );
}

/// Each breaks one rule of native histograms.
fn broken_histograms() -> Vec<(&'static str, Histogram)> {
    let good = histogram(1);
    let nhcb = custom(1);
    let float = Histogram {
        count: Some(Count::Float(1.5)),
        zero: Some(Zero::Float(0.5)),
        positive_counts: vec![1.0, -0.5, 0.5],
        positive_deltas: vec![],
        ..good.clone()
    };
    let spans = |offset, length| vec![Span { offset, length }];
    vec![
        ("schema", Histogram { schema: 127, ..good.clone() }),
        ("schema", Histogram { schema: -5, ..good.clone() }),
        ("schema", Histogram { schema: 53, ..good.clone() }),
        ("count", Histogram { count: Some(Count::Int(11)), ..good.clone() }),
        ("count", Histogram { count: Some(Count::Int(9)), sum: f64::NAN, ..good.clone() }),
        ("spans need", Histogram { positive_deltas: vec![1, 1], ..good.clone() }),
        ("spans need", Histogram { positive_spans: spans(0, u32::MAX), ..good.clone() }),
        (
            "spans need",
            Histogram { positive_spans: vec![Span { offset: 0, length: u32::MAX }; 5], ..good.clone() },
        ),
        (
            "negative offset",
            Histogram {
                positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: -1, length: 1 }],
                ..good.clone()
            },
        ),
        (
            "range",
            Histogram {
                positive_spans: vec![
                    Span { offset: i32::MAX, length: 2 },
                    Span { offset: i32::MAX, length: 1 },
                ],
                ..good.clone()
            },
        ),
        ("negative count", Histogram { positive_deltas: vec![1, -2, 1], ..good.clone() }),
        ("overflow", Histogram { positive_deltas: vec![i64::MAX, i64::MAX, 1], ..good.clone() }),
        ("overflow", Histogram { positive_deltas: vec![i64::MAX, 0, 0], ..good.clone() }),
        ("custom bounds", Histogram { bounds: vec![1.0], ..good.clone() }),
        ("flavour", Histogram { positive_counts: vec![1.0], ..good.clone() }),
        ("flavour", Histogram { zero: Some(Zero::Float(4.0)), ..good.clone() }),
        ("negative count", float.clone()),
        ("negative", Histogram { count: Some(Count::Float(-1.0)), positive_counts: vec![0.0; 3], ..float }),
        (
            "limit of 4096",
            Histogram { positive_deltas: vec![0; 4097], positive_spans: spans(0, 4097), ..good.clone() },
        ),
        ("limit of 4096", Histogram { positive_spans: vec![Span { offset: 0, length: 0 }; 4097], ..good }),
        ("NaN", Histogram { bounds: vec![0.5, f64::NAN], ..nhcb.clone() }),
        ("increase", Histogram { bounds: vec![0.5, 0.5], ..nhcb.clone() }),
        ("+Inf", Histogram { bounds: vec![0.5, f64::INFINITY], ..nhcb.clone() }),
        ("spans reach", Histogram { bounds: vec![0.5], ..nhcb.clone() }),
        ("spans reach", Histogram { positive_spans: spans(i32::MAX, 3), ..nhcb.clone() }),
        ("span offset", Histogram { positive_spans: spans(-1, 3), ..nhcb.clone() }),
        ("zero bucket", Histogram { zero: Some(Zero::Int(1)), ..nhcb.clone() }),
        ("zero bucket", Histogram { zero_threshold: 0.1, ..nhcb.clone() }),
        ("negative side", Histogram { negative_spans: spans(0, 0), ..nhcb }),
    ]
}

#[test]
fn a_broken_histogram_is_rejected_alone_by_both_versions() {
    for (text, broken) in broken_histograms() {
        let one =
            Series1 { histograms: vec![histogram(1), broken.clone()], ..series(&["__name__", "h"], &[]) };
        let bytes = request(vec![one]).encode_to_vec();
        let checked = v1_check(&bytes).expect("valid protobuf");
        assert_eq!((checked.tally.histograms, reasons(&checked)), (1, vec![(0, "histogram")]), "{broken:?}");
        assert!(checked.rejected[0].message.contains(text), "{text}: {}", checked.rejected[0].message);
        assert_eq!(read1(&checked.bytes).timeseries[0].histograms, [histogram(1)]);
        let mut build = Build::new();
        build.series(&["__name__", "h"]).histograms = vec![broken, histogram(1)];
        let (made, checked) = build.check();
        assert_eq!(reasons(&checked), [(0, "histogram")]);
        assert_eq!(made.timeseries[0].histograms, [histogram(1)]);
    }
}

#[test]
fn odd_but_valid_histograms_are_taken() {
    let good = histogram(1);
    for odd in [
        Histogram { count: Some(Count::Int(11)), sum: f64::NAN, ..good.clone() },
        Histogram { schema: 52, ..good.clone() },
        Histogram { schema: -4, ..good.clone() },
        Histogram { count: Some(Count::Int(99)), sum: f64::from_bits(STALE), ..good },
        Histogram { sum: f64::from_bits(STALE), timestamp: 1, ..Default::default() },
        Histogram { count: Some(Count::Float(0.0)), ..Default::default() },
        Histogram { schema: -53, ..Default::default() },
        Histogram::default(),
    ] {
        let bytes = request(vec![Series1 { histograms: vec![odd], ..series(&["__name__", "h"], &[]) }])
            .encode_to_vec();
        let checked = v1_check(&bytes).expect("valid protobuf");
        assert_eq!((checked.rejected, checked.tally.histograms), (vec![], 1));
    }
}

#[test]
fn points_of_one_series_are_gathered_under_one_label_set() {
    let mut build = Build::new();
    build.sample(&["__name__", "a", "x", "1"], 1.0, 1);
    build.sample(&["__name__", "b"], 2.0, 1);
    build.sample(&["__name__", "a", "x", "1"], f64::from_bits(STALE), 2);
    let refs = build.refs(&["trace_id", "abc"]);
    build.series(&["__name__", "a", "x", "1"]).exemplars.push(Exemplar2 {
        refs,
        value: 0.5f64.to_bits(),
        timestamp: 3,
    });
    let (made, checked) = build.check();
    assert_eq!(checked.tally, Counts { samples: 3, exemplars: 1, ..Default::default() });
    assert_eq!(made.timeseries.len(), 2);
    let first = &made.timeseries[0];
    assert_eq!(first.labels, labels(&["__name__", "a", "x", "1"]));
    assert_eq!(first.samples.iter().map(|s| s.value).collect::<Vec<_>>(), [1f64.to_bits(), STALE]);
    assert_eq!(
        first.exemplars,
        [Exemplar1 { labels: labels(&["trace_id", "abc"]), value: 0.5f64.to_bits(), timestamp: 3 }]
    );
}

#[test]
fn references_that_name_nothing_reject_their_series_alone() {
    let check = |refs: &[u32], text: &str| {
        let mut build = Build::new();
        build.sample(&["__name__", "up"], 1.0, 1);
        build.request.timeseries.push(Series2 {
            refs: refs.to_vec(),
            samples: vec![Sample2::default()],
            ..Default::default()
        });
        build.sample(&["__name__", "up"], 2.0, 2);
        let (made, checked) = build.check();
        assert_eq!(reasons(&checked), [(1, "refs")], "{refs:?}");
        assert_eq!(checked.rejected[0].message, format!("series 1: {text}"));
        assert_eq!(made.timeseries[0].samples.len(), 2);
    };
    check(&[1, 2, 1], "3 label references are odd");
    check(&[1, 3], "label reference 3 is beyond the 3 symbols");
    check(&[u32::MAX, 2], "label reference 4294967295 is beyond the 3 symbols");
}

#[test]
fn references_are_read_packed_and_loose() {
    let mut bytes = Vec::new();
    for symbol in ["", "__name__", "up", "a", "b"] {
        crate::put::bytes(&mut bytes, 4, symbol.as_bytes());
    }
    crate::put::message(&mut bytes, 5, |out| {
        crate::put::uint(out, 1, 1);
        crate::put::bytes(out, 1, &[2, 3]);
        crate::put::uint(out, 1, 4);
        crate::put::message(out, 2, |out| crate::put::uint(out, 2, 9));
    });
    let checked = v2_to_v1(&bytes).expect("valid protobuf");
    assert_eq!(
        read1(&checked.bytes),
        request(vec![series(&["__name__", "up", "a", "b"], &[sample(0.0, 9)])])
    );
}

#[test]
fn label_rules_hold_for_2_0_too() {
    let check = |pairs: &[&str], reason: &str| {
        let mut build = Build::new();
        build.sample(pairs, 1.0, 1);
        build.sample(&["z", "z", "__name__", "ok", "e", ""], 1.0, 1);
        let (made, checked) = build.check();
        assert_eq!(reasons(&checked), [(0, reason)]);
        assert_eq!(made, request(vec![series(&["__name__", "ok", "z", "z"], &[sample(1.0, 1)])]));
    };
    check(&["a", "b"], "metric_name");
    check(&[], "metric_name");
    check(&["__name__", ""], "metric_name");
    check(&["__name__", "up", "a", "1", "a", "2"], "label_duplicate");
    check(&["__name__", "up", "", "x"], "label_name");
    check(&["__name__", "up", "a", &"x".repeat((16 << 10) + 1)], "labels_limit");
    check(&["__name__", "x"].repeat(129), "labels_limit");
}

#[test]
fn samples_and_histograms_must_not_share_a_message_but_may_share_labels() {
    let mut build = Build::new();
    let mixed = build.series(&["__name__", "m"]);
    mixed.samples.push(Sample2::default());
    mixed.histograms.push(histogram(1));
    build.sample(&["__name__", "m"], 1.0, 1);
    build.series(&["__name__", "m"]).histograms.push(histogram(2));
    let (made, checked) = build.check();
    assert_eq!(reasons(&checked), [(0, "mixed")]);
    assert_eq!(made.timeseries.len(), 2);
    assert_eq!((made.timeseries[1].samples.len(), made.timeseries[0].histograms.len()), (1, 1));
}

#[test]
fn a_start_time_of_the_series_goes_to_points_without_their_own() {
    let mut build = Build::new();
    let one = build.series(&["__name__", "a"]);
    one.created = 100;
    one.samples = vec![Sample2 { start: 7, ..Default::default() }, Sample2::default()];
    let two = build.series(&["__name__", "h"]);
    two.created = 200;
    two.histograms = vec![
        Histogram { start: 9, private_start: 55, ..histogram(1) },
        Histogram { private_start: 55, ..histogram(2) },
    ];
    let (made, _) = build.check();
    assert_eq!(made.timeseries[0].samples.iter().map(|s| s.start).collect::<Vec<_>>(), [7, 100]);
    assert_eq!(
        made.timeseries[1].histograms.iter().map(|h| (h.start, h.private_start)).collect::<Vec<_>>(),
        [(0, 9), (0, 200)]
    );
}

#[test]
fn a_series_of_metadata_alone_becomes_a_metadata_entry() {
    let mut build = Build::new();
    let (help, unit) = (build.symbol("how many"), build.symbol("bytes"));
    build.series(&["__name__", "a", "x", "y"]).metadata = Some(Metadata2 { kind: 1, help, unit });
    let (made, checked) = build.check();
    let entry = MetricMetadata { kind: 1, family: "a".into(), help: "how many".into(), unit: "bytes".into() };
    assert_eq!(made, WriteRequest { timeseries: vec![], metadata: vec![entry] });
    assert_eq!(checked.tally, Counts { metadata: 1, ..Default::default() });
    build.series(&["__name__", "a"]).metadata = Some(Metadata2 { kind: 1, help: 99, unit });
    assert_eq!(reasons(&build.check().1), [(1, "refs")]);
}

#[test]
fn a_large_symbol_referenced_often_is_written_out_within_a_bound() {
    let mut build = Build::new();
    let long = "x".repeat(16 << 10);
    build.refs(&["__name__", "up", "a", &long, "b"]);
    for i in 0..20_000 {
        build.request.symbols.push(format!("{i}"));
        let refs = vec![1, 2, 3, 4, 5, 6 + i];
        build.request.timeseries.push(Series2 {
            refs,
            samples: vec![Sample2::default()],
            ..Default::default()
        });
    }
    let bytes = build.request.encode_to_vec();
    let checked = v2_to_v1(&bytes).expect("valid protobuf");
    assert!(checked.bytes.len() < limits::MATERIALISED_BYTES + (4 << 20), "{}", checked.bytes.len());
    assert!(checked.rejected.iter().any(|rejected| rejected.reason == "amplification"));
    assert!(checked.tally.samples > 1000);
}

#[test]
fn too_many_symbols_refuse_the_request() {
    let mut bytes = Vec::new();
    for _ in 0..=limits::SYMBOLS {
        crate::put::bytes(&mut bytes, 4, b"");
    }
    assert_eq!(v2_to_v1(&bytes), Err(crate::WireError::TooMany(limits::SYMBOLS)));
}

#[test]
fn a_body_of_the_other_version_gives_nothing() {
    let one = request(vec![series(&["__name__", "up"], &[sample(1.0, 1)])]).encode_to_vec();
    assert_eq!(v2_to_v1(&one).expect("valid protobuf").tally, Counts::default());
    let mut build = Build::new();
    build.sample(&["__name__", "up"], 1.0, 1);
    let bytes = build.request.encode_to_vec();
    assert_eq!(v1_check(&bytes).expect("valid protobuf").tally, Counts::default());
}

#[test]
fn a_peer_of_1_0_gets_no_private_field_and_the_losses_are_counted() {
    let mut build = Build::new();
    let (help, none) = (build.symbol("h"), 0);
    let one = build.series(&["__name__", "lat_bucket", "le", "1"]);
    one.samples = vec![Sample2 { value: 1f64.to_bits(), timestamp: 2, start: 1 }];
    one.metadata = Some(Metadata2 { kind: 3, help, unit: none });
    let two = build.series(&["__name__", "lat_count"]);
    two.samples = vec![Sample2 { value: 1f64.to_bits(), timestamp: 2, start: 0 }];
    two.metadata = Some(Metadata2 { kind: 3, help, unit: none });
    build.series(&["__name__", "nhcb"]).histograms = vec![custom(1), Histogram { start: 5, ..custom(2) }];
    build.series(&["__name__", "nh"]).histograms = vec![Histogram { start: 5, ..histogram(1) }];
    let (_, checked) = build.check();
    let (stripped, losses) = strip_to_v1(&checked.bytes).expect("valid protobuf");
    let made = read1(&stripped);
    assert_eq!(
        made,
        WriteRequest {
            timeseries: vec![
                series(&["__name__", "lat_bucket", "le", "1"], &[sample(1.0, 2)]),
                series(&["__name__", "lat_count"], &[sample(1.0, 2)]),
                Series1 { histograms: vec![histogram(1)], ..series(&["__name__", "nh"], &[]) },
            ],
            metadata: vec![MetricMetadata {
                kind: 3,
                family: "lat".into(),
                help: "h".into(),
                unit: String::new()
            }],
        }
    );
    assert_eq!(losses.iter().collect::<Vec<_>>(), [(Loss::CustomBuckets, 2), (Loss::Start, 3)]);
    let checked = v1_check(&stripped).expect("valid protobuf");
    assert!(matches!(checked.bytes, Cow::Borrowed(_)));
}

#[test]
fn metadata_entries_find_their_series_in_2_0() {
    let entry = |family: &str| MetricMetadata {
        kind: 1,
        family: family.into(),
        help: "h".into(),
        unit: String::new(),
    };
    let plain = WriteRequest {
        timeseries: vec![series(&["__name__", "req_total"], &[sample(1.0, 1)])],
        metadata: vec![entry("req"), entry("alone")],
    }
    .encode_to_vec();
    let made = read2(&v1_to_v2(&plain).expect("valid protobuf"));
    let points = points2(&made);
    let expected: Vec<_> = [("alone"), ("req_total")]
        .map(|name| (labels(&["__name__", name]), (1, "h".to_owned(), String::new())))
        .into();
    assert_eq!(points.metadata.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(made.symbols[0], "");
}

#[test]
fn exemplars_and_histograms_of_1_0_are_kept_in_2_0() {
    let plain = request(vec![Series1 {
        exemplars: vec![Exemplar1 {
            labels: labels(&["trace_id", "é"]),
            value: (-0.0f64).to_bits(),
            timestamp: 5,
        }],
        histograms: vec![histogram(1)],
        ..series(&["__name__", "m", "a", "b"], &[sample(f64::from_bits(STALE), 1)])
    }])
    .encode_to_vec();
    let points = points2(&read2(&v1_to_v2(&plain).expect("valid protobuf")));
    let key = labels(&["__name__", "m", "a", "b"]);
    assert_eq!(points.samples[&key], [(1, STALE, 0)]);
    assert_eq!(points.histograms[&key], [histogram(1)]);
    assert_eq!(points.exemplars[&key], [(labels(&["trace_id", "é"]), (-0.0f64).to_bits(), 5)]);
}

fn any_series() -> impl Strategy<Value = Series2Plan> {
    let value = prop_oneof![
        Just(f64::from_bits(STALE)),
        Just(-0.0),
        Just(f64::from_bits(0x7ff8_0000_0000_0001)),
        any::<u64>().prop_map(f64::from_bits)
    ];
    let samples = prop::collection::vec((value, any::<i64>(), prop_oneof![Just(0), any::<i64>()]), 0..4);
    let exemplar_labels = prop::collection::vec(("[a-z]{1,3}", "[a-zé]{0,4}"), 0..3);
    (
        prop::collection::btree_map("[a-c]{1,2}", "[x-zé]{1,3}", 0..4),
        "[a-z_.é]{1,4}",
        samples,
        prop::collection::vec((exemplar_labels, any::<u64>(), any::<i64>()), 0..3),
        prop::option::of((1i32..8, "[a-zé]{0,3}", "[a-z]{0,2}")),
        prop_oneof![Just(0), 1i64..1000],
        prop::collection::vec((any::<bool>(), 0i64..3), 0..2),
    )
        .prop_map(|(labels, name, samples, exemplars, metadata, created, histograms)| Series2Plan {
            labels,
            name,
            samples: if histograms.is_empty() { samples } else { vec![] },
            exemplars,
            metadata,
            created,
            histograms,
        })
}

type ExemplarPlan = (Vec<(String, String)>, u64, i64);

#[derive(Debug)]
struct Series2Plan {
    labels: BTreeMap<String, String>,
    name: String,
    samples: Vec<(f64, i64, i64)>,
    exemplars: Vec<ExemplarPlan>,
    metadata: Option<(i32, String, String)>,
    created: i64,
    histograms: Vec<(bool, i64)>,
}

fn build(plans: &[Series2Plan]) -> Request2 {
    let mut build = Build::new();
    for (i, plan) in plans.iter().enumerate() {
        // One metadata per series is all that 1.0's grouping keeps, so names with it are made distinct.
        let name = if plan.metadata.is_some() { format!("{}{i}", plan.name) } else { plan.name.clone() };
        let mut pairs = vec!["__name__", &name];
        pairs.extend(plan.labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
        let exemplars = plan
            .exemplars
            .iter()
            .map(|(labels, value, timestamp)| {
                let refs = labels
                    .iter()
                    .flat_map(|(name, value)| [build.symbol(name), build.symbol(value)])
                    .collect();
                Exemplar2 { refs, value: *value, timestamp: *timestamp }
            })
            .collect();
        let metadata = plan.metadata.as_ref().map(|(kind, help, unit)| Metadata2 {
            kind: *kind,
            help: build.symbol(help),
            unit: build.symbol(unit),
        });
        let series = build.series(&pairs);
        series.samples = plan
            .samples
            .iter()
            .map(|&(value, timestamp, start)| Sample2 { value: value.to_bits(), timestamp, start })
            .collect();
        series.exemplars = exemplars;
        series.created = plan.created;
        let histograms = plan.histograms.iter().map(|&(is_custom, start)| Histogram {
            start,
            ..if is_custom { custom(start) } else { histogram(start) }
        });
        series.histograms = histograms.collect();
        let points = series.samples.len() + series.exemplars.len() + series.histograms.len();
        series.metadata = metadata.filter(|_| points > 0);
    }
    build.request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn points_of_2_0_survive_1_0_and_back(plans in prop::collection::vec(any_series(), 0..8)) {
        let request = build(&plans);
        let checked = v2_to_v1(&request.encode_to_vec()).expect("valid protobuf");
        prop_assert_eq!(&checked.rejected, &[]);
        let points = points2(&request);
        let samples: usize = points.samples.values().map(Vec::len).sum();
        prop_assert_eq!(checked.tally.samples as usize, samples);
        prop_assert_eq!(crate::batch::count(Signal::Metrics, Layout::RemoteWrite, &checked.bytes), Ok(checked.tally));
        let back = v1_to_v2(&checked.bytes).expect("valid protobuf");
        prop_assert_eq!(points2(&read2(&back)), points);
        let again = v2_to_v1(&back).expect("valid protobuf");
        prop_assert_eq!(again.tally, checked.tally);
        prop_assert_eq!(again.rejected, vec![]);
    }

    #[test]
    fn what_was_stripped_is_clean(plans in prop::collection::vec(any_series(), 0..8)) {
        let checked = v2_to_v1(&build(&plans).encode_to_vec()).expect("valid protobuf");
        let (stripped, _) = strip_to_v1(&checked.bytes).expect("valid protobuf");
        prop_assert!(!has_private(&stripped).expect("valid protobuf"));
        let rewritten = matches!(v1_check(&checked.bytes).expect("valid protobuf").bytes, Cow::Owned(_));
        prop_assert_eq!(has_private(&checked.bytes).expect("valid protobuf"), rewritten);
        let again = v1_check(&stripped).expect("valid protobuf");
        prop_assert!(matches!(again.bytes, Cow::Borrowed(_)));
        prop_assert_eq!(again.tally.samples, checked.tally.samples);
        prop_assert_eq!(again.tally.exemplars, checked.tally.exemplars);
    }

    #[test]
    fn the_quick_way_agrees_with_the_long_one(pairs in prop::collection::vec(("[a-c_]{0,2}|__name__", "[a-bé]{0,2}"), 0..5), value: f64, time: i64, extra in prop::option::of(0u32..2000)) {
        let labels: Vec<Label> = pairs.into_iter().map(|(name, value)| Label { name, value }).collect();
        let one = Series1 { labels, samples: vec![sample(value, time)], ..Default::default() };
        let plain = request(vec![one.clone()]).encode_to_vec();
        // A second copy with an unknown field must take the long way; both must come out alike.
        let mut slow = one.encode_to_vec();
        crate::put::uint(&mut slow, 900 + extra.unwrap_or(0) % 50, 1);
        let mut request = Vec::new();
        crate::put::bytes(&mut request, 1, &slow);
        let (quick, long) = (v1_check(&plain).expect("valid"), v1_check(&request).expect("valid"));
        prop_assert_eq!(quick.tally, long.tally);
        prop_assert_eq!(&quick.rejected, &long.rejected);
        prop_assert_eq!(crate::batch::count(Signal::Metrics, Layout::RemoteWrite, &quick.bytes), Ok(quick.tally));
        let (quick, long) = (read1(&quick.bytes), read1(&long.bytes));
        prop_assert_eq!(quick.encode_to_vec(), long.encode_to_vec());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_all(&bytes);
    }

    #[test]
    fn damaged_requests_never_panic(plans in prop::collection::vec(any_series(), 1..4), at in any::<prop::sample::Index>(), byte: u8) {
        let mut two = build(&plans).encode_to_vec();
        let mut one = v2_to_v1(&two).expect("valid protobuf").bytes.into_owned();
        for bytes in [&mut one, &mut two] {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            try_all(bytes);
        }
    }
}

fn try_all(bytes: &[u8]) {
    for checked in [v2_to_v1(bytes), v1_check(bytes)].into_iter().flatten() {
        v1_to_v2(&checked.bytes).expect("what was checked is translated");
        strip_to_v1(&checked.bytes).expect("what was checked is stripped");
    }
    let _ = (v1_to_v2(bytes), strip_to_v1(bytes));
}
