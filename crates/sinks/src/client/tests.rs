mod proxies;
mod tls;

use super::*;
use crate::fixture::SetClock;
use http::StatusCode;
use testkit::peer::{Peer, Reply};

fn client(speak: Speak, headers: HeaderMap) -> Client {
    Client::open(speak, None, headers, Arc::new(SetClock::new())).unwrap()
}

async fn post(peer: &Peer, speak: Speak) -> Result<Answer, Failure> {
    let url = peer.url("/secret-path?token=s3cret").parse().unwrap();
    client(speak, HeaderMap::new())
        .post(&url, HeaderMap::new(), bytes::Bytes::from_static(b"body").into())
        .await
}

/// A client that is open as written.
fn as_written(speak: Speak, written: &Written<'_>) -> Result<Client, String> {
    let mut problems = Vec::new();
    let plan = Plan::check(written, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    Client::of(speak, plan, Arc::new(SetClock::new()))
}

/// Nothing but the URL is written.
fn nothing() -> Written<'static> {
    static NO_HEADERS: settings::Headers = settings::Headers::new();
    Written { headers: &NO_HEADERS, tenant_header: None, auth: None, tls: None, proxy: None, no_proxy: &[] }
}

fn certificate(name: &str) -> std::path::PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/client/certificates");
    std::path::Path::new(folder).join(name)
}

fn retry(result: Result<Answer, Failure>) -> String {
    match result {
        Err(Failure::Retry { after: None, reason } | Failure::Unreachable { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_body_arrives_whole_in_either_version() {
    for (speak, version) in [(Speak::Http, http::Version::HTTP_11), (Speak::Http2, http::Version::HTTP_2)] {
        let peer = Peer::start(Reply::body(202, "fine")).await;
        let answer = post(&peer, speak).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..], answer.whole),
            (StatusCode::ACCEPTED, &b"fine"[..], true)
        );
        let seen = &peer.seen()[0];
        assert_eq!(
            (seen.version, &seen.body[..], seen.path.as_str()),
            (version, &b"body"[..], "/secret-path?token=s3cret")
        );
        assert!(seen.header("user-agent").starts_with("tidegate/"));
    }
}

#[tokio::test]
async fn a_framed_payload_is_its_pieces_in_order() {
    for (head, rest) in [("head", "rest"), ("", "rest"), ("head", ""), ("", "")] {
        let peer = Peer::start(Reply::status(200)).await;
        let url = peer.url("/").parse().unwrap();
        let payload = Payload::framed(head.into(), rest.into());
        client(Speak::Http2, HeaderMap::new()).post(&url, HeaderMap::new(), payload).await.unwrap();
        assert_eq!(peer.seen()[0].body, format!("{head}{rest}"));
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Peer::start(Reply::status(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let peer = Peer::start(Reply::status(status).header("location", &other.url("/"))).await;
        assert_eq!(post(&peer, Speak::Http).await.unwrap().status.as_u16(), status);
        assert_eq!(peer.seen().len(), 1);
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn no_more_than_64_kib_of_an_answer_is_read() {
    let at_limit = Peer::start(Reply::body(200, vec![b'x'; answer::BODY_LIMIT])).await;
    let answer = post(&at_limit, Speak::Http).await.unwrap();
    assert_eq!((answer.body.len(), answer.whole), (answer::BODY_LIMIT, true));
    for speak in [Speak::Http, Speak::Http2] {
        let beyond = Peer::start(Reply::body(200, vec![b'x'; answer::BODY_LIMIT + 1])).await;
        let answer = post(&beyond, speak).await.unwrap();
        assert_eq!((answer.body.len(), answer.whole), (answer::BODY_LIMIT, false));
    }
}

#[tokio::test]
async fn a_large_head_is_no_answer() {
    let peer = Peer::start(Reply::status(200).header("x-large", &"x".repeat(200 << 10))).await;
    for speak in [Speak::Http, Speak::Http2] {
        retry(post(&peer, speak).await);
    }
}

#[tokio::test]
async fn without_an_answer_the_reason_names_the_peer_and_hides_path_and_query() {
    let hangup = Peer::start(Reply::Hangup).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for speak in [Speak::Http, Speak::Http2] {
        let reason = retry(post(&hangup, speak).await);
        let named = format!("http://{} gave no answer: ", hangup.address());
        assert!(reason.starts_with(&named) && !reason.contains("s3cret"), "{reason}");
        let url = format!("http://{free}/s3cret").parse().unwrap();
        let nobody =
            client(speak, HeaderMap::new()).post(&url, HeaderMap::new(), bytes::Bytes::new().into()).await;
        let reason = retry(nobody);
        let named = format!("http://{free} cannot be reached: ");
        assert!(reason.starts_with(&named) && !reason.contains("s3cret"), "{reason}");
    }
}

/// A peer whose kernel takes connections, and whose process never looks at them.
async fn silent() -> (tokio::net::TcpListener, std::net::SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn impatient(speak: Speak) -> Client {
    let soon = Duration::from_millis(50);
    let patience = Patience { connection: soon, ping_after: soon, ping_answer: soon, ..PATIENCE };
    Client::with(patience, speak, Plan::default(), Arc::new(SetClock::new())).unwrap()
}

#[tokio::test]
async fn a_peer_that_takes_connections_and_says_nothing_is_unreachable_where_that_is_certain() {
    let (_listener, address) = silent().await;
    for (speak, scheme, said) in [
        (Speak::Http, "https", "cannot be reached: no connection within 50ms"),
        (Speak::Http2, "https", "cannot be reached: no connection within 50ms"),
        (Speak::Http2, "http", "gave no answer, not even to a ping: operation timed out"),
    ] {
        let url = format!("{scheme}://{address}/s3cret").parse().unwrap();
        let client = impatient(speak);
        let answer = client.post(&url, HeaderMap::new(), bytes::Bytes::from_static(b"x").into());
        let reason = format!("{scheme}://{address} {said}");
        assert_eq!(answer.await.unwrap_err(), Failure::Unreachable { reason });
    }
}

#[tokio::test]
async fn a_living_peer_may_take_as_long_as_it_wants() {
    // It answers no request, but pings: only the courier's deadline ends that.
    let peer = Peer::start(Reply::Silence).await;
    for speak in [Speak::Http, Speak::Http2] {
        let client = impatient(speak);
        let url = peer.url("/").parse().unwrap();
        let answer = client.post(&url, HeaderMap::new(), bytes::Bytes::from_static(b"x").into());
        let waited = tokio::time::timeout(Duration::from_secs(1), answer).await; // waits for time: twenty times its patience
        assert!(waited.is_err(), "{waited:?}");
    }
}

#[tokio::test]
async fn a_peer_that_hung_up_is_spoken_to_again() {
    let peer = Peer::start(Reply::status(200)).await;
    peer.then(Reply::Hangup);
    let (client, url) = (client(Speak::Http2, HeaderMap::new()), peer.url("/").parse().unwrap());
    let ask = || client.post(&url, HeaderMap::new(), bytes::Bytes::new().into());
    retry(ask().await);
    assert_eq!(ask().await.unwrap().status, 200);
}

#[tokio::test]
async fn the_sinks_headers_are_sent_and_the_requests_own_win() {
    let peer = Peer::start(Reply::status(200)).await;
    let mut own = HeaderMap::new();
    own.insert("x-tenant", HeaderValue::from_static("a"));
    own.insert("x-kind", HeaderValue::from_static("sink"));
    let mut request = HeaderMap::new();
    request.insert("x-kind", HeaderValue::from_static("request"));
    let url = peer.url("/").parse().unwrap();
    client(Speak::Http, own).post(&url, request, bytes::Bytes::new().into()).await.unwrap();
    let seen = &peer.seen()[0];
    assert_eq!((seen.header("x-tenant"), seen.header("x-kind")), ("a", "request"));
    assert_eq!(seen.headers.get_all("x-kind").iter().count(), 1);
}

#[test]
fn a_certificate_file_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let open = |ca_file: &std::path::Path| {
        let tls = Tls { ca_file: Some(ca_file.to_owned()), ..Tls::default() };
        Client::open(Speak::Http, Some(&tls), HeaderMap::new(), Arc::new(SetClock::new())).unwrap_err()
    };
    assert!(open(&file).contains("cannot be read"));
    std::fs::write(&file, "no certificate").unwrap();
    assert!(open(&file).contains("holds no certificate"));
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(open(&file).contains("unusable certificate"));
}

#[tokio::test]
async fn other_methods_read_as_much_of_an_answer_as_they_ask_for() {
    let peer = Peer::start(Reply::body(200, vec![b'x'; 100 << 10])).await;
    let (client, url) = (client(Speak::Http, HeaderMap::new()), peer.url("/object").parse().unwrap());
    let cases = [
        (Method::GET, 200 << 10, 100 << 10, true),
        (Method::PUT, 10, 10, false),
        (Method::HEAD, 10, 0, true),
    ];
    for (number, (method, limit, length, whole)) in cases.into_iter().enumerate() {
        let body = bytes::Bytes::from_static(b"body").into();
        let answer = client.request(method.clone(), &url, HeaderMap::new(), body, limit).await.unwrap();
        assert_eq!((answer.body.len(), answer.whole), (length, whole), "{method}");
        assert_eq!((&peer.seen()[number].method, &peer.seen()[number].body[..]), (&method, &b"body"[..]));
    }
}

#[tokio::test]
async fn the_tenant_travels_in_the_header_that_the_operator_names() {
    let peer = Peer::start(Reply::status(200)).await;
    let url = peer.url("/").parse().unwrap();
    for name in [None, Some("X-Scope-OrgID")] {
        let client = as_written(Speak::Http, &Written { tenant_header: name, ..nothing() }).unwrap();
        let mut headers = HeaderMap::new();
        client.name_tenant(&mut headers, &Tenant::new("team-a").unwrap());
        client.post(&url, headers, Payload::default()).await.unwrap();
    }
    let seen = peer.seen();
    assert_eq!([&seen[0], &seen[1]].map(|seen| seen.header("x-scope-orgid")), ["", "team-a"]);
}
