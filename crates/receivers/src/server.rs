//! The front door's sockets: binding, accepting, serving HTTP/1, HTTP/2 and gRPC on each, and the drain.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::connection::{Activity, Verdict, Watched};
use crate::door::Door;
use crate::settings::Keeping;

/// Connections that the system keeps for us before they are accepted.
const BACKLOG: u32 = 1024;
/// The pause after an accept that failed for want of descriptors or memory: long enough not to spin, short enough not to be felt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Largest head of a request, on HTTP/1 (whose read buffer it is) and on HTTP/2 (decoded header list).
const MAX_HEAD: usize = 64 << 10;
/// Header lines of an HTTP/1 request.
const MAX_HEADERS: usize = 128;
/// HTTP/2 flow control: one stream may send a whole usual batch without waiting.
const STREAM_WINDOW: u32 = 4 << 20;
/// … and a connection four of them.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Large frames cost less per byte; clients that keep to 16 KiB may.
const MAX_FRAME: u32 = 1 << 20;
/// Streams a connection may have open.
const MAX_STREAMS: u32 = 256;
/// How often the gateway pings a quiet HTTP/2 peer, so that a dead one is noticed.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long that peer may take to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// An address that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {} cannot be listened on", self.address)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Open listeners; connections already queue up, and are served from `serve` on.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
}

impl Bound {
    /// Listens on every address; port 0 takes a free one. Needs a Tokio runtime. Fails at the first address that cannot be had.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        let mut bound = Vec::new();
        for &address in addresses {
            let listener = listen(address).map_err(|source| BindError { address, source })?;
            bound.push(listener.local_addr().map_err(|source| BindError { address, source })?);
            listeners.push(listener);
        }
        Ok(Self { listeners, addresses: bound })
    }

    /// The addresses, with the ports that were taken, in the order given.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves `door` on every listener until `Server::drain`.
    pub fn serve(self, door: Arc<Door>, keeping: Keeping) -> Server {
        let (phase, seen) = watch::channel(Phase::Serving);
        let (alive, ended) = mpsc::channel(1);
        let slots = Arc::new(Semaphore::new(keeping.max_connections.min(Semaphore::MAX_PERMITS)));
        for listener in self.listeners {
            let room =
                Room { slots: Arc::clone(&slots), door: Arc::clone(&door), keeping, _alive: alive.clone() };
            tokio::spawn(accept(listener, room, seen.clone()));
        }
        Server { addresses: self.addresses, phase, ended, door }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else a restart waits for the connections of its predecessor to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Over,
}

/// A running front door. Dropping it ends every connection at once; `drain` is the polite way.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    phase: watch::Sender<Phase>,
    ended: mpsc::Receiver<Infallible>,
    door: Arc<Door>,
}

impl Server {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What is behind the sockets.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// Stops accepting, asks every connection to end after the requests in flight (HTTP/2: GOAWAY), and cuts what is left
    /// after `deadline`. Says whether everything ended by itself.
    pub async fn drain(mut self, deadline: Duration) -> bool {
        self.door.close();
        self.phase.send_replace(Phase::Draining);
        let polite = tokio::time::timeout(deadline, self.ended.recv()).await.is_ok();
        self.phase.send_replace(Phase::Over);
        if !polite {
            let _ = self.ended.recv().await;
        }
        polite
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Room {
    slots: Arc<Semaphore>,
    door: Arc<Door>,
    keeping: Keeping,
    /// Nothing is ever sent: the channel closes when the last connection and the last listener are gone.
    _alive: mpsc::Sender<Infallible>,
}

async fn accept(listener: TcpListener, room: Room, mut phase: watch::Receiver<Phase>) {
    let mut complained = false;
    loop {
        let next = async {
            let slot = Arc::clone(&room.slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            next = next => next,
            _ = phase.wait_for(|now| *now != Phase::Serving) => return,
        };
        let Ok(slot) = slot else { return };
        match accepted {
            Ok((socket, _)) => {
                complained = false;
                // Without it the last part of an answer waits for the client's acknowledgement of the first.
                let _ = socket.set_nodelay(true);
                tokio::spawn(connection(socket, slot, room.clone(), phase.clone()));
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an accept failed because of that connection alone.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn connection(
    socket: TcpStream,
    slot: OwnedSemaphorePermit,
    room: Room,
    mut phase: watch::Receiver<Phase>,
) {
    let activity = Activity::new();
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&activity)));
    let service = Service { door: Arc::clone(&room.door), activity: Arc::clone(&activity) };
    let builder = protocols();
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut closing = false;
    let mut look_again = Instant::now() + room.keeping.header_timeout;
    loop {
        let now = tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                break;
            }
            changed = phase.changed() => match changed {
                Ok(()) => *phase.borrow_and_update(),
                Err(_) => Phase::Over,
            },
            () = sleep_until(look_again) => match activity.verdict(&room.keeping, Instant::now()) {
                Verdict::Fine(until) => {
                    look_again = until;
                    continue;
                }
                // A polite end was tried before, and the client takes no part in it.
                Verdict::Idle if closing => break,
                Verdict::Idle => {
                    look_again = Instant::now() + room.keeping.header_timeout;
                    Phase::Draining
                }
                Verdict::Stalled => break,
            },
        };
        match now {
            Phase::Serving => {}
            Phase::Draining if closing => {}
            Phase::Draining => {
                closing = true;
                serving.as_mut().graceful_shutdown();
            }
            Phase::Over => break,
        }
    }
    drop(slot);
}

fn protocols() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The connection's own watch does this without ending idle connections.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_frame_size(MAX_FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

struct Service {
    door: Arc<Door>,
    activity: Arc<Activity>,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = self.activity.begin();
        let door = Arc::clone(&self.door);
        Box::pin(async move {
            let response = door.enter(request.map(Body::new)).await;
            drop(in_flight);
            Ok(response)
        })
    }
}
