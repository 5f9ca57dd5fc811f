//! How bytes are compressed, and the inflaters, each under a ceiling.

/// A compression of a whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Coding {
    /// No compression.
    Plain = 0,
    /// A raw snappy block (remote-write spec; no framing).
    Snappy = 1,
    /// RFC 1952, one or several members.
    Gzip = 2,
    /// RFC 8878, one or several frames.
    Zstd = 3,
    /// zlib-wrapped or raw deflate. Never stored.
    Deflate = 4,
}
