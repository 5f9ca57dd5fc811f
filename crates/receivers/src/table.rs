//! The receivers, one row each. A new receiver is one file and one row here.

use std::collections::BTreeMap;
use std::fmt;

use model::{Problem, Source};
use pipeline::settings::Size;

use crate::door::Routes;
use crate::receiver::Context;
use crate::{kong, logpush, otlp, remote_write};

/// Every receiver there is.
pub const ROWS: &[ReceiverRow] = &[otlp::ROW, remote_write::ROW, logpush::ROW, kong::ROW];

/// Turns settings as written into a receiver, or says all that is wrong with them.
pub type Check = fn(serde_json::Value) -> Result<Box<dyn CheckedReceiver>, Vec<Problem>>;

/// A receiver's row in the table: everything that is known about it outside its file.
pub struct ReceiverRow {
    /// Its name in the configuration, and the `source` of what it takes.
    pub name: &'static str,
    /// One sentence for the reference page.
    pub summary: &'static str,
    /// The paths it serves on the front door, aliases apart.
    pub paths: &'static [&'static str],
    /// The JSON schema of its settings.
    pub schema: fn() -> schemars::Schema,
    /// Checks its settings; pure. An empty object is always right.
    pub check: Check,
    /// A working YAML example: the row's name with its settings, loaded by tests and shown on its page.
    pub example: &'static str,
}

impl fmt::Debug for ReceiverRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverRow").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A receiver's settings, checked.
pub trait CheckedReceiver: Send + Sync {
    /// Whether it is switched on.
    fn enabled(&self) -> bool;

    /// Every path that it serves, aliases included.
    fn paths(&self) -> Vec<String>;

    /// Adds its paths to `routes`; what it takes is booked under `source`.
    fn mount(self: Box<Self>, source: Source, context: &Context, routes: &mut Routes);
}

impl fmt::Debug for dyn CheckedReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedReceiver").field("enabled", &self.enabled()).finish_non_exhaustive()
    }
}

/// Paths that more than one of the switched-on receivers want.
pub fn clashes(receivers: &[(Source, Box<dyn CheckedReceiver>)]) -> Vec<Problem> {
    let mut owners = BTreeMap::new();
    let mut problems = Vec::new();
    for (source, receiver) in receivers.iter().filter(|(_, receiver)| receiver.enabled()) {
        for path in receiver.paths() {
            if let Some(other) = owners.insert(path.clone(), source) {
                let message = format!("path {path} is served by {other} already");
                problems.push(Problem::new(
                    format!("receivers.{source}"),
                    message,
                    "take the alias away from one of them",
                ));
            }
        }
    }
    problems
}

/// The largest limit on a body: its length must fit the frames of the journal.
const LARGEST: u64 = 1 << 30;

/// The problems of a receiver that has two limits on bodies and one list of aliases.
pub(crate) fn check_plain(max_body: Size, max_inflated: Size, aliases: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_size(&mut problems, "max_body", max_body);
    check_size(&mut problems, "max_inflated", max_inflated);
    for (index, alias) in aliases.iter().enumerate() {
        check_alias(&mut problems, &format!("aliases[{index}]"), alias);
    }
    problems
}

/// A limit on bodies must let something through and fit the journal.
pub(crate) fn check_size(problems: &mut Vec<Problem>, path: &str, size: Size) {
    if size.0 == 0 || size.0 > LARGEST {
        let message = format!("{size} is not between 1B and {}", Size(LARGEST));
        problems.push(Problem::new(path, message, "write for example 64MiB"));
    }
}

/// A path is matched exactly, so it must be one that can arrive.
pub(crate) fn check_alias(problems: &mut Vec<Problem>, path: &str, alias: &str) {
    let good = alias.starts_with('/')
        && (alias.len() == 1 || !alias.ends_with('/'))
        && alias.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b));
    if !good {
        let message = format!("{alias:?} is not a path");
        problems.push(Problem::new(
            path,
            message,
            "begin with \"/\", end without one, and escape what a URL must escape",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_checks_empty_settings_and_refuses_unknown_ones() {
        for row in ROWS {
            assert!((row.check)(serde_json::json!({})).unwrap().enabled(), "{}", row.name);
            assert!(!(row.check)(serde_json::json!({ "enabled": false })).unwrap().enabled(), "{}", row.name);
            assert!((row.check)(serde_json::json!({ "enabeld": true })).is_err(), "{}", row.name);
            assert!(Source::new(row.name).is_some(), "{}", row.name);
            assert!(row.example.starts_with(&format!("{}:\n", row.name)), "{}", row.name);
            let schema = (row.schema)();
            for key in ["enabled", "max_body", "aliases"] {
                assert!(
                    schema.pointer(&format!("/properties/{key}/description")).is_some(),
                    "{} {key}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn settings_that_hold_no_body_or_no_path_are_problems() {
        for row in ROWS {
            let found =
                (row.check)(serde_json::json!({ "max_body": "0B", "max_inflated": "2GiB" })).unwrap_err();
            let paths: Vec<_> = found.iter().map(|p| p.path.as_str()).collect();
            assert_eq!(paths, ["max_body", "max_inflated"], "{}", row.name);
        }
        for alias in ["", "v1", "/a/", "/a b", "/a?b", "/ä", "/{x}"] {
            let found =
                (remote_write::ROW.check)(serde_json::json!({ "aliases": ["/ok", alias] })).unwrap_err();
            assert_eq!(found[0].path, "aliases[1]", "{alias}");
        }
        let found = otlp::problems(serde_json::json!({ "aliases": { "logs": ["x"] } }));
        assert_eq!(found[0].path, "aliases.logs[0]");
    }
}
