//! A fake peer: a server on loopback that speaks HTTP/1.1 and HTTP/2 (prior knowledge), records what it is sent and
//! answers by script. It interprets nothing, so that a test states every byte of the answer.

pub mod grpc;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinHandle;

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// HTTP version.
    pub version: Version,
    /// Method.
    pub method: Method,
    /// Path with query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body, as sent.
    pub body: Bytes,
}

impl Seen {
    /// The text of a header, empty when it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// What the peer does with one request, after it has read it.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers.
    Answer(Box<Answer>),
    /// Closes the connection (HTTP/2: resets the stream) without an answer.
    Hangup,
    /// Never answers.
    Silence,
}

/// A scripted answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Trailers, sent behind the body.
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    /// An empty answer of `status`.
    pub fn status(status: u16) -> Self {
        Self::body(status, "")
    }

    /// An answer of `status` with `body`.
    pub fn body(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("a scripted status is a valid one");
        Self::Answer(Box::new(Answer {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            trailers: None,
        }))
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers.append(HeaderName::from_static(name), text(value));
        }
        self
    }

    /// The same answer with one more trailer.
    #[must_use]
    pub fn trailer(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            let trailers = answer.trailers.get_or_insert_default();
            trailers.append(HeaderName::from_static(name), text(value));
        }
        self
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("a scripted header value is a valid one")
}

/// A running fake peer; it stops when dropped.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    state: Arc<State>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

/// What a peer answers when its script is used up.
type Otherwise = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct State {
    script: Mutex<VecDeque<Reply>>,
    otherwise: Otherwise,
    together: Barrier,
    seen: Mutex<Vec<Seen>>,
    count: watch::Sender<usize>,
}

impl Peer {
    /// Listens on a free loopback port; answers `otherwise` whenever the script is used up.
    pub async fn start(otherwise: Reply) -> Self {
        Self::answering(move |_| otherwise.clone()).await
    }

    /// The same, when what it answers depends on what it is sent.
    pub async fn answering(otherwise: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(Box::new(otherwise), 1).await
    }

    /// One that answers nobody until `count` requests wait for their answers, and then all of them at once.
    pub async fn answering_together(count: usize, otherwise: Reply) -> Self {
        Self::listen(Box::new(move |_| otherwise.clone()), count).await
    }

    async fn listen(otherwise: Otherwise, together: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (count, watching) = watch::channel(0);
        let (script, seen, together) = (Mutex::default(), Mutex::default(), Barrier::new(together));
        let state = Arc::new(State { script, otherwise, together, seen, count });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, count: watching, task }
    }

    /// Adds one reply to the script.
    pub fn then(&self, reply: Reply) {
        lock(&self.state.script).push_back(reply);
    }

    /// The peer's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address` followed by `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far, in the order in which their bodies were complete.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state.seen).clone()
    }

    /// Waits until at least `count` requests were read.
    pub async fn wait_for(&self, count: usize) -> Vec<Seen> {
        let mut watching = self.count.clone();
        watching.wait_for(|seen| *seen >= count).await.expect("the peer lives as long as this handle");
        self.seen()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("seen", &lock(&self.seen).len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            // A scripted hang-up ends the connection with an error; that is its purpose.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> io::Result<Response<BoxBody<Bytes, Infallible>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let seen = Seen { version: head.version, method: head.method, path, headers: head.headers, body };
    let reply = {
        let mut all = lock(&state.seen);
        let scripted = lock(&state.script).pop_front();
        let reply = scripted.unwrap_or_else(|| (state.otherwise)(&seen));
        all.push(seen);
        state.count.send_replace(all.len());
        reply
    };
    state.together.wait().await;
    match reply {
        Reply::Answer(answer) => Ok(respond(*answer)),
        Reply::Silence => std::future::pending().await,
        Reply::Hangup => Err(io::Error::other("scripted hang-up")),
    }
}

pub(crate) fn respond(answer: Answer) -> Response<BoxBody<Bytes, Infallible>> {
    let body = Full::new(answer.body);
    let body = match answer.trailers {
        Some(trailers) => body.with_trailers(async move { Some(Ok(trailers)) }).boxed(),
        None => body.boxed(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}
