//! The front door on real sockets, with an intake that remembers and can refuse.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod door;
mod gate;
mod grpc;
mod http;
mod json_sources;
mod remote_write;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, Method, Request, StatusCode};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use model::{Counts, Origin, Refusal, Source};
use normalize::{Input, Rejected};
use pipeline::intake::Accepted;
use pipeline::{BoxFuture, Intake, Memory, Metrics, Submit, Workers};
use tidegate_receivers::settings::Settings;
use tidegate_receivers::{Bound, Context, Door, ROWS, Server};

/// What the intake was given, and what it answers.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) inputs: Mutex<Vec<Input>>,
    pub(crate) aside: Mutex<Vec<(Origin, &'static str, String, usize)>>,
    /// Refusals that receivers spoke themselves.
    pub(crate) told: Mutex<Vec<model::RefusalKind>>,
    /// The answer to every submit; `None` takes everything.
    pub(crate) answer: Mutex<Option<Result<Accepted, Refusal>>>,
}

impl Submit for Fake {
    fn submit(&self, input: Input) -> BoxFuture<'_, Result<Accepted, Refusal>> {
        let seen = match &input {
            Input::Raw(raw) => {
                raw.bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u32
            }
            Input::Wire(_) => 0,
        };
        let taken = || Ok(Accepted { seen, ..Accepted::default() });
        let answer = self.answer.lock().unwrap().clone().unwrap_or_else(taken);
        if answer.is_ok() {
            self.inputs.lock().unwrap().push(input);
        }
        Box::pin(std::future::ready(answer))
    }

    fn refused(&self, _: &Origin, refusal: &Refusal) {
        self.told.lock().unwrap().push(refusal.kind);
    }

    fn quarantine(&self, origin: &Origin, reason: &'static str, message: &str, bytes: &[u8]) {
        self.aside.lock().unwrap().push((origin.clone(), reason, message.to_owned(), bytes.len()));
    }
}

impl Fake {
    pub(crate) fn refuse(&self, refusal: Refusal) {
        *self.answer.lock().unwrap() = Some(Err(refusal));
    }

    pub(crate) fn accept(&self, counts: Counts, rejected: &[(u32, &str)]) {
        let rejected = rejected
            .iter()
            .map(|(index, message)| Rejected {
                index: *index,
                records: 1,
                reason: "bad_id",
                message: (*message).to_owned(),
                bytes: Bytes::new(),
            })
            .collect();
        *self.answer.lock().unwrap() = Some(Ok(Accepted { counts, rejected, ..Accepted::default() }));
    }
}

/// A running front door.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) fake: Arc<Fake>,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

/// Headers, body, and the status and text that must come back.
pub(crate) type Case<'a, S> = (&'a [(&'a str, &'a str)], Vec<u8>, S, &'a str);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn house() -> House {
    house_with(serde_json::json!({}), serde_json::json!({}))
}

/// A front door with these settings; `receivers` has the settings of each by name.
#[allow(clippy::needless_pass_by_value, reason = "callers write literals")]
pub(crate) fn house_with(settings: serde_json::Value, receivers: serde_json::Value) -> House {
    let fake = Arc::new(Fake::default());
    let memory = Memory::new(512 << 20);
    let metrics = Metrics::default();
    let mut settings: Settings = serde_json::from_value(settings).unwrap();
    settings.addresses = vec!["127.0.0.1:0".parse().unwrap()];
    let checked = settings.check().unwrap();
    let context = Context {
        intake: Intake(Arc::clone(&fake) as Arc<dyn Submit>),
        memory: memory.clone(),
        workers: Workers::start("test", 2, 16).unwrap(),
        metrics: metrics.clone(),
        pace: checked.pace,
        closing: Arc::default(),
    };
    let mounted = ROWS
        .iter()
        .map(|row| {
            let settings = receivers.get(row.name).cloned().unwrap_or_else(|| serde_json::json!({}));
            (Source::new(row.name).unwrap(), (row.check)(settings).unwrap())
        })
        .collect();
    let guarded =
        Router::new().route("/", get(|| async { "page" })).route("/metrics", get(|| async { "numbers" }));
    let public = Router::new().route("/healthz", get(|| async { "ok" }));
    let door = Door::open(mounted, &context, checked.gate, guarded, public).unwrap();
    let bound = Bound::bind(&checked.addresses).unwrap();
    let address = bound.addresses()[0];
    let server = bound.serve(Arc::new(door), checked.keeping);
    let client = Client::builder(TokioExecutor::new()).build_http();
    House { server, fake, memory, metrics, address, client }
}

impl House {
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        exchange(&self.client, request).await
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(body.into())).unwrap()
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.send(self.request("POST", path, headers, body)).await
    }

    pub(crate) fn inputs(&self) -> Vec<Input> {
        std::mem::take(&mut *self.fake.inputs.lock().unwrap())
    }

    pub(crate) fn aside(&self) -> Vec<(&'static str, String, usize)> {
        let aside = std::mem::take(&mut *self.fake.aside.lock().unwrap());
        aside.into_iter().map(|(_, reason, message, bytes)| (reason, message, bytes)).collect()
    }

    pub(crate) fn count(&self, line: &str) -> u64 {
        let page = self.metrics.render();
        let found = page.lines().find_map(|have| have.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0)
    }

    /// Ends everything; all memory must be back.
    pub(crate) async fn close(self) {
        drop(self.client);
        assert!(self.server.drain(Duration::from_secs(20)).await, "connections are left");
        assert_eq!(self.memory.used(), 0, "leased memory is left");
    }
}

pub(crate) async fn exchange<C>(client: &Client<C, Full<Bytes>>, request: Request<Full<Bytes>>) -> Answer
where
    C: hyper_util::client::legacy::connect::Connect + Clone + Send + Sync + 'static,
{
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    wire::coding::compress(wire::Coding::Gzip, 6, plain)
}

pub(crate) fn snappy(plain: &[u8]) -> Vec<u8> {
    wire::coding::compress(wire::Coding::Snappy, 0, plain)
}

/// A sample of the testkit.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/samples/");
    std::fs::read(format!("{path}{name}")).unwrap()
}
