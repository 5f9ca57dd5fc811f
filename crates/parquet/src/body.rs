//! A log record's body is kept once: where it is plain text it stands in the `body` column only and is left out of `raw`.

use wire::walk::{self, Value};

const BODY: u32 = 5;
const STRING_VALUE: u32 = 1;

/// A log record without its body, where the body is one plain string and can be put back exactly; else `None`.
pub(crate) fn split(record: &[u8]) -> Option<(&str, Vec<u8>)> {
    let mut found = None;
    for field in walk::fields(record) {
        let field = field.ok()?;
        if field.number == BODY {
            if found.is_some() {
                return None;
            }
            found = Some(field);
        }
    }
    let field = found?;
    let Value::Len(value) = field.value else { return None };
    let mut parts = walk::fields(value);
    let text = parts.next()?.ok()?;
    if text.number != STRING_VALUE || parts.next().is_some() {
        return None;
    }
    let text = text.text().ok()?;
    let mut rest = Vec::with_capacity(record.len() - (field.end - field.start));
    rest.extend_from_slice(&record[..field.start]);
    rest.extend_from_slice(&record[field.end..]);
    Some((text, rest))
}

/// Whether a log record holds its body itself.
pub(crate) fn is_in(record: &[u8]) -> bool {
    walk::fields(record).map_while(Result::ok).any(|field| field.number == BODY)
}

/// Undoes `split`.
pub(crate) fn join(out: &mut Vec<u8>, rest: &[u8], text: &str) {
    out.extend_from_slice(rest);
    wire::put::message(out, BODY, |value| wire::put::bytes(value, STRING_VALUE, text.as_bytes()));
}
