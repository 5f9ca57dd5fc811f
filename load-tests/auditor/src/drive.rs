//! One run: back ends and a gateway are started, senders send, faults happen when they are due, everything settles, and
//! each back end is audited.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use testkit::process::pause;

use crate::audit::{Counts, audit};
use crate::backend::Row;
use crate::claims::Claims;
use crate::content::Run;
use crate::gateway::Gateway;
use crate::item::{Signal, Stream};
use crate::ledger::{self, Booked};
use crate::letters::letters;
use crate::peers::Peer;
use crate::scenario::{self, Due, Fault, Kind, Scenario};
use crate::send::{Load, Pace, Sender};

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
    /// What is wrong beside the columns: senders that gave up, sinks that waited for another, books that do not balance.
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
    let peers = together(plan.backends.iter(), |row| Peer::start(*row, folder, scenario));
    let peers = peers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let content = Run { is_poisoned: scenario.is_poisoned, ..plan.run };
    let sinks: Vec<(&str, String)> = peers.iter().map(|peer| (peer.row.name, peer.sink())).collect();
    let secrets = peers.iter().filter_map(|peer| peer.server.secret());
    let secrets = secrets.map(|secret| (secret.variable, secret.right.to_owned())).collect();
    let gateway = Gateway::start(&plan.binary, folder, &sinks, secrets);
    let (claims, pace) = (Arc::new(Claims::default()), Arc::new(Pace::default()));
    let port = gateway.port();
    let start = |stream: &Stream| {
        Sender::start(content, *stream, plan.load, port, Arc::clone(&claims), Arc::clone(&pace))
    };
    let senders: Vec<Sender> = plan.streams.iter().map(start).collect();
    let mut stage =
        Stage { plan, peers, gateway, senders, claims, pace, problems: Vec::new(), kills: 0, again: Some(0) };
    stage.play(scenario)?;
    let (kills, again) = (stage.kills, stage.again);
    let Stage { peers, mut gateway, senders, claims, mut problems, .. } = stage;
    problems.extend(senders.into_iter().filter_map(|sender| sender.finish().err()));
    let ledger = settle(&gateway).map_err(|error| format!("{error}\n{}", gateway.log()))?;
    let takes: Vec<(&str, &[Signal])> = peers.iter().map(|peer| (peer.row.name, peer.row.signals)).collect();
    problems.extend(ledger::problems(&ledger, &takes, &claims));
    let letters = peers.iter().map(|peer| letters(&gateway, &content, peer.row.name, kills));
    let letters = letters.collect::<Result<Vec<_>, _>>()?;
    // Its end brings what the embedded store still holds in memory to its files.
    gateway.stop()?;
    let mut rows = Vec::new();
    for (Peer { row, server, .. }, letters) in peers.iter().zip(&letters) {
        let booked = ledger::booked(&ledger, row.name);
        let counts = audit(&content, row, server.as_ref(), &claims, &booked, letters, again)
            .map_err(|error| format!("{}: {error}", row.name))?;
        rows.push((*row, counts, booked));
    }
    Ok(Outcome { scenario: scenario.name, rows, problems, took: begun.elapsed() })
}

/// Does the same to each at the same time, since servers take their time.
fn together<T: Send, R: Send>(all: impl Iterator<Item = T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let each = &each;
    std::thread::scope(|scope| {
        let threads: Vec<_> = all.map(|one| scope.spawn(move || each(one))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, R>| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    })
}

/// A run under way.
struct Stage<'a> {
    plan: &'a Plan,
    peers: Vec<Peer>,
    gateway: Gateway,
    senders: Vec<Sender>,
    claims: Arc<Claims>,
    pace: Arc<Pace>,
    problems: Vec<String>,
    kills: u64,
    /// How many copies of an item what goes wrong explains.
    again: Option<u64>,
}

impl Stage<'_> {
    /// Everything that goes wrong, in time. Senders are let go half way to the next step at most, so that they are at work
    /// when a step comes and none comes too late.
    fn play(&mut self, scenario: &Scenario) -> Result<(), String> {
        let faults: Vec<Fault> =
            scenario.steps.iter().map(|step| step.fault).filter(|fault| fault.is_of_servers()).collect();
        let meets = |peer: &Peer| !faults.is_empty() && faults.iter().all(|fault| peer.can_meet(*fault));
        let victims: Vec<usize> = (0..self.peers.len()).filter(|at| meets(&self.peers[*at])).collect();
        let steps = scenario.plan(&victims);
        self.again = scenario::again(&steps);
        let mut allowed = 0.0;
        for (at, due) in steps.iter().enumerate() {
            let next = steps.get(at + 1).map_or(1.0, |next| next.step.after);
            let ahead = f64::midpoint(due.step.after, next);
            if !self.go_on(due, allowed, ahead) {
                self.problems.push(format!("{:?} came when a sender had given up", due.step.fault));
            }
            allowed = ahead;
            if due.step.fault.kind() == Kind::End {
                let waited = others_went_on(&self.gateway, &self.peers, due)?;
                self.problems.extend(waited);
                if due.step.fault == Fault::MendSecrets {
                    self.problems.extend(untold(&self.gateway, &self.peers, due)?);
                }
            }
            self.happen(due)?;
        }
        self.pace.allow(1.0);
        Ok(())
    }

    /// Waits until a step is due. Senders may go from `from` to `to` while it waits for time.
    fn go_on(&self, due: &Due, from: f64, to: f64) -> bool {
        let (begun, least) = (Instant::now(), due.step.wait);
        let share = (due.step.after * self.plan.load.items as f64) as u64;
        let answered = |stream: &Stream| self.claims.answered(*stream) >= share;
        loop {
            let passed = if least.is_zero() { 1.0 } else { begun.elapsed().div_duration_f64(least).min(1.0) };
            self.pace.allow(from + (to - from) * passed);
            if passed >= 1.0 && self.plan.streams.iter().all(answered) {
                return true;
            }
            if self.senders.iter().any(Sender::gave_up) {
                return false;
            }
            pause();
        }
    }

    fn happen(&mut self, due: &Due) -> Result<(), String> {
        match due.step.fault {
            Fault::KillGateway => {
                self.kills += 1;
                self.gateway.kill_and_restart();
            }
            Fault::SpoilSecrets | Fault::MendSecrets => {
                let secrets = due.victims.iter().filter_map(|victim| self.peers[*victim].server.secret());
                let is_right = due.step.fault == Fault::MendSecrets;
                let secrets: Vec<_> = secrets
                    .map(|secret| (secret.variable, if is_right { secret.right } else { "wrong" }))
                    .collect();
                self.gateway.restart_with(&secrets)?;
            }
            fault => {
                let met = self.peers.iter_mut().enumerate().filter(|(at, _)| due.victims.contains(at));
                together(met, |(_, peer)| peer.meet(fault));
            }
        }
        Ok(())
    }
}

/// Sees that every sink that a fault does not meet settles all that has been accepted by now, while the fault lasts, and that
/// those which it cuts off do not. Returns what is wrong.
fn others_went_on(gateway: &Gateway, peers: &[Peer], due: &Due) -> Result<Vec<String>, String> {
    let met = |met: bool| {
        let places = (0..peers.len()).filter(move |at| due.victims.contains(at) == met);
        places.map(|at| &peers[at])
    };
    let sinks = |is_met: bool| met(is_met).map(|peer| peer.row.name);
    let begin = gateway.ledger()?;
    let goal = |sink: &str| ledger::accepted_and_settled(&begin, sink).0;
    let (mut most, mut progressed) = (0, Instant::now());
    let ledger = loop {
        let ledger = gateway.ledger()?;
        let settled = |sink: &str| ledger::accepted_and_settled(&ledger, sink).1;
        let waiting: Vec<&str> = sinks(false).filter(|sink| settled(sink) < goal(sink)).collect();
        if waiting.is_empty() {
            break ledger;
        }
        let done: u64 = sinks(false).map(settled).sum();
        if done > most {
            (most, progressed) = (done, Instant::now());
        }
        if progressed.elapsed() > PATIENCE {
            let met: Vec<&str> = sinks(true).collect();
            return Ok(vec![format!("{} waited for {}", waiting.join(", "), met.join(", "))]);
        }
        pause();
    };
    if due.lasting != Some(Kind::Outage) {
        return Ok(Vec::new());
    }
    let is_to_hold = |peer: &&Peer| due.step.fault != Fault::EmptyDisks || peer.server.stops_when_full();
    let holds_nothing = |sink: &&str| {
        let (accepted, settled) = ledger::accepted_and_settled(&ledger, sink);
        settled >= accepted
    };
    let wrong = met(true).filter(is_to_hold).map(|peer| peer.row.name).filter(holds_nothing);
    Ok(wrong.map(|sink| format!("{sink} was to be cut off and held nothing")).collect())
}

/// Words by which a reason says that it is the credentials.
const CREDENTIALS: [&str; 4] = ["credential", "authenticat", "unauthorized", "signature"];

/// Waits until the gateway tells its operator, of every sink that a fault meets, that its credentials are wrong. Returns those
/// of which it does not.
fn untold(gateway: &Gateway, peers: &[Peer], due: &Due) -> Result<Vec<String>, String> {
    let begun = Instant::now();
    loop {
        let told = gateway.get("/api/v1/sinks")?;
        let last_error = |sink: &str| {
            let of = told.as_array().into_iter().flatten().filter(|status| status["sink"] == sink);
            of.filter_map(|status| status["last_error"]["message"].as_str()).collect::<Vec<_>>().join("; ")
        };
        let errors = due.victims.iter().map(|at| peers[*at].row.name).map(|sink| (sink, last_error(sink)));
        let is_untold = |error: &str| !CREDENTIALS.iter().any(|word| error.to_lowercase().contains(word));
        let untold: Vec<_> = errors.filter(|(_, error)| is_untold(error)).collect();
        if untold.is_empty() {
            return Ok(Vec::new());
        }
        if begun.elapsed() > PATIENCE {
            let tell = |(sink, error): (&str, String)| {
                format!("nobody is told that the credentials of {sink} are wrong: {error:?}")
            };
            return Ok(untold.into_iter().map(tell).collect());
        }
        pause();
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
