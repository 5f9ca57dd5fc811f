//! What is redacted, and how: names whose values are sealed as a whole, and what is searched for in every text.

use std::ops::Range;

use regex::Regex;

use super::detect::{self, COOKIES, CREDENTIALS};
use super::ink::{Ink, is_redacted};
use super::json;
use super::names::Pattern;

/// How many levels of JSON in a text of JSON are looked into.
const LEVELS: u8 = 4;
/// How often a text is looked at again in which something was found.
const MOST_ROUNDS: usize = 4;

/// All redactions of a sink.
#[derive(Debug, Clone, Default)]
pub(super) struct Redactor {
    /// In the order of the configuration; the first that fits counts.
    pub(super) rules: Vec<Rule>,
}

/// One redaction.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) what: What,
    pub(super) ink: Ink,
}

/// What is redacted.
#[derive(Debug, Clone)]
pub(super) enum What {
    Authorization,
    Cookies,
    Emails,
    CardNumbers,
    /// The values of these names.
    Named(Pattern),
    /// What this matches.
    Matching(Regex),
}

impl Redactor {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule by which the value of `name` is sealed as a whole.
    pub(super) fn seal_of(&self, name: &str) -> Option<u16> {
        let fits = |rule: &Rule| match &rule.what {
            What::Authorization => detect::is_named(name, CREDENTIALS),
            What::Cookies => detect::is_named(name, COOKIES),
            What::Named(pattern) => pattern.fits_any_case(name),
            What::Emails | What::CardNumbers | What::Matching(_) => false,
        };
        self.rules.iter().position(fits).map(|at| at as u16)
    }

    /// What stands for the whole of `text`; `None` where it is empty or redacted already.
    pub(super) fn seal(&self, rule: u16, text: &str) -> Option<String> {
        let rule = self.rules.get(usize::from(rule))?;
        (!text.is_empty() && !is_redacted(text)).then(|| rule.ink.over(text))
    }

    /// The text with everything redacted that is found in it; `None` where nothing is.
    pub(super) fn search(&self, text: &str) -> Option<String> {
        self.search_at(text, 0)
    }

    /// As `search`, in a text that stands in JSON `level` times.
    pub(super) fn search_at(&self, text: &str, level: u8) -> Option<String> {
        if level < LEVELS
            && json::looks_like(text)
            && let Ok(new) = json::redact(text, self, level)
        {
            return new;
        }
        let mut text = self.look(text, 0)?;
        // Beside what was written over something may stand alone now that was part of a longer word, or of a number.
        for round in 1..MOST_ROUNDS {
            let Some(more) = self.look(&text, round) else { break };
            text = more;
        }
        Some(text)
    }

    /// One round. The operator's patterns are for what came: they may match what was written over it.
    fn look(&self, text: &str, round: usize) -> Option<String> {
        let mut found: Vec<(Range<usize>, u16)> = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            let mut take = |range: Range<usize>| found.push((range, number as u16));
            match &rule.what {
                What::Authorization => {
                    detect::headers(text, CREDENTIALS, &mut take);
                    detect::schemes(text, &mut take);
                }
                What::Cookies => detect::headers(text, COOKIES, &mut take),
                What::Emails => detect::emails(text, &mut take),
                What::CardNumbers => detect::cards(text, &mut take),
                What::Named(_) => {}
                What::Matching(_) if round > 0 => {}
                What::Matching(pattern) => pattern.find_iter(text).for_each(|found| take(found.range())),
            }
        }
        if found.is_empty() { None } else { self.cover(text, found) }
    }

    /// Writes over what was found. Where two overlap, all that they cover is written over by the one that begins first.
    fn cover(&self, text: &str, mut found: Vec<(Range<usize>, u16)>) -> Option<String> {
        found.sort_by_key(|(range, number)| (range.start, std::cmp::Reverse(range.end), *number));
        let mut joined: Vec<(Range<usize>, u16)> = Vec::with_capacity(found.len());
        for (range, number) in found.into_iter().filter(|(range, _)| !range.is_empty()) {
            match joined.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => joined.push((range, number)),
            }
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (range, number) in joined {
            let piece = &text[range.clone()];
            let rule = &self.rules[usize::from(number)];
            if is_redacted(piece) {
                continue;
            }
            out.push_str(&text[at..range.start]);
            // The same address or number in another spelling has the same hash.
            out.push_str(&match rule.what {
                What::Emails => rule.ink.over(&piece.replace("%40", "@").to_lowercase()),
                What::CardNumbers => rule.ink.over(&piece.replace([' ', '-'], "")),
                _ => rule.ink.over(piece),
            });
            at = range.end;
        }
        out.push_str(&text[at..]);
        (at > 0).then_some(out)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::ink::Key;
    use super::*;

    fn of(whats: Vec<What>, ink: &Ink) -> Redactor {
        Redactor { rules: whats.into_iter().map(|what| Rule { what, ink: ink.clone() }).collect() }
    }

    fn presets() -> Vec<What> {
        vec![What::Authorization, What::Cookies, What::Emails, What::CardNumbers]
    }

    /// All presets, masked.
    pub(in crate::rules) fn redactor() -> Redactor {
        of(presets(), &Ink::Mask)
    }

    #[test]
    fn plain_text_and_json_are_told_apart() {
        let redactor = redactor();
        let search = |text| redactor.search(text);
        assert_eq!(search("nothing here: 12, a@b"), None);
        assert_eq!(
            search("bob@example.com paid with 4111-1111-1111-1111\nCookie: a=b").as_deref(),
            Some("[redacted] paid with [redacted]\nCookie: [redacted]")
        );
        assert_eq!(search("{\"cookie\":\"a\"}").as_deref(), Some("{\"cookie\":\"[redacted]\"}"));
        assert_eq!(
            search("{broken, \"cookie\":\"a\", \"b\":1").as_deref(),
            Some("{broken, \"cookie\":\"[redacted]\", \"b\":1")
        );
        assert_eq!(search("Authorization: [redacted]"), None, "what was redacted stays");
    }

    #[test]
    fn a_hash_is_the_same_for_the_same_person() {
        let hashed = of(presets(), &Ink::Hash(Key::new(b"0123456789abcdef")));
        let of = |text: &str| hashed.search(text).unwrap();
        assert_eq!(of("Bob@Example.com"), of("bob%40example.com"));
        assert_eq!(of("4111 1111 1111 1111"), of("4111111111111111"));
        assert_ne!(of("eve@example.com"), of("bob@example.com"));
        assert!(of("bob@example.com").starts_with("[hash:"));
    }

    #[test]
    fn what_the_operator_names_or_matches_goes_too() {
        let named = What::Named(Pattern::new("*.password").unwrap());
        let matching = What::Matching(Regex::new("sk_[a-z]+").unwrap());
        let redactor = of(vec![named, matching], &Ink::Mask);
        assert_eq!(redactor.seal_of("User.Password"), Some(0));
        assert_eq!(redactor.seal_of("password"), None);
        assert_eq!(redactor.search("key sk_live, sk_1").as_deref(), Some("key [redacted], sk_1"));
        let words = of(vec![What::Matching(Regex::new("[a-z]{5,}").unwrap())], &Ink::Mask);
        assert_eq!(words.search("some words").as_deref(), Some("some [redacted]"));
    }

    #[test]
    fn what_stands_alone_only_beside_a_redaction_is_found_too() {
        let check = |text: &str, expected: &str| {
            assert_eq!(redactor().search(text).as_deref(), Some(expected), "{text}");
        };
        check("a@b.com4111111111111111.4111111111111111", "[redacted].[redacted]");
        check("a@b.com-0.4111111111111111", "[redacted].[redacted]");
    }

    proptest! {
        #[test]
        fn redacting_again_changes_nothing_and_nothing_panics(text in "(\\PC|[{}\\[\\]\":,@.=\\\\ 0-9]|cookie|Bearer |a@b\\.com|4111111111111111|\"name\"|\"value\"|%40){0,24}") {
            for ink in [Ink::Mask, Ink::Hash(Key::new(b"0123456789abcdef"))] {
                let redactor = of(presets(), &ink);
                if let Some(once) = redactor.search(&text) {
                    prop_assert_eq!(redactor.search(&once).unwrap_or_else(|| once.clone()), once);
                }
            }
        }

        #[test]
        fn json_stays_json(text in "(\"a@b\\.com\"|\"cookie\":|\"name\":|\"value\":|\"cookie\"|4111111111111111|[{}\\[\\],:]|1|null|\"\\\\u0040\"){0,16}") {
            let redactor = redactor();
            if json::looks_like(&text)
                && serde_json::from_str::<serde_json::Value>(&text).is_ok()
                && let Some(new) = redactor.search(&text)
            {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&new).is_ok(), "{} -> {}", text, new);
                prop_assert!(!new.contains("a@b.com"));
            }
        }
    }
}
