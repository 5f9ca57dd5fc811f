//! What else tells of requests: Zipkin spans of Kong's, Cloudflare's own spans, two jobs, the legacy record.

use tidegate_stitch::derive::{Join, Place};
use tidegate_stitch::fact::{Edge, Fact, Kong, Maker, Native, Seen, Span};
use tidegate_stitch::request::{Traces, requests, settle};

use crate::cases::{
    BEGIN, P0, P1, SECOND, T1, T2, context, edge, fetch, kong, look, native, parent, span, told, told_with,
    worker,
};

/// Kong's spans, of its request and of the upstream's, as the Zipkin plugin has them.
const SERVER: Span = [0x61; 8];
const PROXY: Span = [0x62; 8];

fn seen(maker: Maker, span: Span, parent: Span, is_client: bool, after_ms: u64) -> Seen {
    let look = look(after_ms, 100);
    Seen { span, parent, start: look.start, end: look.end, maker, is_client, host: look.host }
}

/// A request through Kong whose header names a span of this trace.
fn through(id: u128, ray: Option<u64>, sent: Span) -> Kong {
    kong(id, ray, 30, context(T1, sent))
}

#[test]
fn kongs_spans_by_zipkin_are_known_though_an_old_record_does_not_say_who_wrote_the_header() {
    let zipkin = |after_ms| {
        vec![
            seen(Maker::Kong, SERVER, P0, false, after_ms),
            seen(Maker::Kong, PROXY, SERVER, true, after_ms + 1),
        ]
    };
    let record = [Fact::Kong(through(1, None, PROXY))];
    let made = told_with(&record, &Traces::from([(T1, zipkin(30))]));
    assert_eq!(made[0].spans, []);
    assert_eq!(made[0].stand_ins, [(Place::Kong([1; 8]), (T1, SERVER))]);

    // Those of another Kong in front of this one began earlier.
    let made = told_with(&record, &Traces::from([(T1, zipkin(26))]));
    assert_eq!(parent(&made, Place::Kong([1; 8])), (Some(PROXY), Join::Exact));
}

#[test]
fn a_span_that_kong_shares_with_its_caller_is_kongs_and_below_the_callers() {
    let mut one = through(1, Some(8), PROXY);
    one.rewritten = true;
    one.grand_parent = Some(P1);
    // Another one sends on what it was sent, and has no spans of its own.
    let other = through(2, Some(9), P1);
    let facts = [
        edge(7, context(T1, P0)),
        worker(7),
        fetch(8, 7, 20, context(T1, P1)),
        fetch(9, 7, 21, context(T1, P1)),
        Fact::Kong(one),
        Fact::Kong(other),
    ];
    let spans = vec![seen(Maker::Kong, P1, P0, false, 30), seen(Maker::Kong, PROXY, P1, true, 31)];
    let made = told_with(&facts, &Traces::from([(T1, spans)]));
    let [first, second] = [8, 9].map(|ray| span(&made, Place::Fetch(ray)).span);
    assert!(first != P1 && second != P1 && first != second);
    assert_eq!(made[0].stand_ins, [(Place::Kong([1; 8]), (T1, P1))]);
    assert_eq!(made[0].parents, [((T1, P1), first)]);
    assert_eq!(parent(&made, Place::Kong([2; 8])), (Some(second), Join::ById));
}

#[test]
fn a_workers_request_that_cloudflare_exports_in_a_trace_of_its_own_is_not_made_again() {
    let own: Span = [0x51; 8];
    let root = Native { maker: Maker::Worker, ..native(T2, own, [0; 8], None, Some(7)) };
    let facts = [edge(7, context(T1, P0)), fetch(8, 7, 20, context(T2, P1)), Fact::Native(root)];
    let traces = |is_known: bool| {
        let client = is_known.then(|| seen(Maker::Worker, P1, own, true, 10));
        let cloudflares: Vec<Seen> =
            std::iter::once(seen(Maker::Worker, own, [0; 8], false, 1)).chain(client).collect();
        let service = seen(Maker::Service, [0x71; 8], P0, false, 5);
        Traces::from([(T1, vec![service]), (T2, cloudflares)])
    };
    let made = told_with(&facts, &traces(true));
    assert_eq!(made[0].identity.canonical, T1);
    assert_eq!(made[0].stand_ins, [(Place::Fetch(8), (T2, P1))]);
    assert!(made[0].spans.iter().all(|made| made.place != Place::Fetch(8)));

    // Where it is not exported, it is made, below the run that is.
    let made = told_with(&facts, &traces(false));
    let made = span(&made, Place::Fetch(8));
    assert_eq!((made.span, made.parent.span), (P1, Some(own)));
}

#[test]
fn cloudflares_own_span_is_no_visitors_even_where_no_record_tells_what_the_visitor_sent() {
    let facts = [fetch(8, 7, 20, context(T1, P1))];
    let by = |maker| Traces::from([(T1, vec![seen(maker, P1, P0, true, 10)])]);
    let made = told_with(&facts, &by(Maker::Worker));
    assert_eq!(made[0].stand_ins, [(Place::Fetch(8), (T1, P1))]);
    let made = told_with(&facts, &by(Maker::Service));
    assert_ne!(span(&made, Place::Fetch(8)).span, P1);
}

#[test]
fn what_two_jobs_send_of_one_request_is_one_request_in_every_order() {
    let visitors = |change: &dyn Fn(&mut Edge)| match edge(7, None) {
        Fact::Edge(mut edge) => {
            change(&mut edge);
            Fact::Edge(edge)
        }
        other => other,
    };
    let row = visitors(&|edge| edge.look = look(1, 200));
    let coarse = visitors(&|edge| (edge.look.start, edge.look.end) = (BEGIN, BEGIN));
    let legacy = visitors(&|edge| (edge.is_legacy, edge.context) = (true, context(T1, P0)));
    let mut facts = vec![
        fetch(8, 7, 20, None),
        fetch(8, 7, 20, context(T1, P1)),
        row,
        coarse,
        legacy,
        Fact::Kong(through(1, Some(7), P1)),
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..50 {
        random.shuffle(&mut facts);
        let made = told(&facts);
        assert_eq!(made[0].identity.canonical, T1);
        // The row's times, the legacy record's context.
        let edge = span(&made, Place::Edge(7));
        assert_eq!((edge.end - edge.start, edge.parent.span), (200_000_000, Some(P0)));
        assert_eq!(span(&made, Place::Fetch(8)).span, P1);
        assert_eq!(parent(&made, Place::Kong([1; 8])), (Some(P1), Join::Exact));
    }
}

#[test]
fn a_ray_of_a_record_without_a_time_is_believed_until_five_minutes_after_it_came() {
    let joined = |fact: Fact, after: u64| {
        let mut record = through(1, Some(7), P1);
        record.look = look(after * 1000, 20);
        let mut facts = vec![fact, Fact::Kong(record)];
        settle(&mut facts);
        requests(&facts).len() == 1
    };
    let legacy = || match edge(7, None) {
        Fact::Edge(mut edge) => {
            edge.is_legacy = true;
            edge.look.end = BEGIN + 1200 * SECOND;
            Fact::Edge(edge)
        }
        other => other,
    };
    assert!(joined(legacy(), 0) && joined(legacy(), 1499));
    assert!(!joined(legacy(), 1501));
    assert!(joined(worker(7), 299) && !joined(worker(7), 302));

    // Where another record tells when it was, that counts.
    let mut copied = through(1, Some(7), P1);
    copied.look = look(1_000_000, 20);
    let mut facts = vec![legacy(), worker(7), Fact::Kong(copied)];
    settle(&mut facts);
    assert_eq!(requests(&facts).len(), 2);
}
