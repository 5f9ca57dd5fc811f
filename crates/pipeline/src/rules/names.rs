//! Names of attributes, with `*` for any text.

/// Which names are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(String);

/// Which attributes are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) keep: Option<Vec<Pattern>>,
    pub(super) remove: Vec<Pattern>,
}

impl Pattern {
    /// `None` for a pattern of no character, which would mean no name.
    pub(super) fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Whether `name` is meant.
    pub(super) fn fits(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes(), |a, b| a == b)
    }

    /// Whether `name` is meant, whatever the case of its letters.
    pub(super) fn fits_any_case(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes(), |a, b| a.eq_ignore_ascii_case(&b))
    }
}

impl Names {
    /// Whether every attribute is given.
    pub(super) fn is_all(&self) -> bool {
        self.keep.is_none() && self.remove.is_empty()
    }

    /// Whether the attribute `name` is given.
    pub(super) fn gives(&self, name: &str) -> bool {
        let named = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(name));
        self.keep.as_deref().is_none_or(named) && !named(&self.remove)
    }
}

/// Goes back to the last `*` only, since a match of what stands before it can never have to move.
fn fits(pattern: &[u8], name: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if same(*byte, name[n]) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern = Pattern::new(pattern).unwrap();
        assert!(yes.iter().all(|name| pattern.fits(name)), "{pattern:?}");
        assert!(!no.iter().any(|name| pattern.fits(name)), "{pattern:?}");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        check("user.id", &["user.id"], &["user.idx", "user", "", "User.id"]);
        check("http.*", &["http.", "http.a.b"], &["http", "xhttp.a"]);
        check(
            "*.password",
            &["a.password", "a.password.password", ".password"],
            &["password", "a.password.b"],
        );
        check("a*b*c", &["abc", "aXbYbZc", "abcbc"], &["ac", "abcb", "acb"]);
        check("*", &["", "anything"], &[]);
        assert!(Pattern::new("x-*-KEY").unwrap().fits_any_case("X-Api-key"));
        assert!(Pattern::new("").is_none());
    }

    #[test]
    fn removing_goes_before_keeping() {
        let patterns =
            |texts: &[&str]| texts.iter().filter_map(|text| Pattern::new(text)).collect::<Vec<_>>();
        let names = Names { keep: Some(patterns(&["a.*", "b"])), remove: patterns(&["a.secret"]) };
        assert_eq!(["a.x", "b", "a.secret", "c"].map(|name| names.gives(name)), [true, true, false, false]);
        assert!(Names::default().gives("c"));
    }
}
