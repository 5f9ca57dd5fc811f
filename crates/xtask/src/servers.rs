//! The real peers of the integration tests. Each is the tool dependency of a small Go module in
//! `crates/testkit/servers/NAME/`, whose `go.sum` pins every byte. Binaries go to a cache folder outside the clone
//! (`TIDEGATE_TEST_CACHE`, else the user's cache folder), keyed by the module's lock file, so that a second run builds
//! nothing and works offline.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{root, step};

struct Server {
    name: &'static str,
    package: &'static str,
    tags: &'static str,
    slow: bool,
}

const SERVERS: &[Server] = &[
    Server {
        name: "prometheus",
        package: "github.com/prometheus/prometheus/cmd/prometheus",
        tags: "remove_all_sd",
        slow: false,
    },
    Server {
        name: "telemetrygen",
        package: "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen",
        tags: "",
        slow: false,
    },
    Server {
        name: "jaeger",
        package: "github.com/jaegertracing/jaeger/cmd/all-in-one",
        tags: "",
        slow: true,
    },
];

/// Builds the peers that are not built yet and answers the folder that holds them.
pub(crate) fn build(all: bool) -> Result<PathBuf, String> {
    let bin = cache()?.join("bin");
    std::fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
    for server in SERVERS.iter().filter(|s| all || !s.slow) {
        let module = root().join("crates/testkit/servers").join(server.name);
        let stamp = bin.join(format!("{}.stamp", server.name));
        let key = key(&module, server)?;
        let binary = bin.join(server.name);
        if binary.exists() && std::fs::read_to_string(&stamp).is_ok_and(|held| held == key) {
            continue;
        }
        go()?;
        step(
            &format!("build {} (some minutes the first time)", server.name),
            Command::new("go")
                .current_dir(&module)
                .envs([("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0"), ("GOFLAGS", "-buildvcs=false")])
                .args(["build", "-trimpath", "-ldflags=-s -w", "-tags", server.tags, "-o"])
                .arg(&binary)
                .arg(server.package),
        )?;
        std::fs::write(&stamp, key).map_err(|error| format!("{}: {error}", stamp.display()))?;
    }
    eprintln!("   real peers: {}", bin.display());
    Ok(bin)
}

fn go() -> Result<(), String> {
    let found = Command::new("go").arg("version").output().is_ok_and(|out| out.status.success());
    found
        .then_some(())
        .ok_or_else(|| "the real peers of the tests are Go programs: install Go 1.26 or newer".into())
}

fn cache() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("TIDEGATE_TEST_CACHE") {
        return Ok(folder.into());
    }
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    Ok(base
        .ok_or("set TIDEGATE_TEST_CACHE: there is no HOME to keep the real peers in")?
        .join("tidegate-tests"))
}

fn key(module: &Path, server: &Server) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    for file in ["go.mod", "go.sum"] {
        let path = module.join(file);
        std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?.hash(&mut hasher);
    }
    server.tags.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}
