//! Senders for the four inputs: they number their items, note what they claim, and try again as the real sender of their
//! protocol does.
//!
//! | file | what |
//! |---|---|
//! | `request.rs` | the request that carries a range of items |
//! | `answer.rs` | what an answer means to the sender of that protocol |
//! | `grpc.rs` | unary gRPC |
//! | `pace.rs` | how far senders may go |

mod answer;
mod grpc;
mod pace;
mod request;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testkit::process::pause;

pub use answer::Outcome;
pub use pace::Pace;

use crate::claims::Claims;
use crate::content::Run;
use crate::item::{SAMPLES_PER_SERIES, Stream};

/// How many items a sender sends, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Items of each stream.
    pub items: u64,
    /// Items a second of each stream; `None` for as fast as answers come.
    pub rate: Option<u64>,
}

/// Most items of one request.
const MOST: u64 = 120;
/// How long one request is tried before its sender gives up: far longer than any fault of a scenario lasts.
const PATIENCE: Duration = Duration::from_secs(180);

/// A sender at work on a thread of its own.
#[derive(Debug)]
pub struct Sender {
    stream: Stream,
    stop: Arc<AtomicBool>,
    gave_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Sender {
    /// Starts to send `load` to the gateway at `port`, as far as `pace` allows.
    pub fn start(
        run: Run,
        stream: Stream,
        load: Load,
        port: u16,
        claims: Arc<Claims>,
        pace: Arc<Pace>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let gave_up = Arc::new(AtomicBool::new(false));
        let theirs = (Arc::clone(&stop), Arc::clone(&gave_up));
        let thread = std::thread::Builder::new()
            .name(format!("send-{}", stream.name()))
            .spawn(move || {
                let (stop, gave_up) = theirs;
                let sent = send(run, stream, load, port, &claims, &pace, &stop);
                gave_up.store(sent.is_err(), Ordering::Relaxed);
                sent
            })
            .expect("a thread can be started");
        Self { stream, stop, gave_up, thread: Some(thread) }
    }

    /// Whether it ended before it had sent all.
    pub fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }

    /// Waits until everything is answered; the error says what was given up.
    pub fn finish(mut self) -> Result<(), String> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        match thread.join() {
            Ok(done) => done.map_err(|error| format!("{}: {error}", self.stream.name())),
            Err(_) => Err(format!("{}: the sender panicked", self.stream.name())),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(
    run: Run,
    stream: Stream,
    load: Load,
    port: u16,
    claims: &Claims,
    pace: &Pace,
    stop: &AtomicBool,
) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(run.seed ^ stream as u64);
    let mut link = grpc::Link::new(port);
    let begun = Instant::now();
    let mut next = 0;
    while next < load.items {
        let size = size(stream, &mut random);
        while pace.allowed(load.items) == next {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            pause();
        }
        let end = (next + size).min(pace.allowed(load.items));
        let numbers = next..end;
        if let Some(rate) = load.rate {
            while begun.elapsed().as_secs_f64() * (rate as f64) < next as f64 {
                pause();
            }
        }
        claims.claim(stream, numbers.clone());
        one(run, stream, numbers, port, &mut link, claims, stop)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        next = end;
    }
    Ok(())
}

/// Remote-write requests hold whole series, so that a series stays in order.
fn size(stream: Stream, random: &mut fastrand::Rng) -> u64 {
    match stream {
        Stream::Samples1 | Stream::Samples2 => random.u64(1..=MOST / SAMPLES_PER_SERIES) * SAMPLES_PER_SERIES,
        _ => random.u64(1..=MOST),
    }
}

/// Sends one request until it is answered for good.
fn one(
    run: Run,
    stream: Stream,
    numbers: Range<u64>,
    port: u16,
    link: &mut grpc::Link,
    claims: &Claims,
    stop: &AtomicBool,
) -> Result<(), String> {
    let request = request::request(&run, stream, numbers.clone());
    let begun = Instant::now();
    loop {
        match answer::post(&request, port, link) {
            Outcome::Kept => {
                claims.acknowledge(stream, numbers);
                return Ok(());
            }
            Outcome::Refused(why) => {
                claims.refuse(stream, numbers.clone());
                return Err(format!("items {numbers:?} were refused: {why}"));
            }
            Outcome::Partly(why) => {
                claims.miss(stream, numbers.clone());
                claims.refuse(stream, numbers.clone());
                return Err(format!("items {numbers:?} were refused in part: {why}"));
            }
            Outcome::Again => {}
            Outcome::Unanswered => claims.miss(stream, numbers.clone()),
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("items {numbers:?} were not taken within {PATIENCE:?}"));
        }
        pause();
    }
}
