//! The back ends of a run: each with the way to it, on which faults happen.

use std::path::Path;
use std::time::Duration;

use testkit::faults::{self, Faults};
use testkit::peer::Reply;
use testkit::proxy::{self, Proxy};

use crate::backend::{Row, Server};
use crate::scenario::Fault;
use crate::{gateway, table};

/// A back end in a run.
pub(crate) struct Peer {
    pub(crate) row: Row,
    pub(crate) server: Box<dyn Server>,
    link: Option<Link>,
}

/// What the gateway talks to instead of a server: faults of the connection before faults of HTTP.
struct Link {
    wire: Proxy,
    answers: Faults,
}

/// Where the choice of requests that meet a fault begins.
const FAULT_SEED: u64 = 23;
/// The bytes after which connections are cut.
const CUT_AFTER: u64 = 10_000;

impl Peer {
    /// Starts it with its files below `folder`.
    pub(crate) fn start(row: Row, folder: &Path) -> Result<Self, String> {
        let server = (row.start)(&table::folder(folder, &row)?, &gateway::data(folder));
        let link = server.port().map(|port| {
            let answers = Faults::start(port, "");
            Link { wire: Proxy::start(answers.port()), answers }
        });
        Ok(Self { row, server, link })
    }

    /// Its sink in the gateway's configuration.
    pub(crate) fn sink(&self) -> String {
        self.server.sink(self.link.as_ref().map_or(0, |link| link.wire.port()))
    }

    /// Whether a fault can happen to it.
    pub(crate) fn can_meet(&self, fault: Fault) -> bool {
        match fault {
            Fault::KillGateway => true,
            Fault::KillServers | Fault::RestartServers => self.link.is_some() || self.server.is_process(),
            _ => self.link.is_some(),
        }
    }

    /// Lets a fault happen to it.
    pub(crate) fn meet(&mut self, fault: Fault) {
        match fault {
            Fault::KillServers => self.server.kill(),
            Fault::RestartServers => self.server.restart(),
            _ => {}
        }
        let Some(Link { wire, answers }) = &self.link else { return };
        match fault {
            Fault::KillGateway => {}
            // What has no process of its own is out of reach.
            Fault::KillServers => {
                wire.set(proxy::Fault::Refuse);
                wire.reset();
            }
            Fault::RestartServers => wire.set(proxy::Fault::None),
            Fault::Answer { status, permille } => {
                answers.sometimes(FAULT_SEED, permille, faults::Fault::Instead(Reply::status(status)));
            }
            Fault::LoseAnswers { permille } => {
                answers.sometimes(FAULT_SEED, permille, faults::Fault::After(Reply::Hangup));
            }
            Fault::Delay { millis } => wire.set(proxy::Fault::Delay(Duration::from_millis(millis))),
            Fault::CutRequests => wire.set(proxy::Fault::CutRequest(CUT_AFTER)),
            Fault::Reset => wire.reset(),
            Fault::Heal => {
                answers.heal();
                wire.set(proxy::Fault::None);
            }
        }
    }
}
