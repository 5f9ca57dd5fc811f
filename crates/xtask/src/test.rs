//! The test command: builds the real peers, then runs every test of the workspace.

use std::time::Instant;

use crate::{cargo, servers, step};

/// Builds what the tests need and runs them; `all` adds the slow peers.
pub(crate) fn run(all: bool) -> Result<(), String> {
    let begun = Instant::now();
    let bin = servers::build(all)?;
    let mut tests = cargo();
    tests.env("TIDEGATE_TEST_SERVERS", &bin);
    if all {
        tests.env("TIDEGATE_TEST_ALL", "1");
    }
    let done = step("tests", tests.args(["test", "--workspace", "--locked", "--no-fail-fast"]));
    eprintln!("   {:.0} s in all", begun.elapsed().as_secs_f64());
    done
}
