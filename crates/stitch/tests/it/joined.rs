//! Log records of Cloudflare and Kong, told once under the trace and the span that they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use model::Signal;
use normalize::{Shape, is_edge_log};
use serde_json::Value;
use testkit::sample::sample;
use tidegate_stitch::engine::{Engine, Options};
use wire::otlp::AnyValue;
use wire::otlp::logs::{LogRecord, each_record};

use crate::engine::{Logs, feed, found, give, inputs, later};
use crate::stories::hex;
use crate::{NOW, normalized, taken};

const SINGLE: &str = "kong/http-log-3x-single.json";

fn open_since(folder: &Path, since: u64) -> Engine {
    Engine::open(folder, Options { joined: Some(since), ..Options::default() }).unwrap()
}

/// A record, by what is its own.
type Own = (String, u64, u64, String, String);

fn text(record: &LogRecord<'_>, name: &str) -> String {
    let found = record.attributes().map(|pair| pair.unwrap()).find(|pair| pair.key == name);
    match found.map(|pair| pair.value) {
        Some(AnyValue::Str(text)) => text.to_owned(),
        _ => String::new(),
    }
}

fn own(record: &LogRecord<'_>) -> Own {
    let body = format!("{:?}", record.body);
    (record.event_name.to_owned(), record.time, record.observed, body, text(record, "tidegate.key"))
}

/// A record's ids: trace, span, and the trace under which it was received where that is another.
type Ids = (String, String, String);

fn each<'a>(frames: impl Iterator<Item = &'a [u8]>) -> Vec<(Own, Ids, String)> {
    let mut all = Vec::new();
    for plain in frames {
        each_record(plain, |resource, _, record| {
            let service = resource.resource.attributes().map(|pair| pair.unwrap());
            let service = service.map(|pair| format!("{:?}", pair.value)).collect();
            let ids =
                (hex(record.trace_id), hex(record.span_id), text(&record, "tidegate.trace_id.received"));
            all.push((own(&record), ids, service));
            Ok(())
        })
        .unwrap();
    }
    all
}

/// Everything that is to be told of the inputs: each record once, with the attributes of its resource.
fn wanted() -> BTreeSet<(Own, String)> {
    let inputs = inputs();
    let logs = inputs.iter().filter(|(signal, _)| *signal == Signal::Logs).map(|(_, plain)| plain.as_slice());
    let edge_logs = each(logs).into_iter().filter(|(own, ..)| is_edge_log(&own.0));
    edge_logs.map(|(own, _, service)| (own, service)).collect()
}

fn told(logs: &Logs) -> BTreeSet<(Own, String)> {
    let all = each(logs.derived(Signal::Logs));
    let count = all.len();
    let told: BTreeSet<_> = all.into_iter().map(|(own, _, service)| (own, service)).collect();
    assert_eq!(told.len(), count, "a record was told twice");
    told
}

#[test]
fn every_record_is_told_once_with_the_ids_that_a_look_up_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open_since(folder.path(), 0), Logs::default());
    for (signal, plain) in inputs() {
        logs.append(signal, plain);
    }
    feed(&mut engine, &mut logs, 7);
    engine.turn(later(60)).unwrap();
    // Where each record lies, and what a look-up says of it.
    let mut shown: BTreeMap<Own, BTreeSet<Ids>> = BTreeMap::new();
    for (at, (_, plain)) in inputs().iter().filter(|(signal, _)| *signal == Signal::Logs).enumerate() {
        let mut index = 0;
        each_record(plain, |_, _, record| {
            let here = (at as u64 + 1, index);
            index += 1;
            let received = hex(record.trace_id);
            let mut names = vec![text(&record, "cloudflare.ray_id"), text(&record, "kong.request_id")];
            names.push(received.clone());
            let rows = names.iter().filter(|name| !name.is_empty()).flat_map(|name| found(&engine, name));
            let rows: Vec<_> = rows.flat_map(|found| found.rows).collect();
            for (row, trace, span) in rows.iter().filter(|(row, ..)| (row.offset, row.index) == here) {
                let span = if *span == [0; 8] { hex(record.span_id) } else { hex(span) };
                let is_other = !received.is_empty() && received != hex(trace);
                let ids = (hex(trace), span, if is_other { received.clone() } else { String::new() });
                assert_eq!(row.offset, here.0);
                shown.entry(own(&record)).or_default().insert(ids);
            }
            Ok(())
        })
        .unwrap();
    }
    give(&mut engine, &mut logs, true);
    assert_eq!(told(&logs), wanted());
    let mut joined = 0;
    for (own, ids, _) in each(logs.derived(Signal::Logs)) {
        let Some(known) = shown.get(&own) else { continue };
        assert!(known.contains(&ids), "{own:?}: {ids:?}, where a look-up shows {known:?}");
        joined += usize::from(!ids.1.is_empty());
    }
    assert!(joined > 60, "{joined}");

    // They come again: nothing of them is told.
    let before = logs.derived(Signal::Logs).count();
    for (signal, plain) in inputs() {
        logs.append(signal, plain);
    }
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(120)).unwrap();
    give(&mut engine, &mut logs, true);
    let more = each(logs.derived(Signal::Logs).skip(before));
    let known = |own: &Own| shown.contains_key(own);
    assert!(!more.iter().any(|(own, ..)| known(own)), "{more:#?}");
}

#[test]
fn each_is_told_once_in_any_order_wherever_it_is_killed() {
    let wanted = wanted();
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, mut logs) = (open_since(folder.path(), 0), Logs::default());
        let mut inputs = inputs();
        random.shuffle(&mut inputs);
        let mut now = NOW;
        for (signal, plain) in inputs {
            logs.append(signal, plain);
            if random.u8(..2) == 0 {
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
            if random.u8(..4) == 0 {
                drop(engine);
                engine = open_since(folder.path(), 0);
            }
        }
        feed(&mut engine, &mut logs, 5);
        engine.turn(later(60)).unwrap();
        give(&mut engine, &mut logs, true);
        assert_eq!(told(&logs), wanted, "seed {seed}");
        assert_eq!(engine.settled(Signal::Logs), engine.reached(Signal::Logs));
        for (own, (trace, span, _), _) in each(logs.derived(Signal::Logs)) {
            // What was told before the rest of its request came is found all the same.
            let is_found = |name: &str| found(&engine, name).iter().any(|found| !found.rows.is_empty());
            assert!(span.is_empty() || is_found(&trace), "seed {seed}: {own:?}");
        }
    }
}

#[test]
fn a_record_of_kongs_waits_for_its_span_and_is_not_given_up_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open_since(folder.path(), 2), Logs::default());
    // What came before anybody asked is not told.
    logs.append(Signal::Logs, normalized("kong/http-log-3x-batch-1.json", Shape::Kong));
    logs.append(Signal::Logs, normalized(SINGLE, Shape::Kong));
    feed(&mut engine, &mut logs, 100);
    engine.turn(NOW).unwrap();
    give(&mut engine, &mut logs, true);
    assert_eq!(logs.derived(Signal::Logs).count(), 0);
    assert_eq!(engine.reached(Signal::Logs).offset, 3);
    assert_eq!(engine.settled(Signal::Logs).offset, 2);
    drop(engine);

    let mut engine = open_since(folder.path(), 2);
    assert_eq!(engine.settled(Signal::Logs).offset, 2);
    engine.turn(later(4)).unwrap();
    give(&mut engine, &mut logs, true);
    assert_eq!(logs.derived(Signal::Logs).count(), 0);
    engine.turn(later(5)).unwrap();
    assert_eq!(engine.settled(Signal::Logs).offset, 3);
    give(&mut engine, &mut logs, true);
    let all = each(logs.derived(Signal::Logs));
    let [(own, (trace, span, _), _)] = all.as_slice() else { panic!("{all:#?}") };
    assert_eq!(own.0, "kong.http_log");
    assert!(found(&engine, trace).iter().any(|found| found.rows.iter().any(|(_, _, of)| hex(of) == *span)));
    drop(engine);

    // It is told once, also after another restart.
    let mut engine = open_since(folder.path(), 2);
    engine.turn(later(60)).unwrap();
    give(&mut engine, &mut logs, true);
    assert_eq!(logs.derived(Signal::Logs).count(), 1);
}

#[test]
fn a_record_that_says_that_it_was_observed_in_a_hundred_years_waits_no_longer_than_others() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open_since(folder.path(), 0), Logs::default());
    let mut plain = normalized(SINGLE, Shape::Kong);
    let observed = [&[11 << 3 | 1], &NOW.0.to_le_bytes()[..]].concat();
    let at = plain.windows(observed.len()).position(|bytes| bytes == observed).unwrap();
    plain[at + 1..at + observed.len()].copy_from_slice(&(u64::MAX - 1).to_le_bytes());
    logs.append(Signal::Logs, plain);
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(5)).unwrap();
    give(&mut engine, &mut logs, true);
    assert_eq!(each(logs.derived(Signal::Logs)).len(), 1);
    assert_eq!(engine.settled(Signal::Logs).offset, 2);
}

#[test]
fn a_record_under_another_trace_says_under_which_it_was_received() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open_since(folder.path(), 0), Logs::default());
    let mut record: Value = serde_json::from_slice(&sample(SINGLE)).unwrap();
    let other = "0af7651916cd43dd8448eb211c80319c";
    record["request"]["headers"]["traceparent"] = format!("00-{other}-b7ad6b7169203331-01").into();
    let record = serde_json::to_vec(&record).unwrap();
    logs.append(Signal::Logs, taken("another trace", record, Shape::Kong));
    // The edge knows better.
    logs.append(Signal::Logs, normalized("cloudflare/http_requests.ndjson", Shape::Logpush));
    feed(&mut engine, &mut logs, 100);
    engine.turn(later(60)).unwrap();
    give(&mut engine, &mut logs, true);
    let all = each(logs.derived(Signal::Logs));
    let kong: Vec<_> = all.iter().filter(|(own, ..)| own.0 == "kong.http_log").collect();
    let [(_, (trace, span, received), _)] = kong.as_slice() else { panic!("{kong:#?}") };
    assert_eq!((trace.as_str(), received.as_str()), ("d256002ba4ab731c6203a1b59639b7ea", other));
    assert!(
        found(&engine, other)[0]
            .rows
            .iter()
            .any(|(_, of, own)| (hex(of), hex(own)) == (trace.clone(), span.clone()))
    );
    let renamed = all.iter().filter(|(_, (.., received), _)| !received.is_empty()).count();
    assert_eq!(renamed, 1);
}

#[test]
fn nothing_is_told_while_the_journal_takes_nothing_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let open = |waiting| {
        let options = Options { joined: Some(0), waiting, ..Options::default() };
        Engine::open(folder.path(), options).unwrap()
    };
    let (mut engine, mut logs) = (open(0), Logs::default());
    for (signal, plain) in inputs() {
        logs.append(signal, plain);
    }
    feed(&mut engine, &mut logs, 9);
    for seconds in [1, 60] {
        engine.turn(later(seconds)).unwrap();
        give(&mut engine, &mut logs, true);
        assert_eq!(logs.derived(Signal::Logs).count(), 0);
    }
    drop(engine);
    let mut engine = open(1 << 20);
    engine.turn(later(61)).unwrap();
    give(&mut engine, &mut logs, true);
    assert_eq!(told(&logs), wanted());
}
