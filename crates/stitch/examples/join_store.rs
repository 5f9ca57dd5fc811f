//! What a join store takes, tree by tree, and in memory: `cargo run --release -p tidegate-stitch --example join_store -- FOLDER <IDS`, with the
//! folder `stitch` below the data folder of a gateway that does not run, and ids to look up, one a line. Memory is that of this process
//! before it opens the store, when it is open, and after the look-ups; Linux only.

#![allow(clippy::print_stdout, reason = "an example says what it measured")]
#![allow(clippy::unwrap_used, reason = "an example that cannot go on ends")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use fjall::Database;
use tidegate_stitch::engine::{Engine, Options, Sought};

/// As the gateway has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("the folder of a join store"));
    let ids: Vec<String> = std::io::stdin().lines().map(Result::unwrap).collect();
    let before = memory();
    let engine = Engine::open(&folder, Options::default()).unwrap();
    let open = memory() - before;
    let (begun, mut found) = (Instant::now(), 0);
    for id in &ids {
        found += usize::from(!engine.look(&Sought::read(id)).unwrap().is_empty());
    }
    let took = begun.elapsed().as_secs_f64() * 1e3 / ids.len().max(1) as f64;
    println!(
        "join store in memory: {} MiB when open, {} MiB after {found} look-ups of {took:.3} ms",
        open >> 20,
        (memory() - before) >> 20
    );
    drop(engine);
    trees(&folder);
}

/// Entries and bytes of each kind of tree, generations together. What is in the store's own journal alone has no bytes here.
fn trees(folder: &Path) {
    let db = Database::builder(folder).open().unwrap();
    let mut kinds: Vec<(String, u64, u64)> = Vec::new();
    for name in db.list_keyspace_names() {
        let tree = db.keyspace(&name, Default::default).unwrap();
        let (kind, entries, bytes) = (kind(&name), tree.len().unwrap() as u64, tree.disk_space());
        match kinds.iter_mut().find(|known| known.0 == kind) {
            Some(known) => (known.1, known.2) = (known.1 + entries, known.2 + bytes),
            None => kinds.push((kind, entries, bytes)),
        }
    }
    kinds.sort_unstable();
    println!("{:<16} {:>12} {:>10} {:>16}", "tree", "entries", "MiB", "bytes an entry");
    // What leads from an id to a request, for joining and for people.
    let index = kinds.iter().filter(|(kind, ..)| ["hot keys", "cold names"].contains(&&**kind));
    let index = index.fold((0, 0), |sum, (_, entries, bytes)| (sum.0 + entries, sum.1 + bytes));
    for (kind, entries, bytes) in kinds.iter().chain([&("index entries".to_owned(), index.0, index.1)]) {
        let each = *bytes as f64 / (*entries).max(1) as f64;
        println!("{kind:<16} {entries:>12} {:>10} {each:>16.1}", bytes >> 20);
    }
}

/// `hot-123-keys` is a tree of the kind `hot keys`.
fn kind(name: &str) -> String {
    name.split('-').filter(|part| part.parse::<u64>().is_err()).collect::<Vec<_>>().join(" ")
}

fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}
