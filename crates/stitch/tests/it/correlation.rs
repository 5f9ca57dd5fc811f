//! The correlation report: how each hop of a request is joined, and the cause where it is not, on records put together by hand, on the samples, and
//! by the engine over restarts.

use tidegate_stitch::correlation::{Cause, Hop, Joined, Judgement, judge};
use tidegate_stitch::derive::derive;
use tidegate_stitch::fact::{Context, Edge, Fact, Fetch, Kong, Maker, Origin, Rank, Seen, Span, Trace};
use tidegate_stitch::request::{Traces, requests, settle};

use crate::cases::{P0, P1, T1, T2, WAYS, context, edge, fetch, kong, native, worker};
use crate::stories::{all, expected, hex};

/// What is said of every request in these facts.
fn judged(facts: &[Fact], traces: &Traces) -> Vec<Judgement> {
    let mut facts = facts.to_vec();
    settle(&mut facts);
    let requests = requests(&facts);
    let judge_one = |request| {
        let made = derive(request, traces, WAYS);
        judge(request, &requests, made.as_ref(), traces, WAYS.now)
    };
    requests.iter().filter_map(judge_one).collect()
}

type Said = (Hop, Joined, Option<Cause>);

/// The same in short.
fn said(facts: &[Fact], traces: &Traces) -> Vec<Said> {
    let all = judged(facts, traces);
    let mut said: Vec<Said> =
        all.iter().flat_map(|one| &one.verdicts).map(|v| (v.hop, v.joined, v.cause)).collect();
    said.sort_by_key(|said| said.0);
    said
}

/// What is said of a hop, where the request is one.
fn at(hop: Hop, facts: &[Fact], traces: &Traces) -> (Joined, Option<Cause>) {
    let said = said(facts, traces);
    let own: Vec<_> = said.iter().filter(|said| said.0 == hop).collect();
    let [(_, joined, cause)] = own.as_slice() else { panic!("{hop:?}: {said:?}") };
    (*joined, *cause)
}

fn seen(span: Span, parent: Span) -> Seen {
    let (start, end) = (crate::cases::look(35, 5).start, crate::cases::look(35, 5).end);
    Seen { span, parent, start, end, maker: Maker::Service, is_client: false, host: String::new() }
}

/// A service's span of this trace, below this parent.
fn service(trace: Trace, parent: Span) -> Traces {
    Traces::from([(trace, vec![seen([9; 8], parent)])])
}

fn changed<T>(fact: T, change: impl FnOnce(&mut T)) -> T {
    let mut fact = fact;
    change(&mut fact);
    fact
}

fn no_worker(ray: u64, context: Option<Context>) -> Fact {
    let Fact::Edge(edge) = edge(ray, context) else { unreachable!("it is an edge's") };
    let origin = Some(Origin { status: 200, took: 50_000_000 });
    Fact::Edge(Edge { has_worker: false, origin, ..edge })
}

fn with_rank(rank: Rank, trace: Trace, parent: Span) -> Option<Context> {
    context(trace, parent).map(|context| Context { rank, ..context })
}

use Cause::*;
use Hop::Service;
use Joined::{Alone, ById, Exact, Guessed};

#[test]
fn a_context_that_goes_all_the_way_is_exact_everywhere() {
    let facts = [
        edge(7, context(T1, P0)),
        worker(7),
        fetch(8, 7, 20, context(T1, P1)),
        Fact::Kong(kong(1, Some(8), 30, context(T1, P1))),
    ];
    let exact = Hop::ALL.map(|hop| (hop, Exact, None));
    assert_eq!(said(&facts, &service(T1, P1)), exact);
}

#[test]
fn custom_fields_are_missed_where_kong_got_a_header_that_the_edge_does_not_tell() {
    let facts = [no_worker(7, None), Fact::Kong(kong(1, Some(7), 30, context(T1, P0)))];
    let expected = (ById, Some(CustomFieldsNotLogged));
    assert_eq!(at(Hop::Edge, &facts, &Traces::new()), expected);
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), expected);
    // Of a Worker's request into another zone.
    let facts =
        [edge(7, context(T1, P0)), fetch(8, 7, 20, None), Fact::Kong(kong(1, Some(8), 30, context(T1, P1)))];
    assert_eq!(at(Hop::Worker, &facts, &Traces::new()), expected);
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), expected);
}

#[test]
fn a_worker_drops_what_the_visitor_sent() {
    for sent in [None, context(T2, P1)] {
        let facts =
            [edge(7, context(T1, P0)), fetch(8, 7, 20, sent.clone()), Fact::Kong(kong(1, Some(8), 30, sent))];
        for hop in [Hop::Edge, Hop::Worker] {
            assert_eq!(at(hop, &facts, &Traces::new()), (ById, Some(WorkerDropsTraceparent)), "{facts:?}");
        }
    }
    // Nothing came of its request itself.
    let facts = [edge(7, context(T1, P0)), worker(7), Fact::Kong(kong(1, Some(7), 30, None))];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (ById, Some(WorkerDropsTraceparent)));
    // It began a trace since none came: that is as it should be.
    let facts = [edge(7, None), fetch(8, 7, 20, context(T1, P1))];
    assert_eq!(at(Hop::Worker, &facts, &Traces::new()), (ById, None));
}

#[test]
fn kong_injects_another_notation_than_came_in() {
    let both = changed(kong(1, Some(7), 30, context(T1, P0)), |kong| {
        kong.context.as_mut().unwrap().beside = vec![T2];
    });
    let facts = [no_worker(7, context(T1, P0)), Fact::Kong(both)];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Exact, Some(KongHeaderTypeMixed)));
    // Services go on with what it injected.
    let facts_with = |native| [facts.to_vec(), vec![Fact::Native(native)]].concat();
    let facts = facts_with(native(T2, [4; 8], [0; 8], Some(1), None));
    assert_eq!(at(Service, &facts, &Traces::new()), (ById, Some(KongHeaderTypeMixed)));
    // In place of what came in.
    let other = changed(kong(1, Some(7), 30, with_rank(Rank::B3, T2, P1)), |kong| kong.rewritten = true);
    let facts = [no_worker(7, context(T1, P0)), Fact::Kong(other)];
    for hop in [Hop::Edge, Hop::Kong] {
        assert_eq!(at(hop, &facts, &Traces::new()), (ById, Some(KongHeaderTypeMixed)));
    }
}

#[test]
fn ids_are_cut_to_64_bits() {
    let mut cut = T1;
    cut[..8].fill(0);
    let facts =
        [no_worker(7, context(T1, P0)), Fact::Kong(kong(1, Some(7), 30, with_rank(Rank::B3, cut, P0)))];
    for hop in [Hop::Edge, Hop::Kong] {
        assert_eq!(at(hop, &facts, &Traces::new()), (ById, Some(ShortIds)));
    }
    let facts = [edge(7, context(T1, P0)), fetch(8, 7, 20, context(cut, P1))];
    assert_eq!(at(Hop::Worker, &facts, &Traces::new()), (ById, Some(ShortIds)));
    let facts = [
        Fact::Kong(kong(1, None, 30, context(T1, P1))),
        Fact::Native(native(cut, [4; 8], [0; 8], Some(1), None)),
    ];
    assert_eq!(at(Service, &facts, &Traces::new()), (ById, Some(ShortIds)));
}

#[test]
fn sampling_is_off() {
    let off = || context(T1, P0).map(|context| Context { sampled: Some(false), ..context });
    let facts = [edge(7, off()), fetch(8, 7, 20, off()), Fact::Kong(kong(1, Some(8), 30, off()))];
    let expected = [Hop::Edge, Hop::Worker, Hop::Kong].map(|hop| (hop, Alone, Some(SamplingOff)));
    assert_eq!(said(&facts, &Traces::new()), expected);
    // Kong's own decision is told to services alone.
    let own = changed(kong(1, Some(7), 30, off()), |kong| kong.rewritten = true);
    let facts = [no_worker(7, context(T1, P0)), Fact::Kong(own)];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Exact, None));
    assert_eq!(at(Service, &facts, &Traces::new()), (Alone, Some(SamplingOff)));
}

fn number(hop: Hop, facts: &[Fact]) -> i64 {
    let all = judged(facts, &Traces::new());
    let found = all.iter().flat_map(|one| &one.verdicts).find(|verdict| verdict.hop == hop).unwrap();
    assert_eq!(found.cause, Some(ClockOff), "{all:?}");
    found.number
}

#[test]
fn a_clock_is_off_by_so_much() {
    // Beyond belief: the two are two requests.
    let facts = [no_worker(7, context(T1, P0)), Fact::Kong(kong(1, Some(7), 400_000, context(T1, P0)))];
    for hop in [Hop::Edge, Hop::Kong] {
        assert_eq!(at(hop, &facts, &Traces::new()), (Alone, Some(ClockOff)));
        assert_eq!(number(hop, &facts), 400_000);
    }
    // They join, and their times do not fit: 20 ms in the middle of 50, two minutes ahead.
    let facts = [
        edge(7, context(T1, P0)),
        fetch(8, 7, 20, context(T1, P1)),
        Fact::Kong(kong(1, Some(8), 120_035, context(T1, P1))),
    ];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Exact, Some(ClockOff)));
    assert_eq!(number(Hop::Kong, &facts), 120_000);
    // It would have been told apart from others by its time.
    let other = |ray| {
        let Fact::Fetch(one) = fetch(ray, 7, 90, None) else { unreachable!("it is a fetch") };
        Fact::Fetch(changed(one, |fetch: &mut Fetch| fetch.look.path = "/other".into()))
    };
    let facts = [edge(7, None), fetch(8, 7, 20, None), other(9), Fact::Kong(kong(1, Some(7), 9_035, None))];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (ById, Some(ClockOff)));
    assert_eq!(number(Hop::Kong, &facts), 9_000);
    // A service's, beyond belief.
    let late = changed(native(T1, [4; 8], [0; 8], Some(1), None), |native| native.start += 600_000_000_000);
    let facts = [Fact::Kong(kong(1, None, 10, context(T1, P1))), Fact::Native(late)];
    let all = judged(&facts, &Traces::new());
    let service = all.iter().flat_map(|one| &one.verdicts).find(|verdict| verdict.cause == Some(ClockOff));
    let service = service.map(|verdict| (verdict.hop, verdict.joined, verdict.number));
    assert_eq!(service, Some((Service, Alone, 600_000)));
    // A little is nothing.
    let facts = [
        edge(7, context(T1, P0)),
        fetch(8, 7, 20, context(T1, P1)),
        Fact::Kong(kong(1, Some(8), 500, context(T1, P1))),
    ];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Exact, None));
}

#[test]
fn a_service_captures_no_headers() {
    let facts = |context| [no_worker(7, None), Fact::Kong(kong(1, Some(7), 30, context))];
    for sent in [None, with_rank(Rank::Custom, T1, P0)] {
        assert_eq!(at(Service, &facts(sent), &Traces::new()), (Alone, Some(HeadersNotCaptured)));
    }
}

#[test]
fn nobody_began_a_trace() {
    let facts = [
        edge(7, None),
        fetch(8, 7, 20, None),
        Fact::Kong(kong(1, Some(8), 30, None)),
        Fact::Native(native(T2, [4; 8], [0; 8], Some(1), None)),
    ];
    for hop in [Hop::Worker, Hop::Kong, Service] {
        assert_eq!(at(hop, &facts, &Traces::new()), (ById, Some(NoContext)), "{hop:?}");
    }
    assert_eq!(at(Hop::Edge, &facts, &Traces::new()), (ById, None));
}

#[test]
fn what_was_sent_to_kong_was_lost_on_the_way() {
    let facts =
        [edge(7, context(T1, P0)), fetch(8, 7, 20, context(T1, P1)), Fact::Kong(kong(1, Some(8), 30, None))];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (ById, Some(ContextLost)));
    assert_eq!(at(Hop::Worker, &facts, &Traces::new()), (Exact, None));
}

#[test]
fn kong_names_the_ray_that_several_requests_share() {
    let both = [edge(7, None), fetch(8, 7, 20, None), fetch(9, 7, 90, None)];
    let with = |after| [both.to_vec(), vec![Fact::Kong(kong(1, Some(7), after, None))]].concat();
    assert_eq!(at(Hop::Kong, &with(30), &Traces::new()), (Guessed, Some(SeveralRequests)));
    // Its headers tell which it is.
    let sent = |trace, parent| context(trace, parent);
    let facts = [
        edge(7, None),
        fetch(8, 7, 20, sent(T1, P0)),
        fetch(9, 7, 21, sent(T1, P1)),
        Fact::Kong(kong(1, Some(7), 30, sent(T1, P1))),
    ];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Exact, None));
    // In the time of neither.
    assert_eq!(at(Hop::Kong, &with(160), &Traces::new()), (ById, Some(SeveralRequests)));
}

#[test]
fn cloudflares_own_records_are_missing() {
    let facts = [Fact::Kong(kong(1, Some(7), 30, context(T1, P0)))];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Alone, Some(EdgeSilent)));
    for facts in [[worker(7)], [fetch(8, 7, 20, context(T1, P1))]] {
        assert_eq!(at(Hop::Worker, &facts, &Traces::new()), (Alone, Some(EdgeSilent)));
    }
    let facts = [Fact::Native(native(T1, [4; 8], [0; 8], None, Some(7)))];
    assert_eq!(at(Service, &facts, &Traces::new()), (Alone, Some(EdgeSilent)));
}

#[test]
fn kongs_own_record_is_missing() {
    let one = |span| Fact::Native(native(T1, [span; 8], [0; 8], Some(1), Some(7)));
    // Spans of one trace are one request.
    assert_eq!(said(&[one(4), one(5)], &Traces::new()), [(Service, Alone, Some(KongSilent))]);
}

#[test]
fn nothing_came_of_what_the_edge_asked() {
    for facts in [[edge(7, None)], [no_worker(7, context(T1, P0))]] {
        assert_eq!(said(&facts, &Traces::new()), [(Hop::Edge, Alone, Some(NothingBehind))]);
    }
    // It asked nobody.
    let Fact::Edge(one) = no_worker(7, None) else { unreachable!("it is an edge's") };
    for one in [Edge { from_cache: true, ..one.clone() }, Edge { origin: None, ..one }] {
        assert_eq!(said(&[Fact::Edge(one)], &Traces::new()), []);
    }
}

#[test]
fn a_request_to_kong_does_not_say_where_it_came_from() {
    let facts = [Fact::Kong(kong(1, None, 30, None))];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Alone, Some(Unnamed)));
    // Its caller does.
    let facts = [Fact::Kong(kong(1, None, 30, context(T1, P1)))];
    assert_eq!(at(Hop::Kong, &facts, &Traces::new()), (Exact, None));
}

#[test]
fn a_service_ignores_the_context_that_it_was_sent() {
    let facts = [
        Fact::Kong(kong(1, None, 30, context(T1, P1))),
        Fact::Native(native(T2, [4; 8], [0; 8], Some(1), None)),
    ];
    assert_eq!(at(Service, &facts, &Traces::new()), (ById, Some(ServiceIgnoresContext)));
}

#[test]
fn a_service_tells_nothing() {
    let facts = [Fact::Kong(kong(1, None, 30, context(T1, P1)))];
    assert_eq!(at(Service, &facts, &Traces::new()), (Alone, Some(ServiceSilent)));
    // It was not reached.
    let unreached: [fn(&mut Kong); 2] = [|kong| kong.tries.clear(), |kong| kong.tries[0].failed = true];
    for change in unreached {
        let one = changed(kong(1, None, 30, context(T1, P1)), change);
        assert_eq!(said(&[Fact::Kong(one)], &Traces::new()), [(Hop::Kong, Exact, None)]);
    }
}

#[test]
fn a_span_between_kong_and_the_service_is_missing() {
    let facts = [Fact::Kong(kong(1, None, 30, context(T1, P1)))];
    assert_eq!(at(Service, &facts, &service(T1, [5; 8])), (Guessed, Some(SpanMissing)));
    assert_eq!(at(Service, &facts, &service(T1, P1)), (Exact, None));
}

#[test]
fn requests_are_counted_by_kongs_route_or_by_where_they_went() {
    let route = |facts: &[Fact]| judged(facts, &Traces::new())[0].route.clone();
    let Fact::Edge(one) = edge(7, None) else { unreachable!("it is an edge's") };
    let one = changed(one, |edge: &mut Edge| edge.look.path = "/function/checkout?x=1".into());
    assert_eq!(route(&[Fact::Edge(one.clone())]), "api.shop.example/function");
    assert_eq!(route(&[Fact::Edge(one.clone()), Fact::Kong(kong(1, Some(7), 30, None))]), "r");
    let unmatched = changed(kong(1, Some(7), 30, None), |kong| kong.route.clear());
    assert_eq!(route(&[Fact::Edge(one.clone()), Fact::Kong(unmatched)]), "api.shop.example/");
    let long = changed(one, |edge: &mut Edge| edge.look.host = "é".repeat(400));
    assert!(route(&[Fact::Edge(long)]).len() <= 100);
}

#[test]
fn a_request_through_kong_is_judged_when_it_is_due() {
    let mut one = kong(1, None, 30, context(T1, P1));
    one.due = 100;
    let facts = [Fact::Kong(one)];
    let requests = requests(&facts);
    let at = |now| judge(&requests[0], &requests, None, &Traces::new(), now);
    assert_eq!(at(99), None);
    let made = derive(&requests[0], &Traces::new(), WAYS);
    assert!(judge(&requests[0], &requests, made.as_ref(), &Traces::new(), 100).is_some());
}

#[test]
fn the_stories_are_judged_as_they_are_told() {
    let (mut facts, mut traces) = (Vec::new(), Traces::new());
    for input in all() {
        facts.extend(input.facts);
        for (trace, seen) in input.traces {
            traces.entry(trace).or_default().extend(seen);
        }
    }
    let judged = judged(&facts, &traces);
    let expected = expected();
    let of = |name: &str| {
        let id = expected["traces"][name]["trace_id"].as_str().unwrap();
        judged.iter().find(|one| hex(&one.trace) == id).unwrap()
    };
    let exact = [(Exact, None); 4];
    let mixed = [(Exact, None), (Exact, None), (Exact, Some(KongHeaderTypeMixed)), (Exact, None)];
    let off = [(Exact, None), (Exact, None), (Exact, Some(ClockOff)), (Exact, None)];
    let none = Some(NoContext);
    // Nobody sent a context; of the last one only a header of its own, which tracing libraries do not read.
    let without = [(ById, None), (ById, none), (ById, none), (ById, none)];
    let custom = [(ById, None), (ById, None), (ById, none), (ById, none)];
    for (name, route, verdicts) in [
        ("t01", "fn-checkout", exact),
        ("t02", "fn-catalog", exact),
        ("t03", "fn-checkout", without),
        ("t04", "fn-catalog", exact),
        ("t05", "fn-payment", exact),
        ("t06", "fn-inventory", off),
        ("t07", "fn-payment", exact),
        ("t08", "fn-checkout", exact),
        ("t09", "fn-recommend", mixed),
        ("t10", "fn-my-function", custom),
    ] {
        let one = of(name);
        let said: Vec<Said> = one.verdicts.iter().map(|v| (v.hop, v.joined, v.cause)).collect();
        let expected: Vec<Said> =
            Hop::ALL.into_iter().zip(verdicts).map(|(hop, (joined, cause))| (hop, joined, cause)).collect();
        assert_eq!((one.route.as_str(), said), (route, expected), "{name}");
    }
}
