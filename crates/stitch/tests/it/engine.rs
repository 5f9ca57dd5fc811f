//! The engine over logs that are kept in memory: whatever the order of what comes, wherever it is killed, the same is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use model::{ContentHash, Signal, Tenant, UnixNanos};
use normalize::Shape;
use serde_json::{Value, json};
use testkit::sample::sample;
use tidegate_stitch::correlation::{Cause, Report};
use tidegate_stitch::engine::{Engine, Found, Options, Piece, Sought};
use tidegate_stitch::{REVISION, WITHDRAWN};
use wire::coding::{Ceiling, inflate};
use wire::otlp::AnyValue;

use tidegate_stitch::series::Body;

use crate::series::{counted_at_once, story_counts};
use crate::stories::{KONG, LOGPUSH, check_told, hex, stories};
use crate::{NOW, normalized, taken};

/// A frame of a log.
#[derive(Debug, Clone)]
struct Frame {
    plain: Vec<u8>,
    items: u32,
    derived: u64,
}

/// The journal, as far as the engine knows it.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    logs: Vec<Frame>,
    traces: Vec<Frame>,
    metrics: Vec<Frame>,
}

impl Logs {
    fn of(&mut self, signal: Signal) -> &mut Vec<Frame> {
        match signal {
            Signal::Logs => &mut self.logs,
            Signal::Traces => &mut self.traces,
            Signal::Metrics => &mut self.metrics,
        }
    }

    /// Plain bytes of the frames of a log that stitching made.
    pub(crate) fn derived(&self, signal: Signal) -> impl Iterator<Item = &[u8]> {
        let log = match signal {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        };
        log.iter().filter(|frame| frame.derived > 0).map(|frame| frame.plain.as_slice())
    }

    pub(crate) fn append(&mut self, signal: Signal, plain: Vec<u8>) {
        let items = count(signal, &plain);
        self.of(signal).push(Frame { plain, items, derived: 0 });
    }
}

fn count(signal: Signal, plain: &[u8]) -> u32 {
    let mut items = 0;
    let counted = match signal {
        Signal::Logs => wire::otlp::logs::each_record(plain, |_, _, _| {
            items += 1;
            Ok(())
        }),
        Signal::Traces => wire::otlp::traces::each_span(plain, |_, _, _| {
            items += 1;
            Ok(())
        }),
        Signal::Metrics => wire::otlp::metrics::each_point(plain, |_, _, _, _| {
            items += 1;
            Ok(())
        }),
    };
    counted.unwrap();
    items
}

const BOTH: [Signal; 2] = [Signal::Logs, Signal::Traces];

pub(crate) fn open(folder: &Path) -> Engine {
    Engine::open(folder, Options::default()).unwrap()
}

/// Everything that is in the logs and was not read yet, in pieces of at most `most` items.
pub(crate) fn feed(engine: &mut Engine, logs: &mut Logs, most: u32) {
    BOTH.into_iter().for_each(|signal| feed_one(engine, logs, signal, most));
}

/// The same of one log.
pub(crate) fn feed_one(engine: &mut Engine, logs: &mut Logs, signal: Signal, most: u32) {
    let tenant = Tenant::default();
    let reached = engine.reached(signal);
    for (at, frame) in logs.of(signal).iter().enumerate() {
        let offset = at as u64 + 1;
        if offset < reached.offset {
            continue;
        }
        let mut first = 0;
        while first < frame.items {
            let items = first..frame.items.min(first + most);
            first = items.end;
            let (is_whole, is_derived) = (items.end == frame.items, frame.derived > 0);
            let plain = &frame.plain;
            let piece = Piece { signal, tenant: &tenant, offset, items, is_whole, is_derived, plain };
            engine.feed(&piece, NOW).unwrap();
        }
    }
}

/// Gives the logs what the engine has for them. `tells` is whether the engine learns of it.
pub(crate) fn give(engine: &mut Engine, logs: &mut Logs, tells: bool) {
    for signal in Signal::ALL {
        let log = logs.of(signal);
        let last = log.iter().map(|frame| frame.derived).max().unwrap_or(0);
        for batch in engine.outgoing(signal, usize::MAX).unwrap() {
            let number = batch.number;
            let batch = batch.batch(NOW);
            let plain = inflate(batch.coding, &batch.body, Ceiling::bytes(batch.plain_len as usize)).unwrap();
            assert_eq!((plain.len(), batch.items), (batch.plain_len as usize, count(signal, &plain)));
            assert_eq!(batch.content_hash, ContentHash::of(&batch.origin, &plain));
            if number > last {
                log.push(Frame { plain, items: batch.items, derived: number });
            }
            if tells {
                engine.given(signal, number);
            }
        }
    }
}

const KINDS: [&str; 6] = ["", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

/// All spans that the logs tell: of each the highest revision, by trace and id, in the words of the expectations.
pub(crate) fn told(logs: &Logs) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut latest: BTreeMap<(String, String), (i64, Option<Value>)> = BTreeMap::new();
    for frame in logs.traces.iter().filter(|frame| frame.derived > 0) {
        wire::otlp::traces::each_span(&frame.plain, |resource, _, span| {
            let mut service = String::new();
            for pair in resource.resource.attributes() {
                if let ("service.name", AnyValue::Str(name)) =
                    (pair.as_ref().unwrap().key, pair.unwrap().value)
                {
                    service = name.to_owned();
                }
            }
            let (mut revision, mut is_withdrawn, mut source) = (0, false, String::new());
            for pair in span.attributes() {
                let pair = pair?;
                match (pair.key, pair.value) {
                    (REVISION, AnyValue::Int(number)) => revision = number,
                    (WITHDRAWN, AnyValue::Bool(truth)) => is_withdrawn = truth,
                    ("tidegate.source", AnyValue::Str(text)) => source = text.to_owned(),
                    _ => {}
                }
            }
            let links: Vec<Value> = span
                .links()
                .map(|link| link.unwrap())
                .map(|link| json!({ "trace_id": hex(link.trace_id), "span_id": hex(link.span_id) }))
                .collect();
            let row = json!({
                "parent_span_id": hex(span.parent_span_id),
                "service": service,
                "name": span.name,
                "kind": KINDS[span.kind as usize],
                "start_unix_nano": span.start.to_string(),
                "end_unix_nano": span.end.to_string(),
                "status": if span.status_code == 2 { "error" } else { "unset" },
                "source": source,
                "links": links,
            });
            let slot = latest.entry((hex(span.trace_id), hex(span.span_id))).or_default();
            assert!(revision > slot.0, "revision {revision} came after {}", slot.0);
            *slot = (revision, (!is_withdrawn).then_some(row));
            Ok(())
        })
        .unwrap();
    }
    let mut told: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for ((trace, span), (_, row)) in latest {
        if let Some(row) = row {
            told.entry(trace).or_default().insert(span, row);
        }
    }
    told
}

pub(crate) fn inputs() -> Vec<(Signal, Vec<u8>)> {
    let beside = ["cloudflare/firewall_events.ndjson"];
    let logpush = LOGPUSH.iter().chain(&beside).map(|name| (Signal::Logs, normalized(name, Shape::Logpush)));
    let kong = KONG.iter().map(|name| (Signal::Logs, normalized(name, Shape::Kong)));
    let spans = wire::json::to_proto(Signal::Traces, &sample("otlp/traces.json")).unwrap();
    logpush.chain(kong).chain([(Signal::Traces, spans)]).collect()
}

pub(crate) fn found(engine: &Engine, text: &str) -> Vec<Found> {
    engine.look(&Sought::read(text)).unwrap()
}

pub(crate) fn later(seconds: u64) -> UnixNanos {
    NOW.plus(Duration::from_secs(seconds))
}

fn check_stories(engine: &Engine, logs: &Logs) {
    let told = told(logs);
    for story in stories() {
        let id = story["trace_id"].as_str().unwrap();
        let all = found(engine, id);
        let mine: Vec<&Found> = all.iter().filter(|found| hex(&found.canonical) == id).collect();
        let [found] = mine.as_slice() else { panic!("{id}: {all:#?}") };
        let mut aliases: Vec<String> = found.aliases.iter().map(|id| hex(id)).collect();
        aliases.sort_unstable();
        check_told(&story, &aliases, &told.get(id).cloned().unwrap_or_default());
    }
}

#[test]
fn every_story_is_told_by_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    for (signal, plain) in inputs() {
        logs.append(signal, plain);
    }
    feed(&mut engine, &mut logs, 7);
    engine.turn(later(60)).unwrap();
    give(&mut engine, &mut logs, true);
    check_stories(&engine, &logs);
    check_metrics(&logs);
    assert_eq!(engine.counts().revised, 0);

    // Nothing is new, so nothing is told.
    let before = logs.traces.len();
    feed(&mut engine, &mut logs, 7);
    engine.turn(later(61)).unwrap();
    give(&mut engine, &mut logs, true);
    assert_eq!(logs.traces.len(), before);
    assert!(engine.outgoing(Signal::Traces, 9).unwrap().is_empty());
}

#[test]
fn whatever_the_order_and_wherever_it_is_killed_the_same_is_told() {
    // Each opens a store of its own, which takes its time on a busy machine.
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, mut logs) = (open(folder.path()), Logs::default());
        let mut inputs = inputs();
        let again = inputs[random.usize(..inputs.len())].clone();
        inputs.push(again);
        random.shuffle(&mut inputs);
        let mut now = NOW;
        for (signal, plain) in inputs {
            logs.append(signal, plain);
            if random.u8(..3) == 0 {
                feed(&mut engine, &mut logs, random.u32(1..9));
            }
            if random.u8(..3) == 0 {
                now = now.plus(Duration::from_millis(random.u64(..4000)));
                engine.turn(now).unwrap();
            }
            if random.u8(..3) == 0 {
                let tells = random.bool();
                give(&mut engine, &mut logs, tells);
            }
            if random.u8(..6) == 0 {
                drop(engine);
                engine = open(folder.path());
            }
        }
        feed(&mut engine, &mut logs, 5);
        engine.turn(later(60)).unwrap();
        give(&mut engine, &mut logs, true);
        check_stories(&engine, &logs);
        check_metrics(&logs);
        assert_eq!(joined(&engine), *joined_at_once(), "seed {seed}");
    }
}

/// What is counted of logs is what one look at all of them counts.
fn check_metrics(logs: &Logs) {
    let bodies = logs.metrics.iter().map(|frame| Body { bytes: frame.plain.clone(), points: frame.items });
    let told = story_counts(&bodies.collect::<Vec<_>>());
    assert!(told.len() > 20, "{told:?}");
    let expected = counted_at_once();
    let keys = told.keys().chain(expected.keys());
    let differ: Vec<_> = keys.filter(|key| told.get(*key) != expected.get(*key)).collect();
    let shown: Vec<_> = differ.iter().map(|key| (key, told.get(*key), expected.get(*key))).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// How requests are joined, but for which of them are named as examples and when they came.
fn joined(engine: &Engine) -> Report {
    let mut report = engine.correlation(later(60));
    for hop in &mut report.hops {
        hop.last_came_seconds = hop.last_came_seconds.map(|_| 0);
        hop.causes.iter_mut().for_each(|cause| cause.examples.clear());
    }
    report
}

/// The same of a gateway that was given everything at once.
fn joined_at_once() -> &'static Report {
    static ONCE: LazyLock<Report> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, mut logs) = (open(folder.path()), Logs::default());
        inputs().into_iter().for_each(|(signal, plain)| logs.append(signal, plain));
        feed(&mut engine, &mut logs, 100);
        engine.turn(later(60)).unwrap();
        joined(&engine)
    });
    &ONCE
}

#[test]
fn what_is_counted_of_joins_survives_a_restart_and_ends_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    assert!(engine.correlation(NOW).hops.iter().all(|hop| hop.requests == 0 && hop.silence.is_some()));
    inputs().into_iter().for_each(|(signal, plain)| logs.append(signal, plain));
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(60)).unwrap();
    let before = engine.correlation(later(60));
    // Of the stories alone, eight are joined exactly at the edge.
    let edge = &before.hops[0];
    assert!(edge.exact >= 8 && edge.silence.is_none(), "{edge:#?}");
    assert_eq!(edge.requests, edge.exact + edge.by_id + edge.guessed + edge.alone);
    let clock = before.hops[2].causes.iter().find(|cause| cause.cause == Cause::ClockOff).unwrap();
    assert_eq!(clock.examples, ["7f91b388b574cb9735b1c85101ea7449"]);
    drop(engine);

    let mut engine = open(folder.path());
    assert_eq!(engine.correlation(later(60)), before);
    // Copies of everything change nothing.
    inputs().into_iter().for_each(|(signal, plain)| logs.append(signal, plain));
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(120)).unwrap();
    assert_eq!(joined(&engine), *joined_at_once());
    drop(engine);

    let mut engine = open(folder.path());
    engine.turn(later(3660)).unwrap();
    let after = engine.correlation(later(3660));
    assert!(after.hops.iter().all(|hop| hop.requests == 0 && hop.routes.is_empty() && hop.causes.is_empty()));
    let silence = after.hops[2].silence.as_deref().unwrap();
    assert!(silence.contains("http-log came"), "{silence}");
    let later_still = engine.correlation(later(20_000)).hops[2].silence.clone().unwrap();
    assert!(later_still.starts_with("the last of Kong's http-log came 5 h ago"), "{later_still}");
}

/// Damages every file below a folder in its middle; says how many.
fn damage(folder: &Path) -> usize {
    let mut hit = 0;
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            hit += damage(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len().min(4096) / 2;
        bytes.iter_mut().skip(middle).take(8).for_each(|byte| *byte ^= 0xa5);
        std::fs::write(&path, bytes).unwrap();
        hit += 1;
    }
    hit
}

#[test]
fn a_store_that_is_damaged_or_of_another_version_is_set_aside_and_stitching_goes_on() {
    let of_another_version = |folder: &Path| {
        let db = fjall::Database::builder(folder).open().unwrap();
        let state = db.keyspace("state", fjall::KeyspaceCreateOptions::default).unwrap();
        state.insert("format", [99]).unwrap();
    };
    let damaged = |folder: &Path| assert!(damage(folder) > 3);
    let gone = |folder: &Path| std::fs::remove_file(folder.join("version")).unwrap();
    for (what, harm) in
        [("version", &of_another_version as &dyn Fn(&Path)), ("damage", &damaged), ("gone", &gone)]
    {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("stitch");
        let (mut engine, mut logs) = (open(&folder), Logs::default());
        for (signal, plain) in inputs() {
            logs.append(signal, plain);
        }
        feed(&mut engine, &mut logs, 9);
        engine.turn(later(60)).unwrap();
        drop(engine);
        harm(&folder);
        let (mut engine, wrong) = Engine::open_or_begin(&folder, Options::default(), NOW).unwrap();
        let wrong = wrong.unwrap_or_else(|| panic!("{what} was not noticed"));
        assert!(wrong.contains("stitch-aside-"), "{what}: {wrong}");
        assert_eq!(engine.reached(Signal::Logs).offset, 0, "{what}");
        feed(&mut engine, &mut logs, 9);
        engine.turn(later(60)).unwrap();
        give(&mut engine, &mut logs, true);
        check_stories(&engine, &logs);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2, "{what}");
    }
}

#[test]
fn a_request_is_found_by_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    for (signal, plain) in inputs() {
        logs.append(signal, plain);
    }
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(60)).unwrap();
    for story in stories() {
        let id = story["trace_id"].as_str().unwrap();
        let lists = ["aliases", "rays"].map(|key| story[key].as_array().unwrap().clone());
        let names = lists.concat().into_iter().chain([story["kong_request_id"].clone()]);
        for text in names.filter_map(|name| name.as_str().map(str::to_owned)) {
            let all = found(&engine, &text);
            assert!(all.iter().any(|found| hex(&found.canonical) == id), "{id} by {text}: {all:?}");
        }
    }
}

#[test]
fn a_ray_that_very_many_requests_forge_takes_no_room_from_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    let one: Value = serde_json::from_slice(&sample("kong/http-log-3x-single.json")).unwrap();
    let forged: Vec<Value> = (0..600)
        .map(|number| {
            let mut record = one.clone();
            record["request"]["id"] = format!("{number:032x}").into();
            record["request"]["headers"]["traceparent"] =
                format!("00-{:032x}-00000000000000e1-01", number + 1).into();
            record["request"]["headers"]["cf-ray"] = "6a63ddb61ec24c64-HAN".into();
            // Long before the visitor whose ray it is.
            record["started_at"] = 1_772_434_800_000_u64.into();
            record
        })
        .collect();
    let forged = serde_json::to_vec(&forged).unwrap();
    // Copies find those that went elsewhere, too.
    for _ in 0..2 {
        logs.append(Signal::Logs, taken("forged", forged.clone(), Shape::Kong));
    }
    for (signal, plain) in inputs() {
        logs.append(signal, plain);
    }
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(60)).unwrap();
    give(&mut engine, &mut logs, true);
    let told = told(&logs);
    for number in 1..=600 {
        let spans = told.get(&format!("{number:032x}")).map_or(0, BTreeMap::len);
        assert_eq!(spans, 2, "{number}");
    }
    check_stories(&engine, &logs);
}

/// Requests through Kong, of one service, under ids of their own: with a span that Kong itself sends of each, or without.
fn through_kong(numbers: std::ops::Range<u32>, has_own: bool) -> Vec<(Signal, Vec<u8>)> {
    let one: Value = serde_json::from_slice(&sample("kong/http-log-3x-single.json")).unwrap();
    let (mut records, mut spans) = (Vec::new(), Vec::new());
    for number in numbers {
        let (id, trace) = (format!("{:032x}", 0xabc_0000 + number), format!("{:032x}", 0xdef_0000 + number));
        let mut record = one.clone();
        record["request"]["id"] = id.clone().into();
        record["request"]["headers"]["traceparent"] = format!("00-{trace}-00000000000000e1-01").into();
        record["request"]["headers"]["cf-ray"] = format!("{:016x}-HAN", 0x7000_0000 + number).into();
        records.push(record);
        spans.push(json!({
            "traceId": trace, "spanId": format!("{:016x}", 0x9000 + number), "name": "kong", "kind": 2,
            "startTimeUnixNano": "1772438400000000000", "endTimeUnixNano": "1772438400100000000",
            "attributes": [{ "key": "kong.request.id", "value": { "stringValue": id } }],
        }));
    }
    let logs = taken("through Kong", serde_json::to_vec(&records).unwrap(), Shape::Kong);
    let scope = json!({ "scope": { "name": "kong-internal" }, "spans": spans });
    let request = json!({ "resourceSpans": [{ "scopeSpans": [scope] }] });
    let spans = wire::json::to_proto(Signal::Traces, request.to_string().as_bytes()).unwrap();
    let own = has_own.then_some((Signal::Traces, spans));
    [(Signal::Logs, logs)].into_iter().chain(own).collect()
}

#[test]
fn it_is_learned_whether_kongs_own_spans_are_worth_waiting_for() {
    let told_after = |has_own: bool, seconds: u64| {
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, mut logs) = (open(folder.path()), Logs::default());
        for (signal, plain) in through_kong(0..120, has_own) {
            logs.append(signal, plain);
        }
        feed(&mut engine, &mut logs, 100);
        // Nothing is known yet: they wait for `hold`.
        engine.turn(later(4)).unwrap();
        assert_eq!(engine.counts().told, 0);
        engine.turn(later(5)).unwrap();
        let told = engine.counts().told;
        assert_eq!(told > 0, !has_own);
        for (signal, plain) in through_kong(120..121, false) {
            logs.append(signal, plain);
        }
        feed(&mut engine, &mut logs, 100);
        engine.turn(later(seconds)).unwrap();
        engine.counts().told > told
    };
    assert!(told_after(false, 6));
    assert!(!told_after(true, 29));
    assert!(told_after(true, 30));
}
