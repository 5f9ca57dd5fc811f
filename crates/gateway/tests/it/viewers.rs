//! The query APIs of Jaeger and Tempo over the embedded store, by value against the spans that were sent: while these are in
//! memory, and when they are in files. With `--all` a real Jaeger is sent the same and has to answer the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::process::{Answer, eventually, http};
use testkit::server::{Jaeger, all, encode};

use crate::crash::settled;
use crate::gateway::Gateway;

/// The ids and the times of the spans below.
const RICH: &str = "000000000000000011112222333344f5";
const T01: &str = "d256002ba4ab731c6203a1b59639b7ea";

/// A trace with all that a span can have, and spans that lack nearly all of it.
fn rich() -> Value {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let span = |id: &str, parent: &str, name: &str, kind: u8, end: &str| {
        json!({ "traceId": RICH, "spanId": id, "parentSpanId": parent, "name": name, "kind": kind,
                "startTimeUnixNano": "1772438400157204999", "endTimeUnixNano": end })
    };
    let mut root = span("00f067aa0ba902b7", "", "root op", 2, "1772438400283515000");
    root["startTimeUnixNano"] = "1772438400147204999".into();
    root["traceState"] = "a=b".into();
    root["flags"] = 257.into();
    root["attributes"] = json!([
        text("s", "t"),
        { "key": "big", "value": { "intValue": "9007199254740993" } },
        { "key": "d", "value": { "doubleValue": 1.5 } },
        { "key": "big double", "value": { "doubleValue": 1e300 } },
        { "key": "b", "value": { "boolValue": true } },
        { "key": "map", "value": { "kvlistValue": { "values": [
            { "key": "a", "value": { "stringValue": "x" } }, { "key": "k", "value": { "intValue": "1" } } ] } } },
    ]);
    root["status"] = json!({ "code": 2, "message": "bad thing" });
    root["events"] = json!([
        { "timeUnixNano": "1772438400150000999", "name": "exception", "attributes": [text("exception.type", "E")] },
        { "timeUnixNano": "1772438400150001999" },
    ]);
    root["links"] = json!([
        { "traceId": T01, "spanId": "20d8bf0dc0383bb5", "attributes": [text("la", "v")] },
    ]);
    let mut child = span("00f067aa0ba902b8", "00f067aa0ba902b7", "", 0, "1772438400200000000");
    child["status"] = json!({ "code": 1 });
    let nameless = span("00f067aa0ba902b9", "00f067aa0ba902b8", "no service", 3, "1772438400200000000");
    let resource = json!({ "attributes": [
        text("service.name", "rich"),
        { "key": "n", "value": { "intValue": "5" } },
        { "key": "arr", "value": { "arrayValue": { "values": [{ "stringValue": "a" }, { "intValue": "1" }] } } },
    ] });
    json!({ "resourceSpans": [
        { "resource": resource,
          "scopeSpans": [{ "scope": { "name": "lib", "version": "2" }, "spans": [root, child] }] },
        { "resource": {}, "scopeSpans": [{ "scope": {}, "spans": [nameless] }] },
    ] })
}

/// What is sent: the sample story's spans, and the trace above.
fn requests() -> Vec<Value> {
    vec![serde_json::from_slice(&testkit::sample("otlp/traces.json")).unwrap(), rich()]
}

/// Every span that was sent, with its service and its scope's name.
fn sent() -> Vec<(String, String, Value)> {
    let mut spans = Vec::new();
    for request in requests() {
        for resource in request["resourceSpans"].as_array().unwrap() {
            let named = |a: &&Value| a["key"] == "service.name";
            let service = resource["resource"]["attributes"].as_array().into_iter().flatten().find(named);
            let service = service.map_or("", |a| a["value"]["stringValue"].as_str().unwrap());
            for scope in resource["scopeSpans"].as_array().unwrap() {
                let name = scope["scope"]["name"].as_str().unwrap_or_default();
                for span in scope["spans"].as_array().unwrap() {
                    spans.push((service.to_owned(), name.to_owned(), span.clone()));
                }
            }
        }
    }
    spans
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The ids of the traces in an answer, padded.
fn ids(traces: &Value, key: &str) -> BTreeSet<String> {
    let padded = |trace: &Value| format!("{:0>32}", trace[key].as_str().unwrap());
    traces.as_array().unwrap_or_else(|| panic!("{traces}")).iter().map(padded).collect()
}

/// The ids of the traces with a span that passes.
fn of(passes: impl Fn(&str, &Value) -> bool) -> BTreeSet<String> {
    let spans = sent();
    let passing = spans.iter().filter(|(service, _, span)| passes(service, span));
    passing.map(|(_, _, span)| span["traceId"].as_str().unwrap().to_owned()).collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let found = span["attributes"].as_array().into_iter().flatten().find(|a| a["key"] == key);
    found.map_or(&Value::Null, |a| &a["value"])
}

fn ok(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("x-tidegate-partial"), None, "{path}");
    answer.json()
}

/// Runs `check` while the spans are in memory, and again when they are in files.
fn in_memory_and_in_files(check: impl Fn(&Gateway, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), "sinks: { store: { type: store, flush_age: 1h } }\n");
    for request in requests() {
        let headers = [("content-type", "application/json")];
        let answer = gateway.post("/v1/traces", &headers, request.to_string().as_bytes());
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    }
    let many = sent().len();
    eventually("the spans in the store", || {
        let page = gateway.get("/metrics").text();
        let rows = page.lines().find(|line| {
            line.starts_with("tidegate_store_unsettled_rows") && line.contains("signal=\"traces\"")
        });
        rows.filter(|line| line.ends_with(&format!(" {many}"))).map(|_| ())
    });
    check(&gateway, "in memory");
    assert!(gateway.process.terminate().success());
    gateway.restart();
    settled(&gateway);
    assert!(
        gateway
            .get("/metrics")
            .text()
            .contains("tidegate_store_unsettled_rows{sink=\"store\",signal=\"traces\"} 0")
    );
    check(&gateway, "in files");
}

#[test]
fn jaegers_api_answers_with_the_spans_that_were_sent() {
    in_memory_and_in_files(|gateway, when| {
        services_and_operations(gateway);
        for id in of(|_, _| true) {
            let trace = ok(gateway, &format!("/jaeger/api/traces/{}", id.to_uppercase()));
            compare(&trace["data"][0], &id);
        }
        searches(gateway, when);
        calls(gateway);
        otlp_json(gateway);
    });
}

fn services_and_operations(gateway: &Gateway) {
    let shown = |service: &str| match service {
        "" => "OTLPResourceNoServiceName".to_owned(),
        named => named.to_owned(),
    };
    let mut operations: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (service, _, span) in sent() {
        let kind = ["", "internal", "server", "client"][span["kind"].as_u64().unwrap() as usize];
        let name = span["name"].as_str().unwrap().to_owned();
        operations.entry(shown(&service)).or_default().insert((name, kind.to_owned()));
    }
    let services: BTreeSet<String> = operations.keys().cloned().collect();
    let answer = ok(gateway, "/jaeger/api/services");
    assert_eq!(
        (texts(&answer["data"]), answer["total"].as_u64()),
        (services.clone(), Some(services.len() as u64))
    );
    assert_eq!(texts(&ok(gateway, "/jaeger/api/v3/services")["services"]), services);
    for (service, operations) in operations {
        let names: BTreeSet<String> = operations.iter().map(|(name, _)| name.clone()).collect();
        let answer = ok(gateway, &format!("/jaeger/api/services/{}/operations", encode(&service)));
        assert_eq!(texts(&answer["data"]), names, "{service}");
        for (path, list) in [("operations", "data"), ("v3/operations", "operations")] {
            let answer = ok(gateway, &format!("/jaeger/api/{path}?service={}", encode(&service)));
            let found: BTreeSet<_> = answer[list].as_array().unwrap().iter().map(pair).collect();
            assert_eq!(found, operations, "{service}");
        }
    }
    let servers = ok(gateway, "/jaeger/api/operations?service=openfaas-gateway&spanKind=server");
    assert_eq!(servers["total"], 2);
}

fn pair(operation: &Value) -> (String, String) {
    let text = |key: &str| operation[key].as_str().unwrap().to_owned();
    (text("name"), text("spanKind"))
}

/// A trace in Jaeger's JSON against its spans.
fn compare(trace: &Value, id: &str) {
    let short = id.strip_prefix("0000000000000000").unwrap_or(id);
    assert_eq!(trace["traceID"], short);
    let spans: Vec<_> = sent().into_iter().filter(|(_, _, span)| span["traceId"] == id).collect();
    assert_eq!(trace["spans"].as_array().unwrap().len(), spans.len());
    for (service, scope, span) in spans {
        let shown =
            trace["spans"].as_array().unwrap().iter().find(|s| s["spanID"] == span["spanId"]).unwrap();
        let process = &trace["processes"][shown["processID"].as_str().unwrap()];
        let service = if service.is_empty() { "OTLPResourceNoServiceName" } else { &service };
        assert_eq!(
            (process["serviceName"].as_str().unwrap(), &shown["operationName"]),
            (service, &span["name"])
        );
        let (start, end) = (number(&span["startTimeUnixNano"]), number(&span["endTimeUnixNano"]));
        assert_eq!(
            (&shown["startTime"], &shown["duration"]),
            (&json!(start / 1000), &json!((end - start) / 1000))
        );
        let parents: Vec<_> =
            shown["references"].as_array().unwrap().iter().filter(|r| r["refType"] == "CHILD_OF").collect();
        match span["parentSpanId"].as_str().filter(|parent| !parent.is_empty()) {
            None => assert!(parents.is_empty()),
            Some(parent) => {
                assert_eq!(parents, [&json!({ "refType": "CHILD_OF", "traceID": short, "spanID": parent })]);
            }
        }
        let tag = |key: &str| shown["tags"].as_array().unwrap().iter().find(|t| t["key"] == key).cloned();
        for pair in span["attributes"].as_array().into_iter().flatten() {
            let key = pair["key"].as_str().unwrap();
            let (kind, value) = match pair["value"].as_object().unwrap().iter().next().unwrap() {
                (kind, value) if kind == "stringValue" => ("string", value.clone()),
                (kind, value) if kind == "intValue" => {
                    let whole = number(value);
                    ("int64", if whole > 1 << 53 { value.clone() } else { whole.into() })
                }
                (kind, value) if kind == "boolValue" => ("bool", value.clone()),
                (kind, value) if kind == "doubleValue" => {
                    let whole = value.as_f64().filter(|number| number.fract() == 0.0 && *number < 1e15);
                    ("float64", whole.map_or(value.clone(), |number| (number as i64).into()))
                }
                _ => continue,
            };
            assert_eq!(tag(key), Some(json!({ "key": key, "type": kind, "value": value })));
        }
        assert_eq!(
            tag("otel.scope.name").map(|t| t["value"].clone()),
            (!scope.is_empty()).then(|| scope.into())
        );
    }
}

fn searches(gateway: &Gateway, when: &str) {
    let search = |query: &str| {
        let range = "start=1772000000000000&end=1773000000000000&limit=1000";
        ids(&ok(gateway, &format!("/jaeger/api/traces?{range}&{query}"))["data"], "traceID")
    };
    let of_gateway = of(|service, _| service == "openfaas-gateway");
    assert!(of_gateway.len() >= 8, "{of_gateway:?}");
    assert_eq!(search("service=openfaas-gateway"), of_gateway, "{when}");
    assert_eq!(
        search("service=openfaas-gateway&operation=POST%20checkout"),
        of(|service, span| service == "openfaas-gateway" && span["name"] == "POST checkout"),
    );
    for (tags, key, wanted) in [
        (
            json!({ "http.response.status_code": "200" }),
            "http.response.status_code",
            json!({ "intValue": "200" }),
        ),
        (
            json!({ "faas.invoked_name": "checkout" }),
            "faas.invoked_name",
            json!({ "stringValue": "checkout" }),
        ),
    ] {
        let expected = of(|service, span| service == "openfaas-gateway" && attribute(span, key) == &wanted);
        assert!(!expected.is_empty(), "{tags}");
        assert_eq!(
            search(&format!("service=openfaas-gateway&tags={}", encode(&tags.to_string()))),
            expected,
            "{tags}"
        );
    }
    let rich = BTreeSet::from([RICH.to_owned()]);
    let none = BTreeSet::new();
    for (query, expected) in [
        ("service=rich&tags=%7B%22error%22%3A%22true%22%7D", &rich),
        ("service=rich&tag=span.kind:server&tag=n:5", &rich),
        ("service=rich&tag=span.kind:client", &none),
        ("service=rich&tag=otel.status_code:OK&minDuration=42ms&maxDuration=43ms", &rich),
        ("service=rich&tag=otel.status_code:OK&minDuration=43ms", &none),
        ("service=OTLPResourceNoServiceName", &rich),
        ("service=nobody", &none),
    ] {
        assert_eq!(search(query), *expected, "{query}");
    }
    let micros = "start=1772438400157204&end=1772438400157204";
    let found = ok(gateway, &format!("/jaeger/api/traces?service=rich&{micros}"));
    assert_eq!(ids(&found["data"], "traceID"), rich, "a microsecond is counted to its end");
    let one = ok(gateway, "/jaeger/api/traces?service=openfaas-gateway&start=0&end=1773000000000000&limit=1");
    let newest = sent().into_iter().filter(|(service, _, _)| service == "openfaas-gateway");
    let newest = newest.max_by_key(|(_, _, span)| number(&span["startTimeUnixNano"])).unwrap();
    assert_eq!(
        ids(&one["data"], "traceID"),
        BTreeSet::from([newest.2["traceId"].as_str().unwrap().to_owned()])
    );
    let both = ok(gateway, &format!("/jaeger/api/traces?traceID={T01}&traceID=ffff"));
    assert_eq!(ids(&both["data"], "traceID"), BTreeSet::from([T01.to_owned()]));
    assert_eq!(both["errors"][0]["traceID"], "ffff");
    for (path, status, named) in [
        ("traces", 400, "service"),
        ("traces?service=a&limit=0", 400, "limit"),
        ("traces?service=a&limit=100000", 400, "1500"),
        ("traces?service=a&start=x", 400, "start"),
        ("traces?service=a&start=2&end=1", 400, "before"),
        ("traces?service=a&minDuration=5", 400, "minDuration"),
        ("traces?service=a&minDuration=5s&maxDuration=1s", 400, "maxDuration"),
        ("traces?service=a&tags=5", 400, "tags"),
        ("traces?service=a&tag=x", 400, "key:value"),
        ("operations", 400, "service"),
        ("traces/ffff", 404, "ffff"),
        ("traces/%20", 400, "not a trace id"),
        ("traces/%ff", 400, "UTF-8"),
        ("services/%ff/operations", 400, "UTF-8"),
        ("dependencies?endTs=x", 400, "endTs"),
    ] {
        let answer = gateway.get(&format!("/jaeger/api/{path}"));
        let body = answer.json();
        assert_eq!((answer.status, &body["data"]), (status, &Value::Null), "{path}");
        assert_eq!(body["errors"][0]["code"], status, "{path}");
        assert!(body["errors"][0]["msg"].as_str().unwrap().contains(named), "{path}: {body}");
    }
}

fn calls(gateway: &Gateway) {
    let spans = sent();
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (child, _, span) in &spans {
        let parent = spans.iter().find(|(_, _, other)| {
            other["traceId"] == span["traceId"] && other["spanId"] == span["parentSpanId"]
        });
        if let Some((parent, _, _)) = parent.filter(|(parent, _, _)| parent != child) {
            let shown =
                |name: &str| if name.is_empty() { "OTLPResourceNoServiceName" } else { name }.to_owned();
            *expected.entry((shown(parent), shown(child))).or_default() += 1;
        }
    }
    let answer = ok(gateway, "/jaeger/api/dependencies?endTs=1772439000000&lookback=86400000");
    let found: BTreeMap<_, _> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| {
            let text = |key: &str| link[key].as_str().unwrap().to_owned();
            ((text("parent"), text("child")), link["callCount"].as_u64().unwrap())
        })
        .collect();
    assert!(expected.len() >= 7, "{expected:?}");
    assert_eq!(found, expected);
}

/// Spans in OTLP/JSON by id.
fn by_id(resources: &Value) -> BTreeMap<String, Value> {
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let scopes = resources.as_array().unwrap().iter().flat_map(|resource| each(resource, "scopeSpans"));
    let spans = scopes.flat_map(|scope| each(&scope, "spans"));
    spans.map(|span| (span["spanId"].as_str().unwrap().to_owned(), span)).collect()
}

/// The spans of a trace as the gateway writes OTLP/JSON: what was sent, read and written once.
fn expected(id: &str) -> BTreeMap<String, Value> {
    let mut spans = BTreeMap::new();
    for request in requests() {
        let plain = wire::json::to_proto(wire::Signal::Traces, request.to_string().as_bytes()).unwrap();
        let again: Value =
            serde_json::from_slice(&wire::json::to_json(wire::Signal::Traces, &plain).unwrap()).unwrap();
        spans.extend(by_id(&again["resourceSpans"]).into_iter().filter(|(_, span)| span["traceId"] == id));
    }
    spans
}

fn otlp_json(gateway: &Gateway) {
    for id in [T01, RICH] {
        let found = ok(gateway, &format!("/jaeger/api/v3/traces/{id}"));
        assert_eq!(by_id(&found["result"]["resourceSpans"]), expected(id), "{id}");
    }
    let times = "query.start_time_min=2026-03-01T00:00:00Z&query.start_time_max=2026-03-05T01:00:00+01:00";
    let attributes = encode(&json!({ "n": "5" }).to_string());
    let found = ok(
        gateway,
        &format!(
            "/jaeger/api/v3/traces?query.service_name=rich&query.attributes={attributes}&query.duration_min=1ms&{times}"
        ),
    );
    assert_eq!(by_id(&found["result"]["resourceSpans"]), expected(RICH));
    let services: Vec<Value> =
        found["result"]["resourceSpans"].as_array().unwrap().iter().map(|r| r["resource"].clone()).collect();
    assert_eq!(services.len(), 2, "spans of one resource stand together");
    assert!(
        services[0]["attributes"].to_string().contains("rich")
            || services[1]["attributes"].to_string().contains("rich")
    );
    for (path, status, named) in [
        ("traces", 400, "query.start_time_min"),
        ("traces?query.start_time_min=x&query.start_time_max=y", 400, "query.start_time_min"),
        ("traces/ffff", 404, "ffff"),
        ("operations", 400, "service"),
    ] {
        let answer = gateway.get(&format!("/jaeger/api/v3/{path}"));
        let body = answer.json();
        assert_eq!((answer.status, body["error"]["httpCode"].as_u64()), (status, Some(u64::from(status))));
        assert!(body["error"]["message"].as_str().unwrap().contains(named), "{path}: {body}");
    }
}

#[test]
fn tempos_api_answers_with_the_spans_that_were_sent() {
    in_memory_and_in_files(|gateway, when| {
        assert_eq!(gateway.get("/tempo/api/echo").text(), "echo");
        assert!(ok(gateway, "/tempo/api/status/buildinfo")["version"].is_string());
        for id in [T01, RICH] {
            in_both_encodings(gateway, id);
        }
        traceql(gateway, when);
        tags(gateway);
        for (path, status, named) in [
            ("traces/ffff", 404, "ffff"),
            ("v2/traces/ffff", 404, "ffff"),
            ("v2/traces/%ff", 400, "UTF-8"),
            ("v2/search/tag/%ff/values", 400, "UTF-8"),
            ("search?q=%7B%20rootName%20%3D%20%22x%22%20%7D", 400, "rootName"),
            ("search?q=%7B%7D&limit=0", 400, "limit"),
            ("search?q=%7B%7D&spss=1000", 400, "spss"),
            ("search?minDuration=5ms", 400, "minDuration"),
            ("search?tags=x", 400, "tags"),
            ("search?start=5&end=1", 400, "before"),
            ("search/tags?scope=x", 400, "scope"),
            ("v2/search/tag/x/values", 400, "x"),
            ("metrics/query_range?q=%7B%7D%20%7C%20rate()", 501, "metrics"),
        ] {
            let answer = gateway.get(&format!("/tempo/api/{path}"));
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            assert!(answer.text().contains(named), "{path}: {}", answer.text());
        }
    });
}

fn protobuf(gateway: &Gateway, path: &str) -> Answer {
    let answer = http(gateway.port, "GET", path, &[("accept", "application/protobuf")], &[]).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/protobuf")), "{path}");
    answer
}

fn in_both_encodings(gateway: &Gateway, id: &str) {
    let spans = |plain: &[u8]| {
        let json = wire::json::to_json(wire::Signal::Traces, plain).unwrap();
        by_id(&serde_json::from_slice::<Value>(&json).unwrap()["resourceSpans"])
    };
    let first = protobuf(gateway, &format!("/tempo/api/traces/{id}?start=1772438400&end=1772438500")).body;
    assert_eq!(spans(&first), expected(id));
    let second = protobuf(gateway, &format!("/tempo/api/v2/traces/{id}")).body;
    let fields: Vec<_> = wire::walk::fields(&second).map(Result::unwrap).collect();
    assert_eq!(fields.len(), 1, "a whole trace has neither status nor message");
    assert_eq!((fields[0].number, spans(fields[0].bytes().unwrap())), (1, expected(id)));
    let first = ok(gateway, &format!("/tempo/api/traces/{id}"))["batches"].take();
    let second = ok(gateway, &format!("/tempo/api/v2/traces/{id}"))["trace"]["resourceSpans"].take();
    assert_eq!(first, second);
    let shown = by_id(&first);
    assert_eq!(shown.len(), expected(id).len());
    for span in expected(id).into_values() {
        let base64 = |hex: &Value| {
            let hex = hex.as_str().unwrap_or_default();
            let bytes =
                (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
            base64(&bytes.collect::<Vec<u8>>())
        };
        let shown = &shown[&base64(&span["spanId"])];
        assert_eq!(shown["traceId"], base64(&span["traceId"]));
        assert_eq!(shown["parentSpanId"].as_str().unwrap_or_default(), base64(&span["parentSpanId"]));
        for same in ["name", "startTimeUnixNano", "endTimeUnixNano", "attributes", "events"] {
            assert_eq!(shown[same], span[same], "{same}");
        }
        let kinds =
            [Value::Null, "SPAN_KIND_INTERNAL".into(), "SPAN_KIND_SERVER".into(), "SPAN_KIND_CLIENT".into()];
        assert_eq!(shown["kind"], kinds[span["kind"].as_u64().unwrap_or(0) as usize]);
    }
}

/// Written out here, so that what is tested does not test itself.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn traceql(gateway: &Gateway, when: &str) {
    let search = |query: &str, more: &str| {
        ok(gateway, &format!("/tempo/api/search?q={}&limit=1000{more}", encode(query)))
    };
    let found = |query: &str| ids(&search(query, "")["traces"], "traceID");
    assert_eq!(found("{}"), of(|_, _| true), "{when}");
    assert_eq!(
        found(
            "{ resource.service.name = \"openfaas-gateway\" && name = \"POST checkout\" && kind = client }"
        ),
        of(|service, span| service == "openfaas-gateway" && span["name"] == "POST checkout"),
    );
    assert_eq!(
        found("{ resource.service.name =~ \"checkout|kong\" }"),
        of(|service, _| service == "checkout" || service == "kong")
    );
    assert_eq!(found("{ status = error }"), of(|_, span| span["status"]["code"] == 2));
    assert_eq!(
        found("{ duration > 100ms }"),
        of(|_, span| number(&span["endTimeUnixNano"]) - number(&span["startTimeUnixNano"]) > 100_000_000),
    );
    assert_eq!(
        found("{ span.http.response.status_code >= 500 || span.http.response.status_code = 404 }"),
        of(|_, span| {
            let code = attribute(span, "http.response.status_code")["intValue"].as_str();
            code.is_some_and(|code| code == "404" || code.parse::<u32>().unwrap() >= 500)
        }),
    );
    assert_eq!(
        ids(&ok(gateway, "/tempo/api/search?tags=service.name%3DRIC%20n%3D5")["traces"], "traceID"),
        BTreeSet::from([RICH.to_owned()])
    );
    let one = search("{ resource.n = 5 && status = error }", "&start=1772438400&end=1772438400&spss=1");
    let trace = &one["traces"][0];
    let set = json!({ "matched": 1, "spans": [{
        "spanID": "00f067aa0ba902b7", "name": "root op",
        "startTimeUnixNano": "1772438400147204999", "durationNanos": "136310001",
        "attributes": [
            { "key": "n", "value": { "intValue": "5" } }, { "key": "status", "value": { "stringValue": "error" } },
        ],
    }] });
    assert_eq!(
        trace,
        &json!({
            "traceID": "11112222333344f5", "rootServiceName": "rich", "rootTraceName": "root op",
            "startTimeUnixNano": "1772438400147204999", "durationMs": 136,
            "serviceStats": { "": { "spanCount": 1 }, "rich": { "spanCount": 2, "errorCount": 1 } },
            "spanSet": set, "spanSets": [set],
        })
    );
    assert_eq!(search("{}", "&start=1&end=2")["traces"], json!([]), "{when}");
}

fn tags(gateway: &Gateway) {
    let keys = |of: &dyn Fn(&Value) -> Vec<Value>| {
        let requests = requests();
        let attributes = requests.iter().flat_map(of);
        attributes.map(|a| a["key"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of_resources = keys(&|request: &Value| {
        list(&request["resourceSpans"]).iter().flat_map(|r| list(&r["resource"]["attributes"])).collect()
    });
    let of_spans: BTreeSet<String> = sent()
        .iter()
        .flat_map(|(_, _, span)| list(&span["attributes"]))
        .map(|a| a["key"].as_str().unwrap().to_owned())
        .collect();
    let answer = ok(gateway, "/tempo/api/v2/search/tags?start=1772000000&end=1773000000");
    let scope = |name: &str| {
        let scopes = answer["scopes"].as_array().unwrap();
        texts(&scopes.iter().find(|scope| scope["name"] == name).unwrap()["tags"])
    };
    assert_eq!((scope("resource"), scope("span")), (of_resources.clone(), of_spans.clone()));
    assert!(scope("intrinsic").contains("status"));
    let only = ok(gateway, "/tempo/api/v2/search/tags?scope=resource");
    assert_eq!(only["scopes"].as_array().unwrap().len(), 1);
    assert_eq!(texts(&ok(gateway, "/tempo/api/search/tags")["tagNames"]), &of_resources | &of_spans);
    let values = |tag: &str, more: &str| {
        let answer = ok(gateway, &format!("/tempo/api/v2/search/tag/{}/values?{more}", encode(&encode(tag))));
        let pairs = answer["tagValues"].as_array().unwrap().clone();
        pairs
            .iter()
            .map(|pair| {
                (pair["type"].as_str().unwrap().to_owned(), pair["value"].as_str().unwrap().to_owned())
            })
            .collect::<BTreeSet<_>>()
    };
    let typed = |kind: &str, values: BTreeSet<String>| {
        values.into_iter().map(|value| (kind.to_owned(), value)).collect::<BTreeSet<_>>()
    };
    let services: BTreeSet<String> =
        sent().into_iter().map(|(service, _, _)| service).filter(|service| !service.is_empty()).collect();
    assert_eq!(values("resource.service.name", ""), typed("string", services.clone()));
    assert_eq!(values(".service.name", ""), typed("string", services.clone()));
    assert_eq!(texts(&ok(gateway, "/tempo/api/search/tag/service.name/values")["tagValues"]), services);
    let codes = sent()
        .iter()
        .filter_map(|(_, _, span)| {
            attribute(span, "http.response.status_code")["intValue"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(values("span.http.response.status_code", ""), typed("int", codes));
    let query = encode("{ resource.service.name = \"kong\" }");
    let names = sent().into_iter().filter(|(service, _, _)| service == "kong");
    let names = names.map(|(_, _, span)| span["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(values("name", &format!("q={query}")), typed("string", names));
    assert!(values("status", "").contains(&("keyword".to_owned(), "error".to_owned())));
}

#[test]
fn a_gateway_without_a_store_says_so_in_each_apis_words() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(
        folder.path(),
        &format!(
            "sinks: {{ archive: {{ type: file, folder: {} }} }}\n",
            folder.path().join("archive").display()
        ),
    );
    let told = "no sink of type store is configured";
    let jaeger = gateway.get("/jaeger/api/services");
    assert_eq!((jaeger.status, jaeger.json()["errors"][0]["code"].as_u64()), (501, Some(501)));
    assert!(jaeger.text().contains(told));
    let v3 = gateway.get("/jaeger/api/v3/services");
    assert_eq!((v3.status, v3.json()["error"]["httpCode"].as_u64()), (501, Some(501)));
    let tempo = gateway.get("/tempo/api/search");
    assert_eq!((tempo.status, tempo.text().contains(told)), (501, true));
}

/// An answer of either Jaeger with what may differ made alike: the order of spans and the names of processes.
fn alike(trace: &Value) -> BTreeMap<String, Value> {
    let spans = trace["spans"].as_array().unwrap_or_else(|| panic!("{trace}"));
    let alike = spans.iter().map(|span| {
        let mut span = span.clone();
        span["process"] = trace["processes"][span["processID"].as_str().unwrap()].clone();
        span.as_object_mut().unwrap().remove("processID");
        // The real one notes that the span came by OTLP.
        span["tags"].as_array_mut().unwrap().retain(|tag| tag["key"] != "internal.span.format");
        // … and what it thinks of clocks.
        span["warnings"] = Value::Null;
        (span["spanID"].as_str().unwrap().to_owned(), span)
    });
    alike.collect()
}

#[test]
fn a_real_jaeger_answers_the_same() {
    if !all() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(folder.path());
    for request in requests() {
        let headers = [("content-type", "application/json")];
        let answer =
            http(jaeger.otlp_http, "POST", "/v1/traces", &headers, request.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let theirs = |path: &str| http(jaeger.query, "GET", path, &[], &[]).unwrap();
    let many = of(|_, _| true).len();
    eventually("the spans in Jaeger", || {
        let ids = of(|_, _| true);
        let there = ids.iter().filter(|id| {
            let found = theirs(&format!("/api/traces/{id}"));
            let sent = sent().iter().filter(|(_, _, span)| span["traceId"] == id.as_str()).count();
            found.status == 200 && found.json()["data"][0]["spans"].as_array().unwrap().len() == sent
        });
        (there.count() == many).then_some(())
    });
    in_memory_and_in_files(|gateway, when| {
        let ours = |path: &str| gateway.get(&format!("/jaeger{path}"));
        for id in of(|_, _| true) {
            let path = format!("/api/traces/{id}");
            let (ours, theirs) = (ours(&path).json(), theirs(&path).json());
            let (mut here, there) = (alike(&ours["data"][0]), alike(&theirs["data"][0]));
            for (span, there) in there {
                assert_eq!(here.remove(&span), Some(there), "{when}: {id}");
            }
            assert_eq!(here, BTreeMap::new(), "{when}: {id}");
            assert_eq!(ours["data"][0]["traceID"], theirs["data"][0]["traceID"]);
        }
        let sorted = |mut answer: Value, list: &str| {
            let mut members: Vec<String> =
                answer[list].as_array().into_iter().flatten().map(Value::to_string).collect();
            members.sort();
            answer[list] = json!(members);
            answer
        };
        for (path, list) in [
            ("/api/services", "data"),
            ("/api/v3/services", "services"),
            ("/api/services/openfaas-gateway/operations", "data"),
            ("/api/operations?service=openfaas-gateway", "data"),
            ("/api/v3/operations?service=openfaas-gateway", "operations"),
            ("/api/dependencies?endTs=1772439000000&lookback=86400000", "data"),
        ] {
            assert_eq!(sorted(ours(path).json(), list), sorted(theirs(path).json(), list), "{when}: {path}");
        }
        let range = "start=1772000000000000&end=1773000000000000&limit=1000";
        for query in [
            "service=openfaas-gateway",
            "service=openfaas-gateway&operation=POST%20checkout",
            "service=openfaas-gateway&tags=%7B%22http.response.status_code%22%3A%22200%22%7D",
            "service=openfaas-gateway&minDuration=100ms",
            "service=rich&tag=error:true",
            "service=rich&tag=n:5",
            "service=rich&tag=otel.scope.name:lib&tag=span.kind:server",
            "service=nobody",
        ] {
            let path = format!("/api/traces?{range}&{query}");
            let (ours, theirs) = (ours(&path).json(), theirs(&path).json());
            assert_eq!(ids(&ours["data"], "traceID"), ids(&theirs["data"], "traceID"), "{when}: {query}");
        }
        for path in ["/api/traces/ffff", "/api/traces", "/api/traces?service=a&tags=5", "/api/operations"] {
            let (ours, theirs) = (ours(path), theirs(path));
            assert_eq!(ours.status, theirs.status, "{path}");
            let keys =
                |answer: &Answer| answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&ours), keys(&theirs), "{path}");
        }
    });
}

#[test]
fn a_span_that_was_sent_again_is_found_by_what_is_shown_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), "sinks: { store: { type: store, flush_age: 1s } }\n");
    for name in ["first name", "second name"] {
        let mut request = rich();
        request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] = name.into();
        let headers = [("content-type", "application/json")];
        assert_eq!(gateway.post("/v1/traces", &headers, request.to_string().as_bytes()).status, 200);
    }
    let found = |name: &str| {
        let range = "start=1772000000000000&end=1773000000000000";
        let path = format!("/jaeger/api/traces?service=rich&operation={}&{range}", encode(name));
        ids(&ok(&gateway, &path)["data"], "traceID")
    };
    eventually("the second name", || (!found("second name").is_empty()).then_some(()));
    assert_eq!(found("second name"), BTreeSet::from([RICH.to_owned()]));
    assert_eq!(found("first name"), BTreeSet::new());
    let shown = ok(&gateway, &format!("/jaeger/api/traces/{RICH}"));
    assert_eq!(shown["data"][0]["spans"].as_array().unwrap().len(), 3);
}
