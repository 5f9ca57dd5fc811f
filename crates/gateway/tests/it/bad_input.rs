//! Hostile input against the whole gateway: the right status, a message, bounded memory, and the process goes on.

use crate::gateway::Gateway;

/// Megabytes that the gateway may use at most, whatever comes in: the memory limit below and what the process itself needs.
const MAX_RSS_MIB: u64 = 400;

#[test]
fn hostile_bodies_get_their_status_and_memory_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), "memory: { limit: 128MiB }\n");
    let logpush = "/ingest/cloudflare/logpush/http_requests";
    let kong = "/ingest/kong/http-log";
    let protobuf = ("content-type", "application/x-protobuf");
    let json = ("content-type", "application/json");
    let gzip = ("content-encoding", "gzip");
    let snappy = ("content-encoding", "snappy");
    let sample = |name: &str| testkit::sample(&format!("hostile/{name}"));
    let bomb = sample("bomb_64mib_zeros.gz");
    let four_gib = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0];
    let cases: Vec<(&str, Vec<(&str, &str)>, Vec<u8>, u16)> = vec![
        (logpush, vec![gzip], bomb.clone(), 200),
        ("/v1/traces", vec![protobuf, gzip], bomb.clone(), 413),
        (logpush, vec![gzip], sample("truncated.ndjson.gz"), 503),
        (logpush, vec![gzip], sample("truncated.ndjson.gz"), 200),
        (logpush, vec![gzip], sample("concatenated_members.ndjson.gz"), 200),
        (logpush, vec![gzip], sample("split_line_across_members.ndjson.gz"), 200),
        (logpush, vec![gzip], sample("trailing_garbage.ndjson.gz"), 200),
        (logpush, vec![], sample("mixed_good_bad.ndjson"), 200),
        (logpush, vec![], sample("invalid_utf8.ndjson"), 200),
        (logpush, vec![], sample("numbers.ndjson"), 200),
        (logpush, vec![], sample("deep_nesting.json"), 200),
        (logpush, vec![], vec![], 200),
        (kong, vec![json], sample("kong_raw_bytes.json"), 200),
        (kong, vec![json], sample("kong_empty_array.json"), 200),
        (kong, vec![json], sample("deep_nesting.json"), 200),
        (kong, vec![json], b"not json".to_vec(), 200),
        ("/v1/traces", vec![json], sample("deep_nesting.json"), 400),
        ("/v1/traces", vec![protobuf], b"\xff\xff\xff\xff".to_vec(), 400),
        ("/v1/traces", vec![("content-type", "text/plain")], b"x".to_vec(), 415),
        ("/v1/logs", vec![json], b"{\"resourceLogs\":".to_vec(), 400),
        ("/v1/metrics", vec![protobuf, gzip], sample("truncated.ndjson.gz"), 400),
        ("/api/v1/write", vec![protobuf, snappy], four_gib, 400),
        ("/api/v1/write", vec![protobuf, snappy], vec![], 400),
        ("/api/v1/write", vec![protobuf, gzip], bomb, 415),
        ("/api/v1/write", vec![json, snappy], b"x".to_vec(), 415),
    ];
    for (path, headers, body, status) in cases {
        let answer = gateway.post(path, &headers, &body);
        assert_eq!(answer.status, status, "{path} {headers:?} {} bytes: {}", body.len(), answer.text());
        if status >= 400 {
            assert!(!answer.text().is_empty(), "{path} {headers:?}: a refusal says why");
        }
    }
    let peak = peak_mib(gateway.process.pid());
    assert!(peak <= MAX_RSS_MIB, "the gateway used {peak} MiB");
    let ledger = gateway.ledger();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    let metrics = gateway.get("/metrics").text();
    assert!(metrics.lines().any(|l| l.starts_with("tidegate_receiver_rejected_records_total{")), "{metrics}");
    let answer = gateway.post("/v1/traces", &[json], b"{}");
    assert_eq!(answer.status, 200, "it still serves: {}", answer.text());
}

fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
