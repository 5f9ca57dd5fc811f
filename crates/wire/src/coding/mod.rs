//! How bytes are compressed, and the inflaters, each under a ceiling.
//!
//! | file | what |
//! |---|---|
//! | `gzip.rs` | gzip and deflate, whole and streaming |
//! | `snappy.rs` | raw snappy blocks, joined without inflating |
//! | `zstd.rs` | zstd frames with a window cap |
//!
//! Declared sizes are never trusted: output is counted while it is made, and making stops at the ceiling.

mod gzip;
mod snappy;
#[cfg(test)]
mod tests;
mod zstd;

use std::fmt;

pub use gzip::{Inflater, Tail};
pub use snappy::join_snappy;

/// A compression of a whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Coding {
    /// No compression.
    Plain = 0,
    /// A raw snappy block (remote-write specification; no framing).
    Snappy = 1,
    /// RFC 1952, one or several members.
    Gzip = 2,
    /// RFC 8878, one or several frames.
    Zstd = 3,
    /// zlib-wrapped or raw deflate. Never stored.
    Deflate = 4,
}

impl Coding {
    /// The coding of a stored number.
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::Snappy),
            2 => Some(Self::Gzip),
            3 => Some(Self::Zstd),
            4 => Some(Self::Deflate),
            _ => None,
        }
    }

    /// The name used in `Content-Encoding` and `grpc-encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "identity",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

/// How far an inflater goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The most bytes of output.
    pub bytes: usize,
    /// Bytes of output before the ratio counts.
    pub ratio_after: usize,
    /// The most bytes of output per byte of input.
    pub ratio: u32,
}

impl Ceiling {
    /// A ceiling on size alone.
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, ratio_after: usize::MAX, ratio: u32::MAX }
    }

    /// Whether `made` bytes out of `read` are still allowed.
    fn check(&self, made: usize, read: usize) -> Result<(), InflateError> {
        if made > self.bytes {
            return Err(InflateError::TooLarge { limit: self.bytes });
        }
        if made > self.ratio_after && made as u64 / (read as u64).max(1) > u64::from(self.ratio) {
            return Err(InflateError::Ratio { limit: self.ratio });
        }
        Ok(())
    }
}

/// Why a body was not inflated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InflateError {
    /// The output exceeds the ceiling.
    TooLarge {
        /// The ceiling, in bytes.
        limit: usize,
    },
    /// The output is out of proportion to the input.
    Ratio {
        /// The largest ratio allowed.
        limit: u32,
    },
    /// The bytes are not of this coding.
    Corrupt {
        /// The coding.
        coding: Coding,
        /// What is wrong.
        reason: &'static str,
    },
    /// The output is not what the checksum or length behind it was made of.
    Checksum {
        /// The coding.
        coding: Coding,
    },
    /// The body ends too early.
    Truncated {
        /// The coding.
        coding: Coding,
    },
    /// A framed snappy stream where a raw block is demanded.
    Framed,
}

impl fmt::Display for InflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "inflated body exceeds the limit of {limit} bytes"),
            Self::Ratio { limit } => write!(f, "body inflates to more than {limit} times its size"),
            Self::Corrupt { coding, reason } => write!(f, "{} body is corrupt: {reason}", coding.as_str()),
            Self::Checksum { coding } => write!(f, "{} body does not match its checksum", coding.as_str()),
            Self::Truncated { coding } => write!(f, "{} body ends too early", coding.as_str()),
            Self::Framed => f.write_str("body is a framed snappy stream, a raw snappy block is needed"),
        }
    }
}

impl std::error::Error for InflateError {}

/// Inflates a whole body.
///
/// Gzip takes several members and ignores garbage behind the last whole one; zstd takes several frames.
///
/// # Errors
/// The body is corrupt, ends too early, or exceeds the ceiling.
pub fn inflate(coding: Coding, body: &[u8], ceiling: Ceiling) -> Result<Vec<u8>, InflateError> {
    match coding {
        Coding::Plain => {
            ceiling.check(body.len(), body.len())?;
            Ok(body.to_vec())
        }
        Coding::Snappy => snappy::inflate(body, ceiling),
        Coding::Gzip => gzip::inflate(body, ceiling),
        Coding::Zstd => zstd::inflate(body, ceiling),
        Coding::Deflate => gzip::inflate_deflate(body, ceiling),
    }
}

/// Compresses a whole body. `level` is that of gzip and deflate (0 to 12) or zstd (1 to 19); snappy has none.
pub fn compress(coding: Coding, level: i32, plain: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Plain => plain.to_vec(),
        Coding::Snappy => snappy::compress(plain),
        Coding::Gzip => gzip::compress(plain, level),
        Coding::Zstd => zstd::compress(plain, level),
        Coding::Deflate => gzip::compress_zlib(plain, level),
    }
}

/// What a body's first bytes say: gzip or zstd. Protobuf and JSON never begin like either.
pub fn sniff(body: &[u8]) -> Option<Coding> {
    if body.starts_with(&[0x1f, 0x8b]) {
        Some(Coding::Gzip)
    } else if body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(Coding::Zstd)
    } else {
        None
    }
}
