//! Why the journal does not do what it was asked.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::{Refusal, Signal};

/// Why a batch was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// The budget is used up, or the disk is full. Nothing was kept.
    Full {
        /// What is full, with its limit.
        what: String,
    },
    /// The disk does not keep up: too much waits for it, or for too long. A frame that was staged may stay.
    Stalled,
    /// The disk failed while the frame was being made durable, or has not recovered since. The frame may stay.
    Failed {
        /// What the operating system said.
        cause: String,
    },
    /// The journal was closed. Nothing was kept.
    Closed,
    /// The batch can never be taken.
    TooLarge {
        /// Its bytes in a segment.
        bytes: u64,
        /// The largest that is taken.
        limit: u64,
    },
    /// The batch belongs to another log.
    WrongSignal {
        /// The log it was given to.
        log: Signal,
        /// The batch's own.
        batch: Signal,
    },
}

impl AppendError {
    /// What the client is told.
    pub fn refusal(&self) -> Refusal {
        let message = self.to_string();
        match self {
            Self::Full { .. } => Refusal::unavailable(message, Duration::from_secs(10)),
            Self::Stalled | Self::Failed { .. } | Self::Closed => {
                Refusal::unavailable(message, Duration::from_secs(2))
            }
            Self::TooLarge { .. } | Self::WrongSignal { .. } => Refusal::too_large(message),
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { what } => write!(f, "journal is full: {what}"),
            Self::Stalled => f.write_str("journal waits for its disk"),
            Self::Failed { cause } => write!(f, "journal's disk fails: {cause}"),
            Self::Closed => f.write_str("journal is closed"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "batch of {bytes} bytes exceeds the journal's limit of {limit}")
            }
            Self::WrongSignal { log, batch } => write!(f, "batch of {batch} given to the log of {log}"),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why a journal did not open. Damaged data is never a reason.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    Locked {
        /// The lock's path.
        path: PathBuf,
    },
    /// The operating system refuses the folder or a thread.
    Io {
        /// What was touched.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => write!(f, "{} is locked by another process", path.display()),
            Self::Io { path, .. } => write!(f, "{} is not usable", path.display()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Locked { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// Why a reader stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The journal was closed, and everything visible was read.
    Closed,
    /// The reader has an end, and everything before it was read.
    Ended,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "journal is closed",
            Self::Ended => "reader has come to its end",
        })
    }
}

impl std::error::Error for ReadError {}

/// Why a cursor was not made or moved. What was durable before still is.
#[derive(Debug)]
pub enum CursorError {
    /// More finished ranges than a cursor can hold.
    TooManyRanges {
        /// How many there were.
        ranges: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Ranges that overlap, touch the low-water mark from below, or lie beyond what is durable.
    Inconsistent(String),
    /// The disk refused it.
    Io(io::Error),
    /// The journal was closed.
    Closed,
    /// There is no such cursor, or not any more.
    Unknown,
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRanges { ranges, limit } => {
                write!(f, "{ranges} finished ranges exceed the cursor's limit of {limit}")
            }
            Self::Inconsistent(what) => write!(f, "cursor is inconsistent: {what}"),
            Self::Io(_) => f.write_str("cursor not written"),
            Self::Closed => f.write_str("journal is closed"),
            Self::Unknown => f.write_str("there is no such cursor"),
        }
    }
}

impl std::error::Error for CursorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            _ => None,
        }
    }
}
