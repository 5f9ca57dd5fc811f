//! A server of the auditor's own that keeps every request whole: the back end of sinks that deliver to whoever listens.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use testkit::peer::{Peer, Reply, Seen};
use tokio::sync::oneshot;

/// What a picky recorder answers to a request: its path and plain body. `None` for what it keeps whole.
pub(crate) type Judge = fn(&str, &[u8]) -> Option<Reply>;

/// A running recorder; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    peer: Arc<Peer>,
    is_picky: Arc<AtomicBool>,
    judge: Judge,
    /// Dropped to end the thread that serves.
    _stop: oneshot::Sender<()>,
}

impl Recorder {
    /// The token without which it takes nothing.
    pub(crate) const TOKEN: &str = "recorded";

    /// Listens on a free loopback port; answers every request that has the token with success and an empty message, or, once
    /// it is picky, as `judge` says.
    pub(crate) fn start(judge: Judge) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (started, peer) = mpsc::channel();
        let is_picky = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&is_picky);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(async {
                let answer = move |seen: &Seen| answer(seen, &theirs, judge);
                let peer = Arc::new(Peer::answering(answer).await);
                // Who asked for it has gone: then there is nothing to serve.
                let _ = started.send(peer);
                let _ = stopped.await;
            });
        };
        std::thread::Builder::new().name("recorder".into()).spawn(serve).expect("a thread can be started");
        Self { peer: peer.recv().expect("the recorder's thread starts it"), is_picky, judge, _stop: stop }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.peer.address().port()
    }

    /// From now on it judges what it is sent.
    pub(crate) fn make_picky(&self) {
        self.is_picky.store(true, Ordering::Relaxed);
    }

    /// The path and the plain body of every request that was answered with success.
    pub(crate) fn requests(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let kept = |seen: &Seen| match answer(seen, &self.is_picky, self.judge) {
            Reply::Answer(answer) => answer.status.is_success(),
            Reply::Hangup | Reply::Silence => false,
        };
        let kept = self.peer.seen().into_iter().filter(kept);
        kept.map(|seen| Ok((seen.path.clone(), plain(&seen)?))).collect()
    }
}

fn answer(seen: &Seen, is_picky: &AtomicBool, judge: Judge) -> Reply {
    if seen.header("authorization") != format!("Bearer {}", Recorder::TOKEN) {
        return Reply::body(401, "an unknown token");
    }
    match plain(seen) {
        Err(error) => Reply::body(400, error),
        Ok(plain) => {
            let refused = if is_picky.load(Ordering::Relaxed) { judge(&seen.path, &plain) } else { None };
            refused.unwrap_or_else(|| Reply::body(200, "").header("content-type", "application/x-protobuf"))
        }
    }
}

fn plain(seen: &Seen) -> Result<Vec<u8>, String> {
    match seen.header("content-encoding") {
        "" | "identity" => Ok(seen.body.to_vec()),
        "gzip" => {
            let mut plain = Vec::new();
            let read = flate2::read::MultiGzDecoder::new(seen.body.as_ref()).read_to_end(&mut plain);
            read.map_err(|error| format!("{}: {error}", seen.path))?;
            Ok(plain)
        }
        other => Err(format!("{}: a body in {other}, which was not asked for", seen.path)),
    }
}
