//! Writing a span's attributes, field 9 of its message.

use wire::put;

/// Text.
pub(crate) fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    any(out, key, |out| put::bytes(out, 1, value.as_bytes()));
}

/// A whole number.
pub(crate) fn int(out: &mut Vec<u8>, key: &str, value: i64) {
    any(out, key, |out| put::uint(out, 3, value as u64));
}

/// That something is so.
pub(crate) fn truth(out: &mut Vec<u8>, key: &str) {
    any(out, key, |out| put::uint(out, 2, 1));
}

/// A value of any kind.
pub(crate) fn any(out: &mut Vec<u8>, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    put::message(out, 9, |out| {
        put::bytes(out, 1, key.as_bytes());
        put::message(out, 2, value);
    });
}
