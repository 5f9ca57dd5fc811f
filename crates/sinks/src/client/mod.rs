//! The HTTP client that every HTTP and gRPC sink uses: one pool of connections a sink, no redirects, answers read under a
//! ceiling. It judges no status; it only says that there was no answer, which is always `Failure::Retry`, or `Failure::Unreachable` where
//! no connection came up or the one that was there turned out to be dead.
//!
//! There is no deadline for an answer here: the courier drops the future when its own is over.

pub(crate) mod answer;
mod connect;
pub(crate) mod endpoints;
mod identity;
mod payload;
pub(crate) mod percent;
mod proxy;
pub(crate) mod settings;
mod tls;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use model::{Clock, Failure, Tenant};
use rustls::pki_types::ServerName;

pub(crate) use answer::Answer;
use connect::{Dial, Within};
pub(crate) use endpoints::Endpoints;
pub(crate) use payload::Payload;
use proxy::Proxies;
pub(crate) use settings::{Auth, Compression, Plan, Tls, Written};

/// How long a client waits for signs of life; the courier's deadline is for the whole attempt.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For a TCP connection.
    tcp: Duration,
    /// For the whole of a connection, with a proxy's tunnel and TLS: a peer whose process hangs is connected to by its kernel.
    connection: Duration,
    /// After so long without a frame on HTTP/2 while a request waits, the peer is pinged: otherwise a peer that vanished without
    /// a reset would keep its connection in the pool, and every later request on it, until TCP gives up.
    ping_after: Duration,
    /// How long a ping may stay without an answer.
    ping_answer: Duration,
}

const PATIENCE: Patience = Patience {
    tcp: Duration::from_secs(5),
    connection: Duration::from_secs(20),
    ping_after: Duration::from_secs(15),
    ping_answer: Duration::from_secs(10),
};
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
    pool: legacy::Client<Within<HttpsConnector<Dial>>, Payload>,
    speak: Speak,
    headers: HeaderMap,
    tenant_header: Option<HeaderName>,
    proxies: Arc<Proxies>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// A client that sends `headers` with every request and uses no proxy. Reads certificates; dials nothing.
    #[cfg(test)]
    pub(crate) fn open(
        speak: Speak,
        tls: Option<&Tls>,
        headers: HeaderMap,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let tls = tls.cloned().unwrap_or_default();
        Self::of(speak, Plan { headers, tls, ..Plan::default() }, clock)
    }

    /// A client as planned. Reads certificates and, if the plan says so, the environment's proxies; dials nothing.
    pub(crate) fn of(speak: Speak, plan: Plan, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::with(PATIENCE, speak, plan, clock)
    }

    fn with(patience: Patience, speak: Speak, plan: Plan, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let proxies = Arc::new(plan.proxy.resolve(|name| std::env::var(name).ok())?);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(patience.tcp));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let dial = Dial { tcp, proxies: Arc::clone(&proxies), speak };
        let mut schemes =
            HttpsConnectorBuilder::new().with_tls_config(tls::config(&plan.tls)?).https_or_http();
        if let Some(name) = plan.tls.server_name {
            let name = ServerName::try_from(name).map_err(|error| format!("tls.server_name: {error}"))?;
            schemes = schemes.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let connector = match speak {
            Speak::Http => schemes.enable_all_versions().wrap_connector(dial),
            Speak::Http2 => schemes.enable_http2().wrap_connector(dial),
        };
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD_LIMIT)
            .http2_max_header_list_size(HEAD_LIMIT as u32)
            .http2_keep_alive_interval(patience.ping_after)
            .http2_keep_alive_timeout(patience.ping_answer)
            .http2_only(speak == Speak::Http2)
            .build(Within { inner: connector, most: patience.connection });
        Ok(Self { pool, speak, headers: plan.headers, tenant_header: plan.tenant_header, proxies, clock })
    }

    /// Names the tenant in `headers`, if the operator wants it so.
    pub(crate) fn name_tenant(&self, headers: &mut HeaderMap, tenant: &Tenant) {
        if let Some(name) = &self.tenant_header {
            let value = HeaderValue::from_str(tenant.as_str()).expect("a tenant is letters, digits and _-.");
            headers.insert(name.clone(), value);
        }
    }

    /// Posts `body` with the client's own headers and `headers`, which win. `Failure::Retry` or
    /// `Failure::Unreachable` when there was no answer.
    pub(crate) async fn post(&self, url: &Uri, headers: HeaderMap, body: Payload) -> Result<Answer, Failure> {
        self.request(Method::POST, url, headers, body, answer::BODY_LIMIT).await
    }

    /// As `post`, by any method; at most `limit` bytes of the answer's body are read.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Payload,
        limit: usize,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        let response = self.send(request).await.map_err(|error| no_answer(url, &error))?;
        Ok(Answer::read(response, limit, self.clock.now()).await)
    }

    /// Sends a request with the client's own headers, where it has none of that name, and our name. The answer's
    /// body is not read yet: the caller sets a ceiling.
    pub(crate) async fn send(
        &self,
        mut request: Request<Payload>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let mut headers = self.headers.clone();
        headers.extend(std::mem::take(request.headers_mut()));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(proxy) = self.proxies.of(request.uri())
            && let Some(authorization) = &proxy.authorization
            && connect::absolute(request.uri(), self.speak)
        {
            headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        *request.headers_mut() = headers;
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
    let told = |what: &str| format!("{scheme}://{authority} {what}: {}", root(error));
    match error {
        _ if error.is_connect() => Failure::Unreachable { reason: told("cannot be reached") },
        _ if left_a_ping_unanswered(error) => {
            Failure::Unreachable { reason: told("gave no answer, not even to a ping") }
        }
        _ => Failure::Retry { after: None, reason: told("gave no answer") },
    }
}

/// Whether the connection is dead: however long a request takes, a living peer of HTTP/2 answers pings meanwhile.
fn left_a_ping_unanswered(error: &legacy::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout) {
            return true;
        }
        cause = error.source();
    }
    false
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
