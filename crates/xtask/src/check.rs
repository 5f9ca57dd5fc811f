//! The gate. If it passes here it passes there.

use crate::{cargo, root, step};

/// Runs every check; the first that fails ends the run.
pub(crate) fn run() -> Result<(), String> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step(
        "clippy",
        cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    deny()?;
    step(
        "docs",
        cargo().env("RUSTDOCFLAGS", "-D warnings").args([
            "doc",
            "--quiet",
            "--workspace",
            "--no-deps",
            "--locked",
        ]),
    )?;
    bare_build()?;
    step("tidy", cargo().args(["test", "--quiet", "--locked", "-p", "xtask"]))
}

/// Licences, bans and sources; advisories too where their database can be fetched.
fn deny() -> Result<(), String> {
    if !cargo().args(["deny", "--version"]).output().is_ok_and(|out| out.status.success()) {
        step("install cargo-deny", cargo().args(["install", "--quiet", "--locked", "cargo-deny"]))?;
    }
    step("deny", cargo().args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    if step("advisories", cargo().args(["deny", "--log-level", "error", "check", "advisories"])).is_err() {
        eprintln!("   advisories were not checked, or some stand open: see above");
    }
    Ok(())
}

/// The gateway must build with Rust, a C compiler and make alone.
fn bare_build() -> Result<(), String> {
    let missing = root().join("target/there-is-no-such-program");
    step(
        "build without cmake and protoc",
        cargo().env("CMAKE", &missing).env("PROTOC", &missing).env("RUSTFLAGS", "").args([
            "build",
            "--quiet",
            "--locked",
            "--target-dir",
            "target/bare",
            "-p",
            "tidegate",
        ]),
    )
}
