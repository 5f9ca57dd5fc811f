//! Names and label sets as Loki writes them.

/// Makes `name` one that Loki leaves as it is: it would rename others by the same rules (letters, digits and single `_`), and of two
/// that become equal keep only one.
pub(super) fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert_str(0, "key_");
    }
    if out.is_empty() || out == "_" { "key".into() } else { out }
}

/// Whether the operator may call a label so.
pub(super) fn is_label(name: &str) -> bool {
    name == sanitized(name) && name.len() <= 1024
}

/// Appends `text` in double quotes, so that it ends nowhere early whatever it holds (Loki reads it as a Go string).
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_letters_digits_and_single_underscores() {
        for (name, expected) in [
            ("http.request.method", "http_request_method"),
            ("a..b__c", "a_b_c"),
            ("9lives", "key_9lives"),
            ("_x", "_x"),
            ("é", "key"),
            ("", "key"),
            ("...", "key"),
            ("naïve", "na_ve"),
        ] {
            assert_eq!(sanitized(name), expected, "{name:?}");
            assert_eq!(sanitized(expected), expected);
        }
        assert!(is_label("service_name") && !is_label("service.name") && !is_label("") && !is_label("__x"));
    }

    #[test]
    fn quoted_text_cannot_end_early() {
        let mut out = String::new();
        quote(&mut out, "a\"}\\{\n\u{0}\u{85}é");
        assert_eq!(out, "\"a\\\"}\\\\{\\n\\u0000\\u0085é\"");
    }
}
