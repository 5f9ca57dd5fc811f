//! TraceQL's text to words. Names of attributes may have dots, dashes and slashes in them, so that a word ends only at a blank
//! or at a sign that can follow one.

/// One word, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A name, a number, a duration or a keyword.
    Plain(String),
    /// Text in quotes.
    Quoted(String),
    /// A sign: `{`, `&&`, `!=` …
    Sign(&'static str),
}

/// The longer signs first.
const SIGNS: [&str; 25] = [
    "&&", "||", "!=", "!~", "=~", ">=", "<=", ">>", "<<", "{", "}", "(", ")", "=", ">", "<", "|", "!", ",",
    "~", "&", "+", "*", "^", "%",
];

/// Splits text into words.
pub(super) fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if let Some((value, length)) = quoted(rest).map_err(|what| format!("{what} at byte {at}"))? {
            words.push(Word { at, kind: Kind::Quoted(value) });
            at += length;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            words.push(Word { at, kind: Kind::Sign(sign) });
            at += sign.len();
        } else {
            let (name, length) = plain(rest).map_err(|what| format!("{what} at byte {at}"))?;
            words.push(Word { at, kind: Kind::Plain(name) });
            at += length;
        }
    }
    Ok(words)
}

/// Text in double quotes with backslashes, or in backquotes without, and how long it is with them.
fn quoted(rest: &str) -> Result<Option<(String, usize)>, String> {
    if let Some(inside) = rest.strip_prefix('`') {
        let end = inside.find('`').ok_or("text without its closing `")?;
        return Ok(Some((inside[..end].to_owned(), end + 2)));
    }
    let Some(inside) = rest.strip_prefix('"') else { return Ok(None) };
    let mut value = String::new();
    let mut letters = inside.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok(Some((value, at + 2))),
            '\\' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(same @ ('"' | '\\')) => value.push(same),
                other => return Err(format!("text with the unknown escape \\{}", other.unwrap_or(' '))),
            },
            other => value.push(other),
        }
    }
    Err("text without its closing quote".to_owned())
}

/// A name and its length; parts of it may be in quotes: `span."a b"`.
fn plain(rest: &str) -> Result<(String, usize), String> {
    let mut name = String::new();
    let mut at = 0;
    while let Some(letter) = rest[at..].chars().next() {
        if letter == '"' && name.ends_with('.') {
            let Some((value, length)) = quoted(&rest[at..])? else { break };
            name.push_str(&value);
            at += length;
        } else if letter.is_whitespace() || "{}()=~!<>&|^,\"`".contains(letter) {
            break;
        } else {
            name.push(letter);
            at += letter.len_utf8();
        }
    }
    if at == 0 {
        Err(format!("{:?} stands alone", rest.chars().next().unwrap_or(' ')))
    } else {
        Ok((name, at))
    }
}
