//! Lists for peers that know each field by one kind of value. Such a peer looks through a list at what is in it, and refuses one in which a
//! field would be of two kinds.

use std::collections::BTreeMap;

use super::JsonError;
use super::text::Text;
use super::write::quoted;

/// How lists are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lists {
    /// As they are.
    #[default]
    AsTheyAre,
    /// With no field of two kinds: see [`of_one_kind`].
    OfOneKind,
}

/// How deep and how many the fields of a list's objects may be; beyond that, such peers refuse a document by default (20 and 1000 for all
/// its fields), and what is kept of a list while it is looked at stays small.
const DEEPEST: usize = 16;
const MOST_FIELDS: usize = 500;

/// Up to here every whole number is a double.
const MOST_EXACT: u64 = 1 << 53;

/// Makes the array that `out` ends with, from `open` on, one in which no field is of two kinds. Of whole numbers and fractions all become
/// fractions where that changes no value; in any other list of two kinds each element becomes a text: its JSON. Lists in lists count as their
/// elements, objects as their members, with dots in names as objects; `null` is of no kind and stays. What is no array stays as it is.
pub fn of_one_kind(open: usize, out: &mut Vec<u8>) {
    if let Ok(Some(made)) = made(&out[open..]) {
        out.truncate(open);
        out.extend_from_slice(&made);
    }
}

/// The array in one kind; nothing when it is.
fn made(json: &[u8]) -> Result<Option<Vec<u8>>, JsonError> {
    let mut text = Text::new(json)?;
    let mut elements: Vec<&str> = Vec::new();
    let (mut look, mut field) = (Look { fields: 0, is_of_one_kind: true }, Field::default());
    text.array(|text| {
        let from = text.at();
        look.at(text, &mut field, 0)?;
        elements.push(text.since(from));
        Ok(())
    })?;
    text.end()?;
    if look.is_of_one_kind {
        return Ok(None);
    }
    let are_numbers = elements.iter().all(|element| *element == "null" || fraction(element).is_some());
    let mut made = vec![b'['];
    for element in elements {
        if made.len() > 1 {
            made.push(b',');
        }
        match fraction(element) {
            _ if element == "null" => made.extend_from_slice(b"null"),
            Some(end) if are_numbers => made.extend([element, end].map(str::as_bytes).concat()),
            _ => quoted(element, &mut made),
        }
    }
    made.push(b']');
    Ok(Some(made))
}

/// What makes a fraction of a number without changing its value; `None` where nothing does, or where it is no number.
fn fraction(element: &str) -> Option<&'static str> {
    if !element.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    if is_fraction(element) {
        return Some("");
    }
    let is_exact = element.parse::<i64>().is_ok_and(|number| number.unsigned_abs() <= MOST_EXACT);
    is_exact.then_some(".0")
}

fn is_fraction(number: &str) -> bool {
    number.contains(['.', 'e', 'E'])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Truth,
    Whole,
    Fraction,
    Object,
}

/// What was seen at one path.
#[derive(Default)]
struct Field {
    kind: Option<Kind>,
    members: BTreeMap<String, Field>,
}

/// A look through a list, until a field is of two kinds.
struct Look {
    fields: usize,
    is_of_one_kind: bool,
}

impl Look {
    /// Looks at a value of `field`, around which `depth` objects lie, and passes over it.
    fn at(&mut self, text: &mut Text<'_>, field: &mut Field, depth: usize) -> Result<(), JsonError> {
        if !self.is_of_one_kind {
            return text.skip();
        }
        let kind = match text.peek() {
            Some(b'[') => return text.array(|text| self.at(text, field, depth)),
            Some(b'{') => {
                self.note(field, Kind::Object);
                return text.object(|text, name| self.member(text, name, field, depth));
            }
            Some(b'n') if text.null() => return Ok(()),
            Some(b'"') => text.string("a string").map(|_| Kind::Text)?,
            Some(b't' | b'f') => text.boolean().map(|_| Kind::Truth)?,
            _ => {
                if is_fraction(text.number()?) {
                    Kind::Fraction
                } else {
                    Kind::Whole
                }
            }
        };
        self.note(field, kind);
        Ok(())
    }

    fn member(
        &mut self,
        text: &mut Text<'_>,
        name: &str,
        mut field: &mut Field,
        mut depth: usize,
    ) -> Result<(), JsonError> {
        for part in name.split('.') {
            self.note(field, Kind::Object);
            depth += 1;
            self.fields += 1;
            if depth > DEEPEST || self.fields > MOST_FIELDS {
                self.is_of_one_kind = false;
                break;
            }
            field = field.members.entry(part.to_owned()).or_default();
        }
        self.at(text, field, depth)
    }

    fn note(&mut self, field: &mut Field, kind: Kind) {
        self.is_of_one_kind &= *field.kind.get_or_insert(kind) == kind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let mut out = b"[1,\"before\"".to_vec();
        let open = out.len();
        out.extend_from_slice(json.as_bytes());
        of_one_kind(open, &mut out);
        assert_eq!(std::str::from_utf8(&out[open..]), Ok(expected), "{json}");
        assert_eq!(&out[..open], b"[1,\"before\"");
    }

    #[test]
    fn a_list_of_one_kind_stays() {
        for json in [
            "[]",
            "[null]",
            "[1,2,-9223372036854775808]",
            "[0.5,1e300,null]",
            "[\"a\",\"b\",null]",
            "[true,false]",
            "[[1],[2,[3]]]",
            r#"[{"a":1,"b":"x"},{"a":2},{"a":null,"b":[]},{"a":[3]}]"#,
            r#"[{"a":{"b":1}},{"a.b":2},null,{}]"#,
        ] {
            check(json, json);
        }
    }

    #[test]
    fn the_elements_of_a_list_of_several_kinds_become_their_json() {
        check(r#"[1,"a",true,null]"#, r#"["1","\"a\"","true",null]"#);
        check(r#"["1",1]"#, r#"["\"1\"","1"]"#);
        check(r#"[0.5,"NaN"]"#, r#"["0.5","\"NaN\""]"#);
        check("[true,0]", r#"["true","0"]"#);
        check(r#"[[1],["a\n"]]"#, r#"["[1]","[\"a\\n\"]"]"#);
        check(r#"[{"a":1},2]"#, r#"["{\"a\":1}","2"]"#);
        check(r#"[{"a":1},{"a":"x"}]"#, r#"["{\"a\":1}","{\"a\":\"x\"}"]"#);
        check(r#"[{"a":1},{"a":{"b":2}}]"#, r#"["{\"a\":1}","{\"a\":{\"b\":2}}"]"#);
        check(r#"[{"a.b":1},{"a":2}]"#, r#"["{\"a.b\":1}","{\"a\":2}"]"#);
        check(r#"[{"a":1},{"a":2.5}]"#, r#"["{\"a\":1}","{\"a\":2.5}"]"#);
        check(r#"[{"a":[1,"x"]}]"#, r#"["{\"a\":[1,\"x\"]}"]"#);
    }

    #[test]
    fn whole_numbers_beside_fractions_become_fractions_unless_that_changes_them() {
        check("[1,2.5,null,-3]", "[1.0,2.5,null,-3.0]");
        check("[9007199254740992,0.5]", "[9007199254740992.0,0.5]");
        check("[9007199254740993,0.5]", r#"["9007199254740993","0.5"]"#);
        check("[-9223372036854775808,1e3]", r#"["-9223372036854775808","1e3"]"#);
        check("[99999999999999999999,0.5]", r#"["99999999999999999999","0.5"]"#);
        check("[[1],2.5]", r#"["[1]","2.5"]"#);
    }

    #[test]
    fn what_goes_deep_or_wide_becomes_texts() {
        let nested = |levels: usize| format!("[{}1{}]", "{\"a\":".repeat(levels), "}".repeat(levels));
        check(&nested(DEEPEST), &nested(DEEPEST));
        let dotted = |levels: usize| format!("[{{\"{}\":1}}]", vec!["a"; levels].join("."));
        check(&dotted(DEEPEST), &dotted(DEEPEST));
        let wide = |fields: usize| {
            let fields: Vec<String> = (0..fields).map(|field| format!("\"f{field}\":1")).collect();
            format!("[{{{}}}]", fields.join(","))
        };
        check(&wide(MOST_FIELDS), &wide(MOST_FIELDS));
        for json in [nested(DEEPEST + 1), dotted(DEEPEST + 1), dotted(1 << 20), wide(MOST_FIELDS + 1)] {
            let mut out = json.clone().into_bytes();
            of_one_kind(0, &mut out);
            let texts: Vec<String> = serde_json::from_slice(&out).unwrap();
            assert_eq!(texts, [&json[1..json.len() - 1]]);
        }
    }

    #[test]
    fn what_is_no_array_stays() {
        for json in ["", "1", "{\"a\":[1,\"x\"]}", "[1,\"a\"", "[1,\"a\"]]", "[1,\"a\",NaN]", "[1,\"\\q\"]"] {
            check(json, json);
        }
    }
}
