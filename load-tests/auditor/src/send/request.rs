//! The request that carries a range of items.

use std::io::Write as _;
use std::ops::Range;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;

use crate::content::{Run, access, otlp, point, sample};
use crate::item::{Id, Signal, Stream};
use crate::prom::{Label, Request2, Sample, TimeSeries, TimeSeries2, WriteRequest};

/// A request before it is sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) stream: Stream,
    /// Where it is posted: a path, or a gRPC method.
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
    pub(super) items: u64,
}

/// The request with these items of a stream.
pub(super) fn request(run: &Run, stream: Stream, numbers: Range<u64>) -> Request {
    let items = numbers.end - numbers.start;
    let ids = numbers.map(|number| Id { stream, number });
    let protobuf = ("content-type", "application/x-protobuf");
    let gzip = ("content-encoding", "gzip");
    let (path, headers, body) = match stream {
        Stream::SpansHttp => ("/v1/traces", vec![protobuf, gzip], zipped(&export(run, ids))),
        Stream::LogsHttp => ("/v1/logs", vec![protobuf], export(run, ids)),
        Stream::PointsHttp => ("/v1/metrics", vec![protobuf, gzip], zipped(&export(run, ids))),
        Stream::SpansGrpc => {
            ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", vec![], export(run, ids))
        }
        Stream::LogsGrpc => {
            ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", vec![], export(run, ids))
        }
        Stream::PointsGrpc => {
            ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", vec![], export(run, ids))
        }
        Stream::Samples1 => (
            "/api/v1/write",
            vec![
                protobuf,
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
                ("user-agent", "Prometheus/3.0.0"),
            ],
            snappy(&written(run, ids).encode_to_vec()),
        ),
        Stream::Samples2 => (
            "/api/v1/write",
            vec![
                ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "2.0.0"),
                ("user-agent", "Prometheus/3.0.0"),
            ],
            snappy(&written2(&written(run, ids)).encode_to_vec()),
        ),
        Stream::Logpush => {
            let lines: String = ids.map(|id| access::logpush(run, id) + "\n").collect();
            ("/ingest/cloudflare/logpush/http_requests", vec![gzip], zipped(lines.as_bytes()))
        }
        Stream::Kong => {
            let records: Vec<String> = ids.map(|id| access::kong(run, id).to_string()).collect();
            let body = format!("[{}]", records.join(",")).into_bytes();
            ("/ingest/kong/http-log", vec![("content-type", "application/json")], body)
        }
    };
    Request { stream, path, headers, body, items }
}

fn zipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).expect("writing to memory cannot fail")
}

fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("bodies are far below 4 GiB")
}

/// Runs of items with one resource.
fn by_resource<T>(
    run: &Run,
    ids: impl Iterator<Item = Id>,
    make: impl Fn(&Run, Id) -> T,
) -> Vec<(Resource, Vec<T>)> {
    let mut groups: Vec<(Resource, Vec<T>)> = Vec::new();
    for id in ids {
        let resource = otlp::resource(run, id);
        match groups.last_mut() {
            Some((known, items)) if *known == resource => items.push(make(run, id)),
            _ => groups.push((resource, vec![make(run, id)])),
        }
    }
    groups
}

fn export(run: &Run, ids: impl Iterator<Item = Id>) -> Vec<u8> {
    let mut ids = ids.peekable();
    let scope = Some(otlp::scope());
    match ids.peek().map(|id| id.stream.signal()) {
        Some(Signal::Traces) => {
            let groups = by_resource(run, ids, otlp::span).into_iter().map(|(resource, spans)| {
                let scope_spans = vec![ScopeSpans { scope: scope.clone(), spans, ..Default::default() }];
                ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }
            });
            ExportTraceServiceRequest { resource_spans: groups.collect() }.encode_to_vec()
        }
        Some(Signal::Logs) => {
            let groups = by_resource(run, ids, otlp::log).into_iter().map(|(resource, log_records)| {
                let scope_logs = vec![ScopeLogs { scope: scope.clone(), log_records, ..Default::default() }];
                ResourceLogs { resource: Some(resource), scope_logs, ..Default::default() }
            });
            ExportLogsServiceRequest { resource_logs: groups.collect() }.encode_to_vec()
        }
        Some(Signal::Metrics) => {
            let groups = by_resource(run, ids, point::metric).into_iter().map(|(resource, metrics)| {
                let scope_metrics =
                    vec![ScopeMetrics { scope: scope.clone(), metrics, ..Default::default() }];
                ResourceMetrics { resource: Some(resource), scope_metrics, ..Default::default() }
            });
            ExportMetricsServiceRequest { resource_metrics: groups.collect() }.encode_to_vec()
        }
        None => Vec::new(),
    }
}

fn written(run: &Run, ids: impl Iterator<Item = Id>) -> WriteRequest {
    let mut series: Vec<TimeSeries> = Vec::new();
    let mut last = None;
    for id in ids {
        let name = id.name();
        if last.as_ref() != Some(&name) {
            let labels = sample::labels(run, id).into_iter().map(|(name, value)| Label { name, value });
            series.push(TimeSeries { labels: labels.collect(), ..TimeSeries::default() });
            last = Some(name);
        }
        let sample = Sample { value: sample::value(run, id), time: sample::time(run, id) };
        series.last_mut().expect("a series was pushed for the first sample").samples.push(sample);
    }
    WriteRequest { series }
}

fn written2(request: &WriteRequest) -> Request2 {
    // The first symbol is the empty text, as the specification demands.
    let mut symbols = vec![String::new()];
    let mut symbol = |text: &String| {
        let at = symbols.iter().position(|known| known == text).unwrap_or_else(|| {
            symbols.push(text.clone());
            symbols.len() - 1
        });
        at as u32
    };
    let series = request
        .series
        .iter()
        .map(|series| TimeSeries2 {
            labels: series
                .labels
                .iter()
                .flat_map(|label| [symbol(&label.name), symbol(&label.value)])
                .collect(),
            samples: series.samples.clone(),
        })
        .collect();
    Request2 { symbols, series }
}
