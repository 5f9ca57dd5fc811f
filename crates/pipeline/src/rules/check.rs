//! Settings → rules, or every problem that was found. Conditions have a file of their own.

mod conditions;

use std::sync::Arc;

use model::{Problem, Signal, Tenant};
use regex::{Regex, RegexBuilder};
use sha2::{Digest, Sha256};

use super::Rules;
use super::ink::{Ink, Key};
use super::names::{Names, Pattern};
use super::redact::{Redactor, Rule, What};
use super::sample::Sample;
use super::settings::{NameSettings, Preset, RedactSettings, RuleSettings, SampleSettings, SignalName, With};

/// The version of what the code makes of rules: to be raised when the same settings come to give something else.
const FORM: u32 = 2;
/// Bytes that a compiled regular expression may take, and its cache.
const PATTERN_BYTES: usize = 1 << 20;
/// The shortest key that hashes are made with.
const LEAST_KEY: usize = 16;

type Found<'p> = &'p mut Vec<Problem>;

impl RuleSettings {
    /// Checks the settings; pure. `None` where they change nothing.
    pub fn check(&self) -> Result<Option<Arc<Rules>>, Vec<Problem>> {
        let mut problems = Vec::new();
        let rules = Rules {
            version: self.version(),
            joined: None,
            signals: self.signals.as_deref().map(|names| signals(names, &mut problems)),
            allow: self.tenants.allow.as_deref().map(|names| tenants(names, "tenants.allow", &mut problems)),
            deny: tenants(&self.tenants.deny, "tenants.deny", &mut problems),
            keep: conditions::read(&self.keep, "keep", 0, &mut problems),
            drop: conditions::read(&self.drop, "drop", 0, &mut problems),
            sample: self.sample.as_ref().and_then(|settings| sample(settings, &mut problems)),
            attributes: names(&self.attributes, "attributes", &mut problems),
            resource_attributes: names(&self.resource_attributes, "resource_attributes", &mut problems),
            redactor: redactor(&self.redact, &mut problems),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok((!rules.change_nothing()).then(|| Arc::new(rules)))
    }

    /// The same for the same rules, keys included, and never 0.
    fn version(&self) -> u64 {
        let mut hash = Sha256::new();
        hash.update(FORM.to_le_bytes());
        hash.update(serde_json::to_vec(self).unwrap_or_default());
        for key in self.redact.iter().filter_map(|redact| redact.key.as_ref()) {
            hash.update((key.expose().len() as u64).to_le_bytes());
            hash.update(key.expose());
        }
        version(hash)
    }
}

/// A version of rules, never 0.
pub(super) fn version(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    digest.first_chunk::<8>().map_or(1, |bytes| u64::from_le_bytes(*bytes).max(1))
}

fn signals(names: &[SignalName], problems: Found<'_>) -> Vec<Signal> {
    if names.is_empty() {
        problems.push(Problem::new(
            "signals",
            "names no signal",
            "write traces, logs or metrics, or leave it out",
        ));
    }
    let signal = |name: &SignalName| match name {
        SignalName::Traces => Signal::Traces,
        SignalName::Logs => Signal::Logs,
        SignalName::Metrics => Signal::Metrics,
    };
    names.iter().map(signal).collect()
}

fn tenants(names: &[String], path: &str, problems: Found<'_>) -> Vec<Tenant> {
    if names.is_empty() && path.ends_with("allow") {
        problems.push(Problem::new(
            path,
            "names no tenant, so nothing would be given",
            "name some, or leave it out",
        ));
    }
    let mut tenants = Vec::new();
    for (number, name) in names.iter().enumerate() {
        match Tenant::new(name) {
            Some(tenant) => tenants.push(tenant),
            None => problems.push(Problem::new(
                format!("{path}[{number}]"),
                format!("{name:?} is no tenant's name"),
                "write 1 to 64 of letters, digits, _ - and .",
            )),
        }
    }
    tenants
}

fn sample(settings: &SampleSettings, problems: Found<'_>) -> Option<Sample> {
    let sample = Sample::new(settings.ratio, settings.keep_errors);
    if sample.is_none() {
        problems.push(Problem::new(
            "sample.ratio",
            format!("{} is not from 0 to 1", settings.ratio),
            "write for example 0.1 for a tenth of all traces",
        ));
    }
    sample
}

fn names(settings: &NameSettings, path: &str, problems: Found<'_>) -> Names {
    let mut patterns = |names: &[String], key: &str| {
        let mut patterns = Vec::new();
        for (number, name) in names.iter().enumerate() {
            match Pattern::new(name) {
                Some(pattern) => patterns.push(pattern),
                None => problems.push(Problem::new(
                    format!("{path}.{key}[{number}]"),
                    "the name is empty",
                    "write an attribute's name; * stands for any text",
                )),
            }
        }
        patterns
    };
    Names {
        keep: settings.keep.as_deref().map(|names| patterns(names, "keep")),
        remove: patterns(&settings.remove, "remove"),
    }
}

fn regex(pattern: &str, path: &str, problems: Found<'_>) -> Option<Regex> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build();
    let error = match built {
        Ok(regex) => return Some(regex),
        Err(regex::Error::CompiledTooBig(limit)) => format!("the pattern takes more than {limit} bytes"),
        Err(error) => error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    };
    problems.push(Problem::new(
        path,
        error,
        "write a regular expression as the regex crate of Rust reads it",
    ));
    None
}

fn redactor(settings: &[RedactSettings], problems: Found<'_>) -> Redactor {
    let mut rules = Vec::new();
    for (number, one) in settings.iter().enumerate() {
        let path = format!("redact[{number}]");
        let what = what(one, &path, problems);
        let ink = ink(one, &path, problems);
        if let (Some(what), Some(ink)) = (what, ink) {
            rules.push(Rule { what, ink });
        }
    }
    if rules.len() > usize::from(u16::MAX) {
        problems.push(Problem::new("redact", "there are more than 65535 entries", "use * in names"));
    }
    Redactor { rules }
}

fn what(settings: &RedactSettings, path: &str, problems: Found<'_>) -> Option<What> {
    match (settings.preset, &settings.attribute, &settings.pattern) {
        (Some(preset), None, None) => Some(match preset {
            Preset::Authorization => What::Authorization,
            Preset::Cookies => What::Cookies,
            Preset::Emails => What::Emails,
            Preset::CardNumbers => What::CardNumbers,
        }),
        (None, Some(name), None) => {
            let pattern = Pattern::new(name).map(What::Named);
            if pattern.is_none() {
                let path = format!("{path}.attribute");
                problems.push(Problem::new(
                    path,
                    "the name is empty",
                    "write an attribute's name; * stands for any text",
                ));
            }
            pattern
        }
        (None, None, Some(pattern)) => {
            let path = format!("{path}.pattern");
            let regex = regex(pattern, &path, problems)?;
            if regex.is_match("") {
                problems.push(Problem::new(
                    path,
                    "the pattern matches the empty text",
                    "write one that needs a character",
                ));
                return None;
            }
            Some(What::Matching(regex))
        }
        (None, None, None) => {
            problems.push(Problem::new(
                path,
                "nothing says what is redacted",
                "write preset, attribute or pattern",
            ));
            None
        }
        _ => {
            problems.push(Problem::new(
                path,
                "an entry redacts one thing",
                "write one of preset, attribute and pattern, and an entry for each further one",
            ));
            None
        }
    }
}

fn ink(settings: &RedactSettings, path: &str, problems: Found<'_>) -> Option<Ink> {
    match (settings.with, &settings.key) {
        (With::Mask, None) => Some(Ink::Mask),
        (With::Mask, Some(_)) => {
            let path = format!("{path}.key");
            problems.push(Problem::new(path, "a mask needs no key", "write with: hash, or remove it"));
            None
        }
        (With::Hash, None) => {
            problems.push(Problem::new(
                path,
                "a hash without a key is undone by trying",
                "write key: ${REDACTION_KEY} with at least 16 secret bytes",
            ));
            None
        }
        (With::Hash, Some(key)) if key.expose().len() < LEAST_KEY => {
            problems.push(Problem::new(
                format!("{path}.key"),
                format!("the key is shorter than {LEAST_KEY} bytes"),
                "make one with: openssl rand -hex 32",
            ));
            None
        }
        (With::Hash, Some(key)) => Some(Ink::Hash(Key::new(key.expose().as_bytes()))),
    }
}

#[cfg(test)]
mod tests;
