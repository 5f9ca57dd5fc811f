//! The quick run: some thousand items through a real gateway, killed and with servers killed under it, to the back ends
//! that start in no time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;

use auditor::content::Run;
use auditor::drive::{Plan, run};
use auditor::item::Stream;
use auditor::send::Load;
use auditor::{report, scenario, table};

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

#[test]
fn every_quick_scenario_ends_with_every_item_in_every_quick_back_end_exactly_as_it_was_sent() {
    let streams = Stream::ALL.to_vec();
    let plan = Plan {
        binary: gateway(),
        run: Run::beginning_now(17),
        load: Load { items: 400, rate: None },
        streams,
        backends: table::chosen(&[], false).unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut table, mut is_good) = (report::heading() + "\n", true);
    for scenario in scenario::chosen(&[], false).unwrap() {
        let own = folder.path().join(scenario.name);
        std::fs::create_dir(&own).unwrap();
        let outcome =
            run(&plan, &scenario, &own).unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
        table += &report::lines(&outcome);
        is_good &= outcome.is_good();
        for (row, counts, _) in &outcome.rows {
            assert!(counts.acknowledged >= 400, "{} was sent next to nothing\n{table}", row.name);
        }
    }
    assert!(is_good, "\n{table}");
    println!("{table}");
}
