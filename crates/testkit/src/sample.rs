//! The sample payloads under `samples/`: one synthetic story told by all four kinds of sender, and hostile inputs.

use std::path::PathBuf;

/// Where a sample lies, by its path below `samples/`, such as `cloudflare/http_requests.ndjson`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples").join(name)
}

/// The bytes of a sample.
///
/// # Panics
/// When there is no such sample.
pub fn sample(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("sample {name}: {error}"))
}
