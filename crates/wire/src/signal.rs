//! The two words that tell how a body is to be read: which signal it is, and in which layout.

use std::fmt;

/// One of the three kinds of telemetry; each has a journal log of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Signal {
    /// Spans.
    Traces = 1,
    /// Log records.
    Logs = 2,
    /// Metric points.
    Metrics = 3,
}

impl Signal {
    /// Every signal, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The lower-case name used in paths, labels and file names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }

    /// The signal of a stored number.
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Traces),
            2 => Some(Self::Logs),
            3 => Some(Self::Metrics),
            _ => None,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the plain bytes of a batch are laid out. In both layouts two messages laid end to end are their union.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Layout {
    /// An OTLP `Export…ServiceRequest` of the batch's signal.
    Otlp = 1,
    /// A Prometheus remote-write 1.0 `WriteRequest`, with our private fields above 1000 (see `wire::rw`).
    RemoteWrite = 2,
}

impl Layout {
    /// The layout of a stored number.
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Otlp),
            2 => Some(Self::RemoteWrite),
            _ => None,
        }
    }
}
