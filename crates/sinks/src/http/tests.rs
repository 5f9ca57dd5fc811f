use super::*;
use crate::fixture::{metrics, open_plain, parcel, part, spans, traces};
use model::Layout;
use serde_json::{Value, json};
use testkit::peer::{Peer, Reply, Seen};
use wire::coding::{Ceiling, inflate};

/// What became of a delivery, in one comparable form.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    Retry(Option<u64>),
    RefusedWhole,
    TooLarge,
}

fn outcome(result: Result<Receipt, Failure>) -> Outcome {
    match result {
        Ok(Receipt::Delivered) => Outcome::Delivered,
        Err(Failure::Retry { after, .. }) => Outcome::Retry(after.map(|after| after.as_secs())),
        Err(Failure::RefusedWhole { .. }) => Outcome::RefusedWhole,
        Err(Failure::TooLarge { .. }) => Outcome::TooLarge,
        other => panic!("{other:?}"),
    }
}

async fn sink(peer: &Peer, more: Value) -> Arc<dyn Sink> {
    let mut settings = json!({"url": peer.url("/in?key=1")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

/// Delivers `parcel` and shows the request that it became.
async fn request(parcel: &Parcel, more: Value) -> Seen {
    let peer = Peer::start(Reply::status(200)).await;
    assert_eq!(outcome(sink(&peer, more).await.deliver(parcel).await), Outcome::Delivered);
    peer.seen().remove(0)
}

fn two_frames() -> Parcel {
    let frames =
        vec![part(1, Coding::Gzip, &spans(&["a", "b"]), 2), part(2, Coding::Plain, &spans(&["c \"ü\n"]), 1)];
    parcel(Signal::Traces, Layout::Otlp, frames)
}

#[tokio::test]
async fn every_status_has_its_class() {
    use Outcome::{Delivered, RefusedWhole, Retry, TooLarge};
    let later = || Retry(Some(7));
    let cases = [
        (200, Delivered),
        (204, Delivered),
        (299, Delivered),
        (301, later()),
        (308, later()),
        (400, RefusedWhole),
        (401, later()),
        (403, later()),
        (404, RefusedWhole),
        (408, later()),
        (409, RefusedWhole),
        (413, TooLarge),
        (422, RefusedWhole),
        (425, later()),
        (429, later()),
        (500, later()),
        (503, later()),
        (599, later()),
        (777, later()),
    ];
    for (status, expected) in cases {
        let peer = Peer::start(Reply::status(status).header("retry-after", "7")).await;
        let sink = sink(&peer, json!({})).await;
        assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), expected, "{status}");
    }
    let peer = Peer::start(Reply::Hangup).await;
    let sink = sink(&peer, json!({})).await;
    assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), Retry(None));
}

#[tokio::test]
async fn the_operator_may_change_what_a_status_means() {
    use Outcome::{Delivered, RefusedWhole, Retry, TooLarge};
    let changed = json!({
        "delivered_statuses": [409], "retry_statuses": [404, 413], "refused_statuses": [500], "too_large_statuses": [400],
    });
    for (status, expected) in [
        (409, Delivered),
        (404, Retry(None)),
        (413, Retry(None)),
        (500, RefusedWhole),
        (400, TooLarge),
        (422, RefusedWhole),
    ] {
        let peer = Peer::start(Reply::status(status)).await;
        let sink = sink(&peer, changed.clone()).await;
        assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), expected, "{status}");
    }
}

#[tokio::test]
async fn what_the_peer_says_is_told_in_one_line() {
    for (status, text) in
        [(400, "400 Bad Request: no  field"), (403, "until they are mended: 403 Forbidden: no  field")]
    {
        let peer = Peer::start(Reply::body(status, "no\r\nfield")).await;
        let failure =
            sink(&peer, json!({})).await.deliver(&traces(1, Coding::Gzip, &["a"])).await.unwrap_err();
        assert!(failure.to_string().ends_with(text), "{failure}");
    }
}

#[tokio::test]
async fn each_item_is_a_line_in_order() {
    let seen = request(&two_frames(), json!({})).await;
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/in?key=1"));
    assert_eq!((seen.header("content-type"), seen.header("content-encoding")), ("application/x-ndjson", ""));
    let text = std::str::from_utf8(&seen.body).unwrap();
    assert!(text.ends_with('\n'));
    let names: Vec<_> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c \"ü\n"]);
}

#[tokio::test]
async fn the_same_documents_make_an_array_in_any_compression() {
    let lines = request(&two_frames(), json!({})).await;
    let expected: Vec<Value> =
        std::str::from_utf8(&lines.body).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (name, coding) in [("none", None), ("gzip", Some(Coding::Gzip)), ("zstd", Some(Coding::Zstd))] {
        let settings = json!({"format": "json_array", "compression": name, "method": "put", "content_type": "application/x; v=1"});
        let seen = request(&two_frames(), settings).await;
        assert_eq!((seen.method.as_str(), seen.header("content-type")), ("PUT", "application/x; v=1"));
        assert_eq!(seen.header("content-encoding"), if coding.is_some() { name } else { "" });
        let plain = match coding {
            Some(coding) => inflate(coding, &seen.body, Ceiling::bytes(1 << 20)).unwrap(),
            None => seen.body.to_vec(),
        };
        assert_eq!(serde_json::from_slice::<Vec<Value>>(&plain).unwrap(), expected);
    }
}

#[tokio::test]
async fn an_otlp_request_is_what_otlp_json_says() {
    let parcel = two_frames();
    let seen = request(&parcel, json!({"format": "otlp_json"})).await;
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(wire::json::to_proto(Signal::Traces, &seen.body).unwrap(), parcel.plain().unwrap());

    let seen = request(&metrics(1, &[1.5, 2.5]), json!({"format": "otlp_json"})).await;
    let request: Value = serde_json::from_slice(&seen.body).unwrap();
    let text = request.to_string();
    assert!(text.contains("\"up\"") && text.contains("1.5") && text.contains("2.5"), "{text}");
}

#[tokio::test]
async fn documents_are_laid_out_as_asked() {
    let parcel = traces(1, Coding::Plain, &["a"]);
    let ecs: Value =
        serde_json::from_slice(&request(&parcel, json!({"documents": "ecs"})).await.body).unwrap();
    let otel: Value = serde_json::from_slice(&request(&parcel, json!({})).await.body).unwrap();
    assert_ne!(ecs, otel);
    assert!(ecs.to_string().contains("01010101010101010101010101010101"), "{ecs}");
}

#[tokio::test]
async fn headers_tell_what_a_request_is_about_and_a_resend_is_named_alike() {
    let parcel = two_frames();
    let settings = json!({
        "header_templates": {"Idempotency-Key": "{range_id}", "X-About": "{tenant}/{signal}/{sink} {{x}}"},
        "headers": {"x-api-key": "k"},
        "auth": {"bearer": "t"},
    });
    let one = request(&parcel, settings.clone()).await;
    let two = request(&parcel, settings.clone()).await;
    let half = request(&parcel.cut(0..1), settings.clone()).await;
    assert_eq!(one.header("x-about"), "default/traces/test {x}");
    assert_eq!((one.header("x-api-key"), one.header("authorization")), ("k", "Bearer t"));
    assert_eq!(one.header("idempotency-key").len(), 16);
    assert_eq!(one.header("idempotency-key"), two.header("idempotency-key"));
    assert_ne!(one.header("idempotency-key"), half.header("idempotency-key"));

    let peer = Peer::start(Reply::status(200)).await;
    assert_eq!(sink(&peer, settings).await.edges(), Edges::Recorded);
    assert_eq!(sink(&peer, json!({"header_templates": {"X-T": "{tenant}"}})).await.edges(), Edges::Free);
}

#[tokio::test]
async fn a_request_above_the_limit_is_halved_unless_it_is_one_item() {
    let peer = Peer::start(Reply::status(200)).await;
    let sink = sink(&peer, json!({"max_bytes": "1KiB", "compression": "gzip"})).await;
    let long = "x".repeat(1500);
    assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &[&long, "b"])).await), Outcome::TooLarge);
    assert!(peer.seen().is_empty());
    assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &[&long])).await), Outcome::Delivered);
}

#[tokio::test]
async fn the_next_url_is_asked_when_one_cannot_serve() {
    let (away, good) = (Peer::start(Reply::status(503)).await, Peer::start(Reply::status(200)).await);
    let sink = open_plain(&ROW, json!({"urls": [away.url("/"), good.url("/")]})).await;
    for _ in 0..3 {
        assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), Outcome::Delivered);
    }
    assert_eq!((away.seen().len(), good.seen().len()), (1, 3));
}

#[test]
fn all_problems_come_at_once() {
    let problems = |settings| {
        (ROW.check)(settings).err().unwrap_or_default().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let bad = json!({
        "url": "peer", "signals": [], "format": "otlp_json", "documents": "ecs", "content_type": "a\nb", "max_items": 0,
        "max_bytes": "1B", "max_wait": "1h", "in_flight": 65, "headers": {"x-a": "s"},
        "header_templates": {"Host": "x", "X-A": "{tenant}", "x-b": "{body}", "x-c": "a\r\nb"},
        "delivered_statuses": [200, 409], "retry_statuses": [409], "tls": {"key_file": "k"},
    });
    let expected = [
        "tls.key_file",
        "url",
        "signals",
        "content_type",
        "header_templates.Host",
        "header_templates.X-A",
        "header_templates.x-b",
        "header_templates.x-c",
        "delivered_statuses[0]",
        "retry_statuses[0]",
        "max_items",
        "max_bytes",
        "max_wait",
        "in_flight",
        "documents",
    ];
    assert_eq!(problems(bad), expected);
    assert_eq!(problems(json!({})), ["url"]);
}
