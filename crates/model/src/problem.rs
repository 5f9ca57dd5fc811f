//! What the operator must mend in the configuration. Problems come all at once, each with its place and its remedy.

use std::fmt;

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: dotted path with indexes, `sinks.archive.brokers[1]`; relative to the component while inside one.
    pub path: String,
    /// What is wrong: the thing, the value, the limit.
    pub message: String,
    /// What to write instead; may be empty when the message says it all.
    pub remedy: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}
