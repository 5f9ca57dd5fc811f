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
    let cache = servers::cache()?;
    let test = |what: &str, arguments: &[&str]| {
        let mut tests = cargo();
        tests.env("TIDEGATE_TEST_CACHE", &cache);
        if all {
            tests.env("TIDEGATE_TEST_ALL", "1");
        }
        step(what, tests.args(["test", "--locked", "--no-fail-fast"]).args(arguments))
    };
    let mut done = test("tests", &["--workspace"]);
    if all {
        // With the OpenSSL that the default build does without.
        let tls = test("kafka over TLS", &["--package=tidegate-sinks", "--features=kafka-tls", "kafka"]);
        done = done.and(tls);
    }
    eprintln!("   {:.0} s in all", begun.elapsed().as_secs_f64());
    done.and(installed)
}
