use super::*;

fn sample(name: &str) -> Normalized {
    logpush(testkit::sample(&format!("cloudflare/{name}")))
}

fn by_ray(rows: &[Row], ray: &str) -> Row {
    let found: Vec<_> = rows
        .iter()
        .filter(|row| row.attributes.get("cloudflare.ray_id") == Some(&Value::StringValue(ray.into())))
        .collect();
    assert_eq!(found.len(), 1, "{ray}");
    found[0].clone()
}

#[test]
fn every_sample_gives_its_number_of_records() {
    for (name, dataset, records) in [
        ("http_requests.ndjson", "http_requests", 50),
        ("http_requests.resent.ndjson", "http_requests", 10),
        ("http_requests.rfc3339.ndjson", "http_requests", 4),
        ("http_requests.merged_subrequests.ndjson", "http_requests", 2),
        ("http_requests.envelope.json", "http_requests", 3),
        // Twenty events, thirteen console lines, two exceptions.
        ("workers_trace_events.ndjson", "workers_trace_events", 20 + 13 + 2),
        ("firewall_events.ndjson", "firewall_events", 4),
        ("dns_logs.ndjson", "dns_logs", 2),
        ("audit_logs.ndjson", "audit_logs", 1),
        ("edge_request_legacy.ndjson", "edge_request", 4),
        ("tail_worker.json", "tail", 2),
    ] {
        let done = sample(name);
        assert_eq!(done.rejected, [], "{name}");
        let rows = rows(&done);
        assert_eq!(rows.len(), records, "{name}");
        assert!(rows.iter().all(|row| row.str("cloudflare.dataset") == dataset), "{name}");
        assert!(rows.iter().all(|row| row.source == format!("cloudflare.{dataset}")), "{name}");
    }
}

#[test]
fn the_body_is_the_line_verbatim() {
    for name in
        ["http_requests.ndjson", "firewall_events.ndjson", "edge_request_legacy.ndjson", "dns_logs.ndjson"]
    {
        let text = String::from_utf8(testkit::sample(&format!("cloudflare/{name}"))).unwrap();
        let mut bodies: Vec<_> = rows(&sample(name)).iter().map(|row| row.text().to_owned()).collect();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        bodies.sort();
        lines.sort();
        assert_eq!(bodies, lines, "{name}");
    }
}

#[test]
fn a_visitor_and_its_subrequest_are_told_apart() {
    let rows = rows(&sample("http_requests.ndjson"));
    let visitor = by_ray(&rows, "6a63ddb61ec24c64");
    assert_eq!(
        (visitor.service.as_str(), visitor.event.as_str()),
        ("cloudflare-edge", "cloudflare.http_requests")
    );
    assert_eq!((visitor.time, visitor.severity), (1_772_438_400_123_000_200, 9));
    assert_eq!(visitor.trace, "d256002ba4ab731c6203a1b59639b7ea");
    assert_eq!(visitor.span, "fb394f5af132b4b2", "the edge span's derived id");
    assert_eq!(visitor.flags, 1);
    assert_eq!(visitor.str("tidegate.parent_span_id"), "4fbc2229026e50de");
    assert_eq!(
        (visitor.str("tidegate.trace_id.format"), visitor.int("tidegate.trace_id.bits")),
        ("w3c", 128)
    );
    assert!(!visitor.has("tidegate.trace_id.original") && !visitor.has("tidegate.trace_alias"));
    for (key, text) in [
        ("http.request.method", "POST"),
        ("server.address", "api.shop.example"),
        ("url.path", "/function/checkout"),
        ("url.scheme", "https"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "2"),
        ("client.address", "203.0.113.24"),
        ("cloudflare.colo", "HAN"),
        ("cloudflare.zone", "shop.example"),
        ("cloudflare.request_source", "eyeball"),
        ("cloudflare.cache_status", "dynamic"),
        ("cloudflare.worker.status", "ok"),
        ("cloudflare.worker.script_name", "edge-router"),
        ("user_agent.original", "shop-android/5.2 okhttp/4.12.0"),
        ("cloudflare.client.country", "vn"),
        ("tidegate.key", "http_requests|6a63ddb61ec24c64|1772438400123000200|api.shop.example"),
    ] {
        assert_eq!(visitor.str(key), text, "{key}");
    }
    for (key, number) in [
        ("http.response.status_code", 200),
        ("http.request.size", 1312),
        ("http.response.size", 1420),
        ("http.response.body.size", 512),
        ("client.port", 51514),
        ("cloudflare.bot_score", 88),
        ("cloudflare.edge.ttfb_ms", 175),
        ("cloudflare.worker.cpu_time_us", 2100),
        ("cloudflare.worker.wall_time_us", 182_312),
        ("cloudflare.worker.subrequest_count", 1),
        ("cloudflare.edge.start_ns", 1_772_438_400_123_000_200),
        ("cloudflare.edge.end_ns", 1_772_438_400_307_000_400),
        ("cloudflare.client.asn", 45899),
    ] {
        assert_eq!(visitor.int(key), number, "{key}");
    }
    for absent in
        ["cloudflare.origin.status", "cloudflare.parent_ray_id", "cloudflare.security.action", "url.query"]
    {
        assert!(!visitor.has(absent), "{absent}");
    }

    let sub = by_ray(&rows, "d1c4b41bbbd002b0");
    assert_eq!(sub.service, "cloudflare-worker");
    assert_eq!(sub.span, "e2d0e7dc47dda560", "the id that the Worker's code sent");
    assert_eq!(sub.str("cloudflare.parent_ray_id"), "6a63ddb61ec24c64");
    assert_eq!(sub.str("cloudflare.request_source"), "edgeWorkerFetch");
    assert_eq!(sub.str("kong.request.id"), "b7e24850823040e1c9a22f46ceba7f69");
    assert_eq!((sub.int("cloudflare.origin.status"), sub.int("cloudflare.origin.duration_ms")), (200, 165));
    assert!(sub.is("cloudflare.worker.subrequest"));
}

#[test]
fn every_trace_of_the_story_is_on_its_records() {
    let expected: serde_json::Value =
        serde_json::from_slice(&testkit::sample("expected/traces.json")).unwrap();
    let rows = rows(&sample("http_requests.ndjson"));
    // t03 carries no context at all, t10 is in another file.
    for name in ["t01", "t02", "t04", "t05", "t06", "t07", "t08", "t09"] {
        let trace = &expected["traces"][name];
        for ray in trace["rays"].as_array().unwrap() {
            let row = by_ray(&rows, ray.as_str().unwrap());
            assert_eq!(row.trace, trace["trace_id"].as_str().unwrap(), "{name} {ray}");
        }
        let edge = trace["spans"].as_array().unwrap().iter().find(|span| span["key"] == "edge").unwrap();
        let visitor = by_ray(&rows, trace["rays"][0].as_str().unwrap());
        assert_eq!(visitor.span, edge["span_id"].as_str().unwrap(), "{name}");
        assert_eq!(visitor.time.to_string(), edge["start_unix_nano"].as_str().unwrap(), "{name}");
    }
    let without = by_ray(&rows, expected["traces"]["t03"]["rays"][0].as_str().unwrap());
    assert_eq!((without.trace.as_str(), without.span.as_str()), ("", ""));
}

#[test]
fn severity_follows_the_status_and_every_time_is_known() {
    for row in rows(&sample("http_requests.ndjson")) {
        let expected = match row.int("http.response.status_code") {
            ..300 => 9,
            300..400 => 10,
            400..500 => 13,
            _ => 17,
        };
        assert_eq!(row.severity, expected);
        assert!(row.time < NOW.0 && !row.has("tidegate.time_inferred"));
    }
}

#[test]
fn whole_seconds_envelopes_and_merged_subrequests_are_the_same_requests() {
    let seconds = rows(&sample("http_requests.rfc3339.ndjson"));
    assert!(seconds.iter().all(|row| row.time % 1_000_000_000 == 0 && !row.has("tidegate.time_inferred")));
    let main = rows(&sample("http_requests.ndjson"));
    for row in rows(&sample("http_requests.envelope.json")) {
        assert_eq!(row, by_ray(&main, row.str("cloudflare.ray_id")));
    }
    let merged = rows(&sample("http_requests.merged_subrequests.ndjson"));
    let element = by_ray(&merged, "d1c4b41bbbd002b0");
    assert_eq!(element, by_ray(&main, "d1c4b41bbbd002b0"), "an element's body is its own text");
    let visitor = by_ray(&merged, "6a63ddb61ec24c64");
    let line = testkit::sample("cloudflare/http_requests.merged_subrequests.ndjson");
    assert_eq!(visitor.text().as_bytes(), line.trim_ascii(), "the visitor's body is the whole line");
    assert_eq!(Row { body: None, ..visitor }, Row { body: None, ..by_ray(&main, "6a63ddb61ec24c64") });
}

#[test]
fn a_workers_event_its_console_lines_and_exceptions_are_records() {
    let rows = rows(&sample("workers_trace_events.ndjson"));
    assert!(rows.iter().all(|row| row.service == "cloudflare-worker" && row.trace.is_empty()));
    let event = rows.iter().find(|row| row.event == "cloudflare.worker").unwrap();
    assert_eq!((event.time, event.severity), (1_772_438_400_124_000_000, 9));
    assert_eq!((event.str("faas.name"), event.str("faas.trigger")), ("edge-router", "fetch"));
    assert_eq!(event.str("cloudflare.ray_id"), "6a63ddb61ec24c64");
    assert_eq!(event.str("url.full"), "https://api.shop.example/function/checkout");
    assert_eq!((event.int("cloudflare.cpu_time_ms"), event.int("cloudflare.wall_time_ms")), (2, 182));
    assert_eq!(event.str("faas.version"), "8f9c2d1e-52b1-4a76-9d51-7c0a2d6b9e10");
    let key = "workers_trace_events|6a63ddb61ec24c64|edge-router|1772438400124|fetch|";
    assert_eq!(event.str("tidegate.key"), key);

    let line = rows.iter().find(|row| row.event == "cloudflare.worker.console").unwrap();
    assert_eq!((line.text(), line.severity), ("route /function/checkout -> origin", 9));
    assert_eq!(
        (line.time, line.str("tidegate.key")),
        (1_772_438_400_129_000_000, format!("{key}|log|0").as_str())
    );
    let queue = rows
        .iter()
        .find(|row| row.event == "cloudflare.worker.console" && row.text() == "10 batch size")
        .unwrap();
    assert_eq!(queue.str("faas.name"), "order-consumer");
    let cut: Vec<_> =
        rows.iter().filter(|row| row.is("tidegate.truncated")).map(|row| row.severity).collect();
    assert_eq!(cut, [13, 13], "the canceled event and its console.warn line");

    let exceptions: Vec<_> = rows.iter().filter(|row| row.event == "cloudflare.worker.exception").collect();
    assert_eq!(exceptions[0].str("exception.type"), "TypeError");
    assert_eq!(exceptions[1].text(), "upstream map missing");
    assert_eq!(exceptions[1].str("exception.stacktrace"), "at handle (worker.js:31:9)");
    assert_eq!(exceptions[1].time, 1_772_438_459_409_000_000);
    let severities: Vec<_> = rows
        .iter()
        .filter(|row| row.event == "cloudflare.worker" && row.severity == 17)
        .map(|row| row.str("cloudflare.outcome").to_owned())
        .collect();
    assert_eq!(severities, ["exception", "exceededCpu", "ok", "exception"], "the ok one answered 500");
    let keys: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row.str("tidegate.key").to_owned()).collect();
    assert_eq!(keys.len(), rows.len());
}

#[test]
fn a_tail_worker_brings_the_context_that_its_request_had() {
    let rows = rows(&sample("tail_worker.json"));
    assert_eq!(rows[0].trace, "d256002ba4ab731c6203a1b59639b7ea");
    assert_eq!(rows[0].span, "6de383d5c9657de2", "the Worker span's derived id");
    assert_eq!(
        (rows[0].str("cloudflare.ray_id"), rows[0].str("cloudflare.colo")),
        ("6a63ddb61ec24c64", "HAN")
    );
    assert_eq!(rows[0].time, 1_772_438_400_124_000_000);
    assert_eq!(rows[0].int("http.response.status_code"), 200);
    assert_eq!(
        (rows[1].text(), rows[1].span.as_str()),
        ("route /function/checkout -> origin", "6de383d5c9657de2")
    );
}

#[test]
fn edge_request_is_understood_in_all_its_forms() {
    let rows = rows(&sample("edge_request_legacy.ndjson"));
    assert!(rows.iter().all(|row| row.is("tidegate.time_inferred") && row.time == NOW.0));
    assert!(rows.iter().all(|row| row.str("source") == "cloudflare-worker"));
    let facts: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.str("cloudflare.ray_id"),
                row.str("http.request.method"),
                row.int("http.response.status_code"),
                row.severity,
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("f237a9cb5acafce7", "GET", 200, 9),
            ("1b886fe2faf00a17", "POST", 502, 17),
            ("da1a93d53364e1ea", "GET", 200, 9),
            ("1af48cd7e3972dd6", "GET", 404, 13),
        ]
    );
    assert_eq!(rows[0].int("cloudflare.edge_request.duration_ms"), 120);
    assert_eq!(rows[1].int("cloudflare.edge_request.duration_ms"), 412);
    assert_eq!(rows[2].attributes["cloudflare.edge_request.duration_ms"], Value::DoubleValue(37.5));
    assert_eq!(rows[0].str("client.address"), "203.0.113.24");
    assert_eq!(rows[1].trace, "6f96b8f6ed106ba4343f93909b31d5f8");
    assert_eq!(rows[2].trace, "b10dd997a49421d96a6c9f0f83a3ed81");
    assert!(
        rows.iter()
            .all(|row| row.str("tidegate.key") == format!("edge_request|{}", row.str("cloudflare.ray_id")))
    );
}

#[test]
fn other_datasets_are_mapped_field_by_field() {
    let firewall = rows(&sample("firewall_events.ndjson"));
    assert_eq!(firewall[0].severity, 13);
    assert_eq!(firewall[1].severity, 9);
    assert_eq!(firewall[0].time, 1_772_438_411_000_000_000);
    assert_eq!(firewall[0].str("cloudflare.field.Action"), "block");
    assert_eq!(firewall[0].int("cloudflare.field.MatchIndex"), 0);
    assert_eq!(firewall[0].str("cloudflare.field.Metadata"), r#"{"ruleset_version":"41","type":"customer"}"#);
    assert_eq!(firewall[0].str("http.request.method"), "POST");
    assert_eq!(firewall[0].str("user_agent.original"), "x{jndi:ldap://198.18.0.1/a}");
    assert_eq!(
        firewall[0].str("tidegate.key"),
        "firewall_events|9beff0a19f41cccb|a5f1c2d3e4f5061728394a5b6c7d8e9f|0|block"
    );
    assert!(!firewall[0].has("cloudflare.field.RayID") && !firewall[0].has("cloudflare.parent_ray_id"));
    let dns = rows(&sample("dns_logs.ndjson"));
    assert_eq!(dns[0].str("cloudflare.field.QueryName"), "api.shop.example");
    assert!(dns[0].is("cloudflare.field.ResponseCached"));
    assert_eq!((dns[1].int("cloudflare.field.ResponseCode"), dns[1].service.as_str()), (3, "cloudflare"));
    let audit = rows(&sample("audit_logs.ndjson"));
    assert_eq!(audit[0].str("tidegate.key"), "audit_logs|2c6c1f9c-6fd4-4f0b-9f1b-0f6f7a5c1b10");
    assert_eq!(audit[0].str("cloudflare.field.NewValue"), r#"{"enabled":true}"#);
    assert_eq!(audit[0].time, 1_772_438_291_000_000_000);
    let unknown = rows(&logpush(
        r#"{"Timestamp":1772438400,"Tags":["a","b"],"Nothing":null,"N":1.5,"I":99999999999999999999}"#,
    ));
    assert_eq!(unknown[0].str("cloudflare.dataset"), "unknown");
    assert_eq!(unknown[0].list("cloudflare.field.Tags"), ["a", "b"]);
    assert_eq!(unknown[0].attributes["cloudflare.field.N"], Value::DoubleValue(1.5));
    assert_eq!(unknown[0].str("cloudflare.field.I"), "99999999999999999999");
    assert!(!unknown[0].has("cloudflare.field.Nothing"));
    assert_eq!(unknown[0].time, 1_772_438_400_000_000_000);
}

#[test]
fn what_the_url_says_is_on_every_record() {
    let hint = Hint {
        dataset: Some("gateway_http".into()),
        tags: vec![("zone".into(), "shop".into())],
        sample_rate: Some("0.1".into()),
        first_index: 7,
        ..Hint::default()
    };
    let done = submit(hint, "{\"Datetime\":\"2026-03-02T08:00:00Z\",\"Action\":\"allow\"}\nnonsense\n");
    assert_eq!((reasons(&done), done.seen), (vec![(8, "not_json")], 2));
    let rows = rows(&done);
    assert_eq!(rows[0].source, "cloudflare.gateway_http");
    assert_eq!((rows[0].str("cloudflare.tag.zone"), rows[0].str("cloudflare.sample_rate")), ("shop", "0.1"));
}

#[test]
fn a_validation_upload_leaves_nothing() {
    for body in ["{\"content\":\"tests\"}\n", "test", "tests", " tests\r\n", "", "\n\n", "\u{feff}"] {
        let done = logpush(body);
        assert!(done.batch.is_none() && done.rejected.is_empty() && done.seen == 0, "{body:?}");
    }
    assert_eq!(rows(&logpush("{\"content\":\"else\"}")).len(), 1);
}

#[test]
fn field_names_are_found_in_any_letter_case_but_an_exact_one_counts_first() {
    let rows = rows(&logpush(
        r#"{"rayid":"6a63ddb61ec24c64","EDGESTARTTIMESTAMP":1772438400,"edgeResponseStatus":404,"EdgeResponseStatus":200,"EDGERESPONSESTATUS":500}"#,
    ));
    assert_eq!(rows[0].str("cloudflare.ray_id"), "6a63ddb61ec24c64");
    assert_eq!(rows[0].int("http.response.status_code"), 200);
    assert!(!rows[0].has("tidegate.duplicate_keys"));
}
