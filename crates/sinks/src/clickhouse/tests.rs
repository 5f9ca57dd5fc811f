mod real;
mod telemetry;

use super::*;
use crate::fixture::{START, line, logs_of, metrics, open_plain, parcel, part, text};
use model::{Layout as Laid, RefusedItem};
use serde_json::json;
use telemetry::{all_kinds, points};
use testkit::peer::{Peer, Reply, Seen};

/// What a server describes that has exactly our columns.
fn described(table: Table) -> Reply {
    let line = |column: &tables::Column| {
        let r#type = column.ddl.split(" DEFAULT ").next().unwrap();
        format!("{}\n", json!({"name": column.name, "type": r#type, "default_type": ""}))
    };
    Reply::body(200, table.columns().map(line).collect::<String>())
}

/// Answers as a server with all tables would that takes everything.
pub(crate) fn answer(seen: &Seen) -> Reply {
    let names =
        Tables { logs: "otel_logs".into(), traces: "otel_traces".into(), metrics: "otel_metrics".into() };
    let all = [Table::Logs, Table::Traces].into_iter().chain(Table::METRICS);
    let asked =
        |table: &Table| seen.body.starts_with(format!("DESCRIBE TABLE `{}` ", names.name(*table)).as_bytes());
    all.into_iter().find(asked).map_or(Reply::status(200), described)
}

fn exception(status: u16, code: u32, text: &str) -> Reply {
    Reply::body(status, format!("Code: {code}. DB::Exception: {text}"))
        .header("x-clickhouse-exception-code", &code.to_string())
}

fn logs(bodies: &[&str]) -> Parcel {
    let records = bodies.iter().zip(0..).map(|(body, at)| line(START.0 + at, body)).collect();
    let plain = logs_of(vec![text("service.name", "shop")], records);
    parcel(Signal::Logs, Laid::Otlp, vec![part(1, Coding::Plain, &plain, bodies.len() as u32)])
}

async fn sink(peer: &Peer, more: serde_json::Value) -> Arc<dyn Sink> {
    let mut settings = json!({"url": peer.url("/?max_threads=1"), "compression": "none"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

/// One parameter of a request's query, decoded.
fn parameter(seen: &Seen, wanted: &str) -> Option<String> {
    let (_, query) = seen.path.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == wanted))?.1;
    let mut out = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            out.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Some(String::from_utf8(out).unwrap())
}

/// A peer that describes the table of logs, then answers `reply`, and at last that all is well.
async fn answered(reply: Reply, parcel: &Parcel) -> (Result<Receipt, Failure>, Vec<Seen>) {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(described(Table::Logs));
    peer.then(reply);
    let result = sink(&peer, json!({})).await.deliver(parcel).await;
    (result, peer.seen())
}

#[tokio::test]
async fn rows_go_out_under_the_names_and_types_that_the_server_has() {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(Reply::body(200, "{\"name\":\"Body\",\"type\":\"LowCardinality(String)\",\"default_type\":\"\"}\n{\"name\":\"Timestamp\",\"type\":\"DateTime64(9)\",\"default_type\":\"\"}\n"));
    let sink = sink(&peer, json!({"database": "otel", "user": "gw", "password": "s3cret"})).await;
    let parcel = logs(&["a", "größe"]);
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    let [describe, insert] = &peer.seen()[..] else { panic!() };
    assert_eq!(describe.body, "DESCRIBE TABLE `otel_logs` FORMAT JSONEachRow");
    assert_eq!(describe.path, "/?max_threads=1&database=otel");
    for seen in [describe, insert] {
        assert_eq!((seen.header("x-clickhouse-user"), seen.header("x-clickhouse-key")), ("gw", "s3cret"));
    }
    let query = "INSERT INTO `otel_logs` (`Timestamp`, `Body`) FORMAT RowBinaryWithNamesAndTypes";
    assert_eq!(parameter(insert, "query").as_deref(), Some(query));
    let token = format!("{}-0-2", parcel.range_id(FORM));
    assert_eq!(parameter(insert, "insert_deduplication_token"), Some(token));
    let mut expected = b"\x02\x09Timestamp\x04Body\x0dDateTime64(9)\x16LowCardinality(String)".to_vec();
    for (at, body) in [(START.0, "a"), (START.0 + 1, "größe")] {
        expected.extend_from_slice(&at.to_le_bytes());
        expected.push(body.len() as u8);
        expected.extend_from_slice(body.as_bytes());
    }
    assert_eq!(insert.body, expected);
    // The table is not described again.
    sink.deliver(&logs(&["b"])).await.unwrap();
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test]
async fn bodies_are_compressed_as_asked() {
    for (compression, coding) in [("gzip", Coding::Gzip), ("zstd", Coding::Zstd)] {
        let peer = Peer::start(Reply::status(200)).await;
        peer.then(described(Table::Logs));
        sink(&peer, json!({"compression": compression})).await.deliver(&logs(&["a"])).await.unwrap();
        let [describe, insert] = &peer.seen()[..] else { panic!() };
        assert_eq!(
            (describe.header("content-encoding"), insert.header("content-encoding")),
            ("", compression)
        );
        let plain =
            wire::coding::inflate(coding, &insert.body, wire::coding::Ceiling::bytes(1 << 20)).unwrap();
        assert!(plain.starts_with(b"\x11\x09Timestamp"));
    }
}

#[tokio::test]
async fn every_answer_has_its_class() {
    let old = "Code: 241, e.displayText() = DB::Exception: Memory limit, e.what() = DB::Exception";
    let late = "x\ny\nCode: 27. DB::Exception: Cannot parse input (version 26.9)";
    for (reply, expected) in [
        (Reply::status(200), "delivered"),
        // Something that merely looks like an error, in front of no exception.
        (Reply::body(200, "Code: 27 is a number"), "delivered"),
        (Reply::body(200, late), "data"),
        (Reply::body(200, "x".repeat(70_000)), "retry"),
        (Reply::status(302), "retry"),
        (Reply::status(400), "retry"),
        (Reply::status(401), "retry"),
        (Reply::status(403), "retry"),
        (Reply::status(404), "retry"),
        (Reply::status(413), "data"),
        (Reply::status(429), "retry"),
        (Reply::status(500), "retry"),
        (Reply::status(503), "retry"),
        (Reply::body(500, old), "retry"),
        (Reply::body(400, old.replace("241", "27")), "data"),
        (exception(500, 241, "Memory limit exceeded"), "retry"),
        (exception(408, 159, "Timeout exceeded"), "retry"),
        (exception(500, 202, "Too many simultaneous queries"), "retry"),
        (exception(500, 209, "Socket timeout"), "retry"),
        (exception(500, 210, "Connection refused"), "retry"),
        (exception(500, 242, "Table is in readonly mode"), "retry"),
        (exception(500, 243, "Cannot reserve 1.00 MiB, not enough space"), "retry"),
        (
            exception(
                500,
                252,
                "Too many parts (300). Merges are processing significantly slower than inserts",
            ),
            "retry",
        ),
        (exception(500, 252, "Too many partitions for single INSERT block (more than 100)"), "data"),
        (exception(500, 285, "Number of alive replicas is less than requested"), "retry"),
        (exception(500, 319, "Unknown status of insert"), "retry"),
        (exception(500, 999, "Session expired"), "retry"),
        (exception(500, 425, "System error"), "retry"),
        (exception(403, 516, "Authentication failed"), "retry"),
        (exception(403, 497, "Not enough privileges"), "retry"),
        (exception(404, 60, "Table default.otel_logs does not exist"), "retry"),
        (exception(404, 81, "Database otel does not exist"), "retry"),
        (exception(404, 115, "Unknown setting insert_deduplication_token"), "retry"),
        (exception(400, 62, "Syntax error"), "retry"),
        (exception(500, 99_999, "Something new"), "retry"),
        (exception(400, 6, "Cannot parse string 'x' as UInt32"), "data"),
        (exception(400, 27, "Cannot parse input"), "data"),
        (exception(400, 72, "Cannot parse number"), "data"),
        (exception(500, 469, "Constraint `c` is violated"), "data"),
        (exception(500, 395, "Value passed to 'throwIf' function is non-zero"), "data"),
        (exception(404, 16, "No such column EventName in table"), "layout"),
        (exception(400, 53, "Type mismatch"), "layout"),
        (exception(400, 117, "Type of 'Body' must be UInt32, not String"), "layout"),
        (Reply::Hangup, "retry"),
    ] {
        let shown = format!("{reply:?}");
        let (result, seen) = answered(reply, &logs(&["a"])).await;
        let got = match result {
            Ok(Receipt::Delivered) => "delivered",
            Err(Failure::Refused { items }) if items.len() == 1 && items[0].index == 0 => "data",
            Err(Failure::Retry { after: Some(Duration::ZERO), .. }) => "layout",
            Err(Failure::Retry { .. }) => "retry",
            other => panic!("{shown}: {other:?}"),
        };
        assert_eq!(got, expected, "{shown}");
        assert_eq!(seen.len(), 2, "{shown}");
    }
}

#[tokio::test]
async fn retry_after_is_passed_on_and_hints_are_given() {
    let (result, _) = answered(Reply::status(503).header("retry-after", "7"), &logs(&["a"])).await;
    assert!(matches!(result, Err(Failure::Retry { after: Some(after), .. }) if after.as_secs() == 7));
    for (code, hint) in [(516, "credentials"), (60, "create_schema"), (115, "deduplicate")] {
        let (result, _) = answered(exception(404, code, "x"), &logs(&["a"])).await;
        assert!(result.unwrap_err().to_string().contains(hint), "{code}");
    }
}

#[tokio::test]
async fn one_bad_row_is_found_and_all_others_are_stored() {
    let peer = Peer::start(Reply::status(200)).await;
    let bad = || exception(400, 27, "Cannot parse input");
    for reply in [described(Table::Logs), bad(), Reply::status(200), bad(), bad(), Reply::status(200)] {
        peer.then(reply);
    }
    let parcel = logs(&["a", "b", "c", "d"]);
    let reason = "400 Bad Request: Code: 27. DB::Exception: Cannot parse input".to_owned();
    let items = vec![RefusedItem { index: 2, reason }];
    assert_eq!(sink(&peer, json!({})).await.deliver(&parcel).await, Err(Failure::Refused { items }));
    let tokens: Vec<_> =
        peer.seen()[1..].iter().map(|seen| parameter(seen, "insert_deduplication_token").unwrap()).collect();
    let range = parcel.range_id(FORM);
    assert_eq!(tokens, ["0-4", "0-2", "2-4", "2-3", "3-4"].map(|rows| format!("{range}-{rows}")));
}

#[tokio::test]
async fn an_attempt_goes_on_where_the_one_before_ended() {
    let peer = Peer::start(Reply::status(200)).await;
    let bad = || exception(400, 27, "Cannot parse input");
    for reply in [described(Table::Logs), bad(), bad(), Reply::status(503), Reply::status(200)] {
        peer.then(reply);
    }
    let sink = sink(&peer, json!({})).await;
    let parcel = logs(&["a", "b"]);
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Retry { .. })));
    assert_eq!(peer.seen().len(), 4);
    let Err(Failure::Refused { items }) = sink.deliver(&parcel).await else { panic!() };
    assert_eq!((items.len(), items[0].index, peer.seen().len()), (1, 0, 5));
}

#[tokio::test]
async fn a_table_that_was_altered_is_described_again() {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(described(Table::Logs));
    peer.then(exception(404, 16, "No such column EventName in table"));
    peer.then(Reply::body(200, "{\"name\":\"Body\",\"type\":\"String\",\"default_type\":\"\"}\n"));
    let sink = sink(&peer, json!({})).await;
    let parcel = logs(&["a"]);
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Retry { after: Some(Duration::ZERO), .. })));
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    assert!(parameter(&peer.seen()[3], "query").unwrap().contains("(`Body`)"));
    // If that does not help, it is the data.
    for _ in 0..2 {
        peer.then(exception(400, 117, "Type of 'Body' must be UInt32, not String"));
        peer.then(described(Table::Logs));
    }
    let parcel = logs(&["b"]);
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Retry { .. })));
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Refused { .. })));
}

#[tokio::test]
async fn metrics_go_to_five_tables_and_a_resend_only_to_those_that_failed() {
    let peer = Peer::start(Reply::status(200)).await;
    for table in Table::METRICS {
        peer.then(described(table));
    }
    for status in [200, 200, 503] {
        peer.then(Reply::status(status));
    }
    let sink = sink(&peer, json!({"deduplicate": false})).await;
    let parcel = all_kinds();
    assert!(matches!(sink.deliver(&parcel).await, Err(Failure::Retry { .. })));
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    let tables: Vec<_> = peer.seen()[5..]
        .iter()
        .map(|seen| parameter(seen, "query").unwrap().split('`').nth(1).unwrap().to_owned())
        .collect();
    let suffixes = ["gauge", "sum", "histogram", "histogram", "exponential_histogram", "summary"];
    assert_eq!(tables, suffixes.map(|suffix| format!("otel_metrics_{suffix}")));
    assert!(peer.seen().iter().all(|seen| parameter(seen, "insert_deduplication_token").is_none()));
    // A parcel that came to its end is not remembered.
    assert_eq!(sink.deliver(&parcel).await, Ok(Receipt::Delivered));
    assert_eq!(peer.seen().len(), 5 + 6 + 5);
}

#[tokio::test]
async fn a_missing_table_holds_only_what_belongs_there() {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(described(Table::Gauge));
    for _ in 0..4 {
        peer.then(exception(404, 60, "no such table"));
    }
    let sink = sink(&peer, json!({})).await;
    assert_eq!(sink.deliver(&points(&[1.0])).await, Ok(Receipt::Delivered));
    for _ in 0..4 {
        peer.then(exception(404, 60, "no such table"));
    }
    let failure = sink.deliver(&all_kinds()).await.unwrap_err();
    assert!(failure.to_string().contains("create_schema"), "{failure}");
}

#[tokio::test]
async fn remote_write_is_translated_and_refused_points_are_booked() {
    let peer = Peer::start(Reply::status(200)).await;
    for table in Table::METRICS {
        peer.then(described(table));
    }
    let sink = sink(&peer, json!({})).await;
    assert_eq!(sink.deliver(&metrics(1, &[1.0, 2.0])).await, Ok(Receipt::Delivered));
    for reply in [exception(500, 469, "no"), Reply::status(200), exception(500, 469, "no")] {
        peer.then(reply);
    }
    let Ok(Receipt::Partly(refused)) = sink.deliver(&metrics(2, &[3.0, 4.0])).await else { panic!() };
    assert_eq!((refused.items, refused.upper_bound), (1, false));
}

#[tokio::test]
async fn the_schema_is_put_before_the_first_delivery_and_again_when_a_table_is_gone() {
    let peer = Peer::start(Reply::status(200)).await;
    let statements = 5; // database, spans, times, view, description
    for _ in 1..statements {
        peer.then(Reply::status(200));
    }
    peer.then(described(Table::Traces));
    let settings = json!({"create_schema": true, "database": "otel", "ttl": "3d", "cluster": "c1", "signals": ["traces"]});
    let sink = sink(&peer, settings).await;
    let spans = crate::fixture::traces(1, Coding::Plain, &["a"]);
    assert_eq!(sink.deliver(&spans).await, Ok(Receipt::Delivered));
    let seen = peer.seen();
    let bodies: Vec<_> =
        seen[..4].iter().map(|seen| String::from_utf8(seen.body.to_vec()).unwrap()).collect();
    assert_eq!(bodies[0], "CREATE DATABASE IF NOT EXISTS `otel` ON CLUSTER `c1`");
    assert_eq!(parameter(&seen[0], "database"), None);
    assert!(bodies[1].starts_with(
        "CREATE TABLE IF NOT EXISTS `otel`.`otel_traces` ON CLUSTER `c1` (`Timestamp` DateTime64(9)"
    ));
    assert!(bodies[1].contains("TTL toDateTime(Timestamp) + toIntervalSecond(259200)"));
    assert!(bodies[1].contains("non_replicated_deduplication_window = 1000"));
    assert!(bodies[2].contains("`otel_traces_trace_id_ts`") && bodies[3].contains("MATERIALIZED VIEW"));
    assert_eq!(seen.len(), statements + 1);
    peer.then(exception(404, 60, "gone"));
    let more = crate::fixture::traces(2, Coding::Plain, &["b"]);
    assert!(matches!(sink.deliver(&more).await, Err(Failure::Retry { .. })));
    peer.then(exception(500, 999, "Keeper"));
    let failure = sink.deliver(&more).await.unwrap_err();
    assert!(failure.to_string().contains("the schema cannot be put"), "{failure}");
}

#[tokio::test]
async fn bytes_that_are_no_telemetry_are_refused_and_rows_that_grow_too_large_are_halved() {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(described(Table::Logs));
    let sink = sink(&peer, json!({})).await;
    let broken = parcel(Signal::Logs, Laid::Otlp, vec![part(1, Coding::Plain, b"\x0a\xff", 1)]);
    assert!(matches!(sink.deliver(&broken).await, Err(Failure::RefusedWhole { .. })));
    let wide = vec![text("w", &"x".repeat(1 << 20))];
    let plain = logs_of(wide, (0..200).map(|at| line(START.0 + at, "x")).collect());
    let grown = parcel(Signal::Logs, Laid::Otlp, vec![part(1, Coding::Plain, &plain, 200)]);
    assert!(matches!(sink.deliver(&grown).await, Err(Failure::TooLarge { .. })));
    assert_eq!(peer.seen().len(), 1);
    assert_eq!(sink.deliver(&grown.cut(0..100)).await, Ok(Receipt::Delivered));
}

#[test]
fn all_problems_come_at_once() {
    let problems = |settings| {
        (ROW.check)(settings).err().unwrap_or_default().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let bad = json!({
        "url": "clickhouse", "database": "a`b", "logs_table": "", "password": "x", "signals": [], "engine": "Log", "ttl": "1d",
        "max_rows": 0, "max_bytes": "1B", "max_wait": "2m",
    });
    assert_eq!(
        problems(bad),
        [
            "password",
            "url",
            "signals",
            "database",
            "logs_table",
            "engine",
            "ttl",
            "max_rows",
            "max_bytes",
            "max_wait"
        ]
    );
    let url = "http://clickhouse:8123";
    let schema = json!({"url": url, "create_schema": true, "engine": "Log", "ttl": "1s", "cluster": "'"});
    assert_eq!(problems(schema), ["engine", "ttl", "cluster"]);
    assert_eq!(problems(json!({"url": url, "create_schema": true, "ttl": "36500d"})), ["ttl"]);
    let headers = json!({"url": url, "user": "a", "password": "x", "headers": {"X-ClickHouse-Key": "y"}});
    assert_eq!(problems(headers), ["headers"]);
    let replicated = "ReplicatedMergeTree('/t/{shard}/{table}', '{replica}')";
    assert_eq!(problems(json!({"url": url, "create_schema": true, "engine": replicated})), [""; 0]);
}
