//! A cursor over JSON text (RFC 8259) that hands out tokens and never builds a tree. It bounds nesting and the
//! length of number literals, and checks everything that it passes over, skipped values included.

use std::borrow::Cow;

use super::JsonError;

/// How deep arrays and objects may nest.
pub(super) const MOST_LEVELS: usize = 128;

/// How long a number literal may be. The longest exact `f64` needs 1077 characters; more is noise or malice.
pub(super) const LONGEST_NUMBER: usize = 1100;

/// A place in JSON text.
pub(super) struct Text<'a> {
    text: &'a str,
    at: usize,
    levels: usize,
}

impl<'a> Text<'a> {
    /// Starts at the first token of `json`, behind a byte order mark if there is one.
    pub(super) fn new(json: &'a [u8]) -> Result<Self, JsonError> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let text = simdutf8::compat::from_utf8(json).map_err(|error| JsonError::Utf8(error.valid_up_to()))?;
        let mut text = Self { text, at: 0, levels: 0 };
        text.space();
        Ok(text)
    }

    /// Where the next token starts.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What was passed over since `from`, without the white space behind it.
    pub(super) fn since(&self, from: usize) -> &'a str {
        self.text[from..self.at].trim_ascii_end()
    }

    /// The next token's first byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Requires that nothing follows.
    pub(super) fn end(&self) -> Result<(), JsonError> {
        if self.at == self.text.len() { Ok(()) } else { Err(JsonError::Trailing(self.at)) }
    }

    /// Reads an object; `member` reads each value, or skips it.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.enter(b'{', "an object")?;
        if self.take(b'}') {
            return self.leave();
        }
        loop {
            let key = self.string("a key")?;
            if !self.take(b':') {
                return Err(self.expected("a colon"));
            }
            member(self, &key)?;
            if self.take(b'}') {
                return self.leave();
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the end of the object"));
            }
        }
    }

    /// Reads an array; `element` reads each value.
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.enter(b'[', "an array")?;
        if self.take(b']') {
            return self.leave();
        }
        loop {
            element(self)?;
            if self.take(b']') {
                return self.leave();
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the end of the array"));
            }
        }
    }

    /// Reads a string; borrowed unless it holds escapes.
    pub(super) fn string(&mut self, what: &'static str) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(what));
        }
        let open = self.at;
        self.at += 1;
        let mut plain_from = self.at;
        let mut made: Option<String> = None;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let step = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            let Some(step) = step else { return Err(JsonError::Unfinished(open)) };
            self.at += step;
            let plain = &self.text[plain_from..self.at];
            match rest[step] {
                b'"' => {
                    self.at += 1;
                    self.space();
                    return Ok(match made {
                        None => Cow::Borrowed(plain),
                        Some(mut text) => {
                            text.push_str(plain);
                            Cow::Owned(text)
                        }
                    });
                }
                b'\\' => {
                    let text = made.get_or_insert_default();
                    text.push_str(plain);
                    let escaped = self.escape()?;
                    made.get_or_insert_default().push(escaped);
                    plain_from = self.at;
                }
                _ => return Err(JsonError::Control(self.at)),
            }
        }
    }

    /// Reads a number's literal, its grammar checked.
    pub(super) fn number(&mut self) -> Result<&'a str, JsonError> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start;
        let digits = |at: &mut usize| {
            let from = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at - from
        };
        if bytes.get(at) == Some(&b'-') {
            at += 1;
        }
        let leading_zero = bytes.get(at) == Some(&b'0');
        let whole = digits(&mut at);
        let mut good = whole == 1 || (whole > 1 && !leading_zero);
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            good &= digits(&mut at) > 0;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            good &= digits(&mut at) > 0;
        }
        if !good {
            return Err(self.expected("a number"));
        }
        if at - start > LONGEST_NUMBER {
            return Err(JsonError::LongNumber(start));
        }
        self.at = at;
        self.space();
        Ok(&self.text[start..at])
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self) -> Result<bool, JsonError> {
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            Err(self.expected("true or false"))
        }
    }

    /// Takes `null` if it comes next.
    pub(super) fn null(&mut self) -> bool {
        self.word("null")
    }

    /// Passes over a value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.object(|text, _| text.skip()),
            Some(b'[') => self.array(Self::skip),
            Some(b'"') => self.string("a string").map(drop),
            Some(b't' | b'f') => self.boolean().map(drop),
            Some(b'n') if self.null() => Ok(()),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => Err(self.expected("a value")),
        }
    }

    /// The error that something else stands here.
    pub(super) fn expected(&self, what: &'static str) -> JsonError {
        if self.at == self.text.len() {
            JsonError::Unfinished(self.at)
        } else {
            JsonError::Expected(self.at, what)
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        if here {
            self.at += 1;
            self.space();
        }
        here
    }

    fn word(&mut self, word: &str) -> bool {
        let here = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if here {
            self.at += word.len();
            self.space();
        }
        here
    }

    fn enter(&mut self, bracket: u8, what: &'static str) -> Result<(), JsonError> {
        if self.levels == MOST_LEVELS && self.peek() == Some(bracket) {
            return Err(JsonError::TooDeep(self.at));
        }
        if !self.take(bracket) {
            return Err(self.expected(what));
        }
        self.levels += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), JsonError> {
        self.levels -= 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let letter = self.text.as_bytes().get(start + 1).copied();
        self.at += 2;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => return Err(JsonError::Escape(start)),
        })
    }

    fn unicode(&mut self, start: usize) -> Result<char, JsonError> {
        let first = self.unit(start)?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return Err(JsonError::Surrogate(start));
            }
            self.at += 2;
            let second = self.unit(start)?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(JsonError::Surrogate(start));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or(JsonError::Surrogate(start))
    }

    fn unit(&mut self, start: usize) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(JsonError::Escape(start))?;
        let mut unit = 0;
        for &digit in digits {
            unit = unit << 4 | char::from(digit).to_digit(16).ok_or(JsonError::Escape(start))?;
        }
        self.at += 4;
        Ok(unit)
    }
}
