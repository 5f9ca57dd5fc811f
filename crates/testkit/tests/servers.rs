//! The real servers start, take data, answer questions, and come back with their data after a kill.

use serde_json::json;
use tidegate_testkit::server::{Kafka, Kind, OpenSearch};

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
