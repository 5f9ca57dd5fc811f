//! The format as released: files under `golden/vN` that every later version must read, and that this one still writes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Batch, ContentHash, Layout, Origin, Signal, Source, SystemClock, Tenant, UnixNanos};
use wire::Coding;

use crate::books::Census;
use crate::cursor::file_name;
use crate::fields::{Put, Take};
use crate::frame::{self, Place};
use crate::segment::Identity;
use crate::slots::Slots;
use crate::state::{self, Stored};
use crate::{Books, Finished, Journal, Offset, Options, Read, Replays, SimFs, Start, State, Upkeep, Vfs};

const SEGMENT: Identity = Identity { first: 41, ordinal: 7, epoch: 0x0123_4567_89ab_cdef, items_before: 900 };

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
}

fn origin() -> Origin {
    Origin { tenant: Tenant::new("acme").unwrap(), source: Source::new("otlp").unwrap() }
}

fn batch(n: u8, coding: Coding) -> Batch {
    Batch {
        origin: origin(),
        signal: Signal::Metrics,
        layout: if n == 2 { Layout::RemoteWrite } else { Layout::Otlp },
        coding,
        body: (0..n * 9).collect::<Vec<u8>>().into(),
        plain_len: u32::from(n) * 100,
        items: u32::from(n),
        content_hash: ContentHash(0x00ff_eedd_ccbb_aa99_8877_6655_4433_2200 + u128::from(n)),
        received: UnixNanos(1_700_000_000_000_000_000 + u64::from(n)),
    }
}

fn codings() -> [Coding; 4] {
    [Coding::Plain, Coding::Snappy, Coding::Gzip, Coding::Zstd]
}

fn segment() -> Vec<u8> {
    let mut bytes = SEGMENT.header(Signal::Metrics, UnixNanos(1_700_000_000_000_000_000));
    let mut items_before = SEGMENT.items_before;
    for (n, coding) in (1..).zip(codings()) {
        let batch = batch(n, coding);
        let seq = SEGMENT.first + u64::from(n) - 1;
        let derived = u64::from(n == 4) * 77;
        let place = Place { epoch: SEGMENT.epoch, seq, durable: seq - 1, items_before, derived };
        frame::encode(&mut bytes, &batch, crc32c::crc32c(&batch.body), place);
        items_before += u64::from(batch.items);
    }
    bytes
}

fn state() -> State {
    let mut books = Books::default();
    books.of(&origin()).delivered = 1;
    let mut ahead = Books::default();
    ahead.drop_items(&origin(), "filtered", 3);
    State {
        low: Offset(42),
        finished: vec![Finished { first: Offset(43), last: Offset(43), books: ahead }],
        open: Some((Offset(42), Offset(42))),
        open_rules: None,
        books,
        replays: Replays::default(),
    }
}

fn open(fs: &SimFs) -> Journal {
    let options = Options { upkeep: Upkeep::Caller, low_space: 0, ..Options::default() };
    let vfs: Arc<dyn Vfs> = Arc::new(fs.clone());
    Journal::open(vfs, "/data".into(), options, Arc::new(SystemClock)).unwrap().0
}

fn put(fs: &SimFs, path: &str, bytes: &[u8]) {
    let file = fs.create(Path::new(path)).unwrap();
    crate::vfs::write_all(&*file, bytes, 0).unwrap();
}

#[test]
fn this_version_writes_segments_as_released() {
    check_released("segment", &segment());
}

#[tokio::test]
async fn this_version_reads_what_was_released() {
    let fs = SimFs::new();
    let name = SEGMENT.file_name();
    put(&fs, &format!("/data/metrics/{name}"), &std::fs::read(golden().join("segment")).unwrap());
    let cursor = golden().join("cursor");
    if !cursor.exists() {
        let journal = open(&fs);
        let made = journal.cursor("store", Signal::Metrics, Start::Earliest).unwrap();
        made.checkpoint(state()).await.unwrap();
        journal.close().await;
        let write = |from: &str, to: &str| {
            std::fs::write(golden().join(to), fs.peek(Path::new(from)).unwrap()).unwrap();
        };
        write(&format!("/data/metrics/cursors/{}.1", file_name("store")), "cursor");
        write("/data/metrics/checkpoint.0", "checkpoint");
        panic!("golden files were missing and are written now; look at them");
    }
    put(&fs, &format!("/data/metrics/cursors/{}.1", file_name("store")), &std::fs::read(cursor).unwrap());
    for with_checkpoint in [false, true] {
        let fs = fs.copy();
        if with_checkpoint {
            put(&fs, "/data/metrics/checkpoint.0", &std::fs::read(golden().join("checkpoint")).unwrap());
        }
        let journal = open(&fs);
        let log = journal.log(Signal::Metrics);
        assert_eq!((log.first(), log.durable(), log.last_derived()), (Offset(41), Offset(44), 77));
        let mut reader = log.reader(Offset(41));
        for (n, coding) in (1..).zip(codings()) {
            let Ok(Read::Frame(frame)) = reader.next().await else { panic!("frame {n}") };
            let sent = batch(n, coding);
            assert_eq!((frame.body, frame.coding, frame.layout), (sent.body, sent.coding, sent.layout));
            assert_eq!(
                (frame.items, frame.plain_len, frame.origin),
                (sent.items, sent.plain_len, sent.origin)
            );
            assert_eq!((frame.content_hash, frame.received), (sent.content_hash, sent.received));
        }
        let cursor = journal.cursor("store", Signal::Metrics, Start::Now).unwrap();
        assert_eq!(cursor.state(), state());
        let ledger = journal.ledger();
        assert_eq!(ledger.accepted[&(Signal::Metrics, origin())], 10);
        assert_eq!(ledger.sinks[0].held[&origin()], 9);
    }
}

/// The cursor's state in the midst of everything: a range begun, replays over.
fn busy() -> State {
    let mut replayed = Books::default();
    replayed.of(&origin()).delivered = 5;
    replayed.of(&origin()).dead_letters = 2;
    State { replays: Replays { last: 3, books: replayed }, ..state() }
}

/// The same with what is known of the range's rules.
fn ruled() -> State {
    State { open_rules: Some(0x0102_0304_0506_0708), ..busy() }
}

fn before() -> Census {
    Census::from([(origin(), 900)])
}

/// A cursor's file with this in it.
fn cursor_file(name: &str, state: &State, until: u64) -> Vec<u8> {
    let fs = SimFs::new();
    let folder = Path::new("/cursors");
    fs.create_folder(folder).unwrap();
    let mut put = Put::default();
    put.text(name);
    state::encode(state, &before(), UnixNanos(1_700_000_000_000_000_009), until, &mut put);
    let mut slots = Slots::open(&fs, folder, "golden").slots;
    slots.write(&fs, &put.0).unwrap();
    fs.peek(Path::new("/cursors/golden.0")).unwrap()
}

/// Reads a released cursor's file.
fn read_cursor(released: &str) -> (String, Stored) {
    let fs = SimFs::new();
    fs.create_folder(Path::new("/cursors")).unwrap();
    let bytes = std::fs::read(golden().join(released)).unwrap();
    put(&fs, "/cursors/golden.0", &bytes);
    let payload = Slots::open(&fs, Path::new("/cursors"), "golden").payload.unwrap();
    let mut take = Take(&payload);
    let name = take.text().unwrap().to_owned();
    (name, Stored::decode(&mut take).unwrap())
}

/// Compares with what was released; a file that is missing is written, and the test fails for a person to look at it.
fn check_released(name: &str, now: &[u8]) {
    let path = golden().join(name);
    let Ok(released) = std::fs::read(&path) else {
        std::fs::write(&path, now).unwrap();
        panic!("{} was missing and is written now; look at it", path.display());
    };
    assert!(
        released == now,
        "{} differs from what is written now; a new layout needs a new version",
        path.display()
    );
}

#[test]
fn this_version_writes_cursors_as_released() {
    check_released("cursor-replays", &cursor_file("store", &busy(), 0));
    check_released("cursor-fork", &cursor_file("store~4", &state(), 44));
    check_released("cursor-rules", &cursor_file("store", &ruled(), 0));
}

#[test]
fn this_version_reads_every_cursor_that_was_released() {
    let cases = [
        ("cursor-replays", "store", busy(), 0),
        ("cursor-fork", "store~4", state(), 44),
        ("cursor-rules", "store", ruled(), 0),
    ];
    for (released, name, state, until) in cases {
        let (found, stored) = read_cursor(released);
        assert_eq!((&*found, stored.state, stored.until), (name, state, until), "{released}");
        let orphaned = UnixNanos(1_700_000_000_000_000_009);
        assert_eq!((stored.before, stored.orphaned), (before(), orphaned), "{released}");
    }
}
