//! The gateway under test, as a process of its own on an empty data folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use testkit::process::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// CPU-seconds by what threads are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// Listening, normalizing, committing.
    pub(crate) intake: f64,
    /// All others: couriers, sinks, cold reads.
    pub(crate) sinks: f64,
}

/// Where a gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// On the first, where `taskset` is there and a second is left for the generator.
    One,
    /// On all.
    All,
}

/// A running gateway; dropping it kills the process and removes its data.
pub(crate) struct Gateway {
    child: Child,
    binary: PathBuf,
    cores: Cores,
    folder: PathBuf,
    /// Whether its data stay when it ends.
    pub(crate) is_kept: bool,
    port: u16,
}

impl Gateway {
    /// Starts `binary` with the journal on `sync` and these sinks: each a type and the rest of its settings, in which `FOLDER` stands
    /// for a folder of the run. `sections` are further ones of its configuration.
    pub(crate) async fn start(
        binary: &Path,
        folder: Option<&Path>,
        sinks: &[(&str, String)],
        sections: &str,
        cores: Cores,
    ) -> Result<Self, String> {
        let base = folder.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let folder = base.join(format!("tidegate-load-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let port = free_port();
        let mut config = format!(
            "data: {}\nfront_door: {{ addresses: ['127.0.0.1:{port}'] }}\njournal: {{ durability: sync, max_bytes: 8GiB, keep: 0s }}\nsinks:\n",
            folder.join("data").display()
        );
        for (number, (kind, settings)) in sinks.iter().enumerate() {
            let settings = settings.replace("FOLDER", &folder.display().to_string());
            let rest = if settings.is_empty() { String::new() } else { format!(", {settings}") };
            config.push_str(&format!("  sink-{number}: {{ type: {kind}{rest} }}\n"));
        }
        config.push_str(sections);
        let file = folder.join("tidegate.yaml");
        fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
        let child = spawn(binary, cores, &folder)?;
        let mut gateway = Self { child, binary: binary.to_owned(), cores, folder, is_kept: false, port };
        gateway.wait_ready().await?;
        Ok(gateway)
    }

    /// Ends it as an operator would, and starts it again on the same data.
    pub(crate) async fn restart(&mut self) -> Result<(), String> {
        self.terminate().await?;
        self.child = spawn(&self.binary, self.cores, &self.folder)?;
        self.wait_ready().await
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn terminate(&mut self) -> Result<(), String> {
        let pid = self.pid()?.to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        sent.map_err(|error| format!("kill: {error}"))?;
        let ended = self.child.wait().await.map_err(|error| error.to_string())?;
        ended.success().then_some(()).ok_or(format!("the gateway ended with {ended}"))
    }

    /// Where its data lie, below `data`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it answers at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        get(self.port, path).await
    }

    /// Items that sinks do not have yet.
    pub(crate) async fn held(&self) -> Result<u64, String> {
        let ledger: serde_json::Value =
            serde_json::from_slice(&self.get("/api/v1/ledger").await?).map_err(|error| error.to_string())?;
        let rows = ledger["rows"].as_array().ok_or("a ledger without rows")?;
        Ok(rows.iter().filter_map(|row| row["held"].as_u64()).sum())
    }

    async fn wait_ready(&mut self) -> Result<(), String> {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..3_000 {
            tick.tick().await;
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("the gateway ended with {status}: {log}"));
            }
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(());
            }
        }
        Err("the gateway did not listen within a minute".into())
    }

    /// The port of the front door.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// User and system time used so far, by what threads are for, to the nanosecond: in a run of seconds the intake uses few hundredths of
    /// one, for which the ticks of other sources are too coarse.
    pub(crate) fn cpu(&self) -> Result<Cpu, String> {
        let mut cpu = Cpu { intake: 0.0, sinks: 0.0 };
        for (name, seconds) in self.cpu_by_thread()? {
            match name.starts_with("front") || name.starts_with("commit-") {
                true => cpu.intake += seconds,
                false => cpu.sinks += seconds,
            }
        }
        Ok(cpu)
    }

    /// User and system time used so far, by the names of threads without their numbers.
    pub(crate) fn cpu_by_thread(&self) -> Result<BTreeMap<String, f64>, String> {
        let tasks = format!("/proc/{}/task", self.pid()?);
        let mut cpu = BTreeMap::new();
        for task in fs::read_dir(&tasks).map_err(|error| error.to_string())?.flatten() {
            // A thread may end between the two.
            let file = |name: &str| fs::read_to_string(task.path().join(name));
            let (Ok(name), Ok(text)) = (file("comm"), file("schedstat")) else { continue };
            let nanos = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
            let seconds = nanos.ok_or("an unreadable thread status")? as f64 / 1e9;
            let name = name.trim().split(['#', ':']).next().unwrap_or_default();
            let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            *cpu.entry(name.to_owned()).or_default() += seconds;
        }
        Ok(cpu)
    }

    /// User and system time used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, String> {
        self.cpu().map(|cpu| cpu.intake + cpu.sinks)
    }

    /// Waits until every sink has everything and answers how many items that were, of all sinks together.
    pub(crate) async fn settled(&self, what: &str) -> Result<u64, String> {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..1200 {
            tick.tick().await;
            let ledger: serde_json::Value = serde_json::from_slice(&get(self.port, "/api/v1/ledger").await?)
                .map_err(|e| e.to_string())?;
            let rows = ledger["rows"].as_array().ok_or("a ledger without rows")?;
            let sum = |key: &str| rows.iter().filter_map(|row| row[key].as_u64()).sum::<u64>();
            if !rows.is_empty() && sum("held") == 0 {
                return Ok(sum("delivered"));
            }
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("the log is empty");
        Err(format!("{what}: the sinks do not have everything after two minutes: {last}"))
    }

    /// The largest resident size so far.
    pub(crate) fn peak_mib(&self) -> Result<u64, String> {
        self.size_mib("VmHWM:")
    }

    /// The resident size.
    pub(crate) fn rss_mib(&self) -> Result<u64, String> {
        self.size_mib("VmRSS:")
    }

    fn size_mib(&self, name: &str) -> Result<u64, String> {
        let text = self.proc("status")?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no size in the process status")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| "an unreadable size")?;
        Ok(kib / 1024)
    }

    fn pid(&self) -> Result<u32, String> {
        self.child.id().ok_or("the gateway has ended".into())
    }

    fn proc(&self, file: &str) -> Result<String, String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid()?)).map_err(|error| error.to_string())
    }

    /// Ends the gateway.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| error.to_string())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn spawn(binary: &Path, cores: Cores, folder: &Path) -> Result<Child, String> {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"));
    command(binary, cores)
        .arg("--config")
        .arg(folder.join("tidegate.yaml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.map_err(|error| error.to_string())?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{}: {error}", binary.display()))
}

/// The binary on its cores.
fn command(binary: &Path, cores: Cores) -> Command {
    let available = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let has_taskset =
        || std::process::Command::new("taskset").arg("--version").output().is_ok_and(|o| o.status.success());
    if cores == Cores::All || available < 2 || !has_taskset() {
        return Command::new(binary);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(binary);
    command
}

/// The body of one answer.
async fn get(port: u16, path: &str) -> Result<Vec<u8>, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.map_err(|error| format!("{path}: {error}"))?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or(format!("{path}: no answer"))?;
    Ok(answer[end + 4..].to_vec())
}
