//! How a connection comes up: to the peer itself, or to a proxy and, where the peer is spoken to in TLS or HTTP/2, through a
//! tunnel of the proxy (RFC 9110, 9.3.6). TLS is laid over it by `hyper-rustls`, and a limit on how long all that takes over that.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::Service;

use super::answer::excerpt;
use super::proxy::{Proxies, Proxy};
use super::{AGENT, Speak, root};

/// How long a proxy may take to open a tunnel: it connects to the peer first.
const TUNNEL: Duration = Duration::from_secs(10);
/// Ceiling on the head of a proxy's answer.
const TUNNEL_HEAD: usize = 8 << 10;

type BoxError = Box<dyn Error + Send + Sync>;

/// Connections that come up in time, or not at all.
#[derive(Debug, Clone)]
pub(super) struct Within<C> {
    pub(super) inner: C,
    pub(super) most: Duration,
}

impl<C> Service<Uri> for Within<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (connection, most) = (self.inner.call(url), self.most);
        Box::pin(async move {
            let came = tokio::time::timeout(most, connection).await;
            came.unwrap_or_else(|_| Err(format!("no connection within {most:?}").into()))
        })
    }
}

/// Dials.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    pub(super) tcp: HttpConnector,
    pub(super) proxies: Arc<Proxies>,
    pub(super) speak: Speak,
}

/// Whether `url` goes to its proxy in absolute form, and not through a tunnel. HTTP/2 in the clear knows no such form.
pub(super) fn absolute(url: &Uri, speak: Speak) -> bool {
    speak == Speak::Http && url.scheme_str() != Some("https")
}

impl Service<Uri> for Dial {
    type Response = Road;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Road, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (mut tcp, speak) = (self.tcp.clone(), self.speak);
        let proxy = self.proxies.of(&url).cloned();
        Box::pin(async move {
            let Some(proxy) = proxy else {
                return Ok(Road { stream: tcp.call(url).await?, absolute: false });
            };
            let stream = tcp.call(proxy.url.clone()).await.map_err(|error| refused(&proxy, &root(&error)))?;
            if absolute(&url, speak) {
                return Ok(Road { stream, absolute: true });
            }
            let mut stream = stream.into_inner();
            let opened = tokio::time::timeout(TUNNEL, tunnel(&mut stream, &url, &proxy)).await;
            opened.unwrap_or_else(|_| Err("opens no tunnel".into())).map_err(|why| refused(&proxy, &why))?;
            Ok(Road { stream: TokioIo::new(stream), absolute: false })
        })
    }
}

/// Asks the proxy for a tunnel to the peer.
async fn tunnel(stream: &mut TcpStream, url: &Uri, proxy: &Proxy) -> Result<(), String> {
    let host = url.host().unwrap_or_default();
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let mut request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\nuser-agent: {AGENT}\r\n")
            .into_bytes();
    if let Some(authorization) = &proxy.authorization {
        request.extend([b"proxy-authorization: ", authorization.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    let broken = |error: io::Error| error.to_string();
    stream.write_all(&request).await.map_err(broken)?;
    // One byte at a time, since what follows the head is the peer's: a server of HTTP/2 may speak first.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == TUNNEL_HEAD {
            return Err(format!("answers with a head of more than {TUNNEL_HEAD} bytes"));
        }
        head.push(stream.read_u8().await.map_err(broken)?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    match status {
        Some([b'2', _, _]) => Ok(()),
        _ => Err(format!("answers {:?}", excerpt(line))),
    }
}

/// Why the proxy did not bring us on.
#[derive(Debug)]
struct Refused(String);

fn refused(proxy: &Proxy, why: &str) -> BoxError {
    let at = proxy.url.authority().map_or("", |authority| authority.as_str());
    Box::new(Refused(format!("proxy {at}: {why}")))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

/// A connection, and whether requests on it are written in absolute form.
#[derive(Debug)]
pub(super) struct Road {
    stream: TokioIo<TcpStream>,
    absolute: bool,
}

impl Connection for Road {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.absolute)
    }
}

impl Read for Road {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Road {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
