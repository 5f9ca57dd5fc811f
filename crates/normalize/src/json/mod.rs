//! Reading JSON where it lies: one pass over the bytes of a record checks it in full and answers its members as slices.
//!
//! Why not a JSON crate: edge logs and Kong send what strict decoders refuse whole (bytes that are not UTF-8, lone
//! surrogates, repeated keys), nanoseconds that no double holds, and nesting meant to overflow a stack; and what is
//! kept is the text itself, so nothing is gained by building values. The grammar is RFC 8259, checked against
//! serde_json in the tests; only the text inside strings is taken as it comes.
//!
//! Nothing here recurses. Depth, keys of an object and elements of an array are limited.

mod number;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use number::{Decimal, decimal};
pub(crate) use text::text;

use std::fmt;

/// Deepest nesting of a record, the record itself included.
pub(crate) const DEPTH: usize = 64;
/// Most members of one object.
pub(crate) const KEYS: u32 = 4_096;
/// Most elements of one array.
pub(crate) const ELEMENTS: u32 = 65_536;

/// Why a record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// A byte that the grammar does not allow, at this offset.
    Syntax(usize),
    /// The text ends inside a value.
    Truncated,
    /// Nested deeper than `DEPTH`.
    Deep,
    /// An object with more than `KEYS` members.
    Keys,
    /// An array with more than `ELEMENTS` elements.
    Elements,
}

impl JsonError {
    /// The label under which such records are counted.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Truncated => "not_json",
            Self::Deep => "too_deep",
            Self::Keys | Self::Elements => "too_many_values",
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "record is not JSON at byte {at}"),
            Self::Truncated => write!(f, "record ends inside a JSON value"),
            Self::Deep => write!(f, "record nests deeper than {DEPTH}"),
            Self::Keys => write!(f, "object with more than {KEYS} keys"),
            Self::Elements => write!(f, "array with more than {ELEMENTS} elements"),
        }
    }
}

/// What a value is; strings tell whether they hold escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    True,
    False,
    Number,
    Plain,
    Escaped,
    Array,
    Object,
}

/// One value as it stands in the text: of a string what is between the quotes, of anything else all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) kind: Kind,
}

impl<'a> Value<'a> {
    /// Whether it is a string.
    pub(crate) fn is_string(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Escaped)
    }

    /// The members of an object, none of anything else.
    pub(crate) fn members(self) -> Members<'a> {
        let inner = if self.kind == Kind::Object { self.raw } else { &[] };
        Members { text: inner, at: 1, first: true }
    }

    /// The elements of an array, none of anything else.
    pub(crate) fn elements(self) -> Elements<'a> {
        let inner = if self.kind == Kind::Array { self.raw } else { &[] };
        Elements { text: inner, at: 1, first: true }
    }

    /// The last member of this name; letter case is ignored when no name fits exactly.
    pub(crate) fn get(self, name: &str) -> Option<Value<'a>> {
        let mut found = None;
        let mut exact = false;
        for member in self.members() {
            if member.key == name.as_bytes() {
                found = Some(member.value);
                exact = true;
            } else if !exact && member.key.eq_ignore_ascii_case(name.as_bytes()) {
                found = Some(member.value);
            }
        }
        found
    }
}

/// One member of an object. The key is what is between its quotes, escapes untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) key_kind: Kind,
    pub(crate) value: Value<'a>,
}

/// The members of an object that was checked already.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a> {
    text: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let at = space(self.text, self.at);
        let next = member(self.text, at, &mut self.first, 0).ok().flatten();
        match next {
            Some((member, end)) => {
                self.at = end;
                Some(member)
            }
            None => {
                self.at = self.text.len();
                None
            }
        }
    }
}

/// The elements of an array that was checked already.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a> {
    text: &'a [u8],
    at: usize,
    first: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let mut at = space(self.text, self.at);
        if !self.first && self.text.get(at) == Some(&b',') {
            at = space(self.text, at + 1);
        }
        self.first = false;
        let next = match self.text.get(at) {
            None | Some(b']') => None,
            _ => value(self.text, at, 0).ok(),
        };
        self.at = next.map_or(self.text.len(), |(_, end)| end);
        next.map(|(value, _)| value)
    }
}

/// Checks the object that starts at `at` and appends its members; answers the offset behind it.
pub(crate) fn object<'a>(text: &'a [u8], at: usize, out: &mut Vec<Member<'a>>) -> Result<usize, JsonError> {
    if text.get(at) != Some(&b'{') {
        return Err(JsonError::Syntax(at));
    }
    let mut at = at + 1;
    let mut first = true;
    let mut keys = 0;
    loop {
        at = space(text, at);
        match member(text, at, &mut first, 1)? {
            Some((member, end)) => {
                keys += 1;
                if keys > KEYS {
                    return Err(JsonError::Keys);
                }
                out.push(member);
                at = end;
            }
            None => return Ok(at + 1),
        }
    }
}

/// The next member at `at`, after a comma unless it is the first; `None` at the closing brace.
fn member<'a>(
    text: &'a [u8],
    mut at: usize,
    first: &mut bool,
    depth: usize,
) -> Result<Option<(Member<'a>, usize)>, JsonError> {
    match (text.get(at), *first) {
        (Some(b'}'), _) => return Ok(None),
        (Some(b','), false) => at = space(text, at + 1),
        (Some(_), true) => {}
        (Some(_), false) => return Err(JsonError::Syntax(at)),
        (None, _) => return Err(JsonError::Truncated),
    }
    *first = false;
    let (key, key_kind, end) = string(text, at)?;
    at = space(text, end);
    match text.get(at) {
        Some(b':') => at = space(text, at + 1),
        Some(_) => return Err(JsonError::Syntax(at)),
        None => return Err(JsonError::Truncated),
    }
    let (value, end) = value(text, at, depth)?;
    Ok(Some((Member { key, key_kind, value }, end)))
}

/// Checks the value that starts at `at`, inside `depth` containers; answers it and the offset behind it.
#[inline]
pub(crate) fn value(text: &[u8], at: usize, depth: usize) -> Result<(Value<'_>, usize), JsonError> {
    let (kind, end) = match text.get(at) {
        Some(b'"') => {
            let (raw, kind, end) = string(text, at)?;
            return Ok((Value { raw, kind }, end));
        }
        Some(b'{') => (Kind::Object, container(text, at, depth)?),
        Some(b'[') => (Kind::Array, container(text, at, depth)?),
        Some(b'-' | b'0'..=b'9') => (Kind::Number, number::end(text, at)?),
        Some(b't') => (Kind::True, word(text, at, b"true")?),
        Some(b'f') => (Kind::False, word(text, at, b"false")?),
        Some(b'n') => (Kind::Null, word(text, at, b"null")?),
        Some(_) => return Err(JsonError::Syntax(at)),
        None => return Err(JsonError::Truncated),
    };
    Ok((Value { raw: &text[at..end], kind }, end))
}

/// Walks a whole container without recursion: one bit a level tells objects from arrays.
fn container(text: &[u8], start: usize, outer: usize) -> Result<usize, JsonError> {
    let mut objects: u64 = 0;
    let mut counts = [0u32; DEPTH];
    let mut level = 0;
    let mut at = start;
    // The text at `at` opens a container on each turn of the outer loop.
    'open: loop {
        if level + outer >= DEPTH {
            return Err(JsonError::Deep);
        }
        let is_object = text[at] == b'{';
        objects = objects & !(1 << level) | u64::from(is_object) << level;
        counts[level] = 0;
        level += 1;
        at = space(text, at + 1);
        let mut first = true;
        loop {
            // Between values of the innermost container: its end, or the next value.
            let in_object = objects >> (level - 1) & 1 == 1;
            match text.get(at) {
                Some(b'}') if in_object => {}
                Some(b']') if !in_object => {}
                Some(b',') if !first => {
                    at = space(text, at + 1);
                    if matches!(text.get(at), Some(b'}' | b']')) {
                        return Err(JsonError::Syntax(at));
                    }
                    at = before_value(text, at, in_object)?;
                    count(&mut counts[level - 1], in_object)?;
                    if matches!(text.get(at), Some(b'{' | b'[')) {
                        continue 'open;
                    }
                    at = space(text, value(text, at, 0)?.1);
                    continue;
                }
                Some(_) if first => {
                    at = before_value(text, at, in_object)?;
                    count(&mut counts[level - 1], in_object)?;
                    first = false;
                    if matches!(text.get(at), Some(b'{' | b'[')) {
                        continue 'open;
                    }
                    at = space(text, value(text, at, 0)?.1);
                    continue;
                }
                Some(_) => return Err(JsonError::Syntax(at)),
                None => return Err(JsonError::Truncated),
            }
            level -= 1;
            if level == 0 {
                return Ok(at + 1);
            }
            at = space(text, at + 1);
            first = false;
        }
    }
}

/// Steps over the key and the colon when inside an object.
fn before_value(text: &[u8], at: usize, in_object: bool) -> Result<usize, JsonError> {
    if !in_object {
        return Ok(at);
    }
    let (_, _, end) = string(text, at)?;
    let at = space(text, end);
    match text.get(at) {
        Some(b':') => Ok(space(text, at + 1)),
        Some(_) => Err(JsonError::Syntax(at)),
        None => Err(JsonError::Truncated),
    }
}

fn count(seen: &mut u32, in_object: bool) -> Result<(), JsonError> {
    *seen += 1;
    match in_object {
        true if *seen > KEYS => Err(JsonError::Keys),
        false if *seen > ELEMENTS => Err(JsonError::Elements),
        _ => Ok(()),
    }
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, JsonError> {
    let end = at + word.len();
    match text.get(at..end) {
        Some(found) if found == word => Ok(end),
        Some(_) => Err(JsonError::Syntax(at)),
        None if word.starts_with(&text[at..]) => Err(JsonError::Truncated),
        None => Err(JsonError::Syntax(at)),
    }
}

/// The offset of the first byte from `at` on that is not blank.
#[inline]
pub(crate) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// Checks the string that starts at `at`; answers what is between the quotes and the offset behind it.
#[inline]
fn string(text: &[u8], at: usize) -> Result<(&[u8], Kind, usize), JsonError> {
    match text.get(at) {
        Some(b'"') => {}
        Some(_) => return Err(JsonError::Syntax(at)),
        None => return Err(JsonError::Truncated),
    }
    let start = at + 1;
    let mut at = start;
    let mut kind = Kind::Plain;
    loop {
        at = run(text, at);
        match text.get(at) {
            Some(b'"') => return Ok((&text[start..at], kind, at + 1)),
            Some(b'\\') => {
                kind = Kind::Escaped;
                at = escape(text, at)?;
            }
            Some(_) => return Err(JsonError::Syntax(at)),
            None => return Err(JsonError::Truncated),
        }
    }
}

/// The offset of the first quote, backslash or control byte from `at` on. Eight bytes at a time: in a word whose
/// bytes are compared by subtraction, a borrow can only flag bytes behind a true hit, so the lowest flag is right.
#[inline]
fn run(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes were taken"));
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        let hits = (quote.wrapping_sub(ONES) & !quote
            | slash.wrapping_sub(ONES) & !slash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = text.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

fn escape(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match text.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            Some(_) => Err(JsonError::Syntax(at)),
            None => Err(JsonError::Truncated),
        },
        Some(_) => Err(JsonError::Syntax(at)),
        None => Err(JsonError::Truncated),
    }
}
