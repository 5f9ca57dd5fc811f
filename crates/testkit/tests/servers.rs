//! The real servers start, take data, answer questions, and come back with their data after a kill.

use serde_json::json;
use tidegate_testkit::process::{eventually, http};
use tidegate_testkit::server::{
    Chdb, ClickHouse, Kafka, Kind, Loki, OpenSearch, S3, Store, VictoriaMetrics, Zipkin, all,
};

fn takes_documents_and_keeps_them(mut server: OpenSearch, more: &[&str]) {
    let write = |server: &OpenSearch, id: &str| {
        let answer = server.request("PUT", &format!("/things/_doc/{id}"), &json!({ "name": "Ünïcödé €" }));
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    assert_eq!(server.count("things"), 0);
    write(&server, "1");
    server.restart();
    write(&server, "2");
    assert_eq!(server.count("things"), 2);
    let mut found = server.documents("things");
    found.sort_by_key(|document| document["_id"].to_string());
    assert_eq!(found[0]["_id"], "1");
    assert_eq!(found[1]["_source"]["name"], "Ünïcödé €");
    if !more.is_empty() {
        server.restart_with(more);
        let answer = server.request("PUT", "/things/_doc/3", &json!({ "name": "x".repeat(4096) }));
        assert_eq!(answer.status, 429, "{}", answer.text());
    }
}

#[test]
fn opensearch_takes_documents_keeps_them_and_pushes_back_when_told_to() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let server = OpenSearch::start(folder.path());
    takes_documents_and_keeps_them(server, &["indexing_pressure.memory.limit=1kb"]);
}

#[test]
fn elasticsearch_takes_documents_and_keeps_them() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let server = OpenSearch::start_with(Kind::Elasticsearch7, folder.path(), &[]);
    let root = server.request("GET", "/", &json!(null)).json();
    assert_eq!(root["version"]["number"], "7.10.2");
    takes_documents_and_keeps_them(server, &[]);
}

#[test]
fn kafka_is_ready_when_it_says_so_and_comes_back() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut kafka = Kafka::start_with(folder.path(), "message.max.bytes=20000");
    kafka.restart();
    assert!(kafka.process.terminate().code().is_some());
    kafka.restart();
}

#[test]
fn a_secure_kafka_listens_on_three_ports() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let kafka = Kafka::start_secure(folder.path());
    for port in [kafka.port, kafka.sasl_port, kafka.tls_port] {
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "{port}");
    }
    let certificate = std::fs::read_to_string(kafka.ca()).expect("a certificate");
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
}

#[test]
fn clickhouse_keeps_rows_and_knows_passwords() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = ClickHouse::start(folder.path());
    server.query("CREATE TABLE things (id UInt64, name String) ENGINE = MergeTree ORDER BY id");
    server.query("INSERT INTO things VALUES (1, 'Ünïcödé €'), (2, '')");
    server.restart();
    let rows = server.rows("SELECT name FROM things ORDER BY id");
    assert_eq!(rows, [json!({ "name": "Ünïcödé €" }), json!({ "name": "" })]);
    let ask = |password: &str| {
        let headers = [("x-clickhouse-user", ClickHouse::USER), ("x-clickhouse-key", password)];
        http(server.port, "POST", "/", &headers, b"SELECT 1").expect("an answer").status
    };
    assert_eq!((ask(ClickHouse::PASSWORD), ask("wrong")), (200, 401));
}

#[test]
fn the_clickhouse_engine_of_today_takes_binary_rows_and_forgets_a_requests_settings() {
    if !all() {
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = Chdb::start(folder.path());
    server.query(
        "CREATE TABLE things (at DateTime64(9), tags Map(LowCardinality(String), String)) ENGINE = MergeTree ORDER BY at
         SETTINGS non_replicated_deduplication_window = 100",
    );
    let mut row = 1_700_000_000_123_456_789_i64.to_le_bytes().to_vec();
    row.extend_from_slice(b"\x01\x01k\x03\"\n\xff");
    let insert = |token: &str| {
        let path = format!("/?query=INSERT+INTO+things+FORMAT+RowBinary&insert_deduplication_token={token}");
        let answer = http(server.port, "POST", &path, &[], &row).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    for token in ["a", "a", "b"] {
        insert(token);
    }
    let refused = http(server.port, "POST", "/?query=SELECT+1+FROM+nothing", &[], b"").expect("an answer");
    assert_eq!((refused.status, refused.header("x-clickhouse-exception-code")), (404, Some("60")));
    server.restart();
    let rows =
        server.rows("SELECT toString(toUnixTimestamp64Nano(at)) AS at, hex(tags['k']) AS v FROM things");
    assert_eq!(rows, vec![json!({ "at": "1700000000123456789", "v": "220AFF" }); 2]);
}

#[test]
fn victoriametrics_exports_what_it_was_given() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = VictoriaMetrics::start(folder.path());
    let at = tidegate_testkit::process::now().as_millis();
    let line = format!("thing{{a=\"b\"}} 2.5 {at}");
    let answer =
        http(server.port, "POST", "/api/v1/import/prometheus", &[], line.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    let check = |server: &VictoriaMetrics| {
        let series =
            eventually("the series", || Some(server.export("thing")).filter(|series| !series.is_empty()));
        assert_eq!(series[0]["metric"], json!({ "__name__": "thing", "a": "b" }));
        assert_eq!((&series[0]["values"], &series[0]["timestamps"]), (&json!([2.5]), &json!([at])));
        eventually("the count", || {
            (server.query("count_over_time(thing[1h])")[0]["value"][1] == "1").then_some(())
        });
    };
    check(&server);
    assert!(server.process.terminate().success());
    server.restart();
    check(&server);
}

fn keeps_objects(store: Store) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = S3::start_with(store, folder.path());
    server.make_bucket("things");
    let keys = ["a/day=2026-01-01/1.bin", "a/day=2026-01-01/2 +&ü.bin", "b/3.bin"];
    for key in keys {
        server.put("things", key, key.as_bytes());
    }
    server.restart();
    assert_eq!(server.keys("things", ""), keys);
    assert_eq!(server.keys("things", "a/"), keys[..2]);
    assert_eq!(server.get("things", keys[1]), keys[1].as_bytes());
    let unsigned = http(server.port, "GET", "/things/b/3.bin", &[], b"").expect("an answer");
    assert_eq!(unsigned.status, 403, "{}", unsigned.text());
}

#[test]
fn s3s_fs_keeps_objects_for_those_who_sign() {
    keeps_objects(Store::S3sFs);
}

#[test]
fn minio_keeps_objects_for_those_who_sign() {
    if all() {
        keeps_objects(Store::MinIo);
    }
}

#[test]
fn loki_keeps_lines_and_pushes_back_when_told_to() {
    if !all() {
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let mut server = Loki::start(folder.path());
    let at = tidegate_testkit::process::now().as_nanos() as u64;
    let push = |server: &Loki, line: &str| {
        let value = json!([at.to_string(), line, { "trace_id": "abc" }]);
        let body = json!({ "streams": [{ "stream": { "app": "a" }, "values": [value] }] }).to_string();
        let headers = [("content-type", "application/json")];
        http(server.port, "POST", "/loki/api/v1/push", &headers, body.as_bytes()).expect("an answer").status
    };
    assert_eq!(push(&server, "Ünïcödé €"), 204);
    server.restart();
    let streams = eventually("the line", || {
        Some(server.query_range("{app=\"a\"}", at - 1, at + 1, 10)).filter(|found| found[0].is_object())
    });
    assert_eq!(streams[0]["stream"]["trace_id"], "abc");
    assert_eq!(streams[0]["values"], json!([[at.to_string(), "Ünïcödé €"]]));
    server.restart_with("ingestion_rate_mb: 0.0001, ingestion_burst_size_mb: 0.0001");
    assert_eq!(push(&server, &"x".repeat(4096)), 429);
}

#[test]
fn zipkin_answers_a_trace_by_its_id() {
    if !all() {
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let server = Zipkin::start(folder.path());
    let id = "5b8efff798038103d269b633813fc60c";
    let span = json!([{ "traceId": id, "id": "eee19b7ec3c1b174", "name": "op", "timestamp": 1_700_000_000_000_000_u64 }]);
    let headers = [("content-type", "application/json")];
    let answer =
        http(server.port, "POST", "/api/v2/spans", &headers, span.to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
    let trace = eventually("the trace", || server.trace(id));
    assert_eq!(trace[0]["name"], "op");
}

#[test]
fn opensearch_3_takes_documents_and_keeps_them() {
    if !all() {
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let server = OpenSearch::start_with(Kind::OpenSearch3, folder.path(), &[]);
    takes_documents_and_keeps_them(server, &["indexing_pressure.memory.limit=1kb"]);
}
