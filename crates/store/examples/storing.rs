//! What storing costs: CPU seconds and disk bytes per million spans, from the parcel to the settled file, and how long a trace
//! takes to be found afterwards.
//!
//! `cargo run --release -p tidegate-store --example storing [MILLIONS]`

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use model::{ContentHash, Layout, Origin, Signal, Source, SystemClock, Tenant, TraceId, UnixNanos};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::sink::Settle;
use pipeline::{
    BoxFuture, Memory, Metrics, Offset, Parcel, Part, Resume, Settler, Sink, SinkContext, Workers,
};
use prost::Message;
use tidegate_store::{Settings, Store};
use wire::Coding;

const SPANS: u64 = 500;
const START: u64 = 1_795_251_600_000_000_000;

struct Always;

impl Settle for Always {
    fn begin(&self, _: Offset) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn settle(&self, _: Offset) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// User and system time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn mixed(number: u64) -> u64 {
    (number ^ (number >> 29))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
        .rotate_left(27)
        .wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn trace_id(trace: u64) -> [u8; 16] {
    (u128::from(mixed(trace + 1)) << 64 | u128::from(mixed(trace + 77))).to_be_bytes()
}

fn request(frame: u64) -> Vec<u8> {
    let text = |text: String| Value::StringValue(text);
    let spans = (0..SPANS).map(|number| {
        let seed = mixed(frame * SPANS + number);
        Span {
            trace_id: trace_id((frame * SPANS + number) / 10).to_vec(),
            span_id: seed.to_be_bytes().to_vec(),
            parent_span_id: if number % 10 == 0 { Vec::new() } else { mixed(seed).to_be_bytes().to_vec() },
            name: format!("GET /api/v1/items/{}", seed % 40),
            kind: 2,
            start_time_unix_nano: START + (frame * SPANS + number) * 50_000,
            end_time_unix_nano: START + (frame * SPANS + number) * 50_000 + seed % 90_000_000,
            attributes: vec![
                pair("http.request.method", text("GET".to_owned())),
                pair("http.route", text("/api/v1/items/{id}".to_owned())),
                pair("http.response.status_code", Value::IntValue(200 + (seed % 5) as i64)),
                pair("url.path", text(format!("/api/v1/items/{}", seed % 100_000))),
                pair("server.address", text("shop.example".to_owned())),
                pair("client.address", text(format!("10.{}.{}.{}", seed % 7, seed % 251, seed % 83))),
                pair(
                    "user_agent.original",
                    text("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101".to_owned()),
                ),
                pair("thread.id", Value::IntValue((seed % 64) as i64)),
            ],
            ..Span::default()
        }
    });
    let resource = Resource {
        attributes: vec![
            pair("service.name", text(format!("service-{}", frame % 12))),
            pair("service.version", text("1.4.2".to_owned())),
            pair("host.name", text(format!("node-{}", frame % 30))),
            pair("k8s.namespace.name", text("shop".to_owned())),
        ],
        ..Resource::default()
    };
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[tokio::main]
async fn main() {
    let millions: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let context = SinkContext {
        name: "store".into(),
        folder: folder.path().to_path_buf(),
        clock: Arc::new(SystemClock),
        memory: Memory::new(512 << 20),
        workers: Workers::start("work", 2, 16).unwrap(),
        metrics: Metrics::default(),
    };
    let store = Store::open(Settings::default(), context).await.unwrap();
    store.attach(Signal::Traces, Resume { next: Offset(1), open: None }, Settler(Arc::new(Always)));
    let bodies: Vec<Bytes> = (0..200).map(|frame| request(frame).into()).collect();
    let frames = millions * 1_000_000 / SPANS;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    for frame in 0..frames {
        let body = bodies[(frame % bodies.len() as u64) as usize].clone();
        let origin = Origin { tenant: Tenant::default(), source: Source::new("otlp").unwrap() };
        let part = Part {
            offset: Offset(frame + 1),
            items: 0..SPANS as u32,
            frame_items: SPANS as u32,
            kept: None,
            changed: false,
            origin,
            content_hash: ContentHash(0),
            received: UnixNanos(START),
            derived: 0,
            coding: Coding::Plain,
            plain_len: body.len() as u32,
            body,
            inflated: Arc::default(),
        };
        let (signal, layout) = (Signal::Traces, Layout::Otlp);
        let tenant = Tenant::default();
        let parcel = Parcel {
            sink: "store".into(),
            tenant,
            signal,
            layout,
            parts: vec![part],
            rules: 0,
            replay: 0,
            attempt: 0,
            begun: false,
        };
        while store.deliver(&parcel).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // waits for time: before memory is asked for again
        }
    }
    store.close().await;
    let spans = (frames * SPANS) as f64;
    println!("CPU seconds per million spans  {:.2}", (cpu_seconds() - cpu) / spans * 1e6);
    println!("elapsed seconds per million    {:.2}", begun.elapsed().as_secs_f64() / spans * 1e6);
    println!("plain bytes per span           {:.0}", bodies[0].len() as f64 / SPANS as f64);
    let disk: u64 = sizes(folder.path());
    println!("bytes on disk per span         {:.1}", disk as f64 / spans);
    let looked = Instant::now();
    let trace = store.reader().trace(TraceId::from_bytes(trace_id(17)).unwrap()).await.unwrap();
    println!(
        "one trace, {} spans + {} copies  {:.1} ms",
        trace.spans.len(),
        trace.copies,
        looked.elapsed().as_secs_f64() * 1e3
    );
}

fn sizes(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(
            |entry| {
                if entry.path().is_dir() { sizes(&entry.path()) } else { entry.metadata().unwrap().len() }
            },
        )
        .sum()
}
