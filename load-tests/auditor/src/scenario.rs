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

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "steady", steps: &[], may_refuse: false, is_quick: true },
    Scenario {
        name: "kill-9",
        steps: &[
            step(0.1, Fault::KillGateway),
            step(0.25, Fault::KillGateway),
            step(0.4, Fault::KillGateway),
            step(0.55, Fault::KillGateway),
            step(0.7, Fault::KillGateway),
            step(0.85, Fault::KillGateway),
        ],
        may_refuse: false,
        is_quick: true,
    },
    Scenario {
        name: "server-down",
        steps: &[step(0.3, Fault::KillServers), step(0.7, Fault::RestartServers)],
        may_refuse: false,
        is_quick: true,
    },
    Scenario {
        name: "server-down-kill-9",
        steps: &[
            step(0.3, Fault::KillServers),
            step(0.45, Fault::KillGateway),
            step(0.6, Fault::RestartServers),
            step(0.65, Fault::KillGateway),
        ],
        may_refuse: false,
        is_quick: false,
    },
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
        }
    }
}
