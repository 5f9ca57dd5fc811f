//! Which service asks which: of the samples, and of spans put together by hand.

use std::collections::BTreeMap;

use model::UnixNanos;
use tidegate_stitch::derive::Derived;
use tidegate_stitch::series::{Options, Revision, Series};
use wire::put;

use super::feed::{Item, all, made, single};
use super::points::Points;
use super::{options, told};
use crate::NOW;

const TRACE: [u8; 16] = [7; 16];
const REQUESTS: &str = "traces_service_graph_request_total";
const UNPAIRED: &str = "traces_service_graph_unpaired_spans_total";
const DROPPED: &str = "traces_service_graph_dropped_spans_total";
pub(super) const CLIENT: u64 = 3;
pub(super) const SERVER: u64 = 2;

fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: &str) {
    put::message(out, field, |out| {
        put::bytes(out, 1, key.as_bytes());
        put::message(out, 2, |out| put::bytes(out, 1, value.as_bytes()));
    });
}

/// A span of 20 ms by its last byte; 0 is no parent.
pub(super) fn span(service: &str, kind: u64, id: u8, parent: u8, attributes: &[(&str, &str)]) -> Item {
    let mut resource = Vec::new();
    attribute(&mut resource, 1, "service.name", service);
    let mut span = Vec::new();
    put::bytes(&mut span, 1, &TRACE);
    put::bytes(&mut span, 2, &[id; 8]);
    if parent > 0 {
        put::bytes(&mut span, 4, &[parent; 8]);
    }
    put::bytes(&mut span, 5, b"GET /");
    put::uint(&mut span, 6, kind);
    put::fixed64(&mut span, 7, NOW.0 - 30_000_000);
    put::fixed64(&mut span, 8, NOW.0 - 10_000_000);
    for (key, value) in attributes {
        attribute(&mut span, 9, key, value);
    }
    Item::Span(single(&resource, &[], &span))
}

fn edges(points: &Points) -> BTreeMap<Vec<String>, u64> {
    points.counts(REQUESTS, &["client", "server", "connection_type"])
}

fn edge(client: &str, server: &str, kind: &str, count: u64) -> (Vec<String>, u64) {
    (vec![client.into(), server.into(), kind.into()], count)
}

fn feed(series: &mut Series, items: &[Item], now: UnixNanos) {
    for item in items {
        item.feed(series, now);
    }
}

fn later(seconds: u64) -> UnixNanos {
    UnixNanos(NOW.0 + seconds * 1_000_000_000)
}

#[test]
fn the_story_goes_from_the_visitor_to_the_functions() {
    let told = told(&options(), &all());
    let edges = edges(&told);
    let count = |client: &str, server: &str| -> u64 {
        edges
            .iter()
            .filter(|(labels, _)| labels[0] == client && labels[1] == server)
            .map(|(_, count)| count)
            .sum()
    };
    assert_eq!(count("cloudflare-edge", "cloudflare-worker"), 10);
    // t07's Kong tells its own spans, t10's Worker made no request that anybody recorded.
    assert_eq!(count("cloudflare-worker", "kong"), 9);
    assert_eq!(count("kong", "openfaas-gateway"), 5, "{edges:#?}");
    assert_eq!(count("cloudflare-worker", "openfaas-gateway"), 3, "{edges:#?}");
    let functions: u64 = ["checkout", "catalog", "payment", "inventory", "recommend", "my-function"]
        .map(|f| count("openfaas-gateway", f))
        .iter()
        .sum();
    assert_eq!(functions, 10);
    let failed = told.counts("traces_service_graph_request_failed_total", &["client", "server"]);
    assert_eq!(failed[&vec!["openfaas-gateway".to_owned(), "payment".to_owned()]], 1);
    for name in ["traces_service_graph_request_server_seconds", "traces_service_graph_request_client_seconds"]
    {
        assert_eq!(told.counts(name, &["client", "server", "connection_type"]), edges, "{name}");
    }
}

#[test]
fn where_only_the_edge_tells_of_itself_what_it_asked_is_named_by_its_host() {
    let is_cloudflares = |item: &Item| matches!(item, Item::Made(span, _) if span.service.as_str() != "kong");
    let items: Vec<Item> = made().into_iter().filter(is_cloudflares).collect();
    let mut series = Series::new(Options::default(), "");
    feed(&mut series, &items, NOW);
    let edges = edges(&Points::of(&series.encode(later(Options::default().spans.wait.0.as_secs()))));
    let asked = |client: &str| -> u64 {
        let of = edges.iter().filter(|(labels, _)| labels[0] == client && labels[2] == "virtual_node");
        of.filter(|(labels, _)| labels[1].ends_with(".shop.example")).map(|(_, count)| count).sum()
    };
    assert_eq!(edges[&edge("cloudflare-worker", "origin.shop.example", "virtual_node", 0).0], 9, "{edges:?}");
    assert_eq!(asked("cloudflare-worker"), 9);
    assert!(asked("cloudflare-edge") > 0, "{edges:?}");
}

#[test]
fn one_client_may_have_several_servers_and_each_is_counted_whichever_comes_first() {
    let client = span("a", CLIENT, 1, 0, &[]);
    let servers = [span("b", SERVER, 2, 1, &[]), span("c", SERVER, 3, 1, &[])];
    let orders = [
        vec![client.clone(), servers[0].clone(), servers[1].clone()],
        vec![servers[0].clone(), client.clone(), servers[1].clone()],
        vec![servers[1].clone(), servers[0].clone(), client],
    ];
    for items in orders {
        let edges = edges(&told(&Options::default(), &items));
        assert_eq!(edges, [edge("a", "b", "", 1), edge("a", "c", "", 1)].into());
    }
}

#[test]
fn copies_of_a_server_are_one_request() {
    let items = [span("a", CLIENT, 1, 0, &[]), span("b", SERVER, 2, 1, &[]), span("b", SERVER, 2, 1, &[])];
    assert_eq!(edges(&told(&Options::default(), &items)), [edge("a", "b", "", 1)].into());
}

#[test]
fn what_nothing_asked_for_was_asked_for_by_a_user() {
    let items = [span("a", SERVER, 1, 0, &[])];
    assert_eq!(edges(&told(&Options::default(), &items)), [edge("user", "a", "virtual_node", 1)].into());
}

#[test]
fn halves_are_given_up_after_their_wait_and_counted_where_nobody_is_named() {
    let mut series = Series::new(Options::default(), "");
    let items = [
        span("a", CLIENT, 1, 0, &[]),
        span("b", CLIENT, 2, 0, &[("peer.service", "payments")]),
        span("c", CLIENT, 3, 0, &[("db.system.name", "postgresql")]),
        span("d", SERVER, 4, 9, &[]),
        span("e", CLIENT, 5, 0, &[]),
        span("f", SERVER, 6, 5, &[]),
    ];
    feed(&mut series, &items, NOW);
    let wait = Options::default().spans.wait.0.as_secs();
    let points = Points::of(&series.encode(later(wait - 1)));
    assert_eq!(edges(&points), [edge("e", "f", "", 1)].into());
    assert_eq!(series.counts().waiting, 6);
    let points = Points::of(&series.encode(later(wait)));
    assert_eq!(
        edges(&points),
        [edge("b", "payments", "virtual_node", 1), edge("c", "postgresql", "database", 1)].into()
    );
    let labels = ["client", "server"];
    let lost = points.counts(UNPAIRED, &labels);
    assert_eq!(lost, [(vec!["a".into(), String::new()], 1), (vec![String::new(), "d".into()], 1)].into());
    assert_eq!(series.counts().waiting, 0);
}

#[test]
fn too_many_that_wait_are_given_up_oldest_first_and_counted() {
    let mut options = Options::default();
    options.spans.most_waiting = 2;
    let mut series = Series::new(options, "");
    for id in 1..=5 {
        feed(&mut series, &[span("a", CLIENT, id, 0, &[("peer.service", "x")])], later(u64::from(id)));
        assert!(series.counts().waiting <= 2);
    }
    feed(&mut series, &[span("b", SERVER, 6, 5, &[])], later(6));
    let points = Points::of(&series.encode(later(7)));
    assert_eq!(edges(&points), [edge("a", "b", "", 1)].into());
    assert_eq!(points.counts(DROPPED, &["client"]), [(vec!["a".to_owned()], 3)].into());
}

#[test]
fn where_there_is_no_room_pairs_go_before_those_that_wait() {
    let mut options = Options::default();
    options.spans.most_waiting = 4;
    let mut series = Series::new(options, "");
    feed(&mut series, &[span("early", CLIENT, 1, 0, &[])], NOW);
    for id in (2..40).step_by(2) {
        let pair = [span("a", CLIENT, id, 0, &[]), span("b", SERVER, id + 1, id, &[])];
        feed(&mut series, &pair, later(u64::from(id)));
        assert!(series.counts().waiting <= 4);
    }
    feed(&mut series, &[span("late", SERVER, 50, 1, &[])], later(60));
    let points = Points::of(&series.encode(later(61)));
    assert_eq!(edges(&points), [edge("a", "b", "", 19), edge("early", "late", "", 1)].into());
    assert!(!points.names().contains(&DROPPED));
}

fn again(items: &[Item], change: impl Fn(&mut Derived)) -> Vec<Item> {
    let change = |item: &Item| {
        let Item::Made(span, _) = item else { panic!("not made here") };
        let mut span = span.clone();
        change(&mut span);
        Item::Made(span, Revision::Later)
    };
    items.iter().map(change).collect()
}

#[test]
fn a_revision_of_a_span_does_not_count_again() {
    let items = made();
    let first = told(&Options::default(), &items);
    assert!(!first.0.is_empty());
    // The same once more, with other times, and found in another trace after all.
    let same = again(&items, |_| {});
    let longer = again(&items, |span| span.end += 1_000_000);
    let elsewhere = again(&items, |span| span.trace[0] ^= 1);
    for more in [same, longer, elsewhere] {
        assert_eq!(
            told(&Options::default(), &[items.clone(), more].concat()).counts(REQUESTS, &[]),
            first.counts(REQUESTS, &[])
        );
        let calls = "traces_spanmetrics_calls_total";
        let twice = told(&Options::default(), &[items.clone(), again(&items, |_| {})].concat());
        assert_eq!(twice.counts(calls, &["service"]), first.counts(calls, &["service"]));
    }
}

#[test]
fn a_span_that_moves_to_another_parent_meets_its_client_there() {
    let items = made();
    let is_kong = |item: &Item| matches!(item, Item::Made(span, _) if span.kind as u64 == SERVER && span.service.as_str() == "kong");
    let kong: Vec<Item> = items.iter().filter(|item| is_kong(item)).cloned().collect();
    let rest: Vec<Item> = items.iter().filter(|item| !is_kong(item)).cloned().collect();
    // First told of below a parent that nobody sent, and once the edge's records are there, below the Worker's request.
    let mut lost = Vec::new();
    for item in again(&kong, |span| span.parent.span = Some([0xee; 8])) {
        let Item::Made(span, _) = item else { unreachable!() };
        lost.push(Item::Made(span, Revision::First));
    }
    let order = [lost, rest.clone(), again(&kong, |_| {})].concat();
    let at_last = |items: &[Item]| {
        let mut series = Series::new(Options::default(), "");
        feed(&mut series, items, NOW);
        edges(&Points::of(&series.encode(later(Options::default().spans.wait.0.as_secs()))))
    };
    let edges = at_last(&items);
    assert_eq!(at_last(&order), edges);
    // Requests that came to Kong past the edge.
    assert!(edges.contains_key(&edge("user", "kong", "virtual_node", 1).0), "{edges:?}");
    // The same, if nothing but Kong's own records was there at first.
    let mut alone = Vec::new();
    for item in again(&kong, |span| span.parent.span = None) {
        let Item::Made(span, _) = item else { unreachable!() };
        alone.push(Item::Made(span, Revision::First));
    }
    assert_eq!(at_last(&[alone, again(&kong, |_| {}), rest].concat()), edges);
}

#[test]
fn whoever_was_paired_once_is_not_missed_whatever_comes_of_its_span() {
    let items = made();
    let is_worker =
        |item: &Item| matches!(item, Item::Made(span, _) if span.service.as_str() == "cloudflare-worker");
    let asked: Vec<Item> = items.iter().filter(|item| is_worker(item)).cloned().collect();
    let unpaired = |items: &[Item]| {
        let mut series = Series::new(Options::default(), "");
        feed(&mut series, items, NOW);
        let points = Points::of(&series.encode(later(Options::default().spans.wait.0.as_secs())));
        (edges(&points), points.counts(UNPAIRED, &["client", "server"]))
    };
    let once = unpaired(&items);
    // The Workers' requests again as they were, and in another trace after all.
    assert_eq!(unpaired(&[items.clone(), again(&asked, |_| {})].concat()), once);
    assert_eq!(unpaired(&[items.clone(), again(&asked, |span| span.trace[0] ^= 1)].concat()), once);
    let client = span("a", CLIENT, 1, 0, &[("peer.service", "x")]);
    let copies = [client.clone(), span("b", SERVER, 2, 1, &[]), client];
    assert_eq!(unpaired(&copies), ([edge("a", "b", "", 1)].into(), BTreeMap::new()));
}

#[test]
fn an_edge_that_asks_nobody_misses_nobody() {
    let is_edge = |item: &Item| matches!(item, Item::Made(span, _) if span.service.as_str() == "cloudflare-edge" && span.kind as u64 == SERVER);
    let edges_alone: Vec<Item> = made().into_iter().filter(is_edge).collect();
    assert!(edges_alone.len() > 10);
    let mut series = Series::new(Options::default(), "");
    feed(&mut series, &edges_alone, NOW);
    let points = Points::of(&series.encode(later(Options::default().spans.wait.0.as_secs())));
    assert!(!points.names().contains(&UNPAIRED));
    assert_eq!(
        edges(&points),
        [edge("user", "cloudflare-edge", "virtual_node", edges_alone.len() as u64)].into()
    );
}

#[test]
fn a_client_has_room_for_so_many_servers_and_no_more() {
    let mut items: Vec<Item> = (2..=100).map(|id| span("b", SERVER, id, 1, &[])).collect();
    items.push(span("a", CLIENT, 1, 0, &[]));
    let told = told(&Options::default(), &items);
    assert_eq!(edges(&told), [edge("a", "b", "", 64)].into());
    assert_eq!(told.counts(DROPPED, &["server"]), [(vec!["b".to_owned()], 35)].into());
}

#[test]
fn a_span_that_is_taken_back_waits_no_more() {
    let items = made();
    let mut series = Series::new(Options::default(), "");
    feed(&mut series, &items, NOW);
    assert!(series.counts().waiting > 0);
    for item in &items {
        let Item::Made(span, _) = item else { unreachable!() };
        series.withdraw(&span.span);
        series.withdraw(&span.span);
    }
    assert_eq!(series.counts().waiting, 0);
    let counted = edges(&told(&Options::default(), &items));
    assert_eq!(edges(&Points::of(&series.encode(later(10_000)))), counted);
    // Only what was counted is left for the store.
    assert!(series.take().iter().all(|change| change.key[0] != b'm'));
}

#[test]
fn cold_starts_are_counted_where_spans_show_them() {
    let mut cold = Vec::new();
    put::bytes(&mut cold, 1, b"faas.coldstart");
    put::message(&mut cold, 2, |out| put::uint(out, 2, 1));
    let Item::Span(plain) =
        span("resize", SERVER, 1, 0, &[("faas.name", "resize"), ("faas.trigger", "http")])
    else {
        unreachable!()
    };
    let mut items = Vec::new();
    wire::otlp::traces::each_span(&plain, |resource, _, span| {
        let mut raw = span.raw.to_vec();
        put::bytes(&mut raw, 9, &cold);
        items.push(Item::Span(single(resource.resource.raw, &[], &raw)));
        items.push(Item::Span(single(resource.resource.raw, &[], span.raw)));
        Ok(())
    })
    .unwrap();
    let Item::Span(plain) = span("activator", 1, 2, 1, &[]) else { unreachable!() };
    let plain = replace(&plain, b"GET /", b"throttler_try");
    items.push(Item::Span(plain));
    let told = told(&Options::default(), &items);
    let labels = ["service", "function_name", "trigger"];
    let cold = told.counts("faas_coldstarts_total", &labels);
    assert_eq!(cold, [(vec!["resize".to_owned(), "resize".into(), "http".into()], 1)].into());
    let waits = told.by("knative_activator_wait_seconds", &["service"]);
    assert_eq!(waits.values().map(|last| (last.value, last.sum)).collect::<Vec<_>>(), [(1, 0.02)]);
}

/// The one span of a request under another name.
fn replace(plain: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    wire::otlp::traces::each_span(plain, |resource, _, span| {
        assert_eq!(span.name.as_bytes(), from);
        let mut raw = span.raw.to_vec();
        put::bytes(&mut raw, 5, to);
        made = single(resource.resource.raw, &[], &raw);
        Ok(())
    })
    .unwrap();
    made
}
