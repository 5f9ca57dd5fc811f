//! Cloudflare ray ids. They look like 64-bit trace ids and are none: they name one request at one data centre.

use std::fmt;

use super::text;

/// A ray id in normal form: 16 lower-case hex digits, without the data centre.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ray([u8; 16]);

impl Ray {
    /// Reads `8c1b2d3e4f506172` or `8c1b2d3e4f506172-FRA`; `None` for anything else, `00` (no ray) included.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.split_once('-').map_or(text, |(digits, _)| digits);
        if digits.len() != 16 || text::hex(digits)? == 0 {
            return None;
        }
        let mut bytes: [u8; 16] = digits.as_bytes().try_into().ok()?;
        bytes.make_ascii_lowercase();
        Some(Self(bytes))
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only hex digits are let in")
    }
}

impl fmt::Display for Ray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
