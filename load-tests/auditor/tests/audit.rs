//! Everything that can go wrong, as tests: some thousand items through a real gateway, which is killed, to real back ends,
//! which are killed, filled up, slandered and cut off.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "the table is read with --nocapture")]

use std::path::PathBuf;

use auditor::content::Run;
use auditor::drive::{Plan, run};
use auditor::item::Stream;
use auditor::scenario::{Fault, Scenario};
use auditor::send::Load;
use auditor::{report, scenario, table};
use testkit::disk::SmallDisk;

/// The gateway of the same build: `TIDEGATE_BIN`, else beside the folder of this test's own binary.
fn gateway() -> PathBuf {
    if let Some(given) = std::env::var_os("TIDEGATE_BIN") {
        return given.into();
    }
    let own = std::env::current_exe().unwrap();
    let binary = own.parent().unwrap().parent().unwrap().join("tidegate");
    assert!(binary.exists(), "{} is not there; run: cargo build -p tidegate", binary.display());
    binary
}

/// Plays scenarios with so many items of each stream, prints the table, and fails with it when anything is wrong.
fn audit(items: u64, all_back_ends: bool, scenarios: impl IntoIterator<Item = Scenario>) {
    let plan = Plan {
        binary: gateway(),
        run: Run::beginning_now(17),
        load: Load { items, rate: None },
        streams: Stream::ALL.to_vec(),
        backends: table::chosen(&[], all_back_ends).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let may_mount = SmallDisk::mount(&folder.path().join("disk"), 1 << 20).is_some();
    let (mut table, mut is_good) = (report::heading() + "\n", true);
    println!("{table}");
    for scenario in scenarios {
        if !may_mount && scenario.steps.iter().any(|step| step.fault == Fault::FillDisks) {
            println!("{} not run: this user may not mount", scenario.name);
            continue;
        }
        let own = folder.path().join(scenario.name);
        std::fs::create_dir(&own).unwrap();
        let lines = match run(&plan, &scenario, &own) {
            Ok(outcome) => {
                is_good &= outcome.is_good();
                is_good &= outcome.rows.iter().all(|(_, counts, _)| counts.acknowledged >= items);
                format!("{}    in {:?}\n", report::lines(&outcome), outcome.took)
            }
            Err(error) => {
                is_good = false;
                format!("{}: {error}\n", scenario.name)
            }
        };
        print!("{lines}");
        table += &lines;
    }
    assert!(is_good, "\n{table}");
}

#[test]
fn every_quick_scenario_ends_with_every_item_in_every_quick_back_end_exactly_as_it_was_sent() {
    audit(400, false, scenario::chosen(&[], false).unwrap());
}

/// Each scenario of which there is a second one with the gateway killed in the middle is played as that.
#[test]
fn every_scenario_ends_with_every_item_in_every_back_end_exactly_as_it_was_sent() {
    if !testkit::server::all() {
        return;
    }
    let all = scenario::chosen(&[], true).unwrap();
    let has_twin = |one: &Scenario| all.iter().any(|other| other.name == format!("{}-kill-9", one.name));
    audit(200, true, all.iter().copied().filter(|scenario| !has_twin(scenario)));
}
