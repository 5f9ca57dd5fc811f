//! What a back end has of every span and log record, those of the sample story too.

use std::collections::BTreeMap;
use std::path::Path;

use crate::stored::rows;

/// Times in nanoseconds, each with a record's body or a span's id and name; and how often.
pub(crate) type Told = BTreeMap<(i64, String), u32>;

/// A span in [`Told`].
pub(crate) fn span(id: &str, name: &str) -> String {
    format!("{} {name}", id.to_lowercase())
}

/// What the store's files tell of these signals, with times as they are where a unit has so many nanoseconds.
pub(crate) fn of_store(store: &Path, signals: &[&str], unit: i64) -> Told {
    let mut told = Told::new();
    for signal in signals {
        let columns: &[&str] =
            if *signal == "logs" { &["timestamp", "body"] } else { &["timestamp", "span_id", "name"] };
        for row in rows(store, signal, columns) {
            let text = match row.get("span_id") {
                Some(id) => span(id, &row["name"]),
                None => row.get("body").cloned().unwrap_or_default(),
            };
            let nanos: i64 = row["timestamp"].parse().unwrap();
            *told.entry((nanos - nanos.rem_euclid(unit), text)).or_default() += 1;
        }
    }
    told
}

/// Panics with the first differences.
pub(crate) fn compare(name: &str, want: &Told, found: impl Iterator<Item = (i64, String)>) {
    let mut has = Told::new();
    for one in found {
        *has.entry(one).or_default() += 1;
    }
    let differs = |a: &Told, b: &Told| -> Vec<((i64, String), u32)> {
        let other = |(key, count): &(&(i64, String), &u32)| b.get(*key) != Some(*count);
        a.iter().filter(other).map(|(key, count)| (key.clone(), *count)).take(3).collect()
    };
    assert!(
        *want == has,
        "{name} lacks {:#?}; has instead, or more often {:#?}",
        differs(want, &has),
        differs(&has, want)
    );
}
