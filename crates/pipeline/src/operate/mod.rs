//! What an operator may ask of a running pipeline: dead letters, replays, cursors.

mod cursors;
mod letters;
mod replay;

use std::fmt;

pub use self::cursors::{CursorStatus, Dropped, Owner};
pub use self::letters::{Chosen, Taken};
pub(crate) use self::letters::{Shelf, strays, way};
pub use self::replay::{Again, Begun};

/// Why an operator is not given what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// There is no such thing.
    Missing(String),
    /// It is there, but not to be had in this way; the text names a remedy.
    Impossible(String),
    /// The disk or a thread refused; it may work later.
    Broken(String),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(text) | Self::Impossible(text) | Self::Broken(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Denied {}
