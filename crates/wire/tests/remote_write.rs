//! Views ≡ prost for remote-write: the messages are defined here from the published field numbers, apart from the views.
#![allow(clippy::unwrap_used, reason = "what a test made itself is sound, or the test fails")]

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use tidegate_wire::rw::{self, private, v1, v2};
use tidegate_wire::{Counts, Layout, Signal, batch};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetricMetadata>,
    #[prost(bytes, tag = "1500")]
    intruder: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
    #[prost(message, optional, tag = "1001")]
    metadata: Option<MetricMetadata>,
    #[prost(message, repeated, tag = "1002")]
    custom: Vec<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(uint32, tag = "1777")]
    intruder: u32,
}

/// The value as fixed64, so that the bits of a NaN compare.
#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(fixed64, tag = "1")]
    value: u64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "1003")]
    start: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(fixed64, tag = "2")]
    value: u64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct MetricMetadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(oneof = "Number", tags = "1, 2")]
    count: Option<Number>,
    #[prost(fixed64, tag = "3")]
    sum: u64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(fixed64, tag = "5")]
    zero_threshold: u64,
    #[prost(oneof = "ZeroNumber", tags = "6, 7")]
    zero_count: Option<ZeroNumber>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(fixed64, repeated, packed = "false", tag = "10")]
    negative_counts: Vec<u64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(fixed64, repeated, tag = "13")]
    positive_counts: Vec<u64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(fixed64, repeated, tag = "16")]
    custom_values: Vec<u64>,
    #[prost(int64, tag = "17")]
    start_v2: i64,
    #[prost(int64, tag = "1003")]
    start_v1: i64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Number {
    #[prost(uint64, tag = "1")]
    Int(u64),
    #[prost(fixed64, tag = "2")]
    Float(u64),
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ZeroNumber {
    #[prost(uint64, tag = "6")]
    Int(u64),
    #[prost(fixed64, tag = "7")]
    Float(u64),
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeries2>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries2 {
    #[prost(uint32, repeated, tag = "1")]
    refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample2>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<Exemplar2>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<Metadata2>,
    #[prost(int64, tag = "6")]
    created: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample2 {
    #[prost(fixed64, tag = "1")]
    value: u64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Exemplar2 {
    #[prost(uint32, repeated, packed = "false", tag = "1")]
    refs: Vec<u32>,
    #[prost(fixed64, tag = "2")]
    value: u64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata2 {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help: u32,
    #[prost(uint32, tag = "4")]
    unit: u32,
}

// What prost encodes.

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zé漢]{1,6}", "[a-z]{120,140}"]
}

/// Bits of doubles, stale markers among them.
fn bits() -> impl Strategy<Value = u64> {
    prop_oneof![Just(rw::STALE), Just(0x7ff8_0000_0000_0001), any::<u64>()]
}

fn labels() -> impl Strategy<Value = Vec<Label>> {
    vec((text(), text()).prop_map(|(name, value)| Label { name, value, intruder: 0 }), 0..4)
}

fn histogram() -> impl Strategy<Value = Histogram> {
    let spans =
        || vec((any::<i32>(), any::<u32>()).prop_map(|(offset, length)| BucketSpan { offset, length }), 0..3);
    let count = prop_oneof![any::<u64>().prop_map(Number::Int), bits().prop_map(Number::Float)];
    let zero = prop_oneof![any::<u64>().prop_map(ZeroNumber::Int), bits().prop_map(ZeroNumber::Float)];
    let scalars = (bits(), any::<i32>(), bits(), any::<i32>(), any::<i64>(), any::<i64>(), any::<i64>());
    let counts = (
        vec(any::<i64>(), 0..4),
        vec(any::<i64>(), 0..4),
        vec(bits(), 0..4),
        vec(bits(), 0..4),
        vec(bits(), 0..4),
    );
    let numbers = (proptest::option::of(count), proptest::option::of(zero));
    (scalars, counts, numbers, spans(), spans()).prop_map(|(s, c, n, negative_spans, positive_spans)| {
        Histogram {
            count: n.0,
            zero_count: n.1,
            sum: s.0,
            schema: s.1,
            zero_threshold: s.2,
            reset_hint: s.3,
            timestamp: s.4,
            start_v1: s.5,
            start_v2: s.6,
            negative_deltas: c.0,
            positive_deltas: c.1,
            negative_counts: c.2,
            positive_counts: c.3,
            custom_values: c.4,
            negative_spans,
            positive_spans,
        }
    })
}

fn metadata() -> impl Strategy<Value = MetricMetadata> {
    (any::<i32>(), text(), text(), text()).prop_map(|(kind, family, help, unit)| MetricMetadata {
        kind,
        family,
        help,
        unit,
    })
}

fn request() -> impl Strategy<Value = WriteRequest> {
    let sample = (bits(), any::<i64>(), any::<i64>()).prop_map(|(value, timestamp, start)| Sample {
        value,
        timestamp,
        start,
    });
    let exemplar = (labels(), bits(), any::<i64>()).prop_map(|(labels, value, timestamp)| Exemplar {
        labels,
        value,
        timestamp,
    });
    let series = (
        labels(),
        vec(sample, 0..3),
        vec(exemplar, 0..2),
        vec(histogram(), 0..2),
        proptest::option::of(metadata()),
        vec(histogram(), 0..2),
    )
        .prop_map(|(labels, samples, exemplars, histograms, metadata, custom)| TimeSeries {
            labels,
            samples,
            exemplars,
            histograms,
            metadata,
            custom,
        });
    (vec(series, 0..4), vec(metadata(), 0..3)).prop_map(|(timeseries, metadata)| WriteRequest {
        timeseries,
        metadata,
        intruder: Vec::new(),
    })
}

fn request2() -> impl Strategy<Value = Request> {
    let refs = || vec(0u32..8, 0..6);
    let sample = (bits(), any::<i64>(), any::<i64>()).prop_map(|(value, timestamp, start)| Sample2 {
        value,
        timestamp,
        start,
    });
    let exemplar = (refs(), bits(), any::<i64>()).prop_map(|(refs, value, timestamp)| Exemplar2 {
        refs,
        value,
        timestamp,
    });
    let metadata = (any::<i32>(), any::<u32>(), any::<u32>()).prop_map(|(kind, help, unit)| Metadata2 {
        kind,
        help,
        unit,
    });
    let series = (
        refs(),
        vec(sample, 0..3),
        vec(histogram(), 0..2),
        vec(exemplar, 0..2),
        proptest::option::of(metadata),
        any::<i64>(),
    )
        .prop_map(|(refs, samples, histograms, exemplars, metadata, created)| TimeSeries2 {
            refs,
            samples,
            histograms,
            exemplars,
            metadata,
            created,
        });
    (vec(text(), 0..7), vec(series, 0..4)).prop_map(|(symbols, timeseries)| Request { symbols, timeseries })
}

// What the views read.

fn read_labels(labels: v1::Labels<'_>) -> Vec<Label> {
    labels
        .map(|label| {
            let (name, value) = label.unwrap();
            Label { name: name.into(), value: value.into(), intruder: 0 }
        })
        .collect()
}

/// `start` tells where the start stands; the other place is taken from `expected`, for the view does not read it.
fn read_histogram(view: rw::Histogram<'_>, expected: &Histogram, first: bool) -> Histogram {
    let span = |span: Result<rw::Span, _>| {
        let rw::Span { offset, length } = span.unwrap();
        BucketSpan { offset, length }
    };
    Histogram {
        count: view.count.map(|count| match count {
            rw::Count::Int(count) => Number::Int(count),
            rw::Count::Float(bits) => Number::Float(bits),
        }),
        zero_count: view.zero_count.map(|count| match count {
            rw::Count::Int(count) => ZeroNumber::Int(count),
            rw::Count::Float(bits) => ZeroNumber::Float(bits),
        }),
        sum: view.sum_bits,
        schema: view.schema,
        zero_threshold: view.zero_threshold,
        reset_hint: view.reset_hint,
        timestamp: view.timestamp,
        start_v1: if first { view.start } else { expected.start_v1 },
        start_v2: if first { expected.start_v2 } else { view.start },
        negative_deltas: view.negative_deltas().map(Result::unwrap).collect(),
        positive_deltas: view.positive_deltas().map(Result::unwrap).collect(),
        negative_counts: view.negative_counts().map(Result::unwrap).collect(),
        positive_counts: view.positive_counts().map(Result::unwrap).collect(),
        custom_values: view.custom_values().map(Result::unwrap).collect(),
        negative_spans: view.negative_spans().map(span).collect(),
        positive_spans: view.positive_spans().map(span).collect(),
    }
}

fn read_metadata(view: v1::Metadata<'_>) -> MetricMetadata {
    MetricMetadata {
        kind: view.kind,
        family: view.family.into(),
        help: view.help.into(),
        unit: view.unit.into(),
    }
}

/// Every item with its labels, in the order of `batch`.
fn items(request: &WriteRequest) -> Vec<String> {
    let mut items = Vec::new();
    for series in &request.timeseries {
        let around = format!("{:?} {:?}", series.labels, series.metadata);
        items.extend(series.samples.iter().map(|sample| format!("{around} {sample:?}")));
        items.extend(series.exemplars.iter().map(|exemplar| format!("{around} {exemplar:?}")));
        items.extend(series.histograms.iter().map(|histogram| format!("{around} {histogram:?}")));
        items.extend(series.custom.iter().map(|histogram| format!("{around} custom {histogram:?}")));
    }
    items.extend(request.metadata.iter().map(|entry| format!("{entry:?}")));
    items
}

const HERE: (Signal, Layout) = (Signal::Metrics, Layout::RemoteWrite);

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_of_1_0_read_as_prost_reads_them(message in request()) {
        let plain = message.encode_to_vec();
        let entries: Vec<_> = v1::metadata(&plain).map(|entry| read_metadata(entry.unwrap())).collect();
        prop_assert_eq!(&entries, &message.metadata);
        let mut found = 0;
        for (view, series) in v1::series(&plain).zip(&message.timeseries) {
            let view = view.unwrap();
            found += 1;
            prop_assert_eq!(read_labels(view.labels()), series.labels.clone());
            let samples = view.samples().map(|sample| {
                let sample = sample.unwrap();
                Sample { value: sample.value_bits, timestamp: sample.timestamp, start: sample.start }
            });
            prop_assert_eq!(samples.collect::<Vec<_>>(), series.samples.clone());
            let expected: Vec<_> = series.histograms.iter().chain(&series.custom).cloned().collect();
            let histograms = view.histograms().zip(&expected).map(|(view, expected)| read_histogram(view.unwrap(), expected, true));
            prop_assert_eq!(histograms.collect::<Vec<_>>(), expected.clone());
            let exemplars = view.exemplars().map(|exemplar| {
                let exemplar = exemplar.unwrap();
                Exemplar { labels: read_labels(exemplar.labels()), value: exemplar.value_bits, timestamp: exemplar.timestamp }
            });
            prop_assert_eq!(exemplars.collect::<Vec<_>>(), series.exemplars.clone());
            prop_assert_eq!(view.metadata().unwrap().map(read_metadata), series.metadata.clone());
        }
        prop_assert_eq!(found, message.timeseries.len());
    }

    #[test]
    fn requests_of_2_0_read_as_prost_reads_them(message in request2()) {
        let plain = message.encode_to_vec();
        let symbols = v2::Symbols::read(&plain).unwrap();
        let texts: Vec<_> = (0..symbols.len() as u32).map(|index| symbols.get(index).unwrap().to_owned()).collect();
        prop_assert_eq!(&texts, &message.symbols);
        let mut read = Vec::new();
        for (view, expected) in v2::series(&plain).zip(&message.timeseries) {
            let view = view.unwrap();
            let mut at = 0;
            for label in view.labels().resolve(&symbols) {
                let get = |index: usize| expected.refs.get(index).map(|&reference| texts.get(reference as usize));
                match label.unwrap() {
                    v2::Label::Pair(name, value) => {
                        prop_assert_eq!(get(at).flatten().map(String::as_str), Some(name));
                        prop_assert_eq!(get(at + 1).flatten().map(String::as_str), Some(value));
                    }
                    v2::Label::Odd => prop_assert_eq!(get(at + 1), None),
                    v2::Label::Beyond(reference) => {
                        prop_assert!(reference as usize >= texts.len());
                        prop_assert!(expected.refs[at..at + 2].contains(&reference));
                    }
                }
                at += 2;
            }
            prop_assert_eq!(at, expected.refs.len().next_multiple_of(2));
            read.push(TimeSeries2 {
                refs: view.labels().refs().map(Result::unwrap).collect(),
                samples: view.samples().map(|sample| {
                    let sample = sample.unwrap();
                    Sample2 { value: sample.value_bits, timestamp: sample.timestamp, start: sample.start }
                }).collect(),
                histograms: view.histograms().zip(&expected.histograms)
                    .map(|(view, expected)| read_histogram(view.unwrap(), expected, false)).collect(),
                exemplars: view.exemplars().map(|exemplar| {
                    let exemplar = exemplar.unwrap();
                    Exemplar2 {
                        refs: exemplar.labels().refs().map(Result::unwrap).collect(),
                        value: exemplar.value_bits,
                        timestamp: exemplar.timestamp,
                    }
                }).collect(),
                metadata: view.metadata.map(|found| Metadata2 { kind: found.kind, help: found.help_ref, unit: found.unit_ref }),
                created: view.start,
            });
        }
        prop_assert_eq!(read, message.timeseries);
    }

    #[test]
    fn cut_requests_lose_nothing(one in request(), two in request(), at in any::<u32>(), size in 1usize..1000) {
        let plain = [one.encode_to_vec(), two.encode_to_vec()].concat();
        let union = WriteRequest::decode(&plain[..]).unwrap();
        let whole = batch::count(HERE.0, HERE.1, &plain).unwrap();
        let mut expected = Counts { metadata: union.metadata.len() as u32, ..Counts::default() };
        for series in &union.timeseries {
            expected.samples += series.samples.len() as u32;
            expected.exemplars += series.exemplars.len() as u32;
            expected.histograms += (series.histograms.len() + series.custom.len()) as u32;
        }
        prop_assert_eq!(whole, expected);
        prop_assert_eq!(&batch::slice(HERE.0, HERE.1, &plain, 0..whole.total()).unwrap(), &plain);
        let at = at % (whole.total() + 1);
        let parts = [0..at, at..whole.total()].map(|range| batch::slice(HERE.0, HERE.1, &plain, range).unwrap());
        let mut sum = batch::count(HERE.0, HERE.1, &parts[0]).unwrap();
        prop_assert_eq!(sum.total(), at);
        sum += batch::count(HERE.0, HERE.1, &parts[1]).unwrap();
        prop_assert_eq!(sum, whole);
        prop_assert_eq!(items(&WriteRequest::decode(&parts.concat()[..]).unwrap()), items(&union));
        let mut joined = Vec::new();
        for range in batch::split(HERE.0, HERE.1, &plain, 4, size).unwrap() {
            let piece = batch::slice(HERE.0, HERE.1, &plain, range.clone()).unwrap();
            prop_assert!(range.len() <= 4 && (range.len() == 1 || piece.len() <= size));
            joined.extend(piece);
        }
        prop_assert_eq!(items(&WriteRequest::decode(&joined[..]).unwrap()), items(&union));
    }

    #[test]
    fn private_fields_from_outside_are_removed_and_nothing_else(mut message in request(), intruder in vec(any::<u8>(), 0..3)) {
        let mut clean = message.clone();
        for series in &mut clean.timeseries {
            series.metadata = None;
            series.custom.clear();
            series.samples.iter_mut().for_each(|sample| sample.start = 0);
            series.histograms.iter_mut().for_each(|histogram| histogram.start_v1 = 0);
        }
        message.intruder = intruder;
        for series in &mut message.timeseries {
            series.labels.iter_mut().for_each(|label| label.intruder = 7);
            series.exemplars.iter_mut().flat_map(|e| &mut e.labels).for_each(|label| label.intruder = 7);
        }
        let plain = message.encode_to_vec();
        let stripped = rw::strip_private(&plain).unwrap();
        prop_assert_eq!(WriteRequest::decode(&stripped[..]).unwrap(), clean.clone());
        let clean = clean.encode_to_vec();
        prop_assert!(matches!(rw::strip_private(&clean).unwrap(), std::borrow::Cow::Borrowed(_)));
    }
}

#[test]
fn the_private_numbers_are_those_that_old_frames_have() {
    // Frames in the journal outlive a version, so these never change.
    assert_eq!((private::SERIES_METADATA, private::CUSTOM_HISTOGRAM, private::START), (1001, 1002, 1003));
}

#[test]
fn a_large_symbol_referred_to_a_million_times_is_not_copied() {
    let request = Request {
        symbols: vec![String::new(), "x".repeat(1 << 20)],
        timeseries: vec![TimeSeries2 { refs: vec![1; 1_000_000], ..TimeSeries2::default() }],
    };
    let plain = request.encode_to_vec();
    let symbols = v2::Symbols::read(&plain).unwrap();
    let series = v2::series(&plain).next().unwrap().unwrap();
    let mut pairs = 0;
    for label in series.labels().resolve(&symbols) {
        let v2::Label::Pair(name, value) = label.unwrap() else { panic!("both are in the table") };
        assert!(plain.as_ptr_range().contains(&name.as_ptr()) && std::ptr::eq(name, value));
        pairs += 1;
    }
    assert_eq!(pairs, 500_000);
}

#[test]
fn references_beyond_the_table_and_odd_ones_are_named() {
    let request = Request {
        symbols: vec![String::new(), "a".into()],
        timeseries: vec![TimeSeries2 { refs: vec![1, 0, 1, u32::MAX, 2, 1, 1], ..TimeSeries2::default() }],
    };
    let plain = request.encode_to_vec();
    let symbols = v2::Symbols::read(&plain).unwrap();
    let series = v2::series(&plain).next().unwrap().unwrap();
    let labels: Vec<_> = series.labels().resolve(&symbols).map(Result::unwrap).collect();
    assert_eq!(
        labels,
        [v2::Label::Pair("a", ""), v2::Label::Beyond(u32::MAX), v2::Label::Beyond(2), v2::Label::Odd]
    );
}
