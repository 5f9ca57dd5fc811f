use proptest::prelude::*;

use super::*;

const SAMPLES: [&str; 8] = [
    "cloudflare/http_requests.envelope.json",
    "cloudflare/http_requests.merged_subrequests.ndjson",
    "cloudflare/workers_trace_events.ndjson",
    "cloudflare/edge_request_legacy.ndjson",
    "cloudflare/firewall_events.ndjson",
    "cloudflare/tail_worker.json",
    "kong/http-log-3x-background.json",
    "kong/http-log-2x-batch.json",
];

/// Every byte is in a record, in a rejection, or is framing; whatever is written is well-formed.
fn holds(done: &Normalized) -> Result<(), TestCaseError> {
    let found = rows(done);
    let parts = ["cloudflare.worker.console", "cloudflare.worker.exception"];
    let parents = found.iter().filter(|row| !parts.contains(&row.event.as_str())).count() as u32;
    let rejected: u32 = done.rejected.iter().map(|bad| bad.records).sum();
    // A record with merged subrequests gives several rows of the same kind.
    let merged = found.iter().any(|row| match &row.body {
        Some(Value::StringValue(text)) => text.contains("ubrequests"),
        Some(Value::BytesValue(bytes)) => bytes.windows(10).any(|part| part == b"ubrequests"),
        _ => false,
    });
    prop_assert!(merged || parents + rejected == done.seen, "{parents} + {rejected} of {}", done.seen);
    for bad in &done.rejected {
        prop_assert!(bad.index < done.seen && bad.bytes.len() <= 64 << 10 && !bad.message.is_empty());
    }
    Ok(())
}

fn both_shapes(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let bytes = Bytes::from(bytes);
    holds(&logpush(bytes.clone()))?;
    holds(&kong_log(bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn arbitrary_bytes_never_panic_and_counts_add_up(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        both_shapes(bytes)?;
    }

    #[test]
    fn pieces_of_json_never_panic_and_counts_add_up(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\n", "\"a\"", "\"RayID\":", "\"EdgeStartTimestamp\":1772438400", "{\"events\":[", "\"info\":{",
        "\"6a63ddb61ec24c64\"", "1", "-1.5e3", "null", "\"\\ud800\"", "\"", "\\", "x", " ", "\"RequestHeaders\":{\"b3\":\"1\"}",
        "\"Logs\":[{}]", "\"ScriptName\":\"s\"", "\"EventTimestamp\":1", "\"Subrequests\":[{\"RayID\":1}]", "\"trace_id\":{\"w3c\":\"1\"}",
        "\"tries\":[{\"ip\":1}]", "\"request\":{\"headers\":[]}", "\"EdgeRequest.ID\":{}", "\u{feff}",
    ]), 0..40)) {
        both_shapes(pieces.concat().into_bytes())?;
    }

    #[test]
    fn mutated_samples_never_panic_and_counts_add_up(
        name in prop::sample::select(&SAMPLES[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = testkit::sample(name);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        both_shapes(bytes)?;
    }

    #[test]
    fn cutting_at_line_ends_changes_nothing(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let text = testkit::sample("cloudflare/workers_trace_events.ndjson");
        let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(lines.len())).collect();
        cuts.extend([0, lines.len()]);
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        for pair in cuts.windows(2) {
            pieces.extend(rows(&logpush(lines[pair[0]..pair[1]].concat())));
        }
        prop_assert_eq!(pieces, rows(&logpush(text)));
    }
}
