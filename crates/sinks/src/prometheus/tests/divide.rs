//! Dividing a parcel by series.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use wire::put;
use wire::rw::v1;
use wire::translate::otlp_to_rw;
use wire::walk::fields;

use super::shards::{Identity, count, identity, recipe};
use super::*;
use crate::prometheus::lot;

/// What a request says of each series, in order: the series' fields but for its labels.
fn by_series(plain: &[u8]) -> BTreeMap<Identity, Vec<Vec<u8>>> {
    let mut found: BTreeMap<Identity, Vec<Vec<u8>>> = BTreeMap::new();
    for series in v1::series(plain) {
        let series = series.unwrap();
        let raw = series.raw;
        let said = fields(raw).map(|field| field.unwrap()).filter(|field| field.number != 1);
        let said = said.map(|field| raw[field.start..field.end].to_vec());
        found.entry(identity(&series)).or_default().extend(said);
    }
    found
}

/// Of each shard the plain bytes; no series may be in two of them.
fn plains(parcel: &Parcel, shards: u32) -> BTreeMap<usize, Bytes> {
    let (lots, _) = lot::split(parcel, &recipe(), shards).unwrap();
    let (mut met, mut plains) = (BTreeSet::new(), BTreeMap::new());
    for (shard, lot) in lots {
        let plain = lot.parcel.plain().unwrap();
        assert!(shard < shards as usize);
        assert_eq!((lot.items(), lot.items() > 0), (count(&plain).total(), true));
        for series in by_series(&plain).into_keys() {
            assert!(met.insert(series), "a series lies in two shards");
        }
        assert!(plains.insert(shard, plain).is_none());
    }
    plains
}

/// What all shards say together is what one request says, of each series in the same order.
fn check(whole: &[u8], plains: &BTreeMap<usize, Bytes>) {
    let mut together = BTreeMap::new();
    for plain in plains.values() {
        together.extend(by_series(plain));
    }
    let all = by_series(whole);
    // A shard of series without items is nothing to send.
    let is_item = |said: &Vec<u8>| {
        let number = fields(said).next().unwrap().unwrap().number;
        matches!(number, 2 | 3 | 4 | wire::rw::private::CUSTOM_HISTOGRAM)
    };
    for (series, said) in &all {
        match together.get(series) {
            Some(here) => assert_eq!(here, said),
            None => assert!(!said.iter().any(is_item)),
        }
    }
    assert!(together.keys().all(|series| all.contains_key(series)));
    let metadata = |plain: &[u8]| -> Vec<String> {
        v1::metadata(plain).map(|one| one.unwrap().family.to_owned()).collect()
    };
    let first = plains.get(&0).map_or(&[][..], |plain| plain);
    assert_eq!(metadata(first), metadata(whole), "the first shard has what is of no series");
    assert_eq!(plains.values().map(|plain| count(plain).total()).sum::<u32>(), count(whole).total());
}

#[derive(Debug, Clone)]
enum Piece {
    Series { labels: Vec<(u8, u8)>, items: Vec<(u32, u8)> },
    Metadata(u8),
}

fn piece() -> impl Strategy<Value = Piece> {
    // Few series, so that one comes several times; 0 is a label without a value, as if it were not there.
    let labels = (0u8..5, 0u8..2).prop_map(|(names, absent)| {
        let named = (0..names).map(|name| (name, 1 + name % 2));
        named.chain((0..absent).map(|_| (9, 0))).collect()
    });
    let number = prop::sample::select(vec![2u32, 3, 4, wire::rw::private::CUSTOM_HISTOGRAM, 1001, 7]);
    let items = prop::collection::vec((number, any::<u8>()), 0..4);
    prop_oneof![
        4 => (labels, items).prop_map(|(labels, items)| Piece::Series { labels, items }),
        1 => any::<u8>().prop_map(Piece::Metadata),
    ]
}

fn request(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Metadata(family) => {
                put::message(&mut out, 3, |out| put::bytes(out, 2, &[b'a' + family % 26]));
            }
            Piece::Series { labels, items } => put::message(&mut out, 1, |out| {
                let mut labels = labels.clone();
                let by = number % labels.len().max(1);
                labels.rotate_left(by);
                for (name, value) in labels {
                    put::message(out, 1, |out| {
                        put::bytes(out, 1, &[b'a' + name]);
                        put::bytes(out, 2, &b"xy"[..usize::from(value)]);
                    });
                }
                for (number, value) in items {
                    put::message(out, *number, |out| put::uint(out, 2, u64::from(*value)));
                }
            }),
        }
    }
    out
}

/// A request of OTLP: gauges and histograms of resources that share their series' names.
fn points(resources: &[Vec<(u8, u8, bool)>]) -> Vec<u8> {
    use crate::fixture::text;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
        number_data_point,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use prost::Message;
    let metric = |&(name, time, is_histogram): &(u8, u8, bool)| {
        let time_unix_nano = crate::fixture::START.0 + u64::from(time) * 1_000_000;
        let attributes = vec![text("a", &(time % 3).to_string())];
        let data = if is_histogram {
            metric::Data::Histogram(Histogram {
                data_points: vec![HistogramDataPoint {
                    attributes,
                    time_unix_nano,
                    count: 3,
                    sum: Some(1.0),
                    bucket_counts: vec![1, 2],
                    explicit_bounds: vec![f64::from(name)],
                    ..HistogramDataPoint::default()
                }],
                aggregation_temporality: 2,
            })
        } else {
            let value = Some(number_data_point::Value::AsDouble(f64::from(time)));
            let point = NumberDataPoint { attributes, time_unix_nano, value, ..NumberDataPoint::default() };
            metric::Data::Gauge(Gauge { data_points: vec![point] })
        };
        Metric { name: format!("metric.{name}"), data: Some(data), ..Metric::default() }
    };
    let resource = |(number, metrics): (usize, &Vec<(u8, u8, bool)>)| ResourceMetrics {
        resource: Some(Resource {
            attributes: vec![text("service.name", "shop"), text("zone", &(number % 2).to_string())],
            ..Resource::default()
        }),
        scope_metrics: vec![ScopeMetrics {
            metrics: metrics.iter().map(metric).collect(),
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    let resource_metrics = resources.iter().enumerate().map(resource).collect();
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn dividing_samples_loses_nothing_doubles_nothing_and_keeps_every_series_in_order(
        requests in prop::collection::vec(prop::collection::vec(piece(), 0..12), 1..4),
        shards in 1u32..=64,
    ) {
        let requests: Vec<Vec<u8>> = requests.iter().map(|pieces| request(pieces)).collect();
        let frames = requests.iter().zip(1..);
        let frames = frames.map(|(plain, offset)| part(offset, Coding::Snappy, plain, count(plain).total()));
        let parcel = parcel(Signal::Metrics, Layout::RemoteWrite, frames.collect());
        check(&requests.concat(), &plains(&parcel, shards));
    }

    #[test]
    fn dividing_points_loses_nothing_doubles_nothing_and_keeps_every_series_in_order(
        resources in prop::collection::vec(prop::collection::vec((0u8..4, any::<u8>(), any::<bool>()), 0..6), 0..4),
        shards in 1u32..=64,
    ) {
        let plain = points(&resources);
        let items = resources.iter().map(Vec::len).sum::<usize>() as u32;
        let parcel = parcel(Signal::Metrics, Layout::Otlp, vec![part(1, Coding::Gzip, &plain, items)]);
        let (whole, _) = otlp_to_rw(&plain, &Options::default()).unwrap();
        check(&whole, &plains(&parcel, shards));
    }

    #[test]
    fn outside_bytes_divide_or_are_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        shards in 1u32..=64,
    ) {
        for layout in [Layout::RemoteWrite, Layout::Otlp] {
            let parcel = parcel(Signal::Metrics, layout, vec![part(1, Coding::Gzip, &bytes, 1)]);
            let split = lot::split(&parcel, &recipe(), shards);
            let is_known = matches!(split, Ok(_) | Err(Failure::RefusedWhole { .. }));
            prop_assert!(is_known);
        }
    }
}
