//! What goes into a file comes out again by value, whoever reads it.

mod columns;
mod dice;
mod search;
mod traces;
mod write_request;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use model::{Layout, Signal, Source, Tenant, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::prelude::*;
use prost::Message;

use super::*;
use dice::{Dice, NOW};

/// A frame of `plain` at `offset`.
fn chunk(signal: Signal, layout: Layout, offset: u64, plain: Vec<u8>) -> Arc<Chunk> {
    let items = wire::batch::count(signal, layout, &plain).unwrap().total();
    let frame = Frame {
        signal,
        layout,
        tenant: Tenant::default(),
        source: Source::new("test").unwrap(),
        offset,
        received: UnixNanos(NOW),
        plain: Bytes::from(plain),
        numbers: None,
    };
    let chunk = Chunk::read(frame, 0..items).unwrap();
    assert_eq!(chunk.entries().len(), items as usize, "items are counted as `wire::batch` counts them");
    Arc::new(chunk)
}

/// The file with all rows of `chunks`.
fn file(signal: Signal, chunks: &[Arc<Chunk>]) -> Bytes {
    let numbered = chunks.iter().enumerate();
    let all =
        numbered.flat_map(|(number, chunk)| (0..chunk.entries().len()).map(move |entry| (number, entry)));
    let mut picks: Vec<Pick> =
        all.map(|(chunk, entry)| Pick { chunk: chunk as u32, entry: entry as u32 }).collect();
    sort(chunks, &mut picks);
    let mut writer = Writer::new(signal, picks.len(), &[]).unwrap();
    for pick in picks {
        let (chunk, entry) = at(chunks, pick);
        writer.push(&chunk.row(entry)).unwrap();
    }
    Bytes::from(writer.finish().unwrap())
}

fn open(bytes: &Bytes) -> File<Bytes> {
    File::new(bytes.clone(), Footer::read(bytes).unwrap())
}

/// What a file gives back: each item alone as a request, by offset and index, as re-encoded by `normal`.
fn requests(bytes: &Bytes, normal: fn(&[u8]) -> Vec<u8>) -> Vec<((u64, u32), Vec<u8>)> {
    let mut found = Vec::new();
    let file = open(bytes);
    file.between(i64::MIN..=i64::MAX, &mut |row| {
        found.push(((row.offset, row.index), normal(&row.request())));
        ControlFlow::Continue(())
    })
    .unwrap();
    found.sort();
    found
}

fn normal<T: Message + Default>(bytes: &[u8]) -> Vec<u8> {
    T::decode(bytes).unwrap().encode_to_vec()
}

/// Both frames in one file, read back, against the single-item requests that `items` takes from what was generated.
fn check<T: Message + Default>(signal: Signal, layout: Layout, frames: &[T; 2], items: fn(&T) -> Vec<T>) {
    let mut expected = Vec::new();
    let mut chunks = Vec::new();
    for (frame, offset) in frames.iter().zip(5u64..) {
        let single = items(frame).into_iter().zip(0u32..);
        expected.extend(single.map(|(item, index)| ((offset, index), item.encode_to_vec())));
        chunks.push(chunk(signal, layout, offset, frame.encode_to_vec()));
    }
    let bytes = file(signal, &chunks);
    assert_eq!(requests(&bytes, normal::<T>), expected);
    chunks.reverse();
    assert!(file(signal, &chunks) == bytes, "the order in which frames came shows in the file");
}

fn span_items(request: &ExportTraceServiceRequest) -> Vec<ExportTraceServiceRequest> {
    let mut items = Vec::new();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let (mut resource, mut scope) = (resource.clone(), scope.clone());
                scope.spans = vec![span.clone()];
                resource.scope_spans = vec![scope];
                items.push(ExportTraceServiceRequest { resource_spans: vec![resource] });
            }
        }
    }
    items
}

fn log_items(request: &ExportLogsServiceRequest) -> Vec<ExportLogsServiceRequest> {
    let mut items = Vec::new();
    for resource in &request.resource_logs {
        for scope in &resource.scope_logs {
            for record in &scope.log_records {
                let (mut resource, mut scope) = (resource.clone(), scope.clone());
                scope.log_records = vec![record.clone()];
                resource.scope_logs = vec![scope];
                items.push(ExportLogsServiceRequest { resource_logs: vec![resource] });
            }
        }
    }
    items
}

fn point_items(request: &ExportMetricsServiceRequest) -> Vec<ExportMetricsServiceRequest> {
    fn alone<T: Clone>(points: &mut Vec<T>, number: usize) {
        *points = vec![points[number].clone()];
    }
    let mut items = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                let points = match &metric.data {
                    None => 0,
                    Some(Data::Gauge(data)) => data.data_points.len(),
                    Some(Data::Sum(data)) => data.data_points.len(),
                    Some(Data::Histogram(data)) => data.data_points.len(),
                    Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
                    Some(Data::Summary(data)) => data.data_points.len(),
                };
                for number in 0..points {
                    let (mut resource, mut scope, mut metric) =
                        (resource.clone(), scope.clone(), metric.clone());
                    match metric.data.as_mut().unwrap() {
                        Data::Gauge(data) => alone(&mut data.data_points, number),
                        Data::Sum(data) => alone(&mut data.data_points, number),
                        Data::Histogram(data) => alone(&mut data.data_points, number),
                        Data::ExponentialHistogram(data) => alone(&mut data.data_points, number),
                        Data::Summary(data) => alone(&mut data.data_points, number),
                    }
                    scope.metrics = vec![metric];
                    resource.scope_metrics = vec![scope];
                    items.push(ExportMetricsServiceRequest { resource_metrics: vec![resource] });
                }
            }
        }
    }
    items
}

fn series_items(request: &write_request::WriteRequest) -> Vec<write_request::WriteRequest> {
    let mut items = Vec::new();
    let mut push = |series: write_request::TimeSeries| {
        items.push(write_request::WriteRequest { timeseries: vec![series], metadata: Vec::new() });
    };
    for series in &request.timeseries {
        let mut bare = series.clone();
        (bare.samples, bare.exemplars, bare.histograms, bare.custom_histograms) = Default::default();
        for sample in &series.samples {
            push(write_request::TimeSeries { samples: vec![sample.clone()], ..bare.clone() });
        }
        for exemplar in &series.exemplars {
            push(write_request::TimeSeries { exemplars: vec![exemplar.clone()], ..bare.clone() });
        }
        for histogram in &series.histograms {
            push(write_request::TimeSeries { histograms: vec![histogram.clone()], ..bare.clone() });
        }
        for histogram in &series.custom_histograms {
            push(write_request::TimeSeries { custom_histograms: vec![histogram.clone()], ..bare.clone() });
        }
    }
    for metadata in &request.metadata {
        items.push(write_request::WriteRequest { timeseries: Vec::new(), metadata: vec![metadata.clone()] });
    }
    items
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn spans_come_back_by_value(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        check(Signal::Traces, Layout::Otlp, &[dice.traces(), dice.traces()], span_items);
    }

    #[test]
    fn log_records_come_back_by_value(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        check(Signal::Logs, Layout::Otlp, &[dice.logs(), dice.logs()], log_items);
    }

    #[test]
    fn metric_points_come_back_by_value(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        check(Signal::Metrics, Layout::Otlp, &[dice.metrics(), dice.metrics()], point_items);
    }

    #[test]
    fn remote_write_comes_back_by_value(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        check(Signal::Metrics, Layout::RemoteWrite, &[dice.write_request(), dice.write_request()], series_items);
    }

    #[test]
    fn damaged_items_are_kept_as_they_are(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let mut plain = dice.traces().encode_to_vec();
        if plain.is_empty() {
            return Ok(());
        }
        for _ in 0..3 {
            let at = dice.below(plain.len());
            plain[at] ^= dice.next() as u8;
        }
        for (signal, layout) in [
            (Signal::Traces, Layout::Otlp),
            (Signal::Logs, Layout::Otlp),
            (Signal::Metrics, Layout::Otlp),
            (Signal::Metrics, Layout::RemoteWrite),
        ] {
            // What the walk refuses is refused by the intake already; what it lets through must be kept.
            let Ok(counts) = wire::batch::count(signal, layout, &plain) else { continue };
            let chunk = chunk(signal, layout, 1, plain.clone());
            let bytes = file(signal, &[Arc::clone(&chunk)]);
            let mut kept: Vec<(u32, Vec<u8>)> = Vec::new();
            open(&bytes).between(i64::MIN..=i64::MAX, &mut |row| {
                let _ = (Span::read(row), LogRow::read(row), MetricRow::read(row));
                kept.push((row.index, row.raw.to_vec()));
                ControlFlow::Continue(())
            }).unwrap();
            kept.sort();
            prop_assert_eq!(kept.len(), counts.total() as usize);
            if signal != Signal::Logs {
                let raw: Vec<_> = chunk.entries().iter().map(|entry| (entry.index, chunk.row(entry).raw.to_vec())).collect();
                prop_assert_eq!(kept, raw);
            }
        }
    }

    #[test]
    fn a_damaged_file_ends_reading(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let bytes = file(Signal::Logs, &[chunk(Signal::Logs, Layout::Otlp, 1, dice.logs().encode_to_vec())]);
        let mut damaged = bytes.to_vec();
        let at = dice.below(damaged.len());
        damaged[at] ^= 1 << dice.below(8);
        let damaged = Bytes::from(damaged);
        // The Parquet library may panic on such a file; the store reads behind `catch_unwind`, as this does. What must not
        // happen is that reading never ends or takes all memory.
        let _ = std::panic::catch_unwind(|| {
            let Ok(footer) = Footer::read(&damaged) else { return };
            let _ = File::new(damaged.clone(), footer).between(i64::MIN..=i64::MAX, &mut |_| ControlFlow::Continue(()));
        });
    }
}

#[test]
fn part_of_a_frame_keeps_its_numbers() {
    let mut dice = Dice::new(1);
    let request =
        std::iter::repeat_with(|| dice.logs()).find(|request| log_items(request).len() >= 6).unwrap();
    let whole = chunk(Signal::Logs, Layout::Otlp, 9, request.encode_to_vec());
    let part = Chunk::read(whole.frame().clone(), 2..5).unwrap();
    assert_eq!(part.entries().iter().map(|entry| entry.index).collect::<Vec<_>>(), [2, 3, 4]);
    for entry in part.entries() {
        assert_eq!(part.row(entry).request(), whole.row(&whole.entries()[entry.index as usize]).request());
    }
}

#[test]
fn an_item_keeps_its_number_where_others_were_left_out() {
    let plain = [3u8, 5, 8].map(|name| {
        let mut span = Vec::new();
        wire::put::message(&mut span, 1, |resource| {
            wire::put::message(resource, 2, |scope| {
                wire::put::message(scope, 2, |span| wire::put::bytes(span, 5, &[name]));
            });
        });
        span
    });
    let frame = Frame {
        signal: Signal::Traces,
        layout: Layout::Otlp,
        tenant: Tenant::default(),
        source: Source::new("test").unwrap(),
        offset: 1,
        received: UnixNanos(1),
        plain: plain.concat().into(),
        numbers: Some([3, 5, 8].into()),
    };
    let chunk = Chunk::read(frame, 1..3).unwrap();
    assert_eq!(chunk.entries().iter().map(|entry| entry.index).collect::<Vec<_>>(), [5, 8]);
}
