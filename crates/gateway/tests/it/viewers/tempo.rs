//! Tempo's API.

use super::*;

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
