//! Jaeger's API.

use super::*;

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
