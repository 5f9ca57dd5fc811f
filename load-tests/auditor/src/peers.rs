//! The back ends of a run: each with the way to it, on which faults happen.

use std::path::Path;
use std::time::Duration;

use testkit::disk::SmallDisk;
use testkit::faults::{self, Faults};
use testkit::peer::Reply;
use testkit::proxy::{self, Proxy};

use crate::backend::{Row, Server};
use crate::scenario::{Fault, Scenario};
use crate::{gateway, table};

/// A back end in a run.
pub(crate) struct Peer {
    pub(crate) row: Row,
    pub(crate) server: Box<dyn Server>,
    link: Option<Link>,
    /// Below the server's data. It goes after the server.
    disk: Option<SmallDisk>,
}

/// What the gateway talks to instead of a server: faults of the connection before faults of HTTP.
struct Link {
    wire: Proxy,
    answers: Faults,
}

/// The size of a disk that is filled.
const DISK: u64 = 512 << 20;
/// Where the choice of requests that meet a fault begins.
const FAULT_SEED: u64 = 23;
/// The bytes after which connections are cut.
const CUT_AFTER: u64 = 10_000;

impl Peer {
    /// Starts it with its files below `folder`, ready for the scenario.
    pub(crate) fn start(row: Row, folder: &Path, scenario: &Scenario) -> Result<Self, String> {
        let own = table::folder(folder, &row)?;
        let disk = if scenario.steps.iter().any(|step| step.fault == Fault::FillDisks) {
            let disk = SmallDisk::mount(&own, DISK).ok_or("this user may not mount a disk")?;
            Some(disk)
        } else {
            None
        };
        let mut server = (row.start)(&own, &gateway::data(folder));
        if scenario.is_poisoned {
            server.make_picky().map_err(|error| format!("{}: {error}", row.name))?;
        }
        let link = server.port().map(|port| {
            let answers = Faults::start(port, "");
            Link { wire: Proxy::start(answers.port()), answers }
        });
        Ok(Self { row, server, link, disk })
    }

    /// Its sink in the gateway's configuration.
    pub(crate) fn sink(&self) -> String {
        self.server.sink(self.link.as_ref().map_or(0, |link| link.wire.port()))
    }

    /// Where faults of the connection happen.
    fn wire(&self) -> Option<&Proxy> {
        self.link.as_ref().map(|link| &link.wire).or_else(|| self.server.way())
    }

    /// Whether a fault can happen to it.
    pub(crate) fn can_meet(&self, fault: Fault) -> bool {
        match fault {
            Fault::KillGateway => true,
            Fault::KillServers
            | Fault::RestartServers
            | Fault::Delay { .. }
            | Fault::CutRequests
            | Fault::Reset
            | Fault::Heal => self.wire().is_some(),
            Fault::Answer { .. } | Fault::LoseAnswers { .. } => self.link.is_some(),
            Fault::FillDisks | Fault::EmptyDisks => self.disk.is_some() && self.server.has_disk(),
            Fault::SpoilSecrets | Fault::MendSecrets => self.server.secret().is_some(),
        }
    }

    /// Lets a fault happen to it.
    pub(crate) fn meet(&mut self, fault: Fault) {
        match fault {
            // Those of the gateway.
            Fault::KillGateway | Fault::SpoilSecrets | Fault::MendSecrets => {}
            Fault::KillServers => {
                self.server.kill();
                // What has no process of its own is out of reach.
                self.on_wire(|wire| {
                    wire.set(proxy::Fault::Refuse);
                    wire.reset();
                });
            }
            Fault::RestartServers => {
                self.server.restart();
                self.on_wire(|wire| wire.set(proxy::Fault::None));
            }
            Fault::FillDisks => self.disk.iter().for_each(SmallDisk::fill),
            Fault::EmptyDisks => {
                self.disk.iter().for_each(SmallDisk::relieve);
                self.server.disk_emptied();
            }
            Fault::Answer { status, permille } => self.on_answers(|answers| {
                answers.sometimes(FAULT_SEED, permille, faults::Fault::Instead(Reply::status(status)));
            }),
            Fault::LoseAnswers { permille } => self.on_answers(|answers| {
                answers.sometimes(FAULT_SEED, permille, faults::Fault::After(Reply::Hangup));
            }),
            Fault::Delay { millis } => {
                self.on_wire(|wire| wire.set(proxy::Fault::Delay(Duration::from_millis(millis))));
            }
            Fault::CutRequests => self.on_wire(|wire| wire.set(proxy::Fault::CutRequest(CUT_AFTER))),
            Fault::Reset => self.on_wire(Proxy::reset),
            Fault::Heal => {
                self.on_answers(Faults::heal);
                self.on_wire(|wire| wire.set(proxy::Fault::None));
            }
        }
    }

    fn on_wire(&self, act: impl Fn(&Proxy)) {
        self.wire().into_iter().for_each(act);
    }

    fn on_answers(&self, act: impl Fn(&Faults)) {
        self.link.iter().map(|link| &link.answers).for_each(act);
    }
}
