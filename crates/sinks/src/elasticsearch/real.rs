//! Against real servers: OpenSearch 2.19 and Elasticsearch 7.10.2, compared by value with what was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Failure, Layout, Origin, Signal, Source, Tenant};
use normalize::{Hint, Input, RawInput, Shape};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pipeline::{Parcel, Part, Receipt, Sink};
use prost::Message;
use serde_json::{Value, json};
use testkit::sample;
use testkit::server::{self, OpenSearch};
use wire::Coding;

use super::ROW;
use crate::fixture::{START, metrics, open_plain, parcel, part};

const DAY: u64 = 86_400 * 1_000_000_000;

async fn sink(server: &OpenSearch, more: Value) -> Arc<dyn Sink> {
    let mut settings = json!({"nodes": [format!("http://127.0.0.1:{}", server.port)]});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

fn span(number: u64, key: &str, value: Kind) -> Span {
    Span {
        trace_id: [7; 16].to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: format!("größer \u{1f600} {number}"),
        start_time_unix_nano: START.0 + number,
        end_time_unix_nano: START.0 + number + 5,
        attributes: vec![KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        }],
        ..Span::default()
    }
}

fn list(values: impl IntoIterator<Item = Kind>) -> Kind {
    let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
    Kind::ArrayValue(ArrayValue { values })
}

fn map(key: &str, value: Kind) -> Kind {
    let value = Some(AnyValue { value: Some(value) });
    Kind::KvlistValue(KeyValueList {
        values: vec![KeyValue { key: key.into(), value, ..KeyValue::default() }],
    })
}

/// Lists as attributes, and what is kept of each where the server chooses a field's kind.
fn lists() -> Vec<(Kind, Value)> {
    let (int, double) = (Kind::IntValue, Kind::DoubleValue);
    let text = |text: &str| Kind::StringValue(text.into());
    vec![
        (list([int(1), text("a"), Kind::BoolValue(true)]), json!(["1", "\"a\"", "true"])),
        (list([text("a"), int(1)]), json!(["\"a\"", "1"])),
        (list([Kind::BoolValue(true), text("a")]), json!(["true", "\"a\""])),
        (list([int(1), double(2.5)]), json!([1.0, 2.5])),
        (list([double(0.5), int((1 << 53) + 1)]), json!(["0.5", "9007199254740993"])),
        (list([double(1.0), double(f64::NAN)]), json!(["1.0", "\"NaN\""])),
        (list([list([int(1)]), list([text("a")])]), json!(["[1]", "[\"a\"]"])),
        (list([map("k", int(1)), int(2)]), json!(["{\"k\":1}", "2"])),
        (list([map("k", int(1)), map("k", text("x"))]), json!(["{\"k\":1}", "{\"k\":\"x\"}"])),
        (list([map("k", int(1)), map("k.l", int(1))]), json!(["{\"k\":1}", "{\"k.l\":1}"])),
        (list([]), json!([])),
        (list([text("a"), text("b")]), json!(["a", "b"])),
        (list([int(1), int(i64::MIN)]), json!([1, i64::MIN])),
        (list([double(1.0), double(2.5)]), json!([1.0, 2.5])),
        (list([list([int(1)]), int(2)]), json!([[1], 2])),
        (list([map("k", int(1)), map("l", text("x"))]), json!([{"k": 1}, {"l": "x"}])),
    ]
}

fn spans(offset: u64, spans: Vec<Span>) -> Parcel {
    let items = spans.len() as u32;
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    let plain = ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec();
    parcel(Signal::Traces, Layout::Otlp, vec![part(offset, Coding::Plain, &plain, items)])
}

fn numbered(offset: u64, numbers: std::ops::Range<u64>) -> Parcel {
    spans(offset, numbers.map(|number| span(number, "n", Kind::IntValue(number as i64))).collect())
}

/// The parcel that the gateway makes of a sample.
fn received(name: &str, shape: Shape) -> Parcel {
    let origin = Origin { tenant: Tenant::default(), source: Source::new("test").unwrap() };
    let hint = Hint { shape, ..Hint::default() };
    let raw = RawInput { origin: origin.clone(), hint, bytes: sample(name).into() };
    let batch = normalize::normalize(Input::Raw(raw), START).unwrap().batch.unwrap();
    let frame = part(1, Coding::Plain, b"", batch.items);
    let frame = Part { coding: batch.coding, body: batch.body, plain_len: batch.plain_len, origin, ..frame };
    parcel(Signal::Logs, Layout::Otlp, vec![Part { content_hash: batch.content_hash, ..frame }])
}

/// What the courier does: the parcel again until its answer is another.
async fn carry(sink: &Arc<dyn Sink>, parcel: &Parcel) -> Result<Receipt, Failure> {
    let mut attempts = 0;
    loop {
        match sink.deliver(parcel).await {
            Err(Failure::Retry { reason, .. }) => {
                attempts += 1;
                assert!(attempts < 400, "{reason}");
                tokio::time::sleep(Duration::from_millis(50)).await; // waits for time: the backoff of a courier
            }
            Err(Failure::TooLarge { .. }) if parcel.items() > 1 => {
                let half = parcel.items() / 2;
                Box::pin(carry(sink, &parcel.cut(0..half))).await?;
                return Box::pin(carry(sink, &parcel.cut(half..parcel.items()))).await;
            }
            answer => return answer,
        }
    }
}

fn refused(answer: Result<Receipt, Failure>) -> Vec<(u32, String)> {
    match answer {
        Err(Failure::Refused { items }) => items.into_iter().map(|item| (item.index, item.reason)).collect(),
        other => panic!("{other:?}"),
    }
}

/// The sources of an index by one of their fields.
fn by(server: &OpenSearch, index: &str, field: &str) -> BTreeMap<String, Value> {
    let documents = server.documents(index).into_iter().map(|hit| hit["_source"].clone());
    documents.map(|source| (source[field].as_str().unwrap_or_default().to_owned(), source)).collect()
}

/// What holds of every server of the family.
async fn common(server: &OpenSearch) {
    samples_keep_their_values(server).await;
    nothing_is_stored_twice(server).await;
    a_conflict_is_one_dead_letter(server).await;
    no_list_is_refused_for_itself(server).await;
    the_limit_of_fields_is_told(server).await;
    metrics_of_any_value_are_stored(server).await;
    the_latest_revision_is_stored(server).await;
}

/// A span as stitching tells it.
fn told(offset: u64, number: u64, revision: i64, name: &str, is_withdrawn: bool) -> Parcel {
    let attribute = |key: &str, value: Kind| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let mut span = span(number, "tidegate.revision", Kind::IntValue(revision));
    span.name = name.into();
    // What it begins with may change too.
    span.start_time_unix_nano += revision as u64;
    if is_withdrawn {
        span.attributes.push(attribute("tidegate.withdrawn", Kind::BoolValue(true)));
    }
    let mut parcel = spans(offset, vec![span]);
    parcel.parts[0].origin.source = if revision == 1 { Source::stitch() } else { Source::revised() };
    parcel
}

async fn the_latest_revision_is_stored(server: &OpenSearch) {
    let latest = sink(server, json!({"traces_index": "told-%{+yyyy.MM.dd}"})).await;
    assert!(latest.shows_revisions());
    let names = || by(server, "told-*", "name").into_keys().collect::<Vec<_>>();
    let tell = async |parcel: Parcel| assert_eq!(carry(&latest, &parcel).await, Ok(Receipt::Delivered));
    tell(told(1, 1, 1, "first", false)).await;
    tell(told(2, 1, 3, "third", false)).await;
    assert_eq!(names(), ["third"]);
    // What comes late, or again, changes nothing.
    tell(told(3, 1, 2, "second", false)).await;
    tell(told(2, 1, 3, "third", false)).await;
    assert_eq!(names(), ["third"]);
    // One that is no span after all goes; of one that never came nothing is missed, beside another that is refused nothing.
    tell(told(4, 1, 4, "", true)).await;
    tell(told(5, 2, 2, "", true)).await;
    assert_eq!(names(), Vec::<String>::new());
    tell(told(6, 1, 5, "fifth", false)).await;
    tell(numbered(7, 0..1)).await;
    assert_eq!(names(), ["fifth".to_owned(), "größer \u{1f600} 0".to_owned()]);
}

async fn samples_keep_their_values(server: &OpenSearch) {
    // Logpush lines, in `raw`: every field as Cloudflare wrote it.
    let raw = sink(server, json!({"documents": "raw", "logs_index": "cloudflare-logs-%{+YYYY.MM.dd}"})).await;
    let sent = received("cloudflare/http_requests.ndjson", Shape::Logpush);
    assert_eq!(carry(&raw, &sent).await, Ok(Receipt::Delivered));
    let lines: BTreeSet<String> = String::from_utf8(sample("cloudflare/http_requests.ndjson"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap().to_string())
        .collect();
    let mut found = BTreeSet::new();
    for hit in server.documents("cloudflare-logs-*") {
        let mut source = hit["_source"].clone();
        let at = source.as_object_mut().unwrap().remove("@timestamp").unwrap();
        let day = at.as_str().unwrap()[..10].replace('-', ".");
        assert_eq!(hit["_index"], format!("cloudflare-logs-{day}"), "the event's day, not today");
        assert_eq!(source.as_object_mut().unwrap().remove("source"), Some(json!("cloudflare.http_requests")));
        found.insert(source.to_string());
    }
    assert_eq!(found, lines);

    // Everything else that becomes log records, in both other layouts.
    for (mode, message) in [("otel", "/body/text"), ("ecs", "/message")] {
        let index = format!("{mode}-{{dataset}}");
        let sink = sink(server, json!({"documents": mode, "index": index})).await;
        for (name, shape) in [
            ("cloudflare/workers_trace_events.ndjson", Shape::Logpush),
            ("cloudflare/firewall_events.ndjson", Shape::Logpush),
            ("cloudflare/audit_logs.ndjson", Shape::Logpush),
            ("cloudflare/edge_request_legacy.ndjson", Shape::Logpush),
            ("kong/http-log-3x-batch-1.json", Shape::Kong),
        ] {
            let parcel = received(name, shape);
            assert_eq!(carry(&sink, &parcel).await, Ok(Receipt::Delivered), "{name} {mode}");
        }
        for (dataset, items) in [("cloudflare.workers_trace_events", 35), ("cloudflare.firewall_events", 4)] {
            let found = server.documents(&format!("{mode}-{dataset}"));
            assert_eq!(found.len(), items, "{mode} {dataset}");
            assert!(found.iter().all(|hit| hit["_source"].pointer(message).is_some_and(Value::is_string)));
        }
        let kong = server.documents(&format!("{mode}-kong.http_log"));
        let method = if mode == "otel" { "/attributes/http.request.method" } else { "/http/request/method" };
        assert!(
            !kong.is_empty() && kong.iter().all(|hit| hit["_source"].pointer(method).is_some()),
            "{kong:?}"
        );
    }

    // Spans, attribute by attribute.
    let traces = sample("otlp/traces.json");
    let plain = wire::json::to_proto(Signal::Traces, &traces).unwrap();
    let items = wire::batch::count(Signal::Traces, Layout::Otlp, &plain).unwrap().total();
    let sent = parcel(Signal::Traces, Layout::Otlp, vec![part(2, Coding::Plain, &plain, items)]);
    let otel = sink(server, json!({"traces_index": "sample-spans"})).await;
    assert_eq!(carry(&otel, &sent).await, Ok(Receipt::Delivered));
    let found = by(server, "sample-spans", "span_id");
    let told: Value = serde_json::from_slice(&traces).unwrap();
    let mut count = 0;
    for resource in told["resourceSpans"].as_array().unwrap() {
        for span in
            resource["scopeSpans"].as_array().unwrap().iter().flat_map(|s| s["spans"].as_array().unwrap())
        {
            let document = &found[span["spanId"].as_str().unwrap()];
            assert_eq!((&document["trace_id"], &document["name"]), (&span["traceId"], &span["name"]));
            let start: u64 = span["startTimeUnixNano"].as_str().unwrap().parse().unwrap();
            assert!(
                document["@timestamp"]
                    .as_str()
                    .unwrap()
                    .ends_with(&format!(".{:09}Z", start % 1_000_000_000))
            );
            for pair in span["attributes"].as_array().into_iter().flatten() {
                let (kind, value) = pair["value"].as_object().unwrap().iter().next().unwrap();
                let expected = match kind.as_str() {
                    "intValue" => json!(value.as_str().unwrap().parse::<i64>().unwrap()),
                    "arrayValue" => continue,
                    _ => value.clone(),
                };
                assert_eq!(document["attributes"][pair["key"].as_str().unwrap()], expected, "{pair}");
            }
            count += 1;
        }
    }
    assert_eq!((count, found.len()), (items as usize, items as usize));
}

async fn nothing_is_stored_twice(server: &OpenSearch) {
    let sink = sink(server, json!({"traces_index": "twice"})).await;
    let parcel = numbered(1, 0..500);
    for _ in 0..2 {
        assert_eq!(carry(&sink, &parcel).await, Ok(Receipt::Delivered));
    }
    // A part of it in another frame, after a restart or a replay.
    assert_eq!(carry(&sink, &numbered(9, 100..200)).await, Ok(Receipt::Delivered));
    assert_eq!(server.count("twice"), 500);
    assert!(by(server, "twice", "name").contains_key("größer \u{1f600} 499"));
}

async fn a_conflict_is_one_dead_letter(server: &OpenSearch) {
    let sink = sink(server, json!({"traces_index": "conflict"})).await;
    assert_eq!(carry(&sink, &numbered(1, 0..1)).await, Ok(Receipt::Delivered));
    let mixed = vec![
        span(1, "n", Kind::IntValue(i64::MAX)),
        span(2, "n", Kind::StringValue("no number".into())),
        span(3, "n", Kind::IntValue(i64::MIN)),
    ];
    let refused = refused(carry(&sink, &spans(2, mixed)).await);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].0 == 1 && refused[0].1.starts_with("400 mapper_parsing_exception: "), "{refused:?}");
    assert!(refused[0].1.contains("attributes.n"), "{refused:?}");
    let found = by(server, "conflict", "span_id");
    let kept: Vec<&Value> = found.values().map(|source| &source["attributes"]["n"]).collect();
    assert_eq!(kept, [&json!(0), &json!(i64::MAX), &json!(i64::MIN)]);
}

async fn no_list_is_refused_for_itself(server: &OpenSearch) {
    let (lists, expected): (Vec<Kind>, Vec<Value>) = lists().into_iter().unzip();
    let of_own_field = |(list, number): (Kind, u64)| {
        let span = span(number, &format!("list{number:02}"), list);
        let event = Event { name: "event".into(), attributes: span.attributes.clone(), ..Event::default() };
        Span { events: vec![event], ..span }
    };
    let sent: Vec<Span> = lists.into_iter().zip(0..).map(of_own_field).collect();
    let texts = sink(server, json!({"traces_index": "lists"})).await;
    assert_eq!(carry(&texts, &spans(1, sent.clone())).await, Ok(Receipt::Delivered));
    let found = by(server, "lists", "span_id");
    assert_eq!(found.len(), expected.len());
    for ((source, expected), number) in found.values().zip(&expected).zip(0..) {
        let key = format!("list{number:02}");
        assert_eq!(&source["attributes"][&key], expected, "{key}");
        assert_eq!(&source["events"][0]["attributes"][&key], expected, "{key}");
    }
    // That they were refused otherwise: each of those that are written anew, and no other.
    let kept = sink(server, json!({"traces_index": "kept-lists", "mixed_lists": "keep"})).await;
    let refused: Vec<u32> =
        refused(carry(&kept, &spans(1, sent)).await).into_iter().map(|(index, _)| index).collect();
    assert_eq!(refused, (0..10).collect::<Vec<u32>>());
}

async fn the_limit_of_fields_is_told(server: &OpenSearch) {
    let limit = json!({"settings": {"index.mapping.total_fields.limit": 30}});
    assert_eq!(server.request("PUT", "/few-fields", &limit).status, 200);
    let sink = sink(server, json!({"traces_index": "few-fields"})).await;
    let many = (0..40).map(|n| span(n, &format!("k{n}"), Kind::BoolValue(true))).collect();
    let refused = refused(carry(&sink, &spans(1, many)).await);
    assert!(refused.iter().all(|(_, reason)| reason.contains("Limit of total fields [30]")), "{refused:?}");
    assert_eq!(server.count("few-fields") as usize + refused.len(), 40);
    assert!(refused.len() < 40);
}

async fn metrics_of_any_value_are_stored(server: &OpenSearch) {
    let sink = sink(server, json!({"metrics_index": "points"})).await;
    let values = [1.5, f64::NAN, f64::INFINITY, f64::from_bits(wire::rw::STALE), -0.0, 3e38];
    assert_eq!(carry(&sink, &metrics(1, &values)).await, Ok(Receipt::Delivered));
    let points: BTreeMap<String, Value> = server
        .documents("points")
        .into_iter()
        .map(|hit| {
            let source = &hit["_source"];
            let said = ["value", "value_text", "stale"].iter().find_map(|field| source.get(*field)).cloned();
            (source["attributes"]["n"].as_str().unwrap().to_owned(), said.unwrap())
        })
        .collect();
    let expected = [json!(1.5), json!("NaN"), json!("Infinity"), json!(true), json!(-0.0), json!(3e38)];
    assert_eq!(points.into_values().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn opensearch_stores_every_item_once_and_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let server = OpenSearch::start(folder.path());
    common(&server).await;

    // Data streams, by a template that is put first; the plugin for policies is absent, which holds up nothing.
    let setup = json!({"kind": "data_stream", "attributes": "flat", "replicas": 0, "lifecycle": {}});
    let of_streams = json!({"signals": ["traces"], "traces_index": "traces-{dataset}-prod", "setup": setup});
    let streams = sink(&server, of_streams.clone()).await;
    let clashing = vec![
        span(0, "k", Kind::IntValue(1)),
        span(1, "k", Kind::StringValue("text".into())),
        span(2, "k.deeper", Kind::BoolValue(true)),
        span(3, "k", lists().remove(0).0),
    ];
    for _ in 0..2 {
        assert_eq!(carry(&streams, &spans(1, clashing.clone())).await, Ok(Receipt::Delivered));
    }
    assert_eq!(server.request("GET", "/_data_stream/traces-test-prod", &Value::Null).status, 200);
    let hits = server.documents("traces-test-prod");
    assert_eq!(hits.len(), 4);
    assert!(hits.iter().any(|hit| hit["_source"]["attributes"]["k"] == json!([1, "a", true])), "{hits:?}");
    assert!(hits.iter().all(|hit| hit["_index"].as_str().unwrap().starts_with(".ds-traces-test-prod-")));
    // The limit that the page states: behind a rollover the same item is taken again.
    assert_eq!(server.request("POST", "/traces-test-prod/_rollover", &Value::Null).status, 200);
    assert_eq!(carry(&streams, &spans(1, clashing)).await, Ok(Receipt::Delivered));
    assert_eq!(server.count("traces-test-prod"), 8);
    // Doubles beyond the range of a float: the servers' own guess of a type would refuse them.
    let settings =
        json!({"signals": ["metrics"], "metrics_index": "wide", "setup": {"name": "wide", "replicas": 0}});
    let wide = sink(&server, settings).await;
    assert_eq!(carry(&wide, &metrics(1, &[1.0, f64::MAX, f64::MIN])).await, Ok(Receipt::Delivered));
    assert_eq!(server.count("wide"), 3);
    // What is on the server stays as it is.
    assert_eq!(carry(&sink(&server, of_streams).await, &numbered(3, 5..6)).await, Ok(Receipt::Delivered));

    // The index of the event's day, whenever it comes.
    let dated = sink(&server, json!({"traces_index": "dated-%{+yyyy.MM.dd}"})).await;
    let days = (0..3).map(|day| {
        let at = START.0 - day * DAY;
        Span { start_time_unix_nano: at, end_time_unix_nano: at, ..span(day, "n", Kind::IntValue(1)) }
    });
    assert_eq!(carry(&dated, &spans(1, days.collect())).await, Ok(Receipt::Delivered));
    for day in ["2026.11.21", "2026.11.20", "2026.11.19"] {
        assert_eq!(server.count(&format!("dated-{day}")), 1, "{day}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_7_stores_every_item_once_and_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let server = OpenSearch::start_with(server::Kind::Elasticsearch7, folder.path(), &[]);
    common(&server).await;
    // This build has templates but no policies.
    let setup = json!({"replicas": 0, "total_fields": 50, "lifecycle": {"delete_after": "7d"}});
    let settings = json!({"signals": ["traces"], "traces_index": "mine-{+yyyy}", "setup": setup});
    let mine = sink(&server, settings).await;
    assert_eq!(carry(&mine, &numbered(1, 0..10)).await, Ok(Receipt::Delivered));
    let mapping = server.request("GET", "/mine-2026/_mapping", &Value::Null).json();
    assert_eq!(mapping["mine-2026"]["mappings"]["properties"]["@timestamp"]["type"], "date_nanos");
    assert_eq!(server.count("mine-2026"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_rejections_neither_loses_nor_doubles_anything() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = OpenSearch::start_with(
        server::Kind::OpenSearch2,
        folder.path(),
        &["thread_pool.write.size=1", "thread_pool.write.queue_size=1"],
    );
    // Without ids: what the server has taken must not be sent again, since nothing would tell it apart.
    let storm = sink(&server, json!({"traces_index": "storm-{attributes.n}", "ids": false})).await;
    let parcel = |number: u64| {
        let one = |n: u64| span(number * 1000 + n, "n", Kind::IntValue((n % 20) as i64));
        spans(number, (0..1000).map(one).collect())
    };
    let mut running = tokio::task::JoinSet::new();
    for number in 0..6 {
        let (storm, parcel) = (Arc::clone(&storm), parcel(number));
        running.spawn(async move { carry(&storm, &parcel).await });
    }
    while let Some(done) = running.join_next().await {
        assert_eq!(done.unwrap(), Ok(Receipt::Delivered));
    }
    let ids: BTreeSet<String> =
        server.documents("storm-*").iter().map(|hit| hit["_source"]["span_id"].to_string()).collect();
    assert_eq!((server.count("storm-*"), ids.len()), (6000, 6000));

    // A request that is larger than all that the server lets in at once is halved until it fits.
    server.restart_with(&["indexing_pressure.memory.limit=64kb"]);
    let pressed = sink(&server, json!({"traces_index": "pressed"})).await;
    assert_eq!(carry(&pressed, &numbered(1, 0..2000)).await, Ok(Receipt::Delivered));
    assert_eq!(server.count("pressed"), 2000);
}
