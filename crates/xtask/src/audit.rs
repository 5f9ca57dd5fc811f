//! The auditor against a gateway and real back ends.

use crate::{cargo, root, servers, step};

/// Installs the back ends, builds gateway and auditor in release (with `--dev`: as the tests do) and audits; all other
/// arguments go to the auditor.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let is_dev = args.iter().any(|arg| arg == "--dev");
    let all = args.iter().any(|arg| arg == "--all");
    servers::install(all)?;
    let (profile, folder) = if is_dev { ("dev", "debug") } else { ("release", "release") };
    let build = ["build", "--locked", "--profile", profile, "-p", "tidegate", "-p", "tidegate-auditor"];
    step("build", cargo().args(build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let built = target.join(folder);
    let mut audit = std::process::Command::new(built.join("tidegate-auditor"));
    audit.env("TIDEGATE_TEST_CACHE", servers::cache()?).arg("--gateway").arg(built.join("tidegate"));
    step("audit", audit.args(args.iter().filter(|arg| *arg != "--dev")))
}
