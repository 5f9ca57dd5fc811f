//! A server of the auditor's own that keeps every request whole: the back end of sinks that deliver to whoever listens.

use std::io::Read as _;
use std::sync::{Arc, mpsc};

use testkit::peer::{Peer, Reply, Seen};
use tokio::sync::oneshot;

/// A running recorder; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    peer: Arc<Peer>,
    /// Dropped to end the thread that serves.
    _stop: oneshot::Sender<()>,
}

impl Recorder {
    /// Listens on a free loopback port; answers every request with success and an empty message.
    pub(crate) fn start() -> Self {
        let (stop, stopped) = oneshot::channel();
        let (started, peer) = mpsc::channel();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(async {
                let kept = Reply::body(200, "").header("content-type", "application/x-protobuf");
                let peer = Arc::new(Peer::start(kept).await);
                // Who asked for it has gone: then there is nothing to serve.
                let _ = started.send(peer);
                let _ = stopped.await;
            });
        };
        std::thread::Builder::new().name("recorder".into()).spawn(serve).expect("a thread can be started");
        Self { peer: peer.recv().expect("the recorder's thread starts it"), _stop: stop }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.peer.address().port()
    }

    /// The path and the plain body of every request.
    pub(crate) fn requests(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        self.peer.seen().iter().map(|seen| Ok((seen.path.clone(), plain(seen)?))).collect()
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
