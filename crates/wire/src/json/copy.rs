//! JSON → JSON: the members of an object, compact and each name once, for peers that refuse equal names and ends of lines.

use super::JsonError;
use super::lists::{Lists, of_one_kind};
use super::text::Text;
use super::write::quoted;

/// Appends the members of the object `json` behind others, each with a comma before it: those that are `wanted`, in order, without
/// white space. Of equal names the last counts, at any depth. Literals of numbers stay as they are, lists as `lists` says. After an error
/// `out` is half written.
///
/// # Errors
/// The text is no JSON object.
pub fn object_members(
    json: &[u8],
    lists: Lists,
    out: &mut Vec<u8>,
    mut wanted: impl FnMut(&str) -> bool,
) -> Result<(), JsonError> {
    let mut text = Text::new(json)?;
    members(&mut text, lists, out, true, &mut wanted)?;
    text.end()
}

fn value(text: &mut Text<'_>, lists: Lists, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match text.peek() {
        Some(b'{') => {
            out.push(b'{');
            members(text, lists, out, false, &mut |_| true)?;
            out.push(b'}');
        }
        Some(b'[') => {
            let open = out.len();
            out.push(b'[');
            text.array(|text| {
                if out.len() > open + 1 {
                    out.push(b',');
                }
                // The outermost list is looked through as a whole.
                value(text, Lists::AsTheyAre, out)
            })?;
            out.push(b']');
            if lists == Lists::OfOneKind {
                of_one_kind(open, out);
            }
        }
        Some(b'"') => quoted(&text.string("a string")?, out),
        Some(b't' | b'f') => out.extend_from_slice(if text.boolean()? { b"true" } else { b"false" }),
        Some(b'n') if text.null() => out.extend_from_slice(b"null"),
        Some(b'-' | b'0'..=b'9') => out.extend_from_slice(text.number()?.as_bytes()),
        _ => return Err(text.expected("a value")),
    }
    Ok(())
}

/// One member that was written: its name, and where it lies with the comma before it.
struct Written {
    name: String,
    from: usize,
    to: usize,
}

fn members(
    text: &mut Text<'_>,
    lists: Lists,
    out: &mut Vec<u8>,
    goes_on: bool,
    wanted: &mut dyn FnMut(&str) -> bool,
) -> Result<(), JsonError> {
    let open = out.len();
    let mut written: Vec<Written> = Vec::new();
    text.object(|text, name| {
        if !wanted(name) {
            return text.skip();
        }
        let from = out.len();
        if goes_on || from > open {
            out.push(b',');
        }
        quoted(name, out);
        out.push(b':');
        value(text, lists, out)?;
        written.push(Written { name: name.to_owned(), from, to: out.len() });
        Ok(())
    })?;
    keep_last(&written, open, goes_on, out);
    Ok(())
}

/// Takes out all but the last of equal names.
fn keep_last(written: &[Written], open: usize, goes_on: bool, out: &mut Vec<u8>) {
    let mut order: Vec<usize> = (0..written.len()).collect();
    order.sort_by(|a, b| written[*a].name.cmp(&written[*b].name).then(a.cmp(b)));
    let doubled = |pair: &[usize]| written[pair[0]].name == written[pair[1]].name;
    if !order.windows(2).any(doubled) {
        return;
    }
    let mut kept = vec![true; written.len()];
    for pair in order.windows(2).filter(|pair| doubled(pair)) {
        kept[pair[0]] = false;
    }
    let copy = out.split_off(open);
    for (member, _) in written.iter().zip(&kept).filter(|(_, kept)| **kept) {
        let bytes = &copy[member.from - open..member.to - open];
        // The first member of an object has no comma before it; which one is first may have changed.
        let bytes = bytes.strip_prefix(b",").unwrap_or(bytes);
        if goes_on || out.len() > open {
            out.push(b',');
        }
        out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(json: &str) -> Result<String, JsonError> {
        copied_with(json, Lists::AsTheyAre)
    }

    fn copied_with(json: &str, lists: Lists) -> Result<String, JsonError> {
        let mut out = b"{\"first\":0".to_vec();
        object_members(json.as_bytes(), lists, &mut out, |name| name != "secret")?;
        out.push(b'}');
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn members_are_copied_compact_with_each_name_once() {
        for (json, expected) in [
            ("{}", r#"{"first":0}"#),
            (" { \"a\" : [ 1 , 2.50 , -0 ] ,\n \"b\" : null } ", r#"{"first":0,"a":[1,2.50,-0],"b":null}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"first":0,"b":2,"a":3}"#),
            (
                r#"{"o":{"a":1,"b":2,"a":3,"a":4},"l":[{"x":1,"x":2}]}"#,
                r#"{"first":0,"o":{"b":2,"a":4},"l":[{"x":2}]}"#,
            ),
            (r#"{"o":{"a":1,"a":2}}"#, r#"{"first":0,"o":{"a":2}}"#),
            (r#"{"secret":{"a":[1]},"b":true}"#, r#"{"first":0,"b":true}"#),
            (
                r#"{"n":26000000000000000000000001,"e":1E400}"#,
                r#"{"first":0,"n":26000000000000000000000001,"e":1E400}"#,
            ),
            (r#"{"\u0061":"\u00e9\ud83d\ude00\n","a":2}"#, r#"{"first":0,"a":2}"#),
            ("{\"t\":\"\\u00e9\\ud83d\\ude00\\n\"}", "{\"first\":0,\"t\":\"é😀\\n\"}"),
        ] {
            assert_eq!(copied(json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn lists_of_several_kinds_are_copied_as_asked() {
        let json = r#"{ "a": [ 1, "x" ], "o": { "l": [ [ 1, "y" ], { "k": [ true, 2 ] } ] }, "s": [ 1, 2 ], "a": [ 1, 2.5 ] }"#;
        let kept = r#"{"first":0,"o":{"l":[[1,"y"],{"k":[true,2]}]},"s":[1,2],"a":[1,2.5]}"#;
        assert_eq!(copied(json).as_deref(), Ok(kept));
        let settled = r#"{"first":0,"o":{"l":["[1,\"y\"]","{\"k\":[true,2]}"]},"s":[1,2],"a":[1.0,2.5]}"#;
        assert_eq!(copied_with(json, Lists::OfOneKind).as_deref(), Ok(settled));
    }

    #[test]
    fn what_is_no_object_is_told() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for json in ["", "[]", "1", "{", "{\"a\":NaN}", "{} {}", "{\"a\":\"\\ud800\"}", &deep] {
            assert!(copied(json).is_err(), "{json}");
        }
    }
}
