mod otlp;
mod remote_write;
mod schema;

use prost::Message;
use schema::*;

/// Labels from `name value name value …`.
fn labels(pairs: &[&str]) -> Vec<Label> {
    pairs.chunks(2).map(|pair| Label { name: pair[0].into(), value: pair[1].into() }).collect()
}

fn sample(value: f64, timestamp: i64) -> Sample1 {
    Sample1 { value: value.to_bits(), timestamp, start: 0 }
}

fn series(pairs: &[&str], samples: &[Sample1]) -> Series1 {
    Series1 { labels: labels(pairs), samples: samples.to_vec(), ..Default::default() }
}

fn request(timeseries: Vec<Series1>) -> WriteRequest {
    WriteRequest { timeseries, metadata: Vec::new() }
}

fn read1(bytes: &[u8]) -> WriteRequest {
    WriteRequest::decode(bytes).expect("what we write is protobuf")
}

fn read2(bytes: &[u8]) -> Request2 {
    Request2::decode(bytes).expect("what we write is protobuf")
}

/// A valid integer histogram: buckets 1, 2, gap of 1, 3; zero bucket 4.
fn histogram(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::Int(10)),
        zero: Some(Zero::Int(4)),
        sum: 12.5,
        schema: 3,
        zero_threshold: 1e-128,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
        positive_deltas: vec![1, 1, 1],
        timestamp,
        ..Default::default()
    }
}

/// A valid histogram with custom buckets: 1 up to 0.5, none up to 1, 2 above.
fn custom(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::Int(3)),
        sum: 7.0,
        schema: -53,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_deltas: vec![1, -1, 2],
        bounds: vec![0.5, 1.0],
        timestamp,
        ..Default::default()
    }
}
