//! A TCP proxy on loopback between the gateway and any server, whose fault can be switched while it runs.
//!
//! It knows nothing of what it carries. A fault holds for every connection, open or new, until the next one is set;
//! [`Proxy::reset`] is an event and leaves the fault as it is. For faults in the language of HTTP there is `faults.rs`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::background::Background;
use crate::process::PATIENCE;

/// Bytes that are read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction of a connection that is delayed: 4 MiB, then it is not read from.
const UNDER_WAY: usize = 256;

/// What is wrong with the way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every byte arrives so much later, in both directions; as many can be under way as before.
    Delay(Duration),
    /// So many bytes a second, in each direction of each connection.
    Slow(u64),
    /// Half-open: connections are accepted and nothing is carried, in either direction. What was under way arrives when the
    /// fault ends.
    Silent,
    /// Nobody listens: new connections are refused. Open ones go on; [`Proxy::reset`] ends them.
    Refuse,
    /// New connections are accepted and reset at once. Open ones go on.
    Reset,
    /// Each connection ends when so many more bytes went to the server.
    CutRequest(u64),
    /// Each connection ends when so many more bytes came back from the server.
    CutAnswer(u64),
}

/// What went through so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Those that are open now.
    pub open: u64,
    /// Bytes handed to the server.
    pub to_server: u64,
    /// Bytes handed to clients.
    pub to_client: u64,
}

/// A running proxy; it ends, with its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    control: watch::Sender<Control>,
    shared: Arc<Shared>,
    _background: Background,
}

#[derive(Debug, Clone, Copy, Default)]
struct Control {
    fault: Fault,
    /// How often a fault was set: a cut counts from there.
    switches: u64,
    /// How often everything was reset.
    resets: u64,
}

#[derive(Debug, Default)]
struct Shared {
    /// The switches that the acceptor has acted on.
    applied: Mutex<u64>,
    changed: Condvar,
    connections: AtomicU64,
    open: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Proxy {
    /// Listens on a free loopback port and carries to `port` on loopback, which need not be listening yet.
    pub fn start(port: u16) -> Self {
        // Listening begins here, so that no client is refused before the thread runs.
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (control, controlled) = watch::channel(Control::default());
        let shared = Arc::new(Shared::default());
        let acceptor = Acceptor {
            address,
            server: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            control: controlled,
            shared: Arc::clone(&shared),
        };
        let background = Background::run("proxy", move || acceptor.run(listener));
        Self { port: address.port(), control, shared, _background: background }
    }

    /// The port that clients are given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the fault; when this returns, it holds for the next connection.
    pub fn set(&self, fault: Fault) {
        self.control.send_modify(|control| {
            control.fault = fault;
            control.switches += 1;
        });
        let switches = self.control.borrow().switches;
        let applied = self.shared.applied.lock().unwrap_or_else(PoisonError::into_inner);
        let (_applied, waited) = self
            .shared
            .changed
            .wait_timeout_while(applied, PATIENCE, |applied| *applied < switches)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "the proxy has not taken {fault:?}");
    }

    /// Resets every open connection, to the server too.
    pub fn reset(&self) {
        self.control.send_modify(|control| control.resets += 1);
    }

    /// What went through so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.shared.connections),
            open: read(&self.shared.open),
            to_server: read(&self.shared.to_server),
            to_client: read(&self.shared.to_client),
        }
    }
}

/// What takes connections, or keeps the port from others while it refuses them.
enum Place {
    Listening(TcpListener),
    Held(TcpSocket),
}

struct Acceptor {
    address: SocketAddr,
    server: SocketAddr,
    control: watch::Receiver<Control>,
    shared: Arc<Shared>,
}

impl Acceptor {
    async fn run(mut self, listener: std::net::TcpListener) {
        let mut place = Place::Listening(TcpListener::from_std(listener).expect("the socket is a listener"));
        let mut connections = JoinSet::new();
        loop {
            let Control { fault, switches, .. } = *self.control.borrow_and_update();
            place = match (place, fault == Fault::Refuse) {
                (Place::Listening(listener), true) => {
                    drop(listener);
                    Place::Held(hold(self.address).expect("the port was ours a moment ago"))
                }
                (Place::Held(socket), false) => {
                    Place::Listening(socket.listen(1024).expect("a bound socket can listen"))
                }
                (place, _) => place,
            };
            *self.shared.applied.lock().unwrap_or_else(PoisonError::into_inner) = switches;
            self.shared.changed.notify_all();
            tokio::select! {
                changed = self.control.changed() => if changed.is_err() { return },
                Some(client) = next(&place) => {
                    self.shared.connections.fetch_add(1, Ordering::Relaxed);
                    if self.control.borrow().fault == Fault::Reset {
                        reset(client);
                    } else {
                        let (control, shared) = (self.control.clone(), Arc::clone(&self.shared));
                        connections.spawn(connection(client, self.server, control, shared));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn next(place: &Place) -> Option<TcpStream> {
    match place {
        Place::Listening(listener) => listener.accept().await.ok().map(|(client, _)| client),
        Place::Held(_) => std::future::pending().await,
    }
}

fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections that are still open, or just were, keep the port too.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Closes with RST in place of FIN.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// How a connection ended.
enum End {
    /// As its two sides wanted.
    Closed,
    /// Cut: closed in the middle.
    Cut,
    /// One side vanished, or a reset was asked for.
    Reset,
}

async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    control: watch::Receiver<Control>,
    shared: Arc<Shared>,
) {
    shared.open.fetch_add(1, Ordering::Relaxed);
    let resets = control.borrow().resets;
    let mut upstream = None;
    let carried = async {
        let mut watching = control.clone();
        audible(&mut watching).await;
        let Ok(stream) = TcpStream::connect(server).await else { return End::Reset };
        let stream = upstream.insert(stream);
        let _ = stream.set_nodelay(true);
        let _ = client.set_nodelay(true);
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = stream.split();
        let request = pump(from_client, to_server, Way::Request, control.clone(), &shared.to_server);
        let answer = pump(from_server, to_client, Way::Answer, control.clone(), &shared.to_client);
        tokio::pin!(request, answer);
        // One side may close its half and go on reading; anything else ends both.
        let (first, other) = tokio::select! {
            end = &mut request => (end, answer),
            end = &mut answer => (end, request),
        };
        match first {
            End::Closed => other.await,
            end => end,
        }
    };
    let mut killed = control.clone();
    let end = tokio::select! {
        _ = killed.wait_for(|control| control.resets != resets) => End::Reset,
        end = carried => end,
    };
    if matches!(end, End::Reset) {
        reset(client);
        upstream.into_iter().for_each(reset);
    }
    shared.open.fetch_sub(1, Ordering::Relaxed);
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// Waits while the fault is [`Fault::Silent`]. An error means that the proxy is being dropped.
async fn audible(control: &mut watch::Receiver<Control>) {
    let _ = control.wait_for(|control| control.fault != Fault::Silent).await;
}

/// Carries one direction. A delay is a line of chunks with the moments at which they are due, so that it costs no bandwidth.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    control: watch::Receiver<Control>,
    carried: &AtomicU64,
) -> End {
    let (line, mut due) = mpsc::channel::<(Instant, Bytes)>(UNDER_WAY);
    let mut watching = control.clone();
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            audible(&mut watching).await;
            match from.read(&mut buffer).await {
                Ok(0) => return End::Closed,
                Err(_) => return End::Reset,
                Ok(count) => {
                    let delay = match watching.borrow().fault {
                        Fault::Delay(delay) => delay,
                        _ => Duration::ZERO,
                    };
                    let chunk = Bytes::copy_from_slice(&buffer[..count]);
                    if line.send((Instant::now() + delay, chunk)).await.is_err() {
                        return End::Closed;
                    }
                }
            }
        }
    };
    let write = async {
        let mut control = control;
        let mut cut = Cut::default();
        while let Some((moment, chunk)) = due.recv().await {
            tokio::time::sleep_until(moment).await; // waits for time: the fault is lateness
            audible(&mut control).await;
            let Control { fault, switches, .. } = *control.borrow();
            let whole = chunk.len() as u64;
            let allowed = cut.allowed(fault, switches, way).min(whole);
            let part = &chunk[..usize::try_from(allowed).unwrap_or(chunk.len())];
            if send(&mut to, part, &control, carried).await.is_err() {
                return End::Reset;
            }
            cut.passed += allowed;
            if allowed < whole || cut.allowed(fault, switches, way) == 0 {
                return End::Cut;
            }
        }
        End::Closed
    };
    let end = {
        tokio::pin!(read, write);
        tokio::select! {
            end = &mut write => end,
            // What was read before the end is still carried.
            end = &mut read => match write.await {
                End::Closed => end,
                other => other,
            },
        }
    };
    if matches!(end, End::Closed) {
        let _ = to.shutdown().await;
    }
    end
}

/// The bytes that passed since a fault was set.
#[derive(Default)]
struct Cut {
    switches: u64,
    passed: u64,
}

impl Cut {
    /// How many more bytes may pass.
    fn allowed(&mut self, fault: Fault, switches: u64, way: Way) -> u64 {
        if self.switches != switches {
            *self = Self { switches, passed: 0 };
        }
        match (fault, way) {
            (Fault::CutRequest(bytes), Way::Request) | (Fault::CutAnswer(bytes), Way::Answer) => {
                bytes.saturating_sub(self.passed)
            }
            _ => u64::MAX,
        }
    }
}

async fn send(
    to: &mut WriteHalf<'_>,
    mut bytes: &[u8],
    control: &watch::Receiver<Control>,
    carried: &AtomicU64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let fault = control.borrow().fault;
        let mut count = bytes.len();
        if let Fault::Slow(each_second) = fault {
            // A tenth of a second's bytes.
            count = count.min(usize::try_from(each_second / 10).unwrap_or(CHUNK).max(1));
            let takes = Duration::from_secs_f64(count as f64 / each_second.max(1) as f64);
            tokio::time::sleep(takes).await; // waits for time: the fault is slowness
        }
        let (piece, rest) = bytes.split_at(count);
        to.write_all(piece).await?;
        carried.fetch_add(count as u64, Ordering::Relaxed);
        bytes = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use super::*;
    use crate::process::eventually;

    /// A server that sends back what it reads, until its test drops the listener's connections.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let _: JoinHandle<()> = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut &stream, &mut &stream);
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn echoed(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn without_a_fault_bytes_and_ends_are_carried_and_counted() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).expect("a connection");
        let text: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let writer = {
            let (mut stream, text) = (stream.try_clone().expect("a handle"), text.clone());
            std::thread::spawn(move || {
                stream.write_all(&text).expect("the proxy reads");
                stream.shutdown(std::net::Shutdown::Write).expect("a half can be closed");
            })
        };
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("a clean end");
        writer.join().expect("all was written");
        assert!(back == text);
        let counts = eventually("the end", || Some(proxy.counts()).filter(|counts| counts.open == 0));
        assert_eq!(counts, Counts { connections: 1, open: 0, to_server: 200_000, to_client: 200_000 });
    }

    #[test]
    fn a_delay_is_waited_for_in_both_directions() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).expect("a connection");
        proxy.set(Fault::Delay(Duration::from_millis(60)));
        let begun = std::time::Instant::now();
        assert_eq!(echoed(&mut stream, b"late").expect("an echo"), b"late");
        assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());
    }

    #[test]
    fn slowness_is_so_many_bytes_a_second_and_ends_when_the_fault_does() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).expect("a connection");
        proxy.set(Fault::Slow(1000));
        let begun = std::time::Instant::now();
        assert_eq!(echoed(&mut stream, &[7; 100]).expect("an echo"), [7; 100]);
        assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
        proxy.set(Fault::Slow(10));
        stream.write_all(&[8; 10_000]).expect("the proxy reads");
        proxy.set(Fault::None);
        let mut back = vec![0; 10_000];
        stream.read_exact(&mut back).expect("the rest comes quickly");
    }

    #[test]
    fn a_silent_proxy_accepts_and_carries_when_the_silence_ends() {
        let proxy = Proxy::start(echo());
        let mut open = connect(&proxy).expect("a connection");
        echoed(&mut open, b"before").expect("an echo");
        let before = proxy.counts();
        proxy.set(Fault::Silent);
        let mut new = connect(&proxy).expect("a half-open connection");
        for stream in [&mut open, &mut new] {
            stream.write_all(b"held").expect("the kernel takes it");
            stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
            let error = stream.read(&mut [0]).expect_err("nothing is answered");
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        assert_eq!(proxy.counts().to_server, before.to_server);
        proxy.set(Fault::None);
        for stream in [&mut open, &mut new] {
            let mut back = [0; 4];
            stream.read_exact(&mut back).expect("an echo");
            assert_eq!(&back, b"held");
        }
    }

    #[test]
    fn resets_are_resets() {
        let proxy = Proxy::start(echo());
        let mut open = connect(&proxy).expect("a connection");
        echoed(&mut open, b"before").expect("an echo");
        proxy.set(Fault::Reset);
        echoed(&mut open, b"open ones go on").expect("an echo");
        let reset = connect(&proxy).and_then(|mut new| echoed(&mut new, b"x")).expect_err("a reset");
        assert!(matches!(reset.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{reset}");
        proxy.reset();
        let error = open.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        proxy.set(Fault::None);
        let mut new = connect(&proxy).expect("a connection");
        assert_eq!(echoed(&mut new, b"well").expect("an echo"), b"well");
    }

    #[test]
    fn refused_connections_are_refused_and_the_port_stays_ours() {
        let proxy = Proxy::start(echo());
        let mut open = connect(&proxy).expect("a connection");
        echoed(&mut open, b"before").expect("an echo");
        for _ in 0..3 {
            proxy.set(Fault::Refuse);
            let error = connect(&proxy).expect_err("nobody listens");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            echoed(&mut open, b"open ones go on").expect("an echo");
            proxy.set(Fault::None);
            let mut new = connect(&proxy).expect("a connection");
            echoed(&mut new, b"well").expect("an echo");
        }
    }

    #[test]
    fn a_cut_ends_each_connection_at_its_byte() {
        let proxy = Proxy::start(echo());
        let mut old = connect(&proxy).expect("a connection");
        echoed(&mut old, b"these do not count").expect("an echo");
        proxy.set(Fault::CutAnswer(5));
        let new = connect(&proxy).expect("a connection");
        for mut stream in [old, new] {
            stream.write_all(b"0123456789").expect("the proxy reads");
            let mut back = Vec::new();
            let _ = stream.read_to_end(&mut back);
            assert_eq!(back, b"01234");
        }
        let before = eventually("the ends", || Some(proxy.counts()).filter(|counts| counts.open == 0));
        proxy.set(Fault::CutRequest(3));
        let mut stream = connect(&proxy).expect("a connection");
        stream.write_all(b"0123456789").expect("the proxy reads");
        let _ = stream.read_to_end(&mut Vec::new());
        assert_eq!(proxy.counts().to_server - before.to_server, 3);
    }

    #[test]
    fn a_dead_server_resets() {
        let port = crate::process::free_port();
        let proxy = Proxy::start(port);
        let error = connect(&proxy).and_then(|mut s| echoed(&mut s, b"x")).expect_err("nobody there");
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }
}
