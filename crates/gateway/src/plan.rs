//! Text → `Plan`: everything checked, nothing opened. Every problem of the whole file comes at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Document, Lookup, Problems, Surroundings};
use model::Problem;
use pipeline::settings::read;
use pipeline::{Bounds, CheckedSink, SinkOptions};
use receivers::{CheckedReceiver, ReceiverRow};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::schema;
use crate::settings::{CourierSettings, EdgeLogs, JournalSettings, Settings};

/// A configuration that holds together.
pub(crate) struct Plan {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Bytes of memory for data on its way.
    pub(crate) memory: u64,
    /// The journal's settings.
    pub(crate) journal: JournalSettings,
    /// What bounds the dead letters of each sink.
    pub(crate) dead_letters: Bounds,
    /// How stitching is done; `None` where it is not.
    pub(crate) stitch: Option<stitch::engine::Options>,
    /// How long stopping may take.
    pub(crate) shutdown: Duration,
    /// Where and how to listen.
    pub(crate) front_door: receivers::settings::Checked,
    /// The receivers that are on.
    pub(crate) receivers: Vec<(&'static ReceiverRow, Box<dyn CheckedReceiver>)>,
    /// The sinks, by the operator's names.
    pub(crate) sinks: Vec<PlannedSink>,
}

/// A sink that is to be opened.
pub(crate) struct PlannedSink {
    /// The operator's name for it.
    pub(crate) name: String,
    /// Its type.
    pub(crate) kind: &'static str,
    /// Its courier's settings.
    pub(crate) options: SinkOptions,
    /// Whether it is given log records of Cloudflare and Kong joined.
    pub(crate) joined: bool,
    /// Its own settings, checked.
    pub(crate) settled: Settled,
}

/// A sink's own settings. The store is told apart because the query API reads from it.
pub(crate) enum Settled {
    /// The embedded store's.
    Store(store::Settings),
    /// Any other's.
    Other(Box<dyn CheckedSink>),
}

/// The plan of a file, or of the defaults when there is none.
pub(crate) fn read_file(path: Option<&Path>) -> Result<Plan, String> {
    let Some(path) = path else {
        return plan("", &Surroundings { folder: PathBuf::from(".") })
            .map_err(|problems| problems.to_string());
    };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    plan(&text, &Surroundings { folder }).map_err(|problems| problems.to_string())
}

/// The plan of a text.
pub(crate) fn plan(text: &str, lookup: &dyn Lookup) -> Result<Plan, Problems> {
    let document = config::parse(text, lookup)?;
    let mut problems = Vec::new();
    let plan = check(&document, lookup, &mut problems);
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(document.locate(problems)),
    }
}

fn check(document: &Document, lookup: &dyn Lookup, problems: &mut Vec<Problem>) -> Option<Plan> {
    let Value::Object(root) = &document.value else {
        problems.push(Problem::new(
            "",
            "the configuration is not a mapping",
            "write for example: sinks: { store: { type: store } }",
        ));
        return None;
    };
    let mut root = root.clone();
    let sinks = root.remove("sinks").unwrap_or_else(|| json!({ "store": { "type": "store" } }));
    let whole = schema::document();
    config::validate(&Value::Object(root.clone()), &whole, &whole, "", problems);
    let sinks = check_sinks(&sinks, problems);
    if !problems.is_empty() {
        return None;
    }
    let front_door = root.remove("front_door").unwrap_or_else(|| json!({}));
    let front_door = typed::<receivers::Settings>(front_door, "front_door", problems)
        .and_then(|settings| take(settings.check(), "front_door", problems));
    let by_name = match root.remove("receivers") {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let receivers = schema::receiver_rows()
        .filter_map(|row| {
            let value = by_name.get(row.name).cloned().unwrap_or_else(|| json!({}));
            let checked = take((row.check)(value), &format!("receivers.{}", row.name), problems)?;
            checked.enabled().then_some((row, checked))
        })
        .collect();
    let settings: Settings = typed(Value::Object(root), "", problems)?;
    let stitch = take(settings.stitch.check(), "stitch", problems)?;
    if stitch.is_none() {
        for sink in sinks.iter().flatten().filter(|sink| sink.joined) {
            problems.push(Problem::new(
                format!("sinks.{}.edge_logs", sink.name),
                "nothing is joined, since stitching is off",
                "remove it, or stitch.enabled: false",
            ));
        }
    }
    let data = settings
        .data
        .or_else(|| lookup.variable("TIDEGATE_DATA"))
        .unwrap_or_else(|| "./tidegate-data".into());
    Some(Plan {
        data: data.into(),
        memory: settings.memory.limit.0,
        journal: settings.journal,
        dead_letters: Bounds { bytes: settings.dead_letters.max_bytes.0, keep: settings.dead_letters.keep.0 },
        stitch,
        shutdown: settings.shutdown.deadline.0,
        front_door: front_door?,
        receivers,
        sinks: sinks?,
    })
}

fn check_sinks(sinks: &Value, problems: &mut Vec<Problem>) -> Option<Vec<PlannedSink>> {
    let Value::Object(sinks) = sinks else {
        problems.push(Problem::new(
            "sinks",
            "the sinks are not a mapping",
            "write for example: store: { type: store }",
        ));
        return None;
    };
    if sinks.is_empty() {
        problems.push(Problem::new(
            "sinks",
            "there is no sink, so nothing would ever be delivered",
            "remove sinks to use the embedded store, or add one",
        ));
    }
    let mut planned = Vec::new();
    for (name, value) in sinks {
        let path = format!("sinks.{name}");
        if model::Source::new(name).is_none() {
            problems.push(Problem::new(
                &path,
                "the name is not 1 to 64 of letters, digits, _ - and .",
                "choose another; it names the sink's files and metrics",
            ));
        }
        if name == STITCH {
            problems.push(Problem::new(
                &path,
                "the name is taken: what stitching has read is booked under it",
                "choose another",
            ));
        }
        let known = || schema::sink_rows().map(|row| row.name).collect::<Vec<_>>().join(", ");
        let Some(kind) = value.get("type").and_then(Value::as_str) else {
            problems.push(Problem::new(&path, "type is missing", format!("write one of {}", known())));
            continue;
        };
        let Some(row) = schema::sink_rows().find(|row| row.name == kind) else {
            let absent = sinks::ABSENT.iter().find(|(name, _)| *name == kind);
            let (message, remedy) = match absent {
                Some((_, feature)) => (
                    format!("this build of Tidegate has no {kind}"),
                    format!("use a build with the feature {feature} (cargo build --features {feature})"),
                ),
                None => (format!("\"{kind}\" is not known"), format!("write one of {}", known())),
            };
            problems.push(Problem::new(format!("{path}.type"), message, remedy));
            continue;
        };
        let mut own = value.as_object().cloned().unwrap_or_default();
        own.remove("type");
        let before = problems.len();
        let schema = schema::sink(row);
        config::validate(&Value::Object(own.clone()), &schema, &schema, &path, problems);
        if problems.len() > before {
            continue;
        }
        let courier: Map<String, Value> =
            COURIER_KEYS.iter().filter_map(|key| own.remove_entry(*key)).collect();
        let courier =
            typed::<CourierSettings>(Value::Object(courier), &path, problems).and_then(|settings| {
                let joined = settings.edge_logs == EdgeLogs::Joined;
                take(settings.check(), &path, problems).map(|options| (options, joined))
            });
        let own = Value::Object(own);
        let is_store = row.name == store::ROW.name;
        if is_store && courier.as_ref().is_some_and(|(_, joined)| *joined) {
            problems.push(Problem::new(
                format!("{path}.edge_logs"),
                "the embedded store keeps records as they were received, and joins them when they are looked up",
                "remove it",
            ));
        }
        let settled = if is_store {
            take(store::Settings::read(own).map(Settled::Store), &path, problems)
        } else {
            take((row.check)(own).map(Settled::Other), &path, problems)
        };
        if let (Some((options, joined)), Some(settled)) = (courier, settled) {
            planned.push(PlannedSink { name: name.clone(), kind: row.name, options, joined, settled });
        }
    }
    Some(planned)
}

/// The name under which stitching reads the journal.
pub(crate) const STITCH: &str = "stitch";

/// The fields of `CourierSettings`; a test holds the two together.
const COURIER_KEYS: [&str; 7] = ["start", "on_full", "deadline", "max_age", "backoff", "edge_logs", "rules"];

fn typed<T: DeserializeOwned>(value: Value, path: &str, problems: &mut Vec<Problem>) -> Option<T> {
    take(read(value), path, problems)
}

/// The value of a check, or its problems with `path` put before theirs.
fn take<T>(result: Result<T, Vec<Problem>>, path: &str, problems: &mut Vec<Problem>) -> Option<T> {
    let found = match result {
        Ok(value) => return Some(value),
        Err(found) => found,
    };
    problems.extend(found.into_iter().map(|mut problem| {
        problem.path = match (path, problem.path.as_str()) {
            ("", own) => own.to_owned(),
            (path, "") => path.to_owned(),
            (path, own) if own.starts_with('[') => format!("{path}{own}"),
            (path, own) => format!("{path}.{own}"),
        };
        problem
    }));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Lookup for Nothing {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Err("no files here".into())
        }
    }

    fn problems(text: &str) -> String {
        plan(text, &Nothing).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
    }

    #[test]
    fn the_defaults_are_a_plan_with_the_embedded_store() {
        let plan = plan("", &Nothing).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(
            plan.sinks.iter().map(|s| (s.name.as_str(), s.kind)).collect::<Vec<_>>(),
            [("store", "store")]
        );
        assert_eq!(plan.receivers.len(), receivers::ROWS.len());
        assert_eq!(plan.data, Path::new("./tidegate-data"));
    }

    #[test]
    fn every_problem_comes_at_once_with_its_line() {
        let shown = problems(
            "jornal: {}\nmemory:\n  limit: lots\nsinks:\n  a: {}\n  b:\n    type: kavka\n  c:\n    type: store\n    deadlin: 3s\nreceivers:\n  otlp: 7\n",
        );
        for part in [
            "jornal (line 1): no such setting; did you mean journal?",
            "sinks.a (line 5): type is missing; write one of",
            "sinks.b.type (line 7): \"kavka\" is not known; write one of",
            "sinks.c.deadlin (line 10): no such setting; did you mean deadline?",
            "receivers.otlp (line 12): 7 is not a mapping",
        ] {
            assert!(shown.contains(part), "{part}\n--\n{shown}");
        }
    }

    #[test]
    fn every_problem_of_the_rules_comes_with_its_line() {
        let rules = "sinks:\n  a:\n    type: store\n    rules:\n      keep:\n        - { attribute: a, field: name, equals: 1 }\n        - any:\n            - field: severity\n              at_least: loud\n      redact:\n        - { preset: emails, with: hash }\n";
        let check = |text: &str, parts: &[&str]| {
            let shown = problems(text);
            for part in parts {
                assert!(shown.contains(part), "{part}\n--- not in ---\n{shown}");
            }
        };
        check(
            &format!("{rules}        - {{ preset: emials }}\n"),
            &[
                "sinks.a.rules.redact[1].preset (line 12): \"emials\" is not known; write one of authorization, cookies",
            ],
        );
        check(
            rules,
            &[
                "sinks.a.rules.keep[0] (line 6): attribute and field are one too many; write one of them",
                "sinks.a.rules.keep[1].any[0].at_least (line 9): \"loud\" is no number; write 1 to 24",
                "sinks.a.rules.redact[0] (line 11): a hash without a key is undone by trying; write key: ${REDACTION_KEY}",
            ],
        );
    }

    #[test]
    fn log_records_are_joined_where_stitching_can_and_the_sink_does_not_itself() {
        let file = "sinks:\n  a: { type: file, folder: a, edge_logs: joined }\n";
        assert_eq!(problems(file), "");
        let off = problems(&format!("stitch: {{ enabled: false }}\n{file}"));
        assert!(
            off.contains("sinks.a.edge_logs (line 3): nothing is joined, since stitching is off"),
            "{off}"
        );
        let store = problems("sinks:\n  a: { type: store, edge_logs: joined }\n");
        assert!(store.contains("sinks.a.edge_logs (line 2): the embedded store keeps records"), "{store}");
    }

    #[test]
    fn the_courier_keys_are_the_fields_of_its_settings() {
        let value = serde_json::to_value(CourierSettings::default()).unwrap();
        let mut fields: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut keys = COURIER_KEYS;
        fields.sort_unstable();
        keys.sort_unstable();
        assert_eq!(fields, keys);
    }

    #[test]
    fn every_example_of_a_sink_is_a_plan() {
        for row in schema::sink_rows() {
            let text =
                format!("sinks:\n{}", row.example.lines().map(|l| format!("  {l}\n")).collect::<String>());
            assert_eq!(problems(&text), "", "{}:\n{text}", row.name);
        }
    }
}
