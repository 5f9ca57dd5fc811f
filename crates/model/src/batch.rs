//! A batch: one signal of one tenant as one client sent it, immutable and shared by reference count.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use wire::Coding;
pub use wire::{Layout, Signal};

use crate::UnixNanos;

/// A tenant's name: 1 to 64 characters of `[A-Za-z0-9_.-]`, never `.` or `..`, so that it is safe as a path segment and a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Checks a name.
    pub fn new(name: &str) -> Option<Self> {
        let good = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
            && name != "."
            && name != "..";
        good.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".into())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The configured name of the receiver that took a batch (`otlp`, `prometheus`, `logpush`, `kong` …): the ledger's rows.
/// Same alphabet and length as a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(Arc<str>);

impl Source {
    /// Checks a name.
    pub fn new(name: &str) -> Option<Self> {
        Tenant::new(name).map(|t| Self(t.0))
    }

    /// Of spans that stitching makes.
    pub fn stitch() -> Self {
        Self("stitch".into())
    }

    /// Of spans that stitching tells again, since more is known.
    pub fn revised() -> Self {
        Self("stitch-revised".into())
    }

    /// Whether it says again, better, what was said before: of no use to what shows all that it was given.
    pub fn is_revised(&self) -> bool {
        &*self.0 == "stitch-revised"
    }

    /// Whether stitching has made the spans, for the first time or again.
    pub fn is_stitched(&self) -> bool {
        matches!(&*self.0, "stitch" | "stitch-revised")
    }

    /// Of log records that stitching gives again, under the trace and the span that they belong to.
    pub fn joined() -> Self {
        Self("stitch-joined".into())
    }

    /// Whether it gives received records again, joined: only for what asked for them in place of the received ones.
    pub fn is_joined(&self) -> bool {
        &*self.0 == "stitch-joined"
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who sent a batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// On whose behalf.
    pub tenant: Tenant,
    /// Through which receiver.
    pub source: Source,
}

/// 128 bits over tenant, source and the plain body as received (xxh3): the base of an item's identity where the item has
/// no natural key. Not cryptographic: it separates a sender's own bodies, it does not defend tenants from each other,
/// which is why the tenant is part of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Hashes one plain body of `origin`.
    pub fn of(origin: &Origin, plain: &[u8]) -> Self {
        let mut seed = xxhash_rust::xxh3::Xxh3::new();
        seed.update(origin.tenant.as_str().as_bytes());
        seed.update(&[0]);
        seed.update(origin.source.as_str().as_bytes());
        Self(xxhash_rust::xxh3::xxh3_128_with_seed(plain, seed.digest()))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One signal of one tenant as one client sent it (or as `normalize` made it from what the client sent).
///
/// `body` inflates by `coding` to `plain_len` bytes of `layout`; `items` is what the ledger books for it.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Who sent it.
    pub origin: Origin,
    /// What kind of telemetry it is.
    pub signal: Signal,
    /// How the plain bytes are laid out.
    pub layout: Layout,
    /// How `body` is compressed.
    pub coding: Coding,
    /// The bytes, compressed by `coding`.
    pub body: Bytes,
    /// Length of the plain bytes.
    pub plain_len: u32,
    /// Spans, log records, metric points, or remote-write samples, histograms, exemplars and metadata entries together.
    pub items: u32,
    /// Hash of the plain body as received, before any rewriting.
    pub content_hash: ContentHash,
    /// When the gateway had read the request.
    pub received: UnixNanos,
}
