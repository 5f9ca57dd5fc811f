//! What is written in the place of what is redacted.

use sha2::{Digest, Sha256};

/// How a rule redacts.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Ink {
    Mask,
    Hash(Key),
}

/// The two blocks that a key of HMAC-SHA256 comes to (RFC 2104).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    inner: [u8; BLOCK],
    outer: [u8; BLOCK],
}

const BLOCK: usize = 64;
const MASK: &str = "[redacted]";
const HASH: &str = "[hash:";
/// Digits of a hash: 128 bits, so that no two texts of a lifetime share one.
const DIGITS: usize = 32;

impl std::fmt::Debug for Ink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mask => "Mask",
            Self::Hash(_) => "Hash",
        })
    }
}

impl Ink {
    /// What stands for `text`.
    pub(super) fn over(&self, text: &str) -> String {
        match self {
            Self::Mask => MASK.to_owned(),
            Self::Hash(key) => {
                let digest = key.hmac(text.as_bytes());
                let digits =
                    digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect::<String>();
                format!("{HASH}{digits}]")
            }
        }
    }
}

/// Whether a text is what redaction leaves: it tells nothing, and what was redacted once stays the same.
pub(super) fn is_redacted(text: &str) -> bool {
    let digits = text.strip_prefix(HASH).and_then(|rest| rest.strip_suffix(']'));
    text == MASK
        || digits
            .is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Key {
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        let short = Sha256::digest(secret);
        let secret = if secret.len() > BLOCK { &short[..] } else { secret };
        block[..secret.len()].copy_from_slice(secret);
        Self { inner: block.map(|byte| byte ^ 0x36), outer: block.map(|byte| byte ^ 0x5c) }
    }

    fn hmac(&self, text: &[u8]) -> [u8; 32] {
        let inner = Sha256::new().chain_update(self.inner).chain_update(text).finalize();
        Sha256::new().chain_update(self.outer).chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hmac(key: &[u8], text: &[u8]) -> String {
        Key::new(key).hmac(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hashes_are_those_of_rfc_4231() {
        assert_eq!(
            hmac(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn what_is_redacted_is_known_again() {
        let hash = Ink::Hash(Key::new(b"0123456789abcdef"));
        assert_ne!(hash.over("a"), hash.over("b"));
        assert_ne!(hash.over("a"), Ink::Hash(Key::new(b"another key of it")).over("a"));
        assert!(is_redacted(&hash.over("a")) && is_redacted(&Ink::Mask.over("a")));
        assert!(
            !is_redacted("[hash:1234]") && !is_redacted("redacted") && !is_redacted(&hash.over("a")[1..])
        );
    }
}
