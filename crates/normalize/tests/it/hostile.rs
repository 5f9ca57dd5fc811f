use super::*;

const LIMIT: usize = 4 << 20;

fn sample(name: &str) -> Vec<u8> {
    testkit::sample(&format!("hostile/{name}"))
}

/// The two requests that most hostile files hold: a subrequest and its visitor.
fn both(done: &Normalized) {
    let rays: Vec<_> = rows(done).iter().map(|row| row.str("cloudflare.ray_id").to_owned()).collect();
    assert_eq!(rays, ["d1c4b41bbbd002b0", "6a63ddb61ec24c64"]);
}

#[test]
fn blank_lines_marks_and_missing_line_ends_do_no_harm() {
    for name in ["blank_lines.ndjson", "bom_crlf.ndjson", "no_final_newline.ndjson"] {
        let done = logpush(sample(name));
        assert_eq!((done.rejected.len(), done.seen), (0, 2), "{name}");
        both(&done);
        assert!(rows(&done).iter().all(|row| row.text().ends_with('}')), "{name}");
    }
}

#[test]
fn good_lines_among_bad_ones_are_kept() {
    let done = logpush(sample("mixed_good_bad.ndjson"));
    both(&done);
    assert_eq!(
        reasons(&done),
        [(1, "not_json"), (2, "not_an_object"), (3, "not_an_object"), (4, "not_an_object"), (5, "empty")]
    );
    assert_eq!(done.seen, 7);
    let kept: Vec<_> = done.rejected.iter().map(|bad| &bad.bytes[..]).collect();
    assert_eq!(kept, [&br#"{"RayID":"trunc"#[..], b"[1,2,3]", b"\"text\"", b"null", b"{}"]);
}

#[test]
fn text_that_is_not_utf8_stays_verbatim_in_the_body_and_is_mended_in_attributes() {
    let raw = sample("invalid_utf8.ndjson");
    let done = logpush(raw.clone());
    both(&done);
    let rows = rows(&done);
    let line = raw.split(|b| *b == b'\n').next().unwrap();
    assert_eq!(rows[0].body, Some(Value::BytesValue(line.to_vec())));
    assert!(rows[0].str("user_agent.original").contains('\u{fffd}'));
    assert!(rows[0].is("tidegate.utf8_replaced") && !rows[1].has("tidegate.utf8_replaced"));

    let raw = sample("kong_raw_bytes.json");
    let done = kong_log(raw.clone());
    let row = &super::rows(&done)[0];
    assert_eq!(row.body, Some(Value::BytesValue(raw.trim_ascii().to_vec())));
    assert_eq!(row.str("user_agent.original"), "shop-android/5.2 ok\u{fffd}\u{fffd}http/4.12.0");
    assert!(row.is("tidegate.utf8_replaced"));
    assert_eq!(row.trace, "d256002ba4ab731c6203a1b59639b7ea", "the rest is understood");
}

#[test]
fn lone_surrogates_nul_and_odd_keys_are_mended() {
    let line = b"{\"EdgeStartTimestamp\":1772438400,\"ClientRequestHost\":\"a\\ud800b\",\"ClientRequestMethod\":\"G\\u0000\"}";
    let row = &rows(&logpush(line.to_vec()))[0];
    assert_eq!((row.str("server.address"), row.str("http.request.method")), ("a\u{fffd}b", "G\0"));
    assert!(row.is("tidegate.utf8_replaced"));
    let row = &rows(&logpush(b"{\"k\xff\":1,\"Timestamp\":1772438400}".to_vec()))[0];
    assert_eq!(row.int("cloudflare.field.k\u{fffd}"), 1);
    assert!(row.is("tidegate.utf8_replaced"));
}

#[test]
fn of_duplicate_keys_the_last_counts_and_the_record_is_marked() {
    let row = &rows(&logpush(sample("duplicate_keys.ndjson")))[0];
    assert_eq!(
        (row.str("cloudflare.ray_id"), row.int("http.response.status_code")),
        ("bbbbbbbbbbbbbbbb", 500)
    );
    assert!(row.is("tidegate.duplicate_keys"));
    let row = &rows(&logpush(r#"{"Zone":1,"Other":2,"Zone":3,"Timestamp":1772438400}"#))[0];
    assert_eq!((row.int("cloudflare.field.Zone"), row.is("tidegate.duplicate_keys")), (3, true));
    let row = &rows(&kong_log(r#"{"started_at":1,"started_at":1772438400000}"#))[0];
    assert_eq!((row.time, row.is("tidegate.duplicate_keys")), (1_772_438_400_000_000_000, true));
}

#[test]
fn numbers_out_of_any_range_are_text_or_are_left_alone() {
    let done = logpush(sample("numbers.ndjson"));
    assert_eq!(reasons(&done), [(1, "not_json")], "bare NaN");
    let rows = rows(&done);
    assert_eq!(rows.len(), 3);
    assert_eq!((rows[0].time, rows[0].int("http.response.status_code")), (1_772_438_400_123_000_200, 200));
    assert_eq!(rows[0].int("cloudflare.origin.duration_ms"), -1);
    assert_eq!(rows[0].str("http.response.size"), "1e400");
    assert!(!rows[0].has("cloudflare.edge.end_ns"));
    assert_eq!((rows[1].time, rows[1].is("tidegate.time_inferred")), (NOW.0, true));
    assert_eq!((rows[1].int("http.response.status_code"), rows[1].severity), (99_999, 0));
    assert_eq!(rows[2].time, 1_772_438_400_123_000_200);
    assert_eq!(rows[2].int("cloudflare.edge.end_ns"), 1_772_438_400_000_000_000);
    assert_eq!((rows[2].int("http.response.status_code"), rows[2].severity), (200, 9));
}

#[test]
fn nesting_without_end_is_one_bad_record() {
    let done = logpush(sample("deep_nesting.json"));
    assert!(done.batch.is_none());
    assert_eq!(reasons(&done), [(0, "too_deep")]);
    assert_eq!(done.rejected[0].message, "record nests deeper than 64");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let good = r#"{"Timestamp":1772438400}"#;
    let done = logpush(format!("[{good},{deep},{good}]"));
    assert_eq!(
        (rows(&done).len(), reasons(&done)),
        (2, vec![(1, "too_deep")]),
        "its neighbours in the array stay"
    );
}

#[test]
fn kong_arrays_of_one_and_of_none_are_taken() {
    assert_eq!(rows(&kong_log(sample("kong_array_one.json"))).len(), 1);
    for nothing in [sample("kong_empty_array.json"), vec![], b" [ ] ".to_vec()] {
        let done = kong_log(nothing);
        assert!(done.batch.is_none() && done.rejected.is_empty() && done.seen == 0);
    }
}

#[test]
fn bytes_that_are_nothing_are_rejected_not_refused() {
    let zeros = sample("zero_bytes.bin");
    let done = logpush(zeros.clone());
    assert!(done.batch.is_none());
    assert_eq!(done.rejected.len(), usize::from(!zeros.is_empty()));
    let done = logpush("RayID,EdgeStartTimestamp\nabc,1\n");
    assert_eq!(reasons(&done), [(0, "not_json"), (1, "not_json")]);
}

#[test]
fn a_record_beyond_the_longest_is_rejected_with_its_head_and_reading_goes_on() {
    let good = r#"{"Timestamp":1772438400}"#;
    let long = format!("{{\"Timestamp\":1772438400,\"x\":\"{}\"}}", "y".repeat(LIMIT));
    let just = format!("{{\"x\":\"{}\"}}", "y".repeat(LIMIT - 8));
    assert_eq!(just.len(), LIMIT);
    let text = "z".repeat(LIMIT + 1);
    let done = logpush(format!("{good}\n{long}\n{good}\n{just}\n{text}\n{good}"));
    assert_eq!(rows(&done).len(), 4);
    assert_eq!(reasons(&done), [(1, "too_large"), (4, "too_large")]);
    assert!(done.rejected.iter().all(|bad| bad.bytes.len() == 64 << 10));
    let message = format!("record of {} bytes exceeds the limit of {LIMIT}", long.len());
    assert_eq!(done.rejected[0].message, message);
}

#[test]
fn objects_and_arrays_beyond_their_limits_are_rejected() {
    let keys = |n| (0..n).map(|i| format!("\"k{i}\":0")).collect::<Vec<_>>().join(",");
    let elements = |n| vec!["0"; n].join(",");
    let done = logpush(format!("{{{}}}\n{{{}}}\n", keys(4_096), keys(4_097)));
    assert_eq!((rows(&done).len(), reasons(&done)), (1, vec![(1, "too_many_values")]));
    let done = logpush(format!("{{\"a\":[{}]}}\n{{\"a\":[{}]}}\n", elements(65_536), elements(65_537)));
    assert_eq!((rows(&done).len(), reasons(&done)), (1, vec![(1, "too_many_values")]));
}

#[test]
fn text_that_a_job_puts_around_records_is_passed_over() {
    let (a, b) = (r#"{"Timestamp":1772438400,"n":1}"#, r#"{"Timestamp":1772438400,"n":2}"#);
    for (body, bad) in [
        (format!("[{a},{b}]"), 0),
        (format!("[\n  {a},\n  {b}\n]\n"), 0),
        (format!("{a}{b}"), 0),
        (format!("{a},{b},"), 0),
        (format!("prefix {a} suffix\nprefix {b};\n"), 0),
        (format!("{{\"events\":[{{\"info\":{a}}},{{\"info\":{b}}}]}}"), 0),
        (format!("{{ \"Records\" : [\n{a}\n,\n{b}\n] }}"), 0),
        (format!("{{\"event\":{a}}}\n{{\"event\":{b}}}\n"), 0),
        (format!("BEGIN\n{a}\n{b}\nEND\n"), 2),
    ] {
        let done = logpush(body.clone());
        assert_eq!(done.rejected.len(), bad, "{body}");
        let rows = rows(&done);
        assert_eq!(rows.iter().map(Row::text).collect::<Vec<_>>(), [a, b], "{body}");
    }
    // An envelope cut at a line border, as a receiver hands in large bodies.
    for piece in [format!("{{\"events\":[\n{{\"info\":{a}}},\n"), format!("{{\"info\":{a}}}\n]}}\n")] {
        let done = logpush(piece);
        assert_eq!((rows(&done).len(), done.rejected.len()), (1, 0));
    }
}

#[test]
fn records_may_span_lines_and_broken_ones_do_not_swallow_the_next() {
    let done = logpush("{\n  \"Timestamp\": 1772438400,\n  \"a\": {\n    \"b\": 1\n  }\n}\n");
    assert_eq!((rows(&done).len(), done.rejected.len()), (1, 0));
    let good = r#"{"Timestamp":1772438400}"#;
    for broken in ["{\"a\":1,", "{\"a\":[1,", "{\"a\":\"x", "{\"a\":", "{", "{\"a\" 1}", "{\"a\":1}}x{"] {
        let done = logpush(format!("{broken}\n{good}\n{good}\n"));
        assert!(rows(&done).iter().filter(|row| row.text() == good).count() == 2, "{broken}");
        assert_eq!(done.rejected.len(), 1, "{broken}");
    }
}

#[test]
fn very_many_bad_records_are_reported_together_and_counted_apart() {
    let done = logpush("1\n".repeat(1_000_000));
    assert!(done.batch.is_none() && done.rejected.len() < 300);
    assert_eq!(done.rejected.iter().map(|bad| bad.records).sum::<u32>(), 1_000_000);
    assert_eq!(done.seen, 1_000_000);
}

#[test]
fn parts_of_one_record_are_bounded() {
    let lines = vec![r#"{"Message":["x"]}"#; 2_000].join(",");
    let event = format!(
        r#"{{"EventType":"fetch","ScriptName":"s","Outcome":"ok","EventTimestampMs":1772438400000,"Logs":[{lines}]}}"#
    );
    let rows = rows(&logpush(event));
    assert_eq!(rows.len(), 1 + 1_024);
    assert!(rows[0].is("tidegate.parts_left_out"));
}

#[test]
fn reading_broken_bytes_takes_time_in_proportion() {
    // A reader that looked at the rest of the body again for every line would not end here.
    for line in ["{\"a\":[\n", "{\"a\":1,\n", "[[\n", "{\"a\":\"\n", "x{\n", "{\"a\":1}x"] {
        let body = line.repeat((4 << 20) / line.len());
        let done = logpush(body);
        assert!(done.seen > 1_000, "{line:?}");
    }
    // A whole array on one line.
    let rows = vec![r#"{"Timestamp":1772438400}"#; 100_000].join(",");
    assert_eq!(logpush(format!("[{rows}]")).accepted.logs, 100_000);
}

#[test]
fn tiny_records_without_number_do_not_swell_beyond_measure() {
    let body = format!("[{}{{}}]", r#"{"a":1},"#.repeat(400_000));
    let sent = body.len();
    for done in [logpush(body.clone()), kong_log(body)] {
        let made = done.batch.as_ref().unwrap().plain_len as usize;
        assert!(made < sent * 9 + (17 << 20), "{made}");
        let rejected: u32 = done.rejected.iter().map(|bad| bad.records).sum();
        assert_eq!(done.accepted.logs + rejected, 400_001);
        assert!(done.rejected.iter().any(|bad| bad.reason == "amplification"));
    }
}
