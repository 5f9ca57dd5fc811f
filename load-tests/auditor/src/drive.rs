//! One run: back ends and a gateway are started, senders send, faults happen when they are due, everything settles, and
//! each back end is audited.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use testkit::process::pause;

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
    let mut servers = Vec::new();
    for row in &plan.backends {
        let own = table::folder(folder, row)?;
        servers.push((*row, (row.start)(&own, &data(folder))));
    }
    let sinks: Vec<(&str, String)> = servers.iter().map(|(row, server)| (row.name, server.sink())).collect();
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
        happen(step.fault, &mut gateway, &mut servers);
    }
    problems.extend(senders.into_iter().filter_map(|sender| sender.finish().err()));
    let ledger = settle(&gateway).map_err(|error| format!("{error}\n{}", gateway.log()))?;
    let takes: Vec<(&str, &[Signal])> = servers.iter().map(|(row, _)| (row.name, row.signals)).collect();
    problems.extend(ledger::problems(&ledger, &takes, &claims));
    // Its end brings what the embedded store still holds in memory to its files.
    gateway.stop()?;
    let mut rows = Vec::new();
    for (row, server) in &servers {
        let booked = ledger::booked(&ledger, row.name);
        let counts = audit(&plan.run, row, server.as_ref(), &claims, &booked, scenario.may_refuse)
            .map_err(|error| format!("{}: {error}", row.name))?;
        rows.push((*row, counts, booked));
    }
    Ok(Outcome { scenario: scenario.name, rows, problems, took: begun.elapsed() })
}

fn happen(fault: Fault, gateway: &mut Gateway, servers: &mut [(Row, Box<dyn Server>)]) {
    let processes = servers.iter_mut().filter(|(_, server)| server.is_process());
    match fault {
        Fault::KillGateway => gateway.kill_and_restart(),
        Fault::KillServers => processes.for_each(|(_, server)| server.kill()),
        Fault::RestartServers => processes.for_each(|(_, server)| server.restart()),
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
