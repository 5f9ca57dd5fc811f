//! The real peers of the integration tests, installed into a cache folder outside the clone (`TIDEGATE_TEST_CACHE`, else
//! the user's cache folder). What pins a peer (`go.sum`, `pom.xml`, `requirements.txt`) lies in
//! `crates/testkit/servers/NAME/`; a stamp holds the hash of its recipe, so that a second run does nothing and works offline.
//!
//! | file | what |
//! |---|---|
//! | `recipe.rs` | how a peer is got: Go module, Maven, Debian package, crate, Python wheels |
//! | `tools.rs` | the tools that this takes, and how they come to a fresh machine |

mod recipe;
mod tools;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::root;
use recipe::{Job, Recipe, Step};

/// Which runs a peer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Every,
    All,
}

struct Server {
    name: &'static str,
    recipe: Recipe,
    set: Set,
}

/// Every peer. Those that compile go one after another; those that mostly download go beside them.
const SERVERS: &[Server] = &[
    Server {
        name: "prometheus",
        recipe: Recipe::Go {
            package: "github.com/prometheus/prometheus/cmd/prometheus",
            tags: "remove_all_sd",
        },
        set: Set::Every,
    },
    Server {
        name: "promtool",
        recipe: Recipe::Go {
            package: "github.com/prometheus/prometheus/cmd/promtool",
            tags: "remove_all_sd",
        },
        set: Set::Every,
    },
    Server {
        name: "telemetrygen",
        recipe: Recipe::Go {
            package: "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen",
            tags: "",
        },
        set: Set::Every,
    },
    Server { name: "kafka", recipe: Recipe::Folder(&[Step::Maven]), set: Set::Every },
    Server { name: "opensearch", recipe: Recipe::Folder(&[Step::Maven, Step::Javac]), set: Set::Every },
    Server { name: "elasticsearch", recipe: Recipe::Folder(&[Step::Maven, Step::Javac]), set: Set::Every },
    Server {
        name: "clickhouse",
        recipe: Recipe::Folder(&[Step::Debian("clickhouse-server")]),
        set: Set::Every,
    },
    Server {
        name: "victoriametrics",
        recipe: Recipe::Folder(&[Step::Debian("victoria-metrics")]),
        set: Set::Every,
    },
    Server {
        name: "s3s-fs",
        recipe: Recipe::Folder(&[Step::Crate { package: "s3s-fs", version: "0.14.1", features: "binary" }]),
        set: Set::Every,
    },
    Server {
        name: "loki",
        recipe: Recipe::Go { package: "github.com/grafana/loki/v3/cmd/loki", tags: "" },
        set: Set::All,
    },
    Server {
        name: "minio",
        recipe: Recipe::Go { package: "github.com/minio/minio", tags: "" },
        set: Set::All,
    },
    Server { name: "chdb", recipe: Recipe::Folder(&[Step::Pip, Step::Copy(&["server.py"])]), set: Set::All },
    Server { name: "zipkin", recipe: Recipe::Folder(&[Step::Maven]), set: Set::All },
    Server {
        name: "opensearch3",
        recipe: Recipe::Folder(&[Step::Maven, Step::Pip, Step::Ecj]),
        set: Set::All,
    },
    Server {
        name: "jaeger",
        recipe: Recipe::Go { package: "github.com/jaegertracing/jaeger/cmd/all-in-one", tags: "" },
        set: Set::All,
    },
];

/// Installs the peers that are not there yet; those that cannot be had are named together at the end.
pub(crate) fn install(all: bool) -> Result<(), String> {
    let cache = cache()?;
    let bin = cache.join("bin");
    fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
    let _alone = lock(&cache)?;
    let wanted: Vec<&Server> = SERVERS.iter().filter(|s| all || s.set == Set::Every).collect();
    let (compiled, fetched): (Vec<&Server>, Vec<&Server>) =
        wanted.into_iter().partition(|s| s.recipe.compiles());
    let failures: Vec<String> = std::thread::scope(|scope| {
        let lanes = [compiled, fetched]
            .map(|lane| scope.spawn(|| lane.into_iter().map(|s| one(s, &cache)).collect()));
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap_or_else(|_| vec![Err("a lane panicked".into())]))
            .filter_map(Result::err)
            .collect()
    });
    if failures.is_empty() {
        eprintln!("   real peers: {}", cache.display());
        return Ok(());
    }
    Err(format!("these real peers could not be installed:\n{}", failures.join("\n")))
}

/// Where the peers are kept.
pub(crate) fn cache() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("TIDEGATE_TEST_CACHE") {
        return std::path::absolute(PathBuf::from(folder)).map_err(|error| error.to_string());
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    Ok(base
        .ok_or("set TIDEGATE_TEST_CACHE: there is no HOME to keep the real peers in")?
        .join("tidegate-tests"))
}

/// Two runs at once would write into one another's folders: the second waits.
fn lock(cache: &Path) -> Result<fs::File, String> {
    let path = cache.join("lock");
    let file = fs::File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.lock().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(file)
}

/// Installs one peer beside its place and moves it there when it is whole.
fn one(server: &Server, cache: &Path) -> Result<(), String> {
    let name = server.name;
    let source = root().join("crates/testkit/servers").join(name);
    let place = if server.recipe.is_binary() { cache.join("bin").join(name) } else { cache.join(name) };
    let stamp = cache.join("bin").join(format!("{name}.stamp"));
    let key = key(&source, &server.recipe)?;
    if place.exists() && fs::read_to_string(&stamp).is_ok_and(|held| held == key) {
        return Ok(());
    }
    eprintln!("── install {name}");
    let begun = Instant::now();
    let part = cache.join(format!("{name}.part"));
    let log = cache.join(format!("{name}.log"));
    let _ = fs::remove_file(&log);
    remove(&part)?;
    server.recipe.run(&Job { source: &source, into: &part, log: &log }).map_err(|why| {
        eprintln!("── {name}: {why}");
        format!("  {name}: {why}")
    })?;
    remove(&place)?;
    fs::rename(&part, &place).map_err(|error| format!("  {name}: {}: {error}", place.display()))?;
    fs::write(&stamp, key).map_err(|error| format!("  {name}: {}: {error}", stamp.display()))?;
    eprintln!("── {name} is there after {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn remove(path: &Path) -> Result<(), String> {
    let done = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match done {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The hash of what decides the result: the files that pin it, and the recipe's own words.
fn key(source: &Path, recipe: &Recipe) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(source).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        fs::read(&path).map_err(|error| format!("  {}: {error}", path.display()))?.hash(&mut hasher);
    }
    recipe.words().hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(server: &Server) -> PathBuf {
        root().join("crates/testkit/servers").join(server.name)
    }

    #[test]
    fn every_recipe_is_pinned_by_files_in_the_repository() {
        for server in SERVERS {
            let read = |file: &str| {
                fs::read_to_string(source(server).join(file))
                    .unwrap_or_else(|error| panic!("{} {file}: {error}", server.name))
            };
            let Recipe::Folder(steps) = &server.recipe else {
                assert!(read("go.mod").contains("\ntool "), "{}", server.name);
                assert!(!read("go.sum").is_empty(), "{}", server.name);
                continue;
            };
            for step in *steps {
                match step {
                    Step::Maven => {
                        let pom = read("pom.xml");
                        let exact = |version: &str| version.starts_with(|c: char| c.is_ascii_digit());
                        assert!(pom.split("<version>").skip(1).all(exact), "{}: {pom}", server.name);
                    }
                    Step::Pip => {
                        let pins = read("requirements.txt");
                        assert!(pins.contains("==") && pins.contains("--hash=sha256:"), "{}", server.name);
                    }
                    Step::Javac | Step::Ecj => assert!(read("Run.java").contains("class Run")),
                    Step::Copy(files) => files.iter().for_each(|file| drop(read(file))),
                    Step::Debian(packages) => assert!(!packages.is_empty()),
                    Step::Crate { version, .. } => assert_eq!(version.split('.').count(), 3),
                }
            }
        }
    }

    #[test]
    fn a_stamp_changes_with_the_files_and_with_the_recipe() {
        let kafka = SERVERS.iter().find(|s| s.name == "kafka").unwrap();
        let zipkin = SERVERS.iter().find(|s| s.name == "zipkin").unwrap();
        let here = key(&source(kafka), &kafka.recipe).unwrap();
        assert_eq!(key(&source(kafka), &kafka.recipe).unwrap(), here);
        assert_ne!(key(&source(zipkin), &kafka.recipe).unwrap(), here);
        assert_ne!(key(&source(kafka), &Recipe::Folder(&[Step::Maven, Step::Javac])).unwrap(), here);
    }

    #[test]
    fn what_fails_says_which_and_why_and_leaves_nothing_in_its_place() {
        let cache = root().join("target").join(format!("xtask-servers-{}", std::process::id()));
        fs::create_dir_all(cache.join("bin")).unwrap();
        let server = Server {
            name: "there-is-no-such-server",
            recipe: Recipe::Folder(&[Step::Copy(&["nothing"])]),
            set: Set::Every,
        };
        let why = one(&server, &cache).unwrap_err();
        assert!(why.contains("there-is-no-such-server: nothing: "), "{why}");
        assert!(!cache.join(server.name).exists());
        fs::remove_dir_all(&cache).unwrap();
    }
}
