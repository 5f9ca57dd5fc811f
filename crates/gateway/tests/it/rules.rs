//! Rules of a sink in the whole gateway: what is secret is nowhere behind them, what was left out is booked, and a sink without rules has
//! everything as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::crash::{archive_lines, settled};
use crate::gateway::Gateway;

/// What must not be seen behind the rules.
const SECRETS: [&str; 6] = [
    "tok_9f8e7d6c5b4a",
    "session=5fd0c1",
    "bob@example.com",
    "bob%40example.com",
    "4111111111111111",
    "4111 1111 1111 1111",
];

const RULES: &str = "
    rules:
      tenants: { deny: [nobody] }
      drop:
        - { attribute: http.route, equals: /healthz }
        - { field: severity, below: info }
      sample: { ratio: 0.5, keep_errors: true }
      attributes: { remove: [internal.*] }
      redact:
        - { preset: authorization }
        - { preset: cookies }
        - { preset: emails, with: hash, key: 0123456789abcdef0123456789abcdef }
        - { preset: card_numbers }
";

/// A peer that answers every request 413, so that each item ends as a dead letter; it keeps what it was sent.
fn refusing() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                let header = line.to_ascii_lowercase();
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_ok() {
                sent.lock().unwrap().extend(body);
            }
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = reader.get_mut().write_all(answer);
        }
    });
    (port, seen)
}

fn span(low_half: bool, error: bool, route: &str, name: &str) -> Value {
    let high = if low_half { '1' } else { 'f' };
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({
        // The low 56 bits are the last 14 digits.
        "traceId": format!("4bf92f3577b34da6a3{high}c{:012x}", name.len() + 17), "spanId": "00f067aa0ba902b7", "name": name,
        "startTimeUnixNano": "1772438400000000000", "endTimeUnixNano": "1772438400100000000",
        "status": { "code": if error { 2 } else { 0 } },
        "attributes": [
            text("http.route", route),
            text("http.request.header.authorization", "Bearer tok_9f8e7d6c5b4a"),
            text("note", "mail bob@example.com, card 4111 1111 1111 1111"),
            text("internal.shard", "session=5fd0c1"),
        ],
    })
}

fn traces() -> Value {
    let spans = [
        span(false, false, "/pay", "kept"),
        span(true, false, "/pay", "sampled out"),
        span(true, true, "/pay", "kept for its error"),
        span(false, false, "/healthz", "filtered"),
    ];
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

fn kong() -> Value {
    json!({
        "request": {
            "method": "POST", "uri": "/pay?mail=bob%40example.com", "size": 12,
            "headers": { "authorization": "Bearer tok_9f8e7d6c5b4a", "cookie": "session=5fd0c1", "host": "shop" },
        },
        "response": { "status": 200, "size": 3, "headers": { "set-cookie": "session=5fd0c1" } },
        "latencies": { "request": 3, "kong": 1, "proxy": 2 }, "started_at": 1772438400123u64, "client_ip": "198.18.0.1",
        "card": 4111111111111111u64,
    })
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.is_dir() {
                true => folders.push(entry),
                false => bytes.extend(std::fs::read(entry).unwrap()),
            }
        }
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn row<'a>(ledger: &'a Value, sink: &str, signal: &str) -> &'a Value {
    let mut rows = ledger["rows"].as_array().unwrap().iter();
    rows.find(|row| row["sink"] == sink && row["signal"] == signal).unwrap_or_else(|| panic!("{ledger:#}"))
}

#[test]
fn nothing_secret_passes_the_rules_and_what_is_left_out_is_booked() {
    let folder = tempfile::tempdir().unwrap();
    let (ruled, plain) = (folder.path().join("ruled"), folder.path().join("plain"));
    let (port, sent) = refusing();
    let sections = format!(
        "sinks:\n  plain: {{ type: file, folder: {} }}\n  ruled:\n    type: file\n    folder: {}{RULES}  refused:\n    type: otlp\n    endpoint: http://127.0.0.1:{port}\n    protocol: http\n    compression: none{RULES}",
        plain.display(),
        ruled.display()
    );
    let mut gateway = Gateway::start(folder.path(), &sections);
    let json = [("content-type", "application/json")];
    let answer = gateway.post("/v1/traces", &json, traces().to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = gateway.post("/ingest/kong/http-log", &json, kong().to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let debug = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "severityNumber": 5, "body": { "stringValue": "noise" } }] }] }] });
    assert_eq!(gateway.post("/v1/logs", &json, debug.to_string().as_bytes()).status, 200);

    let ledger = settled(&gateway);
    let spans = row(&ledger, "ruled", "traces");
    assert_eq!((&spans["accepted"], &spans["delivered"]), (&json!(4), &json!(2)), "{spans:#}");
    assert_eq!(spans["dropped"], json!({ "filtered": 1, "sampled": 1 }));
    let spans = row(&ledger, "refused", "traces");
    assert_eq!((&spans["delivered"], &spans["dead_letters"]), (&json!(0), &json!(2)), "{spans:#}");
    let logs: u64 = ledger["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["sink"] == "ruled" && row["signal"] == "logs")
        .map(|row| row["delivered"].as_u64().unwrap())
        .sum();
    assert_eq!(logs, 1, "{ledger:#}");
    assert_eq!(row(&ledger, "plain", "traces")["delivered"], 4);
    assert!(gateway.process.terminate().success(), "{}", gateway.process.log());

    let original = all_bytes(&plain);
    let behind = [
        all_bytes(&ruled),
        all_bytes(&folder.path().join("data/dead-letters")),
        sent.lock().unwrap().clone(),
    ];
    for bytes in &behind {
        assert!(holds(bytes, "kept for its error"), "the letters are where they are looked for");
    }
    for secret in SECRETS {
        assert!(holds(&original, secret), "{secret}: a sink without rules has it");
        assert!(behind.iter().all(|bytes| !holds(bytes, secret)), "{secret} is behind the rules");
    }
    let lines = archive_lines(&ruled);
    let text = lines.iter().map(|(_, line)| line.to_string()).collect::<String>();
    assert!(
        text.contains("[redacted]") && text.contains("[hash:") && !text.contains("internal.shard"),
        "{text}"
    );
    let body = lines
        .iter()
        .find_map(|(_, line)| line.pointer("/resourceLogs/0/scopeLogs/0/logRecords/0/body/stringValue"));
    let body: Value =
        serde_json::from_str(body.unwrap().as_str().unwrap()).expect("what was JSON is JSON still");
    assert_eq!(
        body["request"]["headers"],
        json!({ "authorization": "[redacted]", "cookie": "[redacted]", "host": "shop" })
    );
    assert_eq!((&body["card"], &body["latencies"]["proxy"]), (&json!("[redacted]"), &json!(2)));
}
