//! The HTTP client that every HTTP and gRPC sink uses: one pool of connections a sink, no redirects, answers read under a
//! ceiling. It judges no status; it only says that there was no answer, which is always `Failure::Retry`.
//!
//! There is no deadline here: the courier drops the future when its own is over.

pub(crate) mod answer;
mod payload;
pub(crate) mod settings;
mod tls;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::{Clock, Failure};

pub(crate) use answer::Answer;
pub(crate) use payload::Payload;
pub(crate) use settings::{Auth, Tls};

/// How long a TCP connection may take to come up; the courier's deadline is for the whole attempt.
const CONNECT: Duration = Duration::from_secs(5);
/// After so long without a frame on HTTP/2 while a request waits, the peer is pinged: otherwise a peer that vanished without
/// a reset would keep its connection in the pool, and every later request on it, until TCP gives up.
const PING_AFTER: Duration = Duration::from_secs(15);
/// How long a ping may stay without an answer.
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Idle connections are closed before common balancers (60 s) forget them.
const IDLE: Duration = Duration::from_secs(50);
/// Ceiling on an answer's head: status line, headers, trailers.
const HEAD_LIMIT: usize = 64 << 10;

/// Which HTTP versions a peer is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speak {
    /// HTTP/1.1, or HTTP/2 where a TLS peer chooses it.
    Http,
    /// HTTP/2 only, from the first byte: gRPC.
    Http2,
}

/// A sink's client.
pub(crate) struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Payload>,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// A client that sends `headers` with every request. Reads certificates; dials nothing.
    pub(crate) fn open(
        speak: Speak,
        tls: Option<&Tls>,
        headers: HeaderMap,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let schemes = HttpsConnectorBuilder::new().with_tls_config(tls::config(tls)?).https_or_http();
        let connector = match speak {
            Speak::Http => schemes.enable_all_versions().wrap_connector(tcp),
            Speak::Http2 => schemes.enable_http2().wrap_connector(tcp),
        };
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD_LIMIT)
            .http2_max_header_list_size(HEAD_LIMIT as u32)
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_ANSWER)
            .http2_only(speak == Speak::Http2)
            .build(connector);
        Ok(Self { pool, headers, clock })
    }

    /// Posts `body` with the client's own headers and `headers`, which win. `Failure::Retry` when there was no answer.
    pub(crate) async fn post(&self, url: &Uri, headers: HeaderMap, body: Payload) -> Result<Answer, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        let all = request.headers_mut();
        all.extend(self.headers.clone());
        all.extend(headers);
        let response = self.send(request).await.map_err(|error| no_answer(url, &error))?;
        Ok(Answer::read(response, self.clock.now()).await)
    }

    /// Sends a request as it is, but for our name. The answer's body is not read yet: the caller sets a ceiling.
    pub(crate) async fn send(
        &self,
        mut request: Request<Payload>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        self.pool.request(request).await
    }
}

const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Names the peer by scheme and authority only: a path or query may hold a token.
fn no_answer(url: &Uri, error: &legacy::Error) -> Failure {
    let scheme = url.scheme_str().unwrap_or("http");
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let what = if error.is_connect() { "cannot be reached" } else { "gave no answer" };
    let reason = format!("{scheme}://{authority} {what}: {}", root(error));
    Failure::Retry { after: None, reason }
}

/// The innermost error is the one that says what happened; those around it only say where.
fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
