use super::*;

fn sample(name: &str) -> Vec<Row> {
    let done = kong_log(testkit::sample(&format!("kong/{name}")));
    assert_eq!(done.rejected, [], "{name}");
    rows(&done)
}

#[test]
fn every_sample_gives_its_number_of_records() {
    for (name, records) in [
        ("http-log-3x-single.json", 1),
        ("http-log-3x-batch-1.json", 3),
        ("http-log-3x-batch-2.json", 2),
        ("http-log-3x-batch-2.resent.json", 2),
        ("http-log-3x-batch-3.json", 3),
        ("http-log-3x-background.json", 6),
        ("http-log-2x-single.json", 1),
        ("http-log-2x-batch.json", 3),
        ("file-log.ndjson", 2),
        ("udp-log.datagram.json", 1),
    ] {
        let rows = sample(name);
        assert_eq!(rows.len(), records, "{name}");
        assert!(rows.iter().all(|row| row.service == "kong" && row.source == "kong.http_log"));
        assert!(rows.iter().all(|row| row.event == "kong.http_log" && !row.has("tidegate.time_inferred")));
    }
}

#[test]
fn the_body_is_the_element_as_sent() {
    let text = String::from_utf8(testkit::sample("kong/http-log-3x-batch-1.json")).unwrap();
    let bodies: Vec<_> = sample("http-log-3x-batch-1.json").iter().map(|row| row.text().to_owned()).collect();
    assert_eq!(format!("[{}]", bodies.join(",")), text.trim());
    assert!(bodies.iter().all(|body| body.contains(r"\/") && body.contains("e+18")));
}

#[test]
fn a_record_of_kong_3_is_understood() {
    let row = &sample("http-log-3x-single.json")[0];
    // Started at …400143, took 144 ms.
    assert_eq!((row.time, row.severity, row.flags), (1_772_438_400_287_000_000, 9, 1));
    assert_eq!(row.workspace.as_deref(), Some("default"));
    assert_eq!(row.trace, "d256002ba4ab731c6203a1b59639b7ea");
    assert_eq!(row.span, "ce5bfdd948f008fd", "the Kong SERVER span's derived id");
    assert_eq!(row.str("tidegate.parent_span_id"), "e2d0e7dc47dda560");
    assert!(!row.has("kong.context_rewritten"));
    for (key, text) in [
        ("kong.request.id", "b7e24850823040e1c9a22f46ceba7f69"),
        ("http.request.method", "POST"),
        ("url.path", "/function/checkout"),
        ("url.scheme", "https"),
        ("server.address", "origin.shop.example"),
        ("client.address", "203.0.113.24"),
        ("http.route", "/function/checkout"),
        ("kong.route.name", "fn-checkout"),
        ("kong.service.name", "openfaas"),
        ("kong.service.host", "gateway.openfaas.svc.cluster.local"),
        ("kong.source", "upstream"),
        ("kong.upstream.status", "200"),
        ("cloudflare.ray_id", "d1c4b41bbbd002b0"),
        ("openfaas.call_id", "d15aa623-aac5-4a11-9b22-83385af09572"),
        ("user_agent.original", "shop-android/5.2 okhttp/4.12.0"),
        ("tidegate.key", "kong|b7e24850823040e1c9a22f46ceba7f69"),
    ] {
        assert_eq!(row.str(key), text, "{key}");
    }
    for (key, number) in [
        ("http.response.status_code", 200),
        ("http.request.size", 1874),
        ("http.response.size", 962),
        ("kong.latency.request", 144),
        ("kong.latency.kong", 3),
        ("kong.latency.proxy", 139),
        ("kong.latency.receive", 1),
        ("kong.tries.count", 1),
        ("kong.started_ns", 1_772_438_400_143_000_000),
    ] {
        assert_eq!(row.int(key), number, "{key}");
    }
}

#[test]
fn a_record_of_kong_2_has_a_fingerprint_for_its_key() {
    let row = &sample("http-log-2x-single.json")[0];
    assert_eq!(row.trace, "d6a629e116393f7c67587027a3bab144", "from X-Trace-ID");
    assert_eq!(row.str("tidegate.trace_id.format"), "custom");
    assert_eq!(row.span, "b0a7576e41adadd5");
    assert_eq!(row.flags, 0);
    assert!(!row.has("kong.request.id") && !row.has("tidegate.sampled"));
    let sizes: Vec<_> =
        sample("http-log-2x-batch.json").iter().map(|row| row.int("http.request.size")).collect();
    assert_eq!(sizes, [1311, 1311, 1311], "Kong 2.0 writes them as strings");
}

#[test]
fn every_trace_of_the_story_is_on_its_record() {
    let expected: serde_json::Value =
        serde_json::from_slice(&testkit::sample("expected/traces.json")).unwrap();
    let mut seen = 0;
    for name in ["http-log-3x-batch-1.json", "http-log-3x-batch-2.json", "http-log-3x-batch-3.json"] {
        for row in sample(name) {
            let id = row.str("kong.request.id").to_owned();
            let traces = expected["traces"].as_object().unwrap();
            let (story, trace) = traces.iter().find(|(_, t)| t["kong_request_id"] == id.as_str()).unwrap();
            seen += 1;
            if story == "t03" {
                assert_eq!((row.trace.as_str(), row.span.as_str()), ("", ""));
                continue;
            }
            assert_eq!(row.trace, trace["trace_id"].as_str().unwrap(), "{story}");
            let spans = trace["spans"].as_array().unwrap();
            if let Some(server) = spans.iter().find(|span| span["key"] == "kong.server") {
                assert_eq!(row.span, server["span_id"].as_str().unwrap(), "{story}");
                let start = server["start_unix_nano"].as_str().unwrap();
                assert_eq!(row.int("kong.started_ns").to_string(), start, "{story}");
                assert_eq!(row.time.to_string(), server["end_unix_nano"].as_str().unwrap(), "{story}");
            }
            let rewritten = matches!(story.as_str(), "t02" | "t04" | "t06" | "t07" | "t08");
            let says = row.text().contains("\"trace_id\"") && story != "t09";
            assert_eq!(row.has("kong.context_rewritten"), says, "{story}");
            assert!(!says || rewritten, "{story}");
            if story == "t09" {
                assert_eq!(row.list("tidegate.trace_alias"), ["a585a603c13c710a2c1bcd0afab11e99"]);
            } else {
                assert!(!row.has("tidegate.trace_alias"), "{story}");
            }
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn retries_failures_and_streams_are_recorded() {
    let retried = &sample("http-log-3x-batch-3.json")[1];
    assert_eq!((retried.int("kong.tries.count"), retried.str("kong.upstream.status")), (2, "502, 200"));
    let rows = sample("http-log-3x-background.json");
    assert_eq!(rows.iter().filter(|row| row.workspace.is_none()).count(), 1, "the stream record names none");
    let answered: Vec<_> =
        rows.iter().map(|row| (row.int("http.response.status_code"), row.severity)).collect();
    assert_eq!(answered, [(404, 13), (401, 13), (200, 9), (503, 17), (499, 13), (200, 9)]);
    let refused = &rows[1];
    assert_eq!(refused.int("kong.latency.proxy"), -1);
    assert_eq!(refused.trace, "c94443e296216ccd519650975618433b");
    assert_eq!(refused.span, "65436f7a63856de6");
    assert_eq!(rows[2].str("kong.upstream.status"), "200", "a number when buffered");
    let stream = rows.iter().find(|row| row.has("network.transport")).unwrap();
    assert_eq!((stream.str("kong.service.name"), stream.int("kong.latency.session")), ("redis", 38));
    assert_eq!((stream.int("kong.session.received"), stream.int("kong.session.sent")), (517, 1893));
    assert_eq!(stream.time, 1_772_438_466_038_000_000);
}

#[test]
fn a_resent_batch_has_the_same_content_hash_and_keys() {
    let batch = |name| kong_log(testkit::sample(name)).batch.unwrap();
    let (first, again) =
        (batch("kong/http-log-3x-batch-2.json"), batch("kong/http-log-3x-batch-2.resent.json"));
    assert_eq!((first.content_hash, first.body), (again.content_hash, again.body));
    assert_ne!(first.content_hash, batch("kong/http-log-3x-batch-1.json").content_hash);
}

#[test]
fn what_ai_plugins_add_becomes_dotted_names_up_to_a_limit() {
    let many = (0..100).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(",");
    let record =
        format!(r#"{{"started_at":1772438400000,"ai":{{"p":{{"usage":{{"prompt_tokens":5}}}},{many}}}}}"#);
    let row = rows(&kong_log(record)).remove(0);
    assert_eq!(row.int("kong.ai.p.usage.prompt_tokens"), 5);
    assert_eq!(row.attributes.keys().filter(|key| key.starts_with("kong.ai.")).count(), 64);
}

#[test]
fn a_header_that_kong_left_alone_beside_another_is_not_rewritten() {
    // The caller sent b3 and traceparent of one trace; Kong read b3 and wrote b3.
    let trace = "d256002ba4ab731c6203a1b59639b7ea";
    let record = |ids: &str| {
        format!(
            r#"{{"request":{{"headers":{{"traceparent":"00-{trace}-e2d0e7dc47dda560-01","b3":"{trace}-00000000000000e1-1-e2d0e7dc47dda560"}},"method":"GET","id":"1"}},"started_at":1772438400143,"trace_id":{ids}}}"#
        )
    };
    for (ids, is_rewritten) in [
        (format!(r#"{{"b3":"{trace}"}}"#), false),
        (format!(r#"{{"w3c":"{trace}","b3":"{trace}"}}"#), true),
        (r#"{"w3c":"00000000000000000000000000000001"}"#.to_owned(), false),
    ] {
        let row = &rows(&kong_log(record(&ids).into_bytes()))[0];
        assert_eq!(row.str("tidegate.parent_span_id"), "e2d0e7dc47dda560");
        assert_eq!(row.has("kong.context_rewritten"), is_rewritten, "{ids}");
    }
}
