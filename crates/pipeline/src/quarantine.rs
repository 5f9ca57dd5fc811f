//! The quarantine: what clients sent and the gateway could not take, kept as NDJSON for the operator to look at. Bounded in
//! bytes; the oldest go first and are counted. Written before the client is answered, but not synced: it holds what was
//! never accepted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Origin, UnixNanos};
use serde::Serialize;

use crate::shelf::{Bounds, Shelf};

/// No entry keeps more bytes of what was sent than this.
pub(crate) const MOST_BYTES: usize = 64 << 10;
/// Longest message that is kept.
const MOST_MESSAGE: usize = 1 << 10;
/// A year: the quarantine is bounded by bytes, not by age.
const KEEP: Duration = Duration::from_secs(365 * 86_400);

/// One thing that was not taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) received: UnixNanos,
    pub(crate) reason: &'static str,
    pub(crate) message: &'a str,
    /// The record's index in its request; `None` when it is the whole request.
    pub(crate) index: Option<u32>,
    pub(crate) bytes: &'a [u8],
}

#[derive(Serialize)]
struct Line<'a> {
    received: u64,
    tenant: &'a str,
    source: &'a str,
    reason: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// How many bytes there were; more than stand here when they were cut.
    length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The files.
#[derive(Debug)]
pub(crate) struct Quarantine {
    shelf: Shelf,
}

impl Entry<'_> {
    /// The entry as one line, its line feed included.
    pub(crate) fn line(&self) -> Vec<u8> {
        let kept = &self.bytes[..self.bytes.len().min(MOST_BYTES)];
        let text = std::str::from_utf8(kept).ok();
        let line = Line {
            received: self.received.0,
            tenant: self.origin.tenant.as_str(),
            source: self.origin.source.as_str(),
            reason: self.reason,
            message: cut_text(self.message, MOST_MESSAGE),
            index: self.index,
            length: self.bytes.len(),
            text,
            base64: text.is_none().then(|| STANDARD.encode(kept)),
        };
        let mut bytes = serde_json::to_vec(&line).expect("strings and numbers are always JSON");
        bytes.push(b'\n');
        bytes
    }
}

impl Quarantine {
    /// Opens the quarantine in `folder`, at most `bytes` of it.
    pub(crate) fn open(folder: PathBuf, bytes: u64) -> io::Result<Self> {
        let bounds = Bounds { bytes, keep: KEEP };
        Ok(Self { shelf: Shelf::open(folder, "ndjson", b"", bounds, count_lines)? })
    }

    /// Writes lines made by `Entry::line`.
    pub(crate) fn put(&mut self, lines: &[Vec<u8>], now: UnixNanos) -> io::Result<()> {
        lines.iter().try_for_each(|line| self.shelf.append(line, now).map(drop))
    }

    /// Bytes kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.shelf.bytes()
    }

    /// Entries that the bound has dropped since the folder was made.
    pub(crate) fn dropped(&self) -> u64 {
        self.shelf.dropped()
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.shelf.sync()
    }
}

fn count_lines(path: &Path) -> u64 {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}

/// The longest beginning of `text` of at most `most` bytes that ends at a character's border.
pub(crate) fn cut_text(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use model::{Source, Tenant};

    use super::*;

    fn check(bytes: &[u8], expected: &serde_json::Value) {
        let origin = Origin { tenant: Tenant::default(), source: Source::new("logpush").unwrap() };
        let entry = Entry {
            origin: &origin,
            received: UnixNanos(5),
            reason: "json",
            message: "é",
            index: Some(3),
            bytes,
        };
        let line = entry.line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(&serde_json::from_slice::<serde_json::Value>(&line).unwrap(), expected);
    }

    #[test]
    fn an_entry_is_one_line_whatever_its_bytes() {
        let mut expected = serde_json::json!({
            "received": 5, "tenant": "default", "source": "logpush", "reason": "json", "message": "é", "index": 3,
            "length": 7, "text": "{\"a\":\n}",
        });
        check(b"{\"a\":\n}", &expected);
        expected["length"] = 2.into();
        expected["base64"] = "/wo=".into();
        expected.as_object_mut().unwrap().remove("text");
        check(b"\xff\n", &expected);
    }

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(cut_text("aé", 2), "a");
        assert_eq!(cut_text("aé", 3), "aé");
        assert_eq!(cut_text("aé", 9), "aé");
    }
}
