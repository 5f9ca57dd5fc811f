use super::*;
use crate::fixture::{metrics, open_plain, parcel, part, spans, traces};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use model::Layout;
use pipeline::PeerRefused;
use serde_json::json;
use testkit::peer::grpc;
use testkit::peer::{Peer, Reply, Seen};
use wire::json::response::{self, Encoding, Partial, Status};

/// What became of a delivery, in one comparable form.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Delivered,
    Partly(u32, bool),
    Retry(Option<u64>),
    TooLarge,
}

fn outcome(result: Result<Receipt, Failure>) -> Outcome {
    match result {
        Ok(Receipt::Delivered) => Outcome::Delivered,
        Ok(Receipt::Partly(PeerRefused { items, upper_bound, .. })) => Outcome::Partly(items, upper_bound),
        Err(Failure::Retry { after, .. }) => Outcome::Retry(after.map(|after| after.as_secs())),
        Err(Failure::TooLarge { .. }) => Outcome::TooLarge,
        other => panic!("{other:?}"),
    }
}

async fn http_sink(peer: &Peer, more: serde_json::Value) -> Arc<dyn Sink> {
    let mut settings = json!({"protocol": "http", "endpoint": peer.url("/")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

async fn grpc_sink(peer: &Peer, more: serde_json::Value) -> Arc<dyn Sink> {
    let mut settings = json!({"endpoint": peer.url("")});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    open_plain(&ROW, settings).await
}

/// Delivers three spans to a peer that answers `reply`.
async fn three_spans(reply: Reply, http: bool) -> Result<Receipt, Failure> {
    let peer = Peer::start(reply).await;
    let sink = if http { http_sink(&peer, json!({})).await } else { grpc_sink(&peer, json!({})).await };
    sink.deliver(&traces(1, Coding::Gzip, &["a", "b", "c"])).await
}

fn partial(rejected: u64, message: &str, encoding: Encoding) -> Vec<u8> {
    response::export(Signal::Traces, encoding, Some(&Partial { rejected, message: message.into() }))
}

#[tokio::test]
async fn every_http_status_has_its_class() {
    use Outcome::{Delivered, Partly, Retry, TooLarge};
    let whole = || Partly(3, true);
    let cases = [
        (200, Delivered),
        (202, Delivered),
        (204, Delivered),
        (301, Retry(Some(7))),
        (307, Retry(Some(7))),
        (400, whole()),
        (401, Retry(Some(7))),
        (403, Retry(Some(7))),
        (404, whole()),
        (405, whole()),
        (408, whole()),
        (413, TooLarge),
        (415, whole()),
        (422, whole()),
        (429, Retry(Some(7))),
        (500, whole()),
        (501, whole()),
        (502, Retry(Some(7))),
        (503, Retry(Some(7))),
        (504, Retry(Some(7))),
        (505, whole()),
        (777, Retry(Some(7))),
    ];
    for (status, expected) in cases {
        let reply = Reply::status(status).header("retry-after", "7");
        assert_eq!(outcome(three_spans(reply, true).await), expected, "{status}");
    }
    let peer = Peer::start(Reply::status(500)).await;
    let sink = http_sink(&peer, json!({"retry_500": true})).await;
    assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), Retry(None));
}

#[tokio::test]
async fn retry_after_may_be_a_date() {
    // Two minutes after the fixture's clock.
    let reply = Reply::status(503).header("retry-after", "Sat, 21 Nov 2026 09:32:00 GMT");
    assert_eq!(outcome(three_spans(reply, true).await), Outcome::Retry(Some(120)));
    let reply = Reply::status(503).header("retry-after", "later");
    assert_eq!(outcome(three_spans(reply, true).await), Outcome::Retry(None));
}

#[tokio::test]
async fn refused_credentials_hold_the_data_with_a_reason_for_the_operator() {
    for (reply, http) in
        [(Reply::status(401), true), (Reply::status(403), true), (grpc::failed(16, "who"), false)]
    {
        let failure = three_spans(reply, http).await.unwrap_err();
        assert!(failure.to_string().contains("refuses our credentials"), "{failure}");
    }
}

#[tokio::test]
async fn partial_success_is_booked_by_the_peers_number_and_is_final() {
    use Outcome::{Delivered, Partly};
    let cases = [
        (0, "", Delivered),
        (0, "only a warning", Delivered),
        (1, "one is bad", Partly(1, false)),
        (3, "", Partly(3, false)),
        (u64::MAX >> 1, "more than were sent", Partly(3, false)),
    ];
    for (rejected, message, expected) in cases {
        let said = partial(rejected, message, Encoding::Protobuf);
        let receipt = three_spans(Reply::body(200, said.clone()), true).await;
        if let Ok(Receipt::Partly(refused)) = &receipt {
            assert_eq!(refused.reason, message);
        }
        assert_eq!(outcome(receipt), expected, "http {rejected}");
        assert_eq!(outcome(three_spans(grpc::ok(&said), false).await), expected, "grpc {rejected}");
    }
    let said = partial(2, "said in JSON", Encoding::Json);
    let reply = Reply::body(200, said).header("content-type", "application/json; charset=utf-8");
    assert_eq!(outcome(three_spans(reply, true).await), Partly(2, false));
}

#[tokio::test]
async fn a_success_whose_body_cannot_be_read_is_a_success() {
    let bodies: [Vec<u8>; 4] =
        [b"<html>ok</html>".to_vec(), vec![0x0a, 0xff], vec![0xff; 70 << 10], b"\0".to_vec()];
    for body in bodies {
        assert_eq!(outcome(three_spans(Reply::body(200, body.clone()), true).await), Outcome::Delivered);
        if body.len() < 1000 {
            assert_eq!(outcome(three_spans(grpc::ok(&body), false).await), Outcome::Delivered);
            let unframed = Reply::body(200, body).trailer("grpc-status", "0");
            assert_eq!(outcome(three_spans(unframed, false).await), Outcome::Delivered);
        }
    }
}

#[tokio::test]
async fn an_error_says_what_the_peer_said() {
    let status = Status { code: 3, message: "span 2 has\nno id".into(), retry: None };
    let said = response::status(Encoding::Protobuf, &status);
    let Ok(Receipt::Partly(refused)) = three_spans(Reply::body(400, said), true).await else { panic!() };
    assert_eq!(refused.reason, "400 Bad Request: span 2 has no id");
    let Ok(Receipt::Partly(refused)) = three_spans(Reply::body(400, "plain words"), true).await else {
        panic!()
    };
    assert_eq!(refused.reason, "400 Bad Request: plain words");
    let Ok(Receipt::Partly(refused)) = three_spans(grpc::failed(3, "bad%20%C3%BC%0Aid%zz%"), false).await
    else {
        panic!()
    };
    assert_eq!(refused.reason, "grpc status 3 INVALID_ARGUMENT: bad ü id%zz%");
}

#[tokio::test]
async fn every_grpc_status_has_its_class() {
    use Outcome::{Delivered, Partly, Retry, TooLarge};
    let whole = || Partly(3, true);
    let cases = [
        (0, Delivered),
        (1, Retry(None)),
        (2, whole()),
        (3, whole()),
        (4, Retry(None)),
        (5, whole()),
        (6, whole()),
        (7, Retry(None)),
        (8, TooLarge),
        (9, whole()),
        (10, Retry(None)),
        (11, Retry(None)),
        (12, whole()),
        (13, whole()),
        (14, Retry(None)),
        (15, Retry(None)),
        (16, Retry(None)),
        (99, whole()),
    ];
    for (code, expected) in cases {
        assert_eq!(
            outcome(three_spans(grpc::failed(code, "why"), false).await),
            expected,
            "{code} in trailers"
        );
        let only = three_spans(grpc::trailers_only(code, "why"), false).await;
        assert_eq!(outcome(only), expected, "{code} as trailers only");
    }
}

#[tokio::test]
async fn retry_info_says_when_and_makes_an_exhausted_peer_a_busy_one() {
    let status = Status { code: 8, message: "busy".into(), retry: Some(Duration::from_secs(9)) };
    let details = response::status(Encoding::Protobuf, &status);
    for text in [STANDARD.encode(&details), STANDARD_NO_PAD.encode(&details)] {
        for code in [8, 14, 16] {
            let reply = grpc::failed(code, "busy").trailer("grpc-status-details-bin", &text);
            assert_eq!(outcome(three_spans(reply, false).await), Outcome::Retry(Some(9)), "{code}");
            let reply = grpc::trailers_only(code, "busy").header("grpc-status-details-bin", &text);
            assert_eq!(outcome(three_spans(reply, false).await), Outcome::Retry(Some(9)), "{code}");
        }
    }
    for broken in ["", "!", "////", "AAAA"] {
        let reply = grpc::failed(14, "busy").trailer("grpc-status-details-bin", broken);
        assert_eq!(outcome(three_spans(reply, false).await), Outcome::Retry(None), "{broken:?}");
    }
}

#[tokio::test]
async fn what_is_not_grpc_judges_nothing() {
    use Outcome::{Retry, TooLarge};
    let cases = [
        (200, Retry(None)),
        (400, Retry(None)),
        (404, Retry(None)),
        (413, TooLarge),
        (502, Retry(None)),
        (401, Retry(None)),
    ];
    for (status, expected) in cases {
        let reply = Reply::body(status, "<html>").header("content-type", "text/html");
        assert_eq!(outcome(three_spans(reply, false).await), expected, "{status}");
    }
    assert_eq!(
        outcome(three_spans(grpc::ok(&vec![0; 100 << 10]), false).await),
        Retry(None),
        "an endless answer"
    );
    assert_eq!(outcome(three_spans(Reply::Hangup, false).await), Retry(None));
    let no_number = Reply::status(200).trailer("grpc-status", "fine");
    assert_eq!(outcome(three_spans(no_number, false).await), Retry(None));
}

#[tokio::test]
async fn an_answer_that_was_compressed_unasked_is_read() {
    let said = wire::coding::compress(Coding::Gzip, 1, &partial(2, "bad", Encoding::Protobuf));
    let mut body = grpc::frame(&said).to_vec();
    body[0] = 1;
    let reply = Reply::body(200, body.clone()).header("grpc-encoding", "gzip").trailer("grpc-status", "0");
    assert_eq!(outcome(three_spans(reply, false).await), Outcome::Partly(2, false));
    let unknown = Reply::body(200, body).header("grpc-encoding", "br").trailer("grpc-status", "0");
    assert_eq!(outcome(three_spans(unknown, false).await), Outcome::Delivered);
    let bomb = wire::coding::compress(Coding::Gzip, 9, &vec![0; 8 << 20]);
    let mut body = grpc::frame(&bomb).to_vec();
    body[0] = 1;
    let reply = Reply::body(200, body).header("grpc-encoding", "gzip").trailer("grpc-status", "0");
    assert_eq!(outcome(three_spans(reply, false).await), Outcome::Delivered);
}

#[tokio::test]
async fn a_frame_in_the_right_coding_goes_out_byte_for_byte() {
    for (name, coding) in [("gzip", Coding::Gzip), ("zstd", Coding::Zstd), ("none", Coding::Plain)] {
        let parcel = traces(1, coding, &["a", "b"]);
        let peer = Peer::start(Reply::status(200)).await;
        let sink = http_sink(&peer, json!({"compression": name})).await;
        sink.deliver(&parcel).await.unwrap();
        let seen = &peer.seen()[0];
        assert_eq!(seen.body, parcel.parts[0].body);
        assert_eq!(seen.header("content-encoding"), if name == "none" { "" } else { name });
        assert_eq!(
            (seen.path.as_str(), seen.header("content-type")),
            ("/v1/traces", "application/x-protobuf")
        );

        let peer = Peer::start(grpc::ok(b"")).await;
        let sink = grpc_sink(&peer, json!({"compression": name})).await;
        sink.deliver(&parcel).await.unwrap();
        let seen = &peer.seen()[0];
        assert_eq!(grpc::unframe(&seen.body), Some((name != "none", &parcel.parts[0].body[..])));
        assert_eq!(seen.header("grpc-encoding"), if name == "none" { "" } else { name });
        assert_eq!((seen.header("te"), seen.header("content-type")), ("trailers", "application/grpc"));
        assert_eq!(seen.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    }
}

/// The plain message that a peer reads from one request over HTTP.
fn read(seen: &Seen) -> Vec<u8> {
    let coding = match seen.header("content-encoding") {
        "gzip" => Coding::Gzip,
        "zstd" => Coding::Zstd,
        _ => return seen.body.to_vec(),
    };
    wire::coding::inflate(coding, &seen.body, wire::coding::Ceiling::bytes(1 << 24)).unwrap()
}

#[tokio::test]
async fn frames_in_another_coding_or_joined_are_compressed_anew_as_one_member() {
    let peer = Peer::start(Reply::status(200)).await;
    let sink = http_sink(&peer, json!({})).await;
    let frames = |coding| vec![part(1, coding, &spans(&["a"]), 1), part(2, coding, &spans(&["b"]), 1)];
    let union = [spans(&["a"]), spans(&["b"])].concat();
    for (number, coding) in [Coding::Plain, Coding::Gzip, Coding::Zstd].into_iter().enumerate() {
        sink.deliver(&parcel(Signal::Traces, Layout::Otlp, frames(coding))).await.unwrap();
        let seen = &peer.seen()[number];
        assert_eq!((seen.header("content-encoding"), read(seen)), ("gzip", union.clone()));
        // ISIZE of the last member: the whole, so there is one member only.
        assert!(seen.body.ends_with(&(union.len() as u32).to_le_bytes()));
    }
}

#[tokio::test]
async fn a_gzip_frame_of_several_members_is_made_one() {
    let (one, two) = (spans(&["a"]), spans(&["b"]));
    let mut frame = part(1, Coding::Plain, &[one.clone(), two.clone()].concat(), 2);
    let members = [&one, &two].map(|plain| wire::coding::compress(Coding::Gzip, 1, plain)).concat();
    (frame.coding, frame.body) = (Coding::Gzip, members.clone().into());
    let peer = Peer::start(Reply::status(200)).await;
    let sink = http_sink(&peer, json!({})).await;
    sink.deliver(&parcel(Signal::Traces, Layout::Otlp, vec![frame])).await.unwrap();
    let seen = &peer.seen()[0];
    assert_ne!(seen.body, members);
    assert_eq!(read(seen), [one, two].concat());
}

#[tokio::test]
async fn a_request_above_the_limit_is_not_sent() {
    let peer = Peer::start(Reply::status(200)).await;
    let sink = http_sink(&peer, json!({"max_bytes": "1KiB", "compression": "none"})).await;
    let long = "x".repeat(600);
    let two = parcel(
        Signal::Traces,
        Layout::Otlp,
        vec![part(1, Coding::Plain, &spans(&[&long]), 1), part(2, Coding::Plain, &spans(&[&long]), 1)],
    );
    assert_eq!(outcome(sink.deliver(&two).await), Outcome::TooLarge);
    assert!(peer.seen().is_empty());
    // One item cannot be halved: the peer decides.
    let longer = "x".repeat(2000);
    assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &[&longer])).await), Outcome::Delivered);
}

#[tokio::test]
async fn remote_write_metrics_arrive_as_otlp() {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use prost::Message;
    let peer = Peer::start(Reply::status(200)).await;
    let sink = http_sink(&peer, json!({})).await;
    sink.deliver(&metrics(1, &[1.5, 2.5])).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.path, "/v1/metrics");
    let request = ExportMetricsServiceRequest::decode(&read(seen)[..]).unwrap();
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    assert!(metrics.clone().count() > 0);
    assert!(metrics.into_iter().all(|metric| metric.name == "up"));
}

#[tokio::test]
async fn credentials_and_headers_are_sent_and_never_shown() {
    let peer = Peer::start(Reply::status(200)).await;
    let secrets = json!({"headers": {"x-scope-orgid": "s3cret-a"}, "auth": {"basic": {"user": "u", "password": "s3cret-b"}}});
    let sink = http_sink(&peer, secrets).await;
    sink.deliver(&traces(1, Coding::Gzip, &["a"])).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!(seen.header("x-scope-orgid"), "s3cret-a");
    assert_eq!(seen.header("authorization"), format!("Basic {}", STANDARD.encode("u:s3cret-b")));
    let settings: Settings = serde_json::from_value(json!({
        "endpoint": "http://a", "headers": {"x": "s3cret"}, "auth": {"bearer": "s3cret"},
    }))
    .unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[tokio::test]
async fn signals_that_go_to_different_hosts_are_away_each_on_its_own() {
    for (settings, one) in [
        (json!({"protocol": "http", "endpoint": "http://peer:4318"}), true),
        (json!({"endpoints": ["http://a:4317", "http://b:4317"]}), true),
        (
            json!({"protocol": "http", "endpoint": "http://peer:4318", "logs_url": "http://peer:4318/in"}),
            true,
        ),
        (
            json!({"protocol": "http", "endpoint": "http://peer:4318", "logs_url": "http://logs:4318/in"}),
            false,
        ),
        (json!({"protocol": "http", "logs_url": "http://logs", "signals": ["logs"]}), true),
    ] {
        assert_eq!(open_plain(&ROW, settings.clone()).await.is_one_peer(), one, "{settings}");
    }
}

#[test]
fn each_signal_goes_to_its_url() {
    let url = |settings: serde_json::Value| {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        let mut problems = Vec::new();
        let urls = urls(&settings, &mut problems);
        assert_eq!(problems, []);
        urls.into_iter().flat_map(|(_, urls)| urls).map(|url| url.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        url(
            json!({"protocol": "http", "endpoint": "https://peer/otlp/", "logs_url": "http://logs/in?key=1"})
        ),
        ["https://peer/otlp/v1/traces", "http://logs/in?key=1", "https://peer/otlp/v1/metrics"]
    );
    assert_eq!(
        url(json!({"protocol": "http", "logs_url": "http://logs", "signals": ["logs"]})),
        ["http://logs/"]
    );
    assert_eq!(
        url(json!({"endpoint": "http://peer:4317", "signals": ["metrics", "metrics"]})),
        ["http://peer:4317/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"]
    );
    assert_eq!(
        url(json!({"protocol": "http", "endpoints": ["http://a", "http://b/base"], "signals": ["logs"]})),
        ["http://a/v1/logs", "http://b/base/v1/logs"]
    );
}

#[tokio::test]
async fn another_endpoint_is_asked_at_once_when_one_cannot_serve() {
    for (protocol, away, good) in [
        ("http", Reply::status(503), Reply::status(200)),
        ("grpc", grpc::trailers_only(14, "going down"), grpc::ok(b"")),
        ("grpc", Reply::status(502), grpc::ok(b"")),
        ("grpc", Reply::Hangup, grpc::ok(b"")),
    ] {
        let (away, good) = (Peer::start(away).await, Peer::start(good).await);
        let endpoints = [away.url(""), good.url("")];
        let sink = open_plain(&ROW, json!({"protocol": protocol, "endpoints": endpoints})).await;
        for _ in 0..3 {
            assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), Outcome::Delivered);
        }
        assert_eq!((away.seen().len(), good.seen().len()), (1, 3), "{protocol}");
    }
    // What is wrong with the data is as wrong elsewhere.
    let (one, two) = (Peer::start(Reply::status(400)).await, Peer::start(Reply::status(400)).await);
    let endpoints = [one.url(""), two.url("")];
    let sink = open_plain(&ROW, json!({"protocol": "http", "endpoints": endpoints})).await;
    assert_eq!(outcome(sink.deliver(&traces(1, Coding::Gzip, &["a"])).await), Outcome::Partly(1, true));
    assert_eq!(one.seen().len() + two.seen().len(), 1);
}

#[tokio::test]
async fn the_tenant_is_named_where_the_operator_wants_it() {
    let (http, rpc) = (Peer::start(Reply::status(200)).await, Peer::start(grpc::ok(b"")).await);
    let named = json!({"tenant_header": "X-Scope-OrgID"});
    let mut parcel = traces(1, Coding::Gzip, &["a"]);
    parcel.tenant = model::Tenant::new("team-a").unwrap();
    http_sink(&http, named.clone()).await.deliver(&parcel).await.unwrap();
    grpc_sink(&rpc, named).await.deliver(&parcel).await.unwrap();
    assert_eq!(http.seen()[0].header("x-scope-orgid"), "team-a");
    assert_eq!(rpc.seen()[0].header("x-scope-orgid"), "team-a");
}

#[test]
fn all_problems_come_at_once() {
    let problems = |settings| {
        (ROW.check)(settings).err().unwrap_or_default().into_iter().map(|p| p.path).collect::<Vec<_>>()
    };
    let bad = json!({
        "endpoint": "http://peer/path", "traces_url": "http://x", "signals": ["traces", "logs"], "max_bytes": "1B",
        "max_wait": "1h", "in_flight": 0, "headers": {"Host": "x"}, "auth": {"bearer": "a\nb"},
    });
    let expected =
        ["headers.Host", "auth.bearer", "endpoint", "traces_url", "max_bytes", "max_wait", "in_flight"];
    assert_eq!(problems(bad), expected);
    assert_eq!(problems(json!({})), ["endpoint"; 3]);
    assert_eq!(problems(json!({"endpoint": "http://peer?x=1", "protocol": "http"})), ["endpoint"]);
    assert_eq!(problems(json!({"endpoint": "http://peer", "signals": []})), ["signals"]);
    assert_eq!(problems(json!({"endpoint": "http://peer", "endpiont": 1})).len(), 1);
    assert_eq!(problems(json!({"endpoint": "http://a", "endpoints": ["http://b"]})), ["endpoints"]);
    assert_eq!(problems(json!({"endpoints": ["http://a", "b"]})), ["endpoints[1]"]);
    let reach = json!({
        "endpoint": "http://a", "tenant_header": "Host", "proxy": "socks5://p", "no_proxy": ["/"],
        "tls": {"cert_file": "x.pem"},
    });
    assert_eq!(problems(reach), ["tls.cert_file", "tenant_header", "proxy", "no_proxy[0]"]);
}

#[tokio::test]
async fn a_signal_that_was_not_asked_for_is_not_sent() {
    let peer = Peer::start(Reply::status(200)).await;
    let sink = http_sink(&peer, json!({"signals": ["logs"]})).await;
    assert_eq!(sink.signals(), [Signal::Logs]);
    let failure = sink.deliver(&traces(1, Coding::Gzip, &["a"])).await.unwrap_err();
    assert!(matches!(failure, Failure::RefusedWhole { .. }));
    assert!(peer.seen().is_empty());
}

#[tokio::test]
async fn metrics_stay_in_order_while_others_may_overlap() {
    let peer = Peer::start(Reply::status(200)).await;
    let sink = http_sink(&peer, json!({"in_flight": 3})).await;
    assert_eq!(
        [Signal::Traces, Signal::Logs, Signal::Metrics].map(|signal| sink.in_flight(signal)),
        [3, 3, 1]
    );
}
