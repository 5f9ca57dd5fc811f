//! One run: back ends and a gateway are started, senders send, faults happen when they are due, everything settles, and
//! each back end is audited.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use testkit::faults::{self, Faults};
use testkit::peer::Reply;
use testkit::process::pause;
use testkit::proxy::{self, Proxy};

use crate::audit::{Counts, audit};
use crate::backend::{Row, Server};
use crate::claims::Claims;
use crate::content::Run;
use crate::gateway::{Gateway, data};
use crate::item::{Signal, Stream};
use crate::ledger::{self, Booked};
use crate::scenario::{Fault, Scenario};
use crate::send::{Load, Sender};
use crate::table;

/// How long the couriers may make no progress before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is run.
#[derive(Debug)]
pub struct Plan {
    /// The gateway's binary.
    pub binary: PathBuf,
    /// The content.
    pub run: Run,
    /// How much is sent.
    pub load: Load,
    /// What sends.
    pub streams: Vec<Stream>,
    /// Where to.
    pub backends: Vec<Row>,
}

/// What came of one scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: &'static str,
    /// Each back end with its columns and what the ledger says of it.
    pub rows: Vec<(Row, Counts, Booked)>,
    /// What is wrong beside the columns: senders that gave up, books that do not balance.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.rows.iter().all(|(row, counts, _)| counts.is_good(row.copies))
    }
}

/// Runs one scenario with its files below `folder`.
pub fn run(plan: &Plan, scenario: &Scenario, folder: &Path) -> Result<Outcome, String> {
    let begun = Instant::now();
    let mut peers = Vec::new();
    for row in &plan.backends {
        let server = (row.start)(&table::folder(folder, row)?, &data(folder));
        let link = server.port().map(Link::before);
        peers.push(Peer { row: *row, server, link });
    }
    let sinks: Vec<(&str, String)> = peers.iter().map(|peer| (peer.row.name, peer.sink())).collect();
    let mut gateway = Gateway::start(&plan.binary, folder, &sinks);
    let claims = Arc::new(Claims::default());
    let senders: Vec<Sender> = plan
        .streams
        .iter()
        .map(|stream| Sender::start(plan.run, *stream, plan.load, gateway.port(), Arc::clone(&claims)))
        .collect();
    let total = plan.load.items * plan.streams.len() as u64;
    let mut problems = Vec::new();
    for step in scenario.steps {
        let due = (step.after * total as f64) as u64;
        while claims.answered() < due && !senders.iter().all(Sender::is_done) {
            pause();
        }
        if claims.answered() < due {
            problems.push(format!("{:?} never happened: the senders ended before it was due", step.fault));
            break;
        }
        happen(step.fault, &mut gateway, &mut peers);
    }
    problems.extend(senders.into_iter().filter_map(|sender| sender.finish().err()));
    let ledger = settle(&gateway).map_err(|error| format!("{error}\n{}", gateway.log()))?;
    let takes: Vec<(&str, &[Signal])> = peers.iter().map(|peer| (peer.row.name, peer.row.signals)).collect();
    problems.extend(ledger::problems(&ledger, &takes, &claims));
    // Its end brings what the embedded store still holds in memory to its files.
    gateway.stop()?;
    let mut rows = Vec::new();
    for Peer { row, server, .. } in &peers {
        let booked = ledger::booked(&ledger, row.name);
        let counts = audit(&plan.run, row, server.as_ref(), &claims, &booked, scenario.may_refuse)
            .map_err(|error| format!("{}: {error}", row.name))?;
        rows.push((*row, counts, booked));
    }
    Ok(Outcome { scenario: scenario.name, rows, problems, took: begun.elapsed() })
}

/// A back end in a run.
struct Peer {
    row: Row,
    server: Box<dyn Server>,
    link: Option<Link>,
}

impl Peer {
    fn sink(&self) -> String {
        self.server.sink(self.link.as_ref().map_or(0, Link::port))
    }
}

/// What the gateway talks to instead of a server: faults of HTTP before faults of the connection.
struct Link {
    answers: Faults,
    wire: Proxy,
}

impl Link {
    fn before(port: u16) -> Self {
        let wire = Proxy::start(port);
        Self { answers: Faults::start(wire.port(), ""), wire }
    }

    fn port(&self) -> u16 {
        self.answers.port()
    }

    fn heal(&self) {
        self.answers.heal();
        self.wire.set(proxy::Fault::None);
    }
}

/// Where the choice of requests that meet a fault begins.
const FAULT_SEED: u64 = 23;
/// The bytes after which connections are cut.
const CUT_AFTER: u64 = 10_000;

fn happen(fault: Fault, gateway: &mut Gateway, peers: &mut [Peer]) {
    if fault == Fault::KillGateway {
        return gateway.kill_and_restart();
    }
    for peer in peers {
        let Some(link) = &peer.link else { continue };
        match fault {
            Fault::KillGateway => {}
            Fault::KillServers => peer.server.kill(),
            Fault::RestartServers => peer.server.restart(),
            Fault::Answer { status, permille } => {
                let instead = faults::Fault::Instead(Reply::status(status));
                link.answers.sometimes(FAULT_SEED, permille, instead);
            }
            Fault::LoseAnswers { permille } => {
                link.answers.sometimes(FAULT_SEED, permille, faults::Fault::After(Reply::Hangup));
            }
            Fault::Delay { millis } => link.wire.set(proxy::Fault::Delay(Duration::from_millis(millis))),
            Fault::CutRequests => link.wire.set(proxy::Fault::CutRequest(CUT_AFTER)),
            Fault::Reset => link.wire.reset(),
            Fault::Heal => link.heal(),
        }
    }
}

/// The ledger once nothing is held any more.
fn settle(gateway: &Gateway) -> Result<Json, String> {
    let (mut last, mut progressed) = (u64::MAX, Instant::now());
    loop {
        let ledger = gateway.ledger()?;
        let pending = ledger::pending(&ledger);
        if pending == 0 {
            return Ok(ledger);
        }
        if pending < last {
            (last, progressed) = (pending, Instant::now());
        }
        if progressed.elapsed() > PATIENCE {
            return Err(format!("{pending} items are held without progress for {PATIENCE:?}: {ledger:#}"));
        }
        pause();
    }
}
