//! Senders whose every item carries a number, so that each acknowledged one can be looked for afterwards.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use testkit::process::http;
use wire::put;

/// Items in one request.
const PER_REQUEST: u64 = 10;

/// One of the four inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    Otlp,
    RemoteWrite,
    Logpush,
    Kong,
}

pub(crate) const INPUTS: [Input; 4] = [Input::Otlp, Input::RemoteWrite, Input::Logpush, Input::Kong];

impl Input {
    /// The name that item `n` is found by: a span's name, a label's value, a ray id, a Kong request id.
    pub(crate) fn name(self, n: u64) -> String {
        match self {
            Self::Otlp => format!("span-{n}"),
            Self::RemoteWrite => format!("sample-{n}"),
            Self::Logpush => format!("{:016x}", 0xa000_0000_0000_0000 + n),
            Self::Kong => format!("{:032x}", (0xb_u128 << 124) + u128::from(n)),
        }
    }

    /// Whether a name is one of [`Input::name`]'s.
    pub(crate) fn is_numbered(self, name: &str) -> bool {
        let number = match self {
            Self::Otlp => name.strip_prefix("span-").and_then(|n| n.parse().ok()),
            Self::RemoteWrite => name.strip_prefix("sample-").and_then(|n| n.parse().ok()),
            Self::Logpush => {
                u64::from_str_radix(name, 16).ok().and_then(|n| n.checked_sub(0xa000_0000_0000_0000))
            }
            Self::Kong => u128::from_str_radix(name, 16)
                .ok()
                .and_then(|n| n.checked_sub(0xb_u128 << 124))
                .and_then(|n| u64::try_from(n).ok()),
        };
        // Ids of the sample story may begin alike.
        number.is_some_and(|number| number < 1 << 32 && self.name(number) == name)
    }

    /// The source that the ledger books it under.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Otlp => "otlp",
            Self::RemoteWrite => "prometheus",
            Self::Logpush => "logpush",
            Self::Kong => "kong",
        }
    }

    fn request(self, first: u64, now_ms: u64) -> (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>) {
        let numbers = first..first + PER_REQUEST;
        match self {
            Self::Otlp => {
                ("/v1/traces", vec![("content-type", "application/x-protobuf")], spans(numbers, now_ms))
            }
            Self::RemoteWrite => (
                "/api/v1/write",
                vec![("content-type", "application/x-protobuf"), ("content-encoding", "snappy")],
                wire::coding::compress(wire::Coding::Snappy, 0, &samples(numbers, now_ms)),
            ),
            Self::Logpush => {
                let lines: String = numbers
                    .map(|n| format!("{{\"RayID\":\"{}\",\"EdgeStartTimestamp\":{},\"EdgeResponseStatus\":200,\"ClientRequestHost\":\"n.example\"}}\n", self.name(n), now_ms * 1_000_000))
                    .collect();
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(lines.as_bytes()).unwrap();
                (
                    "/ingest/cloudflare/logpush/http_requests",
                    vec![("content-encoding", "gzip")],
                    gzip.finish().unwrap(),
                )
            }
            Self::Kong => {
                let records: Vec<String> = numbers
                    .map(|n| format!("{{\"request\":{{\"id\":\"{}\",\"method\":\"GET\",\"uri\":\"/\"}},\"response\":{{\"status\":200}},\"latencies\":{{\"request\":3}},\"started_at\":{now_ms}}}", self.name(n)))
                    .collect();
                (
                    "/ingest/kong/http-log",
                    vec![("content-type", "application/json")],
                    format!("[{}]", records.join(",")).into_bytes(),
                )
            }
        }
    }
}

fn spans(numbers: std::ops::Range<u64>, now_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put::message(&mut out, 1, |resource_spans| {
        put::message(resource_spans, 2, |scope_spans| {
            for n in numbers {
                put::message(scope_spans, 2, |span| {
                    put::bytes(span, 1, &u128::from(n + 1).to_be_bytes());
                    put::bytes(span, 2, &(n + 1).to_be_bytes());
                    put::bytes(span, 5, Input::Otlp.name(n).as_bytes());
                    put::fixed64(span, 7, now_ms * 1_000_000);
                    put::fixed64(span, 8, now_ms * 1_000_000 + 1);
                });
            }
        });
    });
    out
}

fn samples(numbers: std::ops::Range<u64>, now_ms: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for n in numbers {
        put::message(&mut out, 1, |series| {
            for (name, value) in [("__name__", "numbered"), ("number", Input::RemoteWrite.name(n).as_str())] {
                put::message(series, 1, |label| {
                    put::bytes(label, 1, name.as_bytes());
                    put::bytes(label, 2, value.as_bytes());
                });
            }
            put::message(series, 2, |sample| {
                put::fixed64(sample, 1, (n as f64).to_bits());
                put::uint(sample, 2, now_ms);
            });
        });
    }
    out
}

/// A sender at work on its own thread.
pub(crate) struct Sender {
    input: Input,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    sent: Arc<Mutex<u64>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Starts sending to `port` without a pause until `finish`.
    pub(crate) fn start(input: Input, port: u16) -> Self {
        Self::start_from(input, port, 0)
    }

    /// The same with numbers from `first` on, such as another sender's `finish` gave.
    pub(crate) fn start_from(input: Input, port: u16, mut first: u64) -> Self {
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let (sent, stop) = (Arc::new(Mutex::new(first)), Arc::new(AtomicBool::new(false)));
        let (theirs, theirs_sent, theirs_stop) =
            (Arc::clone(&acknowledged), Arc::clone(&sent), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !theirs_stop.load(Ordering::Relaxed) {
                let (path, headers, body) = input.request(first, now_ms());
                *theirs_sent.lock().unwrap() = first + PER_REQUEST;
                // A dead gateway answers at once that nobody listens; that request's numbers are claimed and not acknowledged.
                if http(port, "POST", path, &headers, &body)
                    .is_ok_and(|answer| (200..300).contains(&answer.status))
                {
                    theirs.lock().unwrap().extend(first..first + PER_REQUEST);
                    first += PER_REQUEST;
                } else {
                    std::thread::yield_now();
                }
            }
        });
        Self { input, acknowledged, sent, stop, thread: Some(thread) }
    }

    pub(crate) fn input(&self) -> Input {
        self.input
    }

    /// Items acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Stops and gives the numbers that were acknowledged, and the number after the last that was sent.
    pub(crate) fn finish(mut self) -> (BTreeSet<u64>, u64) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        (std::mem::take(&mut *self.acknowledged.lock().unwrap()), *self.sent.lock().unwrap())
    }
}

pub(crate) fn now_ms() -> u64 {
    model::Clock::now(&model::SystemClock).0 / 1_000_000
}
