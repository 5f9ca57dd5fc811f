//! Prometheus, by remote-read: samples come back bit for bit, except that it answers -0 as 0; so the sign of zeros is
//! taken from a query, which in turn answers every NaN alike.

use std::collections::{BTreeMap, HashSet};

use prost::Message;
use testkit::process::http;
use testkit::server::encode;

use super::Found;
use crate::content::{Run, native, sample, sample_name, series};
use crate::item::Id;
use crate::json;
use crate::prom::{
    Histogram, Label, Matcher, Query, ReadRequest, ReadResponse, Sample, Span, TimeSeries, WriteRequest,
};
use crate::value::{Fields, Value};

const NOT_EQUAL: i32 = 1;
const HOUR_MS: i64 = 3_600_000;

/// Writes a sample of now that names no item.
pub(crate) fn write_one(port: u16) -> Result<(), String> {
    let label = Label { name: "__name__".into(), value: "now".into() };
    let sample = Sample { value: 1f64.to_bits(), time: testkit::process::now().as_millis() as i64 };
    let series = TimeSeries { labels: vec![label], samples: vec![sample], ..TimeSeries::default() };
    let request = WriteRequest { series: vec![series] }.encode_to_vec();
    let body = snap::raw::Encoder::new().compress_vec(&request).map_err(|error| error.to_string())?;
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    let answer = http(port, "POST", "/api/v1/write", &headers, &body).map_err(|error| error.to_string())?;
    match answer.status {
        200..=299 => Ok(()),
        status => Err(format!("remote-write answered {status} {}", answer.text())),
    }
}

/// Every sample that carries the name of an item.
pub fn read(run: &Run, port: u16, each: &mut dyn FnMut(Found)) -> Result<(), String> {
    let begin = (run.epoch / 1_000_000) as i64;
    let named = Matcher { kind: NOT_EQUAL, name: "item".into(), value: String::new() };
    let query = Query { start: begin - HOUR_MS, end: begin + 24 * HOUR_MS, matchers: vec![named] };
    let request = ReadRequest { queries: vec![query] }.encode_to_vec();
    let body = snap::raw::Encoder::new().compress_vec(&request).map_err(|error| error.to_string())?;
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-read-version", "0.1.0"),
    ];
    let answer = http(port, "POST", "/api/v1/read", &headers, &body).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("remote-read answered {} {}", answer.status, answer.text()));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(&answer.body).map_err(|error| error.to_string())?;
    let negative = negative_zeros(begin, port)?;
    let answer = ReadResponse::decode(plain.as_slice()).map_err(|error| error.to_string())?;
    let samples = answer.results.into_iter().flat_map(|result| result.series).flat_map(|found| {
        let labels: Vec<_> = found.labels.into_iter().map(|label| (label.name, label.value)).collect();
        let name = labels.iter().find(|(name, _)| name == "item").map(|(_, value)| value.clone());
        let series = series(labels);
        let negative = &negative;
        let (histograms, of) = (found.histograms, (name.clone(), series.clone()));
        let samples = found.samples.into_iter().map(move |sample| {
            let is_negative = sample.value == 0 && negative.contains(&sample_name(&series, sample.time));
            let value = if is_negative { (-0.0f64).to_bits() } else { sample.value };
            (name.clone(), series.clone(), sample.time, Value::Double(value))
        });
        let histograms = histograms.into_iter().map(move |found| {
            let time = found.time;
            (of.0.clone(), of.1.clone(), time, histogram(&found))
        });
        samples.chain(histograms)
    });
    gather(run, samples, each);
    Ok(())
}

/// The samples that are -0.
fn negative_zeros(begin: i64, port: u16) -> Result<HashSet<String>, String> {
    let query = encode("{item!=\"\"}[2h]");
    let path = format!("/api/v1/query?query={query}&time={}", (begin + HOUR_MS) / 1000);
    let answer = http(port, "GET", &path, &[], &[]).map_err(|error| error.to_string())?;
    let answer = json::read_bytes(&answer.body)?;
    let all = answer["data"]["result"].as_array().ok_or_else(|| format!("the query answered {answer}"))?;
    let mut negative = HashSet::new();
    for found in all {
        let labels = found["metric"].as_object().into_iter().flatten();
        let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
        let series = series(labels.collect());
        for sample in found["values"].as_array().into_iter().flatten() {
            if sample[1] == "-0" {
                let seconds = sample[0].as_f64().ok_or_else(|| format!("{sample} has no time"))?;
                negative.insert(sample_name(&series, (seconds * 1000.0).round() as i64));
            }
        }
    }
    Ok(negative)
}

fn histogram(found: &Histogram) -> Value {
    let sides =
        [buckets(&found.positive, &found.positive_deltas), buckets(&found.negative, &found.negative_deltas)];
    let counts = [found.zero_count, found.count];
    native(found.schema, found.zero_threshold, counts, f64::from_bits(found.sum), sides)
}

/// Buckets by index: each span begins so far behind the one before, each count differs so much from the one before.
fn buckets(spans: &[Span], deltas: &[i64]) -> Vec<(i64, u64)> {
    let (mut index, mut count, mut made) = (0, 0, Vec::new());
    let mut deltas = deltas.iter();
    for span in spans {
        index += i64::from(span.offset);
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            made.push((index, count as u64));
            index += 1;
        }
    }
    made
}

/// Puts samples together to items: all samples of an OTLP point, each sample of a remote-write series.
pub(crate) fn gather(
    run: &Run,
    samples: impl Iterator<Item = (Option<String>, String, i64, Value)>,
    each: &mut dyn FnMut(Found),
) {
    let mut items: BTreeMap<Id, Fields> = BTreeMap::new();
    for (name, series, time, value) in samples {
        let named = name.as_deref().and_then(Id::named);
        let id = named
            .and_then(|id| if id.stream.is_remote_write() { sample::at(run, id, time) } else { Some(id) });
        let field = sample_name(&series, time);
        match id {
            Some(id) => drop(items.entry(id).or_default().insert(field, value)),
            None => each(Found { id: None, fields: [(field, value)].into() }),
        }
    }
    for (id, fields) in items {
        each(Found { id: Some(id), fields });
    }
}
