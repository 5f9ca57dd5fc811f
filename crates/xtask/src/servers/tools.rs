//! The tools that installing takes. On Debian, as root, what Debian has is installed; everything else is named.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::step;

/// One tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Go,
    Jdk,
    Maven,
    Pip,
    Apt,
}

/// Debian's package manager has one lock, and two lanes ask for it.
static APT: Mutex<()> = Mutex::new(());

/// Where Debian's packages ask whether they may start their services.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure of a tool, or says what to install.
pub(crate) fn need(tool: Tool) -> Result<(), String> {
    let _one = APT.lock().unwrap_or_else(PoisonError::into_inner);
    if there(tool) {
        return Ok(());
    }
    let (what, packages) = match tool {
        Tool::Go => {
            return Err("Go 1.26 or newer is missing: install it from its makers, put `go` on PATH".into());
        }
        Tool::Apt => return Err("this peer comes as Debian packages: apt-get and dpkg are missing".into()),
        Tool::Jdk => ("a JDK of Java 17 or newer", "openjdk-17-jdk-headless"),
        Tool::Maven => ("Maven", "maven"),
        Tool::Pip => ("Python 3 with pip", "python3-pip"),
    };
    if !there(Tool::Apt) || !is_root() {
        return Err(format!("{what} is missing: install it (Debian: apt-get install {packages})"));
    }
    let _quiet = Quiet::begin()?;
    let install = || {
        step(
            &format!("install {packages}"),
            apt().args(["-y", "-q", "--no-install-recommends", "install", packages]),
        )
    };
    if install().is_err() {
        update()?;
        install()?;
    }
    if there(tool) { Ok(()) } else { Err(format!("{what} is missing, even with Debian's {packages}")) }
}

fn there(tool: Tool) -> bool {
    let says = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok().filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match tool {
        Tool::Go => says("go", "version").is_some(),
        // "javac 17.0.15"; a runtime alone has no javac.
        Tool::Jdk => says("javac", "-version").is_some_and(|version| {
            let major =
                version.trim_start_matches("javac ").split('.').next().and_then(|m| m.trim().parse().ok());
            major.is_some_and(|major: u32| major >= 17)
        }),
        Tool::Maven => says("mvn", "--version").is_some(),
        Tool::Pip => Command::new("python3")
            .args(["-m", "pip", "--version"])
            .output()
            .is_ok_and(|o| o.status.success()),
        Tool::Apt => says("apt-get", "--version").is_some() && says("dpkg", "--version").is_some(),
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}

/// `apt-get` without questions.
pub(crate) fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Brings the lists of packages up to date, which a fresh machine has none of.
pub(crate) fn refresh_apt() -> Result<(), String> {
    let _one = APT.lock().unwrap_or_else(PoisonError::into_inner);
    update()
}

fn update() -> Result<(), String> {
    if !is_root() {
        return Err("apt-get cannot find this package; as root: apt-get update".into());
    }
    step("apt-get update", apt().args(["-q", "update"]))
}

/// While it lives, installing a package starts none of its services.
struct Quiet {
    ours: bool,
}

impl Quiet {
    fn begin() -> Result<Self, String> {
        use std::os::unix::fs::PermissionsExt as _;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{POLICY}: {error}"))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
