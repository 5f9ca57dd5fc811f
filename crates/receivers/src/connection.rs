//! One connection: the socket as hyper sees it, and the watch over clients that keep it without using it.
//!
//! hyper's own header timeout also ends idle keep-alive connections, and its choice between HTTP/1 and HTTP/2 waits without
//! any limit. So the watch is here: from the bytes that pass and the requests that begin and end it knows whether a head is
//! being sent, and when a connection was last of use.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::settings::Keeping;

/// What the client of a new HTTP/2 connection sends first.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2";
/// How long a closed connection goes on reading what its client still sends, so that the client sees the last answer
/// and not a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How much it reads of that at most.
const LINGER_BYTES: usize = 16 << 20;

/// What happens on one connection; shared by its socket, its requests and its watch.
#[derive(Debug)]
pub(crate) struct Activity {
    opened: Instant,
    /// Milliseconds after `opened` at which a head began to come in, plus one; 0 while none does.
    head_since: AtomicU64,
    /// Milliseconds after `opened` at which the last request ended.
    idle_since: AtomicU64,
    in_flight: AtomicU32,
    /// Whether the client speaks HTTP/2: then bytes between requests are no head (pings, settings, window updates).
    http2: AtomicBool,
    /// Whether the client has sent anything yet.
    heard: AtomicBool,
}

/// What the watch decides.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing to do before this instant.
    Fine(Instant),
    /// Of no use any more: to be closed politely.
    Idle,
    /// A client that holds a request back: to be cut.
    Stalled,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            http2: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        })
    }

    /// A request begins: its head is there. It ends when the result is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn verdict(&self, keeping: &Keeping, now: Instant) -> Verdict {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Verdict::Fine(now + keeping.header_timeout);
        }
        let head = match self.head_since.load(Ordering::Relaxed) {
            0 if self.heard.load(Ordering::Relaxed) => None,
            0 => Some(0),
            since => Some(since - 1),
        };
        let idle_at = self.at(self.idle_since.load(Ordering::Relaxed)) + keeping.idle_timeout;
        let head_at = head.map(|since| self.at(since) + keeping.header_timeout);
        match head_at {
            Some(at) if at <= now => Verdict::Stalled,
            _ if idle_at <= now => Verdict::Idle,
            Some(at) => Verdict::Fine(at.min(idle_at)),
            // A head may begin at any moment, so look again before it could be late by much.
            None => Verdict::Fine(idle_at.min(now + keeping.header_timeout)),
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.opened + Duration::from_millis(millis)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn read(&self, bytes: &[u8]) {
        if !self.heard.swap(true, Ordering::Relaxed)
            && bytes.starts_with(&H2_PREFACE[..bytes.len().min(H2_PREFACE.len())])
        {
            // A client that stops in the middle of the preface is an idle one.
            self.http2.store(true, Ordering::Relaxed);
        }
        let between = self.in_flight.load(Ordering::Relaxed) == 0 && !self.http2.load(Ordering::Relaxed);
        if between && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.now() + 1, Ordering::Relaxed);
        }
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that reports what passes, and that lingers when it is closed.
pub(crate) struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
    linger: Option<Linger>,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    left: usize,
}

impl<S> Watched<S> {
    pub(crate) fn new(socket: S, activity: Arc<Activity>) -> Self {
        Self { socket, activity, linger: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.read(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            until: Box::pin(tokio::time::sleep(LINGER)), // waits for time: how long a close lingers
            left: LINGER_BYTES,
        });
        // Closing a socket with unread bytes resets it, and the reset overtakes the answer.
        let mut scratch = [0; 16 << 10];
        while linger.left > 0 {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.socket).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => linger.left = linger.left.saturating_sub(buf.filled().len()),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(linger.until.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPING: Keeping = Keeping {
        max_connections: 1,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(100),
    };

    fn after(activity: &Activity, seconds: u64) -> Verdict {
        activity.verdict(&KEEPING, activity.opened + Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_is_cut_after_the_header_timeout() {
        let activity = Activity::new();
        assert!(matches!(after(&activity, 9), Verdict::Fine(_)));
        assert_eq!(after(&activity, 10), Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_however_often_bytes_come() {
        let activity = Activity::new();
        for _ in 0..9 {
            activity.read(b"x");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(matches!(after(&activity, 9), Verdict::Fine(_)));
        assert_eq!(after(&activity, 10), Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_the_idle_timeout_after_its_last_request() {
        let activity = Activity::new();
        activity.read(b"GET / HTTP/1.1\r\n\r\n");
        let request = activity.begin();
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert!(matches!(after(&activity, 1000), Verdict::Fine(_)));
        drop(request);
        assert!(matches!(after(&activity, 1099), Verdict::Fine(_)));
        assert_eq!(after(&activity, 1100), Verdict::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_of_http2_are_no_head() {
        let activity = Activity::new();
        activity.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        tokio::time::advance(Duration::from_secs(50)).await;
        activity.read(&[0, 0, 8, 6, 0, 0, 0, 0, 0]);
        assert!(matches!(after(&activity, 99), Verdict::Fine(_)));
        assert_eq!(after(&activity, 100), Verdict::Idle);
    }
}
