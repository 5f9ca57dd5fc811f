//! What goes wrong during a run. A scenario is a list of faults, each due when a share of all items has been answered:
//! counts decide, not time. Faults of servers meet some back ends at a time, and the others must go on meanwhile.

use std::time::Duration;

/// Something that is done to a process or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The gateway is killed and started again.
    KillGateway,
    /// The servers behind the sinks are killed.
    KillServers,
    /// They are started again.
    RestartServers,
    /// From now on so many of a thousand requests to each server are answered so, and never reach it.
    Answer {
        /// The status.
        status: u16,
        /// How many.
        permille: u64,
    },
    /// From now on so many of a thousand requests do their work and their answer is lost.
    LoseAnswers {
        /// How many.
        permille: u64,
    },
    /// From now on every byte to and from each server is so late.
    Delay {
        /// How late.
        millis: u64,
    },
    /// From now on every connection to a server ends in the middle of a request.
    CutRequests,
    /// Every connection to a server is reset, once.
    Reset,
    /// The disks below the servers' data are full.
    FillDisks,
    /// They have room again, and operators have done what each server needs then.
    EmptyDisks,
    /// The gateway ends and starts with wrong secrets for the servers.
    SpoilSecrets,
    /// The same with the right ones.
    MendSecrets,
    /// What began with `Answer`, `LoseAnswers`, `Delay` or `CutRequests` ends.
    Heal,
}

/// What a fault is in its scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Over when it has happened.
    Moment,
    /// It lasts, and nothing reaches the server meanwhile.
    Outage,
    /// It lasts, and something reaches the server.
    Trouble,
    /// The end of what lasts.
    End,
}

impl Fault {
    /// Whether it happens to servers, or between them and the gateway.
    pub fn is_of_servers(self) -> bool {
        self != Self::KillGateway
    }

    /// What it is in its scenario.
    pub const fn kind(self) -> Kind {
        match self {
            Self::KillGateway | Self::Reset => Kind::Moment,
            Self::KillServers
            | Self::FillDisks
            | Self::SpoilSecrets
            | Self::Answer { permille: 1000, .. } => Kind::Outage,
            Self::Answer { .. } | Self::LoseAnswers { .. } | Self::Delay { .. } | Self::CutRequests => {
                Kind::Trouble
            }
            Self::RestartServers | Self::EmptyDisks | Self::MendSecrets | Self::Heal => Kind::End,
        }
    }
}

/// A fault and when it is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The share of the items, from 0 to 1, that has been answered.
    pub after: f64,
    /// How long after the step before it at least; sending goes on meanwhile.
    pub wait: Duration,
    /// What is done.
    pub fault: Fault,
}

/// Which back ends a scenario's faults meet together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// One after the other, each alone: the steps happen as often as there are back ends to meet.
    Each,
    /// One half of them, then the other: the steps happen twice.
    Halves,
    /// All at once.
    All,
}

/// A run with its faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What goes wrong, in order.
    pub steps: &'static [Step],
    /// What it meets.
    pub aim: Aim,
    /// Whether some items are poison: what some servers refuse for good.
    pub is_poisoned: bool,
    /// Whether it belongs to the quick run.
    pub is_quick: bool,
}

/// A step of a run: of one turn of its scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The step, its share being of the whole run.
    pub step: Step,
    /// What it meets: places in the list of back ends.
    pub victims: Vec<usize>,
    /// What lasts when it comes.
    pub lasting: Option<Kind>,
}

/// How many copies of an item beyond the first these steps explain at most, where nothing tells copies apart: one for each time that
/// what was under way was broken off. `None` where answers are lost for a while: each may be one more.
pub fn again(steps: &[Due]) -> Option<u64> {
    let each = steps.iter().map(|due| match due.step.fault {
        Fault::KillGateway | Fault::KillServers | Fault::Reset | Fault::SpoilSecrets | Fault::MendSecrets => {
            Some(1)
        }
        Fault::LoseAnswers { .. } | Fault::CutRequests | Fault::FillDisks => None,
        // What is answered in the server's place never came to it, and what is late comes.
        Fault::Answer { .. }
        | Fault::Delay { .. }
        | Fault::RestartServers
        | Fault::EmptyDisks
        | Fault::Heal => Some(0),
    });
    each.sum()
}

impl Scenario {
    /// The steps of a run in which these back ends can be met.
    pub fn plan(&self, victims: &[usize]) -> Vec<Due> {
        let groups: Vec<Vec<usize>> = match self.aim {
            Aim::Each => victims.iter().map(|victim| vec![*victim]).collect(),
            Aim::Halves => [0, 1].map(|half| victims.iter().copied().skip(half).step_by(2).collect()).into(),
            Aim::All => vec![victims.to_vec()],
        };
        let mut turns: Vec<_> = groups.into_iter().filter(|group| !group.is_empty()).collect();
        if turns.is_empty() {
            turns.push(Vec::new());
        }
        let mut plan = Vec::new();
        for (turn, victims) in turns.iter().enumerate() {
            let mut lasting = None;
            for step in self.steps {
                let after = (turn as f64 + step.after) / turns.len() as f64;
                plan.push(Due { step: Step { after, ..*step }, victims: victims.clone(), lasting });
                lasting = match step.fault.kind() {
                    Kind::Moment => lasting,
                    Kind::End => None,
                    kind => Some(kind),
                };
            }
        }
        plan
    }
}

const fn step(after: f64, fault: Fault) -> Step {
    Step { after, wait: Duration::ZERO, fault }
}

/// A fault that lasts.
const fn lasting(begin: Fault, end: Fault) -> [Step; 2] {
    [step(0.1, begin), step(0.8, end)]
}

/// The same with the gateway killed while it lasts.
const fn interrupted(begin: Fault, end: Fault) -> [Step; 3] {
    [step(0.1, begin), step(0.4, Fault::KillGateway), step(0.8, end)]
}

const MINUTE: Duration = Duration::from_secs(60);

const BASE: Scenario =
    Scenario { name: "steady", steps: &[], aim: Aim::Halves, is_poisoned: false, is_quick: false };

const BUSY: Fault = Fault::Answer { status: 429, permille: 500 };
const BROKEN: Fault = Fault::Answer { status: 503, permille: 1000 };
const UNAUTHORIZED: Fault = Fault::Answer { status: 401, permille: 1000 };
const LOST: Fault = Fault::LoseAnswers { permille: 300 };
const LATE: Fault = Fault::Delay { millis: 2000 };
const DOWN: Fault = Fault::KillServers;
const UP: Fault = Fault::RestartServers;
const KILL: Fault = Fault::KillGateway;
const HEAL: Fault = Fault::Heal;

/// All scenarios. Each of a server is there a second time with the gateway killed in the middle.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { is_quick: true, ..BASE },
    Scenario {
        name: "kill-9",
        steps: &[
            step(0.1, KILL),
            step(0.25, KILL),
            step(0.4, KILL),
            step(0.55, KILL),
            step(0.7, KILL),
            step(0.85, KILL),
        ],
        is_quick: true,
        ..BASE
    },
    Scenario {
        name: "one-after-the-other",
        steps: &[
            step(0.05, BUSY),
            step(0.12, HEAL),
            step(0.15, BROKEN),
            step(0.18, KILL),
            step(0.22, HEAL),
            step(0.25, UNAUTHORIZED),
            step(0.3, HEAL),
            step(0.33, LATE),
            step(0.36, HEAL),
            step(0.4, Fault::CutRequests),
            step(0.46, HEAL),
            step(0.5, Fault::Reset),
            step(0.55, LOST),
            step(0.6, KILL),
            step(0.65, HEAL),
            step(0.7, DOWN),
            step(0.75, KILL),
            step(0.8, UP),
            step(0.85, KILL),
        ],
        is_quick: true,
        ..BASE
    },
    Scenario { name: "server-down", steps: &lasting(DOWN, UP), aim: Aim::Each, ..BASE },
    Scenario {
        name: "server-down-kill-9",
        steps: &[step(0.1, DOWN), step(0.4, KILL), step(0.7, UP), step(0.75, KILL)],
        ..BASE
    },
    Scenario { name: "all-down-kill-9", steps: &interrupted(DOWN, UP), aim: Aim::All, ..BASE },
    Scenario {
        name: "minute-down",
        steps: &[step(0.1, DOWN), Step { after: 0.8, wait: MINUTE, fault: UP }],
        ..BASE
    },
    Scenario {
        name: "minute-down-kill-9",
        steps: &[step(0.1, DOWN), step(0.4, KILL), Step { after: 0.8, wait: MINUTE, fault: UP }],
        ..BASE
    },
    Scenario { name: "poison", is_poisoned: true, ..BASE },
    Scenario {
        name: "poison-kill-9",
        steps: &[step(0.2, KILL), step(0.5, KILL), step(0.8, KILL)],
        is_poisoned: true,
        is_quick: true,
        ..BASE
    },
    Scenario { name: "disk-full", steps: &lasting(Fault::FillDisks, Fault::EmptyDisks), ..BASE },
    Scenario { name: "disk-full-kill-9", steps: &interrupted(Fault::FillDisks, Fault::EmptyDisks), ..BASE },
    Scenario { name: "wrong-secret", steps: &lasting(Fault::SpoilSecrets, Fault::MendSecrets), ..BASE },
    Scenario {
        name: "wrong-secret-kill-9",
        steps: &interrupted(Fault::SpoilSecrets, Fault::MendSecrets),
        is_quick: true,
        ..BASE
    },
    Scenario { name: "busy", steps: &lasting(BUSY, HEAL), ..BASE },
    Scenario { name: "busy-kill-9", steps: &interrupted(BUSY, HEAL), ..BASE },
    Scenario { name: "broken", steps: &lasting(BROKEN, HEAL), ..BASE },
    Scenario { name: "broken-kill-9", steps: &interrupted(BROKEN, HEAL), ..BASE },
    Scenario { name: "unauthorized", steps: &lasting(UNAUTHORIZED, HEAL), ..BASE },
    Scenario { name: "unauthorized-kill-9", steps: &interrupted(UNAUTHORIZED, HEAL), ..BASE },
    Scenario { name: "lost-answers", steps: &lasting(LOST, HEAL), ..BASE },
    Scenario { name: "lost-answers-kill-9", steps: &interrupted(LOST, HEAL), ..BASE },
    Scenario { name: "late", steps: &lasting(LATE, HEAL), ..BASE },
    Scenario { name: "late-kill-9", steps: &interrupted(LATE, HEAL), ..BASE },
    Scenario {
        name: "reset",
        steps: &[
            step(0.2, Fault::Reset),
            step(0.3, Fault::Reset),
            step(0.4, Fault::Reset),
            step(0.6, Fault::Reset),
            step(0.8, Fault::Reset),
        ],
        ..BASE
    },
    Scenario {
        name: "reset-kill-9",
        steps: &[step(0.2, Fault::Reset), step(0.4, KILL), step(0.6, Fault::Reset), step(0.8, Fault::Reset)],
        ..BASE
    },
    Scenario { name: "cut", steps: &lasting(Fault::CutRequests, HEAL), ..BASE },
    Scenario { name: "cut-kill-9", steps: &interrupted(Fault::CutRequests, HEAL), ..BASE },
];

/// The scenarios of these names; the quick ones when none is named, all of them when `all`.
pub fn chosen(names: &[String], all: bool) -> Result<Vec<Scenario>, String> {
    for name in names {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            return Err(format!("{name} is no scenario; there are: {}", known.join(", ")));
        }
    }
    let is_chosen = |scenario: &&Scenario| {
        if names.is_empty() {
            all || scenario.is_quick
        } else {
            names.iter().any(|name| name == scenario.name)
        }
    };
    Ok(SCENARIOS.iter().filter(is_chosen).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_and_before_the_end_and_what_lasts_ends() {
        for scenario in SCENARIOS {
            let shares: Vec<f64> = scenario.steps.iter().map(|step| step.after).collect();
            assert!(shares.is_sorted() && shares.iter().all(|s| (0.0..0.95).contains(s)), "{scenario:?}");
            let mut lasts = false;
            for step in scenario.steps {
                match step.fault.kind() {
                    Kind::Moment => {}
                    Kind::Outage | Kind::Trouble => {
                        assert!(!std::mem::replace(&mut lasts, true), "{scenario:?}");
                    }
                    Kind::End => assert!(std::mem::replace(&mut lasts, false), "{scenario:?}"),
                }
            }
            assert!(!lasts, "{scenario:?}");
        }
    }

    #[test]
    fn every_scenario_of_a_server_is_there_with_the_gateway_killed_in_the_middle() {
        for scenario in SCENARIOS {
            let kills = |scenario: &Scenario| scenario.steps.iter().any(|step| step.fault == KILL);
            let twin = format!("{}-kill-9", scenario.name);
            let has_twin = SCENARIOS.iter().any(|other| other.name == twin && kills(other));
            assert!(
                kills(scenario) || scenario.name == BASE.name || has_twin,
                "{} has no {twin}",
                scenario.name
            );
        }
    }

    #[test]
    fn faults_meet_each_half_in_its_turn_or_each_alone_or_all() {
        const STEPS: &[Step] = &interrupted(DOWN, UP);
        let turns = |aim, victims: &[usize]| {
            let plan = Scenario { steps: STEPS, aim, ..BASE }.plan(victims);
            plan.into_iter().map(|due| (due.step.after, due.victims, due.lasting)).collect::<Vec<_>>()
        };
        let outage = Some(Kind::Outage);
        let halves = turns(Aim::Halves, &[0, 3, 4]);
        assert_eq!(halves[0], (0.05, vec![0, 4], None));
        assert_eq!(halves[1], (0.2, vec![0, 4], outage));
        assert_eq!(halves[3..], [(0.55, vec![3], None), (0.7, vec![3], outage), (0.9, vec![3], outage)]);
        assert_eq!(turns(Aim::Each, &[1, 2, 3]).len(), 9);
        assert_eq!(
            turns(Aim::All, &[1, 2]),
            [(0.1, vec![1, 2], None), (0.4, vec![1, 2], outage), (0.8, vec![1, 2], outage)]
        );
        assert_eq!(turns(Aim::Halves, &[2]).len(), 3);
        assert_eq!(
            turns(Aim::Each, &[]),
            [(0.1, vec![], None), (0.4, vec![], outage), (0.8, vec![], outage)]
        );
    }
}
