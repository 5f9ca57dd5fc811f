//! One ray that very many requests forge: each of them stays with what its own request id of Kong's names.

use model::Signal;
use normalize::Shape;
use serde_json::{Value, json};
use testkit::sample::sample;
use tidegate_stitch::engine::Engine;

use crate::engine::{Logs, feed, feed_one, give, later, open, told};
use crate::taken;

/// More than one cluster has room for.
const MANY: u128 = 400;
/// Every this many of them was given to a service, so that there is room left for spans when there is none for Kong's records.
const TRACED: u128 = 2;

/// The trace of what a service sent.
fn trace(number: u128) -> u128 {
    0xabc0_0000 + number
}

fn record(number: u128) -> Value {
    let mut record: Value = serde_json::from_slice(&sample("kong/http-log-3x-single.json")).unwrap();
    record["request"]["id"] = format!("{number:032x}").into();
    record["request"]["headers"]["cf-ray"] = "0000000000000001-HAN".into();
    record["request"]["headers"]["traceparent"] = Value::Null;
    record
}

/// A service's root, which read no context and captured both headers.
fn span(number: u128) -> Value {
    let captured = |name: &str, value: String| {
        let values = json!({ "arrayValue": { "values": [{ "stringValue": value }] } });
        json!({ "key": format!("http.request.header.{name}"), "value": values })
    };
    json!({
        "traceId": format!("{:032x}", trace(number)),
        "spanId": format!("{:016x}", 0x51 + number),
        "name": "POST /function/{name}",
        "kind": 2,
        "startTimeUnixNano": "1772438400146000000",
        "endTimeUnixNano": "1772438400280000000",
        "attributes": [
            captured("x-kong-request-id", format!("{number:032x}")),
            captured("cf-ray", "0000000000000001-HAN".to_owned()),
        ],
    })
}

/// Sends the records in pieces of `size`, before the spans of the same requests or after them.
fn check(size: u128, spans_first: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    let mut first = 1;
    while first <= MANY {
        let numbers = first..(first + size).min(MANY + 1);
        first += size;
        let records: Vec<Value> = numbers.clone().map(record).collect();
        let records = serde_json::to_vec(&records).unwrap();
        logs.append(Signal::Logs, taken("forged", records, Shape::Kong));
        let spans: Vec<Value> = numbers.filter(|number| number % TRACED == 0).map(span).collect();
        let spans = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string();
        logs.append(Signal::Traces, wire::json::to_proto(Signal::Traces, spans.as_bytes()).unwrap());
        let signals = [Signal::Logs, Signal::Traces];
        let order = if spans_first { [signals[1], signals[0]] } else { signals };
        order.into_iter().for_each(|signal| feed_one(&mut engine, &mut logs, signal, 50));
    }
    engine.turn(later(60)).unwrap();
    give(&mut engine, &mut logs, true);
    let told = told(&logs);
    for number in (1..=MANY).filter(|number| number % TRACED == 0) {
        let of = told.get(&format!("{:032x}", trace(number)));
        assert_eq!(of.map_or(0, std::collections::BTreeMap::len), 2, "{number} of {size}, {spans_first}");
    }
    assert!(engine.counts().crowded > 0, "there was room for all");
}

#[test]
fn kongs_record_and_the_spans_that_name_it_stay_together_though_very_many_share_a_ray() {
    for size in [1, 20, MANY] {
        check(size, false);
        check(size, true);
    }
}

/// A request through Kong that its Zipkin plugin tells of itself.
fn traced(number: u128) -> Value {
    let mut record = record(number);
    record["request"]["headers"]["traceparent"] =
        format!("00-{:032x}-{number:016x}-01", trace(number)).into();
    record["trace_id"] = json!({ "w3c": format!("{:032x}", trace(number)) });
    record
}

fn zipkin(number: u128) -> [Value; 2] {
    let span = |id: u128, parent: u128, kind: u8| {
        json!({
            "traceId": format!("{:032x}", trace(number)),
            "spanId": format!("{id:016x}"),
            "parentSpanId": format!("{parent:016x}"),
            "name": "post",
            "kind": kind,
            "startTimeUnixNano": "1772438400143000000",
            "endTimeUnixNano": "1772438400280000000",
        })
    };
    [span(number | 1 << 32, 0xe1, 2), span(number, number | 1 << 32, 3)]
}

#[test]
fn kongs_own_spans_take_the_place_of_what_was_told_though_very_many_share_a_ray() {
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, mut logs) = (open(folder.path()), Logs::default());
        let mut coming: Vec<(Signal, u128, bool)> = (1..=MANY)
            .flat_map(|number| {
                [
                    (Signal::Logs, number, false),
                    (Signal::Traces, number, false),
                    (Signal::Traces, number, true),
                ]
            })
            .collect();
        // Some come twice.
        coming.extend_from_within(..MANY as usize);
        if round > 0 {
            random.shuffle(&mut coming);
        }
        let mut seconds = 0;
        for some in coming.chunks(60) {
            let of = |signal: Signal| some.iter().filter(move |(of, ..)| *of == signal);
            let records: Vec<Value> = of(Signal::Logs).map(|(_, number, _)| traced(*number)).collect();
            let spans = of(Signal::Traces).flat_map(|(_, number, is_kongs)| match is_kongs {
                true => zipkin(*number).map(|span| ("kong", span)).to_vec(),
                false => vec![("service", span(*number))],
            });
            let spans: Vec<Value> = spans
                .map(|(service, span)| {
                    let name = json!({ "key": "service.name", "value": { "stringValue": service } });
                    json!({ "resource": { "attributes": [name] }, "scopeSpans": [{ "spans": [span] }] })
                })
                .collect();
            if !records.is_empty() {
                let records = serde_json::to_vec(&records).unwrap();
                logs.append(Signal::Logs, taken("forged", records, Shape::Kong));
            }
            let spans = json!({ "resourceSpans": spans }).to_string();
            logs.append(Signal::Traces, wire::json::to_proto(Signal::Traces, spans.as_bytes()).unwrap());
            feed(&mut engine, &mut logs, 50);
            seconds += random.u64(..8);
            if random.bool() {
                engine.turn(later(seconds)).unwrap();
                give(&mut engine, &mut logs, true);
            }
        }
        engine.turn(later(3600)).unwrap();
        give(&mut engine, &mut logs, true);
        let told = told(&logs);
        assert_eq!(
            told.values().map(std::collections::BTreeMap::len).sum::<usize>(),
            0,
            "{round}: {told:#?}"
        );
    }
}

#[test]
fn what_was_received_is_known_for_as_long_as_anything_of_the_same_ray_keeps_coming() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    let spans = zipkin(1).map(|span| {
        let name = json!({ "key": "service.name", "value": { "stringValue": "kong" } });
        json!({ "resource": { "attributes": [name] }, "scopeSpans": [{ "spans": [span] }] })
    });
    let spans = json!({ "resourceSpans": spans }).to_string();
    logs.append(Signal::Traces, wire::json::to_proto(Signal::Traces, spans.as_bytes()).unwrap());
    // One each twenty-five minutes, over more than two hours.
    for number in 1..=6 {
        let record = serde_json::to_vec(&[traced(number)]).unwrap();
        logs.append(Signal::Logs, taken("forged", record, Shape::Kong));
        feed(&mut engine, &mut logs, 50);
        engine.turn(later(1500 * number as u64)).unwrap();
        give(&mut engine, &mut logs, true);
        let told = told(&logs);
        assert_eq!(told.get(&format!("{:032x}", trace(1))), None, "after {number}");
        assert_eq!(told.len() as u128, number - 1, "after {number}");
        // Nothing is in memory.
        drop(engine);
        engine = open(folder.path());
    }
}

/// The record of the visitor whose ray it is comes: it is told with the request through Kong that it led to.
fn check_visitor(engine: &mut Engine, logs: &mut Logs, seconds: u64) {
    let edge = json!({
        "ClientRequestHost": "api.shop.example",
        "ClientRequestMethod": "POST",
        "ClientRequestSource": "eyeball",
        "EdgeEndTimestamp": 1_772_438_400_307_000_400_u64,
        "EdgeStartTimestamp": 1_772_438_400_123_000_200_u64,
        "EdgeResponseStatus": 200,
        "RayID": "0000000000000001",
    });
    logs.append(Signal::Logs, taken("edge", edge.to_string().into_bytes(), Shape::Logpush));
    feed(engine, logs, 50);
    engine.turn(later(seconds)).unwrap();
    give(engine, logs, true);
    let told = told(logs);
    let services = |spans: &std::collections::BTreeMap<String, Value>| {
        let mut services: Vec<String> = spans.values().map(|span| span["service"].to_string()).collect();
        services.sort_unstable();
        services
    };
    let with_edge: Vec<Vec<String>> =
        told.values().map(services).filter(|services| services[0].contains("edge")).collect();
    assert_eq!(with_edge, [["\"cloudflare-edge\"", "\"kong\"", "\"kong\""]]);
}

/// Requests that share a ray, all but the first an hour before the visitor whose it is.
fn forged() -> Vec<Value> {
    let early = (1..=MANY).map(|number| {
        let mut record = record(number);
        if number > 1 {
            // An hour before the visitor whose ray it is.
            record["started_at"] = 1_772_434_800_143_u64.into();
        }
        record
    });
    early.collect()
}

#[test]
fn a_ray_leads_to_its_own_request_though_those_that_forged_it_live_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    logs.append(Signal::Logs, taken("forged", serde_json::to_vec(&forged()).unwrap(), Shape::Kong));
    feed(&mut engine, &mut logs, 50);
    engine.turn(later(60)).unwrap();
    drop(engine);

    // An hour later, something more of one that there was no room for.
    let mut engine = open(folder.path());
    let spans = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span(MANY)] }] }] }).to_string();
    logs.append(Signal::Traces, wire::json::to_proto(Signal::Traces, spans.as_bytes()).unwrap());
    feed(&mut engine, &mut logs, 50);
    engine.turn(later(3700)).unwrap();
    drop(engine);

    let mut engine = open(folder.path());
    check_visitor(&mut engine, &mut logs, 3710);
}

#[test]
fn a_ray_leads_to_its_own_request_though_one_that_forged_it_joins_another() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    let mut other = record(MANY + 1);
    other["request"]["headers"]["cf-ray"] = "0000000000000002-HAN".into();
    let records = [vec![other], forged()].concat();
    logs.append(Signal::Logs, taken("forged", serde_json::to_vec(&records).unwrap(), Shape::Kong));
    feed(&mut engine, &mut logs, 50);
    // A span names one that there was no room for, and the ray of another.
    let mut span = span(MANY);
    span["attributes"][1]["value"]["arrayValue"]["values"][0]["stringValue"] = "0000000000000002-HAN".into();
    let spans = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] }).to_string();
    logs.append(Signal::Traces, wire::json::to_proto(Signal::Traces, spans.as_bytes()).unwrap());
    feed(&mut engine, &mut logs, 50);
    engine.turn(later(60)).unwrap();
    check_visitor(&mut engine, &mut logs, 70);
}
