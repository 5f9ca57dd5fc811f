//! Log records that make no span: they are shown below the span that they are about.

use model::Signal;
use normalize::Shape;
use tidegate_stitch::derive::{Place, Ways, derive};
use tidegate_stitch::fact::Fact;
use tidegate_stitch::request::{Traces, requests, settle};

use crate::cases::WAYS;
use crate::engine::{Logs, feed, found, later, open};
use crate::stories::hex;
use crate::{normalized, records};

const WORKERS: &str = "cloudflare/workers_trace_events.ndjson";
const FIREWALL: &str = "cloudflare/firewall_events.ndjson";

#[test]
fn what_a_worker_wrote_is_below_its_run_whatever_caused_that() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    logs.append(Signal::Logs, normalized(WORKERS, Shape::Logpush));
    feed(&mut engine, &mut logs, 3);
    engine.turn(later(60)).unwrap();
    let facts = records(WORKERS, Shape::Logpush).facts;
    let (mut runs, mut lines) = (0, 0);
    for fact in &facts {
        let Fact::Worker(worker) = fact else { continue };
        // Of a run that no request caused only its own trace is known.
        let name = worker.ray.map_or_else(|| hex(&worker.trace), |ray| format!("{ray:016x}"));
        let all = found(&engine, &name);
        let [found] = all.as_slice() else { panic!("{name}: {all:?}") };
        assert!(found.rows.iter().all(|(_, _, span)| *span == worker.span), "{name}: {found:?}");
        lines += found.rows.len() - 1;
        runs += 1;
    }
    let told = facts.iter().filter(|fact| matches!(fact, Fact::Line(_))).count();
    assert_eq!((runs, lines), (20, told));
    assert!(told > 10);
}

#[test]
fn lines_that_come_before_their_run_and_twice_are_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    let frame = normalized(WORKERS, Shape::Logpush);
    for _ in 0..2 {
        logs.append(Signal::Logs, frame.clone());
    }
    feed(&mut engine, &mut logs, 1);
    engine.turn(later(60)).unwrap();
    let before = found(&engine, "75bda68e82fcf422");
    assert_eq!(before[0].rows.len(), 3, "{before:?}");
    assert!(before[0].rows.iter().all(|(row, ..)| row.offset == 1));
}

#[test]
fn a_decision_of_the_firewall_is_an_event_of_the_edges_span() {
    let mut facts = records("cloudflare/http_requests.ndjson", Shape::Logpush).facts;
    facts.extend(records(FIREWALL, Shape::Logpush).facts);
    settle(&mut facts);
    let mut events = 0;
    for request in requests(&facts) {
        let Some(made) = derive(&request, &Traces::new(), Ways { every_edge: true, ..WAYS }) else {
            continue;
        };
        for span in made.spans.iter().filter(|span| !span.events.is_empty()) {
            assert!(matches!(span.place, Place::Edge(_)), "{span:?}");
            events += span.events.len();
            assert!(span.events.iter().all(|(time, name, _)| *time > 0 && *name == "cloudflare.firewall"));
        }
    }
    assert_eq!(events, 4);
}

#[test]
fn the_event_tells_what_was_decided_and_by_which_rule() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, mut logs) = (open(folder.path()), Logs::default());
    // The firewall's record comes first, as it may.
    for name in [FIREWALL, "cloudflare/http_requests.ndjson"] {
        logs.append(Signal::Logs, normalized(name, Shape::Logpush));
        feed(&mut engine, &mut logs, 5);
        engine.turn(later(60)).unwrap();
    }
    let told = engine.outgoing(Signal::Traces, usize::MAX).unwrap();
    let mut seen = Vec::new();
    for batch in told {
        let batch = batch.batch(later(60));
        let ceiling = wire::coding::Ceiling::bytes(batch.plain_len as usize);
        let plain = wire::coding::inflate(batch.coding, &batch.body, ceiling).unwrap();
        wire::otlp::traces::each_span(&plain, |_, _, span| {
            for event in span.events() {
                let event = event?;
                let mut row = vec![event.name.to_owned()];
                for pair in event.attributes() {
                    let pair = pair?;
                    row.push(format!("{}={:?}", pair.key, pair.value));
                }
                seen.push(row.join(" "));
            }
            Ok(())
        })
        .unwrap();
    }
    let blocked = seen.iter().filter(|row| row.contains("cloudflare.security.action=Str(\"block\")"));
    assert_eq!((seen.len(), blocked.count()), (4, 2), "{seen:#?}");
    assert!(seen.iter().all(|row| row.contains("cloudflare.security.source=")), "{seen:#?}");
    assert!(seen.iter().all(|row| row.contains("cloudflare.security.rule_id=")), "{seen:#?}");
}
