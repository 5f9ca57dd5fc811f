//! Single requests, put together by hand.

use tidegate_stitch::derive::{Derived, Join, Made, Place, Ways, derive};
use tidegate_stitch::fact::{
    Context, Edge, Fact, Fetch, Kong, Look, Maker, Native, Rank, Seen, Span, Trace, Try, Worker,
};
use tidegate_stitch::request::{Traces, requests, settle};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const BEGIN: u64 = 1_772_438_400 * SECOND;
pub(crate) const T1: Trace = [0x11; 16];
pub(crate) const T2: Trace = [0x22; 16];
pub(crate) const P0: Span = [0xa0; 8];
pub(crate) const P1: Span = [0xa1; 8];

pub(crate) fn look(after_ms: u64, took_ms: u64) -> Look {
    let start = BEGIN + after_ms * 1_000_000;
    let (method, host, path) = ("GET".into(), "api.shop.example".into(), "/".into());
    Look { start, end: start + took_ms * 1_000_000, method, host, path, status: 200, attributes: Vec::new() }
}

pub(crate) fn context(trace: Trace, parent: Span) -> Option<Context> {
    Some(Context { trace, rank: Rank::W3c, parent: Some(parent), sampled: Some(true), beside: Vec::new() })
}

pub(crate) fn edge(ray: u64, context: Option<Context>) -> Fact {
    Fact::Edge(Edge {
        ray,
        look: look(0, 200),
        context,
        has_worker: true,
        from_cache: false,
        took: 0,
        first_byte: 0,
        origin: None,
        is_legacy: false,
    })
}

pub(crate) fn worker(ray: u64) -> Fact {
    Fact::Worker(Worker {
        ray: Some(ray),
        span: [ray as u8; 8],
        trace: [0xee; 16],
        script: "edge-router".into(),
        is_queue: false,
        failed: false,
        look: look(1, 190),
        context: None,
    })
}

pub(crate) fn fetch(ray: u64, parent: u64, after_ms: u64, context: Option<Context>) -> Fact {
    Fact::Fetch(Fetch { ray, parent: Some(parent), look: look(after_ms, 50), context })
}

pub(crate) fn kong(id: u128, ray: Option<u64>, after_ms: u64, context: Option<Context>) -> Kong {
    let one = Try {
        span: [id as u8 | 0x80; 8],
        start: look(after_ms + 2, 0).start,
        ip: "10.0.0.1".into(),
        port: 80,
        status: 200,
        failed: false,
    };
    Kong {
        key: id,
        id: Some(id),
        ray,
        span: [id as u8; 8],
        trace: [0xdd; 16],
        route: "r".into(),
        service: "s".into(),
        look: look(after_ms, 20),
        context,
        rewritten: false,
        grand_parent: None,
        answered: look(after_ms + 19, 0).start,
        tries: vec![one],
        due: 0,
    }
}

pub(crate) fn native(trace: Trace, span: Span, parent: Span, kong: Option<u128>, ray: Option<u64>) -> Native {
    let look = look(10, 10);
    Native {
        trace,
        span,
        parent,
        start: look.start,
        end: look.end,
        ray,
        kong,
        maker: Maker::Service,
        is_server: true,
        script: String::new(),
    }
}

pub(crate) const WAYS: Ways = Ways { now: u64::MAX, every_edge: false, fills_roots: false, shifts: false };

pub(crate) fn told_with(facts: &[Fact], traces: &Traces) -> Vec<Made> {
    let mut facts = facts.to_vec();
    settle(&mut facts);
    requests(&facts).iter().filter_map(|request| derive(request, traces, WAYS)).collect()
}

pub(crate) fn told(facts: &[Fact]) -> Vec<Made> {
    let traces = facts.iter().filter_map(|fact| match fact {
        Fact::Native(native) => Some((native.trace, native)),
        _ => None,
    });
    let mut seen = Traces::new();
    for (trace, native) in traces {
        let Native { span, parent, start, end, maker, .. } = *native;
        let one = Seen { span, parent, start, end, maker, is_client: false, host: String::new() };
        seen.entry(trace).or_default().push(one);
    }
    told_with(facts, &seen)
}

pub(crate) fn span(made: &[Made], place: Place) -> &Derived {
    let spans: Vec<&Derived> =
        made.iter().flat_map(|made| &made.spans).filter(|span| span.place == place).collect();
    let [only] = spans.as_slice() else { panic!("{place:?}: {spans:#?}") };
    only
}

pub(crate) fn parent(made: &[Made], place: Place) -> (Option<Span>, Join) {
    let parent = span(made, place).parent;
    (parent.span, parent.join)
}

#[test]
fn a_ray_that_only_headers_name_joins_nothing() {
    let ray = Some(7);
    let facts = [
        Fact::Kong(kong(1, ray, 10, context(T1, P0))),
        Fact::Kong(kong(2, ray, 11, context(T2, P0))),
        Fact::Native(native(T1, [1; 8], P0, None, ray)),
    ];
    let made = told(&facts);
    let mut ids: Vec<Trace> = made.iter().map(|made| made.identity.canonical).collect();
    ids.sort_unstable();
    assert_eq!(ids, [T1, T2]);
    assert!(made.iter().all(|made| made.identity.aliases.is_empty()));
}

#[test]
fn a_ray_that_was_copied_an_hour_later_is_not_believed() {
    let facts = [edge(7, context(T1, P0)), Fact::Kong(kong(1, Some(7), 3_600_000, context(T2, P1)))];
    let made = told(&facts);
    assert_eq!(made.len(), 2);
    assert_eq!(span(&made, Place::Kong([1; 8])).trace, T2);
    assert_eq!(span(&made, Place::Edge(7)).trace, T1);
}

#[test]
fn services_do_not_make_a_request_id_of_kongs_real() {
    let facts = [
        Fact::Native(native(T1, [1; 8], [0; 8], Some(5), None)),
        Fact::Native(native(T2, [2; 8], [0; 8], Some(5), None)),
    ];
    assert_eq!(told(&facts), []);
}

#[test]
fn a_service_that_names_kongs_request_and_a_forged_ray_belongs_to_kongs() {
    let facts = [
        edge(7, context(T1, P0)),
        Fact::Kong(kong(1, None, 10, None)),
        Fact::Native(native(T2, [3; 8], [0; 8], Some(1), Some(7))),
    ];
    let made = told(&facts);
    assert_eq!(span(&made, Place::Edge(7)).trace, T1);
    assert_eq!(span(&made, Place::Kong([1; 8])).trace, T2);
}

#[test]
fn a_request_id_of_kongs_that_was_copied_an_hour_later_is_not_believed() {
    let mut late = native(T2, [3; 8], [0; 8], Some(1), Some(7));
    (late.start, late.end) = (late.start + 3600 * SECOND, late.end + 3600 * SECOND);
    let facts = [edge(7, None), Fact::Kong(kong(1, Some(7), 10, None)), Fact::Native(late)];
    let made = told(&facts);
    assert!(made.iter().all(|made| made.identity.canonical != T2 && !made.identity.aliases.contains(&T2)));
    assert!(made.iter().flat_map(|made| &made.spans).all(|span| span.links.is_empty()));
}

#[test]
fn of_several_requests_of_a_worker_kongs_is_that_whose_header_it_was_sent() {
    let sent = [context(T1, P1), context(T1, [0xa2; 8])];
    let [first, second] = sent.clone();
    // Kong's clock is off by more than either took, so time tells nothing.
    let mut rewritten = kong(2, Some(7), 4000, context(T1, [0xe2; 8]));
    (rewritten.rewritten, rewritten.grand_parent) = (true, Some([0xa2; 8]));
    let facts = [
        edge(7, context(T1, P0)),
        worker(7),
        fetch(8, 7, 20, first.clone()),
        fetch(9, 7, 20, second),
        Fact::Kong(kong(1, Some(7), 4000, first)),
        Fact::Kong(rewritten),
    ];
    let made = told(&facts);
    assert_eq!(parent(&made, Place::Kong([1; 8])), (Some(P1), Join::Exact));
    assert_eq!(parent(&made, Place::Kong([2; 8])), (Some([0xa2; 8]), Join::Exact));

    // Without the visitor's record the requests have ids of their own, and Kong is found all the same.
    let made = told(&facts[1..]);
    let spans = [8, 9].map(|ray| Some(span(&made, Place::Fetch(ray)).span));
    assert_eq!(parent(&made, Place::Kong([1; 8])), (spans[0], Join::ById));
    assert_eq!(parent(&made, Place::Kong([2; 8])), (spans[1], Join::ById));
}

#[test]
fn what_may_be_the_visitors_span_is_nobody_elses() {
    // A page sends one span for all of its requests, the Worker sends it on, and the visitors' records are lost.
    let facts = [fetch(8, 7, 20, context(T1, P0)), fetch(9, 6, 20, context(T1, P0))];
    let made = told(&facts);
    assert_eq!(made.len(), 2);
    assert_ne!(span(&made, Place::Fetch(8)).span, span(&made, Place::Fetch(9)).span);
}

#[test]
fn requests_of_one_page_share_a_trace_and_nothing_else() {
    let facts = [
        edge(7, context(T1, P0)),
        edge(8, context(T1, P0)),
        Fact::Kong(kong(1, Some(7), 10, context(T1, P0))),
        Fact::Kong(kong(2, Some(8), 10, context(T1, P0))),
    ];
    let made = told(&facts);
    assert_eq!(made.len(), 2);
    let edges = [7, 8].map(|ray| span(&made, Place::Edge(ray)).span);
    assert_eq!(parent(&made, Place::Kong([1; 8])), (Some(edges[0]), Join::ById));
    assert_eq!(parent(&made, Place::Kong([2; 8])), (Some(edges[1]), Join::ById));
}

#[test]
fn of_several_requests_of_a_worker_with_one_header_the_first_has_its_id() {
    let sent = || context(T1, P1);
    let facts = [edge(7, context(T1, P0)), worker(7), fetch(8, 7, 20, sent()), fetch(9, 7, 90, sent())];
    let made = told(&facts);
    assert_eq!(span(&made, Place::Fetch(8)).span, P1);
    assert_ne!(span(&made, Place::Fetch(9)).span, P1);
    let mut ids: Vec<Span> = made[0].spans.iter().map(|span| span.span).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn of_several_requests_of_a_worker_kongs_is_that_in_which_it_lies() {
    let facts = [
        edge(7, None),
        worker(7),
        fetch(8, 7, 20, None),
        fetch(9, 7, 90, None),
        Fact::Kong(kong(1, Some(7), 30, None)),
        Fact::Kong(kong(2, Some(7), 100, None)),
        Fact::Kong(kong(3, Some(7), 160, None)),
    ];
    let made = told(&facts);
    assert_eq!(parent(&made, Place::Kong([1; 8])), (Some(span(&made, Place::Fetch(8)).span), Join::Guessed));
    assert_eq!(parent(&made, Place::Kong([2; 8])), (Some(span(&made, Place::Fetch(9)).span), Join::Guessed));
    assert_eq!(
        parent(&made, Place::Kong([3; 8])),
        (Some(span(&made, Place::Worker([7; 8])).span), Join::ById)
    );
}

#[test]
fn a_worker_that_another_worker_asked_hangs_below_what_it_was_asked_with() {
    let facts = [edge(7, None), worker(7), fetch(8, 7, 20, None), worker(8), fetch(9, 8, 30, None)];
    let made = told(&facts);
    assert_eq!(made.len(), 1);
    assert_eq!(parent(&made, Place::Worker([8; 8])).0, Some(span(&made, Place::Fetch(8)).span));
    assert_eq!(parent(&made, Place::Fetch(9)).0, Some([8; 8]));
}

#[test]
fn a_context_that_services_did_not_go_on_with_becomes_an_alias_and_a_link() {
    let facts = [
        edge(7, context(T1, P0)),
        fetch(8, 7, 20, None),
        Fact::Kong(kong(1, Some(8), 30, None)),
        Fact::Native(native(T2, [4; 8], [0; 8], Some(1), None)),
    ];
    let made = told(&facts);
    let [made] = made.as_slice() else { panic!("{made:#?}") };
    assert_eq!((made.identity.canonical, made.identity.aliases.as_slice()), (T2, &[T1][..]));
    let edge = made.spans.iter().find(|span| span.place == Place::Edge(7)).unwrap();
    assert_eq!((edge.parent.span, edge.links.as_slice()), (None, &[(T1, P0)][..]));
    let last = made.spans.iter().find(|span| matches!(span.place, Place::Try(_))).unwrap();
    assert_eq!(last.links, [(T2, [4; 8])]);
}

#[test]
fn a_span_that_the_worker_exports_is_not_made_again() {
    let facts = [
        edge(7, context(T1, P0)),
        worker(7),
        fetch(8, 7, 20, context(T1, P1)),
        Fact::Kong(kong(1, Some(8), 30, context(T1, P1))),
    ];
    let own = Seen {
        span: P1,
        parent: P0,
        start: 0,
        end: 0,
        maker: Maker::Service,
        is_client: true,
        host: String::new(),
    };
    let made = told_with(&facts, &Traces::from([(T1, vec![own])]));
    assert!(!made[0].spans.iter().any(|span| span.place == Place::Fetch(8)));
    assert_eq!(parent(&made, Place::Kong([1; 8])), (Some(P1), Join::Exact));
}

#[test]
fn kongs_own_spans_by_zipkin_are_known_by_the_id_in_the_header() {
    let mut one = kong(1, None, 30, context(T1, P1));
    one.rewritten = true;
    let seen = |span, parent, is_client| Seen {
        span,
        parent,
        start: 0,
        end: 0,
        maker: Maker::Kong,
        is_client,
        host: String::new(),
    };
    let traces = Traces::from([(T1, vec![seen([6; 8], P0, false), seen(P1, [6; 8], true)])]);
    let made = told_with(&[Fact::Kong(one)], &traces);
    assert_eq!(made[0].spans, []);
    assert_eq!(made[0].stand_ins, [(Place::Kong([1; 8]), (T1, [6; 8]))]);
}

#[test]
fn what_was_decided_against_has_no_spans_unless_it_failed() {
    let mut unsampled = context(T1, P0);
    unsampled.as_mut().unwrap().sampled = Some(false);
    let mut facts = [edge(7, unsampled), Fact::Kong(kong(1, Some(7), 10, context(T1, P0)))];
    assert_eq!(told(&facts)[0].spans, []);
    if let Fact::Kong(kong) = &mut facts[1] {
        kong.look.status = 502;
    }
    assert_eq!(told(&facts)[0].spans.len(), 3);
}

#[test]
fn a_request_through_kong_waits_until_it_is_due() {
    let mut one = kong(1, None, 30, context(T1, P1));
    one.due = 100;
    let facts = [Fact::Kong(one)];
    let at = |now| derive(&requests(&facts)[0], &Traces::new(), Ways { now, ..WAYS }).unwrap().spans.len();
    assert_eq!((at(99), at(100)), (0, 2));
}

#[test]
fn copies_are_one() {
    let facts = [
        edge(7, context(T1, P0)),
        worker(7),
        edge(7, context(T1, P0)),
        worker(7),
        Fact::Kong(kong(1, Some(7), 10, None)),
        Fact::Kong(kong(1, Some(7), 10, None)),
    ];
    let made = told(&facts);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].spans.len(), 4);
}

#[test]
fn of_several_workers_that_serve_a_request_only_that_which_exports_is_left_out() {
    let Fact::Worker(bound) = worker(7) else { panic!() };
    let bound = Worker { span: [0xb7; 8], script: "auth".into(), look: look(2, 100), ..bound };
    let exported = |script: &str| {
        let native = native(T1, [0x5a; 8], [0; 8], None, Some(7));
        Fact::Native(Native { maker: Maker::Worker, script: script.into(), ..native })
    };
    let both = [edge(7, context(T1, P0)), worker(7), Fact::Worker(bound.clone())];
    for (script, made_of) in [("auth", [7; 8]), ("edge-router", bound.span)] {
        let made = told(&[both.to_vec(), vec![exported(script)]].concat());
        let workers = made.iter().flat_map(|made| &made.spans);
        let workers: Vec<Place> =
            workers.map(|span| span.place).filter(|place| matches!(place, Place::Worker(_))).collect();
        assert_eq!(workers, [Place::Worker(made_of)], "{script}");
        // The record of the one that exports belongs to its own span.
        let own = made.iter().flat_map(|made| &made.stand_ins).collect::<Vec<_>>();
        let place = if script == "auth" { bound.span } else { [7; 8] };
        assert_eq!(own, [&(Place::Worker(place), (T1, [0x5a; 8]))], "{script}");
    }
    // One alone is known by its ray, whatever its spans are called.
    let made = told(&[edge(7, context(T1, P0)), worker(7), exported("renamed")]);
    assert!(made.iter().flat_map(|made| &made.spans).all(|span| !matches!(span.place, Place::Worker(_))));
}
