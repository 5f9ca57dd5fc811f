//! Redaction in the text of a JSON document, as Logpush and Kong send their records: members are known by their names, and what
//! is not redacted stays as it was written, to the byte.
//!
//! Headers that are lists of `{"name": …, "value": …}` are known too. Texts in it may be JSON again, a few levels deep.

use std::ops::Range;

use super::redact::Redactor;

/// Deepest nesting of arrays and objects; what nests deeper is searched as plain text.
const DEPTH: usize = 128;

/// Not JSON, as far as is looked at.
#[derive(Debug)]
pub(super) struct Malformed;

/// Whether a text may be a JSON document with members.
pub(super) fn looks_like(text: &str) -> bool {
    matches!(text.trim_ascii_start().as_bytes().first(), Some(b'{' | b'['))
}

/// The document with everything redacted; `None` where nothing is.
pub(super) fn redact(text: &str, redactor: &Redactor, level: u8) -> Result<Option<String>, Malformed> {
    let mut scan = Scan { text, redactor, level, at: 0, open: Vec::new(), edits: Vec::new() };
    scan.document()?;
    let mut edits = scan.edits;
    if edits.is_empty() {
        return Ok(None);
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, with) in edits {
        out.push_str(&text[at..range.start]);
        out.push_str(&with);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Ok(Some(out))
}

struct Scan<'a> {
    text: &'a str,
    redactor: &'a Redactor,
    level: u8,
    at: usize,
    open: Vec<Open>,
    edits: Vec<(Range<usize>, String)>,
}

/// An object or array that is not closed yet.
#[derive(Default)]
struct Open {
    is_object: bool,
    /// Where it began.
    start: usize,
    /// Whether a member's name comes next.
    wants_name: bool,
    /// What all in it is sealed by.
    sealed: Option<u16>,
    /// What the member at hand is sealed by.
    member: Option<u16>,
    /// Whether the member at hand is the object's `name` or its `value`.
    role: Option<Role>,
    /// What the object's `name` says that its `value` is sealed by.
    named: Option<u16>,
    /// Where the object's `value` stands.
    value: Option<Range<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Name,
    Value,
}

impl Scan<'_> {
    fn document(&mut self) -> Result<(), Malformed> {
        while let Some(byte) = self.next() {
            match byte {
                b'{' | b'[' => self.enter(byte == b'{')?,
                b'}' | b']' => self.leave(byte == b'}')?,
                b',' => {
                    let open = self.open.last_mut().ok_or(Malformed)?;
                    open.wants_name = open.is_object;
                    open.member = None;
                    self.at += 1;
                }
                b'"' => self.string()?,
                _ => self.plain()?,
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn next(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// What the value that comes now is sealed by.
    fn seal(&self) -> Option<u16> {
        let open = self.open.last()?;
        let named = open.named.filter(|_| open.role == Some(Role::Value));
        open.sealed.or(open.member).or(named)
    }

    fn enter(&mut self, is_object: bool) -> Result<(), Malformed> {
        if self.open.len() == DEPTH || self.open.last().is_some_and(|open| open.wants_name) {
            return Err(Malformed);
        }
        let sealed = self.seal();
        self.open.push(Open { is_object, start: self.at, wants_name: is_object, sealed, ..Open::default() });
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self, is_object: bool) -> Result<(), Malformed> {
        let closed = self.open.pop().filter(|open| open.is_object == is_object).ok_or(Malformed)?;
        self.at += 1;
        if let (Some(rule), Some(value)) = (closed.named, closed.value) {
            self.cover(rule, value, closed.start);
        }
        self.value_was(closed.start..self.at);
        Ok(())
    }

    /// Notes where the value of the member at hand stood.
    fn value_was(&mut self, range: Range<usize>) {
        if let Some(open) = self.open.last_mut()
            && open.role.take() == Some(Role::Value)
        {
            open.value = Some(range);
        }
    }

    /// Redacts a value whose name came behind it, whatever it is, in the object that began at `start`.
    fn cover(&mut self, rule: u16, value: Range<usize>, start: usize) {
        // Only what was edited in this object is looked at, so that many objects do not cost their square.
        let before = self.edits.iter().rposition(|(range, _)| range.start < start).map_or(0, |last| last + 1);
        let here = self.edits.split_off(before);
        let beside =
            here.into_iter().filter(|(range, _)| range.end <= value.start || range.start >= value.end);
        self.edits.extend(beside);
        let raw = &self.text[value.clone()];
        let inner = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        let inner =
            inner.map_or_else(|| raw.to_owned(), |raw| unescaped(raw).unwrap_or_else(|| raw.to_owned()));
        if let Some(new) = self.redactor.seal(rule, &inner).filter(|_| raw != "null") {
            self.edits.push((value, format!("\"{}\"", escaped(&new))));
        }
    }

    fn string(&mut self) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut end = start;
        loop {
            end += memchr::memchr2(b'"', b'\\', bytes.get(end..).unwrap_or_default()).ok_or(Malformed)?;
            if bytes[end] == b'"' {
                break;
            }
            end += 2;
        }
        self.at = end + 1;
        let raw = &self.text[start..end];
        let text = raw.contains('\\').then(|| unescaped(raw)).flatten();
        let is_escaped = text.is_some();
        let text = text.as_deref().unwrap_or(raw);
        if self.open.last().is_some_and(|open| open.wants_name) {
            return self.name(text);
        }
        let new = match self.seal() {
            Some(rule) => self.redactor.seal(rule, text),
            None => self.redactor.search_at(text, self.level + 1),
        };
        if let Some(new) = new {
            // Where nothing was escaped nothing needs it now, but for what is written by a rule.
            self.edits.push((start..end, if is_escaped { escaped(&new) } else { new }));
        }
        if let Some(open) = self.open.last_mut()
            && open.role == Some(Role::Name)
        {
            open.named = self.redactor.seal_of(text);
            open.role = None;
        }
        self.value_was(start - 1..end + 1);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), Malformed> {
        let member = self.redactor.seal_of(name);
        if self.next() != Some(b':') {
            return Err(Malformed);
        }
        self.at += 1;
        let open = self.open.last_mut().ok_or(Malformed)?;
        open.wants_name = false;
        open.member = member;
        open.role = match name {
            _ if name.eq_ignore_ascii_case("name") || name.eq_ignore_ascii_case("key") => Some(Role::Name),
            _ if name.eq_ignore_ascii_case("value") => Some(Role::Value),
            _ => None,
        };
        Ok(())
    }

    /// A number, `true`, `false` or `null`.
    fn plain(&mut self) -> Result<(), Malformed> {
        if self.open.last().is_none_or(|open| open.wants_name) {
            return Err(Malformed);
        }
        let rest = &self.text.as_bytes()[self.at..];
        let length =
            rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')).count();
        if length == 0 {
            return Err(Malformed);
        }
        let range = self.at..self.at + length;
        self.at = range.end;
        let raw = &self.text[range.clone()];
        let new = match self.seal().filter(|_| raw != "null") {
            Some(rule) => self.redactor.seal(rule, raw),
            None if length > 11 => self.redactor.search_at(raw, self.level + 1),
            None => None,
        };
        if let Some(new) = new {
            self.edits.push((range.clone(), format!("\"{}\"", escaped(&new))));
        }
        self.value_was(range);
        Ok(())
    }
}

fn unescaped(raw: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{raw}\"")).ok()
}

fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::redact::tests::redactor;

    fn check(cases: &[(&str, &str)]) {
        let redactor = redactor();
        for (text, expected) in cases {
            let new = redact(text, &redactor, 0).unwrap_or_else(|_| panic!("malformed: {text}"));
            assert_eq!(new.as_deref().unwrap_or(text), *expected, "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(expected).is_ok(), "{expected}");
        }
    }

    #[test]
    fn members_are_known_by_name_and_texts_by_what_is_in_them() {
        check(&[
            (
                r#"{"request":{"headers":{"authorization":"Bearer x","Host":"a"}},"n":1.50}"#,
                r#"{"request":{"headers":{"authorization":"[redacted]","Host":"a"}},"n":1.50}"#,
            ),
            (
                r#"{"Cookies":{"a":"b","c":["d",7,null,true]},"e":"f"}"#,
                r#"{"Cookies":{"a":"[redacted]","c":["[redacted]","[redacted]",null,"[redacted]"]},"e":"f"}"#,
            ),
            (
                r#" [ "x bob@example.com", 4111111111111111 , 411111111111111 ] "#,
                r#" [ "x [redacted]", "[redacted]" , 411111111111111 ] "#,
            ),
            (r#"{"mail":"bob\u0040example.com\n","q":"\"ü\""}"#, r#"{"mail":"[redacted]\n","q":"\"ü\""}"#),
            (r#"{"cookie":""}"#, r#"{"cookie":""}"#),
        ]);
    }

    #[test]
    fn headers_as_pairs_are_known_in_both_orders() {
        check(&[
            (
                r#"[{"name":"Cookie","value":"a=b"},{"name":"Host","value":"h"}]"#,
                r#"[{"name":"Cookie","value":"[redacted]"},{"name":"Host","value":"h"}]"#,
            ),
            (
                r#"[{"value":"a@b.com c","Name":"Set-Cookie"}]"#,
                r#"[{"value":"[redacted]","Name":"Set-Cookie"}]"#,
            ),
            (r#"{"value":["a@b.com"],"key":"cookie"}"#, r#"{"value":"[redacted]","key":"cookie"}"#),
        ]);
    }

    #[test]
    fn a_text_may_be_json_again() {
        check(&[(
            r#"{"message":"{\"authorization\":\"Bearer x\",\"a\":\"b\"}"}"#,
            r#"{"message":"{\"authorization\":\"[redacted]\",\"a\":\"b\"}"}"#,
        )]);
    }

    #[test]
    fn what_is_no_json_says_so() {
        let redactor = redactor();
        let deep = "[".repeat(200);
        for text in [
            "{",
            "{]",
            "[}",
            "{\"a\"}",
            "{1:2}",
            "{\"a\":\"b",
            "[\"\\",
            ",",
            &deep,
            "[1]]",
            "{\"a\" \"b\"}",
            "{{}}",
        ] {
            assert!(redact(text, &redactor, 0).is_err(), "{text}");
        }
    }
}
