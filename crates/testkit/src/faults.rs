//! An HTTP proxy on loopback before a real server, which answers some requests itself: busy, broken, too large, or with the
//! server's work done and its answer lost. HTTP/1.1 and HTTP/2 (prior knowledge), bodies and trailers as they came.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::background::Background;
use crate::peer::{Reply, respond};

type Body = BoxBody<Bytes, Infallible>;

/// What becomes of one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The server never sees it; this is the answer.
    Instead(Reply),
    /// The server does its work; this is the answer in place of the server's.
    After(Reply),
}

/// What happened so far, of the requests that faults are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests whose answer came from the server.
    pub passed: u64,
    /// Requests that the server never saw.
    pub instead: u64,
    /// Requests whose answer from the server was lost.
    pub after: u64,
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct Faults {
    port: u16,
    state: Arc<Mutex<State>>,
    _background: Background,
}

#[derive(Debug)]
struct State {
    only: String,
    next: VecDeque<Fault>,
    sometimes: Option<Sometimes>,
    counts: Counts,
}

#[derive(Debug)]
struct Sometimes {
    seed: u64,
    permille: u64,
    fault: Fault,
}

impl Faults {
    /// Listens on a free loopback port and passes everything to `port` on loopback. Faults are for requests whose path with
    /// query contains `only`; the empty text is in all.
    pub fn start(port: u16, only: &str) -> Self {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let own = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(Mutex::new(State {
            only: only.to_owned(),
            next: VecDeque::new(),
            sometimes: None,
            counts: Counts::default(),
        }));
        let theirs = Arc::clone(&state);
        let background = Background::run("faults", move || serve(listener, port, theirs));
        Self { port: own, state, _background: background }
    }

    /// The port that clients are given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next `count` requests meet this fault.
    pub fn next(&self, count: usize, fault: &Fault) {
        lock(&self.state).next.extend(std::iter::repeat_n(fault, count).cloned());
    }

    /// From now on, so many of a thousand requests meet this fault, by a generator that starts at `seed`; 0 ends it. What
    /// [`Faults::next`] asked for comes first.
    pub fn sometimes(&self, seed: u64, permille: u64, fault: Fault) {
        lock(&self.state).sometimes = (permille > 0).then_some(Sometimes { seed, permille, fault });
    }

    /// Ends every fault, those still to come too.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        state.next.clear();
        state.sometimes = None;
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        lock(&self.state).counts
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The fault of the request that comes now, and books it.
    fn draw(&mut self, path: &str) -> Option<Fault> {
        if !path.contains(&self.only) {
            return None;
        }
        let fault = self.next.pop_front().or_else(|| {
            let sometimes = self.sometimes.as_mut()?;
            (random(&mut sometimes.seed) % 1000 < sometimes.permille).then(|| sometimes.fault.clone())
        });
        match &fault {
            None => self.counts.passed += 1,
            Some(Fault::Instead(_)) => self.counts.instead += 1,
            Some(Fault::After(_)) => self.counts.after += 1,
        }
        fault
    }
}

/// The next number of the generator SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The way to the server, by the version that the client speaks.
struct Server {
    authority: Authority,
    one: Client<HttpConnector, Full<Bytes>>,
    two: Client<HttpConnector, Body>,
}

async fn serve(listener: std::net::TcpListener, port: u16, state: Arc<Mutex<State>>) {
    let listener = TcpListener::from_std(listener).expect("the socket is a listener");
    let server = Arc::new(Server {
        authority: Authority::try_from(format!("127.0.0.1:{port}")).expect("an address is an authority"),
        one: Client::builder(TokioExecutor::new()).build_http(),
        two: Client::builder(TokioExecutor::new()).http2_only(true).build_http(),
    });
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            Some(_) = connections.join_next() => continue,
        };
        let (server, state) = (Arc::clone(&server), Arc::clone(&state));
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&server), Arc::clone(&state), request));
            // A hang-up ends the connection with an error; that is its purpose.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let fault = lock(&state).draw(&path);
    match fault {
        None => server.pass(Request::from_parts(head, body)).await,
        Some(Fault::Instead(reply)) => replied(reply).await,
        Some(Fault::After(reply)) => {
            server.pass(Request::from_parts(head, body)).await?;
            replied(reply).await
        }
    }
}

async fn replied(reply: Reply) -> io::Result<Response<Body>> {
    match reply {
        Reply::Answer(answer) => Ok(respond(*answer)),
        Reply::Silence => std::future::pending().await,
        Reply::Hangup => Err(io::Error::other("scripted hang-up")),
    }
}

impl Server {
    /// The server's answer, read whole.
    async fn pass(&self, mut request: Request<Collected<Bytes>>) -> io::Result<Response<Body>> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        *request.uri_mut() = Uri::from_parts(uri).map_err(io::Error::other)?;
        let answer = if request.version() == Version::HTTP_2 {
            self.two.request(request.map(BodyExt::boxed)).await
        } else {
            self.one.request(request.map(|body| Full::new(body.to_bytes()))).await
        };
        let (head, body) = answer.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?;
        Ok(Response::from_parts(head, body.boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;
    use crate::process::http;

    fn statuses(faults: &Faults, path: &str, count: usize) -> Vec<u16> {
        let ask = || http(faults.port(), "POST", path, &[], b"x").map_or(0, |answer| answer.status);
        std::iter::repeat_with(ask).take(count).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_not_faulty_passes_as_it_came() {
        let peer = Peer::start(Reply::body(207, "theirs").header("x-theirs", "1")).await;
        let faults = Faults::start(peer.address().port(), "");
        let headers = [("x-mine", "Ü"), ("content-type", "a/b")];
        let answer = http(faults.port(), "PUT", "/a%20b?c=d&e", &headers, b"\0\xff").expect("an answer");
        assert_eq!((answer.status, answer.text()), (207, "theirs".to_owned()));
        assert_eq!(answer.header("x-theirs"), Some("1"));
        let seen = peer.wait_for(1).await.remove(0);
        assert_eq!((seen.path.as_str(), seen.method.as_str()), ("/a%20b?c=d&e", "PUT"));
        assert_eq!(seen.body.as_ref(), b"\0\xff");
        assert_eq!(seen.headers["x-mine"].as_bytes(), "Ü".as_bytes());
        assert_eq!(seen.header("host"), format!("127.0.0.1:{}", faults.port()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn faults_come_in_their_order_and_only_where_they_are_for() {
        let peer = Peer::start(Reply::status(200)).await;
        let faults = Faults::start(peer.address().port(), "/_bulk");
        faults.next(2, &Fault::Instead(Reply::status(429).header("retry-after", "1")));
        faults.next(1, &Fault::After(Reply::status(503)));
        faults.next(1, &Fault::After(Reply::Hangup));
        assert_eq!(statuses(&faults, "/other", 2), [200, 200]);
        assert_eq!(statuses(&faults, "/_bulk?x", 5), [429, 429, 503, 0, 200]);
        assert_eq!(peer.seen().len(), 5, "the server saw all but those refused in its place");
        assert_eq!(faults.counts(), Counts { passed: 1, instead: 2, after: 2 });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn chance_is_the_same_for_the_same_seed_and_ends_when_told_to() {
        let peer = Peer::start(Reply::status(200)).await;
        let faults = Faults::start(peer.address().port(), "");
        let mut drawn = Vec::new();
        for _ in 0..2 {
            faults.sometimes(7, 500, Fault::Instead(Reply::status(500)));
            drawn.push(statuses(&faults, "/", 40));
        }
        assert_eq!(drawn[0], drawn[1]);
        assert!(drawn[0].contains(&200) && drawn[0].contains(&500), "{drawn:?}");
        faults.next(3, &Fault::Instead(Reply::status(413)));
        faults.heal();
        assert_eq!(statuses(&faults, "/", 3), [200, 200, 200]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_server_is_a_hang_up() {
        let faults = Faults::start(crate::process::free_port(), "");
        assert_eq!(statuses(&faults, "/", 1), [0]);
    }
}
