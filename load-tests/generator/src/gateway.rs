//! The gateway under test, as a process of its own on an empty data folder.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A running gateway; dropping it kills the process and removes its data.
pub(crate) struct Gateway {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Gateway {
    /// Starts `binary` with the journal on `sync` and one swallowing sink.
    pub(crate) async fn start(binary: &Path, folder: Option<&Path>) -> Result<Self, String> {
        let base = folder.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let folder = base.join(format!("tidegate-load-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let port = free_port()?;
        let config = format!(
            "data: {}\nfront_door: {{ addresses: ['127.0.0.1:{port}'] }}\njournal: {{ durability: sync, max_bytes: 8GiB, keep: 0s }}\nsinks: {{ swallow: {{ type: blackhole }} }}\n",
            folder.join("data").display()
        );
        let file = folder.join("tidegate.yaml");
        fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = pinned(binary);
        let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let child = command
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut gateway = Self { child, folder, port };
        gateway.wait_ready().await?;
        Ok(gateway)
    }

    async fn wait_ready(&mut self) -> Result<(), String> {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..500 {
            tick.tick().await;
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("the gateway ended with {status}: {log}"));
            }
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(());
            }
        }
        Err("the gateway did not listen within 10 s".into())
    }

    /// The port of the front door.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// User and system time used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, String> {
        let text = self.proc("stat")?;
        let after_name = text.rsplit_once(')').ok_or("an unreadable process status")?.1;
        let field = |n: usize| after_name.split_whitespace().nth(n).and_then(|f| f.parse::<f64>().ok());
        let ticks = field(11)
            .zip(field(12))
            .map(|(user, system)| user + system)
            .ok_or("an unreadable process status")?;
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// The largest resident size so far.
    pub(crate) fn peak_mib(&self) -> Result<u64, String> {
        let text = self.proc("status")?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("VmHWM:"))
            .ok_or("no peak size in the process status")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| "an unreadable peak size")?;
        Ok(kib / 1024)
    }

    fn proc(&self, file: &str) -> Result<String, String> {
        let pid = self.child.id().ok_or("the gateway has ended")?;
        fs::read_to_string(format!("/proc/{pid}/{file}")).map_err(|error| error.to_string())
    }

    /// Ends the gateway.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        self.child.kill().await.map_err(|error| error.to_string())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Linux reports process times in hundredths of a second on every platform we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// The binary on the first core, where `taskset` is there and a second core is left for the generator.
fn pinned(binary: &Path) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let has_taskset =
        std::process::Command::new("taskset").arg("--version").output().is_ok_and(|o| o.status.success());
    if cores < 2 || !has_taskset {
        return Command::new(binary);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(binary);
    command
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}
