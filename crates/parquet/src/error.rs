//! Why a file could not be written or read.

use std::fmt;

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

/// A file could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError(String);

impl FileError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

impl From<ParquetError> for FileError {
    fn from(error: ParquetError) -> Self {
        Self(error.to_string())
    }
}

impl From<ArrowError> for FileError {
    fn from(error: ArrowError) -> Self {
        Self(error.to_string())
    }
}
