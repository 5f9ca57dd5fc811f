//! Finding records in the bytes of a JSON source: NDJSON, arrays, envelopes, and text that a job puts around them.
//!
//! A record is an object. Whatever stands between records on lines that hold one (commas, brackets, prefixes) is framing
//! and is passed over; a line without any record is a bad one, unless it is punctuation only. After a bad record
//! reading goes on behind it when its end can be told on its line, else on the next line, so the rest is never lost.

use std::ops::Range;

use crate::json::{self, JsonError, Member};

/// Longest record, in bytes.
pub(crate) const LONGEST: usize = 4 << 20;

/// The names under which envelopes hold their list of records.
const ENVELOPES: [&[u8]; 3] = [b"events", b"Records", b"records"];

/// A record that failed to parse may reach over line ends before it does; this many times it may be tried.
const STRAYS: u32 = 8;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// An object whose members were put out.
    Record(Range<usize>),
    /// Bytes that are no record.
    Bad(Range<usize>, Fault),
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not JSON, or beyond a limit.
    Json(JsonError),
    /// JSON, but not an object.
    NotAnObject,
    /// An object without members.
    Empty,
    /// More bytes than `LONGEST`.
    TooLong,
    /// One of so many tiny records that what is made of them would be out of proportion.
    Swollen,
}

/// Walks through the bytes.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    text: &'a [u8],
    at: usize,
    /// The end of the line that `at` is on, once it was looked up: a whole array may stand on one line.
    line: Option<usize>,
    strays: u32,
}

impl<'a> Records<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Self { text, at, line: None, strays: STRAYS }
    }

    /// The next record, its members in `members`; or the next bad bytes; `None` at the end.
    pub(crate) fn next(&mut self, members: &mut Vec<Member<'a>>) -> Option<Found> {
        loop {
            members.clear();
            self.at = skip(self.text, self.at);
            match self.text.get(self.at)? {
                b'{' => match envelope(self.text, self.at) {
                    Some(inside) => self.at = inside,
                    None => return Some(self.record(members)),
                },
                b'[' if opens_list(self.text, self.at) => self.at += 1,
                _ => {
                    if let Some(found) = self.stray(members) {
                        return Some(found);
                    }
                }
            }
        }
    }

    fn record(&mut self, members: &mut Vec<Member<'a>>) -> Found {
        let start = self.at;
        let line = self.line_end(start);
        let limit = if self.strays > 0 { self.text.len() } else { line };
        let limit = limit.min(start.saturating_add(LONGEST + 1));
        match json::object(&self.text[..limit], start, members) {
            Ok(end) if end - start > LONGEST => self.bad(start, end, Fault::TooLong),
            Ok(end) => {
                self.at = end;
                self.pass_suffix();
                if members.is_empty() {
                    Found::Bad(start..end, Fault::Empty)
                } else {
                    Found::Record(start..end)
                }
            }
            Err(error) => {
                if line < limit {
                    self.strays = self.strays.saturating_sub(1);
                }
                let fault = if line - start > LONGEST { Fault::TooLong } else { Fault::Json(error) };
                let end = balanced(&self.text[..line], start).unwrap_or(line);
                self.bad(start, end, fault)
            }
        }
    }

    /// Bytes that open neither an object nor a list of objects: text before a record, or a bad line.
    fn stray(&mut self, members: &mut Vec<Member<'a>>) -> Option<Found> {
        let start = self.at;
        let line = self.line_end(start);
        let rest = &self.text[start..line];
        let is_value =
            json::value(rest, 0, 0).is_ok_and(|(_, end)| rest[end..].iter().all(|b| is_framing(*b)));
        if is_value {
            return Some(self.bad(start, line, Fault::NotAnObject));
        }
        if rest.len() <= LONGEST
            && rest[0] != b'['
            && let Some(offset) = memchr::memchr(b'{', rest)
            && let Ok(end) = json::object(&self.text[..line], start + offset, members)
            && !members.is_empty()
        {
            self.at = end;
            self.pass_suffix();
            return Some(Found::Record(start + offset..end));
        }
        members.clear();
        if rest.iter().all(|b| is_framing(*b) || matches!(b, b'(' | b')' | b';' | b'|')) && rest[0] != b'[' {
            self.at = line;
            return None;
        }
        let fault = match json::value(rest, 0, 0) {
            _ if rest.len() > LONGEST => Fault::TooLong,
            Err(error) => Fault::Json(error),
            Ok((_, end)) => Fault::Json(JsonError::Syntax(end)),
        };
        Some(self.bad(start, line, fault))
    }

    /// Behind a record: text up to the line's end that opens nothing further is the job's own suffix.
    fn pass_suffix(&mut self) {
        let line = self.line_end(self.at);
        if memchr::memchr2(b'{', b'[', &self.text[self.at..line]).is_none() {
            self.at = line;
        }
    }

    fn bad(&mut self, start: usize, end: usize, fault: Fault) -> Found {
        self.at = end;
        Found::Bad(start..end, fault)
    }

    fn line_end(&mut self, at: usize) -> usize {
        match self.line {
            Some(line) if at <= line => line,
            _ => {
                let line =
                    memchr::memchr(b'\n', &self.text[at..]).map_or(self.text.len(), |offset| at + offset);
                self.line = Some(line);
                line
            }
        }
    }
}

fn is_framing(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' | b'{' | b'}')
}

/// Passes blanks, and what stands between and behind the records of a list.
fn skip(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}') = text.get(at) {
        at += 1;
    }
    at
}

/// Whether the bracket at `at` begins a list of objects, an empty list, or one that goes on in the next piece.
fn opens_list(text: &[u8], at: usize) -> bool {
    matches!(text.get(json::space(text, at + 1)), None | Some(b'{' | b']'))
}

/// Behind the bracket of `{"events":[`, when that is what stands at `at`.
fn envelope(text: &[u8], at: usize) -> Option<usize> {
    let at = json::space(text, at + 1);
    let rest = text.get(at..)?.strip_prefix(b"\"")?;
    let name = ENVELOPES.iter().find(|name| rest.starts_with(name) && rest.get(name.len()) == Some(&b'"'))?;
    let at = json::space(text, at + 2 + name.len());
    if text.get(at) != Some(&b':') {
        return None;
    }
    let at = json::space(text, at + 1);
    (text.get(at) == Some(&b'[') && opens_list(text, at)).then_some(at + 1)
}

/// Where a broken object on one line ends, by its brackets alone.
fn balanced(line: &[u8], start: usize) -> Option<usize> {
    let mut open = 0usize;
    let mut in_string = false;
    let mut at = start;
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => open += 1,
            b'}' | b']' if !in_string => {
                open -= 1;
                if open == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}
