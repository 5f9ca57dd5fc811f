//! The load generator against a release build of the gateway.

use crate::{cargo, root, step};

/// Builds both in release and runs every scenario; arguments go to the generator.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    step("build", cargo().args(["build", "--release", "--locked", "-p", "tidegate", "-p", "tidegate-load"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let mut measure = cargo();
    measure
        .args(["run", "--release", "--quiet", "--locked", "-p", "tidegate-load", "--", "--gateway"])
        .arg(target.join("release/tidegate"))
        .args(args);
    if args.iter().any(|arg| arg == "--lookup") {
        let example = ["-p", "tidegate-stitch", "--example", "join_store"];
        step("build", cargo().args(["build", "--release", "--locked"]).args(example))?;
        measure.arg("--join-store").arg(target.join("release/examples/join_store"));
    }
    step("measure", &mut measure)
}
