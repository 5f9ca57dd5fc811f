//! Measures group commit on the machine's own disk: acknowledged appends, bytes and syncs a second.
//!
//! `cargo run --release -p tidegate-journal --example commit -- [FOLDER]`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, io};

use model::{Batch, ContentHash, Layout, Origin, Signal, Source, SystemClock, Tenant, UnixNanos};
use tidegate_journal::{Journal, Options, RealFs, Vfs, vfs::VfsFile};
use wire::Coding;

/// The machine's file system with its syncs counted.
#[derive(Debug, Default)]
struct Counting {
    real: RealFs,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn VfsFile>,
    syncs: Arc<AtomicU64>,
}

impl Counting {
    fn wrap(&self, file: Arc<dyn VfsFile>) -> Arc<dyn VfsFile> {
        Arc::new(CountingFile { file, syncs: Arc::clone(&self.syncs) })
    }
}

impl Vfs for Counting {
    fn create_folder(&self, path: &std::path::Path) -> io::Result<()> {
        self.real.create_folder(path)
    }
    fn list(&self, folder: &std::path::Path) -> io::Result<Vec<String>> {
        self.real.list(folder)
    }
    fn open(&self, path: &std::path::Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(self.wrap(self.real.open(path)?))
    }
    fn create(&self, path: &std::path::Path) -> io::Result<Arc<dyn VfsFile>> {
        Ok(self.wrap(self.real.create(path)?))
    }
    fn rename(&self, from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
        self.real.rename(from, to)
    }
    fn remove(&self, path: &std::path::Path) -> io::Result<()> {
        self.real.remove(path)
    }
    fn sync_folder(&self, folder: &std::path::Path) -> io::Result<()> {
        self.real.sync_folder(folder)
    }
    fn available_space(&self, folder: &std::path::Path) -> io::Result<u64> {
        self.real.available_space(folder)
    }
    fn lock(&self, path: &std::path::Path) -> io::Result<Box<dyn Send + Sync>> {
        self.real.lock(path)
    }
}

impl VfsFile for CountingFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(into, at)
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.file.write_at(bytes, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

fn batch(bytes: usize) -> Batch {
    Batch {
        origin: Origin { tenant: Tenant::default(), source: Source::new("bench").expect("a good name") },
        signal: Signal::Traces,
        layout: Layout::Otlp,
        coding: Coding::Plain,
        body: vec![0x5a; bytes].into(),
        plain_len: bytes as u32,
        items: 10,
        content_hash: ContentHash(1),
        received: UnixNanos(1),
    }
}

#[allow(clippy::print_stdout, reason = "it prints what it measured")]
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = env::args().nth(1).map_or_else(|| env::temp_dir().join("tidegate-commit"), PathBuf::from);
    println!(
        "{:>8} {:>8} {:>12} {:>8} {:>8} {:>9} {:>9}",
        "waiters", "bytes", "acked/s", "MB/s", "syncs/s", "p50", "p99"
    );
    for (waiters, bytes) in [(1, 4096), (16, 4096), (64, 4096), (256, 4096), (64, 65_536), (64, 204_800)] {
        let folder = folder.join(format!("{waiters}x{bytes}"));
        let _ = std::fs::remove_dir_all(&folder);
        let vfs = Arc::new(Counting::default());
        let syncs = Arc::clone(&vfs.syncs);
        let options = Options { max_bytes: 4 << 30, keep: Duration::ZERO, ..Options::default() };
        let (journal, _) = match Journal::open(vfs, folder.clone(), options, Arc::new(SystemClock)) {
            Ok(opened) => opened,
            Err(error) => return println!("{error}"),
        };
        // Ends once the keeper has made the first spares.
        while journal.usage().bytes < 6 * (32 << 20) {
            tokio::time::sleep(Duration::from_millis(50)).await; // waits for time: between two looks
        }
        let (before, start) = (syncs.load(Ordering::Relaxed), Instant::now());
        let mut tasks = Vec::new();
        for _ in 0..waiters {
            let (log, batch) = (journal.log(Signal::Traces).clone(), batch(bytes));
            tasks.push(tokio::spawn(async move {
                let mut times = Vec::new();
                let mut refused = 0_u64;
                while start.elapsed() < Duration::from_secs(4) {
                    let asked = Instant::now();
                    match log.append(&batch).await {
                        Ok(_) => times.push(asked.elapsed()),
                        Err(_) => {
                            refused += 1;
                            tokio::task::yield_now().await;
                        }
                    }
                }
                (times, refused)
            }));
        }
        let mut times = Vec::new();
        let mut refused = 0;
        for task in tasks {
            if let Ok((own, no)) = task.await {
                times.extend(own);
                refused += no;
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |share: f64| {
            times.get((times.len() as f64 * share) as usize).map_or(0.0, |t| t.as_secs_f64() * 1e3)
        };
        let rate = times.len() as f64 / seconds;
        let per_second = (syncs.load(Ordering::Relaxed) - before) as f64 / seconds;
        println!(
            "{waiters:>8} {bytes:>8} {rate:>12.0} {:>8.1} {per_second:>8.0} {:>6.2} ms {:>6.2} ms  refused {refused}",
            rate * bytes as f64 / 1e6,
            at(0.5),
            at(0.99),
        );
        journal.close().await;
        let _ = std::fs::remove_dir_all(&folder);
    }
}
