//! What the operator may set, and the store's row in the table of sinks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Problem;
use pipeline::settings::{self, Period, Size};
use pipeline::{BoxFuture, CheckedSink, Sink, SinkContext, SinkRow};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Store;

/// The embedded store: Parquet files on this machine, searched by trace id and time, readable by any Parquet tool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The folder for the files. Set it to keep them on another disk; by default they lie below the data folder, under the
    /// sink's name. Two stores never share a folder.
    pub folder: Option<PathBuf>,
    /// How long data is kept, counted from the end of the hour in which it happened; `0` keeps it for ever. Default `7d`.
    pub keep: Period,
    /// How much disk the files may take. Beyond it the oldest hours are deleted first, whatever `keep` says; `0` sets no
    /// limit. Default `10GiB`.
    pub max_size: Size,
    /// Files are written when so many plain bytes of one signal are gathered. Larger makes fewer and better compressed
    /// files and takes as much memory. 1MiB to 1GiB, default `32MiB`.
    pub flush_size: Size,
    /// Files are written when the oldest row has waited so long. Rows can be searched before; what is written can be read
    /// by other tools, and the journal need not keep it any more. 1s to 1h, default `1m`.
    pub flush_age: Period,
    /// Files are written when so many rows of one signal are gathered. 1000 to 10000000, default 1000000.
    pub flush_rows: u64,
    /// Small files of an hour are merged so long after its end; later data is merged again when enough of it has come.
    /// Default `2h`.
    pub merge_after: Period,
    /// Merged files are not larger than this. 1MiB to 1GiB, default `128MiB`.
    pub merge_size: Size,
    /// Files that were merged stay so long, for tools that are still reading them. Other tools see rows twice meanwhile,
    /// unless they skip files whose journal range lies inside another's (see below). Default `10m`.
    pub merge_grace: Period,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: None,
            keep: Period(Duration::from_hours(7 * 24)),
            max_size: Size(10 << 30),
            flush_size: Size(32 << 20),
            flush_age: Period(Duration::from_mins(1)),
            flush_rows: 1_000_000,
            merge_after: Period(Duration::from_hours(2)),
            merge_size: Size(128 << 20),
            merge_grace: Period(Duration::from_mins(10)),
        }
    }
}

impl Settings {
    /// Reads and checks settings; pure.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn read(value: serde_json::Value) -> Result<Self, Vec<Problem>> {
        let settings: Self = settings::read(value)?;
        let problems = settings.problems();
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (path, size) in [("flush_size", self.flush_size), ("merge_size", self.merge_size)] {
            settings::within(path, size, Size(1 << 20)..=Size(1 << 30), "32MiB", &mut problems);
        }
        let age = Period(Duration::from_secs(1))..=Period(Duration::from_hours(1));
        settings::within("flush_age", self.flush_age, age, "1m", &mut problems);
        settings::within("flush_rows", self.flush_rows, 1_000..=10_000_000, "1000000", &mut problems);
        if self.max_size.0 != 0 && self.max_size.0 < self.merge_size.0 {
            let message = format!("{} is less than one merged file of {}", self.max_size, self.merge_size);
            problems.push(Problem::new("max_size", message, "raise it or lower merge_size"));
        }
        if self.folder.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            problems.push(Problem::new(
                "folder",
                "the path is empty",
                "name a folder, or leave the setting out",
            ));
        }
        problems
    }
}

impl CheckedSink for Settings {
    fn open(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Arc<dyn Sink>, String>> {
        Box::pin(async move {
            let store = Store::open(*self, context).await?;
            Ok(store as Arc<dyn Sink>)
        })
    }
}

/// The store's row in the table of sinks.
pub static ROW: SinkRow = SinkRow {
    name: "store",
    summary: "Keeps everything in Parquet files on this machine, searchable by trace id and time",
    schema: || schemars::schema_for!(Settings),
    check: |value| Ok(Box::new(Settings::read(value)?)),
    example: EXAMPLE,
    page: "## What becomes of it

Every item is in a file once: a file is a pure function of a range of the journal, and a range that was begun is written again under the same name after a
restart. What is not written yet is found by queries too.

## Reading the files with other tools

```text
signal=traces/tenant=default/date=2026-11-21/hour=09/{earliest}-{latest}-{journal}.{first}-{last}.parquet
```

Folders are the hour of event time in UTC; `earliest` and `latest` are times in nanoseconds since 1970; `{first}-{last}` is the range of the journal that is in the file, and `journal` tells
journals apart that were begun anew beside the same files.

Small files of an hour are merged (`merge_after`), and the merged ones stay for `merge_grace`, so that a tool that has listed them can still read them. A reader that must not count a row
twice leaves out each file whose `{first}-{last}` lies inside that of another file of the same folder and `journal`. With `merge_grace: 0s` they are deleted at the next round of upkeep, which is within a minute.",
};

const EXAMPLE: &str = "\
store:
  type: store
  keep: 14d
  max_size: 50GiB
";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(Settings::read(json!({})), Ok(Settings::default()));
    }

    #[test]
    fn problems_come_all_at_once() {
        let problems = Settings::read(json!({
            "flush_size": "1KiB", "merge_size": "2GiB", "flush_age": "0", "flush_rows": 1, "max_size": "1MiB", "folder": "",
        }));
        let paths: Vec<_> = problems.unwrap_err().into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["flush_size", "merge_size", "flush_age", "flush_rows", "max_size", "folder"]);
    }

    #[test]
    fn an_unknown_setting_is_a_problem() {
        let problems = Settings::read(json!({ "flush_sise": "1MiB" })).unwrap_err();
        assert!(problems[0].message.contains("flush_sise"), "{problems:?}");
    }
}
