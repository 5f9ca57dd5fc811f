//! The test command: installs the real peers, then runs every test of the workspace.

use std::time::Instant;

use crate::{cargo, servers, step};

/// Installs what the tests need and runs them; `all` adds the slow peers. A peer that cannot be had fails its own tests
/// and the command, and keeps no other test from running.
pub(crate) fn run(all: bool) -> Result<(), String> {
    let begun = Instant::now();
    let installed = servers::install(all);
    if let Err(missing) = &installed {
        eprintln!("{missing}");
    }
    let mut tests = cargo();
    tests.env("TIDEGATE_TEST_CACHE", servers::cache()?);
    if all {
        tests.env("TIDEGATE_TEST_ALL", "1");
    }
    let done = step("tests", tests.args(["test", "--workspace", "--locked", "--no-fail-fast"]));
    eprintln!("   {:.0} s in all", begun.elapsed().as_secs_f64());
    done.and(installed)
}
