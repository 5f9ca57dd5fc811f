//! What a JSON string says: escapes resolved, and everything that is no Unicode text replaced by U+FFFD.

use std::borrow::Cow;

use super::{Kind, Value};

/// The text of a string; `replaced` is set when something in it was no Unicode text. Of any other value, its JSON.
pub(crate) fn text<'a>(value: Value<'a>, replaced: &mut bool) -> Cow<'a, str> {
    let raw = match simdutf8::basic::from_utf8(value.raw) {
        Ok(raw) => Cow::Borrowed(raw),
        Err(_) => {
            *replaced = true;
            String::from_utf8_lossy(value.raw)
        }
    };
    if value.kind == Kind::Escaped { Cow::Owned(unescaped(&raw, replaced)) } else { raw }
}

/// Resolves the escapes of a checked string.
fn unescaped(raw: &str, replaced: &mut bool) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied();
        rest = rest.get(at + 2..).unwrap_or("");
        match escape {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let first = unit(rest);
                rest = rest.get(4..).unwrap_or("");
                let (found, used) = pair(first, rest);
                rest = &rest[used..];
                *replaced |= found.is_none();
                out.push(found.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(char::from(other)),
            None => {}
        }
    }
    out.push_str(rest);
    out
}

/// Four hex digits at the start of `text`.
fn unit(text: &str) -> u32 {
    text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xfffd)
}

/// The character that `first` begins, and how many bytes of `rest` belong to it; none for a lone surrogate.
fn pair(first: u32, rest: &str) -> (Option<char>, usize) {
    if !(0xd800..0xdc00).contains(&first) {
        return (char::from_u32(first), 0);
    }
    match rest.strip_prefix("\\u").map(unit) {
        Some(second @ 0xdc00..=0xdfff) => {
            (char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)), 6)
        }
        _ => (None, 0),
    }
}
