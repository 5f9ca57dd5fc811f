//! The mark that every record and derived span carries where stitching does not look: whose it is, and which hop of it.

use std::fmt;

use crate::case::Hop;

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The case's number.
    pub serial: u32,
    /// The hop.
    pub hop: Hop,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.serial;
        match self.hop {
            Hop::Edge | Hop::Origin => write!(f, "truth/{serial}/edge/0"),
            Hop::Run(at) => write!(f, "truth/{serial}/run/{at}"),
            Hop::Fetch(at) => write!(f, "truth/{serial}/fetch/{at}"),
            Hop::Kong(at) | Hop::Try(at, _) => write!(f, "truth/{serial}/kong/{at}"),
        }
    }
}

impl Mark {
    /// Reads what was written.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("truth/")?.split('/');
        let serial = parts.next()?.parse().ok()?;
        let kind = parts.next()?;
        let at = parts.next()?.parse().ok()?;
        let hop = match kind {
            "edge" => Hop::Edge,
            "run" => Hop::Run(at),
            "fetch" => Hop::Fetch(at),
            "kong" => Hop::Kong(at),
            _ => return None,
        };
        Some(Self { serial, hop })
    }
}
