use std::sync::Arc;
use std::time::Duration;

use model::{Failure, Layout, RefusedItem, Signal, Source};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::{Parcel, Receipt, Sink};
use prost::Message;
use serde_json::{Value, json};
use testkit::peer::{Peer, Reply};
use wire::Coding;

use super::ROW;
use crate::fixture::{metrics, open_plain, part, traces};

async fn sink(peer: &Peer, more: Value) -> Arc<dyn Sink> {
    let mut settings = json!({"nodes": [peer.url("")], "compression": "none"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

fn parcel() -> Parcel {
    traces(1, Coding::Plain, &["a", "b", "c"])
}

fn any(value: Kind) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// A parcel of one span.
fn spans(span: Span) -> Parcel {
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let plain = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    crate::fixture::parcel(Signal::Traces, Layout::Otlp, vec![part(1, Coding::Plain, &plain, 1)])
}

/// An answer to three items: status and type of error of each.
fn items(items: [(u16, &str); 3]) -> Reply {
    let entry = |(status, kind): &(u16, &str)| match *kind {
        "" => json!({"create": {"status": status}}),
        kind => json!({"create": {"status": status, "error": {"type": kind, "reason": "because"}}}),
    };
    let items: Vec<Value> = items.iter().map(entry).collect();
    Reply::body(200, json!({"errors": true, "items": items}).to_string())
}

fn stored() -> Reply {
    Reply::body(200, r#"{"errors":false,"items":[{"create":{"status":201}}]}"#)
}

/// Action and document lines of a request.
fn lines(body: &[u8]) -> Vec<(Value, Value)> {
    assert_eq!(body.last(), Some(&b'\n'), "the server refuses a body without a final line feed");
    let lines: Vec<Value> =
        body[..body.len() - 1].split(|b| *b == b'\n').map(|l| serde_json::from_slice(l).unwrap()).collect();
    lines.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn names(body: &[u8]) -> Vec<String> {
    lines(body).iter().map(|(_, document)| document["name"].as_str().unwrap().to_owned()).collect()
}

fn refused(indexes: &[u32], reason: &str) -> Result<Receipt, Failure> {
    let item = |index: &u32| RefusedItem { index: *index, reason: reason.to_owned() };
    Err(Failure::Refused { items: indexes.iter().map(item).collect() })
}

#[tokio::test]
async fn items_are_created_under_their_ids_in_the_index_of_their_day() {
    let peer = Peer::start(stored()).await;
    let sink = sink(&peer, json!({"traces_index": "spans-%{+yyyy.MM.dd}", "api_key": "abc="})).await;
    assert_eq!(sink.deliver(&parcel()).await, Ok(Receipt::Delivered));
    let seen = &peer.seen()[0];
    assert!(seen.path.starts_with("/_bulk?filter_path=errors,items.*.status,"), "{}", seen.path);
    assert_eq!(seen.header("content-type"), "application/x-ndjson");
    assert_eq!(seen.header("authorization"), "ApiKey abc=");
    let lines = lines(&seen.body);
    let action = json!({"create": {"_index": "spans-2026.11.21", "_id": "uWHbbd-metajzgzFKZc-"}});
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0].0, action);
    assert_eq!((&lines[1].1["name"], &lines[1].1["tenant"]), (&json!("b"), &json!("default")));
}

#[tokio::test]
async fn what_stitching_tells_again_is_written_over_what_it_told() {
    let told = |revision: i64, is_withdrawn: bool| {
        let int = |key: &str, value: Kind| KeyValue {
            key: key.into(),
            value: Some(any(value)),
            ..KeyValue::default()
        };
        let mut attributes = vec![int("tidegate.revision", Kind::IntValue(revision))];
        attributes.extend(is_withdrawn.then(|| int("tidegate.withdrawn", Kind::BoolValue(true))));
        let mut parcel = spans(Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "kong".into(),
            start_time_unix_nano: crate::fixture::START.0 + revision as u64,
            attributes,
            ..Span::default()
        });
        parcel.parts[0].origin.source = if revision == 1 { Source::stitch() } else { Source::revised() };
        parcel
    };
    let peer = Peer::start(stored()).await;
    let latest = sink(&peer, json!({})).await;
    for parcel in [told(1, false), told(2, false), told(3, true)] {
        assert_eq!(latest.deliver(&parcel).await, Ok(Receipt::Delivered));
    }
    let seen: Vec<String> =
        peer.seen().iter().map(|seen| String::from_utf8(seen.body.to_vec()).unwrap()).collect();
    let action = |text: &str| serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap();
    let id = action(&seen[0])["index"]["_id"].clone();
    for (at, kind, version) in [(0, "index", 1), (1, "index", 2), (2, "delete", 3)] {
        let there = json!({"_index": "tidegate-traces-2026.11.21", "_id": id, "version": version, "version_type": "external"});
        assert_eq!(action(&seen[at]), json!({ kind: there }));
    }
    let counts: Vec<usize> = seen.iter().map(|body| body.lines().count()).collect();
    assert_eq!(counts, [2, 2, 1]);

    // A server that has a later one, or nothing to delete, has said all that there is to say.
    for answer in [
        r#"{"errors":true,"items":[{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}}]}"#,
        r#"{"errors":true,"items":[{"delete":{"status":404}}]}"#,
    ] {
        peer.then(Reply::body(200, answer));
        assert_eq!(latest.deliver(&told(3, true)).await, Ok(Receipt::Delivered), "{answer}");
    }

    // Where it cannot be written over it is created once, and the courier keeps back what is told again.
    for settings in [
        json!({"revisions": "first"}),
        json!({"ids": false}),
        json!({"traces_index": "traces-app-prod"}),
        json!({"setup": {"kind": "data_stream"}}),
    ] {
        let first = sink(&peer, settings.clone()).await;
        assert!(!first.shows_revisions(), "{settings}");
    }
    assert!(latest.shows_revisions());
    assert!(sink(&peer, json!({"traces_index": "spans", "revisions": "latest"})).await.shows_revisions());
}

#[test]
fn what_cannot_be_written_over_is_told_before_the_start() {
    let told = |more: Value| {
        let mut settings = json!({"nodes": ["http://127.0.0.1:1"], "revisions": "latest"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let problems = (ROW.check)(settings).err().unwrap_or_default();
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>()
    };
    assert_eq!(told(json!({})), Vec::<String>::new());
    assert_eq!(told(json!({"ids": false})), ["revisions: without ids nothing can be written over"]);
    let stream = json!({"index": "traces-app-prod", "setup": {"kind": "data_stream"}});
    assert_eq!(told(stream), ["revisions: in a data stream nothing is written over"]);
}

#[tokio::test]
async fn bodies_are_compressed_and_may_have_no_ids() {
    let peer = Peer::start(stored()).await;
    let sink = sink(&peer, json!({"compression": "gzip", "ids": false})).await;
    assert_eq!(sink.deliver(&metrics(1, &[1.0])).await, Ok(Receipt::Delivered));
    let seen = &peer.seen()[0];
    assert_eq!(seen.header("content-encoding"), "gzip");
    let plain =
        wire::coding::inflate(Coding::Gzip, &seen.body, wire::coding::Ceiling::bytes(1 << 20)).unwrap();
    assert_eq!(lines(&plain)[0].0, json!({"create": {"_index": "tidegate-metrics-2026.11.21"}}));
}

#[tokio::test]
async fn each_items_answer_is_final_or_makes_it_come_again() {
    use Coming::{Again, Final, Refused};
    #[derive(Debug, PartialEq)]
    enum Coming {
        Again,
        Final,
        Refused,
    }
    for (status, kind, expected) in [
        (201, "", Final),
        (200, "", Final),
        (409, "version_conflict_engine_exception", Final),
        (409, "resource_already_exists_exception", Again),
        (400, "mapper_parsing_exception", Refused),
        (400, "document_parsing_exception", Refused),
        (400, "illegal_argument_exception", Refused),
        (404, "index_not_found_exception", Refused),
        (413, "too_long", Refused),
        (429, "es_rejected_execution_exception", Again),
        (429, "circuit_breaking_exception", Again),
        (429, "cluster_block_exception", Again),
        (403, "cluster_block_exception", Again),
        (401, "security_exception", Again),
        (403, "security_exception", Again),
        (500, "translog_exception", Again),
        (503, "unavailable_shards_exception", Again),
    ] {
        let peer = Peer::start(stored()).await;
        peer.then(items([(201, ""), (status, kind), (201, "")]));
        let sink = sink(&peer, json!({})).await;
        let found = match sink.deliver(&parcel()).await {
            Ok(Receipt::Delivered) => Final,
            Err(Failure::Refused { items }) => {
                assert_eq!((items.len(), items[0].index), (1, 1));
                assert_eq!(items[0].reason, format!("{status} {kind}: because"));
                Refused
            }
            Err(Failure::Retry { reason, .. }) => {
                assert!(reason.starts_with("1 of 3 items are to be sent again: "), "{reason}");
                Again
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{status} {kind}");
    }
}

#[tokio::test]
async fn only_what_the_server_did_not_take_is_sent_again() {
    let peer = Peer::start(stored()).await;
    peer.then(items([
        (201, ""),
        (400, "mapper_parsing_exception"),
        (429, "es_rejected_execution_exception"),
    ]));
    let sink = sink(&peer, json!({"ids": false})).await;
    let mut parcel = parcel();
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Retry { .. })));
    parcel.attempt = 1;
    assert_eq!(sink.deliver(&parcel).await, refused(&[1], "400 mapper_parsing_exception: because"));
    let seen = peer.seen();
    assert_eq!(names(&seen[0].body), ["a", "b", "c"]);
    assert_eq!(names(&seen[1].body), ["c"]);
    // What is done is forgotten: a replay sends everything.
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    assert_eq!(names(&peer.seen()[2].body), ["a", "b", "c"]);
}

#[tokio::test]
async fn what_is_known_of_items_outlives_the_halving_of_their_parcel() {
    let peer = Peer::start(stored()).await;
    peer.then(items([
        (201, ""),
        (429, "es_rejected_execution_exception"),
        (429, "es_rejected_execution_exception"),
    ]));
    peer.then(Reply::status(413));
    let sink = sink(&peer, json!({"ids": false})).await;
    let parcel = parcel();
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Retry { .. })));
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::TooLarge { .. })));
    assert_eq!(sink.deliver(&parcel.cut(0..1)).await, Ok(Receipt::Delivered));
    assert_eq!(peer.seen().len(), 2, "the first half is stored already");
    assert_eq!(sink.deliver(&parcel.cut(1..3)).await, Ok(Receipt::Delivered));
    assert_eq!(names(&peer.seen()[2].body), ["b", "c"]);
}

#[tokio::test]
async fn the_status_of_the_whole_says_what_becomes_of_it() {
    let rejected = |own: u64| {
        let reason = format!(
            "rejected execution of coordinating operation [coordinating_and_primary_bytes=0, replica_bytes=0, all_bytes=0, \
             coordinating_operation_bytes={own}, max_coordinating_and_primary_bytes=1024]"
        );
        json!({"error": {"type": "es_rejected_execution_exception", "reason": reason}, "status": 429})
            .to_string()
    };
    let shards = json!({"error": {"type": "validation_exception",
        "reason": "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [9]/[9] maximum shards open;"}});
    for (status, body, expected) in [
        (
            400,
            "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"no\"}}".to_owned(),
            "whole: answered 400 illegal_argument_exception no",
        ),
        (400, "what".to_owned(), "whole: answered 400  what"),
        (400, shards.to_string(), "retry"),
        (413, String::new(), "large"),
        (429, rejected(100), "retry"),
        (429, rejected(5000), "large"),
        (429, String::new(), "retry"),
        (301, String::new(), "retry"),
        (307, String::new(), "retry"),
        (401, String::new(), "retry"),
        (403, String::new(), "retry"),
        (404, String::new(), "retry"),
        (406, String::new(), "retry"),
        (500, String::new(), "retry"),
        (502, String::new(), "retry"),
        (503, String::new(), "retry"),
        (504, String::new(), "retry"),
        (200, "<html>".to_owned(), "retry"),
        (200, "{}".to_owned(), "retry"),
        (200, "{\"errors\":true,\"items\":[]}".to_owned(), "retry"),
        (201, "{\"errors\":false}".to_owned(), "retry"),
    ] {
        let peer = Peer::start(Reply::status(500)).await;
        peer.then(
            Reply::body(status, body.clone())
                .header("retry-after", "7")
                .header("location", "http://127.0.0.1:1/"),
        );
        let found = match sink(&peer, json!({})).await.deliver(&parcel()).await {
            Err(Failure::Retry { after, .. }) => {
                assert_eq!(after, Some(Duration::from_secs(7)));
                "retry".to_owned()
            }
            Err(Failure::TooLarge { .. }) => "large".to_owned(),
            Err(Failure::RefusedWhole { reason }) => format!("whole: {reason}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{status} {body}");
        assert_eq!(peer.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    let peer = Peer::start(Reply::body(200, vec![b' '; 1 << 20])).await;
    let answer = sink(&peer, json!({})).await.deliver(&parcel()).await;
    assert!(matches!(answer, Err(Failure::TooLarge { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_node_that_is_away_is_passed_over() {
    let peer = Peer::start(stored()).await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hanging = Peer::start(Reply::Hangup).await;
    let nodes = json!([format!("http://{gone}"), hanging.url(""), peer.url("/under/")]);
    let sink = open_plain(&ROW, json!({"nodes": nodes})).await;
    for _ in 0..4 {
        assert_eq!(sink.deliver(&parcel()).await, Ok(Receipt::Delivered));
    }
    assert_eq!(peer.seen().len(), 4);
    assert!(peer.seen()[0].path.starts_with("/under/_bulk?"));
}

#[tokio::test]
async fn templates_are_put_once_before_the_first_item() {
    let info = || Reply::body(200, r#"{"version":{"number":"7.10.2"}}"#);
    let peer = Peer::start(stored()).await;
    peer.then(Reply::status(503));
    peer.then(info());
    peer.then(Reply::body(400, r#"{"error":{"type":"illegal_argument_exception","reason":"index template [tidegate-traces] already exists"}}"#));
    let settings = json!({"signals": ["traces"], "auth": {"basic": {"user": "elastic", "password": "s3cret"}},
        "traces_index": "spans-{+yyyy}", "setup": {"attributes": "flat", "kind": "data_stream", "replicas": 0}});
    let sink = sink(&peer, settings).await;
    let Err(Failure::Retry { reason, .. }) = sink.deliver(&parcel()).await else { panic!() };
    assert!(reason.contains("503"), "{reason}");
    for _ in 0..2 {
        assert_eq!(sink.deliver(&parcel()).await, Ok(Receipt::Delivered));
    }
    let seen = peer.seen();
    let asked: Vec<String> =
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.path.split('?').next().unwrap())).collect();
    assert_eq!(
        asked,
        ["GET /", "GET /", "PUT /_index_template/tidegate-traces", "POST /_bulk", "POST /_bulk"]
    );
    assert!(seen.iter().all(|seen| seen.header("authorization") == "Basic ZWxhc3RpYzpzM2NyZXQ="));
    assert!(seen[2].path.ends_with("?create=true"));
    let body: Value = serde_json::from_slice(&seen[2].body).unwrap();
    assert_eq!((&body["index_patterns"], &body["data_stream"]), (&json!(["spans-*"]), &json!({})));
    assert_eq!(body["template"]["mappings"]["properties"]["attributes"], json!({"type": "flattened"}));
    assert_eq!(body["template"]["settings"]["index"]["number_of_replicas"], json!(0));
}

#[tokio::test]
async fn that_nobody_is_there_is_found_out_before_templates_are_put() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let node = format!("http://{gone}");
    for nodes in [json!([node]), json!([node, format!("http://localhost:{}", gone.port())])] {
        let sink = open_plain(&ROW, json!({"nodes": nodes, "setup": {}})).await;
        let answer = sink.deliver(&parcel()).await;
        assert!(matches!(answer, Err(Failure::Unreachable { .. })), "{answer:?}");
    }
    // A peer that hangs up is there.
    let peer = Peer::start(Reply::Hangup).await;
    let answer = sink(&peer, json!({"setup": {}})).await.deliver(&parcel()).await;
    assert!(matches!(answer, Err(Failure::Retry { .. })), "{answer:?}");
    // How long it wants to be left alone is kept to.
    let peer = Peer::start(Reply::status(503).header("retry-after", "7")).await;
    let answer = sink(&peer, json!({"setup": {}})).await.deliver(&parcel()).await;
    let seven = Some(Duration::from_secs(7));
    assert!(matches!(&answer, Err(Failure::Retry { after, .. }) if *after == seven), "{answer:?}");
}

#[tokio::test]
async fn lists_of_several_kinds_are_texts_unless_they_may_stay() {
    let values = vec![any(Kind::IntValue(1)), any(Kind::BoolValue(true))];
    let tags = any(Kind::ArrayValue(ArrayValue { values }));
    let pair = KeyValue { key: "tags".into(), value: Some(tags), ..KeyValue::default() };
    let event = Event { attributes: vec![pair.clone()], ..Event::default() };
    let span = Span { attributes: vec![pair], events: vec![event], ..Span::default() };
    let parcel = spans(span);
    let (texts, kept) = (json!(["1", "true"]), json!([1, true]));
    for (settings, own, of_event) in [
        (json!({}), &texts, &texts),
        (json!({"setup": {}}), &texts, &texts),
        (json!({"setup": {"attributes": "flat"}}), &kept, &texts),
        (json!({"mixed_lists": "keep"}), &kept, &kept),
        (json!({"mixed_lists": "keep", "setup": {}}), &kept, &kept),
    ] {
        let peer = Peer::answering(|seen| match seen.path.as_str() {
            "/" => Reply::body(200, r#"{"version":{"number":"7.10.2"}}"#),
            _ => stored(),
        })
        .await;
        let sink = sink(&peer, settings.clone()).await;
        assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
        let (_, document) = lines(&peer.seen().last().unwrap().body).remove(0);
        assert_eq!(&document["attributes"]["tags"], own, "{settings}");
        assert_eq!(&document["events"][0]["attributes"]["tags"], of_event, "{settings}");
    }
}

#[tokio::test]
async fn policies_are_put_in_each_servers_own_way() {
    let lifecycle = json!({"signals": ["traces"], "setup": {"lifecycle": {"delete_after": "7d"}}});
    for (distribution, policy, puts) in [
        ("opensearch", "/_plugins/_ism/policies/tidegate", true),
        ("", "/_ilm/policy/tidegate", true),
        ("opensearch", "/_plugins/_ism/policies/tidegate", false),
    ] {
        let peer = Peer::start(stored()).await;
        let info = json!({"version": {"number": "2.19.1", "distribution": distribution}});
        peer.then(Reply::body(200, info.to_string()));
        peer.then(Reply::body(if puts { 404 } else { 400 }, "{\"error\":\"no handler found for uri\"}"));
        if puts {
            peer.then(Reply::body(201, "{}"));
        }
        peer.then(Reply::body(200, "{\"acknowledged\":true}"));
        assert_eq!(sink(&peer, lifecycle.clone()).await.deliver(&parcel()).await, Ok(Receipt::Delivered));
        let seen = peer.seen();
        assert_eq!(seen[1].path, policy);
        assert_eq!(seen.len(), if puts { 5 } else { 4 });
        let template: Value = serde_json::from_slice(&seen[seen.len() - 2].body).unwrap();
        let named = &template["template"]["settings"]["index"]["lifecycle"]["name"];
        if distribution.is_empty() {
            assert_eq!(named, "tidegate");
        } else {
            assert!(named.is_null());
        }
        if puts {
            let put = String::from_utf8(seen[2].body.to_vec()).unwrap();
            assert_eq!((seen[2].method.as_str(), put.contains("\"7d\"")), ("PUT", true), "{put}");
        }
    }
}

#[tokio::test]
async fn templates_are_not_looked_for_behind_redirects() {
    let elsewhere = Peer::start(Reply::body(200, r#"{"version":{"number":"9.0.0"}}"#)).await;
    let peer = Peer::start(Reply::status(302).header("location", &elsewhere.url("/"))).await;
    let Err(Failure::Retry { reason, .. }) = sink(&peer, json!({"setup": {}})).await.deliver(&parcel()).await
    else {
        panic!()
    };
    assert!(reason.contains("answered 302"), "{reason}");
    assert_eq!((peer.seen().len(), elsewhere.seen().len()), (1, 0));
}

#[test]
fn settings_are_checked() {
    let check = |settings: Value| -> Vec<String> {
        let mut all = json!({"nodes": ["http://127.0.0.1:9200"]});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        (ROW.check)(all).err().unwrap_or_default().into_iter().map(|problem| problem.path).collect()
    };
    for (settings, expected) in [
        (json!({}), vec![]),
        (json!({"nodes": []}), vec!["nodes"]),
        (
            json!({"nodes": ["http://a", "ftp://b", "http://a", "http://c?d"]}),
            vec!["nodes[1]", "nodes[2]", "nodes[3]"],
        ),
        (json!({"index": "Logs"}), vec!["index"]),
        (
            json!({"logs_index": "{oops}", "fallback_index": "f-{tenant}"}),
            vec!["logs_index", "fallback_index"],
        ),
        (json!({"api_key": "k", "auth": {"bearer": "t"}}), vec!["api_key"]),
        (json!({"api_key": " "}), vec!["api_key"]),
        (
            json!({"max_bytes": "1GiB", "max_items": 0, "max_wait": "2m", "in_flight": 0}),
            vec!["max_bytes", "max_items", "max_wait", "in_flight"],
        ),
        (json!({"signals": []}), vec!["signals"]),
        (json!({"index": "{signal}-x", "setup": {}}), vec![]),
        (json!({"proxy": "http://p:1", "setup": {}}), vec!["setup"]),
        (json!({"tls": {"server_name": "es"}, "setup": {}}), vec!["setup"]),
        (json!({"index": "{tenant}-x", "setup": {}, "signals": ["logs"]}), vec!["setup"]),
        (
            json!({"documents": "ecs", "setup": {"attributes": "flat", "name": "A", "total_fields": 0}}),
            vec!["setup.name", "setup.attributes", "setup.total_fields"],
        ),
    ] {
        assert_eq!(check(settings.clone()), expected, "{settings}");
    }
}
