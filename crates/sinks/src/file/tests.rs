use std::fs;
use std::path::Path;

use super::*;
use crate::fixture::{START, SetClock, context, metrics, open, parcel, part, spans, traces};
use flate2::read::MultiGzDecoder;
use model::{Layout, Tenant};
use serde_json::json;
use std::io::{Read, Write};
use wire::Coding;

/// A sink over folders that outlive it: dropping it and opening another is a crash.
struct Site {
    root: tempfile::TempDir,
    clock: SetClock,
    compress: &'static str,
}

impl Site {
    fn new(compress: &'static str) -> Self {
        Self { root: tempfile::tempdir().unwrap(), clock: SetClock::new(), compress }
    }

    fn files(&self) -> PathBuf {
        self.root.path().join("files")
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    async fn open(&self) -> Arc<dyn Sink> {
        let settings = json!({
            "folder": self.files(), "rotate_bytes": "64KiB", "rotate_every": "1h", "compress": self.compress,
        });
        open(&ROW, settings, context(&self.state(), &self.clock)).await
    }

    /// The names in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.files()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The names of all spans in all files, in order; every line must be whole.
    fn spans(&self) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.names() {
            let bytes = fs::read(self.files().join(&name)).unwrap();
            let mut text = String::new();
            if name.ends_with(".gz") {
                MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes).unwrap();
            }
            assert!(text.is_empty() || text.ends_with('\n'), "{name}");
            for line in text.lines() {
                let request: serde_json::Value = serde_json::from_str(line).unwrap();
                let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
                found.extend(spans.iter().map(|span| span["name"].as_str().unwrap().to_owned()));
            }
        }
        found
    }

    fn only_file(&self) -> PathBuf {
        let names = self.names();
        assert_eq!(names.len(), 1, "{names:?}");
        self.files().join(&names[0])
    }
}

async fn deliver(sink: &Arc<dyn Sink>, parcel: &Parcel) {
    assert_eq!(sink.deliver(parcel).await, Ok(Receipt::Delivered));
}

fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Waits until a condition on the file system holds; the compressing thread tells nobody when it is done.
async fn until(what: impl Fn() -> bool) {
    let holds = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), holds).await.expect("it never came true");
}

#[tokio::test]
async fn each_part_is_one_line_of_otlp_json() {
    let site = Site::new("none");
    let sink = site.open().await;
    let frames =
        vec![part(1, Coding::Plain, &spans(&["a", "b"]), 2), part(2, Coding::Plain, &spans(&["c"]), 1)];
    deliver(&sink, &parcel(Signal::Traces, Layout::Otlp, frames)).await;
    let text = fs::read_to_string(site.only_file()).unwrap();
    let expected = [spans(&["a", "b"]), spans(&["c"])]
        .map(|plain| String::from_utf8(wire::json::to_json(Signal::Traces, &plain).unwrap()).unwrap() + "\n");
    assert_eq!(text, expected.concat());
    assert_eq!(site.names(), ["traces-20261121T093000Z-000000.ndjson"]);
}

#[tokio::test]
async fn what_was_not_committed_is_cut_off_and_what_was_is_not_written_again() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    drop(sink);
    // The crash came after the bytes and before the position.
    append(&site.only_file(), b"{\"half a li");
    let sink = site.open().await;
    // The courier does not know what was delivered and sends it again, with other edges.
    let frames = vec![part(1, Coding::Plain, &spans(&["a"]), 1), part(2, Coding::Plain, &spans(&["b"]), 1)];
    deliver(&sink, &parcel(Signal::Traces, Layout::Otlp, frames)).await;
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    deliver(&sink, &traces(3, Coding::Plain, &["c"])).await;
    assert_eq!(site.spans(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_crash_at_every_byte_of_a_delivery_leaves_each_span_once() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    let (before, file) = (fs::read(site.only_file()).unwrap(), site.only_file());
    let slots = || [0, 1].map(|slot| fs::read(site.state().join(format!("traces.position.{slot}"))).ok());
    let slots_before = slots();
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    let (after, slots_after) = (fs::read(&file).unwrap(), slots());
    drop(sink);
    let restore = |bytes: &[u8], slots: &[Option<Vec<u8>>]| {
        fs::write(&file, bytes).unwrap();
        for (number, slot) in slots.iter().enumerate() {
            let path = site.state().join(format!("traces.position.{number}"));
            match slot {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => drop(fs::remove_file(path)),
            }
        }
    };
    // The data is torn, the position is the old one.
    let mut crashes = Vec::new();
    for cut in (before.len()..=after.len()).step_by(7) {
        crashes.push((after[..cut].to_vec(), slots_before.clone()));
    }
    // The data is whole, the position is torn.
    for (number, slot) in slots_after.iter().enumerate() {
        if slot == &slots_before[number] {
            continue;
        }
        let whole = slot.clone().unwrap();
        for cut in (0..=whole.len()).step_by(5).chain([whole.len()]) {
            let mut torn = slots_after.clone();
            torn[number] = Some(whole[..cut].to_vec());
            crashes.push((after.clone(), torn));
        }
    }
    assert!(crashes.len() > 20);
    for (bytes, slots) in crashes {
        restore(&bytes, &slots);
        let sink = site.open().await;
        for (offset, name) in [(1, "a"), (2, "b"), (3, "c")] {
            deliver(&sink, &traces(offset, Coding::Plain, &[name])).await;
        }
        assert_eq!(site.spans(), ["a", "b", "c"], "{} bytes", bytes.len());
    }
}

#[tokio::test]
async fn items_of_a_frame_that_was_cut_are_written_once() {
    let site = Site::new("none");
    let sink = site.open().await;
    let cut = |from, to| {
        let mut whole = part(1, Coding::Plain, &spans(&["a", "b", "c"]), 3);
        whole.items = from..to;
        parcel(Signal::Traces, Layout::Otlp, vec![whole])
    };
    deliver(&sink, &cut(0, 2)).await;
    deliver(&sink, &cut(0, 3)).await;
    deliver(&sink, &cut(1, 3)).await;
    assert_eq!(site.spans(), ["a", "b", "c"]);
}

#[tokio::test]
async fn tenants_and_layouts_are_streams_of_their_own() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(5, Coding::Plain, &["a"])).await;
    let mut other = traces(4, Coding::Plain, &["b"]);
    other.tenant = Tenant::new("other").unwrap();
    deliver(&sink, &other).await;
    deliver(&sink, &other).await;
    assert_eq!(site.spans(), ["a", "b"]);
}

#[tokio::test]
async fn a_journal_begun_anew_is_not_taken_for_the_old_one() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(50, Coding::Plain, &["old"])).await;
    drop(sink);
    let sink = site.open().await;
    for (offset, name) in [(1, "new"), (2, "newer")] {
        let mut fresh = traces(offset, Coding::Plain, &[name]);
        fresh.parts[0].received = START.plus(Duration::from_secs(1000 + offset));
        deliver(&sink, &fresh).await;
        deliver(&sink, &fresh).await;
    }
    assert_eq!(site.spans(), ["old", "new", "newer"]);
}

#[tokio::test]
async fn a_full_or_old_file_is_finished_and_compressed() {
    let site = Site::new("gzip");
    let sink = site.open().await;
    let long = "x".repeat(70 << 10);
    deliver(&sink, &traces(1, Coding::Plain, &[&long])).await;
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    site.clock.forward(Duration::from_secs(3599));
    deliver(&sink, &traces(3, Coding::Plain, &["c"])).await;
    site.clock.forward(Duration::from_secs(1));
    deliver(&sink, &traces(4, Coding::Plain, &["d"])).await;
    let expected = [
        "traces-20261121T093000Z-000000.ndjson.gz",
        "traces-20261121T093000Z-000001.ndjson.gz",
        "traces-20261121T103000Z-000002.ndjson",
    ];
    until(|| site.names() == expected).await;
    assert_eq!(site.spans(), [long.as_str(), "b", "c", "d"]);
}

#[tokio::test]
async fn a_crash_during_rotation_loses_nothing_and_doubles_nothing() {
    let site = Site::new("gzip");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    let first = site.only_file();
    let content = fs::read(&first).unwrap();
    site.clock.forward(Duration::from_secs(3600));
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    until(|| {
        site.names().iter().filter(|name| name.ends_with(".gz")).count() == 1 && site.names().len() == 2
    })
    .await;
    drop(sink);
    // As if the crash came before the original was removed, with half of the gzip file written aside.
    let gz = first.with_extension("ndjson.gz");
    fs::rename(&gz, first.with_extension("ndjson.gz.tmp")).unwrap();
    fs::write(&first, content).unwrap();
    let sink = site.open().await;
    deliver(&sink, &traces(3, Coding::Plain, &["c"])).await;
    until(|| gz.exists() && !first.exists()).await;
    assert_eq!(site.spans(), ["a", "b", "c"]);
}

#[tokio::test]
async fn the_file_that_rotation_announced_is_emptied_after_a_crash() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    site.clock.forward(Duration::from_secs(3600));
    let slots = |number: usize| site.state().join(format!("traces.position.{number}"));
    let before = [0, 1].map(|number| fs::read(slots(number)).ok());
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    drop(sink);
    // Rotation writes one position and the delivery another: putting the older of the two back takes away the delivery only.
    let sequence = |number: usize| {
        let text = fs::read_to_string(slots(number)).unwrap();
        let json: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        json["sequence"].as_u64().unwrap()
    };
    let newer = if sequence(0) > sequence(1) { 0 } else { 1 };
    assert_ne!(fs::read(slots(1 - newer)).ok(), before[1 - newer]);
    fs::write(slots(newer), "torn").unwrap();
    let sink = site.open().await;
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    assert_eq!(site.spans(), ["a", "b"]);
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    fs::rename(site.only_file(), site.root.path().join("elsewhere")).unwrap();
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    assert_eq!(site.spans(), ["b"]);
    assert_eq!(site.names(), ["traces-20261121T093000Z-000001.ndjson"]);
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let site = Site::new("gzip");
    fs::create_dir_all(site.files()).unwrap();
    let theirs = site.files().join("traces-20261121T093000Z-000000.ndjson");
    fs::write(&theirs, "theirs").unwrap();
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
    assert_eq!(site.names().len(), 2);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_tried_again() {
    let site = Site::new("none");
    fs::write(site.files(), "a file is in the way").unwrap();
    let sink = site.open().await;
    let failure = sink.deliver(&traces(1, Coding::Plain, &["a"])).await.unwrap_err();
    assert!(matches!(&failure, Failure::Retry { reason, .. } if reason.contains("files")), "{failure}");
    fs::remove_file(site.files()).unwrap();
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    assert_eq!(site.spans(), ["a"]);
}

#[tokio::test]
async fn a_position_that_cannot_be_written_undoes_the_delivery() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    // The next position goes to the slot that is not the newest; a folder in its place cannot be written.
    let slots = [0, 1].map(|slot| site.state().join(format!("traces.position.{slot}")));
    let saved = slots.clone().map(|path| fs::read(path).ok());
    for path in &slots {
        let _ = fs::remove_file(path);
        fs::create_dir(path).unwrap();
    }
    let failure = sink.deliver(&traces(2, Coding::Plain, &["b"])).await.unwrap_err();
    assert!(matches!(failure, Failure::Retry { .. }), "{failure}");
    for (path, bytes) in slots.iter().zip(saved) {
        fs::remove_dir(path).unwrap();
        if let Some(bytes) = bytes {
            fs::write(path, bytes).unwrap();
        }
    }
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    drop(sink);
    let sink = site.open().await;
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    assert_eq!(site.spans(), ["a", "b"]);
}

#[tokio::test]
async fn a_position_that_landed_although_its_write_failed_covers_nothing() {
    let slot = |site: &Site, number: usize| site.state().join(format!("traces.position.{number}"));
    // A twin shows what the failed write leaves behind: the third position is in the first slot again.
    let twin = Site::new("none");
    let sink = twin.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    let landed = fs::read(slot(&twin, 0)).unwrap();

    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &traces(1, Coding::Plain, &["a"])).await;
    fs::remove_file(slot(&site, 0)).unwrap();
    fs::create_dir(slot(&site, 0)).unwrap();
    assert!(sink.deliver(&traces(2, Coding::Plain, &["b"])).await.is_err());
    fs::remove_dir(slot(&site, 0)).unwrap();
    fs::write(slot(&site, 0), landed).unwrap();
    // The next delivery undoes the failed one and gets no further; then comes the crash.
    let unreadable = parcel(Signal::Traces, Layout::Otlp, vec![part(2, Coding::Plain, b"\xff", 1)]);
    assert!(matches!(sink.deliver(&unreadable).await, Err(Failure::RefusedWhole { .. })));
    drop(sink);
    let sink = site.open().await;
    deliver(&sink, &traces(2, Coding::Plain, &["b"])).await;
    assert_eq!(site.spans(), ["a", "b"]);
}

#[tokio::test]
async fn remote_write_metrics_become_otlp_json() {
    let site = Site::new("none");
    let sink = site.open().await;
    deliver(&sink, &metrics(1, &[1.5])).await;
    let text = fs::read_to_string(site.only_file()).unwrap();
    let request: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"], "up");
    assert!(site.names()[0].starts_with("metrics-"));
}

#[test]
fn all_problems_come_at_once() {
    let problems = |settings| {
        (ROW.check)(settings).err().unwrap_or_default().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let bad =
        json!({"folder": "", "rotate_bytes": "1B", "rotate_every": "1ms", "max_wait": "1h", "signals": []});
    assert_eq!(problems(bad), ["folder", "rotate_bytes", "rotate_every", "max_wait", "signals"]);
    assert_eq!(problems(json!({})).len(), 1);
}
