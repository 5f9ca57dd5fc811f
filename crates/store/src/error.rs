//! What went wrong with the store's files.

use std::fmt;

use object_store::path::Path;

/// A file could not be written, read or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(String);

impl StoreError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The same, of one file.
    pub(crate) fn of(&self, path: &Path) -> Self {
        Self(format!("{path}: {}", self.0))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<rows::FileError> for StoreError {
    fn from(error: rows::FileError) -> Self {
        Self(error.to_string())
    }
}

impl From<pipeline::workers::Gone> for StoreError {
    fn from(gone: pipeline::workers::Gone) -> Self {
        Self(gone.to_string())
    }
}
