//! The store on a small journal of its own: a courier that keeps its word, and a machine that may stop at any step.

mod crash;
mod files;
mod names;
mod search;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use model::{Clock, ContentHash, Failure, Layout, Origin, Signal, Source, Tenant, TraceId, UnixNanos};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::sink::Settle;
use pipeline::{
    BoxFuture, Memory, Metrics, Offset, Parcel, Part, Receipt, Resume, Settler, Sink, SinkContext, Workers,
};
use prost::Message;
use wire::Coding;

use crate::{Reader, Scan, Settings, Store};

/// A time on the border of an hour.
const HOUR: u64 = 1_795_251_600_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// Counts steps down; at zero and after it every step fails, as if the machine had stopped.
#[derive(Debug, Clone)]
pub(crate) struct Fuse(Arc<Mutex<Arc<AtomicI64>>>);

impl Default for Fuse {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Arc::new(AtomicI64::new(i64::MAX)))))
    }
}

impl Fuse {
    pub(crate) fn is_blown(&self) -> bool {
        self.0.lock().unwrap().fetch_sub(1, Ordering::SeqCst) <= 0
    }

    /// Lets `steps` steps succeed.
    fn arm(&self, steps: i64) {
        self.0.lock().unwrap().store(steps, Ordering::SeqCst);
    }

    /// Burns down together with `other` from now on.
    fn follow(&self, other: &Self) {
        let steps = Arc::clone(&other.0.lock().unwrap());
        *self.0.lock().unwrap() = steps;
    }
}

#[derive(Debug)]
struct Manual(AtomicU64);

impl Clock for Manual {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::SeqCst))
    }
}

/// What the courier keeps durably.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    next: u64,
    open: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Courier {
    cursor: Mutex<Cursor>,
    fuse: Fuse,
    settled: tokio::sync::Notify,
}

impl Courier {
    fn cursor(&self) -> Cursor {
        *self.cursor.lock().unwrap()
    }

    fn step(&self, change: impl FnOnce(&mut Cursor)) -> Result<(), String> {
        let stopped = || "the machine stopped".to_owned();
        if self.fuse.is_blown() {
            return Err(stopped());
        }
        change(&mut self.cursor.lock().unwrap());
        if self.fuse.is_blown() { Err(stopped()) } else { Ok(()) }
    }
}

impl Settle for Courier {
    fn begin(&self, last: Offset) -> BoxFuture<'_, Result<(), String>> {
        let done = self.step(|cursor| {
            assert!(
                cursor.open.is_none_or(|(_, open)| open == last.0),
                "{cursor:?} is open, not up to {last}"
            );
            assert!(last.0 >= cursor.next, "{last} is settled already: {cursor:?}");
            cursor.open = Some((cursor.next, last.0));
        });
        Box::pin(std::future::ready(done))
    }

    fn settle(&self, last: Offset) -> BoxFuture<'_, Result<(), String>> {
        let done = self.step(|cursor| {
            assert_eq!(cursor.open, Some((cursor.next, last.0)), "settled what was not begun");
            *cursor = Cursor { next: last.0 + 1, open: None };
        });
        self.settled.notify_one();
        Box::pin(std::future::ready(done))
    }
}

/// A journal of traces beside a folder.
struct Ground {
    folder: tempfile::TempDir,
    settings: Settings,
    clock: Arc<Manual>,
    memory: Memory,
    courier: Arc<Courier>,
    /// Tenant, receive time and spans' start times, by offset from 1 on.
    frames: Vec<(&'static str, u64, Vec<u64>)>,
}

impl Ground {
    fn new(frames: Vec<(&'static str, u64, Vec<u64>)>) -> Self {
        let courier = Courier {
            cursor: Mutex::new(Cursor { next: 1, open: None }),
            fuse: Fuse::default(),
            settled: tokio::sync::Notify::new(),
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings: Settings::default(),
            clock: Arc::new(Manual(AtomicU64::new(HOUR))),
            memory: Memory::new(1 << 30),
            courier: Arc::new(courier),
            frames,
        }
    }

    fn context(&self) -> SinkContext {
        SinkContext {
            name: "store".into(),
            folder: self.folder.path().join("store"),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            memory: self.memory.clone(),
            workers: Workers::start("test", 1, 4).unwrap(),
            metrics: Metrics::default(),
        }
    }

    fn set_clock(&self, now: u64) {
        self.clock.0.store(now, Ordering::SeqCst);
    }

    /// Opens the store as after a start, with whatever the courier remembers; the fuse is whole again.
    async fn start(&self) -> Arc<Store> {
        self.courier.fuse.arm(i64::MAX);
        let store = Store::open(self.settings.clone(), self.context()).await.unwrap().unwatched();
        self.attach(&store);
        store
    }

    fn attach(&self, store: &Arc<Store>) {
        let cursor = self.courier.cursor();
        let open = cursor.open.map(|(first, last)| (Offset(first), Offset(last)));
        let resume = Resume { next: Offset(cursor.next), open };
        store.attach(Signal::Traces, resume, Settler(Arc::clone(&self.courier) as Arc<dyn Settle>));
    }

    /// Delivers frames `from` to `to`, each as a parcel of its own.
    async fn deliver(&self, store: &Store, from: u64, to: u64) {
        for offset in from..=to {
            assert_eq!(store.deliver(&self.parcel(offset)).await, Ok(Receipt::Pending));
        }
    }

    /// Delivers everything from the cursor on.
    async fn deliver_rest(&self, store: &Store) {
        self.deliver(store, self.courier.cursor().next, self.frames.len() as u64).await;
    }

    fn parcel(&self, offset: u64) -> Parcel {
        let (tenant, received, times) = &self.frames[offset as usize - 1];
        let tenant = Tenant::new(tenant).unwrap();
        let items = times.len() as u32;
        let body = Bytes::from(request(offset, times).encode_to_vec());
        let part = Part {
            offset: Offset(offset),
            items: 0..items,
            frame_items: items,
            kept: None,
            changed: false,
            origin: Origin { tenant: tenant.clone(), source: Source::new("otlp").unwrap() },
            content_hash: ContentHash(u128::from(offset)),
            received: UnixNanos(*received),
            derived: 0,
            coding: Coding::Plain,
            plain_len: body.len() as u32,
            body,
            inflated: Arc::default(),
        };
        let (signal, layout) = (Signal::Traces, Layout::Otlp);
        Parcel {
            sink: "store".into(),
            tenant,
            signal,
            layout,
            parts: vec![part],
            rules: 0,
            replay: 0,
            attempt: 0,
            begun: false,
        }
    }

    /// Every item of the first `frames` frames.
    fn items(&self, frames: u64) -> Vec<(u64, u32)> {
        let frames = self.frames.iter().zip(1..=frames);
        frames
            .flat_map(|((.., times), offset)| (0..times.len() as u32).map(move |index| (offset, index)))
            .collect()
    }

    /// All files below the folder, by path.
    fn files(&self) -> Vec<String> {
        let root = self.folder.path().join("store");
        let mut folders = vec![root.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

/// The id of the trace of one item: its place, readable.
fn trace_id(offset: u64, index: u32) -> [u8; 16] {
    ((u128::from(offset) << 64) | (u128::from(offset) << 32) | u128::from(index + 1)).to_be_bytes()
}

fn request(offset: u64, times: &[u64]) -> ExportTraceServiceRequest {
    let span = |(index, time): (usize, &u64)| Span {
        trace_id: trace_id(offset, index as u32).to_vec(),
        span_id: vec![9; 8],
        name: format!("span {offset}.{index}"),
        start_time_unix_nano: *time,
        end_time_unix_nano: time.saturating_add(1),
        ..Span::default()
    };
    let spans = times.iter().enumerate().map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

/// Every item that a reader is shown, as often as it is.
async fn shown(reader: &Reader) -> Vec<(u64, u32)> {
    // The scan keys items by place, so that a double would hide behind itself: counting shows it.
    let scan = Scan {
        signal: Signal::Traces,
        tenant: None,
        from: UnixNanos(0),
        to: UnixNanos(u64::MAX),
        limit: usize::MAX,
    };
    let scanned = reader.scan(scan).await.unwrap();
    assert_eq!(scanned.unreadable, 0);
    let mut places: Vec<_> = scanned.spans.iter().map(|span| (span.offset, span.index)).collect();
    places.sort_unstable();
    places
}

/// Checks that a reader is shown exactly the items of the first `frames` frames, each once.
async fn check_shown(ground: &Ground, store: &Arc<Store>, frames: u64, when: &str) {
    let expected = ground.items(frames);
    assert_eq!(shown(&store.reader()).await, expected, "{when}");
    assert_eq!(store.reader().count(Signal::Traces).await.unwrap(), expected.len() as u64, "{when}");
}
