//! What goes wrong during a run. A scenario is a list of faults, each due when a share of all items has been answered:
//! counts decide, not time.

/// Something that is done to a process or a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The gateway is killed and started again.
    KillGateway,
    /// Every server behind a sink is killed.
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
    /// What began with `Answer`, `LoseAnswers`, `Delay` or `CutRequests` ends.
    Heal,
}

/// A fault and when it is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The share of all items, from 0 to 1, that has been answered.
    pub after: f64,
    /// What is done.
    pub fault: Fault,
}

/// A run with its faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What goes wrong, in order.
    pub steps: &'static [Step],
    /// Whether a peer may refuse items for good, so that refusals and dead letters account for what is not there.
    pub may_refuse: bool,
    /// Whether it belongs to the quick run.
    pub is_quick: bool,
}

const fn step(after: f64, fault: Fault) -> Step {
    Step { after, fault }
}

const fn scenario(name: &'static str, is_quick: bool, steps: &'static [Step]) -> Scenario {
    Scenario { name, steps, may_refuse: false, is_quick }
}

const BUSY: Fault = Fault::Answer { status: 429, permille: 500 };
const BROKEN: Fault = Fault::Answer { status: 503, permille: 1000 };
const UNAUTHORIZED: Fault = Fault::Answer { status: 401, permille: 1000 };
const LOST: Fault = Fault::LoseAnswers { permille: 300 };
const LATE: Fault = Fault::Delay { millis: 2000 };

/// All scenarios. Each of a server is there a second time with the gateway killed in the middle.
pub const SCENARIOS: &[Scenario] = &[
    scenario("steady", true, &[]),
    scenario(
        "kill-9",
        true,
        &[
            step(0.1, Fault::KillGateway),
            step(0.25, Fault::KillGateway),
            step(0.4, Fault::KillGateway),
            step(0.55, Fault::KillGateway),
            step(0.7, Fault::KillGateway),
            step(0.85, Fault::KillGateway),
        ],
    ),
    scenario("server-down", false, &[step(0.3, Fault::KillServers), step(0.7, Fault::RestartServers)]),
    scenario(
        "server-down-kill-9",
        true,
        &[
            step(0.3, Fault::KillServers),
            step(0.45, Fault::KillGateway),
            step(0.6, Fault::RestartServers),
            step(0.65, Fault::KillGateway),
        ],
    ),
    scenario("busy", false, &[step(0.1, BUSY), step(0.9, Fault::Heal)]),
    scenario("busy-kill-9", false, &[step(0.1, BUSY), step(0.5, Fault::KillGateway), step(0.9, Fault::Heal)]),
    scenario("broken", false, &[step(0.1, BROKEN), step(0.9, Fault::Heal)]),
    scenario(
        "broken-kill-9",
        false,
        &[step(0.1, BROKEN), step(0.5, Fault::KillGateway), step(0.9, Fault::Heal)],
    ),
    scenario("unauthorized", false, &[step(0.1, UNAUTHORIZED), step(0.9, Fault::Heal)]),
    scenario(
        "unauthorized-kill-9",
        false,
        &[step(0.1, UNAUTHORIZED), step(0.5, Fault::KillGateway), step(0.9, Fault::Heal)],
    ),
    scenario("lost-answers", false, &[step(0.1, LOST), step(0.9, Fault::Heal)]),
    scenario(
        "lost-answers-kill-9",
        true,
        &[step(0.1, LOST), step(0.5, Fault::KillGateway), step(0.9, Fault::Heal)],
    ),
    scenario("late", false, &[step(0.1, LATE), step(0.9, Fault::Heal)]),
    scenario("late-kill-9", false, &[step(0.1, LATE), step(0.5, Fault::KillGateway), step(0.9, Fault::Heal)]),
    scenario(
        "reset",
        false,
        &[
            step(0.2, Fault::Reset),
            step(0.3, Fault::Reset),
            step(0.4, Fault::Reset),
            step(0.6, Fault::Reset),
            step(0.8, Fault::Reset),
        ],
    ),
    scenario(
        "reset-kill-9",
        false,
        &[
            step(0.2, Fault::Reset),
            step(0.4, Fault::KillGateway),
            step(0.6, Fault::Reset),
            step(0.8, Fault::Reset),
        ],
    ),
    scenario("cut", false, &[step(0.1, Fault::CutRequests), step(0.9, Fault::Heal)]),
    scenario(
        "cut-kill-9",
        false,
        &[step(0.1, Fault::CutRequests), step(0.5, Fault::KillGateway), step(0.9, Fault::Heal)],
    ),
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
    fn faults_come_in_order_and_before_the_end_and_what_is_killed_is_started_again() {
        for scenario in SCENARIOS {
            let shares: Vec<f64> = scenario.steps.iter().map(|step| step.after).collect();
            assert!(shares.is_sorted() && shares.iter().all(|s| (0.0..0.95).contains(s)), "{scenario:?}");
            let count = |fault| scenario.steps.iter().filter(|step| step.fault == fault).count();
            assert_eq!(count(Fault::KillServers), count(Fault::RestartServers), "{scenario:?}");
            let lasts = |step: &&Step| {
                matches!(
                    step.fault,
                    Fault::Answer { .. }
                        | Fault::LoseAnswers { .. }
                        | Fault::Delay { .. }
                        | Fault::CutRequests
                )
            };
            assert_eq!(scenario.steps.iter().filter(lasts).count(), count(Fault::Heal), "{scenario:?}");
        }
    }
}
